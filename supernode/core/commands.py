"""Everything that can be asked of the core, and what it answers."""

import enum
from typing import Generic, TypeVar

import msgspec

from supernode.core.identity import ClientId, PeerId, TaskId
from supernode.core.model import TaskSpec
from supernode.core.pieces import PieceDigest
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
    FAILED = "FAILED"
    INVALID = "INVALID"


class Seed(enum.Enum):
    """The supernode itself, where a holder is named."""

    SEED = "seed"


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
    """A peer's copy: whose, and where it is served."""

    peer: PeerId
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
    """

    assignments: tuple[Assignment, ...] = ()
    ended: bool = False


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


class RegisterTask(Command[TaskId], frozen=True, kw_only=True):
    """A client wants a file."""

    spec: TaskSpec
    client: ClientId
    peer: PeerId | None
    path: str


class Pull(Command[Pulled], frozen=True, kw_only=True):
    """A client reports and asks for pieces.

    Args:
        count: how many pieces at most.
        retry: the same pull once more after waiting: its reports have been counted.
    """

    task: TaskId
    client: ClientId
    status: PullStatus = PullStatus.RUNNING
    result: PieceResult | None = None
    reports: tuple[Report, ...] = ()
    count: int = 4
    retry: bool = False


class ReportPiece(Command[None], frozen=True, kw_only=True):
    """A client reports one piece."""

    task: TaskId
    client: ClientId
    report: Report


# By the fetch from the origin


class StartFetch(Command[None], frozen=True, kw_only=True):
    """The fetch of a waiting task begins."""

    task: TaskId


class SizeTask(Command[int], frozen=True, kw_only=True):
    """The origin answered; the answer is the framed piece size in bytes.

    Args:
        length: content bytes; None: the origin does not say.
    """

    task: TaskId
    length: int | None


class CachePiece(Command[None], frozen=True, kw_only=True):
    """The seed's copy of a piece is safe on disk."""

    task: TaskId
    piece: int
    digest: PieceDigest


class FinishFetch(Command[bool], frozen=True, kw_only=True):
    """All bytes came; the answer tells whether they are the right ones."""

    task: TaskId
    length: int
    md5: str
    sha256: str


class FailFetch(Command[None], frozen=True, kw_only=True):
    """The fetch ended without the file."""

    task: TaskId
    reason: Reason
    detail: str


# By time


class Expire(Command[None], frozen=True, kw_only=True):
    """Stop counting on leases that are overdue, end those whose deadline has passed."""
