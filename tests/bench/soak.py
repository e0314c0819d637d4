"""What a supernode takes up under full load that goes on and on: no slope is promised.

Run by hand: ``python tests/bench/soak.py --minutes 30``; stops by itself. Machines download one
file after the other with dfget; clients join, download, report and leave over HTTP; files are
preheated; the disk is so small that something is always evicted; somebody reads every event. The
slope is that of the line that fits best once the first third is over. Exits with 1 if a download
went wrong.
"""

import argparse
import itertools
import json
import random
import statistics
import sys
import tempfile
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import trio
from trio_websocket import ConnectionClosed, open_websocket

from supernode.demo.processes import end_uploaders
from tests.bench.footprint import footprint
from tests.e2e.acknowledged import Acknowledged
from tests.e2e.downloading import File, Machines
from tests.e2e.neighbours import MIB, Daemon, Origin, daemon, nginx
from tests.e2e.persistent_client import PersistentClient
from tests.e2e.promises import Promises
from tests.e2e.registering import Registering

CONFIG = '[disk]\nhigh = "256MiB"\nlow = "192MiB"\n[peers]\nttl = "1m"\n'
"""That evictions and expiries never cease, and soon are as many as there will be."""
SAMPLE_SECONDS = 10.0
WARM_UP = 1 / 3
GROUPS = ("a", "b")
MACHINES = 3
RATE = "30M"
CHURNING = 8
"""Clients that come and go over HTTP, at a time."""
PREHEAT_SECONDS = 2.0
GRACE_SECONDS = 10.0
PAGE = 1000
MOST_PEERS = 100_000


@dataclass
class Sample:
    """What it took up and knew at a moment.

    Args:
        seconds: since the beginning.
        resident: memory, in MB.
        descriptors: open files.
    """

    seconds: float
    resident: float
    descriptors: int
    threads: int
    peers: int
    tasks: int
    downloads: int
    preheats: int


class Soak:
    """The load.

    Args:
        directory: for the machines' homes.
        node: who bears it.
        origin: of its files.
        seed: of every choice.
    """

    def __init__(self, directory: Path, node: Daemon, origin: Origin, seed: int) -> None:
        self._node = node
        self._chance = random.Random(seed)
        self._call = PersistentClient(node.control, node.data)
        self.promises = Promises()
        self.samples: list[Sample] = []
        self.events = self.clients = self.preheats = 0
        known = Acknowledged()
        registering = Registering(self._call, known, self.promises, self._chance, "")
        self.machines = [
            Machines(name, directory, node.node, known, registering, self.promises, rate=RATE)
            for name in GROUPS
        ]
        large = origin.file("large", 40 * MIB)
        self._large = File(large, (origin.root / "large").read_bytes())
        self._small = origin.file("small", 3 * MIB)
        self._number = 0

    async def run(self, seconds: float) -> None:
        """Load it for so long; let the downloads end."""
        await self._call("GET", "/version")
        async with trio.open_nursery() as load:
            load.start_soon(self._read_events)
            load.start_soon(self._sample)
            load.start_soon(self._preheat)
            for _ in range(CHURNING):
                load.start_soon(self._come_and_go)
            async with trio.open_nursery() as machines:
                for group in self.machines:
                    machines.start_soon(group.run, self._large, MACHINES)
                await trio.sleep(seconds)
                for group in self.machines:
                    group.enough()
            load.cancel_scope.cancel()

    def _url(self) -> str:
        """Return a file's: of three, one is new."""
        if self._chance.random() < 1 / 3:
            self._number += 1
        return f"{self._small}?{max(0, self._number - self._chance.randrange(20))}"

    async def _come_and_go(self) -> None:
        """Be one client after the other, each with a peer."""
        while True:
            self.clients += 1
            number = self.clients
            client = f"client-{number}"
            asked: dict[str, object] = {
                "IP": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
                "hostName": f"host-{number}",
                "port": 15001,
            }
            peer = (await self._call("POST", "/peers", asked)).body["ID"]
            asked = {"rawURL": self._url(), "cID": client, "peerID": peer, "path": f"/{client}"}
            task = (await self._call("POST", "/tasks", asked, wait=5)).body["ID"]
            path = f"/tasks/{task}/pieces?clientID={client}"
            pulled = await self._call("GET", path, wait=5)
            if pulled.status == 200:
                reports = [self._report(piece) for piece in pulled.body]
                await self._call("GET", path, {"reports": reports})
            if self._chance.random() < 0.9:  # the others just vanish
                await self._call("GET", path, {"dfgetTaskStatus": "FINISHED"})
                await self._call("DELETE", f"/peers/{peer}")

    def _report(self, piece: dict[str, Any]) -> dict[str, str]:
        """Return what became of a piece: one in twenty was not to be had."""
        result = "SUCCESS" if self._chance.random() < 0.95 else "FAILED"
        return {"pieceRange": piece["pieceRange"], "dstPID": piece["pID"], "pieceResult": result}

    async def _preheat(self) -> None:
        """Have files fetched; forget some of them by and by."""
        known: list[str] = []
        while True:
            self.preheats += 1
            url = f"{self._small}?preheat={self.preheats}"
            answer = await self._call("POST", "/preheats", {"type": "file", "url": url})
            known.append(answer.body["ID"])
            if len(known) > 50:
                await self._call("DELETE", f"/preheats/{known.pop(0)}")
            await trio.sleep(self._chance.uniform(0, 2 * PREHEAT_SECONDS))

    async def _read_events(self) -> None:
        with suppress(ConnectionClosed):
            async with open_websocket(
                "127.0.0.1", self._node.control, "/events", use_ssl=False
            ) as events:
                while True:
                    json.loads(await events.get_message())
                    self.events += 1

    async def _sample(self) -> None:
        began = trio.current_time()
        print("".join(f"{field.name:>12}" for field in fields(Sample)), flush=True)
        for number in itertools.count(1):
            taken = footprint(self._node.process.pid)
            peers = (await self._call("GET", f"/peers?pageSize={MOST_PEERS}")).body
            tasks = await self._listed("/tasks")
            clients = [await self._listed(f"/tasks/{task['ID']}/clients") for task in tasks]
            sample = Sample(
                trio.current_time() - began,
                taken.resident,
                taken.descriptors,
                taken.threads,
                len(peers),
                len(tasks),
                sum(map(len, clients)),
                len(await self._listed("/preheats")),
            )
            self.samples.append(sample)
            print("".join(f"{value:12.0f}" for value in astuple(sample)), flush=True)
            await trio.sleep_until(began + number * SAMPLE_SECONDS)

    async def _listed(self, path: str) -> list[dict[str, Any]]:
        """Return the entries of a list; none if it is there no longer."""
        listed: list[dict[str, Any]] = []
        while True:
            number = len(listed) // PAGE
            answer = await self._call("GET", f"{path}?pageSize={PAGE}&pageNum={number}")
            page = answer.body if answer.status == 200 else []
            listed += page
            if len(page) < PAGE:
                return listed


def print_slopes(samples: list[Sample]) -> None:
    """Print how much more of each it would be in an hour, from the warmed-up samples."""
    settled = [s for s in samples if s.seconds >= WARM_UP * samples[-1].seconds]
    hours = [sample.seconds / 3600 for sample in settled]
    for field in fields(Sample)[1:]:
        values = [float(getattr(sample, field.name)) for sample in settled]
        slope = statistics.linear_regression(hours, values).slope
        print(f"{field.name:12} {statistics.mean(values):9.1f} on average, {slope:+9.1f} an hour")


async def main() -> None:
    """Soak it, and print the samples and their slopes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        config = directory / "supernode.toml"
        config.write_text(CONFIG)
        with (
            nginx(directory / "origin") as origin,
            daemon(directory / "node", f"--config={config}") as node,
        ):
            soak = Soak(directory, node, origin, asked.seed)
            try:
                await soak.run(asked.minutes * 60)
            finally:
                await end_uploaders(directory, GRACE_SECONDS)
    print_slopes(soak.samples)
    downloads = sum(group.downloads for group in soak.machines)
    print(
        f"{downloads} downloads by dfget, {soak.clients} clients over HTTP,"
        f" {soak.preheats} preheats, {soak.events} events read"
    )
    for promise, broken in soak.promises.broken.items():
        print(f"{promise}: broken {len(broken)} times, at first: {broken[0]}")
    sys.exit(bool(soak.promises.broken))


if __name__ == "__main__":
    trio.run(main)
