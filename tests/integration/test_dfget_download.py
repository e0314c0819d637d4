"""A download against a scripted tracker and its holders."""

import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from supernode.dfget.content import ContentFile
from supernode.dfget.download import BATCH, PARALLEL, SwarmDownload
from supernode.dfget.errors import DigestMismatch, NoSupernode, SwarmStuck, TaskFailed
from supernode.dfget.http import HttpClient
from supernode.dfget.options import Node
from supernode.dfget.progress import Progress, Source
from supernode.dfget.rate import TokenBucket
from supernode.dfget.supernode import Supernode, TaskInfo, TaskRequest
from tests.integration.http_stub import StubAnswer, StubRequest, http_stub
from tests.integration.scripted_tracker import SEED, Client, ScriptedTracker


def some_bytes(length: int) -> bytes:
    return random.Random(length).randbytes(length)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that are seconds long for the user are short for us."""
    monkeypatch.setattr("supernode.dfget.download.GONE_SECONDS", 0.5)


class Trial:
    """A download and what came of it."""

    def __init__(self, port: int, content: ContentFile, http: HttpClient) -> None:
        self.progress = Progress()
        self.content = content
        self.supernode = Supernode(Node("127.0.0.1", port), http)
        self.sized: list[tuple[str, int]] = []
        self.download = SwarmDownload(
            self.supernode,
            TaskRequest(raw_url="http://origin/f", client="c-1", path="/peer/file/f"),
            content,
            http=http,
            limit=TokenBucket(0),
            progress=self.progress,
            sharing=None,
            sized=self._sized,
            rejoin=self._rejoin,
        )

    async def _sized(self, task: str, piece_size: int) -> None:
        self.sized.append((task, piece_size))

    async def _rejoin(self) -> str:
        return "peer-again"

    async def run(self) -> TaskInfo:
        info = await self.download.run()
        await self.download.finish(holds=True)
        return info


@asynccontextmanager
async def trial(tracker: ScriptedTracker, folder: Path) -> AsyncIterator[Trial]:
    http = HttpClient()
    with trio.fail_after(20):
        async with http_stub(tracker.answer) as port:
            tracker.port = port
            try:
                with ContentFile(folder / "data" / "f", "sha256") as content:
                    yield Trial(port, content, http)
            finally:
                http.close()


@pytest.mark.parametrize("length", [0, 1, 4091, 4092, 100_000])
async def test_every_length_arrives_whole(length: int, tmp_path: Path) -> None:
    tracker = ScriptedTracker(some_bytes(length))
    async with trial(tracker, tmp_path) as t:
        info = await t.run()
        assert t.content.path.read_bytes() == tracker.content
        assert t.download.length == length
        expected = hashlib.sha256(tracker.content).hexdigest()
        assert await t.content.digest("sha256", length) == expected == info.sha256
    assert tracker.ended == ["SUCCESS"]
    assert tracker.have == set(range(tracker.total))


async def test_pieces_come_from_several_holders(tmp_path: Path) -> None:
    tracker = ScriptedTracker(some_bytes(200_000), holders=(SEED, "peer-a", "peer-b"))
    async with trial(tracker, tmp_path) as t:
        await t.run()
        assert t.content.path.read_bytes() == tracker.content
        received = t.progress.received
    assert min(tracker.served.values()) > 10
    assert received[Source.SEED] + received[Source.PEER] == 200_000
    assert received[Source.PEER] > received[Source.SEED] > 0


@pytest.mark.parametrize("slots", [100, 8])
async def test_half_a_request_a_piece_when_pieces_are_plentiful(slots: int, tmp_path: Path) -> None:
    tracker = ScriptedTracker(some_bytes(25 * 4091), slots=slots)
    async with trial(tracker, tmp_path) as t:
        await t.run()
        assert t.supernode.requests <= 0.5 * tracker.total
        assert t.supernode.requests == sum(tracker.calls.values())
    assert tracker.calls["PUT tasks/pieces"] == 0


async def test_each_piece_is_reported_once(tmp_path: Path) -> None:
    tracker = ScriptedTracker(some_bytes(300_000), holders=(SEED, "peer-a"))
    async with trial(tracker, tmp_path) as t:
        await t.run()
    assert sorted(number for number, _, _ in tracker.reports) == list(range(tracker.total))
    assert {result for _, _, result in tracker.reports} == {"SUCCESS"}


async def test_while_pieces_are_scarce_each_is_reported_at_once(tmp_path: Path) -> None:
    class Slow(ScriptedTracker):
        """The next piece is there only when the last has been reported."""

        def _report(self, client: Client, which: str, holder: str, result: str) -> None:
            super()._report(client, which, holder, result)
            self.known = len(self.have) + 1

    tracker = Slow(some_bytes(5 * 4091), known=1)
    async with trial(tracker, tmp_path) as t:
        await t.run()
    assert tracker.calls["PUT tasks/pieces"] > 0
    assert tracker.ended == ["SUCCESS"]


async def test_a_holder_of_wrong_bytes_is_reported_and_replaced(tmp_path: Path) -> None:
    tracker = ScriptedTracker(
        some_bytes(100_000), holders=(SEED, "bad"), corrupt=frozenset({"bad"})
    )
    async with trial(tracker, tmp_path) as t:
        await t.run()
        assert t.content.path.read_bytes() == tracker.content
        assert t.progress.received[Source.PEER] == 0
    assert {(holder, result) for _, holder, result in tracker.reports} == {
        (SEED, "SUCCESS"),
        ("bad", "FAILED"),
    }


async def test_a_peer_that_falls_silent_is_soon_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(ScriptedTracker):
        async def answer(self, request: StubRequest) -> StubAnswer | None:
            if request.target.startswith("/hold/silent"):
                await trio.sleep_forever()
            return await super().answer(request)

    monkeypatch.setattr("supernode.patience.PEER_STALL_SECONDS", 0.1)
    tracker = Silent(some_bytes(20 * 4091), holders=(SEED, "silent"))
    async with trial(tracker, tmp_path) as t:
        with trio.fail_after(5):  # half as long as the supernode would be waited for
            await t.run()
        assert t.content.path.read_bytes() == tracker.content
    assert {(holder, result) for _, holder, result in tracker.reports} == {
        (SEED, "SUCCESS"),
        ("silent", "FAILED"),
    }


async def test_when_every_holder_fails_it_ends(tmp_path: Path) -> None:
    class Stubborn(ScriptedTracker):
        def _report(self, client: Client, which: str, holder: str, result: str) -> None:
            super()._report(client, which, holder, result)
            client.avoided.clear()

    tracker = Stubborn(some_bytes(100_000), corrupt=frozenset({SEED}))
    async with trial(tracker, tmp_path) as t:
        with pytest.raises(SwarmStuck, match="failed in a row"):
            await t.run()
        assert t.download.length == 0
        assert t.content.path.read_bytes() == b""


@pytest.mark.parametrize(
    ("status", "reason", "error", "text"),
    [
        (502, "origin_not_found", TaskFailed, "the origin has no such file: refused"),
        (403, "url_forbidden", TaskFailed, "the policy forbids"),
        (409, "disk_full", TaskFailed, "the supernode's disk is full"),
        (409, "digest_mismatch", DigestMismatch, "another digest"),
        (400, "", TaskFailed, "the supernode says: refused"),
    ],
)
async def test_a_failed_task_ends_with_its_reason(
    status: int, reason: str, error: type[Exception], text: str, tmp_path: Path
) -> None:
    tracker = ScriptedTracker(b"x", refusal=(status, reason))
    async with trial(tracker, tmp_path) as t:
        with pytest.raises(error, match=text):
            await t.run()


@pytest.mark.parametrize("forgotten", [(404, ""), (409, "cache_damaged"), (409, "client_silent")])
async def test_a_forgotten_client_registers_again_with_what_it_has(
    tmp_path: Path, forgotten: tuple[int, str]
) -> None:
    tracker = ScriptedTracker(some_bytes(40 * 4091), forget_once=3, forgotten=forgotten)
    async with trial(tracker, tmp_path) as t:
        await t.run()
        assert t.content.path.read_bytes() == tracker.content
    assert tracker.calls["POST tasks/"] == 2
    assert [body["peerID"] for body in tracker.bodies if "peerID" in body] == ["peer-again"]
    first, again = tracker.claims
    assert not first
    assert again
    assert tracker.have == set(range(tracker.total))
    assert tracker.served[SEED] == tracker.total  # nothing came twice


async def test_a_supernode_that_takes_no_claims_is_told_piece_by_piece(tmp_path: Path) -> None:
    tracker = ScriptedTracker(some_bytes(40 * 4091), forget_once=3, heeds_claims=False)
    async with trial(tracker, tmp_path) as t:
        await t.run()
        assert t.content.path.read_bytes() == tracker.content
    assert tracker.have == set(range(tracker.total))
    assert tracker.served[SEED] == tracker.total


@dataclass
class Amnesiac(ScriptedTracker):
    """Forgets while pieces are under way: they come when it has been asked for more again.

    Args:
        lost: whether they do not come after all.
    """

    lost: bool = False
    under_way: int = 0
    busy: trio.Event = field(default_factory=trio.Event)
    asked_again: trio.Event = field(default_factory=trio.Event)

    async def answer(self, request: StubRequest) -> StubAnswer | None:
        is_transfer = request.target.startswith("/hold/")
        if is_transfer and self.served.total() == BATCH and not self.asked_again.is_set():
            self.under_way += 1
            if self.under_way == PARALLEL:
                self.busy.set()
            await self.asked_again.wait()
            if self.lost:
                return 500, b""
        is_pull = "/pieces?" in request.target
        if is_pull and self.calls["GET tasks/pieces"] == 1:
            await self.busy.wait()
        answer = await super().answer(request)
        if is_pull and len(self.claims) == 2:
            self.asked_again.set()
        return answer

    def _report(self, client: Client, which: str, holder: str, result: str) -> None:
        super()._report(client, which, holder, result)
        client.avoided.clear()


@pytest.mark.parametrize("lost", [False, True])
async def test_what_is_under_way_when_it_is_forgotten_goes_on(tmp_path: Path, lost: bool) -> None:
    tracker = Amnesiac(some_bytes(40 * 4091), forget_once=1, lost=lost)
    async with trial(tracker, tmp_path) as t:
        await t.run()
        assert t.content.path.read_bytes() == tracker.content
    assert tracker.under_way == PARALLEL
    assert [len(claim) for claim in tracker.claims] == [0, BATCH]
    assert tracker.have == set(range(tracker.total))
    assert tracker.served[SEED] == tracker.total  # nothing came twice
    failed = [number for number, _, result in tracker.reports if result == "FAILED"]
    assert bool(failed) is lost


async def test_a_supernode_that_forgets_every_time_is_given_up(tmp_path: Path) -> None:
    tracker = ScriptedTracker(b"x", refusal=(404, ""))
    async with trial(tracker, tmp_path) as t:
        with pytest.raises(TaskFailed, match="forgets"):
            await t.run()


async def test_a_lost_pull_loses_no_report(tmp_path: Path) -> None:
    tracker = ScriptedTracker(some_bytes(60 * 4091))

    async def flaky(request: StubRequest) -> StubAnswer | None:
        if "/pieces" in request.target and request.method == "GET":
            tracker.calls["attempts"] += 1
            if tracker.calls["attempts"] % 3 == 0:
                return 503, b""
        return await tracker.answer(request)

    http = HttpClient()
    with trio.fail_after(20), ContentFile(tmp_path / "f", "sha256") as content:
        async with http_stub(flaky) as port:
            tracker.port = port
            await Trial(port, content, http).run()
            http.close()
    assert sorted({number for number, _, _ in tracker.reports}) == list(range(tracker.total))
    assert tracker.ended == ["SUCCESS"]


async def test_a_supernode_that_vanishes_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    tracker = ScriptedTracker(some_bytes(10 * 4091), known=5)

    async def dying(request: StubRequest) -> StubAnswer | None:
        return None if len(tracker.have) == 5 else await tracker.answer(request)

    http = HttpClient()
    with trio.fail_after(20), ContentFile(tmp_path / "f", "sha256") as content:
        async with http_stub(dying) as port:
            tracker.port = port
            with pytest.raises(NoSupernode):
                await Trial(port, content, http).run()
            http.close()


async def test_cancelled_it_stops(tmp_path: Path) -> None:
    tracker = ScriptedTracker(some_bytes(10 * 4091), known=5)
    async with trial(tracker, tmp_path) as t:
        with trio.move_on_after(0.3) as scope:
            await t.run()
        assert scope.cancelled_caught
    assert not (tmp_path / "data" / "f").exists()


async def test_a_file_that_changes_under_way_is_given_up(tmp_path: Path) -> None:
    class Changing(ScriptedTracker):
        async def answer(self, request: StubRequest) -> StubAnswer | None:
            if request.method == "POST" and self.clients:
                self.content = self.content[::-1]
            return await super().answer(request)

    tracker = Changing(some_bytes(100_000), forget_once=3)
    async with trial(tracker, tmp_path) as t:
        with pytest.raises(TaskFailed, match="the file has changed"):
            await t.run()
