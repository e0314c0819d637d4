"""A swarm of which one in five is bad: the others get the file, and hardly notice.

Rounds of a second: everybody who runs reports, pulls, and has what it was given by the next round,
unless whom it was sent to is bad. The bad are looked into at the pace of the real inspector.
"""

import enum
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import mean

import pytest

from supernode.core.commands import (
    Assignment,
    Command,
    JudgePeer,
    PeerHolder,
    PieceResult,
    Report,
    Seed,
    TakeAccusation,
)
from supernode.core.events import PeerQuarantined
from supernode.core.identity import PeerId
from supernode.core.model import DownloadStatus, Finding, Limits
from supernode.services.inspection import AT_ONCE, SAME_ADDRESS_SECONDS
from tests.world import A, Client, World, number, report

PEERS, PIECES = 50, 50
PARALLEL = 3
"""Pieces fetched at once."""
MOST_ROUNDS = 400
LIMITS = Limits(seed_slots=8, peer_slots=5)
"""Room for all: here a piece takes a round, however many are on their way."""


class Nature(enum.Enum):
    HONEST = enum.auto()
    CORRUPT = enum.auto()
    """Gives wrong bytes."""
    BOASTER = enum.auto()
    """Says from the beginning that it has everything, and has nothing."""
    SLANDERER = enum.auto()
    """Says of every piece it got from a peer that it did not get it."""
    SLOW = enum.auto()
    """Gives nothing before its clients lose patience."""
    VANISHING = enum.auto()
    """Is gone when a quarter of the file has come."""


BAD = [nature for nature in Nature if nature is not Nature.HONEST]
PATIENCE = {Nature.SLOW: 3, Nature.VANISHING: 2}
"""Rounds until a client gives up, as :mod:`supernode.patience` has it."""
FINDINGS = {
    Nature.HONEST: Finding.RIGHT,
    Nature.SLANDERER: Finding.RIGHT,
    Nature.CORRUPT: Finding.WRONG,
    Nature.BOASTER: Finding.MISSING,
    Nature.SLOW: Finding.NO_ANSWER,
    Nature.VANISHING: Finding.NO_ANSWER,
}


class FastWorld(World):
    """One that is not checked after every command."""

    def do(self, command: Command[A]) -> A:
        answer, events = self.tracker.execute(command, now=self.now, chance=self.chance)
        self.events += events
        return answer


@dataclass
class Member:
    """A peer with its download."""

    nature: Nature
    client: Client
    have: int = 0
    reports: list[Report] = field(default_factory=list)
    waiting: list[tuple[int, Assignment]] = field(default_factory=list)
    """What comes to nothing, and in which round that is known."""
    pulls: int = 0
    failures: int = 0
    ended: int | None = None

    @property
    def peer(self) -> PeerId:
        return PeerId(f"{self.client.name}-10.0.0.1-15001")


class Swarm:
    """A supernode that has the file, and its peers.

    Args:
        bad: what some of the peers are like; the others are honest.
        seed: of all chance.
        inspected: whether anybody looks into accusations.
    """

    def __init__(self, bad: Sequence[Nature], seed: int, *, inspected: bool = True) -> None:
        self.world = FastWorld(LIMITS, seed=seed)
        natures = [*bad, *[Nature.HONEST] * (PEERS - len(bad))]
        self.chance = random.Random(seed)
        self.members = [Member(n, self.world.client(f"m{i}")) for i, n in enumerate(natures)]
        self.by_peer = {member.peer: member for member in self.members}
        self.inspected = inspected
        self.asked: dict[PeerId, float] = {}
        self.rounds = 0
        task = self.members[0].client.task
        self.world.cache(task, *range(PIECES), total=PIECES)
        self.world.finish(task, PIECES)
        for member in self.members:
            if member.nature is Nature.BOASTER:
                member.client.has(*range(PIECES))

    def run(self) -> "Swarm":
        while any(member.ended is None for member in self.honest):
            self.rounds += 1
            assert self.rounds < MOST_ROUNDS
            for member in self.chance.sample(self.members, PEERS):
                if self._is_there(member) and member.ended is None:
                    self._turn(member)
            if self.inspected:
                self._inspect()
            self.world.pass_time(1.0)
            self.world.tracker.check()
        return self

    def mean(self, of: Callable[[Member], int]) -> float:
        """Return the mean of something over the honest."""
        return mean(map(of, self.honest))

    @property
    def honest(self) -> list[Member]:
        return [member for member in self.members if member.nature is Nature.HONEST]

    def _is_there(self, member: Member) -> bool:
        return member.nature is not Nature.VANISHING or member.have.bit_count() < PIECES // 4

    def _turn(self, member: Member) -> None:
        for due, lost in list(member.waiting):
            if due <= self.rounds:
                member.waiting.remove((due, lost))
                self._report(member, lost, PieceResult.FAILED)
                member.failures += 1
        room = PARALLEL - len(member.waiting)
        if not room and not member.reports:
            return
        reports, member.reports = member.reports, []
        member.pulls += 1
        pulled = member.client.pull(room, *reports)
        for assignment in pulled.assignments:
            self._fetch(member, assignment)
        if member.client.download.status is DownloadStatus.SUCCESS:
            member.ended = self.rounds

    def _fetch(self, member: Member, assignment: Assignment) -> None:
        source = self._source(assignment)
        piece = number(assignment)
        if source is not None and not self._gives(source, piece):
            patience = PATIENCE.get(source.nature, 1)
            member.waiting.append((self.rounds + patience, assignment))
        elif source is not None and member.nature is Nature.SLANDERER:
            self._report(member, assignment, PieceResult.FAILED)
        else:
            member.have |= 1 << piece
            self._report(member, assignment, PieceResult.SUCCESS)

    def _source(self, assignment: Assignment) -> Member | None:
        holder = assignment.holder
        return self.by_peer[holder.peer] if isinstance(holder, PeerHolder) else None

    def _gives(self, source: Member, piece: int) -> bool:
        if source.nature is Nature.VANISHING:
            return self._is_there(source)
        if source.nature in (Nature.HONEST, Nature.SLANDERER):
            assert source.have >> piece & 1, "offered what it has not said to have"
            return True
        return False

    def _report(self, member: Member, assignment: Assignment, result: PieceResult) -> None:
        source = self._source(assignment)
        member.reports.append(
            Report(
                field="",
                piece_range=assignment.piece_range,
                holder=source.peer if source else Seed.SEED,
                result=result,
            )
        )

    def _inspect(self) -> None:
        looks = 0
        while looks < AT_ONCE and (inspection := self.world.do(TakeAccusation())):
            peer = inspection.accusation.peer
            if self.world.now - self.asked.get(peer, -1e9) < SAME_ADDRESS_SECONDS:
                continue
            self.asked[peer] = self.world.now
            looks += 1
            member = self.by_peer[peer]
            there = member.nature is Nature.VANISHING and self._is_there(member)
            finding = Finding.RIGHT if there else FINDINGS[member.nature]
            self.world.do(JudgePeer(inspection=inspection, finding=finding, seen="seen"))

    def quarantined(self) -> Counter[Nature]:
        events = [event for event in self.world.events if isinstance(event, PeerQuarantined)]
        return Counter(self.by_peer[peer].nature for peer in {event.peer for event in events})


@pytest.mark.parametrize("seed", range(3))
def test_one_in_five_is_bad(seed: int) -> None:
    undisturbed = Swarm([], seed).run()
    swarm = Swarm([BAD[n % len(BAD)] for n in range(PEERS // 5)], seed).run()
    assert all(member.have == (1 << PIECES) - 1 for member in swarm.honest)
    # Who waits for a slow one near the end waits as long as its patience lasts.
    assert swarm.rounds <= undisturbed.rounds + 2 * PATIENCE[Nature.SLOW]
    assert swarm.mean(lambda m: m.pulls) <= 1.25 * undisturbed.mean(lambda m: m.pulls)
    assert swarm.mean(lambda m: m.failures) <= 0.04 * PIECES
    caught = swarm.quarantined()
    assert caught[Nature.CORRUPT] == 2
    assert not caught[Nature.HONEST] + caught[Nature.SLANDERER]


@pytest.mark.parametrize("nature", BAD)
def test_one_in_five_is_bad_in_the_same_way(nature: Nature) -> None:
    undisturbed = Swarm([], 1).run()
    swarm = Swarm([nature] * (PEERS // 5), 1).run()
    assert swarm.rounds <= undisturbed.rounds + 3 * PATIENCE[Nature.SLOW]
    assert swarm.mean(lambda m: m.pulls) <= 1.5 * undisturbed.mean(lambda m: m.pulls)
    assert not swarm.quarantined()[Nature.HONEST]


def test_looking_into_accusations_is_worth_it() -> None:
    natures = [Nature.CORRUPT, Nature.BOASTER] * (PEERS // 10)
    blind = Swarm(natures, 2, inspected=False).run()
    failures = Swarm(natures, 2).run().mean(lambda m: m.failures)
    assert failures <= blind.mean(lambda m: m.failures) / 3


def test_a_flood_leaves_nothing_behind() -> None:
    world = FastWorld()
    holders = [world.client(f"h{n}") for n in range(40)]
    world.cache(holders[0].task, *range(4))
    for client in holders:
        client.has(0, 1, 2, 3)
    flooder = world.client("flooder")
    nonsense = [report(n % 4, PieceResult.FAILED) for n in range(256)]
    for n in range(300):
        flooder.pull(1 + n % 50, *nonsense)
    assert len(flooder.download.leases) <= world.limits.client_leases
    assert len(flooder.download.avoided) <= len(holders) + 1
    assert len(world.tracker._state.deadlines) <= 2 * world.limits.client_leases
    looks = 0
    while inspection := world.do(TakeAccusation()):
        looks += 1
        world.do(JudgePeer(inspection=inspection, finding=Finding.RIGHT, seen=""))
    assert looks == 1  # the rest of what it said counts for nothing
    world.tracker.check()
