"""A front that serves a test's app, and a bare client of it."""

import ssl
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager

import trio
from quart_trio import QuartTrio

from supernode.wire.front import MAX_HEADER, Front
from supernode.wire.websocket import Routes

LIMIT_SECONDS = 10


@asynccontextmanager
async def serving(
    app: QuartTrio,
    *,
    max_connections: int = 10,
    write_timeout: float = 60,
    drain_timeout: float = 60,
    idle_timeout: float = 60,
    max_connections_per_client: int | None = None,
    max_header: int = MAX_HEADER,
    hosts: Collection[str] = (),
    ssl_context: ssl.SSLContext | None = None,
    streams: Routes = lambda _: None,
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
            max_connections_per_client=max_connections_per_client,
            max_header=max_header,
            hosts=hosts,
            ssl_context=ssl_context,
            streams=streams,
        )
        port: int = listeners[0].socket.getsockname()[1]
        async with listeners[0], trio.open_nursery() as nursery:
            await nursery.start(front.run)
            yield front, port
            front.shut()


async def connect(port: int, *, own_address: str = "127.0.0.1") -> trio.SocketStream:
    """Connect to the front from an address of ours."""
    return await trio.open_tcp_stream("127.0.0.1", port, local_address=own_address)


async def read_to_the_end(stream: trio.abc.ReceiveStream) -> bytes:
    """Return everything up to the end of the connection."""
    return b"".join([chunk async for chunk in stream])
