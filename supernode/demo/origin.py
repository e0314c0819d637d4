"""The origin: serves one file over HTTP and counts every byte of it that it sends."""

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

LONGEST_HEAD = 16 << 10
STALL_SECONDS = 30.0
SEND_BYTES = 256 << 10
BLOCK_BYTES = 1 << 20
HOP_BLOCKS = 32


async def write_file(path: Path, size: int) -> str:
    """Write ``size`` random bytes; return their sha256, hex. On cancel the file is incomplete."""
    digest = hashlib.sha256()
    hop = BLOCK_BYTES * HOP_BLOCKS

    def write(amount: int) -> None:
        for start in range(0, amount, BLOCK_BYTES):
            block = os.urandom(min(BLOCK_BYTES, amount - start))
            digest.update(block)
            file.write(block)

    with path.open("wb") as file:
        for start in range(0, size, hop):
            await trio.to_thread.run_sync(write, min(hop, size - start))
    return digest.hexdigest()


async def serve(
    path: Path,
    count: Callable[[int], None],
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer every GET with the whole file until cancelled; started() tells the port.

    Args:
        path: the file, which does not change.
        count: called with the number of content bytes whenever some were sent.
    """
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, partial(_answer, path, count), listeners))
        task_status.started(port)


async def _answer(path: Path, count: Callable[[int], None], stream: trio.SocketStream) -> None:
    """Answer one request and close; a client that goes away or stalls is not our trouble."""
    try:
        with trio.fail_after(STALL_SECONDS):
            method = await _method(stream)
        if method == b"GET":
            with path.open("rb") as file:
                await _send(stream, file.fileno(), count)
        else:
            await stream.send_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
    except (OSError, trio.BrokenResourceError, trio.TooSlowError):
        pass
    finally:
        await stream.aclose()


async def _method(stream: trio.SocketStream) -> bytes:
    """Read one request's head; return its method, empty if there is no such head."""
    head = bytearray()
    while b"\r\n\r\n" not in head:
        data = await stream.receive_some()
        if not data or len(head) > LONGEST_HEAD:
            return b""
        head += data
    return bytes(head.split(b" ", 1)[0])


async def _send(stream: trio.SocketStream, file: int, count: Callable[[int], None]) -> None:
    size, offset = os.fstat(file).st_size, 0
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    await stream.send_all(head.encode())
    while offset < size:
        try:
            sent = os.sendfile(stream.socket.fileno(), file, offset, SEND_BYTES)
        except BlockingIOError:
            with trio.fail_after(STALL_SECONDS):
                await trio.lowlevel.wait_writable(stream.socket)
            continue
        offset += sent
        count(sent)
        await trio.lowlevel.checkpoint()
