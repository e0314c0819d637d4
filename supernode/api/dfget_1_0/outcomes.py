"""``POST /task/metrics``: how a download went, in its client's words."""

from typing import Annotated

import structlog
from msgspec import Meta, field

from supernode.api import validation
from supernode.api.decoding import from_json
from supernode.api.dfget_1_0.answers import say
from supernode.api.dfget_1_0.codes import Code
from supernode.api.models import Model, Word
from supernode.exchange import Answer, Facts, Request
from supernode.metrics.clients import ClientMetrics

_LONGEST_SECONDS = 1e9
_LARGEST_FILE = 1 << 60
"""What is said once is in the sums for good, and /metrics can show no number at will."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Outcome(Model):
    """How a download went."""

    client_id: Word = field(default="", name="cID")
    task_id: Word = field(default="", name="taskId")
    success: bool = False
    reason: Word = field(default="", name="backsourceReason")
    """Why it went to the origin, as a number; empty or 0: it did not."""
    duration: Annotated[float, Meta(le=_LONGEST_SECONDS)] = 0.0
    """Seconds."""
    call_system: Word = field(default="", name="callSystem")
    ip: Word = field(default="", name="IP")
    file_length: Annotated[int, Meta(le=_LARGEST_FILE)] = field(default=-1, name="fileLength")
    """Bytes; negative: not known."""


class Outcomes:
    """The operation.

    Args:
        metrics: where downloads are counted.
    """

    def __init__(self, metrics: ClientMetrics) -> None:
        self._metrics = metrics

    def report(self, request: Request) -> Answer:
        """``POST /task/metrics``; with another answer it would be said twice."""
        outcome = from_json(request.body, Outcome)
        reason = validation.plain("backsourceReason", outcome.reason)
        from_swarm = reason in ("", "0")
        call_system = validation.plain("callSystem", outcome.call_system)
        address = validation.ip_address("IP", outcome.ip) if outcome.ip else ""
        if outcome.success:
            self._metrics.succeeded(
                call_system, address, seconds=outcome.duration, length=outcome.file_length
            )
        else:
            self._metrics.failed(call_system, address, reason or "0")
        (log.debug if outcome.success and from_swarm else log.info)(
            "a client has ended its download",
            task=validation.plain("taskId", outcome.task_id),
            client=validation.plain("cID", outcome.client_id),
            success=outcome.success,
            seconds=outcome.duration,
            went_to_origin_for=None if from_swarm else reason,
        )
        return say(Code.REPORTED, rests_on=Facts.NONE)
