"""What is counted of who gives how much to whom, and how fast."""

import pytest

from supernode.api.traffic import Amounts, Meter, Ring, Traffic
from supernode.core.commands import PieceResult, RemovePeer, RemoveTask, Seed
from supernode.core.identity import PeerId, TaskId
from supernode.core.model import Limits
from supernode.core.pieces import content_size
from supernode.core.reasons import Reason
from supernode.feed import Published
from tests.world import SIZE, Client, World

PIECE = content_size(SIZE)


class Watched:
    """A world whose events are counted."""

    def __init__(self) -> None:
        self.world = World(Limits(seed_slots=1))
        self.traffic = Traffic()
        self._told = 0

    def tell(self) -> Traffic:
        """Tell what has happened since the last time."""
        for event in self.world.events[self._told :]:
            self.traffic.note(Published(0, event))
        self._told = len(self.world.events)
        return self.traffic

    def give(self, client: Client, seconds: float) -> tuple[int, str]:
        """Let a client take a piece, which takes so long; return which, and from whom."""
        ((piece, holder),) = client.take()
        self.world.now += seconds
        named = self.peer(holder) if holder != "seed" else Seed.SEED
        client.say(piece, PieceResult.SUCCESS, named)
        return piece, holder

    def peer(self, name: str) -> PeerId:
        return PeerId(f"{name}-10.0.0.1-15001")


def waves(watched: Watched, task: TaskId) -> tuple[Amounts, int]:
    wave = watched.tell().wave(task)
    assert wave
    return wave.came, wave.clients


def test_bytes_by_where_they_came_from() -> None:
    watched = Watched()
    world = watched.world
    first, second = world.client("1"), world.client("2")
    world.cache(first.task, 0, total=1)
    assert watched.give(first, 2) == (0, "seed")
    assert watched.give(second, 1) == (0, "1")
    traffic = watched.tell()
    assert traffic.total == Amounts(origin=PIECE, seed=PIECE, peers=PIECE)
    given = traffic.given(watched.peer("1"))
    assert given
    assert (given.bytes, given.pieces, given.failed) == (PIECE, 1, 0)
    now, seconds = traffic.history.seconds(world.now)
    assert now == int(world.now)
    assert [amounts for amounts in seconds if any(amounts)] == [
        Amounts(origin=PIECE),
        Amounts(seed=PIECE),
        Amounts(peers=PIECE),
    ]


def test_rates_are_those_while_busy() -> None:
    watched = Watched()
    world = watched.world
    client = world.client("1")
    world.cache(client.task, 0, 1, total=2)
    watched.give(client, 2)
    world.now += 100  # nothing is under way
    watched.give(client, 2)
    wave = watched.tell().wave(client.task)
    assert wave
    assert wave.rates(world.now).seed == pytest.approx(PIECE / 2)
    assert wave.rates(world.now).fastest == pytest.approx(PIECE / 2)


def test_a_slow_beginning_does_not_hide_what_a_link_can_do() -> None:
    meter = Meter()
    meter.begin(0)
    meter.count(100, 60)
    for second in range(1, 11):
        meter.count(100, 60 + second)
    assert meter.rate(70) == pytest.approx(100)


def test_a_wave_ends_with_its_last_client_and_the_next_begins_at_nothing() -> None:
    watched = Watched()
    world = watched.world
    client = world.client("1")
    world.cache(client.task, 0, total=1)
    world.finish(client.task, total=1)
    watched.give(client, 2)
    client.pull()  # which tells it that it has everything
    assert waves(watched, client.task) == (Amounts(origin=PIECE, seed=PIECE), 1)
    wave = watched.traffic.wave(client.task)
    assert wave
    assert wave.ended == world.now
    rates = wave.rates(world.now)
    assert wave.rates(world.now + 100) == rates
    world.client("2")
    assert waves(watched, client.task) == (Amounts(), 1)


def test_who_fails_does_not_count_and_is_forgotten() -> None:
    watched = Watched()
    world = watched.world
    one, other = world.client("1"), world.client("2")
    world.cache(one.task, 0)
    other.leave()
    assert waves(watched, one.task)[1] == 1
    peer = watched.peer("1")
    watched.give(one, 1)
    two = world.client("3")
    ((piece, _),) = two.take()
    two.say(piece, PieceResult.FAILED, peer)
    given = watched.tell().given(peer)
    assert given
    assert (given.pieces, given.failed) == (0, 1)
    world.do(RemovePeer(peer=peer))
    world.do(RemoveTask(task=one.task, reason=Reason.TASK_DELETED))
    assert watched.tell().given(peer) is None
    assert watched.traffic.wave(one.task) is None


def test_a_piece_under_way_counts_half() -> None:
    meter = Meter()
    meter.begin(0)
    assert meter.rate(1) is None
    meter.count(100, 1)
    meter.end(1)
    meter.begin(1)
    assert meter.rate(2) == pytest.approx(75)
    meter.end(2)
    meter.end(12)  # told twice: by its deadline, and by the report
    assert not meter.is_busy
    assert meter.rate(12) == pytest.approx(50)


def test_what_is_old_goes() -> None:
    ring = Ring(3)
    ring.add(10.0, Amounts(seed=1))
    ring.add(11.9, Amounts(seed=2))
    assert ring.seconds(12.0) == (12, [Amounts(seed=1), Amounts(seed=2), Amounts()])
    assert ring.seconds(1e9)[1] == [Amounts()] * 3
