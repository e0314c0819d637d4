"""The front: accepts and owns every connection of the control port, from first byte to last.

It does what ``hypercorn.trio.serve`` would: lifespan, accepting, draining. Doing it here lets one
connection fail without ending the daemon, lets no client hold up a shutdown, and leaves room to
answer requests before Hypercorn. ``TCPServer``, ``WorkerContext`` and ``ASGIWrapper`` are not
documented API; ``tests/integration/test_hypercorn_contract.py`` says what is relied on.
"""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState, LifespanState
from quart_trio import QuartTrio

from supernode.wire.guard import tame
from supernode.wire.lifespan import lifespan
from supernode.wire.streams import GuardedStream

REFUSALS_AT_ONCE = 64
"""How many clients too many get an answer at a time; the others are closed without one."""
REFUSAL_SECONDS = 1.0
"""How long such a client may take to read it."""
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Retry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Front:
    """The HTTP server of the control port.

    Args:
        listeners: sockets that listen already; closed when the front stops accepting.
        app: the web app; its configuration is changed (``guard.tame``).
        max_connections: how many are served at a time; one more is answered 503.
        write_timeout: how long a client may stop reading, in seconds.
        drain_timeout: how long requests in flight may take after ``shut``, in seconds.
        idle_timeout: how long a connection may wait for its next request, in seconds.
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
    ) -> None:
        self._listeners = list(listeners)
        self._app = tame(app)
        self._max_connections = max_connections
        self._write_timeout = write_timeout
        self._drain_timeout = drain_timeout
        self._idle_timeout = idle_timeout
        self._config = _hypercorn_config(idle_timeout)
        self._context = WorkerContext(max_requests=None)
        self._open: set[GuardedStream] = set()
        self._refusing = 0
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
        if len(self._open) >= self._max_connections:
            await self._refuse(stream)
            return
        guarded = GuardedStream(
            stream, write_timeout=self._write_timeout, idle_timeout=self._idle_timeout
        )
        self._open.add(guarded)
        try:
            await self._serve(guarded, state)
        except* Exception:  # a header that is not ASCII is enough to raise in TCPServer
            log.exception("connection failed")
        finally:
            self._open.discard(guarded)

    async def _serve(self, stream: GuardedStream, state: LifespanState) -> None:
        """Hand the connection to whoever answers it; that is Hypercorn, for every request."""
        connection_state = ConnectionState(state.copy())
        await TCPServer(
            ASGIWrapper(self._app),
            self._config,
            self._context,
            connection_state,
            cast("Any", stream),  # declared as SSLStream, plain ones are served as well
        ).run()

    async def _refuse(self, stream: trio.SocketStream) -> None:
        """Answer 503, if few enough are being told so; the caller closes the connection.

        Waits a moment for the client to finish: closing on bytes not read would reset the
        connection, and take the answer away again.
        """
        if self._refusing >= REFUSALS_AT_ONCE:
            return
        self._refusing += 1
        try:
            with trio.move_on_after(REFUSAL_SECONDS):
                await stream.send_all(REFUSAL)
                await stream.send_eof()
                while await stream.receive_some():
                    pass
        except trio.BrokenResourceError:
            pass  # gone already
        finally:
            self._refusing -= 1


def _hypercorn_config(idle_timeout: float) -> Config:
    """Return Hypercorn's settings; the timeouts that only ``hypercorn.serve`` uses stay unset."""
    config = Config()
    config.errorlog = logging.getLogger("supernode.hypercorn")  # without one, errors vanish
    config.accesslog = logging.getLogger("supernode.access")
    config.access_log_format = '%(h)s "%(r)s" %(s)s %(b)s %(L)ss'
    config.include_server_header = False
    config.keep_alive_timeout = idle_timeout
    config.h11_max_incomplete_size = 32 * 1024  # long query strings
    config.websocket_max_message_size = 4 * 1024  # subscribers send filters, nothing else
    # A ping task notices the end of its connection only after its interval, and no pong is ever
    # waited for: the event feed has a heartbeat of its own instead.
    config.websocket_ping_interval = None
    return config
