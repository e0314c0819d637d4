"""How the files of preheats end: when their tasks do. With the last file its preheat ends."""

from supernode.core.events import (
    PartFailed,
    PartFinished,
    PartReleased,
    PreheatFailed,
    PreheatFinished,
    PreheatRemoved,
)
from supernode.core.identity import PartId, TaskId
from supernode.core.model import Part, PartStatus, Preheat, Source, Task
from supernode.core.reasons import Reason
from supernode.core.transitions.step import Step


def file_came(step: Step, task: Task, *, was_there: bool) -> None:
    """Tell the preheats that wait for a task that its file is complete.

    Args:
        was_there: it was complete before; its origin has just confirmed it.
    """
    for part in _awaiting(step, task.id):
        if part.task != task.id:
            release_part(step, part)  # to take the file over
        elif part.sha256 not in ("", task.sha256):
            detail = f"sha256 is {task.sha256 or 'not known'}, not {part.sha256}"
            fail_part(step, part, Reason.DIGEST_MISMATCH, detail)
        else:
            taken = was_there or task.adopted
            came_from = part.came_from if taken and part.came_from else Source.ORIGIN
            finish_part(step, part, came_from, task)


def file_lost(step: Step, task: TaskId, reason: Reason, detail: str = "") -> None:
    """Tell the preheats that need a task that its file will not come, or is there no longer."""
    for part in _awaiting(step, task):
        if part.task != task:
            release_part(step, part)
    for part in _parts(step, step.state.parts_held.get(task)):
        if part.status is PartStatus.WAITING:
            continue
        if reason is Reason.CACHE_DAMAGED:
            release_part(step, part)  # its origin still has it
        elif part.awaits is not None or part.status is PartStatus.SUCCESS:
            fail_part(step, part, reason, detail)


def release_part(step: Step, part: Part) -> None:
    """Let a file be begun anew."""
    if not part.may_begin:
        step.emit(PartReleased(at=step.now, preheat=part.preheat, task=part.task, part=part.id))


def finish_part(step: Step, part: Part, came_from: Source, task: Task) -> None:
    """Let a file be there."""
    step.emit(
        PartFinished(
            at=step.now,
            preheat=part.preheat,
            task=part.task,
            part=part.id,
            came_from=came_from,
            length=task.length,
        )
    )
    end_if_over(step, step.state.preheats[part.preheat])


def fail_part(step: Step, part: Part, reason: Reason, detail: str) -> None:
    """Let a file be none that will come."""
    step.emit(
        PartFailed(
            at=step.now,
            preheat=part.preheat,
            task=part.task,
            part=part.id,
            reason=reason,
            detail=detail,
        )
    )
    end_if_over(step, step.state.preheats[part.preheat])


def end_if_over(step: Step, preheat: Preheat) -> None:
    """Let a preheat end if nothing is left to be done about any of its files."""
    if preheat.open_parts:
        return
    failed = [part for part in preheat.parts.values() if part.status is PartStatus.FAILED]
    if not failed:
        step.emit(PreheatFinished(at=step.now, preheat=preheat.id, task=preheat.task))
    else:
        first = failed[0]
        detail = first.detail
        if first.blob is not None:
            wanted = sum(part.status is not PartStatus.SKIPPED for part in preheat.parts.values())
            detail = f"{first.blob.digest}: {detail or first.reason} "
            detail += f"({len(failed)} of {wanted} files failed)"
        assert first.reason is not None
        end_badly(step, preheat, first.reason, detail)
    forget_oldest(step)


def end_badly(step: Step, preheat: Preheat, reason: Reason, detail: str) -> None:
    """Let a preheat have failed."""
    step.emit(
        PreheatFailed(
            at=step.now, preheat=preheat.id, task=preheat.task, reason=reason, detail=detail
        )
    )


def forget_oldest(step: Step) -> None:
    """Forget the preheats that ended first, if there are too many that have."""
    ended = step.state.preheats_ended
    while len(ended) > step.state.limits.most_ended_preheats:
        forget(step, step.state.preheats[next(iter(ended))])


def forget(step: Step, preheat: Preheat) -> None:
    """Let a preheat be known no longer."""
    step.emit(PreheatRemoved(at=step.now, preheat=preheat.id, task=preheat.task))


def _awaiting(step: Step, task: TaskId) -> list[Part]:
    return _parts(step, step.state.parts_awaiting.get(task))


def _parts(step: Step, parts: dict[PartId, None] | None) -> list[Part]:
    return [step.state.parts[part] for part in parts or ()]
