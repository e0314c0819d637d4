"""How long a client waits for a piece before it gives its holder up and asks for another.

Holds for the built-in client and for simulated ones. A piece can be had from several peers, so that
one that is much slower than usual, or has vanished, is not worth waiting for. But when several fail
in a row, it is not they who are slow: then patience grows with each, until it is version 1's. What
the supernode gives says nothing about peers, for its link may be much better than theirs.
"""

from typing import NamedTuple

SLOWEST_RATE = 64 << 10
"""Bytes/s. A piece may take as long as it does at this rate …"""
GRACE_SECONDS = 10.0
"""… and this much longer, from whomever it comes."""
STALL_SECONDS = 10.0
"""So long the supernode may send nothing."""
PEER_STALL_SECONDS = 2.0
"""So long a peer may send nothing; a piece from it may take that long in any case …"""
PEER_FACTOR = 3.0
"""… and so many times as long as pieces from peers usually take."""
BAD_LUCK = 3
"""So many peers in a row may fail before patience doubles with each."""
_MOST_DOUBLINGS = 10


class Wait(NamedTuple):
    """When to give a holder up."""

    stall: float
    """Seconds without a byte."""
    total: float
    """Seconds for the piece."""


class Patience:
    """What one download has learned about its holders."""

    def __init__(self) -> None:
        self._usual: float | None = None
        self._failures = 0

    def wait(self, piece_size: int, *, peer: bool) -> Wait:
        """Return how long to wait for a piece.

        Args:
            piece_size: framed bytes.
            peer: whether it comes from a peer, not from the supernode.
        """
        stall, total = STALL_SECONDS, piece_size / SLOWEST_RATE + GRACE_SECONDS
        if not peer:
            return Wait(stall, total)
        growth = 2.0 ** min(max(0, self._failures - BAD_LUCK), _MOST_DOUBLINGS)
        if self._usual is not None:
            total = min(total, growth * max(PEER_STALL_SECONDS, PEER_FACTOR * self._usual))
        return Wait(min(stall, growth * PEER_STALL_SECONDS), total)

    def came(self, seconds: float) -> None:
        """Take note of how long a piece from a peer took (exponential average, 1/4)."""
        self._failures = 0
        before = seconds if self._usual is None else self._usual
        self._usual = before + (seconds - before) / 4

    def failed(self) -> None:
        """Take note that a peer was given up."""
        self._failures += 1
