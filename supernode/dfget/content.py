"""The file being downloaded: raw content in the home directory until it is whole, verified, placed.

The file is never moved: the output becomes a second name of it where the file system allows, so
that the uploader can go on serving it without a copy. A lock on the file says that its download
lives; an uploader removes what nobody holds a lock on.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from pathlib import Path

import trio

from supernode.core.pieces import FramingError, content_size, digest_of, unframe
from supernode.dfget.errors import CannotWrite

_HASH_BYTES = 1 << 20
_HASH_HOP_BYTES = 32 << 20
_COPY_HOP_BYTES = 64 << 20


class BadPiece(Exception):
    """Bytes that are not the piece they were fetched as."""


def check_output(output: Path) -> None:
    """See that a file can be placed at ``output``, before it is downloaded.

    Raises:
        CannotWrite: it cannot.
    """
    try:
        if not stat.S_ISDIR(output.parent.stat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        with contextlib.suppress(FileNotFoundError):
            os.lstat(output)
        if not os.access(output.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise CannotWrite(f"{output}: {error.strerror}") from error


def sweep(folder: Path) -> None:
    """Remove the files in a folder whose download lives no more."""
    for path in folder.iterdir():
        remove_abandoned(path)


def remove_abandoned(path: Path) -> None:
    """Remove a file unless its download is under way."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


class RunningDigest:
    """A digest of the first ``stop`` bytes of a file that grows."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.stop = 0
        self._hash = hashlib.new(algorithm, usedforsecurity=False)

    async def advance(self, file: int, stop: int) -> None:
        """Digest up to ``stop``, some ten megabytes a thread hop."""
        while self.stop < stop:
            upto = min(stop, self.stop + _HASH_HOP_BYTES)
            await trio.to_thread.run_sync(self._read, file, upto)

    def hex(self) -> str:
        """Return the digest so far."""
        return self._hash.hexdigest()

    def _read(self, file: int, upto: int) -> None:
        while self.stop < upto:
            data = os.pread(file, min(_HASH_BYTES, upto - self.stop), self.stop)
            if not data:
                raise CannotWrite("the downloaded file was cut by somebody else")
            self._hash.update(data)
            self.stop += len(data)


class ContentFile:
    """One download's bytes. Use as a context manager.

    Args:
        path: a new file; its mode is the output's.
        algorithm: which digest of the whole to keep while the file grows.
    """

    def __init__(self, path: Path, algorithm: str) -> None:
        self.path = path
        self._digest = RunningDigest(algorithm)
        self._file = -1
        self._kept = False

    def __enter__(self) -> "ContentFile":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._file = os.open(self.path, flags, 0o666)
        except OSError as error:
            raise CannotWrite(f"{self.path}: {error.strerror}") from error
        with contextlib.suppress(OSError):  # a file system without locks: nobody else can sweep it
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._kept:
            self.path.unlink(missing_ok=True)
        os.close(self._file)

    def keep(self) -> None:
        """Leave the file where it is: it is the uploader's from now on."""
        self._kept = True

    async def store(self, number: int, framed: memoryview, digest: str, piece_size: int) -> int:
        """Verify and write one piece in one thread hop; return its content bytes.

        Raises:
            BadPiece: digest or framing are wrong; nothing was written.
            CannotWrite: the disk refuses.
        """
        return await trio.to_thread.run_sync(self._store, number, framed, digest, piece_size)

    def _store(self, number: int, framed: memoryview, digest: str, piece_size: int) -> int:
        actual = digest_of(framed)
        if actual != digest:
            raise BadPiece(f"digest is {actual}, not {digest}")
        try:
            content = unframe(framed, piece_size)
        except FramingError as error:
            raise BadPiece(str(error)) from error
        self._write(content, number * content_size(piece_size))
        return len(content)

    async def write(self, data: bytes, offset: int) -> None:
        """Write content of which only the whole can be verified.

        Raises:
            CannotWrite: the disk refuses.
        """
        await trio.to_thread.run_sync(self._write, memoryview(data), offset)

    def _write(self, content: memoryview, offset: int) -> None:
        try:
            while content:
                written = os.pwrite(self._file, content, offset)
                content, offset = content[written:], offset + written
        except OSError as error:
            raise CannotWrite(f"{self.path}: {error.strerror}") from error

    async def digest_upto(self, stop: int) -> None:
        """Go on with the digest of the whole: the first ``stop`` bytes are there."""
        await self._digest.advance(self._file, stop)

    async def digest(self, algorithm: str, length: int) -> str:
        """Return the digest of the whole file of ``length`` bytes."""
        running = self._digest
        if running.algorithm != algorithm or running.stop > length:
            running = RunningDigest(algorithm)
        await running.advance(self._file, length)
        return running.hex()

    async def place(self, output: Path) -> None:
        """Make ``output`` this file, atomically.

        On cancel or error: ``output`` is as it was, and nothing is left beside it.

        Raises:
            CannotWrite: the output directory refuses.
        """
        beside = output.parent / f".dfget-{os.getpid()}-{self.path.stat().st_ino}"
        try:
            try:
                os.link(self.path, beside)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EACCES, errno.ENOSPC, errno.EROFS):
                    raise
                await self._copy(beside)  # another file system, or one without hard links
            os.replace(beside, output)
        except OSError as error:
            raise CannotWrite(f"{output}: {error.strerror}") from error
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)

    async def _copy(self, target: Path) -> None:
        """Copy to ``target``, which has no name before it is whole: killed, we leave nothing."""
        mode = stat.S_IMODE(os.fstat(self._file).st_mode)
        flags, nameless = os.O_WRONLY | os.O_CLOEXEC, True
        try:
            copy = os.open(target.parent, flags | os.O_TMPFILE, mode)
        except OSError:  # a file system without such files
            copy, nameless = os.open(target, flags | os.O_CREAT | os.O_EXCL, mode), False
        try:
            offset, length = 0, os.fstat(self._file).st_size
            while offset < length:
                offset += await trio.to_thread.run_sync(
                    os.sendfile, copy, self._file, offset, min(_COPY_HOP_BYTES, length - offset)
                )
            if nameless:  # given a directory, even an unused one, the link is followed
                os.link(f"/proc/self/fd/{copy}", target, src_dir_fd=copy)
        finally:
            os.close(copy)
