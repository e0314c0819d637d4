"""The specification's operations: request in, command to the tracker, answer out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, repeat

import msgspec

from supernode.api import validation
from supernode.api.decoding import from_fields, from_json
from supernode.api.models import (
    PeerCreateRequest,
    PeerCreateResponse,
    PeerInfo,
    PieceInfo,
    PiecePullRequest,
    PieceReport,
    PieceUpdateRequest,
    TaskCreateRequest,
    TaskCreateResponse,
    TaskInfo,
)
from supernode.api.negotiation import names_json, wanted_wait
from supernode.core.commands import (
    Assignment,
    PeerHolder,
    PieceResult,
    Pull,
    Pulled,
    PullStatus,
    RegisterPeer,
    RegisterTask,
    RemovePeer,
    Report,
    ReportPiece,
    Seed,
)
from supernode.core.errors import BadField
from supernode.core.identity import (
    SEED_PREFIX,
    ClientId,
    PeerId,
    TaskId,
    download_path,
    seed_id,
    task_url,
    without_credentials,
)
from supernode.core.model import CdnStatus, Secrets, Task, TaskSpec
from supernode.core.pieces import framed_length
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Request, Wait

DEFAULT_PIECES = 4
MOST_PIECES = 1 << 31


@dataclass(frozen=True, slots=True)
class SeedAddress:
    """Where clients reach the data port."""

    ip: str
    port: int


class Rest:
    """The handlers. Each public method is one operation.

    Args:
        dispatch: the door to the tracker.
        seed: the data port's address as clients are told.
    """

    def __init__(self, dispatch: Dispatcher, seed: SeedAddress) -> None:
        self._dispatch = dispatch
        self._seed = seed

    def ping(self, request: Request) -> Answer:
        """``GET /_ping``."""
        if names_json(request.headers.get("accept", "")):
            return Answer(200, b'"OK"')
        return Answer(200, b"OK", "text/plain")

    # peers

    def create_peer(self, request: Request) -> Answer:
        """``POST /peers``."""
        asked = from_json(request.body, PeerCreateRequest)
        if asked.port is None:
            raise BadField("port", "is required")
        peer = self._dispatch(
            RegisterPeer(
                ip=validation.ip_address("IP", asked.ip),
                port=asked.port,
                host_name=validation.host_name("hostName", asked.host_name),
                version=asked.version,
            )
        )
        return _json(201, PeerCreateResponse(id=peer))

    def get_peer(self, request: Request) -> Answer:
        """``GET /peers/{id}``."""
        peer = self._dispatch.tracker.peer(PeerId(request.path_fields["id"]))
        info = PeerInfo(
            id=peer.id,
            ip=peer.ip,
            host_name=peer.host_name,
            port=peer.port,
            version=peer.version,
            created=datetime.fromtimestamp(round(peer.created, 3), UTC),
        )
        return _json(200, info)

    def delete_peer(self, request: Request) -> Answer:
        """``DELETE /peers/{id}``."""
        self._dispatch(RemovePeer(peer=PeerId(request.path_fields["id"])))
        return Answer(204)

    # tasks

    def create_task(self, request: Request) -> Answer | Wait:
        """``POST /tasks``; with ``Prefer: wait`` it waits for the origin's head."""
        asked = from_json(request.body, TaskCreateRequest)
        raw_url = validation.url("rawURL", asked.raw_url)
        peer = PeerId(asked.peer_id) if asked.peer_id else None
        if peer or asked.path:
            validation.upload_path("path", asked.path)
        spec = TaskSpec(
            raw_url=raw_url,
            task_url=task_url(raw_url, asked.filter),
            md5=validation.md5("md5", asked.md5),
            identifier=asked.identifier,
            headers=Secrets(validation.headers("headers", asked.headers)),
            call_system=asked.call_system,
            dfdaemon=asked.dfdaemon,
        )
        client = ClientId(validation.name("cID", asked.client_id))
        task = self._dispatch(RegisterTask(spec=spec, client=client, peer=peer, path=asked.path))

        def ready() -> Answer | None:
            known = self._dispatch.tracker.task(task)
            if known.piece_size is None and known.status in (CdnStatus.WAITING, CdnStatus.RUNNING):
                return None
            return self._created(known)

        def as_it_is() -> Answer:
            return self._created(self._dispatch.tracker.task(task))

        return self._waiting(request, (task, client), ready, as_it_is)

    def _created(self, task: Task) -> Answer:
        response = TaskCreateResponse(
            id=task.id, file_length=_framed_length(task), piece_size=task.piece_size
        )
        return _json(201, response)

    def get_task(self, request: Request) -> Answer:
        """``GET /tasks/{id}``."""
        task = self._dispatch.tracker.task(TaskId(request.path_fields["id"]))
        info = TaskInfo(
            id=task.id,
            cdn_status=task.status,
            raw_url=without_credentials(task.spec.raw_url),
            task_url=without_credentials(task.spec.task_url),
            file_length=_framed_length(task),
            http_file_length=task.length,
            piece_size=task.piece_size,
            piece_total=task.piece_total,
            md5=task.spec.md5,
            real_md5=task.md5,
            sha256=task.sha256,
            identifier=task.spec.identifier,
            headers=dict.fromkeys(task.spec.headers.names(), "***"),
            call_system=task.spec.call_system,
            dfdaemon=task.spec.dfdaemon,
            reason=task.reason.code if task.reason else "",
            detail=task.detail,
        )
        return _json(200, info)

    # pieces

    def pull_pieces(self, request: Request) -> Answer | Wait:
        """``GET /tasks/{id}/pieces``; with ``Prefer: wait`` it waits until there is something."""
        task = TaskId(request.path_fields["id"])
        client = ClientId(validation.name("clientID", request.query.get("clientID", "")))
        asked = (
            from_json(request.body, PiecePullRequest)
            if request.body.strip()
            else from_fields(request.query, PiecePullRequest)
        )
        pull = Pull(
            task=task,
            client=client,
            status=asked.status,
            result=asked.piece_result,
            reports=_reports(asked),
            count=_count(request.query.get("num")),
        )
        pulls = chain([pull], repeat(msgspec.structs.replace(pull, retry=True)))

        def something() -> Answer | None:
            pulled = self._dispatch(next(pulls))
            if pulled.assignments or pulled.ended:
                return self._pieces(task, pulled)
            return None

        def nothing() -> Answer:
            return self._pieces(task, Pulled())

        return self._waiting(request, (task, client), something, nothing)

    def _pieces(self, task: TaskId, pulled: Pulled) -> Answer:
        return _json(200, [self._piece(task, piece) for piece in pulled.assignments])

    def _piece(self, task: TaskId, piece: Assignment) -> PieceInfo:
        holder = piece.holder
        if isinstance(holder, PeerHolder):
            place: tuple[str, str, str, int] = (holder.peer, holder.path, holder.ip, holder.port)
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

    def update_piece(self, request: Request) -> Answer:
        """``PUT /tasks/{id}/pieces/{pieceRange}``."""
        asked = from_json(request.body, PieceUpdateRequest)
        if asked.piece_status is None:
            raise BadField("pieceStatus", "is required")
        report = Report(
            field="pieceRange",
            piece_range=request.path_fields["pieceRange"],
            holder=_holder(asked.dst_pid),
            result=asked.piece_status,
        )
        self._dispatch(
            ReportPiece(
                task=TaskId(request.path_fields["id"]),
                client=ClientId(validation.name("clientID", asked.client_id)),
                report=report,
            )
        )
        return Answer(200)

    def _waiting(
        self,
        request: Request,
        news: tuple[TaskId, ClientId],
        attempt: Callable[[], Answer | None],
        give_up: Callable[[], Answer],
    ) -> Answer | Wait:
        """Return what ``attempt`` gives, waiting for news as long as the client prefers."""
        seconds = wanted_wait(request.headers.get("prefer", ""))
        if not seconds:
            return attempt() or give_up()
        until = self._dispatch.clock.now() + seconds
        applied = {"Preference-Applied": f"wait={seconds:.0f}"}

        def again(time_is_over: bool) -> Answer | Wait:
            answer = attempt() or (give_up() if time_is_over else None)
            if answer is None:
                return Wait(*news, until, again)
            return Answer(answer.status, answer.body, answer.content_type, applied)

        return again(False)


def _json(status: int, model: object) -> Answer:
    return Answer(status, msgspec.json.encode(model))


def _framed_length(task: Task) -> int | None:
    if task.length is None or task.piece_size is None:
        return None
    return framed_length(task.length, task.piece_size)


def _count(text: str | None) -> int:
    if text is None:
        return DEFAULT_PIECES
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) < MOST_PIECES):
        raise BadField("num", f"{text[:32]!r} is not a positive number")
    return int(text)


def _holder(name: str) -> str | Seed | None:
    if name.startswith(SEED_PREFIX):
        return Seed.SEED
    return name or None


def _reports(asked: PiecePullRequest) -> tuple[Report, ...]:
    """Return the request's reports: its own, then those in its list."""
    entries: list[tuple[str, PieceReport]] = []
    if asked.status is PullStatus.RUNNING and (asked.piece_range or asked.piece_result):
        entries.append(("", asked))
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
        holder=_holder(entry.dst_pid),
        result=entry.piece_result,
    )
