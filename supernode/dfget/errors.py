"""How a run of dfget can end, and with which exit code.

The codes are those of sysexits.h where one fits.
"""

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class Exit(enum.IntEnum):
    """Exit codes of ``supernode dfget``."""

    OK = 0
    FAILED = 1
    USAGE = 64
    DIGEST = 65
    NO_SUPERNODE = 69
    CANNOT_WRITE = 73
    TIMEOUT = 75
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS = {
    Exit.OK: "the output is in place, whole and verified (from the origin: if there is a digest)",
    Exit.FAILED: "the file could not be downloaded",
    Exit.USAGE: "the command line makes no sense",
    Exit.DIGEST: "the file has another digest than asked for",
    Exit.NO_SUPERNODE: "no supernode can be had, and --notbs forbids to ask the origin",
    Exit.CANNOT_WRITE: "the output or the home directory cannot be written",
    Exit.TIMEOUT: "--timeout passed",
    Exit.HUNG_UP: "the terminal hung up (SIGHUP)",
    Exit.INTERRUPTED: "interrupted (SIGINT)",
    Exit.TERMINATED: "terminated (SIGTERM)",
}


class DfgetError(Exception):
    """A run that ends without the file; the text is for the user."""

    exit: ClassVar[Exit] = Exit.FAILED


class SwarmError(DfgetError):
    """The swarm did not deliver; the origin still may."""


class NoSupernode(SwarmError):
    """No supernode answers."""

    exit = Exit.NO_SUPERNODE


class TaskFailed(SwarmError):
    """The supernode has given the task up, or refuses it."""


class SwarmStuck(SwarmError):
    """The supernode answers, but pieces do not come."""


class SwarmDigestMismatch(SwarmError):
    """What the swarm delivered is not the file asked for."""

    exit = Exit.DIGEST


class DigestMismatch(DfgetError):
    """The origin itself has another file than the one asked for."""

    exit = Exit.DIGEST


class OriginFailed(DfgetError):
    """The origin did not deliver either."""


class CannotWrite(DfgetError):
    """The disk refuses."""

    exit = Exit.CANNOT_WRITE


class TooLate(DfgetError):
    """The deadline for the whole download passed."""

    exit = Exit.TIMEOUT


@contextmanager
def ungrouped() -> Iterator[None]:
    """Let a :class:`DfgetError` that is all a nursery's group holds out of the group."""
    try:
        yield
    except BaseExceptionGroup as group:
        ours, others = group.split(DfgetError)
        if ours is None or others is not None:
            raise
        error: BaseException = ours
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from error.__cause__
