"""``GET /peer/task``: a client says how far it is and is told what to fetch from whom."""

from itertools import chain, repeat

import msgspec

from supernode.api.dfget_1_0.addresses import Addresses
from supernode.api.dfget_1_0.answers import say
from supernode.api.dfget_1_0.codes import RESULTS, STATUSES, Code
from supernode.api.dfget_1_0.names import holder, name_of
from supernode.api.dfget_1_0.queries import download, field
from supernode.api.dfget_1_0.reports import read_report
from supernode.api.holders import SeedAddress
from supernode.api.patience import within
from supernode.core.commands import (
    Assignment,
    PeerHolder,
    PieceResult,
    Pull,
    Pulled,
    PullStatus,
    Report,
)
from supernode.core.errors import BadField, NotFound
from supernode.core.identity import TaskId, download_path, seed_id
from supernode.core.model import CdnStatus
from supernode.core.pieces import framed_length, parse_piece_range
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Request, Wait

LONGEST_WAIT = 2.0
"""How long a client waits for something to fetch. After a 602 it would sleep, longer each time."""
LONGEST_WAIT_WHILE_FETCHING = 1.0
"""The same for one with pieces in flight: until it is answered it cannot say that one failed."""
PIECES_AT_ONCE = 4
"""A client asks again when two are left; it has no limit of its own."""


class Piece(msgspec.Struct, rename="camel"):
    """A piece to fetch, and from whom."""

    range: str
    piece_num: int
    piece_size: int
    """Framed bytes."""
    piece_md5: str
    cid: str
    peer_ip: str
    peer_port: int
    path: str
    down_link: int = 0


class Whole(msgspec.Struct, rename="camel"):
    """The file, of which a client has every piece."""

    file_length: int
    """Framed bytes."""
    md5: str
    """Of the content; empty: not known."""


class Pulls:
    """The operation.

    Args:
        dispatch: the door to the tracker.
        seed: the data port's address as clients are told …
        addresses: … unless they know a better one.
    """

    def __init__(self, dispatch: Dispatcher, seed: SeedAddress, addresses: Addresses) -> None:
        self._dispatch = dispatch
        self._seed = seed
        self._addresses = addresses

    def pull(self, request: Request) -> Answer | Wait:
        """``GET /peer/task``; waits a little until there is something to fetch."""
        pull = self._read(request)
        task, client = pull.task, pull.client
        pulls = chain([pull], repeat(msgspec.structs.replace(pull, retry=True)))
        last = Pulled()
        longest = LONGEST_WAIT_WHILE_FETCHING if self._is_fetching(pull) else LONGEST_WAIT

        def something() -> Answer | None:
            nonlocal last
            last = self._dispatch(next(pulls))
            if last.ended:
                return self._end(task)
            if not last.assignments:
                return None
            address = self._addresses.of(task, client, request)
            pieces = [self._piece(task, address, piece) for piece in last.assignments]
            return say(Code.PEER_CONTINUE, pieces, rests_on=task)

        def nothing() -> Answer:
            why = "the task is paused" if last.paused else "there is no piece to fetch yet"
            return say(Code.PEER_WAIT, msg=why, rests_on=task)

        return within(longest, self._dispatch.clock, (task, client), something, nothing)

    def _read(self, request: Request) -> Pull:
        """Return what is asked. Raises BadField, NotFound."""
        status = STATUSES.get(field(request, "status"))
        if status is None:
            raise BadField("status", f"is none of {', '.join(STATUSES)}")
        task, client = download(request, "srcCid")
        result = RESULTS.get(field(request, "result"))
        reports: tuple[Report, ...] = ()
        count = PIECES_AT_ONCE
        if status is PullStatus.RUNNING:
            if result in (None, PieceResult.INVALID):
                raise BadField("result", "must be 500, 501 or 503 while running")
            assert result is not None
            wanted = Report(
                field="range",
                piece_range=field(request, "range"),
                holder=holder(field(request, "dstCid"), task),
                result=result,
            )
            report = read_report(self._dispatch.tracker, (task, client), wanted)
            reports = (report,) if report else ()
            if result is PieceResult.FAILED:
                count = 1  # in its place: the others are still in flight
        return Pull(
            task=task,
            client=client,
            status=status,
            result=result,
            reports=reports,
            count=count,
            remind=True,
        )

    def _is_fetching(self, pull: Pull) -> bool:
        """Tell whether a client has pieces in flight besides that of its report."""
        download = self._dispatch.tracker.task(pull.task).downloads.get(pull.client)
        if download is None:
            raise NotFound("client", pull.client)
        coming = sum(lease.written_by is None for lease in download.leases.values())
        return pull.status is PullStatus.RUNNING and coming > len(pull.reports)

    def _end(self, task_id: TaskId) -> Answer:
        task = self._dispatch.tracker.task(task_id)
        length = 0
        if task.length is not None and task.piece_size is not None:
            length = framed_length(task.length, task.piece_size)
        md5 = task.md5 if task.status is CdnStatus.SUCCESS else ""
        return say(Code.PEER_FINISH, Whole(file_length=length, md5=md5), rests_on=task_id)

    def _piece(self, task: TaskId, address: str, piece: Assignment) -> Piece:
        by = piece.holder
        if isinstance(by, PeerHolder):
            ip = f"[{by.ip}]" if ":" in by.ip else by.ip
            place: tuple[str, str, int, str] = (name_of(by.client, task), ip, by.port, by.path)
        else:
            seed = self._seed
            place = (seed_id(seed.ip, task), address, seed.port, download_path(task))
        cid, ip, port, path = place
        return Piece(
            range=piece.piece_range,
            piece_num=parse_piece_range(piece.piece_range, piece.piece_size),
            piece_size=piece.piece_size,
            piece_md5=piece.digest,
            cid=cid,
            peer_ip=ip,
            peer_port=port,
            path=path,
        )
