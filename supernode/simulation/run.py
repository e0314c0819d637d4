"""One simulation from the first peer's beginning to the last one's end."""

import random

from supernode.simulation.agenda import Agenda
from supernode.simulation.figures import Figures, figures
from supernode.simulation.file import Copy, File
from supernode.simulation.links import Link, Network
from supernode.simulation.peer import Peer
from supernode.simulation.plan import Plan
from supernode.simulation.supernode import Supernode
from supernode.simulation.world import World

STUCK_SECONDS = 300.0
"""After so long without a new piece nothing will come any more."""


def simulate(plan: Plan) -> Figures:
    """Carry out a plan. The same plan gives the same figures, bit for bit."""
    return Swarm(plan).run()


class Swarm:
    """A supernode and its peers.

    Args:
        plan: what is to be simulated.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # One chance for what the tracker chooses, one for what happens to it.
        self._chance = random.Random(f"{plan.seed} world")  # noqa: S311 - has to be repeatable
        self._agenda = agenda = Agenda()
        tracker_chance = random.Random(f"{plan.seed} tracker")  # noqa: S311 - likewise
        supernode = Supernode(agenda, tracker_chance)
        file = File(plan.size)
        self._world = World(
            agenda=agenda,
            network=Network(agenda),
            supernode=supernode,
            file=file,
            copy=Copy(agenda, supernode, file, origin_rate=plan.origin_rate, rtt=plan.rtt),
            rtt=plan.rtt,
            seed_up=Link(plan.seed_up),
            delivered=self._count,
            running=plan.peers,
        )
        slow = self._some(plan.peers, plan.slowness.peers if plan.slowness else 0)
        self._peers = [
            Peer(self._world, number, Link(self._up(number in slow)), Link(plan.peer_down))
            for number in range(plan.peers)
        ]
        self._begins = plan.arrivals.moments(plan.peers, self._chance)
        self._delivered = 0
        self._stuck_at = self._begins[-1] + STUCK_SECONDS

    def run(self) -> Figures:
        """Let everything happen."""
        for peer, moment in zip(self._peers, self._begins, strict=True):
            self._agenda.at(moment, peer.begin)
        self._agenda.run(self._is_over)
        return figures(self._plan, self._world, self._peers)

    def _is_over(self) -> bool:
        return not self._world.running or self._agenda.now > self._stuck_at

    def _up(self, is_slow: bool) -> float:
        plan = self._plan
        return plan.slowness.up if plan.slowness and is_slow else plan.peer_up

    def _some(self, of: int, count: int) -> list[int]:
        return self._chance.sample(range(of), min(of, count))

    def _count(self, size: int) -> None:
        """Take note that a peer has got a piece of so many bytes."""
        self._stuck_at = max(self._stuck_at, self._agenda.now + STUCK_SECONDS)
        before, self._delivered = self._delivered, self._delivered + size
        if failure := self._plan.failure:
            moment = failure.share * self._plan.peers * self._plan.size
            if before < moment <= self._delivered:
                running = [peer for peer in self._peers if peer.is_running]
                for index in self._some(len(running), failure.peers):
                    running[index].vanish()
