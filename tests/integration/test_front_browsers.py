"""Requests of web pages, on everything that the front speaks."""

import json

import pytest
import trio
from h2.events import PingAckReceived
from h2.settings import SettingCodes
from quart import websocket
from quart_trio import QuartTrio
from structlog.testing import capture_logs
from trio_websocket import wrap_client_stream

from tests.integration.h2_client import H2Client
from tests.integration.served_front import connect, read_to_the_end, serving

EVIL = "http://evil.example"


@pytest.fixture
def app() -> QuartTrio:
    app = QuartTrio(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 1 << 20

    @app.get("/hello")
    @app.post("/hello")
    async def hello() -> str:
        return "hello"

    @app.websocket("/feed")
    async def feed() -> None:
        await websocket.send("news")

    return app


async def ask(
    port: int, *headers: str, method: str = "GET", body: bytes = b""
) -> tuple[int, bytes]:
    """Return status and body of one answer."""
    head = [f"{method} /hello HTTP/1.1", "Connection: close", *headers]
    if body:
        head.append(f"Content-Length: {len(body)}")
    async with await connect(port) as stream:
        await stream.send_all("\r\n".join([*head, "", ""]).encode() + body)
        answer = await read_to_the_end(stream)
    head_of_answer, _, content = answer.partition(b"\r\n\r\n")
    return int(head_of_answer.split()[1]), content


async def test_a_page_of_another_site_is_refused(app: QuartTrio) -> None:
    async with serving(app) as (_, port):
        here = f"Host: 127.0.0.1:{port}"
        status, body = await ask(port, here, f"Origin: {EVIL}")
        assert status == 403
        told = json.loads(body)
        assert told.keys() == {"code", "message"}
        assert told["code"] == 403
        assert EVIL in told["message"]
        for method in ("POST", "OPTIONS", "HEAD", "DELETE"):
            assert (await ask(port, here, f"Origin: {EVIL}", method=method))[0] == 403
        assert (await ask(port, here, "Sec-Fetch-Site: cross-site"))[0] == 403


async def test_our_own_pages_and_programs_are_answered(app: QuartTrio) -> None:
    async with serving(app, hosts=["cache.example"]) as (_, port):
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"cache.example:{port}"):
            origin = f"Origin: http://{host}"
            assert await ask(port, f"Host: {host}", origin) == (200, b"hello")
            assert await ask(port, f"Host: {host}", origin, method="POST") == (200, b"hello")
            assert await ask(port, f"Host: {host}", "Sec-Fetch-Site: none") == (200, b"hello")
        assert await ask(port, "Host: whatever.example") == (200, b"hello")


async def test_a_name_that_leads_to_us_but_is_not_ours_is_refused(app: QuartTrio) -> None:
    async with serving(app) as (_, port):
        host = f"evil.example:{port}"
        status, body = await ask(port, f"Host: {host}", f"Origin: http://{host}", method="POST")
        assert status == 403
        assert "[http]" in json.loads(body)["message"]


async def test_a_connection_goes_on_after_a_refusal(app: QuartTrio) -> None:
    async with serving(app) as (_, port), await connect(port) as stream:
        await stream.send_all(f"GET /hello HTTP/1.1\r\nHost: x\r\nOrigin: {EVIL}\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"}"):
            answer += await stream.receive_some()
        assert answer.startswith(b"HTTP/1.1 403 ")
        await stream.send_all(b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await read_to_the_end(stream)).endswith(b"hello")


async def test_http_2(app: QuartTrio) -> None:
    async with serving(app) as (_, port), await connect(port) as stream:
        client = H2Client(stream)
        await client.begin()
        here = f"127.0.0.1:{port}"
        ours = await client.request("/hello", ("origin", f"http://{here}"), authority=here)
        assert (ours.status, ours.body) == (200, b"hello")
        refused = await client.request("/hello", ("origin", EVIL), authority=here)
        assert refused.status == 403
        assert json.loads(refused.body)["code"] == 403
        rebound = await client.request(
            "/hello", ("origin", EVIL), authority="evil.example", method="POST"
        )
        assert rebound.status == 403
        program = await client.request("/hello", authority="whatever.example")
        assert (program.status, program.body) == (200, b"hello")


async def test_a_body_that_nobody_reads_disturbs_no_other_request(app: QuartTrio) -> None:
    with capture_logs() as logs:
        async with serving(app) as (_, port), await connect(port) as stream:
            client = H2Client(stream)
            await client.begin()
            client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})  # take no answer yet
            number = await client.ask("/hello", ("origin", EVIL), method="POST", more=True)
            for _ in range(100):  # each is a message for the app, and Hypercorn's queue is short
                client.h2.send_data(number, b"x")
            client.h2.ping(b"received")
            await client.flush()
            while not any(isinstance(each, PingAckReceived) for each in await client.receive()):
                pass
            client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1 << 16})
            client.h2.send_data(number, b"x", end_stream=True)
            await client.flush()
            assert json.loads((await client.answer()).body)["code"] == 403
            assert (await client.request("/hello")).status == 200
    assert [entry["event"] for entry in logs] == ["browser refused"]


@pytest.mark.parametrize("origin", [EVIL, "null", "https://evil.example"])
async def test_a_websocket_of_another_site_does_not_open(app: QuartTrio, origin: str) -> None:
    async with serving(app) as (_, port), await connect(port) as stream:
        head = ["GET /feed HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Origin: {origin}"]
        head += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        head += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""]
        await stream.send_all("\r\n".join(head).encode())
        answer = await read_to_the_end(stream)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 403
    assert b"news" not in answer


async def test_a_websocket_of_ours_opens(app: QuartTrio) -> None:
    async with (
        serving(app) as (_, port),
        await connect(port) as stream,
        trio.open_nursery() as nursery,
    ):
        here = f"127.0.0.1:{port}"
        headers = [(b"Origin", f"http://{here}".encode())]
        client = await wrap_client_stream(nursery, stream, here, "/feed", extra_headers=headers)
        assert await client.get_message() == "news"
