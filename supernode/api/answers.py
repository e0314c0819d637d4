"""Answers that carry JSON, and how they show the time."""

from datetime import UTC, datetime

import msgspec

from supernode.core.identity import TaskId
from supernode.exchange import Answer, Facts


def as_json(status: int, content: object, rests_on: TaskId | Facts = Facts.ALL) -> Answer:
    """Return an answer with ``content``, a model or a list of them."""
    return Answer(status, msgspec.json.encode(content), rests_on=rests_on)


def moment(seconds: float) -> str:
    """Return seconds since the epoch as answers show them: RFC 3339, UTC, in milliseconds."""
    shown = datetime.fromtimestamp(round(seconds, 3), UTC).isoformat(timespec="milliseconds")
    return shown.replace("+00:00", "Z")
