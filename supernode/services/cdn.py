"""The CDN: fetches every task's file from its origin, once, and seals its pieces.

A line of three works on the stream, each stage in order: cut into pieces; digest and write each
piece, which is offered to peers as soon as it is on disk; digest the whole. At most four pieces of
a fetch are in memory: one with each stage, one between the last two. Whatever is slowest holds up
the origin.
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import structlog
import trio

from supernode.core.commands import (
    CachePiece,
    FailFetch,
    FinishFetch,
    RemoveTask,
    SizeTask,
    StartFetch,
)
from supernode.core.errors import InvariantError, NotFound, TaskConflict
from supernode.core.identity import TaskId, without_credentials
from supernode.core.model import CdnStatus, Task, TaskSpec
from supernode.core.pieces import content_size, digest_length, framed_length
from supernode.core.reasons import Reason
from supernode.dispatch import Dispatcher
from supernode.feed import REMOVED, TO_FETCH
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginBody, OriginClient
from supernode.origin.trust import Trust
from supernode.origin.url import origin_key
from supernode.storage.errors import Discarded, StoreError
from supernode.storage.piece_files import PieceFile, PieceStore
from supernode.storage.sidecars import Provenance
from supernode.supervision import first_of

LOOK_AGAIN_SECONDS = 60.0
UNWANTED_SECONDS = 300.0
"""How long a fetch goes on that no client and no preheat waits for."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Fetch(NamedTuple):
    """One pass over an origin's bytes.

    Args:
        generation: tells it from other fetches for the same task ID.
        spec: what is fetched.
        origin: tells origins apart.
    """

    task: TaskId
    generation: int
    spec: TaskSpec
    origin: str


class Cdn:
    """The service. A fetch that fails ends its task, never the service.

    Args:
        dispatch: the door to the tracker.
        store: where pieces go.
        origin: where they come from.
        most_fetches: how many files are fetched at once; each takes up to four pieces of memory.
        most_per_origin: how many of them from one origin, so that a slow one holds up no other.
    """

    def __init__(
        self,
        dispatch: Dispatcher,
        store: PieceStore,
        origin: OriginClient,
        *,
        most_fetches: int = 16,
        most_per_origin: int = 8,
    ) -> None:
        self._dispatch = dispatch
        self._store = store
        self._origin = origin
        self._most_fetches = most_fetches
        self._most_per_origin = most_per_origin
        self._hashers = trio.CapacityLimiter(most_fetches)
        self._begun: set[Fetch] = set()
        self._at_origin: Counter[str] = Counter()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Fetch whatever waits, until cancelled. On cancel a fetch leaves only unsealed bytes."""
        for fetch in list(self._begun):  # before a crash of this service
            await self._give_up(fetch, Reason.INTERNAL, "the fetch was interrupted")
        self._begun.clear()
        self._at_origin.clear()
        slots = trio.Semaphore(self._most_fetches)
        async with trio.open_nursery() as fetches:
            task_status.started()
            while True:
                await slots.acquire()
                task = await self._next_task()
                fetch = self._begin(task)
                fetches.start_soon(self._run_fetch, fetch, slots, name=f"fetch {task}")

    def _begin(self, task: TaskId) -> Fetch:
        spec = self._dispatch.tracker.task(task).spec
        origin = origin_key(spec.raw_url)
        fetch = Fetch(task, self._dispatch(StartFetch(task=task)), spec, origin)
        self._begun.add(fetch)
        self._at_origin[origin] += 1
        return fetch

    async def _next_task(self) -> TaskId:
        while (task := self._dispatch.tracker.next_to_fetch(self._may_begin)) is None:
            again = trio.current_time() + LOOK_AGAIN_SECONDS
            await self._dispatch.feed.wait(TO_FETCH, again)
        return task

    def _may_begin(self, task: Task) -> bool:
        return self._at_origin[origin_key(task.spec.raw_url)] < self._most_per_origin

    async def _run_fetch(self, fetch: Fetch, slots: trio.Semaphore) -> None:
        """Fetch one file, unless its task is removed meanwhile."""
        structlog.contextvars.bind_contextvars(task=fetch.task)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_when_unwanted, fetch, nursery.cancel_scope)
                await self._fetch(fetch)
                nursery.cancel_scope.cancel("done")
        except* InvariantError:
            raise
        except* Exception:
            log.exception("a fetch crashed")
            await self._give_up(fetch, Reason.INTERNAL, "the fetch crashed")
        finally:
            slots.release()
            self._at_origin[fetch.origin] -= 1
            self._dispatch.feed.wake(TO_FETCH)
        self._begun.discard(fetch)

    async def _end_when_unwanted(self, fetch: Fetch, scope: trio.CancelScope) -> None:
        """End a fetch whose task was removed; remove a task that nobody has waited for so long."""
        while self._is_current(fetch):
            tracker = self._dispatch.tracker
            task = tracker.task(fetch.task)
            unused = self._dispatch.clock.now() - task.last_used
            if unused >= UNWANTED_SECONDS and not tracker.has_takers(task):
                self._dispatch(RemoveTask(task=task.id, reason=Reason.TASK_UNWANTED))
                break
            await self._dispatch.feed.wait(REMOVED, trio.current_time() + LOOK_AGAIN_SECONDS)
        log.info("fetch ended: its task was removed")
        scope.cancel("the task was removed")

    def _is_current(self, fetch: Fetch) -> bool:
        try:
            return self._dispatch.tracker.task(fetch.task).generation == fetch.generation
        except NotFound:
            return False

    def _is_running(self, fetch: Fetch) -> bool:
        """Tell whether the fetch has neither ended nor been replaced."""
        tracker = self._dispatch.tracker
        return self._is_current(fetch) and tracker.task(fetch.task).status is CdnStatus.RUNNING

    async def _fetch(self, fetch: Fetch) -> None:
        """Fetch one file, whatever happens ending in SUCCESS or in a failure with its reason."""
        fetched = await self._attempt(fetch)
        if not isinstance(fetched, _Fetched):
            await self._give_up(fetch, *fetched)
        elif self._is_running(fetch):
            await self._finish(fetch, fetched)

    async def _attempt(self, fetch: Fetch) -> "_Fetched | tuple[Reason, str]":
        """Return the file, or why there is none."""
        spec = fetch.spec
        try:
            headers, trust = spec.headers.reveal(), Trust(spec.insecure, spec.root_cas)
            async with self._origin.open(spec.raw_url, headers, trust=trust) as body:
                fetched = await self._take(fetch, body)
        except* (OriginError, StoreError) as errors:
            first = first_of(errors)
            assert isinstance(first, OriginError | StoreError)
            failure = first.reason, first.detail
        except* Exception as errors:
            if self._is_running(fetch):
                log.exception("a fetch failed")
            failure = Reason.INTERNAL, type(first_of(errors)).__name__
        else:
            return fetched
        return failure

    async def _take(self, fetch: Fetch, body: OriginBody) -> "_Fetched":
        """Store the whole body. Raises OriginError and StoreError, possibly in a group."""
        piece_size = self._dispatch(
            SizeTask(task=fetch.task, generation=fetch.generation, length=body.length)
        )
        file = await self._store.create(fetch.task, piece_size)
        await self._check_room(body.length)
        if body.length is not None:
            file.end_known(framed_length(body.length, piece_size))
        whole = _WholeFile()
        cut, to_seal = trio.open_memory_channel[memoryview](0)
        sealed, to_digest = trio.open_memory_channel[memoryview](1)
        async with trio.open_nursery() as nursery, to_digest:
            nursery.start_soon(_cut, body.chunks(), content_size(piece_size), cut)
            nursery.start_soon(self._seal, fetch, file, to_seal, sealed)
            async for piece in to_digest:
                await trio.to_thread.run_sync(whole.add, piece, limiter=self._hashers)
        file.end_known(framed_length(whole.length, piece_size))
        return _Fetched(file, whole, body.etag, body.last_modified)

    async def _check_room(self, length: int | None) -> None:
        """Raise StoreError if the file can never fit, whatever is removed for it."""
        total = (await self._store.disk_use()).total
        if length is not None and length > total:
            detail = f"the file has {length} bytes, the whole disk {total}"
            raise StoreError(Reason.DISK_FULL, detail)

    async def _finish(self, fetch: Fetch, fetched: "_Fetched") -> None:
        """Have the whole judged by its digest."""
        whole = fetched.whole
        right = self._dispatch(
            FinishFetch(
                task=fetch.task,
                generation=fetch.generation,
                length=whole.length,
                md5=whole.md5.hexdigest(),
                sha256=whole.sha256.hexdigest(),
            )
        )
        if right:
            await self._complete(fetched)
        else:
            await self._discard(fetched.file)

    async def _seal(
        self,
        fetch: Fetch,
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
                self._dispatch(
                    CachePiece(
                        task=fetch.task,
                        generation=fetch.generation,
                        piece=number,
                        digest=digest,
                    )
                )
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
                    sha256=task.sha256,
                    call_system=task.spec.call_system,
                    dfdaemon=task.spec.dfdaemon,
                )
            )
        except StoreError as error:
            log.warning("a complete file has no sidecars", problem=str(error))
        except Discarded:
            pass  # its task was removed meanwhile

    async def _give_up(self, fetch: Fetch, reason: Reason, detail: str) -> None:
        """Let the task have failed, if it is still the one."""
        file = self._store.find(fetch.task)
        if file is not None and self._is_running(fetch):
            await self._discard(file)
        with suppress(NotFound, TaskConflict):
            self._dispatch(
                FailFetch(
                    task=fetch.task, generation=fetch.generation, reason=reason, detail=detail
                )
            )

    async def _discard(self, file: PieceFile) -> None:
        try:
            await self._store.discard(file)
        except StoreError as error:
            log.warning("a file could not be removed", problem=str(error))


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
