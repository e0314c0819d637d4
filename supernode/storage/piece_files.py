"""Piece files: the cache on disk, in Dragonfly v1's layout.

Owns ``<root>/download/<id[0:3]>/<id>``, where piece *n* lies framed at ``n * piece_size``, and the
sidecars that are written once a file is complete. Knows which pieces are *sealed*, that is, may be
served. Every access to the disk runs in a thread, and none is abandoned: a task that is cancelled
leaves no write behind that goes on unseen.
"""

import errno
import hashlib
import os
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import trio

from supernode.core.identity import TaskId, download_path
from supernode.core.pieces import TRAILER, PieceDigest, content_size, frame_header, piece_digest
from supernode.storage import page_cache
from supernode.storage.descriptors import DescriptorPool, SharedFile
from supernode.storage.errors import Discarded, disk_errors
from supernode.storage.sidecars import Provenance, md5_text, meta_json

Chunk = bytes | bytearray | memoryview

_READERS = 16
_WRITERS = 4
_MOST_BUFFERS = 1024
"""How many buffers one ``pwritev`` takes: IOV_MAX on Linux."""

_SIDECARS = (".meta", ".md5")
_UNFINISHED = ".new"


class PieceFile:
    """One task's pieces on disk. Made by :meth:`PieceStore.create`; one task writes, many read.

    Attributes:
        task: whose pieces these are.
        piece_size: framed bytes from the start of one piece to that of the next.
        path: where the pieces lie.
        sealed: bitset of the pieces that may be served.
        framed_length: framed bytes of the whole file; None while unknown.
        discarded: whether the store has let go of it.
    """

    def __init__(self, task: TaskId, piece_size: int, path: Path, disk: "_Disk") -> None:
        self.task = task
        self.piece_size = piece_size
        self.path = path
        self.sealed = 0
        self.framed_length: int | None = None
        self.discarded = False
        self._disk = disk
        self._file = SharedFile(path, disk.descriptors)
        self._digests: dict[int, PieceDigest] = {}

    @property
    def is_complete(self) -> bool:
        """Tell whether the length is known and every piece is sealed."""
        return self.framed_length is not None and self.covers(0, self.framed_length)

    def covers(self, start: int, stop: int) -> bool:
        """Tell whether ``[start, stop)`` is not empty and every byte of it is a sealed piece's."""
        end = self.sealed.bit_length() * self.piece_size
        if self.framed_length is not None:
            end = min(end, self.framed_length)
        if not 0 <= start < stop <= end:
            return False
        first, last = start // self.piece_size, (stop - 1) // self.piece_size
        wanted = (1 << last + 1) - (1 << first)
        return self.sealed & wanted == wanted

    def end_known(self, framed_length: int) -> None:
        """Take note of how long the whole file is, in framed bytes."""
        self.framed_length = framed_length

    def seal(self, number: int, framed_length: int) -> None:
        """Declare a piece good: from now on its ``framed_length`` bytes may be served.

        A piece shorter than ``piece_size`` is the last one and makes the file's length known.

        Raises:
            ValueError: the length contradicts what is known of the file.
        """
        end = number * self.piece_size + framed_length
        if framed_length < self.piece_size and self.framed_length is None:
            self.framed_length = end
        if framed_length != self.piece_size and end != self.framed_length:
            raise ValueError(f"piece {number} cannot have {framed_length} bytes")
        self.sealed |= 1 << number

    async def write(self, number: int, parts: Sequence[Chunk]) -> PieceDigest:
        """Frame, digest and write one piece in a single thread hop. It is not sealed by that.

        Args:
            number: the piece's.
            parts: its content, cut anyhow; nothing is copied together.

        Raises:
            ValueError: more content than a piece holds.
            Discarded: the file was discarded.
            StoreError: the disk did not take it.
        """
        length = sum(memoryview(part).nbytes for part in parts)
        if length > content_size(self.piece_size):
            raise ValueError(f"{length} bytes do not fit a piece of {self.piece_size}")
        framed = [frame_header(length, self.piece_size), *parts, TRAILER]
        offset = number * self.piece_size
        with disk_errors(f"writing piece {number}"):
            async with self._file.opened() as fd:
                digest = await trio.to_thread.run_sync(
                    _digest_and_write, fd, offset, framed, limiter=self._disk.writers
                )
        self._digests[number] = digest
        return digest

    async def complete(self, origin: Provenance) -> None:
        """Write ``.meta`` and ``.md5``, each whole or not at all.

        Raises:
            ValueError: the file is not complete.
            Discarded: the file was discarded.
            StoreError: the disk did not take it.
        """
        if self.framed_length is None or not self.is_complete:
            raise ValueError("not every piece is sealed")
        digests = [self._digests[number] for number in range(self.sealed.bit_length())]
        texts = {
            ".meta": meta_json(self.task, self.piece_size, self.framed_length, origin),
            ".md5": md5_text(digests, origin.real_md5),
        }
        async with self._disk.names:
            if self.discarded:
                raise Discarded(self.task)
            with disk_errors("completing a piece file"):
                await trio.to_thread.run_sync(
                    _write_sidecars, self.path, texts, limiter=self._disk.writers
                )

    def opened(self) -> AbstractAsyncContextManager[int]:
        """Lend a descriptor to read by; see :meth:`SharedFile.opened`."""
        return self._file.opened()

    async def read_ahead(self, fd: int, start: int, stop: int) -> None:
        """Bring ``[start, stop)`` into memory, in a thread.

        Raises:
            StoreError: the disk failed.
        """
        with disk_errors("reading a piece file"):
            await trio.to_thread.run_sync(
                page_cache.fetch, fd, start, stop, limiter=self._disk.readers
            )

    async def retire(self) -> None:
        """Take no new users. Those who have it open go on undisturbed."""
        self.discarded = True
        await self._file.retire()


class PieceStore:
    """All piece files below one directory. Knows only those that this process created.

    Args:
        root: ``<state>/repo``; made when first needed.
        idle_descriptors: how many files stay open while nobody uses them.
    """

    def __init__(self, root: Path, *, idle_descriptors: int = 128) -> None:
        self._root = root
        self._disk = _Disk(idle_descriptors)
        self._files: dict[TaskId, PieceFile] = {}

    def find(self, task: TaskId) -> PieceFile | None:
        """Return the file whose sealed pieces may be served now."""
        return self._files.get(task)

    async def create(self, task: TaskId, piece_size: int) -> PieceFile:
        """Make an empty file. Whatever was there before is unlinked; its readers are not disturbed.

        On cancel: either nothing has happened, or the new file is there.

        Raises:
            StoreError: the disk did not allow it.
        """
        async with self._disk.names:
            await self._forget(task)
            path = self._path(task)
            with disk_errors("creating a piece file"):
                await trio.to_thread.run_sync(_create, path, limiter=self._disk.writers)
            file = PieceFile(task, piece_size, path, self._disk)
            self._files[task] = file
            return file

    async def discard(self, task: TaskId) -> None:
        """Forget the file and unlink it with its sidecars. A file that is not there is no error.

        Raises:
            StoreError: the disk did not allow it.
        """
        with trio.CancelScope(shield=True):  # forgotten but still on disk, it would have no owner
            async with self._disk.names:
                await self._forget(task)
                with disk_errors("discarding a piece file"):
                    await trio.to_thread.run_sync(
                        _unlink, self._path(task), limiter=self._disk.writers
                    )

    async def _forget(self, task: TaskId) -> None:
        file = self._files.pop(task, None)
        if file is not None:
            await file.retire()

    def _path(self, task: TaskId) -> Path:
        return self._root / download_path(task)[1:]


class _Disk:
    """What the files of one store share."""

    def __init__(self, idle_descriptors: int) -> None:
        self.readers = trio.CapacityLimiter(_READERS)
        self.writers = trio.CapacityLimiter(_WRITERS)
        self.descriptors = DescriptorPool(idle_descriptors, self.readers)
        # Names are made and removed one after the other: a removal that comes late must not hit the
        # successor of the file it meant.
        self.names = trio.Lock()


# What follows runs in threads.


def _digest_and_write(fd: int, offset: int, framed: Sequence[Chunk]) -> PieceDigest:
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


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _unlink(path)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))


def _unlink(path: Path) -> None:
    for suffix in _SIDECARS:  # first, for they say that the file is complete
        path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.with_name(path.name + suffix + _UNFINISHED).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _write_sidecars(path: Path, texts: dict[str, bytes]) -> None:
    # Not flushed to the disk: a rename is atomic for every reader, and after a power loss the
    # digests tell what is good.
    for suffix, text in texts.items():
        unfinished = path.with_name(path.name + suffix + _UNFINISHED)
        try:
            unfinished.write_bytes(text)
            unfinished.rename(path.with_name(path.name + suffix))
        except OSError:
            with suppress(OSError):
                unfinished.unlink()
            raise
