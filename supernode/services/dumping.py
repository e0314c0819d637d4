"""Dumping: writes what the flight recorder has to a file, when it is told or the core breaks."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import structlog
import trio

from supernode.dispatch import Dispatcher
from supernode.recording.dumps import ASKED, BROKEN, SIGNAL, Dumps
from supernode.recording.recorder import Recorded

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Dumping:
    """The service.

    Args:
        dispatch: whose commands are recorded.
        dumps: where the files go.
    """

    def __init__(self, dispatch: Dispatcher, dumps: Dumps) -> None:
        self._dispatch = dispatch
        self._dumps = dumps

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Dump on SIGUSR1 until cancelled; then, if the core is broken, once more."""
        try:
            with trio.open_signal_receiver(SIGNAL) as signals, self._owned():
                task_status.started()
                async for _ in signals:
                    recorded = self._dispatch.recorder.recorded()
                    await trio.to_thread.run_sync(self._write, recorded, ASKED)
        finally:
            if self._dispatch.broken.is_set():
                self.dump(BROKEN)  # on the event loop: there is nobody else to be held up

    def dump(self, cause: str) -> None:
        """Write a dump and log where it is. Takes a while, in any thread; does not fail."""
        self._write(self._dispatch.recorder.recorded(), cause)

    def _owned(self) -> AbstractContextManager[object]:
        try:
            return self._dumps.owned()
        except OSError as error:
            log.warning("cannot be asked for dumps", reason=str(error))
            return nullcontext()

    def _write(self, recorded: Sequence[Recorded], cause: str) -> None:
        try:
            path = self._dumps.write(recorded, cause=cause, at=self._dispatch.recorder.now)
        except OSError as error:
            log.error("cannot write a dump", cause=cause, reason=str(error))
        else:
            log.warning("dumped", cause=cause, path=str(path))
