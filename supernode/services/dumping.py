"""Dumping: writes what the flight recorder has to a file, when it is told or the core breaks."""

from contextlib import AbstractContextManager, nullcontext

import structlog
import trio

from supernode.dispatch import Dispatcher
from supernode.recording.dumps import ASKED, BROKEN, SIGNAL, Dumps

CATCH_UP_RECORDS = 1_000
"""How much of a snapshot is taken before the event loop gets its turn."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Dumping:
    """The service.

    Args:
        dispatch: whose commands are recorded.
        dumps: where the files go.
    """

    def __init__(self, dispatch: Dispatcher, dumps: Dumps) -> None:
        self._recorder = dispatch.recorder
        self._broken = dispatch.broken
        self._dumps = dumps

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Dump on SIGUSR1 until cancelled; then, if the core is broken, once more."""
        try:
            with trio.open_signal_receiver(SIGNAL) as signals, self._owned():
                task_status.started()
                async for _ in signals:
                    while self._recorder.catch_up(CATCH_UP_RECORDS):
                        await trio.lowlevel.checkpoint()
                    await trio.to_thread.run_sync(self.dump, ASKED)
        finally:
            if self._broken.is_set():
                self._recorder.catch_up()
                self.dump(BROKEN)  # on the event loop: there is nobody else to be held up

    def dump(self, cause: str) -> None:
        """Write a dump and log where it is. Takes a while, in any thread; does not fail."""
        try:
            path = self._dumps.write(self._recorder.recorded(), cause=cause)
        except OSError as error:
            log.error("cannot write a dump", cause=cause, reason=str(error))
        except Exception:  # a defect here must not end what goes on without dumps
            log.exception("cannot write a dump", cause=cause)
        else:
            log.warning("dumped", cause=cause, path=str(path))

    def _owned(self) -> AbstractContextManager[object]:
        try:
            return self._dumps.owned()
        except OSError as error:
            log.warning("cannot be asked for dumps", reason=str(error))
            return nullcontext()
