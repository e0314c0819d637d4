"""The uploader of a dfget 1.0: frames what is in its file, whatever that is.

It knows nothing of which pieces have been written: a range beyond the end of the file is cut short,
and a hole in it is zeros.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import trio

from supernode.core.pieces import FRAME_BYTES, TRAILER, frame_header
from tests.integration.http_stub import StubAnswer, StubRequest, stub_on

LEAST_PORT = 15000


@dataclass
class Uploader:
    """Serves files to others, each under its name.

    Args:
        corrupt: whether it serves wrong bytes.
    """

    ip: str = "127.0.0.1"
    corrupt: bool = False
    port: int = 0
    files: dict[str, Path] = field(default_factory=dict)
    served: int = 0
    """Pieces."""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until ``scope`` is cancelled, as if killed."""
        with self.scope:
            async with stub_on(await self._listener(), self.answer):
                task_status.started()
                await trio.sleep_forever()

    async def _listener(self) -> trio.SocketListener:
        while self.port < LEAST_PORT:
            (listener,) = await trio.open_tcp_listeners(0, host=self.ip)
            self.port = listener.socket.getsockname()[1]
            if self.port < LEAST_PORT:
                await listener.aclose()
        return listener

    async def answer(self, request: StubRequest) -> StubAnswer:
        path = self.files.get(request.target.removeprefix("/peer/file/"))
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
        number, size = request.headers.get("piecenum", ""), request.headers.get("piecesize", "")
        if path is None:
            return 500, b"no such task file"
        if not wanted or not number.isdigit() or not size.isdigit():
            return 400, b"invalid params"
        try:
            return self._piece(path, int(wanted[1]), int(wanted[2]), int(number), int(size))
        except FileNotFoundError:
            return 404, b"gone"

    def _piece(self, path: Path, first: int, last: int, number: int, size: int) -> StubAnswer:
        start, length = first - FRAME_BYTES * number, last - first + 1 - FRAME_BYTES
        with path.open("rb") as file:
            there = os.fstat(file.fileno()).st_size
            if start >= there and there:
                return 416, b"range not satisfiable"
            content = os.pread(file.fileno(), min(length, there - start), start)
        if self.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.served += 1
        return 206, frame_header(len(content), size) + content + TRAILER
