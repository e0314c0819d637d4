"""Request heads of HTTP/1.x, read one at a time from a stream.

A head is read only when the one before has been answered, so pipelined requests wait in the
client's own buffers and their number needs no bound of ours.
"""

from dataclasses import dataclass

import httptools
import trio

HEAD_LIMIT = 16 * 1024
"""Bytes of one head, request line and headers together."""


class HeadError(Exception):
    """What arrived is not a request that we read.

    Args:
        status: how to answer, 400 or 431.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"answered {status}")
        self.status = status


@dataclass(slots=True)
class RequestHead:
    """One request as far as this server looks at it.

    Attributes:
        method: as sent, upper case.
        target: request target as sent.
        version: ``1.0`` or ``1.1``.
        keep_alive: whether the client wants to go on with the connection.
        has_body: whether a body follows; it has not been read.
        hosts: how many ``Host`` headers there were.
        range: value of ``Range``; None unless there was exactly one.
        if_range: whether ``If-Range`` was there.
    """

    method: str = ""
    target: bytes = b""
    version: str = "1.1"
    keep_alive: bool = False
    has_body: bool = False
    hosts: int = 0
    range: str | None = None
    if_range: bool = False


class HeadReader:
    """Reads the request heads of one connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._parser = httptools.HttpRequestParser(self)
        self._received: bytes = b""
        self._read = 0  # of what was received

    async def next(self) -> RequestHead | None:
        """Return the next head; None: the client hung up.

        Raises:
            HeadError: malformed or too long.
            trio.BrokenResourceError: the connection broke.
        """
        self._start()
        size = 0
        while not self._complete:
            if self._read == len(self._received):
                self._received = await self._stream.receive_some(HEAD_LIMIT)
                self._read = 0
                if not self._received:
                    return None
            # Line by line: the parser finds where the head ends, and never sees what follows.
            end = self._received.find(b"\n", self._read) + 1 or len(self._received)
            size += end - self._read
            if size > HEAD_LIMIT:
                raise HeadError(431)
            self._feed(memoryview(self._received)[self._read : end])
            self._read = end
        return self._head

    def _start(self) -> None:
        self._head = RequestHead()
        self._ranges: list[bytes] = []
        self._complete = False

    def _feed(self, line: memoryview) -> None:
        try:
            self._parser.feed_data(line)
        except httptools.HttpParserUpgrade:
            pass  # declined: the request is answered as if it had not asked
        except httptools.HttpParserError as error:
            raise HeadError(400) from error

    # Called by the parser.

    def on_url(self, part: bytes) -> None:
        """Collect the request target."""
        self._head.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect the headers that matter."""
        match name.lower():
            case b"host":
                self._head.hosts += 1
            case b"range":
                self._ranges.append(value)
            case b"if-range":
                self._head.if_range = True

    def on_headers_complete(self) -> None:
        """Finish the head; until the parser says that the message is over, a body is expected."""
        head = self._head
        head.method = self._parser.get_method().decode("ascii")
        head.version = self._parser.get_http_version()
        head.keep_alive = self._parser.should_keep_alive()
        head.has_body = True
        if len(self._ranges) == 1:
            head.range = self._ranges[0].decode("latin-1")
        self._complete = True

    def on_message_complete(self) -> None:
        """Note that no body follows."""
        self._head.has_body = False
