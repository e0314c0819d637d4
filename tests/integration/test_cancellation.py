"""Cancelled anywhere, a supernode leaves nothing half done, and another one goes on.

Some steps of each life, other ones every time; ``tests/bench/cancellation.py`` goes through all.
"""

import random
from pathlib import Path

import pytest
import trio

from tests.integration.cancellation import KINDS, BreakingFetch, Lives, Restart, in_small
from tests.integration.scripted_origin import ScriptedOrigin

STEPS = 40
"""How many are tried of each life's several hundred."""


@pytest.mark.parametrize("kind", KINDS)
async def test_a_supernode_may_be_cancelled_anywhere(
    tmp_path: Path, kind: type[BreakingFetch | Restart]
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    with in_small():
        async with trio.open_nursery() as nursery:
            origin = ScriptedOrigin()
            await nursery.start(origin.run, "127.0.0.1")
            lives = Lives(kind(origin), tmp_path)
            count = await lives.prepare()
            assert count > 2 * STEPS
            for step in random.Random(seed).sample(range(1, count + 1), STEPS):
                await lives.cancelled_before(step)
            nursery.cancel_scope.cancel()
