"""The watchdog: names what the event loop is doing when it does nothing else for long.

The loop ticks; a thread looks whether it does. Looks are counted instead of seconds, so that a
process that was stopped as a whole is not taken for one whose loop stalls.
"""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import PurePath

import structlog
import trio

TICK_SECONDS = 0.25
LOOK_SECONDS = 0.5
LOOKS = 2
"""So many in a row without a new tick, and the loop has stalled for a second."""
QUIET_SECONDS = 60.0
"""How long nothing more is said, nor done, about stalls after one was logged."""
FRAMES = 8
"""How many frames are named, the innermost first."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Watchdog:
    """The service.

    Args:
        stalled: called when a stall was logged, still during it and in a thread; must not fail.
    """

    def __init__(self, stalled: Callable[[], object] = lambda: None) -> None:
        self._stalled = stalled
        self._ticks = 0
        self._loop = 0
        """The thread that is watched."""
        self._over = threading.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch the event loop that this runs on, until cancelled."""
        self._loop = threading.get_ident()
        self._over.clear()
        async with trio.open_nursery() as nursery:
            # A thread of its own, out of the others' count. It ends as soon as it is told.
            nursery.start_soon(
                lambda: trio.to_thread.run_sync(self._look, limiter=trio.CapacityLimiter(1)),
                name="watchdog thread",
            )
            task_status.started()
            try:
                while True:
                    self._ticks += 1
                    await trio.sleep(TICK_SECONDS)
            finally:
                self._over.set()

    def _look(self) -> None:
        """Look whether the loop ticks, until it is over."""
        ticks, ticked_at, vain_looks = self._ticks, time.monotonic(), 0
        logged = False
        quiet_until = ticked_at
        while not self._over.wait(LOOK_SECONDS):
            now = time.monotonic()
            if ticks != self._ticks:
                if logged:
                    log.warning("event loop goes on", stalled_seconds=round(now - ticked_at, 1))
                ticks, ticked_at, vain_looks, logged = self._ticks, now, 0, False
                continue
            vain_looks += 1
            if vain_looks >= LOOKS and now >= quiet_until:
                log.error(
                    "event loop stalled",
                    seconds=round(now - ticked_at, 1),
                    stack=_stack_of(self._loop),
                )
                logged = True
                quiet_until = now + QUIET_SECONDS
                self._stalled()


def _stack_of(thread: int) -> str:
    """Return where a thread is, in one line."""
    frame = sys._current_frames().get(thread)
    places: list[str] = []
    while frame and len(places) < FRAMES:
        file = "/".join(PurePath(frame.f_code.co_filename).parts[-2:])
        places.append(f"{file}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(places)
