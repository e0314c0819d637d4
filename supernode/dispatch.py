"""The one door to the tracker: gives it the time and chance, publishes what happened."""

import random
import time
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import trio

from supernode.clock import Clock
from supernode.core.commands import Command
from supernode.core.errors import DomainError, InvariantError
from supernode.core.tracker import Tracker
from supernode.feed import Feed
from supernode.recording.recorder import Recorder

A = TypeVar("A")

Observer: TypeAlias = Callable[[Command[Any], float], None]


class Dispatcher:
    """Executes commands. Synchronous, so each one is atomic on the event loop.

    Args:
        tracker: the core.
        feed: where events go.
        clock: where the time comes from.
        chance: where random choices come from.
    """

    def __init__(self, tracker: Tracker, feed: Feed, clock: Clock, chance: random.Random) -> None:
        self.tracker = tracker
        self.feed = feed
        self.clock = clock
        self.recorder = Recorder(tracker, chance)
        """All that is needed to execute the last commands again."""
        self.broken = trio.Event()
        """Set when the core failed in a way it must not; its state is suspect from then on."""
        self.observer: Observer | None = None
        """Told of every command that was carried out, and how many seconds it took."""
        self._chance = chance

    def __call__(self, command: Command[A]) -> A:
        """Execute one command and return its answer.

        Raises:
            DomainError: it cannot be carried out; nothing has changed.
            InvariantError: the core failed; the daemon ends.
        """
        now = self.clock.now()
        self.recorder.begin(command, now)
        began = time.perf_counter()
        try:
            answer, events = self.tracker.execute(command, now=now, chance=self._chance)
        except DomainError as refusal:
            self.recorder.end(refusal, ())
            raise
        except Exception as defect:
            self.recorder.stop()
            self.broken.set()
            raise InvariantError(f"the core failed: {defect!r}") from defect
        took = time.perf_counter() - began
        self.recorder.end(answer, events)
        if self.observer is not None:
            self.observer(command, took)
        self.feed.publish(events, self.tracker.subjects)
        return answer
