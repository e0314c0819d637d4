"""What an operation is: one record serves routing, status codes and the published document."""

from dataclasses import dataclass, field, replace
from typing import Any

from supernode.api.models import Model
from supernode.exchange import Answer, Handler, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the interface.

    Args:
        method: in capitals.
        path: with its variable parts in braces, as ``/tasks/{id}``.
        handler: carries it out.
        summary: what it does, in a few words.
        tag: what it is about: ``Peer``, ``Task``, ``Piece``, ``PreheatTask``, ``Harbor`` or
            ``System``.
        query: the query's parameters; those without a default must be given.
        body: what the request's body may be; it is always optional.
        answer: what a success carries: a model, ``list[...]`` of one, ``str``, or None for nothing.
        success: what it means.
        status: of a success at the root, as the specification has it.
        v1_status: of a success under ``/api/v1``, where v1 answers with another one.
        v1_query: the parameters under ``/api/v1``, where v1 knows others.
        errors: what else may be answered, and when.
        waits: whether a success may be waited for (``Prefer: wait``).
        extension: whether the specification does not have it.
        hot: whether it is a part of every download's life, so that its requests are the most.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    query: type[Model] | None = None
    body: type[Model] | None = None
    answer: Any = None
    success: str = "done"
    status: int = 200
    v1_status: int | None = None
    v1_query: type[Model] | None = None
    errors: dict[int, str] = field(default_factory=dict)
    waits: bool = False
    extension: bool = False
    hot: bool = False

    def in_dialect(self, answer: Answer, request: Request) -> Answer:
        """Return the answer, a success with v1's status if that is how it was asked for."""
        if request.is_v1 and self.v1_status is not None and answer.status == self.status:
            return replace(answer, status=self.v1_status)
        return answer
