"""Revalidation: a complete file that was idle is compared with its origin's before it is given out.

One request that the origin answers without content if nothing has changed. If it has, the file is
fetched anew, for all who wait; so it is if the origin never said by what to compare. An origin that
cannot be asked, or does not say, costs nobody the copy that is there.
"""

import structlog
import trio

from supernode.core.commands import ConfirmTask, RenewTask
from supernode.core.errors import NotFound, TaskConflict
from supernode.core.identity import TaskId
from supernode.core.model import Task
from supernode.dispatch import Dispatcher
from supernode.feed import TO_REVALIDATE
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from supernode.origin.trust import Trust

AT_ONCE = 8
LOOK_AGAIN_SECONDS = 60.0
LONGEST_SECONDS = 15.0
"""How long clients are kept waiting for an origin's word."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Revalidation:
    """The service. Reads from the tracker what is in doubt.

    Args:
        dispatch: the door to the tracker.
        origin: who is asked.
    """

    def __init__(self, dispatch: Dispatcher, origin: OriginClient) -> None:
        self._dispatch = dispatch
        self._origin = origin
        self._asked: set[tuple[TaskId, int]] = set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Settle doubts until cancelled."""
        self._asked.clear()
        limiter = trio.CapacityLimiter(AT_ONCE)
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                for task in self._dispatch.tracker.doubted_tasks():
                    if (task.id, task.generation) not in self._asked:
                        self._asked.add((task.id, task.generation))
                        nursery.start_soon(self._settle, task, limiter)
                again = trio.current_time() + LOOK_AGAIN_SECONDS
                await self._dispatch.feed.wait(TO_REVALIDATE, again)

    async def _settle(self, task: Task, limiter: trio.CapacityLimiter) -> None:
        same = True
        with trio.move_on_after(LONGEST_SECONDS) as scope:
            async with limiter:
                same = await self._is_same(task)
        if scope.cancelled_caught:
            log.warning("an origin does not say whether its file has changed", task=task.id)
        settled = ConfirmTask if same else RenewTask
        try:
            self._dispatch(settled(task=task.id, generation=task.generation))
        except (NotFound, TaskConflict):
            pass  # the task was removed meanwhile
        finally:
            self._asked.discard((task.id, task.generation))

    async def _is_same(self, task: Task) -> bool:
        spec = task.spec
        trust = Trust(spec.insecure, spec.root_cas)
        try:
            return await self._origin.still_has(
                spec.raw_url, spec.headers.reveal(), task.version, trust=trust
            )
        except OriginError as error:
            log.warning(
                "an origin cannot be asked whether its file has changed; the copy is given out",
                task=task.id,
                reason=error.reason.code,
                detail=error.detail,
            )
            return True
