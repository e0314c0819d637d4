"""``/registry/notifications`` and ``/health``: a registry tells what was pushed to it.

As Kraken takes it from Harbor, and as docker/distribution sends it by itself, keys in any case. No
credentials come along: the registry's own from the configuration serve.
"""

from collections.abc import Iterator

import structlog

from supernode.api.answers import as_json
from supernode.api.decoding import from_json
from supernode.api.harbor.models import (
    IgnoredEvent,
    Notification,
    NotificationAnswer,
    NotifiedEvent,
)
from supernode.api.preheat_wishes import Wish, Wishes
from supernode.core.errors import BadField, Forbidden
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Request

_PUSH = "push"
_MANIFESTS = "/manifests/"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Notifications:
    """The operations of whoever listens to registries.

    Args:
        dispatch: the door to the tracker.
        wishes: checks what was pushed.
    """

    def __init__(self, dispatch: Dispatcher, wishes: Wishes) -> None:
        self._dispatch = dispatch
        self._wishes = wishes

    def health(self, _request: Request) -> Answer:
        """``GET /health``."""
        return Answer(200, b"OK", "text/plain")

    def receive(self, request: Request) -> Answer:
        """``POST /registry/notifications``: images that were pushed are preheated.

        What else was done, and what cannot be preheated, is ignored: the registry would only say
        it again and again.
        """
        told = from_json(request.body, Notification)
        answer = NotificationAnswer()
        for event in told.events:
            if why := _of_no_concern(event):
                answer.ignored.append(IgnoredEvent(id=event.id, why=why))
                continue
            try:
                answer.preheats.append(self._preheat(event))
            except (BadField, Forbidden) as error:
                log.warning("a notification cannot be heeded", problem=str(error))
                answer.ignored.append(IgnoredEvent(id=event.id, why=str(error)))
        return as_json(200, answer)

    def _preheat(self, event: NotifiedEvent) -> str:
        target = event.target
        wish = Wish(url=target.url, named="target.url", digest=target.digest)
        return self._dispatch(self._wishes.image(wish))


def _of_no_concern(event: NotifiedEvent) -> str:
    """Return why nothing is to be done about an event; empty: something is."""
    return next(_objections(event), "")


def _objections(event: NotifiedEvent) -> Iterator[str]:
    if event.action.lower() != _PUSH:
        yield f"{event.action[:64]!r} is not {_PUSH}"
    if _MANIFESTS not in event.target.url:
        yield "it is not about a manifest"
