"""The flight recorder: everything that entered the core of late, and the state before it.

What is kept is cut into *generations*, each a snapshot with the commands since. The last two are
there, so at least the last 50,000 commands are, unless they are very large. In memory a generation
is 10 MB of usual commands, never more than 16 MiB and what came while its snapshot was taken, and
300 bytes for each peer, each download, each lease.
"""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from supernode.core.commands import Command
from supernode.core.errors import DomainError
from supernode.core.events import Event
from supernode.core.tracker import Tracker
from supernode.recording import command_log
from supernode.recording.snapshot import Snapshot

LENGTH = 50_000
"""How many commands make a generation, unless they are too many bytes."""
MOST_BYTES = 16 << 20
RECORDS_AT_ONCE = 16
"""How much of a snapshot is taken with each command: 0.05 ms …"""
BYTES_A_RECORD = 256
"""… and one more for so many bytes of the command. So while a snapshot is being taken, not many
more bytes of commands come than it has."""
DIGEST_EVERY = 16
"""Of every command it is recorded how many events came of it; of some its answer and which."""
REFUSED = -1
"""Instead of a number of events: it could not be carried out."""

Outcome = int | tuple[int, int]
"""How many events came of a command, and maybe the digest of all that did."""


class Recorded(NamedTuple):
    """One generation.

    Args:
        snapshot: None if it is not complete.
        chance: its state when the snapshot began.
        commands: encoded.
        outcomes: of the commands; of the last one there may be none.
    """

    snapshot: Snapshot | None
    chance: tuple[Any, ...]
    commands: list[bytes]
    outcomes: list[Outcome]


class _Generation:
    def __init__(self, tracker: Tracker, chance: random.Random) -> None:
        self.snapshot = Snapshot(tracker.state)
        self.chance = chance.getstate()
        self.commands: list[bytes] = []
        self.outcomes: list[Outcome] = []
        self.room = MOST_BYTES
        """How many more bytes of commands may come."""

    @property
    def is_full(self) -> bool:
        """Whether it is time for the next one; that waits for this one's snapshot."""
        return len(self.commands) >= LENGTH or self.room <= 0

    def recorded(self) -> Recorded:
        """Return what is there up to now. May be called in any thread."""
        outcomes = self.outcomes.copy()  # first, so that there is none too many
        snapshot = self.snapshot if self.snapshot.is_complete else None
        return Recorded(snapshot, self.chance, self.commands.copy(), outcomes)


class Recorder:
    """Keeps what the dispatcher tells it.

    Args:
        tracker: whose state is recorded, from the first command on.
        chance: where the tracker's random choices come from, and nobody else's.
    """

    def __init__(self, tracker: Tracker, chance: random.Random) -> None:
        self._tracker = tracker
        self._chance = chance
        self._generations: list[_Generation] = []
        self._current: _Generation | None = None
        """The last of them, if there is nothing more to do than to add to it."""
        self._stopped = False

    def begin(self, command: Command[Any], now: float) -> None:
        """Note that a command is about to be executed. Takes 1 µs, now and then 0.1 ms."""
        if self._stopped:
            return
        encoded = command_log.encoded(command, now)
        generation = self._current or self._prepared(len(encoded))
        generation.commands.append(encoded)
        generation.room -= len(encoded)
        if generation.is_full:
            self._current = None

    def end(self, answer: object, events: Sequence[Event]) -> None:
        """Note what came of the command that began last.

        Args:
            answer: or the DomainError by which it was refused.
            events: in order.
        """
        if self._stopped:
            return
        outcomes = self._generations[-1].outcomes
        count = REFUSED if isinstance(answer, DomainError) else len(events)
        if len(outcomes) % DIGEST_EVERY:
            outcomes.append(count)
        else:
            outcomes.append((count, command_log.digest(answer, events)))

    def stop(self) -> None:
        """Record nothing more: the command that began last has broken the core."""
        self._stopped = True

    def catch_up(self, records: int | None = None) -> bool:
        """Take so many more records of a snapshot, or all that are left; tell whether any are."""
        if not self._generations:
            return False
        snapshot = self._generations[-1].snapshot
        snapshot.proceed(records)
        return not snapshot.is_complete

    def recorded(self) -> list[Recorded]:
        """Return what is there up to now: nothing, while the first snapshot is being taken.

        May be called in any thread.
        """
        recorded = [generation.recorded() for generation in self._generations]
        return recorded if recorded and recorded[0].snapshot else []

    def _prepared(self, size: int) -> _Generation:
        """Return what the next command belongs to, having gone on with its snapshot.

        Args:
            size: the command's, in bytes.
        """
        last = self._generations[-1] if self._generations else None
        if last is None or (last.is_full and last.snapshot.is_complete):
            last = _Generation(self._tracker, self._chance)
            self._generations = [*self._generations[-1:], last]
        last.snapshot.proceed(RECORDS_AT_ONCE + size // BYTES_A_RECORD)
        if last.snapshot.is_complete and not last.is_full:
            self._current = last
        return last
