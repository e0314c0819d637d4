"""Fan-out of the core's events: numbers them and wakes who waits for them.

Knows no transport. Never blocks. News of a piece costs the same whether one client waits or ten
thousand, for it wakes only as many as it can help.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable

import trio

from supernode.core.events import ClientEvent, Concern, Event, TaskEvent, TaskRegistered
from supernode.core.identity import ClientId

TO_FETCH = "to fetch"
"""Topic: there may be a task to fetch. Every task ID is a topic, too."""

_A_FEW = 6
"""How many are woken by news for a few: a finished piece makes one more holder, which has five
slots unless configured, and gives one slot back."""


_Queue = OrderedDict[trio.Event, None]
"""Those who wait, in the order they came."""


class Feed:
    """Who waits for which topic, in the order they came."""

    def __init__(self) -> None:
        self.seq = 0
        """Number of the last event."""
        self._topics: dict[Hashable, _Queue] = {}
        self._clients: dict[Hashable, _Queue] = {}
        """The same waiters by (topic, client), if they wait on behalf of one."""

    def publish(self, events: Iterable[Event]) -> None:
        """Make events known. Synchronous; does not fail."""
        for event in events:
            self.seq += 1
            if isinstance(event, TaskEvent):
                self._publish_to_waiters(event)

    def _publish_to_waiters(self, event: TaskEvent) -> None:
        match event.concerns:
            case Concern.A_FEW:
                _wake(self._topics.get(event.task), _A_FEW)
            case Concern.EVERYBODY:
                _wake(self._topics.get(event.task))
            case Concern.ITS_CLIENT if isinstance(event, ClientEvent):
                _wake(self._clients.get((event.task, event.client)))
        if isinstance(event, TaskRegistered):
            _wake(self._topics.get(TO_FETCH))

    def nudge(self) -> None:
        """Wake a few waiters of every topic: time alone may have changed what they can get."""
        for queue in self._topics.values():
            _wake(queue, _A_FEW)

    def wake_all(self) -> None:
        """Wake everyone who waits for anything."""
        for queue in self._topics.values():
            _wake(queue)

    async def wait(
        self, topic: Hashable, deadline: float, *, client: ClientId | None = None
    ) -> None:
        """Return when there may be news on ``topic``, at the latest at ``deadline``.

        On cancel, news that had come already goes to the next who waits.

        Args:
            deadline: on Trio's clock.
            client: who also wants the news that concern this client alone.
        """
        woken = trio.Event()
        _join(self._topics, topic, woken)
        if client is not None:
            _join(self._clients, (topic, client), woken)
        try:
            with trio.move_on_at(deadline):
                await woken.wait()
            await trio.lowlevel.checkpoint_if_cancelled()
        except trio.Cancelled:
            if woken.is_set():
                _wake(self._topics.get(topic), 1)
            raise
        finally:
            _leave(self._topics, topic, woken)
            if client is not None:
                _leave(self._clients, (topic, client), woken)


def _join(queues: dict[Hashable, _Queue], key: Hashable, woken: trio.Event) -> None:
    queues.setdefault(key, OrderedDict())[woken] = None


def _leave(queues: dict[Hashable, _Queue], key: Hashable, woken: trio.Event) -> None:
    if queue := queues.get(key):
        queue.pop(woken, None)
    if not queue:
        queues.pop(key, None)


def _wake(queue: _Queue | None, at_most: int | None = None) -> None:
    """Wake the first who have not been woken otherwise. They leave the queue by that."""
    left = at_most if at_most is not None else len(queue or ())
    while queue and left:
        woken, _ = queue.popitem(last=False)
        if not woken.is_set():
            woken.set()
            left -= 1
