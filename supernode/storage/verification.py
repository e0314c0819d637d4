"""Is what lies on disk still what was written there? Blocks: for threads."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from supernode.core.pieces import (
    FRAME_BYTES,
    TRAILER,
    FramingError,
    PieceDigest,
    digest_length,
    digest_of,
    frame_header,
    unframe,
)
from supernode.storage.errors import Damaged, Gone


class Digester(Protocol):
    """What is given content, in order, to digest it; as those of :mod:`hashlib`."""

    def update(self, content: memoryview, /) -> None:
        """Take what comes next into account."""
        ...


def check_frames(
    path: Path, piece_size: int, lengths: Sequence[int], framed_length: int | None
) -> None:
    """Check the frames of a file's pieces, and its length, but no content.

    One read of five bytes a piece: it finds whatever was cut off, shifted or never written, not
    a bit that has flipped.

    Args:
        path: of the piece file.
        piece_size: framed bytes from one piece to the next.
        lengths: framed bytes of the pieces that are there, from the first on.
        framed_length: of the whole file; None: not known.

    Raises:
        Damaged: something is not as it should be.
        OSError: the disk failed.
    """
    last = len(lengths) - 1
    end = last * piece_size + lengths[last]
    with _opened(path) as fd:
        stored = os.fstat(fd).st_size
        if stored < end or (end == framed_length and stored > end):
            raise Damaged(f"the file has {stored} bytes, not {end}")
        for number, length in enumerate(lengths):
            header = frame_header(length - FRAME_BYTES, piece_size)
            edge = TRAILER + header if number else header
            if os.pread(fd, len(edge), max(number * piece_size - 1, 0)) != edge:
                raise Damaged(f"piece {number} does not begin where it should")
        if os.pread(fd, 1, end - 1) != TRAILER:
            raise Damaged(f"piece {last} does not end where it should")


def check_piece(
    path: Path, offset: int, piece_size: int, digest: PieceDigest, whole: Digester | None
) -> None:
    """Check one piece: its frame, its length, its MD5. Takes about 2 ms a MiB.

    Args:
        path: of the piece file.
        offset: where the piece begins.
        piece_size: framed bytes from one piece to the next.
        digest: what it must have.
        whole: is given the content.

    Raises:
        Damaged: something is not as it should be.
        OSError: the disk failed.
    """
    number = offset // piece_size
    with _opened(path) as fd:
        framed = os.pread(fd, digest_length(digest), offset)
    try:
        content = unframe(memoryview(framed), piece_size)
    except FramingError as error:
        raise Damaged(f"piece {number}: {error}") from None
    found = digest_of(framed)
    if found != digest:
        raise Damaged(f"piece {number} has the digest {found}, not {digest}")
    if whole is not None:
        whole.update(content)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open for one look: what is only being verified must not push others out of the pool."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise Gone("the file is gone") from None
    try:
        yield fd
    finally:
        os.close(fd)
