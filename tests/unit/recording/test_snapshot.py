"""A snapshot taken while everything changes is of the moment it began."""

import random
from contextlib import suppress

import pytest

from supernode.core import invariants
from supernode.core.errors import DomainError
from supernode.core.events import Event
from supernode.core.tracker import Tracker
from supernode.recording import portrait
from supernode.recording.snapshot import Snapshot
from tests.crowd import LIMITS, Crowd

SEEDS = range(6)
LENGTH = 6_000


def kinds_of(base: type[Event]) -> set[str]:
    """Return the names of the kinds of events of the core that there are."""
    below = [kind for kind in base.__subclasses__() if kind.__module__ == Event.__module__]
    return set().union(*map(kinds_of, below)) if below else {base.__name__}


def test_the_crowd_does_all_that_can_be_done() -> None:
    """Otherwise the other tests here show less than they seem to."""
    happened: set[str] = set()
    for seed in SEEDS:
        tracker, chance = Tracker(LIMITS), random.Random(seed)
        crowd = Crowd(tracker, seed)
        for command in crowd.commands(LENGTH):
            with suppress(DomainError):
                _, events = tracker.execute(command, now=crowd.now, chance=chance)
                happened.update(type(event).__name__ for event in events)
    assert happened == kinds_of(Event)


@pytest.mark.parametrize("at_once", [0, 1, 5])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_snapshot_is_of_the_moment_it_began(seed: int, at_once: int) -> None:
    tracker, chance = Tracker(LIMITS), random.Random(seed)
    crowd = Crowd(tracker, seed)
    then = portrait.encoded_now(tracker.state)
    snapshot = Snapshot(tracker.state)
    for number, command in enumerate(crowd.commands(LENGTH)):
        snapshot.proceed(at_once)
        if number % 17 == 0:
            snapshot.proceed()
            assert portrait.encoded(snapshot) == then
            then = portrait.encoded_now(tracker.state)
            snapshot = Snapshot(tracker.state)
        with suppress(DomainError):
            tracker.execute(command, now=crowd.now, chance=chance)


def test_a_state_is_built_again_from_its_portrait() -> None:
    tracker, chance = Tracker(LIMITS), random.Random(0)
    crowd = Crowd(tracker, 0)
    for command in crowd.commands(LENGTH):
        with suppress(DomainError):
            tracker.execute(command, now=crowd.now, chance=chance)
    drawn = portrait.encoded_now(tracker.state)
    built = portrait.built(drawn)
    invariants.check(built)
    assert portrait.encoded_now(built) == drawn
