"""``/livez`` and ``/readyz``, as load balancers and watchdogs ask.

Nothing is measured for an answer: each check tells what the supernode has found out by itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from supernode.api.answers import as_json
from supernode.api.models import ErrorBody, Readiness
from supernode.exchange import Answer, Request


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found.

    Args:
        text: in words; names no path, for anybody may ask.
        is_fine: whether the supernode can do its work.
    """

    text: str
    is_fine: bool = True


def working(trouble: str) -> Finding:
    """Return the finding about something that is fine unless it has a trouble."""
    return Finding(trouble or "ok", is_fine=not trouble)


Check: TypeAlias = Callable[[], Finding]


class NotReady(ErrorBody, kw_only=True):
    """What is wrong, and what there is to say of each condition."""

    checks: dict[str, str]


class Health:
    """The operations.

    Args:
        checks: what being ready depends on, by name.
    """

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks

    def alive(self, _request: Request) -> Answer:
        """``GET /livez``: whoever gets the answer has seen the event loop turn."""
        return Answer(200, b"OK", "text/plain")

    def ready(self, _request: Request) -> Answer:
        """``GET /readyz``."""
        found = {name: check() for name, check in self._checks.items()}
        texts = {name: finding.text for name, finding in found.items()}
        wrong = [f"{name}: {it.text}" for name, it in found.items() if not it.is_fine]
        if wrong:
            return as_json(503, NotReady(code=503, message="; ".join(wrong), checks=texts))
        return as_json(200, Readiness(checks=texts))
