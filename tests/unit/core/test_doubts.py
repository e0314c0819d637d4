"""An idle file is compared with its origin's before it is handed out again."""

from supernode.core.commands import (
    ConfirmTask,
    CreatePreheat,
    PauseTask,
    RegisterTask,
    RenewTask,
    SizeTask,
    StartFetch,
    StartPreheat,
)
from supernode.core.errors import TaskConflict
from supernode.core.events import TaskDoubted
from supernode.core.identity import ClientId, TaskId
from supernode.core.model import CdnStatus, Limits, Secrets, TaskSpec
from supernode.core.pieces import MIB
from tests.world import Client, World

MEANS = Secrets({"Authorization": "s3cr3t"})


def complete(limits: Limits | None = None) -> tuple[World, Client]:
    """A file that is complete, and a client that has it and offers it."""
    world = World(limits or Limits())
    a = world.client("a")
    world.cache(a.task, 0, 1, 2, 3)
    world.finish(a.task)
    a.has(0, 1, 2, 3)
    return world, a


def asked_again(world: World, name: str = "b") -> Client:
    spec = TaskSpec(raw_url="http://o/x", task_url="http://o/x", headers=MEANS)
    task = world.do(RegisterTask(spec=spec, client=ClientId(name), peer=None, path=""))
    return Client(world, task, ClientId(name))


def generation(world: World, task: TaskId) -> int:
    return world.tracker.task(task).generation


def test_for_a_minute_a_file_is_what_its_origin_has() -> None:
    world, _ = complete()
    world.now += 59
    b = asked_again(world)
    assert not world.tracker.doubted_tasks()
    assert b.take()


def test_then_its_origin_is_asked_before_anything_is_handed_out() -> None:
    world, _ = complete()
    world.now += 60
    b = asked_again(world)
    (task,) = world.tracker.doubted_tasks()
    assert task.spec.headers == MEANS, "with what the one who asks has"
    assert not b.take()
    world.do(ConfirmTask(task=task.id, generation=task.generation))
    assert b.take()
    assert not world.tracker.task(b.task).spec.headers.reveal()["Authorization"]


def test_once_a_minute() -> None:
    world, _ = complete()
    world.now += 60
    b = asked_again(world)
    world.do(ConfirmTask(task=b.task, generation=generation(world, b.task)))
    b.leave()
    world.now += 59
    asked_again(world, "c")
    assert not world.tracker.doubted_tasks()


def test_one_that_is_being_downloaded_is_not_doubted() -> None:
    world, _ = complete()
    world.client("b", peer=False)
    world.now += 120
    asked_again(world, "c")
    assert not world.tracker.doubted_tasks()


def test_one_that_is_asked_for_by_its_digest_is_not_doubted() -> None:
    world = World()
    spec = TaskSpec(raw_url="http://o/x", task_url="http://o/x", md5="1" * 32)
    task = world.do(RegisterTask(spec=spec, client=ClientId("a"), peer=None, path=""))
    world.cache(task, 0, 1, 2, 3)
    world.finish(task)
    Client(world, task, ClientId("a")).leave()
    world.now += 120
    world.do(RegisterTask(spec=spec, client=ClientId("b"), peer=None, path=""))
    assert not world.tracker.doubted_tasks()


def test_another_file_is_fetched_for_who_waits_and_the_old_one_offered_no_more() -> None:
    world, a = complete()
    before = generation(world, a.task)
    world.now += 60
    b = asked_again(world)
    world.do(PauseTask(task=a.task, paused=True))
    world.do(RenewTask(task=a.task, generation=before))
    task = world.tracker.task(a.task)
    assert task.status is CdnStatus.WAITING
    assert task.generation > before
    assert task.paused
    assert task.spec.headers == MEANS
    assert list(task.downloads) == [ClientId("b")]
    world.do(PauseTask(task=a.task, paused=False))
    world.cache(a.task, 0, 1, 2, 3)
    world.finish(a.task)
    assert {holder for _, holder in b.take()} == {"seed"}


def test_another_file_is_cut_as_who_waits_has_been_told() -> None:
    world, a = complete()
    world.now += 60
    asked_again(world)
    world.do(RenewTask(task=a.task, generation=generation(world, a.task)))
    world.do(StartFetch(task=a.task))
    fetch = generation(world, a.task)
    assert world.do(SizeTask(task=a.task, generation=fetch, length=900 * MIB)) == 4 * MIB


def test_what_was_asked_of_an_earlier_generation_counts_no_more() -> None:
    world, a = complete()
    world.now += 60
    asked_again(world)
    before = generation(world, a.task)
    world.refused(ConfirmTask(task=a.task, generation=before - 1), TaskConflict)
    world.do(RenewTask(task=a.task, generation=before))
    world.refused(RenewTask(task=a.task, generation=before), TaskConflict)
    world.refused(ConfirmTask(task=a.task, generation=before + 1), TaskConflict)


def test_a_preheat_doubts_too() -> None:
    world, a = complete()
    world.now += 60
    spec = TaskSpec(raw_url="http://o/x", task_url="http://o/x")
    world.do(StartPreheat(preheat=world.do(CreatePreheat(spec=spec))))
    assert [task.id for task in world.tracker.doubted_tasks()] == [a.task]


def test_there_is_no_room_to_doubt() -> None:
    world, a = complete(Limits(most_spec_bytes=3))
    world.now += 60
    assert asked_again(world).task == a.task
    assert not world.tracker.doubted_tasks()


def test_credentials_do_not_get_into_the_feed() -> None:
    world, _ = complete()
    world.now += 60
    asked_again(world)
    (event,) = [e for e in world.events if isinstance(e, TaskDoubted)]
    assert not any(event.to_keep().spec.headers.reveal().values())
