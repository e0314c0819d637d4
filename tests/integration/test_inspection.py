"""What is found when accused peers are asked for their piece, over real sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import pytest
import trio

from supernode.core.commands import (
    CachePiece,
    PieceResult,
    Pull,
    RegisterPeer,
    RegisterTask,
    RemovePeer,
    Report,
    ReportPiece,
    SizeTask,
    StartFetch,
)
from supernode.core.events import (
    AccusationTaken,
    Event,
    PeerCleared,
    PeerQuarantined,
    PeerWarned,
)
from supernode.core.identity import ClientId, PeerId, TaskId
from supernode.core.model import Finding, TaskSpec
from supernode.core.pieces import MIB, TRAILER, content_size, digest_of, frame_header, piece_range
from supernode.feed import Feed, Subscription
from supernode.origin.policy import OriginPolicy, Rule
from supernode.services import asking, inspection
from supernode.services.inspection import Inspector
from tests.inprocess import InProcess

E = TypeVar("E", bound=Event)

SIZE = 4 * MIB
CONTENT = bytes(range(256)) * 100
PIECE = frame_header(len(CONTENT), SIZE) + CONTENT + TRAILER
ANYWHERE_HERE = OriginPolicy([Rule.parse("127.0.0.0/8")])


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


RIGHT = answer("206 Partial Content", PIECE)


class Server:
    """Somebody at a peer's address.

    Args:
        reply: what it sends after a request, before it hangs up; None: it keeps silent.
    """

    def __init__(self, reply: bytes | None) -> None:
        self.port = 0
        self.requests: list[bytes] = []
        self._reply = reply

    async def serve(self, stream: trio.SocketStream) -> None:
        request = b""
        try:
            while not request.endswith(b"\r\n\r\n"):
                request += await stream.receive_some()
            self.requests.append(request)
            if self._reply is None:
                await trio.sleep_forever()
            else:
                await stream.send_all(self._reply)
        except trio.BrokenResourceError:
            pass
        finally:
            await stream.aclose()


class Swarm:
    """A supernode in which somebody accuses peers, and an inspector."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.node = InProcess()
        self.news = self.node.feed.subscribe()
        self._nursery = nursery
        self._victims = 0

    async def server(self, reply: bytes | None = RIGHT) -> Server:
        server = Server(reply)
        listeners = await self._nursery.start(
            partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1")
        )
        server.port = listeners[0].socket.getsockname()[1]
        return server

    def accused(self, name: str, port: int, *, path: str = "/peer/file/f") -> PeerId:
        """Let somebody say that the peer of this name, the only holder of a file, gives nothing."""
        do, url = self.node.dispatch, f"http://origin/{name}"
        peer = do(RegisterPeer(ip="127.0.0.1", port=port, host_name=name, version="1"))
        self._download(name, url, peer, path)
        task = self._download(f"victim of {name}", url, None, "/v")
        fetch = do(StartFetch(task=task))
        do(SizeTask(task=task, generation=fetch, length=content_size(SIZE) + len(CONTENT)))
        do(CachePiece(task=task, generation=fetch, piece=1, digest=digest_of(PIECE)))
        self._report(task, name, PieceResult.SUCCESS)
        do(Pull(task=task, client=ClientId(f"victim of {name}")))
        self._report(task, f"victim of {name}", PieceResult.FAILED)
        return peer

    def _download(self, client: str, url: str, peer: PeerId | None, path: str) -> TaskId:
        spec = TaskSpec(raw_url=url, task_url=url)
        command = RegisterTask(spec=spec, client=ClientId(client), peer=peer, path=path)
        return self.node.dispatch(command)

    def _report(self, task: TaskId, client: str, result: PieceResult) -> None:
        report = Report(field="", piece_range=piece_range(1, SIZE), holder=None, result=result)
        self.node.dispatch(ReportPiece(task=task, client=ClientId(client), report=report))

    async def inspect(self, policy: OriginPolicy = ANYWHERE_HERE) -> None:
        """Start the inspector."""
        await self._nursery.start(Inspector(self.node.dispatch, policy).run)

    async def next(self, kind: type[E]) -> E:
        return await first(self.node.feed, self.news, kind)


async def first(feed: Feed, news: Subscription, kind: type[E]) -> E:
    """Wait for the next event of a kind; forget those before."""
    while await news.news():
        for published in feed.after(news.last):
            news.last = published.seq
            if isinstance(published.event, kind):
                return published.event
    raise AssertionError("the feed was closed")


@asynccontextmanager
async def swarm() -> AsyncIterator[Swarm]:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            yield Swarm(nursery)
            nursery.cancel_scope.cancel()


@pytest.fixture
def one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "AT_ONCE", 1)
    monkeypatch.setattr(inspection, "PAUSE_SECONDS", 0.0)


async def test_the_peer_is_asked_as_any_client_would() -> None:
    async with swarm() as it:
        server = await it.server()
        it.accused("p", server.port, path="/peer/file/f?delete=1#x")
        await it.inspect()
        assert (await it.next(PeerCleared)).client == "victim of p"
        (request,) = server.requests
        line, *headers = request.decode().split("\r\n")
        assert line == "GET /peer/file/f%3Fdelete=1%23x HTTP/1.1"
        assert f"Range: bytes={piece_range(1, SIZE)}" in headers
        assert sorted(header.partition(":")[0] for header in headers if header) == [
            "Host",
            "Range",
            "User-Agent",
        ]


@pytest.mark.parametrize(
    ("reply", "seen"),
    [
        (RIGHT[:-100] + b"#" + RIGHT[-99:], f":{len(PIECE)}"),
        (answer("200 OK", PIECE[:-1]), f":{len(PIECE) - 1}"),
        (answer("200 OK", b""), "d41d8cd98f00b204e9800998ecf8427e:0"),
        (answer("200 OK", b"x" * (SIZE + 1)), f"{SIZE + 1} bytes where at most {SIZE}"),
        (answer("206 Partial Content", CONTENT), f":{len(CONTENT)}"),
    ],
    ids=["corrupt", "short", "empty", "whole file", "without its frame"],
)
async def test_wrong_bytes_are_evidence_enough(reply: bytes, seen: str) -> None:
    async with swarm() as it:
        server = await it.server(reply)
        peer = it.accused("p", server.port)
        await it.inspect()
        found = await it.next(PeerQuarantined)
        assert (found.peer, found.piece, found.finding) == (peer, 1, Finding.WRONG)
        assert found.expected == digest_of(PIECE)
        assert seen in found.seen


@pytest.mark.parametrize("status", [404, 410, 416])
async def test_it_may_say_that_it_has_not_got_it(status: int) -> None:
    async with swarm() as it:
        server = await it.server(answer(f"{status} No", b"secret"))
        it.accused("p", server.port)
        await it.inspect()
        found = await it.next(PeerWarned)
        assert (found.finding, found.seen) == (Finding.MISSING, f"status {status}")


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        RIGHT[:-1],
        answer("500 Oops", b"secret"),
        answer("302 Found", b"", "Location: /elsewhere"),
        RIGHT.replace(b"Content-Length", b"X-Length", 1),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"0" * 5000 + b"\r\n\r\n",
        None,
    ],
    ids=["hangs up", "cut", "500", "redirect", "no length", "no HTTP", "no number", "silent"],
)
async def test_anything_else_is_no_answer(
    reply: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "STALL_SECONDS", 0.2)
    async with swarm() as it:
        server = await it.server(reply)
        it.accused("p", server.port)
        await it.inspect()
        found = await it.next(PeerWarned)
        assert found.finding is Finding.NO_ANSWER
        assert len(server.requests) == 1
        assert "secret" not in found.seen
        assert len(found.seen) <= asking.LONGEST_DETAIL


async def test_nobody_there_is_no_answer() -> None:
    async with swarm() as it:
        with trio.socket.socket() as taken:
            await taken.bind(("127.0.0.1", 0))
            it.accused("p", taken.getsockname()[1])
            await it.inspect()
            assert (await it.next(PeerWarned)).finding is Finding.NO_ANSWER


@pytest.mark.parametrize("ports", [[], [80]])
@pytest.mark.usefixtures("one_after_the_other")
async def test_nobody_is_asked_whom_a_url_could_not_name(ports: list[int]) -> None:
    """Who registers what is no peer, and accuses it, has us contact nothing new."""
    async with swarm() as it:
        internal, permitted = await it.server(), await it.server()
        it.accused("internal", internal.port)
        peer = it.accused("permitted", permitted.port)
        allow = [Rule.parse(f"127.0.0.1:{permitted.port}")]
        if ports:
            allow.append(Rule.parse("127.0.0.0/8"))  # but none of its other ports
        await it.inspect(OriginPolicy(allow, ports=ports))
        assert (await it.next(PeerCleared)).peer == peer
        assert internal.requests == []


@pytest.mark.usefixtures("one_after_the_other")
async def test_an_address_is_asked_once_whatever_its_names() -> None:
    async with swarm() as it:
        target, other = await it.server(), await it.server()
        for name in ("p1", "p2", "p3"):
            it.accused(name, target.port)
        last = it.accused("q", other.port)
        await it.inspect()
        while (await it.next(PeerCleared)).peer != last:
            pass
        assert len(target.requests) == 1


async def test_a_few_that_keep_silent_hold_up_nobody() -> None:
    async with swarm() as it:
        for n in range(inspection.AT_ONCE - 1):
            it.accused(f"silent{n}", (await it.server(None)).port)
        bad = it.accused("bad", (await it.server(answer("200 OK", b"x"))).port)
        await it.inspect()
        assert (await it.next(PeerQuarantined)).peer == bad


@pytest.mark.usefixtures("one_after_the_other")
async def test_who_leaves_meanwhile_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "STALL_SECONDS", 0.2)
    async with swarm() as it:
        silent = await it.server(None)
        peer = it.accused("p", silent.port)
        await it.inspect()
        await it.next(AccusationTaken)
        it.node.dispatch(RemovePeer(peer=peer))
        bad = it.accused("bad", (await it.server(answer("200 OK", b"x"))).port)
        assert (await it.next(PeerQuarantined)).peer == bad


def test_one_look_ends_before_the_next_at_the_same_address() -> None:
    assert asking.LONGEST_SECONDS < inspection.SAME_ADDRESS_SECONDS
