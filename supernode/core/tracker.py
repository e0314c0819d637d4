"""The tracker: commands in, answers and events out.

Every command is one atomic transition. It is checked first; from the first event on nothing can
go wrong, so an error means that nothing changed.
"""

import hashlib
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import msgspec

from supernode.core.commands import (
    Assignment,
    CachePiece,
    Command,
    Expire,
    FailFetch,
    FinishFetch,
    PeerHolder,
    PieceResult,
    Pull,
    Pulled,
    PullStatus,
    RegisterPeer,
    RegisterTask,
    RemovePeer,
    Report,
    ReportPiece,
    Seed,
    SeedHolder,
    SizeTask,
    StartFetch,
)
from supernode.core.errors import BadField, Full, InvariantError, NotFound, TaskConflict, TaskEnded
from supernode.core.events import (
    DownloadFailed,
    DownloadFinished,
    DownloadStarted,
    DownloadWithdrawn,
    Event,
    LeaseExpired,
    LeaseOverdue,
    LeaseReleased,
    PeerLeft,
    PeerRegistered,
    PieceAssigned,
    PieceCached,
    PieceFailed,
    PieceFinished,
    PiecesOffered,
    TaskFailed,
    TaskFinished,
    TaskRegistered,
    TaskSized,
    TaskStarted,
)
from supernode.core.identity import ClientId, PeerId, TaskId, peer_id, task_id
from supernode.core.model import (
    CdnStatus,
    Download,
    DownloadStatus,
    Lease,
    Limits,
    Peer,
    Secrets,
    Task,
    TaskSpec,
)
from supernode.core.pieces import (
    PieceNumber,
    RangeError,
    parse_piece_range,
    piece_range,
    piece_size_for,
)
from supernode.core.reasons import Reason
from supernode.core.scheduler import Chance, Scheduler
from supernode.core.state import State

A = TypeVar("A")

_HAS_IT = (PieceResult.SUCCESS, PieceResult.SEMISUC)
_FAILED = (CdnStatus.FAILED, CdnStatus.SOURCE_ERROR)


class Tracker:
    """Knows who has which piece and says who takes what from whom.

    Not for concurrent use; synchronous, so on one event loop every command is atomic.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._state = State(limits or Limits())

    def execute(self, command: Command[A], *, now: float, chance: Chance) -> tuple[A, list[Event]]:
        """Carry out one command.

        Args:
            command: what to do.
            now: seconds since the epoch; never less than at the last call.
            chance: where random choices come from.

        Returns:
            The answer, and what happened, in order.

        Raises:
            DomainError: it cannot be done; nothing has changed.
        """
        transition = _Transition(self._state, now, chance)
        answer = _COMMANDS[type(command)](transition, command)
        return answer, transition.events

    # What may be looked at; by everyone, changed by no one.

    def peer(self, peer: PeerId) -> Peer:
        """Return a peer. Raises NotFound."""
        return _known(self._state.peers, peer, "peer")

    def task(self, task: TaskId) -> Task:
        """Return a task. Raises NotFound."""
        return _known(self._state.tasks, task, "task")

    def next_to_fetch(self) -> TaskId | None:
        """Return the task that has waited longest for its fetch."""
        return next(iter(self._state.waiting), None)

    def tasks_in(self, status: CdnStatus) -> Collection[TaskId]:
        """Return the tasks in one status. O(tasks)."""
        return [task.id for task in self._state.tasks.values() if task.status is status]

    def check(self) -> None:
        """Verify all invariants. Raises InvariantError; O(everything)."""
        self._state.check()


K = TypeVar("K")
V = TypeVar("V")


def _known(collection: dict[K, V], key: K, kind: str) -> V:
    found = collection.get(key)
    if found is None:
        raise NotFound(kind, str(key))
    return found


class _Transition:
    """One command being carried out: checks, then emits events, each applied at once."""

    __slots__ = ("_chance", "_now", "_state", "events")

    def __init__(self, state: State, now: float, chance: Chance) -> None:
        self._state = state
        self._now = now
        self._chance = chance
        self.events: list[Event] = []

    def _emit(self, event: Event) -> None:
        self._state.apply(event)
        self.events.append(event)

    # peers

    def register_peer(self, command: RegisterPeer) -> PeerId:
        peer = peer_id(command.host_name, command.ip, command.port)
        known = self._state.peers.get(peer)
        if known is None and len(self._state.peers) >= self._state.limits.most_peers:
            raise Full("peers")
        if known is None or known.version != command.version:
            self._emit(
                PeerRegistered(
                    at=self._now,
                    peer=peer,
                    ip=command.ip,
                    port=command.port,
                    host_name=command.host_name,
                    version=command.version,
                )
            )
        return peer

    def remove_peer(self, command: RemovePeer) -> None:
        peer = _known(self._state.peers, command.peer, "peer")
        self._release(sorted(peer.serving), Reason.PEER_LEFT)
        self._emit(PeerLeft(at=self._now, peer=command.peer))

    # tasks and downloads

    def register_task(self, command: RegisterTask) -> TaskId:
        spec = command.spec
        identity = task_id(
            spec.task_url,
            md5=spec.md5,
            identifier=spec.identifier,
            byte_range=_byte_range(spec.headers),
        )
        task = self._state.tasks.get(identity)
        if task is not None and not _same_file(task.spec, spec):
            raise TaskConflict(f"task {identity} stands for another file")
        if command.peer is not None:
            _known(self._state.peers, command.peer, "peer")
        self._check_room(task, command.client)
        if task is None or task.status in _FAILED:
            self._emit(TaskRegistered(at=self._now, task=identity, spec=spec))
        else:
            self._end_leases_around(task, command.client)
        self._emit(
            DownloadStarted(
                at=self._now,
                task=identity,
                client=command.client,
                peer=command.peer,
                path=command.path,
            )
        )
        return identity

    def _check_room(self, task: Task | None, client: ClientId) -> None:
        """Raise Full if one more task, or one more download, is one too many."""
        state, limits = self._state, self._state.limits
        if task is None and len(state.tasks) >= limits.most_tasks:
            raise Full("tasks")
        is_new = task is None or client not in task.downloads
        if is_new and state.downloads >= limits.most_downloads:
            raise Full("downloads")

    def _end_leases_around(self, task: Task, client: ClientId) -> None:
        """Release what a client that begins anew was fetching and serving."""
        before = task.downloads.get(client)
        if before is None:
            return
        self._release(_ids(before), Reason.CLIENT_RESTARTED)
        self._release(self._served_by(before), Reason.CLIENT_RESTARTED)

    def _served_by(self, download: Download) -> list[int]:
        if download.peer is None:
            return []
        leases = self._state.leases
        return sorted(
            lease
            for lease in self._state.peers[download.peer].serving
            if leases[lease].task == download.task and leases[lease].holder == download.client
        )

    def _release(self, leases: list[int], reason: Reason) -> None:
        for lease in leases:
            task = self._state.leases[lease].task
            self._emit(LeaseReleased(at=self._now, task=task, lease=lease, reason=reason))

    # pieces

    def pull(self, command: Pull) -> Pulled:
        task, download = self._download(command.task, command.client)
        finished = command.status is PullStatus.FINISHED
        if download.status is DownloadStatus.FAILED and not finished:
            raise TaskEnded(download.reason or Reason.TASK_FAILED, download.detail)
        reports = [] if command.retry else self._checked(task, command.reports)
        question = _digest_of(command)
        if same := self._answer_again(task, download, question, {piece for piece, _ in reports}):
            return same
        for piece, report in reports:
            self._count(task, download, piece, report)
        if finished:
            self._end_download(task, download, command.result)
            return Pulled(ended=True)
        if command.status is PullStatus.STARTED and not command.retry:
            self._release(_ids(download), Reason.CLIENT_RESTARTED)
        if download.status is not DownloadStatus.RUNNING:
            return Pulled(ended=True)
        return self._assign(task, download, command.count, question)

    def report_piece(self, command: ReportPiece) -> None:
        task, download = self._download(command.task, command.client)
        for piece, report in self._checked(task, (command.report,)):
            self._count(task, download, piece, report)

    def _download(self, task_id: TaskId, client: ClientId) -> tuple[Task, Download]:
        task = _known(self._state.tasks, task_id, "task")
        return task, _known(task.downloads, client, "client")

    def _checked(self, task: Task, reports: tuple[Report, ...]) -> list[tuple[PieceNumber, Report]]:
        """Return the reports with their piece numbers. Raises BadField."""
        checked = []
        for report in reports:
            if task.piece_size is None:
                raise BadField(report.field, "the task has no pieces yet")
            try:
                piece = parse_piece_range(report.piece_range, task.piece_size)
            except RangeError as error:
                raise BadField(report.field, str(error)) from None
            if piece not in task.digests and task.status not in _FAILED:
                raise BadField(report.field, f"the task has no piece {report.piece_range} yet")
            checked.append((piece, report))
        return checked

    def _count(self, task: Task, download: Download, piece: PieceNumber, report: Report) -> None:
        """Take a report into account; repeated, late and mistaken ones do no harm."""
        if download.status is not DownloadStatus.RUNNING or download.have >> piece & 1:
            return
        lease = download.leases.get(piece)
        if report.result in _HAS_IT:
            self._emit(
                PieceFinished(
                    at=self._now,
                    task=task.id,
                    client=download.client,
                    piece=piece,
                    lease=lease.id if lease else None,
                )
            )
            self._finish_if_complete(task, download)
        elif report.result is PieceResult.FAILED and lease:
            if self._names(report, lease, task):
                self._blame(lease)
            else:
                # It was fetching from a holder that has left, and took no notice of the new one.
                self._release([lease.id], Reason.FAILED_EARLIER)

    def _blame(self, lease: Lease) -> None:
        limits = self._state.limits
        pause = limits.avoid_seed if lease.holder is None else limits.avoid_peer
        self._emit(
            PieceFailed(
                at=self._now,
                task=lease.task,
                client=lease.client,
                piece=lease.piece,
                lease=lease.id,
                avoid_until=self._now + pause,
            )
        )

    def _names(self, report: Report, lease: Lease, task: Task) -> bool:
        """Tell whether the report is about this lease, not about an earlier one of the piece."""
        if report.holder is None:
            return True
        if lease.holder is None:
            return report.holder is Seed.SEED
        return report.holder in (lease.holder, task.downloads[lease.holder].peer)

    def _finish_if_complete(self, task: Task, download: Download) -> None:
        if task.status is CdnStatus.SUCCESS and download.have == task.swarm.known:
            self._emit(DownloadFinished(at=self._now, task=task.id, client=download.client))

    def _end_download(self, task: Task, download: Download, result: PieceResult | None) -> None:
        # One that has every piece before we know that they are right ends when we do.
        has_all = task.piece_total is not None and download.have.bit_count() == task.piece_total
        if download.status is DownloadStatus.RUNNING and not has_all:
            self._release(_ids(download), Reason.CLIENT_LEFT)
            self._emit(
                DownloadFailed(
                    at=self._now,
                    task=task.id,
                    client=download.client,
                    reason=Reason.CLIENT_LEFT,
                )
            )
        if result is PieceResult.FAILED and download.peer is not None:
            self._release(self._served_by(download), Reason.PEER_LEFT)
            self._emit(DownloadWithdrawn(at=self._now, task=task.id, client=download.client))

    def _answer_again(
        self, task: Task, download: Download, question: bytes, reported: set[PieceNumber]
    ) -> Pulled | None:
        """Return the last answer if the client asks the same and has reported none of it.

        Neither before nor by asking: the same words about a piece that it was given again mean
        that the second attempt failed as the first did.
        """
        last = download.last_pull
        if last is None or not last.leases or last.question != question:
            return None
        leases = [self._state.leases.get(lease) for lease in last.leases]
        if not all(lease and lease.piece not in reported for lease in leases):
            return None
        return Pulled(assignments=tuple(self._assignment(task, lease) for lease in leases if lease))

    def _assign(self, task: Task, download: Download, count: int, question: bytes) -> Pulled:
        limits = self._state.limits
        room = min(count, limits.client_leases - len(download.leases))
        scheduler = Scheduler(task, download, self._state.peers, limits, self._now, self._chance)
        given: list[Lease] = []
        while len(given) < room and (choice := scheduler.choose()):
            assert task.piece_size is not None
            lease = self._state.next_lease
            longest = task.piece_size / limits.slowest_rate + limits.lease_grace
            usual = task.swarm.piece_seconds * limits.overdue_factor + limits.overdue_grace
            self._emit(
                PieceAssigned(
                    at=self._now,
                    task=task.id,
                    lease=lease,
                    client=download.client,
                    piece=choice.piece,
                    holder=choice.holder,
                    overdue_at=self._now + min(usual, longest),
                    deadline=self._now + longest,
                    why=choice.why,
                )
            )
            given.append(self._state.leases[lease])
        if given:
            self._emit(
                PiecesOffered(
                    at=self._now,
                    task=task.id,
                    client=download.client,
                    question=question,
                    leases=tuple(lease.id for lease in given),
                )
            )
        return Pulled(assignments=tuple(self._assignment(task, lease) for lease in given))

    def _assignment(self, task: Task, lease: Lease) -> Assignment:
        assert task.piece_size is not None
        holder: SeedHolder | PeerHolder = SeedHolder()
        if lease.holder is not None:
            source = task.downloads[lease.holder]
            if source.peer is None:
                raise InvariantError(f"lease {lease.id} on a download without a peer")
            peer = self._state.peers[source.peer]
            holder = PeerHolder(peer=peer.id, ip=peer.ip, port=peer.port, path=source.path)
        return Assignment(
            piece_range=piece_range(lease.piece, task.piece_size),
            piece_size=task.piece_size,
            digest=task.digests[lease.piece],
            holder=holder,
        )

    # the fetch

    def start_fetch(self, command: StartFetch) -> None:
        task = _known(self._state.tasks, command.task, "task")
        if task.status is not CdnStatus.WAITING:
            raise TaskConflict(f"task {task.id} is {task.status}, not WAITING")
        self._emit(TaskStarted(at=self._now, task=task.id))

    def size_task(self, command: SizeTask) -> int:
        task = self._fetched(command.task)
        size = task.piece_size or piece_size_for(command.length)
        self._emit(TaskSized(at=self._now, task=task.id, length=command.length, piece_size=size))
        return size

    def cache_piece(self, command: CachePiece) -> None:
        task = self._fetched(command.task)
        self._emit(
            PieceCached(
                at=self._now,
                task=task.id,
                piece=PieceNumber(command.piece),
                digest=command.digest,
            )
        )

    def finish_fetch(self, command: FinishFetch) -> bool:
        task = self._fetched(command.task)
        wanted = task.spec.md5.strip().lower()
        if wanted and wanted != command.md5:
            detail = f"md5 is {command.md5}, not {wanted}"
            self._fail(task, Reason.DIGEST_MISMATCH, detail)
            return False
        self._emit(
            TaskFinished(
                at=self._now,
                task=task.id,
                length=command.length,
                md5=command.md5,
                sha256=command.sha256,
            )
        )
        for download in list(task.downloads.values()):
            if download.status is DownloadStatus.RUNNING:
                self._finish_if_complete(task, download)
        return True

    def fail_fetch(self, command: FailFetch) -> None:
        self._fail(self._fetched(command.task), command.reason, command.detail)

    def _fail(self, task: Task, reason: Reason, detail: str) -> None:
        status = CdnStatus.SOURCE_ERROR if reason.is_origins_fault else CdnStatus.FAILED
        for download in task.downloads.values():
            self._release(_ids(download), Reason.TASK_FAILED)
        self._emit(
            TaskFailed(at=self._now, task=task.id, status=status, reason=reason, detail=detail)
        )

    def _fetched(self, identity: TaskId) -> Task:
        task = _known(self._state.tasks, identity, "task")
        if task.status is not CdnStatus.RUNNING:
            raise TaskConflict(f"task {task.id} is {task.status}, not RUNNING")
        return task

    # time

    def expire(self, _command: Expire) -> None:
        deadlines, leases = self._state.deadlines, self._state.leases
        while deadlines and deadlines[0][0] <= self._now:
            lease = leases[deadlines[0][1]]
            what = LeaseExpired if lease.overdue else LeaseOverdue
            self._emit(what(at=self._now, task=lease.task, lease=lease.id))


def _digest_of(pull: Pull) -> bytes:
    """Return what tells this pull from others, in a few bytes; waiting makes it no other."""
    text = msgspec.json.encode((pull.status, pull.result, pull.reports, pull.count))
    return hashlib.blake2b(text, digest_size=16).digest()


def _ids(download: Download) -> list[int]:
    return [lease.id for lease in download.leases.values()]


def _byte_range(headers: Secrets) -> str | None:
    """Return which part of the file is asked for; in any case, for the origin heeds none."""
    ranges = [value for name, value in headers.reveal().items() if name.lower() == "range"]
    return ",".join(ranges) if ranges else None


def _same_file(known: TaskSpec, asked: TaskSpec) -> bool:
    if known.task_url != asked.task_url:
        return False
    if known.md5.strip():
        return known.md5 == asked.md5
    return known.identifier == asked.identifier


_COMMANDS: dict[type[Command[Any]], Callable[[_Transition, Any], Any]] = {
    RegisterPeer: _Transition.register_peer,
    RemovePeer: _Transition.remove_peer,
    RegisterTask: _Transition.register_task,
    Pull: _Transition.pull,
    ReportPiece: _Transition.report_piece,
    StartFetch: _Transition.start_fetch,
    SizeTask: _Transition.size_task,
    CachePiece: _Transition.cache_piece,
    FinishFetch: _Transition.finish_fetch,
    FailFetch: _Transition.fail_fetch,
    Expire: _Transition.expire,
}
