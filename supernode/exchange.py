"""The one contract of request handlers, whatever carries the request.

A handler is a plain function ``handle(request) -> Answer | Wait``; it never awaits. A ``Wait`` is
parked until there is news on its topic, then asked again; a client that hangs up meanwhile leaves
no trace.
"""

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, TypeAlias
from urllib.parse import parse_qs

import trio

from supernode.clock import Clock
from supernode.core.errors import BadField, DomainError
from supernode.core.identity import ClientId, TaskId
from supernode.feed import Feed

MOST_QUERY_FIELDS = 64
SEQ_HEADER = "Supernode-Seq"

_PLAIN_QUERY = re.compile(r"[^%+&=;]*=[^%+&;]*(?:&[^%+&=;]*=[^%+&;]*){,15}")
"""A few fields without escapes, as dfget 1.0 sends them."""


@dataclass(frozen=True)
class Request:
    """One request.

    Args:
        path_fields: the variable parts of the path, decoded.
        query_string: as it came.
        headers: names in lower case.
        body: at most as long as the binding allows.
        is_v1: whether it came under ``/api/v1``, where some answers are v1's.
    """

    path_fields: Mapping[str, str] = field(default_factory=dict)
    query_string: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_v1: bool = False

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """The query's fields, each with its values in order. Raises BadField."""
        if _PLAIN_QUERY.fullmatch(self.query_string):
            return _plain_fields(self.query_string)
        try:
            return parse_qs(
                self.query_string, keep_blank_values=True, max_num_fields=MOST_QUERY_FIELDS
            )
        except ValueError:
            raise BadField("query", f"has more than {MOST_QUERY_FIELDS} fields") from None


class Facts(enum.Enum):
    """Which facts an answer may rest on, if not on those of one task."""

    ALL = "all"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back.

    Args:
        rests_on: the facts, or the task whose facts they are, that the answer tells of or that its
            client may take from it; it is sent when a crash cannot take those back.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    rests_on: TaskId | Facts = Facts.ALL


@dataclass(frozen=True, slots=True)
class Wait:
    """No answer yet.

    Args:
        topic: what news to wait for.
        client: on whose behalf.
        until: seconds since the epoch.
        again: asked after news, and with True when the time is over: then it must answer.
    """

    topic: TaskId
    client: ClientId
    until: float
    again: "Callable[[bool], Answer | Wait]"


def _plain_fields(query: str) -> dict[str, list[str]]:
    """Return what ``parse_qs`` would of a query without escapes, at a fraction of the cost."""
    fields: dict[str, list[str]] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        fields.setdefault(name, []).append(value)
    return fields


Handler: TypeAlias = Callable[[Request], Answer | Wait]


class Memory(Protocol):
    """What a crash cannot take back."""

    @property
    def is_behind(self) -> bool:
        """Whether something has happened that it does not contain yet."""
        ...

    async def settled(self, on: TaskId | Facts = Facts.ALL) -> None:
        """Wait, not for ever, until it contains what has happened so far: all, or of one task."""
        ...


class Responder:
    """Turns handlers' outcomes into answers, none of which a crash could belie.

    Args:
        explain: makes an answer of what is wrong with a request.
        memory: what must know of everything that an answer may rest on; None: nothing needs to.
    """

    def __init__(
        self,
        feed: Feed,
        clock: Clock,
        explain: Callable[[DomainError], Answer],
        memory: Memory | None = None,
    ) -> None:
        self._memory = memory
        self._feed = feed
        self._clock = clock
        self._explain = explain
        self._closing = False

    @property
    def is_closing(self) -> bool:
        """Whether the daemon is about to stop."""
        return self._closing

    def close(self) -> None:
        """Let nobody wait any longer: the daemon is about to stop."""
        self._closing = True
        self._feed.wake_all()

    async def respond(self, handler: Handler, request: Request) -> Answer:
        """Return the handler's answer, at the latest when its wait is over."""
        return await self.answer(self.ask(handler, request))

    def ask(self, handler: Handler, request: Request) -> Answer | Wait:
        """Return what the handler says, and what is wrong with the request if something is."""
        try:
            return handler(request)
        except DomainError as error:
            return self._explain(error)

    async def answer(self, outcome: Answer | Wait) -> Answer:
        """Return what becomes of a handler's outcome, at the latest when its wait is over."""
        while isinstance(outcome, Wait):
            outcome = await self._ask_again(outcome)
        answer = self._dated(outcome)
        if self._memory is not None and self._memory.is_behind:
            await self._memory.settled(answer.rests_on)
        return answer

    async def _ask_again(self, wait: Wait) -> Answer | Wait:
        deadline = self._clock.deadline(wait.until)
        if not self._closing:
            await self._feed.wait(wait.topic, deadline, client=wait.client)
        try:
            return wait.again(self._closing or trio.current_time() >= deadline)
        except DomainError as error:
            return self._explain(error)

    def _dated(self, answer: Answer) -> Answer:
        """Return the answer with the number of the last event it takes into account."""
        headers = {**answer.headers, SEQ_HEADER: str(self._feed.seq)}
        return Answer(answer.status, answer.body, answer.content_type, headers, answer.rests_on)
