"""Copying: a file that is there under one URL becomes another task's, too, without a second copy.

The content is the same by its SHA-256, so the pieces and their digests are. On disk both are names
of one content.
"""

import structlog

from supernode.core.commands import CopyTask, FinishFetch, VerifyPieces
from supernode.core.errors import Full, NotFound, PreheatEnded, TaskConflict
from supernode.core.identity import PartId, TaskId
from supernode.dispatch import Dispatcher
from supernode.services.provenance import provenance
from supernode.storage.errors import Damaged, Discarded, StoreError
from supernode.storage.piece_files import PieceFile, PieceStore

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Copying:
    """Lets one complete file be another task's, too.

    Args:
        dispatch: the door to the tracker.
        store: where the files are.
    """

    def __init__(self, dispatch: Dispatcher, store: PieceStore) -> None:
        self._dispatch = dispatch
        self._store = store

    async def copy(self, part: PartId, source: TaskId) -> bool:
        """Let the file of ``source`` be the part's; tell whether it is.

        Nobody knows of the copy before it is whole: on cancel nothing is half done.
        """
        try:
            original = self._store.find(source)
            if original is None:
                return False
            file = await self._store.link(original, self._dispatch.tracker.part(part).task)
            try:
                await file.verify_frames()
                self._make_known(part, source, file)
            finally:
                if self._store.find(file.task) is not file:
                    await self._store.drop(file)
        except (StoreError, Damaged) as problem:
            log.warning("a file cannot be shared", part=part, problem=problem.detail)
            return False
        except (Discarded, ValueError, Full, NotFound, PreheatEnded, TaskConflict):
            return False  # one of the two was removed meanwhile, or is fetched for a client
        await self._complete(file)
        return True

    def _make_known(self, part: PartId, source: TaskId, file: PieceFile) -> None:
        """Let the part's task succeed with the file. Without an await, so it is all or nothing."""
        copied = self._dispatch.tracker.task(source)
        if self._store.find(file.task) is not None or copied.length is None:
            raise TaskConflict(f"task {file.task} has a file")
        generation = self._dispatch(CopyTask(part=part, source=source))
        self._store.add(file)
        self._dispatch(VerifyPieces(task=file.task, generation=generation, pieces=file.sealed))
        self._dispatch(
            FinishFetch(
                task=file.task,
                generation=generation,
                length=copied.length,
                md5=copied.md5,
                sha256=copied.sha256,
            )
        )

    async def _complete(self, file: PieceFile) -> None:
        """Leave the notes by which other tools know the file; it is served with or without."""
        try:
            await file.complete(provenance(self._dispatch.tracker.task(file.task)))
        except StoreError as error:
            log.warning("a complete file has no sidecars", task=file.task, problem=str(error))
        except (Discarded, NotFound):
            pass  # its task was removed meanwhile
