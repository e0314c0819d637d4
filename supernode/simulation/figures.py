"""How a simulation went, against what no swarm could surpass."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from supernode.simulation.peer import Peer
from supernode.simulation.plan import Plan
from supernode.simulation.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median, the 99th percentile and the last of the peers that have the file."""

    p50: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Content bytes, by who gave them; and framed ones that were sent in vain."""

    origin: int
    seed: int
    peers: int
    in_vain: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of one simulation.

    Args:
        seconds: from a peer's beginning until it has the file; None: none has it.
        bytes: sent.
        complete: how many peers have the file.
        vanished: how many were made to vanish.
        requests: to the supernode's control port.
        fluid_bound: seconds, see :func:`fluid_bound`.
        fluid_formula: what it is here.
        piece_bound: seconds, see :func:`piece_bound`.
        fluid_efficiency: ``fluid_bound`` divided by ``seconds``.
        piece_efficiency: ``piece_bound`` divided by ``seconds``.
    """

    peers: int
    size: int
    pieces: int
    piece_size: int
    seed: int
    seconds: Spread | None
    bytes: Sent
    complete: int
    vanished: int
    requests: int
    fluid_bound: float
    fluid_formula: str
    piece_bound: float | None
    fluid_efficiency: Spread | None
    piece_efficiency: Spread | None


def fluid_bound(plan: Plan) -> tuple[float, str]:
    """Return in how many seconds no swarm could do it, were the file a fluid, and the formula.

    Of peers that do not begin at once each has its own time, which only its downlink is certain to
    limit.
    """
    down = plan.size / plan.peer_down
    if not plan.arrivals.all_at_once:
        return down, "F/d, the peers not beginning at once"
    slow = min(plan.slowness.peers, plan.peers) if plan.slowness else 0
    peers_up = (plan.peers - slow) * plan.peer_up
    if plan.slowness:
        peers_up += slow * plan.slowness.up
    # Those that vanish need not get the file, but may give of it.
    served = max(1, plan.peers - (plan.failure.peers if plan.failure else 0))
    seed, swarm = plan.size / plan.seed_up, served * plan.size / (plan.seed_up + peers_up)
    if plan.origin_rate is None:
        return max(seed, down, swarm), "max(F/u_seed, F/d, N·F/(u_seed + Σu))"
    origin = plan.size / plan.origin_rate
    return max(origin, seed, down, swarm), "max(F/u_origin, F/u_seed, F/d, N·F/(u_seed + Σu))"


def piece_bound(plan: Plan, pieces: int) -> float | None:
    """Return in how many seconds no swarm could do it piece by piece; None: not known.

    With M pieces ``(1 + ⌊log2 N⌋/M)·F/u``, for a peer gives only pieces that it has. Holds if all
    links are equal, the seed's too, all begin at once and none vanishes.
    """
    is_equal = plan.peer_up == plan.peer_down == plan.seed_up and not plan.slowness
    if not is_equal or not plan.arrivals.all_at_once or plan.failure:
        return None
    return (1 + math.floor(math.log2(plan.peers)) / pieces) * plan.size / plan.peer_up


def figures(plan: Plan, world: World, peers: Sequence[Peer]) -> Figures:
    """Add up what has become of every peer."""
    file = world.file
    seconds = sorted(peer.ended - peer.began for peer in peers if peer.ended is not None)
    spread = _spread(seconds)
    fluid, formula = fluid_bound(plan)
    piecewise = piece_bound(plan, file.pieces)
    return Figures(
        peers=plan.peers,
        size=plan.size,
        pieces=file.pieces,
        piece_size=file.piece_size,
        seed=plan.seed,
        seconds=spread,
        bytes=Sent(
            origin=world.copy.from_origin,
            seed=sum(peer.from_seed for peer in peers),
            peers=sum(peer.from_peers for peer in peers),
            in_vain=round(sum(peer.in_vain for peer in peers)),
        ),
        complete=len(seconds),
        vanished=sum(peer.vanished for peer in peers),
        requests=sum(peer.requests for peer in peers),
        fluid_bound=fluid,
        fluid_formula=formula,
        piece_bound=piecewise,
        fluid_efficiency=_efficiency(fluid, spread),
        piece_efficiency=_efficiency(piecewise, spread),
    )


def _spread(values: Sequence[float]) -> Spread | None:
    """Return the spread of sorted values, by nearest rank."""
    if not values:
        return None

    def rank(share: float) -> float:
        return values[math.ceil(share * len(values)) - 1]

    return Spread(p50=rank(0.5), p99=rank(0.99), max=values[-1])


def _efficiency(bound: float | None, seconds: Spread | None) -> Spread | None:
    if bound is None or seconds is None:
        return None
    return Spread(p50=bound / seconds.p50, p99=bound / seconds.p99, max=bound / seconds.max)
