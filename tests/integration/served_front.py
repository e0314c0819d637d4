"""A front that serves a test's app, and a bare client of it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from quart_trio import QuartTrio

from supernode.wire.front import Front

LIMIT_SECONDS = 10


@asynccontextmanager
async def serving(
    app: QuartTrio,
    *,
    max_connections: int = 10,
    write_timeout: float = 60,
    drain_timeout: float = 60,
    idle_timeout: float = 60,
) -> AsyncGenerator[tuple[Front, int]]:
    """Serve ``app`` for the body, then shut down and wait for the end; the port comes with it."""
    with trio.fail_after(LIMIT_SECONDS):
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        front = Front(
            listeners,
            app,
            max_connections=max_connections,
            write_timeout=write_timeout,
            drain_timeout=drain_timeout,
            idle_timeout=idle_timeout,
        )
        port: int = listeners[0].socket.getsockname()[1]
        async with listeners[0], trio.open_nursery() as nursery:
            await nursery.start(front.run)
            yield front, port
            front.shut()


async def connect(port: int) -> trio.SocketStream:
    """Connect to the front."""
    return await trio.open_tcp_stream("127.0.0.1", port)


async def read_to_the_end(stream: trio.SocketStream) -> bytes:
    """Return everything up to the end of the connection."""
    return b"".join([chunk async for chunk in stream])
