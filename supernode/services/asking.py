"""Asking a peer for a piece, as any client would, to see whether it has it.

Where a peer is says whoever registers it, so these requests could be meant for somebody else. They
go nowhere that the URL of a task could not have led: the policy for origins judges every address.
Each is one GET, under the path that others are sent to, without a query and without following
redirects; what comes is weighed and thrown away.
"""

from ipaddress import ip_address

import trio

from supernode.core.commands import PeerHolder
from supernode.core.model import Finding
from supernode.core.pieces import PieceDigest, digest_of
from supernode.dfget.http import (
    HttpClient,
    HttpError,
    StatusError,
    WrongLength,
    piece_headers,
    target_of,
)
from supernode.dfget.rate import TokenBucket
from supernode.origin.policy import OriginPolicy

CONNECT_SECONDS = 3.0
STALL_SECONDS = 5.0
LONGEST_SECONDS = 20.0
"""For a whole piece."""
LONGEST_DETAIL = 200
_HAS_IT_NOT = frozenset({404, 410, 416})
_NO_LIMIT = TokenBucket(0)


def objection(policy: OriginPolicy, holder: PeerHolder) -> str | None:
    """Return why a peer may not be asked; None if it may."""
    return policy.objection(ip_address(holder.ip), holder.port)


async def ask_for_piece(
    holder: PeerHolder, piece_range: str, piece_size: int, digest: PieceDigest
) -> tuple[Finding, str]:
    """Ask a peer for a piece; return what came of it, and that in detail.

    Args:
        holder: whom, and under which path.
        piece_range: framed.
        piece_size: framed bytes; so much memory it takes.
        digest: what the piece must have.
    """
    into = bytearray(piece_size)
    http = HttpClient(connect_timeout=CONNECT_SECONDS)
    try:
        received = await http.fetch(
            (holder.ip, holder.port),
            target_of(holder.path),
            piece_range,
            memoryview(into),
            headers=piece_headers(piece_range, piece_size),
            stall=STALL_SECONDS,
            total=LONGEST_SECONDS,
            limit=_NO_LIMIT,
        )
    except StatusError as error:
        has_not = error.status in _HAS_IT_NOT
        return Finding.MISSING if has_not else Finding.NO_ANSWER, str(error)
    except WrongLength as error:
        return Finding.WRONG, str(error)[:LONGEST_DETAIL]
    except HttpError as error:
        return Finding.NO_ANSWER, str(error)[:LONGEST_DETAIL]
    finally:
        http.close()
    seen = await trio.to_thread.run_sync(digest_of, memoryview(into)[:received])
    return Finding.RIGHT if seen == digest else Finding.WRONG, seen


class Pace:
    """Lets no address be asked too often, however many names it has.

    Args:
        seconds: between two requests to one address.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._asked: dict[tuple[str, int], float] = {}
        """When addresses were asked of late, on Trio's clock, the longest ago first."""

    def next_at(self, address: tuple[str, int]) -> float:
        """Return from when on an address may be asked, on Trio's clock."""
        return self._asked.get(address, -self._seconds) + self._seconds

    def take(self, address: tuple[str, int]) -> bool:
        """Tell whether an address may be asked now, and take note if it is."""
        now = trio.current_time()
        while self._asked:
            oldest = next(iter(self._asked))
            if now - self._asked[oldest] < self._seconds:
                break
            del self._asked[oldest]
        if address in self._asked:
            return False
        self._asked[address] = now
        return True
