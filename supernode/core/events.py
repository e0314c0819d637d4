"""What happened: the only thing that changes the state, and all that anyone is told.

Facts in the past tense, small, without pointers into the state. ``at`` is seconds since the epoch.
"""

import enum
from typing import ClassVar, Self

import msgspec

from supernode.core.identity import ClientId, PeerId, PreheatId, TaskId
from supernode.core.model import CdnStatus, Finding, OriginVersion, TaskSpec
from supernode.core.pieces import PieceDigest, PieceNumber
from supernode.core.reasons import Reason


class Why(enum.StrEnum):
    """Why the scheduler chose a holder for a piece."""

    PEER = "a peer with a free slot holds it"
    FIRST_COPY = "no peer has it or is fetching it: the seed gives the first copy"
    HOLDERS_FULL = "every peer that holds it is busy, the seed is not"
    HOLDERS_AVOIDED = "every peer that holds it has just failed this client"


class Concern(enum.Enum):
    """Whom an event concerns of those who wait for news of its task."""

    NOBODY = enum.auto()
    ITS_CLIENT = enum.auto()
    """The client that it is about."""
    A_FEW = enum.auto()
    """Some can get a piece now that could not before."""
    EVERYBODY = enum.auto()


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of all events."""

    at: float

    def to_keep(self) -> Self:
        """Return what may be kept of it beyond the moment it happens."""
        return self


class PeerRegistered(Event, frozen=True, kw_only=True, tag="peer.registered"):
    """A peer is known, or known with another version."""

    peer: PeerId
    ip: str
    port: int
    host_name: str
    version: str


class PeerSeen(Event, frozen=True, kw_only=True, tag="peer.seen"):
    """A peer lives: it called, or somebody got a piece from it."""

    peer: PeerId


class PeerFellSilent(Event, frozen=True, kw_only=True, tag="peer.fell_silent"):
    """Nothing was heard of a peer for a while; others come first as holders."""

    peer: PeerId


class PeerLeft(Event, frozen=True, kw_only=True, tag="peer.left"):
    """A peer holds nothing any longer; what it still downloads goes on without it as a holder."""

    peer: PeerId


class PeerExpired(Event, frozen=True, kw_only=True, tag="peer.expired"):
    """Nothing was heard of a peer for long: the same as if it had left."""

    peer: PeerId


class TaskEvent(Event, frozen=True, kw_only=True):
    """Something about a task."""

    task: TaskId
    concerns: ClassVar[Concern] = Concern.NOBODY


class TaskRegistered(TaskEvent, frozen=True, kw_only=True, tag="task.registered"):
    """Somebody asked for a file: for the first time, or again after it failed."""

    generation: int
    spec: TaskSpec
    last_used: float
    """When somebody last asked for it; earlier than now if it was found on disk."""
    adopted: bool
    """Whether it was."""

    def to_keep(self) -> Self:
        """Return it without what is there only for the fetch."""
        return msgspec.structs.replace(self, spec=self.spec.without_means())


class TaskStarted(TaskEvent, frozen=True, kw_only=True, tag="task.started"):
    """The fetch from the origin began."""


class TaskSized(TaskEvent, frozen=True, kw_only=True, tag="task.sized"):
    """The origin answered: how long the file is (None: it does not say), how it is cut."""

    length: int | None
    piece_size: int
    origin_version: OriginVersion = OriginVersion()
    concerns = Concern.EVERYBODY


class TaskFinished(TaskEvent, frozen=True, kw_only=True, tag="task.finished"):
    """Every byte is there and verified."""

    length: int
    md5: str
    sha256: str
    concerns = Concern.EVERYBODY


class TaskDoubted(TaskEvent, frozen=True, kw_only=True, tag="task.doubted"):
    """Somebody asked again for an idle file: its origin is asked whether it still has it so."""

    spec: TaskSpec

    def to_keep(self) -> Self:
        """Return it without what is there only to ask with."""
        return msgspec.structs.replace(self, spec=self.spec.without_means())


class TaskConfirmed(TaskEvent, frozen=True, kw_only=True, tag="task.confirmed"):
    """The file is still what the origin has, as far as can be known."""

    concerns = Concern.EVERYBODY


class TaskFailed(TaskEvent, frozen=True, kw_only=True, tag="task.failed"):
    """The fetch ended without the file; every download of it ends."""

    status: CdnStatus
    reason: Reason
    detail: str
    retry_at: float | None = None
    """Until then the origin, which is to blame, is not asked again."""
    concerns = Concern.EVERYBODY


class TaskPaused(TaskEvent, frozen=True, kw_only=True, tag="task.paused"):
    """Nothing of the task is handed out until it is resumed."""

    concerns = Concern.EVERYBODY


class TaskResumed(TaskEvent, frozen=True, kw_only=True, tag="task.resumed"):
    """The task's pieces are handed out again."""

    concerns = Concern.EVERYBODY


class TaskPinned(TaskEvent, frozen=True, kw_only=True, tag="task.pinned"):
    """The task does not make room for others until it is unpinned."""


class TaskUnpinned(TaskEvent, frozen=True, kw_only=True, tag="task.unpinned"):
    """The task may have to make room for others again."""


class TaskRemoved(TaskEvent, frozen=True, kw_only=True, tag="task.removed"):
    """The task is known no longer, nor are its downloads; the supernode's copy goes."""

    reason: Reason
    concerns = Concern.EVERYBODY


class PieceCached(TaskEvent, frozen=True, kw_only=True, tag="piece.cached"):
    """The seed holds a piece, safe on disk."""

    piece: PieceNumber
    digest: PieceDigest
    concerns = Concern.A_FEW


class PiecesListed(TaskEvent, frozen=True, kw_only=True, tag="pieces.listed"):
    """What an earlier process knew of the pieces is known again; the seed can give none yet."""

    digests: tuple[PieceDigest, ...]
    md5: str
    sha256: str

    def to_keep(self) -> Self:
        """Return it without the digests: there may be very many."""
        return msgspec.structs.replace(self, digests=())


class PiecesVerified(TaskEvent, frozen=True, kw_only=True, tag="pieces.verified"):
    """The seed can give pieces again: its copies are what their digests say."""

    pieces: int
    """Bitset."""
    concerns = Concern.EVERYBODY


class PiecesLost(TaskEvent, frozen=True, kw_only=True, tag="pieces.lost"):
    """The seed can give pieces no longer: its copies are damaged."""

    pieces: int
    """Bitset."""


class ClientEvent(TaskEvent, frozen=True, kw_only=True):
    """Something about one client's download of a task."""

    client: ClientId


class DownloadStarted(ClientEvent, frozen=True, kw_only=True, tag="download.started"):
    """A client began a download, or began it anew."""

    peer: PeerId | None
    path: str


class DownloadSeen(ClientEvent, frozen=True, kw_only=True, tag="download.seen"):
    """A download's client lives, and so does its peer."""


class DownloadFinished(ClientEvent, frozen=True, kw_only=True, tag="download.finished"):
    """A client has every piece."""

    concerns = Concern.ITS_CLIENT


class DownloadFailed(ClientEvent, frozen=True, kw_only=True, tag="download.failed"):
    """A download ended without every piece."""

    reason: Reason
    concerns = Concern.ITS_CLIENT


class DownloadWithdrawn(ClientEvent, frozen=True, kw_only=True, tag="download.withdrawn"):
    """A client's peer no longer offers what it had."""


class DownloadForgotten(ClientEvent, frozen=True, kw_only=True, tag="download.forgotten"):
    """A download that ended a while ago, and offers nothing, is known no longer."""


class ClaimMade(ClientEvent, frozen=True, kw_only=True, tag="claim.made"):
    """A client says that it has pieces from before; if it has a peer, that is to be checked."""

    claim: int
    pieces: int
    """Bitset."""


class ClaimConfirmed(ClientEvent, frozen=True, kw_only=True, tag="claim.confirmed"):
    """A piece that a client's peer was said to have is there: it holds all that it claims."""

    claim: int
    piece: PieceNumber
    peer: PeerId
    concerns = Concern.A_FEW


class ClaimRejected(ClientEvent, frozen=True, kw_only=True, tag="claim.rejected"):
    """What a client claims will not be offered to others."""

    claim: int
    piece: PieceNumber
    """Which was looked for, or is beyond the file's end."""
    peer: PeerId
    finding: Finding
    seen: str
    """A digest, a status, what went wrong."""


class PeerAccused(ClientEvent, frozen=True, kw_only=True, tag="peer.accused"):
    """A client says that a peer did not give it a piece; that is to be looked into."""

    peer: PeerId
    piece: PieceNumber
    holder: ClientId
    """The peer's download by which it offers the piece."""


class AccusationTaken(Event, frozen=True, kw_only=True, tag="accusation.taken"):
    """What a peer is accused of is being looked into, if it may be contacted."""

    peer: PeerId


class PeerCleared(ClientEvent, frozen=True, kw_only=True, tag="peer.cleared"):
    """A peer gave the piece when we asked; the client that accused it is not listened to then."""

    peer: PeerId
    piece: PieceNumber
    false_accusations: int
    distrusted_until: float


class EvidenceFound(ClientEvent, frozen=True, kw_only=True):
    """A peer did not give the piece when we asked either, as the client said."""

    peer: PeerId
    piece: PieceNumber
    finding: Finding
    expected: PieceDigest
    seen: str
    """A digest, a status, what went wrong."""
    strikes: int
    concerns = Concern.A_FEW

    @property
    def text(self) -> str:
        """What was found, in a line."""
        return f"piece {self.piece} of task {self.task}: {self.seen}, not {self.expected}"


class PeerWarned(EvidenceFound, frozen=True, kw_only=True, tag="peer.warned"):
    """A peer did not give what it offers; that alone is no reason to offer it to nobody."""


class PeerQuarantined(EvidenceFound, frozen=True, kw_only=True, tag="peer.quarantined"):
    """A peer gave wrong bytes, or once more not what it offers: it is offered to nobody."""

    until: float


class PeerReleased(Event, frozen=True, kw_only=True, tag="peer.released"):
    """A peer's quarantine is over; it is offered again."""

    peer: PeerId


class PiecesHeld(ClientEvent, frozen=True, kw_only=True, tag="pieces.held"):
    """A client has these pieces, wherever it got them."""

    pieces: int
    """Bitset."""
    concerns = Concern.A_FEW


class PieceAssigned(ClientEvent, frozen=True, kw_only=True, tag="piece.assigned"):
    """A lease began: the client shall take the piece from the holder (None: the seed)."""

    lease: int
    piece: PieceNumber
    holder: ClientId | None
    source: PeerId | None
    """The holder's peer."""
    overdue_at: float
    deadline: float
    why: Why
    copies: int = 0
    """How many peers had the piece, or were getting it: of those at hand, none was rarer."""


class PiecesOffered(ClientEvent, frozen=True, kw_only=True, tag="pieces.offered"):
    """A pull was answered with these leases."""

    question: bytes
    leases: tuple[int, ...]


class PieceFinished(ClientEvent, frozen=True, kw_only=True, tag="piece.finished"):
    """A client has a piece; ends its lease, if one was open."""

    piece: PieceNumber
    lease: int | None
    source: PeerId | None
    """Who gave it, if it was leased; None: the seed."""
    size: int
    """Framed bytes."""
    seconds: float | None
    """Since it was assigned."""
    concerns = Concern.A_FEW


class LeaseEvent(ClientEvent, frozen=True, kw_only=True):
    """Something about a lease: an open one, when it happened."""

    lease: int
    piece: PieceNumber
    source: PeerId | None
    """Who was to give the piece; None: the seed."""
    concerns = Concern.A_FEW


class PieceFailed(LeaseEvent, frozen=True, kw_only=True, tag="piece.failed"):
    """A client could not get a piece from its holder, which it will avoid until then."""

    avoid_until: float


class LeaseOverdue(LeaseEvent, frozen=True, kw_only=True, tag="lease.fell_overdue"):
    """A lease takes so long that nobody counts on it any more; a report of it still counts."""


class LeaseExpired(LeaseEvent, frozen=True, kw_only=True, tag="lease.expired"):
    """Nothing was heard of a lease before its deadline."""


class LeaseReleased(LeaseEvent, frozen=True, kw_only=True, tag="lease.released"):
    """A lease ended without blame."""

    reason: Reason


class PreheatEvent(Event, frozen=True, kw_only=True):
    """Something about a preheat."""

    preheat: PreheatId
    task: TaskId


class PreheatRegistered(PreheatEvent, frozen=True, kw_only=True, tag="preheat.registered"):
    """Somebody wants a file to be there before it is asked for."""

    spec: TaskSpec

    def to_keep(self) -> Self:
        """Return it without what is there only for the fetch."""
        return msgspec.structs.replace(self, spec=self.spec.without_means())


class PreheatStarted(PreheatEvent, frozen=True, kw_only=True, tag="preheat.started"):
    """The preheat's file is being fetched, or is there already."""


class PreheatFinished(PreheatEvent, frozen=True, kw_only=True, tag="preheat.finished"):
    """The preheat's file is there."""


class PreheatFailed(PreheatEvent, frozen=True, kw_only=True, tag="preheat.failed"):
    """The preheat's file could not be fetched."""

    reason: Reason
    detail: str


class PreheatRemoved(PreheatEvent, frozen=True, kw_only=True, tag="preheat.removed"):
    """The preheat is known no longer."""
