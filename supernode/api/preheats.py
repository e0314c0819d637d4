"""``/preheats``: files that are fetched before anybody asks for them."""

from collections.abc import Callable

from supernode.api import validation
from supernode.api.answers import as_json, moment
from supernode.api.call_systems import CallSystems
from supernode.api.decoding import from_fields, from_json
from supernode.api.models import (
    PartQuery,
    PreheatCreateRequest,
    PreheatCreateResponse,
    PreheatInfo,
)
from supernode.api.paging import part
from supernode.api.urls import shown_task_url
from supernode.core.commands import CreatePreheat, RemovePreheat
from supernode.core.errors import BadField
from supernode.core.identity import PreheatId, task_url
from supernode.core.model import Preheat, PreheatStatus, Secrets, TaskSpec
from supernode.core.reasons import Reason
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Request

_FILE = "file"
_HARBOR_FAILED = "FAIL"


class Preheats:
    """The operations about preheats.

    Args:
        dispatch: the door to the tracker.
        call_systems: who may ask for files.
        forbidden: tells why a URL must not be fetched, as far as the URL itself shows it.
    """

    def __init__(
        self,
        dispatch: Dispatcher,
        call_systems: CallSystems,
        forbidden: Callable[[str], str | None],
    ) -> None:
        self._dispatch = dispatch
        self._call_systems = call_systems
        self._forbidden = forbidden

    def create(self, request: Request) -> Answer:
        """``POST /preheats``."""
        asked = from_json(request.body, PreheatCreateRequest)
        match validation.required("type", asked.type):
            case "file":
                pass
            case "image":
                raise BadField("type", "images are not supported yet, only files")
            case other:
                raise BadField("type", f"{other[:64]!r} is neither image nor file")
        url = validation.url("url", asked.url)
        if why := self._forbidden(url):
            raise BadField("url", why)
        spec = TaskSpec(
            raw_url=url,
            task_url=task_url(url, validation.plain("filter", asked.filter).split("&")),
            identifier=validation.plain("identifier", asked.identifier),
            headers=Secrets(validation.headers("headers", asked.headers)),
            call_system=validation.plain("callSystem", asked.call_system),
        )
        self._call_systems.check(spec.call_system)
        return as_json(200, PreheatCreateResponse(id=self._dispatch(CreatePreheat(spec=spec))))

    def page(self, request: Request) -> Answer:
        """``GET /preheats``: those that were asked for last come first."""
        asked = from_fields(request.query, PartQuery)
        newest_first = list(self._dispatch.tracker.preheats())[::-1]
        return as_json(200, [_info(preheat) for preheat in part(newest_first, asked)])

    def get(self, request: Request) -> Answer:
        """``GET /preheats/{id}``."""
        return as_json(200, _info(self._dispatch.tracker.preheat(_id(request))))

    def delete(self, request: Request) -> Answer:
        """``DELETE /preheats/{id}``."""
        self._dispatch(RemovePreheat(preheat=_id(request)))
        return Answer(204)


def _id(request: Request) -> PreheatId:
    return PreheatId(request.path_fields["id"])


def _info(preheat: Preheat) -> PreheatInfo:
    return PreheatInfo(
        id=preheat.id,
        status=preheat.status,
        start_time=moment(preheat.created),
        finish_time=moment(preheat.finished) if preheat.finished is not None else None,
        url=shown_task_url(preheat.spec),
        type=_FILE,
        task_id=preheat.task,
        reason=preheat.reason.code if preheat.reason else "",
        detail=preheat.detail,
        error_msg=_in_words(preheat.reason, preheat.detail) if preheat.reason else "",
        harbor_status=_HARBOR_FAILED if preheat.status is PreheatStatus.FAILED else "",
    )


def _in_words(reason: Reason, detail: str) -> str:
    return f"{reason.text}: {detail}" if detail else reason.text
