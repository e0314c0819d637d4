"""Answers that wait until there is something to say, as long as the client prefers (RFC 7240)."""

from collections.abc import Callable
from dataclasses import replace

from supernode.api.negotiation import wanted_wait
from supernode.clock import Clock
from supernode.core.identity import ClientId, TaskId
from supernode.exchange import Answer, Request, Wait


def patiently(
    request: Request,
    clock: Clock,
    news: tuple[TaskId, ClientId],
    attempt: Callable[[], Answer | None],
    give_up: Callable[[], Answer],
) -> Answer | Wait:
    """Return what ``attempt`` gives, or ``give_up`` when the time is over.

    Args:
        request: says how long.
        clock: whose time it is.
        news: of which task, for which client, are worth another attempt.
        attempt: returns None while there is nothing to say.
        give_up: says so.
    """
    seconds = wanted_wait(request.headers.get("prefer", ""))
    if not seconds:
        return attempt() or give_up()
    until = clock.now() + seconds

    def again(time_is_over: bool) -> Answer | Wait:
        answer = attempt() or (give_up() if time_is_over else None)
        if answer is None:
            return Wait(*news, until, again)
        applied = {"Preference-Applied": f"wait={seconds:.0f}"}
        return replace(answer, headers={**answer.headers, **applied})

    return again(False)
