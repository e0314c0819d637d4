"""The feed as its readers see it: what arrives, who gets in, and that nobody holds up others.

Each test of a websocket is of both that there are: the front's own, and the web framework's.
"""

import json
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
import trustme
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    wrap_client_stream,
)

from supernode.api.app import create_app
from supernode.api.errors import explain
from supernode.api.events import add_events, opener
from supernode.api.watching import MOST_BYTES, Watching
from supernode.clock import Clock
from supernode.core.events import PeerLeft, PeerRegistered, TaskPaused
from supernode.core.identity import PeerId, TaskId
from supernode.exchange import Responder
from supernode.feed import RECENT, Feed
from supernode.wire.front import Front
from tests.integration.h2_client import H2Client
from tests.integration.served_front import connect, read_to_the_end, serving

AT = 1767268800.0
MORE_THAN_SOCKETS_HOLD = 32 << 20
FRONT, FRAMEWORK = "front", "framework"


def left(peer: str) -> PeerLeft:
    return PeerLeft(at=AT, peer=PeerId(peer))


def paused(task: str) -> TaskPaused:
    return TaskPaused(at=AT, task=TaskId(task))


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.fixture(params=[FRONT, FRAMEWORK])
def carrier(request: pytest.FixtureRequest) -> str:
    """Return who serves the websockets."""
    return str(request.param)


@asynccontextmanager
async def served(
    feed: Feed,
    carrier: str = FRONT,
    *,
    most: int = 10,
    heartbeat: float = 60,
    **options: Any,  # noqa: ANN401 - the front's
) -> AsyncGenerator[tuple[Front, int]]:
    """Serve a feed for the body, then shut down and wait for the end."""
    app = create_app([], Responder(feed, Clock.started_now(), explain))
    watching = Watching(feed, most=most)
    add_events(app, watching, heartbeat=heartbeat)
    if carrier == FRONT:
        options["streams"] = partial(opener, watching)
    async with serving(app, **options) as (front, port):
        yield front, port
        feed.close()


@asynccontextmanager
async def subscribed(port: int, query: str = "") -> AsyncGenerator[WebSocketConnection]:
    """Read along for the body; then say good-bye."""
    async with await connect(port) as stream, trio.open_nursery() as nursery:
        client = await wrap_client_stream(nursery, stream, f"127.0.0.1:{port}", f"/events{query}")
        yield client
        await client.aclose()


async def refusal(port: int, query: str = "") -> ConnectionRejected:
    """Return how a subscriber is turned away."""
    with pytest.RaisesGroup(ConnectionRejected, flatten_subgroups=True) as refused:
        async with subscribed(port, query):
            pytest.fail("let in")
    (answer,) = leaves(refused.value)
    assert isinstance(answer, ConnectionRejected)
    return answer


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


async def next_from(client: WebSocketConnection) -> dict[str, object]:
    message = json.loads(await client.get_message())
    assert isinstance(message, dict)
    return message


async def closed(client: WebSocketConnection) -> tuple[int, str | None]:
    """Return the code and the reason with which the server closes, and nothing before."""
    with pytest.raises(ConnectionClosed) as ended:
        await client.get_message()
    assert ended.value.reason is not None
    return ended.value.reason.code, ended.value.reason.reason


async def nobody_subscribed(feed: Feed) -> None:
    """Wait until the server's end of every subscription is gone."""
    await wait_all_tasks_blocked()
    while feed._readers:
        await trio.lowlevel.checkpoint()
    await wait_all_tasks_blocked()


async def test_every_event_is_one_message_in_order_to_every_subscriber(
    feed: Feed, carrier: str
) -> None:
    feed.publish([left("before")])
    async with (
        served(feed, carrier) as (_, port),
        subscribed(port) as one,
        subscribed(port) as other,
    ):
        feed.publish([left("a"), left("b")])
        feed.publish([left("c")])
        for client in (one, other):
            assert [await next_from(client) for _ in range(3)] == [
                {"type": "peer.left", "seq": seq, "time": "2026-01-01T12:00:00.000Z", "peer": peer}
                for seq, peer in [(2, "a"), (3, "b"), (4, "c")]
            ]


async def test_the_handshake_says_after_which_event_it_begins(feed: Feed, carrier: str) -> None:
    feed.publish([left("before")] * 3)
    async with served(feed, carrier) as (_, port):
        for query, begins in (("", b"3"), ("?since=1", b"1")):
            async with subscribed(port, query) as client:
                assert dict(client.handshake_headers)[b"supernode-seq"] == begins


async def test_only_what_was_asked_for(feed: Feed, carrier: str) -> None:
    async with (
        served(feed, carrier) as (_, port),
        subscribed(port, "?peer=b&peer=c") as peers,
        subscribed(port, "?type=task.*") as types,
        subscribed(port, "?task=y") as tasks,
    ):
        feed.publish([left("a"), paused("x"), left("b"), paused("y"), left("c")])
        for client, expected in ((peers, [3, 5]), (types, [2, 4]), (tasks, [4])):
            assert [(await next_from(client))["seq"] for _ in expected] == expected


async def test_a_cursor_leads_to_the_present(feed: Feed, carrier: str) -> None:
    feed.publish([left("a"), left("b"), left("c")])
    async with served(feed, carrier) as (_, port), subscribed(port, "?since=1") as client:
        assert [(await next_from(client))["seq"] for _ in range(2)] == [2, 3]
        feed.publish([left("d")])
        assert (await next_from(client))["seq"] == 4


async def test_the_same_under_the_path_of_v1(feed: Feed, carrier: str) -> None:
    async with (
        served(feed, carrier) as (_, port),
        await connect(port) as stream,
        trio.open_nursery() as nursery,
    ):
        client = await wrap_client_stream(nursery, stream, "127.0.0.1", "/api/v1/events")
        feed.publish([left("a")])
        assert (await next_from(client))["peer"] == "a"
        await client.aclose()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?since=soon", "since"),
        ("?since=8", "since"),
        ("?type=nothing", "type"),
        ("?batch=-1", "batch"),
        ("?colour=red", "colour"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused_before_the_upgrade(
    feed: Feed, carrier: str, query: str, field: str
) -> None:
    async with served(feed, carrier) as (_, port):
        feed.publish([left("a")] * 7)
        answer = await refusal(port, query)
        assert answer.status_code == 400
        assert json.loads(answer.body or b"")["message"].startswith(f"{field}: ")
        assert dict(answer.headers)[b"supernode-seq"] == b"7"


async def test_one_subscriber_too_many_is_refused_until_another_leaves(
    feed: Feed, carrier: str
) -> None:
    async with served(feed, carrier, most=1) as (_, port):
        async with subscribed(port):
            answer = await refusal(port)
            assert answer.status_code == 503
            assert json.loads(answer.body or b"")["code"] == 503
        await nobody_subscribed(feed)
        async with subscribed(port) as client:
            feed.publish([left("a")])
            assert (await next_from(client))["peer"] == "a"


async def test_a_subscriber_whose_connection_breaks_makes_room(feed: Feed, carrier: str) -> None:
    async with served(feed, carrier, most=1) as (_, port):
        for _ in range(3):
            async with await connect(port) as stream, trio.open_nursery() as nursery:
                await wrap_client_stream(nursery, stream, "127.0.0.1", "/events")
                nursery.cancel_scope.cancel()
            await nobody_subscribed(feed)


async def test_what_a_subscriber_says_does_no_harm(feed: Feed, carrier: str) -> None:
    async with served(feed, carrier) as (_, port), subscribed(port) as client:
        await client.send_message("what?")
        await client.ping()
        feed.publish([left("a")])
        assert (await next_from(client))["peer"] == "a"


async def test_when_it_has_ended_a_line_in_the_log_says_so(feed: Feed) -> None:
    with capture_logs() as logs:
        async with served(feed) as (_, port):
            async with subscribed(port, "?since=0"):
                pass
            await nobody_subscribed(feed)
    (line,) = (entry for entry in logs if entry["event"] == "answered")
    assert line["seconds"] >= 0
    assert (line["method"], line["path"], line["status"]) == ("GET", "/events", 101)


async def test_a_page_of_another_site_is_refused(feed: Feed, carrier: str) -> None:
    async with (
        served(feed, carrier) as (_, port),
        await connect(port) as stream,
    ):
        request = (
            f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://evil.example\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await stream.send_all(request.encode())
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 403 ")


async def stall(feed: Feed, port: int) -> trio.SocketStream:
    """Return the connection of a subscriber that reads nothing: the server is stuck sending."""
    stream = await connect(port)
    async with trio.open_nursery() as nursery:
        await wrap_client_stream(nursery, stream, "127.0.0.1", "/events")
        nursery.cancel_scope.cancel()  # it reads no more; the connection stays
    long = PeerRegistered(
        at=AT, peer=PeerId("p"), ip="", port=1, host_name="", version="v" * (1 << 20)
    )
    feed.publish([long] * (MORE_THAN_SOCKETS_HOLD >> 20))
    await wait_all_tasks_blocked()
    return stream


async def test_a_stalled_subscriber_neither_slows_others_nor_stays(
    feed: Feed, carrier: str
) -> None:
    with capture_logs() as logs:
        async with (
            served(feed, carrier, most=2, write_timeout=0.2) as (_, port),
            await stall(feed, port) as stream,
            subscribed(port) as client,
        ):
            while not logs:  # until it is cut
                feed.publish([left("a")])
                assert (await next_from(client))["peer"] == "a"
            assert len(await read_to_the_end(stream)) < MORE_THAN_SOCKETS_HOLD
            await wait_all_tasks_blocked()
            async with subscribed(port):
                pass
    warnings = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
    assert warnings == ["peer stopped reading, connection cut"]


async def test_a_stalled_subscriber_does_not_hold_up_a_shutdown(feed: Feed, carrier: str) -> None:
    async with served(feed, carrier, drain_timeout=0.05) as (front, port):
        stream = await stall(feed, port)
        feed.close()
        front.shut()
    await stream.aclose()


async def test_who_falls_too_far_behind_is_told_what_it_missed(feed: Feed, carrier: str) -> None:
    async with served(feed, carrier) as (_, port), subscribed(port) as client:
        feed.publish([left("a")] * (RECENT + 1))
        assert await next_from(client) == {"type": "gap", "from": 1, "to": RECENT + 1}
        feed.publish([left("b")])
        assert (await next_from(client))["seq"] == RECENT + 2


async def test_who_misses_more_than_it_reads_is_told_to_try_again_later(
    feed: Feed, carrier: str
) -> None:
    async with served(feed, carrier) as (_, port), subscribed(port) as client:
        feed.publish([left("a")] * (RECENT + 1))
        assert (await next_from(client))["type"] == "gap"
        feed.publish([left("a")] * (RECENT + 1))
        code, reason = await closed(client)
    assert code == 1013
    assert reason
    assert "too slow" in reason


async def test_who_reads_in_between_may_miss_some_again(feed: Feed) -> None:
    async with served(feed) as (_, port), subscribed(port) as client:
        for _ in range(2):
            feed.publish([left("a")] * (RECENT + 1))
            assert (await next_from(client))["type"] == "gap"
            feed.publish([left("b")] * RECENT)
            for _ in range(RECENT):
                assert (await next_from(client))["peer"] == "b"


async def test_subscribers_get_what_happened_and_are_told_that_the_daemon_stops(
    feed: Feed, carrier: str
) -> None:
    async with served(feed, carrier) as (front, port), subscribed(port, "?batch=60000") as client:
        feed.publish([left("a")])
        assert (await next_from(client))["peer"] == "a"
        feed.publish([left("b")])  # this one waits for others
        feed.close()
        front.shut()
        assert (await next_from(client))["peer"] == "b"
        assert (await closed(client))[0] == 1001


async def test_over_tls(feed: Feed, carrier: str) -> None:
    authority = trustme.CA()
    server, client_side = (
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH),
        ssl.create_default_context(),
    )
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client_side)
    async with (
        served(feed, carrier, ssl_context=server) as (_, port),
        trio.SSLStream(await connect(port), client_side, server_hostname="127.0.0.1") as stream,
        trio.open_nursery() as nursery,
    ):
        client = await wrap_client_stream(nursery, stream, f"127.0.0.1:{port}", "/events")
        feed.publish([left("a")] * 300)
        assert [(await next_from(client))["seq"] for _ in range(300)] == list(range(1, 301))
        await client.aclose()


async def test_long_messages_and_many(feed: Feed, carrier: str) -> None:
    texts = ["v" * size for size in (1, 100, 125, 126, 127, 60_000, 65_535, 70_000, MOST_BYTES, 2)]
    async with served(feed, carrier) as (_, port), subscribed(port) as client:
        feed.publish(
            PeerRegistered(at=AT, peer=PeerId("p"), ip="", port=1, host_name="", version=text)
            for text in texts
        )
        assert [(await next_from(client))["version"] for _ in texts] == texts


# without an upgrade


async def lines(port: int, query: str = "", *, version: str = "1.1") -> trio.SocketStream:
    """Ask for the feed in lines; return the connection, whose head has been read."""
    stream = await connect(port)
    request = f"GET /events{query} HTTP/{version}\r\nHost: 127.0.0.1\r\n\r\n"
    await stream.send_all(request.encode())
    return stream


async def received(stream: trio.SocketStream, until: bytes) -> bytes:
    """Return what arrives up to there."""
    data = b""
    while until not in data:
        chunk = await stream.receive_some()
        assert chunk, data
        data += chunk
    return data


async def test_without_an_upgrade_it_is_lines_of_json(feed: Feed) -> None:
    feed.publish([left("a"), left("b")])
    async with served(feed) as (_, port), await lines(port, "?since=1") as stream:
        first = await received(stream, b"}\n")
        head, _, body = first.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"content-type: application/x-ndjson" in head.lower()
        assert b"supernode-seq: 1" in head.lower()
        assert json.loads(body.splitlines()[1])["peer"] == "b"
        feed.publish([left("c")])
        assert json.loads((await received(stream, b"}\n")).splitlines()[1])["seq"] == 3


async def test_an_empty_line_tells_that_the_connection_lives(feed: Feed) -> None:
    async with served(feed, heartbeat=0.01) as (_, port), await lines(port) as stream:
        await received(stream, b"\r\n\r\n")
        assert (await received(stream, b"1\r\n\n\r\n")).replace(b"1\r\n\n\r\n", b"") == b""


async def test_lines_end_when_the_daemon_stops(feed: Feed) -> None:
    async with served(feed) as (front, port), await lines(port, version="1.0") as stream:
        await received(stream, b"\r\n\r\n")
        feed.publish([left("a")])
        feed.close()
        front.shut()
        body = await read_to_the_end(stream)
    assert json.loads(body)["peer"] == "a"


async def test_lines_over_http_2(feed: Feed) -> None:
    feed.publish([left("a")])
    async with served(feed) as (_, port), await connect(port) as stream:
        client = H2Client(stream)
        await client.begin()
        await client.ask("/events?since=0")
        await wait_all_tasks_blocked()
        feed.close()
        answer = await client.answer()
    assert answer.status == 200
    assert json.loads(answer.body)["peer"] == "a"


async def test_who_reads_lines_and_goes_makes_room(feed: Feed) -> None:
    async with served(feed, most=1) as (_, port):
        for _ in range(3):
            async with await lines(port) as stream:
                await received(stream, b"\r\n\r\n")
            await nobody_subscribed(feed)


async def test_lines_are_refused_as_websockets_are(feed: Feed) -> None:
    async with served(feed, most=0) as (_, port):
        async with await lines(port, "?since=x") as stream:
            answer = await received(stream, b"}")
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert b"since: " in answer
        async with await lines(port) as stream:
            assert (await received(stream, b"}")).startswith(b"HTTP/1.1 503 ")
