"""A supernode with a large swarm, in a process of its own: see :mod:`tests.busy_node`."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Busy(NamedTuple):
    """Where it is, and what its clients download."""

    node: str
    task: str


@contextmanager
def busy_node(peers: int, pieces: int, events: int) -> Iterator[Busy]:
    """Run one: so many peers of a file of so many pieces, so many events a second."""
    command = [sys.executable, "-m", "tests.busy_node", str(peers), str(pieces), str(events)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port, task = process.stdout.readline().split()
        yield Busy(f"127.0.0.1:{port}", task)
        process.stdin.close()
        process.wait(20)
