"""The state and the only way it changes: ``apply(event)``.

Folding the same events over an empty state gives the same state; nothing here decides anything,
consults a clock or can refuse.
"""

import heapq
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from supernode.core.errors import InvariantError
from supernode.core.events import (
    AccusationTaken,
    ClaimConfirmed,
    ClaimMade,
    ClaimRejected,
    DownloadFailed,
    DownloadFinished,
    DownloadForgotten,
    DownloadResumed,
    DownloadSeen,
    DownloadStarted,
    DownloadWithdrawn,
    Event,
    EvidenceFound,
    LeaseExpired,
    LeaseOverdue,
    LeaseReleased,
    PartFinished,
    PartStarted,
    PeerAccused,
    PeerCleared,
    PeerExpired,
    PeerFellSilent,
    PeerLeft,
    PeerQuarantined,
    PeerRegistered,
    PeerReleased,
    PeerSeen,
    PeerWarned,
    PieceArrived,
    PieceAssigned,
    PieceCached,
    PieceFailed,
    PieceFinished,
    PiecesHeld,
    PiecesListed,
    PiecesLost,
    PiecesOffered,
    PiecesVerified,
    TaskConfirmed,
    TaskDoubted,
    TaskFailed,
    TaskFinished,
    TaskPaused,
    TaskPinned,
    TaskRegistered,
    TaskRemoved,
    TaskReopened,
    TaskResumed,
    TaskSized,
    TaskStarted,
    TaskUnpinned,
)
from supernode.core.fetch_queue import FetchQueue
from supernode.core.identity import ClientId, PeerId, TaskId
from supernode.core.model import (
    Accusation,
    CdnStatus,
    Download,
    DownloadStatus,
    LastPull,
    Lease,
    Limits,
    Peer,
    Task,
)
from supernode.core.pieces import FRAME_BYTES, PieceNumber
from supernode.core.preheat_state import RULES as PREHEAT_RULES
from supernode.core.preheat_state import PreheatState
from supernode.core.reasons import Reason
from supernode.core.swarm import Swarm, bits, bitset_bytes

MOST_GONE = 4096
"""Of how many tasks that are known no longer it is remembered why."""
MOST_STRUCK = 4096
"""Of how many peers that have left it is remembered what was found against them."""


class Strikes(NamedTuple):
    """What was found against a peer, kept while it is away."""

    number: int
    quarantined_until: float
    evidence: str


class State(PreheatState):
    """Peers, tasks with their downloads and swarms, the open leases, preheats.

    What may have to go when nobody needs it is kept in the order in which that happens, so that
    looking for it costs nothing while there is nothing to be found.

    Args:
        limits: how many slots a peer has; part of the state's meaning, so it never changes.
    """

    before_change: Callable[[Event], None] | None = None
    """Called with each event before it changes anything, while somebody copies the state."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self.peers: dict[PeerId, Peer] = {}
        self.heard_peers: OrderedDict[PeerId, None] = OrderedDict()
        """Those that are not silent; those not heard of for longest come first."""
        self.silent_peers: OrderedDict[PeerId, None] = OrderedDict()
        """The others, in the same order."""
        self.accused: OrderedDict[PeerId, Accusation] = OrderedDict()
        """What is to be looked into, first those that have strikes; of each peer one at a time."""
        self.quarantined: list[tuple[float, PeerId]] = []
        """Until when who is, the first to be released first."""
        self.struck: OrderedDict[PeerId, Strikes] = OrderedDict()
        """Of peers that have left, lest leaving wash them clean; those that left first come
        first."""
        self.tasks: OrderedDict[TaskId, Task] = OrderedDict()
        """Those that were not used for longest come first."""
        self.gone: OrderedDict[TaskId, Reason] = OrderedDict()
        """Why the last tasks that were removed are known no longer."""
        self.spec_bytes = 0
        """What clients have said that is there only for fetches."""
        self.failed: OrderedDict[TaskId, None] = OrderedDict()
        """Tasks without the file; those not used for longest come first."""
        self.next_generation = 1
        self.waiting = FetchQueue()
        self.doubted: OrderedDict[TaskId, None] = OrderedDict()
        """Tasks whose origins are to be asked whether they have changed."""
        self.leases: dict[int, Lease] = {}
        self.downloads = 0
        """How many there are, of all tasks together."""
        self.heard: OrderedDict[tuple[TaskId, ClientId], Download] = OrderedDict()
        """Downloads that run, or offer nothing; those not heard of for longest come first."""
        self.claims: dict[int, Download] = {}
        """The downloads whose claims are to be checked, by the claims' numbers."""
        self.claims_of: dict[TaskId, dict[int, None]] = {}
        """The numbers by task, the oldest first."""
        self.claim_bytes = 0
        """What claims take as bitsets, checked or not."""
        self.next_claim = 1
        self.complete: dict[str, dict[TaskId, None]] = {}
        """By SHA-256, the tasks whose complete files have that content."""
        self.coming: dict[str, dict[TaskId, None]] = {}
        """By SHA-256, the tasks that are fetched and whose URLs promise that content."""
        self.next_lease = 1
        self.deadlines: list[tuple[float, int]] = []
        """Heap of (its next change, lease), and some that are over: never the first."""

    def apply(self, event: Event) -> None:
        """Change the state as the event says."""
        if self.before_change:
            self.before_change(event)
        _RULES[type(event)](self, event)

    # peers

    def _peer_registered(self, event: PeerRegistered) -> None:
        if known := self.peers.get(event.peer):
            known.version = event.version
            self._heard_of_peer(known, event.at)
            return
        self.peers[event.peer] = peer = Peer(
            id=event.peer,
            ip=event.ip,
            port=event.port,
            host_name=event.host_name,
            version=event.version,
            created=event.at,
            last_seen=event.at,
        )
        self.heard_peers[event.peer] = None
        if strikes := self.struck.pop(event.peer, None):
            peer.strikes, peer.quarantined_until, peer.evidence = strikes
            if peer.quarantined_until > event.at:
                self._set_quarantined(peer, quarantined=True)

    def _peer_seen(self, event: PeerSeen) -> None:
        self._heard_of_peer(self.peers[event.peer], event.at)

    def _heard_of_peer(self, peer: Peer, at: float) -> None:
        peer.last_seen = at
        if peer.silent:
            self._set_silent(peer, silent=False)
        self.heard_peers.move_to_end(peer.id)

    def _peer_fell_silent(self, event: PeerFellSilent) -> None:
        self._set_silent(self.peers[event.peer], silent=True)

    def _set_silent(self, peer: Peer, *, silent: bool) -> None:
        peer.silent = silent
        before, after = self.heard_peers, self.silent_peers
        if not silent:
            before, after = after, before
        del before[peer.id]
        after[peer.id] = None
        for task_id, client in peer.downloads:
            task = self.tasks[task_id]
            task.swarm.set_silent(task.downloads[client].index, silent=silent)

    def _peer_left(self, event: PeerLeft | PeerExpired) -> None:
        peer = self.peers[event.peer]
        for task_id, client in sorted(peer.downloads):
            task = self.tasks[task_id]
            self._stop_offering(task, task.downloads[client], event.at)
        if peer.quarantined:
            self._set_quarantined(peer, quarantined=False)
        if peer.strikes:
            strikes = Strikes(peer.strikes, peer.quarantined_until, peer.evidence)
            self.struck[peer.id] = strikes
            if len(self.struck) > MOST_STRUCK:
                self.struck.popitem(last=False)
        del self.peers[event.peer]
        self.heard_peers.pop(event.peer, None)
        self.silent_peers.pop(event.peer, None)

    # accusations and what is found

    def _peer_accused(self, event: PeerAccused) -> None:
        self.accused[event.peer] = Accusation(
            peer=event.peer,
            task=event.task,
            piece=event.piece,
            holder=event.holder,
            client=event.client,
        )
        if self.peers[event.peer].strikes:
            self.accused.move_to_end(event.peer, last=False)

    def _accusation_taken(self, event: AccusationTaken) -> None:
        del self.accused[event.peer]

    def _peer_cleared(self, event: PeerCleared) -> None:
        self.peers[event.peer].failures = 0
        if accuser := self.tasks[event.task].downloads.get(event.client):
            accuser.false_accusations = event.false_accusations
            accuser.distrusted_until = event.distrusted_until
        for accusation in list(self.accused.values()):
            if (accusation.task, accusation.client) == (event.task, event.client):
                del self.accused[accusation.peer]

    def _peer_warned(self, event: PeerWarned) -> None:
        self._strike(event, event.at)

    def _peer_quarantined(self, event: PeerQuarantined) -> None:
        peer = self._strike(event, event.until)
        self.accused.pop(peer.id, None)
        self._set_quarantined(peer, quarantined=True)

    def _strike(self, event: EvidenceFound, until: float) -> Peer:
        peer = self.peers[event.peer]
        peer.strikes = event.strikes
        peer.quarantined_until = until
        peer.evidence = event.text
        if accuser := self.tasks[event.task].downloads.get(event.client):
            accuser.false_accusations = 0
        return peer

    def _peer_released(self, event: PeerReleased) -> None:
        self._set_quarantined(self.peers[event.peer], quarantined=False)

    def _set_quarantined(self, peer: Peer, *, quarantined: bool) -> None:
        """Take what a peer holds, and soon will, out of its swarms, or put it in again."""
        for task_id, client in peer.downloads:
            task = self.tasks[task_id]
            if quarantined:
                self._discount(task, task.downloads[client])
            else:
                self._count(task, task.downloads[client])
        peer.quarantined = quarantined
        entry = (peer.quarantined_until, peer.id)
        if quarantined:
            insort(self.quarantined, entry)
        else:
            del self.quarantined[bisect_left(self.quarantined, entry)]

    def counts(self, download: Download) -> bool:
        """Tell whether what a client holds is held by its swarm."""
        return download.peer is not None and not self.peers[download.peer].quarantined

    def _count(self, task: Task, download: Download) -> None:
        """Let the swarm hold what a client holds, and expect what it is fetching."""
        for piece in bits(download.have):
            task.swarm.add_copies(piece, +1)
            task.swarm.hold(download.index, piece)
        for piece, lease in download.leases.items():
            if not lease.overdue:
                task.swarm.add_copies(piece, +1)

    def _discount(self, task: Task, download: Download) -> None:
        """Let the swarm hold and expect it no longer."""
        task.swarm.withdraw(download.index, download.have)
        for piece, lease in download.leases.items():
            if not lease.overdue:
                task.swarm.add_copies(piece, -1)

    # tasks

    def _task_registered(self, event: TaskRegistered) -> None:
        task = Task(
            id=event.task,
            generation=event.generation,
            spec=event.spec,
            created=event.at,
            last_used=event.last_used,
            adopted=event.adopted,
        )
        if before := self.tasks.get(event.task):
            task.downloads = before.downloads
            task.paused = before.paused
            task.pinned = before.pinned
            task.failures = before.failures
            del self.failed[event.task]
        self.gone.pop(event.task, None)
        self.next_generation = event.generation + 1
        self.spec_bytes += task.spec.bytes_to_fetch_with
        self.tasks[event.task] = task
        self.tasks.move_to_end(event.task)
        self._index(task)
        if not task.paused:
            self.waiting.add(task)

    def _forget_means(self, task: Task) -> None:
        self.spec_bytes -= task.spec.bytes_to_fetch_with
        task.spec = task.spec.without_means()

    def _used(self, task: Task, at: float) -> None:
        task.last_used = at
        self.tasks.move_to_end(task.id)
        if task.id in self.failed:
            self.failed.move_to_end(task.id)

    def _task_started(self, event: TaskStarted) -> None:
        task = self.tasks[event.task]
        task.status = CdnStatus.RUNNING
        self.waiting.discard(task)

    def _task_sized(self, event: TaskSized) -> None:
        task = self.tasks[event.task]
        task.length = event.length
        task.piece_size = event.piece_size
        task.version = event.origin_version

    def _task_finished(self, event: TaskFinished) -> None:
        task = self.tasks[event.task]
        self._unindex(task)
        task.status = CdnStatus.SUCCESS
        self._forget_means(task)
        task.length = event.length
        task.md5 = event.md5
        task.sha256 = event.sha256
        self._index(task)
        if not task.adopted:
            task.checked = event.at

    def _task_doubted(self, event: TaskDoubted) -> None:
        task = self.tasks[event.task]
        self.spec_bytes += event.spec.bytes_to_fetch_with - task.spec.bytes_to_fetch_with
        task.spec = event.spec
        task.doubted = True
        self.doubted[task.id] = None

    def _task_confirmed(self, event: TaskConfirmed) -> None:
        task = self.tasks[event.task]
        self._forget_means(task)
        task.doubted = False
        task.checked = event.at
        del self.doubted[task.id]

    def _task_failed(self, event: TaskFailed) -> None:
        task = self.tasks[event.task]
        self._unindex(task)
        task.status = event.status
        self._forget_means(task)
        task.reason = event.reason
        task.detail = event.detail
        if event.retry_at is not None:
            task.retry_at = event.retry_at
            task.failures += 1
        self.waiting.discard(task)
        self.failed[event.task] = None
        for download in task.downloads.values():
            if download.peer is not None:
                self._part(self.peers[download.peer], download)
                download.peer = None
            if download.status is DownloadStatus.RUNNING:
                self._end_download(task, download, DownloadStatus.FAILED)
                download.reason = event.reason
                download.detail = event.detail
            self._keep_in_mind(download, event.at)
            download.index = -1
            download.have = 0
            self._settle_claim(download)
            self._set_claimed(download, 0)
            download.last_pull = None
        task.swarm = Swarm()
        task.by_index = {}
        task.digests = {}

    def _task_reopened(self, event: TaskReopened) -> None:
        task = self.tasks[event.task]
        self._unindex(task)
        task.status = CdnStatus.WAITING
        task.adopted = False
        self._index(task)
        if not task.paused:
            self.waiting.add(task)

    def _task_paused(self, event: TaskPaused) -> None:
        task = self.tasks[event.task]
        task.paused = True
        self.waiting.discard(task)

    def _task_resumed(self, event: TaskResumed) -> None:
        task = self.tasks[event.task]
        task.paused = False
        if task.status is CdnStatus.WAITING:
            self.waiting.add(task)

    def _task_pinned(self, event: TaskPinned) -> None:
        self.tasks[event.task].pinned = True

    def _task_unpinned(self, event: TaskUnpinned) -> None:
        self.tasks[event.task].pinned = False

    def _task_removed(self, event: TaskRemoved) -> None:
        task = self.tasks.pop(event.task)
        self._unindex(task)
        self._forget_means(task)
        self.waiting.discard(task)
        self.failed.pop(task.id, None)
        self.doubted.pop(task.id, None)
        for download in task.downloads.values():
            self.heard.pop((task.id, download.client), None)
            self._settle_claim(download)
            self._set_claimed(download, 0)
            if download.peer is not None:
                self._part(self.peers[download.peer], download)
        self.downloads -= len(task.downloads)
        self.gone[task.id] = event.reason
        while len(self.gone) > MOST_GONE:
            self.gone.popitem(last=False)

    def _piece_cached(self, event: PieceCached) -> None:
        task = self.tasks[event.task]
        task.digests[event.piece] = event.digest
        task.swarm.make_known(event.piece)

    def _pieces_listed(self, event: PiecesListed) -> None:
        task = self.tasks[event.task]
        for piece, digest in enumerate(event.digests):
            task.digests[PieceNumber(piece)] = digest
            task.swarm.make_known(piece)
        task.swarm.lacking = task.swarm.known
        task.md5, task.sha256 = event.md5, event.sha256

    def _pieces_verified(self, event: PiecesVerified) -> None:
        self.tasks[event.task].swarm.lacking &= ~event.pieces

    def _pieces_lost(self, event: PiecesLost) -> None:
        self.tasks[event.task].swarm.lacking |= event.pieces

    # downloads

    def _download_started(self, event: DownloadStarted) -> None:
        task = self.tasks[event.task]
        if before := task.downloads.get(event.client):
            self._stop_offering(task, before, event.at)
            self._remove(task, before)
        index = task.swarm.join()
        download = Download(
            task=event.task,
            client=event.client,
            peer=event.peer,
            path=event.path,
            index=index,
            created=event.at,
            last_seen=event.at,
        )
        if before:
            download.false_accusations = before.false_accusations
            download.distrusted_until = before.distrusted_until
        task.downloads[event.client] = download
        task.by_index[index] = download
        task.running += 1
        self.downloads += 1
        self.heard[event.task, event.client] = download
        if event.peer is not None:
            peer = self.peers[event.peer]
            peer.downloads.add((event.task, event.client))
            task.swarm.set_free(index, free=peer.free)
            self._heard_of_peer(peer, event.at)
        self._used(task, event.at)

    def _download_seen(self, event: DownloadSeen) -> None:
        task = self.tasks[event.task]
        self._heard_of(task, task.downloads[event.client], event.at)

    def _heard_of(self, task: Task, download: Download, at: float) -> None:
        """Note a call of a download's client."""
        download.last_seen = at
        key = (download.task, download.client)
        if key in self.heard:
            self.heard.move_to_end(key)
        if download.peer is not None:
            self._heard_of_peer(self.peers[download.peer], at)
        self._used(task, at)

    def _keep_in_mind(self, download: Download, at: float) -> None:
        """Let a download that has ended, if it offers nothing, be forgotten in due time."""
        key = (download.task, download.client)
        if download.status is DownloadStatus.RUNNING:
            return
        if download.offers:
            self.heard.pop(key, None)
        else:
            download.last_seen = at
            self.heard[key] = download
            self.heard.move_to_end(key)

    def _end_download(self, task: Task, download: Download, status: DownloadStatus) -> None:
        if download.status is DownloadStatus.RUNNING:
            task.running -= 1
        download.status = status

    def _download_finished(self, event: DownloadFinished) -> None:
        task = self.tasks[event.task]
        download = task.downloads[event.client]
        self._end_download(task, download, DownloadStatus.SUCCESS)
        self._keep_in_mind(download, event.at)

    def _download_failed(self, event: DownloadFailed) -> None:
        task = self.tasks[event.task]
        download = task.downloads[event.client]
        self._end_download(task, download, DownloadStatus.FAILED)
        download.reason = event.reason
        self._keep_in_mind(download, event.at)

    def _download_resumed(self, event: DownloadResumed) -> None:
        task = self.tasks[event.task]
        download = task.downloads[event.client]
        download.status = DownloadStatus.RUNNING
        download.reason = None
        task.running += 1
        self.heard[event.task, event.client] = download
        self._heard_of(task, download, event.at)

    def _download_withdrawn(self, event: DownloadWithdrawn) -> None:
        task = self.tasks[event.task]
        self._stop_offering(task, task.downloads[event.client], event.at)

    def _download_forgotten(self, event: DownloadForgotten) -> None:
        task = self.tasks[event.task]
        download = task.downloads[event.client]
        self._stop_offering(task, download, event.at)
        self._remove(task, download)

    def _stop_offering(self, task: Task, download: Download, at: float) -> None:
        if download.peer is None:
            return
        if self.counts(download):
            self._discount(task, download)
        self._part(self.peers[download.peer], download)
        download.peer = None
        self._settle_claim(download)
        task.swarm.set_free(download.index, free=False)
        task.swarm.set_silent(download.index, silent=False)
        self._keep_in_mind(download, at)

    def _part(self, peer: Peer, download: Download) -> None:
        """Let a download be none of the peer's; what it was accused of offering, it does not."""
        peer.downloads.discard((download.task, download.client))
        accusation = self.accused.get(peer.id)
        if accusation and (accusation.task, accusation.holder) == (download.task, download.client):
            del self.accused[peer.id]

    def _remove(self, task: Task, download: Download) -> None:
        del task.downloads[download.client]
        self.heard.pop((task.id, download.client), None)
        self.downloads -= 1
        self._settle_claim(download)
        self._set_claimed(download, 0)
        if download.status is DownloadStatus.RUNNING:
            task.running -= 1
        if download.index >= 0:
            task.swarm.leave(download.index, download.have)
            del task.by_index[download.index]

    def _pieces_held(self, event: PiecesHeld) -> None:
        task = self.tasks[event.task]
        download = task.downloads[event.client]
        self._settle_claim(download)
        self._hold(task, download, event.pieces)
        self._heard_of(task, download, event.at)
        self._keep_in_mind(download, event.at)

    def _hold(self, task: Task, download: Download, pieces: int) -> None:
        gained = pieces & ~download.have
        download.have |= gained
        self._set_claimed(download, download.claimed & ~gained)
        if self.counts(download):
            for piece in bits(gained):
                task.swarm.add_copies(piece, +1)
                task.swarm.hold(download.index, piece)

    # claims

    def _claim_made(self, event: ClaimMade) -> None:
        download = self.tasks[event.task].downloads[event.client]
        self._set_claimed(download, event.pieces)
        self.number_claim(download, event.claim)

    def number_claim(self, download: Download, claim: int) -> None:
        """Let what a client claims be still to be checked under this number, if it has a peer."""
        self.next_claim = claim + 1
        if download.peer is not None:
            download.claim = claim
            self.claims[claim] = download
            self.claims_of.setdefault(download.task, {})[claim] = None

    def _claim_confirmed(self, event: ClaimConfirmed) -> None:
        task = self.tasks[event.task]
        download = task.downloads[event.client]
        self._settle_claim(download)
        self._hold(task, download, download.claimed)
        self._keep_in_mind(download, event.at)

    def _claim_rejected(self, event: ClaimRejected) -> None:
        self._settle_claim(self.claims[event.claim])

    def _settle_claim(self, download: Download) -> None:
        """There is nothing left to be checked of what a client claims, if there was."""
        claim, download.claim = download.claim, None
        if claim is None:
            return
        del self.claims[claim]
        of_task = self.claims_of[download.task]
        del of_task[claim]
        if not of_task:
            del self.claims_of[download.task]

    def _set_claimed(self, download: Download, pieces: int) -> None:
        self.claim_bytes += bitset_bytes(pieces) - bitset_bytes(download.claimed)
        download.claimed = pieces

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
        if self.counts(download):
            task.swarm.add_copies(event.piece, +1)
        holder = self._holder_of(lease)
        holder.serving.add(lease.id)
        holder.slots_used += 1
        self._tell_swarms(holder)

    def _pieces_offered(self, event: PiecesOffered) -> None:
        task = self.tasks[event.task]
        download = task.downloads[event.client]
        download.last_pull = LastPull(event.question, event.leases)
        self._heard_of(task, download, event.at)

    def _piece_arrived(self, event: PieceArrived) -> None:
        task = self.tasks[event.task]
        self._heard_of(task, task.downloads[event.client], event.at)
        lease = self.leases[event.lease]
        self._give_slot_back(lease)
        lease.written_by = event.written_by
        heapq.heappush(self.deadlines, (event.written_by, event.lease))
        self._drop_stale_deadlines()

    def _piece_finished(self, event: PieceFinished) -> None:
        task = self.tasks[event.task]
        download = task.downloads[event.client]
        if event.lease is not None:
            lease = self.leases[event.lease]
            holder = self._holder_of(lease)
            if isinstance(holder, Peer):
                holder.failures = 0
                download.from_peers += event.size - FRAME_BYTES
                self._heard_of_peer(holder, event.at)
            else:
                download.from_seed += event.size - FRAME_BYTES
            task.swarm.took(event.at - lease.began)
            self._end(lease)
        self._heard_of(task, download, event.at)
        download.have |= 1 << event.piece
        if self.counts(download):
            task.swarm.add_copies(event.piece, +1)
            task.swarm.hold(download.index, event.piece)

    def _piece_failed(self, event: PieceFailed) -> None:
        task = self.tasks[event.task]
        lease = self.leases[event.lease]
        download = task.downloads[event.client]
        self._heard_of(task, download, event.at)
        avoided = download.avoided
        for peer in [peer for peer, until in avoided.items() if until <= event.at]:
            del avoided[peer]
        holder = self._holder_of(lease)
        if isinstance(holder, Peer):
            if download.distrusted_until <= event.at:
                holder.failures += 1
            avoided[holder.id] = event.avoid_until
        else:
            avoided[None] = event.avoid_until
        self._end(lease)

    def _lease_overdue(self, event: LeaseOverdue) -> None:
        lease = self.leases[event.lease]
        self._give_slot_back(lease)
        self._expect_no_copy(lease)
        lease.overdue = True
        heapq.heappush(self.deadlines, (lease.deadline, lease.id))
        self._drop_stale_deadlines()

    def _lease_ended(self, event: LeaseExpired | LeaseReleased) -> None:
        self._end(self.leases[event.lease])

    def _end(self, lease: Lease) -> None:
        """Forget the lease."""
        if lease.holds_slot:
            self._give_slot_back(lease)
        if not lease.overdue:
            self._expect_no_copy(lease)
        download = self.tasks[lease.task].downloads[lease.client]
        del download.leases[lease.piece]
        download.leased ^= 1 << lease.piece
        holder = self._holder_of(lease)
        holder.serving.remove(lease.id)
        self._tell_swarms(holder)
        del self.leases[lease.id]
        self._drop_stale_deadlines()

    def _expect_no_copy(self, lease: Lease) -> None:
        """Do not count the copy that the lease promised."""
        task = self.tasks[lease.task]
        if self.counts(task.downloads[lease.client]):
            task.swarm.add_copies(lease.piece, -1)

    def _give_slot_back(self, lease: Lease) -> None:
        """Let the holder have one more upload."""
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
            if lease is not None and moment == lease.next_change:
                return
            heapq.heappop(self.deadlines)

    # preheats

    def _part_started(self, event: PartStarted) -> None:
        super()._part_started(event)
        self._used_by_preheat(event)

    def _part_finished(self, event: PartFinished) -> None:
        super()._part_finished(event)
        self._used_by_preheat(event)

    def _used_by_preheat(self, event: PartStarted | PartFinished) -> None:
        if task := self.tasks.get(event.task):
            self._used(task, event.at)

    # contents

    def _index(self, task: Task) -> None:
        """Let a task be found by the content that it has or will have."""
        if task.status is CdnStatus.SUCCESS and task.sha256:
            self.complete.setdefault(task.sha256, {})[task.id] = None
        elif task.is_fetched and task.spec.sha256:
            self.coming.setdefault(task.spec.sha256, {})[task.id] = None

    def _unindex(self, task: Task) -> None:
        for index, sha256 in ((self.complete, task.sha256), (self.coming, task.spec.sha256)):
            tasks = index.get(sha256)
            if tasks and task.id in tasks:
                del tasks[task.id]
                if not tasks:
                    del index[sha256]


_RULES: dict[type[Event], Callable[[State, Any], None]] = {
    **PREHEAT_RULES,
    PartStarted: State._part_started,
    PartFinished: State._part_finished,
    PeerRegistered: State._peer_registered,
    PeerSeen: State._peer_seen,
    PeerFellSilent: State._peer_fell_silent,
    PeerLeft: State._peer_left,
    PeerExpired: State._peer_left,
    PeerAccused: State._peer_accused,
    AccusationTaken: State._accusation_taken,
    PeerCleared: State._peer_cleared,
    PeerWarned: State._peer_warned,
    PeerQuarantined: State._peer_quarantined,
    PeerReleased: State._peer_released,
    TaskRegistered: State._task_registered,
    TaskStarted: State._task_started,
    TaskSized: State._task_sized,
    TaskFinished: State._task_finished,
    TaskDoubted: State._task_doubted,
    TaskConfirmed: State._task_confirmed,
    TaskFailed: State._task_failed,
    TaskReopened: State._task_reopened,
    TaskPaused: State._task_paused,
    TaskResumed: State._task_resumed,
    TaskPinned: State._task_pinned,
    TaskUnpinned: State._task_unpinned,
    TaskRemoved: State._task_removed,
    PieceCached: State._piece_cached,
    PiecesListed: State._pieces_listed,
    PiecesVerified: State._pieces_verified,
    PiecesLost: State._pieces_lost,
    DownloadStarted: State._download_started,
    DownloadSeen: State._download_seen,
    DownloadFinished: State._download_finished,
    DownloadFailed: State._download_failed,
    DownloadResumed: State._download_resumed,
    DownloadWithdrawn: State._download_withdrawn,
    DownloadForgotten: State._download_forgotten,
    PiecesHeld: State._pieces_held,
    PieceArrived: State._piece_arrived,
    ClaimMade: State._claim_made,
    ClaimConfirmed: State._claim_confirmed,
    ClaimRejected: State._claim_rejected,
    PieceAssigned: State._piece_assigned,
    PiecesOffered: State._pieces_offered,
    PieceFinished: State._piece_finished,
    PieceFailed: State._piece_failed,
    LeaseOverdue: State._lease_overdue,
    LeaseExpired: State._lease_ended,
    LeaseReleased: State._lease_ended,
}
