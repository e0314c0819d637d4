"""The supernode: the real tracker, its time and chance, and the pulls that it holds open.

It answers at once: the way there and back is for those who ask to model.
"""

import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from supernode.core.commands import Command, Expire, Pull, Pulled
from supernode.core.events import ClientEvent, Concern, TaskEvent
from supernode.core.identity import ClientId
from supernode.core.tracker import Tracker
from supernode.simulation.agenda import Agenda

A = TypeVar("A")

TICK_SECONDS = 1.0
"""How often the tracker lets go of what has outlived its time, as the expiry service."""
A_FEW = 6
"""How many held pulls news of a piece wakes, as the feed."""


@dataclass(slots=True, eq=False)
class _HeldPull:
    """A pull for which there is nothing yet."""

    pull: Pull
    until: float
    answer: Callable[[Pulled], None]
    answered: bool = False


class Supernode:
    """What peers ask.

    Args:
        agenda: the clock.
        chance: where the tracker's random choices come from.
    """

    def __init__(self, agenda: Agenda, chance: random.Random) -> None:
        self.tracker = Tracker()
        self._agenda = agenda
        self._chance = chance
        self._waiting: OrderedDict[ClientId, _HeldPull] = OrderedDict()
        """In the order they came, and come again after they were woken in vain."""
        agenda.after(TICK_SECONDS, self._tick)

    def do(self, command: Command[A]) -> A:
        """Execute a command, wake whom its events concern, return its answer."""
        answer, events = self.tracker.execute(command, now=self._agenda.now, chance=self._chance)
        for event in events:
            if isinstance(event, TaskEvent):
                self._publish(event)
        return answer

    def pull(self, pull: Pull, wait: float, answer: Callable[[Pulled], None]) -> None:
        """Answer a pull, at the latest after ``wait`` seconds."""
        pulled = self.do(pull)
        if pulled.assignments or pulled.ended or not wait:
            answer(pulled)
            return
        again = msgspec.structs.replace(pull, retry=True)
        held = self._waiting[pull.client] = _HeldPull(again, self._agenda.now + wait, answer)
        self._agenda.at(held.until, lambda: self._attempt(held))

    # held pulls

    def _publish(self, event: TaskEvent) -> None:
        match event.concerns:
            case Concern.A_FEW:
                self._wake(A_FEW)
            case Concern.EVERYBODY:
                self._wake(len(self._waiting))
            case Concern.ITS_CLIENT if isinstance(event, ClientEvent):
                if held := self._waiting.pop(event.client, None):
                    self._attempt_soon(held)

    def _wake(self, at_most: int) -> None:
        for _ in range(min(at_most, len(self._waiting))):
            self._attempt_soon(self._waiting.popitem(last=False)[1])

    def _attempt_soon(self, held: _HeldPull) -> None:
        self._agenda.after(0.0, lambda: self._attempt(held))

    def _attempt(self, held: _HeldPull) -> None:
        if held.answered:
            return
        pulled = self.do(held.pull)
        if pulled.assignments or pulled.ended or self._agenda.now >= held.until:
            held.answered = True
            self._waiting.pop(held.pull.client, None)
            held.answer(pulled)
        else:
            self._waiting[held.pull.client] = held

    def _tick(self) -> None:
        self.do(Expire())
        self._wake(A_FEW)
        self._agenda.after(TICK_SECONDS, self._tick)
