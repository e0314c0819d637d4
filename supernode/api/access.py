"""Every request on the record: a name for it, who asked, and one line when it has been answered."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, cast

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
from structlog.contextvars import bind_contextvars, unbind_contextvars

from supernode.metrics.requests import UNKNOWN, RequestMetrics

_ANSWERED_BY = "supernode.answered_by"
"""Key of the scope: a list for the path of the operation that answers."""
ID_HEADER = "x-request-id"
_ID = re.compile(r"[!-~]{1,64}")
_LONGEST_NUMBER = 18

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a request until it has been answered.

    Args:
        method: in capitals.
        path: without the query, whose values may be secrets.
        identity: the name that the client gave the request, or one made up.
        began: on Trio's clock.
    """

    method: str
    path: str
    identity: str
    began: float

    @classmethod
    def begun(cls, method: str, path: str, headers: Mapping[str, str], remote: str | None) -> Self:
        """Begin it. Whatever the present task logs from now on names the request and the client."""
        identity = headers.get(ID_HEADER, "")
        if not _ID.fullmatch(identity):
            identity = secrets.token_hex(6)
        bind_contextvars(request=identity, remote=remote)
        return cls(method, path, identity, trio.current_time())

    def close(self, status: int | None) -> None:
        """Log that the request has been answered, or not (None); other lines are about others."""
        log.debug(
            "answered" if status else "not answered",
            method=self.method,
            path=self.path,
            status=status,
            seconds=round(trio.current_time() - self.began, 6),
        )
        unbind_contextvars("request", "remote")


async def recorded(
    app: ASGIFramework,
    scope: HTTPScope | WebsocketScope,
    receive: ASGIReceiveCallable,
    send: ASGISendCallable,
    requests: RequestMetrics,
) -> None:
    """Let ``app`` answer, which it does in a task of its own, and keep the record.

    It counts before its client can have its end, and so ask how many there were.
    """
    headers = {name.decode("latin-1").lower(): v.decode("latin-1") for name, v in scope["headers"]}
    client = scope.get("client")
    method = scope["method"] if scope["type"] == "http" else "GET"
    record = Record.begun(method, scope["path"], headers, client[0] if client else None)
    status: int | None = None
    sent = 0
    answered_by: list[str] = []
    noted = cast("HTTPScope | WebsocketScope", {**scope, _ANSWERED_BY: answered_by})

    async def send_named(message: ASGISendEvent) -> None:
        nonlocal status, sent
        if message["type"] == "http.response.start":
            status = message["status"]
            named = [*message["headers"], (ID_HEADER.encode(), record.identity.encode())]
            message = cast("HTTPResponseStartEvent", {**message, "headers": named})
        elif message["type"] == "http.response.body":
            sent += len(message["body"])
            if not message["more_body"] and status is not None:
                requests.record(
                    answered_by[0] if answered_by else UNKNOWN,
                    status,
                    seconds=trio.current_time() - record.began,
                    received=_size(cast("HTTPScope", scope)),
                    sent=sent,
                )
        await send(message)

    try:
        await app(noted, receive, send_named)
    finally:
        if scope["type"] == "http":
            record.close(status)
        else:
            unbind_contextvars("request", "remote")


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
