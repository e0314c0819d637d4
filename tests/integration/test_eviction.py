"""Eviction: who must go when the disk fills, who must not, and that the bytes really leave."""

import errno
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from supernode.clock import Clock
from supernode.core.commands import (
    CachePiece,
    FinishFetch,
    Pull,
    PullStatus,
    RegisterTask,
    RemoveTask,
    SizeTask,
    StartFetch,
)
from supernode.core.errors import NotFound
from supernode.core.events import Event
from supernode.core.identity import ClientId, TaskId
from supernode.core.model import Limits, TaskSpec
from supernode.core.pieces import MIB, framed_length
from supernode.core.reasons import Reason
from supernode.core.tracker import Tracker
from supernode.daemon_events import DiskCleared, DiskFilled
from supernode.dispatch import Dispatcher
from supernode.feed import REMOVED, Feed
from supernode.services import eviction
from supernode.services.eviction import Eviction
from supernode.storage import disk_space
from supernode.storage.disk_space import WaterMark
from supernode.storage.piece_files import PieceFile, PieceStore
from tests.faults import GoesOn, Group, Seen, fault
from tests.waiting import eventually

SIZE = 4 * MIB
FRAMED = 1005
"""Framed bytes of every cached file here."""
PLENTY = WaterMark(size=1 << 60)


def room_for(files: float) -> WaterMark:
    return WaterMark(size=int(files * FRAMED))


class World:
    """A tracker and a store whose files come from nowhere; make one inside ``trio.run``."""

    def __init__(self, state: Path, limits: Limits | None = None) -> None:
        self.tracker = Tracker(limits)
        self.feed = Feed()
        chance = random.Random(0)
        self.dispatch = Dispatcher(self.tracker, self.feed, Clock.started_now(), chance)
        self.store = PieceStore(state)
        self.settled: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint

    @asynccontextmanager
    async def evicting(
        self, high: WaterMark = PLENTY, low: WaterMark | None = None
    ) -> AsyncIterator[None]:
        """Run the service."""
        service = Eviction(self.dispatch, self.store, self.settled, high=high, low=low or high)
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                await nursery.start(service.run)
                yield
                nursery.cancel_scope.cancel()
        self.tracker.check()

    def ask(self, name: str) -> TaskId:
        """Let a client ask for a file."""
        spec = TaskSpec(raw_url=f"http://origin/{name}", task_url=f"http://origin/{name}")
        return self.dispatch(RegisterTask(spec=spec, client=ClientId(name), peer=None, path=""))

    def leave(self, name: str, task: TaskId) -> None:
        """Let the client be done."""
        self.dispatch(Pull(task=task, client=ClientId(name), status=PullStatus.FINISHED))

    async def begin(self, name: str, length: int | None = 1000) -> tuple[TaskId, PieceFile]:
        """Let a file be fetched for a client; nothing of it has come."""
        task = self.ask(name)
        generation = self.dispatch(StartFetch(task=task))
        size = self.dispatch(SizeTask(task=task, generation=generation, length=length))
        file = await self.store.create(task, size)
        if length is not None:
            file.end_known(framed_length(length, size))
        return task, file

    async def fetch(self, name: str) -> TaskId:
        """Let a file be fetched; its client is not done."""
        task, file = await self.begin(name)
        digest = await file.write(0, [bytes(1000)])
        file.seal(0, FRAMED)
        generation = self.tracker.task(task).generation
        self.dispatch(CachePiece(task=task, generation=generation, piece=0, digest=digest))
        self.dispatch(
            FinishFetch(task=task, generation=generation, length=1000, md5="1" * 32, sha256="")
        )
        return task

    async def cache(self, *names: str) -> list[TaskId]:
        """Let files be fetched that nobody uses any more, the last one most recently used."""
        tasks = [await self.fetch(name) for name in names]
        for name, task in zip(names, tasks, strict=True):
            self.leave(name, task)
        return tasks

    async def seen_again(self) -> None:
        """Wait until the service, which discards what has no task first, has done so anew."""
        for _ in range(2):
            file = await self.store.create(TaskId("f" * 64), SIZE)
            await eventually(lambda: file.discarded)  # noqa: B023 - it waits

    def known(self) -> set[TaskId]:
        return {task.id for task in self.tracker.tasks()}

    def kept(self) -> set[TaskId]:
        """Return the tasks that have a file, in the store and on disk alike."""
        assert {file.task for file in self.store.files()} == self.on_disk()
        return self.on_disk()

    def on_disk(self) -> set[TaskId]:
        return {TaskId(path.name) for path in self.store._root.rglob("*") if path.is_file()}


class Rounds:
    """Makes the service look again at once, and counts how often it has looked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.free: int | None = None
        """Bytes of 1 MiB, if the file system is to be one of our own."""
        self._real = disk_space.measure
        monkeypatch.setattr(eviction, "LOOK_AGAIN_SECONDS", 0.001)
        monkeypatch.setattr(eviction, "SETTLE_SECONDS", 0)
        monkeypatch.setattr(disk_space, "measure", self._measure)

    def _measure(self, directory: Path) -> tuple[int, int]:
        self.count += 1
        return self._real(directory) if self.free is None else (MIB, self.free)

    async def some_more(self) -> None:
        """Wait until the service has looked at what is there now, twice."""
        enough = self.count + 3
        await eventually(lambda: self.count >= enough)


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Rounds:
    return Rounds(monkeypatch)


async def test_up_to_the_high_mark_everything_stays(tmp_path: Path, rounds: Rounds) -> None:
    world = World(tmp_path)
    tasks = await world.cache("a", "b", "c")
    async with world.evicting(room_for(3), room_for(1)):
        await rounds.some_more()
        assert world.known() == world.kept() == set(tasks)


async def test_beyond_it_the_least_recently_used_go_until_the_low_mark(
    tmp_path: Path, rounds: Rounds
) -> None:
    world = World(tmp_path)
    tasks = await world.cache("a", "b", "c", "d", "e")
    world.ask("b")  # it is used again, so it is the one used last
    world.leave("b", tasks[1])
    async with world.evicting(room_for(4.5), room_for(2)):
        await rounds.some_more()
        assert world.known() == world.kept() == {tasks[1], tasks[4]}
        with pytest.raises(NotFound) as gone:
            world.tracker.task(tasks[0])
        assert gone.value.reason is Reason.TASK_EVICTED


async def test_a_share_of_the_file_system(
    tmp_path: Path, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that shows late what was freed: not everything goes for that."""
    monkeypatch.setattr(eviction, "SETTLE_SECONDS", 3600)
    world = World(tmp_path)
    tasks = await world.cache("a", "b", "c")
    high, low = WaterMark(share=0.9), WaterMark(share=0.9 - 1.5 * FRAMED / MIB)
    rounds.free = MIB // 10 + 1
    async with world.evicting(high, low):
        await rounds.some_more()
        assert world.kept() == set(tasks)
        rounds.free = MIB // 10 - 1
        await eventually(lambda: tasks[1] not in world.on_disk())
        await world.seen_again()
        assert world.known() == world.kept() == {tasks[2]}


async def test_who_is_in_use_stays(tmp_path: Path, rounds: Rounds) -> None:
    world = World(tmp_path)
    downloading = await world.fetch("downloading")
    fetching, _ = await world.begin("fetching")
    world.leave("fetching", fetching)
    waiting = world.ask("waiting")
    world.leave("waiting", waiting)
    (idle,) = await world.cache("idle")
    async with world.evicting(room_for(0)):
        await eventually(lambda: idle not in world.on_disk())
        await rounds.some_more()
        assert world.known() == {downloading, fetching, waiting}
        assert world.kept() == {downloading, fetching}
        world.leave("downloading", downloading)
        await eventually(lambda: world.on_disk() == {fetching})


async def test_room_is_made_before_it_is_needed(tmp_path: Path, rounds: Rounds) -> None:
    world = World(tmp_path)
    tasks = await world.cache("a", "b", "c")
    async with world.evicting(room_for(5)):
        await rounds.some_more()
        fetching, file = await world.begin("large", length=4 * 1000)
        assert file.expected > 3 * FRAMED
        await eventually(lambda: tasks[1] not in world.on_disk())
        await rounds.some_more()
        assert world.kept() == {tasks[2], fetching}


async def test_what_has_come_is_not_expected_any_more(tmp_path: Path, rounds: Rounds) -> None:
    world = World(tmp_path)
    tasks = await world.cache("a", "b")
    await world.fetch("c")
    async with world.evicting(room_for(3)):
        await rounds.some_more()
        assert world.kept() > set(tasks)


async def test_a_file_of_unknown_length_counts_as_it_comes(tmp_path: Path, rounds: Rounds) -> None:
    world = World(tmp_path)
    (idle,) = await world.cache("idle")
    fetching, file = await world.begin("fetching", length=None)
    async with world.evicting(room_for(2)):
        await rounds.some_more()
        assert idle in world.kept()
        await file.write(0, [bytes(2000)])
        await eventually(lambda: world.on_disk() == {fetching})


@fault(
    Group.DISK,
    "the disk is above `[disk] high`, and all that is cached is in use",
    GoesOn(
        says="the disk is too full, and whatever is left is in use",
        does="nothing is removed until somebody has done with it",
    ),
)
async def test_if_nothing_can_go_it_is_said_once(
    tmp_path: Path, rounds: Rounds, seen: Seen
) -> None:
    world = World(tmp_path)
    task = await world.fetch("a")
    warnings = "the disk is too full, and whatever is left is in use"
    with capture_logs() as logs:
        async with world.evicting(room_for(0.5)):
            await rounds.some_more()
            await rounds.some_more()
            assert world.on_disk()
            assert [line["event"] for line in logs] == [warnings]
            seen(GoesOn(says=logs[0]["event"]))
            world.leave("a", task)
            await eventually(lambda: not world.on_disk())
            await rounds.some_more()
            await world.fetch("b")  # another episode
            await rounds.some_more()
            assert [line["event"] for line in logs].count(warnings) == 2


async def test_the_feed_tells_of_a_disk_that_is_full_and_of_one_that_is_not_any_more(
    tmp_path: Path, rounds: Rounds
) -> None:
    world = World(tmp_path)
    told: list[Event] = []
    world.feed.listen(lambda published: told.append(published.event))

    def about_the_disk() -> list[Event]:
        return [event for event in told if isinstance(event, (DiskFilled, DiskCleared))]

    task = await world.fetch("a")
    async with world.evicting(room_for(0.5)):
        await rounds.some_more()
        await rounds.some_more()
        (filled,) = about_the_disk()
        assert isinstance(filled, DiskFilled)
        assert filled.excess > 0
        world.leave("a", task)
        await eventually(lambda: len(about_the_disk()) == 2)
        assert isinstance(about_the_disk()[1], DiskCleared)


@fault(
    Group.DISK,
    "the file system does not tell how full it is",
    GoesOn(says="it is not known how full the disk is", does="nothing is removed until it does"),
)
async def test_a_disk_that_does_not_tell_is_complained_of_once(
    tmp_path: Path, rounds: Rounds, monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    def fails(_path: object) -> os.statvfs_result:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    world = World(tmp_path)
    tasks = await world.cache("a", "b")
    with capture_logs() as logs, monkeypatch.context() as patched:
        patched.setattr(os, "statvfs", fails)
        async with world.evicting(room_for(1)):
            await rounds.some_more()
            (complaint,) = logs
            seen(GoesOn(says=complaint["event"]))
            assert world.kept() == set(tasks)
            patched.undo()
            await eventually(lambda: len(world.on_disk()) == 1)


@pytest.mark.parametrize(("most", "kept"), [(40, 38), (10, 9), (2, 1)])
async def test_there_is_always_room_for_new_tasks(
    tmp_path: Path, rounds: Rounds, most: int, kept: int
) -> None:
    world = World(tmp_path, Limits(most_tasks=most))
    in_use = await world.fetch("in use")
    tasks = await world.cache(*map(str, range(most - 1)))
    async with world.evicting():
        await eventually(lambda: len(world.on_disk()) == kept)
        await rounds.some_more()
        assert world.known() == world.kept() == {in_use, *tasks[most - kept :]}


async def test_whoever_removes_a_task_its_bytes_leave_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eviction, "LOOK_AGAIN_SECONDS", 3600)  # it is told of it
    world = World(tmp_path)
    kept, removed = await world.cache("kept", "removed")
    running = await world.fetch("running")
    async with world.evicting():
        await eventually(lambda: REMOVED in world.feed._topics)
        for task in (removed, running):
            world.dispatch(RemoveTask(task=task, reason=Reason.TASK_DELETED))
        await eventually(lambda: world.on_disk() == {kept})
        assert world.kept() == {kept}


async def test_a_file_without_a_task_goes_even_if_nobody_tells(
    tmp_path: Path, rounds: Rounds
) -> None:
    world = World(tmp_path)
    await world.store.create(TaskId("f" * 64), SIZE)
    async with world.evicting():
        await eventually(lambda: not world.on_disk())


async def test_a_task_that_comes_back_at_once_keeps_its_new_file(
    tmp_path: Path, rounds: Rounds
) -> None:
    world = World(tmp_path)
    (task,) = await world.cache("a")
    async with world.evicting():
        for _ in range(20):
            world.dispatch(RemoveTask(task=task, reason=Reason.TASK_DELETED))
            assert await world.fetch("a") == task
        await rounds.some_more()
        file = world.store.find(task)
        assert file
        assert not file.discarded
        assert file.path.stat().st_size == FRAMED


async def test_a_file_that_cannot_be_removed_does_not_stop_the_others(
    tmp_path: Path, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    stuck, task = await world.cache("stuck", "a")
    real = Path.unlink

    def refuses(path: Path, missing_ok: bool = False) -> None:
        if path.name == stuck:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuses)
    with capture_logs() as logs:
        async with world.evicting(room_for(0)):
            await eventually(lambda: task not in world.on_disk())
            await rounds.some_more()
    assert not world.known()
    assert [line["task"] for line in logs if line["log_level"] == "warning"] == [stuck]


async def test_nothing_is_unlinked_before_it_is_written_that_nobody_knows_it(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    asked, written = trio.Event(), trio.Event()

    async def settled() -> None:
        asked.set()
        await written.wait()

    world.settled = settled
    task = await world.fetch("a")
    async with world.evicting():
        file = world.store.find(task)
        assert file is not None
        world.dispatch(RemoveTask(task=task, reason=Reason.TASK_DELETED))
        await asked.wait()
        assert file.path.exists()
        written.set()
        await eventually(lambda: not file.path.exists())
