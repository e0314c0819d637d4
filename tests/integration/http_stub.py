"""A small HTTP/1.1 server on loopback whose answers a test decides."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import httptools
import trio


@dataclass
class StubRequest:
    """One request as it came."""

    method: str = ""
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False

    def on_url(self, url: bytes) -> None:
        self.target += url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


StubAnswer = tuple[int, bytes]
"""Status and body."""


@asynccontextmanager
async def http_stub(
    answer: Callable[[StubRequest], Awaitable[StubAnswer | None]],
) -> AsyncIterator[int]:
    """Serve on the port that is yielded; None as an answer closes the connection."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with stub_on(listener, answer):
        yield listener.socket.getsockname()[1]


@asynccontextmanager
async def stub_on(
    listener: trio.SocketListener,
    answer: Callable[[StubRequest], Awaitable[StubAnswer | None]],
) -> AsyncIterator[None]:
    """Serve on a listener, which it closes."""

    async def serve(stream: trio.SocketStream) -> None:
        try:
            while True:
                request = StubRequest()
                parser = httptools.HttpRequestParser(request)
                while not request.complete:
                    data = await stream.receive_some()
                    if not data:
                        return
                    parser.feed_data(data)
                request.method = parser.get_method().decode()
                reply = await answer(request)
                if reply is None:
                    return
                status, body = reply
                head = f"HTTP/1.1 {status} Stub\r\nContent-Length: {len(body)}\r\n\r\n"
                await stream.send_all(head.encode() + body)
        except trio.BrokenResourceError:
            pass
        finally:
            await stream.aclose()

    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, serve, [listener]))
        yield
        nursery.cancel_scope.cancel()
