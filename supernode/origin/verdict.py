"""Whether an answer is the file, or the part of it, that was asked for."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from supernode.core.pieces import piece_count, piece_size_for
from supernode.core.reasons import Reason
from supernode.origin.answer import OriginAnswer
from supernode.origin.errors import NotContinued, OriginError
from supernode.origin.proxy import Proxy
from supernode.origin.ranges import part_length
from supernode.origin.request import OriginRequest
from supernode.origin.resumption import Resumption

MOST_PIECES = (1 << 31) - 1
"""Clients count pieces in 32 bits. So many are 30 PiB."""

_TELLS_WHEN = (429, 503)
_MAY_PASS = (408, 429)
"""And every status from 500 on."""


def judge(
    answer: OriginAnswer,
    request: OriginRequest,
    proxy: Proxy | None,
    resume: Resumption | None = None,
) -> None:
    """Raise OriginError unless the answer is what was asked for.

    An origin may send the whole file to who asks for a part of it. That is not what this task's
    clients take it for, so it is ORIGIN_STATUS, as is any other part. To who resumes a file it may
    send all of it instead; if it sends another part, that is NotContinued.

    Args:
        answer: its head has been received; is held to the length of the part.
        request: what was asked, redirects followed.
        proxy: what the answer came through, if anything.
        resume: what is there already of the file.
    """
    if resume is not None and answer.status == 416:
        raise NotContinued(f"416 from {request.place}, which had more of the file before")
    is_part = request.range is not None and (resume is None or answer.status != 200)
    _judge_status(answer, request, proxy, is_part=is_part)
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise OriginError(Reason.ORIGIN_ENCODING, f"{request.place}: {encoding[:64]}")
    if is_part:
        _judge_part(answer, request, resume)
    length = answer.length
    if length is not None and piece_count(length, piece_size_for(length)) > MOST_PIECES:
        raise OriginError(Reason.ORIGIN_LENGTH, f"{request.place}: {length} bytes are too many")


def _judge_status(
    answer: OriginAnswer, request: OriginRequest, proxy: Proxy | None, *, is_part: bool
) -> None:
    status = answer.status
    if status == 407 and proxy is not None:
        raise OriginError(Reason.PROXY_REFUSED, f"{proxy} wants other credentials")
    if status in (404, 410):
        raise OriginError(Reason.ORIGIN_NOT_FOUND, f"{status} from {request.place}")
    if status in (401, 403, 407):
        raise OriginError(Reason.ORIGIN_AUTH, f"{status} from {request.place}")
    if status == 200 and is_part:
        problem = f"200 from {request.place}, the whole file, but a range was asked for"
        raise OriginError(Reason.ORIGIN_STATUS, problem)
    if status != (206 if is_part else 200):
        wait = _retry_after(answer.headers) if status in _TELLS_WHEN else None
        wish = "" if wait is None else f", which wants to be left alone for {wait:.0f} s"
        raise OriginError(
            Reason.ORIGIN_STATUS,
            f"{status} from {request.place}{wish}",
            may_pass=status in _MAY_PASS or status >= 500,
            retry_after=wait,
        )


def _judge_part(answer: OriginAnswer, request: OriginRequest, resume: Resumption | None) -> None:
    assert request.range is not None
    length = part_length(request.range, answer.headers.get("Content-Range", ""))
    several = answer.headers.get("Content-Type", "").lower().startswith("multipart/byteranges")
    if length is None or several:
        problem = f"206 from {request.place}, but not the range that was asked for"
        raise (
            OriginError(Reason.ORIGIN_STATUS, problem) if resume is None else NotContinued(problem)
        )
    if resume is not None and (objection := resume.objection(answer.headers, length)):
        raise NotContinued(f"206 from {request.place}, {objection}")
    answer.expect(length)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds to wait, if the origin said so; a moment counts from its clock."""
    said = headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdigit():
        return float(said[:9])
    try:
        moments = (parsedate_to_datetime(text) for text in (said, headers.get("Date", "")))
        seconds = [moment.timestamp() for moment in moments]
    except (ValueError, OverflowError):
        return None
    return max(seconds[0] - seconds[1], 0.0)
