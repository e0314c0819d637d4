"""Fan-out of the core's events: numbers them and wakes who waits for them.

Knows no transport. Never blocks, and a publish costs the same whether one client waits or ten
thousand: news that only helps a few wakes only a few.
"""

from collections import deque
from collections.abc import Hashable, Iterable

import trio

from supernode.core.events import Event, TaskEvent, TaskRegistered

TO_FETCH = "to fetch"
"""Topic: there may be a task to fetch. Every task ID is a topic, too."""

_A_FEW = 4


class Feed:
    """Who waits for which topic, in the order they came."""

    def __init__(self) -> None:
        self.seq = 0
        """Number of the last event."""
        self._waiters: dict[Hashable, deque[trio.Event]] = {}

    def publish(self, events: Iterable[Event]) -> None:
        """Make events known. Synchronous; does not fail."""
        for event in events:
            self.seq += 1
            if isinstance(event, TaskEvent):
                self._wake(event.task, _A_FEW if event.offers else None)
                if isinstance(event, TaskRegistered):
                    self._wake(TO_FETCH)

    def nudge(self) -> None:
        """Wake a few waiters of every topic: time alone may have changed what they can get."""
        for topic in list(self._waiters):
            self._wake(topic, _A_FEW)

    def wake_all(self) -> None:
        """Wake everyone who waits for anything."""
        for topic in list(self._waiters):
            self._wake(topic)

    async def wait(self, topic: Hashable, deadline: float) -> None:
        """Return when there may be news on ``topic``, at the latest at ``deadline``.

        Args:
            deadline: on Trio's clock.
        """
        woken = trio.Event()
        waiters = self._waiters.setdefault(topic, deque())
        waiters.append(woken)
        try:
            with trio.move_on_at(deadline):
                await woken.wait()
        finally:
            if not woken.is_set():
                self._forget(topic, woken)

    def _wake(self, topic: Hashable, at_most: int | None = None) -> None:
        waiters = self._waiters.get(topic)
        if waiters is None:
            return
        for _ in range(len(waiters) if at_most is None else min(at_most, len(waiters))):
            waiters.popleft().set()
        if not waiters:
            del self._waiters[topic]

    def _forget(self, topic: Hashable, woken: trio.Event) -> None:
        waiters = self._waiters[topic]
        waiters.remove(woken)
        if not waiters:
            del self._waiters[topic]
