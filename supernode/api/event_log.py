"""Events in the log: what an operator wants to read about at once, the rest for who asks for it.

Told of an event while the request that caused it is being answered, so that the line bears that
request's ID.
"""

import logging

import msgspec
import structlog

from supernode.api.event_json import message
from supernode.core.events import (
    BatchRegistered,
    BatchRemoved,
    ClaimConfirmed,
    ClaimRejected,
    Event,
    PartFailed,
    PeerExpired,
    PeerLeft,
    PeerQuarantined,
    PeerRegistered,
    PeerReleased,
    PeerWarned,
    PreheatFailed,
    PreheatFinished,
    PreheatRegistered,
    PreheatRemoved,
    PreheatResolved,
    PreheatStarted,
    TaskFailed,
    TaskFinished,
    TaskPaused,
    TaskPinned,
    TaskRegistered,
    TaskRemoved,
    TaskReopened,
    TaskResumed,
    TaskSized,
    TaskStarted,
    TaskUnpinned,
)
from supernode.feed import Published

_LEVELS: dict[type[Event], int] = {
    **dict.fromkeys(
        (TaskFailed, TaskReopened, PreheatFailed, PartFailed, PeerQuarantined), logging.WARNING
    ),
    **dict.fromkeys(
        (
            PeerRegistered,
            PeerLeft,
            PeerExpired,
            ClaimConfirmed,
            ClaimRejected,
            PeerWarned,
            PeerReleased,
            TaskRegistered,
            TaskStarted,
            TaskSized,
            TaskFinished,
            TaskPaused,
            TaskResumed,
            TaskPinned,
            TaskUnpinned,
            TaskRemoved,
            PreheatRegistered,
            PreheatResolved,
            PreheatStarted,
            PreheatFinished,
            PreheatRemoved,
            BatchRegistered,
            BatchRemoved,
        ),
        logging.INFO,
    ),
}

_threshold = logging.getLogger(__name__)
log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def log_event(published: Published) -> None:
    """Log an event under its type; those that come by the thousand at ``debug``."""
    level = _LEVELS.get(type(published.event), logging.DEBUG)
    if not _threshold.isEnabledFor(level):
        return
    fields = msgspec.to_builtins(message(published))
    # Every line has a time of its own. A query may carry a token, and logs go far.
    del fields["time"]
    if "taskURL" in fields:
        fields["taskURL"] = fields["taskURL"].partition("?")[0]
    log.log(level, fields.pop("type"), **fields)
