"""The HTTP client against servers that follow a script, byte by byte."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from supernode.dfget.http import Address, HttpClient, HttpError, StatusError
from supernode.dfget.rate import TokenBucket

Script = Callable[[trio.SocketStream, int], Awaitable[None]]
"""Plays one connection; the number says which it is, from 1."""
FREE = TokenBucket(0)


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Address]:
    connections = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        try:
            await script(stream, connections)
        except trio.BrokenResourceError:
            pass
        finally:
            await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[:2]
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def client(connect_timeout: float = 5.0) -> AsyncIterator[HttpClient]:
    http = HttpClient(connect_timeout=connect_timeout)
    try:
        with trio.fail_after(10):
            yield http
    finally:
        http.close()


async def read_request(stream: trio.SocketStream) -> bytes:
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        data = await stream.receive_some()
        if not data:
            raise trio.BrokenResourceError
        request += data
    return request


async def fetch(http: HttpClient, address: Address, into: bytearray, stall: float = 5.0) -> int:
    return await http.fetch(
        address, "/f", "0-9", memoryview(into), stall=stall, total=8, limit=FREE
    )


PIECE = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\n\r\n0123456789"


async def test_a_body_lands_in_the_buffer_however_it_is_cut() -> None:
    requests: list[bytes] = []

    async def script(stream: trio.SocketStream, _: int) -> None:
        for cut in (1, 30, 53, 58):
            requests.append(await read_request(stream))
            await stream.send_all(PIECE[:cut])
            for _ in range(20):
                await trio.lowlevel.checkpoint()
            await stream.send_all(PIECE[cut:])

    async with scripted(script) as address, client() as http:
        for _ in range(4):
            into = bytearray(16)
            assert await fetch(http, address, into) == 10
            assert into[:10] == b"0123456789"
    assert b"Range: bytes=0-9\r\n" in requests[0]
    assert f"Host: 127.0.0.1:{address[1]}\r\n".encode() in requests[0]


async def test_connections_are_used_again() -> None:
    seen: list[int] = []

    async def script(stream: trio.SocketStream, connection: int) -> None:
        while True:
            await read_request(stream)
            seen.append(connection)
            await stream.send_all(PIECE)

    async with scripted(script) as address, client() as http:
        for _ in range(3):
            await fetch(http, address, bytearray(10))
    assert seen == [1, 1, 1]


async def test_a_connection_closed_while_idle_is_replaced_once() -> None:
    seen: list[int] = []

    async def script(stream: trio.SocketStream, connection: int) -> None:
        await read_request(stream)
        seen.append(connection)
        await stream.send_all(PIECE)

    async with scripted(script) as address, client() as http:
        await fetch(http, address, bytearray(10))
        await fetch(http, address, bytearray(10))
    assert seen == [1, 2]


async def test_a_fresh_connection_that_says_nothing_is_an_error() -> None:
    async def script(stream: trio.SocketStream, _: int) -> None:
        await read_request(stream)

    async with scripted(script) as address, client() as http:
        with pytest.raises(HttpError, match="connection closed"):
            await fetch(http, address, bytearray(10))


async def test_a_connection_to_be_closed_is_not_kept() -> None:
    seen: list[int] = []

    async def script(stream: trio.SocketStream, connection: int) -> None:
        await read_request(stream)
        seen.append(connection)
        await stream.send_all(PIECE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await stream.receive_some()

    async with scripted(script) as address, client() as http:
        await fetch(http, address, bytearray(10))
        await fetch(http, address, bytearray(10))
    assert seen == [1, 2]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (PIECE[:-3], "ended after 7 of 10 bytes"),
        (PIECE.replace(b"10", b"11", 1) + b"x", "at most 10"),
        (PIECE.replace(b"Content-Length: 10\r\n", b""), "without a usable Content-Length"),
        (PIECE.replace(b"10\r", b"0" * 5000 + b"10\r", 1), "without a usable Content-Length"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "HTTP"),
        (b"HTTP/1.1 101 No\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 206 Partial Content\r\nX: " + b"x" * 200_000, "too long"),
    ],
    ids=["short", "long", "no length", "no number", "not HTTP", "other protocol", "endless head"],
)
async def test_a_wrong_answer_is_an_error(answer: bytes, problem: str) -> None:
    async def script(stream: trio.SocketStream, _: int) -> None:
        await read_request(stream)
        await stream.send_all(answer)

    async with scripted(script) as address, client() as http:
        with pytest.raises(HttpError, match=problem):
            await fetch(http, address, bytearray(10))


async def test_a_refusal_leaves_the_connection_usable() -> None:
    async def script(stream: trio.SocketStream, connection: int) -> None:
        assert connection == 1
        await read_request(stream)
        await stream.send_all(b"HTTP/1.1 416 No\r\nContent-Length: 3\r\n\r\nno\n")
        await read_request(stream)
        await stream.send_all(PIECE)

    async with scripted(script) as address, client() as http:
        with pytest.raises(StatusError) as caught:
            await fetch(http, address, bytearray(10))
        assert caught.value.status == 416
        assert await fetch(http, address, bytearray(10)) == 10


@pytest.mark.parametrize("sent", [0, 20, len(PIECE) - 1])
async def test_silence_has_an_end(sent: int) -> None:
    async def script(stream: trio.SocketStream, _: int) -> None:
        await read_request(stream)
        await stream.send_all(PIECE[:sent])
        await trio.sleep_forever()

    async with scripted(script) as address, client() as http:
        with pytest.raises(HttpError, match="too slow"):
            await fetch(http, address, bytearray(10), stall=0.1)


async def test_a_drip_has_an_end_too() -> None:
    async def script(stream: trio.SocketStream, _: int) -> None:
        await read_request(stream)
        for byte in PIECE:
            await stream.send_all(bytes([byte]))
            await trio.sleep(0.05)

    async with scripted(script) as address, client() as http:
        with pytest.raises(HttpError, match="too slow"):
            await http.fetch(
                address, "/f", "0-9", memoryview(bytearray(10)), stall=5, total=0.2, limit=FREE
            )


async def test_our_own_limit_is_not_the_holders_slowness() -> None:
    async def script(stream: trio.SocketStream, _: int) -> None:
        await read_request(stream)
        await stream.send_all(PIECE)
        await stream.receive_some()

    async with scripted(script) as address, client() as http:
        received = await http.fetch(
            *(address, "/f", "0-9", memoryview(bytearray(10))),
            stall=0.1,
            total=0.1,
            limit=TokenBucket(20),
        )
        assert received == 10


async def test_a_request_has_a_deadline() -> None:
    async def script(stream: trio.SocketStream, _: int) -> None:
        await trio.sleep_forever()

    async with scripted(script) as address, client() as http:
        with pytest.raises(HttpError, match=r"no answer within 0\.1 s"):
            await http.request(address, "GET", "/", timeout=0.1)


async def test_answers_in_chunks_and_until_the_end_are_understood() -> None:
    async def script(stream: trio.SocketStream, connection: int) -> None:
        await read_request(stream)
        if connection == 1:
            chunked = b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            await stream.send_all(b"HTTP/1.1 200 OK\r\n" + chunked + b"3\r\none\r\n0\r\n\r\n")
        else:
            await stream.send_all(b"HTTP/1.0 200 OK\r\n\r\ntwo")

    async with scripted(script) as address, client() as http:
        assert (await http.request(address, "GET", "/", timeout=5)).body == b"one"
        assert (await http.request(address, "GET", "/", timeout=5)).body == b"two"


async def test_nobody_listening() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = listeners[0].socket.getsockname()
    await listeners[0].aclose()
    async with client() as http:
        with pytest.raises(HttpError, match="cannot connect"):
            await http.request(address, "GET", "/", timeout=5)
        with pytest.raises(HttpError, match="cannot connect"):
            await http.local_address(address)


async def test_idle_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supernode.dfget.http.MOST_IDLE", 2)
    seen: list[int] = []

    async def script(stream: trio.SocketStream, connection: int) -> None:
        while True:
            await read_request(stream)
            seen.append(connection)
            await stream.send_all(PIECE)

    async with (
        scripted(script) as one,
        scripted(script) as two,
        scripted(script) as three,
        client() as http,
    ):
        for address in (one, two, one, three, one, two):
            await fetch(http, address, bytearray(10))
    assert seen == [1, 1, 1, 1, 1, 2]  # the second's connection made room for the third's


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "a\0b"])
async def test_what_is_no_host_name(host: str) -> None:
    async with client() as http:
        with pytest.raises(HttpError, match="cannot connect"):
            await http.local_address((host, 1))
