"""The data port: serves the pieces of the store over HTTP/1.1.

Owns its listeners, every connection they accept and the deadlines of both. What is answered is
decided in :mod:`supernode.wire.downloads`; :mod:`supernode.wire.transfer` sends the file's bytes.

Bounds. At most ``max_connections`` are served. When one more arrives, the one that has waited
longest for its client's next request is closed to make room. While all of them are busy the
newcomer waits, and those behind it in the kernel's backlog; meanwhile every connection is closed
after its present answer. A client that has ``max_connections_per_client`` makes room with one of
its own in the same way; while all of those are busy the newcomer is answered 503, for nobody else
should have to wait behind it.

A client that accepts no byte for ``stall_timeout`` is cut with a reset; one that sends no complete
request for ``idle_timeout`` is closed. A connection that comes and goes without a word is normal:
dfget opens one before every piece.
"""

import errno
import socket
import struct
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.utils import formatdate
from http import HTTPStatus

import structlog
import trio

from supernode.storage.errors import Discarded, StoreError
from supernode.wire.clients import Client, ConnectionCounts, client_of
from supernode.wire.downloads import FindFile, Part, Reply, answer, refusal
from supernode.wire.refusals import Refusals
from supernode.wire.request_head import HeadError, HeadReader, RequestHead
from supernode.wire.transfer import CHUNK, Stalled, send_part

_NO_CAPACITY = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_CAPACITY_PAUSE = 0.1  # seconds
_LINGER = 2.0
"""Seconds for a client to take note that we have closed; a reset could overtake our answer."""

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class DataPort:
    """Serves piece files until :meth:`shut`.

    Args:
        listeners: where to accept; closed when the port is shut.
        find: which file may be served for a task.
        max_connections: how many are served at once.
        stall_timeout: seconds that a client may accept nothing.
        idle_timeout: seconds in which a request must have arrived completely.
        drain_timeout: seconds that running transfers may take after :meth:`shut`.
        max_connections_per_client: how many each client may have; None: no limit of its own.
    """

    def __init__(
        self,
        listeners: Sequence[trio.SocketListener],
        find: FindFile,
        *,
        max_connections: int,
        stall_timeout: float,
        idle_timeout: float,
        drain_timeout: float,
        max_connections_per_client: int | None = None,
    ) -> None:
        self._listeners = listeners
        self._find = find
        self._stall_timeout = stall_timeout
        self._idle_timeout = idle_timeout
        self._drain_timeout = drain_timeout
        self._slots = trio.Semaphore(max_connections, max_value=max_connections)
        self._clients = ConnectionCounts(max_connections_per_client)
        self._refusals = Refusals()
        self._accepting = trio.CancelScope()
        self._waiting: OrderedDict[trio.CancelScope, Client] = OrderedDict()
        """What cancels each wait for a client's next move, and whose it is; longest first."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until :meth:`shut`, then let running transfers end and return.

        On cancel: every connection is cut.
        """
        async with trio.open_nursery() as connections:
            with self._accepting:
                async with trio.open_nursery() as acceptors:
                    for listener in self._listeners:
                        acceptors.start_soon(self._accept, listener, connections)
                    task_status.started()
            connections.cancel_scope.deadline = trio.current_time() + self._drain_timeout
            while self._waiting:
                self._close_longest_waiting()

    def shut(self) -> None:
        """Stop accepting; close idle connections, give the others ``drain_timeout`` to finish."""
        self._accepting.cancel()

    async def _accept(self, listener: trio.SocketListener, connections: trio.Nursery) -> None:
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    if error.errno not in _NO_CAPACITY:
                        raise
                    log.warning("cannot accept", error=error.strerror)
                    self._close_longest_waiting()
                    await trio.sleep(_CAPACITY_PAUSE)
                    continue
                client = client_of(stream)
                if self._clients.at_limit(client):
                    if not self._close_longest_waiting(client):
                        connections.start_soon(self._refuse, stream)
                        continue
                elif not self._slots.value:
                    self._close_longest_waiting()
                try:
                    await self._slots.acquire()
                except trio.Cancelled:
                    stream.socket.close()
                    raise
                self._clients.add(client)
                connections.start_soon(self._own, stream, client)

    @property
    def _wants_room(self) -> bool:
        """Tell whether connections are to end after their present answer."""
        return self._accepting.cancel_called or self._slots.statistics().tasks_waiting > 0

    def _close_longest_waiting(self, client: Client | None = None) -> bool:
        """Close the connection, of this client if one is named, that waits longest, if any does."""
        for wait, owner in self._waiting.items():
            if client in (None, owner):
                del self._waiting[wait]
                wait.cancel()
                return True
        return False

    async def _refuse(self, stream: trio.SocketStream) -> None:
        try:
            await self._refusals.tell(stream)
        finally:
            stream.socket.close()

    async def _own(self, stream: trio.SocketStream, client: Client) -> None:
        """Serve one connection; whatever happens on it stays on it."""
        try:
            await self._serve(stream, client)
        except Stalled:
            log.info("client stalled", peer=_address(stream))
        except StoreError as error:
            log.error("cannot read a piece file", reason=error.reason.code, detail=error.detail)
        except (trio.BrokenResourceError, OSError, Discarded) as error:
            log.debug("connection ended early", error=repr(error))
        except Exception:  # a defect that one request brings out must not end the port
            log.exception("connection failed", peer=_address(stream))
        finally:
            stream.socket.close()
            self._clients.remove(client)
            self._slots.release()

    async def _serve(self, stream: trio.SocketStream, client: Client) -> None:
        # Trio's default of 16 KiB suits small messages; a transfer wants its chunks taken whole.
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, CHUNK)
        heads = HeadReader(stream)
        while True:
            try:
                head = await self._next_head(heads, client)
            except HeadError as error:
                head, reply = RequestHead(), refusal(error.status)
            else:
                if head is None:
                    return
                reply = answer(head, self._find)
            going_on = head.keep_alive and not head.has_body and not self._wants_room
            await self._send(stream, head, reply, going_on)
            if not going_on or self._wants_room:
                break
        with trio.move_on_after(_LINGER):
            await stream.send_eof()
            while await stream.receive_some():
                pass

    async def _next_head(self, heads: HeadReader, client: Client) -> RequestHead | None:
        """Wait for the next request; None: there will be none, or we want to close."""
        if self._accepting.cancel_called:
            return None
        with trio.move_on_after(self._idle_timeout) as wait:
            self._waiting[wait] = client
            try:
                return await heads.next()
            finally:
                self._waiting.pop(wait, None)
        return None

    async def _send(
        self, stream: trio.SocketStream, head: RequestHead, reply: Reply, going_on: bool
    ) -> None:
        text = _head_of(reply, head.version, going_on)
        match reply.content:
            case _ if head.method == "HEAD":
                await self._send_text(stream, text)
            case Part(file, start, stop):
                async with file.opened() as fd:
                    with _one_answer(stream):
                        await self._send_text(stream, text)
                        await send_part(
                            stream.socket, file, fd, start, stop, stall_timeout=self._stall_timeout
                        )
            case bytes(content):
                await self._send_text(stream, text + content)

    async def _send_text(self, stream: trio.SocketStream, text: bytes) -> None:
        with trio.move_on_after(self._stall_timeout):
            await stream.send_all(text)
            return
        raise Stalled


def _head_of(reply: Reply, version: str, going_on: bool) -> bytes:
    headers = [
        ("Date", formatdate(usegmt=True)),
        *reply.headers,
        ("Content-Length", str(reply.length)),
    ]
    if not going_on:
        headers.append(("Connection", "close"))
    elif version == "1.0":
        headers.append(("Connection", "keep-alive"))
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode()


@contextmanager
def _one_answer(stream: trio.SocketStream) -> Iterator[None]:
    """Send full packets only, until the block ends; if it fails, have the closing reset.

    A reset tells the client at once that the answer is not whole, and the kernel drops what has not
    been taken instead of offering it for minutes.
    """
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    try:
        yield
    except BaseException:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise
    finally:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


def _address(stream: trio.SocketStream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return "gone"
