"""``/oapi/v1/jobs`` and ``/healthy``: Dragonfly 2's preheat jobs, as Harbor 2.12 and later do it.

A job is a preheat; its ID is the preheat's as an integer. Copies are made here, whatever the scope
that is asked for.
"""

import platform

from supernode.api import validation
from supernode.api.answers import as_json, moment
from supernode.api.decoding import from_json
from supernode.api.harbor.models import (
    ClusterResult,
    FailureTask,
    GroupJobState,
    JobCreateRequest,
    JobInfo,
    JobResult,
    JobState,
    SuccessTask,
)
from supernode.api.preheat_infos import in_words
from supernode.api.preheat_wishes import FILE, Wish, Wishes
from supernode.api.urls import shown_task_url
from supernode.core.commands import RemovePreheat
from supernode.core.errors import BadField, NotFound
from supernode.core.identity import PreheatId, preheat_id, preheat_number
from supernode.core.model import Part, PartStatus, Preheat, PreheatStatus
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Request

_PREHEAT = "preheat"
_CLUSTER = 1
_STATES = {
    PreheatStatus.WAITING: JobState.PENDING,
    PreheatStatus.RUNNING: JobState.PENDING,
    PreheatStatus.SUCCESS: JobState.SUCCESS,
    PreheatStatus.FAILED: JobState.FAILURE,
}
_MOST_DIGITS = 16


class Jobs:
    """The operations about jobs.

    Args:
        dispatch: the door to the tracker.
        wishes: checks what is asked for.
        ip: where the copies are.
    """

    def __init__(self, dispatch: Dispatcher, wishes: Wishes, ip: str) -> None:
        self._dispatch = dispatch
        self._wishes = wishes
        self._ip = ip
        self._host_name = platform.node()

    def healthy(self, _request: Request) -> Answer:
        """``GET /healthy``."""
        return Answer(200, b"OK", "text/plain")

    def create(self, request: Request) -> Answer:
        """``POST /oapi/v1/jobs``: always 200, also if what is wanted is there already."""
        asked = from_json(request.body, JobCreateRequest)
        if validation.required("type", asked.type) != _PREHEAT:
            raise BadField("type", f"{asked.type[:64]!r} is not {_PREHEAT}")
        args = asked.args
        wish = Wish(
            url=validation.required("args.url", args.url),
            named="args.url",
            filter=args.filtered_query_params,
            headers=args.headers,
            platform=args.platform,
        )
        is_file = args.type.lower() == FILE
        wanted = self._wishes.file(wish) if is_file else self._wishes.either(wish)
        preheat = self._dispatch(wanted)
        return as_json(200, self._info(self._dispatch.tracker.preheat(preheat)))

    def get(self, request: Request) -> Answer:
        """``GET /oapi/v1/jobs/{id}``."""
        return as_json(200, self._info(self._dispatch.tracker.preheat(_id(request))))

    def delete(self, request: Request) -> Answer:
        """``DELETE /oapi/v1/jobs/{id}``: what only it waits for is no longer fetched."""
        self._dispatch(RemovePreheat(preheat=_id(request)))
        return Answer(200)

    def _info(self, preheat: Preheat) -> JobInfo:
        changed = preheat.finished if preheat.finished is not None else preheat.created
        return JobInfo(
            id=preheat_number(preheat.id),
            type=_PREHEAT,
            state=_STATES[preheat.status],
            created_at=moment(preheat.created),
            updated_at=moment(changed),
            result=self._result(preheat),
        )

    def _result(self, preheat: Preheat) -> JobResult | None:
        if preheat.status is PreheatStatus.WAITING:
            return None
        parts = preheat.parts.values()
        result = ClusterResult(
            success_tasks=[
                SuccessTask(url=_url(preheat, part), hostname=self._host_name, ip=self._ip)
                for part in parts
                if part.status is PartStatus.SUCCESS
            ],
            failure_tasks=[
                FailureTask(
                    url=_url(preheat, part),
                    hostname=self._host_name,
                    ip=self._ip,
                    description=in_words(part.reason, part.detail),
                )
                for part in parts
                if part.status is PartStatus.FAILED
            ],
            scheduler_cluster_id=_CLUSTER,
        )
        error = in_words(preheat.reason, preheat.detail)
        return JobResult(job_states=[GroupJobState(error=error, results=[result])])


def _url(preheat: Preheat, part: Part) -> str:
    return shown_task_url(preheat.spec_of(part))


def _id(request: Request) -> PreheatId:
    """Return the preheat's ID. Raises NotFound if it cannot be one."""
    text = request.path_fields["id"]
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise NotFound("job", text)
    return preheat_id(int(text))
