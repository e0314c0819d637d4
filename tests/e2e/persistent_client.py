"""A client that calls a supernode until it is answered, and knows what it had to put up with.

Every call has a connection of its own. One that breaks is begun anew, as dfget does with its; so is
one that is refused, but others would go away then: it is counted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import trio

CALL_SECONDS = 30.0
"""After so long a call counts as hanging."""
REFUSED_PAUSE_SECONDS = 0.05
BLOCK = 1 << 18


class Answer(NamedTuple):
    """What a call was answered with; of JSON, what it stands for."""

    status: int
    seq: int
    body: Any


@dataclass(eq=False, slots=True)
class _Call:
    crossed: bool
    broken: int = 0
    refused: int = 0


@dataclass
class Endured:
    """What became of the calls that a supernode was away for, wholly or in part.

    Args:
        calls: how many there were.
        broken: whose connection broke, so that they had to be repeated.
        refused: whose connection was refused, so that an ordinary client would have gone.
    """

    calls: int = 0
    broken: int = 0
    refused: int = 0

    @property
    def unnoticed(self) -> int:
        """How many had nothing to endure but a longer wait."""
        return self.calls - self.broken - self.refused


class PersistentClient:
    """Talks to a supernode on loopback.

    Args:
        control: its control port.
        data: its data port.
    """

    def __init__(self, control: int, data: int) -> None:
        self.seq = 0
        """Number of the last event that an answer has told of."""
        self.went_back: list[str] = []
        """Answers that told of an earlier one than those before them."""
        self.endured = Endured()
        self._control = control
        self._data = data
        self._away = False
        self._calls: set[_Call] = set()

    def away(self) -> None:
        """Take note: the supernode is gone."""
        self._away = True
        for call in self._calls:
            call.crossed = True

    def back(self) -> None:
        """Take note: it answers again."""
        self._away = False

    async def __call__(
        self, method: str, path: str, body: object = None, *, wait: int = 0
    ) -> Answer:
        """Return the answer to a call of the control port, however often it must be begun anew."""
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        before = self.seq
        answer = await self._call(self._control, method, path, headers, content)
        if answer.seq < before:
            self.went_back.append(f"{method} {path}: {answer.seq} after {before}")
        self.seq = max(self.seq, answer.seq)
        return answer

    async def piece(self, task: str, start: int, stop: int) -> Answer:
        """Ask the data port for the framed bytes from ``start``, without ``stop``."""
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        return await self._call(self._data, "GET", f"/download/{task[:3]}/{task}", headers)

    async def _call(
        self, port: int, method: str, path: str, headers: Mapping[str, str], content: bytes = b""
    ) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if content:
            lines.append(f"Content-Length: {len(content)}")
        request = "\r\n".join([*lines, "", ""]).encode() + content
        call = _Call(crossed=self._away)
        self._calls.add(call)
        try:
            with trio.fail_after(CALL_SECONDS):
                return await self._until_answered(port, request, call)
        except trio.TooSlowError:
            raise TimeoutError(f"no answer to {method} {path}") from None
        finally:
            self._calls.discard(call)
            if call.crossed:
                self.endured.calls += 1
                self.endured.refused += call.refused > 0
                self.endured.broken += call.broken > 0 and not call.refused

    async def _until_answered(self, port: int, request: bytes, call: _Call) -> Answer:
        while True:
            with trio.socket.socket() as connection:
                try:
                    await connection.connect(("127.0.0.1", port))
                    await _send(connection, request)
                    return _parsed(await _receive(connection))
                except ConnectionRefusedError:
                    call.refused += 1
                except (OSError, EOFError):
                    call.broken += 1
                    continue
            await trio.sleep(REFUSED_PAUSE_SECONDS)


async def _send(connection: trio.socket.SocketType, request: bytes) -> None:
    rest = memoryview(request)
    while rest:
        rest = rest[await connection.send(rest) :]


async def _receive(connection: trio.socket.SocketType) -> bytes:
    received = bytearray()
    while block := await connection.recv(BLOCK):
        received += block
    return bytes(received)


def _parsed(received: bytes) -> Answer:
    """Return an answer. Raises EOFError if it is not whole."""
    head, end, content = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if not end or len(content) < int(headers.get("content-length", 0)):
        raise EOFError
    is_json = headers.get("content-type", "").startswith("application/json")
    body = json.loads(content) if is_json and content else content
    return Answer(int(status.split(" ")[1]), int(headers.get("supernode-seq", 0)), body)
