"""The gate: which requests reach the app, on HTTP/1.1, HTTP/2 and websockets alike."""

import json

import structlog
import trio
from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGISendCallable,
    HTTPScope,
    Scope,
    WebsocketScope,
)

from supernode.wire.browsers import BrowserRule

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def gated(app: ASGIFramework, rule: BrowserRule, *, max_header: int) -> ASGIFramework:
    """Wrap ``app``: what must not reach it is answered 403 or 431, a websocket before it opens.

    Args:
        app: what is behind the gate.
        rule: which requests of browsers may pass.
        max_header: bytes of a request's target and headers together. Parsers apply their own limit
            only to what arrives in parts.
    """

    async def gate(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
        elif _size(scope) > max_header:
            problem = f"the target and the headers have more than {max_header} bytes"
            await _refuse(scope, receive, send, 431, problem)
        elif why := rule.refusal(scope["headers"], tls=scope["scheme"] in ("https", "wss")):
            log.info("browser refused", why=why)
            await _refuse(scope, receive, send, 403, why)
        else:
            await app(scope, receive, send)

    return gate


def _size(scope: HTTPScope | WebsocketScope) -> int:
    headers = sum(len(name) + len(value) + len(": \r\n") for name, value in scope["headers"])
    return len(scope["raw_path"]) + len(scope["query_string"]) + headers


async def _refuse(
    scope: HTTPScope | WebsocketScope,
    receive: ASGIReceiveCallable,
    send: ASGISendCallable,
    status: int,
    message: str,
) -> None:
    async def discard() -> None:
        # Left alone, a body would fill Hypercorn's queue, and the request could not be ended.
        while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
            pass

    body = json.dumps({"code": status, "message": message}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(discard)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body, "more_body": False})
        else:
            await send(
                {"type": "websocket.http.response.start", "status": status, "headers": headers}
            )
            await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
        nursery.cancel_scope.cancel()
