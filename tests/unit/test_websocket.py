"""The front's own websockets: whose handshakes are taken, what is written, when it is over."""

import math
from collections.abc import Callable

import pytest
import trio
import wsproto
from trio.testing import MockClock, memory_stream_pair
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    Request,
    TextMessage,
)

from supernode.streaming import Ending, Portion
from supernode.wire.websocket import CLOSING_SECONDS, Handshake, frame, handshake, tell

INTERVAL = 20.0
HANDSHAKE = (
    b"GET /events?since=7&x=%20 HTTP/1.1\r\nHost: supernode:8002\r\n"
    b"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nOrigin: http://supernode:8002\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def test_a_handshake_in_order_is_taken() -> None:
    asked = handshake(HANDSHAKE)
    assert asked is not None
    assert (asked.path, asked.query_string) == ("/events", "since=7&x=%20")
    assert (b"host", b"supernode:8002") in asked.headers
    assert (b"origin", b"http://supernode:8002") in asked.headers


@pytest.mark.parametrize(
    "change",
    [
        lambda head: head[:-2],  # not complete
        lambda head: head + b"\x81",  # more than that
        lambda head: head.replace(b"GET", b"POST"),
        lambda head: head.replace(b"WebSocket\r\n", b"h2c\r\n"),
        lambda head: head.replace(b"13", b"8"),
        lambda head: head.replace(b"Host: supernode:8002\r\n", b""),
        lambda head: head.replace(b"Host:", b"Host: other\r\nHost:"),
        lambda head: head.replace(b"supernode:8002\r\nC", b"\xff\xfe\r\nC"),
        lambda head: head.replace(b"supernode:8002\r\nC", b"a..b\r\nC"),
        lambda head: head.replace(b"supernode:8002\r\nC", b"a" * 64 + b"\r\nC"),
        lambda head: head.replace(b"HTTP/1.1", b"HTTP/1.0x"),
        lambda head: head.replace(b"/events", b"/ev ents"),
        lambda head: b"PRI * HTTP/2.0\r\n\r\n",
        lambda head: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        lambda head: b"\r\n\r\n",
    ],
)
def test_any_other_beginning_is_left_to_others(change: Callable[[bytes], bytes]) -> None:
    assert handshake(change(HANDSHAKE)) is None


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20])
def test_frames_are_what_a_client_understands(length: int) -> None:
    client = wsproto.connection.Connection(wsproto.ConnectionType.CLIENT)
    client.receive_data(frame(b"x" * length))
    said = [event for event in client.events() if isinstance(event, Message)]
    assert "".join(str(event.data) for event in said) == "x" * length
    assert said[-1].message_finished


class Told:
    """A stream that says what a test puts into it."""

    def __init__(self, *outcomes: Portion | Ending) -> None:
        self.headers = {"Supernode-Seq": "7"}
        self._outcomes = list(outcomes)

    async def next(self) -> Portion | Ending:
        await trio.lowlevel.checkpoint()
        if self._outcomes:
            return self._outcomes.pop(0)
        await trio.sleep_forever()
        raise AssertionError

    def close(self) -> None:
        pass


class Client:
    """The other end of a connection, and what was written to it."""

    def __init__(self) -> None:
        self.stream, self.server = memory_stream_pair()
        self.writes: list[bytes] = []
        self._protocol = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        real = self.server.send_stream.send_all

        async def noting(data: bytes | bytearray | memoryview) -> None:
            self.writes.append(bytes(data))
            await real(data)

        self.server.send_stream.send_all = noting  # type: ignore[method-assign]

    def asked(self) -> Handshake:
        asked = handshake(self._protocol.send(Request(host="supernode", target="/events")))
        assert asked is not None
        return asked

    async def say(self, event: Event) -> None:
        await self.stream.send_all(self._protocol.send(event))

    async def hear(self) -> list[Event]:
        """Return what the server says next."""
        self._protocol.receive_data(bytes(await self.stream.receive_some()) or None)
        return list(self._protocol.events())


def portion(*texts: str) -> Portion:
    return Portion([text.encode() for text in texts])


async def test_a_portion_is_one_write(autojump_clock: MockClock) -> None:
    client = Client()
    async with trio.open_nursery() as nursery:
        told = Told(portion("a", "bc"), portion("d"))
        nursery.start_soon(_tell, client, told)
        await trio.testing.wait_all_tasks_blocked()
        assert client.writes[1:] == [b"\x81\x01a\x81\x02bc", b"\x81\x01d"]
        events = await client.hear()
        assert isinstance(events[0], AcceptConnection)
        assert (b"supernode-seq", b"7") in events[0].extra_headers
        assert [event.data for event in events[1:] if isinstance(event, TextMessage)] == [
            *("a", "bc", "d")
        ]
        nursery.cancel_scope.cancel()


async def _tell(client: Client, told: Told, send_now: Callable[[bytes], int] = lambda _: 0) -> None:
    await tell(client.server, client.asked(), told, ping_interval=INTERVAL, send_now=send_now)


@pytest.mark.parametrize("taken", [0, 1, 6])
async def test_what_is_not_sent_at_once_follows(autojump_clock: MockClock, taken: int) -> None:
    client, at_once = Client(), bytearray()

    def send_now(data: bytes) -> int:
        at_once.extend(data[:taken])
        return min(taken, len(data))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tell, client, Told(portion("a", "b")), send_now)
        await trio.testing.wait_all_tasks_blocked()
        assert bytes(at_once) + b"".join(client.writes[1:]) == b"\x81\x01a\x81\x01b"
        nursery.cancel_scope.cancel()


async def test_a_client_that_answers_no_ping_is_gone(autojump_clock: MockClock) -> None:
    client = Client()
    await _tell(client, Told())
    assert trio.current_time() == pytest.approx(2 * INTERVAL)
    assert [event for event in await client.hear() if isinstance(event, Ping)]


async def test_one_that_answers_stays(autojump_clock: MockClock) -> None:
    client = Client()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tell, client, Told())
        for _ in range(10):
            for event in await client.hear():
                if isinstance(event, Ping):
                    await client.say(event.response())
        assert trio.current_time() > 5 * INTERVAL
        nursery.cancel_scope.cancel()


async def test_its_pings_are_answered_and_its_words_ignored(autojump_clock: MockClock) -> None:
    client = Client()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tell, client, Told())
        await client.hear()
        await client.say(TextMessage("x" * 100_000))
        await client.say(Ping(b"there?"))
        assert await client.hear() == [Pong(b"there?")]
        nursery.cancel_scope.cancel()


async def test_a_client_says_good_bye(autojump_clock: MockClock) -> None:
    client = Client()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tell, client, Told())
        await client.hear()
        await client.say(CloseConnection(1000))
        (answer,) = await client.hear()
    assert isinstance(answer, CloseConnection)
    assert trio.current_time() < 1


@pytest.mark.parametrize(("ending", "code"), [(Ending.CLOSED, 1001), (Ending.TOO_SLOW, 1013)])
async def test_it_says_why_it_ends(autojump_clock: MockClock, ending: Ending, code: int) -> None:
    client = Client()
    await _tell(client, Told(ending))
    assert trio.current_time() == pytest.approx(CLOSING_SECONDS), "the client did not answer"
    *_, said = await client.hear()
    assert isinstance(said, CloseConnection)
    assert (said.code, said.reason) == (code, ending.value)


async def test_who_does_not_speak_the_protocol_is_told_so(autojump_clock: MockClock) -> None:
    client = Client()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tell, client, Told())
        await client.hear()
        await client.stream.send_all(b"\xff\xff\xff\xff")
        (answer,) = await client.hear()
    assert isinstance(answer, CloseConnection)
    assert answer.code == 1002


async def test_a_client_that_hangs_up_is_gone(autojump_clock: MockClock) -> None:
    client = Client()
    await client.stream.aclose()
    await _tell(client, Told(portion("a")))
    assert trio.current_time() < math.inf
