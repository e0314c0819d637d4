"""The demo's origin: what it sends, and that it counts what it sends."""

import hashlib
from pathlib import Path

import httpx2
import trio

from supernode.demo.origin import serve, write_file

SIZE = 3_000_001


async def test_the_file_is_as_long_as_asked_for_and_known_by_its_digest(tmp_path: Path) -> None:
    with trio.fail_after(10):
        digest = await write_file(tmp_path / "file", SIZE)
        other = await write_file(tmp_path / "other", SIZE)
    content = (tmp_path / "file").read_bytes()
    assert len(content) == SIZE
    assert digest == hashlib.sha256(content).hexdigest()
    assert digest != other


async def test_every_byte_of_content_is_counted(tmp_path: Path) -> None:
    sent: list[int] = []
    with trio.fail_after(10):
        digest = await write_file(tmp_path / "file", SIZE)
        async with trio.open_nursery() as nursery, httpx2.AsyncClient() as client:
            port = await nursery.start(serve, tmp_path / "file", sent.append)
            for round_number in (1, 2):
                answer = await client.get(f"http://127.0.0.1:{port}/file")
                assert answer.status_code == 200
                assert hashlib.sha256(answer.content).hexdigest() == digest
                assert sum(sent) == round_number * SIZE
            nursery.cancel_scope.cancel()


async def test_other_methods_get_no_content(tmp_path: Path) -> None:
    sent: list[int] = []
    (tmp_path / "file").write_bytes(b"content")
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery, httpx2.AsyncClient() as client:
            port = await nursery.start(serve, tmp_path / "file", sent.append)
            answer = await client.head(f"http://127.0.0.1:{port}/file")
            assert answer.status_code == 405
            nursery.cancel_scope.cancel()
    assert not sent


async def test_a_client_that_goes_away_does_not_end_it(tmp_path: Path) -> None:
    sent: list[int] = []
    with trio.fail_after(10):
        await write_file(tmp_path / "file", 64 << 20)
        async with trio.open_nursery() as nursery:
            port = await nursery.start(serve, tmp_path / "file", sent.append)
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(b"GET /file HTTP/1.1\r\n\r\n")
                await stream.receive_some(1000)
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(b"GET /file HTTP/1.1\r\n\r\n")
                assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 200 OK\r\n")
            nursery.cancel_scope.cancel()
    assert sum(sent) < 64 << 20
