"""The HTTP client towards origins: opens one file, streams its bytes, names every way to fail.

On httpcore2's connection pool rather than httpx2's client: no cookies that wander from one task to
another, no proxies from the environment, and blocks that reach us without being cut and copied
again (2.6 instead of 1.0 GB/s from loopback).
"""

import ssl
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpcore2
import httpx2
import trio

from supernode.core.reasons import Reason
from supernode.origin.backend import CheckedBackend
from supernode.origin.errors import OriginError
from supernode.origin.policy import OriginPolicy
from supernode.origin.request import OriginRequest, compose

MAX_REDIRECTS = 10
MAX_CONNECTIONS = 64
MAX_IDLE_CONNECTIONS = 8
IDLE_SECONDS = 2.0
"""How long a connection is kept for the next request: less than common servers' 5 s, so that we
do not send a request into a connection that is just being closed."""
SMALLEST_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginBody:
    """A file that an origin has begun to send.

    Args:
        status: 200, or 206 if a range was asked for and honoured.
        length: content bytes to come; None if the origin did not say.
        etag: as received, quotes and all; "" if absent.
        last_modified: as received; "" if absent.
    """

    status: int
    length: int | None
    etag: str
    last_modified: str
    _blocks: "_Blocks"

    def chunks(self) -> AsyncIterator[bytes]:
        """Return the iterator over the content: blocks of at least 64 KiB, but for the last.

        There is one; it may be left at any point. Each block has the stall deadline.

        Raises:
            OriginError: ORIGIN_STALLED, ORIGIN_LENGTH or ORIGIN_BROKEN, while iterating.
        """
        return self._blocks


class OriginClient:
    """Fetches from origins that the policy permits.

    Args:
        policy: judges every address before it is contacted.
        connect_timeout: seconds to resolve and connect, and again for the TLS handshake.
        head_timeout: seconds from a request to the head of its final answer: connecting and
            redirects included.
        stall_timeout: seconds the content may pause.
        ssl_context: whom to trust; the system's certificate authorities unless given.
    """

    def __init__(
        self,
        policy: OriginPolicy,
        *,
        connect_timeout: float = 3.0,
        head_timeout: float = 10.0,
        stall_timeout: float = 30.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._connect_timeout = connect_timeout
        self._head_timeout = head_timeout
        self._stall_timeout = stall_timeout
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context or httpx2.create_ssl_context(),
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=CheckedBackend(policy),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection at once; a body still open fails with ORIGIN_BROKEN."""
        await self._pool.aclose()

    @asynccontextmanager
    async def open(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[OriginBody]:
        """Ask for ``url`` and offer its content while the context lasts.

        Cancelled or left early, it closes the connection.

        Args:
            url: http or https.
            headers: the caller's; Host and those of the connection itself are ours to send.

        Raises:
            OriginError: with any ``origin_…`` reason, URL_FORBIDDEN or URL_INVALID.
        """
        request, response = await self._answer(compose(url, headers))
        assert isinstance(response.stream, AsyncIterable)
        stream = aiter(response.stream)
        assert isinstance(stream, AsyncGenerator)
        try:
            async with aclosing(stream):
                yield self._body(request, response, stream)
        finally:
            await response.aclose()

    async def _answer(self, request: OriginRequest) -> tuple[OriginRequest, httpcore2.Response]:
        """Return the first answer that is not a redirect, and the request it answers."""
        try:
            with trio.fail_after(self._head_timeout):
                for _ in range(MAX_REDIRECTS + 1):
                    response = await self._send(request)
                    location = httpx2.Headers(response.headers).get("Location")
                    if response.status not in (301, 302, 303, 307, 308) or location is None:
                        return request, response
                    await response.aclose()
                    request = request.redirected(location)
        except trio.TooSlowError:
            problem = f"{request.place}: no answer within {self._head_timeout:g} s"
            raise OriginError(Reason.ORIGIN_TIMEOUT, problem) from None
        problem = f"more than {MAX_REDIRECTS} redirects, the last to {request.place}"
        raise OriginError(Reason.ORIGIN_REDIRECTS, problem)

    async def _send(self, request: OriginRequest) -> httpcore2.Response:
        try:
            on_wire = request.on_wire(connect_timeout=self._connect_timeout)
            return await self._pool.handle_async_request(on_wire)
        except httpcore2.LocalProtocolError:
            # The parser's message quotes the header.
            raise OriginError(Reason.URL_INVALID, "a header cannot be sent") from None
        except httpcore2.ProtocolError:
            # As above, for the origin's headers.
            problem = f"{request.place}: no proper HTTP answer"
            raise OriginError(Reason.ORIGIN_BROKEN, problem) from None

    def _body(
        self,
        request: OriginRequest,
        response: httpcore2.Response,
        stream: AsyncGenerator[bytes],
    ) -> OriginBody:
        headers = httpx2.Headers(response.headers)
        _check_status(request, response.status)
        encoding = headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            problem = f"{request.place}: {encoding[:64]}"
            raise OriginError(Reason.ORIGIN_ENCODING, problem)
        framed = "Transfer-Encoding" in headers or "Content-Length" not in headers
        length = None if framed else int(headers["Content-Length"])
        return OriginBody(
            status=response.status,
            length=length,
            etag=headers.get("ETag", ""),
            last_modified=headers.get("Last-Modified", ""),
            _blocks=_Blocks(stream, request.place, length, self._stall_timeout),
        )


def _check_status(request: OriginRequest, status: int) -> None:
    match status:
        case 200:
            return
        case 206 if request.wants_range:
            return
        case 404 | 410:
            reason = Reason.ORIGIN_NOT_FOUND
        case 401 | 403 | 407:
            reason = Reason.ORIGIN_AUTH
        case _:
            reason = Reason.ORIGIN_STATUS
    raise OriginError(reason, f"{status} from {request.place}")


class _Blocks:
    """Iterator over a body's content. Not a generator: nobody has to close it.

    Small blocks (tiny HTTP chunks, TLS records, a slow link) are gathered, so that an origin
    cannot make its file cost more than its bytes.
    """

    def __init__(
        self,
        stream: AsyncGenerator[bytes],
        place: str,
        length: int | None,
        stall_timeout: float,
    ) -> None:
        self._stream = stream
        self._place = place
        self._length = length
        self._stall_timeout = stall_timeout
        self._received = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            with trio.fail_after(self._stall_timeout) as scope:
                block = await self._gather(scope)
        except trio.TooSlowError:
            problem = f"{self._so_far}, then nothing for {self._stall_timeout:g} s"
            raise OriginError(Reason.ORIGIN_STALLED, problem) from None
        except httpcore2.RemoteProtocolError as error:
            reason = Reason.ORIGIN_BROKEN if self._length is None else Reason.ORIGIN_LENGTH
            raise OriginError(reason, f"{self._so_far}, then the end") from error
        if not block:
            raise StopAsyncIteration
        return block

    async def _gather(self, scope: trio.CancelScope) -> bytes:
        """Return the next block, b"" at the end; whatever arrives puts the deadline off."""
        block = await self._arrival()
        if len(block) >= SMALLEST_BLOCK:
            return block
        gathered = bytearray(block)
        while block and len(gathered) < SMALLEST_BLOCK:
            scope.deadline = trio.current_time() + self._stall_timeout
            block = await self._arrival()
            gathered += block
        return bytes(gathered)

    async def _arrival(self) -> bytes:
        block = await anext(self._stream, b"")
        self._received += len(block)
        return block

    @property
    def _so_far(self) -> str:
        total = "" if self._length is None else f" of {self._length}"
        return f"{self._place}: {self._received}{total} bytes"
