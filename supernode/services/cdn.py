"""The CDN: fetches every task's file from its origin, once, and seals its pieces.

A line of three works on the stream, each stage in order: cut into pieces; digest and write each
piece, which is offered to peers as soon as it is on disk; digest the whole. At most four pieces of
a fetch are in memory: one with each stage, one between the last two. Whatever is slowest holds up
the origin.
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import structlog
import trio

from supernode.core.commands import CachePiece, FailFetch, FinishFetch, SizeTask, StartFetch
from supernode.core.identity import TaskId, without_credentials
from supernode.core.model import CdnStatus
from supernode.core.pieces import content_size, digest_length, framed_length
from supernode.core.reasons import Reason
from supernode.dispatch import Dispatcher
from supernode.feed import TO_FETCH
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginBody, OriginClient
from supernode.storage.errors import StoreError
from supernode.storage.piece_files import PieceFile, PieceStore
from supernode.storage.sidecars import Provenance
from supernode.supervision import first_of

CONCURRENT_FETCHES = 16
LOOK_AGAIN_SECONDS = 60.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Cdn:
    """The service. A fetch that fails ends its task, never the service.

    Args:
        dispatch: the door to the tracker.
        store: where pieces go.
        origin: where they come from.
    """

    def __init__(self, dispatch: Dispatcher, store: PieceStore, origin: OriginClient) -> None:
        self._dispatch = dispatch
        self._store = store
        self._origin = origin
        self._hashers = trio.CapacityLimiter(CONCURRENT_FETCHES)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Fetch whatever waits, until cancelled. On cancel a fetch leaves only unsealed bytes."""
        for task in self._dispatch.tracker.tasks_in(CdnStatus.RUNNING):
            await self._discard(task)
            self._fail(task, Reason.INTERNAL, "the fetch was interrupted")
        slots = trio.Semaphore(CONCURRENT_FETCHES)
        async with trio.open_nursery() as fetches:
            task_status.started()
            while True:
                await slots.acquire()
                task = await self._next_task()
                self._dispatch(StartFetch(task=task))
                fetches.start_soon(self._fetch, task, slots, name=f"fetch {task}")

    async def _next_task(self) -> TaskId:
        while (task := self._dispatch.tracker.next_to_fetch()) is None:
            again = trio.current_time() + LOOK_AGAIN_SECONDS
            await self._dispatch.feed.wait(TO_FETCH, again)
        return task

    async def _fetch(self, task: TaskId, slots: trio.Semaphore) -> None:
        """Fetch one file, whatever happens ending in SUCCESS or in a failure with its reason."""
        try:
            fetched = await self._attempt(task)
            if isinstance(fetched, _Fetched):
                await self._finish(task, fetched)
            else:
                await self._discard(task)
                self._fail(task, *fetched)
        finally:
            slots.release()

    async def _attempt(self, task: TaskId) -> "_Fetched | tuple[Reason, str]":
        """Return the file, or why there is none."""
        spec = self._dispatch.tracker.task(task).spec
        try:
            async with self._origin.open(spec.raw_url, spec.headers.reveal()) as body:
                fetched = await self._take(task, body)
        except* (OriginError, StoreError) as errors:
            first = first_of(errors)
            assert isinstance(first, OriginError | StoreError)
            failure = first.reason, first.detail
        except* Exception as errors:
            log.exception("a fetch failed", task=task)
            failure = Reason.INTERNAL, type(first_of(errors)).__name__
        else:
            return fetched
        return failure

    async def _take(self, task: TaskId, body: OriginBody) -> "_Fetched":
        """Store the whole body. Raises OriginError and StoreError, possibly in a group."""
        piece_size = self._dispatch(SizeTask(task=task, length=body.length))
        file = await self._store.create(task, piece_size)
        if body.length is not None:
            file.end_known(framed_length(body.length, piece_size))
        whole = _WholeFile()
        cut, to_seal = trio.open_memory_channel[memoryview](0)
        sealed, to_digest = trio.open_memory_channel[memoryview](1)
        async with trio.open_nursery() as nursery, to_digest:
            nursery.start_soon(_cut, body.chunks(), content_size(piece_size), cut)
            nursery.start_soon(self._seal, file, to_seal, sealed)
            async for piece in to_digest:
                await trio.to_thread.run_sync(whole.add, piece, limiter=self._hashers)
        file.end_known(framed_length(whole.length, piece_size))
        return _Fetched(file, whole, body.etag, body.last_modified)

    async def _finish(self, task: TaskId, fetched: "_Fetched") -> None:
        """Have the whole judged by its digest."""
        whole = fetched.whole
        right = self._dispatch(
            FinishFetch(
                task=task,
                length=whole.length,
                md5=whole.md5.hexdigest(),
                sha256=whole.sha256.hexdigest(),
            )
        )
        if right:
            await self._complete(fetched)
        else:
            log.warning("task failed", task=task, reason=Reason.DIGEST_MISMATCH.code)
            await self._discard(task)

    async def _seal(
        self,
        file: PieceFile,
        pieces: trio.MemoryReceiveChannel[memoryview],
        sealed: trio.MemorySendChannel[memoryview],
    ) -> None:
        """Write each piece, offer it, pass it on."""
        number = 0
        async with pieces, sealed:
            async for piece in pieces:
                digest = await file.write(number, [piece])
                file.seal(number, digest_length(digest))
                self._dispatch(CachePiece(task=file.task, piece=number, digest=digest))
                await sealed.send(piece)
                number += 1

    async def _complete(self, fetched: "_Fetched") -> None:
        """Leave the notes by which other tools know the file; it is served with or without."""
        file = fetched.file
        task = self._dispatch.tracker.task(file.task)
        assert task.length is not None
        try:
            await file.complete(
                Provenance(
                    url=without_credentials(task.spec.task_url),
                    identifier=task.spec.identifier,
                    md5=task.spec.md5,
                    real_md5=task.md5,
                    http_length=task.length,
                    last_modified_ms=_milliseconds(fetched.last_modified),
                    etag=fetched.etag,
                    accessed_ms=int(self._dispatch.clock.now() * 1000),
                )
            )
        except StoreError as error:
            log.warning("a complete file has no sidecars", task=file.task, problem=str(error))

    async def _discard(self, task: TaskId) -> None:
        try:
            await self._store.discard(task)
        except StoreError as error:
            log.warning("a file could not be removed", task=task, problem=str(error))

    def _fail(self, task: TaskId, reason: Reason, detail: str) -> None:
        log.warning("task failed", task=task, reason=reason.code, detail=detail)
        self._dispatch(FailFetch(task=task, reason=reason, detail=detail))


class _WholeFile:
    """Length and digests of everything that came. Used by one thread at a time."""

    def __init__(self) -> None:
        self.length = 0
        self.md5 = hashlib.md5()
        self.sha256 = hashlib.sha256()

    def add(self, piece: memoryview) -> None:
        self.length += len(piece)
        self.md5.update(piece)
        self.sha256.update(piece)


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A file whose every piece is sealed, not yet judged as a whole."""

    file: PieceFile
    whole: _WholeFile
    etag: str
    last_modified: str


async def _cut(
    chunks: AsyncIterator[bytes], size: int, pieces: trio.MemorySendChannel[memoryview]
) -> None:
    """Send the content on in pieces of ``size`` bytes, the last one shorter; none is one empty.

    Each piece is copied into one buffer: a thread that hashes many small ones must get hold of the
    interpreter between any two of them, and with a busy event loop that takes longer than hashing.
    """
    piece, filled = memoryview(bytearray(size)), 0
    sent = False
    async with pieces:
        async for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                count = min(len(rest), size - filled)
                piece[filled : filled + count] = rest[:count]
                filled += count
                rest = rest[count:]
                if filled == size:
                    await pieces.send(piece)
                    piece, filled, sent = memoryview(bytearray(size)), 0, True
        if filled or not sent:
            await pieces.send(piece[:filled])


def _milliseconds(http_date: str) -> int:
    try:
        return int(parsedate_to_datetime(http_date).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0
