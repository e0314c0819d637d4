"""Seed checks: whether the supernode's own copy of a piece is good, when a client could not get it.

A client's word proves nothing: the piece is read again and compared with its digest. A good one
stays. A damaged one is given to nobody any more and fetched from the origin by its range; if that
does not work, the whole file is fetched once more, or forgotten if nobody waits for it.

However many accuse, a piece is read once a minute at most, and few at a time.
"""

from contextlib import suppress

import structlog
import trio

from supernode.core.commands import LosePieces, RemoveTask
from supernode.core.errors import NotFound, TaskConflict
from supernode.core.events import PieceFailed
from supernode.core.identity import TaskId
from supernode.core.model import CdnStatus, Task
from supernode.core.pieces import PieceNumber
from supernode.core.reasons import Reason
from supernode.core.swarm import bits
from supernode.dispatch import Dispatcher
from supernode.feed import Published
from supernode.services.asking import Pace
from supernode.services.reopening import reopen
from supernode.services.repairing import Repair
from supernode.storage.errors import Damaged, Discarded, Gone, StoreError
from supernode.storage.piece_files import PieceFile, PieceStore

AT_ONCE = 2
PAUSE_SECONDS = 0.5
"""After each, so that all together read no more than a few pieces a second."""
SAME_PIECE_SECONDS = 60.0
MOST_WAITING = 256
"""What is beyond is dropped: what is true will be said again."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class SeedChecks:
    """The service. Files that are still being fetched, or verified, are left to those who do that.

    Args:
        dispatch: the door to the tracker.
        store: where the files are.
        repair: puts a damaged piece of a complete file back.
    """

    def __init__(self, dispatch: Dispatcher, store: PieceStore, repair: Repair) -> None:
        self._dispatch = dispatch
        self._store = store
        self._repair = repair
        self._pace = Pace(SAME_PIECE_SECONDS)
        self._accused, self._to_check = trio.open_memory_channel[tuple[TaskId, PieceNumber]](
            MOST_WAITING
        )
        dispatch.feed.listen(self._note)

    def _note(self, published: Published) -> None:
        event = published.event
        if isinstance(event, PieceFailed) and event.source is None:
            with suppress(trio.WouldBlock):
                self._accused.send_nowait((event.task, event.piece))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Check what clients say, until cancelled. Pieces that are lost then are seen to again."""
        async with trio.open_nursery() as workers:
            workers.start_soon(self._go_on)
            for _ in range(AT_ONCE):
                workers.start_soon(self._work)
            task_status.started()

    async def _go_on(self) -> None:
        """See to what a run that has crashed has left behind."""
        lost = [
            (task, PieceNumber(piece))
            for task in self._dispatch.tracker.tasks()
            if task.status is CdnStatus.SUCCESS
            for piece in bits(task.swarm.lacking)
        ]
        for task, piece in lost:
            if file := self._store.find(task.id):
                await self._mend(task, file, piece, Damaged(f"piece {piece} is lost"))

    async def _work(self) -> None:
        async for task_id, piece in self._to_check:
            task = self._dispatch.tracker.state.tasks.get(task_id)
            file = self._store.find(task_id)
            if task is None or file is None or task.status is not CdnStatus.SUCCESS:
                continue
            if file.sealed >> piece & 1 and self._pace.take((task_id, piece)):
                await self._check(task, file, piece)
                await trio.sleep(PAUSE_SECONDS)

    async def _check(self, task: Task, file: PieceFile, piece: PieceNumber) -> None:
        try:
            await file.verify(piece)
        except Damaged as damage:
            await self._mend(task, file, piece, damage)
        except StoreError as error:
            await self._mend(task, file, piece, Damaged(error.detail))
        except Discarded:
            pass  # the task was removed meanwhile
        else:
            log.debug("a piece is good, whatever a client says", task=task.id, piece=piece)

    async def _mend(self, task: Task, file: PieceFile, piece: PieceNumber, damage: Damaged) -> None:
        """Put a damaged piece back, or the whole file."""
        log.warning("a piece is damaged", task=task.id, piece=piece, problem=damage.detail)
        file.unseal(piece)
        with suppress(NotFound, TaskConflict):  # it was removed meanwhile
            self._dispatch(LosePieces(task=task.id, generation=task.generation, pieces=1 << piece))
            if not isinstance(damage, Gone) and await self._repair(task, file, piece):
                return
            if await reopen(self._dispatch, self._store, task, file, damage):
                return
            current = self._dispatch.tracker.task(task.id)
            if current.generation == task.generation:
                self._dispatch(RemoveTask(task=task.id, reason=Reason.CACHE_DAMAGED))
