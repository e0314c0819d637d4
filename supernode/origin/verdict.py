"""Whether an answer is the file, or the part of it, that was asked for."""

from supernode.core.pieces import piece_count, piece_size_for
from supernode.core.reasons import Reason
from supernode.origin.answer import OriginAnswer
from supernode.origin.errors import OriginError
from supernode.origin.proxy import Proxy
from supernode.origin.ranges import part_length
from supernode.origin.request import OriginRequest

MOST_PIECES = (1 << 31) - 1
"""Clients count pieces in 32 bits. So many are 30 PiB."""


def judge(answer: OriginAnswer, request: OriginRequest, proxy: Proxy | None) -> None:
    """Raise OriginError unless the answer is what was asked for.

    An origin may send the whole file to who asks for a part of it. That is not what this task's
    clients take it for, so it is ORIGIN_STATUS, as is any other part.

    Args:
        answer: its head has been received; is held to the length of the part.
        request: what was asked, redirects followed.
        proxy: what the answer came through, if anything.
    """
    _judge_status(answer.status, request, proxy)
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise OriginError(Reason.ORIGIN_ENCODING, f"{request.place}: {encoding[:64]}")
    if request.range is not None:
        length = part_length(request.range, answer.headers.get("Content-Range", ""))
        several = answer.headers.get("Content-Type", "").lower().startswith("multipart/byteranges")
        if length is None or several:
            problem = f"206 from {request.place}, but not the range that was asked for"
            raise OriginError(Reason.ORIGIN_STATUS, problem)
        answer.expect(length)
    length = answer.length
    if length is not None and piece_count(length, piece_size_for(length)) > MOST_PIECES:
        raise OriginError(Reason.ORIGIN_LENGTH, f"{request.place}: {length} bytes are too many")


def _judge_status(status: int, request: OriginRequest, proxy: Proxy | None) -> None:
    if status == 407 and proxy is not None:
        raise OriginError(Reason.PROXY_REFUSED, f"{proxy} wants other credentials")
    if status in (404, 410):
        raise OriginError(Reason.ORIGIN_NOT_FOUND, f"{status} from {request.place}")
    if status in (401, 403, 407):
        raise OriginError(Reason.ORIGIN_AUTH, f"{status} from {request.place}")
    if status == 200 and request.range is not None:
        problem = f"200 from {request.place}, the whole file, but a range was asked for"
        raise OriginError(Reason.ORIGIN_STATUS, problem)
    if status != (200 if request.range is None else 206):
        raise OriginError(Reason.ORIGIN_STATUS, f"{status} from {request.place}")
