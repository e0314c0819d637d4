"""Eviction: the disk and the table of tasks stay below their marks; what nobody knows of goes.

Level-triggered: a file whose task is no longer known is discarded, whoever removed the task. When
the high water mark is passed, idle tasks are removed, least recently used first, until the low one
is reached; what running fetches are still going to write counts as written.
"""

import math
from collections.abc import Awaitable, Callable

import structlog
import trio

from supernode.core.commands import RemoveTask
from supernode.core.errors import NotFound
from supernode.core.events import Event
from supernode.core.identity import TaskId
from supernode.core.reasons import Reason
from supernode.daemon_events import DiskCleared, DiskFilled
from supernode.dispatch import Dispatcher
from supernode.feed import REMOVED
from supernode.storage.disk_space import WaterMark, bytes_to_free
from supernode.storage.errors import StoreError
from supernode.storage.piece_files import PieceFile, PieceStore

LOOK_AGAIN_SECONDS = 1.0
SETTLE_SECONDS = 5.0
"""How long the file system is given to show what was freed, before more is: it may free blocks in
the background, and keeps those of a file that somebody is reading."""
FULL = "the disk is too full, and whatever is left is in use"
SPARE_TASKS = 20
"""One in so many of the tasks that may be known is kept free for new ones."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Eviction:
    """The service.

    Args:
        dispatch: the door to the tracker.
        store: where the files are.
        settled: waits until what has happened so far is written down.
        high: how full the disk may get.
        low: how full it is when enough was evicted.
    """

    def __init__(
        self,
        dispatch: Dispatcher,
        store: PieceStore,
        settled: Callable[[], Awaitable[None]],
        *,
        high: WaterMark,
        low: WaterMark,
    ) -> None:
        self._dispatch = dispatch
        self._store = store
        self._settled = settled
        self._high = high
        self._low = low
        self._settled_at = -math.inf
        """On Trio's clock: when what was freed shows."""
        self._trouble = ""
        """What has been complained about and is not over."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look every second, and when a task was removed, until cancelled."""
        task_status.started()
        while True:
            again = trio.current_time() + LOOK_AGAIN_SECONDS
            await self._discard_forgotten()
            self._make_room_for_tasks()
            await self._make_room_on_disk()
            await self._dispatch.feed.wait(REMOVED, again)

    async def _discard_forgotten(self) -> None:
        """Discard the files whose tasks are not known. O(files).

        Not before that is written down: the next process would look for a file that is gone.
        """
        forgotten = [file for file in self._store.files() if not self._is_known(file.task)]
        if forgotten:
            await self._settled()
        for file in forgotten:
            try:
                await self._store.discard(file)
            except StoreError as error:
                log.warning("a file could not be removed", task=file.task, problem=str(error))

    def _is_known(self, task: TaskId) -> bool:
        try:
            self._dispatch.tracker.task(task)
        except NotFound:
            return False
        return True

    def _make_room_for_tasks(self) -> None:
        tracker = self._dispatch.tracker
        most = tracker.limits.most_tasks
        surplus = len(tracker.tasks()) - (most - max(most // SPARE_TASKS, 1))
        if surplus > 0:
            for task, _ in zip(list(tracker.idle_tasks()), range(surplus), strict=False):
                self._evict(task.id)

    async def _make_room_on_disk(self) -> None:
        if trio.current_time() < self._settled_at:
            return
        try:
            wanted = bytes_to_free(await self._store.disk_use(), self._high, self._low)
        except StoreError as error:
            self._complain("it is not known how full the disk is", problem=str(error))
            return
        if not wanted:
            if self._trouble == FULL:
                self._publish(DiskCleared(at=self._dispatch.clock.now()))
            self._trouble = ""
            return
        for file in self._idle_files():
            if wanted <= 0:
                break
            wanted -= file.stored
            self._evict(file.task)
            self._settled_at = trio.current_time() + SETTLE_SECONDS
        if wanted > 0:
            if self._trouble != FULL:
                self._publish(DiskFilled(at=self._dispatch.clock.now(), excess=wanted))
            self._complain(FULL, bytes=wanted)
        await self._discard_forgotten()

    def _idle_files(self) -> list[PieceFile]:
        """Return the files that nobody is using, least recently used first."""
        idle = [self._store.find(task.id) for task in self._dispatch.tracker.idle_tasks()]
        return [file for file in idle if file is not None]

    def _evict(self, task: TaskId) -> None:
        log.info("evicting a task", task=task)
        self._dispatch(RemoveTask(task=task, reason=Reason.TASK_EVICTED))

    def _publish(self, event: Event) -> None:
        self._dispatch.feed.publish([event])

    def _complain(self, trouble: str, **about: object) -> None:
        """Warn, but once until it is over."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning(trouble, **about)
