"""What an event is about besides what it says, as it was when it happened."""

from typing import Any

from supernode.core.commands import Command, PauseTask, RemovePeer, RemoveTask
from supernode.core.events import (
    Event,
    LeaseReleased,
    PeerLeft,
    PieceAssigned,
    TaskPaused,
    TaskRemoved,
)
from supernode.core.reasons import Reason
from supernode.core.subjects import NOTHING, Subject
from tests.world import World


def subjects(world: World, command: Command[Any]) -> dict[type[Event], Subject]:
    """Return what the events of a command are about, by their types."""
    already = len(world.events)
    world.do(command)
    return subjects_since(world, already)


def subjects_since(world: World, already: int) -> dict[type[Event], Subject]:
    kinds = map(type, world.events[already:])
    return dict(zip(kinds, world.tracker.subjects, strict=True))


def test_of_a_task_the_generation_also_when_it_goes() -> None:
    world = World()
    a = world.client("a")
    generation = world.fetch(a.task)
    assert subjects(world, PauseTask(task=a.task, paused=True))[TaskPaused] == (generation, None)
    removed = subjects(world, RemoveTask(task=a.task, reason=Reason.TASK_DELETED))
    assert removed[TaskRemoved].generation == generation


def test_of_a_client_its_peer_also_when_that_leaves() -> None:
    world = World()
    a = world.client("a")
    (download,) = world.tracker.task(a.task).downloads.values()
    peer = download.peer
    assert peer is not None
    world.cache(a.task, 0)
    already = len(world.events)
    assert a.take()
    assert subjects_since(world, already)[PieceAssigned] == (world.fetch(a.task), peer)
    left = subjects(world, RemovePeer(peer=peer))
    assert left[PeerLeft] == NOTHING, "it says itself who"
    assert all(
        subject.peer == peer for kind, subject in left.items() if issubclass(kind, LeaseReleased)
    )


def test_of_a_client_without_a_peer_none() -> None:
    world = World()
    a = world.client("a", peer=False)
    world.cache(a.task, 0)
    already = len(world.events)
    assert a.take()
    assert subjects_since(world, already)[PieceAssigned].peer is None


def test_a_choice_says_how_rare_the_piece_was() -> None:
    world = World()
    a, b = world.client("a"), world.client("b")
    world.cache(a.task, 0)
    a.has(0)
    already = len(world.events)
    assert b.take()
    (assigned,) = [event for event in world.events[already:] if isinstance(event, PieceAssigned)]
    assert assigned.copies == 1
