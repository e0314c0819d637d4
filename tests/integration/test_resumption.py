"""Fetches that break off: what is asked for again, what is told, and that no two files are mixed.

Real sockets, the real client, the real CDN; an origin that counts what it sends.
"""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from supernode.core.commands import Pull, RegisterTask, RemoveTask
from supernode.core.errors import TaskEnded
from supernode.core.identity import ClientId, TaskId, task_url
from supernode.core.model import CdnStatus, Secrets, Task, TaskSpec
from supernode.core.pieces import MIB, TRAILER, content_size, frame_header
from supernode.core.reasons import Reason
from supernode.origin.http import OriginClient
from supernode.services.cdn import Cdn
from supernode.services.retries import RetryPolicy
from supernode.storage.piece_files import PieceStore
from tests.faults import Fails, Group, Recovers, Recovery, Seen, fault
from tests.inprocess import InProcess
from tests.integration.scripted_origin import LOOPBACK, ScriptedOrigin, answer

SIZE = 4 * MIB
FULL = content_size(SIZE)
CONTENT = (hashlib.sha256(b"supernode").digest() * (4 * SIZE // 32))[: 3 * FULL + 1000]
LENGTH = len(CONTENT)
CHANGED = "Tue, 02 Jan 2024 03:04:05 GMT"
DATE = "Wed, 03 Jan 2024 03:04:05 GMT"
WHOLE = "all of it"


def other(since: int) -> bytes:
    """Return a file that is another one from this byte on."""
    return (
        CONTENT[:since]
        + bytes(byte ^ 0xFF for byte in CONTENT[since : since + 8])
        + (CONTENT[since + 8 :])
    )


@dataclass
class Reply:
    """How the origin answers one request.

    Args:
        until: it hangs up before this byte of the file.
        content: the file by now.
        etag: its tag; "": it says when the file changed.
        heeds_range: whether it sends a part to who asks for one.
        heeds_if_range: whether it looks if that is a part of the same file.
        chunked: whether it leaves open how much will come.
        instead: sent instead of all that.
        after: it answers once this is set.
        stalls: whether it sends nothing more, rather than hang up.
    """

    until: int | None = None
    content: bytes = CONTENT
    etag: str = '"v1"'
    heeds_range: bool = True
    heeds_if_range: bool = True
    chunked: bool = False
    instead: bytes = b""
    after: trio.Event | None = None
    stalls: bool = False


@dataclass
class Origin:
    """Has one file; each request is answered as the test says, further ones without trouble."""

    replies: list[Reply] = field(default_factory=list)
    last: Reply = field(default_factory=Reply)
    sent: int = 0
    scripted: ScriptedOrigin = field(default_factory=ScriptedOrigin)

    async def __call__(self, stream: trio.abc.Stream) -> None:
        asked = self.scripted.asked[-1].headers
        reply = self.replies.pop(0) if self.replies else self.last
        if reply.after is not None:
            await reply.after.wait()
        if reply.instead:
            await stream.send_all(reply.instead)
            return
        validator = f"ETag: {reply.etag}" if reply.etag else f"Last-Modified: {CHANGED}"
        head = [f"Date: {DATE}", validator]
        same = asked.get("If-Range", validator.partition(": ")[2]) in validator
        first, last = 0, len(reply.content) - 1
        if reply.heeds_range and "Range" in asked and (same or not reply.heeds_if_range):
            begin, _, end = asked["Range"].removeprefix("bytes=").partition("-")
            first, last = int(begin), int(end or last)
            status = "206 Partial Content"
            head.append(f"Content-Range: bytes {first}-{last}/{len(reply.content)}")
        else:
            status = "200 OK"
        how = (
            "Transfer-Encoding: chunked" if reply.chunked else f"Content-Length: {last - first + 1}"
        )
        lines = [f"HTTP/1.1 {status}", *head, how, "", ""]
        await stream.send_all("\r\n".join(lines).encode())
        part = reply.content[first : last + 1 if reply.until is None else reply.until]
        if reply.chunked:
            await stream.send_all(b"%x\r\n" % len(part))
        await stream.send_all(part)
        if reply.chunked:
            await stream.send_all(b"\r\n" if reply.until else b"\r\n0\r\n\r\n")
        self.sent += len(part)
        if reply.stalls:
            await stream.receive_some()

    @property
    def wanted(self) -> list[str]:
        """Which part each request asked for, and of which version."""
        return [
            f"{asked.headers['Range']} of {asked.headers.get('If-Range', 'any')}"
            if "Range" in asked.headers
            else WHOLE
            for asked in self.scripted.asked
        ]


class World:
    """A supernode that fetches from one origin."""

    def __init__(
        self, state: Path, origin: Origin, client: OriginClient, retries: RetryPolicy
    ) -> None:
        self.node = InProcess()
        self.origin = origin
        self.store = PieceStore(state / "repo")
        self.cdn = Cdn(self.node.dispatch, self.store, client, retries=retries)

    def ask(self, **headers: str) -> TaskId:
        url = self.origin.scripted.url("/f")
        spec = TaskSpec(raw_url=url, task_url=task_url(url, ()), headers=Secrets(headers))
        ask = RegisterTask(spec=spec, client=ClientId("c"), peer=None, path="")
        return self.node.dispatch(ask)

    def task(self, task: TaskId) -> Task:
        return self.node.tracker.task(task)

    async def until(self, task: TaskId, holds: Callable[[Task], bool]) -> Task:
        while not holds(self.task(task)):
            await self.node.feed.wait(task, trio.current_time() + 10)
        return self.task(task)

    async def end_of(self, task: TaskId) -> Task:
        return await self.until(
            task, lambda t: t.status not in (CdnStatus.WAITING, CdnStatus.RUNNING)
        )

    async def fetched(self, **headers: str) -> Task:
        return await self.end_of(self.ask(**headers))

    def has(self, task: Task, content: bytes) -> bool:
        """Tell whether the file is there, whole and right in every account of it."""
        parts = [content[start : start + FULL] for start in range(0, len(content), FULL)]
        file = self.store.find(task.id)
        return (
            task.status is CdnStatus.SUCCESS
            and task.length == len(content)
            and task.md5 == hashlib.md5(content).hexdigest()
            and task.sha256 == hashlib.sha256(content).hexdigest()
            and len(task.digests) == len(parts)
            and file is not None
            and file.is_complete
            and file.path.read_bytes()
            == b"".join(frame_header(len(part), SIZE) + part + TRAILER for part in parts)
        )


@asynccontextmanager
async def running(
    state: Path,
    *replies: Reply,
    retries: RetryPolicy | None = None,
    last: Reply | None = None,
    stall_timeout: float = 30.0,
) -> AsyncIterator[World]:
    """Run a supernode and its origin."""
    origin = Origin(list(replies), last or Reply())
    origin.scripted.answers["/f"] = origin
    with trio.fail_after(20):
        async with (
            OriginClient(LOOPBACK, stall_timeout=stall_timeout) as client,
            trio.open_nursery() as nursery,
        ):
            await nursery.start(origin.scripted.run, "127.0.0.1")
            world = World(state, origin, client, retries or RetryPolicy(first_pause=0))
            await nursery.start(world.cdn.run)
            yield world
            nursery.cancel_scope.cancel()


def recovery(world: World) -> Recovers:
    """Return how the file was had: by what came a second time, for whoever has begun anew."""
    twice = world.origin.sent - LENGTH
    return Recovers(Recovery.REST if twice < FULL else Recovery.ANEW)


def it(what: str, how: Recovery, *, case: str = "") -> pytest.MarkDecorator:
    """Say what the origin does, and that the file is had in spite of it."""
    return fault(Group.ORIGIN, what, Recovers(how), case=case)


# it goes on


BREAKS_OFF = "says which version it sends, and after some pieces {}"


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(Reply(2 * FULL + 5), marks=it(BREAKS_OFF, Recovery.REST, case="breaks off")),
        pytest.param(
            Reply(2 * FULL + 5, chunked=True),
            marks=it(BREAKS_OFF, Recovery.REST, case="breaks off"),
        ),
        pytest.param(
            Reply(2 * FULL + 5, stalls=True), marks=it(BREAKS_OFF, Recovery.REST, case="stalls")
        ),
    ],
    ids=["cut", "cut, no length", "stalled"],
)
async def test_however_it_breaks_off_it_goes_on(tmp_path: Path, seen: Seen, broken: Reply) -> None:
    async with running(tmp_path, broken, stall_timeout=1.0) as world:
        assert world.has(await world.fetched(), CONTENT)
        assert world.origin.wanted == [WHOLE, f'bytes={2 * FULL}- of "v1"']
        seen(recovery(world))


PATIENCE = "answers {} and wants up to 30 s of patience (`Retry-After`)"


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(429, marks=it(PATIENCE, Recovery.LATER, case="429")),
        pytest.param(503, marks=it(PATIENCE, Recovery.LATER, case="503")),
    ],
)
async def test_an_origin_is_left_alone_for_as_long_as_it_wants(
    tmp_path: Path, seen: Seen, status: int
) -> None:
    busy = Reply(instead=answer(status, Retry_After="1"))
    with capture_logs() as logs:
        async with running(tmp_path, busy) as world:
            assert world.has(await world.fetched(), CONTENT)
            assert world.origin.wanted == [WHOLE, WHOLE]
    (pause,) = [line["pause_seconds"] for line in logs if "pause_seconds" in line]
    assert pause >= 1.0
    seen(Recovers(Recovery.LATER))


@pytest.mark.parametrize(("etag", "version"), [('"v1"', '"v1"'), ("", CHANGED)])
async def test_it_goes_on_with_the_first_missing_piece(
    tmp_path: Path, etag: str, version: str
) -> None:
    async with running(
        tmp_path, Reply(2 * FULL + 12345, etag=etag), last=Reply(etag=etag)
    ) as world:
        task = await world.fetched()
        assert world.has(task, CONTENT)
        assert world.origin.wanted == [WHOLE, f"bytes={2 * FULL}- of {version}"]
        assert world.origin.sent == LENGTH + 12345, "nothing but the unsealed piece came twice"


async def test_it_begins_anew_when_not_one_piece_has_come(tmp_path: Path) -> None:
    async with running(tmp_path, Reply(FULL - 1)) as world:
        assert world.has(await world.fetched(), CONTENT)
        assert world.origin.wanted == [WHOLE, WHOLE]


async def test_it_may_break_off_as_often_as_it_gets_further(tmp_path: Path) -> None:
    breaks = [FULL + 1, FULL + 2, FULL + 3, 2 * FULL + 1, 2 * FULL + 2, 3 * FULL, 3 * FULL + 1]
    async with running(tmp_path, *map(Reply, breaks)) as world:
        assert world.has(await world.fetched(), CONTENT)
        assert len(world.origin.wanted) == len(breaks) + 1
        assert world.origin.sent < LENGTH + len(breaks) * FULL


async def test_it_does_not_try_for_ever(tmp_path: Path) -> None:
    async with running(tmp_path, last=Reply(2 * FULL + 5)) as world:
        task = await world.fetched()
        assert (task.status, task.reason) == (CdnStatus.SOURCE_ERROR, Reason.ORIGIN_LENGTH)
        assert task.detail.endswith(", then the end (tried 4 times)")
        assert world.origin.wanted == [WHOLE] + [f'bytes={2 * FULL}- of "v1"'] * 3
        assert world.origin.sent == 2 * FULL + 4 * 5
        assert world.store.find(task.id) is None


async def test_to_begin_anew_is_not_to_get_further(tmp_path: Path) -> None:
    replies = [Reply(n * FULL // 2 + 5, heeds_range=False) for n in range(2, 20)]
    async with running(tmp_path, *replies) as world:
        task = await world.fetched()
        assert task.reason is Reason.ORIGIN_LENGTH
        assert len(world.origin.wanted) == 4


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_an_origin_in_trouble_is_asked_for_the_same_again(
    tmp_path: Path, status: int
) -> None:
    trouble = Reply(instead=answer(status))
    async with running(tmp_path, Reply(FULL + 5), trouble, trouble) as world:
        assert world.has(await world.fetched(), CONTENT)
        assert world.origin.wanted == [WHOLE] + [f'bytes={FULL}- of "v1"'] * 3


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, Reason.ORIGIN_AUTH),
        (403, Reason.ORIGIN_AUTH),
        (404, Reason.ORIGIN_NOT_FOUND),
        (410, Reason.ORIGIN_NOT_FOUND),
        (400, Reason.ORIGIN_STATUS),
    ],
)
async def test_an_origin_that_refuses_to_go_on_is_taken_at_its_word(
    tmp_path: Path, status: int, reason: Reason
) -> None:
    async with running(tmp_path, Reply(FULL + 5), Reply(instead=answer(status))) as world:
        task = await world.fetched()
        assert task.reason is reason
        assert task.detail.endswith("(tried 2 times)")
        assert len(world.origin.wanted) == 2


async def test_what_has_come_is_handed_out_while_it_is_tried_again(tmp_path: Path) -> None:
    asked = trio.Event()
    async with running(tmp_path, Reply(2 * FULL + 5), Reply(after=asked)) as world:
        task = world.ask()
        await world.until(task, lambda task: len(task.digests) == 2)
        while len(world.origin.wanted) < 2:
            await trio.lowlevel.checkpoint()
        pulled = world.node.dispatch(Pull(task=task, client=ClientId("c"), count=9))
        assert len(pulled.assignments) == 2
        assert world.task(task).status is CdnStatus.RUNNING
        asked.set()
        assert world.has(await world.end_of(task), CONTENT)


async def test_a_task_removed_in_the_pause_is_not_fetched_further(tmp_path: Path) -> None:
    never = RetryPolicy(first_pause=3600, longest_pause=3600)
    async with running(tmp_path, Reply(FULL + 5), retries=never) as world:
        task = world.ask()
        await world.until(task, lambda task: bool(task.digests))
        world.node.dispatch(RemoveTask(task=task, reason=Reason.TASK_DELETED))
        assert world.has(await world.fetched(), CONTENT)
        assert world.origin.wanted == [WHOLE, WHOLE]


async def test_a_length_that_was_not_told_at_first_may_be_learned(tmp_path: Path) -> None:
    asked = trio.Event()
    replies = Reply(FULL + 5, chunked=True), Reply(2 * FULL + 5), Reply(after=asked)
    async with running(tmp_path, *replies) as world:
        task = world.ask()
        await world.until(task, lambda task: len(task.digests) == 2)
        assert world.task(task).length == LENGTH
        asked.set()
        assert world.has(await world.end_of(task), CONTENT)
        assert world.origin.sent == LENGTH + 5 + 5


# it begins anew


AGAIN = "breaks off, and {}"


@it(AGAIN, Recovery.ANEW, case="does not say for certain which version it sends")
@pytest.mark.parametrize("etag", ['W/"v1"', "v1"])
async def test_without_a_strong_validator_it_begins_anew(
    tmp_path: Path, seen: Seen, etag: str
) -> None:
    async with running(tmp_path, Reply(2 * FULL, etag=etag), last=Reply(etag=etag)) as world:
        assert world.has(await world.fetched(), CONTENT)
        assert world.origin.wanted == [WHOLE, WHOLE]
        seen(recovery(world))


@it(AGAIN, Recovery.ANEW, case="ignores ranges")
async def test_an_origin_may_ignore_ranges(tmp_path: Path, seen: Seen) -> None:
    async with running(tmp_path, Reply(2 * FULL + 5), Reply(heeds_range=False)) as world:
        assert world.has(await world.fetched(), CONTENT)
        assert world.origin.sent == 2 * FULL + 5 + LENGTH
        seen(recovery(world))


async def test_to_begin_anew_may_be_resumed_as_well(tmp_path: Path) -> None:
    again = Reply(FULL + 5, etag='"v2"')
    async with running(tmp_path, Reply(2 * FULL + 5), again, last=Reply(etag='"v2"')) as world:
        assert world.has(await world.fetched(), CONTENT)
        assert world.origin.wanted == [
            WHOLE,
            f'bytes={2 * FULL}- of "v1"',
            f'bytes={FULL}- of "v2"',
        ]


async def test_an_origin_that_says_there_is_no_more_is_asked_for_all(tmp_path: Path) -> None:
    """It had sent everything, but broke off before it said so."""
    content = CONTENT[: 2 * FULL]
    cut = Reply(2 * FULL, content, chunked=True)
    none = Reply(instead=answer(416, Content_Range=f"bytes */{2 * FULL}"))
    async with running(tmp_path, cut, none, last=Reply(content=content)) as world:
        assert world.has(await world.fetched(), content)
        assert world.origin.wanted == [WHOLE, f'bytes={2 * FULL}- of "v1"', WHOLE]


@pytest.mark.parametrize(
    "content_range", [f"bytes {FULL + 1}-{LENGTH - 1}/{LENGTH}", f"bytes {FULL}-{LENGTH - 1}/*", ""]
)
@it(AGAIN, Recovery.ANEW, case="goes on elsewhere")
async def test_what_does_not_go_on_exactly_there_is_not_taken(
    tmp_path: Path, seen: Seen, content_range: str
) -> None:
    wrong = Reply(instead=answer(206, CONTENT[FULL + 1 :], Content_Range=content_range))
    async with running(tmp_path, Reply(FULL + 5), wrong) as world:
        assert world.has(await world.fetched(), CONTENT)
        assert world.origin.wanted[2:] == [WHOLE]
        seen(recovery(world))


async def test_a_part_of_a_file_is_asked_for_as_its_client_did(tmp_path: Path) -> None:
    wanted = f"bytes=100-{LENGTH - 1}"
    async with running(tmp_path, Reply(2 * FULL + 200)) as world:
        assert world.has(await world.fetched(Range=wanted), CONTENT[100:])
        assert world.origin.wanted == [f"{wanted} of any"] * 2


# the file has changed


@pytest.mark.parametrize(
    "changed",
    [
        Reply(content=other(5), etag='"v2"'),
        Reply(content=other(2 * FULL - 8), etag='"v2"'),
        Reply(content=CONTENT[:-1], etag='"v2"'),
        Reply(content=CONTENT + b"x", etag='"v2"'),
        Reply(content=other(5), etag='"v2"', chunked=True),
        Reply(content=CONTENT[:FULL], etag='"v2"', chunked=True),
    ],
    ids=["early", "late", "shorter", "longer", "no length", "much shorter, no length"],
)
@fault(
    Group.ORIGIN,
    "breaks off, and has another file then",
    Fails(CdnStatus.SOURCE_ERROR, Reason.ORIGIN_CHANGED, asked=1),
)
async def test_pieces_of_two_files_are_not_mixed(
    tmp_path: Path, seen: Seen, changed: Reply
) -> None:
    """What was handed out was of the old file, so its clients are told, and may ask again."""
    async with running(tmp_path, Reply(2 * FULL + 5), last=changed) as world:
        task = await world.fetched()
        assert task.reason is not None
        since_then = world.origin.wanted[1:]
        seen(Fails(task.status, task.reason, asked=len(since_then)))
        assert "(tried 2 times)" in task.detail
        assert world.store.find(task.id) is None
        with pytest.raises(TaskEnded, match="the origin's file changed"):
            world.node.dispatch(Pull(task=task.id, client=ClientId("c"), count=1))
        assert world.has(await world.fetched(), changed.content), "at once, and from the beginning"


@pytest.mark.parametrize("chunked", [True, False], ids=["never a length", "a length later"])
@pytest.mark.parametrize("length", [FULL, FULL + 9])
async def test_a_file_without_a_length_may_not_become_shorter(
    tmp_path: Path, length: int, chunked: bool
) -> None:
    cut = Reply(2 * FULL + 5, chunked=True)
    changed = Reply(content=CONTENT[:length], etag='"v2"', chunked=chunked)
    async with running(tmp_path, cut, last=changed) as world:
        task = await world.fetched()
        assert task.reason is Reason.ORIGIN_CHANGED
        assert task.length is None, "nobody was told that there are fewer pieces than it had"
        assert world.has(await world.fetched(), changed.content)


async def test_a_file_that_changed_after_what_has_come_is_the_new_one(tmp_path: Path) -> None:
    changed = other(3 * FULL)
    async with running(
        tmp_path, Reply(2 * FULL + 5), last=Reply(content=changed, etag='"v2"')
    ) as world:
        assert world.has(await world.fetched(), changed)


@it(AGAIN, Recovery.ANEW, case="goes on with another version")
async def test_an_origin_that_does_not_compare_versions_is_found_out(
    tmp_path: Path, seen: Seen
) -> None:
    """It sends the rest of the new file as if it were the rest of the old one."""
    changed = Reply(content=other(2 * FULL + 9), etag='"v2"', heeds_if_range=False)
    async with running(tmp_path, Reply(2 * FULL + 5), last=changed) as world:
        assert world.has(await world.fetched(), changed.content)
        assert world.origin.wanted == [WHOLE, f'bytes={2 * FULL}- of "v1"', WHOLE]
        seen(recovery(world))
