"""One accepted connection as Hypercorn sees it: writes have a deadline, hangs can be cut."""

from contextlib import suppress

import structlog
import trio
from trio import socket as tsocket

SLICE_BYTES = 64 * 1024
"""What a peer must take within one write timeout: slow readers live, stalled ones do not."""

KEEPALIVE_IDLE_SECONDS = 60
KEEPALIVE_INTERVAL_SECONDS = 10

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class GuardedStream:
    """What Hypercorn's ``TCPServer`` uses of a ``SocketStream``, made safe against a stalled peer.

    ``TCPServer`` writes inside a shielded scope, where no cancellation from outside arrives; the
    deadline here is inside the shield and so still counts (https://github.com/pgjones/hypercorn/pull/262).
    There must be no attribute ``do_handshake``: it would make ``TCPServer`` take this for TLS.

    Args:
        stream: the accepted connection; whoever accepted it still closes it.
        write_timeout: how long the peer may take to accept ``SLICE_BYTES``, in seconds.
        idle_timeout: how long no byte may pass either way, in seconds; longer than any answer
            may take.
    """

    def __init__(
        self, stream: trio.SocketStream, *, write_timeout: float, idle_timeout: float
    ) -> None:
        self.socket = stream.socket
        self._stream = stream
        self._write_timeout = write_timeout
        self._idle_timeout = idle_timeout
        self._active_at = trio.current_time()
        set_tcp_options(stream, write_timeout)

    async def send_all(self, data: bytes) -> None:
        """Send ``data``.

        Raises:
            trio.BrokenResourceError: the peer is gone, or took too little for ``write_timeout``
                seconds; then the connection is closed.
            trio.ClosedResourceError: the connection has been cut.
        """
        for start in range(0, len(data) or 1, SLICE_BYTES):
            with trio.move_on_after(self._write_timeout) as limit:
                await self._stream.send_all(memoryview(data)[start : start + SLICE_BYTES])
            if limit.cancelled_caught:
                log.warning("peer stopped reading, connection cut", seconds=self._write_timeout)
                self.cut()
                raise trio.BrokenResourceError("the peer stopped reading")
            self._active_at = trio.current_time()

    async def receive_some(self, max_bytes: int) -> bytes:
        """Return what has arrived, at most ``max_bytes``; nothing means the peer has finished.

        A connection that is idle for too long counts as finished. Hypercorn's own idle timeout
        does not run on HTTP/2.
        """
        while (idle_at := self._active_at + self._idle_timeout) > trio.current_time():
            with trio.move_on_at(idle_at):
                data = await self._stream.receive_some(max_bytes)
                self._active_at = trio.current_time()
                return data
        return b""

    async def send_eof(self) -> None:
        """Say that nothing more will be sent."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    def cut(self) -> None:
        """Close the connection now; whoever is reading or writing gets ``ClosedResourceError``."""
        self.socket.close()


def set_tcp_options(stream: trio.SocketStream, write_timeout: float) -> None:
    """Let the kernel, too, give up on a peer that acknowledges nothing or has vanished.

    Args:
        stream: an accepted connection; Trio has set TCP_NODELAY.
        write_timeout: how long sent bytes may stay unacknowledged, in seconds.
    """
    with suppress(OSError):  # not TCP, or already reset: there is nothing to set then
        stream.setsockopt(tsocket.SOL_SOCKET, tsocket.SO_KEEPALIVE, True)
        stream.setsockopt(tsocket.IPPROTO_TCP, tsocket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS)
        stream.setsockopt(tsocket.IPPROTO_TCP, tsocket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SECONDS)
        timeout_ms = max(1, round(write_timeout * 1000))
        stream.setsockopt(tsocket.IPPROTO_TCP, tsocket.TCP_USER_TIMEOUT, timeout_ms)
