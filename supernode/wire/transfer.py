"""Sends part of a piece file to a socket: kernel to kernel, without ever stalling the loop."""

import errno
import fcntl
import os
import struct
import termios

import trio

from supernode.core.reasons import Reason
from supernode.storage.errors import StoreError
from supernode.storage.page_cache import is_resident
from supernode.storage.piece_files import PieceFile

CHUNK = 256 * 1024
"""Bytes of one ``sendfile``. More gains little and makes every other task wait longer."""


class Stalled(Exception):
    """The client has not accepted a byte for too long."""


async def send_part(
    sock: trio.socket.SocketType,
    file: PieceFile,
    fd: int,
    start: int,
    stop: int,
    *,
    stall_timeout: float,
) -> None:
    """Send part of a file.

    Args:
        sock: where to.
        file: the piece file.
        fd: its descriptor.
        start: offset of the first byte.
        stop: offset behind the last byte.
        stall_timeout: how long the client may accept nothing, in seconds.

    Raises:
        Stalled: it did so for longer.
        StoreError: the disk failed; the client has got less than it was promised.
        OSError: the connection broke.
    """
    while start < stop:
        end = min(start + CHUNK, stop)
        if not is_resident(fd, start, end):
            await file.read_ahead(fd, start, end)
        start += _send_now(sock, fd, start, end - start)
        if start < end:
            await _room(sock, stall_timeout)
        else:
            await trio.lowlevel.checkpoint()


def _send_now(sock: trio.socket.SocketType, fd: int, offset: int, count: int) -> int:
    try:
        sent = os.sendfile(sock.fileno(), fd, offset, count)
    except BlockingIOError:
        return 0
    except OSError as error:
        if error.errno == errno.EIO:
            raise StoreError(Reason.DISK_ERROR, "a piece file cannot be read") from error
        raise
    if not sent:
        raise StoreError(Reason.DISK_ERROR, "a piece file is shorter than it was")
    return sent


async def _room(sock: trio.socket.SocketType, stall_timeout: float) -> None:
    # The kernel calls a socket writable only when a good part of its buffer is free, which a slow
    # client takes long for. Whether it takes anything shows in the bytes not yet acknowledged.
    queued = _unacknowledged(sock)
    while True:
        with trio.move_on_after(stall_timeout):
            await trio.lowlevel.wait_writable(sock)
            return
        left = _unacknowledged(sock)
        if left >= queued:
            raise Stalled
        queued = left


def _unacknowledged(sock: trio.socket.SocketType) -> int:
    count: int = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    return count
