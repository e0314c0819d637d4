"""Who is alive, and what is forgotten when: one test a rule."""

import pytest

from supernode.core.commands import Expire, PieceResult, PullStatus, RemovePeer, SeePeer
from supernode.core.errors import BadField, NotFound, TaskEnded
from supernode.core.events import (
    DownloadSeen,
    PeerExpired,
    PeerFellSilent,
    PeerRegistered,
    PeerSeen,
    TaskRemoved,
)
from supernode.core.identity import PeerId
from supernode.core.model import DownloadStatus, Limits
from supernode.core.reasons import Reason
from supernode.core.transitions.expiry import MOST_AT_ONCE
from tests.world import Client, World, report, status, swarm

LIMITS = Limits()
LONG = LIMITS.peer_ttl + LIMITS.seen_every
"""After so long without a word one is dropped."""
SHORT = LIMITS.seen_every
"""Signs of life within so long count as one."""


def peer_of(client: Client) -> PeerId:
    assert client.download.peer is not None
    return client.download.peer


def knows(world: World, peer: PeerId) -> bool:
    return any(known.id == peer for known in world.tracker.peers())


def test_a_peer_that_says_nothing_for_five_minutes_is_dropped() -> None:
    world = World()
    peer = world.peer("a")
    world.pass_time(LIMITS.peer_ttl)
    assert knows(world, peer)
    world.pass_time(LIMITS.seen_every)
    assert not knows(world, peer)
    assert world.last(PeerExpired).peer == peer
    world.refused(SeePeer(peer=peer), NotFound)


def test_a_peer_that_asks_for_itself_stays() -> None:
    world = World()
    peer = world.peer("a")
    for _ in range(20):
        world.pass_time(60)
        world.do(SeePeer(peer=peer))
    assert knows(world, peer)
    assert world.count(PeerExpired) == 0


def test_a_peer_that_registers_again_stays_and_is_no_other() -> None:
    world = World()
    peer = world.peer("a")
    for _ in range(4):
        world.pass_time(200)
        assert world.peer("a") == peer
    assert world.count(PeerRegistered) == 1


def test_signs_of_life_are_noted_only_now_and_then() -> None:
    world = World()
    peer = world.peer("a")
    for _ in range(100):
        world.now += 1
        world.do(SeePeer(peer=peer))
    assert world.count(PeerSeen) == 3


def test_a_client_that_pulls_keeps_its_download_and_its_peer() -> None:
    world, (a,) = swarm("a", cached=0)
    for _ in range(20):
        world.pass_time(60)
        a.pull()
    assert status(a) is DownloadStatus.RUNNING
    assert knows(world, peer_of(a))
    assert world.count(DownloadSeen) == 20


def test_a_piece_reported_from_a_peer_is_a_sign_of_its_life() -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.has(0)
    world.pass_time(200)
    peer = peer_of(a)
    assert b.take() == [(0, "a")]
    b.has(0)
    world.pass_time(200)
    assert knows(world, peer)


def test_a_peer_that_serves_a_piece_is_not_dropped_meanwhile() -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.has(0)
    peer = peer_of(a)
    world.now += LONG
    b.take()
    world.pass_time(1)
    assert knows(world, peer)


def test_a_silent_peer_is_asked_last() -> None:
    for seed in range(10):
        world, (a, b, c) = swarm("a", "b", "c", cached=1, seed=seed)
        a.has(0)
        world.now += 100
        b.has(0)
        world.pass_time(LIMITS.silent_after - 50)
        assert world.last(PeerFellSilent).peer == peer_of(a)
        assert c.take() == [(0, "b")]


def test_a_silent_peer_is_asked_when_there_is_no_other() -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.has(0)
    world.pass_time(LIMITS.silent_after)
    assert b.take() == [(0, "a")]


def test_a_silent_peer_that_calls_is_as_good_as_any() -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.has(0)
    world.pass_time(LIMITS.silent_after)
    world.do(SeePeer(peer=peer_of(a)))
    assert not world.tracker.peer(peer_of(a)).silent
    world.tracker.check()
    assert b.take() == [(0, "a")]


def test_a_download_whose_client_is_silent_ends_and_is_forgotten_later() -> None:
    world, (a,) = swarm("a", cached=0)
    world.pass_time(LONG)
    assert status(a) is DownloadStatus.FAILED
    assert a.download.reason is Reason.CLIENT_SILENT
    world.pass_time(LONG)
    with pytest.raises(NotFound):
        a.pull()


def test_a_client_that_was_silent_goes_on_where_it_was() -> None:
    world, (a, b) = swarm("a", "b", cached=2)
    a.has(0)
    world.pass_time(LONG)
    assert status(a) is DownloadStatus.FAILED
    assert a.take(4) == [(1, "seed")]
    assert (status(a), a.download.reason) == (DownloadStatus.RUNNING, None)
    world.pass_time(1)
    assert status(a) is DownloadStatus.RUNNING
    b.pull(status=PullStatus.FINISHED)
    assert status(b) is DownloadStatus.FAILED, "one that says that it ends does not go on"


def test_a_client_that_was_silent_and_talks_nonsense_is_as_it_was() -> None:
    world, (a,) = swarm("a", cached=1)
    world.pass_time(LONG)
    with pytest.raises(BadField):
        a.pull(1, report(3, PieceResult.SUCCESS))
    assert status(a) is DownloadStatus.FAILED


def test_a_client_that_was_silent_while_the_rest_came_has_done() -> None:
    world, (a,) = swarm("a")
    a.has(0, 1, 2, 3)
    world.pass_time(LONG)
    assert status(a) is DownloadStatus.FAILED
    world.finish(a.task)
    assert a.pull().ended
    assert status(a) is DownloadStatus.SUCCESS


def test_a_client_that_was_silent_while_its_file_failed_does_not_go_on() -> None:
    world, (a,) = swarm("a")
    world.pass_time(LONG)
    world.fail(a.task, Reason.ORIGIN_STATUS)
    with pytest.raises(TaskEnded) as ended:
        a.pull()
    assert ended.value.reason is Reason.CLIENT_SILENT


def test_a_download_that_ended_is_known_as_long_as_its_peer_offers_it() -> None:
    world, (a,) = swarm("a")
    a.has(0, 1, 2, 3)
    world.finish(a.task)
    for _ in range(20):
        world.pass_time(60)
        world.do(SeePeer(peer=peer_of(a)))
    assert status(a) is DownloadStatus.SUCCESS
    world.do(RemovePeer(peer=peer_of(a)))
    world.pass_time(LONG)
    with pytest.raises(KeyError):
        _ = a.download


def test_a_failed_task_is_forgotten_after_its_clients() -> None:
    world, (a,) = swarm("a")
    world.fail(a.task, Reason.ORIGIN_STATUS, "500")
    world.pass_time(LIMITS.failed_task_ttl)
    assert world.tracker.task(a.task).reason is Reason.ORIGIN_STATUS, "a client is still there"
    world.pass_time(LONG)
    world.pass_time(1)
    assert world.last(TaskRemoved).reason is Reason.TASK_EXPIRED
    with pytest.raises(NotFound) as gone:
        world.tracker.task(a.task)
    assert gone.value.reason is Reason.TASK_EXPIRED


def test_a_file_that_is_there_stays_when_everybody_has_gone() -> None:
    world, (a,) = swarm("a")
    a.has(0, 1, 2, 3)
    world.finish(a.task)
    world.pass_time(10 * LONG)
    world.pass_time(LONG)
    assert world.tracker.task(a.task).swarm.known
    assert not world.tracker.task(a.task).downloads


def test_a_client_that_fetches_a_piece_is_not_dropped_meanwhile() -> None:
    """Neither is its peer: a piece may take longer than silence is borne."""
    limits = Limits(peer_ttl=20.0, silent_after=10.0, seen_every=2.0)
    world, (a,) = swarm("a", cached=1, peer_ttl=20.0, silent_after=10.0, seen_every=2.0)
    a.take()
    world.pass_time(limits.peer_ttl + limits.seen_every + 1)
    assert status(a) is DownloadStatus.RUNNING
    assert knows(world, peer_of(a))


def test_a_client_that_calls_makes_its_peer_heard_at_once() -> None:
    world, (a,) = swarm("a", cached=0, silent_after=10.0)
    world.pass_time(10.0)
    assert world.tracker.peer(peer_of(a)).silent
    a.pull()
    assert not world.tracker.peer(peer_of(a)).silent


def test_a_silent_peer_that_asks_for_itself_is_heard_at_once() -> None:
    world = World(Limits(silent_after=10.0))
    peer = world.peer("a")
    world.pass_time(10.0)
    world.do(SeePeer(peer=peer))
    assert not world.tracker.peer(peer).silent


def test_a_download_that_failed_without_a_piece_is_forgotten_though_its_peer_lives() -> None:
    world, (a,) = swarm("a", cached=0)
    a.leave()
    peer = world.peer("a")
    for _ in range(10):
        world.pass_time(60)
        world.do(SeePeer(peer=peer))
    assert not world.tracker.task(a.task).downloads


def test_what_is_over_goes_in_small_steps() -> None:
    world = World()
    for n in range(3 * MOST_AT_ONCE):
        world.peer(f"p{n}")
    world.now += LONG
    steps = 1
    while world.do(Expire()):
        steps += 1
    assert steps >= 6, "each peer falls silent and expires"
    assert not world.tracker.peers()
