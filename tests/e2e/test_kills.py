"""What a supernode has acknowledged survives its death, whenever that comes.

``tests/bench/kills.py`` does the same for longer.
"""

import random
from pathlib import Path

import pytest
import trio

from tests.e2e.killing import kill_again_and_again
from tests.e2e.promises import Promise

DEADLINE = 300


@pytest.mark.parametrize(
    ("kills", "held"), [(20, True), (5, False)], ids=["sockets of a parent", "sockets of its own"]
)
async def test_a_kill_takes_nothing_that_was_acknowledged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kills: int, held: bool
) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    with capsys.disabled():
        print(f"\nseed {seed}", flush=True)
    with trio.fail_after(DEADLINE):
        report = await kill_again_and_again(tmp_path, kills=kills, seed=seed, held=held)
    with capsys.disabled():
        print(*report.lines(), sep="\n")
    assert report.kills.total() >= kills
    assert report.promises.looked.keys() == set(Promise) - (set() if held else {Promise.REFUSALS})
    assert dict(report.promises.broken) == {}
