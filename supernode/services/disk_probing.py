"""Disk probing: whether the state directory still takes what is written into it.

A file system that had an error turns read-only, a network's hangs. That would show only with the
next fetch, and those who ask whether we are ready are to know before.
"""

import tempfile
from functools import partial
from pathlib import Path

import structlog
import trio

PROBE_SECONDS = 5.0
HANGING_SECONDS = 20.0
"""How long a disk may take."""
_BLOCK = bytes(4096)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class DiskProbing:
    """The service.

    Args:
        directory: where to write.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._thread = trio.CapacityLimiter(1)
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why nothing can be written, without a path; empty: it can."""
        return self._trouble

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write a block every few seconds until cancelled; nothing of it stays."""
        task_status.started()
        while True:
            await self._probe()
            await trio.sleep(PROBE_SECONDS)

    async def _probe(self) -> None:
        """Write once. A thread that hangs is left alone, and the next probe waits for it."""
        try:
            with trio.fail_after(HANGING_SECONDS):
                await trio.to_thread.run_sync(
                    partial(_write_a_block, self._directory),
                    limiter=self._thread,
                    abandon_on_cancel=True,  # nothing is left of it
                )
        except OSError as error:
            self._note(error.strerror or repr(error))
        except trio.TooSlowError:
            self._note(f"it has not answered for {HANGING_SECONDS:.0f} s")
        else:
            self._note("")

    def _note(self, trouble: str) -> None:
        """Take note, and tell it once."""
        before, self._trouble = self._trouble, trouble
        if trouble and trouble != before:
            log.error("nothing can be written", directory=str(self._directory), problem=trouble)
        elif before and not trouble:
            log.info("it can be written again", directory=str(self._directory))


def _write_a_block(directory: Path) -> None:
    """Write a block into a file without a name. Blocks. Raises OSError."""
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        file.write(_BLOCK)
