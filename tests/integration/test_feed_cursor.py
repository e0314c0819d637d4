"""A cursor across the lives of a supernode: nothing is lost in silence, nothing comes twice."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from supernode.api.watching import Watch, Watching
from supernode.core.events import PeerLeft, PeerSeen
from supernode.core.identity import PeerId
from supernode.exchange import Answer, Request
from supernode.journal.errors import JournalError
from supernode.services.recalling import STRIDE
from supernode.streaming import Ending
from tests.integration.process import Process, begun
from tests.waiting import eventually

IN_MEMORY = 8
KEPT, TRANSIENT = PeerLeft, PeerSeen

Kind = type[PeerLeft] | type[PeerSeen]
Said = dict[str, object]


class Life(NamedTuple):
    """What happens while a supernode lives.

    Args:
        events: of these kinds.
        unwritten: how many more happen and are not written, for it is killed; None: it is not.
    """

    events: Sequence[Kind]
    unwritten: int | None


KINDS = st.lists(st.sampled_from([KEPT, TRANSIENT]), max_size=2 * IN_MEMORY)
LIVES = st.lists(st.builds(Life, KINDS, st.none() | st.integers(0, 3)), max_size=3)


@contextmanager
def little_memory() -> Iterator[None]:
    """Let little be kept in memory and read at once, and let nobody wait for company."""
    with (
        patch("supernode.feed.RECENT", IN_MEMORY),
        patch("supernode.journal.journal.MOST_READ", 3),
        patch("supernode.services.journaling.PROGRESS_SECONDS", 0.01),
        patch("supernode.api.watching.PAUSE", 0.0),
        patch("supernode.api.watching.STEP", 0.001),
    ):
        yield


def happen(process: Process, kind: Kind) -> int:
    """Let something happen; return its number."""
    process.feed.publish([kind(at=0, peer=PeerId("p"))])
    return process.feed.seq


async def written(process: Process) -> None:
    """Wait until all that has happened is on disk."""
    await eventually(lambda: process.journaling._kept == process.feed.seq)


def files(state: Path) -> dict[Path, bytes]:
    """Return what the journal consists of."""
    return {path: path.read_bytes() for path in state.glob("supernode.db*")}


def put_back(state: Path, known: dict[Path, bytes]) -> None:
    """Let the journal be what it was: whatever came later was never written."""
    for path in files(state):
        path.unlink()
    for path, content in known.items():
        path.write_bytes(content)


async def live(state: Path, life: Life) -> list[int]:
    """Let a supernode live and end; return the numbers of what is kept of it."""
    async with begun(state) as process:
        numbers = [happen(process, kind) for kind in life.events]
        await written(process)
        on_disk = files(state)
        for _ in range(life.unwritten or 0):
            happen(process, KEPT)
    if life.unwritten is not None:
        put_back(state, on_disk)
    return [number for number, kind in zip(numbers, life.events, strict=True) if kind is KEPT]


def watch(process: Process, query: str) -> Watch:
    opened = Watching(process.feed, process.journaling).open(Request(query_string=query))
    assert isinstance(opened, Watch)
    return opened


async def told(process: Process, query: str, meanwhile: Sequence[Kind] = ()) -> list[Said]:
    """Return what a watcher is told, while things go on happening, up to the last of them."""
    watching = watch(process, query)
    left, last = list(meanwhile), None
    said: list[Said] = []
    while last is None or last not in seen(said[-1:]):
        if left:
            happen(process, left.pop())
        elif last is None:
            last = happen(process, KEPT)
        with trio.fail_after(5):
            portion = await watching.next()
        assert not isinstance(portion, Ending)
        said += map(json.loads, portion.texts)
    watching.close()
    return said


def numbers_in(said: Sequence[Said]) -> list[int]:
    """Return every number that a watcher was told something about, in order."""
    return [number for message in said for number in span(message)]


def span(message: Said) -> range:
    first, last = message.get("from", message.get("seq")), message.get("to", message.get("seq"))
    assert isinstance(first, int)
    assert isinstance(last, int)
    return range(first, last + 1)


def seen(said: Sequence[Said]) -> list[object]:
    return [message["seq"] for message in said if "seq" in message]


def gaps(said: Sequence[Said]) -> list[Said]:
    return [message for message in said if message["type"] == "gap"]


@settings(max_examples=25, deadline=None)
@given(LIVES, KINDS, KINDS, st.data())
def test_who_was_away_is_told_everything_once_or_that_it_is_gone(
    lives: list[Life], before: list[Kind], meanwhile: list[Kind], data: st.DataObject
) -> None:
    async def run(state: Path) -> None:
        kept: list[int] = []
        bounds: list[int] = []
        for life in lives:
            kept += await live(state, life)
        async with begun(state) as process:
            bounds.append(process.feed.seq)
            for kind in before:
                if happen(process, kind) and kind is KEPT:
                    kept.append(process.feed.seq)
            around = sorted({0, *kept, *bounds, process.feed.seq})
            since = data.draw(st.sampled_from(around) | st.integers(0, process.feed.seq))

            only_kept = await told(process, f"since={since}&type=peer.left")
            assert [number for number in kept if number > since] == seen(only_kept)[:-1]
            if all(life.unwritten is None for life in lives):
                assert not gaps(only_kept)
            assert_in_order(only_kept)
            kept.append(process.feed.seq)

            said = await told(process, f"since={since}", meanwhile)
            assert numbers_in(said) == list(range(since + 1, process.feed.seq + 1))
            assert {number for number in kept if number > since} <= set(seen(said))

    with tempfile.TemporaryDirectory() as directory, little_memory():
        trio.run(run, Path(directory))


def assert_in_order(said: Sequence[Said]) -> None:
    numbers = numbers_in(said)
    assert all(earlier < later for earlier, later in pairwise(numbers))


async def test_a_supernode_that_ends_in_order_leaves_no_gap(tmp_path: Path) -> None:
    with trio.fail_after(10):
        await live(tmp_path, Life([KEPT, KEPT], None))
        await live(tmp_path, Life([], None))
        async with begun(tmp_path) as process:
            assert process.feed.seq == 2
            said = await told(process, "since=0")
    assert seen(said) == [1, 2, 3]
    assert not gaps(said)


async def test_numbers_that_a_killed_one_may_have_given_are_a_gap(tmp_path: Path) -> None:
    with trio.fail_after(10):
        await live(tmp_path, Life([KEPT, KEPT], 3))
        async with begun(tmp_path) as process:
            assert process.feed.seq == STRIDE
            said = await told(process, "since=1&type=peer.left")
    assert seen(said) == [2, STRIDE + 1]
    assert gaps(said) == [{"type": "gap", "from": 3, "to": STRIDE}]


@pytest.mark.parametrize("query", ["since=7", "since=7&type=peer.left"])
async def test_what_is_older_than_what_is_kept_is_one_gap(
    query: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supernode.journal.journal.MOST_KEPT", 5)
    monkeypatch.setattr("supernode.services.journaling.TRIM_EVERY", 1)
    with trio.fail_after(10):
        for _ in range(3):
            await live(tmp_path, Life([KEPT] * 10, None))
        async with begun(tmp_path) as process:
            said = await told(process, query)
    assert gaps(said) == said[:1] == [{"type": "gap", "from": 8, "to": 25}]
    assert seen(said) == [26, 27, 28, 29, 30, 31]


async def test_a_cursor_from_the_future_is_refused(tmp_path: Path) -> None:
    with trio.fail_after(10):
        async with begun(tmp_path) as process:
            happen(process, KEPT)
            watching = Watching(process.feed, process.journaling)
            refused = watching.open(Request(query_string="since=2"))
            assert isinstance(refused, Answer)
            assert refused.status == 400
            assert b"since: is beyond 1, the last event there was" in refused.body
            assert refused.headers["Supernode-Seq"] == "1"
            assert isinstance(watching.open(Request(query_string="since=1")), Watch)


async def test_a_journal_that_takes_nothing_makes_a_gap_not_a_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supernode.feed.RECENT", IN_MEMORY)
    with trio.fail_after(10):
        async with begun(tmp_path) as process:
            with patch.object(
                process.recalled.journal, "write", side_effect=JournalError("no room")
            ):
                for _ in range(3 * IN_MEMORY):
                    happen(process, KEPT)
                await eventually(lambda: bool(process.journaling.trouble))
                said = await told(process, "since=0")
    assert gaps(said)[0]["from"] == 1
    assert numbers_in(said) == list(range(1, len(numbers_in(said)) + 1))


async def test_a_journal_that_cannot_be_read_makes_a_gap(tmp_path: Path) -> None:
    with trio.fail_after(10):
        await live(tmp_path, Life([KEPT] * 3, None))
        async with begun(tmp_path) as process:
            with patch.object(
                process.recalled.journal, "read_events", side_effect=JournalError("broken")
            ):
                said = await told(process, "since=1")
    assert said[0] == {"type": "gap", "from": 2, "to": 3}
    assert seen(said) == [4]


async def test_without_a_past_what_memory_has_forgotten_is_a_gap(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("supernode.feed.RECENT", IN_MEMORY)
    with trio.fail_after(10):
        async with begun(tmp_path) as process:
            for _ in range(IN_MEMORY + 5):
                happen(process, KEPT)
            opened = Watching(process.feed).open(Request(query_string="since=2"))
            assert isinstance(opened, Watch)
            portion = await opened.next()
            assert not isinstance(portion, Ending)
            said = [json.loads(text) for text in portion.texts]
    assert gaps(said) == said[:1] == [{"type": "gap", "from": 3, "to": 5}]
    assert seen(said) == list(range(6, 14))
