"""For how long an origin that failed is left alone, and by whom."""

import pytest

from supernode.core.commands import (
    CreatePreheat,
    FinishFetch,
    RegisterTask,
    RemoveTask,
    StartFetch,
    StartPreheat,
)
from supernode.core.errors import TaskEnded
from supernode.core.events import TaskFailed
from supernode.core.identity import ClientId, TaskId
from supernode.core.model import CdnStatus, Limits, PreheatStatus, TaskSpec
from supernode.core.reasons import Reason
from tests.faults import GoesOn, Group, Seen, fault
from tests.world import World

SPEC = TaskSpec(raw_url="http://o/x", task_url="http://o/x")
ASK = RegisterTask(spec=SPEC, client=ClientId("c"), peer=None, path="")
PAUSE, LONGEST = Limits().failed_origin_pause, Limits().failed_origin_longest_pause


def fetch_and_fail(world: World, reason: Reason) -> TaskId:
    task = world.do(ASK)
    world.do(StartFetch(task=task))
    world.fail(task, reason, "from o")
    return task


def pause(world: World, reason: Reason) -> float:
    """Let the fetch fail; return for how long it is not repeated, having waited for so long."""
    fetch_and_fail(world, reason)
    retry_at = world.last(TaskFailed).retry_at
    if retry_at is None:
        return 0
    seconds, world.now = retry_at - world.now, retry_at
    return seconds


@fault(
    Group.ORIGIN,
    "did not deliver, and another client asks for the same file soon after",
    GoesOn(
        says="",
        does="it is told the same reason at once; the origin is left alone for 5 to 60 s",
    ),
)
def test_a_file_whose_origin_failed_is_not_fetched_again_at_once(seen: Seen) -> None:
    world = World()
    task = fetch_and_fail(world, Reason.ORIGIN_REFUSED)
    for _ in range(1000):
        with pytest.raises(TaskEnded) as told:
            world.do(ASK)
    assert told.value.reason is Reason.ORIGIN_REFUSED
    assert "from o (not asked again for 5 s)" in str(told.value)
    assert world.tracker.next_to_fetch() is None
    world.now += PAUSE
    assert world.do(ASK) == task == world.tracker.next_to_fetch()
    assert (PAUSE, LONGEST) == (5, 60)
    seen(GoesOn(says=""))


def test_the_pause_grows_while_the_origin_keeps_failing() -> None:
    world = World()
    pauses = [pause(world, Reason.ORIGIN_REFUSED) for _ in range(100)]
    assert pauses[:5] == [5, 10, 20, 40, 60]
    assert set(pauses[5:]) == {LONGEST}


def test_the_pause_does_not_grow_for_an_origin_that_is_well() -> None:
    world = World()
    assert [pause(world, Reason.ORIGIN_NOT_FOUND) for _ in range(5)] == [PAUSE] * 5


@pytest.mark.parametrize(
    "reason",
    [each for each in Reason if not each.is_origins_fault]
    + [Reason.ORIGIN_CHANGED, Reason.ORIGIN_AUTH],
)
def test_what_the_next_client_may_do_better_may_be_tried_at_once(reason: Reason) -> None:
    world = World()
    assert pause(world, reason) == 0
    assert world.do(ASK) == world.tracker.next_to_fetch()


def test_a_file_that_has_come_once_begins_with_the_shortest_pause() -> None:
    world = World()
    for _ in range(3):
        pause(world, Reason.ORIGIN_REFUSED)
    task = world.do(ASK)
    world.do(StartFetch(task=task))
    fetch = world.fetch(task)
    world.do(FinishFetch(task=task, generation=fetch, length=0, md5="", sha256=""))
    world.do(RemoveTask(task=task, reason=Reason.TASK_EVICTED))
    assert pause(world, Reason.ORIGIN_REFUSED) == PAUSE


def test_an_operator_who_deletes_the_task_ends_the_pause() -> None:
    world = World()
    task = fetch_and_fail(world, Reason.ORIGIN_REFUSED)
    world.do(RemoveTask(task=task, reason=Reason.TASK_DELETED))
    assert world.do(ASK) == world.tracker.next_to_fetch()


def test_a_preheat_asks_no_sooner_than_a_client() -> None:
    world = World()
    task = fetch_and_fail(world, Reason.ORIGIN_REFUSED)
    preheat = world.do(CreatePreheat(spec=SPEC))
    world.do(StartPreheat(preheat=preheat))
    assert world.tracker.preheat(preheat).status is PreheatStatus.FAILED
    assert world.tracker.preheat(preheat).reason is Reason.ORIGIN_REFUSED
    assert world.tracker.task(task).status is CdnStatus.SOURCE_ERROR
    world.now += PAUSE
    world.do(StartPreheat(preheat=world.do(CreatePreheat(spec=SPEC))))
    assert world.tracker.next_to_fetch() == task


def test_there_may_be_no_pause() -> None:
    world = World(Limits(failed_origin_pause=0))
    fetch_and_fail(world, Reason.ORIGIN_REFUSED)
    assert world.do(ASK) == world.tracker.next_to_fetch()
