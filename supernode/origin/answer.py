"""One request and its answer in HTTP/1.1, over a connection that ends with it.

No connection serves a second request. Not every origin is well-behaved: bytes that one sends
beyond an answer would be taken for the next answer, and a file would have another's content.
"""

import h11
import httpx2

from supernode.core.reasons import Reason
from supernode.origin.connection import OriginConnection
from supernode.origin.errors import OriginError
from supernode.origin.proxy import Proxy
from supernode.origin.request import OriginRequest

MAX_HEAD = 100 * 1024


class OriginAnswer:
    """An answer whose head has been received.

    Args:
        status: 200 to 599.
        headers: as received.
    """

    def __init__(self, status: int, headers: httpx2.Headers, exchange: "_Exchange") -> None:
        self.status = status
        self.headers = headers
        framed = "Transfer-Encoding" in headers or "Content-Length" not in headers
        self.length = None if framed else int(headers["Content-Length"])
        """Content bytes in all; None if the origin did not say."""
        self._exchange = exchange
        self._received = 0
        self._ended = False

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
            reason = Reason.ORIGIN_BROKEN if self.length is None else Reason.ORIGIN_LENGTH
            raise OriginError(reason, f"{self.so_far}, then the end") from error
        if isinstance(event, h11.Data):
            self._received += len(event.data)
            return bytes(event.data)
        self._ended = True
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
    exchange = _Exchange(connection, request.place, read_size)
    try:
        head = exchange.begin(request.on_wire(proxy))
    except h11.LocalProtocolError:
        # The parser's message quotes the header.
        raise OriginError(Reason.URL_INVALID, "a header cannot be sent") from None
    await connection.send(head)
    try:
        while True:
            event = await exchange.next_event()
            if isinstance(event, h11.Response):  # and not an informational one before it
                headers = httpx2.Headers(event.headers.raw_items())
                return OriginAnswer(event.status_code, headers, exchange)
    except h11.RemoteProtocolError:
        # As above, for the origin's headers.
        problem = f"{request.place}: no proper HTTP answer"
        raise OriginError(Reason.ORIGIN_BROKEN, problem) from None


class _Exchange:
    """The parser, fed from the connection."""

    def __init__(self, connection: OriginConnection, place: str, read_size: int) -> None:
        self.place = place
        self._connection = connection
        self._read_size = read_size
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)

    def begin(self, request: h11.Request) -> bytes:
        """Return the request as bytes. Raises h11.LocalProtocolError."""
        head = self._parser.send(request)
        self._parser.send(h11.EndOfMessage())
        assert head is not None
        return head

    async def next_event(self) -> h11.Event | type[h11.PAUSED]:
        """Return what comes next. Raises h11.RemoteProtocolError and OriginError."""
        while True:
            event = self._parser.next_event()
            if event is not h11.NEED_DATA:
                assert isinstance(event, h11.Event) or event is h11.PAUSED
                return event
            self._parser.receive_data(await self._connection.receive(self._read_size))

    @property
    def has_surplus(self) -> bool:
        """Whether bytes came beyond the end of the answer."""
        return bool(self._parser.trailing_data[0])
