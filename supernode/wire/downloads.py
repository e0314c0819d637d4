"""What a request to the data port is answered: decides, sends nothing.

``GET|HEAD /download/<id[0:3]>/<id>`` is all there is. The path names a task, never a file, so
nothing outside the store can be reached. A byte is promised only if it belongs to a sealed piece:

* a range is clipped at the end of the file; if one of its bytes is not sealed yet, 416;
* the whole file is 503 until every piece is sealed;
* as RFC 9110 has it, ``Range`` counts for GET only, and ``If-Range`` never matches, for we name no
  validators.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import httptools

from supernode.core.identity import TaskId, download_path, is_task_id
from supernode.storage.piece_files import PieceFile
from supernode.wire.ranges import ByteRange, parse_range
from supernode.wire.request_head import RequestHead

FindFile = Callable[[TaskId], PieceFile | None]
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes ``[start, stop)`` of a piece file, all of them sealed."""

    file: PieceFile
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; its content is either a text or a part of a file.

    Args:
        status: HTTP status code.
        headers: those that describe the content, without its length.
        content: what is sent after the head, unless the request was HEAD.
    """

    status: int
    headers: Headers
    content: bytes | Part

    @property
    def length(self) -> int:
        """Bytes of the content."""
        match self.content:
            case Part(_, start, stop):
                return stop - start
            case text:
                return len(text)


def refusal(status: int, *headers: tuple[str, str]) -> Reply:
    """Return an answer that says no, in a line of plain text."""
    text = f"{HTTPStatus(status).phrase}\n".encode()
    return Reply(status, (("Content-Type", "text/plain"), *headers), text)


def answer(head: RequestHead, find: FindFile) -> Reply:
    """Return the answer to one request."""
    if head.method not in ("GET", "HEAD"):
        return refusal(405, ("Allow", "GET, HEAD"))
    if head.has_body:
        return refusal(413)
    if head.version == "1.1" and head.hosts != 1:
        return refusal(400)
    task = _task_of(head.target)
    file = find(task) if task else None
    if file is None:
        return refusal(404)
    if head.range is None or head.method != "GET" or head.if_range:
        return _whole(file)
    wanted = parse_range(head.range)
    return _whole(file) if wanted is None else _part(file, wanted)


def _task_of(target: bytes) -> TaskId | None:
    try:
        path = httptools.parse_url(target).path
    except httptools.HttpParserInvalidURLError:
        return None
    task = TaskId((path or b"").decode("latin-1").rpartition("/")[2])
    return task if is_task_id(task) and path == download_path(task).encode() else None


def _whole(file: PieceFile) -> Reply:
    if file.framed_length is None or not file.is_complete:
        return refusal(503, ("Retry-After", "1"))
    return _bytes(200, Part(file, 0, file.framed_length))


def _part(file: PieceFile, wanted: ByteRange) -> Reply:
    length = "*" if file.framed_length is None else str(file.framed_length)
    span = wanted.within(file.framed_length)
    if span is None or not file.covers(*span):
        # A length that is not known has no place in this header (RFC 9110 §14.4).
        known = (("Content-Range", f"bytes */{length}"),) if length != "*" else ()
        return refusal(416, *known)
    start, stop = span
    return _bytes(
        206, Part(file, start, stop), ("Content-Range", f"bytes {start}-{stop - 1}/{length}")
    )


def _bytes(status: int, part: Part, *headers: tuple[str, str]) -> Reply:
    kind = ("Content-Type", "application/octet-stream")
    return Reply(status, (kind, ("Accept-Ranges", "bytes"), *headers), part)
