"""``GET /peer/piece/suc`` and ``/peer/piece/error``, and v1's REST for the latter."""

import enum

from msgspec import field as named

from supernode.api import holders, validation
from supernode.api.decoding import from_json
from supernode.api.dfget_1_0.answers import say
from supernode.api.dfget_1_0.codes import Code
from supernode.api.dfget_1_0.names import holder
from supernode.api.dfget_1_0.queries import download, field
from supernode.api.models import Model, Text
from supernode.core.commands import PieceResult, Report, ReportPiece, Seed
from supernode.core.errors import BadField, NotFound
from supernode.core.identity import ClientId, TaskId
from supernode.core.model import Lease, Task
from supernode.core.pieces import RangeError, parse_piece_range, piece_range
from supernode.core.tracker import Tracker
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Facts, Request


class ErrorType(enum.StrEnum):
    """What a client has against a holder."""

    FILE_NOT_EXIST = "FILE_NOT_EXIST"
    FILE_MD5_NOT_MATCH = "FILE_MD5_NOT_MATCH"


class PieceErrorRequest(Model):
    """A client could not get a piece; what the path says as well need not be said."""

    task_id: Text = named(default="", name="taskId")
    range: Text = ""
    src_cid: Text = named(default="", name="srcCid")
    dst_pid: Text = named(default="", name="dstPid")
    error_type: ErrorType | None = named(default=None, name="errorType")


class Reports:
    """The operations.

    Args:
        dispatch: the door to the tracker.
    """

    def __init__(self, dispatch: Dispatcher) -> None:
        self._dispatch = dispatch

    def success(self, request: Request) -> Answer:
        """``GET /peer/piece/suc``: a piece is written; what is known already is no error."""
        task, client = download(request, "cid")
        dst = holder(field(request, "dstCid"), task)
        report = read_report(
            self._dispatch.tracker,
            (task, client),
            Report(
                field="pieceRange",
                piece_range=field(request, "pieceRange"),
                holder=dst,
                result=PieceResult.SUCCESS,
            ),
        )
        if report is not None:
            self._dispatch(ReportPiece(task=task, client=client, report=report))
        return say(Code.PIECE_REPORTED, rests_on=Facts.NONE)  # progress is written behind

    def error(self, request: Request) -> Answer:
        """``GET /peer/piece/error``: a holder had no such file, or gave wrong bytes."""
        task, client = download(request, "srcCid")
        dst = holder(validation.required("dstCid", field(request, "dstCid")), task)
        if field(request, "errorType") not in list(ErrorType):
            raise BadField("errorType", f"is none of {', '.join(ErrorType)}")
        self._accuse(task, client, dst, field(request, "range"))
        return say(Code.SUCCESS)

    def rest_error(self, request: Request) -> Answer:
        """``/tasks/{id}/pieces/{pieceRange}/error``: the same, of a peer by its ID."""
        asked = from_json(request.body, PieceErrorRequest)
        dst = holders.holder(validation.required("dstPid", asked.dst_pid))
        if asked.error_type is None:
            raise BadField("errorType", "is required")
        task = TaskId(asked.task_id or request.path_fields["id"])
        client = ClientId(validation.required("srcCid", asked.src_cid))
        self._accuse(task, client, dst, asked.range or request.path_fields["pieceRange"])
        return Answer(200)

    def _accuse(self, task_id: TaskId, client: ClientId, dst: Seed | str | None, text: str) -> None:
        """Let a client's leases on a holder have failed: that of one piece, or without one, all.

        So it can only speak of what it was told to fetch there. Every accusation comes by here.
        """
        tracker = self._dispatch.tracker
        task = tracker.task(task_id)
        leases = [lease for lease in _leases(task, client) if _is_from(lease, dst, task)]
        if text:
            wanted = Report(field="range", piece_range=text, holder=dst, result=PieceResult.FAILED)
            if read_report(tracker, (task_id, client), wanted) is None:
                return
            leases = [lease for lease in leases if _range(lease, task) == text]
        for lease in leases:
            report = Report(
                field="range",
                piece_range=_range(lease, task),
                holder=dst,
                result=PieceResult.FAILED,
            )
            self._dispatch(ReportPiece(task=task_id, client=client, report=report))


def read_report(
    tracker: Tracker, download: tuple[TaskId, ClientId], report: Report
) -> Report | None:
    """Return a report that can be counted; None: nothing is known of its piece yet.

    A client that comes from another supernode speaks of pieces that are still to come here, and so
    does one that knows an earlier file of the same name.

    Raises:
        NotFound: the task or the client.
        BadField: it is of no piece.
    """
    task_id, client = download
    task = tracker.task(task_id)
    if client not in task.downloads:
        raise NotFound("client", client)
    validation.required(report.field, report.piece_range)
    if task.piece_size is None:
        return None
    try:
        piece = parse_piece_range(report.piece_range, task.piece_size)
    except RangeError as error:
        raise BadField(report.field, str(error)) from None
    return report if piece in task.digests else None


def _leases(task: Task, client: ClientId) -> list[Lease]:
    if client not in task.downloads:
        raise NotFound("client", client)
    return list(task.downloads[client].leases.values())


def _is_from(lease: Lease, holder: Seed | str | None, task: Task) -> bool:
    if lease.holder is None:
        return holder is Seed.SEED
    return holder in (lease.holder, task.downloads[lease.holder].peer)


def _range(lease: Lease, task: Task) -> str:
    assert task.piece_size is not None
    return piece_range(lease.piece, task.piece_size)
