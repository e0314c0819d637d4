"""The supernode's copy of a file is damaged beyond repair: it is fetched once more."""

from supernode.core.commands import (
    FinishFetch,
    LosePieces,
    PauseTask,
    RegisterTask,
    ReopenTask,
    StartFetch,
)
from supernode.core.errors import TaskConflict
from supernode.core.identity import ClientId, TaskId
from supernode.core.model import CdnStatus, DownloadStatus, Secrets, TaskSpec
from supernode.core.reasons import Reason
from tests.world import SIZE, Client, World, status, swarm


def complete() -> tuple[World, Client, Client]:
    """A file that is complete; a client that has two of its pieces, one that has all."""
    world, (a, b) = swarm("a", "b")
    world.finish(a.task)
    a.has(0, 1)
    b.has(0, 1, 2, 3)
    return world, a, b


def lose(world: World, task: TaskId, *pieces: int) -> None:
    lost, generation = sum(1 << piece for piece in pieces), world.fetch(task)
    world.do(LosePieces(task=task, generation=generation, pieces=lost))


def reopen(world: World, task: TaskId) -> None:
    world.do(ReopenTask(task=task, generation=world.fetch(task)))


def test_it_waits_for_its_fetch_and_its_clients_go_on() -> None:
    world, a, b = complete()
    lose(world, a.task, 2)
    reopen(world, a.task)
    assert world.tracker.next_to_fetch() == a.task
    assert (status(a), status(b)) == (DownloadStatus.RUNNING, DownloadStatus.SUCCESS)
    assert a.download.have == 0b0011
    assert a.take(4) == [(2, "b"), (3, "b")], "what peers have is good"
    a.has(2, 3)
    assert status(a) is DownloadStatus.RUNNING, "until it is known that the file is right"
    generation = world.fetch(a.task)
    world.cache(a.task, 2)
    world.finish(a.task)
    assert world.fetch(a.task) == generation, "it is the same file"
    assert status(a) is DownloadStatus.SUCCESS


def test_it_is_not_complete_before_what_was_lost_has_come() -> None:
    world, a, _ = complete()
    lose(world, a.task, 2)
    reopen(world, a.task)
    world.do(StartFetch(task=a.task))
    finish = FinishFetch(
        task=a.task, generation=world.fetch(a.task), length=4 * (SIZE - 5), md5="", sha256=""
    )
    world.refused(finish, TaskConflict)


def test_an_origin_that_has_another_file_by_now_ends_it() -> None:
    world, a, _ = complete()
    reopen(world, a.task)
    world.do(StartFetch(task=a.task))
    world.fail(a.task, Reason.ORIGIN_CHANGED)
    assert status(a) is DownloadStatus.FAILED


def test_a_paused_one_waits_until_it_is_resumed() -> None:
    world, a, _ = complete()
    world.do(PauseTask(task=a.task, paused=True))
    reopen(world, a.task)
    assert world.tracker.next_to_fetch() is None
    world.do(PauseTask(task=a.task, paused=False))
    assert world.tracker.next_to_fetch() == a.task


def test_what_is_being_fetched_cannot_be_reopened() -> None:
    world, (a,) = swarm("a")
    world.refused(ReopenTask(task=a.task, generation=world.fetch(a.task)), TaskConflict)
    world.finish(a.task)
    world.refused(ReopenTask(task=a.task, generation=world.fetch(a.task) - 1), TaskConflict)
    reopen(world, a.task)
    world.refused(ReopenTask(task=a.task, generation=world.fetch(a.task)), TaskConflict)


def test_a_part_of_a_file_cannot_be_reopened_for_which_is_forgotten() -> None:
    world = World()
    spec = TaskSpec(raw_url="http://o/x", task_url="http://o/x", headers=Secrets({"range": "b=0-"}))
    task = world.do(RegisterTask(spec=spec, client=ClientId("a"), peer=None, path=""))
    world.cache(task, 0, 1, 2, 3)
    world.finish(task)
    world.refused(ReopenTask(task=task, generation=world.fetch(task)), TaskConflict)
    assert world.tracker.task(task).status is CdnStatus.SUCCESS
