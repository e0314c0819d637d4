"""Look-ups of names, bounded so that a slow name server holds up nobody but its own names.

A look-up cannot be stopped: given up after 3 s, it goes on until the C library gives up, some 30 s
later. Trio's own would keep one of the 40 threads that everything else shares for as long. Here
look-ups have threads of their own, only a few at once for the names of one domain; a look-up under
way is joined by who asks for the same, and a failure is remembered for a moment.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import trio

AT_ONCE = 256
AT_ONCE_PER_DOMAIN = 4
FAILURE_SECONDS = 5.0
MOST_FAILURES = 1024

Question = tuple[bytes | None, bytes | str | int | None, int, int, int, int]
"""The arguments of ``getaddrinfo``."""


class Resolver(trio.abc.HostnameResolver):
    """Resolves for one run of Trio.

    Args:
        ask: what is called in a thread; it may take its time.
    """

    def __init__(self, ask: Callable[..., list[Any]] = socket.getaddrinfo) -> None:
        self._ask = ask
        self._under_way: dict[Question, _LookUp] = {}
        self._failures: dict[Question, tuple[float, Exception]] = {}  # the oldest first
        self._room = trio.lowlevel.ParkingLot()

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """See ``socket.getaddrinfo``. Cancelled, it leaves the look-up to go on in its thread."""
        question = (host, port, family, type, proto, flags)
        while (look_up := self._under_way.get(question)) is None:
            if (failure := self._recent_failure(question)) is not None:
                raise failure.with_traceback(None)  # not one more with everybody whom it is told
            if self._has_room(question):
                look_up = self._begin(question)
                break
            await self._room.park()
        await look_up.ended.wait()
        if isinstance(look_up.answer, Exception):
            raise look_up.answer.with_traceback(None)
        return look_up.answer

    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
    ) -> tuple[str, str]:
        """See ``socket.getnameinfo``."""
        return await trio.to_thread.run_sync(socket.getnameinfo, sockaddr, flags)

    def _has_room(self, question: Question) -> bool:
        domain = _domain(question)
        of_domain = [each for each in self._under_way if _domain(each) == domain]
        return len(of_domain) < AT_ONCE_PER_DOMAIN and len(self._under_way) < AT_ONCE

    def _begin(self, question: Question) -> "_LookUp":
        """Start a thread, which tells us when it has an answer, whoever still waits for it."""
        trio_token = trio.lowlevel.current_trio_token()

        def look_up() -> list[Any] | Exception:
            try:
                return self._ask(*question)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is for whoever asks
                return error

        def deliver(answer: Any) -> None:  # noqa: ANN401 - an Outcome, of a library of Trio's
            with suppress(trio.RunFinishedError):
                trio_token.run_sync_soon(self._end, question, answer.unwrap())

        trio.lowlevel.start_thread_soon(look_up, deliver, name="look-up")
        begun = self._under_way[question] = _LookUp()
        return begun

    def _end(self, question: Question, answer: list[Any] | Exception) -> None:
        ended = self._under_way.pop(question)
        if isinstance(answer, Exception):
            self._failures[question] = trio.current_time() + FAILURE_SECONDS, answer
            if len(self._failures) > MOST_FAILURES:
                del self._failures[next(iter(self._failures))]
        ended.answer = answer
        ended.ended.set()
        self._room.unpark_all()

    def _recent_failure(self, question: Question) -> Exception | None:
        until, failure = self._failures.get(question, (0.0, None))
        if failure is not None and until <= trio.current_time():
            del self._failures[question]
            return None
        return failure


@dataclass(slots=True)
class _LookUp:
    """One under way."""

    ended: trio.Event = field(default_factory=trio.Event)
    answer: list[Any] | Exception = field(default_factory=list)


def bound_look_ups() -> None:
    """Have this run of Trio resolve names through a ``Resolver``, unless it has one already."""
    another = trio.socket.set_custom_hostname_resolver(Resolver())
    if another is not None:
        trio.socket.set_custom_hostname_resolver(another)


def _domain(question: Question) -> bytes:
    """Return whose name it is: the last two labels, three below the likes of ``co.uk``."""
    labels = (question[0] or b"").lower().rstrip(b".").split(b".")
    public = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3
    return b".".join(labels[-3 if public else -2 :])
