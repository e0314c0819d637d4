"""The uploader's HTTP side."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from supernode.core.pieces import TRAILER, content_size, frame_header, piece_range
from supernode.dfget.http import HttpClient, HttpError, StatusError
from supernode.dfget.options import Node
from supernode.dfget.piece_server import PieceServer
from supernode.dfget.rate import TokenBucket
from supernode.dfget.shelf import SharedFile, Shelf
from supernode.dfget.supernode import TaskRequest

SIZE = 1 << 20
CONTENT = bytes(range(256)) * (content_size(SIZE) * 5 // 2 // 256)


class Served:
    """A piece server with one file ``f`` of two and a half pieces."""

    def __init__(self, folder: Path, limit: float = 0) -> None:
        data = folder / "f"
        data.write_bytes(CONTENT)
        self.shelf = Shelf()
        self.file = SharedFile(
            name="f",
            data=data,
            piece_size=SIZE,
            node=Node("127.0.0.1"),
            task="",
            request=TaskRequest(raw_url="", client="", path=""),
            expire_time=60,
            used_at=0,
        )
        self.shelf.add(self.file)
        self.spoiled: list[SharedFile] = []
        self.limit = TokenBucket(limit)
        self.server = PieceServer(self.shelf, self.limit, self.spoil)
        self.http = HttpClient()
        self.port = 0

    def spoil(self, file: SharedFile) -> None:
        self.spoiled.append(file)

    def have(self, *numbers: int) -> None:
        for number in numbers:
            self.file.pieces[number] = len(self.piece(number)) - 5

    def piece(self, number: int) -> bytes:
        content = CONTENT[number * content_size(SIZE) : (number + 1) * content_size(SIZE)]
        return frame_header(len(content), SIZE) + content + TRAILER

    async def fetch(self, wanted: str, path: str = "/peer/file/f") -> bytes:
        into = bytearray(SIZE)
        address = ("127.0.0.1", self.port)
        received = await self.http.fetch(
            *(address, path, wanted, memoryview(into)), stall=5, total=9, limit=TokenBucket(0)
        )
        return bytes(into[:received])


@asynccontextmanager
async def served(folder: Path, limit: float = 0) -> AsyncIterator[Served]:
    it = Served(folder, limit)
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    it.port = listener.socket.getsockname()[1]
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.server.run, listener)
            try:
                yield it
            finally:
                it.http.close()
            nursery.cancel_scope.cancel()


async def test_pieces_come_framed_as_from_the_seed(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        it.have(0, 1, 2)
        for number in (2, 0, 1):
            assert await it.fetch(piece_range(number, SIZE)) == it.piece(number)


async def test_a_piece_is_served_as_soon_as_it_is_there(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        with pytest.raises(StatusError) as caught:
            await it.fetch(piece_range(1, SIZE))
        assert caught.value.status == 416
        it.have(1)
        assert await it.fetch(piece_range(1, SIZE)) == it.piece(1)


@pytest.mark.parametrize("wanted", ["0-10", "1-1048576", "0-2097151", "x-y", "-5", ""])
async def test_what_is_not_one_piece_is_not_served(wanted: str, tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        it.have(0, 1, 2)
        with pytest.raises(StatusError) as caught:
            await it.fetch(wanted)
        assert caught.value.status == 416


@pytest.mark.parametrize("path", ["/peer/file/g", "/peer/file/../f", "/", "/peer/file/"])
async def test_unknown_names(path: str, tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        it.have(0)
        with pytest.raises(StatusError) as caught:
            await it.fetch(piece_range(0, SIZE), path)
        assert caught.value.status == 404


async def test_once_finished_an_edited_file_is_given_up(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        it.have(0, 1, 2)
        it.file.finish()
        assert await it.fetch(piece_range(0, SIZE)) == it.piece(0)
        with it.file.data.open("ab") as file:
            file.write(b"the user goes on writing")
        with pytest.raises(StatusError) as caught:
            await it.fetch(piece_range(0, SIZE))
        assert caught.value.status == 404
        assert it.spoiled == [it.file]


async def test_a_file_cut_short_breaks_the_answer_off(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        it.have(1)
        it.file.data.write_bytes(CONTENT[: content_size(SIZE) + 100])
        with pytest.raises(HttpError, match="ended after"):
            await it.fetch(piece_range(1, SIZE))


async def test_the_head_names_the_range_and_the_total_when_it_is_known(tmp_path: Path) -> None:
    async def head(it: Served) -> bytes:
        stream = await trio.open_tcp_stream("127.0.0.1", it.port)
        async with stream:
            await stream.send_all(
                b"GET /peer/file/f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                b"Range: bytes=" + piece_range(2, SIZE).encode() + b"\r\n\r\n"
            )
            received = b""
            async for data in stream:
                received += data
            return received.partition(b"\r\n\r\n")[0]

    async with served(tmp_path) as it:
        it.have(0, 1, 2)
        last = len(CONTENT) + 3 * 5
        span = f"bytes {2 * SIZE}-{last - 1}"
        assert f"Content-Range: {span}/*".encode() in await head(it)
        it.file.finish()
        assert f"Content-Range: {span}/{last}".encode() in await head(it)


async def test_ping_and_other_methods(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        address = ("127.0.0.1", it.port)
        answer = await it.http.request(address, "GET", "/server/ping", timeout=5)
        assert (answer.status, bytes(answer.body)) == (200, b"success")
        answer = await it.http.request(address, "DELETE", "/peer/file/f", timeout=5)
        assert answer.status == 405


async def test_all_uploads_share_the_limit(tmp_path: Path) -> None:
    async with served(tmp_path, limit=4 * SIZE) as it:
        it.have(0, 1)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.fetch, piece_range(0, SIZE))
            nursery.start_soon(it.fetch, piece_range(1, SIZE))
        assert trio.current_time() - began > 0.3  # it cannot be faster: 2 MiB at 4 MiB/s


async def said(it: Served, *requests: bytes) -> bytes:
    """Send requests on one connection, at once, and return all that comes back."""
    async with await trio.open_tcp_stream("127.0.0.1", it.port) as stream:
        await stream.send_all(b"".join(requests))
        return b"".join([data async for data in stream])


PING = b"GET /server/ping HTTP/1.1\r\nHost: x\r\n%s\r\n"


async def test_requests_sent_at_once_are_answered_one_by_one(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        answers = await said(it, PING % b"", PING % b"X: y\r\n", PING % b"Connection: close\r\n")
        assert answers.count(b"200 OK") == 3


async def test_an_upgrade_is_declined(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        upgrade = PING % b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
        answers = await said(it, upgrade, PING % b"Connection: close\r\n")
        assert answers.count(b"200 OK") == 2


@pytest.mark.parametrize(
    ("request_", "answers"),
    [
        (PING % b"Content-Length: 4\r\n" + b"body", b"HTTP/1.1 200 OK"),
        (PING % b"X: " + b"x" * 20_000, b""),
        (b"SSH-2.0-OpenSSH_9.2\r\n", b""),
    ],
    ids=["body", "endless head", "not HTTP"],
)
async def test_other_requests_end_the_connection(
    request_: bytes, answers: bytes, tmp_path: Path
) -> None:
    async with served(tmp_path) as it, await trio.open_tcp_stream("127.0.0.1", it.port) as stream:
        await stream.send_all(request_)
        received = b""
        with contextlib.suppress(trio.BrokenResourceError):
            async for data in stream:
                received += data
        assert received.partition(b"\r\n")[0] == answers


async def test_a_crash_ends_one_connection_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path) as it:
        it.have(0)
        it.file.data.unlink()

        def crash(_: SharedFile) -> None:
            raise RuntimeError("a defect")

        it.server._spoiled = crash
        with pytest.raises(HttpError, match="connection closed"):
            await it.fetch(piece_range(0, SIZE))
        assert "a defect" in caplog.text
        assert (await said(it, PING % b"Connection: close\r\n")).startswith(b"HTTP/1.1 200")


async def test_a_piece_counts_as_use_from_its_first_byte_on(tmp_path: Path) -> None:
    async with served(tmp_path, limit=1000) as it:
        it.have(0)
        it.server.worked_at = 0
        async with await trio.open_tcp_stream("127.0.0.1", it.port) as stream:
            wanted = piece_range(0, SIZE).encode()
            await stream.send_all(
                PING.replace(b"server/ping", b"peer/file/f") % (b"Range: bytes=" + wanted + b"\r\n")
            )
            assert await stream.receive_some()
            assert it.file.used_at > 0
            assert it.server.worked_at > 0
