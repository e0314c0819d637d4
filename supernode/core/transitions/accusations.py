"""What clients say against peers, and what is found when we look into it.

A client's word takes nobody out of the swarm: it may lie, or have trouble of its own. It has us ask
the peer for the piece ourselves. If the piece comes, the word counts against the client. If wrong
bytes come, nobody is sent to the peer for a while. A peer that says that it has not got what it
offers may only have been late to say so, and one that does not answer us may answer others: each
counts half as much. In any case what was proved wrong is offered no longer.

Strikes and false accusations are forgiven with time; each one that comes before that doubles what
follows from it.
"""

from typing import Any

from supernode.core.commands import Inspection, JudgePeer, TakeAccusation
from supernode.core.events import (
    AccusationTaken,
    DownloadWithdrawn,
    PeerAccused,
    PeerCleared,
    PeerQuarantined,
    PeerWarned,
)
from supernode.core.model import Download, Finding, Lease, Peer
from supernode.core.pieces import piece_range
from supernode.core.reasons import Reason
from supernode.core.transitions.step import Step, copy_of, source_of

_STRIKES_OF_QUARANTINE = 2


def accuse(step: Step, lease: Lease) -> None:
    """Take note, if it is of use, that a client could not get its piece from a lease's holder.

    Dropped is what a peer is accused of while there is something to look into, what comes from a
    client that was wrong lately, and what is too much. What is true will be said again.
    """
    state = step.state
    task = state.tasks[lease.task]
    source = source_of(task, lease.holder)
    if source is None or lease.holder is None:
        return
    peer = state.peers[source]
    heard = peer.strikes or _is_trusted(step, task.downloads[lease.client])
    has_room = peer.id not in state.accused and len(state.accused) < state.limits.most_accused
    if heard and has_room and not peer.quarantined:
        step.emit(
            PeerAccused(
                at=step.now,
                task=task.id,
                client=lease.client,
                peer=peer.id,
                piece=lease.piece,
                holder=lease.holder,
            )
        )


def _is_trusted(step: Step, client: Download) -> bool:
    own_peer = step.state.peers.get(client.peer) if client.peer else None
    in_quarantine = own_peer is not None and own_peer.quarantined
    return client.distrusted_until <= step.now and not in_quarantine


def take_accusation(step: Step, _command: TakeAccusation) -> Inspection | None:
    """Return what to ask of the next peer that is accused."""
    state = step.state
    accusation = next(iter(state.accused.values()), None)
    if accusation is None:
        return None
    task, peer = state.tasks[accusation.task], state.peers[accusation.peer]
    offer = task.downloads[accusation.holder]
    assert task.piece_size is not None
    step.emit(AccusationTaken(at=step.now, peer=peer.id))
    return Inspection(
        accusation=accusation,
        generation=task.generation,
        since=offer.created,
        holder=copy_of(peer, offer),
        piece_range=piece_range(accusation.piece, task.piece_size),
        piece_size=task.piece_size,
        digest=task.digests[accusation.piece],
    )


def judge_peer(step: Step, command: JudgePeer) -> None:
    """Draw the conclusion from what was found; none if the peer is no longer offered with that.

    Raises:
        NotFound: the peer, the task or the download by which it offered the piece.
    """
    inspection, finding = command.inspection, command.finding
    accusation = inspection.accusation
    peer = step.peer(accusation.peer)
    task, offer = step.download(accusation.task, accusation.holder)
    stands = offer.peer == peer.id and offer.created == inspection.since
    if not stands or task.generation != inspection.generation or peer.quarantined:
        return
    if finding is Finding.RIGHT:
        _clear(step, command)
    elif finding is not Finding.NO_ANSWER:
        step.release(step.served_by(offer), Reason.PEER_WRONG)
        step.emit(DownloadWithdrawn(at=step.now, task=task.id, client=offer.client))
        _strike(step, command, peer)
    elif peer.failures:  # else somebody has got a piece from it meanwhile
        _strike(step, command, peer)


def _clear(step: Step, command: JudgePeer) -> None:
    limits, accusation = step.state.limits, command.inspection.accusation
    accuser = step.state.tasks[accusation.task].downloads.get(accusation.client)
    before = _left(step, accuser.false_accusations, accuser.distrusted_until) if accuser else 0
    count = min(before + 1, limits.most_strikes)
    step.emit(
        PeerCleared(
            at=step.now,
            task=accusation.task,
            client=accusation.client,
            peer=accusation.peer,
            piece=accusation.piece,
            false_accusations=count,
            distrusted_until=step.now + limits.distrust * 2 ** (count - 1),
        )
    )


def _strike(step: Step, command: JudgePeer, peer: Peer) -> None:
    limits, accusation = step.state.limits, command.inspection.accusation
    strikes = 1 + _left(step, peer.strikes, peer.quarantined_until)
    if command.finding is Finding.WRONG:
        strikes = max(strikes, _STRIKES_OF_QUARANTINE)
    strikes = min(strikes, limits.most_strikes)
    about: dict[str, Any] = {
        "at": step.now,
        "task": accusation.task,
        "client": accusation.client,
        "peer": peer.id,
        "piece": accusation.piece,
        "finding": command.finding,
        "expected": command.inspection.digest,
        "seen": command.seen,
        "strikes": strikes,
    }
    doublings = strikes - _STRIKES_OF_QUARANTINE
    if doublings < 0:
        step.emit(PeerWarned(**about))
    else:
        step.emit(PeerQuarantined(**about, until=step.now + limits.quarantine * 2**doublings))


def _left(step: Step, count: int, since: float) -> int:
    """Return how many strikes, or false accusations, have not been forgiven since."""
    forgiven = (step.now - since) / step.state.limits.strike_ttl
    return max(count - max(int(forgiven), 0), 0)
