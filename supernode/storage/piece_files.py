"""Piece files: the cache on disk, in Dragonfly v1's layout.

Owns ``<root>/download/<id[0:3]>/<id>``, where piece *n* lies framed at ``n * piece_size``, and the
sidecars that are written once a file is complete; finds what an earlier process completed. Knows
which pieces are *sealed*, that is, may be served. Every access to the disk runs in a thread, and
none is abandoned: a task that is cancelled leaves no write behind that goes on unseen.
"""

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

import trio

from supernode.core.identity import TaskId, download_path
from supernode.core.pieces import (
    TRAILER,
    PieceDigest,
    content_size,
    digest_length,
    frame_header,
)
from supernode.storage import (
    disk_space,
    inventory,
    page_cache,
    sharing,
    sidecars,
    verification,
    writing,
)
from supernode.storage.descriptors import DescriptorPool, SharedFile
from supernode.storage.disk_space import DiskUse
from supernode.storage.errors import Damaged, Discarded, StoreError, disk_errors
from supernode.storage.inventory import CachedFile, Inventory
from supernode.storage.sidecars import Provenance, md5_text, meta_json
from supernode.storage.verification import Digester
from supernode.storage.writing import Chunk

_AHEAD = 1 << 30
"""How many bytes of a file room is made for ahead: more than come before it is looked again, and
not what an origin merely says will come."""
_READERS = 16
_WRITERS = 4
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class PieceFile:
    """One task's pieces on disk; one task writes or verifies, many read.

    Made by :meth:`PieceStore.create`, or by :meth:`PieceStore.reopen` with nothing sealed.

    Attributes:
        task: whose pieces these are.
        piece_size: framed bytes from the start of one piece to that of the next.
        path: where the pieces lie.
        sealed: bitset of the pieces that may be served.
        framed_length: framed bytes of the whole file; None while unknown.
        stored: framed bytes that are on disk.
        origin: where it came from; None: it has no sidecars.
        discarded: whether the store has let go of it.
        inode: what files with the same content have in common that share it on disk; None: it
            shares with none.
    """

    def __init__(
        self,
        task: TaskId,
        piece_size: int,
        path: Path,
        disk: "_Disk",
        *,
        digests: Sequence[PieceDigest] = (),
        framed_length: int | None = None,
        origin: Provenance | None = None,
    ) -> None:
        self.task = task
        self.piece_size = piece_size
        self.path = path
        self.sealed = 0
        self.framed_length = framed_length
        self.stored = sum(map(digest_length, digests))
        self.origin = origin
        self.discarded = False
        self.inode: int | None = None
        self._disk = disk
        self._file = SharedFile(path, disk.descriptors)
        self._digests = dict(enumerate(digests))

    @property
    def is_complete(self) -> bool:
        """Tell whether the length is known and every piece is sealed."""
        return self.framed_length is not None and self.covers(0, self.framed_length)

    @property
    def expected(self) -> int:
        """How many framed bytes will still come, as far as that is known."""
        return max((self.framed_length or 0) - self.stored, 0)

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

    def unseal(self, number: int) -> None:
        """Serve a piece no longer: it is not what it was."""
        self.sealed &= ~(1 << number)

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
                    writing.digest_and_write, fd, offset, framed, limiter=self._disk.writers
                )
        if number not in self._digests:
            self.stored += digest_length(digest)
        self._digests[number] = digest
        return digest

    async def verify_frames(self) -> None:
        """Seal all known pieces of a reopened file if its length and their frames are right.

        Enough if nothing but this system can have touched the file since it was written.

        Raises:
            Damaged: they are not; nothing is sealed.
            Discarded: the file was discarded.
            StoreError: the disk failed.
        """
        await self._checked(
            "verifying a cached file",
            partial(
                verification.check_frames,
                self.path,
                self.piece_size,
                list(map(digest_length, self._digests.values())),
                self.framed_length,
            ),
        )
        self.sealed = (1 << len(self._digests)) - 1

    async def verify(self, number: int, whole: Digester | None = None) -> None:
        """Seal one piece of a reopened file if it is what its digest says.

        Args:
            number: the piece's.
            whole: is given the content.

        Raises:
            Damaged: it is not.
            Discarded: the file was discarded.
            StoreError: the disk failed.
        """
        digest = self._digests[number]
        offset = number * self.piece_size
        await self._checked(
            f"verifying piece {number}",
            partial(verification.check_piece, self.path, offset, self.piece_size, digest, whole),
        )
        self.seal(number, digest_length(digest))

    async def _checked(self, attempt: str, check: Callable[[], None]) -> None:
        """Run a check in a thread. What it says of a file that is discarded meanwhile is void."""

        def look() -> int | None:
            check()
            return sharing.shared_inode(self.path)

        try:
            with disk_errors(attempt):
                self.inode = await trio.to_thread.run_sync(look, limiter=self._disk.readers)
        except (Damaged, StoreError):
            if not self.discarded:
                raise
        if self.discarded:
            raise Discarded(self.task)

    async def complete(self, origin: Provenance) -> None:
        """Write ``.meta`` and ``.md5``, each whole or not at all.

        Raises:
            ValueError: the file is not complete.
            Discarded: the file was discarded.
            StoreError: the disk did not take it.
        """
        if not self.is_complete:
            raise ValueError("not every piece is sealed")
        digests = [self._digests[number] for number in range(self.sealed.bit_length())]
        await self._write_sidecars(
            {
                sidecars.META: self._meta(origin),
                sidecars.MD5: md5_text(digests, origin.real_md5),
            }
        )
        self.origin = origin

    async def note_access(self, accessed_ms: int) -> None:
        """Have ``.meta`` tell when the file was last used, in milliseconds since the epoch.

        Raises:
            ValueError: the file is not complete or has no sidecars.
            Discarded: the file was discarded.
            StoreError: the disk did not take it.
        """
        if self.origin is None or not self.is_complete:
            raise ValueError("not every piece is sealed and told of")
        origin = replace(self.origin, accessed_ms=accessed_ms)
        await self._write_sidecars({sidecars.META: self._meta(origin)})
        self.origin = origin

    def _meta(self, origin: Provenance) -> bytes:
        """Return the text of ``.meta``: it vouches for every piece as long as the system runs."""
        assert self.framed_length is not None
        boot_id = self._disk.boot_id
        return meta_json(self.task, self.piece_size, self.framed_length, origin, boot_id)

    async def _write_sidecars(self, texts: dict[str, bytes]) -> None:
        async with self._disk.names:
            if self.discarded:
                raise Discarded(self.task)
            with disk_errors("writing what is known of a piece file"):
                await trio.to_thread.run_sync(
                    sidecars.write, self.path, texts, limiter=self._disk.writers
                )

    def twin(self, task: TaskId, path: Path) -> "PieceFile":
        """Return a file of the same content, with nothing sealed, that lies at another path."""
        return PieceFile(
            task,
            self.piece_size,
            path,
            self._disk,
            digests=[self._digests[number] for number in sorted(self._digests)],
            framed_length=self.framed_length,
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
    """All piece files below one directory. Knows those that this process created or reopened.

    Args:
        root: ``<state>/repo``; made when first needed.
        idle_descriptors: how many files stay open while nobody uses them.
    """

    def __init__(self, root: Path, *, idle_descriptors: int = 128) -> None:
        self._root = root
        self._disk = _Disk(idle_descriptors)
        self._files: dict[TaskId, PieceFile] = {}
        self.last_disk_use: DiskUse | None = None
        """As it was last asked for; None: never yet."""

    def find(self, task: TaskId) -> PieceFile | None:
        """Return the file whose sealed pieces may be served now."""
        return self._files.get(task)

    def files(self) -> Collection[PieceFile]:
        """Return all files; a view, so do not await while going through it."""
        return self._files.values()

    async def disk_use(self) -> DiskUse:
        """Return how full the disk is. O(files).

        Raises:
            StoreError: the file system does not tell.
        """
        total, free = await self._measure()
        self.last_disk_use = DiskUse(
            total=total,
            free=free,
            cached=sum(group[0].stored for group in sharing.groups(self._files.values())),
            expected=sum(min(file.expected, _AHEAD) for file in self._files.values()),
        )
        return self.last_disk_use

    async def disk_size(self) -> int:
        """Return how many bytes the disk can hold, whatever it holds now.

        Raises:
            StoreError: the file system does not tell.
        """
        total, _ = await self._measure()
        return total

    async def _measure(self) -> tuple[int, int]:
        with disk_errors("asking how full the disk is"):
            return await trio.to_thread.run_sync(
                disk_space.measure, self._root, limiter=self._disk.readers
            )

    async def take_inventory(self) -> Inventory:
        """Find what earlier processes completed, and remove their leftovers.

        The files that are known, whether they are there or not, are left alone.
        """
        async with self._disk.names:
            return await trio.to_thread.run_sync(
                inventory.take, self._root / "download", self._files, limiter=self._disk.readers
            )

    @property
    def boot_id(self) -> str:
        """What is another one after every start of the system; empty: it does not say.

        What was written since the system started is on the disk or in the system's memory, whoever
        crashed meanwhile.
        """
        return self._disk.boot_id

    def reopen(self, cached: CachedFile) -> PieceFile:
        """Make a file known that an earlier process completed; nothing of it is sealed.

        Raises:
            ValueError: the task has a file.
        """
        said = cached.sidecars
        return self.reopen_known(
            cached.task, said.piece_size, said.digests, said.framed_length, said.origin
        )

    def reopen_known(
        self,
        task: TaskId,
        piece_size: int,
        digests: Sequence[PieceDigest],
        framed_length: int | None,
        origin: Provenance | None = None,
    ) -> PieceFile:
        """Make a file known that an earlier process wrote, if it is there; nothing is sealed.

        Args:
            task: whose.
            piece_size: framed bytes from the start of one piece to that of the next.
            digests: of the pieces that were written, from the first on.
            framed_length: framed bytes of the whole file; None: not known.
            origin: where it came from; None: it may have no sidecars.

        Raises:
            ValueError: the task has a file.
        """
        if task in self._files:
            raise ValueError(f"task {task} has a file")
        file = PieceFile(
            task,
            piece_size,
            self._path(task),
            self._disk,
            digests=digests,
            framed_length=framed_length,
            origin=origin,
        )
        self._files[task] = file
        return file

    async def create(self, task: TaskId, piece_size: int) -> PieceFile:
        """Make an empty file. Whatever was there before is unlinked; its readers are not disturbed.

        On cancel: either nothing has happened, or the new file is there.

        Raises:
            StoreError: the disk did not allow it.
        """
        async with self._disk.names:
            path = self._path(task)
            with trio.CancelScope(shield=True), disk_errors("creating a piece file"):
                await self._forget(task)
                await trio.to_thread.run_sync(_create, path, limiter=self._disk.writers)
            file = PieceFile(task, piece_size, path, self._disk)
            self._files[task] = file
            return file

    async def link(self, source: PieceFile, task: TaskId) -> PieceFile:
        """Let a complete file be another task's, too, without a second copy on disk.

        It is not known before it is added; until then anybody may make another one in its place.
        What is not added is to be dropped. On cancel nothing has happened.

        Args:
            source: nothing is written to it any more.
            task: whose file it is to be, too; it has none.

        Returns:
            The file, with nothing sealed.

        Raises:
            Discarded: the source was discarded.
            ValueError: the source is not complete, or the task has a file.
            StoreError: the disk did not allow it.
        """
        async with self._disk.names:
            if source.discarded:
                raise Discarded(source.task)
            if not source.is_complete or task in self._files:
                raise ValueError(f"task {task} cannot have a copy of {source.task}")
            path = self._path(task)
            with trio.CancelScope(shield=True), disk_errors("sharing a piece file"):
                source.inode = await trio.to_thread.run_sync(
                    _link, source.path, path, limiter=self._disk.writers
                )
            return source.twin(task, path)

    async def drop(self, file: PieceFile) -> None:
        """Unlink a linked file that is not to be added, unless there is another one in its place.

        Raises:
            StoreError: the disk did not allow it.
        """
        with trio.CancelScope(shield=True), disk_errors("dropping a piece file"):
            async with self._disk.names:
                if file.task not in self._files:
                    await trio.to_thread.run_sync(_unlink, file.path, limiter=self._disk.writers)

    def add(self, file: PieceFile) -> None:
        """Make a linked file known.

        Raises:
            ValueError: the task has a file.
        """
        if file.task in self._files:
            raise ValueError(f"task {file.task} has a file")
        self._files[file.task] = file

    async def discard(self, file: PieceFile) -> None:
        """Forget a file and unlink it with its sidecars; what came after it stays.

        Raises:
            StoreError: the disk did not allow it.
        """
        with trio.CancelScope(shield=True):  # forgotten but still on disk, it would have no owner
            async with self._disk.names:
                if file.discarded:
                    return
                await self._forget(file.task)
                with disk_errors("discarding a piece file"):
                    await trio.to_thread.run_sync(_unlink, file.path, limiter=self._disk.writers)

    async def _forget(self, task: TaskId) -> None:
        file = self._files.pop(task, None)
        if file is not None:
            await file.retire()

    def _path(self, task: TaskId) -> Path:
        return self._root / download_path(task)[1:]


class _Disk:
    """What the files of one store share."""

    def __init__(self, idle_descriptors: int) -> None:
        self.boot_id = _boot_id()
        self.readers = trio.CapacityLimiter(_READERS)
        self.writers = trio.CapacityLimiter(_WRITERS)
        self.descriptors = DescriptorPool(idle_descriptors, self.readers)
        # Names are made and removed one after the other: a removal that comes late must not hit the
        # successor of the file it meant.
        self.names = trio.Lock()


def _boot_id() -> str:
    """Return what is another one after every start of the system; empty: it does not say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


# What follows runs in threads.


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _unlink(path)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))


def _link(source: Path, path: Path) -> int | None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _unlink(path)
    os.link(source, path)
    return sharing.shared_inode(path)


def _unlink(path: Path) -> None:
    for suffix in sidecars.SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.unlink(missing_ok=True)
