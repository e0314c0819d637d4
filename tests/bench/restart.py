"""How long a supernode that was killed takes to serve again, and what it takes up then.

Run by hand: ``python tests/bench/restart.py``; takes some minutes, most of them to make 10,000 and
then 100,000 downloads known, over HTTP as clients do. Each has the first of two pieces. The time is
from exec to the first answer, on a socket that was held meanwhile; beside it stands what a start
with nothing to know takes, and how much of each the process computed.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import trio

from tests.bench.at_once import at_once
from tests.bench.footprint import footprint
from tests.e2e.neighbours import MIB, Daemon, daemon, nginx
from tests.e2e.persistent_client import PersistentClient

FILE = 5 * MIB
FIRST_PIECE = f"0-{4 * MIB - 1}"
STARTS = 5
PAGE = 1000
CONFIG = '[peers]\nttl = "10h"\n'
"""That nobody is forgotten for having been silent while the others were made known."""


class Crowd:
    """Those whom a supernode is to know again.

    Args:
        node: who is told of them.
        url: of a file; any query makes it another.
        peers: how many; each downloads as much as the others.
        tasks: how many.
    """

    def __init__(self, node: Daemon, url: str, peers: int, tasks: int) -> None:
        self._call = PersistentClient(node.control, node.data)
        self._urls = [f"{url}?{number}" for number in range(tasks)]
        self._tasks: list[str] = []
        self._peers: list[str] = []
        self._most_peers = peers
        self._downloads = 0

    async def grow(self, downloads: int) -> None:
        """Let there be so many running downloads."""
        await at_once(self._join, range(len(self._peers), self._most_peers))
        await at_once(self._download, range(self._downloads, downloads))
        self._downloads = downloads

    async def _join(self, number: int) -> None:
        ip = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        asked = {"IP": ip, "hostName": f"host-{number}", "port": 15001}
        answer = await self._call("POST", "/peers", asked)
        self._peers.append(answer.body["ID"])

    async def _download(self, number: int) -> None:
        client, peer = f"client-{number}", self._peers[number % len(self._peers)]
        asked = {
            "rawURL": self._urls[number % len(self._urls)],
            "cID": client,
            "peerID": peer,
            "path": f"/peer/file/{client}",
        }
        answer = await self._call("POST", "/tasks", asked, wait=20)
        task = answer.body["ID"]
        path = f"/tasks/{task}/pieces/{FIRST_PIECE}"
        told = {"clientID": client, "pieceStatus": "SUCCESS"}
        with trio.fail_after(60):  # until the piece has come from the origin
            while (await self._call("PUT", path, told)).status != 200:
                await self._call("GET", f"/tasks/{task}/pieces?clientID={client}", wait=10)

    async def known(self) -> str:
        """Return how many of them are known."""
        peers = await self._call("GET", f"/peers?pageSize={10 * self._most_peers}")
        tasks = (await self._call("GET", f"/tasks?pageSize={PAGE}")).body
        clients = 0
        for task in tasks:
            for number in range(-(-self._downloads // PAGE)):
                path = f"/tasks/{task['ID']}/clients?pageSize={PAGE}&pageNum={number}"
                some = len((await self._call("GET", path)).body)
                clients += some
                if some < PAGE:
                    break
        return f"{len(peers.body)} peers, {len(tasks)} tasks, {clients} downloads"


def print_starts(node: Daemon) -> None:
    """Kill it and start it again, some times; print what that took, and takes up."""
    seconds, computed = [], []
    for _ in range(STARTS):
        node.kill()
        began = time.perf_counter()
        node.start()
        node.get("/version")
        seconds.append(time.perf_counter() - began)
        computed.append(footprint(node.process.pid).processor)
    print(
        f"serves again after {statistics.median(seconds):.2f} s, at most {max(seconds):.2f} s,"
        f" of which it computed {statistics.median(computed):.2f} s: {memory(node):.1f} MB",
        flush=True,
    )


async def main() -> None:
    """Print both figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=int, default=10_000)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--downloads", type=int, nargs="+", default=[10_000, 100_000])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        config = directory / "supernode.toml"
        config.write_text(CONFIG)
        with (
            nginx(directory / "origin") as origin,
            daemon(directory / "node", f"--config={config}") as node,
        ):
            node.get("/version")
            print_starts(node)
            crowd = Crowd(node, origin.file("file", FILE), asked.peers, asked.tasks)
            for downloads in sorted(asked.downloads):
                await crowd.grow(downloads)
                print(f"killed with {await crowd.known()}: {memory(node):.1f} MB", flush=True)
                print_starts(node)
                print(f"knows {await crowd.known()}", flush=True)


def memory(node: Daemon) -> float:
    """Return the daemon's resident memory, in MB."""
    return footprint(node.process.pid).resident


if __name__ == "__main__":
    trio.run(main)
