"""``/tasks/{id}/pieces``: what to fetch from whom, and what became of it."""

from itertools import chain, repeat

import msgspec

from supernode.api import validation
from supernode.api.answers import as_json
from supernode.api.decoding import from_fields, from_json
from supernode.api.holders import SeedAddress, holder
from supernode.api.models import (
    PieceInfo,
    PiecePullQuery,
    PiecePullRequest,
    PieceReport,
    PieceUpdateRequest,
)
from supernode.api.patience import patiently
from supernode.core.commands import (
    Assignment,
    PeerHolder,
    PieceResult,
    Pull,
    Pulled,
    PullStatus,
    Report,
    ReportPiece,
)
from supernode.core.errors import BadField
from supernode.core.identity import ClientId, TaskId, download_path, seed_id
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Facts, Request, Wait


class Pieces:
    """The operations about pieces.

    Args:
        dispatch: the door to the tracker.
        seed: the data port's address as clients are told.
    """

    def __init__(self, dispatch: Dispatcher, seed: SeedAddress) -> None:
        self._dispatch = dispatch
        self._seed = seed

    def pull(self, request: Request) -> Answer | Wait:
        """``GET /tasks/{id}/pieces``; with ``Prefer: wait`` it waits until there is something."""
        task = TaskId(request.path_fields["id"])
        query = from_fields(request.query, PiecePullQuery)
        client = ClientId(validation.name("clientID", query.client_id))
        asked = from_json(request.body, PiecePullRequest) if request.body.strip() else query
        pull = Pull(
            task=task,
            client=client,
            status=asked.status,
            result=asked.piece_result,
            reports=_reports(asked),
            count=query.num,
        )
        pulls = chain([pull], repeat(msgspec.structs.replace(pull, retry=True)))
        last = Pulled()

        def something() -> Answer | None:
            nonlocal last
            last = self._dispatch(next(pulls))
            if last.assignments or last.ended:
                pieces = [self._piece(task, piece) for piece in last.assignments]
                return as_json(200, pieces, rests_on=task)
            return None

        def nothing() -> Answer:
            headers = {"Supernode-Reason": "paused"} if last.paused else {}
            return Answer(200, b"[]", headers=headers, rests_on=task)

        return patiently(request, self._dispatch.clock, (task, client), something, nothing)

    def update(self, request: Request) -> Answer:
        """``PUT /tasks/{id}/pieces/{pieceRange}``."""
        asked = from_json(request.body, PieceUpdateRequest)
        if asked.piece_status is None:
            raise BadField("pieceStatus", "is required")
        report = Report(
            field="pieceRange",
            piece_range=request.path_fields["pieceRange"],
            holder=holder(asked.dst_pid),
            result=asked.piece_status,
        )
        self._dispatch(
            ReportPiece(
                task=TaskId(request.path_fields["id"]),
                client=ClientId(validation.name("clientID", asked.client_id)),
                report=report,
            )
        )
        return Answer(200, rests_on=Facts.NONE)  # progress is written behind

    def _piece(self, task: TaskId, piece: Assignment) -> PieceInfo:
        by = piece.holder
        if isinstance(by, PeerHolder):
            place: tuple[str, str, str, int] = (by.peer, by.path, by.ip, by.port)
        else:
            seed = self._seed
            place = (seed_id(seed.ip, task), download_path(task), seed.ip, seed.port)
        peer_id, path, ip, port = place
        return PieceInfo(
            peer_id=peer_id,
            path=path,
            peer_ip=ip,
            peer_port=port,
            piece_md5=piece.digest,
            piece_range=piece.piece_range,
            piece_size=piece.piece_size,
        )


def _reports(asked: PiecePullRequest | PiecePullQuery) -> tuple[Report, ...]:
    """Return the request's reports: its own, then those in its list."""
    entries: list[tuple[str, PieceReport]] = []
    if asked.status is PullStatus.RUNNING and (asked.piece_range or asked.piece_result):
        own = PieceReport(
            piece_range=asked.piece_range, dst_pid=asked.dst_pid, piece_result=asked.piece_result
        )
        entries.append(("", own))
    if isinstance(asked, PiecePullRequest):
        entries += [(f"reports[{n}].", entry) for n, entry in enumerate(asked.reports)]
    return tuple(
        _report(entry, prefix)
        for prefix, entry in entries
        if entry.piece_result is not PieceResult.INVALID
    )


def _report(entry: PieceReport, prefix: str) -> Report:
    if entry.piece_result is None:
        raise BadField(f"{prefix}pieceResult", "is required with a pieceRange")
    return Report(
        field=f"{prefix}pieceRange",
        piece_range=validation.required(f"{prefix}pieceRange", entry.piece_range),
        holder=holder(entry.dst_pid),
        result=entry.piece_result,
    )
