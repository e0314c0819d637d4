"""Hot requests: answered by the front itself, as long as a connection brings nothing else.

They are the requests of every download's life, thousands a second, and the way through Hypercorn
and the web framework costs ten times what they do. Whatever is not plain, not hot, or not there
within a moment is left to that way, with every byte that was read of it; so a request means the
same and is answered alike on both.
"""

from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import lru_cache
from typing import Protocol, TypeAlias

import trio

from supernode.exchange import Answer
from supernode.wire.clients import address_of
from supernode.wire.hot_head import HEAD_END, HotHead, may_be_plain, plain_head
from supernode.wire.streams import GuardedStream

LARGEST_BODY = 64 * 1024
BODY_SECONDS = 1.0
"""How long a body may take; a slower one is left to the others, who have more patience."""
MOST_AHEAD = 64 * 1024
"""Bytes that are read of what a client sends before it has its answer."""
_RECEIVE = 64 * 1024

Stream: TypeAlias = GuardedStream | trio.SSLStream[GuardedStream]


class HotExchange(Protocol):
    """A request that its operation has been asked."""

    @property
    def waits(self) -> bool:
        """Whether the client may hang up before there is an answer."""
        ...

    async def answer(self) -> tuple[Answer, str]:
        """Return the answer, and the request's name. Cancelled, it leaves no trace."""
        ...


class HotRoute(Protocol):
    """Where a request leads."""

    def begin(
        self, query: str, headers: Mapping[str, str], body: bytes, remote: str
    ) -> HotExchange:
        """Ask the operation."""
        ...


class HotTable(Protocol):
    """Which hot operation is where."""

    def find(self, method: str, path: str) -> HotRoute | None:
        """Return the operation that a request is for, if it is a hot one."""
        ...


class HotConnection:
    """One connection, as long as hot requests come.

    Args:
        stream: the connection …
        guarded: … without TLS.
        table: which operations are hot; None: none is.
        largest_head: bytes of a request's line and headers.
        is_closing: whether the connection is to end with the present answer.
    """

    def __init__(
        self,
        stream: Stream,
        guarded: GuardedStream,
        table: HotTable | None,
        *,
        largest_head: int,
        is_closing: Callable[[], bool],
    ) -> None:
        self._stream = stream
        self._guarded = guarded
        self._table = table
        self._largest_head = largest_head
        self._is_closing = is_closing
        self._remote = address_of(guarded.socket)
        self._read = b""
        """What the client has sent and is not answered yet."""

    async def serve(self) -> bytes | None:
        """Answer hot requests.

        Returns:
            How the first request that is for others begins; None: the connection has ended.
        """
        try:
            while (found := await self._next()) is not None:
                head, route, body = found
                if not await self._answer(head, route, body):
                    return None
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return None
        return self._read or None

    async def _next(self) -> tuple[HotHead, HotRoute, bytes] | None:
        """Return the next request; None: there is none, or it is for others."""
        while (end := self._read.find(HEAD_END)) < 0:
            if len(self._read) > self._largest_head or not may_be_plain(self._read):
                return None
            if not await self._receive():
                return None
        if end > self._largest_head:
            return None
        head = plain_head(self._read, end)
        route = self._table.find(head.method, head.path) if head and self._table else None
        if head is None or route is None or head.length > LARGEST_BODY:
            return None
        begin = end + len(HEAD_END)
        after = begin + head.length
        if len(self._read) < after and not await self._receive_up_to(after):
            return None
        body, self._read = self._read[begin:after], self._read[after:]
        return head, route, body

    async def _receive(self) -> bool:
        """Read on; tell whether there was anything."""
        data = await self._stream.receive_some(_RECEIVE)
        self._read += data
        return bool(data)

    async def _receive_up_to(self, size: int) -> bool:
        """Read on until there are so many bytes; tell whether they came in time."""
        with trio.move_on_after(BODY_SECONDS):
            while len(self._read) < size:
                if not await self._receive():
                    return False
            return True
        return False

    async def _answer(self, head: HotHead, route: HotRoute, body: bytes) -> bool:
        """Answer a request; tell whether the connection goes on."""
        with self._guarded.request():
            exchange = route.begin(head.query, head.headers, body, self._remote)
            if exchange.waits:
                answered = await self._answer_unless_hung_up(exchange)
                if answered is None:
                    return False
            else:
                answered = await exchange.answer()
            goes_on = head.keep_alive and not self._is_closing()
            await self._send(_encoded(*answered, goes_on=goes_on))
        return goes_on

    async def _send(self, data: bytes) -> None:
        """Send an answer, mostly without waiting; then others have their turn all the same.

        That is when the next request is awaited; if that is there already, before.
        """
        sent = self._guarded.send_now(data) if self._stream is self._guarded else 0
        if sent < len(data):
            await self._stream.send_all(data[sent:])
        elif self._read:
            await trio.lowlevel.checkpoint()

    async def _answer_unless_hung_up(self, exchange: HotExchange) -> tuple[Answer, str] | None:
        answered = None

        async def watch() -> None:
            while len(self._read) < MOST_AHEAD:
                try:
                    if await self._receive():
                        continue
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass
                nursery.cancel_scope.cancel("the client hung up")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            answered = await exchange.answer()
            nursery.cancel_scope.cancel("answered")
        return answered


def _encoded(answer: Answer, identity: str, *, goes_on: bool) -> bytes:
    """Return the answer as it is sent, in the order and spelling of the other way."""
    lines = [f"HTTP/1.1 {answer.status} "]
    for name, value in answer.headers.items():
        lines.append(f"{name.lower()}: {value}")
    if answer.body:
        lines.append(f"content-type: {answer.content_type}")
    lines.append(f"content-length: {len(answer.body)}")
    lines.append(f"x-request-id: {identity}")
    lines.append(f"date: {_date(int(trio.current_time()))}")
    if not goes_on:
        lines.append("Connection: close")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + answer.body


@lru_cache(maxsize=1)
def _date(_second: int) -> str:
    """Return the time, made once in each second of Trio's clock."""
    return formatdate(usegmt=True)
