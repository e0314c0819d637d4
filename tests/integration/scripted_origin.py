"""An origin on real loopback sockets that answers as a test says, and a resolver that does."""

import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any, NamedTuple

import pytest
import trio

from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from supernode.origin.policy import OriginPolicy

LOOPBACK = OriginPolicy(allow=[ip_network("127.0.0.0/8")])
ONLY_SECOND = OriginPolicy(allow=[ip_network("127.0.0.2/32")])
SECRET = "s3cret"

Script = Callable[[trio.abc.Stream], Awaitable[None]]


class Asked(NamedTuple):
    target: str
    headers: dict[str, str]


class ScriptedOrigin:
    """Answers each path as the test says, and remembers what it was asked.

    Bytes are sent as they are and leave the connection open; a coroutine function is given the
    connection, which ends with it.
    """

    def __init__(self) -> None:
        self.port = 0
        self.answers: dict[str, bytes | Script] = {}
        self.asked: list[Asked] = []
        self.connections = 0

    async def run(
        self,
        host: str,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        (listener,) = await trio.open_tcp_listeners(port, host=host)
        self.port = listener.socket.getsockname()[1]
        listeners: list[trio.abc.Listener[Any]]
        listeners = [listener if tls is None else trio.SSLListener(listener, tls)]
        await trio.serve_listeners(self._serve, listeners, task_status=task_status)  # type: ignore[arg-type]  # the listeners are not needed

    def url(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def _serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        try:
            async with stream:
                while head := await self._head(stream):
                    request, *lines = head.decode().split("\r\n")
                    headers = dict(line.split(": ", 1) for line in lines)
                    target = request.split(" ")[1]
                    self.asked.append(Asked(target, headers))
                    answer = self.answers[target.partition("?")[0]]
                    if callable(answer):
                        return await answer(stream)
                    await stream.send_all(answer)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client left, which is often what is being tested

    async def _head(self, stream: trio.abc.Stream) -> bytes:
        received = bytearray()
        while not received.endswith(b"\r\n\r\n"):
            block = await stream.receive_some()
            if not block:
                return b""
            received += block
        return bytes(received[:-4])


class Names(trio.abc.HostnameResolver):
    """Resolves names as the test says: one answer after another, the last one for ever.

    No addresses are no answer; an error is one.
    """

    def __init__(self, **names: Sequence[list[str] | OSError]) -> None:
        self._names = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        assert host is not None
        name = host.decode()
        self.asked.append(name)
        if name not in self._names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = self._names[name]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(addresses, OSError):
            raise addresses
        if not addresses:
            await trio.sleep_forever()
        kinds = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [
            (kind, socket.SOCK_STREAM, 6, "", (address, port))
            for kind, address in zip(kinds, addresses, strict=True)
        ]

    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
    ) -> tuple[str, str]:
        raise NotImplementedError


def names(**table: Sequence[list[str] | OSError]) -> Names:
    resolver = Names(**table)
    trio.socket.set_custom_hostname_resolver(resolver)
    return resolver


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    fields = {"Content_Length": str(len(body))} | headers
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items()]
    return f"HTTP/1.1 {status} Because\r\n{''.join(lines)}\r\n".encode() + body


def redirect(to: str, status: int = 302) -> bytes:
    return answer(status, Location=to)


def send(*parts: bytes) -> Script:
    """Send these bytes and hang up."""

    async def script(stream: trio.abc.Stream) -> None:
        for part in parts:
            await stream.send_all(part)

    return script


def send_and_wait(part: bytes) -> Script:
    """Send these bytes, then nothing, until the client leaves."""

    async def script(stream: trio.abc.Stream) -> None:
        if part:
            await stream.send_all(part)
        await stream.receive_some()

    return script


def send_and_reset(part: bytes) -> Script:
    async def script(stream: trio.abc.Stream) -> None:
        assert isinstance(stream, trio.SocketStream)
        await stream.send_all(part)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return script


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port of 127.0.0.1 whose queue is full: the kernel drops what asks to connect."""
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (one, two):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield full.getsockname()[1]


async def fetch(client: OriginClient, url: str, headers: Mapping[str, str] | None = None) -> bytes:
    content = bytearray()
    with trio.fail_after(10):
        async with client.open(url, headers or {}) as body:
            async for block in body.chunks():
                content += block
    return bytes(content)


async def failure(
    client: OriginClient, url: str, headers: Mapping[str, str] | None = None
) -> OriginError:
    with pytest.raises(OriginError) as caught:
        await fetch(client, url, headers)
    return caught.value
