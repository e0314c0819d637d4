"""Which events are kept on disk, and what can be told of those that are not.

Kept are the last ones of those that tell how things stand; what happens to a piece on its way to a
client comes by the thousand, and is over in seconds. So there are *holes* between what is kept, of
events that were not meant to be. Numbers are *lost* if something may be missing that was meant to
be: what is older, what the disk did not take, and what a process that was killed had not written
yet. How many numbers it had given by then nobody knows, so all that it had reserved count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from supernode.core.events import (
    AccusationTaken,
    DownloadSeen,
    Event,
    LeaseExpired,
    LeaseOverdue,
    LeaseReleased,
    PeerSeen,
    PieceArrived,
    PieceAssigned,
    PieceFailed,
    PieceFinished,
    PiecesHeld,
    PiecesOffered,
)
from supernode.journal.rows import Row

TRANSIENT: frozenset[type[Event]] = frozenset(
    {
        AccusationTaken,
        DownloadSeen,
        LeaseExpired,
        LeaseOverdue,
        LeaseReleased,
        PeerSeen,
        PieceArrived,
        PieceAssigned,
        PieceFailed,
        PieceFinished,
        PiecesHeld,
        PiecesOffered,
    }
)
"""Events that are not kept on disk."""

MOST_KEPT = 100_000
"""How many events are kept."""
MOST_READ = 256
"""How many are read at a time."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An event that is kept: its number, and how it is shown."""

    seq: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """Events of these numbers, inclusive, may have been meant to be kept, and are not."""

    first: int
    last: int


Found: TypeAlias = Kept | Lost


@dataclass(frozen=True, slots=True)
class Page:
    """What is known of some numbers.

    Args:
        found: in order; numbers in between are holes.
        last: the last of those numbers.
    """

    found: Sequence[Found]
    last: int


def row_of(found: Found) -> Row:
    """Return the row of an event, or of lost ones."""
    if isinstance(found, Kept):
        return (found.seq, None, found.text)
    return (found.last, found.first, b"")


def found_in(row: Row) -> Found:
    """Return what a row tells."""
    seq, first, text = row
    return Kept(seq, text) if first is None else Lost(first, seq)
