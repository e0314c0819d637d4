"""Clients report what became of their pieces, and pull new ones."""

import hashlib

import msgspec

from supernode.core.commands import (
    Assignment,
    PeerHolder,
    PieceResult,
    Pull,
    Pulled,
    PullStatus,
    Report,
    ReportPiece,
    Seed,
    SeedHolder,
)
from supernode.core.errors import BadField, InvariantError, TaskEnded
from supernode.core.events import (
    DownloadFailed,
    DownloadFinished,
    DownloadResumed,
    DownloadWithdrawn,
    PieceArrived,
    PieceAssigned,
    PieceFailed,
    PieceFinished,
    PiecesOffered,
)
from supernode.core.model import CdnStatus, Download, DownloadStatus, Lease, Task
from supernode.core.pieces import (
    PieceNumber,
    RangeError,
    digest_length,
    parse_piece_range,
    piece_range,
)
from supernode.core.reasons import Reason
from supernode.core.scheduler import Scheduler
from supernode.core.transitions.accusations import accuse
from supernode.core.transitions.step import FAILED, Step, about_lease, copy_of, leases_of, source_of

_HAS_IT = (PieceResult.SUCCESS, PieceResult.SEMISUC)


def pull(step: Step, command: Pull) -> Pulled:
    """Count what a client reports; give it pieces to fetch.

    Raises:
        NotFound: the task or the client.
        TaskEnded: the download has failed.
        BadField: a report.
    """
    task, download = step.download(command.task, command.client)
    finished = command.status is PullStatus.FINISHED
    goes_on = not finished and _was_only_silent(download)
    failed = download.status is DownloadStatus.FAILED and not goes_on
    if failed and not finished:
        raise TaskEnded(download.reason or Reason.TASK_FAILED, download.detail)
    counts = not command.retry and not failed
    reports = _checked(task, command.reports) if counts else []
    if goes_on:
        step.emit(DownloadResumed(at=step.now, task=task.id, client=download.client))
        finish_if_complete(step, task, download)
    step.see_download(download)
    question = _digest_of(command)
    if same := _answer_again(step, task, download, question, {piece for piece, _ in reports}):
        return same
    for piece, report in reports:
        _count(step, task, download, piece, report)
    if finished:
        _end_download(step, task, download, command.result)
        return Pulled(ended=True)
    if command.status is PullStatus.STARTED and not command.retry:
        step.release(leases_of(download), Reason.CLIENT_RESTARTED)
    if download.status is not DownloadStatus.RUNNING:
        return Pulled(ended=True)
    if task.paused:
        return Pulled(paused=True)
    if task.doubted:
        return Pulled()
    pulled = _assign(step, task, download, command.count, question)
    return pulled if pulled.assignments or not command.remind else _reminder(step, task, download)


def _was_only_silent(download: Download) -> bool:
    """Tell whether a download has ended for no other reason, and its file is still the same."""
    silent = download.reason is Reason.CLIENT_SILENT
    return silent and download.status is DownloadStatus.FAILED and download.index >= 0


def report_piece(step: Step, command: ReportPiece) -> None:
    """Count one report. Raises NotFound, BadField."""
    task, download = step.download(command.task, command.client)
    if download.status is DownloadStatus.FAILED:
        return  # the file it was of may be another one by now
    checked = _checked(task, (command.report,))
    step.see_download(download)
    for piece, report in checked:
        _count(step, task, download, piece, report)


def _checked(task: Task, reports: tuple[Report, ...]) -> list[tuple[PieceNumber, Report]]:
    """Return the reports with their piece numbers. Raises BadField."""
    checked = []
    for report in reports:
        if task.piece_size is None:
            raise BadField(report.field, "the task has no pieces yet")
        try:
            piece = parse_piece_range(report.piece_range, task.piece_size)
        except RangeError as error:
            raise BadField(report.field, str(error)) from None
        if piece not in task.digests and task.status not in FAILED:
            raise BadField(report.field, f"the task has no piece {report.piece_range} yet")
        checked.append((piece, report))
    return checked


def _count(step: Step, task: Task, download: Download, piece: PieceNumber, report: Report) -> None:
    """Take a report into account; repeated, late and mistaken ones do no harm."""
    if download.status is not DownloadStatus.RUNNING or download.done >> piece & 1:
        return
    lease = download.leases.get(piece)
    if report.result is PieceResult.SEMISUC and lease and not lease.overdue:
        if lease.written_by is None:
            written_by = step.now + step.state.limits.writing
            step.emit(
                PieceArrived(at=step.now, written_by=written_by, **about_lease(step.state, lease))
            )
    elif report.result in _HAS_IT:
        finish_piece(step, task, download, piece)
    elif report.result is PieceResult.FAILED and lease:
        if _names(report, lease, task):
            _blame(step, lease)
        else:
            # It was fetching from a holder that has left, and took no notice of the new one.
            step.release([lease.id], Reason.FAILED_EARLIER)


def finish_piece(step: Step, task: Task, download: Download, piece: PieceNumber) -> None:
    """Let a client have a piece, and others have it from its peer."""
    lease = download.leases.get(piece)
    step.emit(
        PieceFinished(
            at=step.now,
            task=task.id,
            client=download.client,
            piece=piece,
            lease=lease.id if lease else None,
            source=source_of(task, lease.holder) if lease else None,
            size=digest_length(task.digests[piece]),
            seconds=step.now - lease.began if lease else None,
        )
    )
    finish_if_complete(step, task, download)


def _blame(step: Step, lease: Lease) -> None:
    limits = step.state.limits
    pause = limits.avoid_seed if lease.holder is None else limits.avoid_peer
    step.emit(
        PieceFailed(at=step.now, avoid_until=step.now + pause, **about_lease(step.state, lease))
    )
    accuse(step, lease)


def _names(report: Report, lease: Lease, task: Task) -> bool:
    """Tell whether the report is about this lease, not about an earlier one of the piece."""
    if report.holder is None:
        return True
    if lease.holder is None:
        return report.holder is Seed.SEED
    return report.holder in (lease.holder, task.downloads[lease.holder].peer)


def finish_if_complete(step: Step, task: Task, download: Download) -> None:
    """End a download that has every piece of a file that is known to be right."""
    if task.status is CdnStatus.SUCCESS and not task.swarm.known & ~download.done:
        step.emit(DownloadFinished(at=step.now, task=task.id, client=download.client))


def _end_download(step: Step, task: Task, download: Download, result: PieceResult | None) -> None:
    for lease in list(download.leases.values()):
        if lease.written_by is not None:
            finish_piece(step, task, download, lease.piece)
    # One that has every piece before we know that they are right ends when we do.
    total = task.piece_total
    has_all = total is not None and not ((1 << total) - 1) & ~download.done
    if download.status is DownloadStatus.RUNNING and not has_all:
        step.release(leases_of(download), Reason.CLIENT_LEFT)
        step.emit(
            DownloadFailed(
                at=step.now,
                task=task.id,
                client=download.client,
                reason=Reason.CLIENT_LEFT,
            )
        )
    if result is PieceResult.FAILED and download.peer is not None:
        step.release(step.served_by(download), Reason.PEER_LEFT)
        step.emit(DownloadWithdrawn(at=step.now, task=task.id, client=download.client))


def _answer_again(
    step: Step, task: Task, download: Download, question: bytes, reported: set[PieceNumber]
) -> Pulled | None:
    """Return the last answer if the client asks the same and has reported none of it.

    Neither before nor by asking: the same words about a piece that it was given again mean
    that the second attempt failed as the first did.
    """
    last = download.last_pull
    if last is None or not last.leases or last.question != question:
        return None
    leases = [step.state.leases.get(lease) for lease in last.leases]
    if not all(lease and lease.piece not in reported for lease in leases):
        return None
    return Pulled(assignments=tuple(_assignment(step, task, lease) for lease in leases if lease))


def _assign(step: Step, task: Task, download: Download, count: int, question: bytes) -> Pulled:
    limits = step.state.limits
    scheduler = Scheduler(task, download, step.state.peers, limits, step.now, step.chance)
    room = min(count, scheduler.room())
    given: list[Lease] = []
    while len(given) < room and (choice := scheduler.choose()):
        assert task.piece_size is not None
        lease = step.state.next_lease
        longest = task.piece_size / limits.slowest_rate + limits.lease_grace
        usual = task.swarm.piece_seconds * limits.overdue_factor + limits.overdue_grace
        step.emit(
            PieceAssigned(
                at=step.now,
                task=task.id,
                lease=lease,
                client=download.client,
                piece=choice.piece,
                holder=choice.holder,
                source=source_of(task, choice.holder),
                overdue_at=step.now + min(usual, longest),
                deadline=step.now + longest,
                why=choice.why,
                copies=choice.copies,
            )
        )
        given.append(step.state.leases[lease])
    if given:
        step.emit(
            PiecesOffered(
                at=step.now,
                task=task.id,
                client=download.client,
                question=question,
                leases=tuple(lease.id for lease in given),
            )
        )
    return Pulled(assignments=tuple(_assignment(step, task, lease) for lease in given))


def _reminder(step: Step, task: Task, download: Download) -> Pulled:
    """Return the leases that the client is overdue with, if they are all that it lacks."""
    if task.status is not CdnStatus.SUCCESS:
        return Pulled()
    if download.have | download.leased != task.swarm.known:
        return Pulled()
    overdue = (lease for lease in download.leases.values() if lease.overdue)
    return Pulled(assignments=tuple(_assignment(step, task, lease) for lease in overdue))


def _assignment(step: Step, task: Task, lease: Lease) -> Assignment:
    assert task.piece_size is not None
    holder: SeedHolder | PeerHolder = SeedHolder()
    if lease.holder is not None:
        source = task.downloads[lease.holder]
        if source.peer is None:
            raise InvariantError(f"lease {lease.id} on a download without a peer")
        holder = copy_of(step.state.peers[source.peer], source)
    return Assignment(
        piece_range=piece_range(lease.piece, task.piece_size),
        piece_size=task.piece_size,
        digest=task.digests[lease.piece],
        holder=holder,
    )


def _digest_of(pull: Pull) -> bytes:
    """Return what tells this pull from others, in a few bytes; waiting makes it no other."""
    text = msgspec.json.encode((pull.status, pull.result, pull.reports, pull.count))
    return hashlib.blake2b(text, digest_size=16).digest()
