"""Whose turn it is to be fetched."""

from supernode.core.commands import PauseTask, RemoveTask, StartFetch
from supernode.core.identity import TaskId
from supernode.core.reasons import Reason
from tests.world import World


def ask(world: World, url: str) -> TaskId:
    return world.client(url, peer=False, url=url).task


def fetched_in_turn(world: World) -> list[TaskId]:
    """Begin every fetch; return the tasks in the order of that."""
    begun = []
    while task := world.tracker.next_to_fetch():
        world.do(StartFetch(task=task))
        begun.append(task)
    return begun


def test_files_of_one_origin_come_in_the_order_they_were_asked_for() -> None:
    world = World()
    tasks = [ask(world, f"http://o/{n}") for n in range(5)]
    assert fetched_in_turn(world) == tasks


def test_origins_take_turns() -> None:
    world = World()
    many = [ask(world, f"http://busy/{n}") for n in range(3)]
    one = ask(world, "http://other/")
    assert fetched_in_turn(world) == [many[0], one, *many[1:]]


def test_an_origin_that_may_not_be_asked_is_looked_at_once_however_many_of_its_files_wait() -> None:
    world = World()
    for n in range(100):
        ask(world, f"http://busy/{n}")
    other = ask(world, "https://u:p@other:8443/f")
    looked_at = []

    def may_begin(origin: str) -> bool:
        looked_at.append(origin)
        return not origin.startswith("busy")

    assert world.tracker.next_to_fetch(may_begin) == other
    assert looked_at == ["busy:80", "other:8443"]


def test_what_is_paused_or_removed_is_not_fetched_and_what_is_resumed_is() -> None:
    world = World()
    paused, removed, resumed, last = (ask(world, f"http://o/{n}") for n in range(4))
    world.do(PauseTask(task=paused, paused=True))
    world.do(RemoveTask(task=removed, reason=Reason.TASK_DELETED))
    world.do(PauseTask(task=resumed, paused=True))
    world.do(PauseTask(task=resumed, paused=False))
    assert fetched_in_turn(world) == [last, resumed]
