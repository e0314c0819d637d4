"""Websockets that a front answers by itself: those on which only the server has something to say.

What many are sent is the same bytes for all, framed once (a server's frames are not masked), and
goes out in one write. Hypercorn would frame each message for each client. It still gets the
handshakes that are not in order, or that lead nowhere.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote

import structlog
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Event, Ping, Request
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from supernode.streaming import CLOSE_CODES, Ending, Opener, Stream

CLOSING_SECONDS = 2.0
"""How long a client may take to say good-bye, too."""

_FINAL_TEXT = 0x81
_SHORT, _MEDIUM = 126, 1 << 16

Routes: TypeAlias = Callable[[str], Opener | None]
"""What answers the handshake at a path; None: somebody else does."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Handshake:
    """A client's opening handshake, in order and complete.

    Args:
        path: decoded.
        query_string: as it came.
        headers: names in lower case.
        protocol: has read it, and can accept it.
    """

    path: str
    query_string: str
    headers: list[tuple[bytes, bytes]]
    protocol: WSConnection


def handshake(received: bytes) -> Handshake | None:
    """Return the handshake that is all that was received; None: it is something else."""
    if not (received.startswith(b"GET ") and received.endswith(b"\r\n\r\n")):
        return None
    if b"websocket" not in received.lower():
        return None
    protocol = WSConnection(ConnectionType.SERVER)
    try:
        protocol.receive_data(received)
        events = list(protocol.events())
        if len(events) != 1 or not isinstance(asked := events[0], Request):
            return None
        host = asked.host.encode("idna")
    except (RemoteProtocolError, UnicodeError):
        return None
    path, _, query = asked.target.partition("?")
    headers = [*asked.extra_headers, (b"host", host)]
    return Handshake(unquote(path), query, headers, protocol)


def frame(text: bytes) -> bytes:
    """Return a text message as a server sends it."""
    length = len(text)
    if length < _SHORT:
        return bytes((_FINAL_TEXT, length)) + text
    if length < _MEDIUM:
        return bytes((_FINAL_TEXT, 126)) + length.to_bytes(2, "big") + text
    return bytes((_FINAL_TEXT, 127)) + length.to_bytes(8, "big") + text


async def tell(
    stream: trio.abc.Stream,
    asked: Handshake,
    messages: Stream,
    *,
    ping_interval: float,
    send_now: Callable[[bytes], int] = lambda _: 0,
) -> None:
    """Accept a handshake and send what there is to say until it ends, or the client goes.

    What the client says is ignored. One that does not answer a ping before the next is due is gone.

    Args:
        stream: where the handshake came from.
        asked: the handshake.
        messages: what to send; closed by the caller.
        ping_interval: in seconds.
        send_now: sends what can be sent on the stream without waiting; returns how many bytes.
    """
    began = trio.current_time()
    try:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await _Connection(stream, asked.protocol, messages, ping_interval, send_now).run()
    finally:
        seconds = round(trio.current_time() - began, 6)
        log.debug("answered", method="GET", path=asked.path, status=101, seconds=seconds)


class _Connection:
    def __init__(
        self,
        stream: trio.abc.Stream,
        protocol: WSConnection,
        messages: Stream,
        ping_interval: float,
        send_now: Callable[[bytes], int],
    ) -> None:
        self._stream = stream
        self._protocol = protocol
        self._messages = messages
        self._ping_interval = ping_interval
        self._send_now = send_now
        self._writing = trio.Lock()

    async def run(self) -> None:
        headers = [
            (name.encode(), value.encode()) for name, value in self._messages.headers.items()
        ]
        await self._send(AcceptConnection(extra_headers=headers))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, nursery.cancel_scope)
                outcome = await self._tell()
                nursery.cancel_scope.deadline = trio.current_time() + CLOSING_SECONDS
                await self._send(CloseConnection(CLOSE_CODES[outcome], outcome.value))
        except* (trio.BrokenResourceError, trio.ClosedResourceError, LocalProtocolError):
            pass  # the client has gone

    async def _tell(self) -> Ending:
        while not isinstance(outcome := await self._messages.next(), Ending):
            portion = outcome.encoded(frame)
            sent = 0 if self._writing.locked() else self._send_now(portion)
            if sent < len(portion):
                async with self._writing:
                    await self._stream.send_all(memoryview(portion)[sent:])
        return outcome

    async def _listen(self, connection: trio.CancelScope) -> None:
        """Read until the client has gone, and see to it that it has not gone without a word."""
        asked = False
        while True:
            received = None
            with trio.move_on_after(self._ping_interval):
                received = await self._stream.receive_some()
            if received is None and not asked:
                await self._send(Ping())
                asked = True
            elif received:
                asked = False
                if not await self._understand(bytes(received)):
                    break
            else:
                if asked:
                    log.debug("a websocket's client has gone without a word")
                break
        connection.cancel()

    async def _understand(self, received: bytes) -> bool:
        """Answer pings and good-byes; tell whether there is more to come."""
        try:
            self._protocol.receive_data(received)
            for event in self._protocol.events():
                if isinstance(event, Ping):
                    await self._send(event.response())
                elif isinstance(event, CloseConnection):
                    with suppress(LocalProtocolError):  # it answers ours
                        await self._send(event.response())
                    return False
        except RemoteProtocolError as error:
            code = getattr(error.event_hint, "code", 1002)
            await self._send(CloseConnection(code, "not as a websocket's client speaks"))
            return False
        return True

    async def _send(self, event: Event) -> None:
        async with self._writing:
            await self._stream.send_all(self._protocol.send(event))
