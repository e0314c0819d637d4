"""A small HTTP/1.1 client: keep-alive, deadlines, and piece bodies received into place.

Plain TCP only; supernodes and peers speak nothing else. (A general client costs three times the
processor time a byte, which with pieces is all that counts.)
"""

import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httptools
import trio

from supernode.dfget.rate import TokenBucket

T = TypeVar("T")
Address = tuple[str, int]
"""Host and port."""

READ_BYTES = 64 << 10
LARGEST_ANSWER = 8 << 20
LARGEST_HEAD = 64 << 10
MOST_IDLE = 32
"""Connections kept for reuse, to all hosts together."""


class HttpError(Exception):
    """A host gave no usable answer."""


class StatusError(HttpError):
    """A host answered, but not with the bytes asked for."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


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


class _Connection:
    """One connection; used by one request at a time."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.reusable = True

    def close(self) -> None:
        self.stream.socket.close()

    async def receive(self) -> bytes:
        return await self.stream.socket.recv(READ_BYTES)

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
        self._idle: dict[Address, list[_Connection]] = {}

    def close(self) -> None:
        """Close every idle connection."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    async def local_address(self, address: Address) -> str:
        """Connect, and return this machine's address on that connection, which is kept.

        Raises:
            HttpError: no connection.
        """
        connection = await self._connect(address)
        self._keep(address, connection)
        return str(connection.stream.socket.getsockname()[0])

    async def request(
        self,
        address: Address,
        method: str,
        target: str,
        *,
        body: bytes = b"",
        headers: tuple[str, ...] = (),
        timeout: float,
    ) -> Answer:
        """Send a request and return the whole answer, whatever its status.

        Args:
            address: whom to ask.
            method: such as ``GET``.
            target: path and query.
            body: JSON, if anything.
            headers: further header lines.
            timeout: seconds for everything.

        Raises:
            HttpError: no complete answer in time.
        """
        if body:
            headers = (*headers, "Content-Type: application/json", f"Content-Length: {len(body)}")

        async def read(connection: _Connection) -> Answer:
            answer = Answer()
            await connection.read_head(answer)
            await connection.read_body(answer)
            return answer

        with trio.move_on_after(timeout):
            return await self._exchange(
                address, self._head(address, method, target, headers) + body, read
            )
        raise HttpError(f"no answer within {timeout:g} s")

    async def fetch(
        self,
        address: Address,
        target: str,
        byte_range: str,
        into: memoryview,
        *,
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
            stall: seconds without a byte after which to give up.
            total: seconds for everything, not counting waits for ``limit``.
            limit: what each byte is paid to.

        Raises:
            StatusError: another answer than these bytes.
            HttpError: no complete answer in time.
        """
        head = self._head(address, "GET", target, (f"Range: bytes={byte_range}",))
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
                    received = await connection.stream.socket.recv_into(into[filled:stop])
                    if not received:
                        raise HttpError(f"ended after {filled} of {length} bytes")
                    filled += received
                    end += await _unhurried(patience, limit, received)
                return filled

            return await self._exchange(address, head, read)
        raise HttpError(f"too slow: nothing within {stall:g} s, or not all within {total:g} s")

    def _head(self, address: Address, method: str, target: str, headers: tuple[str, ...]) -> bytes:
        host, port = address
        lines = (
            f"{method} {target} HTTP/1.1",
            f"Host: [{host}]:{port}" if ":" in host else f"Host: {host}:{port}",
            f"User-Agent: {self._user_agent}",
            *headers,
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def _exchange(
        self, address: Address, request: bytes, read: Callable[[_Connection], Awaitable[T]]
    ) -> T:
        if connection := self._idle_one(address):
            try:
                return await self._over(address, connection, request, read)
            except _Stale:
                pass  # closed while it was idle
        return await self._over(address, await self._connect(address), request, read)

    async def _over(
        self,
        address: Address,
        connection: _Connection,
        request: bytes,
        read: Callable[[_Connection], Awaitable[T]],
    ) -> T:
        try:
            try:
                await connection.stream.send_all(request)
            except (OSError, trio.BrokenResourceError) as error:
                raise _Stale(f"connection broke: {error}") from error
            result = await read(connection)
        except StatusError:
            self._keep(address, connection)
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
        self._keep(address, connection)
        return result

    async def _connect(self, address: Address) -> _Connection:
        with trio.move_on_after(self._connect_timeout):
            try:
                return _Connection(await trio.open_tcp_stream(*address))
            except (OSError, ValueError, OverflowError) as error:  # the latter two: no address
                raise HttpError(f"cannot connect to {address[0]}:{address[1]}: {error}") from error
        raise HttpError(f"cannot connect to {address[0]}:{address[1]} in time")

    def _idle_one(self, address: Address, which: int = -1) -> _Connection | None:
        """Take an idle connection out: the youngest, which is the likeliest to be open still."""
        idle = self._idle.get(address)
        if not idle:
            return None
        connection = idle.pop(which)
        if not idle:
            del self._idle[address]
        return connection

    def _keep(self, address: Address, connection: _Connection) -> None:
        if not connection.reusable:
            connection.close()
            return
        # The host used last comes last; the one used longest ago makes room.
        self._idle[address] = [*self._idle.pop(address, []), connection]
        if sum(map(len, self._idle.values())) > MOST_IDLE:
            oldest = self._idle_one(next(iter(self._idle)), 0)
            assert oldest is not None
            oldest.close()


def _begin_body(answer: Answer, into: memoryview) -> tuple[int, int]:
    """Move what came with the head into the buffer; return (received, to receive)."""
    declared = answer.headers.get(b"content-length", b"")
    if not declared.isdigit():
        raise HttpError("an answer without Content-Length")
    length, received = int(declared), len(answer.body)
    if length > len(into) or received > length:
        raise HttpError(f"{length} bytes where at most {len(into)} were asked for")
    into[:received] = answer.body
    return received, length


async def _unhurried(patience: trio.CancelScope, limit: TokenBucket, amount: int) -> float:
    """Pay for bytes without the wait counting as the other side's slowness."""
    if not limit.rate:
        return 0.0
    patience.deadline = math.inf
    return await limit.take(amount)
