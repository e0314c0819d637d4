"""Restoration: what is on disk is known after a start, not fetched again, and never served bad."""

import errno
import hashlib
import json
import os
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from structlog.testing import capture_logs

from supernode.clock import Clock
from supernode.core.commands import Pull, Pulled, RegisterTask, RemoveTask
from supernode.core.errors import NotFound, TaskEnded
from supernode.core.events import PiecesVerified
from supernode.core.identity import ClientId, TaskId, task_id
from supernode.core.model import CdnStatus, Limits, Secrets, Task, TaskSpec
from supernode.core.pieces import MIB, piece_range
from supernode.core.reasons import Reason
from supernode.core.swarm import bits
from supernode.core.tracker import Tracker
from supernode.dispatch import Dispatcher
from supernode.feed import Feed, Published
from supernode.services import restoration
from supernode.services.restoration import Restoration
from supernode.storage import piece_files, verification
from supernode.storage.piece_files import PieceFile, PieceStore
from tests.faults import Discarded, Group, Seen, fault
from tests.integration.process import not_repaired
from tests.waiting import eventually

SIZE = 4 * MIB
FULL = SIZE - 5
URL = "http://origin/file"
USED = 1_700_000_000_000


class V1Cache:
    """A cache directory as Dragonfly v1 leaves it; made from the description of its format.

    Args:
        state: the state directory.
    """

    def __init__(self, state: Path) -> None:
        self.repo = state / "repo"

    def path(self, task: TaskId, suffix: str = "") -> Path:
        return self.repo / "download" / task[:3] / (task + suffix)

    def add(self, content: bytes, url: str = URL, **meta: object) -> TaskId:
        """Add a complete file."""
        task = task_id(url, md5=str(meta.get("md5", "")), identifier=str(meta.get("bizId", "")))
        parts = [content[start : start + FULL] for start in range(0, len(content), FULL)] or [b""]
        pieces = [(SIZE << 4 | len(part)).to_bytes(4, "big") + part + b"\x7f" for part in parts]
        real_md5 = hashlib.md5(content).hexdigest()
        self.path(task).parent.mkdir(parents=True, exist_ok=True)
        self.path(task).write_bytes(b"".join(pieces))
        keys = {
            "taskID": task,
            "url": url,
            "pieceSize": SIZE,
            "httpFileLen": len(content),
            "bizId": "",
            "accessTime": USED,
            "interval": 0,
            "fileLength": sum(map(len, pieces)),
            "md5": "",
            "realMd5": real_md5,
            "lastModified": 1_600_000_000_000,
            "eTag": '"e"',
            "finish": True,
            "success": True,
        }
        self.path(task, ".meta").write_text(json.dumps(keys | meta))
        self.write_md5(task, *(f"{hashlib.md5(p).hexdigest()}:{len(p)}" for p in pieces), real_md5)
        return task

    def write_md5(self, task: TaskId, *lines: str) -> None:
        checksum = hashlib.sha1("".join(lines).encode()).hexdigest()
        self.path(task, ".md5").write_text("\n".join([*lines, checksum]))

    def meta(self, task: TaskId) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path(task, ".meta").read_text())
        return found

    def names(self) -> set[str]:
        """Return the names of all files, without their directories."""
        return {path.name for path in self.repo.rglob("*") if not path.is_dir()}


class World:
    """One process's tracker, store and restoration; make one inside ``trio.run``."""

    def __init__(self, cache: V1Cache, limits: Limits | None = None) -> None:
        self.tracker = Tracker(limits)
        self.feed = Feed()
        chance = random.Random(0)
        self.dispatch = Dispatcher(self.tracker, self.feed, Clock.started_now(), chance)
        self.store = PieceStore(cache.repo)
        self.repair: Callable[[Task, PieceFile, int], Awaitable[bool]] = not_repaired
        self.offered: list[tuple[TaskId, int]] = []
        self.feed.listen(self._take_note)

    def _take_note(self, published: Published) -> None:
        if isinstance(event := published.event, PiecesVerified):
            self.offered += [(event.task, piece) for piece in bits(event.pieces)]

    @asynccontextmanager
    async def restoring(self) -> AsyncIterator[None]:
        """Run the service; it has started."""
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                await nursery.start(Restoration(self.dispatch, self.store, self.repair, {}).run)
                yield
                nursery.cancel_scope.cancel()
        self.tracker.check()

    def task(self, task: TaskId) -> Task:
        return self.tracker.task(task)

    def is_known(self, task: TaskId) -> bool:
        try:
            self.task(task)
        except NotFound:
            return False
        return True

    def file(self, task: TaskId) -> PieceFile:
        file = self.store.find(task)
        assert file
        return file

    def ask(self, client: str = "c", url: str = URL, **spec: Any) -> TaskId:  # noqa: ANN401
        """Let a client ask for a file."""
        known = TaskSpec(raw_url=url, task_url=url, **spec)
        return self.dispatch(RegisterTask(spec=known, client=ClientId(client), peer=None, path=""))

    def pull(self, task: TaskId, count: int = 10) -> Pulled:
        return self.dispatch(Pull(task=task, client=ClientId("c"), count=count))

    async def until(self, task: TaskId, holds: Callable[[Task], bool]) -> None:
        while not holds(self.task(task)):
            await self.feed.wait(task, trio.current_time() + 10)

    async def until_ended(self, *tasks: TaskId) -> None:
        """Wait until these tasks are verified, failed or gone."""
        for task in tasks:
            while self.is_known(task) and self.task(task).status is CdnStatus.RUNNING:
                await self.feed.wait(task, trio.current_time() + 10)


@pytest.fixture
def cache(tmp_path: Path) -> V1Cache:
    return V1Cache(tmp_path)


@pytest.fixture
def other_boot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """What to call to start the system anew."""

    def start() -> None:
        boots = tmp_path / "boot"
        boots.write_text(f"{boots.read_text() if boots.exists() else ''}once more")
        monkeypatch.setattr(piece_files, "_BOOT_ID", boots)

    return start


class Gate:
    """Lets the verification of pieces go on one by one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.let_through = threading.Semaphore(0)
        self.reached = trio.Event()
        self._real = verification.check_piece
        monkeypatch.setattr(verification, "check_piece", self._check)

    def _check(self, *args: Any) -> None:  # noqa: ANN401
        trio.from_thread.run_sync(self.reached.set)
        assert self.let_through.acquire(timeout=10)
        self._real(*args)

    def open(self) -> None:
        self.let_through.release(1000)


def content(pieces: int, seed: int = 0) -> bytes:
    """Return content for so many pieces, the last one short, all different."""
    return random.Random(seed).randbytes((pieces - 1) * FULL + 15)


async def restored_once(cache: V1Cache, *tasks: TaskId) -> None:
    """Let one process verify everything, so that the next one need not."""
    world = World(cache)
    async with world.restoring():
        await world.until_ended(*tasks)
        await eventually(lambda: all("bootId" in cache.meta(task) for task in tasks))


async def test_a_cache_of_v1_is_adopted(cache: V1Cache) -> None:
    whole = content(3)
    task = cache.add(whole)
    world = World(cache)
    async with world.restoring():
        assert world.task(task).status in (CdnStatus.RUNNING, CdnStatus.SUCCESS)
        await world.until_ended(task)
    known = world.task(task)
    assert known.status is CdnStatus.SUCCESS
    assert (known.length, known.piece_size) == (len(whole), SIZE)
    assert known.md5 == hashlib.md5(whole).hexdigest()
    assert known.sha256 == hashlib.sha256(whole).hexdigest()
    assert known.last_used == USED / 1000
    assert known.spec == TaskSpec(raw_url=URL, task_url=URL)
    assert world.offered == [(task, 0), (task, 1), (task, 2)]
    assert world.file(task).is_complete


async def test_who_asks_gets_it_without_a_fetch(cache: V1Cache) -> None:
    cache.add(content(3))
    world = World(cache)
    async with world.restoring():
        task = world.ask()
        assert world.tracker.next_to_fetch() is None
        await world.until_ended(task)
        assert len(world.pull(task).assignments) == 3


@pytest.mark.parametrize(
    ("meta", "spec"),
    [({"md5": hashlib.md5(content(1)).hexdigest()}, "md5"), ({"bizId": "v2"}, "identifier")],
)
async def test_the_version_is_known(cache: V1Cache, meta: dict[str, str], spec: str) -> None:
    task = cache.add(content(1), **meta)
    world = World(cache)
    async with world.restoring():
        assert world.ask(**{spec: next(iter(meta.values()))}) == task
        await world.until_ended(task)
        assert world.task(task).status is CdnStatus.SUCCESS
        assert world.ask() != task


async def test_an_empty_file(cache: V1Cache) -> None:
    task = cache.add(b"")
    for _ in range(2):
        world = World(cache)
        async with world.restoring():
            await world.until_ended(task)
            assert world.task(task).status is CdnStatus.SUCCESS
            assert world.task(task).length == 0


async def test_nothing_at_all(cache: V1Cache) -> None:
    world = World(cache)
    async with world.restoring():
        assert not world.tracker.tasks()


async def test_in_the_same_boot_all_is_verified_before_anybody_can_ask(
    cache: V1Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    wholes = [content(n, seed=n) for n in (1, 2, 5)]
    tasks = [cache.add(whole, f"{URL}{n}") for n, whole in enumerate(wholes)]
    await restored_once(cache, *tasks)

    def never(*_args: object) -> None:
        raise AssertionError("no content is looked at")

    monkeypatch.setattr(verification, "check_piece", never)
    world = World(cache)
    async with world.restoring():
        for task, whole in zip(tasks, wholes, strict=True):
            assert world.task(task).status is CdnStatus.SUCCESS
            assert world.task(task).sha256 == hashlib.sha256(whole).hexdigest()
            assert world.file(task).is_complete


async def test_in_another_boot_what_was_written_is_read_again(
    cache: V1Cache, other_boot: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = cache.add(content(2))
    await restored_once(cache, task)
    other_boot()
    gate = Gate(monkeypatch)
    world = World(cache)
    async with world.restoring():
        assert world.task(task).status is CdnStatus.RUNNING
        assert not world.file(task).sealed
        gate.open()
        await world.until_ended(task)
        assert world.task(task).status is CdnStatus.SUCCESS
    assert cache.meta(task)["sha256"] == hashlib.sha256(content(2)).hexdigest()


async def test_pieces_are_offered_one_by_one(
    cache: V1Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = cache.add(content(3))
    gate = Gate(monkeypatch)
    world = World(cache)
    async with world.restoring():
        world.ask()
        assert not world.pull(task).assignments
        gate.let_through.release(1)
        await world.until(task, lambda task: bool(task.swarm.seeded))
        (given,) = world.pull(task).assignments
        assert given.piece_range == f"0-{SIZE - 1}"
        assert world.file(task).covers(0, SIZE)
        assert not world.file(task).covers(SIZE, SIZE + 1)
        gate.open()
        await world.until_ended(task)
        assert len(world.pull(task, count=9).assignments) == 2


async def test_what_was_used_last_comes_first(
    cache: V1Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoration, "CONCURRENT_FILES", 1)
    used = [3, 1, 5, 2, 4]
    tasks = {n: cache.add(content(1, n), f"{URL}{n}", accessTime=USED + n) for n in used}
    world = World(cache)
    async with world.restoring():
        await world.until_ended(*tasks.values())
    assert world.offered == [(tasks[n], 0) for n in (5, 4, 3, 2, 1)]
    assert [task.id for task in world.tracker.idle_tasks()] == [tasks[n] for n in (1, 2, 3, 4, 5)]


async def test_what_a_client_waits_for_comes_first(
    cache: V1Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoration, "CONCURRENT_FILES", 1)
    monkeypatch.setattr(restoration, "PIECES_A_TURN", 2)
    tasks = [cache.add(content(4, n), f"{URL}{n}", accessTime=USED + n) for n in range(3)]
    gate = Gate(monkeypatch)
    world = World(cache)
    async with world.restoring():
        await gate.reached.wait()  # the one used last is being verified
        world.ask(url=f"{URL}0")
        gate.open()
        await world.until_ended(*tasks)
    order = [task for task, _ in world.offered]
    assert order == [tasks[2]] * 2 + [tasks[0]] * 4 + [tasks[2]] * 2 + [tasks[1]] * 4
    assert all(world.task(task).status is CdnStatus.SUCCESS for task in tasks)


def flip(path: Path, offset: int) -> None:
    """Change one bit of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def swap_pieces(cache: V1Cache, task: TaskId) -> None:
    whole = cache.path(task).read_bytes()
    cache.path(task).write_bytes(whole[SIZE : 2 * SIZE] + whole[:SIZE] + whole[2 * SIZE :])


def change_meta(**changes: object) -> Callable[[V1Cache, TaskId], None]:
    def change(cache: V1Cache, task: TaskId) -> None:
        cache.path(task, ".meta").write_text(json.dumps(cache.meta(task) | changes))

    return change


def change_digest(cache: V1Cache, task: TaskId) -> None:
    *lines, _checksum = cache.path(task, ".md5").read_text().split("\n")
    cache.write_md5(task, lines[0], f"{'0' * 32}:{SIZE}", *lines[2:])


def drop_digest(cache: V1Cache, task: TaskId) -> None:
    *lines, _checksum = cache.path(task, ".md5").read_text().split("\n")
    cache.write_md5(task, *lines[1:])


DAMAGES: dict[str, Callable[[V1Cache, TaskId], object]] = {
    "a bit of the first piece": lambda c, t: flip(c.path(t), 1000),
    "a bit of the last piece": lambda c, t: flip(c.path(t), 2 * SIZE + 10),
    "a bit of a header": lambda c, t: flip(c.path(t), SIZE + 3),
    "a bit of a trailer": lambda c, t: flip(c.path(t), 2 * SIZE - 1),
    "the last bit": lambda c, t: flip(c.path(t), 2 * SIZE + 19),
    "pieces swapped": swap_pieces,
    "a hole": lambda c, t: c.path(t).write_bytes(bytes(2 * SIZE + 20)),
    "cut short": lambda c, t: os.truncate(c.path(t), 2 * SIZE + 19),
    "cut to whole pieces": lambda c, t: os.truncate(c.path(t), 2 * SIZE),
    "longer": lambda c, t: os.truncate(c.path(t), 2 * SIZE + 21),
    "empty": lambda c, t: os.truncate(c.path(t), 0),
    "gone": lambda c, t: c.path(t).unlink(),
    "meta gone": lambda c, t: c.path(t, ".meta").unlink(),
    "meta empty": lambda c, t: os.truncate(c.path(t, ".meta"), 0),
    "meta cut short": lambda c, t: os.truncate(c.path(t, ".meta"), 100),
    "meta of another task": change_meta(taskID="0" * 64),
    "meta of another URL": change_meta(url="http://origin/other"),
    "meta with another length": change_meta(fileLength=2 * SIZE + 19),
    "meta with a huge length": change_meta(fileLength=10**40),
    "meta with huge pieces": change_meta(pieceSize=2**62),
    "meta with smaller pieces": change_meta(pieceSize=SIZE // 2),
    "meta not finished": change_meta(finish=False),
    "meta without success": change_meta(success=False),
    "md5 gone": lambda c, t: c.path(t, ".md5").unlink(),
    "md5 cut short": lambda c, t: os.truncate(c.path(t, ".md5"), 50),
    "md5 of nothing": lambda c, t: c.path(t, ".md5").write_bytes(bytes(150)),
    "a bit of md5": lambda c, t: flip(c.path(t, ".md5"), 5),
    "another digest": change_digest,
    "one digest too few": drop_digest,
}


@fault(
    Group.DISK,
    "a cached file, its `.meta` or its `.md5` is altered, and the system was restarted since",
    Discarded(None),
)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
async def test_a_damaged_file_is_fetched_again_and_never_served(
    cache: V1Cache, seen: Seen, damage: Callable[[V1Cache, TaskId], object]
) -> None:
    task, good = cache.add(content(3)), cache.add(content(2, 1), f"{URL}/good")
    pieces = cache.path(task).read_bytes()
    good_pieces = [pieces[start : start + SIZE] for start in range(0, len(pieces), SIZE)]
    damage(cache, task)
    world = World(cache)
    served: dict[int, bytes] = {}

    def what_is_served(published: Published) -> None:
        event = published.event
        if isinstance(event, PiecesVerified) and event.task == task:
            with cache.path(task).open("rb") as file:
                for piece in bits(event.pieces):
                    served[piece] = os.pread(file.fileno(), SIZE, piece * SIZE)

    world.feed.listen(what_is_served)
    async with world.restoring():
        await world.until_ended(task, good)
        await eventually(lambda: not world.store.find(task))
        assert world.task(good).status is CdnStatus.SUCCESS
        assert not world.is_known(task)
        assert world.ask() == task
        assert world.tracker.next_to_fetch() == task
    assert all(good_pieces[number] == piece for number, piece in served.items())
    assert not [name for name in cache.names() if name.startswith(task)]
    assert {good, f"{good}.meta", f"{good}.md5"} == cache.names()
    seen(Discarded(world.task(task).reason))


@pytest.mark.parametrize(
    "damage",
    [
        "a bit of a header",
        "a bit of a trailer",
        "the last bit",
        "a hole",
        "cut short",
        "cut to whole pieces",
        "longer",
        "empty",
        "gone",
        "meta cut short",
        "md5 gone",
        "one digest too few",
    ],
)
@fault(Group.DISK, "a cached file is torn or missing", Discarded(None))
async def test_within_one_boot_frames_tell_what_a_crash_leaves_behind(
    cache: V1Cache, seen: Seen, damage: str
) -> None:
    task = cache.add(content(3))
    await restored_once(cache, task)
    DAMAGES[damage](cache, task)
    world = World(cache)
    async with world.restoring():
        assert not world.is_known(task)
        assert not world.store.find(task)
        assert not cache.names()
        assert world.ask() == task
        assert world.tracker.next_to_fetch() == task
        seen(Discarded(world.task(task).reason))


WAITED_FOR = "a cached file that a client waits for {}"


async def test_a_damaged_file_that_somebody_waits_for_is_to_be_fetched_once_more(
    cache: V1Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = cache.add(content(3))
    flip(cache.path(task), SIZE + 1000)
    gate = Gate(monkeypatch)
    world = World(cache)
    async with world.restoring():
        world.ask()
        gate.open()
        await world.until_ended(task)
        assert world.tracker.next_to_fetch() == task
        given = [piece.piece_range for piece in world.pull(task).assignments]
        assert given == [piece_range(0, SIZE)]
        assert [world.file(task).sealed, world.task(task).swarm.lacking] == [0b001, 0b110]


async def test_a_damaged_part_of_a_file_cannot_be_fetched_once_more(
    cache: V1Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = cache.add(content(3))
    flip(cache.path(task), SIZE + 1000)
    gate = Gate(monkeypatch)
    world = World(cache)
    async with world.restoring():
        world.ask()
        spec = world.task(task).spec
        ranged = msgspec.structs.replace(spec, headers=Secrets({"Range": ""}))
        world.task(task).spec = ranged
        gate.open()
        await world.until_ended(task)
        with pytest.raises(TaskEnded) as ended:
            world.pull(task)
        assert ended.value.reason is Reason.CACHE_DAMAGED
        assert "piece 1 has the digest" in world.task(task).detail
        await eventually(lambda: not world.store.find(task))
    assert world.offered == [(task, 0)]


async def test_a_task_that_is_removed_while_it_is_verified(
    cache: V1Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, other = cache.add(content(3)), cache.add(content(2, 1), f"{URL}/other")
    gate = Gate(monkeypatch)
    world = World(cache)
    async with world.restoring():
        await gate.reached.wait()
        world.dispatch(RemoveTask(task=task, reason=Reason.TASK_DELETED))
        gate.open()
        await world.until_ended(other)
        await eventually(lambda: not world.store.find(task))
        assert world.task(other).status is CdnStatus.SUCCESS
    assert not [name for name in cache.names() if name.startswith(task)]


async def test_a_task_that_is_removed_and_comes_back_while_it_is_verified(
    cache: V1Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = cache.add(content(3))
    gate = Gate(monkeypatch)
    world = World(cache)
    async with world.restoring():
        await gate.reached.wait()
        world.dispatch(RemoveTask(task=task, reason=Reason.TASK_DELETED))
        world.ask()
        new = await world.store.create(task, SIZE)
        await new.write(0, [b"new"])
        old_is_left = trio.Event()
        monkeypatch.setattr(world.store, "discard", _told(world.store.discard, old_is_left))
        gate.open()
        await old_is_left.wait()
        assert world.store.find(task) is new
        assert world.task(task).status is CdnStatus.WAITING
        assert not new.sealed
    assert cache.path(task).read_bytes()[4:7] == b"new"


def _told(real: Callable[[PieceFile], Any], event: trio.Event) -> Callable[[PieceFile], Any]:
    async def told(file: PieceFile) -> None:
        await real(file)
        event.set()

    return told


@fault(Group.DISK, WAITED_FOR, Discarded(Reason.DISK_ERROR), case="cannot be read")
async def test_a_disk_that_cannot_be_read(
    cache: V1Cache, monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    task = cache.add(content(3))

    def fails(*_args: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    gate = Gate(monkeypatch)
    monkeypatch.setattr(gate, "_real", fails)
    world = World(cache)
    async with world.restoring():
        world.ask()
        gate.open()
        await world.until_ended(task)
        with pytest.raises(TaskEnded) as ended:
            world.pull(task)
        seen(Discarded(ended.value.reason))
        await eventually(lambda: not world.store.find(task))
        world.ask()
        assert world.tracker.next_to_fetch() == task


async def test_a_defect_costs_one_task(cache: V1Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [cache.add(content(1, n), f"{URL}{n}") for n in range(2)]
    real = PieceFile.seal

    def fails(file: PieceFile, number: int, framed_length: int) -> None:
        if file.task == tasks[0]:
            raise ZeroDivisionError
        real(file, number, framed_length)

    monkeypatch.setattr(PieceFile, "seal", fails)
    world = World(cache)
    with capture_logs() as logs:
        async with world.restoring():
            await world.until_ended(*tasks)
    assert not world.is_known(tasks[0])
    assert world.task(tasks[1]).status is CdnStatus.SUCCESS
    assert [line["event"] for line in logs if line["log_level"] == "error"] == [
        "a cached file could not be verified"
    ]


async def test_a_file_whose_sidecars_cannot_be_written_is_served(
    cache: V1Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = cache.add(content(2))
    before = cache.meta(task)

    def full(path: Path, text: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    world = World(cache)
    with capture_logs() as logs:
        async with world.restoring():
            await world.until_ended(task)
            await eventually(lambda: "a file will be verified again" in str(logs))
    assert world.task(task).status is CdnStatus.SUCCESS
    assert cache.meta(task) == before


async def test_of_too_many_those_used_last_are_kept(cache: V1Cache) -> None:
    tasks = [cache.add(content(1, n), f"{URL}{n}", accessTime=USED + n) for n in range(4)]
    world = World(cache, Limits(most_tasks=2))
    async with world.restoring():
        await world.until_ended(*tasks[2:])
        assert {task.id for task in world.tracker.tasks()} == set(tasks[2:])
        assert {name[:64] for name in cache.names()} == set(tasks[2:])


async def test_leftovers_and_strangers_are_told_of(cache: V1Cache) -> None:
    task, left = cache.add(content(1)), cache.add(content(1, 1), f"{URL}/left")
    cache.path(left, ".md5").unlink()
    for n in range(10):
        (cache.repo / f"download/note{n}").touch()
    with capture_logs() as logs:
        world = World(cache)
        async with world.restoring():
            await world.until_ended(task)
    assert {
        "event": "removed what was left of a file",
        "task": left,
        "problem": "the file is not complete",
        "log_level": "info",
    } in logs
    (warning,) = [line for line in logs if line["log_level"] == "warning"]
    assert warning["count"] == 10
    assert warning["examples"] == [f"note{n}" for n in range(5)]


@pytest.mark.parametrize("accessed", [-5, 0, 10**18])
async def test_times_that_cannot_be(cache: V1Cache, accessed: int) -> None:
    task = cache.add(content(1), accessTime=accessed)
    world = World(cache)
    async with world.restoring():
        await world.until_ended(task)
    assert 0 <= world.task(task).last_used <= world.dispatch.clock.now()


async def test_cancelled_it_leaves_the_files_alone(
    cache: V1Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = cache.add(content(3))
    before = cache.names(), cache.meta(task)
    gate = Gate(monkeypatch)
    world = World(cache)
    async with world.restoring():
        await gate.reached.wait()
        gate.open()
    assert (cache.names(), cache.meta(task)) == before


async def test_cancelled_at_the_very_end_it_leaves_the_file_alone(
    cache: V1Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = cache.add(content(1))
    before = cache.names()
    verified = trio.Event()

    async def never_ends(_file: PieceFile, _origin: object) -> None:
        verified.set()
        await trio.sleep_forever()

    monkeypatch.setattr(PieceFile, "complete", never_ends)
    world = World(cache)
    async with world.restoring():
        await verified.wait()
    assert world.task(task).status is CdnStatus.SUCCESS
    assert world.file(task).is_complete
    assert cache.names() == before


async def test_a_service_that_crashes_goes_on_where_it_was(
    cache: V1Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [cache.add(content(3, n), f"{URL}{n}") for n in range(3)]
    world = World(cache)
    service = Restoration(world.dispatch, world.store, not_repaired, {})
    gate = Gate(monkeypatch)

    async def crash(_self: Restoration) -> None:
        raise ZeroDivisionError

    with trio.fail_after(20):
        with monkeypatch.context() as patched:
            patched.setattr(restoration, "NOTE_USE_SECONDS", 0)
            patched.setattr(Restoration, "_note_use", crash)
            gate.let_through.release(2)
            with pytest.RaisesGroup(ZeroDivisionError):
                await service.run()
        assert all(world.task(task).status is CdnStatus.RUNNING for task in tasks)
        fetched = await world.store.create(TaskId("f" * 64), SIZE)
        gate.open()
        async with trio.open_nursery() as nursery:
            await nursery.start(service.run)
            await world.until_ended(*tasks)
            nursery.cancel_scope.cancel()
    assert all(world.task(task).status is CdnStatus.SUCCESS for task in tasks)
    assert sorted(world.offered) == sorted((task, n) for task in tasks for n in range(3))
    assert world.task(tasks[0]).sha256 == hashlib.sha256(content(3)).hexdigest()
    assert fetched.path.exists()  # nobody took it for a leftover


async def test_the_use_of_files_is_noted(cache: V1Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    used, idle = cache.add(content(1)), cache.add(content(1, 1), f"{URL}/idle")
    monkeypatch.setattr(restoration, "NOTE_USE_SECONDS", 0.01)
    world = World(cache)
    async with world.restoring():
        await world.until_ended(used, idle)
        world.ask()
        await eventually(lambda: cache.meta(used)["accessTime"] != USED)
        assert cache.meta(used)["accessTime"] == int(world.task(used).last_used * 1000)
        assert cache.meta(idle)["accessTime"] == USED
    world = World(cache)
    async with world.restoring():
        await world.until_ended(used, idle)
    assert [task.id for task in world.tracker.idle_tasks()] == [idle, used]


async def test_patience_with_a_slow_disk_is_limited(
    cache: V1Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = cache.add(content(2))
    await restored_once(cache, task)
    go_on = threading.Event()
    real = verification.check_frames

    def slow(path: Path, piece_size: int, lengths: list[int], framed_length: int) -> None:
        assert go_on.wait(10)
        real(path, piece_size, lengths, framed_length)

    monkeypatch.setattr(verification, "check_frames", slow)
    monkeypatch.setattr(restoration, "PATIENCE_SECONDS", 0.01)
    world = World(cache)
    async with world.restoring():
        assert world.task(task).status is CdnStatus.RUNNING
        go_on.set()
        await world.until_ended(task)
        assert world.task(task).status is CdnStatus.SUCCESS
