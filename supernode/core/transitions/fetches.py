"""The fetch from the origin, from its start to its end."""

from supernode.core.commands import (
    AdoptTask,
    CachePiece,
    ConfirmTask,
    FailFetch,
    FinishFetch,
    LosePieces,
    RenewTask,
    ReopenTask,
    SizeTask,
    StartFetch,
    VerifyPieces,
)
from supernode.core.errors import TaskConflict
from supernode.core.events import (
    DownloadStarted,
    PieceCached,
    PiecesListed,
    PiecesLost,
    PiecesVerified,
    TaskConfirmed,
    TaskFailed,
    TaskFinished,
    TaskPaused,
    TaskPinned,
    TaskReopened,
    TaskSized,
    TaskStarted,
)
from supernode.core.identity import TaskId
from supernode.core.model import CdnStatus, DownloadStatus, Limits, Task
from supernode.core.pieces import PieceNumber, piece_size_for
from supernode.core.reasons import Actor, Reason
from supernode.core.transitions.parts import file_came, file_lost
from supernode.core.transitions.pulls import finish_if_complete
from supernode.core.transitions.step import FAILED, Step, leases_of
from supernode.core.transitions.tasks import forget_task

MOST_DOUBLINGS = 16
"""More would not fit a number some day."""


def start_fetch(step: Step, command: StartFetch) -> int:
    """Let the fetch of a waiting task begin. Raises NotFound, TaskConflict."""
    task = step.task(command.task)
    if task.status is not CdnStatus.WAITING:
        raise TaskConflict(f"task {task.id} is {task.status}, not WAITING")
    step.emit(TaskStarted(at=step.now, task=task.id))
    return task.generation


def adopt_task(step: Step, command: AdoptTask) -> int:
    """Make a file known that is on disk. Raises TaskConflict, Full."""
    task = step.state.tasks.get(command.task)
    if task is not None and task.status not in FAILED:
        raise TaskConflict(f"task {task.id} is {task.status} already")
    step.check_room_for_task(task, command.spec)
    step.register_task(command.task, command.spec, adopted_from=command.last_used)
    step.emit(TaskStarted(at=step.now, task=command.task))
    step.emit(
        TaskSized(
            at=step.now,
            task=command.task,
            length=command.length,
            piece_size=command.piece_size,
            origin_version=command.version,
        )
    )
    if command.digests:
        step.emit(
            PiecesListed(
                at=step.now,
                task=command.task,
                digests=command.digests,
                md5=command.md5,
                sha256=command.sha256,
            )
        )
    return step.task(command.task).generation


def size_task(step: Step, command: SizeTask) -> int:
    """Note how long the file is; return its piece size. Raises NotFound, TaskConflict."""
    task = _fetched(step, command.task, command.generation)
    size = task.piece_size or piece_size_for(command.length)
    step.emit(
        TaskSized(
            at=step.now,
            task=task.id,
            length=command.length,
            piece_size=size,
            origin_version=command.version,
        )
    )
    return size


def cache_piece(step: Step, command: CachePiece) -> None:
    """Let a piece be handed out.

    Raises:
        NotFound: the task.
        TaskConflict: the fetch is not the one under way, or the piece is known to be another.
    """
    task = _fetched(step, command.task, command.generation)
    if known := task.digests.get(PieceNumber(command.piece)):
        if known != command.digest:
            raise TaskConflict(f"piece {command.piece} is {known}, not {command.digest}")
        _verify(step, task, 1 << command.piece)
        return
    step.emit(
        PieceCached(
            at=step.now,
            task=task.id,
            piece=PieceNumber(command.piece),
            digest=command.digest,
        )
    )


def verify_pieces(step: Step, command: VerifyPieces) -> None:
    """Let the seed give pieces of an earlier process. Raises NotFound, TaskConflict."""
    _verify(step, _current(step, command.task, command.generation), command.pieces)


def _verify(step: Step, task: Task, pieces: int) -> None:
    if news := pieces & task.swarm.lacking:
        step.emit(PiecesVerified(at=step.now, task=task.id, pieces=news))


def lose_pieces(step: Step, command: LosePieces) -> None:
    """Let the seed give pieces no longer. Raises NotFound, TaskConflict."""
    task = _current(step, command.task, command.generation)
    if lost := command.pieces & task.swarm.seeded:
        step.emit(PiecesLost(at=step.now, task=task.id, pieces=lost))


def reopen_task(step: Step, command: ReopenTask) -> None:
    """Let the file be fetched once more.

    Raises:
        NotFound: the task.
        TaskConflict: it is another one by now, is being fetched or in doubt, or is of a part of a
            file, and which is forgotten.
    """
    task = _current(step, command.task, command.generation)
    if task.doubted or not (task.status is CdnStatus.SUCCESS or task.adopted):
        raise TaskConflict(f"task {task.id} is {task.status}: there is no copy to be replaced")
    if any(name.lower() == "range" for name in task.spec.headers.names()):
        raise TaskConflict(f"task {task.id} is of a part of a file, and which is forgotten")
    step.emit(TaskReopened(at=step.now, task=task.id))


def finish_fetch(step: Step, command: FinishFetch) -> bool:
    """Judge the whole file; return whether it is right. Raises NotFound, TaskConflict."""
    task = _fetched(step, command.task, command.generation)
    if task.swarm.lacking:
        raise TaskConflict(f"task {task.id} has pieces that are not verified")
    wanted = task.spec.md5.strip().lower()
    if wanted and wanted != command.md5:
        _fail(step, task, Reason.DIGEST_MISMATCH, f"md5 is {command.md5}, not {wanted}")
        return False
    named = task.spec.sha256
    if named and command.sha256 and named != command.sha256:
        _fail(step, task, Reason.DIGEST_MISMATCH, f"sha256 is {command.sha256}, not {named}")
        return False
    step.emit(
        TaskFinished(
            at=step.now,
            task=task.id,
            length=command.length,
            md5=command.md5,
            sha256=command.sha256,
        )
    )
    for download in list(task.downloads.values()):
        if download.status is DownloadStatus.RUNNING:
            finish_if_complete(step, task, download)
    file_came(step, task, was_there=False)
    return True


def confirm_task(step: Step, command: ConfirmTask) -> None:
    """Hand out what was held back. Raises NotFound, TaskConflict."""
    task = _doubted(step, command.task, command.generation)
    step.emit(TaskConfirmed(at=step.now, task=task.id))
    file_came(step, task, was_there=True)


def renew_task(step: Step, command: RenewTask) -> None:
    """Let another file have the same ID; who waits gets that one. Raises NotFound, TaskConflict."""
    task = _doubted(step, command.task, command.generation)
    waiting = [d for d in task.downloads.values() if d.status is DownloadStatus.RUNNING]
    spec, pinned, size = task.spec, task.pinned, task.piece_size
    forget_task(step, task, Reason.ORIGIN_CHANGED)
    step.register_task(task.id, spec)
    if task.paused:
        step.emit(TaskPaused(at=step.now, task=task.id))
    if pinned:
        step.emit(TaskPinned(at=step.now, task=task.id))
    if waiting and size is not None:  # they may have been told
        step.emit(TaskSized(at=step.now, task=task.id, length=None, piece_size=size))
    for download in waiting:
        step.emit(
            DownloadStarted(
                at=step.now,
                task=task.id,
                client=download.client,
                peer=download.peer,
                path=download.path,
            )
        )


def _doubted(step: Step, identity: TaskId, generation: int) -> Task:
    task = _current(step, identity, generation)
    if not task.doubted:
        raise TaskConflict(f"task {task.id} is not in doubt")
    return task


def fail_fetch(step: Step, command: FailFetch) -> None:
    """End a task without its file. Raises NotFound, TaskConflict."""
    task = _fetched(step, command.task, command.generation)
    _fail(step, task, command.reason, command.detail)


def _fail(step: Step, task: Task, reason: Reason, detail: str) -> None:
    status = CdnStatus.SOURCE_ERROR if reason.is_origins_fault else CdnStatus.FAILED
    for download in task.downloads.values():
        step.release(leases_of(download), Reason.TASK_FAILED)
    pause = _pause_after(task, reason, step.state.limits)
    step.emit(
        TaskFailed(
            at=step.now,
            task=task.id,
            status=status,
            reason=reason,
            detail=detail,
            retry_at=step.now + pause if pause else None,
            downloads=task.running,
        )
    )
    file_lost(step, task.id, reason, detail)


def _pause_after(task: Task, reason: Reason, limits: Limits) -> float:
    """Return for how long the origin is not asked again, in seconds.

    It grows while the origin is in trouble. A file that the origin does not give, but may any
    moment, is no trouble. The next client may bring the right credentials, and what has changed
    is there.
    """
    if not reason.is_origins_fault or reason in (Reason.ORIGIN_AUTH, Reason.ORIGIN_CHANGED):
        return 0.0
    if reason.actor is Actor.CLIENT:
        return limits.failed_origin_pause
    doubled = 1 << min(task.failures, MOST_DOUBLINGS)
    pause = limits.failed_origin_pause * doubled
    return min(pause, limits.failed_origin_longest_pause)


def _current(step: Step, identity: TaskId, generation: int) -> Task:
    task = step.task(identity)
    if task.generation != generation:
        raise TaskConflict(f"task {task.id} is another one by now")
    return task


def _fetched(step: Step, identity: TaskId, generation: int) -> Task:
    task = _current(step, identity, generation)
    if task.status is not CdnStatus.RUNNING:
        raise TaskConflict(f"task {task.id} is {task.status}, not RUNNING")
    return task
