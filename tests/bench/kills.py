"""Kills a supernode for minutes, and says which promises that broke.

Run by hand: ``python tests/bench/kills.py --kills 200``; takes about two seconds a kill. The seed
repeats the choices, not the timing. Exits with 1 if a promise was broken.
"""

import argparse
import random
import sys
import tempfile
from functools import partial
from pathlib import Path

import trio

from tests.e2e.killing import kill_again_and_again


def main() -> None:
    """Kill, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--own-sockets", action="store_true", help="that nobody holds meanwhile")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        kill = partial(
            kill_again_and_again,
            Path(directory),
            kills=asked.kills,
            seed=asked.seed,
            held=not asked.own_sockets,
            tell=partial(print, flush=True),
        )
        report = trio.run(kill)
    print(*report.lines(), sep="\n")
    sys.exit(bool(report.promises.broken))


if __name__ == "__main__":
    main()
