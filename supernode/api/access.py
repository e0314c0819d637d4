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

ID_HEADER = b"x-request-id"
_ID = re.compile(rb"[!-~]{1,64}")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def recorded(
    app: ASGIFramework,
    scope: HTTPScope | WebsocketScope,
    receive: ASGIReceiveCallable,
    send: ASGISendCallable,
) -> None:
    """Let ``app`` answer. Whatever is logged meanwhile names the request and the client.

    The line about it has the path, but not the query's values, for they may be secrets.
    """
    identity = _identity(scope)
    began = trio.current_time()
    status: int | None = None

    async def send_named(message: ASGISendEvent) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = [*message["headers"], (ID_HEADER, identity.encode())]
            message = cast("HTTPResponseStartEvent", {**message, "headers": headers})
        await send(message)

    client = scope.get("client")
    with bound_contextvars(request=identity, remote=client[0] if client else None):
        try:
            await app(scope, receive, send_named)
        finally:
            if scope["type"] == "http":
                log.debug(
                    "answered" if status else "not answered",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    seconds=round(trio.current_time() - began, 6),
                )


def _identity(scope: HTTPScope | WebsocketScope) -> str:
    """Return the name that the client gave the request, or one made up."""
    for name, value in scope["headers"]:
        if name.lower() == ID_HEADER and _ID.fullmatch(value):
            return value.decode()
    return secrets.token_hex(6)
