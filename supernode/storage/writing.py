"""Writing a piece: digested on the way, whole although the disk may take less at a time."""

import errno
import hashlib
import os
from collections import deque
from collections.abc import Sequence

from supernode.core.pieces import PieceDigest, piece_digest

Chunk = bytes | bytearray | memoryview

_MOST_BUFFERS = 1024
"""How many buffers one ``pwritev`` takes: IOV_MAX on Linux."""


def digest_and_write(fd: int, offset: int, framed: Sequence[Chunk]) -> PieceDigest:
    """Write one framed piece, cut anyhow, and return its digest. Blocks: for a thread.

    Raises:
        OSError: the disk did not take it.
    """
    md5 = hashlib.md5()
    length = 0
    for part in framed:
        md5.update(part)
        length += memoryview(part).nbytes
    _write_all(fd, offset, framed)
    return piece_digest(md5.hexdigest(), length)


def _write_all(fd: int, offset: int, parts: Sequence[Chunk]) -> None:
    rest = deque(memoryview(part).cast("B") for part in parts if len(part))
    while rest:
        count = os.pwritev(fd, [rest[i] for i in range(min(len(rest), _MOST_BUFFERS))], offset)
        if not count:
            raise OSError(errno.EIO, "the disk takes nothing")
        offset += count
        while rest and count >= len(rest[0]):
            count -= len(rest.popleft())
        if count:
            rest[0] = rest[0][count:]
