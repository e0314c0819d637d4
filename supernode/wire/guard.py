"""Cures for what Hypercorn 0.18 and quart-trio 0.12 do wrong between them, on the ASGI line.

Each cure is here once and has a test in ``tests/integration/test_hypercorn_defects.py`` that fails
without it. When upstream has mended a defect, its cure goes.
"""

import structlog
import trio
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    HTTPScope,
    Scope,
    WebsocketScope,
)
from quart_trio import QuartTrio
from wsproto.events import Ping

UNREAD_MESSAGES = 16
"""How many websocket messages may wait for a handler that does not read, beyond Quart's own ten."""

BODY_SECONDS = 1.0
"""How long an answer's end waits for the end of its request's body, on HTTP/2."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def tame(app: QuartTrio) -> QuartTrio:
    """Set what Quart's defaults get wrong, in the configuration of ``app``, and return that."""
    # It counts from the first byte to the last: after 60 s a response is cut, and nobody is told.
    # Writes have their own deadline (GuardedStream), handlers bring theirs.
    app.config["RESPONSE_TIMEOUT"] = None
    return app


def guard(app: ASGIFramework, *, ping_interval: float) -> ASGIFramework:
    """Wrap ``app``: connections end, disconnects are noticed, nothing starves the loop.

    Args:
        app: what to wrap.
        ping_interval: how often websocket clients are pinged, in seconds.
    """

    async def guarded(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "http" and scope["http_version"] in {"1.0", "1.1"}:
            await _guard_http1(app, scope, receive, send)
        elif scope["type"] == "http":
            await _guard_http2(app, scope, receive, send)
        elif scope["type"] == "websocket":
            await _guard_websocket(app, scope, receive, send, ping_interval)
        else:
            await app(scope, receive, send)

    return guarded


async def _guard_http1(
    app: ASGIFramework, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """Tell the app of a disconnect only when its last send has returned.

    In that send Hypercorn first says "disconnect" and then closes the connection, or makes it
    ready for the next request. quart-trio answers the first by cancelling the task that is about
    to do the second: with ``Connection: close`` the end is never sent, and a kept connection has
    no idle timeout. Not shielded instead, so that a shutdown can still cancel it.
    """
    last_send: trio.Event | None = None

    async def send_marked(message: ASGISendEvent) -> None:
        nonlocal last_send
        if message["type"] != "http.response.body" or message.get("more_body", False):
            await send(message)
            return
        last_send = trio.Event()
        try:
            await send(message)
        finally:
            last_send.set()

    async def receive_late() -> ASGIReceiveEvent:
        message = await receive()
        if message["type"] == "http.disconnect" and last_send is not None:
            await last_send.wait()
        return message

    await app(scope, receive_late, send_marked)


async def _guard_http2(
    app: ASGIFramework, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """End an answer only when its request has ended, if that does not take long.

    When the answer has ended, Hypercorn forgets the stream; bytes that come for it afterwards are a
    ``KeyError``, which ends the connection and every other request on it.
    """
    body_ended = trio.Event()

    async def receive_noting() -> ASGIReceiveEvent:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            body_ended.set()
        return message

    async def send_patiently(message: ASGISendEvent) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            await send({**message, "more_body": True})
            with trio.move_on_after(BODY_SECONDS):
                await body_ended.wait()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    await app(scope, receive_noting, send_patiently)


async def _guard_websocket(
    app: ASGIFramework,
    scope: WebsocketScope,
    receive: ASGIReceiveCallable,
    send: ASGISendCallable,
    ping_interval: float,
) -> None:
    """Notice the end of the connection, whether the handler reads or not.

    quart-trio queues ten messages and then stops reading, so a handler that only sends never
    learns that its client has gone. Sending to that client neither fails nor yields, so a loop
    around it starves every other task. A client that goes on sending what nobody reads is closed.
    """
    inbox, unread = trio.open_memory_channel[ASGIReceiveEvent](UNREAD_MESSAGES)

    async def watch() -> None:
        while (message := await receive())["type"] != "websocket.disconnect":
            try:
                inbox.send_nowait(message)
            except trio.WouldBlock:
                log.warning("websocket closed, its messages are not read", path=scope["path"])
                break
        nursery.cancel_scope.cancel()

    async def send_yielding(message: ASGISendEvent) -> None:
        await trio.lowlevel.checkpoint()
        await send(message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        nursery.start_soon(_ping, send, ping_interval)
        await app(scope, unread.receive, send_yielding)
        nursery.cancel_scope.cancel()


async def _ping(send: ASGISendCallable, interval: float) -> None:
    """Keep a quiet websocket from looking idle, and let the kernel notice one that is dead.

    Hypercorn's own task for this sleeps on when its connection has ended, for up to an interval,
    and holds up a shutdown as long.
    """
    stream = getattr(send, "__self__", None)
    while isinstance(stream, WSStream):
        await trio.sleep(interval)
        if stream.state is ASGIWebsocketState.CONNECTED:
            await stream._send_wsproto_event(Ping())
