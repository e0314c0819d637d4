"""What time takes away. Each kind is kept in the order in which it ends, so this costs what ends.

A peer is alive while it called, or somebody reported a piece from it, within ``peer_ttl``, or while
it gives or takes a piece.
"""

from supernode.core.commands import Expire
from supernode.core.events import (
    DownloadFailed,
    DownloadForgotten,
    LeaseExpired,
    LeaseOverdue,
    PeerExpired,
    PeerFellSilent,
    PreheatRemoved,
    TaskRemoved,
)
from supernode.core.model import DownloadStatus, Peer
from supernode.core.reasons import Reason
from supernode.core.transitions.step import Step, about_lease


def expire(step: Step, _command: Expire) -> None:
    """Let go of what has outlived its time."""
    _expire_leases(step)
    _expire_downloads(step)
    _expire_peers(step)
    _expire_failed_tasks(step)
    _expire_preheats(step)


def _expire_leases(step: Step) -> None:
    deadlines, leases = step.state.deadlines, step.state.leases
    while deadlines and deadlines[0][0] <= step.now:
        lease = leases[deadlines[0][1]]
        what = LeaseExpired if lease.overdue else LeaseOverdue
        step.emit(what(at=step.now, **about_lease(step.state, lease)))


def _expire_downloads(step: Step) -> None:
    """End those whose clients are silent, forget those that ended as long ago."""
    limits = step.state.limits
    heard_before = step.now - limits.peer_ttl - limits.seen_every
    old = []
    for download in step.state.heard.values():
        if download.last_seen > heard_before:
            break
        old.append(download)
    for download in old:
        task, client = download.task, download.client
        if download.status is not DownloadStatus.RUNNING:
            step.emit(DownloadForgotten(at=step.now, task=task, client=client))
        elif not download.leases:
            silent = Reason.CLIENT_SILENT
            step.emit(DownloadFailed(at=step.now, task=task, client=client, reason=silent))


def _expire_peers(step: Step) -> None:
    limits = step.state.limits
    heard_before = step.now - limits.peer_ttl - limits.seen_every
    old, quiet = [], []
    for peer in step.state.peers.values():
        if peer.last_seen > step.now - limits.silent_after:
            break
        if peer.last_seen <= heard_before and not _is_busy(step, peer):
            old.append(peer)
        elif not peer.silent:
            quiet.append(peer)
    for peer in quiet:
        step.emit(PeerFellSilent(at=step.now, peer=peer.id))
    for peer in old:
        step.emit(PeerExpired(at=step.now, peer=peer.id))


def _is_busy(step: Step, peer: Peer) -> bool:
    tasks = step.state.tasks
    return bool(peer.serving) or any(
        tasks[task].downloads[client].leases for task, client in peer.downloads
    )


def _expire_failed_tasks(step: Step) -> None:
    tasks = [step.state.tasks[task] for task in step.state.failed]
    for task in tasks:
        over = task.last_used + step.state.limits.failed_task_ttl <= step.now
        if over and not task.downloads:
            step.emit(TaskRemoved(at=step.now, task=task.id, reason=Reason.TASK_EXPIRED))


def _expire_preheats(step: Step) -> None:
    old = []
    for identity in step.state.preheats_ended:
        preheat = step.state.preheats[identity]
        assert preheat.finished is not None
        if preheat.finished + step.state.limits.preheat_keep > step.now:
            break
        old.append(preheat)
    for preheat in old:
        step.emit(PreheatRemoved(at=step.now, preheat=preheat.id, task=preheat.task))
