"""Every cancellation point of the lives in ``tests/integration/cancellation.py``.

Run by hand: ``python tests/bench/cancellation.py``; it takes some minutes. With numbers, lives are
cancelled before those steps only. CI tries some of them.
"""

import sys
import tempfile
import traceback
from pathlib import Path

import trio
from structlog.testing import capture_logs

from tests.integration.cancellation import KINDS, Lives, in_small
from tests.integration.scripted_origin import ScriptedOrigin


async def cancel_all(lives: Lives, name: str, steps: list[int]) -> int:
    """Cancel a life before each of these steps, or all; return how often something was wrong."""
    count = await lives.prepare()
    print(f"{name}: {count} steps", flush=True)
    wrong = 0
    for step in steps or range(1, count + 1):
        try:
            with capture_logs():
                await lives.cancelled_before(step)
        except Exception:  # noqa: BLE001 - it is shown, and the next step tried
            wrong += 1
            traceback.print_exc(file=sys.stdout)
    print(f"{name}: {wrong} wrong", flush=True)
    return wrong


async def main() -> int:
    """Cancel all kinds of lives; return how often something was wrong."""
    steps = [int(number) for number in sys.argv[1:]]
    wrong = 0
    with tempfile.TemporaryDirectory() as directory, in_small():
        async with trio.open_nursery() as nursery:
            origin = ScriptedOrigin()
            await nursery.start(origin.run, "127.0.0.1")
            for kind in KINDS:
                lives = Lives(kind(origin), Path(directory, kind.__name__))
                wrong += await cancel_all(lives, kind.__name__, steps)
            nursery.cancel_scope.cancel()
    return wrong


if __name__ == "__main__":
    sys.exit(trio.run(main) and 1)
