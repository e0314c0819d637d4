"""Fan-out of the core's events: numbers them, wakes who waits for them, lets others read along.

Knows no transport. Never blocks. News of a piece costs the same whether one client waits or ten
thousand, for it wakes only as many as it can help. Whoever reads along has a place of its own in
the last events, which are there once for all: one that is slow holds up nobody and costs nothing.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import TypeAlias

import trio

from supernode.core.events import (
    ClaimMade,
    ClientEvent,
    Concern,
    Event,
    PeerAccused,
    PieceCached,
    PreheatRegistered,
    PreheatRemoved,
    TaskConfirmed,
    TaskDoubted,
    TaskEvent,
    TaskFailed,
    TaskFinished,
    TaskRegistered,
    TaskRemoved,
    TaskResumed,
)
from supernode.core.identity import ClientId
from supernode.core.subjects import NOTHING, Subject

TO_FETCH = "to fetch"
"""Topic: there may be a task to fetch. Every task ID is a topic, too."""
TO_REVALIDATE = "to revalidate"
"""Topic: there may be a task whose origin is to be asked whether it has changed."""
TO_PREHEAT = "to preheat"
"""Topic: there may be a preheat to begin or to end."""
TO_INSPECT = "to inspect"
"""Topic: there may be a peer that is accused of something."""
TO_CHECK = "to check"
"""Topic: there may be a claim to check."""
REMOVED = "removed"
"""Topic: a task is known no longer."""

RECENT = 8192
"""How many events are kept for those who read along: how far one may fall behind."""

_TOPICS: dict[type[Event], tuple[str, ...]] = {
    TaskRegistered: (TO_FETCH,),
    TaskResumed: (TO_FETCH,),
    TaskDoubted: (TO_REVALIDATE,),
    TaskConfirmed: (TO_PREHEAT,),
    TaskFinished: (TO_PREHEAT, TO_CHECK),
    TaskFailed: (TO_PREHEAT,),
    TaskRemoved: (TO_PREHEAT, REMOVED),
    ClaimMade: (TO_CHECK,),
    PieceCached: (TO_CHECK,),
    PeerAccused: (TO_INSPECT,),
    PreheatRegistered: (TO_PREHEAT,),
    PreheatRemoved: (TO_PREHEAT,),
}
_SERVICES = frozenset({TO_FETCH, TO_REVALIDATE, TO_PREHEAT, REMOVED, TO_INSPECT, TO_CHECK})
_A_FEW = 6
"""How many are woken by news for a few: a finished piece makes one more holder, which has three
slots unless configured, and gives one slot back; some who wait have their share already."""


_Queue = OrderedDict[trio.Event, None]
"""Those who wait, in the order they came."""


@dataclass(slots=True, eq=False)
class Published:
    """An event with its number: one object for all who read it."""

    seq: int
    event: Event
    subject: Subject = NOTHING
    text: bytes = b""
    """What it was rendered as, so that this is done once, and only if somebody reads it."""


@dataclass(frozen=True, slots=True)
class Gap:
    """What a subscriber has missed: the events of these numbers, inclusive."""

    first: int
    last: int


Listener: TypeAlias = Callable[[Published], None]


class Feed:
    """The events, those who read them, and who waits for which topic.

    Args:
        seq: after which number the first event is numbered.
    """

    def __init__(self, seq: int = 0) -> None:
        self.seq = seq
        """Number of the last event; the state now contains all up to it."""
        self._listeners: list[Listener] = []
        self._recent: deque[Published] = deque(maxlen=RECENT)
        self._readers = trio.lowlevel.ParkingLot()
        self._closed = trio.Event()
        self._end = 0
        """Number of the last event before it was closed."""
        self._topics: dict[Hashable, _Queue] = {}
        self._clients: dict[Hashable, _Queue] = {}
        """The same waiters by (topic, client), if they wait on behalf of one."""

    def publish(self, events: Iterable[Event], subjects: Iterable[Subject] = ()) -> None:
        """Make events known, and what each is about. Synchronous; does not fail."""
        for event, subject in zip(events, chain(subjects, repeat(NOTHING)), strict=False):
            self.seq += 1
            published = Published(self.seq, event.to_keep(), subject)
            self._recent.append(published)
            for listener in self._listeners:
                listener(published)
            if isinstance(event, TaskEvent):
                self._publish_to_waiters(event)
            for topic in _TOPICS.get(type(event), ()):
                _wake(self._topics.get(topic))
        if self._readers:
            self._readers.unpark_all()

    def _publish_to_waiters(self, event: TaskEvent) -> None:
        match event.concerns:
            case Concern.A_FEW:
                _wake(self._topics.get(event.task), _A_FEW)
            case Concern.EVERYBODY:
                _wake(self._topics.get(event.task))
            case Concern.ITS_CLIENT if isinstance(event, ClientEvent):
                _wake(self._clients.get((event.task, event.client)))

    def listen(self, listener: Listener) -> None:
        """Have every event told to ``listener`` as it happens; it must neither wait nor fail."""
        self._listeners.append(listener)

    @property
    def oldest(self) -> int:
        """Number of the oldest event that is kept; of the next one, if none is."""
        return self._recent[0].seq if self._recent else self.seq + 1

    def after(self, seq: int) -> Iterator[Published]:
        """Yield the events that are kept, from the one after ``seq`` on, which must be kept."""
        return islice(self._recent, seq + 1 - self.oldest, None)

    def subscribe(self, after: int | None = None) -> "Subscription":
        """Return a place in the events: after number ``after``, or after all that have happened."""
        return Subscription(self, self.seq if after is None else after)

    def close(self) -> None:
        """End every subscription after the events up to now, also those that are still to begin."""
        if not self._closed.is_set():
            self._end = self.seq
            self._closed.set()
            self._readers.unpark_all()

    async def until_closed(self) -> None:
        """Wait for ``close``."""
        await self._closed.wait()

    def wake(self, topic: Hashable) -> None:
        """Wake everyone who waits for a topic."""
        _wake(self._topics.get(topic))

    def nudge(self) -> None:
        """Wake a few waiters of every task: time alone may have changed what they can get."""
        for topic, queue in self._topics.items():
            if topic not in _SERVICES:
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


class Subscription:
    """A place in the events. Costs nothing while nobody looks; just drop it when done.

    Args:
        feed: whose events.
        last: number of the event before the first that is wanted; at most ``feed.seq``.
    """

    def __init__(self, feed: Feed, last: int) -> None:
        self.last = last
        """Number of the last event that was dealt with; whoever reads moves it on."""
        self._feed = feed

    async def news(self) -> bool:
        """Wait until there is an event after ``last``; False: there will be none.

        Does not checkpoint if there is one.
        """
        feed = self._feed
        while self.last == feed.seq and not feed._closed.is_set():
            await feed._readers.park()
        return not feed._closed.is_set() or self.last < feed._end

    def missed(self) -> Gap | None:
        """Return what is kept no longer; then go on after the present."""
        if self.last >= self._feed.oldest - 1:
            return None
        gap = Gap(self.last + 1, self._feed.seq)
        self.last = self._feed.seq
        return gap


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
