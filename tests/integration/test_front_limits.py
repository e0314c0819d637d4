"""What one client may take of the front: connections, bytes, time."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest
import trio
from quart import request
from quart_trio import QuartTrio

from tests.integration.h2_client import H2Client
from tests.integration.served_front import connect, read_to_the_end, serving

REQUEST = b"GET /hello HTTP/1.1\r\nHost: supernode\r\n\r\n"
LAST_REQUEST = b"GET /hello HTTP/1.1\r\nHost: supernode\r\nConnection: close\r\n\r\n"
ONE, OTHER = "127.0.0.1", "127.0.0.2"
MAX_HEADER = 8 * 1024
MAX_BODY = 100_000


@pytest.fixture
def app() -> QuartTrio:
    app = QuartTrio(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY

    @app.get("/hello")
    async def hello() -> str:
        return "hello"

    @app.post("/body")
    async def body() -> str:
        return str(len(await request.get_data()))

    return app


async def hold(stream: trio.SocketStream) -> None:
    """Ask for something, and keep the connection."""
    await stream.send_all(REQUEST)
    answer = b""
    while not answer.endswith(b"hello"):
        chunk = await stream.receive_some()
        assert chunk, f"closed after {answer!r}"
        answer += chunk


async def send_for_ever(stream: trio.SocketStream, data: bytes, *, pause: float = 0) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while True:
            await stream.send_all(data)
            await trio.sleep(pause)


# Connections


async def test_one_client_cannot_take_all_connections(app: QuartTrio) -> None:
    async with serving(app, max_connections=3, max_connections_per_client=2) as (_, port):
        async with (
            await connect(port, own_address=ONE) as first,
            await connect(port, own_address=ONE) as second,
        ):
            await hold(first)
            await hold(second)
            async with await connect(port, own_address=ONE) as third:
                refusal = await read_to_the_end(third)
            assert refusal.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 1\r\n" in refusal
            async with await connect(port, own_address=OTHER) as neighbour:
                await hold(neighbour)
            await hold(first)  # who is in stays in
            await second.send_all(LAST_REQUEST)
            assert (await read_to_the_end(second)).endswith(b"hello")
        answer = refusal
        while answer == refusal:  # the server's side of the second may take a moment to end
            async with await connect(port, own_address=ONE) as again:
                await again.send_all(LAST_REQUEST)
                answer = await read_to_the_end(again)
        assert answer.endswith(b"hello")


# Sizes


@pytest.mark.parametrize("piece", [1_000, 1 << 20], ids=["in pieces", "at once"])
@pytest.mark.parametrize(
    "head",
    [
        b"GET /hello HTTP/1.1\r\nHost: x\r\nX: " + b"x" * (MAX_HEADER + 500),
        b"GET /hello?" + b"x" * (MAX_HEADER + 500) + b" HTTP/1.1\r\nHost: x",
        b"GET /hello HTTP/1.1\r\nHost: x" + b"\r\nX: x" * (MAX_HEADER // 5),
    ],
    ids=["a header", "the target", "many headers"],
)
async def test_a_head_that_is_too_long(app: QuartTrio, head: bytes, piece: int) -> None:
    async with serving(app, max_header=MAX_HEADER) as (_, port), await connect(port) as stream:
        for start in range(0, len(head), piece):
            await stream.send_all(head[start : start + piece])
        await stream.send_all(b"\r\nConnection: close\r\n\r\n")
        assert (await read_to_the_end(stream)).startswith(b"HTTP/1.1 431 ")


async def test_a_head_that_never_ends(app: QuartTrio) -> None:
    async with (
        serving(app, max_header=MAX_HEADER) as (_, port),
        await connect(port) as stream,
        trio.open_nursery() as sender,
    ):
        await stream.send_all(b"GET /hello HTTP/1.1\r\n")
        sender.start_soon(send_for_ever, stream, b"X: x\r\n" * 1000)
        assert (await read_to_the_end(stream)).startswith(b"HTTP/1.1 431 ")
        sender.cancel_scope.cancel()


async def test_a_head_that_is_long_enough(app: QuartTrio) -> None:
    head = b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: " + b"x" * (MAX_HEADER - 500)
    async with serving(app, max_header=MAX_HEADER) as (_, port), await connect(port) as stream:
        await stream.send_all(head + b"\r\n\r\n")
        assert (await read_to_the_end(stream)).startswith(b"HTTP/1.1 200 ")


async def test_a_head_that_is_too_long_on_http_2(app: QuartTrio) -> None:
    async with serving(app, max_header=MAX_HEADER) as (_, port), await connect(port) as stream:
        client = H2Client(stream)
        await client.begin()
        assert (await client.request("/hello", ("x", "x" * (MAX_HEADER - 500)))).status == 200
        assert (await client.request("/hello", ("x", "x" * (MAX_HEADER + 500)))).status == 431


@pytest.mark.parametrize("framing", [b"Content-Length: 9999999999", b"Transfer-Encoding: chunked"])
async def test_a_body_that_is_too_long_is_not_read_to_its_end(
    app: QuartTrio, framing: bytes
) -> None:
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    async with (
        serving(app) as (_, port),
        await connect(port) as stream,
        trio.open_nursery() as sender,
    ):
        await stream.send_all(b"POST /body HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
        sender.start_soon(send_for_ever, stream, chunk)  # a client that does not listen meanwhile
        assert (await read_to_the_end(stream)).startswith(b"HTTP/1.1 413 ")
        sender.cancel_scope.cancel()


async def test_a_client_that_sends_before_it_reads_hears_why_its_body_is_too_long(
    app: QuartTrio,
) -> None:
    length = 32 << 20  # more than sockets hold
    head = f"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()
    async with serving(app) as (_, port), await connect(port) as stream:
        await stream.send_all(head + bytes(length))
        assert (await read_to_the_end(stream)).startswith(b"HTTP/1.1 413 ")


async def test_a_body_that_says_it_is_too_long_need_not_be_sent(app: QuartTrio) -> None:
    async with serving(app) as (_, port), await connect(port) as stream:
        await stream.send_all(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n")
        assert (await read_to_the_end(stream)).startswith(b"HTTP/1.1 413 ")


async def test_a_body_of_the_longest_length(app: QuartTrio) -> None:
    head = b"POST /body HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n"
    async with serving(app) as (_, port), await connect(port) as stream:
        await stream.send_all(head + bytes(MAX_BODY))
        assert (await read_to_the_end(stream)).endswith(b"100000")


# Time


async def drip_headers(stream: trio.SocketStream) -> None:
    await stream.send_all(b"GET /hello HTTP/1.1\r\n")
    await send_for_ever(stream, b"X", pause=0.01)


async def drip_headers_of_a_second_request(stream: trio.SocketStream) -> None:
    await hold(stream)
    await drip_headers(stream)


async def ping(stream: trio.SocketStream, *, requests: int = 0) -> None:
    client = H2Client(stream)
    await client.begin()
    for _ in range(requests):
        assert (await client.request("/hello")).status == 200
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while True:
            client.h2.ping(b"still up")
            await client.flush()
            await trio.sleep(0.01)


@pytest.mark.parametrize(
    "keep_busy",
    [drip_headers, drip_headers_of_a_second_request, ping, partial(ping, requests=1)],
    ids=["HTTP/1.1", "HTTP/1.1, once more", "HTTP/2", "HTTP/2, once more"],
)
async def test_bytes_that_make_no_request_do_not_keep_a_connection(
    app: QuartTrio, keep_busy: Callable[[trio.SocketStream], Awaitable[None]]
) -> None:
    async with (
        serving(app, idle_timeout=0.3, max_connections=1) as (_, port),
        await connect(port) as slow,
        trio.open_nursery() as sender,
    ):
        sender.start_soon(keep_busy, slow)
        answer = b""
        while not answer.endswith(b"hello"):  # there is room for one: it has been ended
            async with await connect(port) as newcomer:
                await newcomer.send_all(LAST_REQUEST)
                answer = await read_to_the_end(newcomer)
        sender.cancel_scope.cancel()
