"""How long one scheduling decision takes, and how much memory a swarm does.

Run by hand: ``python tests/bench/scheduler.py``. For each swarm size a flash crowd is
sampled, then a whole download life: the peers hold a random share of the 700 pieces, slots fill and
empty as leases begin and end.
One *decision* is ``Scheduler.room`` and, whether there is room or not, ``choose``; one *pull* is
the command with four pieces: reports counted, events applied.
"""

import gc
import random
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import TypeVar

from supernode.core.commands import (
    CachePiece,
    Command,
    PieceResult,
    Pull,
    RegisterPeer,
    RegisterTask,
    Report,
    SizeTask,
    StartFetch,
)
from supernode.core.identity import ClientId, TaskId
from supernode.core.model import TaskSpec
from supernode.core.pieces import PieceDigest, content_size, piece_range
from supernode.core.scheduler import Scheduler
from supernode.core.tracker import Tracker

A = TypeVar("A")

PIECES = 700
PIECE_SIZE = 15 << 20
LENGTH = PIECES * content_size(PIECE_SIZE) - 1
CROWD_SHARE = 0.03
CROWD_HOLDERS = 70
"""A flash crowd: one peer in so many has its first pieces, the others nothing."""
STAGES = (0.02, 0.25, 0.5, 0.75, 0.98)
DECISIONS = 2_000


class World:
    """A tracker with one task and many peers, driven by its commands alone."""

    def __init__(self, peers: int) -> None:
        self.tracker = Tracker()
        self.chance = random.Random(1)
        self.now = 0.0
        self.clients = [ClientId(f"client-{n}") for n in range(peers)]
        url = "http://origin/file"
        spec = TaskSpec(raw_url=url, task_url=url)
        self.task = TaskId("")
        for n, client in enumerate(self.clients):
            ip = f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"
            register = RegisterPeer(ip=ip, port=15001, host_name=f"h{n}", version="1")
            peer = self.do(register)
            self.task = self.do(
                RegisterTask(spec=spec, client=client, peer=peer, path=f"/peer/file/{n}")
            )
        fetch = self.do(StartFetch(task=self.task))
        self.do(SizeTask(task=self.task, generation=fetch, length=LENGTH))
        for piece in range(PIECES):
            digest = PieceDigest(f"{piece:032x}:{9}")
            self.do(CachePiece(task=self.task, generation=fetch, piece=piece, digest=digest))

    def do(self, command: Command[A]) -> A:
        self.now += 1e-4
        return self.tracker.execute(command, now=self.now, chance=self.chance)[0]

    def fill(self, share: float, one_in: int = 1) -> None:
        """Let one peer in so many hold about ``share`` of the pieces, as if reported."""
        for client in self.clients[::one_in]:
            have = self.tracker.task(self.task).downloads[client].have
            missing = [p for p in range(PIECES) if not have >> p & 1]
            wanted = int(PIECES * share) - have.bit_count()
            self.chance.shuffle(missing)
            for start in range(0, max(0, wanted), 256):
                self.report(client, missing[start : min(start + 256, wanted)])

    def report(self, client: ClientId, pieces: list[int]) -> None:
        reports = tuple(
            Report(
                field="",
                piece_range=piece_range(piece, PIECE_SIZE),
                holder=None,
                result=PieceResult.SUCCESS,
            )
            for piece in pieces
        )
        # No pieces are asked for: only what is reported counts.
        self.do(Pull(task=self.task, client=client, reports=reports, count=0))

    def open_leases(self, client: ClientId) -> list[int]:
        return list(self.tracker.task(self.task).downloads[client].leases)


def resident() -> int:
    """Return this process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measure(peers: int) -> None:
    gc.collect()
    before = resident()
    world = World(peers)
    world.fill(CROWD_SHARE, one_in=CROWD_HOLDERS)
    row(f"{peers} crowd", *sample(world), resident() - before)
    decisions: list[float] = []
    pulls: list[float] = []
    memory = 0
    for share in STAGES:
        world.fill(share)
        memory = max(memory, resident() - before)
        more_decisions, more_pulls = sample(world)
        decisions += more_decisions
        pulls += more_pulls
    row(f"{peers} life", decisions, pulls, memory)


def sample(world: World) -> tuple[list[float], list[float]]:
    """Time decisions of random clients while leases of others begin and end around them."""
    decisions: list[float] = []
    pulls: list[float] = []
    task = world.tracker.task(world.task)
    state = world.tracker._state
    for n in range(DECISIONS):
        client = world.chance.choice(world.clients)
        download = task.downloads[client]
        start = time.perf_counter()
        scheduler = Scheduler(task, download, state.peers, state.limits, world.now, world.chance)
        scheduler.room()
        scheduler.choose()
        decisions.append(time.perf_counter() - start)
        start = time.perf_counter()
        world.do(Pull(task=world.task, client=client, count=4 + n % 2))
        pulls.append(time.perf_counter() - start)
        # Somebody's leases end now and then, so that slots are scarce, but not all taken.
        other = world.chance.choice(world.clients)
        if leased := world.open_leases(other):
            world.report(other, leased[:4])
    return decisions, pulls


def row(name: str, decisions: list[float], pulls: list[float], memory: int) -> None:
    def cut(values: list[float], share: float) -> str:
        return f"{statistics.quantiles(values, n=1000)[int(share * 1000) - 1] * 1e6:8.1f}"

    print(
        f"{name:>13} |"
        f" {cut(decisions, 0.5)} {cut(decisions, 0.99)} {max(decisions) * 1e6:8.1f} |"
        f" {cut(pulls, 0.5)} {cut(pulls, 0.99)} {max(pulls) * 1e6:8.1f} |"
        f" {memory / 1e6:8.1f}"
    )


def main() -> None:
    print("one decision and one pull of four pieces, in microseconds; memory of the core in MB")
    print(f"{'swarm':>13} | {'p50':>8} {'p99':>8} {'max':>8} | {'p50':>8} {'p99':>8} {'max':>8} |")
    for peers in [int(n) for n in sys.argv[1:]] or [10, 1_000, 10_000]:
        measure(peers)


if __name__ == "__main__":
    main()
