"""Preheats: created and removed by operators, carried on by the runner.

Whoever asks for the same content joins the preheat that is under way, or is given the one that has
ended well, as long as all its files are still there.

A file of known content is not fetched if another task's complete file has that content, nor while
another one's is coming.
"""

from supernode.core.commands import (
    Batched,
    BeginPart,
    CopyTask,
    CreateBatch,
    CreatePreheat,
    FailPreheat,
    RemovePreheat,
    ResolvePreheat,
    StartPreheat,
)
from supernode.core.errors import Full, PreheatEnded, TaskConflict
from supernode.core.events import (
    BatchRegistered,
    BatchRemoved,
    PartStarted,
    PiecesListed,
    PreheatRegistered,
    PreheatResolved,
    PreheatStarted,
    TaskSized,
    TaskStarted,
)
from supernode.core.identity import PartId, PreheatId, TaskId, preheat_id
from supernode.core.model import (
    CdnStatus,
    Part,
    PartStatus,
    Preheat,
    PreheatKind,
    PreheatStatus,
    Source,
    Task,
)
from supernode.core.reasons import Reason
from supernode.core.state import State
from supernode.core.transitions.parts import (
    end_badly,
    end_if_over,
    fail_part,
    finish_part,
    forget,
    forget_oldest,
)
from supernode.core.transitions.step import FAILED, Step, known
from supernode.core.transitions.tasks import forget_task

_ID_BITS = 52


# asking for them


def create_preheat(step: Step, command: CreatePreheat) -> PreheatId:
    """Make a preheat known, or join one of the same content.

    Raises:
        TaskConflict: see :meth:`Step.identify`.
        Full: one too many.
    """
    wanted = _wanted(step, command)
    if joined := _joined(step.state, wanted):
        return joined
    _check_room(step, 1)
    return _register(step, wanted)


def create_batch(step: Step, command: CreateBatch) -> Batched:
    """Make several preheats known, or join them, and let them be looked at together.

    Raises:
        TaskConflict: see :meth:`Step.identify`.
        Full: some too many.
    """
    wanted = [_wanted(step, wish) for wish in command.wishes]
    new = {preheat.key for preheat in wanted if _joined(step.state, preheat) is None}
    _check_room(step, len(new))
    preheats = tuple(_joined(step.state, preheat) or _register(step, preheat) for preheat in wanted)
    batch = _new_id(step)
    step.emit(BatchRegistered(at=step.now, batch=batch, preheats=preheats))
    while len(step.state.batches) > step.state.limits.most_batches:
        step.emit(BatchRemoved(at=step.now, batch=next(iter(step.state.batches))))
    return Batched(batch=batch, preheats=preheats)


def _wanted(step: Step, wish: CreatePreheat) -> Preheat:
    """Return the preheat that would be registered; its ID says nothing."""
    identity = wish.spec.identity
    if wish.kind is PreheatKind.FILE:
        identity, _ = step.identify(wish.spec)
    return Preheat(
        id=PreheatId(""),
        task=identity,
        spec=wish.spec,
        created=step.now,
        kind=wish.kind,
        platforms=wish.platforms,
        manifest=wish.manifest,
    )


def _joined(state: State, wanted: Preheat) -> PreheatId | None:
    joined = state.joinable.get(wanted.key)
    if joined is None:
        return None
    preheat = state.preheats[joined]
    return joined if preheat.finished is None or _is_there(state, preheat) else None


def _is_there(state: State, preheat: Preheat) -> bool:
    """Tell whether all that a preheat had fetched is still there."""
    wanted = (p for p in preheat.parts.values() if p.status is not PartStatus.SKIPPED)
    tasks = [state.tasks.get(part.task) for part in wanted]
    return all(task is not None and task.status is CdnStatus.SUCCESS for task in tasks)


def _check_room(step: Step, count: int) -> None:
    state = step.state
    if count and len(state.preheats_open) + count > state.limits.most_preheats:
        raise Full("preheats")


def _register(step: Step, wanted: Preheat) -> PreheatId:
    preheat = _new_id(step)
    step.emit(
        PreheatRegistered(
            at=step.now,
            preheat=preheat,
            task=wanted.task,
            spec=wanted.spec,
            kind=wanted.kind,
            platforms=wanted.platforms,
            manifest=wanted.manifest,
        )
    )
    return preheat


def _new_id(step: Step) -> PreheatId:
    while True:
        identity = preheat_id(step.chance.getrandbits(_ID_BITS))
        if identity not in step.state.preheats and identity not in step.state.batches:
            return identity


# carrying them out


def start_preheat(step: Step, command: StartPreheat) -> None:
    """Let a preheat be carried out. Of a file, that is to begin it.

    Raises NotFound, PreheatEnded, Full.
    """
    preheat = _unended(step, command.preheat)
    if preheat.status is not PreheatStatus.WAITING:
        return
    for part in preheat.parts.values():
        _check_room_for(step, part)
    step.emit(PreheatStarted(at=step.now, preheat=preheat.id, task=preheat.task))
    for part in preheat.parts.values():
        _begin(step, part, may_copy=False)


def resolve_preheat(step: Step, command: ResolvePreheat) -> None:
    """Note of which files an image consists. Raises NotFound, PreheatEnded, TaskConflict, Full."""
    preheat = _unended(step, command.preheat)
    if preheat.is_resolved or preheat.status is not PreheatStatus.RUNNING:
        raise TaskConflict(f"preheat {preheat.id} is not to be resolved")
    _make_room_for_parts(step, len(command.blobs))
    wanted = [blob for blob in command.blobs if not blob.skipped]
    step.emit(
        PreheatResolved(
            at=step.now,
            preheat=preheat.id,
            task=preheat.task,
            manifest=command.manifest,
            blobs=command.blobs,
            parts=len(command.blobs),
            length=sum(blob.size or 0 for blob in wanted),
        )
    )
    end_if_over(step, preheat)


def _make_room_for_parts(step: Step, count: int) -> None:
    """Forget as many of the oldest ended preheats as it takes. Raises Full."""
    state = step.state
    room = state.limits.most_parts - len(state.parts) - count
    oldest: list[Preheat] = []
    for preheat in map(state.preheats.__getitem__, state.preheats_ended):
        if room >= 0:
            break
        oldest.append(preheat)
        room += len(preheat.parts)
    if room < 0:
        raise Full("files of preheats")
    for preheat in oldest:
        forget(step, preheat)


def begin_part(step: Step, command: BeginPart) -> TaskId | None:
    """Let a file be there, wait for it, or tell of which task it is to be a copy.

    Raises NotFound, PreheatEnded, Full.
    """
    part = _part(step, command.part)
    _check_room_for(step, part)
    return _begin(step, part, may_copy=command.may_copy)


def _check_room_for(step: Step, part: Part) -> None:
    spec = step.state.spec_of(part)
    step.check_room_for_task(step.state.tasks.get(part.task), spec)


def _begin(step: Step, part: Part, *, may_copy: bool) -> TaskId | None:
    spec = step.state.spec_of(part)
    try:
        identity, task = step.identify(spec)
    except TaskConflict as conflict:
        fail_part(step, part, Reason.TASK_CONFLICT, str(conflict))
        return None
    if task and task.status is CdnStatus.SUCCESS and part.sha256 not in ("", task.sha256):
        forget_task(step, task, Reason.DIGEST_MISMATCH)  # whoever had it fetched: it is wrong
        task = None
    if task and step.is_spared(task):
        assert task.reason is not None
        fail_part(step, part, task.reason, task.detail)
    elif task is None or task.status in FAILED:
        if may_copy and (source := _complete_copy(step.state, part)):
            return source
        if may_copy and (coming := _coming_copy(step.state, part)):
            _wait(step, part, coming, Source.COPY)
        else:
            step.register_task(identity, spec)
            _wait(step, part, identity, Source.ORIGIN)
    else:
        step.doubt_if_due(task, spec)
        was_there = task.status is CdnStatus.SUCCESS or task.adopted
        if task.status is CdnStatus.SUCCESS and not task.doubted:
            finish_part(step, part, Source.CACHE, task)
        else:
            _wait(step, part, identity, Source.CACHE if was_there else Source.ORIGIN)
    return None


def _complete_copy(state: State, part: Part) -> TaskId | None:
    """Return a task whose complete file has the part's content."""
    for source in state.complete.get(part.sha256, ()):
        if source != part.task and not state.tasks[source].doubted:
            return source
    return None


def _coming_copy(state: State, part: Part) -> TaskId | None:
    """Return a task whose file is being fetched, and promises the part's content."""
    for source in state.coming.get(part.sha256, ()):
        if source != part.task and not state.tasks[source].paused:
            return source
    return None


def _wait(step: Step, part: Part, awaits: TaskId, came_from: Source) -> None:
    step.emit(
        PartStarted(
            at=step.now,
            preheat=part.preheat,
            task=part.task,
            part=part.id,
            awaits=awaits,
            came_from=came_from,
        )
    )


def copy_task(step: Step, command: CopyTask) -> int:
    """Make a file known that is a copy of a complete one.

    Raises:
        NotFound: the part or the source.
        PreheatEnded: the part is no longer to be begun.
        TaskConflict: the source is not complete or another file, or the part's task is there.
        Full: one task too many.
    """
    part, source = _part(step, command.part), step.task(command.source)
    if source.status is not CdnStatus.SUCCESS or source.sha256 != part.sha256:
        raise TaskConflict(f"task {source.id} has not the content of {part.id}")
    spec = step.state.spec_of(part)
    identity, task = step.identify(spec)
    if task is not None and task.status not in FAILED:
        raise TaskConflict(f"task {identity} is {task.status} already")
    step.check_room_for_task(task, spec)
    assert source.piece_size is not None
    step.register_task(identity, spec, adopted_from=step.now)
    step.emit(TaskStarted(at=step.now, task=identity))
    step.emit(
        TaskSized(at=step.now, task=identity, length=source.length, piece_size=source.piece_size)
    )
    step.emit(
        PiecesListed(
            at=step.now,
            task=identity,
            digests=tuple(source.digests[piece] for piece in sorted(source.digests)),
            md5=source.md5,
            sha256=source.sha256,
        )
    )
    _wait(step, part, identity, Source.COPY)
    return step.task(identity).generation


def fail_preheat(step: Step, command: FailPreheat) -> None:
    """Note that a preheat cannot be carried out. Raises NotFound, PreheatEnded, TaskConflict."""
    preheat = _unended(step, command.preheat)
    if preheat.is_resolved:
        raise TaskConflict(f"preheat {preheat.id} ends with its files")
    end_badly(step, preheat, command.reason, command.detail)
    forget_oldest(step)


# removing them


def remove_preheat(step: Step, command: RemovePreheat) -> None:
    """Forget a preheat, or a batch of them, and the tasks nobody else waits for. Raises NotFound.

    What a preheat of a batch has in common with those who joined it goes for them, too.
    """
    members = step.state.batches.get(command.preheat)
    if members is None:
        _remove(step, known(step.state.preheats, command.preheat, "preheat"))
        return
    step.emit(BatchRemoved(at=step.now, batch=command.preheat))
    for member in dict.fromkeys(members):
        if preheat := step.state.preheats.get(member):
            _remove(step, preheat)


def _remove(step: Step, preheat: Preheat) -> None:
    fetched = [part.task for part in preheat.parts.values() if part.awaits == part.task]
    forget(step, preheat)
    for identity in fetched:
        task = step.state.tasks[identity]
        if _is_unwanted(step.state, task):
            forget_task(step, task, Reason.PREHEAT_DELETED)


def _is_unwanted(state: State, task: Task) -> bool:
    return task.is_fetched and not task.running and not state.is_awaited(task.id)


def _unended(step: Step, identity: PreheatId) -> Preheat:
    preheat = known(step.state.preheats, identity, "preheat")
    if preheat.finished is not None:
        raise PreheatEnded(f"preheat {identity} is {preheat.status}")
    return preheat


def _part(step: Step, identity: PartId) -> Part:
    """Return a part that is to be begun. Raises NotFound, PreheatEnded."""
    part = known(step.state.parts, identity, "part of a preheat")
    if not part.may_begin or step.state.preheats[part.preheat].finished is not None:
        raise PreheatEnded(f"part {identity} is {part.status}")
    return part
