"""What must always hold of a state: everything that it keeps twice, for speed, agrees."""

from collections.abc import Mapping
from typing import Any

from supernode.core.errors import InvariantError
from supernode.core.identity import PartId
from supernode.core.model import CdnStatus, DownloadStatus, Limits, PartStatus, Peer, Task
from supernode.core.pieces import PieceNumber
from supernode.core.state import State
from supernode.core.swarm import bits, bitset_bytes

_FAILED = (CdnStatus.FAILED, CdnStatus.SOURCE_ERROR)


def check(state: State) -> None:
    """Verify all of it; O(everything).

    Raises:
        InvariantError: something does not hold.
    """
    _check_leases(state)
    _check_peers(state)
    _check_accusations(state)
    _check_downloads(state)
    _check_preheats(state)
    _check_contents(state)
    _check_claims(state)
    held = sum(task.spec.bytes_to_fetch_with for task in state.tasks.values())
    _must(state.spec_bytes == held, "bytes that are there only for fetches")
    failed = {task.id for task in state.tasks.values() if task.status in _FAILED}
    _must(set(state.failed) == failed, "failed tasks")
    for task in state.tasks.values():
        waits = task.status is CdnStatus.WAITING and not task.paused
        _must(state.waiting.holds(task) == waits, "waiting tasks")
        _must((task.id in state.doubted) == task.doubted, "doubted tasks")
        _must(not task.doubted or task.status is CdnStatus.SUCCESS, "what is doubted is complete")
        _check_task(state, task)


def _check_leases(state: State) -> None:
    for lease in state.leases.values():
        download = state.tasks[lease.task].downloads[lease.client]
        _must(download.leases[lease.piece] is lease, "lease of client")
    served: set[int] = set()
    holders: list[Peer | Task] = [*state.peers.values(), *state.tasks.values()]
    for holder in holders:
        _must(not served & holder.serving, "a lease has one holder")
        served |= holder.serving
        used = sum(state.leases[lease].holds_slot for lease in holder.serving)
        _must(holder.slots_used == used, "slots in use")
    _must(served == set(state.leases), "every lease has a holder")


def _check_peers(state: State) -> None:
    for peer in state.peers.values():
        _must(0 <= peer.slots_used <= state.limits.peer_slots, "slots of a peer")
        _must(len(peer.serving) <= 2 * state.limits.peer_slots, "leases on a peer")
    for order, silent in ((state.heard_peers, False), (state.silent_peers, True)):
        peers = [state.peers[peer] for peer in order]
        _must(all(peer.silent is silent for peer in peers), "silent peers")
        moments = [peer.last_seen for peer in peers]
        _must(moments == sorted(moments), "peers in the order of their calls")
    _must(len(state.heard_peers) + len(state.silent_peers) == len(state.peers), "all peers")
    quarantined = [(p.quarantined_until, p.id) for p in state.peers.values() if p.quarantined]
    _must(state.quarantined == sorted(quarantined), "peers in the order of their release")
    _must(not state.struck.keys() & state.peers.keys(), "strikes of those who are away")


def _check_accusations(state: State) -> None:
    _must(len(state.accused) <= state.limits.most_accused, "number of accusations")
    for peer, accusation in state.accused.items():
        _must(accusation.peer == peer, "one accusation a peer")
        _must(not state.peers[peer].quarantined, "accusations of those offered to nobody")
        offer = state.tasks[accusation.task].downloads[accusation.holder]
        _must(offer.peer == peer, "accusations about what is offered")


def _check_downloads(state: State) -> None:
    known = sum(len(task.downloads) for task in state.tasks.values())
    _must(state.downloads == known, "number of downloads")
    for task in state.tasks.values():
        statuses = [download.status for download in task.downloads.values()]
        _must(task.running == statuses.count(DownloadStatus.RUNNING), "running downloads")
        for download in task.downloads.values():
            runs = download.status is DownloadStatus.RUNNING
            heard = state.heard.get((task.id, download.client))
            _must(heard is (download if runs or not download.offers else None), "heard of")
    moments = [download.last_seen for download in state.heard.values()]
    _must(moments == sorted(moments), "downloads in the order of their calls")


def _check_preheats(state: State) -> None:
    parts = {part: of for p in state.preheats.values() for part, of in p.parts.items()}
    _must(state.parts == parts, "files of preheats")
    held: set[tuple[str, str]] = set()
    waiting: set[tuple[str, str]] = set()
    for preheat in state.preheats.values():
        ended = preheat.finished is not None
        _must((preheat.id in state.preheats_ended) == ended, "preheats that have ended")
        _must((preheat.id in state.preheats_open) != ended, "preheats that have not")
        unended = [part for part in preheat.parts.values() if not part.status.has_ended]
        _must(preheat.open_parts == len(unended), "files that have not ended")
        may_end = bool(unended) or not preheat.is_resolved
        _must(ended or may_end, "a preheat ends with its files")
        for part in preheat.parts.values():
            _must(part.preheat == preheat.id, "files of a preheat")
            if not ended and part.status not in (PartStatus.FAILED, PartStatus.SKIPPED):
                held.add((part.task, part.id))
            if part.may_begin:
                waiting.add((preheat.id, part.id))
    _must(_pairs(state.parts_held) == held, "files that must not go")
    _must(_pairs(state.parts_to_begin) == waiting, "files that are to be begun")
    awaiting = {(part.awaits, part.id) for part in parts.values() if part.awaits is not None}
    _must(_pairs(state.parts_awaiting) == awaiting, "files that wait for a task")
    for task in state.parts_awaiting:
        _must(task in state.tasks and state.tasks[task].reason is None, "what comes is awaited")
    for key, joined in state.joinable.items():
        preheat = state.preheats[joined]
        _must(preheat.key == key and preheat.may_be_joined, "preheats that may be joined")


def _pairs(index: Mapping[Any, Mapping[PartId, None]]) -> set[tuple[str, str]]:
    _must(all(index.values()), "no key without a file")
    return {(key, part) for key, parts in index.items() for part in parts}


def _check_contents(state: State) -> None:
    for index, tasks in (
        (state.complete, {t.id: t.sha256 for t in state.tasks.values() if _is_complete(t)}),
        (state.coming, {t.id: t.spec.sha256 for t in state.tasks.values() if t.is_fetched}),
    ):
        _must(all(index.values()), "no content without a task")
        found = {task: sha256 for sha256, of_it in index.items() for task in of_it}
        _must(found == {task: sha for task, sha in tasks.items() if sha}, "tasks by content")


def _is_complete(task: Task) -> bool:
    return task.status is CdnStatus.SUCCESS


def _check_claims(state: State) -> None:
    downloads = [d for task in state.tasks.values() for d in task.downloads.values()]
    claims = {d.claim: d for d in downloads if d.claim is not None}
    _must(state.claims == claims, "claims by their numbers")
    of_tasks = {claim: task for task, of_it in state.claims_of.items() for claim in of_it}
    _must(of_tasks == {claim: d.task for claim, d in claims.items()}, "claims of tasks")
    _must(all(state.claims_of.values()), "no task without claims among those with some")
    _must(all(d.peer and d.claimed for d in claims.values()), "claims there is something to check")
    _must(state.claim_bytes == sum(bitset_bytes(d.claimed) for d in downloads), "bytes of claims")
    _must(state.claim_bytes <= state.limits.most_claim_bytes, "room for claims")


def _check_task(state: State, task: Task) -> None:
    limits, swarm = state.limits, task.swarm
    _must(0 <= task.slots_used <= limits.seed_slots, "slots of the seed")
    _must(len(task.serving) <= 2 * limits.seed_slots, "leases on the seed")
    _must(set(bits(swarm.known)) == set(task.digests), "known pieces have digests")
    _must(not swarm.lacking & ~swarm.known, "what the seed lacks is known")
    pieces = range(len(swarm.holders))
    copies, holders = [0] * len(pieces), [0] * len(pieces)
    free = silent = 0
    for download in task.downloads.values():
        _must(download.leased == sum(1 << p for p in download.leases), "leased pieces")
        _must(not download.done & download.leased, "no piece is fetched twice")
        _must(not download.have & download.claimed, "what is had is no longer claimed")
        _must(len(download.leases) <= limits.client_leases, "leases of a client")
        if download.status is DownloadStatus.SUCCESS and download.index >= 0:
            _must(not swarm.known & ~download.done, "a finished client has every piece")
        if download.index >= 0:
            _must(task.by_index[download.index] is download, "index")
        if download.peer is None:
            continue
        peer = state.peers[download.peer]
        _must((task.id, download.client) in peer.downloads, "downloads of a peer")
        if _is_free(peer, limits):
            free |= 1 << download.index
        if peer.silent:
            silent |= 1 << download.index
        if peer.quarantined:
            continue
        for piece in map(PieceNumber, bits(download.have)):
            holders[piece] |= 1 << download.index
            copies[piece] += 1
        for piece, lease in download.leases.items():
            copies[piece] += not lease.overdue
    _must(free == swarm.free, "free peers")
    _must(silent == swarm.silent, "silent peers")
    for piece in map(PieceNumber, pieces):
        _must(swarm.holders[piece] == holders[piece], f"holders of piece {piece}")
        _must(swarm.held >> piece & 1 == bool(holders[piece]), f"whether {piece} is held")
        _must(swarm.copies(piece) == copies[piece], f"copies of piece {piece}")


def _is_free(peer: Peer, limits: Limits) -> bool:
    slots = limits.peer_slots
    return peer.slots_used < slots and len(peer.serving) < 2 * slots


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise InvariantError(what)
