"""The watchdog beside an event loop that really stalls."""

import threading

import trio
from structlog.testing import capture_logs
from structlog.typing import EventDict
from trio.testing import wait_all_tasks_blocked

from supernode.services import watchdog
from supernode.services.watchdog import Watchdog

DEADLINE = 20


def hold_up_everybody(told: threading.Event) -> None:
    """Keep the event loop until somebody takes notice."""
    assert told.wait(DEADLINE)


async def stalled_until_told() -> list[EventDict]:
    """Let the loop stall; return what was logged."""
    told = threading.Event()
    with capture_logs() as logs, trio.fail_after(DEADLINE * 2):
        async with trio.open_nursery() as nursery:
            await nursery.start(Watchdog(told.set).run)
            await wait_all_tasks_blocked()  # it looks
            hold_up_everybody(told)
            while len(logs) < 2:  # noqa: ASYNC110 - they are written by the thread
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    return logs


async def test_a_stall_is_named_while_it_lasts_and_measured_after() -> None:
    stalled, goes_on = await stalled_until_told()
    assert stalled["event"] == "event loop stalled"
    assert "integration/test_watchdog.py" in stalled["stack"]
    assert "hold_up_everybody" in stalled["stack"]
    assert "\n" not in stalled["stack"]
    assert goes_on["stalled_seconds"] >= watchdog.LOOK_SECONDS


async def test_a_loop_that_ticks_is_left_alone() -> None:
    with capture_logs() as logs, trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            await nursery.start(Watchdog().run)
            for _ in range(10):
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert not logs
