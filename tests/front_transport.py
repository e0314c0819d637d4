"""HTTP as the front speaks it, without sockets: what it answers itself, and what it leaves."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import httpx2
import trio

from supernode.wire.hot import HotConnection, HotTable
from supernode.wire.streams import GuardedStream


class _Line:
    """A connection that brings one request, and then nothing until its client has the answer."""

    def __init__(self, request: bytes) -> None:
        self.socket = self
        self.sent = b""
        self._request = request

    def getpeername(self) -> tuple[str, int]:
        return "127.0.0.1", 1

    @contextmanager
    def request(self) -> Iterator[None]:
        yield

    async def receive_some(self, _max_bytes: int | None = None) -> bytes:
        if not self._request:
            await trio.sleep_forever()
        request, self._request = self._request, b""
        return request

    def send_now(self, data: bytes) -> int:
        self.sent += data
        return len(data)

    async def send_all(self, data: bytes) -> None:
        self.sent += data


class FrontTransport(httpx2.AsyncBaseTransport):
    """Sends requests through a front's own code.

    Args:
        table: what it answers.
        other: gets the rest.
    """

    def __init__(self, table: HotTable, other: httpx2.AsyncBaseTransport) -> None:
        self._table = table
        self._other = other

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        lines = [request.method.encode() + b" " + request.url.raw_path + b" HTTP/1.1"]
        # what httpx adds by itself is no header of ours
        own = {b"accept", b"accept-encoding", b"connection", b"user-agent"}
        added = {b"*/*", b"gzip, deflate", b"keep-alive", b"gzip, deflate, br, zstd"}
        for name, value in request.headers.raw:
            if name.lower() not in own or value not in added:
                lines.append(name + b": " + value)
        line = _Line(b"\r\n".join((*lines, b"Connection: close", b"", body)))
        connection = HotConnection(
            cast("Any", line),
            cast("GuardedStream", line),
            self._table,
            largest_head=32 * 1024,
            is_closing=lambda: False,
        )
        if await connection.serve() is not None:
            return await self._other.handle_async_request(request)
        head, _, content = line.sent.partition(b"\r\n\r\n")
        status, *headers = head.split(b"\r\n")
        pairs = [header.partition(b": ")[::2] for header in headers]
        return httpx2.Response(int(status.split()[1]), headers=pairs, content=content)
