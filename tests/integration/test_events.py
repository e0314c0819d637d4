"""The feed over a real websocket: what arrives, who gets in, and that nobody holds up others."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
from quart_trio import QuartTrio
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    wrap_client_stream,
)

from supernode.api.events import add_events
from supernode.api.watching import Watching
from supernode.core.events import PeerLeft, PeerRegistered
from supernode.core.identity import PeerId
from supernode.feed import RECENT, Feed
from tests.integration.served_front import connect, read_to_the_end, serving

AT = 1767268800.0
MORE_THAN_SOCKETS_HOLD = 32 << 20


def left(peer: str) -> PeerLeft:
    return PeerLeft(at=AT, peer=PeerId(peer))


@pytest.fixture
def feed() -> Feed:
    return Feed()


def app_for(feed: Feed, most_subscribers: int = 10) -> QuartTrio:
    app = QuartTrio(__name__)
    add_events(app, Watching(feed, most=most_subscribers))
    return app


@asynccontextmanager
async def subscribed(port: int) -> AsyncGenerator[WebSocketConnection]:
    """Read along for the body; then say good-bye."""
    async with await connect(port) as stream, trio.open_nursery() as nursery:
        client = await wrap_client_stream(nursery, stream, "supernode", "/events")
        yield client
        await client.aclose()


async def next_from(client: WebSocketConnection) -> dict[str, object]:
    message = json.loads(await client.get_message())
    assert isinstance(message, dict)
    return message


async def nobody_subscribed(feed: Feed) -> None:
    """Wait until the server's end of every subscription is gone."""
    while feed._readers:
        await trio.lowlevel.checkpoint()
    await wait_all_tasks_blocked()


async def test_every_event_is_one_message_in_order_to_every_subscriber(feed: Feed) -> None:
    feed.publish([left("before")])
    async with (
        serving(app_for(feed)) as (_, port),
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


async def test_one_subscriber_too_many_is_refused_until_another_leaves(feed: Feed) -> None:
    async with serving(app_for(feed, most_subscribers=1)) as (_, port):
        async with subscribed(port):
            with pytest.RaisesGroup(ConnectionRejected, flatten_subgroups=True) as refused:
                async with subscribed(port):
                    pytest.fail("let in")
        await nobody_subscribed(feed)
        async with subscribed(port) as client:
            feed.publish([left("a")])
            assert (await next_from(client))["peer"] == "a"
    (answer,) = leaves(refused.value)
    assert isinstance(answer, ConnectionRejected)
    assert answer.status_code == 503
    assert json.loads(answer.body or b"")["code"] == 503


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


async def test_a_subscriber_whose_connection_breaks_makes_room(feed: Feed) -> None:
    async with serving(app_for(feed, most_subscribers=1)) as (_, port):
        for _ in range(3):
            async with await connect(port) as stream, trio.open_nursery() as nursery:
                await wrap_client_stream(nursery, stream, "supernode", "/events")
                nursery.cancel_scope.cancel()
            await nobody_subscribed(feed)


async def test_what_a_subscriber_says_does_no_harm(feed: Feed) -> None:
    async with serving(app_for(feed)) as (_, port), subscribed(port) as client:
        await client.send_message("what?")
        await client.ping()
        feed.publish([left("a")])
        assert (await next_from(client))["peer"] == "a"


async def stall(feed: Feed, port: int) -> trio.SocketStream:
    """Return the connection of a subscriber that reads nothing: the server is stuck sending."""
    stream = await connect(port)
    async with trio.open_nursery() as nursery:
        await wrap_client_stream(nursery, stream, "supernode", "/events")
        nursery.cancel_scope.cancel()  # it reads no more; the connection stays
    long = PeerRegistered(
        at=AT, peer=PeerId("p"), ip="", port=1, host_name="", version="v" * (1 << 20)
    )
    feed.publish([long] * (MORE_THAN_SOCKETS_HOLD >> 20))
    await wait_all_tasks_blocked()
    return stream


async def test_a_stalled_subscriber_neither_slows_others_nor_stays(feed: Feed) -> None:
    with capture_logs() as logs:
        async with (
            serving(app_for(feed, most_subscribers=2), write_timeout=0.2) as (_, port),
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
    assert [entry["event"] for entry in logs] == ["peer stopped reading, connection cut"]


async def test_a_stalled_subscriber_does_not_hold_up_a_shutdown(feed: Feed) -> None:
    async with serving(app_for(feed), drain_timeout=0.05) as (front, port):
        stream = await stall(feed, port)
        feed.close()
        front.shut()
    await stream.aclose()


async def test_who_falls_too_far_behind_is_told_what_it_missed(feed: Feed) -> None:
    async with serving(app_for(feed)) as (_, port), subscribed(port) as client:
        feed.publish([left("a")] * (RECENT + 1))
        assert await next_from(client) == {"type": "gap", "from": 1, "to": RECENT + 1}
        feed.publish([left("b")])
        assert (await next_from(client))["seq"] == RECENT + 2


async def test_subscribers_are_told_that_the_daemon_stops(feed: Feed) -> None:
    async with serving(app_for(feed)) as (front, port), subscribed(port) as client:
        feed.close()
        front.shut()
        with pytest.raises(ConnectionClosed) as closed:
            await client.get_message()
    assert closed.value.reason is not None
    assert closed.value.reason.code == 1001
