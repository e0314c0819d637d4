"""Following a supernode's events over its websocket, across connections that break.

The number of the last event that was shown is the place to go on from, so none is lost or shown
twice. What the supernode does not know any more is shown as a gap; if it has forgotten everything,
it numbers anew, and all it has is new.
"""

import json
import random
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias
from urllib.parse import urlencode

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from supernode.dfget.options import Node

CONNECT_SECONDS = 10.0
"""How long it may take until the supernode has accepted."""
PING_SECONDS = 20.0
"""So often the supernode is asked whether it is still there, and so long it may take to say so."""
GOODBYE_SECONDS = 1.0
FIRST_PAUSE, GROWTH, LONGEST_PAUSE = 0.5, 1.5, 30.0
"""Before trying again, in seconds; up to half of it more, so that not all come at once."""
SEQ_HEADER = b"supernode-seq"

Message: TypeAlias = dict[str, Any]


class NotFollowed(Exception):
    """The supernode cannot be followed, and trying again will not help.

    Args:
        usage: whether what was asked for is at fault.
    """

    def __init__(self, problem: str, *, usage: bool = False) -> None:
        super().__init__(problem)
        self.usage = usage


class _Broken(Exception):
    """The connection was lost, or could not be had."""


class Follower:
    """One who follows.

    Args:
        node: which supernode.
        filters: names and values of the query that says what is wanted.
        since: number of the last event that is known; None: of no interest is what was before.
        show: called with each message, as text and as what it says, in order; must not fail.
        notice: called with what happens to the connection.
    """

    def __init__(
        self,
        node: Node,
        filters: Sequence[tuple[str, str]],
        since: int | None,
        show: Callable[[str, Message], None],
        notice: Callable[[str], None],
    ) -> None:
        self._node = node
        self._filters = list(filters)
        self._place = since
        self._show = show
        self._notice = notice
        self._connected = False
        """Whether it ever was."""
        self._pause = FIRST_PAUSE

    async def run(self) -> None:
        """Follow for ever.

        Raises:
            NotFollowed: there is no such supernode, or it refuses.
        """
        while True:
            try:
                await self._follow()
            except _Broken as broken:
                problem = str(broken)
            if not self._connected:
                raise NotFollowed(problem)
            pause = self._pause * random.uniform(1, 1.5)  # noqa: S311 - it spreads load
            self._pause = min(self._pause * GROWTH, LONGEST_PAUSE)
            self._notice(f"{problem}; trying again in {pause:.1f} s")
            await trio.sleep(pause)

    async def _follow(self) -> None:
        """Follow until the connection ends. Raises _Broken, NotFollowed."""
        rejected: list[ConnectionRejected] = []
        problem = "the supernode closed the connection"
        try:
            async with await self._connect() as stream, trio.open_nursery() as nursery:
                connection = await self._accepted(nursery, stream)
                nursery.start_soon(_watch, connection, nursery.cancel_scope)
                try:
                    await self._read(connection)
                except ConnectionClosed as closed:
                    if closed.reason is not None and closed.reason.reason:
                        problem = f"the supernode closed the connection: {closed.reason.reason}"
                finally:
                    with trio.move_on_after(GOODBYE_SECONDS, shield=True):
                        await connection.aclose()
                nursery.cancel_scope.cancel()
        except* ConnectionRejected as group:
            rejected = [each for each in _leaves(group) if isinstance(each, ConnectionRejected)]
        except* (HandshakeError, trio.TooSlowError, trio.BrokenResourceError) as group:
            first = _leaves(group)[0]
            problem = str(first) or f"the supernode does not answer ({type(first).__name__})"
        if rejected:
            self._be_rejected(rejected[0])
        raise _Broken(problem)

    async def _connect(self) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
        """Raises _Broken."""
        node = self._node
        try:
            with trio.fail_after(CONNECT_SECONDS):
                stream = await trio.open_tcp_stream(node.host, node.port)
                if not node.tls:
                    return stream
                context = ssl.create_default_context()
                secured = trio.SSLStream(stream, context, server_hostname=node.host)
                await secured.do_handshake()
                return secured
        except (OSError, trio.BrokenResourceError) as error:
            why = _leaves(error.__cause__ or error)[-1]
            raise _Broken(f"no connection to {node}: {why}") from None
        except trio.TooSlowError:
            raise _Broken(f"no connection to {node} within {CONNECT_SECONDS:.0f} s") from None

    async def _accepted(
        self, nursery: trio.Nursery, stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]
    ) -> WebSocketConnection:
        query = list(self._filters)
        if self._place is not None:
            query.append(("since", str(self._place)))
        with trio.fail_after(CONNECT_SECONDS):
            connection = await wrap_client_stream(
                nursery, stream, _host(self._node), f"/events?{urlencode(query)}"
            )
        if self._place is None:
            headers = dict(connection.handshake_headers)
            self._place = int(headers.get(SEQ_HEADER, b"0"))
        if self._connected:
            self._notice(f"connected again; going on after event {self._place}")
        self._connected = True
        return connection

    async def _read(self, connection: WebSocketConnection) -> None:
        while True:
            text = await connection.get_message()
            message = json.loads(text)
            place = message["to"] if message["type"] == "gap" else message["seq"]
            if self._place is None or place > self._place:
                self._show(str(text), message)
                self._place = place
            self._pause = FIRST_PAUSE

    def _be_rejected(self, rejected: ConnectionRejected) -> None:
        """Go on if there is a way. Raises _Broken, NotFollowed."""
        said = _message_of(rejected)
        last = dict(rejected.headers).get(SEQ_HEADER)
        if rejected.status_code == 503:
            self._connected = True  # there is somebody, and there will be room
            raise _Broken(said)
        if rejected.status_code != 400:
            raise NotFollowed(f"{self._node} answers {rejected.status_code}: {said}")
        if self._connected and last is not None and self._place and int(last) < self._place:
            self._notice("the supernode numbers its events anew; going on with all that it has")
            self._place = 0
            raise _Broken("the supernode has forgotten what was before")
        raise NotFollowed(said, usage=True)


async def _watch(connection: WebSocketConnection, end: trio.CancelScope) -> None:
    """End a connection on which the supernode says nothing any more."""
    with suppress(ConnectionClosed):
        while True:
            await trio.sleep(PING_SECONDS)
            with trio.move_on_after(PING_SECONDS) as patience:
                await connection.ping()
            if patience.cancelled_caught:
                end.cancel()


def _host(node: Node) -> str:
    return str(node).rpartition("/")[2]


def _message_of(rejected: ConnectionRejected) -> str:
    try:
        return str(json.loads(rejected.body or b"")["message"])
    except (ValueError, KeyError, TypeError):
        return "it refuses"


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for member in error.exceptions for leaf in _leaves(member)]
    return [error]
