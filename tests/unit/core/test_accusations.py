"""Accused, looked into, cleared or quarantined: one liar takes nobody out, a bad peer goes."""

from collections.abc import Iterable

import pytest

from supernode.core.commands import (
    Inspection,
    JudgePeer,
    PieceResult,
    RemovePeer,
    RemoveTask,
    TakeAccusation,
)
from supernode.core.errors import NotFound
from supernode.core.events import (
    LeaseReleased,
    PeerAccused,
    PeerCleared,
    PeerQuarantined,
    PeerReleased,
    PeerWarned,
    PieceAssigned,
)
from supernode.core.identity import PeerId
from supernode.core.model import Finding, Limits, Peer
from supernode.core.reasons import Reason
from tests.world import Client, World, number, swarm

FAILED, SUCCESS = PieceResult.FAILED, PieceResult.SUCCESS
LIMITS = Limits()
FOR_EVER = 1e9


def known(client: Client) -> Peer:
    """Return the peer with a client's name."""
    return peer_of(client.world, str(client.name))


def peer_of(world: World, name: str) -> Peer:
    return world.tracker.peer(PeerId(f"{name}-10.0.0.1-15001"))


def accuse(client: Client, *accused: Client) -> None:
    """Have a client be sent to one of these and say that it failed there."""
    names = {each.name for each in accused}
    client.take(4)
    leases = client.download.leases.values()
    client.say(next(lease.piece for lease in leases if lease.holder in names), FAILED)


def look(world: World) -> Inspection:
    inspection = world.do(TakeAccusation())
    assert inspection is not None
    return inspection


def judge(world: World, finding: Finding, inspection: Inspection | None = None) -> None:
    """Let this be found of an accused peer: the next one, unless it is said which."""
    world.do(JudgePeer(inspection=inspection or look(world), finding=finding, seen="seen"))


def accused(world: World) -> list[str]:
    return [peer.partition("-")[0] for peer in world.tracker._state.accused]


def offered(client: Client, count: int = 4) -> set[str]:
    """Return who a new client of the same file is sent to."""
    world = client.world
    newcomer = world.client(f"n{world.count(PieceAssigned)}", peer=False)
    holders = {holder for _, holder in newcomer.take(count)}
    newcomer.leave()
    return holders


def another_file_of(client: Client) -> tuple[Client, Client]:
    """Let a client's peer have another file, too; return its download and somebody else's."""
    world = client.world
    offer = world.client(f"{client.name}2", of=str(client.name), url="http://o/y")
    world.cache(offer.task, 0, 1, 2, 3)
    return offer.has(0, 1, 2, 3), world.client("y", url="http://o/y")


def holding(*names: str, by: Iterable[str] = ("a",), **limits: float) -> tuple[World, list[Client]]:
    """Return a swarm in which some have every piece."""
    world, clients = swarm(*names, cached=4, seed=0, **limits)
    for client in clients:
        if client.name in by:
            client.has(0, 1, 2, 3)
    return world, clients


# an accusation


def test_a_word_alone_takes_nobody_out() -> None:
    world, (a, *liars) = holding("a", *(f"l{n}" for n in range(20)))
    for liar in liars:
        for piece, source in liar.take(4):
            if source == "a":
                liar.say(piece, FAILED)
    assert not known(a).quarantined
    assert offered(a) == {"a"}
    assert accused(world) == ["a"]


def test_what_is_to_be_asked_of_whom() -> None:
    world, (_, b) = holding("a", "b")
    (assignment,) = b.pull().assignments
    b.say(piece := number(assignment), FAILED)
    inspection = look(world)
    assert inspection.holder == assignment.holder
    assert inspection.piece_range == assignment.piece_range
    assert inspection.digest == assignment.digest
    assert inspection.accusation.piece == piece
    assert world.do(TakeAccusation()) is None


def test_the_seed_is_not_accused() -> None:
    world, (a,) = swarm("a")
    ((piece, source),) = a.take()
    a.say(piece, FAILED)
    assert (source, world.count(PeerAccused)) == ("seed", 0)


# it was right


def test_who_accuses_the_innocent_is_not_listened_to_for_a_while() -> None:
    world, (a, b, liar) = holding("a", "b", "liar", by="ab", avoid_peer=0)
    accuse(liar, a, b)
    judge(world, Finding.RIGHT)
    assert offered(a) == {"a", "b"}
    for _ in range(4):
        accuse(liar, a, b)
    assert accused(world) == []
    assert known(a).failures == known(b).failures == 0, "nor does it push them to the end"
    world.pass_time(LIMITS.distrust)
    accuse(liar, a, b)
    assert len(accused(world)) == 1


def test_the_more_often_the_longer() -> None:
    world, (a, liar) = holding("a", "liar", avoid_peer=0, peer_ttl=FOR_EVER)
    for times in range(4):
        accuse(liar, a)
        judge(world, Finding.RIGHT)
        cleared = world.last(PeerCleared)
        assert cleared.distrusted_until == world.now + LIMITS.distrust * 2**times
        world.pass_time(LIMITS.distrust * 2**times)
    world.pass_time(1.5 * LIMITS.strike_ttl)
    accuse(liar, a)
    judge(world, Finding.RIGHT)
    assert world.last(PeerCleared).false_accusations == 4, "one has been forgiven"


def test_beginning_anew_does_not_make_it_believed() -> None:
    world, (a, liar) = holding("a", "liar", avoid_peer=0)
    accuse(liar, a)
    judge(world, Finding.RIGHT)
    again = world.client("liar")
    accuse(again, a)
    assert accused(world) == []


def test_a_word_that_was_true_is_remembered_as_well() -> None:
    world, (a, b, client) = holding("a", "b", "c", by="ab", avoid_peer=0)
    accuse(client, a, b)
    first = look(world)
    accuse(client, a, b)
    second = look(world)
    judge(world, Finding.RIGHT, first)
    assert client.download.false_accusations == 1
    judge(world, Finding.WRONG, second)
    assert client.download.false_accusations == 0


def test_what_else_a_false_accuser_said_is_dropped() -> None:
    names = [f"p{n}" for n in range(6)]
    world, (*peers, liar, honest) = holding(*names, "liar", "honest", by=names, avoid_peer=0)
    for _ in range(4):
        accuse(liar, *peers)
    assert len(accused(world)) > 1
    accuse(honest, *(peer for peer in peers if peer.name not in accused(world)))
    judge(world, Finding.RIGHT)
    assert len(accused(world)) == 1
    assert look(world).accusation.client == "honest"


# it was wrong


def test_wrong_bytes_take_it_out_everywhere() -> None:
    world, (a, b) = holding("a", "b")
    _, newcomer = another_file_of(a)
    accuse(b, a)
    inspection = look(world)
    judge(world, Finding.WRONG, inspection)
    found = world.last(PeerQuarantined)
    assert (found.peer, found.task) == (known(a).id, a.task)
    assert found.piece == inspection.accusation.piece
    assert (found.expected, found.seen, found.finding) == (inspection.digest, "seen", Finding.WRONG)
    assert (found.at, found.until) == (world.now, world.now + LIMITS.quarantine)
    for value in (found.expected, "seen", a.task):
        assert value in known(a).evidence
    assert offered(b) == {"seed"}
    assert {holder for _, holder in newcomer.take(4)} == {"seed"}


def test_it_may_still_download() -> None:
    world, (a, b) = holding("a", "b", by="b")
    accuse(a, b)
    judge(world, Finding.WRONG)
    world.finish(a.task)
    again = world.client("b2", of="b")
    for piece, _ in again.take(4):
        again.say(piece, SUCCESS)
    assert again.download.have == 0b1111
    assert offered(a) == {"seed"}


def test_the_supernode_gives_what_only_the_quarantined_have() -> None:
    world, (a, b, c) = holding("a", "b", "c", by="a", seed_slots=40)
    accuse(b, a)
    busy = [world.client(f"s{n}", peer=False) for n in range(2)]
    judge(world, Finding.WRONG)
    assert all(client.take(1)[0][1] == "seed" for client in busy)
    # Busy as it is, it would not repeat what others have.
    assert sorted(c.take(4)) == [(piece, "seed") for piece in range(4)]


def test_open_leases_on_it_end_well_or_not_without_harm() -> None:
    world, (a, b, c, d) = holding("a", "b", "c", "d", avoid_peer=0)
    ((piece, _),) = c.take()
    ((other, _),) = d.take()
    accuse(b, a)
    judge(world, Finding.WRONG)
    assert world.last(LeaseReleased).reason is Reason.PEER_WRONG
    c.say(piece, FAILED, known(a).id)
    d.say(other, SUCCESS, known(a).id)
    assert d.download.have == 1 << other
    assert accused(world) == []


def test_after_its_time_it_is_offered_again_but_not_with_what_was_wrong() -> None:
    world, (a, b) = holding("a", "b")
    _, newcomer = another_file_of(a)
    accuse(b, a)
    judge(world, Finding.WRONG)
    world.pass_time(LIMITS.quarantine)
    assert world.last(PeerReleased).peer == known(a).id
    assert offered(b) == {"seed"}
    assert {holder for _, holder in newcomer.take(4)} == {"a"}


def test_what_it_gets_meanwhile_is_offered_afterwards() -> None:
    world, (a, b) = holding("a", "b")
    accuse(b, a)
    mine = world.client("a2", of="a", url="http://o/y")
    world.cache(mine.task, 0, 1, 2, 3)
    mine.has(0)
    judge(world, Finding.WRONG)
    mine.has(1)
    ((third, _),) = mine.take()
    world.pass_time(LIMITS.quarantine)
    mine.say(third, SUCCESS)
    newcomer = world.client("c", url="http://o/y")
    assert {piece for piece, source in newcomer.take(4) if source == "a"} == {0, 1, third}


def struck_again(world: World, bad: Client, finding: Finding) -> PeerQuarantined:
    """Let a peer offer a file once more and be found out once more."""
    again = world.client(str(bad.name))
    again.has(0, 1, 2, 3)
    victim = world.client(f"v{world.count(PeerQuarantined)}", peer=False)
    accuse(victim, again)
    judge(world, finding)
    return world.last(PeerQuarantined)


def test_each_strike_doubles_the_time_up_to_a_limit() -> None:
    world, (a, b) = holding("a", "b", peer_ttl=FOR_EVER)
    accuse(b, a)
    judge(world, Finding.WRONG)
    for strike in range(3, 12):
        world.pass_time(known(a).quarantined_until - world.now)
        found = struck_again(world, a, Finding.MISSING)
        assert found.strikes == min(strike, LIMITS.most_strikes)
        assert found.until - world.now == LIMITS.quarantine * 2 ** (found.strikes - 2)
    assert found.until - world.now < 2 * 3600


def test_strikes_are_forgiven_with_time() -> None:
    world, (a, b) = holding("a", "b", peer_ttl=FOR_EVER)
    accuse(b, a)
    judge(world, Finding.WRONG)
    assert struck_again_after(world, a, 0.0) == 3
    assert struck_again_after(world, a, LIMITS.strike_ttl) == 3
    assert struck_again_after(world, a, 2 * LIMITS.strike_ttl) == 2


def struck_again_after(world: World, bad: Client, seconds: float) -> int:
    """Let so much time pass since the last quarantine; return how many strikes it has then."""
    world.pass_time(known(bad).quarantined_until - world.now + seconds)
    return struck_again(world, bad, Finding.WRONG).strikes


def test_leaving_does_not_wash_it_clean() -> None:
    world, (a, b) = holding("a", "b")
    accuse(b, a)
    judge(world, Finding.WRONG)
    peer, until = known(a).id, known(a).quarantined_until
    unfinished = world.client("a2", of="a", url="http://o/y")
    world.cache(unfinished.task, 0, 1, 2, 3)
    unfinished.has(0).take(2)
    world.do(RemovePeer(peer=peer))
    world.client("a").has(0, 1, 2, 3)
    assert known(a).quarantined
    assert known(a).quarantined_until == until
    assert offered(b) == {"seed"}
    world.do(RemovePeer(peer=peer))
    world.pass_time(LIMITS.quarantine)
    again = world.client("a").has(0, 1, 2, 3)
    assert offered(b) == {"a"}
    accuse(b, again)
    judge(world, Finding.MISSING)
    assert known(a).strikes == 3


# it says that it has not got it, or says nothing


def test_what_is_missing_is_offered_no_longer_and_that_is_all() -> None:
    world, (a, b) = holding("a", "b")
    _, newcomer = another_file_of(a)
    accuse(b, a)
    judge(world, Finding.MISSING)
    assert world.last(PeerWarned).strikes == 1
    assert offered(b) == {"seed"}
    assert {holder for _, holder in newcomer.take(4)} == {"a"}


def test_who_offers_what_he_has_not_twice_is_quarantined() -> None:
    world, (a, b) = holding("a", "b")
    accuse(b, a)
    judge(world, Finding.MISSING)
    assert struck_again(world, a, Finding.MISSING).until == world.now + LIMITS.quarantine


def test_one_that_does_not_answer_is_quarantined_the_second_time() -> None:
    world, (a, b) = holding("a", "b", avoid_peer=0)
    accuse(b, a)
    judge(world, Finding.NO_ANSWER)
    assert known(a).strikes == 1
    assert "a" in offered(b), "it may come back"
    accuse(b, a)
    judge(world, Finding.NO_ANSWER)
    assert known(a).quarantined


def test_one_that_answers_others_is_not_to_blame_for_not_answering_us() -> None:
    world, (a, b, c) = holding("a", "b", "c", avoid_peer=0)
    for _ in range(3):
        accuse(b, a)
        inspection = look(world)
        ((piece, _),) = c.take()
        c.say(piece, SUCCESS)
        judge(world, Finding.NO_ANSWER, inspection)
    assert known(a).strikes == 0


# probation


def test_who_has_strikes_is_looked_at_first_whoever_accuses() -> None:
    world, (a, b, c, d) = holding("a", "b", "c", "d", by="ab", avoid_peer=0)
    accuse(c, a, b)
    warned = look(world)
    judge(world, Finding.NO_ANSWER, warned)
    on_probation = next(each for each in (a, b) if known(each).strikes)
    other = b if on_probation is a else a
    accuse(d, other)
    judge(world, Finding.RIGHT)
    accuse(c, other)
    accuse(d, on_probation)  # which is not listened to otherwise
    assert accused(world) == [on_probation.name, other.name]


# what comes too late, or is too much


@pytest.mark.parametrize("finding", Finding)
def test_no_conclusion_about_what_is_offered_no_longer(finding: Finding) -> None:
    world, (a, b) = holding("a", "b")
    accuse(b, a)
    inspection = look(world)
    world.pass_time(1)
    world.client("a").has(0, 1, 2, 3)  # begins anew
    judge(world, finding, inspection)
    assert (known(a).strikes, b.download.false_accusations) == (0, 0)
    world.do(RemovePeer(peer=known(a).id))
    world.refused(JudgePeer(inspection=inspection, finding=finding, seen=""), NotFound)
    world.do(RemoveTask(task=a.task, reason=Reason.TASK_DELETED))
    world.refused(JudgePeer(inspection=inspection, finding=finding, seen=""), NotFound)


def test_findings_about_one_peer_count_once() -> None:
    """Of what else it is accused when it is found wrong is nothing to follow."""
    world, (a, b) = holding("a", "b")
    offer, client = another_file_of(a)
    third, fourth = (world.client(name, url="http://o/y") for name in ("y3", "y4"))
    third.take(1)
    accuse(b, a)
    first = look(world)
    accuse(client, offer)
    second = look(world)
    accuse(fourth, offer)
    judge(world, Finding.WRONG, first)
    assert accused(world) == []
    accuse(third, offer)
    assert accused(world) == []
    judge(world, Finding.WRONG, second)
    assert world.count(PeerQuarantined) == 1


def test_an_offer_that_ends_takes_its_accusation_along() -> None:
    world, (a, b) = holding("a", "b")
    accuse(b, a)
    a.leave()
    assert world.do(TakeAccusation()) is None


def test_the_quarantined_are_not_listened_to() -> None:
    world, (a, b, c) = holding("a", "b", "c", by="ab")
    accuse(c, a, b)
    judge(world, Finding.WRONG)
    bad, good = (a, b) if known(a).quarantined else (b, a)
    again = world.client("bad2", of=str(bad.name))
    accuse(again, good)
    assert accused(world) == []


def test_accusing_a_thousand_is_bounded() -> None:
    names = [f"p{n}" for n in range(40)]
    world, (*peers, _) = holding(*names, "x", by=names, most_accused=10, avoid_peer=0)
    liars = [world.client(f"l{n}", peer=False) for n in range(40)]
    for liar in liars:
        accuse(liar, *peers)
    assert len(accused(world)) == 10
    assert not any(known(peer).quarantined for peer in peers)


# two machines with one client ID


def test_one_client_id_for_two_machines() -> None:
    """The last to register owns it; what the other reports is the owner's, until found out."""
    world, (one, victim) = swarm("same", "victim")
    ((piece, _),) = one.take()
    two = world.client("same", of="two")
    one.say(piece, SUCCESS)  # the other one's word, by now
    assert two.download.have == 1 << piece
    taken = dict(victim.take(4))
    assert taken[piece] == "two"
    victim.say(piece, FAILED)
    judge(world, Finding.MISSING)
    assert not peer_of(world, "two").quarantined, "which it cannot help"
    assert dict(victim.take(4))[piece] == "seed"
