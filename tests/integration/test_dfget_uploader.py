"""The uploader of a home, run inside the test."""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from supernode.core.pieces import piece_range
from supernode.dfget import control
from supernode.dfget.authorities import MOST_BYTES, MOST_CERTIFICATES
from supernode.dfget.content import ContentFile
from supernode.dfget.http import HttpClient, StatusError
from supernode.dfget.options import Node, Order
from supernode.dfget.rate import TokenBucket
from supernode.dfget.sharing import Sharing
from supernode.dfget.supernode import PeerRequest, TaskRequest
from supernode.dfget.uploader import UploaderSettings, run_uploader
from tests.integration.http_stub import StubRequest, http_stub

SIZE = 4096
ROOT_CAS = tuple(
    f"{number:02}{'A' * 62}\n" * (MOST_BYTES // MOST_CERTIFICATES // 65)
    for number in range(MOST_CERTIFICATES)
)
"""The most there can be."""


class Supernode:
    """Takes note of what the uploader asks."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[tuple[str, str, bytes]] = []
        self.changed = trio.Event()

    async def answer(self, request: StubRequest) -> tuple[int, bytes]:
        self.asked.append((request.method, request.target, request.body))
        self.changed.set()
        self.changed = trio.Event()
        return 200, b"[]"

    async def has_heard(self, method: str, text: str) -> None:
        while not any(m == method and text in t + b.decode() for m, t, b in self.asked):
            await self.changed.wait()


@asynccontextmanager
async def supernode() -> AsyncIterator[Supernode]:
    it = Supernode()
    with trio.fail_after(20):
        async with http_stub(it.answer) as it.port:
            yield it


def settings(home: Path) -> UploaderSettings:
    return UploaderSettings(home=home, ip="127.0.0.1", port=0)


def order(home: Path, **changes: float) -> Order:
    return Order(url="http://o/f", output=home / "out", home=home, **changes)  # type: ignore[arg-type]


async def found(home: Path) -> trio.SocketStream:
    """Connect to the uploader as soon as it is up."""
    while True:
        where = control.whereabouts(home)
        if where is not None:
            try:
                return await trio.open_unix_socket(where.socket)
            except OSError:
                pass
        await trio.sleep(0.01)


class Downloader:
    """The other side: shares one file of two pieces."""

    def __init__(
        self,
        node: Node,
        content: ContentFile,
        stream: trio.SocketStream,
        wanted: Order,
    ) -> None:
        self.content = content
        self.stream = stream
        self.sharing = Sharing(stream)
        self._node = node
        self._order = wanted

    async def begin(self) -> None:
        await self.sharing.hello(self._order)
        peer = PeerRequest("127.0.0.1", "h", self.sharing.port, "1")
        await self.sharing.joined(self._node, peer, "h-peer", again=False)
        request = TaskRequest(
            raw_url="http://o/f",
            client="c-1",
            path="/peer/file/f-1-1",
            dfdaemon=True,
            insecure=True,
            root_cas=ROOT_CAS,
        )
        await self.sharing.share(self._order, self._node, "t1", request, self.content.path, SIZE)
        await self.content.write(b"x" * 5000, 0)

    async def fetch(self, number: int) -> int:
        http = HttpClient()
        try:
            return await http.fetch(
                ("127.0.0.1", self.sharing.port),
                "/peer/file/f-1-1",
                piece_range(number, SIZE),
                memoryview(bytearray(SIZE)),
                stall=5,
                total=5,
                limit=TokenBucket(0),
            )
        finally:
            http.close()


async def with_downloader(
    home: Path,
    it: Supernode,
    act: Callable[[Downloader], Awaitable[None]],
    expire_time: float = 0.2,
    alive_time: float = 60,
) -> None:
    stream = await found(home)
    try:
        with ContentFile(home / "data" / "f-1-1", "sha256") as content:
            node = Node("127.0.0.1", it.port)
            wanted = order(home, expire_time=expire_time, alive_time=alive_time)
            downloader = Downloader(node, content, stream, wanted)
            await downloader.begin()
            await act(downloader)
    finally:
        stream.socket.close()


async def test_pieces_are_served_while_the_download_goes_on(tmp_path: Path) -> None:
    async def act(downloader: Downloader) -> None:
        with pytest.raises(StatusError):
            await downloader.fetch(0)
        await downloader.sharing.piece(0, SIZE - 5)
        assert await downloader.fetch(0) == SIZE
        with pytest.raises(StatusError):
            await downloader.fetch(1)

    async with supernode() as it, trio.open_nursery() as nursery:
        nursery.start_soon(run_uploader, settings(tmp_path))
        await with_downloader(tmp_path, it, act)
        nursery.cancel_scope.cancel()


async def test_a_download_that_ends_early_is_forgotten(tmp_path: Path) -> None:
    async def act(downloader: Downloader) -> None:
        await downloader.sharing.piece(0, SIZE - 5)

    async with supernode() as it, trio.open_nursery() as nursery:
        nursery.start_soon(run_uploader, settings(tmp_path))
        await with_downloader(tmp_path, it, act)
        await it.has_heard("GET", "clientID=c-1")
        assert b'"FINISHED","pieceResult":"FAILED"' in it.asked[-1][2]
        nursery.cancel_scope.cancel()
    assert list((tmp_path / "data").iterdir()) == []


async def test_a_finished_file_expires_and_then_the_uploader_leaves(tmp_path: Path) -> None:
    async def act(downloader: Downloader) -> None:
        await downloader.sharing.piece(0, SIZE - 5)
        await downloader.sharing.piece(1, 5000 - (SIZE - 5))
        assert await downloader.sharing.finished()
        downloader.content.keep()

    async with supernode() as it, trio.open_nursery() as nursery:
        nursery.start_soon(run_uploader, settings(tmp_path))
        await with_downloader(tmp_path, it, act, alive_time=0.5)
        await it.has_heard("GET", "FAILED")
        await it.has_heard("DELETE", "/peers/h-peer")
    assert list((tmp_path / "data").iterdir()) == []
    assert control.whereabouts(tmp_path) is None
    assert not (tmp_path / "uploader.sock").exists()


async def test_a_finished_file_outlives_its_downloader_until_it_expires(tmp_path: Path) -> None:
    served: list[int] = []

    async def act(downloader: Downloader) -> None:
        await downloader.sharing.piece(0, SIZE - 5)
        await downloader.sharing.finished()
        downloader.content.keep()
        downloader.stream.socket.close()
        served.append(await downloader.fetch(0))

    async with supernode() as it, trio.open_nursery() as nursery:
        nursery.start_soon(run_uploader, settings(tmp_path))
        await with_downloader(tmp_path, it, act)
        await it.has_heard("GET", "FAILED")
        nursery.cancel_scope.cancel()
    assert served == [SIZE]


async def test_one_home_has_one_uploader(tmp_path: Path) -> None:
    async with supernode(), trio.open_nursery() as nursery:
        nursery.start_soon(run_uploader, settings(tmp_path))
        async with await found(tmp_path):
            where = control.whereabouts(tmp_path)
            await run_uploader(settings(tmp_path))  # ends at once
            assert control.whereabouts(tmp_path) == where
        nursery.cancel_scope.cancel()


async def test_what_a_killed_uploader_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "orphan").write_bytes(b"x")
    (tmp_path / "uploader.sock").write_bytes(b"")
    (tmp_path / "uploader.lock").write_text('{"pid":1,"socket":"/nowhere","port":15000}')
    with ContentFile(tmp_path / "data" / "under-way", "md5"):
        async with supernode(), trio.open_nursery() as nursery:
            nursery.start_soon(run_uploader, settings(tmp_path))
            async with await found(tmp_path):
                assert os.listdir(tmp_path / "data") == ["under-way"]
            nursery.cancel_scope.cancel()


async def test_a_home_too_deep_for_a_socket(tmp_path: Path) -> None:
    home = tmp_path / ("deep" * 40)
    async with supernode(), trio.open_nursery() as nursery:
        nursery.start_soon(run_uploader, settings(home))
        async with await found(home):
            where = control.whereabouts(home)
            assert where is not None
            folder = Path(where.socket).parent
            assert folder.stat().st_mode & 0o777 == 0o700
        nursery.cancel_scope.cancel()
    assert not folder.exists()
    folder.mkdir(mode=0o700)  # a killed one's
    (folder / "s").touch()
    async with supernode(), trio.open_nursery() as nursery:
        nursery.start_soon(run_uploader, settings(home))
        async with await found(home):
            again = control.whereabouts(home)
            assert again is not None
            assert again.socket == where.socket
        nursery.cancel_scope.cancel()
    assert not folder.exists()
    folder.mkdir()
    folder.chmod(0o755)
    try:
        with pytest.raises(PermissionError):
            await run_uploader(settings(home))
    finally:
        folder.rmdir()


async def test_nonsense_on_the_socket_ends_that_conversation_only(tmp_path: Path) -> None:
    async with supernode(), trio.open_nursery() as nursery:
        nursery.start_soon(run_uploader, settings(tmp_path))
        async with await found(tmp_path) as stream:
            await stream.send_all(b'{"type":"dance"}\n')
            assert await stream.receive_some() == b""
        async with await found(tmp_path) as stream:
            sharing = Sharing(stream)
            await sharing.hello(order(tmp_path))
            assert 15000 <= sharing.port <= 65000
            await sharing.piece(0, 1)
            assert not sharing.alive  # nothing was shared yet, so that is refused
        nursery.cancel_scope.cancel()


async def test_an_uploader_nobody_speaks_to_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supernode.dfget.uploader.FIRST_WORD_SECONDS", 0.1)
    with trio.fail_after(10):
        await run_uploader(settings(tmp_path))


async def test_the_wait_for_one_that_is_leaving(tmp_path: Path) -> None:
    tmp_path.joinpath("data").mkdir()
    leaving = control.UploaderLock(tmp_path)
    assert leaving.acquire()
    async with supernode(), trio.open_nursery() as nursery:
        nursery.start_soon(run_uploader, settings(tmp_path))
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        assert control.whereabouts(tmp_path) is None
        leaving.close()
        await (await found(tmp_path)).aclose()
        nursery.cancel_scope.cancel()


class Forgetful(Supernode):
    """Knows neither peer nor client, after it lost its memory; of the file it knows ``statuses``.

    Args:
        statuses: the task's, each time it is asked for, from the last one on the same; empty: it
            is unknown.
    """

    def __init__(self, *statuses: str) -> None:
        super().__init__()
        self.statuses = list(statuses)
        self.peers: set[str] = set()

    async def answer(self, request: StubRequest) -> tuple[int, bytes]:
        _, body = await super().answer(request)
        match request.method, request.target:
            case "GET", target if target.startswith("/peers/"):
                known = target.removeprefix("/peers/") in self.peers
                return (200, b"{}") if known else (404, b'{"code":404,"message":"no such peer"}')
            case "GET", "/tasks/t1":
                status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
                if not status:
                    return 404, b'{"code":404,"message":"no such task"}'
                return 200, json.dumps({"ID": "t1", "cdnStatus": status}).encode()
            case "POST", "/peers":
                self.peers.add("h-again")
                return 201, b'{"ID":"h-again"}'
            case "POST", "/tasks":
                return 201, b'{"ID":"t1"}'
        return 200, body

    def offers(self) -> list[dict[str, object]]:
        return [json.loads(b) for m, t, b in self.asked if (m, t) == ("POST", "/tasks")]

    def count(self, method: str, target: str) -> int:
        return sum((m, t) == (method, target) for m, t, _ in self.asked)


@asynccontextmanager
async def sharing_a_file(home: Path, it: Forgetful) -> AsyncIterator[Downloader]:
    """Have an uploader share a whole file of two pieces; yield its downloader, which is done."""
    with trio.fail_after(10):
        async with http_stub(it.answer) as it.port, trio.open_nursery() as nursery:
            nursery.start_soon(run_uploader, settings(home))
            stream = await found(home)
            with ContentFile(home / "data" / "f-1-1", "sha256") as content:
                wanted = order(home, expire_time=60, alive_time=60)
                downloader = Downloader(Node("127.0.0.1", it.port), content, stream, wanted)
                await downloader.begin()
                await downloader.sharing.piece(0, SIZE - 5)
                await downloader.sharing.piece(1, 5000 - (SIZE - 5))
                assert await downloader.sharing.finished()
                content.keep()
                yield downloader
            stream.socket.close()
            nursery.cancel_scope.cancel()


OFFERED = '"FINISHED","pieceResult":"SUCCESS"'


async def test_a_supernode_that_forgot_us_learns_again_what_we_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supernode.dfget.uploader.HEARTBEAT_SECONDS", 0.1)
    it = Forgetful("SUCCESS")
    async with sharing_a_file(tmp_path, it):
        await it.has_heard("GET", OFFERED)
        before = it.count("GET", "/peers/h-again")
        while it.count("GET", "/peers/h-again") < before + 2:
            await it.changed.wait()
    (registered,) = it.offers()  # once is enough
    assert registered["peerID"] == "h-again"
    assert registered["cID"] == "c-1"
    assert registered["pieces"] == "Aw=="
    assert registered["dfdaemon"] is registered["insecure"] is True
    assert registered["rootCAs"] == list(ROOT_CAS)


@pytest.mark.parametrize("status", ["", "SOURCE_ERROR", "FAILED"])
async def test_what_we_have_causes_no_fetch_and_is_offered_when_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr("supernode.dfget.uploader.HEARTBEAT_SECONDS", 0.05)
    it = Forgetful(status, status, status, "RUNNING")
    async with sharing_a_file(tmp_path, it) as downloader:
        while it.count("GET", "/tasks/t1") < 3:
            assert not it.offers()
            await it.changed.wait()
        assert await downloader.fetch(0) == SIZE  # it is served all the same
        await it.has_heard("GET", OFFERED)
    assert len(it.offers()) == 1


async def test_a_download_that_was_forgotten_has_the_other_files_offered_at_once(
    tmp_path: Path,
) -> None:
    it = Forgetful("SUCCESS")
    async with sharing_a_file(tmp_path, it):
        it.peers.add("h-peer")  # by now; so asking after it tells nothing
        async with await found(tmp_path) as stream:
            other = Sharing(stream)
            await other.hello(order(tmp_path))
            node, peer = Node("127.0.0.1", it.port), PeerRequest("127.0.0.1", "h", other.port, "1")
            await other.joined(node, peer, "h-peer", again=False)
            assert not it.offers()
            await other.joined(node, peer, "h-peer", again=True)
            await it.has_heard("GET", OFFERED)
    (registered,) = it.offers()
    assert (registered["peerID"], registered["pieces"]) == ("h-peer", "Aw==")


async def test_it_stays_as_long_as_any_download_asked_and_as_fast_as_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets: list[TokenBucket] = []

    class Bucket(TokenBucket):
        def __init__(self, rate: float) -> None:
            super().__init__(rate)
            buckets.append(self)

    monkeypatch.setattr("supernode.dfget.uploader.TokenBucket", Bucket)

    async def said(**wishes: float) -> None:
        async with await found(tmp_path) as stream:
            await Sharing(stream).hello(order(tmp_path, **wishes))

    async with supernode(), trio.open_nursery() as nursery:
        nursery.start_soon(run_uploader, settings(tmp_path))
        await said(alive_time=60, total_limit=1000)
        assert buckets[0].rate == 1000
        where = control.whereabouts(tmp_path)
        await said(alive_time=0, total_limit=2000)  # does not send the other's uploader away
        await said(alive_time=0)
        assert buckets[0].rate == 0
        assert control.whereabouts(tmp_path) == where
        nursery.cancel_scope.cancel()


async def test_if_nobody_asks_it_to_stay_it_leaves(tmp_path: Path) -> None:
    async with supernode(), trio.open_nursery() as nursery:
        nursery.start_soon(run_uploader, settings(tmp_path))
        async with await found(tmp_path) as stream:
            await Sharing(stream).hello(order(tmp_path, alive_time=0))
