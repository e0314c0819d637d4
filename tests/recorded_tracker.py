"""A tracker that records all that it is asked, as the dispatcher does."""

import random
from pathlib import Path
from typing import TypeVar

from supernode.core.commands import Command
from supernode.core.errors import DomainError
from supernode.core.events import Event
from supernode.core.model import Limits
from supernode.core.scheduler import Chance
from supernode.core.state import State
from supernode.core.tracker import Tracker
from supernode.recording import dump_file
from supernode.recording.dump_file import Dump
from supernode.recording.recorder import Recorder

A = TypeVar("A")


class RecordedTracker(Tracker):
    """The tracker; its chance is its own, whatever it is given."""

    def __init__(self, begin_with: Limits | State | None = None) -> None:
        super().__init__(begin_with)
        # Another one if it has a past, lest it give a preheat an ID that there is.
        self._chance = random.Random(" ".join(self.state.preheats))
        self.recorder = Recorder(self, self._chance)

    def execute(
        self, command: Command[A], *, now: float, chance: Chance | None = None
    ) -> tuple[A, list[Event]]:
        """Carry out one command, and record it."""
        self.recorder.begin(command, now)
        try:
            answer, events = super().execute(command, now=now, chance=self._chance)
        except DomainError as refusal:
            self.recorder.end(refusal, ())
            raise
        self.recorder.end(answer, events)
        return answer, events

    def dumped(self, file: Path) -> Dump:
        """Return what was recorded, by way of a file."""
        self.recorder.catch_up()
        dump_file.write(file, self.recorder.recorded(), cause="test")
        return dump_file.read(file)
