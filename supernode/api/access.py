"""Every request on the record: a name for it, who asked, and one line when it has been answered."""

import re
import secrets
from typing import cast

import structlog
import trio
from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    HTTPResponseStartEvent,
    HTTPScope,
    WebsocketScope,
)
from structlog.contextvars import bound_contextvars

from supernode.metrics.requests import UNKNOWN, RequestMetrics

_ANSWERED_BY = "supernode.answered_by"
"""Key of the scope: a list for the path of the operation that answers."""
ID_HEADER = b"x-request-id"
_ID = re.compile(rb"[!-~]{1,64}")
_LONGEST_NUMBER = 18

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def recorded(
    app: ASGIFramework,
    scope: HTTPScope | WebsocketScope,
    receive: ASGIReceiveCallable,
    send: ASGISendCallable,
    requests: RequestMetrics,
) -> None:
    """Let ``app`` answer. Whatever is logged meanwhile names the request and the client.

    The line about it has the path, but not the query's values, for they may be secrets. It counts
    before its client can have its end, and so ask how many there were.
    """
    identity = _identity(scope)
    began = trio.current_time()
    status: int | None = None
    sent = 0
    answered_by: list[str] = []
    noted = cast("HTTPScope | WebsocketScope", {**scope, _ANSWERED_BY: answered_by})

    async def send_named(message: ASGISendEvent) -> None:
        nonlocal status, sent
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = [*message["headers"], (ID_HEADER, identity.encode())]
            message = cast("HTTPResponseStartEvent", {**message, "headers": headers})
        elif message["type"] == "http.response.body":
            sent += len(message["body"])
            if not message["more_body"] and status is not None:
                requests.record(
                    answered_by[0] if answered_by else UNKNOWN,
                    status,
                    seconds=trio.current_time() - began,
                    received=_size(cast("HTTPScope", scope)),
                    sent=sent,
                )
        await send(message)

    client = scope.get("client")
    with bound_contextvars(request=identity, remote=client[0] if client else None):
        try:
            await app(noted, receive, send_named)
        finally:
            if scope["type"] == "http":
                log.debug(
                    "answered" if status else "not answered",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    seconds=round(trio.current_time() - began, 6),
                )


def note_handler(scope: HTTPScope, path: str) -> None:
    """Let a request count as answered by the operation of this path, variable parts in braces."""
    cast("dict[str, list[str]]", scope)[_ANSWERED_BY][:] = [path]


def _size(scope: HTTPScope) -> int:
    """Return how many bytes a request has, as v1 counts them: those that mean something."""
    size = len(scope["method"]) + len(scope["raw_path"]) + len(scope["query_string"])
    size += len("HTTP/") + len(scope["http_version"])
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name == b"content-length" and value.isdigit():
            size += int(value[:_LONGEST_NUMBER])
    return size


def _identity(scope: HTTPScope | WebsocketScope) -> str:
    """Return the name that the client gave the request, or one made up."""
    for name, value in scope["headers"]:
        if name.lower() == ID_HEADER and _ID.fullmatch(value):
            return value.decode()
    return secrets.token_hex(6)
