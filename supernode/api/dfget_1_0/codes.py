"""The numbers of the protocol: what they mean, and which error is which."""

import enum
from collections.abc import Mapping

from supernode.core.commands import PieceResult, PullStatus
from supernode.core.errors import (
    BadField,
    DomainError,
    Forbidden,
    NotFound,
    TaskConflict,
    TaskEnded,
)
from supernode.core.reasons import Reason


class Code(enum.IntEnum):
    """What an answer says."""

    REPORTED = 1
    """The outcome of a download was taken note of."""
    SUCCESS = 200
    SYSTEM_ERROR = 500
    PARAM_ERROR = 501
    TARGET_NOT_FOUND = 502
    PEER_FINISH = 600
    PEER_CONTINUE = 601
    PEER_WAIT = 602
    SUPER_FAIL = 604
    """The supernode could not get the file."""
    TASK_CONFLICT = 606
    URL_NOT_REACHABLE = 607
    """A client that registers with several supernodes does not try the others."""
    NEED_AUTH = 608
    """A client that registers gives up; after any other code it asks the origin itself."""
    PIECE_REPORTED = 611
    PEER_DOWN = 612


STATUSES: Mapping[str, PullStatus] = {
    "700": PullStatus.STARTED,
    "701": PullStatus.RUNNING,
    "702": PullStatus.FINISHED,
}
RESULTS: Mapping[str, PieceResult] = {
    "500": PieceResult.FAILED,
    "501": PieceResult.SUCCESS,
    "502": PieceResult.INVALID,
    "503": PieceResult.SEMISUC,
}

_CLIENTS_FAULT = (Reason.URL_INVALID, Reason.URL_FORBIDDEN)


def code_of(error: DomainError) -> Code:
    """Return the code for a request that cannot be carried out."""
    match error:
        case BadField() | Forbidden():
            return Code.PARAM_ERROR
        case NotFound():
            return Code.TARGET_NOT_FOUND
        case TaskConflict():
            return Code.TASK_CONFLICT
        case TaskEnded(reason=reason) if reason in _CLIENTS_FAULT:
            return Code.PARAM_ERROR
        case TaskEnded(reason=reason) if reason.is_origins_fault:
            return Code.SUPER_FAIL
        case _:
            return Code.SYSTEM_ERROR
