"""The CDN: fetches every task's file from its origin, once, and seals its pieces.

Says which files are fetched at a time, and what becomes of each: ``fetching`` has how it comes.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

import structlog
import trio

from supernode.core.commands import FailFetch, FinishFetch, RemoveTask, StartFetch
from supernode.core.errors import InvariantError, NotFound, TaskConflict
from supernode.core.identity import TaskId, origin_key
from supernode.core.model import CdnStatus, TaskSpec
from supernode.core.reasons import Reason
from supernode.dispatch import Dispatcher
from supernode.feed import REMOVED, TO_FETCH
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from supernode.services.fetching import Fetched, Fetching, Tools
from supernode.services.provenance import provenance
from supernode.services.retries import RetryPolicy
from supernode.storage.errors import Discarded, StoreError
from supernode.storage.piece_files import PieceFile, PieceStore
from supernode.supervision import first_of

LOOK_AGAIN_SECONDS = 60.0
UNWANTED_SECONDS = 300.0
"""How long a fetch goes on that no client and no preheat waits for."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def _as_said(_task: TaskId, spec: TaskSpec) -> Mapping[str, str]:
    return spec.headers.reveal()


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
        retries: how often an origin is asked again.
        headers_for: says what an origin is sent, and raises OriginError; what the task's client
            said, unless given.
    """

    def __init__(
        self,
        dispatch: Dispatcher,
        store: PieceStore,
        origin: OriginClient,
        *,
        most_fetches: int = 16,
        most_per_origin: int = 8,
        retries: RetryPolicy | None = None,
        headers_for: Callable[[TaskId, TaskSpec], Awaitable[Mapping[str, str]]] | None = None,
    ) -> None:
        self._dispatch = dispatch
        self._store = store
        self._most_fetches = most_fetches
        self._most_per_origin = most_per_origin
        self._tools = Tools(
            dispatch=dispatch,
            store=store,
            origin=origin,
            hashers=trio.CapacityLimiter(most_fetches),
            retries=retries or RetryPolicy(),
            chance=random.Random(),  # noqa: S311 - it spreads load, it guards nothing
            headers_for=headers_for or _as_said,
        )
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

    def _may_begin(self, origin: str) -> bool:
        return self._at_origin[origin] < self._most_per_origin

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
        if not isinstance(fetched, Fetched):
            await self._give_up(fetch, *fetched)
        elif self._is_running(fetch):
            await self._finish(fetch, fetched)

    async def _attempt(self, fetch: Fetch) -> Fetched | tuple[Reason, str]:
        """Return the file, or why there is none."""
        fetching = Fetching(self._tools, fetch.task, fetch.generation, fetch.spec)
        try:
            return await fetching.run()
        except (OriginError, StoreError) as error:
            return error.reason, error.detail
        except Exception as error:
            if self._is_running(fetch):
                log.exception("a fetch failed")
            return Reason.INTERNAL, type(first_of(error)).__name__

    async def _finish(self, fetch: Fetch, fetched: Fetched) -> None:
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

    async def _complete(self, fetched: Fetched) -> None:
        """Leave the notes by which other tools know the file; it is served with or without."""
        file = fetched.file
        task = self._dispatch.tracker.task(file.task)
        try:
            await file.complete(provenance(task))
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
