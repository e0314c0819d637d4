"""One accepted connection as Hypercorn sees it: waits have deadlines, hangs can be cut."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog
import trio
from trio import socket as tsocket

SLICE_BYTES = 64 * 1024
"""What a peer must take within one write timeout: slow readers live, stalled ones do not."""

ENDING_SECONDS = 1.0
"""What is left to be done on a connection when its peer has hung up must not take longer."""

KEEPALIVE_IDLE_SECONDS = 60
KEEPALIVE_INTERVAL_SECONDS = 10

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class GuardedStream(trio.abc.HalfCloseableStream):
    """What Hypercorn's ``TCPServer`` uses of a ``SocketStream``, made safe against a stalled peer.

    ``TCPServer`` writes inside a shielded scope, where no cancellation from outside arrives; the
    deadline here is inside the shield and so still counts (https://github.com/pgjones/hypercorn/pull/262).
    There must be no attribute ``do_handshake``: it would make ``TCPServer`` take this for TLS.

    Closing ends the connection but not the socket, which is for whoever accepted it to close, best
    after ``linger``: a socket closed with bytes unread is reset, and a reset takes from the client
    the answer it has not read yet.

    Args:
        stream: the accepted connection.
        write_timeout: how long the peer may take to accept ``SLICE_BYTES``, in seconds.
        idle_timeout: how long no byte may pass either way, and how long it may take until the next
            request is there, in seconds; longer than any answer may take.

    Attributes:
        lifetime: cancelled a moment after there is nothing more to read or to answer. ``TCPServer``
            itself would wait for its idle timeout when a peer hangs up without a word.
    """

    def __init__(
        self, stream: trio.SocketStream, *, write_timeout: float, idle_timeout: float
    ) -> None:
        self.socket = stream.socket
        self.lifetime = trio.CancelScope()
        self._stream = stream
        self._write_timeout = write_timeout
        self._idle_timeout = idle_timeout
        self._active_at = trio.current_time()
        self._requests = 0
        self._request_by = self._active_at + idle_timeout
        self._receiving = trio.CancelScope()
        self._all_read = False
        self._peer_finished = False
        self._closed = False
        self._stopped = False
        set_tcp_options(stream, write_timeout)

    @contextmanager
    def request(self) -> Iterator[None]:
        """Take note that the connection is of use while the block lasts: a request is answered.

        Otherwise bytes keep it for ``idle_timeout`` only, be it headers that arrive one by one or
        the pings of HTTP/2, on which Hypercorn's own idle timeout does not run.
        """
        self._requests += 1
        self._set_deadlines()
        try:
            yield
        finally:
            self._requests -= 1
            self._set_deadlines()

    def _set_deadlines(self) -> None:
        now = trio.current_time()
        self._request_by = math.inf if self._requests else now + self._idle_timeout
        ending = self._all_read and not self._requests
        deadline = now + ENDING_SECONDS if ending else math.inf
        if deadline != self.lifetime.deadline:  # to set it costs more than to look
            self.lifetime.deadline = deadline

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data``.

        Raises:
            trio.BrokenResourceError: the peer is gone, or took too little for ``write_timeout``
                seconds; then the connection is cut.
            trio.ClosedResourceError: the connection has been closed or cut.
        """
        for start in range(0, len(data) or 1, SLICE_BYTES):
            if self._closed:
                raise trio.ClosedResourceError
            with trio.move_on_after(self._write_timeout) as limit:
                await self._stream.send_all(memoryview(data)[start : start + SLICE_BYTES])
            if limit.cancelled_caught:
                log.warning("peer stopped reading, connection cut", seconds=self._write_timeout)
                self.cut()
                raise trio.BrokenResourceError("the peer stopped reading")
            self._active_at = trio.current_time()

    def send_now(self, data: bytes) -> int:
        """Send what can be sent without waiting; return how many bytes that was.

        Raises:
            trio.BrokenResourceError: the peer is gone.
            trio.ClosedResourceError: the connection has been closed or cut.
        """
        if self._closed or self.socket.fileno() < 0:
            raise trio.ClosedResourceError
        try:
            sent = os.write(self.socket.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError from error
        self._active_at = trio.current_time()
        return sent

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room to send; part of a stream's interface, of no use here."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what has arrived, at most ``max_bytes``; nothing means the peer has finished.

        A connection that is idle for too long counts as finished.

        Raises:
            trio.BrokenResourceError: the peer is gone.
            trio.ClosedResourceError: the connection has been closed or cut.
        """
        try:
            data = await self._receive_until_idle(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._note_all_read()
            raise
        if not data:
            self._note_all_read()
        return data

    def _note_all_read(self) -> None:
        """Take note that nothing more comes. A read that was cancelled says nothing of that."""
        self._all_read = True
        self._set_deadlines()

    async def _receive_until_idle(self, max_bytes: int | None) -> bytes:
        while not self._closed:
            until = min(self._active_at + self._idle_timeout, self._request_by)
            if until <= trio.current_time():
                return b""
            if self._stopped:
                return b""
            with trio.CancelScope(deadline=until) as self._receiving:
                data = await self._received(max_bytes or SLICE_BYTES)
                self._active_at = trio.current_time()
                self._peer_finished = not data
                return data
        raise trio.ClosedResourceError

    async def _received(self, max_bytes: int) -> bytes:
        """Return what arrives next. Waits first: there is seldom something already."""
        while self.socket.fileno() >= 0:
            await trio.lowlevel.wait_readable(self.socket)
            try:
                return os.read(self.socket.fileno(), max_bytes)
            except BlockingIOError:
                pass
            except OSError as error:
                raise trio.BrokenResourceError(str(error)) from error
        raise trio.ClosedResourceError

    def stop_reading(self) -> None:
        """Let the reader be told that the peer has finished, unless a request is being answered."""
        if not self._requests:
            self._stopped = True
            self._receiving.cancel()

    async def send_eof(self) -> None:
        """Say that nothing more will be sent."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """End the connection; whoever is reading or writing gets ``ClosedResourceError``."""
        self._closed = True
        self._receiving.cancel()
        try:
            await self._stream.send_eof()
        except trio.BusyResourceError:
            self.cut()  # a write is under way that would go on for as long as it may
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it has ended already

    async def linger(self, seconds: float) -> None:
        """Once closed, let the peer read what was sent: take what it sends until it has finished.

        Args:
            seconds: how long at most.
        """
        if self._peer_finished:
            return
        with (
            trio.move_on_after(seconds),
            suppress(trio.BrokenResourceError, trio.ClosedResourceError),
        ):
            while await self._stream.receive_some(SLICE_BYTES):
                pass

    def cut(self) -> None:
        """Close the socket now; whoever is reading or writing gets ``ClosedResourceError``."""
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
