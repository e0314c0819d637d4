"""The flight recorder: everything that entered the core of late, and the state before it.

What is kept is cut into *generations*, each a snapshot with the commands since. The last two are
there, so at least the last 50,000 commands are. In memory that is 40 MB at most, and 450 bytes for
each peer, each download, each lease, twice.
"""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from supernode.core.commands import Command
from supernode.core.events import Event
from supernode.core.tracker import Tracker
from supernode.recording import command_log
from supernode.recording.snapshot import Row, Snapshot, Value

LENGTH = 50_000
"""How many commands make a generation, unless they are too many bytes."""
MOST_BYTES = 16 << 20
RECORDS_AT_ONCE = 32
"""How much of a snapshot is taken, and how much of one that is not needed any more is let go of,
with each command: about 0.1 ms."""
DIGEST_EVERY = 16
"""Of every command it is recorded how many events came of it, of some also which."""

Outcome = int | tuple[int, int]
"""How many events came of a command, and maybe their digest."""


class Recorded(NamedTuple):
    """One generation.

    Args:
        values: of the snapshot; so are
        rows: None if it is not complete.
        chance: its state when the snapshot was taken.
        commands: encoded.
        outcomes: of the commands; of the last one there may be none.
    """

    values: dict[str, Value]
    rows: dict[int, Row] | None
    chance: tuple[Any, ...]
    commands: list[bytes]
    outcomes: list[Outcome]


class _Generation:
    def __init__(self, tracker: Tracker, chance: random.Random) -> None:
        self.snapshot = Snapshot(tracker._state)
        self.chance = chance.getstate()
        self.commands: list[bytes] = []
        self.outcomes: list[Outcome] = []
        self.room = MOST_BYTES
        """How many more bytes of commands may come."""

    def recorded(self) -> Recorded:
        """Return what is there up to now. May be called in any thread."""
        # Taken in this order, there is no outcome too many.
        outcomes = self.outcomes.copy()
        rows = self.snapshot.rows.copy() if self.snapshot.is_complete else None
        return Recorded(self.snapshot.values, rows, self.chance, self.commands.copy(), outcomes)


class Recorder:
    """Keeps what the dispatcher tells it.

    Args:
        tracker: whose state is recorded.
        chance: where the tracker's random choices come from, and nobody else's.
    """

    def __init__(self, tracker: Tracker, chance: random.Random) -> None:
        self.now = 0.0
        """When the last command was executed, in seconds since the epoch."""
        self._tracker = tracker
        self._chance = chance
        self._generations: list[_Generation] = []
        self._current: _Generation | None = None
        """The last of them, if there is nothing more to do than to add to it."""
        self._outdated: dict[int, Row] = {}
        """What is left of a snapshot that is not needed any more."""
        self._stopped = False

    def begin(self, command: Command[Any], now: float) -> None:
        """Note that a command is about to be executed. Takes 1 µs, now and then 0.1 ms."""
        if self._stopped:
            return
        self.now = now
        generation = self._current or self._prepared()
        try:
            encoded = command_log.encoded(command, now)
        except (OverflowError, UnicodeEncodeError):
            # It cannot be replayed, so neither can anything from the last snapshot on.
            generation.snapshot.proceed()
            self._generations, self._current = [], None
            return
        generation.commands.append(encoded)
        generation.room -= len(encoded)
        if generation.room <= 0 or len(generation.commands) >= LENGTH:
            self._current = None

    def end(self, events: Sequence[Event]) -> None:
        """Note what came of the command that began last."""
        if self._stopped or not self._generations:
            return
        outcomes = self._generations[-1].outcomes
        if len(outcomes) % DIGEST_EVERY:
            outcomes.append(len(events))
        else:
            outcomes.append((len(events), command_log.digest(events)))

    def stop(self) -> None:
        """Record nothing more: the command that began last has broken the core."""
        self._stopped = True

    def recorded(self) -> list[Recorded]:
        """Return what is there up to now. May be called in any thread."""
        return [generation.recorded() for generation in self._generations]

    def _prepared(self) -> _Generation:
        """Return what the next command belongs to; do some of the work that is left over."""
        if not self._generations:
            first = _Generation(self._tracker, self._chance)
            first.snapshot.proceed()  # nothing is known of an earlier time
            self._generations = [first]
        last = self._generations[-1]
        if not last.snapshot.is_complete:
            last.snapshot.proceed(RECORDS_AT_ONCE)
        elif len(last.commands) >= LENGTH or last.room <= 0:
            self._outdated = self._generations[0].snapshot.rows if self._generations[1:] else {}
            self._generations = [last, _Generation(self._tracker, self._chance)]
        for _ in range(min(RECORDS_AT_ONCE, len(self._outdated))):
            self._outdated.popitem()
        if last is self._generations[-1] and last.snapshot.is_complete and not self._outdated:
            self._current = last
        return self._generations[-1]
