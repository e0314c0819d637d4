"""Why a swarm waits, by name."""

from collections.abc import Mapping

import pytest

from supernode.core.bottleneck import Cause, bottleneck
from supernode.core.commands import PauseTask
from supernode.core.identity import TaskId
from supernode.core.model import Limits
from tests.world import World


def causes(world: World, task: TaskId) -> tuple[Cause, Mapping[Cause, int]]:
    cause, clients = bottleneck(world.tracker.task(task), world.tracker.limits)
    assert sum(clients.values()) == world.tracker.task(task).running
    return cause, {cause: number for cause, number in clients.items() if number}


def test_a_fetch_that_has_not_begun() -> None:
    world = World()
    client = world.client("c")
    assert causes(world, client.task) == (Cause.QUEUE, {Cause.QUEUE: 1})


def test_the_origin_has_not_sent_it_yet() -> None:
    world = World()
    client = world.client("c")
    world.cache(client.task, 0)
    assert client.take()
    assert causes(world, client.task) == (Cause.ORIGIN, {Cause.ORIGIN: 1})


def test_the_seed_is_busy() -> None:
    world = World(Limits(seed_slots=1))
    first, _ = world.client("1"), world.client("2")
    world.cache(first.task, 0, 1, 2, 3)
    assert first.take()
    assert causes(world, first.task) == (Cause.SEED_SLOTS, {Cause.LINKS: 1, Cause.SEED_SLOTS: 1})


def test_the_peers_are_busy() -> None:
    world = World(Limits(seed_slots=1, peer_slots=1, seed_repeats=0))
    holder, taker, waits = world.client("1"), world.client("2"), world.client("3")
    world.cache(holder.task, 0, total=1)
    world.finish(holder.task, total=1)
    assert holder.take() == [(0, "seed")]
    holder.has(0)
    assert taker.take() == [(0, "1")]
    assert causes(world, waits.task) == (Cause.PEER_SLOTS, {Cause.LINKS: 1, Cause.PEER_SLOTS: 1})


def test_who_could_have_more_for_the_asking_waits_for_nothing() -> None:
    world = World()
    client = world.client("c")
    world.cache(client.task, 0, 1, 2, 3)
    assert causes(world, client.task) == (Cause.LINKS, {Cause.LINKS: 1})


@pytest.mark.parametrize("running", [True, False])
def test_paused_or_idle(running: bool) -> None:
    world = World()
    client = world.client("c")
    world.cache(client.task, 0, 1, 2, 3)
    world.finish(client.task)
    if running:
        world.do(PauseTask(task=client.task, paused=True))
        assert causes(world, client.task) == (Cause.PAUSED, {Cause.PAUSED: 1})
    else:
        client.leave()
        assert causes(world, client.task) == (Cause.IDLE, {})
