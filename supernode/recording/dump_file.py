"""A recording in a file: compressed MessagePack, without secrets, readable by its owner only."""

import gzip
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from supernode.core.commands import Command
from supernode.recording import command_log, plain, portrait
from supernode.recording.recorder import Outcome, Recorded
from supernode.version import VERSION

FORMAT = "supernode-dump"
FORMAT_VERSION = 1
_BUFFER = 1 << 18


class DumpError(Exception):
    """A file is no dump that can be read."""


class Generation(msgspec.Struct, array_like=True):
    """A snapshot and the commands since.

    Args:
        state: its portrait; None: it had not been completed.
        chance: its state at the same moment.
        rows: the commands, see :func:`supernode.recording.command_log.decoded`.
        outcomes: of the commands; of the last one there may be none.
    """

    state: msgspec.Raw
    chance: tuple[int, tuple[int, ...], float | None]
    rows: list[msgspec.Raw]
    outcomes: list[int | tuple[int, int]]

    def commands(self) -> list[tuple[Command[Any], float, Outcome | None]]:
        """Return each command with its time and its outcome, if that is known.

        Raises:
            DumpError: there is none such.
        """
        outcomes = [*self.outcomes, *[None] * (len(self.rows) - len(self.outcomes))]
        try:
            commands = map(command_log.decoded, self.rows)
            return [
                (command, now, outcome)
                for (command, now), outcome in zip(commands, outcomes, strict=True)
            ]
        except (LookupError, ValueError, TypeError) as error:
            raise DumpError(f"a command is not one of this supernode: {error!r}") from error


class Dump(msgspec.Struct, array_like=True):
    """A recording as it was written.

    Args:
        supernode: the version of the program that wrote it.
        cause: why.
        generations: consecutive; the first snapshot is complete.
    """

    format: str
    version: int
    supernode: str
    cause: str
    generations: list[Generation]


class _Head(msgspec.Struct, array_like=True):
    format: str
    version: int


def write(path: Path, recorded: Sequence[Recorded], *, cause: str) -> None:
    """Write a dump, all of it or nothing. Takes 10 µs for each record, less for a command.

    Raises:
        OSError: it cannot be written.
    """
    unfinished = path.with_name(f".{cause}.unfinished")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with (
            open(descriptor, "wb") as file,
            gzip.GzipFile("", "wb", compresslevel=1, fileobj=file) as packed,
            io.BufferedWriter(packed, _BUFFER) as out,
        ):
            out.writelines(_dump(recorded, cause))
        unfinished.rename(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _dump(recorded: Sequence[Recorded], cause: str) -> Iterator[bytes]:
    """Yield a :class:`Dump` in parts, so that it is never in memory as a whole."""
    yield _array(len(Dump.__struct_fields__))
    yield from map(plain.encoded, (FORMAT, FORMAT_VERSION, VERSION, cause))
    yield _array(len(recorded))
    for each in recorded:
        yield _array(len(Generation.__struct_fields__))
        yield portrait.encoded(each.snapshot) if each.snapshot else plain.encoded(None)
        yield plain.encoded(each.chance)
        yield _array(len(each.commands))
        yield from each.commands
        yield plain.encoded(each.outcomes)


def _array(length: int) -> bytes:
    """Return how an array of MessagePack begins."""
    return b"\xdd" + length.to_bytes(4, "big")


def read(path: Path) -> Dump:
    """Return what a dump holds.

    Raises:
        OSError: the file cannot be read.
        DumpError: it is no dump, or one of another version.
    """
    packed = path.read_bytes()
    try:
        data = gzip.decompress(packed)
        head = msgspec.msgpack.decode(data, type=_Head)
        if head.format != FORMAT:
            raise DumpError(f"{path} is no dump of a supernode")
        if head.version != FORMAT_VERSION:
            raise DumpError(f"{path} has version {head.version}, not {FORMAT_VERSION}")
        return msgspec.msgpack.decode(data, type=Dump)
    except (gzip.BadGzipFile, EOFError, zlib.error, msgspec.DecodeError) as error:
        raise DumpError(f"{path} is no dump of a supernode: {error}") from error
