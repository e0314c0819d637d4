"""The directory of dumps: a few of each cause are kept, and who writes there can be found."""

import fcntl
import os
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from supernode.recording import dump_file
from supernode.recording.recorder import Recorded

SUFFIX = ".supernode-dump"
ASKED, BROKEN, STALLED = "asked", "broken", "stalled"
"""Causes of dumps."""
SIGNAL = signal.SIGUSR1
"""Asks the owner for a dump."""
KEPT = 3
"""How many dumps of one cause are kept, the latest."""
_OWNER = "owner"


class Dumps:
    """One directory; made when something is to be written.

    Args:
        state_dir: it is below this one.
    """

    def __init__(self, state_dir: Path) -> None:
        self.directory = state_dir / "dumps"

    def write(self, recorded: Sequence[Recorded], *, cause: str) -> Path:
        """Write a dump and remove the oldest; return its path. Takes a while, see ``dump_file``.

        Args:
            recorded: what the recorder has.
            cause: a word for the file's name.

        Raises:
            OSError: it cannot be written.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        path = self.directory / f"{moment}Z-{cause}{SUFFIX}"
        dump_file.write(path, recorded, cause=cause)
        # The clock may have been set back: what was written now is the latest, whatever its name.
        for old in [file for file in self.files(cause) if file != path][: 1 - KEPT]:
            old.unlink(missing_ok=True)
        return path

    def files(self, cause: str) -> list[Path]:
        """Return the dumps of one cause, the oldest first."""
        return sorted(self.directory.glob(f"[0-9]*-{cause}{SUFFIX}"))

    def owned(self) -> IO[str]:
        """Let this process be found as the one that writes here, until what is returned is closed.

        Raises:
            OSError: there is one already, or nothing can be written here.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (self.directory / _OWNER).open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        except OSError:
            file.close()
            raise
        return file

    def owner(self) -> int | None:
        """Return the process ID of the owner, if there is one.

        Raises:
            OSError: nothing can be read here.
        """
        try:
            file = (self.directory / _OWNER).open()
        except FileNotFoundError:
            return None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0) or None
        return None  # it is gone: nobody holds the lock
