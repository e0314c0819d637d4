"""Preheats: created and removed by operators, carried on by the runner."""

from supernode.core.commands import CreatePreheat, EndPreheat, RemovePreheat, StartPreheat
from supernode.core.errors import Full, PreheatEnded
from supernode.core.events import (
    PreheatFailed,
    PreheatFinished,
    PreheatRegistered,
    PreheatRemoved,
    PreheatStarted,
)
from supernode.core.identity import PreheatId
from supernode.core.model import Preheat, PreheatStatus
from supernode.core.reasons import Reason
from supernode.core.transitions.step import FAILED, Step, known
from supernode.core.transitions.tasks import forget_task


def create_preheat(step: Step, command: CreatePreheat) -> PreheatId:
    """Make a preheat known, or join one of the same file that has not ended.

    Raises:
        TaskConflict: see :meth:`Step.identify`.
        Full: one too many.
    """
    state = step.state
    identity, _ = step.identify(command.spec)
    if joined := state.preheats_of.get(identity):
        return joined
    if len(state.preheats_of) >= state.limits.most_preheats:
        raise Full("preheats")
    preheat = PreheatId(f"{step.chance.getrandbits(128):032x}")
    step.emit(PreheatRegistered(at=step.now, preheat=preheat, task=identity, spec=command.spec))
    return preheat


def start_preheat(step: Step, command: StartPreheat) -> None:
    """Have the file fetched, unless its origin has failed a moment ago; that counts as its end.

    Raises NotFound, PreheatEnded, TaskConflict, Full.
    """
    preheat = _unfinished(step, command.preheat)
    identity, task = step.identify(preheat.spec)
    step.check_room_for_task(task, preheat.spec)
    if task is None or (task.status in FAILED and not step.is_spared(task)):
        step.register_task(identity, preheat.spec)
    else:
        step.doubt_if_due(task, preheat.spec)
    if preheat.status is PreheatStatus.WAITING:
        step.emit(PreheatStarted(at=step.now, preheat=preheat.id, task=identity))


def end_preheat(step: Step, command: EndPreheat) -> None:
    """Note how a preheat ended. Raises NotFound, PreheatEnded."""
    preheat = _unfinished(step, command.preheat)
    if command.reason is None:
        step.emit(PreheatFinished(at=step.now, preheat=preheat.id, task=preheat.task))
    else:
        step.emit(
            PreheatFailed(
                at=step.now,
                preheat=preheat.id,
                task=preheat.task,
                reason=command.reason,
                detail=command.detail,
            )
        )
    ended = step.state.preheats_ended
    if len(ended) > step.state.limits.most_ended_preheats:
        oldest = step.state.preheats[next(iter(ended))]
        step.emit(PreheatRemoved(at=step.now, preheat=oldest.id, task=oldest.task))


def remove_preheat(step: Step, command: RemovePreheat) -> None:
    """Forget a preheat, and its task if nobody else waits for that. Raises NotFound."""
    preheat = known(step.state.preheats, command.preheat, "preheat")
    step.emit(PreheatRemoved(at=step.now, preheat=preheat.id, task=preheat.task))
    task = step.state.tasks.get(preheat.task)
    unwanted = task is not None and task.is_fetched and not task.running
    if task and unwanted and preheat.status is PreheatStatus.RUNNING:
        forget_task(step, task, Reason.PREHEAT_DELETED)


def _unfinished(step: Step, identity: PreheatId) -> Preheat:
    preheat = known(step.state.preheats, identity, "preheat")
    if preheat.finished is not None:
        raise PreheatEnded(f"preheat {identity} is {preheat.status}")
    return preheat
