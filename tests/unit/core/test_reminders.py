"""A client is told once more of what it is overdue with, when there is nothing else it lacks."""

from supernode.core.commands import Pull, Pulled
from tests.world import Client, number, swarm


def asked(client: Client, *, remind: bool = True) -> Pulled:
    # Not for as many as before: that would be the same question, whose answer got lost.
    pull = Pull(task=client.task, client=client.name, count=5, remind=remind)
    return client.world.do(pull)


def test_of_what_it_is_overdue_with() -> None:
    world, (a,) = swarm("a")
    world.finish(a.task)
    a.take(4)
    assert asked(a) == Pulled(), "it is too early"
    a.has(0)
    world.pass_time(20)
    leases = set(world.tracker._state.leases)
    assert [number(piece) for piece in asked(a).assignments] == [1, 2, 3]
    assert set(world.tracker._state.leases) == leases, "under the same leases"
    assert asked(a, remind=False) == Pulled(), "unless it would not know what to make of it"
    a.has(1, 2, 3)
    assert asked(a).ended


def test_not_while_others_may_still_come() -> None:
    world, (a,) = swarm("a", cached=3)
    a.take(4)
    world.pass_time(20)
    assert asked(a) == Pulled()
