"""Preheating: has files fetched before anybody asks for them, and notes how that ended.

The fetch itself is the CDN's, as for any other task: a client that asks for the file meanwhile
joins it.
"""

import trio

from supernode.core.commands import EndPreheat, StartPreheat
from supernode.core.errors import Full, NotFound, TaskConflict
from supernode.core.model import CdnStatus, Preheat, PreheatStatus
from supernode.core.reasons import Reason
from supernode.dispatch import Dispatcher
from supernode.feed import TO_PREHEAT

LOOK_AGAIN_SECONDS = 60.0


class Preheating:
    """The service. Reads from the tracker what is to be begun and what has ended.

    Args:
        dispatch: the door to the tracker.
    """

    def __init__(self, dispatch: Dispatcher) -> None:
        self._dispatch = dispatch

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry preheats on until cancelled."""
        task_status.started()
        while True:
            for preheat in self._dispatch.tracker.unfinished_preheats():
                self._carry_on(preheat)
            await self._dispatch.feed.wait(TO_PREHEAT, trio.current_time() + LOOK_AGAIN_SECONDS)

    def _carry_on(self, preheat: Preheat) -> None:
        """Begin it, or end it if its file has come or will not come."""
        try:
            if preheat.status is PreheatStatus.WAITING:
                self._dispatch(StartPreheat(preheat=preheat.id))
            task = self._dispatch.tracker.task(preheat.task)
        except Full:
            return  # it may be begun later
        except TaskConflict as error:
            self._end(preheat, Reason.TASK_CONFLICT, str(error))
        except NotFound as error:
            self._end(preheat, error.reason or Reason.TASK_DELETED)
        else:
            if task.status is CdnStatus.SUCCESS and not task.doubted:
                self._end(preheat)
            elif task.reason is not None:
                self._end(preheat, task.reason, task.detail)

    def _end(self, preheat: Preheat, reason: Reason | None = None, detail: str = "") -> None:
        self._dispatch(EndPreheat(preheat=preheat.id, reason=reason, detail=detail))
