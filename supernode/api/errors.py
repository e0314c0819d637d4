"""What is wrong, in HTTP's terms. The only place that knows which error is which status."""

import msgspec

from supernode.api.models import ErrorBody
from supernode.core.errors import (
    BadField,
    DomainError,
    Forbidden,
    Full,
    NotFound,
    PreheatEnded,
    TaskConflict,
    TaskEnded,
)
from supernode.core.reasons import Reason
from supernode.exchange import Answer


def explain(error: DomainError) -> Answer:
    """Return the answer for a command or a request that cannot be carried out."""
    match error:
        case BadField():
            return failure(400, str(error))
        case Forbidden():
            return failure(403, str(error))
        case NotFound(reason=reason):
            return failure(404, str(error), reason.code if reason else "")
        case TaskConflict() | PreheatEnded():
            return failure(409, str(error))
        case Full():
            return failure(503, str(error))
        case TaskEnded(reason=reason):
            return failure(_status_of(reason), str(error), reason.code)
        case _:
            return failure(500, str(error))


def failure(status: int, message: str, reason: str = "") -> Answer:
    """Return an answer that says what is wrong."""
    body = ErrorBody(code=status, message=message, reason=reason)
    return Answer(status, msgspec.json.encode(body))


def defect() -> Answer:
    """Return the answer when something went wrong that must not."""
    return failure(500, "the supernode has a defect; its log says more")


def _status_of(reason: Reason) -> int:
    """Return the status for a download whose task ended without success."""
    if reason.is_origins_fault:
        return 502
    return 403 if reason is Reason.URL_FORBIDDEN else 409
