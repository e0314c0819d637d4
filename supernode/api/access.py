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

ID_HEADER = "x-request-id"
_ID = re.compile(r"[!-~]{1,64}")

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
        """Log that the request has been answered, or not (None)."""
        log.debug(
            "answered" if status else "not answered",
            method=self.method,
            path=self.path,
            status=status,
            seconds=round(trio.current_time() - self.began, 6),
        )


async def recorded(
    app: ASGIFramework,
    scope: HTTPScope | WebsocketScope,
    receive: ASGIReceiveCallable,
    send: ASGISendCallable,
) -> None:
    """Let ``app`` answer, which it does in a task of its own, and keep the record."""
    headers = {name.decode("latin-1").lower(): v.decode("latin-1") for name, v in scope["headers"]}
    client = scope.get("client")
    method = scope["method"] if scope["type"] == "http" else "GET"
    record = Record.begun(method, scope["path"], headers, client[0] if client else None)
    status: int | None = None

    async def send_named(message: ASGISendEvent) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            named = [*message["headers"], (ID_HEADER.encode(), record.identity.encode())]
            message = cast("HTTPResponseStartEvent", {**message, "headers": named})
        await send(message)

    try:
        await app(scope, receive, send_named)
    finally:
        if scope["type"] == "http":
            record.close(status)
        unbind_contextvars("request", "remote")
