"""A small HTTP/1.1 client: keep-alive, deadlines, and piece bodies received into place.

Supernodes may be asked under TLS; pieces always come plain, for their digests tell whether they are
right. (A general client costs three times the processor time a byte, which with pieces is all that
counts.)
"""

import math
import ssl
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import NamedTuple, TypeVar
from urllib.parse import quote

import httptools
import trio

from supernode.core.pieces import parse_piece_range
from supernode.dfget.rate import TokenBucket

T = TypeVar("T")
Address = tuple[str, int]
"""Host and port."""

READ_BYTES = 64 << 10
LARGEST_ANSWER = 8 << 20
LARGEST_HEAD = 64 << 10
LONGEST_NUMBER = 20
"""Digits; of one with thousands of them Python would make no number."""
MOST_IDLE = 32
"""Connections kept for reuse, to all hosts together."""


class HttpError(Exception):
    """A host gave no usable answer."""


class StatusError(HttpError):
    """A host answered, but not with the bytes asked for."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class WrongLength(HttpError):
    """A host answered with more bytes than were asked for."""


class _Stale(HttpError):
    """The connection ended before a byte of the answer came."""


class Answer:
    """An answer as the parser hands it over; names of headers are in lower case."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = bytearray()
        self.has_head = False
        self.keep_alive = False
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Take note: the head is complete."""
        self.has_head = True
        self.status = self.parser.get_status_code()
        self.keep_alive = self.parser.should_keep_alive()  # the parser knows it only now

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        self.body += data

    def on_message_complete(self) -> None:
        """Take note: the body is complete."""
        self.complete = True


class _Server(NamedTuple):
    """Whom a connection leads to."""

    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class _Connection:
    """One connection; used by one request at a time."""

    def __init__(
        self, stream: trio.SocketStream, secure: trio.SSLStream[trio.SocketStream] | None = None
    ) -> None:
        self.socket = stream.socket
        self.reusable = True
        self._stream = stream
        self._secure = secure

    def close(self) -> None:
        self.socket.close()

    async def send(self, data: bytes) -> None:
        await (self._secure or self._stream).send_all(data)

    async def receive(self) -> bytes:
        if self._secure is None:
            return await self.socket.recv(READ_BYTES)
        try:
            return bytes(await self._secure.receive_some(READ_BYTES))
        except trio.BrokenResourceError as error:
            raise OSError(f"TLS: {error.__cause__}") from error

    async def read_head(self, answer: Answer) -> None:
        """Read until the head is complete; some of the body may come along."""
        received = 0
        while not answer.has_head:
            try:
                data = await self.receive()
            except OSError as error:
                raise HttpError(str(error)) if received else _Stale(str(error)) from error
            if not data:
                raise HttpError("connection closed") if received else _Stale("connection closed")
            received += len(data)
            if received > LARGEST_HEAD + READ_BYTES:
                raise HttpError("the head of the answer is too long")
            answer.parser.feed_data(data)
        self.reusable = answer.keep_alive

    async def read_body(self, answer: Answer) -> None:
        """Read the rest of an answer of moderate size."""
        while not answer.complete:
            if len(answer.body) > LARGEST_ANSWER:
                raise HttpError("the answer is too long")
            data = await self.receive()
            if data:
                answer.parser.feed_data(data)
            elif b"content-length" in answer.headers or b"transfer-encoding" in answer.headers:
                raise HttpError("the answer is incomplete")
            else:
                answer.complete = True


class HttpClient:
    """Connections to supernodes and peers, kept for reuse. Close it when done.

    Every request may be repeated once: if a kept connection turns out to be closed before a byte
    of the answer has come, it is sent again over a fresh one.

    Args:
        connect_timeout: seconds until a connection must stand.
        user_agent: who we say we are.
    """

    def __init__(self, *, connect_timeout: float = 5.0, user_agent: str = "dfget") -> None:
        self._connect_timeout = connect_timeout
        self._user_agent = user_agent
        self._idle: dict[_Server, list[_Connection]] = {}

    def close(self) -> None:
        """Close every idle connection."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    async def local_address(self, address: Address, *, tls: bool = False) -> str:
        """Connect, and return this machine's address on that connection, which is kept.

        Raises:
            HttpError: no connection.
        """
        server = _Server(*address, tls)
        connection = await self._connect(server)
        self._keep(server, connection)
        return str(connection.socket.getsockname()[0])

    async def request(
        self,
        address: Address,
        method: str,
        target: str,
        *,
        body: bytes = b"",
        headers: tuple[str, ...] = (),
        timeout: float,
        tls: bool = False,
    ) -> Answer:
        """Send a request and return the whole answer, whatever its status.

        Args:
            address: whom to ask.
            method: such as ``GET``.
            target: path and query.
            body: JSON, if anything.
            headers: further header lines.
            timeout: seconds for everything.
            tls: whether under TLS, with a certificate that the system's authorities vouch for.

        Raises:
            HttpError: no complete answer in time.
        """
        server = _Server(*address, tls)
        if body:
            headers = (*headers, "Content-Type: application/json", f"Content-Length: {len(body)}")

        async def read(connection: _Connection) -> Answer:
            answer = Answer()
            await connection.read_head(answer)
            await connection.read_body(answer)
            return answer

        with trio.move_on_after(timeout):
            return await self._exchange(
                server, self._head(server, method, target, headers) + body, read
            )
        raise HttpError(f"no answer within {timeout:g} s")

    async def fetch(
        self,
        address: Address,
        target: str,
        byte_range: str,
        into: memoryview,
        *,
        headers: tuple[str, ...] = (),
        stall: float,
        total: float,
        limit: TokenBucket,
    ) -> int:
        """Receive one range into a buffer and return how many bytes it was.

        Args:
            address: whom to ask.
            target: path.
            byte_range: such as ``0-4194303``.
            into: where the body goes; a longer one is an error.
            headers: further header lines.
            stall: seconds without a byte after which to give up.
            total: seconds for everything, not counting waits for ``limit``.
            limit: what each byte is paid to.

        Raises:
            StatusError: another answer than these bytes.
            HttpError: no complete answer in time.
        """
        server = _Server(*address)
        head = self._head(server, "GET", target, (f"Range: bytes={byte_range}", *headers))
        end = trio.current_time() + total
        with trio.CancelScope(deadline=min(end, trio.current_time() + stall)) as patience:

            async def read(connection: _Connection) -> int:
                nonlocal end
                answer = Answer()
                await connection.read_head(answer)
                if answer.status not in (200, 206):
                    await connection.read_body(answer)
                    raise StatusError(answer.status)
                filled, length = _begin_body(answer, into)
                end += await _unhurried(patience, limit, filled)
                while filled < length:
                    patience.deadline = min(end, trio.current_time() + stall)
                    stop = min(length, filled + READ_BYTES) if limit.rate else length
                    received = await connection.socket.recv_into(into[filled:stop])
                    if not received:
                        raise HttpError(f"ended after {filled} of {length} bytes")
                    filled += received
                    end += await _unhurried(patience, limit, received)
                return filled

            return await self._exchange(server, head, read)
        raise HttpError(f"too slow: nothing within {stall:g} s, or not all within {total:g} s")

    def _head(self, server: _Server, method: str, target: str, headers: tuple[str, ...]) -> bytes:
        lines = (
            f"{method} {target} HTTP/1.1",
            f"Host: {server}",
            f"User-Agent: {self._user_agent}",
            *headers,
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def _exchange(
        self, server: _Server, request: bytes, read: Callable[[_Connection], Awaitable[T]]
    ) -> T:
        if connection := self._idle_one(server):
            try:
                return await self._over(server, connection, request, read)
            except _Stale:
                pass  # closed while it was idle
        return await self._over(server, await self._connect(server), request, read)

    async def _over(
        self,
        server: _Server,
        connection: _Connection,
        request: bytes,
        read: Callable[[_Connection], Awaitable[T]],
    ) -> T:
        try:
            try:
                await connection.send(request)
            except (OSError, trio.BrokenResourceError) as error:
                raise _Stale(f"connection broke: {error}") from error
            result = await read(connection)
        except StatusError:
            self._keep(server, connection)
            raise
        except (OSError, httptools.HttpParserError) as error:
            connection.close()
            raise HttpError(str(error) or type(error).__name__) from error
        except httptools.HttpParserUpgrade as error:  # not a parser error by its type
            connection.close()
            raise HttpError("the answer changes to another protocol") from error
        except BaseException:
            connection.close()
            raise
        self._keep(server, connection)
        return result

    async def _connect(self, server: _Server) -> _Connection:
        with trio.move_on_after(self._connect_timeout):
            try:
                stream = await trio.open_tcp_stream(server.host, server.port)
                return await self._secured(server, stream) if server.tls else _Connection(stream)
            except (OSError, ValueError, OverflowError) as error:  # the latter two: no address
                raise HttpError(f"cannot connect to {server}: {error}") from error
        raise HttpError(f"cannot connect to {server} in time")

    async def _secured(self, server: _Server, stream: trio.SocketStream) -> _Connection:
        # "https_compatible": servers hang up without saying so in TLS.
        secure = trio.SSLStream(
            stream, self._trust, server_hostname=server.host, https_compatible=True
        )
        try:
            await secure.do_handshake()
        except trio.BrokenResourceError as error:
            stream.socket.close()
            raise HttpError(f"no TLS with {server}: {error.__cause__}") from error
        except BaseException:
            stream.socket.close()
            raise
        return _Connection(stream, secure)

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        """Whom to trust: the same authorities as when a file comes straight from its origin."""
        import httpx2  # late: most runs do not need it

        return httpx2.create_ssl_context()

    def _idle_one(self, server: _Server, which: int = -1) -> _Connection | None:
        """Take an idle connection out: the youngest, which is the likeliest to be open still."""
        idle = self._idle.get(server)
        if not idle:
            return None
        connection = idle.pop(which)
        if not idle:
            del self._idle[server]
        return connection

    def _keep(self, server: _Server, connection: _Connection) -> None:
        if not connection.reusable:
            connection.close()
            return
        # The host used last comes last; the one used longest ago makes room.
        self._idle[server] = [*self._idle.pop(server, []), connection]
        if sum(map(len, self._idle.values())) > MOST_IDLE:
            oldest = self._idle_one(next(iter(self._idle)), 0)
            assert oldest is not None
            oldest.close()


def target_of(path: str) -> str:
    """Return a path as a request names it; what would begin a query is a part of it."""
    return quote(path, safe="/%:@!$&'()*+,;=~")


def piece_headers(piece_range: str, piece_size: int) -> tuple[str, ...]:
    """Return the header lines by which uploaders of dfget 1.0 find a piece."""
    number = parse_piece_range(piece_range, piece_size)
    return f"pieceNum: {number}", f"pieceSize: {piece_size}"


def _begin_body(answer: Answer, into: memoryview) -> tuple[int, int]:
    """Move what came with the head into the buffer; return (received, to receive)."""
    declared = answer.headers.get(b"content-length", b"")
    if not declared.isdigit() or len(declared) > LONGEST_NUMBER:
        raise HttpError("an answer without a usable Content-Length")
    length, received = int(declared), len(answer.body)
    if length > len(into) or received > length:
        raise WrongLength(f"{length} bytes where at most {len(into)} were asked for")
    into[:received] = answer.body
    return received, length


async def _unhurried(patience: trio.CancelScope, limit: TokenBucket, amount: int) -> float:
    """Pay for bytes without the wait counting as the other side's slowness."""
    if not limit.rate:
        return 0.0
    patience.deadline = math.inf
    return await limit.take(amount)
