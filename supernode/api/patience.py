"""Answers that wait until there is something to say: so long, or as the client prefers."""

from collections.abc import Callable
from dataclasses import replace

from supernode.api.negotiation import wanted_wait
from supernode.clock import Clock
from supernode.core.identity import ClientId, TaskId
from supernode.exchange import Answer, Request, Wait


def within(
    seconds: float,
    clock: Clock,
    news: tuple[TaskId, ClientId],
    attempt: Callable[[], Answer | None],
    give_up: Callable[[], Answer],
) -> Answer | Wait:
    """Return what ``attempt`` gives, or ``give_up`` when the time is over.

    Args:
        seconds: how long.
        clock: whose time it is.
        news: of which task, for which client, are worth another attempt.
        attempt: returns None while there is nothing to say.
        give_up: says so.
    """
    until = clock.now() + seconds

    def again(time_is_over: bool) -> Answer | Wait:
        answer = attempt() or (give_up() if time_is_over else None)
        return answer or Wait(*news, until, again)

    return again(seconds <= 0)


def patiently(
    request: Request,
    clock: Clock,
    news: tuple[TaskId, ClientId],
    attempt: Callable[[], Answer | None],
    give_up: Callable[[], Answer],
) -> Answer | Wait:
    """Do the same as long as the request asks for (RFC 7240), and say so in the answer."""
    seconds = wanted_wait(request.headers.get("prefer", ""))

    def applied(answer: Answer) -> Answer:
        if not seconds:
            return answer
        headers = {**answer.headers, "Preference-Applied": f"wait={seconds:.0f}"}
        return replace(answer, headers=headers)

    def attempt_as_asked() -> Answer | None:
        answer = attempt()
        return answer and applied(answer)

    return within(seconds, clock, news, attempt_as_asked, lambda: applied(give_up()))
