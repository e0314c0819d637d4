"""How a file is cut can be settled before its origin has answered, and never changes then."""

import pytest

from supernode.core.commands import CutTask, SizeTask, StartFetch
from supernode.core.errors import NotFound, TaskEnded
from supernode.core.events import TaskSized
from supernode.core.identity import TaskId
from supernode.core.pieces import MIB
from supernode.core.reasons import Reason
from tests.world import World

LARGE = 900 * MIB
"""Of which the pieces would be 11 MiB."""


def test_the_cut_is_settled_as_for_a_file_of_unknown_length() -> None:
    world = World()
    task = world.client("a").task
    assert world.do(CutTask(task=task)) == 4 * MIB
    assert world.tracker.task(task).length is None


@pytest.mark.parametrize("fetch_has_begun", [False, True])
def test_the_origins_answer_changes_it_no_more(fetch_has_begun: bool) -> None:
    world = World()
    task = world.client("a").task
    if fetch_has_begun:
        world.do(StartFetch(task=task))
    world.do(CutTask(task=task))
    if not fetch_has_begun:
        world.do(StartFetch(task=task))
    size = world.do(SizeTask(task=task, generation=world.fetch(task), length=LARGE))
    assert size == 4 * MIB
    assert world.tracker.task(task).length == LARGE


def test_what_the_origin_has_said_stands() -> None:
    world = World()
    task = world.client("a").task
    world.do(StartFetch(task=task))
    world.do(SizeTask(task=task, generation=world.fetch(task), length=LARGE))
    assert world.do(CutTask(task=task)) == 11 * MIB
    assert world.count(TaskSized) == 1
    assert world.tracker.task(task).length == LARGE


def test_a_file_that_came_is_not_cut_again() -> None:
    world = World()
    a = world.client("a")
    world.cache(a.task, 0, 1, 2, 3)
    world.finish(a.task)
    assert world.do(CutTask(task=a.task)) == 4 * MIB
    assert world.count(TaskSized) == 1


def test_what_failed_is_not_cut() -> None:
    world = World()
    a = world.client("a")
    world.do(StartFetch(task=a.task))
    world.fail(a.task, Reason.ORIGIN_NOT_FOUND)
    world.refused(CutTask(task=a.task), TaskEnded)
    world.refused(CutTask(task=TaskId("0" * 64)), NotFound)
