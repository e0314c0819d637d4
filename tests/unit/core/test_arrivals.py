"""A piece that has come, but is not written yet: nobody is sent for it, and it is not forgotten."""

from supernode.core.commands import PieceResult, PullStatus
from supernode.core.events import PieceArrived, PieceAssigned, PieceFinished, Why
from supernode.core.model import DownloadStatus
from tests.world import number, report, status, swarm

SEMISUC, SUCCESS, FAILED = PieceResult.SEMISUC, PieceResult.SUCCESS, PieceResult.FAILED


def test_nobody_is_sent_for_a_piece_before_it_is_written() -> None:
    _, (a, b) = swarm("a", "b", cached=1)
    a.take()
    a.say(0, SEMISUC)
    assert b.take() == [], "neither from the client, nor once more from the seed"
    a.say(0, SUCCESS)
    assert b.take() == [(0, "a")]


def test_its_upload_is_over() -> None:
    """Its client asks for the next piece in the same breath, and that may have the slot."""
    _, (a,) = swarm("a", cached=2, seed_slots=1)
    assert len(a.take(2)) == 1
    (piece,) = a.download.leases
    pulled = a.pull(2, report(piece, SEMISUC))
    assert [number(given) for given in pulled.assignments] == [1 - piece]


def test_both_words_and_their_repetitions_count_once() -> None:
    world, (a,) = swarm("a", cached=1)
    a.take()
    for word in (SEMISUC, SEMISUC, SUCCESS, SEMISUC, SUCCESS):
        a.say(0, word)
    assert world.count(PieceArrived) == 1
    assert world.count(PieceFinished) == 1


def test_a_client_is_not_given_again_what_has_come() -> None:
    _, (a,) = swarm("a", cached=2)
    given = [piece for piece, _ in a.take(2)]
    pulled = a.pull(2, *(report(piece, SEMISUC) for piece in given))
    assert not pulled.assignments


def test_a_piece_counts_as_written_in_time_though_nobody_says_so() -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.take()
    world.now += 1
    a.say(0, SEMISUC)
    world.pass_time(world.limits.writing - 0.1)
    assert b.take() == []
    world.pass_time(0.1)
    assert b.take() == [(0, "a")]


def test_its_lease_falls_overdue_no_more() -> None:
    world, (a,) = swarm("a", cached=1)
    a.take()
    world.now = a.download.leases[next(iter(a.download.leases))].overdue_at - 0.1
    a.say(0, SEMISUC)
    world.pass_time(0.2)
    assert world.count(PieceFinished) == 0
    world.pass_time(world.limits.writing)
    assert world.count(PieceFinished) == 1


def test_what_comes_when_nobody_counted_on_it_counts_at_once() -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.take()
    world.pass_time(20)
    a.say(0, SEMISUC)
    assert b.take() == [(0, "a")]
    assert b.download.leases[next(iter(b.download.leases))].holder == "a"


def test_a_download_ends_with_its_last_piece_written() -> None:
    world, (a,) = swarm("a", cached=4)
    a.take(4)
    world.finish(a.task)
    a.has(0, 1, 2).say(3, SEMISUC)
    assert status(a) is DownloadStatus.RUNNING
    world.pass_time(world.limits.writing)
    assert status(a) is DownloadStatus.SUCCESS


def test_a_client_that_says_it_has_all_has_all() -> None:
    world, (a,) = swarm("a", cached=4)
    a.take(4)
    world.finish(a.task)
    for piece in range(4):
        a.say(piece, SEMISUC)
    a.pull(0, status=PullStatus.FINISHED, result=SUCCESS)
    assert status(a) is DownloadStatus.SUCCESS


def test_one_that_goes_back_on_its_word_is_given_the_piece_again() -> None:
    _, (a,) = swarm("a", cached=1)
    a.take()
    a.say(0, SEMISUC).say(0, FAILED)
    assert a.take() == []
    assert a.download.leased == 0


def test_the_seed_gives_what_a_client_that_left_has_not_written() -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.take()
    a.say(0, SEMISUC)
    a.leave()
    assert b.take() == [(0, "seed")]
    assert world.last(PieceAssigned).why is Why.FIRST_COPY
