"""``supernode events``: goes on where it was, and ends when there is a reason."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio

from supernode.api.app import create_app
from supernode.api.errors import explain
from supernode.api.events import add_events, opener
from supernode.api.watching import Watching
from supernode.clock import Clock
from supernode.core.events import PeerLeft
from supernode.core.identity import PeerId
from supernode.dfget.options import Node
from supernode.exchange import Responder
from supernode.feed import Feed
from supernode.follow import follower
from supernode.follow.follower import Follower, NotFollowed
from supernode.wire.front import Front
from tests.integration.served_front import serving
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "FIRST_PAUSE", 0.01)


class Reader:
    """What a follower shows, and says of its connection."""

    def __init__(self, port: int, since: int | None = None, **filters: str) -> None:
        self.shown: list[int] = []
        self.notices: list[str] = []
        self.follower = Follower(
            Node("127.0.0.1", port),
            list(filters.items()),
            since,
            lambda _, message: self.shown.append(message.get("seq", 0)),
            self.notices.append,
        )

    async def follows(self) -> None:
        await eventually(lambda: self.follower._connected)

    async def has_shown(self, *numbers: int) -> None:
        await eventually(lambda: len(self.shown) >= len(numbers))
        assert self.shown == list(numbers)


@pytest.fixture
def feed() -> Feed:
    return Feed()


@asynccontextmanager
async def served(feed: Feed, *, most: int = 10) -> AsyncGenerator[tuple[Front, int]]:
    app = create_app([], Responder(feed, Clock.started_now(), explain))
    watching = Watching(feed, most=most)
    add_events(app, watching)
    async with serving(app, streams=lambda path: opener(watching, path)) as (front, port):
        yield front, port
        feed.close()


def happen(feed: Feed, count: int = 1) -> None:
    feed.publish([PeerLeft(at=0, peer=PeerId("p"))] * count)


def cut(front: Front) -> None:
    """Break every connection."""
    for stream in front._open:
        stream.cut()


async def test_it_shows_what_happens_from_now_on(feed: Feed) -> None:
    happen(feed)
    async with served(feed) as (_, port), trio.open_nursery() as nursery:
        reader = Reader(port)
        nursery.start_soon(reader.follower.run)
        await reader.follows()
        happen(feed, 2)
        await reader.has_shown(2, 3)
        nursery.cancel_scope.cancel()


async def test_it_goes_on_where_it_was(feed: Feed) -> None:
    happen(feed)
    async with served(feed) as (front, port), trio.open_nursery() as nursery:
        reader, late = Reader(port, since=0), Reader(port)
        nursery.start_soon(reader.follower.run)
        nursery.start_soon(late.follower.run)
        await reader.has_shown(1)
        await late.follows()
        for number in range(2, 6):
            cut(front)
            happen(feed)
            await reader.has_shown(*range(1, number + 1))
            await late.has_shown(*range(2, number + 1))
        assert "connected again; going on after event 1" in reader.notices
        assert any("trying again" in notice for notice in late.notices)
        nursery.cancel_scope.cancel()


async def test_a_supernode_that_has_forgotten_all_is_read_from_its_beginning(feed: Feed) -> None:
    async with served(feed) as (front, port), trio.open_nursery() as nursery:
        reader = Reader(port)
        nursery.start_soon(reader.follower.run)
        await reader.follows()
        reader.follower._place = 99  # of the supernode that was there before
        happen(feed, 2)
        cut(front)
        await reader.has_shown(1, 2)
        assert any("numbers its events anew" in notice for notice in reader.notices)
        nursery.cancel_scope.cancel()


async def test_it_waits_for_room(feed: Feed) -> None:
    async with served(feed, most=1) as (_, port), trio.open_nursery() as nursery:
        first, second = Reader(port), Reader(port)
        async with trio.open_nursery() as until_it_leaves:
            until_it_leaves.start_soon(first.follower.run)
            await first.follows()
            nursery.start_soon(second.follower.run)
            await eventually(lambda: bool(second.notices))
            until_it_leaves.cancel_scope.cancel()
        assert "there are 1 subscribers already" in second.notices[0]
        await eventually(lambda: "connected again" in second.notices[-1])
        happen(feed)
        await second.has_shown(1)
        nursery.cancel_scope.cancel()


async def test_what_makes_no_sense_is_not_tried_again(feed: Feed) -> None:
    async with served(feed) as (_, port):
        for reader in (Reader(port, type="nonsense"), Reader(port, since=7)):
            with pytest.raises(NotFollowed) as refused:
                await reader.follower.run()
            assert refused.value.usage
        with pytest.raises(NotFollowed, match="no events of type 'nonsense'"):
            await Reader(port, type="nonsense").follower.run()


async def test_where_nobody_is_there_is_nothing_to_follow() -> None:
    with trio.fail_after(10):
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port: int = listener.socket.getsockname()[1]
        await listener.aclose()
        with pytest.raises(NotFollowed, match="no connection to 127") as refused:
            await Reader(port).follower.run()
        assert not refused.value.usage


async def test_one_that_says_nothing_any_more_is_left(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "PING_SECONDS", 0.05)

    async def silent(stream: trio.SocketStream) -> None:
        """Pass on the handshake, and nothing afterwards."""
        async with stream, await trio.open_tcp_stream("127.0.0.1", port) as there:
            await there.send_all(await stream.receive_some())
            await stream.send_all(await there.receive_some())
            while await stream.receive_some():
                pass

    async with served(feed) as (_, port), trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, silent, 0)
        reader = Reader(listeners[0].socket.getsockname()[1])
        nursery.start_soon(reader.follower.run)
        await eventually(lambda: len(reader.notices) > 1)
        assert "trying again" in reader.notices[0]
        nursery.cancel_scope.cancel()
