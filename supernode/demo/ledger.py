"""Who got what from whom: filled by the swarm as it happens, read by whoever shows it.

Nobody is believed twice: the origin counts what it sends, peers count what they receive, and what
somebody gave is the sum of what the others received from them.
"""

import string
from collections import Counter, deque
from dataclasses import dataclass, field

import msgspec

from supernode.core.pieces import content_size, piece_count, piece_size_for

NAMES = string.ascii_uppercase + string.ascii_lowercase
"""One letter for each peer."""
SEED = "supernode"
RATE_SECONDS = 2.0
"""Over how long a rate is taken; a piece is large, so not much less."""


class Unexpected(Exception):
    """A process said something that cannot be true of this swarm."""


class PieceEvent(msgspec.Struct, frozen=True, tag_field="event", tag="piece"):
    """A peer has verified a piece; ``bytes`` counts content."""

    number: int
    bytes: int
    source: str = msgspec.field(name="from")
    holder: str


class EndEvent(msgspec.Struct, frozen=True, tag_field="event", tag="end"):
    """A peer's download has ended, well or not."""

    ok: bool
    error: str = ""


Event = PieceEvent | EndEvent


@dataclass(slots=True)
class PeerAccount:
    """One peer.

    Args:
        name: a letter.
        port: where it serves pieces; the last part of its ID.
        givers: for each piece, whom it came from: a peer's name, :data:`SEED`, or None: not yet.
        received: content bytes, by giver.
        started: when its process was started, in seconds on any clock.
        ended: when its output was in place, on the same clock; None: not yet.
        error: what it gave as the reason for failing.
        remark: the last thing it said besides; empty if nothing.
        digest_ok: whether its output is the origin's file; None: not looked at yet.
    """

    name: str
    port: int
    givers: list[str | None]
    started: float = 0.0
    received: Counter[str] = field(default_factory=Counter)
    ended: float | None = None
    error: str = ""
    remark: str = ""
    digest_ok: bool | None = None
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def from_seed(self) -> int:
        """Bytes received from the supernode."""
        return self.received[SEED]

    @property
    def from_peers(self) -> int:
        """Bytes received from other peers."""
        return self.received.total() - self.received[SEED]

    def receive(self, number: int, amount: int, giver: str, now: float) -> None:
        """Enter a piece of ``amount`` bytes."""
        self.givers[number] = giver
        self.received[giver] += amount
        self._recent.append((now, amount))

    def rate(self, now: float) -> float:
        """Return the bytes/s of the last seconds."""
        while self._recent and self._recent[0][0] < now - RATE_SECONDS:
            self._recent.popleft()
        return sum(amount for _, amount in self._recent) / RATE_SECONDS


class Ledger:
    """The accounts of one swarm.

    Args:
        size: content bytes of the file.
        ports: one for each peer.
        rate: limit of each peer's up and down link in bytes/s; None: no limit.
    """

    def __init__(self, size: int, ports: list[int], rate: int | None = None) -> None:
        piece_size = piece_size_for(size)
        self.size = size
        self.rate = rate
        self.pieces = piece_count(size, piece_size)
        self.phase = ""
        self.origin_bytes = 0
        self._piece_content = content_size(piece_size)
        self.peers = [
            PeerAccount(name, port, [None] * self.pieces)
            for name, port in zip(NAMES, ports, strict=False)
        ]
        self._names = {str(peer.port): peer.name for peer in self.peers}

    def sent_by_origin(self, amount: int) -> None:
        """Count bytes that left the origin."""
        self.origin_bytes += amount

    def hear(self, peer: PeerAccount, event: Event, now: float) -> None:
        """Enter what a peer says.

        Raises:
            Unexpected: there is no such piece, or no such giver.
        """
        if isinstance(event, EndEvent):
            peer.error = event.error
            if event.ok:
                peer.ended = now
            return
        # A peer's ID ends with the port under which the others reach it.
        known = SEED if event.source == "seed" else self._names.get(event.holder.split("-")[-1])
        if known is None or not 0 <= event.number < self.pieces:
            raise Unexpected(f"peer {peer.name}: piece {event.number} from {event.holder}")
        peer.receive(event.number, event.bytes, known, now)

    def given(self, name: str) -> int:
        """Return the bytes that peers received from ``name``."""
        return sum(peer.received[name] for peer in self.peers)

    @property
    def fetched(self) -> int:
        """How many pieces have left the origin."""
        if self.origin_bytes >= self.size:
            return self.pieces
        return self.origin_bytes // self._piece_content

    @property
    def received(self) -> int:
        """Bytes that all peers have received."""
        return sum(peer.received.total() for peer in self.peers)

    @property
    def began(self) -> float:
        """When the first peer was started; 0: none was yet."""
        return min((peer.started for peer in self.peers if peer.started), default=0.0)

    @property
    def seconds(self) -> float | None:
        """From the first peer's start to the last output in place; None: not all are."""
        ends = [peer.ended for peer in self.peers if peer.ended is not None]
        return max(ends) - self.began if ends and len(ends) == len(self.peers) else None

    @property
    def digests_ok(self) -> bool:
        """Whether every output is the origin's file."""
        return all(peer.digest_ok for peer in self.peers)
