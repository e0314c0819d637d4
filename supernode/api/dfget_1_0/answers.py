"""Answers in codes, also to what is refused."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import msgspec

from supernode.api.answers import as_json
from supernode.api.dfget_1_0.codes import Code, code_of
from supernode.core.errors import BadField, DomainError
from supernode.core.identity import TaskId
from supernode.exchange import Answer, Facts, Handler, Request, Wait

_UNREADABLE = ("body", "query")
"""What is wrong with a request that cannot be read as one, rather than with a field of it."""


class Said(msgspec.Struct, omit_defaults=True):
    """What every answer looks like."""

    code: int
    data: object = msgspec.UNSET
    msg: str = ""


def say(
    code: Code,
    data: object = msgspec.UNSET,
    msg: str = "",
    *,
    rests_on: TaskId | Facts = Facts.ALL,
) -> Answer:
    """Return an answer."""
    return as_json(200, Said(code, data, msg), rests_on)


def in_codes(handler: Handler, code_of: Callable[[DomainError], Code] = code_of) -> Handler:
    """Return a handler that says in codes what it refuses, also after a wait.

    A request that cannot be read stays an error of HTTP.
    """

    def attempt(ask: Callable[[], Answer | Wait]) -> Answer | Wait:
        try:
            outcome = ask()
        except DomainError as error:
            if isinstance(error, BadField) and error.field in _UNREADABLE:
                raise
            return say(code_of(error), msg=str(error))
        if isinstance(outcome, Wait):
            again = outcome.again
            return replace(outcome, again=lambda over: attempt(partial(again, over)))
        return outcome

    def handle(request: Request) -> Answer | Wait:
        return attempt(partial(handler, request))

    return handle
