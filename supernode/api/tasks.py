"""``/tasks``: the files, and who downloads them."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from supernode.api import validation
from supernode.api.answers import as_json, moment
from supernode.api.call_systems import CallSystems
from supernode.api.decoding import from_fields, from_json
from supernode.api.models import (
    BytesFrom,
    DfGetTask,
    DfGetTaskStatus,
    PartQuery,
    TaskCreateRequest,
    TaskCreateResponse,
    TaskInfo,
    TaskPageQuery,
    TaskUpdateRequest,
    V1DeleteQuery,
)
from supernode.api.paging import page, part
from supernode.api.patience import patiently
from supernode.api.specs import task_spec
from supernode.api.urls import shown_raw_url, shown_task_url
from supernode.core.commands import HoldTask, PauseTask, PinTask, RegisterTask, RemoveTask
from supernode.core.errors import BadField
from supernode.core.identity import ClientId, PeerId, TaskId, task_url
from supernode.core.model import CdnStatus, Download, Task, TaskSpec
from supernode.core.pieces import framed_length
from supernode.core.reasons import Reason
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Request, Wait

_FIELDS: dict[str, Callable[[Task], Any]] = {
    "ID": attrgetter("id"),
    "cdnStatus": attrgetter("status"),
    "rawURL": lambda task: shown_raw_url(task.spec),
    "taskURL": lambda task: shown_task_url(task.spec),
    "fileLength": lambda task: _framed_length(task),
    "httpFileLength": attrgetter("length"),
    "pieceSize": attrgetter("piece_size"),
    "pieceTotal": attrgetter("piece_total"),
    "md5": attrgetter("spec.md5"),
    "realMd5": attrgetter("md5"),
    "sha256": attrgetter("sha256"),
    "identifier": attrgetter("spec.identifier"),
    "path": attrgetter("spec.path"),
    "callSystem": attrgetter("spec.call_system"),
    "dfdaemon": attrgetter("spec.dfdaemon"),
    "created": attrgetter("created"),
    "piecesCached": lambda task: task.swarm.seeded.bit_count(),
    "running": attrgetter("running"),
    "paused": attrgetter("paused"),
    "pinned": attrgetter("pinned"),
    "reason": lambda task: task.reason.code if task.reason else "",
    "detail": attrgetter("detail"),
}
"""What tasks can be sorted by."""


class Tasks:
    """The operations about tasks.

    Args:
        dispatch: the door to the tracker.
        call_systems: who may ask for files.
    """

    def __init__(self, dispatch: Dispatcher, call_systems: CallSystems) -> None:
        self._dispatch = dispatch
        self._call_systems = call_systems

    def create(self, request: Request) -> Answer | Wait:
        """``POST /tasks``; with ``Prefer: wait`` it waits for the origin's head."""
        asked = from_json(request.body, TaskCreateRequest)
        spec = _spec(asked)
        client = ClientId(validation.name("cID", asked.client_id))
        peer = PeerId(asked.peer_id) if asked.peer_id else None
        if peer or asked.path:
            validation.upload_path("path", asked.path)
        self._call_systems.check(spec.call_system)
        task = self._dispatch(
            RegisterTask(spec=spec, client=client, peer=peer, path=asked.path, pieces=asked.pieces)
        )

        def ready() -> Answer | None:
            known = self._dispatch.tracker.task(task)
            coming = known.status in (CdnStatus.WAITING, CdnStatus.RUNNING)
            if known.doubted or (known.piece_size is None and coming):
                return None
            return _created(known)

        def as_it_is() -> Answer:
            return _created(self._dispatch.tracker.task(task))

        return patiently(request, self._dispatch.clock, (task, client), ready, as_it_is)

    def page(self, request: Request) -> Answer:
        """``GET /tasks``."""
        asked = from_fields(request.query, TaskPageQuery)
        tasks = page(self._dispatch.tracker.tasks(), asked, _FIELDS)
        return as_json(200, [_info(task) for task in tasks])

    def get(self, request: Request) -> Answer:
        """``GET /tasks/{id}``."""
        return as_json(200, _info(self._task(request)))

    def update(self, request: Request) -> Answer:
        """``PUT /tasks/{id}``: a peer offers the whole file, or an operator pauses or pins it."""
        asked = from_json(request.body, TaskUpdateRequest)
        task = self._task(request).id
        if asked.path is not None:
            validation.upload_path("path", asked.path)
            if asked.peer_id is None:
                raise BadField("peerID", "is required with a path")
        # The others cannot fail when the first has not: a task that is there can be paused.
        if asked.peer_id is not None:
            self._dispatch(HoldTask(task=task, peer=PeerId(asked.peer_id), path=asked.path or ""))
        if asked.paused is not None:
            self._dispatch(PauseTask(task=task, paused=asked.paused))
        if asked.pinned is not None:
            self._dispatch(PinTask(task=task, pinned=asked.pinned))
        return Answer(200)

    def delete(self, request: Request) -> Answer:
        """``DELETE /tasks/{id}``: ends its downloads and removes the cached bytes.

        v1 keeps those unless the removal is ``full``.
        """
        keep = request.is_v1 and not _is_true(from_fields(request.query, V1DeleteQuery).full)
        self._dispatch(RemoveTask(task=_id(request), reason=Reason.TASK_DELETED, keep_copy=keep))
        return Answer(204)

    def clients(self, request: Request) -> Answer:
        """``GET /tasks/{id}/clients``: who downloads it, in the order they came."""
        asked = from_fields(request.query, PartQuery)
        task = self._task(request)
        shown = part(list(task.downloads.values()), asked)
        return as_json(200, [_download(task, one) for one in shown])

    def _task(self, request: Request) -> Task:
        return self._dispatch.tracker.task(_id(request))


def _id(request: Request) -> TaskId:
    return TaskId(request.path_fields["id"])


def _is_true(text: str) -> bool:
    """Tell whether Go would take it for true; whatever else it is counts as false."""
    return text in ("1", "t", "T", "true", "True", "TRUE")


def _spec(asked: TaskCreateRequest) -> TaskSpec:
    """Return what a client says about the file it wants. Raises BadField."""
    raw_url = validation.url("rawURL", asked.raw_url)
    return task_spec(
        raw_url=raw_url,
        task_url=task_url(raw_url, _filter(asked.filter)),
        md5=asked.md5,
        identifier=asked.identifier,
        headers=asked.headers,
        call_system=asked.call_system,
        dfdaemon=asked.dfdaemon,
        path=asked.path,
        insecure=asked.insecure,
        root_cas=asked.root_cas,
    )


def _filter(names: list[str]) -> list[str]:
    return [validation.plain(f"filter[{number}]", name) for number, name in enumerate(names)]


def _created(task: Task) -> Answer:
    if task.doubted:
        return as_json(201, TaskCreateResponse(id=task.id))
    response = TaskCreateResponse(
        id=task.id, file_length=_framed_length(task), piece_size=task.piece_size
    )
    return as_json(201, response)


def _info(task: Task) -> TaskInfo:
    spec = task.spec
    return TaskInfo(
        id=task.id,
        cdn_status=task.status,
        raw_url=shown_raw_url(spec),
        task_url=shown_task_url(spec),
        file_length=_framed_length(task),
        http_file_length=task.length,
        piece_size=task.piece_size,
        piece_total=task.piece_total,
        md5=spec.md5,
        real_md5=task.md5,
        sha256=task.sha256,
        identifier=spec.identifier,
        headers=dict.fromkeys(spec.headers.names(), "***"),
        path=spec.path,
        call_system=spec.call_system,
        dfdaemon=spec.dfdaemon,
        created=moment(task.created),
        pieces_cached=task.swarm.seeded.bit_count(),
        running=task.running,
        paused=task.paused,
        pinned=task.pinned,
        reason=task.reason.code if task.reason else "",
        detail=task.detail,
    )


def _framed_length(task: Task) -> int | None:
    if task.length is None or task.piece_size is None:
        return None
    return framed_length(task.length, task.piece_size)


def _download(task: Task, download: Download) -> DfGetTask:
    status = DfGetTaskStatus(download.status.value)
    if task.status is CdnStatus.WAITING:
        status = DfGetTaskStatus.WAITING
    return DfGetTask(
        client_id=download.client,
        task_id=task.id,
        status=status,
        peer_id=download.peer or "",
        path=download.path,
        piece_size=task.piece_size,
        pieces_done=download.done.bit_count(),
        bytes_from=BytesFrom(seed=download.from_seed, peers=download.from_peers),
    )
