"""HTTP as dfget 1.0 speaks it: kept connections, few headers, queries as they are."""

import json
from typing import Any, NamedTuple

import httptools
import trio

CONTROL_SECONDS = 5.0
"""How long it waits for a supernode's answer."""
PROBE_SECONDS = 0.5
"""How long a holder may take to accept the connection that is made only to see whether it does."""
USER_AGENT = "fasthttp"
ATTEMPTS = 5
"""How often fasthttp sends a GET whose connection breaks; all that it has kept may be dead."""

Address = tuple[str, int]


class Broken(Exception):
    """No answer came."""


class Answer(NamedTuple):
    status: int
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.body)


class _Parsed:
    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.body = bytearray()
        self.complete = False
        self.keep_alive = False

    def on_headers_complete(self) -> None:
        self.keep_alive = self.parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True


class Http:
    """Connections, kept and shared. Close it when done."""

    def __init__(self) -> None:
        self._idle: dict[Address, list[trio.SocketStream]] = {}

    def close(self) -> None:
        for streams in self._idle.values():
            for stream in streams:
                stream.socket.close()

    async def get(self, address: Address, target: str) -> Answer:
        """Ask a supernode. Raises Broken."""
        return await self._ask(address, f"GET {target} HTTP/1.1", "", b"")

    async def post(self, address: Address, target: str, body: object) -> Answer:
        """Tell a supernode. Raises Broken."""
        content = json.dumps(body).encode()
        kind = "Content-Type: application/json;charset=utf-8\r\n"
        head = f"{kind}Content-Length: {len(content)}\r\n"
        return await self._ask(address, f"POST {target} HTTP/1.1", head, content)

    async def piece(self, address: Address, path: str, headers: dict[str, str]) -> Answer:
        """Ask a holder. Raises Broken; how long it may take is the caller's business."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return await self._exchange(address, f"GET {path} HTTP/1.1", lines, b"")

    async def probe(self, address: Address) -> None:
        """Connect and hang up. Raises Broken."""
        try:
            with trio.fail_after(PROBE_SECONDS):
                await (await trio.open_tcp_stream(*address)).aclose()
        except (OSError, trio.TooSlowError) as error:
            raise Broken(f"no connection to {address}") from error

    async def _ask(self, address: Address, line: str, head: str, body: bytes) -> Answer:
        try:
            with trio.fail_after(CONTROL_SECONDS):
                return await self._exchange(
                    address, line, f"User-Agent: {USER_AGENT}\r\n{head}", body
                )
        except trio.TooSlowError:
            raise Broken(f"no answer from {address} in time") from None

    async def _exchange(self, address: Address, line: str, head: str, body: bytes) -> Answer:
        """Send a request; a GET once more if the connection breaks before it is answered."""
        request = f"{line}\r\nHost: {address[0]}:{address[1]}\r\n{head}\r\n".encode() + body
        for attempt in range(1, ATTEMPTS + 1):
            idle = self._idle.get(address)
            kept = bool(idle)
            try:
                stream = idle.pop() if idle else await trio.open_tcp_stream(*address)
            except OSError as error:
                raise Broken(str(error)) from error
            try:
                return await self._over(stream, address, request)
            except (Broken, trio.BrokenResourceError, httptools.HttpParserError) as error:
                if attempt == ATTEMPTS or not (kept or line.startswith("GET")):
                    raise Broken(f"{address} hung up") from error
        raise AssertionError

    async def _over(self, stream: trio.SocketStream, address: Address, request: bytes) -> Answer:
        parsed = _Parsed()
        try:
            await stream.send_all(request)
            while not parsed.complete:
                data = await stream.receive_some()
                if not data:
                    raise Broken("hung up")
                parsed.parser.feed_data(data)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        if parsed.keep_alive:
            self._idle.setdefault(address, []).append(stream)
        else:
            await stream.aclose()
        return Answer(parsed.parser.get_status_code(), bytes(parsed.body))
