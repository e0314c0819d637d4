"""One test for each defect of Hypercorn 0.18 and quart-trio 0.12: red when its cure is removed."""

from collections.abc import AsyncGenerator, Iterator

import pytest
import trio
import trio.testing
from h2.events import ResponseReceived
from hypercorn.typing import ASGIReceiveEvent, ASGISendEvent, HTTPScope
from quart import websocket
from quart_trio import QuartTrio
from structlog.testing import capture_logs
from trio.testing import MockClock
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from supernode.wire.guard import UNREAD_MESSAGES, tame
from tests.integration.h2_client import H2Client
from tests.integration.served_front import connect, read_to_the_end, serving

MORE_THAN_SOCKETS_HOLD = 32 << 20


async def request(stream: trio.SocketStream, path: str, *, connection: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: supernode\r\nConnection: {connection}\r\n\r\n"
    await stream.send_all(head.encode())


@pytest.fixture
def app() -> QuartTrio:
    app = QuartTrio(__name__)

    @app.get("/small")
    async def small() -> str:
        return "small"

    return app


class Stalled:
    """A route whose body no client takes whole, and what became of the one who is sending it."""

    def __init__(self, app: QuartTrio) -> None:
        self.ended = trio.Event()

        @app.get("/large")
        async def large() -> AsyncGenerator[bytes]:
            return self._body()

    async def _body(self) -> AsyncGenerator[bytes]:
        try:
            yield bytes(MORE_THAN_SOCKETS_HOLD)
        finally:
            self.ended.set()

    async def begin(self, stream: trio.SocketStream) -> None:
        """Ask for the body, read only the first bytes of the answer; the server is left sending."""
        await request(stream, "/large", connection="keep-alive")
        assert (await stream.receive_some(8)).startswith(b"HTTP")
        await trio.testing.wait_all_tasks_blocked()


# A client that stops reading: writes are shielded, no cancellation arrives.


async def test_a_stalled_reader_is_cut_after_the_write_timeout(app: QuartTrio) -> None:
    stalled = Stalled(app)
    with capture_logs() as logs:
        async with serving(app, write_timeout=0.2) as (_, port), await connect(port) as stream:
            await stalled.begin(stream)
            await stalled.ended.wait()
            assert len(await read_to_the_end(stream)) < MORE_THAN_SOCKETS_HOLD
    assert [entry["event"] for entry in logs] == ["peer stopped reading, connection cut"]


async def test_a_slow_reader_is_not_cut(app: QuartTrio) -> None:
    stalled = Stalled(app)
    async with serving(app, write_timeout=0.5) as (_, port), await connect(port) as stream:
        await stalled.begin(stream)
        received = 0
        while received < MORE_THAN_SOCKETS_HOLD:
            await trio.sleep(0.02)
            chunk = await stream.receive_some(1 << 20)
            assert chunk, f"cut after {received} bytes"
            received += len(chunk)


async def test_a_stalled_reader_does_not_hold_up_a_shutdown(app: QuartTrio) -> None:
    stalled = Stalled(app)
    async with (
        serving(app, drain_timeout=0.05) as (front, port),
        await connect(port) as stream,
    ):
        await stalled.begin(stream)
        front.shut()
        await stalled.ended.wait()


async def test_a_stalled_reader_does_not_hold_up_a_cancellation(app: QuartTrio) -> None:
    stalled = Stalled(app)
    with capture_logs() as logs, trio.CancelScope() as outer:
        async with serving(app, write_timeout=2) as (_, port):
            stream = await connect(port)
            await stalled.begin(stream)
            outer.cancel()
    assert stalled.ended.is_set()
    assert logs == []  # it did not take the write timeout
    await stream.aclose()


# The app hears "disconnect" before Hypercorn has closed or recycled the connection.


async def test_connection_close_closes(app: QuartTrio) -> None:
    async with serving(app) as (_, port):
        for _ in range(20):
            async with await connect(port) as stream:
                await request(stream, "/small", connection="close")
                answer = await read_to_the_end(stream)
            assert answer.endswith(b"small")


HTTP_2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


@pytest.mark.parametrize("opening", [b"", b"GET /small HTTP/1.1\r\n", HTTP_2_PREFACE])
async def test_an_idle_connection_is_closed_whatever_it_speaks(
    app: QuartTrio, opening: bytes
) -> None:
    async with serving(app, idle_timeout=0.2) as (_, port), await connect(port) as stream:
        await stream.send_all(opening)
        await read_to_the_end(stream)


async def test_a_kept_connection_is_closed_by_a_shutdown_at_once(app: QuartTrio) -> None:
    async with serving(app) as (front, port):
        streams = [await connect(port) for _ in range(8)]
        for stream in streams:
            await request(stream, "/small", connection="keep-alive")
            answer = b""
            while not answer.endswith(b"small"):
                answer += await stream.receive_some()
        front.shut()
        for stream in streams:
            assert await stream.receive_some() == b""
            await stream.aclose()


# A connection that its client closes while none of its requests is there lives on until the idle
# timeout.


@pytest.mark.parametrize("opening", [b"", b"GET /small HTTP/1.1\r\n", HTTP_2_PREFACE])
async def test_a_client_that_hangs_up_leaves_its_place(app: QuartTrio, opening: bytes) -> None:
    async with serving(app, max_connections=1) as (_, port):
        async with await connect(port) as stream:
            await stream.send_all(opening)
        answer = b""
        while not answer.endswith(b"small"):
            async with await connect(port) as newcomer:
                await request(newcomer, "/small", connection="close")
                answer = await read_to_the_end(newcomer)


# On HTTP/2, bytes for a request that has been answered already end the connection.


async def test_a_request_that_is_answered_before_its_end_harms_no_other(app: QuartTrio) -> None:
    with capture_logs() as logs:
        async with serving(app) as (_, port), await connect(port) as stream:
            client = H2Client(stream)
            await client.begin()
            number = await client.ask("/small", method="POST", more=True)  # answered 405
            while not any(isinstance(each, ResponseReceived) for each in await client.receive()):
                pass
            await trio.testing.wait_all_tasks_blocked()
            client.h2.send_data(number, b"late", end_stream=True)
            await client.flush()
            await client.answer()
            assert (await client.request("/small")).body == b"small"
    assert logs == []


# On HTTP/2, the 1001st request of a connection is not answered.


async def test_a_connection_may_have_many_requests(app: QuartTrio) -> None:
    async with serving(app) as (_, port), await connect(port) as stream:
        client = H2Client(stream)
        await client.begin()
        for _ in range(1010):
            assert (await client.request("/small")).status == 200


# Quart cuts every response after RESPONSE_TIMEOUT, 60 seconds, counted from its first byte.


async def test_a_response_may_take_longer_than_a_minute(
    app: QuartTrio, autojump_clock: MockClock
) -> None:
    @app.get("/long")
    async def long() -> AsyncGenerator[bytes]:
        return minutes()

    async def minutes() -> AsyncGenerator[bytes]:
        for _ in range(3):
            await trio.sleep(60)
            yield b"minute"

    sent: list[ASGISendEvent] = []

    async def send(message: ASGISendEvent) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(message)

    to_app: Iterator[ASGIReceiveEvent] = iter(
        [{"type": "http.request", "body": b"", "more_body": False}]
    )

    async def receive() -> ASGIReceiveEvent:
        for message in to_app:
            return message
        await trio.sleep_forever()
        raise AssertionError

    await tame(app)(http_scope("/long"), receive, send)
    bodies = [message for message in sent if message["type"] == "http.response.body"]
    assert b"".join(message["body"] for message in bodies) == b"minute" * 3
    assert not bodies[-1]["more_body"]


def http_scope(path: str) -> HTTPScope:
    return {
        "type": "http",
        "asgi": {"spec_version": "2.1", "version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"supernode")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},  # type: ignore[typeddict-item]
        "extensions": {},
    }


# A crash of what runs in the app's lifespan is only logged, and requests are answered on.


async def test_a_crash_in_the_lifespan_ends_the_front(app: QuartTrio) -> None:
    async def crash() -> None:
        raise ValueError("boom")

    @app.get("/crash")
    async def start_crashing() -> str:
        app.nursery.start_soon(crash)
        return "started"

    with pytest.RaisesGroup(ValueError, flatten_subgroups=True):
        async with serving(app) as (_, port), await connect(port) as stream:
            await request(stream, "/crash", connection="keep-alive")
            await trio.sleep_forever()


# Websockets: quart-trio stops reading after ten messages, and sends to nobody do not yield.


class Handler:
    """A websocket route, and how its handler ended."""

    def __init__(self, app: QuartTrio, sends: int, message: str = "") -> None:
        self.cancelled = trio.Event()
        self.sent_all = False
        self._sends = sends
        self._message = message
        app.websocket("/feed")(self._feed)

    async def _feed(self) -> None:
        await websocket.accept()
        try:
            for _ in range(self._sends):
                await websocket.send(self._message)
            self.sent_all = True
            await trio.sleep_forever()
        except trio.Cancelled:
            self.cancelled.set()
            raise


async def test_sending_to_a_client_that_has_gone_does_not_starve_the_loop(app: QuartTrio) -> None:
    handler = Handler(app, sends=100_000, message="x" * 65536)
    async with serving(app) as (_, port), trio.open_nursery() as nursery:
        async with await connect(port) as stream:
            client = await wrap_client_stream(nursery, stream, "supernode", "/feed")
            await client.get_message()
            nursery.cancel_scope.cancel()  # no closing handshake: the client just goes
        with trio.CancelScope(shield=True):
            await handler.cancelled.wait()
    assert not handler.sent_all


async def test_a_disconnect_is_noticed_by_a_handler_that_does_not_read(app: QuartTrio) -> None:
    handler = Handler(app, sends=0)
    async with serving(app) as (_, port), await connect(port) as stream:
        async with trio.open_nursery() as nursery:
            client = await wrap_client_stream(nursery, stream, "supernode", "/feed")
            for number in range(12):
                await client.send_message(str(number))
            await client.aclose()
        await handler.cancelled.wait()


async def test_a_client_that_sends_what_nobody_reads_is_closed(app: QuartTrio) -> None:
    async def flood(client: WebSocketConnection) -> None:
        for number in range(UNREAD_MESSAGES * 1000):
            await client.send_message(str(number))

    Handler(app, sends=0)
    with capture_logs() as logs:
        async with (
            serving(app) as (_, port),
            await connect(port) as stream,
            trio.open_nursery() as nursery,
        ):
            client = await wrap_client_stream(nursery, stream, "supernode", "/feed")
            with pytest.raises(ConnectionClosed) as closed:
                await flood(client)
            assert closed.value.reason is not None
            assert closed.value.reason.code == 1011
    assert [entry["event"] for entry in logs] == ["websocket closed, its messages are not read"]


async def test_messages_are_delivered_in_order_to_a_handler_that_reads(app: QuartTrio) -> None:
    @app.websocket("/echo")
    async def echo() -> None:
        while True:
            await websocket.send(await websocket.receive())

    async with (
        serving(app) as (_, port),
        await connect(port) as stream,
        trio.open_nursery() as nursery,
    ):
        client = await wrap_client_stream(nursery, stream, "supernode", "/echo")
        for number in range(100):
            await client.send_message(str(number))
            assert await client.get_message() == str(number)
        await client.aclose()


# A quiet websocket looks idle, and Hypercorn's own pings would hold up a shutdown.


async def test_a_quiet_websocket_is_pinged_and_so_not_closed_as_idle(app: QuartTrio) -> None:
    handler = Handler(app, sends=1)
    async with (
        serving(app, idle_timeout=0.3) as (_, port),
        await connect(port) as stream,
        trio.open_nursery() as nursery,
    ):
        client = await wrap_client_stream(nursery, stream, "supernode", "/feed")
        await client.get_message()
        with trio.move_on_after(1):
            await handler.cancelled.wait()
        assert not handler.cancelled.is_set()
        await client.aclose()


async def test_pings_do_not_hold_up_a_shutdown(app: QuartTrio) -> None:
    Handler(app, sends=1)
    async with trio.open_nursery() as nursery:
        async with serving(app, idle_timeout=60, drain_timeout=0.05) as (front, port):
            stream = await connect(port)
            client = await wrap_client_stream(nursery, stream, "supernode", "/feed")
            await client.get_message()
            front.shut()
        nursery.cancel_scope.cancel()
        await stream.aclose()
