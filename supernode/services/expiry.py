"""Expiry: ends what has outlived its deadline, and lets time bring new chances to who waits."""

import trio

from supernode.core.commands import Expire
from supernode.dispatch import Dispatcher

TICK_SECONDS = 1.0


class Expiry:
    """The service. Costs nothing while nothing expires.

    Args:
        dispatch: the door to the tracker.
    """

    def __init__(self, dispatch: Dispatcher) -> None:
        self._dispatch = dispatch

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Let go of what is over once a tick, until cancelled."""
        task_status.started()
        while True:
            while self._dispatch(Expire()):
                await trio.lowlevel.checkpoint()
            self._dispatch.feed.nudge()
            await trio.sleep(TICK_SECONDS)
