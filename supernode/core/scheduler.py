"""Which piece a client takes next, and from whom.

Rarest first with random tie-breaks (Legout et al., "Rarest First and Choke Algorithms Are Enough",
IMC 2006); among holders, the best of a few random ones ("the power of two choices", Mitzenmacher
2001); those that were not heard of for long come last. A peer with a free slot always comes before
the seed. The seed's slots go to pieces nobody
has or is fetching; only while it is nearly idle, it also repeats pieces whose holders are all
busy. A piece that is on its way to a first peer is not repeated: it will be there soon, or its
lease is overdue and no longer counts. A seed that repeated more would send everybody the same
pieces while they are new, and be busy with what peers could give.

Few pieces are under way at a time. On equal links a swarm is fastest if everybody gives one piece
after the other, each at full speed, for only a whole piece can be passed on (Mundinger, Weber and
Weiss, "Optimal Scheduling of Peer-to-Peer File Dissemination", Journal of Scheduling, 2008). But
between two pieces one is reported and the next asked for, which another upload or two must cover;
the slots are a few for that. Nobody takes more than an equal share of all slots, so that downlinks
are as much divided as uplinks and neither waits for the other.
"""

from typing import NamedTuple, Protocol

from supernode.core.events import Why
from supernode.core.identity import ClientId, PeerId
from supernode.core.model import Download, Limits, Peer, Task
from supernode.core.pieces import PieceNumber

_SAMPLES = 4
_FEW = 128


class Chance(Protocol):
    """A source of randomness, as :class:`random.Random`."""

    def getrandbits(self, k: int, /) -> int:
        """Return an integer with ``k`` random bits."""
        ...


class Choice(NamedTuple):
    """One piece and who shall give it (None: the seed)."""

    piece: PieceNumber
    holder: ClientId | None
    why: Why
    copies: int
    """How many peers have the piece, or are getting it."""


def share_of_slots(task: Task, limits: Limits) -> int:
    """Return how many pieces each of those who download a task may have under way.

    The slots of the seed and of all that offer something, divided by all that download: one at
    least.
    """
    slots = limits.seed_slots + limits.peer_slots * task.swarm.offering
    return max(1, slots // task.running)


class Scheduler:
    """Chooses for one client, once or several times in a row while ``task`` changes under it.

    Args:
        task: whose pieces.
        download: for whom.
        peers: all peers.
    """

    __slots__ = (
        "_avoid",
        "_avoid_seed",
        "_chance",
        "_download",
        "_limits",
        "_peers",
        "_task",
    )

    def __init__(
        self,
        task: Task,
        download: Download,
        peers: dict[PeerId, Peer],
        limits: Limits,
        now: float,
        chance: Chance,
    ) -> None:
        self._task = task
        self._download = download
        self._peers = peers
        self._limits = limits
        self._chance = chance
        self._avoid = 1 << download.index
        self._avoid_seed = download.avoided.get(None, now) > now
        for peer, until in download.avoided.items():
            if peer is not None and until > now:
                self._avoid |= self._downloads_of(peer)

    def _downloads_of(self, peer: PeerId) -> int:
        """Return the indexes under which a peer is in this swarm: once for each of its clients."""
        indexes = 0
        if known := self._peers.get(peer):
            for task_id, client in known.downloads:
                if task_id == self._task.id:
                    indexes |= 1 << self._task.downloads[client].index
        return indexes

    def room(self) -> int:
        """Return how many more pieces the client may have in flight; at most 0: none.

        What is overdue, or has come, has given its slot back, and does not count.
        """
        download, limits = self._download, self._limits
        taken = sum(lease.holds_slot for lease in download.leases.values())
        share = share_of_slots(self._task, limits)
        return min(share - taken, limits.client_leases - len(download.leases))

    def choose(self) -> Choice | None:
        """Return the next piece for the client, or None while nobody can give it one.

        Cost: one AND per rarity, one per piece looked at; see ``tests/bench/scheduler.py``.
        """
        download, swarm = self._download, self._task.swarm
        wanted = swarm.known & ~(download.done | download.leased)
        free = swarm.free_holders & ~self._avoid
        seed_free = not self._avoid_seed and self._seed_has_a_slot()
        wanted &= self._within_reach(free, seed_free=seed_free)
        for group in swarm.rarest(wanted):
            left = group
            while left:
                piece = self._random_bit(left)
                left ^= 1 << piece
                if holders := swarm.holders[piece] & free:
                    best = self._best(holders & ~swarm.silent or holders)
                    return Choice(PieceNumber(piece), best.client, Why.PEER, swarm.copies(piece))
                if seed_free and (why := self._why_seed(piece)):
                    return Choice(PieceNumber(piece), None, why, swarm.copies(piece))
        return None

    def _within_reach(self, free: int, *, seed_free: bool) -> int:
        """Return the pieces that somebody may be able to give; looking at others is in vain."""
        swarm = self._task.swarm
        few = free.bit_count() <= _FEW  # then ask them, for nearly everyone is busy
        reach = self._held_by(free) if few else swarm.held
        if seed_free:
            given = swarm.without_copies
            if self._seed_may_repeat() or self._download.avoided:
                given |= swarm.held
            reach |= given & ~swarm.lacking
        return reach

    def _seed_has_a_slot(self) -> bool:
        task, slots = self._task, self._limits.seed_slots
        return task.slots_used < slots and len(task.serving) < 2 * slots

    def _seed_may_repeat(self) -> bool:
        return self._task.slots_used < self._limits.seed_repeats

    def _why_seed(self, piece: int) -> Why | None:
        """Return why the seed, which has a free slot, should give this piece, if it should."""
        swarm = self._task.swarm
        if swarm.lacking >> piece & 1:
            return None
        if swarm.copies(piece) == 0:
            return Why.FIRST_COPY
        holders = swarm.holders[piece]
        if holders and not holders & ~self._avoid:
            return Why.HOLDERS_AVOIDED
        return Why.HOLDERS_FULL if holders and self._seed_may_repeat() else None

    def _held_by(self, indexes: int) -> int:
        held = 0
        while indexes:
            index = indexes.bit_length() - 1
            indexes ^= 1 << index
            held |= self._task.by_index[index].have
        return held

    def _best(self, holders: int) -> Download:
        """Return the best of a few random holders: fewest failures, then most free slots."""
        by_index = self._task.by_index
        best = by_index[self._random_bit(holders)]
        if not holders & (holders - 1):
            return best
        best_rank = self._rank(best)
        for _ in range(_SAMPLES - 1):
            other = by_index[self._random_bit(holders)]
            if (rank := self._rank(other)) < best_rank:
                best, best_rank = other, rank
        return best

    def _rank(self, download: Download) -> tuple[int, int]:
        assert download.peer is not None
        peer = self._peers[download.peer]
        return peer.failures, len(peer.serving)

    def _random_bit(self, bitset: int) -> int:
        """Return a set bit: the first one at or above a random place."""
        start = self._chance.getrandbits(32) % bitset.bit_length()
        above = bitset >> start
        if not above & 1:
            above &= -above
            return start + above.bit_length() - 1
        return start
