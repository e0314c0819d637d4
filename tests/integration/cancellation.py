"""Two lives of a supernode, each of which may be cancelled at any step; then another one goes on.

Whatever the step: what is left is consistent, the next supernode on the same directory finishes the
job with the right bytes, and the origin is not asked for what had been sealed.
"""

import gc
import hashlib
import json
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from unittest.mock import patch

import trio

from supernode.core import pieces
from supernode.core.commands import CreatePreheat, RemoveTask
from supernode.core.errors import NotFound
from supernode.core.identity import TaskId, download_path, task_id
from supernode.core.model import CdnStatus, PreheatStatus, Task, TaskSpec
from supernode.core.pieces import (
    TRAILER,
    PieceDigest,
    PieceNumber,
    content_size,
    frame_header,
    framed_length,
)
from supernode.core.reasons import Reason
from supernode.exchange import Request
from supernode.services import eviction
from supernode.services.retries import RetryPolicy
from supernode.storage import piece_files, sidecars, verification, writing
from supernode.storage.disk_space import WaterMark
from tests.integration.cancelled_node import HungUp, Node, descriptors, nothing_left_open
from tests.integration.process import begun
from tests.integration.scripted_origin import ScriptedOrigin
from tests.integration.test_resumption import Origin, Reply
from tests.waiting import eventually

P = ParamSpec("P")
T = TypeVar("T")

SIZE = 64 * 1024
FULL = content_size(SIZE)
LONGEST_SECONDS = 20.0
SLOW_SECONDS = 0.003
NEVER = RetryPolicy(attempts=100, first_pause=3600, longest_pause=3600)
"""The supernode ends before it asks again."""


@contextmanager
def in_small() -> Iterator[None]:
    """Let pieces be small and rounds quick, so that a life takes a moment; and the disk slow.

    So slow that whoever does not wait for a thread is found out.
    """
    with ExitStack() as patches:
        for module in (pieces, sidecars):
            patches.enter_context(patch.object(module, "SMALLEST_PIECE", SIZE))
        patches.enter_context(patch.object(eviction, "LOOK_AGAIN_SECONDS", 0.05))
        patches.enter_context(patch.object(gc, "freeze"))  # what is recalled does not stay here
        for module, name in ((writing, "digest_and_write"), (verification, "check_piece")):
            patches.enter_context(patch.object(module, name, _slowly(getattr(module, name))))
        yield


def _slowly(work: Callable[P, T]) -> Callable[P, T]:
    """Do it in a thread for a little longer."""

    def slow(*args: P.args, **kwargs: P.kwargs) -> T:
        time.sleep(SLOW_SECONDS)  # noqa: TID251 - in a thread
        return work(*args, **kwargs)

    return slow


class File:
    """A file of an origin.

    Args:
        origin: whose; it has other files, too.
        name: its own.
        full_pieces: how many it has, before a short one.
    """

    def __init__(self, origin: ScriptedOrigin, name: str, full_pieces: int) -> None:
        self._origin = origin
        self._path = f"/{name}"
        self.url = origin.url(self._path)
        self.task = task_id(self.url)
        self.spec = TaskSpec(raw_url=self.url, task_url=self.url)
        seed = hashlib.sha256(name.encode()).digest()
        self.content = (seed * ((full_pieces + 1) * SIZE // 32))[: full_pieces * FULL + 1000]
        self.pieces = full_pieces + 1
        self.framed_length = framed_length(len(self.content), SIZE)
        self.breaks()

    def breaks(self, *ends: int) -> None:
        """Let the next answers end before these bytes, and those after them not."""
        replies = [Reply(until=end, content=self.content) for end in ends]
        origin = Origin(replies, Reply(content=self.content), scripted=self._origin)
        self._origin.answers[self._path] = origin

    def forget_requests(self) -> None:
        self._origin.asked[:] = [a for a in self._origin.asked if a.target != self._path]

    def asked_for(self) -> list[int]:
        """Return with which byte the answer to each request was to begin."""
        asked = [asked.headers for asked in self._origin.asked if asked.target == self._path]
        ranges = [headers.get("Range", "bytes=0-") for headers in asked]
        return [int(wanted.removeprefix("bytes=").partition("-")[0]) for wanted in ranges]

    def framed(self, number: int) -> bytes:
        """Return a piece as it is served."""
        content = self.content[number * FULL : (number + 1) * FULL]
        return frame_header(len(content), SIZE) + content + TRAILER

    def is_cached(self, node: Node) -> bool:
        """Tell whether a supernode has the file, and will tell others of it."""
        task = _task(node, self.task)
        file = node.process.store.find(self.task)
        return (
            task is not None
            and task.status is CdnStatus.SUCCESS
            and file is not None
            and file.origin is not None
        )


@dataclass
class Client:
    """Downloads a file, from one supernode after another; what it has got stays."""

    file: File
    got: set[int] = field(default_factory=set)
    registered: bool = False

    async def download(self, node: Node, until: int | None = None) -> None:
        """Go on until it has all of it, or so many pieces. Raises HungUp."""
        if not self.registered:
            asked = _request({"rawURL": self.file.url, "cID": "c"})
            answer = await node.ask(node.rest.tasks.create, asked)
            assert answer["ID"] == self.file.task
            self.registered = True
        reports: list[dict[str, str]] = []
        while True:
            wanted = (until or self.file.pieces) - len(self.got)
            given = await self._pull(node, reports, wanted)
            if wanted <= 0:
                return
            reports = [await self._take(piece) for piece in given]

    async def _pull(self, node: Node, reports: list[dict[str, str]], wanted: int) -> Any:  # noqa: ANN401 - JSON
        """Report, and wait for pieces unless none is wanted any more."""
        patience = {"prefer": "wait=10"} if wanted > 0 else {}
        query = f"clientID=c&num={max(wanted, 1)}"
        asked = _request({"reports": reports}, query, patience, id=self.file.task)
        return await node.ask(node.rest.pieces.pull, asked)

    async def _take(self, piece: dict[str, Any]) -> dict[str, str]:
        """Get a piece from the data port; return how to report it. Raises HungUp."""
        number = int(piece["pieceRange"].partition("-")[0]) // SIZE
        lines = (
            f"GET {download_path(self.file.task)} HTTP/1.1",
            "Host: supernode",
            f"Range: bytes={piece['pieceRange']}",
            "Connection: close",
        )
        received = bytearray()
        try:
            async with await trio.open_tcp_stream(piece["peerIP"], piece["peerPort"]) as stream:
                await stream.send_all("\r\n".join([*lines, "", ""]).encode())
                async for block in stream:
                    received += block
        except (OSError, trio.BrokenResourceError):
            raise HungUp from None
        head, _, framed = received.partition(b"\r\n\r\n")
        if not framed:
            raise HungUp
        assert head.startswith(b"HTTP/1.1 206 "), head
        assert self.file.framed(number).startswith(framed), "a wrong byte"
        if len(framed) < len(self.file.framed(number)):
            raise HungUp
        self.got.add(number)
        return {
            "pieceRange": piece["pieceRange"],
            "dstPID": piece["pID"],
            "pieceResult": "SUCCESS",
        }


def _request(
    body: object, query: str = "", headers: dict[str, str] | None = None, **path_fields: str
) -> Request:
    return Request(path_fields, query, headers or {}, json.dumps(body).encode())


class Life(ABC):
    """What happens to a supernode, and how it ends."""

    cache = WaterMark(size=1 << 60)

    @abstractmethod
    async def prepare(self, state: Path) -> None:
        """Make what every life begins with, in a directory that is there."""

    @abstractmethod
    def begin(self) -> None:
        """Let the world be as it is when a life begins."""

    @abstractmethod
    async def play(self, node: Node) -> None:
        """Do what clients do, until all is done. Raises HungUp."""

    @abstractmethod
    def fetched(self) -> list[File]:
        """Return the files that are there in the end."""


class BreakingFetch(Life):
    """A file comes over three requests, for the origin breaks off; a client takes what is there."""

    def __init__(self, origin: ScriptedOrigin) -> None:
        self.file = File(origin, "breaking", 6)

    async def prepare(self, state: Path) -> None:
        """Begin with nothing."""

    def begin(self) -> None:
        self.file.breaks(2 * FULL + 1234, 4 * FULL + 77)
        self.client = Client(self.file)

    async def play(self, node: Node) -> None:
        await self.client.download(node)
        await eventually(lambda: self.file.is_cached(node))

    def fetched(self) -> list[File]:
        return [self.file]


class Restart(Life):
    """The system has been restarted, and much is to be done.

    A complete file is to be verified, for a client that has a part of it; a fetch to go on, for a
    preheat; a file to be removed whose task was; another one to be evicted, to make room.
    """

    def __init__(self, origin: ScriptedOrigin) -> None:
        self.complete, self.begun, self.removed, self.old = [
            File(origin, name, 3) for name in ("complete", "begun", "removed", "old")
        ]
        self.cache = WaterMark(size=self.complete.framed_length + self.begun.framed_length)
        self._got: set[int] = set()

    async def prepare(self, state: Path) -> None:
        self.begun.breaks(FULL + 1234)
        node = Node(state, Life.cache, retries=NEVER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.run)
            await node.serves.wait()
            for file in (self.old, self.removed):
                await Client(file).download(node)
            client = Client(self.complete)
            await client.download(node, until=2)
            self._got = client.got
            self._preheat = node.process.dispatch(CreatePreheat(spec=self.begun.spec))
            await eventually(lambda: self.complete.is_cached(node))
            await eventually(lambda: len(_digests(node, self.begun)) == 1)
            node.scope.cancel("it is to be restarted")
        async with begun(state) as process:  # without anybody who would remove the file
            process.dispatch(RemoveTask(task=self.removed.task, reason=Reason.TASK_DELETED))

    def begin(self) -> None:
        self.begun.breaks()
        self.client = Client(self.complete, set(self._got), registered=True)

    async def play(self, node: Node) -> None:
        await self.client.download(node)
        await eventually(lambda: self._is_done(node))

    def _is_done(self, node: Node) -> bool:
        return (
            all(file.is_cached(node) for file in self.fetched())
            and node.process.tracker.preheat(self._preheat).status is PreheatStatus.SUCCESS
            and node.files_on_disk() == {file.task for file in self.fetched()}
            and node.process.tracker.why_gone(self.old.task) is Reason.TASK_EVICTED
            and node.process.tracker.why_gone(self.removed.task) is Reason.TASK_DELETED
        )

    def fetched(self) -> list[File]:
        return [self.complete, self.begun]


KINDS = (BreakingFetch, Restart)


class Lives:
    """Lives of the same kind, one after the other.

    Args:
        life: what happens in each.
        directory: for what they leave.
    """

    def __init__(self, life: Life, directory: Path) -> None:
        self._life = life
        self._directory = directory
        self._template = directory / "template"
        self._boot = directory / "boot"
        self._template.mkdir(parents=True)
        self._boot.write_text("another one")

    async def prepare(self) -> int:
        """Make ready; return how many steps a life takes that is not cancelled, about."""
        await self._life.prepare(self._template)
        return await self.cancelled_before(None)

    async def cancelled_before(self, step: int | None) -> int:
        """Let a supernode be cancelled before a step, and another one take over; check both.

        Args:
            step: which; None, or one that it does not take: it reaches its aim.

        Returns:
            How many steps the first one took.
        """
        state = self._directory / f"step {step}"
        try:
            with patch.object(piece_files, "_BOOT_ID", self._boot):
                return await self._cancelled_before(step, state)
        except BaseException as problem:
            problem.add_note(f"{type(self._life).__name__}, cancelled before step {step}")
            raise
        finally:
            shutil.rmtree(state)

    async def _cancelled_before(self, step: int | None, state: Path) -> int:
        life = self._life
        shutil.copytree(self._template, state)
        life.begin()
        before = descriptors()
        node = Node(state, life.cache, step)
        await _live(node, life)
        sealed = {file.task: len(_digests(node, file)) for file in life.fetched()}
        await node.check()
        await nothing_left_open(before)
        for file in life.fetched():
            file.forget_requests()
        after = Node(state, life.cache)
        await _live(after, life)
        for file in life.fetched():
            _check_fetched(file, after, sealed[file.task])
        assert after.files_on_disk() == {file.task for file in life.fetched()}
        await after.check()
        await nothing_left_open(before)
        return node.steps


async def _live(node: Node, life: Life) -> None:
    """Let a supernode run until it is cancelled, or all is done."""

    async def play() -> None:
        await node.serves.wait()
        try:
            await life.play(node)
        except HungUp:
            if not node.scope.cancel_called:
                raise
        node.scope.cancel("all is done")

    async def run() -> None:
        await node.run()
        world.cancel_scope.cancel("the supernode has ended")

    with trio.fail_after(LONGEST_SECONDS):
        async with trio.open_nursery() as world:
            world.start_soon(play)
            world.start_soon(run)


def _check_fetched(file: File, node: Node, sealed: int) -> None:
    """Check that a file is there, and that no more was fetched than had to be."""
    task = node.process.tracker.task(file.task)
    assert (task.length, task.md5) == (len(file.content), hashlib.md5(file.content).hexdigest())
    path = node.state / "repo" / download_path(file.task)[1:]
    assert path.read_bytes() == b"".join(map(file.framed, range(file.pieces)))
    for suffix in (".meta", ".md5"):
        assert path.with_name(path.name + suffix).exists(), "other tools do not know it"
    asked = file.asked_for()
    assert not asked or (min(asked) == sealed * FULL and sealed < file.pieces), (asked, sealed)


def _task(node: Node, task: TaskId) -> Task | None:
    try:
        return node.process.tracker.task(task)
    except NotFound:
        return None


def _digests(node: Node, file: File) -> dict[PieceNumber, PieceDigest]:
    task = _task(node, file.task)
    return task.digests if task else {}
