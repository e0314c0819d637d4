"""What the core knows: peers, tasks, downloads, leases. Plain records; ``state`` changes them."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from supernode.core.identity import ClientId, PeerId, TaskId
from supernode.core.pieces import PieceDigest, PieceNumber, piece_count
from supernode.core.reasons import Reason
from supernode.core.swarm import Swarm


class CdnStatus(enum.StrEnum):
    """How far the supernode's own copy of a task is."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    SOURCE_ERROR = "SOURCE_ERROR"


class DownloadStatus(enum.StrEnum):
    """How far one client's download is."""

    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the scheduler may hand out, and how much may be known. Seconds, bytes/s, counts."""

    seed_slots: int = 8
    """Concurrent uploads of the supernode itself, per task."""
    seed_repeats: int = 2
    """Only below so many uploads of a task does it repeat pieces that peers have or will have."""
    peer_slots: int = 5
    """Concurrent uploads of one peer, over all tasks."""
    client_leases: int = 32
    """Pieces one download may have in flight."""
    slowest_rate: int = 64 * 1024
    """A lease lasts as long as a piece takes at this rate …"""
    lease_grace: float = 10.0
    """… and this much longer."""
    overdue_factor: float = 3.0
    """A lease is overdue after so many times what a piece usually takes …"""
    overdue_grace: float = 1.0
    """… and this much longer."""
    most_peers: int = 100_000
    most_tasks: int = 20_000
    most_downloads: int = 500_000
    """Of all tasks together."""
    avoid_peer: float = 60.0
    """How long a client is not sent again to a peer that failed it."""
    avoid_seed: float = 2.0
    """How long a client is not sent again to the seed after that failed it."""


class Secrets:
    """Origin header values: used to fetch, never shown, never encoded by accident."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def reveal(self) -> dict[str, str]:
        """Return the headers with their values; for the origin's eyes only."""
        return dict(self._values)

    def names(self) -> list[str]:
        """Return the header names, which are no secret."""
        return list(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secrets) and self._values == other._values

    def __hash__(self) -> int:
        return hash(frozenset(self._values))

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._values)})"


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a client said about the file it wants."""

    raw_url: str
    task_url: str
    md5: str = ""
    identifier: str = ""
    headers: Secrets = Secrets({})
    call_system: str = ""
    dfdaemon: bool = False


@dataclass(slots=True)
class Peer:
    """A machine that downloads and uploads."""

    id: PeerId
    ip: str
    port: int
    host_name: str
    version: str
    created: float
    serving: set[int] = field(default_factory=set)
    """Open leases that it serves, at most twice as many as it has slots."""
    slots_used: int = 0
    """How many of them are not overdue."""
    free: bool = True
    """Whether it has a free slot; every swarm it is in has a note of that."""
    failures: int = 0
    """Pieces it failed to deliver since the last one it delivered."""
    downloads: set[tuple[TaskId, ClientId]] = field(default_factory=set)


@dataclass(slots=True)
class Lease:
    """One assignment of a piece: ends exactly once.

    One that takes much longer than usual is *overdue*: it stands until its deadline, but the slot
    it had and the copy it promised no longer count, for its client has probably vanished.
    """

    id: int
    task: TaskId
    client: ClientId
    piece: PieceNumber
    holder: ClientId | None
    """The download whose peer serves it; None: the seed."""
    began: float
    overdue_at: float
    deadline: float
    overdue: bool = False


@dataclass(slots=True)
class LastPull:
    """A client's last pull and what it got, so that a lost answer can be given again."""

    question: bytes
    """A digest of what it said."""
    leases: tuple[int, ...]


@dataclass(slots=True)
class Download:
    """One client's download of one task."""

    task: TaskId
    client: ClientId
    peer: PeerId | None
    path: str
    index: int
    """Its place in the swarm's bitsets."""
    status: DownloadStatus = DownloadStatus.RUNNING
    reason: Reason | None = None
    detail: str = ""
    have: int = 0
    """Bitset of the pieces it has."""
    leased: int = 0
    """Bitset of the pieces it is fetching."""
    leases: dict[PieceNumber, Lease] = field(default_factory=dict)
    avoided: dict[PeerId | None, float] = field(default_factory=dict)
    """Peer (None: the seed) → until when."""
    last_pull: LastPull | None = None


@dataclass(slots=True)
class Task:
    """One file, its fetch and its swarm."""

    id: TaskId
    spec: TaskSpec
    created: float
    status: CdnStatus = CdnStatus.WAITING
    reason: Reason | None = None
    detail: str = ""
    length: int | None = None
    """Content bytes, once the origin said so or all have come."""
    piece_size: int | None = None
    """Framed bytes; set once, with the origin's answer."""
    md5: str = ""
    """Of the whole file, once fetched."""
    sha256: str = ""
    digests: dict[PieceNumber, PieceDigest] = field(default_factory=dict)
    serving: set[int] = field(default_factory=set)
    """Open leases that the seed serves, at most twice as many as it has slots."""
    slots_used: int = 0
    """How many of them are not overdue."""
    swarm: Swarm = field(default_factory=Swarm)
    downloads: dict[ClientId, Download] = field(default_factory=dict)
    by_index: dict[int, Download] = field(default_factory=dict)
    """The downloads that are in the swarm, by their index there."""

    @property
    def piece_total(self) -> int | None:
        """How many pieces the file has, once known."""
        if self.length is None or self.piece_size is None:
            return None
        return piece_count(self.length, self.piece_size)
