"""Serves pieces to other peers: framed on the fly from raw content, by sendfile.

Speaks what every Dragonfly v1 client asks for: ``GET /peer/file/<name>`` with the framed range of
one piece, and ``GET /server/ping``.
"""

import contextlib
import os
import re
import socket
from collections.abc import Callable
from urllib.parse import unquote

import httptools
import trio

from supernode.core.pieces import (
    FRAME_BYTES,
    TRAILER,
    RangeError,
    frame_header,
    parse_piece_range,
)
from supernode.dfget.listen import accept_each
from supernode.dfget.rate import TokenBucket
from supernode.dfget.shelf import SharedFile, Shelf

MAX_CONNECTIONS = 512
LONGEST_HEAD = 16 << 10
IDLE_SECONDS = 60.0
STALL_SECONDS = 20.0
CHUNK_BYTES = 256 << 10
"""One sendfile call; between two, others have their turn."""
_FILE_PREFIX = "/peer/file/"


class _Request:
    """One request as the parser hands it over."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.method = b""
        self.target = b""
        self.range = ""
        self.keep_alive = False
        self.has_head = False
        self.has_body = True

    def feed(self, line: bytes | bytearray) -> None:
        """Parse one more line. Raises httptools.HttpParserError."""
        with contextlib.suppress(httptools.HttpParserUpgrade):  # declined: answered as if not asked
            self.parser.feed_data(line)

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"range":
            self.range = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.method = self.parser.get_method()
        self.keep_alive = self.parser.should_keep_alive()  # the parser knows it only now
        self.has_head = True

    def on_message_complete(self) -> None:
        self.has_body = False


class _Requests:
    """The requests of one connection, read one at a time; the next ones wait."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._received: bytes | bytearray = b""

    async def next(self) -> _Request | None:
        """Return the next; None: the client hung up, or goes on for too long.

        Raises:
            httptools.HttpParserError: it is malformed.
            trio.BrokenResourceError: the connection broke.
        """
        request, size = _Request(), 0
        while not request.has_head:
            if not self._received:
                self._received = await self._stream.receive_some(LONGEST_HEAD)
            # Line by line: the parser must not see what follows this request.
            line, end, self._received = self._received.partition(b"\n")
            line += end
            size += len(line)
            if not line or size > LONGEST_HEAD:
                return None
            request.feed(line)
        return request


class PieceServer:
    """The listening side of an uploader.

    Args:
        shelf: what is served.
        limit: shared by all uploads.
        spoiled: called with a file that turned out not to be what was downloaded.
    """

    def __init__(
        self, shelf: Shelf, limit: TokenBucket, spoiled: Callable[[SharedFile], None]
    ) -> None:
        self.worked_at = trio.current_time()
        self._shelf = shelf
        self._limit = limit
        self._spoiled = spoiled
        self._sending = 0
        self._sent = trio.Event()

    async def run(self, listener: trio.SocketListener) -> None:
        """Serve until cancelled. Owns the listener."""
        await accept_each(listener, self._serve, at_most=MAX_CONNECTIONS)

    async def idle(self) -> None:
        """Wait until no piece is being sent."""
        while self._sending:
            await self._sent.wait()

    async def _serve(self, stream: trio.SocketStream) -> None:
        requests = _Requests(stream)
        try:
            while await self._one(stream, requests):
                pass
        except (OSError, trio.BrokenResourceError, trio.TooSlowError, httptools.HttpParserError):
            pass  # a peer that went away, stalled or talks nonsense is no event of ours

    async def _one(self, stream: trio.SocketStream, requests: _Requests) -> bool:
        """Answer one request; tell whether another may follow."""
        with trio.fail_after(IDLE_SECONDS):
            request = await requests.next()
        if request is None:
            return False
        keep = request.keep_alive and not request.has_body  # nobody would read the body away
        path = unquote(request.target.decode("latin-1").partition("?")[0])
        if request.method != b"GET":
            await _answer(stream, "405 Method Not Allowed", b"", keep)
        elif path == "/server/ping":
            await _answer(stream, "200 OK", b"success", keep)
        elif not path.startswith(_FILE_PREFIX):
            await _answer(stream, "404 Not Found", b"", keep)
        else:
            await self._piece(stream, path.removeprefix(_FILE_PREFIX), request.range, keep)
        return keep

    async def _piece(self, stream: trio.SocketStream, name: str, wanted: str, keep: bool) -> None:
        shared = self._shelf.find(name)
        if shared is None:
            return await _answer(stream, "404 Not Found", b"", keep)
        match = re.fullmatch(r"bytes=([0-9]+-[0-9]+)", wanted.strip())
        try:
            number = parse_piece_range(match[1] if match else "", shared.piece_size)
        except RangeError:
            return await _answer(stream, "416 Range Not Satisfiable", b"not one piece", keep)
        place = shared.content_range(number)
        if place is None:
            return await _answer(stream, "416 Range Not Satisfiable", b"not here yet", keep)
        content = shared.open()
        if content is None:
            self._spoiled(shared)
            return await _answer(stream, "404 Not Found", b"", keep)
        shared.used_at = self.worked_at = trio.current_time()
        self._sending += 1
        try:
            await self._send_piece(stream, shared, number, content, place, keep)
        finally:
            os.close(content)
            shared.used_at = self.worked_at = trio.current_time()
            self._sending -= 1
            self._sent.set()
            self._sent = trio.Event()

    async def _send_piece(
        self,
        stream: trio.SocketStream,
        shared: SharedFile,
        number: int,
        content: int,
        place: tuple[int, int],
        keep: bool,
    ) -> None:
        offset, length = place
        start, total = number * shared.piece_size, shared.framed_length
        head = (
            "HTTP/1.1 206 Partial Content\r\n"
            "Content-Type: application/octet-stream\r\n"
            f"Content-Length: {length + FRAME_BYTES}\r\n"
            f"Content-Range: bytes {start}-{start + length + FRAME_BYTES - 1}/{total or '*'}\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        )
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        with trio.fail_after(STALL_SECONDS):
            await stream.send_all(head.encode() + frame_header(length, shared.piece_size))
        stop = offset + length
        while offset < stop:
            sent = await _send_some(stream, content, offset, min(CHUNK_BYTES, stop - offset))
            if not sent:  # the file was cut under our hands: the answer cannot be completed
                raise trio.BrokenResourceError("content ended early")
            offset += sent
            await self._limit.take(sent)
        with trio.fail_after(STALL_SECONDS):
            await stream.send_all(TRAILER)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


async def _send_some(stream: trio.SocketStream, content: int, offset: int, count: int) -> int:
    with trio.fail_after(STALL_SECONDS):
        while True:
            try:
                return os.sendfile(stream.socket.fileno(), content, offset, count)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(stream.socket)


async def _answer(stream: trio.SocketStream, status: str, body: bytes, keep: bool) -> None:
    head = (
        f"HTTP/1.1 {status}\r\n"
        "Content-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
    )
    with trio.fail_after(STALL_SECONDS):
        await stream.send_all(head.encode() + body)
