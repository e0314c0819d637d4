"""Heads of plain HTTP/1.1 requests.

Only what every server reads alike is plain: other versions and methods, bodies without a length,
questions before the body, repeated or odd headers and browsers are not. Nothing is made of those
here: they are left to a server that knows all of HTTP.
"""

import re
from dataclasses import dataclass

HEAD_END = b"\r\n\r\n"

_REQUEST_LINE = re.compile(rb"(GET|POST|PUT|DELETE) (/[!-~]*) HTTP/1\.1\r\n")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([!-~\x80-\xff\t ]*)\r\n")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_METHODS = (b"GET ", b"POST ", b"PUT ", b"DELETE ")
_LENGTH = re.compile(r"[0-9]{1,9}")
_NOT_PLAIN = frozenset(
    (
        "transfer-encoding",
        "expect",
        "upgrade",
        "http2-settings",
        # from here on: how a browser is known (wire/browsers.py)
        "origin",
        "sec-fetch-site",
        "accept-language",
    )
)


@dataclass(frozen=True, slots=True)
class HotHead:
    """A plain request without its body.

    Args:
        method: in capitals.
        path: as sent, without the query.
        query: as sent, without the question mark.
        headers: names in lower case.
        length: bytes of the body.
        keep_alive: whether the client may go on with the connection.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    length: int
    keep_alive: bool


def may_be_plain(start: bytes) -> bool:
    """Tell whether a request that begins so may become a plain one."""
    begins = any(start.startswith(method[: len(start)]) for method in _METHODS)
    return begins and not _BARE_LINE_FEED.search(start)


def plain_head(data: bytes, end: int) -> HotHead | None:
    """Return the head of a request; None: it is not plain.

    Args:
        data: the request, from its first byte.
        end: where its headers end: the place of ``HEAD_END``.
    """
    line = _REQUEST_LINE.match(data)
    if line is None:
        return None
    at, end = line.end(), end + 2
    headers: dict[str, str] = {}
    while at < end:
        header = _HEADER.match(data, at, end)
        if header is None:
            return None
        name = header[1].decode("ascii").lower()
        if name in headers or name in _NOT_PLAIN:
            return None
        headers[name] = header[2].decode("latin-1").rstrip()
        at = header.end()
    length = headers.get("content-length", "0")
    connection = headers.get("connection", "keep-alive").lower()
    is_plain = (
        "host" in headers and _LENGTH.fullmatch(length) and connection in ("keep-alive", "close")
    )
    if not is_plain:
        return None
    path, _, query = line[2].decode("ascii").partition("?")
    return HotHead(
        method=line[1].decode("ascii"),
        path=path,
        query=query,
        headers=headers,
        length=int(length),
        keep_alive=connection == "keep-alive",
    )
