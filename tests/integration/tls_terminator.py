"""TLS in front of a plain server, as a proxy would terminate it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio
import trustme


@asynccontextmanager
async def tls_in_front_of(port: int, authority: trustme.CA) -> AsyncIterator[int]:
    """Serve what ``port`` serves, under TLS as 127.0.0.1; yield the port of that."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            async with (
                await trio.open_tcp_stream("127.0.0.1", port) as plain,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(_copy, stream, plain, nursery.cancel_scope)
                nursery.start_soon(_copy, plain, stream, nursery.cancel_scope)
        except* trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(
            partial(
                trio.serve_ssl_over_tcp,
                serve,
                0,
                context,
                host="127.0.0.1",
                https_compatible=True,
            )
        )
        yield listeners[0].transport_listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def _copy(
    source: trio.abc.ReceiveStream, sink: trio.abc.SendStream, both: trio.CancelScope
) -> None:
    async for data in source:
        await sink.send_all(data)
    both.cancel()
