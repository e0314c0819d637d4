"""A snapshot taken while everything changes is of the moment it began."""

import random
from collections import Counter
from contextlib import suppress

import pytest

from supernode.core import invariants
from supernode.core.errors import DomainError
from supernode.core.events import Event
from supernode.core.tracker import Tracker
from supernode.recording import portrait
from supernode.recording.snapshot import Snapshot
from tests.crowd import LIMITS, Crowd


def kinds_of(base: type[Event]) -> set[str]:
    """Return the names of the kinds of events that there are."""
    below = base.__subclasses__()
    return set().union(*map(kinds_of, below)) if below else {base.__name__}


@pytest.mark.parametrize("at_once", [0, 1, 5])
@pytest.mark.parametrize("seed", range(4))
def test_a_snapshot_is_of_the_moment_it_began(seed: int, at_once: int) -> None:
    tracker, chance = Tracker(LIMITS), random.Random(seed)
    crowd = Crowd(tracker, seed)
    state = tracker.state
    happened: Counter[str] = Counter()
    then = portrait.encoded_now(state)
    snapshot = Snapshot(state)
    for number, command in enumerate(crowd.commands(6_000)):
        snapshot.proceed(at_once)
        if number % 17 == 0:
            snapshot.proceed()
            assert portrait.encoded(snapshot) == then
            then = portrait.encoded_now(state)
            snapshot = Snapshot(state)
        try:
            _, events = tracker.execute(command, now=crowd.now, chance=chance)
        except DomainError:
            happened["refused"] += 1
        else:
            happened.update(type(event).__name__ for event in events)
    snapshot.proceed()
    # Otherwise the crowd does too little to show anything.
    assert happened.keys() == kinds_of(Event) | {"refused"}


def test_a_state_is_built_again_from_its_portrait() -> None:
    tracker, chance = Tracker(LIMITS), random.Random(0)
    crowd = Crowd(tracker, 0)
    for command in crowd.commands(6_000):
        with suppress(DomainError):
            tracker.execute(command, now=crowd.now, chance=chance)
    drawn = portrait.encoded_now(tracker.state)
    built = portrait.built(drawn)
    invariants.check(built)
    assert portrait.encoded_now(built) == drawn
