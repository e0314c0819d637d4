import errno
import math
import socket
import struct

import pytest
import trio
import trio.testing
from quart_trio import QuartTrio
from structlog.testing import capture_logs
from trio import socket as tsocket

from supernode.wire.lifespan import LifespanError
from supernode.wire.streams import GuardedStream
from tests.integration.served_front import connect, read_to_the_end, serving

REQUEST = b"GET /hello HTTP/1.1\r\nHost: supernode\r\n\r\n"
LAST_REQUEST = b"GET /hello HTTP/1.1\r\nHost: supernode\r\nConnection: close\r\n\r\n"


async def read_to(end: bytes, stream: trio.SocketStream) -> bytes:
    """Return everything up to and including ``end``."""
    got = b""
    while not got.endswith(end):
        chunk = await stream.receive_some()
        assert chunk, f"closed after {got!r}"
        got += chunk
    return got


@pytest.fixture
def app() -> QuartTrio:
    app = QuartTrio(__name__)

    @app.get("/hello")
    async def hello() -> str:
        return "hello"

    return app


async def test_a_connection_is_kept_for_many_requests(app: QuartTrio) -> None:
    async with serving(app) as (_, port), await connect(port) as stream:
        for _ in range(3):
            await stream.send_all(REQUEST)
            answer = await read_to(b"hello", stream)
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"server:" not in answer.lower()


async def test_accepted_connections_have_their_tcp_options() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with (
        listeners[0] as listener,
        await connect(listener.socket.getsockname()[1]),
        await listener.accept() as accepted,
    ):
        GuardedStream(accepted, write_timeout=30, idle_timeout=75)
        assert accepted.getsockopt(tsocket.IPPROTO_TCP, tsocket.TCP_USER_TIMEOUT) == 30_000
        assert accepted.getsockopt(tsocket.IPPROTO_TCP, tsocket.TCP_NODELAY)
        assert accepted.getsockopt(tsocket.SOL_SOCKET, tsocket.SO_KEEPALIVE)


async def test_a_read_that_was_given_up_ends_nothing() -> None:
    """As while a client waits for its answer: that comes, and the connection goes on."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    with trio.fail_after(10):
        async with (
            listeners[0] as listener,
            await connect(listener.socket.getsockname()[1]),
            await listener.accept() as accepted,
        ):
            stream = GuardedStream(accepted, write_timeout=30, idle_timeout=75)
            with stream.request(), trio.move_on_after(0) as given_up:
                await stream.receive_some()
            assert given_up.cancelled_caught
            assert stream.lifetime.deadline == math.inf


async def test_shut_may_be_called_twice(app: QuartTrio) -> None:
    async with serving(app) as (front, _):
        front.shut()
        front.shut()


async def test_after_shut_nobody_gets_in_and_idle_connections_close(app: QuartTrio) -> None:
    async with serving(app) as (front, port), await connect(port) as used:
        async with await connect(port) as unused:
            await used.send_all(REQUEST)
            await read_to(b"hello", used)
            front.shut()
            assert await used.receive_some() == b""
            assert await unused.receive_some() == b""
        with pytest.raises(OSError, match="attempts to connect"):
            await connect(port)


async def test_shut_lets_a_request_in_flight_finish(app: QuartTrio) -> None:
    reached = trio.Event()
    released = trio.Event()

    @app.get("/slow")
    async def slow() -> str:
        reached.set()
        await released.wait()
        return "finished"

    async with serving(app) as (front, port), await connect(port) as stream:
        await stream.send_all(REQUEST.replace(b"hello", b"slow"))
        await reached.wait()
        front.shut()
        released.set()
        assert (await read_to_the_end(stream)).endswith(b"finished")


async def test_a_request_that_outlasts_the_drain_is_cut(app: QuartTrio) -> None:
    reached = trio.Event()

    @app.get("/endless")
    async def endless() -> str:
        reached.set()
        await trio.sleep_forever()
        return "never"

    async with (
        serving(app, drain_timeout=0.05) as (front, port),
        await connect(port) as stream,
    ):
        # While a second request waits behind the first, Hypercorn does not look at the socket.
        await stream.send_all(REQUEST.replace(b"hello", b"endless") + REQUEST)
        await reached.wait()
        front.shut()
        assert await read_to_the_end(stream) == b""


async def test_too_many_connections_are_answered_503(app: QuartTrio) -> None:
    async with serving(app, max_connections=1) as (_, port):
        async with await connect(port) as first:
            await first.send_all(REQUEST)
            await read_to(b"hello", first)
            async with await connect(port) as second:
                await second.send_all(REQUEST)
                refusal = await read_to_the_end(second)
                await trio.testing.wait_all_tasks_blocked()
                await second.send_all(REQUEST)  # not reset: that could take the answer away
            assert refusal.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 1\r\n" in refusal
            await first.send_all(REQUEST)  # who is in stays in
            await read_to(b"hello", first)
            await first.send_all(LAST_REQUEST)
            await read_to_the_end(first)
        answer = refusal
        while answer == refusal:  # the server's side of the first may take a moment to end
            async with await connect(port) as third:
                await third.send_all(LAST_REQUEST)
                answer = await read_to_the_end(third)
        assert answer.endswith(b"hello")


async def test_who_has_gone_before_it_was_accepted_is_no_news(app: QuartTrio) -> None:
    reset_when_closed = struct.pack("ii", 1, 0)
    with capture_logs() as logs:
        async with serving(app) as (_, port):
            with socket.create_connection(("127.0.0.1", port)) as gone:  # at once, so not yet
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_when_closed)
            async with await connect(port) as stream:
                await stream.send_all(LAST_REQUEST)
                assert (await read_to_the_end(stream)).endswith(b"hello")
    assert not logs


async def test_one_connection_that_crashes_is_logged_and_no_other_notices(app: QuartTrio) -> None:
    crashing = (
        b"GET / HTTP/1.1\r\nHost: supernode\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Protocol: \xff\r\n\r\n"  # TCPServer raises UnicodeDecodeError
    )
    with capture_logs() as logs:
        async with serving(app) as (_, port), await connect(port) as good:
            await good.send_all(REQUEST)
            await read_to(b"hello", good)
            async with await connect(port) as bad:
                await bad.send_all(crashing)
                assert await read_to_the_end(bad) == b""
            await good.send_all(REQUEST)
            await read_to(b"hello", good)
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("connection failed", "error")
    ]


async def test_a_want_of_file_descriptors_is_waited_out(
    app: QuartTrio, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = trio.SocketListener.accept
    failures = [OSError(errno.EMFILE, "too many open files")]

    async def accept_at_last(listener: trio.SocketListener) -> trio.SocketStream:
        if failures:
            raise failures.pop()
        return await accept(listener)

    monkeypatch.setattr(trio.SocketListener, "accept", accept_at_last)
    async with serving(app) as (_, port), await connect(port) as stream:
        await stream.send_all(REQUEST)
        await read_to(b"hello", stream)
    assert not failures


async def test_the_app_starts_before_the_first_request_and_stops_after_the_last(
    app: QuartTrio,
) -> None:
    told: list[str] = []
    reached = trio.Event()

    app.before_serving(lambda: told.append("start"))
    app.after_serving(lambda: told.append("stop"))

    @app.get("/slow")
    async def slow() -> str:
        told.append("request")
        reached.set()
        await trio.sleep(0.05)
        told.append("response")
        return "finished"

    async with serving(app) as (front, port), await connect(port) as stream:
        await stream.send_all(REQUEST.replace(b"hello", b"slow"))
        await reached.wait()
        front.shut()
        await read_to_the_end(stream)
    assert told == ["start", "request", "response", "stop"]


async def test_an_app_that_cannot_start_is_not_served(app: QuartTrio) -> None:
    @app.before_serving
    async def fail() -> None:
        raise ValueError("no disk")

    with pytest.RaisesGroup(
        pytest.RaisesExc(LifespanError, match="no disk"), flatten_subgroups=True
    ):
        async with serving(app):
            pytest.fail("the front has started")


async def test_cancelling_ends_everything_at_once(app: QuartTrio) -> None:
    reached = trio.Event()

    @app.get("/endless")
    async def endless() -> str:
        reached.set()
        await trio.sleep_forever()
        return "never"

    with trio.CancelScope() as outer:
        async with serving(app) as (_, port), await connect(port) as stream:
            await stream.send_all(REQUEST.replace(b"hello", b"endless"))
            await reached.wait()
            outer.cancel()
    assert outer.cancelled_caught
