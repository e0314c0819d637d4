"""The one door to the tracker: gives it the time and chance, publishes what happened."""

import random
from typing import TypeVar

import trio

from supernode.clock import Clock
from supernode.core.commands import Command
from supernode.core.errors import DomainError, InvariantError
from supernode.core.tracker import Tracker
from supernode.feed import Feed
from supernode.recording.recorder import Recorder

A = TypeVar("A")


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
        self._chance = chance

    def __call__(self, command: Command[A]) -> A:
        """Execute one command and return its answer.

        Raises:
            DomainError: it cannot be carried out; nothing has changed.
            InvariantError: the core failed; the daemon ends.
        """
        now = self.clock.now()
        self.recorder.begin(command, now)
        try:
            answer, events = self.tracker.execute(command, now=now, chance=self._chance)
        except DomainError as refusal:
            self.recorder.end(refusal, ())
            raise
        except Exception as defect:
            self.recorder.stop()
            self.broken.set()
            raise InvariantError(f"the core failed: {defect!r}") from defect
        self.recorder.end(answer, events)
        self.feed.publish(events, self.tracker.subjects)
        return answer
