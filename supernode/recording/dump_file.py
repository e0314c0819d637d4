"""A recording in a file: compressed MessagePack, without secrets, readable by its owner only."""

import gzip
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from supernode.core.commands import Command
from supernode.recording import command_log, portrait
from supernode.recording.recorder import Outcome, Recorded
from supernode.version import VERSION

FORMAT = "supernode-dump"
FORMAT_VERSION = 1


class DumpError(Exception):
    """A file is no dump that can be read."""


class Generation(msgspec.Struct):
    """A snapshot and the commands since.

    Args:
        state: its portrait; None: it had not been completed.
        chance: its state at the same moment.
        rows: the commands, see :func:`supernode.recording.command_log.decoded`.
        outcomes: of the commands; of the last ones there may be none.
    """

    state: bytes | None
    chance: tuple[int, tuple[int, ...], float | None]
    rows: list[command_log.Row]
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


class _Head(msgspec.Struct):
    format: str
    version: int


class Dump(msgspec.Struct):
    """A recording as it was written.

    Args:
        supernode: the version of the program that wrote it.
        cause: why.
        at: when the last command was executed, in seconds since the epoch.
        generations: consecutive; the first snapshot is complete.
    """

    supernode: str
    cause: str
    at: float
    generations: list[Generation]
    format: str = FORMAT
    version: int = FORMAT_VERSION


def write(path: Path, recorded: Sequence[Recorded], *, cause: str, at: float) -> None:
    """Write a dump, all of it or nothing. Takes 30 µs for each record and command.

    Raises:
        OSError: it cannot be written.
    """
    generations = [
        {
            "state": None if each.rows is None else portrait.encoded(each.values, each.rows),
            "chance": each.chance,
            "rows": list(map(msgspec.Raw, each.commands)),
            "outcomes": each.outcomes,
        }
        for each in recorded
    ]
    content = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "supernode": VERSION,
        "cause": cause,
        "at": at,
        "generations": generations,
    }
    data = gzip.compress(msgspec.msgpack.encode(content), compresslevel=1)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
        unfinished.rename(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


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
