"""The CDN with a real piece store and a scripted origin: what is fetched, kept, offered, told."""

import errno
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from supernode.core.commands import (
    PauseTask,
    Pull,
    Pulled,
    PullStatus,
    RegisterTask,
    RemoveTask,
)
from supernode.core.errors import NotFound, TaskEnded
from supernode.core.identity import ClientId, TaskId, task_url
from supernode.core.model import CdnStatus, Limits, Secrets, Task, TaskSpec
from supernode.core.pieces import (
    MIB,
    TRAILER,
    content_size,
    digest_of,
    frame_header,
    framed_length,
)
from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError
from supernode.origin.resumption import Resumption
from supernode.origin.trust import USUAL, Trust
from supernode.services.cdn import Cdn
from supernode.services.fetching import WholeFile
from supernode.storage.errors import StoreError
from supernode.storage.piece_files import PieceFile, PieceStore
from tests.faults import Fails, GoesOn, Group, Seen, fault
from tests.inprocess import InProcess

SIZE = 4 * MIB
FULL = content_size(SIZE)
URL = "http://origin/file"
CHUNK = 256 * 1024
MOST_FETCHES = 6
MOST_PER_ORIGIN = 4

Step = bytes | Exception | trio.Event
"""What comes next: content, an error, or nothing until the event is set."""


@dataclass
class File:
    """A file of the scripted origin.

    Args:
        steps: how it comes.
        length: what the origin says; None: nothing.
        refusal: raised instead of an answer.
    """

    steps: Sequence[Step] = ()
    length: int | None = None
    etag: str = '"e"'
    last_modified: str = "Tue, 02 Jan 2024 03:04:05 GMT"
    validator: str = ""
    first: int = 0
    refusal: Exception | None = None
    taken: int = 0
    """Steps that have been asked for."""
    left: trio.Event = field(default_factory=trio.Event)
    """Set when the client has gone."""

    def chunks(self) -> AsyncIterator[bytes]:
        """As the real one, no generator: nobody has to close it."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while self.taken < len(self.steps):
            step = self.steps[self.taken]
            self.taken += 1
            match step:
                case bytes():
                    return step
                case trio.Event():
                    await step.wait()
                case Exception():
                    raise step
        raise StopAsyncIteration


@dataclass
class Origin:
    """Has the interface of :class:`OriginClient`."""

    files: dict[str, File] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    trust: Trust = USUAL

    @asynccontextmanager
    async def open(
        self, url: str, headers: Mapping[str, str], *, trust: Trust, resume: Resumption | None
    ) -> AsyncIterator[File]:
        assert resume is None, "see test_resumption"
        self.trust = trust
        self.asked.append((url, dict(headers)))
        file = self.files[url]
        if file.refusal is not None:
            raise file.refusal
        try:
            yield file
        finally:
            file.left.set()


def whole(content: bytes, *, known: bool = True, chunk: int = CHUNK) -> File:
    """Return a file that comes without trouble."""
    steps = [content[start : start + chunk] for start in range(0, len(content), chunk)]
    return File(steps, len(content) if known else None)


def pattern(length: int) -> bytes:
    """Return content in which every piece is different."""
    return (hashlib.sha256(b"supernode").digest() * (length // 32 + 1))[:length]


def framed(content: bytes) -> list[bytes]:
    """Return the pieces that a file must become."""
    parts = [content[start : start + FULL] for start in range(0, len(content), FULL)] or [b""]
    return [frame_header(len(part), SIZE) + part + TRAILER for part in parts]


class World:
    """A supernode whose CDN is the real one; make one inside ``trio.run``."""

    def __init__(self, state: Path) -> None:
        self.node = InProcess(Limits(failed_origin_pause=0))
        self.store = PieceStore(state / "repo")
        self.origin = Origin()
        origin: Any = self.origin
        self.cdn = Cdn(
            self.node.dispatch,
            self.store,
            origin,
            most_fetches=MOST_FETCHES,
            most_per_origin=MOST_PER_ORIGIN,
        )

    def ask(self, url: str = URL, client: str = "c", **spec: Any) -> TaskId:  # noqa: ANN401
        """Let a client ask for a file."""
        known = TaskSpec(raw_url=url, task_url=task_url(url, ()), **spec)
        return self.node.dispatch(
            RegisterTask(spec=known, client=ClientId(client), peer=None, path="")
        )

    def task(self, task: TaskId) -> Task:
        return self.node.tracker.task(task)

    def pull(self, task: TaskId, client: str = "c", count: int = 99) -> Pulled:
        return self.node.dispatch(Pull(task=task, client=ClientId(client), count=count))

    async def until(self, task: TaskId, holds: Callable[[Task], bool]) -> Task:
        """Wait until the task is as the test wants it."""
        while not holds(self.task(task)):
            await self.node.feed.wait(task, trio.current_time() + 10)
        return self.task(task)

    async def end_of(self, task: TaskId) -> Task:
        ended = (CdnStatus.SUCCESS, CdnStatus.FAILED, CdnStatus.SOURCE_ERROR)
        return await self.until(task, lambda task: task.status in ended)

    async def fetched(self, file: File, **spec: Any) -> Task:  # noqa: ANN401
        """Run the service for one file; return its task at the end."""
        self.origin.files[URL] = file
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                await nursery.start(self.cdn.run)
                ended = await self.end_of(self.ask(**spec))
                await wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        return ended

    def on_disk(self, task: TaskId) -> bytes:
        file = self.store.find(task)
        assert file is not None
        return file.path.read_bytes()


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return World(tmp_path)


# what becomes of a file

LENGTHS = [0, 1, FULL - 1, FULL, FULL + 1, SIZE, 2 * FULL, 2 * FULL + 12345]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("length", LENGTHS)
async def test_a_file_becomes_pieces(world: World, length: int, known: bool) -> None:
    content = pattern(length)
    task = await world.fetched(whole(content, known=known))
    assert (task.status, task.reason, task.detail) == (CdnStatus.SUCCESS, None, "")
    pieces = framed(content)
    assert task.digests == {number: digest_of(piece) for number, piece in enumerate(pieces)}
    assert world.on_disk(task.id) == b"".join(pieces)
    assert (task.length, task.piece_size, task.piece_total) == (length, SIZE, len(pieces))
    assert task.md5 == hashlib.md5(content).hexdigest()
    assert task.sha256 == hashlib.sha256(content).hexdigest()
    file = world.store.find(task.id)
    assert file is not None
    assert file.is_complete
    assert file.framed_length == framed_length(length, SIZE)
    assert file.path.with_name(task.id + ".meta").exists()
    assert file.path.with_name(task.id + ".md5").exists()


@pytest.mark.parametrize("chunk", [FULL - 1, FULL, FULL + 1, 2 * FULL + 7, 9 * MIB, 65_537])
async def test_however_the_content_is_cut_on_its_way(world: World, chunk: int) -> None:
    content = pattern(2 * FULL + 1000)
    task = await world.fetched(whole(content, chunk=chunk))
    assert world.on_disk(task.id) == b"".join(framed(content))


async def test_the_origin_is_asked_for_the_raw_url_with_the_clients_headers(world: World) -> None:
    headers = {"Authorization": "Bearer x", "Range": "bytes=0-4"}
    await world.fetched(whole(b"hello"), headers=Secrets(headers))
    assert world.origin.asked == [(URL, headers)]


async def test_the_origin_is_trusted_as_the_task_says(world: World) -> None:
    await world.fetched(whole(b"hello"), insecure=True, root_cas=("PEM",))
    assert world.origin.trust == Trust(insecure=True, root_cas=("PEM",))


@pytest.mark.parametrize(
    "last_modified",
    [
        "",
        "yesterday",
        "Tue, 02 Jan 99999999999 03:04:05 GMT",
        "Tue, 02 Jan 2024 03:04:05 +99999999999999",
        "Sat, 01 Jan 0001 00:00:00 +2359",
        "Tue, 02 Jan 2024 03:04:05",
    ],
)
async def test_an_origin_may_say_any_time(world: World, last_modified: str) -> None:
    file = whole(b"hello")
    file.last_modified = last_modified
    task = await world.fetched(file)
    assert task.status is CdnStatus.SUCCESS
    assert world.on_disk(task.id) == framed(b"hello")[0]


# once


async def test_the_origin_is_asked_once_however_many_ask_us(world: World) -> None:
    gate = trio.Event()
    world.origin.files[URL] = File([b"first", gate, b"then"], 9)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            tasks = {world.ask(client=f"early{n}") for n in range(20)}
            await nursery.start(world.cdn.run)
            (task,) = tasks
            await world.until(task, lambda task: task.status is CdnStatus.RUNNING)
            tasks |= {world.ask(client=f"late{n}") for n in range(20)}
            gate.set()
            await world.end_of(task)
            tasks |= {world.ask(client=f"afterwards{n}") for n in range(20)}
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert len(tasks) == 1
    assert len(world.origin.asked) == 1
    assert len(world.task(task).downloads) == 60


async def test_so_many_files_at_a_time_in_the_order_they_were_asked_for(world: World) -> None:
    gate = trio.Event()
    urls = [f"http://origin-{n}/" for n in range(MOST_FETCHES + 3)]
    world.origin.files = {url: File([gate, url.encode()]) for url in urls}
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            tasks = [world.ask(url) for url in urls]
            await nursery.start(world.cdn.run)
            await wait_all_tasks_blocked()
            assert [url for url, _ in world.origin.asked] == urls[:MOST_FETCHES]
            assert world.task(tasks[-1]).status is CdnStatus.WAITING
            gate.set()
            for task in tasks:
                assert (await world.end_of(task)).status is CdnStatus.SUCCESS
            nursery.cancel_scope.cancel()
    assert [url for url, _ in world.origin.asked] == urls


async def test_a_slow_origin_holds_up_no_other(world: World) -> None:
    gate = trio.Event()
    slow = [f"http://slow/{n}" for n in range(MOST_PER_ORIGIN + 3)]
    world.origin.files = {url: File([gate, b"x"]) for url in slow}
    world.origin.files["http://Other:80/"] = whole(b"hello")
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            tasks = [world.ask(url) for url in slow]
            other = world.ask("http://Other:80/")
            await nursery.start(world.cdn.run)
            assert (await world.end_of(other)).status is CdnStatus.SUCCESS
            assert len(world.origin.asked) == MOST_PER_ORIGIN + 1
            gate.set()
            for task in tasks:
                assert (await world.end_of(task)).status is CdnStatus.SUCCESS
            nursery.cancel_scope.cancel()


# while it comes


async def test_a_piece_is_offered_while_the_rest_still_comes(world: World) -> None:
    content = pattern(3 * FULL)
    gates = [trio.Event(), trio.Event()]
    world.origin.files[URL] = File(
        [content[:FULL], gates[0], content[FULL : 2 * FULL + 5], gates[1], content[2 * FULL + 5 :]],
        len(content),
    )
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.cdn.run)
            task = world.ask()
            for number in range(2):
                await world.until(task, lambda task, n=number: len(task.digests) > n)  # type: ignore[misc]
                (offered,) = world.pull(task, count=90 + number).assignments
                assert offered.piece_range.startswith(f"{number * SIZE}-")
                file = world.store.find(task)
                assert file is not None
                assert file.covers(number * SIZE, (number + 1) * SIZE)
                assert not file.covers(number * SIZE, (number + 1) * SIZE + 1)
                assert world.task(task).status is CdnStatus.RUNNING
                gates[number].set()
            await world.end_of(task)
            nursery.cancel_scope.cancel()


async def test_the_length_is_known_before_the_first_byte(world: World) -> None:
    gate = trio.Event()
    world.origin.files[URL] = File([gate], 300 * MIB)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.cdn.run)
            task = world.ask()
            sized = await world.until(task, lambda task: task.piece_size is not None)
            assert (sized.length, sized.piece_size) == (300 * MIB, 5 * MIB)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("stage", ["write", "digest"])
async def test_whatever_is_slow_slows_the_origin(
    world: World, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """While a piece cannot be written, or not be digested, at most four are in memory."""
    busy, in_thread = trio.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()
    write, digest = PieceFile.write, WholeFile.update

    def blocked() -> None:
        token.run_sync_soon(busy.set)
        assert in_thread.wait(20)

    async def slow_write(file: PieceFile, number: int, parts: Sequence[bytes]) -> str:
        await trio.to_thread.run_sync(blocked)
        return await write(file, number, parts)

    def slow_digest(whole: WholeFile, piece: memoryview) -> None:
        blocked()
        digest(whole, piece)

    monkeypatch.setattr(PieceFile, "write", slow_write if stage == "write" else write)
    monkeypatch.setattr(WholeFile, "update", slow_digest if stage == "digest" else digest)
    file = world.origin.files[URL] = File([bytes(MIB)] * 40, 40 * MIB)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            task = world.ask()
            await nursery.start(world.cdn.run)
            try:
                await busy.wait()
                await wait_all_tasks_blocked(0.1)
                assert file.taken * MIB <= 4 * SIZE
            finally:
                in_thread.set()
            ended = await world.end_of(task)
            nursery.cancel_scope.cancel()
    assert ended.status is CdnStatus.SUCCESS
    assert file.taken == 40


# what goes wrong


@pytest.mark.parametrize("md5", ["0" * 32, "nonsense"])
async def test_a_file_with_another_digest_than_asked_for_fails(world: World, md5: str) -> None:
    world.origin.files[URL] = whole(b"hello")
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            tasks = {world.ask(md5=md5, client=client) for client in ("a", "b")}
            (task,) = tasks
            await nursery.start(world.cdn.run)
            ended = await world.end_of(task)
            await wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
    assert (ended.status, ended.reason) == (CdnStatus.FAILED, Reason.DIGEST_MISMATCH)
    assert hashlib.md5(b"hello").hexdigest() in ended.detail
    assert world.store.find(task) is None
    for client in ("a", "b"):
        with pytest.raises(TaskEnded) as told:
            world.pull(task, client)
        assert told.value.reason is Reason.DIGEST_MISMATCH


async def test_a_digest_may_be_asked_for_in_capitals(world: World) -> None:
    md5 = hashlib.md5(b"hello").hexdigest().upper()
    assert (await world.fetched(whole(b"hello"), md5=f" {md5} ")).status is CdnStatus.SUCCESS


STALLED = OriginError(Reason.ORIGIN_STALLED, "5 of 9 bytes, then nothing")
REFUSED = OriginError(Reason.ORIGIN_REFUSED, "origin port 80")
FORBIDDEN = OriginError(Reason.URL_FORBIDDEN, "origin is at 127.0.0.1")


@pytest.mark.parametrize(
    ("file", "error", "status"),
    [
        (File(refusal=REFUSED), REFUSED, CdnStatus.SOURCE_ERROR),
        (File(refusal=FORBIDDEN), FORBIDDEN, CdnStatus.FAILED),
        (File([STALLED], 9), STALLED, CdnStatus.SOURCE_ERROR),
        (File([b"first", STALLED], 9), STALLED, CdnStatus.SOURCE_ERROR),
        (File([bytes(FULL), b"x", STALLED]), STALLED, CdnStatus.SOURCE_ERROR),
        (File([bytes(3 * FULL), STALLED]), STALLED, CdnStatus.SOURCE_ERROR),
    ],
)
async def test_an_origin_that_fails_ends_the_task_with_its_reason(
    world: World, file: File, error: OriginError, status: CdnStatus
) -> None:
    task = await world.fetched(file)
    assert (task.status, task.reason, task.detail) == (status, error.reason, error.detail)
    assert world.store.find(task.id) is None
    assert not list((world.store._root).rglob("*" + task.id))


async def test_a_failed_task_can_be_asked_for_again(world: World) -> None:
    assert (await world.fetched(File(refusal=REFUSED))).status is CdnStatus.SOURCE_ERROR
    task = await world.fetched(whole(b"hello"))
    assert task.status is CdnStatus.SUCCESS
    assert world.on_disk(task.id) == framed(b"hello")[0]
    assert len(world.pull(task.id).assignments) == 1
    assert len(world.origin.asked) == 2


async def test_one_failure_leaves_other_files_alone(world: World) -> None:
    gate = trio.Event()
    world.origin.files = {
        "http://o/good": File([b"good", gate], 4),
        "http://o/bad": File([b"b", STALLED]),
    }
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.cdn.run)
            good, bad = (world.ask(url) for url in world.origin.files)
            assert (await world.end_of(bad)).status is CdnStatus.SOURCE_ERROR
            gate.set()
            assert (await world.end_of(good)).status is CdnStatus.SUCCESS
            nursery.cancel_scope.cancel()


def disk(what: str, reason: Reason, *, case: str = "") -> pytest.MarkDecorator:
    """Say what the disk does, and that the task fails by it."""
    return fault(Group.DISK, what, Fails(CdnStatus.FAILED, reason, asked=1), case=case)


def failed(world: World, task: Task) -> Fails:
    """Return how a task has failed; nothing of its file is left."""
    assert world.store.find(task.id) is None
    assert not list(world.store._root.rglob("*" + task.id))
    assert task.reason is not None
    return Fails(task.status, task.reason, asked=len(world.origin.asked))


TO_WRITE = "{} when a piece is to be written, or a file made for it"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(
            errno.ENOSPC, marks=disk(TO_WRITE, Reason.DISK_FULL, case="the disk fills up")
        ),
        pytest.param(
            errno.EDQUOT, marks=disk(TO_WRITE, Reason.DISK_FULL, case="the quota is used up")
        ),
        pytest.param(errno.EIO, marks=disk(TO_WRITE, Reason.DISK_ERROR, case="the disk fails")),
        pytest.param(
            errno.EROFS,
            marks=disk(TO_WRITE, Reason.DISK_ERROR, case="the file system is read-only"),
        ),
    ],
)
async def test_a_disk_that_does_not_take_a_piece_fails_the_task(
    world: World, monkeypatch: pytest.MonkeyPatch, seen: Seen, error: int
) -> None:
    pwritev = os.pwritev

    def fails(fd: int, buffers: Sequence[Any], offset: int) -> int:
        if offset >= SIZE:
            raise OSError(error, os.strerror(error))
        return pwritev(fd, buffers, offset)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", fails)
        task = await world.fetched(whole(pattern(3 * FULL)))
    seen(failed(world, task))
    assert os.strerror(error) in task.detail
    assert (await world.fetched(whole(pattern(3 * FULL)))).status is CdnStatus.SUCCESS


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(
            errno.ENOSPC,
            marks=disk(TO_WRITE, Reason.DISK_FULL, case="the disk fills up"),
        ),
        pytest.param(
            errno.EROFS,
            marks=disk(TO_WRITE, Reason.DISK_ERROR, case="the file system is read-only"),
        ),
    ],
)
async def test_a_disk_that_takes_no_file_fails_the_task(
    world: World, monkeypatch: pytest.MonkeyPatch, seen: Seen, error: int
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", fails)
        seen(failed(world, await world.fetched(whole(b"hello"))))
    assert (await world.fetched(whole(b"hello"))).status is CdnStatus.SUCCESS


async def test_a_file_in_the_place_of_the_directory_fails_the_task(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "repo").write_text("a file where the directory should be")
    task = await world.fetched(whole(b"hello"))
    assert (task.status, task.reason) == (CdnStatus.FAILED, Reason.DISK_ERROR)


@fault(
    Group.DISK,
    "`.meta` or `.md5` of a complete file cannot be written",
    GoesOn(says="a complete file has no sidecars", does="the file is served all the same"),
)
async def test_a_file_is_complete_without_its_sidecars(
    world: World, monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    async def failing(*_: object) -> None:
        raise StoreError(Reason.DISK_FULL, "no room for notes")

    monkeypatch.setattr(PieceFile, "complete", failing)
    with capture_logs() as logs:
        task = await world.fetched(whole(b"hello"))
    assert task.status is CdnStatus.SUCCESS
    assert world.on_disk(task.id) == framed(b"hello")[0]
    (entry,) = logs
    assert entry["log_level"] == "warning"
    assert len(world.pull(task.id).assignments) == 1
    seen(GoesOn(says=entry["event"]))


async def test_a_defect_fails_its_task_and_no_other(world: World) -> None:
    world.origin.files["http://o/odd"] = File([b"x", ZeroDivisionError("s3cr3t")], 9)
    world.origin.files[URL] = whole(b"hello")
    with capture_logs() as logs, trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.cdn.run)
            odd = await world.end_of(world.ask("http://o/odd"))
            good = await world.end_of(world.ask())
            nursery.cancel_scope.cancel()
    assert (odd.status, odd.reason) == (CdnStatus.FAILED, Reason.INTERNAL)
    assert "s3cr3t" not in odd.detail
    assert any(entry.get("exc_info") for entry in logs)
    assert good.status is CdnStatus.SUCCESS


async def test_an_origin_that_sends_more_than_it_said_does_no_harm(world: World) -> None:
    """The real client ends such a body; should it not, the task fails and nothing else."""
    task = await world.fetched(File([b"hello", bytes(FULL)], 5))
    assert task.status in (CdnStatus.FAILED, CdnStatus.SOURCE_ERROR)
    assert world.store.find(task.id) is None


# ends and beginnings of the service


async def test_a_restart_fails_what_was_interrupted_and_fetches_what_waits(world: World) -> None:
    world.origin.files = {URL: File([bytes(FULL), trio.Event()], 2 * FULL)}
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.cdn.run)
            interrupted = world.ask()
            await world.until(interrupted, lambda task: bool(task.digests))
            nursery.cancel_scope.cancel()
        world.origin.files["http://o/waiting"] = whole(b"hello")
        waiting = world.ask("http://o/waiting")
        async with trio.open_nursery() as nursery:
            await nursery.start(world.cdn.run)
            task = world.task(interrupted)
            assert (task.status, task.reason) == (CdnStatus.FAILED, Reason.INTERNAL)
            assert (await world.end_of(waiting)).status is CdnStatus.SUCCESS
            world.origin.files[URL] = whole(b"hello")
            again = await world.end_of(world.ask())
            nursery.cancel_scope.cancel()
    assert again.status is CdnStatus.SUCCESS
    assert world.on_disk(again.id) == framed(b"hello")[0]


async def test_a_restart_leaves_alone_what_was_finished(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it was interrupted right after that, while the sidecars were being written."""

    async def stuck(*_: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(PieceFile, "complete", stuck)
    world.origin.files[URL] = whole(b"hello")
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.cdn.run)
            task = (await world.end_of(world.ask())).id
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            await nursery.start(world.cdn.run)
            nursery.cancel_scope.cancel()
    assert world.task(task).status is CdnStatus.SUCCESS
    assert world.on_disk(task) == framed(b"hello")[0]


async def test_a_task_may_be_removed_in_the_moment_its_fetch_begins(world: World) -> None:
    world.origin.files = {"http://o/gone": whole(b"x"), URL: whole(b"hello")}
    with capture_logs() as logs, trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.cdn.run)
            for _ in range(20):
                gone = world.ask("http://o/gone")
                while world.task(gone).status is CdnStatus.WAITING:
                    await trio.lowlevel.checkpoint()
                world.node.dispatch(RemoveTask(task=gone, reason=Reason.TASK_DELETED))
            assert (await world.end_of(world.ask())).status is CdnStatus.SUCCESS
            nursery.cancel_scope.cancel()
    assert not [entry for entry in logs if entry.get("exc_info")]


async def test_a_fetch_that_crashes_after_the_file_came_takes_nobody_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(PieceFile, "complete", crash)
    with capture_logs() as logs:
        task = await world.fetched(whole(b"hello"))
    assert task.status is CdnStatus.SUCCESS
    assert world.on_disk(task.id) == framed(b"hello")[0]
    assert any(entry.get("exc_info") for entry in logs)


@disk("the file is larger than the whole disk", Reason.DISK_FULL)
async def test_a_file_that_no_disk_can_hold_fails_at_once(world: World, seen: Seen) -> None:
    task = await world.fetched(File([b"x", trio.Event()], 1 << 60))
    seen(failed(world, task))
    assert "the whole disk" in task.detail


async def test_a_restart_serves_nothing_of_what_was_interrupted(world: World) -> None:
    world.origin.files[URL] = File([bytes(FULL), trio.Event()], 2 * FULL)
    with trio.fail_after(20):
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                await nursery.start(world.cdn.run)
                if world.node.tracker.next_to_fetch() is None and not world.origin.asked:
                    task = world.ask()
                    await world.until(task, lambda task: bool(task.digests))
                    assert world.store.find(task) is not None
                nursery.cancel_scope.cancel()
    assert world.store.find(task) is None
    assert not list(world.store._root.rglob("*" + task))


async def test_a_removed_task_is_fetched_no_longer_and_may_be_asked_for_at_once(
    world: World,
) -> None:
    endless = world.origin.files[URL] = File([bytes(FULL), trio.Event()], 2 * FULL)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.cdn.run)
            task = world.ask()
            await world.until(task, lambda task: bool(task.digests))
            world.node.dispatch(RemoveTask(task=task, reason=Reason.TASK_DELETED))
            world.origin.files[URL] = whole(b"hello")
            world.ask()
            assert (await world.end_of(task)).status is CdnStatus.SUCCESS
            await endless.left.wait()
            nursery.cancel_scope.cancel()
    assert world.on_disk(task) == framed(b"hello")[0]


async def test_a_fetch_that_nobody_waits_for_ends_after_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supernode.services.cdn.LOOK_AGAIN_SECONDS", 0.01)
    endless = world.origin.files[URL] = File([b"x", trio.Event()])
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.cdn.run)
            task = world.ask()
            finished = Pull(task=task, client=ClientId("c"), status=PullStatus.FINISHED)
            await world.until(task, lambda task: task.piece_size is not None)
            world.node.dispatch(finished)
            monkeypatch.setattr("supernode.services.cdn.UNWANTED_SECONDS", 0.05)
            await endless.left.wait()
            nursery.cancel_scope.cancel()
    with pytest.raises(NotFound) as gone:
        world.task(task)
    assert gone.value.reason is Reason.TASK_UNWANTED


async def test_a_paused_task_is_fetched_when_it_is_resumed(world: World) -> None:
    world.origin.files[URL] = whole(b"hello")
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            task = world.ask()
            world.node.dispatch(PauseTask(task=task, paused=True))
            await nursery.start(world.cdn.run)
            await wait_all_tasks_blocked()
            assert not world.origin.asked
            world.node.dispatch(PauseTask(task=task, paused=False))
            assert (await world.end_of(task)).status is CdnStatus.SUCCESS
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("steps", [0, 1, 3, 7])
async def test_cancelled_at_any_moment_it_leaves_a_state_that_agrees_with_itself(
    world: World, steps: int
) -> None:
    content = pattern(2 * FULL)
    file = world.origin.files[URL] = whole(content)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.cdn.run)
            task = world.ask()
            while file.taken < steps:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        world.node.tracker.check()
        kept = world.store.find(task)
        digests = world.task(task).digests
        assert {number for number in range(3) if kept and kept.sealed >> number & 1} == set(digests)
        world.origin.files[URL] = whole(content)
        async with trio.open_nursery() as nursery:
            await nursery.start(world.cdn.run)
            world.ask()
            assert (await world.end_of(task)).status is CdnStatus.SUCCESS
            nursery.cancel_scope.cancel()


async def test_nobody_waits_longer_than_the_fetch(world: World) -> None:
    """A pull that waits hears of every end, whichever it is."""
    outcomes: list[object] = []

    async def wait(task: TaskId, client: str) -> None:
        try:
            await world.until(task, partial(lambda c, t: world.pull(t.id, c).ended, client))
        except TaskEnded as ended:
            outcomes.append(ended.reason)

    gate = trio.Event()
    world.origin.files[URL] = File([b"x", gate, STALLED])
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.cdn.run)
            async with trio.open_nursery() as waiters:
                for n in range(50):
                    waiters.start_soon(wait, world.ask(client=f"c{n}"), f"c{n}")
                await wait_all_tasks_blocked()
                gate.set()
            nursery.cancel_scope.cancel()
    assert outcomes == [Reason.ORIGIN_STALLED] * 50
