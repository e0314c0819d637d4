"""The front: accepts and owns every connection of the control port, from first byte to last.

It does what ``hypercorn.trio.serve`` would: lifespan, accepting, TLS, draining. Doing it here lets
one connection fail without ending the daemon, lets no client hold up a shutdown or take all the
connections, and answers hot requests, and websockets that only tell, before Hypercorn gets them.
``TCPServer``, ``WorkerContext`` and ``ASGIWrapper`` are not documented API;
``tests/integration/test_hypercorn_contract.py`` says what is relied on.
"""

import logging
import ssl
import sys
from collections.abc import Collection, Sequence
from contextlib import closing
from functools import partial
from typing import Any, cast

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import (
    ASGIReceiveCallable,
    ASGISendCallable,
    ConnectionState,
    LifespanState,
    Scope,
)
from quart_trio import QuartTrio

from supernode.exchange import Answer, Request
from supernode.streaming import Stream
from supernode.wire import websocket
from supernode.wire.browsers import BrowserRule
from supernode.wire.clients import ConnectionCounts, client_of
from supernode.wire.gate import gated
from supernode.wire.guard import guard, tame
from supernode.wire.hot import HotConnection, HotTable
from supernode.wire.lifespan import lifespan
from supernode.wire.refusals import Refusals
from supernode.wire.replay import Replayed
from supernode.wire.streams import GuardedStream
from supernode.wire.tls import secured

MAX_HEADER = 32 * 1024
"""Bytes; query strings may be long."""
_LINGER = 1.0
"""Seconds for a client to read an answer that came before the end of its request."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Front:
    """The HTTP server of the control port.

    Args:
        listeners: sockets that listen already; closed when the front stops accepting.
        app: the web app; its configuration is changed (``guard.tame``).
        hot: requests that are answered without it; None: all are for the app.
        max_connections: how many are served at a time; one more is answered 503, or, under TLS,
            closed.
        write_timeout: how long a client may stop reading, in seconds.
        drain_timeout: how long requests in flight may take after ``shut``, in seconds.
        idle_timeout: how long it may take until a connection's next request is there, up to the
            end of its headers, in seconds.
        max_connections_per_client: the same for each client; None: no limit of its own.
        max_header: bytes of a request's target and headers; beyond, it is answered 431.
        hosts: names under which browsers may come, besides addresses and localhost.
        ssl_context: with it, all connections are under TLS (:mod:`supernode.wire.tls`).
        streams: which websockets are answered here, and not by the app
            (:mod:`supernode.wire.websocket`).

    Raises:
        ValueError: one of ``hosts`` is no host name.
    """

    def __init__(
        self,
        listeners: Sequence[trio.SocketListener],
        app: QuartTrio,
        *,
        max_connections: int,
        write_timeout: float,
        drain_timeout: float,
        idle_timeout: float,
        hot: HotTable | None = None,
        max_connections_per_client: int | None = None,
        max_header: int = MAX_HEADER,
        hosts: Collection[str] = (),
        ssl_context: ssl.SSLContext | None = None,
        streams: websocket.Routes = lambda _: None,
    ) -> None:
        self._listeners = list(listeners)
        self._rule = BrowserRule(hosts)
        self._ping_interval = idle_timeout / 3
        self._app = guard(
            gated(tame(app), self._rule, max_header=max_header), ping_interval=self._ping_interval
        )
        self._streams = streams
        self._max_connections = max_connections
        self._write_timeout = write_timeout
        self._drain_timeout = drain_timeout
        self._idle_timeout = idle_timeout
        self._hot = hot
        self._max_header = max_header
        self._config = _hypercorn_config(idle_timeout, max_header)
        self._context = WorkerContext(max_requests=None)
        self._ssl_context = ssl_context
        self._open: set[GuardedStream] = set()
        self._clients = ConnectionCounts(max_connections_per_client)
        self._refusals = Refusals()
        self._shut = trio.Event()

    def shut(self) -> None:
        """Stop accepting and let ``run`` finish. May be called more than once."""
        self._shut.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until ``shut``; then finish the requests in flight, cut what is left, return.

        ``started()`` is called when the app has started and connections are accepted. On cancel,
        every connection is cut at once, whatever it is waiting for.

        Raises:
            LifespanError: the app failed to start or stop; in an exception group, as is whatever
                its lifespan raised.
        """
        async with lifespan(self._app) as state, trio.open_nursery() as nursery:
            async with trio.open_nursery() as connections:
                nursery.start_soon(self._cut_stragglers, connections.cancel_scope)
                await self._accept(connections, state, task_status)
                # From now on idle connections close, and busy ones after their response.
                await self._context.terminated.set()
                for stream in self._open:
                    stream.stop_reading()
            nursery.cancel_scope.cancel()

    async def _accept(
        self,
        connections: trio.Nursery,
        state: LifespanState,
        task_status: trio.TaskStatus[None],
    ) -> None:
        """Accept until ``shut``. ``serve_listeners`` outlives a want of file descriptors."""
        async with trio.open_nursery() as accepting:
            await accepting.start(
                partial(
                    trio.serve_listeners,
                    partial(self._admit, state),
                    self._listeners,
                    handler_nursery=connections,
                )
            )
            task_status.started()
            await self._shut.wait()
            accepting.cancel_scope.cancel()

    async def _cut_stragglers(self, connections: trio.CancelScope) -> None:
        """Cut what is left when the drain is over, or at once when the front is cancelled.

        Hypercorn's writes are shielded: closing the socket ends them, cancelling does not.
        """
        try:
            await self._shut.wait()
            await trio.sleep(self._drain_timeout)
        finally:
            for stream in self._open:
                stream.cut()
            connections.cancel()

    async def _admit(self, state: LifespanState, stream: trio.SocketStream) -> None:
        """Serve one connection if there is room. Nothing that goes wrong in it goes further."""
        client = client_of(stream)
        if len(self._open) >= self._max_connections or self._clients.at_limit(client):
            if self._ssl_context is None:  # a handshake is too much to do for a refusal
                await self._refusals.tell(stream)
            return
        guarded = GuardedStream(
            stream, write_timeout=self._write_timeout, idle_timeout=self._idle_timeout
        )
        self._open.add(guarded)
        self._clients.add(client)
        try:
            await self._serve(guarded, state)
            await guarded.aclose()
            if not self._shut.is_set():
                await guarded.linger(_LINGER)
        except* Exception:  # a header that is not ASCII is enough to raise in TCPServer
            log.exception("connection failed")
        finally:
            self._clients.remove(client)
            self._open.discard(guarded)

    async def _serve(self, stream: GuardedStream, state: LifespanState) -> None:
        """Answer what is hot; from the first request on that is not, others serve.

        That is Hypercorn, but for some websockets.
        """
        served: GuardedStream | trio.SSLStream[GuardedStream] | None = stream
        if self._ssl_context is not None:
            served = await secured(stream, self._ssl_context)
        if served is None:
            return
        with stream.lifetime:
            first = await self._serve_hot(stream, served)
            if first is None:
                await served.aclose()
            elif (asked := websocket.handshake(first)) and (told := self._stream_for(asked, first)):
                with stream.request(), closing(told):
                    await websocket.tell(
                        served,
                        asked,
                        told,
                        ping_interval=self._ping_interval,
                        send_now=stream.send_now if served is stream else lambda _: 0,
                    )
            else:
                await self._serve_others(stream, Replayed(served, first), state)

    async def _serve_hot(
        self, guarded: GuardedStream, stream: GuardedStream | trio.SSLStream[GuardedStream]
    ) -> bytes | None:
        """Answer hot requests; return how the first one begins that is none, if there is one."""
        if isinstance(stream, trio.SSLStream) and stream.selected_alpn_protocol() == "h2":
            return b""
        return await HotConnection(
            stream,
            guarded,
            self._hot,
            largest_head=self._max_header,
            is_closing=self._shut.is_set,
        ).serve()

    async def _serve_others(
        self, guarded: GuardedStream, stream: Replayed, state: LifespanState
    ) -> None:
        async def app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            with guarded.request():
                await self._app(scope, receive, send)

        await TCPServer(
            ASGIWrapper(app),
            self._config,
            self._context,
            ConnectionState(state.copy()),
            cast("Any", stream),  # declared as SSLStream, others will do
        ).run()

    def _stream_for(self, asked: websocket.Handshake, head: bytes) -> Stream | None:
        """Return what is sent on a websocket; None: the app answers, and says why if it does not.

        What the gate would not let pass is for the gate to refuse.
        """
        opener = self._streams(asked.path)
        tls = self._ssl_context is not None
        if opener is None or len(head) > self._max_header:
            return None
        if self._rule.refusal(asked.headers, tls=tls):
            return None
        messages = opener(Request(query_string=asked.query_string))
        return None if isinstance(messages, Answer) else messages


def _hypercorn_config(idle_timeout: float, max_header: int) -> Config:
    """Return Hypercorn's settings; the timeouts that only ``hypercorn.serve`` uses stay unset."""
    config = Config()
    config.errorlog = logging.getLogger("supernode.hypercorn")  # without one, errors vanish
    config.include_server_header = False
    config.keep_alive_timeout = idle_timeout
    # At this number, 1000 by default, an HTTP/2 connection ends with its last request unanswered.
    config.keep_alive_max_requests = sys.maxsize
    config.h11_max_incomplete_size = max_header
    config.h2_max_header_list_size = max_header
    config.websocket_max_message_size = 4 * 1024  # subscribers send filters, nothing else
    # Its task notices the end of its connection only after the interval: the guard pings instead.
    config.websocket_ping_interval = None
    return config
