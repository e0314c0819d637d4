"""What clients say they have from before: what it is good for, and until when it is not."""

import pytest

from supernode.core.commands import DrawSpotCheck, HoldTask, JudgeClaim, RemovePeer, SpotCheck
from supernode.core.errors import BadField, NotFound, TaskConflict
from supernode.core.events import ClaimConfirmed, ClaimRejected, DownloadFinished
from supernode.core.identity import PeerId
from supernode.core.model import DownloadStatus, Finding, Limits
from supernode.core.pieces import PieceNumber, pack_pieces, unpack_pieces
from supernode.core.reasons import Reason
from tests.world import Client, World, status

ROOMY = Limits(seed_slots=40, peer_slots=20)
"""Everybody may have everything at once."""


def open_claims(world: World) -> list[int]:
    return [claim for claim, _ in world.tracker.claims_to_check()]


def draw(world: World) -> tuple[int, SpotCheck]:
    """Draw the piece by which the oldest claim is checked."""
    claim = open_claims(world)[0]
    check = world.do(DrawSpotCheck(claim=claim))
    assert check is not None
    return claim, check


def judge(world: World, finding: Finding = Finding.RIGHT) -> PieceNumber:
    """Check the oldest claim; return by which piece."""
    claim, check = draw(world)
    world.do(JudgeClaim(claim=claim, piece=check.piece, finding=finding, seen="seen"))
    return check.piece


def taken(client: Client, count: int = 10) -> dict[int, str]:
    return dict(client.take(count))


def shared(cached: int = 4, seed: int = 0) -> tuple[World, Client]:
    """Return a world with a file, and a client that only takes: it changes nothing for others."""
    world = World(ROOMY, seed=seed)
    taker = world.client("taker", peer=False)
    world.cache(taker.task, *range(cached))
    return world, taker


def test_the_lowest_bit_of_the_first_byte_is_piece_0() -> None:
    assert pack_pieces([0]) == b"\x01"
    assert pack_pieces([7, 8, 17]) == b"\x80\x01\x02"
    assert pack_pieces([]) == b""
    assert unpack_pieces(b"\x80\x01\x02\x00") == 1 << 7 | 1 << 8 | 1 << 17


def test_a_client_is_not_given_what_it_says_it_has() -> None:
    world, _ = shared()
    b = world.client("b", has=[1, 3])
    assert taken(b).keys() == {0, 2}
    assert b.download.done == 0b1010


def test_nobody_is_sent_for_it_before_it_is_checked_and_everybody_afterwards() -> None:
    world, a = shared()
    world.client("b", has=[1, 3])
    assert taken(a) == dict.fromkeys(range(4), "seed")
    judge(world)
    other = world.client("other", peer=False)
    assert taken(other) == {0: "seed", 1: "b", 2: "seed", 3: "b"}
    assert not open_claims(world)


def test_what_to_check_it_by_is_drawn_from_what_is_known() -> None:
    drawn = set()
    for seed in range(40):
        world, _ = shared(cached=3, seed=seed)
        world.client("b", has=[0, 2, 3])
        _, check = draw(world)
        drawn.add(check.piece)
        assert check.digest.startswith(f"{check.piece:032x}")
        holder = check.holder
        assert (holder.peer, holder.path) == ("b-10.0.0.1-15001", "/b")
        assert (holder.ip, holder.port) == ("10.0.0.1", 15001)
    assert drawn == {0, 2}


@pytest.mark.parametrize("finding", [Finding.WRONG, Finding.MISSING, Finding.NO_ANSWER])
def test_of_a_claim_that_is_not_confirmed_nothing_is_offered(finding: Finding) -> None:
    world, a = shared()
    b = world.client("b", has=[1, 3])
    piece = judge(world, finding)
    rejected = world.last(ClaimRejected)
    assert (rejected.piece, rejected.finding, rejected.seen) == (piece, finding, "seen")
    assert rejected.peer == "b-10.0.0.1-15001"
    assert set(taken(a).values()) == {"seed"}
    assert not open_claims(world)
    # Its own download goes on: what it gets from now on counts, for it and for others.
    assert taken(b).keys() == {0, 2}
    b.has(0, 2)
    other = world.client("other", peer=False)
    assert taken(other) == {0: "b", 1: "seed", 2: "b", 3: "seed"}
    world.finish(a.task)
    assert status(b) is DownloadStatus.SUCCESS


def test_what_is_not_known_yet_is_offered_as_soon_as_it_is() -> None:
    world = World(ROOMY)
    a = world.client("a", has=[0, 1, 3])
    assert not open_claims(world)
    world.cache(a.task)
    assert not open_claims(world)  # there is nothing to compare it with
    world.cache(a.task, 2)
    assert not open_claims(world)
    world.cache(a.task, 1)
    assert judge(world) == 1
    b = world.client("b", peer=False)
    assert taken(b) == {1: "a", 2: "seed"}
    world.cache(a.task, 0, 3)
    b.has(1, 2)
    assert taken(b) == {0: "a", 3: "a"}


def test_a_peer_that_leaves_takes_along_what_was_not_known_yet() -> None:
    world = World(ROOMY)
    a = world.client("a", has=[0, 1, 3])
    world.cache(a.task, 1)
    judge(world)
    world.do(RemovePeer(peer=PeerId("a-10.0.0.1-15001")))
    world.cache(a.task, 0)
    b = world.client("b", peer=False)
    assert taken(b) == {0: "seed", 1: "seed"}
    assert taken(a) == {}


@pytest.mark.parametrize("has", [[4], [0, 9], [1000]])
def test_more_pieces_than_the_file_has_are_refused(has: list[int]) -> None:
    world, a = shared()
    with pytest.raises(BadField) as refused:
        world.client("b", has=has)
    assert refused.value.field == "pieces"
    assert list(world.tracker.task(a.task).downloads) == ["taker"]
    a.has(1)
    with pytest.raises(BadField):
        world.client("taker", has=has)
    assert a.download.have == 0b10


def test_a_claim_that_turns_out_to_be_of_more_pieces_is_rejected_unseen() -> None:
    world = World(ROOMY)
    a = world.client("a", has=[0, 4])
    world.cache(a.task, 0, 1)
    (claim,) = open_claims(world)
    assert world.do(DrawSpotCheck(claim=claim)) is None
    assert world.last(ClaimRejected).finding is Finding.MISSING
    assert not open_claims(world)
    assert taken(a) == {1: "seed"}


def test_without_a_peer_there_is_nothing_to_check() -> None:
    world, _ = shared()
    b = world.client("b", peer=False, has=[1, 3])
    assert not open_claims(world)
    assert taken(b).keys() == {0, 2}


def test_who_has_all_of_a_file_that_is_there_is_done_at_once() -> None:
    world, a = shared()
    world.finish(a.task)
    b = world.client("b", has=range(4))
    assert status(b) is DownloadStatus.SUCCESS
    assert b.pull().ended
    judge(world)
    assert set(taken(a).values()) == {"b"}
    world.pass_time(200)
    assert b.download.offers  # it is not forgotten while its peer lives


def test_who_has_all_of_a_file_that_is_still_coming_is_done_when_it_has_come() -> None:
    world, a = shared(cached=2)
    b = world.client("b", has=range(4))
    assert status(b) is DownloadStatus.RUNNING
    assert not b.pull().ended
    world.cache(a.task, 2, 3)
    world.finish(a.task)
    assert status(b) is DownloadStatus.SUCCESS
    assert world.count(DownloadFinished) == 1


def test_a_verdict_is_about_the_claim_that_was_checked() -> None:
    """Else one could be checked by little, and then claim everything."""
    world, _ = shared()
    world.client("b", has=[1])
    claim, check = draw(world)
    world.client("b", has=[0, 1, 2, 3])
    late = JudgeClaim(claim=claim, piece=check.piece, finding=Finding.RIGHT, seen="")
    world.refused(late, NotFound)
    world.refused(DrawSpotCheck(claim=claim), NotFound)
    assert world.count(ClaimConfirmed) == 0
    assert len(open_claims(world)) == 1


def test_a_claim_of_which_nothing_is_known_cannot_be_checked() -> None:
    world, _ = shared(cached=2)
    world.client("b", has=[3])
    world.refused(DrawSpotCheck(claim=1), TaskConflict)


def test_a_peer_that_offers_the_whole_file_need_not_be_checked_as_well() -> None:
    world, a = shared()
    world.finish(a.task)
    world.client("b", has=[1, 3])
    world.do(HoldTask(task=a.task, peer=PeerId("b-10.0.0.1-15001")))
    assert not open_claims(world)
    assert set(taken(a).values()) == {"b"}


def test_claims_end_with_their_task_and_with_its_failure() -> None:
    world, a = shared(cached=2)
    world.client("b", has=[0, 1])
    world.fail(a.task, Reason.DISK_FULL)
    assert not open_claims(world)
    again = world.client("b", has=[0, 1])  # of another fetch: how long the file is, is open again
    assert not open_claims(world)
    assert again.download.claimed == 0b11


def test_claims_have_only_so_much_room() -> None:
    world = World(Limits(most_claim_bytes=2, seed_slots=40, peer_slots=20))
    a = world.client("a", peer=False, has=[15])
    b = world.client("b", peer=False, has=[0])
    world.cache(a.task, 0, 15, total=16)
    assert taken(a) == {0: "seed"}
    assert taken(b).keys() == {0, 15}  # as if it had said nothing
    a.leave()
    world.pass_time(400)
    c = world.client("c", peer=False, has=[0])
    assert taken(c).keys() == {15}


def test_a_report_of_what_is_claimed_is_no_proof() -> None:
    world, a = shared()
    b = world.client("b", has=[1])
    b.has(1)
    assert set(taken(a).values()) == {"seed"}
    assert len(open_claims(world)) == 1
