"""A recording run again: the same commands, times and chance on the same state, bit for bit."""

import random
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from supernode.core.commands import Command
from supernode.core.errors import DomainError
from supernode.core.events import Event
from supernode.core.state import State
from supernode.core.tracker import Tracker
from supernode.recording import command_log, plain, portrait
from supernode.recording.dump_file import Dump, DumpError, Generation
from supernode.recording.recorder import REFUSED, Outcome


class Ended(Enum):
    """How a replay ended."""

    AS_RECORDED = "everything happened as recorded"
    FAILED = "the core failed"
    DIVERGED = "something else happened than was recorded"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What became of a replay.

    Args:
        ended: how.
        commands: how many were executed, also the one with which it ended.
        events: how many came of them.
        recorded: how many commands there are.
        problem: what went wrong; empty if nothing did.
        command: the last one that was executed, and when, for people.
    """

    ended: Ended
    commands: int
    events: int
    recorded: int
    problem: str
    command: str


def replay(dump: Dump) -> ReplayResult:
    """Replay a dump up to its end, or to the first command that fails or diverges.

    What came of a command is compared with what is recorded of that. The whole state is compared
    and its invariants are checked where there is a snapshot; at the end these are, too.

    Raises:
        DumpError: it cannot be replayed.
    """
    return _Replay(dump).run()


class _Diverged(Exception):
    """Something else happened than was recorded."""


class _Replay:
    def __init__(self, dump: Dump) -> None:
        if not dump.generations:
            raise DumpError("nothing is recorded in it")
        self._generations = dump.generations
        self._commands = 0
        self._events = 0
        self._last = ""
        first = dump.generations[0]
        self._tracker = Tracker(_state(first))
        self._chance = random.Random()  # noqa: S311 - it repeats what was recorded
        self._chance.setstate(first.chance)

    def run(self) -> ReplayResult:
        try:
            for number, generation in enumerate(self._generations):
                if number:
                    self._compare(generation)
                for command, now, outcome in generation.commands():
                    self._execute(command, now, outcome)
            self._tracker.check()
        except _Diverged as difference:
            return self._result(Ended.DIVERGED, str(difference))
        except KeyboardInterrupt:
            return self._result(Ended.INTERRUPTED, "")
        except DumpError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, it is what was looked for
            return self._result(Ended.FAILED, traceback.format_exc())
        return self._result(Ended.AS_RECORDED, "")

    def _execute(self, command: Command[Any], now: float, outcome: Outcome | None) -> None:
        self._commands += 1
        self._last = f"{command!r} at {now!r}"
        events: Sequence[Event] = ()
        try:
            answer, events = self._tracker.execute(command, now=now, chance=self._chance)
        except DomainError as refusal:
            answer = refusal
        self._events += len(events)
        count = REFUSED if isinstance(answer, DomainError) else len(events)
        recorded, digest = outcome if isinstance(outcome, tuple) else (outcome, None)
        if recorded is not None and recorded != count:
            raise _Diverged(f"{_said(count)}, not {_said(recorded)}")
        if digest is not None and digest != command_log.digest(answer, events):
            raise _Diverged("another answer or other events came of it")

    def _compare(self, generation: Generation) -> None:
        """Compare with what was recorded between two commands."""
        if self._chance.getstate() != generation.chance:
            raise _Diverged("after it, chance is not as recorded")
        self._tracker.check()
        now = portrait.encoded_now(self._tracker.state)
        if bytes(generation.state) not in (NOTHING, now):
            raise _Diverged("after it, the state is not as recorded")

    def _result(self, ended: Ended, problem: str) -> ReplayResult:
        recorded = sum(len(generation.rows) for generation in self._generations)
        return ReplayResult(ended, self._commands, self._events, recorded, problem, self._last)


NOTHING = plain.encoded(None)


def _said(count: int) -> str:
    return "it was refused" if count == REFUSED else f"{count} events came of it"


def _state(generation: Generation) -> State:
    try:
        return portrait.built(generation.state)
    except (msgspec.DecodeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise DumpError(f"its state is not one of this supernode: {error!r}") from error
