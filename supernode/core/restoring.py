"""A state made of what an earlier process knew, so that its clients go on as if nothing had been.

Leases are gone, everybody was heard of just now. The seed's own copies are to be verified: what it
knows of a file's pieces is known again, but it gives none of them yet. Built in bulk, without
events: replaying what led there would take seconds.
"""

from bisect import insort
from dataclasses import dataclass, field

from supernode.core.identity import PreheatId, TaskId
from supernode.core.model import (
    CdnStatus,
    Download,
    DownloadStatus,
    Limits,
    PartStatus,
    Peer,
    Preheat,
    Task,
)
from supernode.core.reasons import Reason
from supernode.core.state import State
from supernode.core.swarm import Swarm, bitset_bytes


@dataclass(slots=True)
class Known:
    """What an earlier process knew, in any order; plain facts, nothing that follows from others.

    Args:
        tasks: without downloads and swarms.
        downloads: without leases; their ``index`` says nothing.
        preheats: with their files, which wait for nothing.
        gone: why tasks are known no longer, the oldest first.
        batches: the preheats that were asked for at once, the oldest first.
    """

    peers: list[Peer] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    downloads: list[Download] = field(default_factory=list)
    preheats: list[Preheat] = field(default_factory=list)
    gone: list[tuple[TaskId, Reason]] = field(default_factory=list)
    batches: list[tuple[PreheatId, tuple[PreheatId, ...]]] = field(default_factory=list)

    def latest(self) -> float:
        """Return the last moment that anything is said to have happened at, or 0."""
        moments = [peer.created for peer in self.peers]
        moments += [max(task.created, task.last_used) for task in self.tasks]
        moments += [download.created for download in self.downloads]
        moments += [preheat.finished or preheat.created for preheat in self.preheats]
        return max(moments, default=0.0)


def restore(limits: Limits, known: Known, now: float) -> State:
    """Return the state in which work goes on; takes over the records. O(everything).

    What was being fetched waits to go on; what was complete is to be verified, as if adopted from
    disk; what clients claim is to be checked once more. Of what contradicts itself the part that
    makes sense is kept. Moments in the future, which a clock that was wrong has left behind, are
    now.

    Args:
        limits: as for any state.
        known: what there is.
        now: seconds since the epoch.
    """
    state = State(limits)
    for peer in known.peers:
        peer.created, peer.last_seen = min(peer.created, now), now
        state.peers[peer.id] = peer
        if peer.quarantined:
            insort(state.quarantined, (peer.quarantined_until, peer.id))
        state.heard_peers[peer.id] = None
    for task in sorted(known.tasks, key=lambda task: task.last_used):
        _restore_task(state, task, now)
    for download in known.downloads:
        _restore_download(state, download, now)
    for task in state.tasks.values():
        _restore_swarm(state, task)
    for preheat in sorted(known.preheats, key=lambda preheat: preheat.finished or now):
        _restore_preheat(state, preheat, now)
    state.batches.update(known.batches)
    state.gone.update((task, reason) for task, reason in known.gone if task not in state.tasks)
    return state


def _restore_task(state: State, task: Task, now: float) -> None:
    task.created, task.last_used = min(task.created, now), min(task.last_used, now)
    task.checked = min(task.checked, now)
    if task.status is CdnStatus.SUCCESS or task.adopted:
        task.spec = task.spec.without_means()  # who doubted it has to ask again
    if task.status is CdnStatus.SUCCESS:
        task.status, task.adopted = CdnStatus.RUNNING, True
    elif task.status is CdnStatus.RUNNING and not task.adopted:
        task.status = CdnStatus.WAITING
    if task.status is CdnStatus.WAITING and not task.paused:
        state.waiting.add(task)
    if task.reason is not None:
        state.failed[task.id] = None
    task.retry_at = min(task.retry_at, now + state.limits.failed_origin_longest_pause)
    state.tasks[task.id] = task
    state.spec_bytes += task.spec.bytes_to_fetch_with
    state.next_generation = max(state.next_generation, task.generation + 1)


def _restore_download(state: State, download: Download, now: float) -> None:
    task = state.tasks.get(download.task)
    if task is None:
        return
    download.created, download.last_seen = min(download.created, now), now
    peer = state.peers.get(download.peer) if download.peer is not None else None
    if peer is None or task.reason is not None:
        download.peer = None
    else:
        peer.downloads.add((task.id, download.client))
    task.downloads[download.client] = download
    state.claim_bytes += bitset_bytes(download.claimed)
    if download.claimed:
        state.number_claim(download, state.next_claim)
    task.running += download.status is DownloadStatus.RUNNING
    state.downloads += 1


def _restore_swarm(state: State, task: Task) -> None:
    """Let the downloads of a task be its swarm, unless it has failed; then they only say so."""
    known = sum(1 << piece for piece in task.digests)
    downloads = list(task.downloads.values())
    for download in downloads:
        if download.status is DownloadStatus.RUNNING or not download.offers:
            state.heard[task.id, download.client] = download
    if task.reason is not None:
        return
    task.swarm = Swarm.of(known, [d.have if state.counts(d) else 0 for d in downloads])
    task.swarm.lacking = known
    for index, download in enumerate(downloads):
        download.index = index
        task.by_index[index] = download
        task.swarm.set_free(index, free=download.peer is not None)


def _restore_preheat(state: State, preheat: Preheat, now: float) -> None:
    """Let a preheat be known; its files go on with their tasks, or are to be begun."""
    preheat.created = min(preheat.created, now)
    state.preheats[preheat.id] = preheat
    if preheat.finished is not None:
        preheat.finished = min(preheat.finished, now)
        state.preheats_ended[preheat.id] = None
    else:
        state.preheats_open[preheat.id] = None
    if preheat.may_be_joined:
        state.joinable[preheat.key] = preheat.id
    parts, preheat.parts = preheat.parts, {}
    for part in parts.values():
        task = state.tasks.get(part.task)
        if part.status is PartStatus.RUNNING and task is not None and task.reason is None:
            part.awaits = task.id
        state.add_part(preheat, part)
