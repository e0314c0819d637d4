"""The heartbeat: tells the service manager, as often as it wants, that the event loop runs.

It is a task like any other. A loop that is busy still comes to it; one that stalls does not, and
the manager starts the daemon anew.
"""

import os

import trio

from supernode import notify


async def run(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Tell it until cancelled, twice in the time that the manager allows."""
    allowed = notify.watchdog_seconds(os.environ)
    task_status.started()
    if allowed is None:
        await trio.sleep_forever()
    while True:
        await notify.alive()
        await trio.sleep(allowed / 2)
