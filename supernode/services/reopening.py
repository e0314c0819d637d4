"""Reopening: a file whose copy here is damaged beyond repair is fetched once more.

Those who download it go on: what they and their peers have is good, and what comes is compared with
what is known of the file.
"""

import structlog

from supernode.core.commands import LosePieces, ReopenTask
from supernode.core.errors import NotFound, TaskConflict
from supernode.core.model import Task
from supernode.dispatch import Dispatcher
from supernode.storage.errors import Damaged, Gone, StoreError
from supernode.storage.piece_files import PieceFile, PieceStore

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def reopen(
    dispatch: Dispatcher, store: PieceStore, task: Task, file: PieceFile, damage: Damaged
) -> bool:
    """Have a file fetched once more, if somebody waits for it; tell whether it will be.

    Args:
        dispatch: the door to the tracker.
        store: where the files are.
        task: whose copy it is.
        file: the copy; those of its pieces that are sealed are good, unless it is gone.
        damage: what is wrong with it.
    """
    if not task.running:
        return False
    good = 0 if isinstance(damage, Gone) else file.sealed
    lost = sum(1 << number for number in task.digests) & ~good
    try:
        dispatch(LosePieces(task=task.id, generation=task.generation, pieces=lost))
        if isinstance(damage, Gone):
            await store.discard(file)
        dispatch(ReopenTask(task=task.id, generation=task.generation))
    except (NotFound, TaskConflict):
        return False
    except StoreError as error:
        log.warning("a file could not be removed", task=task.id, problem=str(error))
        return False
    log.warning("a cached file is damaged", task=task.id, detail=damage.detail)
    return True
