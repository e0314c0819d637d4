"""Clients ask for files; peers offer whole ones; operators pause and remove them."""

import math

from supernode.core.commands import (
    CutTask,
    HoldTask,
    PauseTask,
    PinTask,
    RegisterTask,
    RemoveTask,
)
from supernode.core.errors import BadField, Full, TaskConflict, TaskEnded
from supernode.core.events import (
    DownloadFailed,
    DownloadFinished,
    DownloadStarted,
    DownloadWithdrawn,
    PiecesHeld,
    TaskPaused,
    TaskPinned,
    TaskRemoved,
    TaskResumed,
    TaskSized,
    TaskUnpinned,
)
from supernode.core.identity import ClientId, TaskId
from supernode.core.model import CdnStatus, Download, DownloadStatus, Peer, Task
from supernode.core.pieces import piece_size_for
from supernode.core.reasons import Reason
from supernode.core.transitions.claims import check_claim, make_claim
from supernode.core.transitions.parts import file_lost
from supernode.core.transitions.pulls import finish_if_complete
from supernode.core.transitions.step import FAILED, Step, leases_of


def register_task(step: Step, command: RegisterTask) -> TaskId:
    """Begin a client's download, and the fetch of the file unless it is under way or done.

    Raises:
        NotFound: the peer.
        BadField: ``pieces``, if the file has not so many.
        TaskConflict: see :meth:`Step.identify`.
        TaskEnded: its origin has failed a moment ago.
        Full: one task or one download too many.
    """
    identity, task = step.identify(command.spec)
    if command.peer is not None:
        step.peer(command.peer)
    if task is not None and step.is_spared(task):
        assert task.reason is not None
        seconds = math.ceil(task.retry_at - step.now)
        raise TaskEnded(task.reason, f"{task.detail} (not asked again for {seconds} s)".lstrip())
    step.check_room_for_task(task, command.spec)
    _check_room_for_download(step, task, command.client)
    claimed = check_claim(task, command.pieces)
    if task is None or task.status in FAILED:
        step.register_task(identity, command.spec)
    else:
        step.doubt_if_due(task, command.spec)
        if before := task.downloads.get(command.client):
            step.release_around(before, Reason.CLIENT_RESTARTED)
    step.emit(
        DownloadStarted(
            at=step.now,
            task=identity,
            client=command.client,
            peer=command.peer,
            path=command.path,
        )
    )
    task, download = step.download(identity, command.client)
    make_claim(step, download, claimed)
    finish_if_complete(step, task, download)
    return identity


def _check_room_for_download(step: Step, task: Task | None, client: ClientId) -> None:
    is_new = task is None or client not in task.downloads
    if is_new and step.state.downloads >= step.state.limits.most_downloads:
        raise Full("downloads")


def cut_task(step: Step, command: CutTask) -> int:
    """Settle a file's piece size, as if its length were not known. Raises NotFound, TaskEnded."""
    task = step.task(command.task)
    if task.reason is not None:
        raise TaskEnded(task.reason, task.detail)
    if task.piece_size is None:
        size = piece_size_for(None)
        step.emit(TaskSized(at=step.now, task=task.id, length=None, piece_size=size))
    assert task.piece_size is not None
    return task.piece_size


def hold_task(step: Step, command: HoldTask) -> None:
    """Let a peer be a holder of the whole file.

    Raises:
        NotFound: the task or the peer.
        TaskConflict: the supernode itself does not have, and so not know, the whole file.
        BadField: ``path``, if nobody has said where the peer serves the file.
        Full: one download too many.
    """
    task, peer = step.task(command.task), step.peer(command.peer)
    if task.status is not CdnStatus.SUCCESS:
        raise TaskConflict(
            f"task {task.id} is {task.status}, not SUCCESS: its pieces are not known"
        )
    download = _download_of(task, peer, command.path) or _begin(step, task, peer, command.path)
    step.release(leases_of(download), Reason.CLIENT_HAS_IT)
    if download.have != task.swarm.known:
        step.emit(
            PiecesHeld(at=step.now, task=task.id, client=download.client, pieces=task.swarm.known)
        )
    if download.status is DownloadStatus.RUNNING:
        step.emit(DownloadFinished(at=step.now, task=task.id, client=download.client))


def _download_of(task: Task, peer: Peer, path: str) -> Download | None:
    """Return a download by which the peer offers the file, under the path if one is given."""
    known = [task.downloads[client] for task_id, client in peer.downloads if task_id == task.id]
    return min(
        (d for d in known if path in ("", d.path) and d.status is not DownloadStatus.FAILED),
        key=lambda d: (d.status is not DownloadStatus.RUNNING, d.client),
        default=None,
    )


def _begin(step: Step, task: Task, peer: Peer, path: str) -> Download:
    """Return a new download of the peer's own, named after it."""
    if not path:
        raise BadField("path", "is required: the peer has no download of this task")
    client = ClientId(peer.id)
    _check_room_for_download(step, task, client)
    if before := task.downloads.get(client):
        step.release_around(before, Reason.CLIENT_RESTARTED)
    step.emit(DownloadStarted(at=step.now, task=task.id, client=client, peer=peer.id, path=path))
    return task.downloads[client]


def pause_task(step: Step, command: PauseTask) -> None:
    """Hand out nothing, or do so again. Raises NotFound."""
    task = step.task(command.task)
    if task.paused is not command.paused:
        change = TaskPaused if command.paused else TaskResumed
        step.emit(change(at=step.now, task=task.id))


def pin_task(step: Step, command: PinTask) -> None:
    """Let a task never make room for others, or do so again. Raises NotFound."""
    task = step.task(command.task)
    if task.pinned is not command.pinned:
        change = TaskPinned if command.pinned else TaskUnpinned
        step.emit(change(at=step.now, task=task.id))


def remove_task(step: Step, command: RemoveTask) -> None:
    """Forget a task. Raises NotFound."""
    task = step.task(command.task)
    if command.keep_copy and (task.status is CdnStatus.SUCCESS or task.adopted):
        _clear(step, task, command.reason)
    else:
        forget_task(step, task, command.reason)
        file_lost(step, task.id, command.reason)


def _clear(step: Step, task: Task, reason: Reason) -> None:
    downloads = list(task.downloads.values())
    for download in downloads:
        step.release(leases_of(download), reason)
    for download in downloads:
        if download.status is DownloadStatus.RUNNING:
            step.emit(
                DownloadFailed(at=step.now, task=task.id, client=download.client, reason=reason)
            )
        if download.peer is not None:
            step.emit(DownloadWithdrawn(at=step.now, task=task.id, client=download.client))


def forget_task(step: Step, task: Task, reason: Reason) -> None:
    """End everything around a task, then forget it."""
    for download in task.downloads.values():
        step.release(leases_of(download), reason)
    step.emit(TaskRemoved(at=step.now, task=task.id, reason=reason))
