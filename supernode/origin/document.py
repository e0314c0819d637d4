"""A small answer, received in full: what an origin says rather than what it serves."""

from dataclasses import dataclass

import httpx2
import trio

from supernode.core.reasons import Reason
from supernode.origin.answer import OriginAnswer
from supernode.origin.errors import OriginError

DOCUMENT_SECONDS = 30.0
"""How long all of it may take, once it has begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """An answer, of whatever status.

    Args:
        status: 200 to 599.
        headers: as received.
        content: as received, without any content encoding.
        url: where it is from, redirects followed.
        place: the same as it may be shown.
    """

    status: int
    headers: httpx2.Headers
    content: bytes
    url: httpx2.URL
    place: str


async def received(answer: OriginAnswer, most: int, *, in_part: bool) -> bytes:
    """Return the content.

    Args:
        answer: its head has been received.
        most: bytes that there may be.
        in_part: whether the first so many will do.

    Raises:
        OriginError: ORIGIN_TOO_LONG, ORIGIN_STALLED, ORIGIN_LENGTH or ORIGIN_BROKEN.
    """
    content = bytearray()
    announced = 0 if in_part else answer.length or 0
    try:
        with trio.fail_after(DOCUMENT_SECONDS):
            while max(len(content), announced) <= most and (block := await answer.receive()):
                content += block
    except trio.TooSlowError:
        problem = f"{answer.so_far} within {DOCUMENT_SECONDS:g} s"
        raise OriginError(Reason.ORIGIN_STALLED, problem, may_pass=True) from None
    if max(len(content), announced) > most and not in_part:
        problem = f"{answer.so_far}, at most {most} are taken"
        raise OriginError(Reason.ORIGIN_TOO_LONG, problem)
    return bytes(content[:most])
