"""Clients say what they have from before, as after the supernode has lost its memory.

For the client's own download its word is enough: it is not given those pieces again. Its peer is
offered as their holder once one of them, drawn by lot, has been found there.
"""

from supernode.core.commands import DrawSpotCheck, JudgeClaim, SpotCheck
from supernode.core.errors import BadField, NotFound, TaskConflict
from supernode.core.events import ClaimConfirmed, ClaimMade, ClaimRejected
from supernode.core.model import Download, Finding, Peer, Task
from supernode.core.pieces import PieceNumber, piece_range, unpack_pieces
from supernode.core.swarm import bits, bitset_bytes
from supernode.core.transitions.step import FAILED, Step, copy_of


def check_claim(task: Task | None, packed: bytes) -> int:
    """Return what is claimed of a file as a bitset. Raises BadField: it has fewer pieces."""
    pieces = unpack_pieces(packed)
    total = None if task is None or task.status in FAILED else task.piece_total
    if total is not None and pieces >> total:
        last = pieces.bit_length() - 1
        raise BadField("pieces", f"names piece {last}, but the file has {total}, counted from 0")
    return pieces


def make_claim(step: Step, download: Download, pieces: int) -> None:
    """Note what a client has from before, as far as there is room to."""
    room = step.state.limits.most_claim_bytes - step.state.claim_bytes
    if pieces and bitset_bytes(pieces) <= room:
        step.emit(
            ClaimMade(
                at=step.now,
                task=download.task,
                client=download.client,
                claim=step.state.next_claim,
                pieces=pieces,
            )
        )


def draw_spot_check(step: Step, command: DrawSpotCheck) -> SpotCheck | None:
    """Draw a piece by which to check a claim; reject one that goes beyond the file's end.

    Raises:
        NotFound: the claim, or it is settled.
        TaskConflict: no piece of it is known yet.
    """
    task, download, peer = _claim(step, command.claim)
    total, known = task.piece_total, task.swarm.known
    if total is None or not known:
        raise TaskConflict(f"task {task.id} has no piece yet by which to check a claim")
    if download.claimed >> total:
        last = PieceNumber(download.claimed.bit_length() - 1)
        _reject(step, download, peer, last, Finding.MISSING, f"the file has {total} pieces")
        return None
    candidates = list(bits(download.claimed & known))
    if not candidates:
        raise TaskConflict(f"no piece of claim {command.claim} is known yet")
    assert task.piece_size is not None
    piece = PieceNumber(candidates[step.chance.getrandbits(32) % len(candidates)])
    return SpotCheck(
        piece=piece,
        piece_range=piece_range(piece, task.piece_size),
        piece_size=task.piece_size,
        digest=task.digests[piece],
        holder=copy_of(peer, download),
    )


def judge_claim(step: Step, command: JudgeClaim) -> None:
    """Believe a claim, or offer nothing of it. Raises NotFound: the claim, or it is settled."""
    task, download, peer = _claim(step, command.claim)
    if command.finding is not Finding.RIGHT:
        _reject(step, download, peer, command.piece, command.finding, command.seen)
        return
    step.emit(
        ClaimConfirmed(
            at=step.now,
            task=task.id,
            client=download.client,
            claim=command.claim,
            piece=command.piece,
            peer=peer.id,
        )
    )


def _claim(step: Step, claim: int) -> tuple[Task, Download, Peer]:
    download = step.state.claims.get(claim)
    if download is None or download.peer is None:
        raise NotFound("claim", str(claim))
    return step.task(download.task), download, step.peer(download.peer)


def _reject(
    step: Step, download: Download, peer: Peer, piece: PieceNumber, finding: Finding, seen: str
) -> None:
    assert download.claim is not None
    step.emit(
        ClaimRejected(
            at=step.now,
            task=download.task,
            client=download.client,
            claim=download.claim,
            piece=piece,
            peer=peer.id,
            finding=finding,
            seen=seen,
        )
    )
