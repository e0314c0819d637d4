"""The state and the only way it changes: ``apply(event)``.

Folding the same events over an empty state gives the same state; nothing here decides anything,
consults a clock or can refuse.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from supernode.core.errors import InvariantError
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
from supernode.core.identity import PeerId, TaskId
from supernode.core.model import (
    CdnStatus,
    Download,
    DownloadStatus,
    LastPull,
    Lease,
    Limits,
    Peer,
    Task,
)
from supernode.core.swarm import Swarm, bits


class State:
    """Peers, tasks with their downloads and swarms, and the open leases.

    Args:
        limits: how many slots a peer has; part of the state's meaning, so it never changes.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.peers: dict[PeerId, Peer] = {}
        self.tasks: dict[TaskId, Task] = {}
        self.waiting: OrderedDict[TaskId, None] = OrderedDict()
        """Tasks to be fetched, in the order they were asked for."""
        self.leases: dict[int, Lease] = {}
        self.downloads = 0
        """How many there are, of all tasks together."""
        self.next_lease = 1
        self.deadlines: list[tuple[float, int]] = []
        """Heap of (when it is overdue, then when it expires; lease): the first is an open one."""

    def apply(self, event: Event) -> None:
        """Change the state as the event says."""
        _RULES[type(event)](self, event)

    # peers

    def _peer_registered(self, event: PeerRegistered) -> None:
        if known := self.peers.get(event.peer):
            known.version = event.version
            return
        self.peers[event.peer] = Peer(
            id=event.peer,
            ip=event.ip,
            port=event.port,
            host_name=event.host_name,
            version=event.version,
            created=event.at,
        )

    def _peer_left(self, event: PeerLeft) -> None:
        peer = self.peers[event.peer]
        for task_id, client in sorted(peer.downloads):
            task = self.tasks[task_id]
            download = task.downloads[client]
            self._stop_offering(task, download)
            if download.status is not DownloadStatus.RUNNING:
                self._remove(task, download)
        del self.peers[event.peer]

    # tasks

    def _task_registered(self, event: TaskRegistered) -> None:
        task = Task(id=event.task, spec=event.spec, created=event.at)
        if before := self.tasks.get(event.task):
            task.downloads = before.downloads
        self.tasks[event.task] = task
        self.waiting[event.task] = None

    def _task_started(self, event: TaskStarted) -> None:
        self.tasks[event.task].status = CdnStatus.RUNNING
        self.waiting.pop(event.task, None)

    def _task_sized(self, event: TaskSized) -> None:
        task = self.tasks[event.task]
        task.length = event.length
        task.piece_size = event.piece_size

    def _task_finished(self, event: TaskFinished) -> None:
        task = self.tasks[event.task]
        task.status = CdnStatus.SUCCESS
        task.length = event.length
        task.md5 = event.md5
        task.sha256 = event.sha256

    def _task_failed(self, event: TaskFailed) -> None:
        task = self.tasks[event.task]
        task.status = event.status
        task.reason = event.reason
        task.detail = event.detail
        self.waiting.pop(event.task, None)
        for download in task.downloads.values():
            if download.peer is not None:
                self.peers[download.peer].downloads.discard((task.id, download.client))
                download.peer = None
            if download.status is DownloadStatus.RUNNING:
                download.status = DownloadStatus.FAILED
                download.reason = event.reason
                download.detail = event.detail
            download.index = -1
            download.have = 0
            download.last_pull = None
        task.swarm = Swarm()
        task.by_index = {}
        task.digests = {}

    def _piece_cached(self, event: PieceCached) -> None:
        task = self.tasks[event.task]
        task.digests[event.piece] = event.digest
        task.swarm.make_known(event.piece)

    # downloads

    def _download_started(self, event: DownloadStarted) -> None:
        task = self.tasks[event.task]
        if before := task.downloads.get(event.client):
            self._stop_offering(task, before)
            self._remove(task, before)
        index = task.swarm.join()
        download = Download(
            task=event.task,
            client=event.client,
            peer=event.peer,
            path=event.path,
            index=index,
        )
        task.downloads[event.client] = download
        task.by_index[index] = download
        self.downloads += 1
        if event.peer is not None:
            peer = self.peers[event.peer]
            peer.downloads.add((event.task, event.client))
            task.swarm.set_free(index, free=peer.free)

    def _download_finished(self, event: DownloadFinished) -> None:
        self.tasks[event.task].downloads[event.client].status = DownloadStatus.SUCCESS

    def _download_failed(self, event: DownloadFailed) -> None:
        download = self.tasks[event.task].downloads[event.client]
        download.status = DownloadStatus.FAILED
        download.reason = event.reason

    def _download_withdrawn(self, event: DownloadWithdrawn) -> None:
        task = self.tasks[event.task]
        self._stop_offering(task, task.downloads[event.client])

    def _stop_offering(self, task: Task, download: Download) -> None:
        if download.peer is None:
            return
        self.peers[download.peer].downloads.discard((task.id, download.client))
        download.peer = None
        task.swarm.set_free(download.index, free=False)
        task.swarm.withdraw(download.index, download.have)
        for piece, lease in download.leases.items():
            if not lease.overdue:
                task.swarm.add_copies(piece, -1)

    def _remove(self, task: Task, download: Download) -> None:
        del task.downloads[download.client]
        self.downloads -= 1
        if download.index >= 0:
            task.swarm.leave(download.index, download.have)
            del task.by_index[download.index]

    # leases

    def _piece_assigned(self, event: PieceAssigned) -> None:
        task = self.tasks[event.task]
        download = task.downloads[event.client]
        lease = Lease(
            id=event.lease,
            task=event.task,
            client=event.client,
            piece=event.piece,
            holder=event.holder,
            began=event.at,
            overdue_at=event.overdue_at,
            deadline=event.deadline,
        )
        self.next_lease = event.lease + 1
        self.leases[lease.id] = lease
        heapq.heappush(self.deadlines, (lease.overdue_at, lease.id))
        download.leases[event.piece] = lease
        download.leased |= 1 << event.piece
        if download.peer is not None:
            task.swarm.add_copies(event.piece, +1)
        holder = self._holder_of(lease)
        holder.serving.add(lease.id)
        holder.slots_used += 1
        self._tell_swarms(holder)

    def _pieces_offered(self, event: PiecesOffered) -> None:
        download = self.tasks[event.task].downloads[event.client]
        download.last_pull = LastPull(event.question, event.leases)

    def _piece_finished(self, event: PieceFinished) -> None:
        task = self.tasks[event.task]
        download = task.downloads[event.client]
        if event.lease is not None:
            lease = self.leases[event.lease]
            holder = self._holder_of(lease)
            if isinstance(holder, Peer):
                holder.failures = 0
            task.swarm.took(event.at - lease.began)
            self._end(lease)
        download.have |= 1 << event.piece
        if download.peer is not None:
            task.swarm.add_copies(event.piece, +1)
            task.swarm.hold(download.index, event.piece)

    def _piece_failed(self, event: PieceFailed) -> None:
        task = self.tasks[event.task]
        lease = self.leases[event.lease]
        avoided = task.downloads[event.client].avoided
        for peer in [peer for peer, until in avoided.items() if until <= event.at]:
            del avoided[peer]
        holder = self._holder_of(lease)
        if isinstance(holder, Peer):
            holder.failures += 1
            avoided[holder.id] = event.avoid_until
        else:
            avoided[None] = event.avoid_until
        self._end(lease)

    def _lease_overdue(self, event: LeaseOverdue) -> None:
        lease = self.leases[event.lease]
        self._stop_counting_on(lease)
        lease.overdue = True
        heapq.heappush(self.deadlines, (lease.deadline, lease.id))
        self._drop_stale_deadlines()

    def _lease_ended(self, event: LeaseExpired | LeaseReleased) -> None:
        self._end(self.leases[event.lease])

    def _end(self, lease: Lease) -> None:
        """Forget the lease."""
        if not lease.overdue:
            self._stop_counting_on(lease)
        download = self.tasks[lease.task].downloads[lease.client]
        del download.leases[lease.piece]
        download.leased ^= 1 << lease.piece
        holder = self._holder_of(lease)
        holder.serving.remove(lease.id)
        self._tell_swarms(holder)
        del self.leases[lease.id]
        self._drop_stale_deadlines()

    def _stop_counting_on(self, lease: Lease) -> None:
        """Give the holder its slot back, and do not count the copy that the lease promised."""
        task = self.tasks[lease.task]
        if task.downloads[lease.client].peer is not None:
            task.swarm.add_copies(lease.piece, -1)
        holder = self._holder_of(lease)
        holder.slots_used -= 1
        self._tell_swarms(holder)

    def _holder_of(self, lease: Lease) -> Peer | Task:
        """Return the peer that serves a lease, or the task if the seed does."""
        task = self.tasks[lease.task]
        if lease.holder is None:
            return task
        peer = task.downloads[lease.holder].peer
        if peer is None:
            raise InvariantError(f"{lease.holder} serves a lease without a peer")
        return self.peers[peer]

    def _tell_swarms(self, holder: Peer | Task) -> None:
        """Note in every swarm that a peer is in when it has a free slot no longer, or again."""
        slots = self.limits.peer_slots
        free = holder.slots_used < slots and len(holder.serving) < 2 * slots
        if isinstance(holder, Task) or free == holder.free:
            return
        holder.free = free
        for task_id, client in holder.downloads:
            task = self.tasks[task_id]
            task.swarm.set_free(task.downloads[client].index, free=free)

    def _drop_stale_deadlines(self) -> None:
        """Let the first entry be one that is still to come up."""
        while self.deadlines:
            moment, lease_id = self.deadlines[0]
            lease = self.leases.get(lease_id)
            if lease is not None and not (lease.overdue and moment < lease.deadline):
                return
            heapq.heappop(self.deadlines)

    # invariants

    def check(self) -> None:
        """Verify that everything the state keeps twice agrees.

        Raises:
            InvariantError: it does not.
        """
        for lease in self.leases.values():
            _must(
                self.tasks[lease.task].downloads[lease.client].leases[lease.piece] is lease,
                "lease of client",
            )
        served: set[int] = set()
        holders: list[Peer | Task] = [*self.peers.values(), *self.tasks.values()]
        for holder in holders:
            _must(not served & holder.serving, "a lease has one holder")
            served |= holder.serving
            used = sum(not self.leases[lease].overdue for lease in holder.serving)
            _must(holder.slots_used == used, "slots in use")
        _must(served == set(self.leases), "every lease has a holder")
        for peer in self.peers.values():
            _must(0 <= peer.slots_used <= self.limits.peer_slots, "slots of a peer")
            _must(len(peer.serving) <= 2 * self.limits.peer_slots, "leases on a peer")
        known = sum(len(task.downloads) for task in self.tasks.values())
        _must(self.downloads == known, "number of downloads")
        for task in self.tasks.values():
            self._check_task(task)

    def _check_task(self, task: Task) -> None:
        _must(0 <= task.slots_used <= self.limits.seed_slots, "slots of the seed")
        _must(len(task.serving) <= 2 * self.limits.seed_slots, "leases on the seed")
        _must((task.id in self.waiting) == (task.status is CdnStatus.WAITING), "waiting tasks")
        _must(set(bits(task.swarm.known)) == set(task.digests), "known pieces have digests")
        copies = dict.fromkeys(task.digests, 0)
        holders = dict.fromkeys(task.digests, 0)
        free = 0
        for download in task.downloads.values():
            _must(download.leased == sum(1 << p for p in download.leases), "leased pieces")
            _must(not download.have & download.leased, "no piece is fetched twice")
            _must(len(download.leases) <= self.limits.client_leases, "leases of a client")
            if download.status is DownloadStatus.SUCCESS and download.index >= 0:
                _must(download.have == task.swarm.known, "a finished client has every piece")
            if download.index >= 0:
                _must(task.by_index[download.index] is download, "index")
            if download.peer is None:
                continue
            peer = self.peers[download.peer]
            _must((task.id, download.client) in peer.downloads, "downloads of a peer")
            slots = self.limits.peer_slots
            if peer.slots_used < slots and len(peer.serving) < 2 * slots:
                free |= 1 << download.index
            for piece in bits(download.have):
                holders[piece] |= 1 << download.index  # type: ignore[index]
                copies[piece] += 1  # type: ignore[index]
            for piece, lease in download.leases.items():
                copies[piece] += not lease.overdue
        _must(free == task.swarm.free, "free peers")
        for piece in task.digests:
            _must(task.swarm.holders[piece] == holders[piece], f"holders of piece {piece}")
            _must(task.swarm.held >> piece & 1 == bool(holders[piece]), f"whether {piece} is held")
            _must(task.swarm.copies(piece) == copies[piece], f"copies of piece {piece}")


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise InvariantError(what)


_RULES: dict[type[Event], Callable[[State, Any], None]] = {
    PeerRegistered: State._peer_registered,
    PeerLeft: State._peer_left,
    TaskRegistered: State._task_registered,
    TaskStarted: State._task_started,
    TaskSized: State._task_sized,
    TaskFinished: State._task_finished,
    TaskFailed: State._task_failed,
    PieceCached: State._piece_cached,
    DownloadStarted: State._download_started,
    DownloadFinished: State._download_finished,
    DownloadFailed: State._download_failed,
    DownloadWithdrawn: State._download_withdrawn,
    PieceAssigned: State._piece_assigned,
    PiecesOffered: State._pieces_offered,
    PieceFinished: State._piece_finished,
    PieceFailed: State._piece_failed,
    LeaseOverdue: State._lease_overdue,
    LeaseExpired: State._lease_ended,
    LeaseReleased: State._lease_ended,
}
