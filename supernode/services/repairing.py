"""Repair: one damaged piece of a complete file is fetched again, instead of all of it."""

import structlog
import trio

from supernode.core.commands import VerifyPieces
from supernode.core.errors import NotFound, TaskConflict
from supernode.core.model import Task
from supernode.core.pieces import (
    PieceNumber,
    content_size,
    digest_length,
    digest_of_content,
)
from supernode.dispatch import Dispatcher
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from supernode.origin.trust import Trust
from supernode.storage.errors import Discarded, StoreError
from supernode.storage.piece_files import PieceFile

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Repair:
    """Asks origins for single pieces.

    Args:
        dispatch: the door to the tracker.
        origin: where pieces come from.
    """

    def __init__(self, dispatch: Dispatcher, origin: OriginClient) -> None:
        self._dispatch = dispatch
        self._origin = origin

    async def __call__(self, task: Task, file: PieceFile, number: int) -> bool:
        """Put a piece back as it was and offer it; tell whether that could be done.

        The digest tells whether what the origin has there is what it had. It is asked without the
        credentials of whoever asked first, for those are forgotten.

        Args:
            task: whose file is complete.
            file: its file.
            number: the piece's.
        """
        try:
            restored = await self._restored(task, file, PieceNumber(number))
        except (OriginError, StoreError) as error:
            log.warning(
                "a piece cannot be repaired",
                task=task.id,
                piece=number,
                reason=error.reason.code,
                detail=error.detail,
            )
            return False
        except (Discarded, NotFound, TaskConflict):
            return False  # the task was removed meanwhile
        log.info("a damaged piece was looked for", task=task.id, piece=number, repaired=restored)
        return restored

    async def _restored(self, task: Task, file: PieceFile, number: PieceNumber) -> bool:
        assert task.length is not None
        spec, size = task.spec, content_size(file.piece_size)
        first, last = number * size, min((number + 1) * size, task.length) - 1
        names = [name.lower() for name in spec.headers.names()]
        if last < first or "range" in names:
            return False  # no range can be empty, nor one of a range that is forgotten
        headers = {name: value for name, value in spec.headers.reveal().items() if value}
        content = bytearray()
        async with self._origin.open(
            spec.raw_url,
            headers | {"Range": f"bytes={first}-{last}"},
            trust=Trust(spec.insecure, spec.root_cas),
        ) as body:
            async for chunk in body.chunks():
                content += chunk
        digest = task.digests[number]
        came = await trio.to_thread.run_sync(digest_of_content, content, file.piece_size)
        if came != digest:
            return False
        await file.write(number, [content])
        file.seal(number, digest_length(digest))
        self._dispatch(VerifyPieces(task=task.id, generation=task.generation, pieces=1 << number))
        return True
