"""What a flood of new small files costs: memory, and how it slows down.

Run by hand: ``python tests/bench/flood.py``; takes some minutes. Ten thousand files of a few KiB,
each asked for by a client of its own, 32 at a time, from an nginx on loopback. The memory is the
daemon's: while they come, when all are there, and when every client has ended its download. Exits
with 1 if it was ever more than 200 MB.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import trio

from tests.bench.at_once import at_once
from tests.bench.footprint import footprint
from tests.e2e.neighbours import Daemon, daemon, nginx
from tests.e2e.persistent_client import PersistentClient

STEPS = 10
SIZE = 3_000
MOST_MB = 200.0
PAGE = 1000
CONFIG = '[peers]\nttl = "1h"\n'
"""That no client counts as silent before the end."""


class Flood:
    """The files, and those who ask for them.

    Args:
        node: who is asked.
        url: of a file; any query makes it another.
        files: how many.
    """

    def __init__(self, node: Daemon, url: str, files: int) -> None:
        self._node = node
        self._call = PersistentClient(node.control, node.data)
        self._url = url
        self._files = files
        self._began = trio.current_time()
        self._tasks: dict[int, str] = {}
        self.most = 0.0
        """The most memory that was seen, in MB."""

    async def run(self) -> None:
        """Ask for all, wait for all, end all downloads."""
        await self._call("GET", "/version")
        self._print("idle")
        for step in range(1, STEPS + 1):
            await at_once(self._ask, range(len(self._tasks), self._files * step // STEPS))
            self._print(f"{len(self._tasks)} asked for")
        there = 0
        while there < self._files:
            await trio.sleep(1)
            before, there = there, await self._there()
            if there * STEPS // self._files > before * STEPS // self._files:
                self._print(f"{there} there")
        await at_once(self._end, range(self._files))
        self._print("all downloads ended")

    async def _ask(self, number: int) -> None:
        asked = {"rawURL": f"{self._url}?{number}", "cID": f"client-{number}"}
        answer = await self._call("POST", "/tasks", asked)
        assert answer.status == 201, answer
        self._tasks[number] = answer.body["ID"]

    async def _end(self, number: int) -> None:
        path = f"/tasks/{self._tasks[number]}/pieces?clientID=client-{number}"
        answer = await self._call("GET", path, {"dfgetTaskStatus": "FINISHED"})
        assert answer.status == 200, answer

    async def _there(self) -> int:
        """Return how many files are there."""
        statuses: Counter[str] = Counter()
        for number in range(-(-self._files // PAGE)):
            page = await self._call("GET", f"/tasks?pageSize={PAGE}&pageNum={number}")
            statuses.update(task["cdnStatus"] for task in page.body)
        assert statuses.keys() <= {"WAITING", "RUNNING", "SUCCESS"}, statuses
        return statuses["SUCCESS"]

    def _print(self, what: str) -> None:
        seconds, taken = trio.current_time() - self._began, footprint(self._node.process.pid)
        self.most = max(self.most, taken.resident)
        print(
            f"{seconds:6.1f} s  {what:20} {taken.resident:6.1f} MB"
            f"  {taken.descriptors:4} descriptors  {taken.threads:2} threads",
            flush=True,
        )


async def main() -> None:
    """Flood, and print what it costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        config = directory / "supernode.toml"
        config.write_text(CONFIG)
        with (
            nginx(directory / "origin") as origin,
            daemon(directory / "node", f"--config={config}") as node,
        ):
            flood = Flood(node, origin.file("small", SIZE), asked.files)
            await flood.run()
    print(f"at most {flood.most:.1f} MB; {MOST_MB:.0f} MB are allowed")
    sys.exit(flood.most > MOST_MB)


if __name__ == "__main__":
    trio.run(main)
