"""Preheats as the core knows them: one test a rule."""

import pytest

from supernode.core.commands import (
    AdoptTask,
    CreatePreheat,
    FailPreheat,
    RemovePreheat,
    StartFetch,
    StartPreheat,
)
from supernode.core.errors import Full, NotFound, PreheatEnded
from supernode.core.events import TaskRemoved
from supernode.core.identity import PreheatId, TaskId, task_id
from supernode.core.model import CdnStatus, Limits, PreheatStatus, TaskSpec
from supernode.core.reasons import Reason
from tests.world import World

SPEC = TaskSpec(raw_url="http://o/x", task_url="http://o/x")


def create(world: World, url: str = "http://o/x") -> PreheatId:
    return world.do(CreatePreheat(spec=TaskSpec(raw_url=url, task_url=url)))


def fetch(world: World, url: str) -> TaskId:
    task = task_id(url)
    world.cache(task, 0, 1, 2, 3)
    world.finish(task)
    return task


def status(world: World, preheat: PreheatId) -> PreheatStatus:
    return world.tracker.preheat(preheat).status


def test_a_preheat_has_its_file_fetched_without_a_client() -> None:
    world = World()
    preheat = create(world)
    assert status(world, preheat) is PreheatStatus.WAITING
    assert world.tracker.next_to_fetch() is None
    world.do(StartPreheat(preheat=preheat))
    assert status(world, preheat) is PreheatStatus.RUNNING
    assert world.tracker.next_to_fetch() == world.tracker.preheat(preheat).task


def test_who_asks_while_one_runs_joins_it() -> None:
    world = World()
    preheat = create(world)
    assert create(world) == preheat
    assert create(world, "http://o/y") != preheat
    world.do(StartPreheat(preheat=preheat))
    fetch(world, "http://o/x")
    assert status(world, preheat) is PreheatStatus.SUCCESS
    assert create(world) != preheat


def test_a_client_joins_the_fetch_of_a_preheat() -> None:
    world = World()
    preheat = create(world)
    world.do(StartPreheat(preheat=preheat))
    assert world.client("a").task == world.tracker.preheat(preheat).task


def test_its_file_is_not_evicted_before_it_has_ended() -> None:
    world = World()
    preheat = create(world)
    world.do(StartPreheat(preheat=preheat))
    assert not list(world.tracker.idle_tasks())
    task = fetch(world, "http://o/x")
    assert [idle.id for idle in world.tracker.idle_tasks()] == [task]


def test_an_ended_preheat_is_remembered_for_a_day() -> None:
    world = World()
    preheat = create(world)
    world.do(StartPreheat(preheat=preheat))
    world.now += 60
    task = world.tracker.preheat(preheat).task
    world.do(StartFetch(task=task))
    world.fail(task, Reason.ORIGIN_DNS, "o")
    ended = world.tracker.preheat(preheat)
    assert (ended.status, ended.reason, ended.detail) == (
        PreheatStatus.FAILED,
        Reason.ORIGIN_DNS,
        "o",
    )
    assert ended.finished == ended.created + 60
    world.refused(FailPreheat(preheat=preheat, reason=Reason.INTERNAL), PreheatEnded)
    world.pass_time(86_399)
    assert status(world, preheat) is PreheatStatus.FAILED
    world.pass_time(1)
    with pytest.raises(NotFound):
        world.tracker.preheat(preheat)


def test_one_that_has_not_ended_is_never_forgotten() -> None:
    world = World()
    preheat = create(world)
    world.pass_time(1e9)
    assert status(world, preheat) is PreheatStatus.WAITING


def test_removing_a_preheat_ends_a_fetch_that_nobody_else_waits_for() -> None:
    world = World()
    preheat = create(world)
    world.do(StartPreheat(preheat=preheat))
    world.do(RemovePreheat(preheat=preheat))
    assert world.last(TaskRemoved).reason is Reason.PREHEAT_DELETED
    world.refused(RemovePreheat(preheat=preheat), NotFound)


def test_removing_a_preheat_leaves_the_fetch_to_a_client_that_waits_for_it() -> None:
    world = World()
    preheat = create(world)
    world.do(StartPreheat(preheat=preheat))
    a = world.client("a")
    world.do(RemovePreheat(preheat=preheat))
    assert world.tracker.task(a.task).status is CdnStatus.WAITING


def test_removing_a_preheat_that_waits_touches_no_fetch_of_others() -> None:
    world = World()
    a = world.client("a")
    preheat = create(world)
    world.do(RemovePreheat(preheat=preheat))
    assert world.tracker.task(a.task)


def test_removing_a_preheat_that_waits_touches_no_fetch_of_another_preheat() -> None:
    """Another one began the fetch and was removed by time: nobody knows of it but the task."""
    world = World()
    a = world.client("a")
    preheat = create(world)
    a.leave()
    world.do(RemovePreheat(preheat=preheat))
    assert world.tracker.task(a.task).status is CdnStatus.WAITING


def test_removing_the_preheat_of_a_file_that_is_being_verified_leaves_it() -> None:
    world = World()
    identity = task_id("http://o/x")
    adopt = AdoptTask(task=identity, spec=SPEC, length=5, piece_size=4 << 20, last_used=1.0)
    world.do(adopt)
    preheat = create(world)
    world.do(StartPreheat(preheat=preheat))
    world.do(RemovePreheat(preheat=preheat))
    assert world.tracker.task(identity).adopted


def test_a_preheat_is_a_use_of_its_file() -> None:
    world = World()
    first, second = (world.client(url[-1], url=url) for url in ("http://o/x", "http://o/y"))
    for client in (first, second):
        world.cache(client.task, 0, 1, 2, 3)
        world.finish(client.task)
        client.has(0, 1, 2, 3)
    preheat = create(world)
    world.do(StartPreheat(preheat=preheat))
    assert [task.id for task in world.tracker.idle_tasks()] == [second.task, first.task]


def test_there_is_a_bound() -> None:
    world = World(Limits(most_preheats=1))
    create(world)
    assert create(world), "joining needs no room"
    world.refused(CreatePreheat(spec=TaskSpec(raw_url="http://o/y", task_url="http://o/y")), Full)


def test_those_that_have_ended_keep_nobody_from_asking_and_are_bounded_too() -> None:
    world = World(Limits(most_preheats=1, most_ended_preheats=2))
    preheats = []
    for n in range(4):
        preheats.append(create(world, f"http://o/{n}"))
        world.do(StartPreheat(preheat=preheats[-1]))
        fetch(world, f"http://o/{n}")
    assert [preheat.id for preheat in world.tracker.preheats()] == preheats[2:]
