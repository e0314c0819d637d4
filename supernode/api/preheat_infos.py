"""How preheats, their files and batches are shown."""

import sys
from collections.abc import Callable, Collection

from supernode.api.answers import moment
from supernode.api.models import BatchedPreheat, PreheatBlob, PreheatBytes, PreheatInfo
from supernode.api.urls import shown_task_url
from supernode.core.errors import NotFound
from supernode.core.identity import PreheatId, TaskId
from supernode.core.model import Part, PartStatus, Preheat, PreheatKind, PreheatStatus, Task
from supernode.core.pieces import content_size
from supernode.core.reasons import Reason

BATCH = "batch"
_HARBOR_FAILED = "FAIL"
_LAST_FIRST = (PreheatStatus.RUNNING, PreheatStatus.WAITING, PreheatStatus.FAILED)
"""What a batch is: the first of these that one of its preheats is."""


def info_of(preheat: Preheat, task_of: Callable[[TaskId], Task] | None = None) -> PreheatInfo:
    """Return a preheat as it is shown.

    Args:
        preheat: which.
        task_of: looks a task up, and raises NotFound, for an image's files to be shown one by one;
            None: they are not.
    """
    info = PreheatInfo(
        id=preheat.id,
        status=preheat.status,
        start_time=moment(preheat.created),
        finish_time=moment(preheat.finished) if preheat.finished is not None else None,
        url=shown_task_url(preheat.spec),
        type=preheat.kind.value,
        reason=preheat.reason.code if preheat.reason else "",
        detail=preheat.detail,
        error_msg=in_words(preheat.reason, preheat.detail),
        harbor_status=_HARBOR_FAILED if preheat.status is PreheatStatus.FAILED else "",
        bytes_from=_bytes_from(preheat),
    )
    if preheat.kind is PreheatKind.FILE:
        info.task_id = preheat.task
        return info
    info.digest = preheat.manifest
    info.platform = ",".join(preheat.platforms)
    if preheat.is_resolved:
        wanted = [part for part in preheat.parts.values() if _is_wanted(part)]
        info.blobs_total = len(wanted)
        info.blobs_done = sum(part.status.has_ended for part in wanted)
        info.bytes_total = sum(part.length or 0 for part in wanted)
        if task_of is not None:
            info.blobs = [_blob_of(part, task_of) for part in preheat.parts.values()]
    return info


def batch_info(batch: PreheatId, preheats: Collection[Preheat]) -> PreheatInfo:
    """Return a batch as it is shown: as far as the preheat that is behind, failed if one has.

    Args:
        preheats: those that are still known, at least one.
    """
    statuses = {preheat.status for preheat in preheats}
    status = next((each for each in _LAST_FIRST if each in statuses), PreheatStatus.SUCCESS)
    if status is PreheatStatus.WAITING and statuses != {status}:
        status = PreheatStatus.RUNNING
    ended = status in (PreheatStatus.FAILED, PreheatStatus.SUCCESS)
    failed = [preheat for preheat in preheats if preheat.reason is not None]
    info = PreheatInfo(
        id=batch,
        status=status,
        start_time=moment(min(preheat.created for preheat in preheats)),
        finish_time=moment(max(p.finished or 0.0 for p in preheats)) if ended else None,
        type=BATCH,
        preheats=[batched(preheat) for preheat in preheats],
    )
    if status is PreheatStatus.FAILED:
        first = failed[0]
        assert first.reason is not None
        info.reason = first.reason.code
        info.detail = f"{len(failed)} of {len(preheats)} preheats failed: {first.detail}"
        info.error_msg = in_words(first.reason, info.detail)
        info.harbor_status = _HARBOR_FAILED
    return info


def batched(preheat: Preheat) -> BatchedPreheat:
    """Return one of a batch's preheats as it is shown."""
    return BatchedPreheat(url=shown_task_url(preheat.spec), id=preheat.id, status=preheat.status)


def in_words(reason: Reason | None, detail: str) -> str:
    """Return why something failed, for people; nothing if it has not."""
    if reason is None:
        return ""
    return f"{reason.text}: {detail}" if detail else reason.text


def _blob_of(part: Part, task_of: Callable[[TaskId], Task]) -> PreheatBlob:
    blob = part.blob
    assert blob is not None
    return PreheatBlob(
        url=blob.url,
        task_id=part.task,
        state=part.status,
        digest=blob.digest,
        size=part.length,
        bytes_done=_bytes_done(part, task_of),
        media_type=blob.media_type,
        platforms=list(blob.platforms),
        came_from=part.came_from if part.status is PartStatus.SUCCESS else None,
        reason=part.reason.code if part.reason else "",
        detail=part.detail,
    )


def _bytes_done(part: Part, task_of: Callable[[TaskId], Task]) -> int:
    """Return how much of a file is there, by the pieces; a last one that is shorter is there."""
    if part.status is PartStatus.SUCCESS:
        return part.length or 0
    if part.awaits is None:
        return 0
    try:
        task = task_of(part.awaits)
    except NotFound:
        return 0
    if task.piece_size is None:
        return 0
    return min(len(task.digests) * content_size(task.piece_size), task.length or sys.maxsize)


def _bytes_from(preheat: Preheat) -> PreheatBytes | None:
    there = [part for part in preheat.parts.values() if part.status is PartStatus.SUCCESS]
    if not there:
        return None
    shown = PreheatBytes()
    for part in there:
        if part.came_from is not None:
            name = part.came_from.value
            setattr(shown, name, getattr(shown, name) + (part.length or 0))
    return shown


def _is_wanted(part: Part) -> bool:
    return part.status is not PartStatus.SKIPPED
