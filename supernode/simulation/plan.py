"""What is to be simulated."""

import random
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple


class Failure(NamedTuple):
    """Some peers vanish without a word when a share of all bytes has been delivered."""

    peers: int
    share: float


class Slowness(NamedTuple):
    """Some peers have a slower uplink than the others."""

    peers: int
    up: float
    """Bytes/s."""


class Arrivals(NamedTuple):
    """When peers begin: all at once, evenly over so many seconds, or so many a second by chance."""

    spread: float = 0.0
    rate: float = 0.0

    @property
    def all_at_once(self) -> bool:
        """Whether every peer begins when the simulation does."""
        return not self.spread and not self.rate

    def moments(self, peers: int, chance: random.Random) -> list[float]:
        """Return when each peer begins, in order; the first does at 0."""
        if self.rate:
            gaps = (chance.expovariate(self.rate) for _ in range(peers - 1))
            return list(accumulate(gaps, initial=0.0))
        return [self.spread * n / max(1, peers - 1) for n in range(peers)]


AT_ONCE = Arrivals()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One swarm. Rates are bytes/s, of content and framing; what packets add is not counted.

    Args:
        size: content bytes of the file.
        peer_up: uplink of each peer.
        peer_down: downlink of each peer.
        seed_up: uplink of the supernode.
        origin_rate: how fast the file comes from its origin; None: the supernode has it already.
        rtt: seconds from a request to its answer, whoever asks whom.
        arrivals: when the peers begin.
        failure: who vanishes when, if anybody.
        slowness: who is slow, if anybody.
        seed: of all chance.
    """

    peers: int
    size: int
    peer_up: float
    peer_down: float
    seed_up: float
    origin_rate: float | None = None
    rtt: float = 0.001
    arrivals: Arrivals = AT_ONCE
    failure: Failure | None = None
    slowness: Slowness | None = None
    seed: int = 0
