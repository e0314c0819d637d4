"""How a downloader finds the uploader of its home, and what the two say to each other.

A Unix socket carries JSON lines: the downloader sends a message, the uploader answers each with a
:class:`Reply`. When the connection ends before :class:`Finished`, the uploader forgets the file.

The lock file ``<home>/uploader.lock`` is held locked by the one uploader of a home and says where
its socket is; it is empty while there is none, or while one is coming or leaving.
"""

import fcntl
import os
from pathlib import Path

import msgspec
import trio

from supernode.dfget.supernode import PeerRequest, TaskRequest

LONGEST_LINE = 1 << 20


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """A download begins; the reply says where the uploader listens.

    Args:
        alive_time: seconds that an idle uploader is to stay; the longest asked for counts.
        total_limit: bytes/s for all uploads, 0: none; the latest asked for counts.
    """

    alive_time: float
    total_limit: int


class Joined(msgspec.Struct, frozen=True, tag="joined"):
    """This peer is registered at a supernode; the uploader is to sign it off when it leaves.

    Args:
        again: the supernode had forgotten a download, so it may have forgotten our files, too.
    """

    host: str
    port: int
    peer: PeerRequest
    peer_id: str
    tls: bool
    again: bool


class Share(msgspec.Struct, frozen=True, tag="share"):
    """A file of which pieces will come. Replaces what this connection shared before.

    Args:
        name: what peers call it: the last part of the path they ask for.
        data: its raw content.
        expire_time: seconds to share it after its last use.
    """

    name: str
    data: str
    piece_size: int
    host: str
    port: int
    task: str
    request: TaskRequest
    expire_time: float
    tls: bool


class Piece(msgspec.Struct, frozen=True, tag="piece"):
    """A verified piece stands in the file; ``length`` is its content's."""

    number: int
    length: int


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The file is whole; the uploader owns it from now on."""


Message = Hello | Joined | Share | Piece | Finished


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to each message; ``error`` is empty if all is well.

    Args:
        ip: the address the uploader is bound to; empty: every one.
        port: where it serves pieces.
    """

    error: str = ""
    ip: str = ""
    port: int = 0


class BadLine(Exception):
    """The other side does not speak this protocol."""


class Lines:
    """JSON lines over a stream; a line that is too long ends it."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._received = bytearray()

    async def send(self, message: Message | Reply) -> None:
        """Send one line. Raises trio.BrokenResourceError."""
        await self._stream.send_all(msgspec.json.encode(message) + b"\n")

    async def receive(self) -> bytes:
        """Return the next line; nothing: the other side has gone.

        Raises:
            BadLine: it is too long.
            trio.BrokenResourceError: the connection broke.
        """
        while (end := self._received.find(b"\n")) < 0:
            if len(self._received) > LONGEST_LINE:
                raise BadLine("line too long")
            data = await self._stream.receive_some()
            if not data:
                return b""
            self._received += data
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line


class Whereabouts(msgspec.Struct, frozen=True):
    """What the lock file says."""

    pid: int
    socket: str
    port: int


class UploaderLock:
    """The right to be the uploader of a home; given back when the process ends."""

    def __init__(self, home: Path) -> None:
        self._file = os.open(home / "uploader.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def acquire(self) -> bool:
        """Try to get the lock; tell whether it is ours."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        os.ftruncate(self._file, 0)  # what a killed predecessor left is no longer true
        return True

    def publish(self, whereabouts: Whereabouts) -> None:
        """Say where we are; from now on downloaders come."""
        os.pwrite(self._file, msgspec.json.encode(whereabouts), 0)

    def retract(self) -> None:
        """Say that we are leaving."""
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._file)


def whereabouts(home: Path) -> Whereabouts | None:
    """Return where the uploader of a home says it is; it may be gone all the same."""
    try:
        text = (home / "uploader.lock").read_bytes()
        return msgspec.json.decode(text, type=Whereabouts)
    except (OSError, msgspec.MsgspecError):
        return None
