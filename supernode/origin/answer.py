"""One request and its answer in HTTP/1.1, over a connection that ends with it.

No connection serves a second request. Not every origin is well-behaved: bytes that one sends
beyond an answer would be taken for the next answer, and a file would have another's content.

What an origin sends must not cost more than its bytes: heads and chunks are parsed a few at a time,
and there may not be more around the content than it is worth.
"""

import h11
import httpx2
import trio

from supernode.core.reasons import Reason
from supernode.origin.connection import OriginConnection
from supernode.origin.errors import OriginError
from supernode.origin.proxy import Proxy
from supernode.origin.request import OriginRequest

MAX_HEAD = 64 * 1024
MAX_INFORMATIONAL = 16
"""Answers of status 1xx before the one that counts."""
HEAD_READ, CHUNKED_READ = 16 * 1024, 64 * 1024
"""Bytes to read at once where there may be header lines: 100 KiB of them take 30 ms to parse."""
EVENTS_AT_ONCE = 32
"""How much is parsed before others get their turn; tiny chunks take some 10 µs each."""
FREE_FRAMING = 512 * 1024
CONTENT_PER_FRAMING = 3
"""Beyond ``FREE_FRAMING`` bytes, an origin sends so many bytes of content with each other byte.

That is chunks of 18 bytes on average. A server that flushes line by line keeps to it."""


class OriginAnswer:
    """An answer whose head has been received.

    Args:
        status: 200 to 599.
        headers: as received.
    """

    def __init__(self, status: int, headers: httpx2.Headers, exchange: "_Exchange") -> None:
        self.status = status
        self.headers = headers
        self.chunked = "Transfer-Encoding" in headers
        framed = self.chunked or "Content-Length" not in headers
        self.length = None if framed else int(headers["Content-Length"])
        """Content bytes in all; None if the origin did not say."""
        self._exchange = exchange
        self._received = 0
        self._ended = False

    def expect(self, length: int) -> None:
        """Hold the origin to ``length`` bytes of content.

        Raises:
            OriginError: ORIGIN_LENGTH: it has announced another length.
        """
        if self.length not in (None, length):
            problem = f"{self._exchange.place}: {self.length} bytes, not {length}"
            raise OriginError(Reason.ORIGIN_LENGTH, problem)
        self.length = length

    async def receive(self) -> bytes:
        """Return content that has arrived, b"" at the end.

        Raises:
            OriginError: ORIGIN_LENGTH or ORIGIN_BROKEN.
        """
        if self._ended:
            return b""
        try:
            event = await self._exchange.next_event()
        except h11.RemoteProtocolError as error:
            announced = self.length is not None and not self.chunked
            reason = Reason.ORIGIN_LENGTH if announced else Reason.ORIGIN_BROKEN
            raise OriginError(reason, f"{self.so_far}, then the end", may_pass=True) from error
        if isinstance(event, h11.Data):
            block = bytes(event.data)
            if self.length is not None and self._received + len(block) > self.length:
                raise OriginError(Reason.ORIGIN_LENGTH, f"{self.so_far}, then too many")
            self._received += len(block)
            return block
        self._ended = True
        if self.length is not None and self._received < self.length:
            problem = f"{self.so_far}, then the end"
            raise OriginError(Reason.ORIGIN_LENGTH, problem, may_pass=True)
        if self.length is None and not self.chunked and self._exchange.was_cut:
            problem = f"{self.so_far}, then the end without a farewell"
            raise OriginError(Reason.ORIGIN_BROKEN, problem, may_pass=True)
        if self.length is not None and self._exchange.has_surplus:
            raise OriginError(Reason.ORIGIN_LENGTH, f"{self.so_far}, then more")
        return b""

    @property
    def so_far(self) -> str:
        """How much has been received, as it may be shown."""
        total = "" if self.length is None else f" of {self.length}"
        return f"{self._exchange.place}: {self._received}{total} bytes"


async def ask(
    connection: OriginConnection, request: OriginRequest, proxy: Proxy | None, read_size: int
) -> OriginAnswer:
    """Send the request and return the answer that its head begins.

    Args:
        connection: nothing has been sent on it yet.
        request: what is asked.
        proxy: what ``connection`` goes through, if anything.
        read_size: bytes to read at once.

    Raises:
        OriginError: URL_INVALID or ORIGIN_BROKEN.
    """
    exchange = _Exchange(connection, request.place, min(read_size, HEAD_READ))
    try:
        sent = exchange.begin(request.on_wire(proxy), request.content)
    except h11.LocalProtocolError:
        # The parser's message quotes the header.
        raise OriginError(Reason.URL_INVALID, "a header cannot be sent") from None
    await connection.send(sent)
    try:
        for _ in range(MAX_INFORMATIONAL + 1):
            event = await exchange.next_event()
            if isinstance(event, h11.Response):  # and not an informational one before it
                headers = httpx2.Headers(event.headers.raw_items())
                answer = OriginAnswer(event.status_code, headers, exchange)
                exchange.read_size = min(read_size, CHUNKED_READ) if answer.chunked else read_size
                return answer
    except h11.RemoteProtocolError:
        # As above, for the origin's headers.
        problem = f"{request.place}: no proper HTTP answer"
        raise OriginError(Reason.ORIGIN_BROKEN, problem, may_pass=True) from None
    problem = f"{request.place}: more than {MAX_INFORMATIONAL} answers of status 1xx"
    raise OriginError(Reason.ORIGIN_BROKEN, problem)


class _Exchange:
    """The parser, fed from the connection."""

    def __init__(self, connection: OriginConnection, place: str, read_size: int) -> None:
        self.place = place
        self.read_size = read_size
        self._connection = connection
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._events = 0
        self._received = 0
        self._content = 0

    def begin(self, request: h11.Request, content: bytes) -> bytes:
        """Return the request as bytes. Raises h11.LocalProtocolError."""
        events = request, h11.Data(content), h11.EndOfMessage()
        return b"".join([self._parser.send(event) or b"" for event in events])

    async def next_event(self) -> h11.Event | type[h11.PAUSED]:
        """Return what comes next. Raises h11.RemoteProtocolError and OriginError."""
        self._events += 1
        if self._events % EVENTS_AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
        while (event := self._parser.next_event()) is h11.NEED_DATA:
            self._judge_framing()
            block = await self._connection.receive(self.read_size)
            self._received += len(block)
            self._parser.receive_data(block)
        if isinstance(event, h11.Data):
            self._content += len(event.data)
        assert isinstance(event, h11.Event) or event is h11.PAUSED
        return event

    @property
    def was_cut(self) -> bool:
        """Whether the connection ended in a way that does not tell if this is the end."""
        return self._connection.was_cut

    @property
    def has_surplus(self) -> bool:
        """Whether bytes came beyond the end of the answer."""
        return bool(self._parser.trailing_data[0])

    def _judge_framing(self) -> None:
        """Raise OriginError if too much of what came, and has been parsed, is not content."""
        framing = self._received - self._content
        if framing > FREE_FRAMING + self._content / CONTENT_PER_FRAMING:
            problem = f"{self.place}: {framing} bytes around {self._content} bytes of content"
            raise OriginError(Reason.ORIGIN_BROKEN, problem)
