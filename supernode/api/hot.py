"""The hot operations bound to the front, which asks them without the web framework."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import structlog
import trio

from supernode.api.access import Record
from supernode.api.binding import Binding
from supernode.api.errors import defect
from supernode.api.operations import Operation
from supernode.api.paths import V1, VARIABLE, at_the_root
from supernode.exchange import Answer, Request, Responder, Wait
from supernode.metrics.requests import RequestMetrics

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class HotTable:
    """Which hot operation is where.

    Args:
        operations: of which the hot ones are taken.
        responder: turns what handlers say into answers.
        requests: where they are counted.
    """

    def __init__(
        self, operations: Iterable[Operation], responder: Responder, requests: RequestMetrics
    ) -> None:
        self._requests = requests
        self._fixed: dict[tuple[str, str], Binding] = {}
        self._variable: list[tuple[str, re.Pattern[str], Binding]] = []
        for operation in operations:
            if operation.hot:
                binding = Binding(operation, responder)
                if "{" in operation.path:
                    pattern = re.compile(VARIABLE.sub(r"(?P<\1>[^/]+)", operation.path))
                    self._variable.append((operation.method, pattern, binding))
                else:
                    self._fixed[operation.method, operation.path] = binding

    def find(self, method: str, path: str) -> "HotRoute | None":
        """Return the operation that a request is for, if it is a hot one.

        Args:
            method: in capitals.
            path: without the query; one with escapes is none of ours.
        """
        if binding := self._fixed.get((method, path)):
            return HotRoute(self._requests, binding, path, {}, is_v1=False)
        if "%" in path:
            return None
        at_root, is_v1 = at_the_root(path)
        if binding := self._fixed.get((method, at_root)):
            return HotRoute(self._requests, binding, path, {}, is_v1=is_v1)
        for wanted, pattern, binding in self._variable:
            if wanted == method and (found := pattern.fullmatch(at_root)):
                return HotRoute(self._requests, binding, path, found.groupdict(), is_v1=is_v1)
        return None


@dataclass(frozen=True, slots=True)
class HotRoute:
    """Where a request leads."""

    requests: RequestMetrics
    binding: Binding
    path: str
    path_fields: Mapping[str, str]
    is_v1: bool

    def begin(
        self, query: str, headers: Mapping[str, str], body: bytes, remote: str
    ) -> "HotExchange":
        """Ask the operation.

        Args:
            query: as it came, without the question mark.
            headers: names in lower case.
            body: the whole of it.
            remote: the client's address.
        """
        request = Request(
            path_fields=self.path_fields,
            query_string=query,
            headers=headers,
            body=body,
            is_v1=self.is_v1,
        )
        record = Record.begun(self.binding.operation.method, self.path, headers, remote)
        return HotExchange.begun(self, request, record)


@dataclass(slots=True)
class HotExchange:
    """A request that the operation has been asked."""

    route: HotRoute
    request: Request
    record: Record
    outcome: Answer | Wait

    @classmethod
    def begun(cls, route: HotRoute, request: Request, record: Record) -> Self:
        """Ask the operation."""
        try:
            outcome = route.binding.ask(request)
        except Exception:
            log.exception("a request failed")
            outcome = defect()
        return cls(route, request, record, outcome)

    @property
    def waits(self) -> bool:
        """Whether the client may hang up before there is an answer."""
        return isinstance(self.outcome, Wait)

    async def answer(self) -> tuple[Answer, str]:
        """Return the answer, and the name that the request has on the record."""
        status: int | None = None
        try:
            try:
                answer = await self.route.binding.answer(self.request, self.outcome)
            except Exception:
                log.exception("a request failed")
                answer = defect()
            status = answer.status
        finally:
            self.record.close(status)
        self._count(answer)
        return answer, self.record.identity

    def _count(self, answer: Answer) -> None:
        """Count the request before its client can have the answer."""
        route = self.route
        path = route.binding.operation.path
        route.requests.record(
            V1 + path if route.is_v1 else path,
            answer.status,
            seconds=trio.current_time() - self.record.began,
            received=self._size(),
            sent=len(answer.body),
        )

    def _size(self) -> int:
        """Return how many bytes the request has: those that mean something."""
        request = self.request
        head = len(self.record.method) + len(self.record.path) + len(request.query_string)
        headers = sum(len(name) + len(value) for name, value in request.headers.items())
        return head + len("HTTP/1.1") + headers + len(request.body)
