"""A recording run again: the same commands, times and chance on the same state, bit for bit."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from supernode.core.commands import Command
from supernode.core.errors import DomainError, TaskConflict
from supernode.core.events import Event
from supernode.core.identity import TaskId
from supernode.core.model import Task, TaskSpec
from supernode.core.scheduler import Chance
from supernode.core.state import State
from supernode.core.tracker import _COMMANDS, Tracker
from supernode.core.transitions.step import Step, _difference
from supernode.recording import command_log, dump_file, portrait
from supernode.recording.dump_file import Dump, DumpError, Generation
from supernode.recording.masks import MaskedSpec
from supernode.recording.recorder import Outcome

A = TypeVar("A")


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


def replay(file: Path, *, check: bool = False) -> ReplayResult:
    """Replay a dump up to its end, or to the first command that fails or diverges.

    Args:
        file: the dump.
        check: verify all invariants after each command, which takes long if the state is large.

    Raises:
        OSError: the file cannot be read.
        DumpError: it is no dump that can be replayed.
    """
    return _Replay(dump_file.read(file), check=check).run()


class _Diverged(Exception):
    """Something else happened than was recorded."""


class _Replay:
    def __init__(self, dump: Dump, *, check: bool) -> None:
        if not dump.generations:
            raise DumpError("nothing is recorded in it")
        self._generations = dump.generations
        self._check = check
        self._commands = 0
        self._events = 0
        self._last = ""
        first = dump.generations[0]
        self._tracker = _Tracker(_state(first))
        self._chance = random.Random()  # noqa: S311 - it repeats what was recorded
        self._chance.setstate(first.chance)

    def run(self) -> ReplayResult:
        try:
            for number, generation in enumerate(self._generations):
                if number:
                    self._compare(generation)
                for command, now, outcome in generation.commands():
                    self._execute(command, now, outcome)
        except _Diverged as difference:
            return self._result(Ended.DIVERGED, str(difference))
        except KeyboardInterrupt:
            return self._result(Ended.INTERRUPTED, "")
        except DumpError:
            raise
        except Exception as defect:  # noqa: BLE001 - whatever it is, it is what was looked for
            return self._result(Ended.FAILED, repr(defect))
        return self._result(Ended.AS_RECORDED, "")

    def _execute(self, command: Command[Any], now: float, outcome: Outcome | None) -> None:
        self._commands += 1
        self._last = f"{command!r} at {now!r}"
        events: Sequence[Event]
        try:
            _, events = self._tracker.execute(command, now=now, chance=self._chance)
        except DomainError:
            events = ()
        self._events += len(events)
        if self._check:
            self._tracker.check()
        recorded, digest = outcome if isinstance(outcome, tuple) else (outcome, None)
        if recorded is not None and recorded != len(events):
            raise _Diverged(f"{len(events)} events came of it, not {recorded}")
        if digest is not None and digest != command_log.digest(events):
            raise _Diverged("other events came of it")

    def _compare(self, generation: Generation) -> None:
        """Compare with what was recorded between two commands."""
        if self._chance.getstate() != generation.chance:
            raise _Diverged("after it, chance is not as recorded")
        if generation.state not in (None, portrait.encoded_now(self._tracker.state)):
            raise _Diverged("after it, the state is not as recorded")

    def _result(self, ended: Ended, problem: str) -> ReplayResult:
        recorded = sum(len(generation.rows) for generation in self._generations)
        return ReplayResult(ended, self._commands, self._events, recorded, problem, self._last)


def _state(generation: Generation) -> State:
    if generation.state is None:
        raise DumpError("there is no snapshot in it")
    try:
        return portrait.built(generation.state)
    except (msgspec.DecodeError, LookupError, ValueError, TypeError) as error:
        raise DumpError(f"its state is not one of this supernode: {error!r}") from error


class _Tracker(Tracker):
    """A tracker that begins with a state, and knows files whose secrets it does not."""

    def __init__(self, state: State) -> None:
        super().__init__(state.limits)
        self.state = self._state = state

    def execute(self, command: Command[A], *, now: float, chance: Chance) -> tuple[A, list[Event]]:
        step = _Step(self._state, now, chance)
        answer = _COMMANDS[type(command)](step, command)
        return answer, step.events


class _Step(Step):
    """A step that is told the ID of a file, which it could not compute."""

    __slots__ = ()

    def identify(self, spec: TaskSpec) -> tuple[TaskId, Task | None]:
        assert isinstance(spec, MaskedSpec)
        task = self.state.tasks.get(spec.task)
        if task is not None and (problem := _difference(task.spec, spec)):
            raise TaskConflict(f"task {spec.task} {problem}")
        return spec.task, task
