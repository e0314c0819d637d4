"""Fan-out of the core's events: numbers them and wakes who waits for them.

Knows no transport. Never blocks. News of a piece costs the same whether one client waits or ten
thousand, for it wakes only as many as it can help.
"""

from collections import deque
from collections.abc import Hashable, Iterable

import trio

from supernode.core.events import Concern, Event, TaskEvent, TaskRegistered

TO_FETCH = "to fetch"
"""Topic: there may be a task to fetch. Every task ID is a topic, too."""

_A_FEW = 6
"""How many are woken by news for a few: a finished piece makes one more holder, which has five
slots unless configured, and gives one slot back."""


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
                if event.concerns is Concern.A_FEW:
                    self._wake(event.task, _A_FEW)
                elif event.concerns is Concern.EVERYBODY:
                    self._wake(event.task)
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

        On cancel, news that had come already goes to the next who waits.

        Args:
            deadline: on Trio's clock.
        """
        woken = trio.Event()
        waiters = self._waiters.setdefault(topic, deque())
        waiters.append(woken)
        try:
            with trio.move_on_at(deadline):
                await woken.wait()
            await trio.lowlevel.checkpoint_if_cancelled()
        except trio.Cancelled:
            if woken.is_set():
                self._wake(topic, 1)
            raise
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
