"""The data port over real sockets: what it answers, what it never sends, whom it cuts."""

import errno
import os
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from supernode.core.identity import TaskId, download_path
from supernode.core.pieces import MIB
from supernode.storage.piece_files import PieceFile, PieceStore
from supernode.wire import transfer
from supernode.wire.data_port import DataPort
from tests.faults import GoesOn, Group, Seen, fault

TASK = TaskId("abc" + "1" * 61)
PATH = download_path(TASK)
Logs = list[MutableMapping[str, Any]]


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Speaks raw HTTP/1.1 over one connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._received = b""

    async def send(self, *lines: str, method: str = "GET", path: str = PATH) -> None:
        head = [f"{method} {path} HTTP/1.1", "Host: supernode", *lines, "", ""]
        await self.stream.send_all("\r\n".join(head).encode())

    async def receive(self, *, body: bool = True) -> Response:
        while b"\r\n\r\n" not in self._received:
            self._received += await self._more()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        assert status.startswith("HTTP/1.1 ")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers["Content-Length"]) if body else 0
        content = bytearray(self._received)
        while len(content) < length:
            content += await self._more()
        self._received = bytes(content[length:])
        return Response(int(status.split()[1]), headers, bytes(content[:length]))

    async def get(self, *lines: str, method: str = "GET", path: str = PATH) -> Response:
        await self.send(*lines, method=method, path=path)
        return await self.receive(body=method != "HEAD")

    async def rest(self) -> bytes:
        """Return everything until the server closes."""
        while data := await self.stream.receive_some():
            self._received += data
        return self._received

    async def assert_closed(self) -> None:
        assert await self.rest() == b""

    async def _more(self) -> bytes:
        data = await self.stream.receive_some()
        assert data, "closed in the middle of an answer"
        return bytes(data)


@dataclass
class Port:
    """A data port in its own task."""

    number: int
    shut: Callable[[], None]
    cancel: Callable[[], None]
    ended: trio.Event

    @asynccontextmanager
    async def client(
        self, *, slow: bool = False, address: str = "127.0.0.1"
    ) -> AsyncIterator[Client]:
        """Connect; a ``slow`` client's kernel takes little that the client has not asked for."""
        with trio.socket.socket() as sock:
            await sock.bind((address, 0))
            if slow:
                sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 32 * 1024)
            await sock.connect(("127.0.0.1", self.number))
            yield Client(trio.SocketStream(sock))


@asynccontextmanager
async def serving(
    find: Callable[[TaskId], PieceFile | None],
    *,
    max_connections: int = 10,
    max_connections_per_client: int | None = None,
    stall_timeout: float = 10,
    idle_timeout: float = 10,
    drain_timeout: float = 0,
    disturb: Callable[[trio.SocketListener], None] = lambda listener: None,
) -> AsyncIterator[Port]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    disturb(listeners[0])
    number = listeners[0].socket.getsockname()[1]
    port = DataPort(
        listeners,
        find,
        max_connections=max_connections,
        max_connections_per_client=max_connections_per_client,
        stall_timeout=stall_timeout,
        idle_timeout=idle_timeout,
        drain_timeout=drain_timeout,
    )
    scope, ended = trio.CancelScope(), trio.Event()

    async def run(task_status: trio.TaskStatus[None]) -> None:
        with scope:
            await port.run(task_status=task_status)
        ended.set()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(run)
            yield Port(number, port.shut, scope.cancel, ended)
            port.shut()


@pytest.fixture
def store(tmp_path: Path) -> PieceStore:
    return PieceStore(tmp_path)


async def filled(store: PieceStore, content: bytes, *, piece_size: int = MIB) -> bytes:
    """Store ``content`` as TASK, every piece sealed; return it framed."""
    file = await store.create(TASK, piece_size)
    step = piece_size - 5
    for number, start in enumerate(range(0, len(content), step)):
        piece = content[start : start + step]
        await file.write(number, [piece])
        file.seal(number, len(piece) + 5)
    return file.path.read_bytes()


# Answers


async def test_a_piece(store: PieceStore) -> None:
    framed = await filled(store, os.urandom(2 * MIB))
    async with serving(store.find) as port, port.client() as client:
        response = await client.get(f"Range: bytes={MIB}-{2 * MIB - 1}")
        assert response.status == 206
        assert response.body == framed[MIB : 2 * MIB]
        assert response.headers.pop("Date").endswith(" GMT")
        assert response.headers == {
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
            "Content-Range": f"bytes {MIB}-{2 * MIB - 1}/{len(framed)}",
            "Content-Length": str(MIB),
        }
        # The connection goes on, and the last piece is clipped.
        response = await client.get(f"Range: bytes={2 * MIB}-{3 * MIB - 1}")
        assert response.status == 206
        assert response.body == framed[2 * MIB :]
        assert (
            response.headers["Content-Range"] == f"bytes {2 * MIB}-{len(framed) - 1}/{len(framed)}"
        )


@pytest.mark.parametrize(
    ("value", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=3-", 3, 25),
        ("bytes=-7", 18, 25),
        ("bytes=-100", 0, 25),
        ("bytes=20-" + "9" * 100, 20, 25),
    ],
)
async def test_ranges(store: PieceStore, value: str, start: int, stop: int) -> None:
    framed = await filled(store, b"twenty bytes of text")
    async with serving(store.find) as port, port.client() as client:
        response = await client.get(f"Range: {value}")
        assert response.status == 206
        assert response.body == framed[start:stop]
        assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/25"


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Range: bytes=5-4"],
        ["Range: bytes=0-1,3-4"],
        ["Range: pieces=0-1"],
        ["Range: bytes=0-1", "Range: bytes=3-4"],
        ["Range: bytes=0-1", 'If-Range: "v1"'],
    ],
)
async def test_the_whole_file(store: PieceStore, lines: list[str]) -> None:
    framed = await filled(store, os.urandom(2 * MIB))
    async with serving(store.find) as port, port.client() as client:
        response = await client.get(*lines)
        assert response.status == 200
        assert response.body == framed
        assert "Content-Range" not in response.headers


@pytest.mark.parametrize("value", ["bytes=25-", "bytes=25-30", "bytes=-0"])
async def test_a_range_beyond_the_end(store: PieceStore, value: str) -> None:
    await filled(store, b"twenty bytes of text")
    async with serving(store.find) as port, port.client() as client:
        response = await client.get(f"Range: {value}")
        assert response.status == 416
        assert response.headers["Content-Range"] == "bytes */25"


async def test_head_tells_what_get_would(store: PieceStore) -> None:
    framed = await filled(store, b"twenty bytes of text")
    async with serving(store.find) as port, port.client() as client:
        for _ in range(2):  # a body would be taken for the next answer
            response = await client.get("Range: bytes=0-1", method="HEAD")
            assert response.status == 200  # Range is defined for GET only
            assert response.headers["Content-Length"] == str(len(framed))
            assert response.headers["Accept-Ranges"] == "bytes"
        missing = await client.get(method="HEAD", path="/nothing")
        assert missing.status == 404


async def test_no_byte_of_an_unsealed_piece(store: PieceStore) -> None:
    file = await store.create(TASK, MIB)
    for number in range(3):
        await file.write(number, [bytes([number]) * (MIB - 5)])
    file.seal(1, MIB)
    async with serving(store.find) as port, port.client() as client:
        # The length is unknown: a sealed piece can be had, all the rest cannot.
        sealed = await client.get(f"Range: bytes={MIB}-{2 * MIB - 1}")
        assert sealed.status == 206
        assert sealed.headers["Content-Range"] == f"bytes {MIB}-{2 * MIB - 1}/*"
        for first, last in [(0, MIB - 1), (MIB - 1, MIB), (MIB, 2 * MIB), (2 * MIB, "")]:
            refused = await client.get(f"Range: bytes={first}-{last}")
            assert refused.status == 416
            assert "Content-Range" not in refused.headers
        whole = await client.get()
        assert whole.status == 503
        assert whole.headers["Retry-After"] == "1"

        file.end_known(2 * MIB + 10)
        await file.write(2, [b"last."])
        refused = await client.get(f"Range: bytes={MIB}-")
        assert refused.status == 416
        assert refused.headers["Content-Range"] == f"bytes */{2 * MIB + 10}"
        file.seal(2, 10)
        sealed = await client.get(f"Range: bytes={2 * MIB}-{3 * MIB - 1}")
        assert sealed.body[4:] == b"last.\x7f"
        assert (await client.get()).status == 503
        file.seal(0, MIB)
        assert (await client.get()).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "*",
        "/download",
        "/download/abc/",
        f"/download/{TASK}",
        f"/download/abd/{TASK}",
        f"/download/abc/{TASK}/",
        f"/download/abc/{TASK}.meta",
        f"/download/abc/{TASK.upper()}",
        f"/download/abc/{TASK[:-1]}2",
        f"/download/abc/../abc/{TASK}",
        f"/download//abc/{TASK}",
        f"//download/abc/{TASK}",
        f"/download/abc/%61bc{TASK[3:]}",
        "/download/../../../etc/passwd",
        "/download/%2e%2e/%2e%2e/etc/passwd",
        "/etc/passwd",
    ],
)
async def test_nothing_else_is_reachable(store: PieceStore, path: str) -> None:
    await filled(store, b"text")
    async with serving(store.find) as port, port.client() as client:
        assert (await client.get(path=path)).status == 404


@pytest.mark.parametrize("path", [PATH + "?n=1", f"http://supernode:8001{PATH}"])
async def test_other_spellings_of_the_path(store: PieceStore, path: str) -> None:
    framed = await filled(store, b"text")
    async with serving(store.find) as port, port.client() as client:
        assert (await client.get(path=path)).body == framed


# HTTP


async def test_other_methods(store: PieceStore) -> None:
    async with serving(store.find) as port, port.client() as client:
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            response = await client.get(method=method)
            assert response.status == 405
            assert response.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),  # TLS
        (b"what is this\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 17_000, 431),
        (b"GET /" + b"x" * 17_000, 431),
        (b"\r\n" * 9_000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 413),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000, 405),
    ],
)
async def test_what_cannot_go_on_is_answered_and_closed(
    store: PieceStore, text: bytes, status: int
) -> None:
    await filled(store, b"text")
    async with serving(store.find) as port, port.client() as client:
        await client.stream.send_all(text)
        response = await client.receive()
        assert response.status == status
        assert response.headers["Connection"] == "close"
        await client.assert_closed()


@pytest.mark.parametrize("hosts", ["", "Host: x\r\nHost: y\r\n"])
async def test_http_1_1_names_its_host_once(store: PieceStore, hosts: str) -> None:
    await filled(store, b"text")
    async with serving(store.find) as port, port.client() as client:
        await client.stream.send_all(f"GET {PATH} HTTP/1.1\r\n{hosts}\r\n".encode())
        assert (await client.receive()).status == 400


async def test_a_long_head_is_fine(store: PieceStore) -> None:
    framed = await filled(store, b"text")
    async with serving(store.find) as port, port.client() as client:
        assert (await client.get("X: " + "x" * 16_000)).body == framed


async def test_pipelined_requests_are_answered_in_order(store: PieceStore) -> None:
    framed = await filled(store, os.urandom(2 * MIB))
    spans = [(0, MIB), (5, 10), (MIB, 2 * MIB), (17, 18)]
    async with serving(store.find) as port, port.client() as client:
        head = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nRange: bytes="
        requests = "".join(f"{head}{start}-{stop - 1}\r\n\r\n" for start, stop in spans)
        await client.stream.send_all(requests.encode())
        for start, stop in spans:
            assert (await client.receive()).body == framed[start:stop]


async def test_a_request_byte_by_byte(store: PieceStore) -> None:
    framed = await filled(store, b"text")
    async with serving(store.find) as port, port.client() as client:
        for byte in f"\r\nGET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode():
            await client.stream.send_all(bytes([byte]))
        assert (await client.receive()).body == framed


async def test_http_1_0(store: PieceStore) -> None:
    framed = await filled(store, b"text")
    async with serving(store.find) as port, port.client() as client:
        request = f"GET {PATH} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode()
        await client.stream.send_all(request)
        response = await client.receive()
        assert response.headers["Connection"] == "keep-alive"
        await client.stream.send_all(f"GET {PATH} HTTP/1.0\r\n\r\n".encode())
        response = await client.receive()
        assert response.body == framed
        assert response.headers["Connection"] == "close"
        await client.assert_closed()


async def test_connection_close(store: PieceStore) -> None:
    framed = await filled(store, os.urandom(MIB))
    async with serving(store.find) as port, port.client() as client:
        response = await client.get("Connection: close")
        assert response.body == framed
        assert response.headers["Connection"] == "close"
        await client.assert_closed()


async def test_an_upgrade_is_declined(store: PieceStore) -> None:
    framed = await filled(store, b"text")
    async with serving(store.find) as port, port.client() as client:
        for _ in range(2):
            response = await client.get("Connection: Upgrade", "Upgrade: h2c")
            assert response.status == 200
            assert response.body == framed


async def test_a_client_that_sends_eof_early_is_answered(store: PieceStore) -> None:
    framed = await filled(store, os.urandom(MIB))
    async with serving(store.find) as port, port.client() as client:
        await client.send()
        await client.stream.send_eof()
        assert (await client.receive()).body == framed
        await client.assert_closed()


# Disk


async def test_cold_bytes_are_read_ahead(
    store: PieceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    framed = await filled(store, os.urandom(3 * MIB))
    file = store.find(TASK)
    assert file is not None
    asked: list[tuple[int, int]] = []

    def cold(fd: int, start: int, stop: int) -> bool:
        asked.append((start, stop))
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return False

    monkeypatch.setattr(transfer, "is_resident", cold)
    async with serving(store.find) as port, port.client() as client:
        assert (await client.get()).body == framed
    assert asked[0] == (0, transfer.CHUNK)
    assert asked[-1][1] == len(framed)


async def test_a_transfer_survives_the_discard(store: PieceStore) -> None:
    framed = await filled(store, os.urandom(16 * MIB))
    async with serving(store.find) as port, port.client(slow=True) as client:
        await client.send()
        await client.stream.receive_some(1)
        file = store.find(TASK)
        assert file
        await store.discard(file)
        rest = bytearray()
        while not rest.endswith(framed[-1000:]):
            rest += await client.stream.receive_some()
        assert rest.endswith(framed)
        assert (await client.get()).status == 404


@fault(
    Group.DISK,
    "a cached file is cut short while it is served",
    GoesOn(says="cannot read a piece file", does="the answer is broken off, others go on"),
)
async def test_a_truncated_file_breaks_the_answer_off(store: PieceStore, seen: Seen) -> None:
    await filled(store, bytes(2 * MIB))
    file = store.find(TASK)
    assert file is not None
    os.truncate(file.path, MIB)
    with structlog.testing.capture_logs() as logs:
        async with serving(store.find) as port, port.client() as client:
            with pytest.raises((AssertionError, trio.BrokenResourceError)):
                await client.get()
            async with port.client() as other:
                assert (await other.get("Range: bytes=0-99")).status == 206
    (complaint,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert complaint["reason"] == "disk_error"
    seen(GoesOn(says=complaint["event"]))


# Whom it cuts, and what does not matter


def above_debug(logs: Logs) -> Logs:
    return [entry for entry in logs if entry["log_level"] != "debug"]


async def test_bare_connections_are_normal(store: PieceStore) -> None:
    framed = await filled(store, b"text")
    with structlog.testing.capture_logs() as logs:
        async with serving(store.find, max_connections=3) as port:
            for _ in range(20):
                async with port.client():
                    pass
            async with port.client() as client:
                assert (await client.get()).body == framed
    assert above_debug(logs) == []


async def test_a_client_that_hangs_up_does_no_harm(store: PieceStore) -> None:
    framed = await filled(store, os.urandom(16 * MIB))
    with structlog.testing.capture_logs() as logs:
        async with serving(store.find, max_connections=1) as port:
            async with port.client(slow=True) as client:
                await client.send()
                await client.stream.receive_some(1)
            async with port.client() as client:
                assert (await client.get()).body == framed
    assert above_debug(logs) == []


async def test_a_defect_stays_on_its_connection(store: PieceStore) -> None:
    def find(task: TaskId) -> PieceFile | None:
        if task == TASK:
            return store.find(task)
        raise RuntimeError("a defect")

    framed = await filled(store, b"text")
    with structlog.testing.capture_logs() as logs:
        async with serving(find) as port, port.client() as other:
            async with port.client() as client:
                await client.send(path=download_path(TaskId("f" * 64)))
                await client.assert_closed()
            assert (await other.get()).body == framed
    (entry,) = above_debug(logs)
    assert entry["event"] == "connection failed"
    assert entry["exc_info"]


async def test_a_stalled_client_is_cut(store: PieceStore) -> None:
    framed = await filled(store, os.urandom(16 * MIB))
    with structlog.testing.capture_logs() as logs:
        async with (
            serving(store.find, max_connections=1, stall_timeout=0.2) as port,
            port.client(slow=True) as stalled,
        ):
            await stalled.send()
            await stalled.stream.receive_some(1)
            async with port.client() as newcomer:
                # There is room for one: the answer means that the stalled one is gone.
                assert (await newcomer.get()).body == framed
            with pytest.raises(trio.BrokenResourceError):
                await stalled.rest()
    (entry,) = above_debug(logs)
    assert entry["event"] == "client stalled"
    assert entry["peer"] == "127.0.0.1"


async def test_a_slow_client_is_not_cut(store: PieceStore) -> None:
    framed = await filled(store, os.urandom(16 * MIB))
    async with serving(store.find, stall_timeout=0.6) as port, port.client(slow=True) as client:
        await client.send("Connection: close")
        for _ in range(20):  # 2 s at a pace that frees the socket's buffer only slowly
            await trio.sleep(0.1)
            await client.stream.receive_some(16 * 1024)
            await client.stream.receive_some(16 * 1024)
        assert (await client.rest()).endswith(framed[-MIB:])


async def drip(stream: trio.SocketStream) -> None:
    """Send header after header of a request, never the last."""
    with suppress(trio.BrokenResourceError):
        await stream.send_all(b"GET / HTTP/1.1\r\n")
        while True:
            await stream.send_all(b"Host: x\r\n")
            await trio.sleep(0.01)


async def test_an_idle_connection_is_closed(store: PieceStore) -> None:
    await filled(store, b"text")
    async with serving(store.find, idle_timeout=0.1) as port:
        async with port.client() as silent:
            await silent.assert_closed()
        async with port.client() as once:
            assert (await once.get()).status == 200
            await once.assert_closed()
        async with port.client() as unfinished, trio.open_nursery() as nursery:
            nursery.start_soon(drip, unfinished.stream)
            with suppress(trio.BrokenResourceError):
                assert await unfinished.stream.receive_some() == b""
            nursery.cancel_scope.cancel()


async def test_the_longest_idle_makes_room(store: PieceStore) -> None:
    await filled(store, b"text")
    async with (
        serving(store.find, max_connections=2) as port,
        port.client() as first,
        port.client() as second,
    ):
        assert (await first.get()).status == 200
        assert (await second.get()).status == 200
        assert (await first.get()).status == 200  # so the second has been idle for longest
        async with port.client() as third:
            assert (await third.get()).status == 200
            await second.assert_closed()
            assert (await first.get()).status == 200


async def test_newcomers_wait_while_all_are_busy(store: PieceStore) -> None:
    framed = await filled(store, os.urandom(16 * MIB))
    async with serving(store.find, max_connections=1) as port, port.client(slow=True) as busy:
        await busy.send()
        await busy.stream.receive_some(1)
        async with port.client() as newcomer:
            await newcomer.send("Range: bytes=0-9")
            assert (await busy.rest()).endswith(framed)  # whole, and then closed to make room
            await busy.stream.aclose()
            assert (await newcomer.receive()).body == framed[:10]


async def test_a_client_at_its_limit_makes_room_with_its_own_longest_idle(
    store: PieceStore,
) -> None:
    await filled(store, b"text")
    async with (
        serving(store.find, max_connections_per_client=2) as port,
        port.client(address="127.0.0.2") as neighbour,
        port.client() as first,
        port.client() as second,
    ):
        for client in (neighbour, first, second):  # the neighbour has been idle for longest
            assert (await client.get()).status == 200
        async with port.client() as third:
            assert (await third.get()).status == 200
            await first.assert_closed()
            assert (await second.get()).status == 200
            assert (await neighbour.get()).status == 200


async def test_a_client_with_nothing_idle_is_refused_and_others_are_served(
    store: PieceStore,
) -> None:
    framed = await filled(store, os.urandom(16 * MIB))
    async with (
        serving(store.find, max_connections_per_client=1) as port,
        port.client(slow=True) as busy,
    ):
        await busy.send("Connection: close")
        await busy.stream.receive_some(1)
        async with port.client() as newcomer:
            refusal = await newcomer.get()
            assert refusal.status == 503
            assert refusal.headers["Retry-After"] == "1"
            await newcomer.assert_closed()
        async with port.client(address="127.0.0.2") as neighbour:
            assert (await neighbour.get("Range: bytes=0-9")).body == framed[:10]
        assert (await busy.rest()).endswith(framed[-MIB:])  # its transfer goes on


async def test_running_out_of_descriptors_is_survived(
    store: PieceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    framed = await filled(store, b"text")
    failures = [errno.EMFILE, errno.ENFILE]

    def disturb(listener: trio.SocketListener) -> None:
        accept = listener.accept

        async def fails_at_first() -> trio.SocketStream:
            if failures:
                code = failures.pop()
                raise OSError(code, os.strerror(code))
            return await accept()

        monkeypatch.setattr(listener, "accept", fails_at_first)

    with structlog.testing.capture_logs() as logs:
        async with serving(store.find, disturb=disturb) as port, port.client() as client:
            assert (await client.get()).body == framed
    assert failures == []
    assert [entry["event"] for entry in above_debug(logs)] == ["cannot accept"] * 2


# Ending


async def test_shut_closes_the_idle_and_lets_transfers_end(store: PieceStore) -> None:
    framed = await filled(store, os.urandom(16 * MIB))
    async with (
        serving(store.find, drain_timeout=10) as port,
        port.client(slow=True) as busy,
        port.client() as idle,
    ):
        assert (await idle.get("Range: bytes=0-9")).status == 206
        await busy.send()
        await busy.stream.receive_some(1)
        port.shut()
        port.shut()
        await idle.assert_closed()
        with trio.socket.socket() as late, pytest.raises(ConnectionRefusedError):
            await late.connect(("127.0.0.1", port.number))
        assert (await busy.rest()).endswith(framed)


async def test_shut_cuts_what_takes_too_long(store: PieceStore) -> None:
    await filled(store, os.urandom(16 * MIB))
    async with serving(store.find, drain_timeout=0.1) as port, port.client(slow=True) as client:
        await client.send()
        await client.stream.receive_some(1)
        port.shut()
        await port.ended.wait()
        with pytest.raises(trio.BrokenResourceError):
            await client.rest()


async def test_shut_before_run(store: PieceStore) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = DataPort(
        listeners,
        store.find,
        max_connections=1,
        stall_timeout=1,
        idle_timeout=1,
        drain_timeout=1,
    )
    port.shut()
    with trio.fail_after(10):
        await port.run()
    assert listeners[0].socket.fileno() == -1


async def test_cancelling_cuts_everything(store: PieceStore) -> None:
    await filled(store, os.urandom(16 * MIB))
    async with (
        serving(store.find, drain_timeout=10) as port,
        port.client(slow=True) as busy,
        port.client() as idle,
    ):
        assert (await idle.get("Range: bytes=0-9")).status == 206
        await busy.send()
        await busy.stream.receive_some(1)
        port.cancel()
        await port.ended.wait()
        await idle.assert_closed()
        with pytest.raises(trio.BrokenResourceError):
            await busy.rest()
