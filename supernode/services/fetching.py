"""One fetch: a file's way from its origin to the disk, over as many requests as it takes.

A line of three works on the stream, each stage in order: cut into pieces; digest and write each
piece, which is offered to peers as soon as it is on disk; digest the whole. At most four pieces of
a fetch are in memory: one with each stage, one between the last two. Whatever is slowest holds up
the origin.

When the origin breaks off, what has been cut still goes through the line; then the origin is asked
to go on with the first piece that is missing. If that cannot be, it is asked for the whole again:
the pieces that are there are not written once more but compared, for peers have them, and nobody
may get one part of an old file and another of a new one.

A fetch that an earlier process began goes on in the same way, once what it left on disk has been
read again: nobody has the digest of half a file.
"""

import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import structlog
import trio

from supernode.core.commands import CachePiece, LosePieces, SizeTask, VerifyPieces
from supernode.core.identity import TaskId
from supernode.core.model import OriginVersion, TaskSpec
from supernode.core.pieces import (
    PieceDigest,
    content_size,
    digest_length,
    digest_of_content,
    framed_length,
)
from supernode.core.reasons import Reason
from supernode.dispatch import Dispatcher
from supernode.origin.errors import NotContinued, OriginError
from supernode.origin.http import OriginBody, OriginClient
from supernode.origin.resumption import Resumption
from supernode.origin.trust import Trust
from supernode.services.retries import RetryPolicy
from supernode.storage.errors import Damaged, StoreError
from supernode.storage.piece_files import PieceFile, PieceStore
from supernode.supervision import first_of

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every fetch works with.

    Args:
        dispatch: the door to the tracker.
        store: where pieces go.
        origin: where they come from.
        hashers: how many threads may digest whole files.
        retries: how often an origin is asked again.
        chance: what spreads that.
        headers_for: says what an origin is sent; raises OriginError.
    """

    dispatch: Dispatcher
    store: PieceStore
    origin: OriginClient
    hashers: trio.CapacityLimiter
    retries: RetryPolicy
    chance: random.Random
    headers_for: Callable[[TaskId, TaskSpec], Awaitable[Mapping[str, str]]]


class WholeFile:
    """Length and digests of everything that came. Used by one thread at a time."""

    def __init__(self) -> None:
        self.length = 0
        self.pieces = 0
        self.md5 = hashlib.md5()
        self.sha256 = hashlib.sha256()

    def update(self, piece: memoryview, /) -> None:
        """Take the next piece's content into account. Blocks: for a thread."""
        self.md5.update(piece)
        self.sha256.update(piece)
        self.length += len(piece)
        self.pieces += 1


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file whose every piece is sealed, not yet judged as a whole."""

    file: PieceFile
    whole: WholeFile


class Fetching:
    """A fetch under way.

    Args:
        tools: what it works with.
        task: what it is for.
        generation: tells it from other fetches for the same task.
        spec: what is fetched.
    """

    def __init__(self, tools: Tools, task: TaskId, generation: int, spec: TaskSpec) -> None:
        self._tools = tools
        self._task = task
        self._generation = generation
        self._spec = spec
        self._is_part = any(name.lower() == "range" for name in spec.headers.names())
        self._file: PieceFile | None = None
        self._length: int | None = None
        self._sealed: list[PieceDigest] = []
        self._went_on = False
        # Of the pass over the file that is under way; one that begins anew is another.
        self._whole = WholeFile()
        self._version = OriginVersion()

    async def run(self) -> Fetched:
        """Fetch the file, patiently.

        Raises:
            OriginError: the origin does not deliver, however often it is asked.
            StoreError: the disk fails.
        """
        attempts = failures = 0
        await self._take_up()
        while True:
            attempts += 1
            had, self._went_on = len(self._sealed), False
            try:
                return await self._attempt()
            except OriginError as error:
                # To have begun anew and come further is no way to go on for ever.
                further = self._went_on and len(self._sealed) > had
                failures = 1 if further else failures + 1
                pause = self._tools.retries.pause(error, failures, self._tools.chance)
                if pause is None and attempts == 1:
                    raise
                if pause is None:
                    detail = f"{error.detail} (tried {attempts} times)"
                    raise OriginError(error.reason, detail) from error
                if isinstance(error, NotContinued):
                    self._version = msgspec.structs.replace(self._version, validator="")
                log.info(
                    "a fetch broke off and is tried again",
                    reason=error.reason.code,
                    detail=error.detail,
                    attempt=attempts,
                    pieces=len(self._sealed),
                    pause_seconds=round(pause, 1),
                )
            await trio.sleep(pause)

    async def _take_up(self) -> None:
        """Go on where an earlier process was; what it sealed is what it was, or is not offered.

        Raises:
            StoreError: the disk fails.
        """
        task = self._tools.dispatch.tracker.task(self._task)
        if not task.digests:
            return  # a file that is there is another fetch's
        self._file = file = self._tools.store.find(self._task)
        self._length, self._version = task.length, task.version
        self._sealed = [task.digests[number] for number in sorted(task.digests)]
        if file is None or self._is_part or not self._version.validator:
            return  # from the beginning, comparing
        for number in range(len(self._sealed)):
            try:
                await file.verify(number, self._whole)
            except Damaged as damage:
                log.warning("a piece is to be fetched again", piece=number, problem=damage.detail)
                file.unseal(number)
                self._tell(LosePieces, pieces=1 << number)
                return
            self._tell(VerifyPieces, pieces=1 << number)

    def _tell(self, command: type[LosePieces | VerifyPieces], pieces: int) -> None:
        self._tools.dispatch(command(task=self._task, generation=self._generation, pieces=pieces))

    async def _attempt(self) -> Fetched:
        """Ask the origin once, if anything is missing. Raises OriginError, StoreError."""
        if self._file is not None and self._whole.length == self._length:
            return Fetched(self._file, self._whole)
        spec = self._spec
        headers = await self._tools.headers_for(self._task, spec)
        # Of a file that is fetched once more the values are forgotten.
        headers = {name: value for name, value in headers.items() if value}
        async with self._tools.origin.open(
            spec.raw_url,
            headers,
            trust=Trust(spec.insecure, spec.root_cas),
            resume=self._resumption(),
        ) as body:
            self._went_on = body.first > 0
            if not self._went_on:
                self._whole = WholeFile()
                self._version = OriginVersion(
                    etag=body.etag,
                    last_modified=body.last_modified,
                    validator="" if self._is_part else body.validator,
                )
            file = await self._file_for(body)
            await self._take(file, body)
        return Fetched(file, self._whole)

    def _resumption(self) -> Resumption | None:
        """Return what the origin may leave out; None: it is to begin with the first byte."""
        validator = self._version.validator
        if not validator or not self._whole.pieces:
            return None
        return Resumption(self._whole.length, validator, self._length)

    async def _file_for(self, body: OriginBody) -> PieceFile:
        """Return the file that the content goes into, made when the origin answers first."""
        file, length = self._file, body.length
        if file is not None and self._went_on and length == self._length:
            return file
        if self._length not in (None, length):
            said = "no length" if length is None else f"{length} bytes"
            raise _changed(f"{self._length} bytes at first, then {said}")
        if file is not None and length is not None and length < self._sealed_length(file):
            raise _changed(f"more than {self._sealed_length(file)} bytes at first, then {length}")
        piece_size = self._tools.dispatch(
            SizeTask(
                task=self._task,
                generation=self._generation,
                length=length,
                version=self._version,
            )
        )
        if file is None:
            file = self._file = await self._tools.store.create(self._task, piece_size)
        await self._check_room(length)
        self._length = length
        if length is not None:
            file.end_known(framed_length(length, piece_size))
        return file

    def _sealed_length(self, file: PieceFile) -> int:
        """Return how many content bytes are sealed of a file whose end is not known."""
        return len(self._sealed) * content_size(file.piece_size)

    async def _check_room(self, length: int | None) -> None:
        """Raise StoreError if the file can never fit, whatever is removed for it."""
        total = await self._tools.store.disk_size()
        if length is not None and length > total:
            detail = f"the file has {length} bytes, the whole disk {total}"
            raise StoreError(Reason.DISK_FULL, detail)

    async def _take(self, file: PieceFile, body: OriginBody) -> None:
        """Store the content in whole pieces, as far as it comes.

        Raises:
            OriginError: the origin broke off, or its file has changed.
            StoreError: the disk failed.
        """
        cut, to_seal = trio.open_memory_channel[memoryview](0)
        sealed, to_digest = trio.open_memory_channel[memoryview](1)
        failure: OriginError | StoreError | None = None
        try:
            async with trio.open_nursery() as line:
                line.start_soon(self._seal, file, to_seal, sealed)
                line.start_soon(self._digest, to_digest)
                try:
                    size = content_size(file.piece_size)
                    await _cut(body.chunks(), size, cut, is_rest=self._went_on)
                except OriginError as error:
                    failure = error  # once the line has done with what it was given
        except* (OriginError, StoreError) as errors:
            failure = _first_of(errors)
        if failure is not None:
            raise failure
        if self._whole.pieces < len(self._sealed):
            raise _changed(f"{len(self._sealed)} pieces at first, then {self._whole.pieces}")
        file.end_known(framed_length(self._whole.length, file.piece_size))

    async def _seal(
        self,
        file: PieceFile,
        pieces: trio.MemoryReceiveChannel[memoryview],
        sealed: trio.MemorySendChannel[memoryview],
    ) -> None:
        """Write each piece, offer it, pass it on; compare those that are known already."""
        number = self._whole.pieces
        async with pieces, sealed:
            async for piece in pieces:
                if number < len(self._sealed):
                    await self._compare(number, piece, file.piece_size)
                if not file.sealed >> number & 1:
                    await self._write(file, number, piece)
                await sealed.send(piece)
                number += 1

    async def _compare(self, number: int, piece: memoryview, piece_size: int) -> None:
        digest = await trio.to_thread.run_sync(
            digest_of_content, piece, piece_size, limiter=self._tools.hashers
        )
        if digest != self._sealed[number]:
            raise _changed(f"piece {number} is another one than before")

    async def _write(self, file: PieceFile, number: int, piece: memoryview) -> None:
        digest = await file.write(number, [piece])
        file.seal(number, digest_length(digest))
        if number == len(self._sealed):
            self._sealed.append(digest)
        self._tools.dispatch(
            CachePiece(task=self._task, generation=self._generation, piece=number, digest=digest)
        )

    async def _digest(self, pieces: trio.MemoryReceiveChannel[memoryview]) -> None:
        async with pieces:
            async for piece in pieces:
                await trio.to_thread.run_sync(
                    self._whole.update, piece, limiter=self._tools.hashers
                )


def _changed(detail: str) -> OriginError:
    return OriginError(Reason.ORIGIN_CHANGED, detail)


def _first_of(errors: "ExceptionGroup[OriginError | StoreError]") -> OriginError | StoreError:
    first = first_of(errors)
    assert isinstance(first, OriginError | StoreError)
    return first


async def _cut(
    chunks: AsyncIterator[bytes],
    size: int,
    pieces: trio.MemorySendChannel[memoryview],
    *,
    is_rest: bool,
) -> None:
    """Send the content on in pieces of ``size`` bytes, the last one shorter; none is one empty.

    Each piece is copied into one buffer: a thread that hashes many small ones must get hold of the
    interpreter between any two of them, and with a busy event loop that takes longer than hashing.

    Args:
        chunks: the content, or the rest of it.
        size: of each piece but the last.
        pieces: where they go; closed at the end. Whoever takes them may stop doing so.
        is_rest: whether there were pieces before.
    """
    piece, filled = memoryview(bytearray(size)), 0
    sent = is_rest
    with suppress(trio.BrokenResourceError):
        async with pieces:
            async for chunk in chunks:
                rest = memoryview(chunk)
                while rest:
                    count = min(len(rest), size - filled)
                    piece[filled : filled + count] = rest[:count]
                    filled += count
                    rest = rest[count:]
                    if filled == size:
                        await pieces.send(piece)
                        piece, filled, sent = memoryview(bytearray(size)), 0, True
            if filled or not sent:
                await pieces.send(piece[:filled])
