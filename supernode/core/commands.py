"""Everything that can be asked of the core, and what it answers."""

import enum
from typing import Generic, TypeVar

import msgspec

from supernode.core.identity import ClientId, PartId, PeerId, PreheatId, TaskId
from supernode.core.model import Accusation, Blob, Finding, OriginVersion, PreheatKind, TaskSpec
from supernode.core.pieces import PieceDigest, PieceNumber
from supernode.core.reasons import Reason

A = TypeVar("A")


class Command(msgspec.Struct, Generic[A], frozen=True, kw_only=True):
    """Base of all commands; ``A`` is the type of the answer."""


class PullStatus(enum.StrEnum):
    """Where a client says its download is."""

    STARTED = "STARTED"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"


class PieceResult(enum.StrEnum):
    """How a client fared with a piece."""

    SUCCESS = "SUCCESS"
    SEMISUC = "SEMISUC"
    """It has come, and will be written in a moment; SUCCESS follows, unless it gets lost."""
    FAILED = "FAILED"
    INVALID = "INVALID"


class Seed(enum.Enum):
    """The supernode itself, where a holder is named; encoded as no name can be."""

    SEED = 0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one piece.

    Args:
        field: where the report stands in the request, for error messages.
        piece_range: the piece's framed range.
        holder: whom the client took it from, as it was named to it; None: it does not say.
    """

    field: str
    piece_range: str
    holder: str | Seed | None
    result: PieceResult


class SeedHolder(msgspec.Struct, frozen=True, kw_only=True):
    """The supernode's own copy."""


class PeerHolder(msgspec.Struct, frozen=True, kw_only=True):
    """A peer's copy: whose, by which download, and where it is served."""

    peer: PeerId
    client: ClientId
    ip: str
    port: int
    path: str


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """One piece for a client to fetch."""

    piece_range: str
    piece_size: int
    digest: PieceDigest
    holder: SeedHolder | PeerHolder


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a pull.

    Args:
        assignments: what to fetch.
        ended: nothing will come any more, so there is no point in waiting.
        paused: nothing will come until somebody resumes the task.
    """

    assignments: tuple[Assignment, ...] = ()
    ended: bool = False
    paused: bool = False


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """A piece to be asked of a peer that is accused of not giving it.

    Args:
        generation: of the task.
        since: when the download that offers the piece began; it may begin anew meanwhile.
        digest: what the piece must have.
    """

    accusation: Accusation
    generation: int
    since: float
    holder: PeerHolder
    piece_range: str
    piece_size: int
    digest: PieceDigest


# By peers and their clients


class RegisterPeer(Command[PeerId], frozen=True, kw_only=True):
    """Make a peer known; the same host name, address and port is the same peer."""

    ip: str
    port: int
    host_name: str
    version: str


class RemovePeer(Command[None], frozen=True, kw_only=True):
    """A peer leaves: nobody is sent to it any more."""

    peer: PeerId


class SeePeer(Command[None], frozen=True, kw_only=True):
    """A peer shows that it lives."""

    peer: PeerId


class RegisterTask(Command[TaskId], frozen=True, kw_only=True):
    """A client wants a file.

    Args:
        path: where its peer serves what it has of it.
        pieces: what it has from before, as :func:`supernode.core.pieces.pack_pieces` packs it.
    """

    spec: TaskSpec
    client: ClientId
    peer: PeerId | None
    path: str
    pieces: bytes = b""


class CutTask(Command[int], frozen=True, kw_only=True):
    """Say how a file is cut, though its origin may not have answered; then it stays so.

    The answer is the framed piece size in bytes.
    """

    task: TaskId


class Pull(Command[Pulled], frozen=True, kw_only=True):
    """A client reports and asks for pieces.

    Args:
        count: how many pieces at most.
        retry: the same pull once more after waiting: its reports have been counted.
        remind: whether, when there is nothing else that the client lacks, it is told once more of
            the pieces that it is overdue with: it may have them, and nobody has heard of it.
    """

    task: TaskId
    client: ClientId
    status: PullStatus = PullStatus.RUNNING
    result: PieceResult | None = None
    reports: tuple[Report, ...] = ()
    count: int = 4
    retry: bool = False
    remind: bool = False


class ReportPiece(Command[None], frozen=True, kw_only=True):
    """A client reports one piece."""

    task: TaskId
    client: ClientId
    report: Report


class HoldTask(Command[None], frozen=True, kw_only=True):
    """A peer has the whole file and offers it.

    Args:
        path: where it serves it; empty: where it said when it asked for the file, or where the
            first to ask for it said.
    """

    task: TaskId
    peer: PeerId
    path: str = ""


# By the check of what peers say they have


class SpotCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One piece to look for at a peer, and what it must be."""

    piece: PieceNumber
    piece_range: str
    piece_size: int
    digest: PieceDigest
    holder: PeerHolder


class DrawSpotCheck(Command[SpotCheck | None], frozen=True, kw_only=True):
    """Draw the piece by which a claim is to be checked; the answer is None if it cannot be true."""

    claim: int


class JudgeClaim(Command[None], frozen=True, kw_only=True):
    """A piece of a claim was looked for.

    Args:
        finding: what came of it.
        seen: the same in detail: a digest, a status, what went wrong.
    """

    claim: int
    piece: PieceNumber
    finding: Finding
    seen: str


# By operators


class PauseTask(Command[None], frozen=True, kw_only=True):
    """Hand out nothing of a task, or do so again. A fetch that has begun goes on."""

    task: TaskId
    paused: bool


class PinTask(Command[None], frozen=True, kw_only=True):
    """Let a task never make room for others, or do so again."""

    task: TaskId
    pinned: bool


class RemoveTask(Command[None], frozen=True, kw_only=True):
    """Forget a task; its downloads end, its fetch too.

    Args:
        keep_copy: if the supernode has the whole file, only end the downloads and forget who else
            has it.
    """

    task: TaskId
    reason: Reason
    keep_copy: bool = False


class CreatePreheat(Command[PreheatId], frozen=True, kw_only=True):
    """Have a file or an image fetched; the answer may be an earlier preheat of the same content.

    Args:
        spec: of the file, or of the image's manifest.
        platforms: of an image, in order; empty: all.
        manifest: the digest of the image's manifest, if that is what is wanted.
    """

    spec: TaskSpec
    kind: PreheatKind = PreheatKind.FILE
    platforms: tuple[str, ...] = ()
    manifest: str = ""


class Batched(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a batch: its ID, and the preheats' in the order of the wishes."""

    batch: PreheatId
    preheats: tuple[PreheatId, ...]


class CreateBatch(Command[Batched], frozen=True, kw_only=True):
    """Have several files or images fetched: all of them, or none if one cannot be."""

    wishes: tuple[CreatePreheat, ...]


class RemovePreheat(Command[None], frozen=True, kw_only=True):
    """Forget a preheat, or all of a batch; fetches that nobody else waits for end."""

    preheat: PreheatId


# By the preheat runner


class StartPreheat(Command[None], frozen=True, kw_only=True):
    """Carry a preheat out. A file is fetched, unless it is there; an image is to be resolved."""

    preheat: PreheatId


class ResolvePreheat(Command[None], frozen=True, kw_only=True):
    """The registry has said of which files an image consists.

    Args:
        manifest: the digest of its manifest.
        blobs: no two with the same URL.
    """

    preheat: PreheatId
    manifest: str
    blobs: tuple[Blob, ...]


class BeginPart(Command[TaskId | None], frozen=True, kw_only=True):
    """Have one file of a preheat fetched, unless it is there or coming.

    The answer is a task whose complete file has the same content, if that is better taken over;
    then nothing has happened.

    Args:
        may_copy: whether that is possible.
    """

    part: PartId
    may_copy: bool = True


class CopyTask(Command[int], frozen=True, kw_only=True):
    """The file of a part is on disk: a copy of another task's. It is as if it were being fetched.

    The answer is the generation of the part's task.

    Args:
        source: whose it is a copy of.
    """

    part: PartId
    source: TaskId


class FailPreheat(Command[None], frozen=True, kw_only=True):
    """The preheat cannot be carried out."""

    preheat: PreheatId
    reason: Reason
    detail: str = ""


# By the inspector, which looks into what peers are accused of


class TakeAccusation(Command[Inspection | None], frozen=True, kw_only=True):
    """Look into the next accusation; None: there is none. It counts as settled from now on."""


class JudgePeer(Command[None], frozen=True, kw_only=True):
    """A peer was asked for the piece.

    Args:
        inspection: what was asked for.
        finding: what came of it.
        seen: the same in detail: a digest, a status, what went wrong.
    """

    inspection: Inspection
    finding: Finding
    seen: str


# By the fetch from the origin. ``generation`` tells it from others of the same ID: what a fetch
# still says of a task that has been removed, or asked for again, is refused.


class StartFetch(Command[int], frozen=True, kw_only=True):
    """The fetch of a waiting task begins; the answer is its generation."""

    task: TaskId


class AdoptTask(Command[int], frozen=True, kw_only=True):
    """A file is on disk already: from now on it is as if it were being fetched.

    The answer is its generation.

    Args:
        length: content bytes.
        piece_size: framed bytes.
        last_used: seconds since the epoch.
        digests: what is known of its pieces, in order. The supernode gives none of them before it
            is verified; peers may.
        md5: of the whole file.
        sha256: the same; empty: not known.
        version: by which its origin would tell it from another.
    """

    task: TaskId
    spec: TaskSpec
    length: int
    piece_size: int
    last_used: float
    digests: tuple[PieceDigest, ...] = ()
    md5: str = ""
    sha256: str = ""
    version: OriginVersion = OriginVersion()


class SizeTask(Command[int], frozen=True, kw_only=True):
    """The origin answered; the answer is the framed piece size in bytes.

    Args:
        length: content bytes; None: the origin does not say.
    """

    task: TaskId
    generation: int
    length: int | None
    version: OriginVersion = OriginVersion()


class CachePiece(Command[None], frozen=True, kw_only=True):
    """The seed's copy of a piece is safe on disk."""

    task: TaskId
    generation: int
    piece: int
    digest: PieceDigest


class VerifyPieces(Command[None], frozen=True, kw_only=True):
    """The seed's copies of pieces from an earlier process are what their digests say.

    Args:
        pieces: bitset.
    """

    task: TaskId
    generation: int
    pieces: int


class LosePieces(Command[None], frozen=True, kw_only=True):
    """The seed's copies of pieces turned out to be damaged; peers may still have them.

    Args:
        pieces: bitset.
    """

    task: TaskId
    generation: int
    pieces: int


class ReopenTask(Command[None], frozen=True, kw_only=True):
    """The supernode's copy is damaged beyond repair: the file is fetched once more.

    Whoever downloads it goes on with it, and what is fetched is compared with what is known of it.
    """

    task: TaskId
    generation: int


class ConfirmTask(Command[None], frozen=True, kw_only=True):
    """The origin still has the file that the supernode has, or cannot be asked."""

    task: TaskId
    generation: int


class RenewTask(Command[None], frozen=True, kw_only=True):
    """The origin has another file by now: it is fetched for those who wait."""

    task: TaskId
    generation: int


class FinishFetch(Command[bool], frozen=True, kw_only=True):
    """All bytes came; the answer tells whether they are the right ones."""

    task: TaskId
    generation: int
    length: int
    md5: str
    sha256: str


class FailFetch(Command[None], frozen=True, kw_only=True):
    """The fetch ended without the file."""

    task: TaskId
    generation: int
    reason: Reason
    detail: str


# By time


class Expire(Command[bool], frozen=True, kw_only=True):
    """Let go of what has outlived its time: leases, downloads, peers, tasks, preheats.

    The answer tells whether there is more; so much at once would hold up everybody else.
    """
