"""What time takes away. Each kind is kept in the order in which it ends, so this costs what ends.

A peer is alive while it called, or somebody reported a piece from it, within ``peer_ttl``, or while
it gives or takes a piece.
"""

import itertools
from collections.abc import Callable, Iterable
from typing import TypeVar

from supernode.core.commands import Expire
from supernode.core.events import (
    BatchRemoved,
    DownloadFailed,
    DownloadForgotten,
    LeaseExpired,
    LeaseOverdue,
    PeerExpired,
    PeerFellSilent,
    PeerReleased,
    PreheatRemoved,
    TaskRemoved,
)
from supernode.core.model import DownloadStatus, Peer
from supernode.core.reasons import Reason
from supernode.core.transitions.pulls import finish_piece
from supernode.core.transitions.step import Step, about_lease

V = TypeVar("V")

MOST_AT_ONCE = 256
"""How many events of one step, about: some milliseconds, with all who are told of them."""


def expire(step: Step, _command: Expire) -> bool:
    """Let go of what has outlived its time; tell whether there is more."""
    _expire_leases(step)
    _expire_downloads(step)
    _release_peers(step)
    _silence_peers(step)
    _expire_peers(step)
    _expire_failed_tasks(step)
    _expire_preheats(step)
    _expire_batches(step)
    return len(step.events) >= MOST_AT_ONCE


def _first(
    step: Step, order: Iterable[V], is_over: Callable[[V], bool], spared: Callable[[V], bool]
) -> list[V]:
    """Return the first that are over and not spared, as many as there is room for in this step."""
    over = itertools.takewhile(is_over, order)
    room = max(MOST_AT_ONCE - len(step.events), 0)
    return list(itertools.islice((one for one in over if not spared(one)), room))


def _nobody(_: object) -> bool:
    return False


def _expire_leases(step: Step) -> None:
    deadlines, leases = step.state.deadlines, step.state.leases
    while deadlines and deadlines[0][0] <= step.now:
        lease = leases[deadlines[0][1]]
        if lease.written_by is not None:
            task = step.state.tasks[lease.task]
            finish_piece(step, task, task.downloads[lease.client], lease.piece)
            continue
        what = LeaseExpired if lease.overdue else LeaseOverdue
        step.emit(what(at=step.now, **about_lease(step.state, lease)))


def _is_old(step: Step, last_seen: float) -> bool:
    limits = step.state.limits
    return last_seen <= step.now - limits.peer_ttl - limits.seen_every


def _expire_downloads(step: Step) -> None:
    """End those whose clients are silent, forget those that ended as long ago."""
    heard = step.state.heard.values()
    for download in _first(
        step, heard, lambda d: _is_old(step, d.last_seen), lambda d: bool(d.leases)
    ):
        task, client = download.task, download.client
        if download.status is DownloadStatus.RUNNING:
            silent = Reason.CLIENT_SILENT
            step.emit(DownloadFailed(at=step.now, task=task, client=client, reason=silent))
        else:
            step.emit(DownloadForgotten(at=step.now, task=task, client=client))


def _release_peers(step: Step) -> None:
    order = step.state.quarantined
    for _, peer in _first(step, order, lambda entry: entry[0] <= step.now, _nobody):
        step.emit(PeerReleased(at=step.now, peer=peer))


def _silence_peers(step: Step) -> None:
    peers, quiet_since = step.state.peers, step.now - step.state.limits.silent_after
    for peer in _first(
        step, step.state.heard_peers, lambda p: peers[p].last_seen <= quiet_since, _nobody
    ):
        step.emit(PeerFellSilent(at=step.now, peer=peer))


def _expire_peers(step: Step) -> None:
    peers = step.state.peers
    for peer in _first(
        step,
        step.state.silent_peers,
        lambda p: _is_old(step, peers[p].last_seen),
        lambda p: _is_busy(step, peers[p]),
    ):
        step.emit(PeerExpired(at=step.now, peer=peer))


def _is_busy(step: Step, peer: Peer) -> bool:
    tasks = step.state.tasks
    return bool(peer.serving) or any(
        tasks[task].downloads[client].leases for task, client in peer.downloads
    )


def _expire_failed_tasks(step: Step) -> None:
    tasks, used_before = step.state.tasks, step.now - step.state.limits.failed_task_ttl
    for task in _first(
        step,
        step.state.failed,
        lambda t: tasks[t].last_used <= used_before,
        lambda t: tasks[t].paused or bool(tasks[t].downloads),
    ):
        step.emit(TaskRemoved(at=step.now, task=task, reason=Reason.TASK_EXPIRED))


def _expire_preheats(step: Step) -> None:
    preheats, ended_before = step.state.preheats, step.now - step.state.limits.preheat_keep
    for identity in _first(
        step,
        step.state.preheats_ended,
        lambda p: (preheats[p].finished or 0.0) <= ended_before,
        _nobody,
    ):
        step.emit(PreheatRemoved(at=step.now, preheat=identity, task=preheats[identity].task))


def _expire_batches(step: Step) -> None:
    """Forget the oldest batches as soon as none of their preheats is known."""
    batches, preheats = step.state.batches, step.state.preheats
    for batch in _first(
        step,
        batches,
        lambda b: not any(preheat in preheats for preheat in batches[b]),
        _nobody,
    ):
        step.emit(BatchRemoved(at=step.now, batch=batch))
