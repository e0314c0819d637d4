"""The control port under TLS."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trustme
from quart import websocket
from quart_trio import QuartTrio
from structlog.testing import capture_logs
from trio_websocket import wrap_client_stream

from supernode.config.settings import Http
from supernode.config.tls import server_context
from supernode.wire import tls
from tests.integration.h2_client import H2Client
from tests.integration.served_front import connect, read_to_the_end, serving

MORE_THAN_SOCKETS_HOLD = 32 << 20
AUTHORITY = trustme.CA()


@pytest.fixture
def app() -> QuartTrio:
    app = QuartTrio(__name__)

    @app.get("/hello")
    async def hello() -> str:
        return "hello"

    @app.get("/large")
    async def large() -> AsyncGenerator[bytes]:
        return body()

    async def body() -> AsyncGenerator[bytes]:
        yield bytes(MORE_THAN_SOCKETS_HOLD)

    @app.websocket("/feed")
    async def feed() -> None:
        await websocket.send("news")

    return app


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    """What the daemon serves with, as 127.0.0.1."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued = AUTHORITY.issue_cert("127.0.0.1")
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    context = server_context(Http(tls_cert=cert, tls_key=key))
    assert context is not None
    return context


@asynccontextmanager
async def secure(port: int, *protocols: str) -> AsyncIterator[trio.SSLStream[trio.SocketStream]]:
    """Connect, and verify whom to."""
    trust = ssl.create_default_context()
    AUTHORITY.configure_trust(trust)
    trust.set_alpn_protocols(protocols)
    async with await connect(port) as plain:
        stream = trio.SSLStream(plain, trust, server_hostname="127.0.0.1", https_compatible=True)
        await stream.do_handshake()
        yield stream


async def get(stream: trio.abc.Stream, path: str = "/hello", *headers: str) -> bytes:
    """Return the answer to a request that is the last on its connection."""
    head = [f"GET {path} HTTP/1.1", *headers, "Connection: close", "", ""]
    await stream.send_all("\r\n".join(head).encode())
    return await read_to_the_end(stream)


async def test_http_1(app: QuartTrio, context: ssl.SSLContext) -> None:
    async with serving(app, ssl_context=context) as (_, port):
        for protocols in ((), ("http/1.1",)):
            async with secure(port, *protocols) as stream:
                assert stream.version() in ("TLSv1.2", "TLSv1.3")
                assert (await get(stream, "/hello", "Host: x")).endswith(b"hello")


async def test_http_2(app: QuartTrio, context: ssl.SSLContext) -> None:
    async with (
        serving(app, ssl_context=context) as (_, port),
        secure(port, "h2", "http/1.1") as stream,
    ):
        assert stream.selected_alpn_protocol() == "h2"
        client = H2Client(stream)
        await client.begin()
        for _ in range(3):
            assert (await client.request("/hello")).body == b"hello"


async def test_web_pages(app: QuartTrio, context: ssl.SSLContext) -> None:
    async with serving(app, ssl_context=context) as (_, port):
        for origin, status in [
            (f"https://127.0.0.1:{port}", b"200"),
            (f"http://127.0.0.1:{port}", b"403"),  # anybody on the way could have written that
            ("https://evil.example", b"403"),
        ]:
            async with secure(port) as stream:
                here = f"Host: 127.0.0.1:{port}"
                answer = await get(stream, "/hello", here, f"Origin: {origin}")
                assert answer.split()[1] == status


async def test_a_websocket(app: QuartTrio, context: ssl.SSLContext) -> None:
    async with (
        serving(app, ssl_context=context) as (_, port),
        secure(port) as stream,
        trio.open_nursery() as nursery,
    ):
        here = f"127.0.0.1:{port}"
        headers = [(b"Origin", f"https://{here}".encode())]
        client = await wrap_client_stream(nursery, stream, here, "/feed", extra_headers=headers)
        assert await client.get_message() == "news"


async def test_a_stalled_reader_is_cut(app: QuartTrio, context: ssl.SSLContext) -> None:
    with capture_logs() as logs:
        async with (
            serving(app, ssl_context=context, write_timeout=0.2, max_connections=1) as (_, port),
            secure(port) as stalled,
        ):
            await stalled.send_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            await stalled.receive_some(8)
            await until_served(port)
    assert [e["event"] for e in logs if e["log_level"] != "debug"] == [
        "peer stopped reading, connection cut"
    ]


async def until_served(port: int) -> None:
    """Try until there is room."""
    while True:
        try:
            async with secure(port) as stream:
                assert (await get(stream, "/hello", "Host: x")).endswith(b"hello")
                return
        except (trio.BrokenResourceError, OSError):
            await trio.sleep(0.01)


async def test_a_large_answer_arrives_whole(app: QuartTrio, context: ssl.SSLContext) -> None:
    async with serving(app, ssl_context=context) as (_, port), secure(port) as stream:
        answer = await get(stream, "/large", "Host: x")
        assert len(answer) > MORE_THAN_SOCKETS_HOLD


async def test_an_idle_connection_is_closed(app: QuartTrio, context: ssl.SSLContext) -> None:
    async with (
        serving(app, ssl_context=context, idle_timeout=0.2) as (_, port),
        secure(port) as stream,
    ):
        assert await read_to_the_end(stream) == b""


async def test_a_shutdown_closes_idle_connections(app: QuartTrio, context: ssl.SSLContext) -> None:
    async with serving(app, ssl_context=context) as (front, port), secure(port) as stream:
        front.shut()
        assert await read_to_the_end(stream) == b""


async def test_a_handshake_that_stalls_is_ended(
    app: QuartTrio, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS", 0.1)
    async with serving(app, ssl_context=context, max_connections=1) as (_, port):
        async with await connect(port) as silent:
            assert await read_to_the_end(silent) == b""
        async with await connect(port) as slow, trio.open_nursery() as sender:
            await slow.send_all(b"\x16\x03\x01\x02\x00")  # the beginning of a hello

            async def drip() -> None:
                with suppress(trio.BrokenResourceError):
                    while True:
                        await slow.send_all(b"\x01")
                        await trio.sleep(0.01)

            sender.start_soon(drip)
            await until_served(port)
            sender.cancel_scope.cancel()


@pytest.mark.parametrize(
    "said",
    [b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", bytes(100), b"\x16\x03\x01\xff\xff" + bytes(70000)],
    ids=["plain HTTP", "nothing sensible", "no hello"],
)
async def test_who_does_not_speak_tls_harms_nobody(
    app: QuartTrio, context: ssl.SSLContext, said: bytes
) -> None:
    with capture_logs() as logs:
        async with serving(app, ssl_context=context) as (_, port), secure(port) as good:
            async with await connect(port) as bad:
                await bad.send_all(said)
                assert b"HTTP" not in await read_to_the_end(bad)
            assert (await get(good, "/hello", "Host: x")).endswith(b"hello")
    assert [(e["event"], e["log_level"]) for e in logs] == [("TLS handshake failed", "debug")]


async def test_one_too_many_is_closed(app: QuartTrio, context: ssl.SSLContext) -> None:
    async with serving(app, ssl_context=context, max_connections=1) as (_, port):
        async with secure(port) as first:
            async with await connect(port) as second:
                assert await read_to_the_end(second) == b""
            assert (await get(first, "/hello", "Host: x")).endswith(b"hello")
        await until_served(port)
