"""Which piece a client gets, from whom, for how long: one test a rule.

Unless a test says otherwise the clock stands still, every client has a peer, and all four pieces
of the file are cached.
"""

import random
from collections import Counter

import msgspec
import pytest

from supernode.core.commands import (
    CachePiece,
    PeerHolder,
    PieceResult,
    Pull,
    Pulled,
    PullStatus,
    RegisterPeer,
    RegisterTask,
    RemovePeer,
    ReportPiece,
    Seed,
    SizeTask,
    StartFetch,
)
from supernode.core.errors import BadField, Full, NotFound, TaskConflict, TaskEnded
from supernode.core.events import (
    DownloadFailed,
    DownloadFinished,
    LeaseExpired,
    LeaseOverdue,
    LeaseReleased,
    PieceAssigned,
    PieceFailed,
    PieceFinished,
    Why,
)
from supernode.core.identity import ClientId, PeerId, TaskId
from supernode.core.model import (
    CdnStatus,
    Download,
    DownloadStatus,
    Limits,
    Peer,
    Secrets,
    Task,
    TaskSpec,
)
from supernode.core.pieces import (
    MIB,
    PieceDigest,
    PieceNumber,
    parse_piece_range,
)
from supernode.core.reasons import Reason
from supernode.core.scheduler import Scheduler
from tests.world import SIZE, Client, World, number, report, status, swarm

LEASE_SECONDS = SIZE / (64 * 1024) + 10
SEEDS = range(20)
"""What is random must hold, or vary, over these."""


# which piece


@pytest.mark.parametrize("seed", SEEDS)
def test_the_rarest_piece_comes_first(seed: int) -> None:
    _, (a, b, c, d) = swarm("a", "b", "c", "d", seed=seed)
    a.has(0, 1, 2, 3)
    b.has(0, 1, 3)
    c.has(0, 3)
    assert [piece for piece, _ in d.take(4)][:2] == [2, 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_copy_on_its_way_counts_as_one(seed: int) -> None:
    world, (a, b) = swarm("a", "b", seed=seed, cached=2)
    ((first, _),) = a.take()
    assert b.take() == [(1 - first, "seed")]
    assert world.last(PieceAssigned).why is Why.FIRST_COPY


def test_equally_rare_pieces_come_in_random_order() -> None:
    seen = {swarm("a", seed=seed)[1][0].take()[0][0] for seed in SEEDS}
    assert seen == {0, 1, 2, 3}


def test_equally_good_holders_take_turns_at_random() -> None:
    seen = set()
    for seed in SEEDS:
        _, (a, b, c) = swarm("a", "b", "c", seed=seed, cached=1)
        a.has(0)
        b.has(0)
        seen.update(c.take())
    assert seen == {(0, "a"), (0, "b")}


def test_a_client_gets_no_piece_that_it_has_or_is_fetching() -> None:
    _, (a,) = swarm("a")
    a.has(0, 1)
    assert sorted(piece for piece, _ in a.take(4)) == [2, 3]
    assert a.take(3) == []


def test_a_piece_is_handed_out_only_once_it_is_cached() -> None:
    world, (a,) = swarm("a", cached=0)
    assert a.take(4) == []
    world.cache(a.task, 2)
    assert a.take(4) == [(2, "seed")]


# from whom


@pytest.mark.parametrize("seed", SEEDS)
def test_a_peer_with_a_free_slot_comes_before_the_seed(seed: int) -> None:
    world, (a, b) = swarm("a", "b", seed=seed)
    a.has(0, 1, 2, 3)
    assert {source for _, source in b.take(4)} == {"a"}
    assert world.last(PieceAssigned).why is Why.PEER


def test_a_client_is_never_its_own_holder() -> None:
    world, (a,) = swarm("a", cached=1)
    a.has(0)
    twin = Client(world, a.task, ClientId("twin"))  # another download of the same machine
    spec = TaskSpec(raw_url="http://o/x", task_url="http://o/x")
    world.do(RegisterTask(spec=spec, client=twin.name, peer=world.peer("a"), path="/twin"))
    assert a.take() == []
    assert twin.take() == [(0, "a")], "but another download on its machine may hold it"


def test_a_client_without_a_peer_is_neither_a_holder_nor_a_copy() -> None:
    world, (a,) = swarm("a", cached=1)
    alone = world.client("alone", peer=False)
    assert alone.take() == [(0, "seed")]
    alone.has(0)
    assert a.take() == [(0, "seed")]
    assert world.last(PieceAssigned).why is Why.FIRST_COPY


def test_where_a_holder_is_found() -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.has(0)
    (assignment,) = b.pull().assignments
    assert assignment.holder == PeerHolder(
        peer=PeerId("a-10.0.0.1-15001"),
        client=ClientId("a"),
        ip="10.0.0.1",
        port=15001,
        path="/a",
    )
    assert assignment.piece_size == SIZE
    assert (
        assignment.digest
        == world.tracker.task(a.task).digests[parse_piece_range("0-4194303", SIZE)]
    )


def test_the_seed_gives_each_piece_once_while_it_is_on_its_way() -> None:
    _, clients = swarm("a", "b", "c", "d", "e")
    taken = [client.take() for client in clients]
    assert sorted(piece for ((piece, _),) in taken[:4]) == [0, 1, 2, 3]
    assert taken[4] == []


def test_the_seeds_slots_are_bounded() -> None:
    _, (a, b, c, d) = swarm("a", "b", "c", "d", seed_slots=3)
    taken = [client.take() for client in (a, b, c, d)]
    assert [len(pieces) for pieces in taken] == [1, 1, 1, 0]
    ((first, _),) = taken[0]
    a.has(first)
    ((last, source),) = d.take()
    assert source == "seed"
    assert {last} == {0, 1, 2, 3} - {piece for pieces in taken for piece, _ in pieces}


def test_the_seed_helps_out_when_every_holder_is_busy_and_it_is_not() -> None:
    world, (a, b, c) = swarm("a", "b", "c", cached=3, peer_slots=2, seed_repeats=2)
    a.has(0, 1, 2)
    assert Counter(source for _, source in b.take(3)) == {"a": 2, "seed": 1}
    assert world.last(PieceAssigned).why is Why.HOLDERS_FULL
    assert [source for _, source in c.take(3)] == ["seed"], "which makes two"


def test_the_seed_gives_first_copies_however_much_it_repeats() -> None:
    world, (a, b, c) = swarm("a", "b", "c", cached=3, peer_slots=1, seed_repeats=1)
    a.has(0, 1, 2)
    assert [source for _, source in b.take(3)] == ["a", "seed"]
    world.cache(a.task, 3)
    assert c.take(2) == [(3, "seed")]
    assert world.last(PieceAssigned).why is Why.FIRST_COPY


def test_the_seed_helps_a_client_out_that_every_holder_failed() -> None:
    world, (a, b) = swarm("a", "b", cached=1, seed_repeats=0)
    a.has(0)
    b.take()
    b.say(0, PieceResult.FAILED)
    assert b.take() == [(0, "seed")]
    assert world.last(PieceAssigned).why is Why.HOLDERS_AVOIDED


@pytest.mark.parametrize(("waited", "taken"), [(9.9, []), (10.0, [(0, "seed")])])
def test_a_copy_that_takes_much_longer_than_usual_is_not_counted_on(
    waited: float, taken: list[tuple[int, str]]
) -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    assert a.take() == [(0, "seed")]
    world.pass_time(waited)
    assert b.take() == taken
    assert world.count(LeaseOverdue) == len(taken)


def test_what_is_usual_is_learnt() -> None:
    world, (a, b) = swarm("a", "b", cached=20)
    for _ in range(19):
        ((piece, _),) = a.take()
        world.pass_time(5)
        a.has(piece)
    ((last, _),) = a.take()
    b.has(*(piece for piece in range(20) if piece != last))
    world.pass_time(15)
    assert b.take() == [], "fifteen seconds are no longer unusual"
    world.pass_time(1.5)
    assert b.take() == [(last, "seed")]


def test_clients_that_vanish_give_the_slots_back_that_they_had() -> None:
    world, (a, gone) = swarm("a", "gone", cached=4, seed_slots=2, peer_slots=2)
    a.has(0, 1)
    a.pull(status=PullStatus.FINISHED)
    assert len(gone.take(4)) == 4
    b = world.client("b")
    assert b.take() == [], "every slot is taken"
    world.pass_time(10)
    assert len(b.take(4)) == 2, "its share"


def test_a_slow_holder_is_not_given_more_and_more() -> None:
    names = [f"c{n}" for n in range(12)]
    world, (slow, *others) = swarm("slow", *names, cached=4, seed_slots=0, peer_slots=2)
    slow.has(0, 1, 2, 3)
    for client in others:
        client.take()
        world.pass_time(11)
    assert len(world.tracker.peer(world.peer("slow")).serving) <= 4


def test_the_same_failure_twice_is_no_lost_answer() -> None:
    world, (a,) = swarm("a", cached=1)
    assert a.take() == [(0, "seed")]
    failed = (report(0, PieceResult.FAILED, Seed.SEED),)
    pull = Pull(task=a.task, client=a.name, reports=failed, count=1)
    for failures in (1, 2, 3):
        assert world.do(pull).assignments == (), "the seed is avoided for a moment"
        assert world.count(PieceFailed) == failures
        world.pass_time(2)
        again = msgspec.structs.replace(pull, retry=True)
        assert len(world.do(again).assignments) == 1


def test_a_peer_is_avoided_whichever_of_its_downloads_failed() -> None:
    world, (b,) = swarm("b", cached=1, seed_slots=0)
    peer = world.peer("h")
    for name in ("h1", "h2"):
        client = Client(world, b.task, ClientId(name))
        spec = TaskSpec(raw_url="http://o/x", task_url="http://o/x")
        world.do(RegisterTask(spec=spec, client=client.name, peer=peer, path="/h"))
        client.has(0)
    b.take()
    b.say(0, PieceResult.FAILED)
    assert b.take() == []


def test_a_report_of_an_overdue_lease_still_counts() -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.take()
    world.pass_time(11)
    a.has(0)
    assert b.take() == [(0, "a")]
    b.has(0)
    world.pass_time(LEASE_SECONDS)
    assert world.count(LeaseExpired) == 0, "it had ended before"


def test_an_overdue_lease_ends_when_its_holder_leaves() -> None:
    world, (a, b) = swarm("a", "b", cached=1, seed_slots=0)
    a.has(0)
    assert b.take() == [(0, "a")]
    world.pass_time(10)
    world.do(RemovePeer(peer=world.peer("a")))
    assert world.last(LeaseReleased).reason is Reason.PEER_LEFT
    b.has(0)


def test_a_lease_that_ended_leaves_no_copy_on_its_way() -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.take()
    assert b.take() == []
    a.say(0, PieceResult.FAILED)
    assert b.take() == [(0, "seed")]
    assert world.last(PieceAssigned).why is Why.FIRST_COPY


# avoiding


@pytest.mark.parametrize(("waited", "source"), [(0, "seed"), (59.9, "seed"), (60, "a")])
def test_a_peer_that_failed_a_client_is_avoided_for_a_minute(waited: float, source: str) -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.has(0)
    assert b.take() == [(0, "a")]
    b.say(0, PieceResult.FAILED, "a-10.0.0.1-15001")
    world.pass_time(waited)
    assert b.take() == [(0, source)]


@pytest.mark.parametrize(("waited", "taken"), [(0, []), (1.9, []), (2, [(0, "seed")])])
def test_the_seed_is_avoided_for_two_seconds(waited: float, taken: list[tuple[int, str]]) -> None:
    world, (a,) = swarm("a", cached=1)
    assert a.take() == [(0, "seed")]
    a.say(0, PieceResult.FAILED, Seed.SEED)
    world.pass_time(waited)
    assert a.take() == taken


def test_only_the_client_it_failed_avoids_a_holder() -> None:
    _, (a, b, c) = swarm("a", "b", "c", cached=1)
    a.has(0)
    b.take()
    b.say(0, PieceResult.FAILED)
    assert c.take() == [(0, "a")]


def test_what_a_holder_is_avoided_for_counts_for_all_its_pieces() -> None:
    _, (a, b) = swarm("a", "b")
    a.has(0, 1, 2, 3)
    b.take()
    b.say(next(piece for piece in range(4) if b.download.leased >> piece & 1), PieceResult.FAILED)
    assert {source for _, source in b.take(4)} == {"seed"}


@pytest.mark.parametrize("blamed", ["c", "c-10.0.0.1-15001", "nobody", Seed.SEED])
def test_a_failure_that_names_another_holder_is_about_an_earlier_lease(blamed: str | Seed) -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.has(0)
    b.take()
    b.say(0, PieceResult.FAILED, blamed)
    assert world.count(PieceFailed) == 0, "the innocent is not blamed"
    assert world.last(LeaseReleased).reason is Reason.FAILED_EARLIER
    assert b.take() == [(0, "a")], "and the client need not wait for a lease it knows nothing of"


@pytest.mark.parametrize("blamed", ["a", "a-10.0.0.1-15001", None])
def test_a_holder_may_be_named_by_its_client_its_peer_or_not_at_all(blamed: str | None) -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.has(0)
    b.take()
    b.say(0, PieceResult.FAILED, blamed)
    assert world.count(PieceFailed) == 1
    assert b.download.leased == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_the_holder_with_fewest_failures_comes_first(seed: int) -> None:
    # Four samples of two holders: one of 16 times the worse one is all that is seen.
    chosen = Counter[str]()
    for n in range(32):
        world, (a, b, c, victim) = swarm("a", "b", "c", "victim", cached=1, seed=100 * seed + n)
        a.has(0)
        victim.take()
        victim.say(0, PieceResult.FAILED)
        b.has(0)
        chosen.update(source for _, source in c.take())
        assert world.tracker.peer(PeerId("a-10.0.0.1-15001")).failures == 1
    assert chosen["b"] > chosen["a"] * 2


def test_one_delivery_makes_good_for_all_failures() -> None:
    world, (a, b, c) = swarm("a", "b", "c", cached=1)
    a.has(0)
    b.take()
    b.say(0, PieceResult.FAILED)
    peer = world.tracker.peer(PeerId("a-10.0.0.1-15001"))
    assert peer.failures == 1
    assert c.take() == [(0, "a")]
    c.has(0)
    assert peer.failures == 0


def test_the_holder_with_more_free_slots_comes_first() -> None:
    chosen = Counter[str]()
    for seed in range(64):
        _, (a, b, c, d) = swarm("a", "b", "c", "d", cached=2, seed=seed)
        a.has(0, 1)
        b.has(0)
        assert c.take() == [(1, "a")]
        d.has(1)
        chosen.update(source for _, source in d.take())
    assert chosen["b"] > chosen["a"] * 2


# slots and leases


def test_a_peers_slots_count_over_all_its_downloads() -> None:
    world = World(Limits(peer_slots=2, seed_slots=9, seed_repeats=9))
    x, y = world.client("a", url="http://o/x"), world.client("a", url="http://o/y")
    b, c = world.client("b", url="http://o/x"), world.client("b", url="http://o/y")
    for task in (x.task, y.task):
        world.cache(task, 0, 1)
    x.has(0, 1)
    y.has(0, 1)
    assert {source for _, source in b.take(2)} == {"a"}
    assert {source for _, source in c.take(2)} == {"seed"}, "both slots serve the other file"
    b.has(0)
    other = world.client("d", url="http://o/y")
    assert Counter(source for _, source in other.take(2)) == {"a": 1, "seed": 1}


def test_a_client_has_at_most_so_many_pieces_in_flight() -> None:
    _, (a,) = swarm("a", cached=12, client_leases=5, seed_slots=99)
    assert len(a.take(3)) == 3
    assert len(a.take(99)) == 2
    assert a.take(98) == []
    a.has(next(piece for piece in range(12) if a.download.leased >> piece & 1))
    assert len(a.take(97)) == 1


@pytest.mark.parametrize(
    ("clients", "holders", "share"),
    [(1, 0, 6), (2, 0, 3), (4, 0, 1), (9, 0, 1), (2, 1, 4), (4, 3, 3), (9, 2, 1)],
)
def test_slots_are_shared_out_among_all_who_download(
    clients: int, holders: int, share: int
) -> None:
    names = [f"c{n}" for n in range(clients)]
    _, swarming = swarm(*names, cached=20, seed_slots=6, peer_slots=2)
    for n, client in enumerate(swarming[:holders]):
        client.has(n)
    last = swarming[-1]
    assert len(last.take(20)) == share
    assert last.take() == []
    last.has(next(iter(last.download.leases)))
    assert len(last.take(20)) >= 1, "one has come"


def test_who_has_ended_leaves_its_share_and_still_gives() -> None:
    _, (a, b) = swarm("a", "b", cached=20, seed_slots=2, peer_slots=2)
    a.has(0, 1)
    assert len(b.take(20)) == 2
    a.pull(status=PullStatus.FINISHED)
    assert len(b.take(19)) == 2, "which makes four"


def test_what_is_overdue_takes_nothing_of_a_clients_share() -> None:
    world, (a,) = swarm("a", cached=20, seed_slots=2)
    assert len(a.take(20)) == 2
    world.pass_time(10)
    assert world.count(LeaseOverdue) == 2
    assert len(a.take(19)) == 2
    assert len(a.download.leases) == 4


@pytest.mark.parametrize(
    ("limits", "mib", "seconds"),
    [
        (Limits(), 4, 74.0),
        (Limits(), 15, 250.0),
        (Limits(slowest_rate=MIB, lease_grace=3.0), 5, 8.0),
    ],
)
def test_a_lease_lasts_as_long_as_the_slowest_transfer_and_some_grace(
    limits: Limits, mib: int, seconds: float
) -> None:
    world = World(limits)
    a = world.client("a")
    fetch = world.do(StartFetch(task=a.task))
    length = {4: 1, 5: 300 * MIB, 15: 2000 * MIB}[mib]
    size = world.do(SizeTask(task=a.task, generation=fetch, length=length))
    assert size == mib * MIB
    digest = PieceDigest("0" * 32 + ":9")
    world.do(CachePiece(task=a.task, generation=fetch, piece=0, digest=digest))
    a.pull()
    assert world.last(PieceAssigned).deadline == world.now + seconds


def test_a_lease_ends_at_its_deadline_and_gives_its_slot_back() -> None:
    world, (a, b) = swarm("a", "b", cached=1, peer_slots=1)
    a.has(0)
    assert b.take() == [(0, "a")]
    world.pass_time(LEASE_SECONDS - 0.1)
    assert world.count(LeaseExpired) == 0
    world.pass_time(0.1)
    assert world.count(LeaseExpired) == 1
    assert b.take() == [(0, "a")], "nothing is held against the holder"


@pytest.mark.parametrize("result", [PieceResult.SUCCESS, PieceResult.SEMISUC])
def test_a_report_after_the_deadline_still_counts(result: PieceResult) -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.take()
    world.pass_time(LEASE_SECONDS)
    a.say(0, result)
    assert b.take() == [(0, "a")]
    assert world.last(PieceAssigned).why is Why.PEER


def test_a_report_that_is_repeated_counts_once() -> None:
    world, (a,) = swarm("a", cached=1)
    a.take()
    a.has(0).has(0).say(0, PieceResult.FAILED)
    assert world.count(PieceFinished) == 1
    assert world.count(PieceFailed) == 0
    assert a.download.have == 1


def test_a_failure_without_a_lease_blames_nobody() -> None:
    world, (a,) = swarm("a", cached=1)
    a.say(0, PieceResult.FAILED, Seed.SEED)
    assert a.take() == [(0, "seed")]
    assert world.count(PieceFailed) == 0


def test_a_piece_can_be_reported_that_was_never_assigned() -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.has(0)
    assert world.last(PieceFinished).lease is None
    assert b.take() == [(0, "a")]


def test_a_report_without_a_result_is_none() -> None:
    world, (a,) = swarm("a", cached=1)
    a.take()
    before = len(world.events)
    a.say(0, PieceResult.INVALID)
    assert len(world.events) == before


def test_a_piece_that_is_not_there_yet_cannot_be_reported() -> None:
    world, (a,) = swarm("a", cached=1)
    for piece in (1, 4, 1 << 30):
        wrong = report(piece, PieceResult.SUCCESS)
        world.refused(ReportPiece(task=a.task, client=a.name, report=wrong), BadField)
    early = world.client("a", url="http://o/unsized")
    command = ReportPiece(task=early.task, client=early.name, report=report(0, PieceResult.SUCCESS))
    world.refused(command, BadField)


# the last answer again


def test_the_same_pull_again_gets_the_same_pieces_under_the_same_leases() -> None:
    world, (a,) = swarm("a")
    first = a.pull(2)
    world.pass_time(5)
    assert a.pull(2) == first
    assert world.count(PieceAssigned) == 2


def test_another_pull_gets_other_pieces() -> None:
    _, (a,) = swarm("a")
    first, second = a.pull(2), a.pull(1)
    assert not {number(x) for x in first.assignments} & {number(x) for x in second.assignments}


def test_the_same_pull_after_a_report_gets_new_pieces() -> None:
    _, (a,) = swarm("a")
    (first, _), (second, _) = a.take(2)
    a.has(first)
    assert not {piece for piece, _ in a.take(2)} & {first, second}


def test_the_same_pull_after_a_lease_expired_gets_new_leases() -> None:
    world, (a,) = swarm("a", cached=1)
    a.take()
    world.pass_time(LEASE_SECONDS)
    assert a.take() == [(0, "seed")]
    assert world.count(PieceAssigned) == 2


def test_reports_that_come_again_with_a_repeated_pull_count_once() -> None:
    world, (a,) = swarm("a")
    ((first, _),) = a.take()
    done = report(first, PieceResult.SUCCESS)
    answer = a.pull(1, done)
    assert a.pull(1, done) == answer
    assert world.count(PieceFinished) == 1


def test_asking_again_after_a_wait_counts_no_report_twice() -> None:
    world, (a, b) = swarm("a", "b", cached=1, avoid_peer=5.0, seed_slots=0)
    a.has(0)
    b.take()
    failed = report(0, PieceResult.FAILED)
    assert b.pull(1, failed) == Pulled()
    world.pass_time(5)
    assert b.take() == [(0, "a")], "by another pull, while the first waits"
    b.pull(1, failed, retry=True)
    assert world.count(PieceFailed) == 1
    assert b.download.leased == 1


# beginning


def test_started_drops_what_the_client_was_fetching() -> None:
    world, (a,) = swarm("a")
    before = a.pull(3)
    after = a.pull(4, status=PullStatus.STARTED)
    assert len(before.assignments) == 3
    assert len(after.assignments) == 4
    assert world.count(LeaseReleased) == 3
    assert world.last(LeaseReleased).reason is Reason.CLIENT_RESTARTED


def test_started_keeps_what_the_client_has() -> None:
    _, (a,) = swarm("a")
    a.has(0)
    assert sorted(number(x) for x in a.pull(4, status=PullStatus.STARTED).assignments) == [1, 2, 3]


def test_started_after_a_wait_drops_nothing() -> None:
    world, (a,) = swarm("a")
    a.pull(1)
    a.pull(2, status=PullStatus.STARTED, retry=True)
    assert world.count(LeaseReleased) == 0


def test_a_client_that_registers_again_begins_anew() -> None:
    world, (a, b) = swarm("a", "b", cached=2)
    a.has(0)
    a.take()
    b.has(1)
    assert b.take() == [(0, "a")]
    again = world.client("a")
    released = [event for event in world.events if isinstance(event, LeaseReleased)]
    assert [event.reason for event in released] == [Reason.CLIENT_RESTARTED] * 2
    assert (again.download.have, again.download.leases) == (0, {})
    assert b.take() == [(0, "seed")]
    assert world.last(PieceAssigned).why is Why.FIRST_COPY


def test_a_client_may_come_back_without_a_peer_or_from_another() -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.has(0)
    alone = world.client("a", peer=False)
    assert b.take() == [(0, "seed")]
    alone.has(0)
    b.say(0, PieceResult.FAILED)
    assert b.take() == [], "the seed is avoided, and the client has no peer to offer"


def test_a_file_of_another_url_under_the_same_id_is_a_conflict() -> None:
    world = World()
    world.client("a", url="http://o/bc")
    spec = TaskSpec(raw_url="http://o/b", task_url="http://o/b", identifier="c")
    collision = RegisterTask(spec=spec, client=ClientId("b"), peer=None, path="")
    world.refused(collision, TaskConflict)


@pytest.mark.parametrize("name", ["Range", "range", "RANGE"])
def test_a_part_of_a_file_is_another_task(name: str) -> None:
    world = World()
    whole = world.client("a").task
    spec = TaskSpec(
        raw_url="http://o/x", task_url="http://o/x", headers=Secrets({name: "bytes=0-99"})
    )
    part = world.do(RegisterTask(spec=spec, client=ClientId("b"), peer=None, path=""))
    assert part != whole


def test_what_is_unknown_is_named() -> None:
    world, (a,) = swarm("a")
    nobody, nothing = ClientId("nobody"), TaskId("0" * 64)
    done = report(0, PieceResult.SUCCESS)
    spec = TaskSpec(raw_url="http://o/x", task_url="http://o/x")
    world.refused(Pull(task=nothing, client=a.name), NotFound)
    world.refused(Pull(task=a.task, client=nobody), NotFound)
    world.refused(ReportPiece(task=nothing, client=a.name, report=done), NotFound)
    world.refused(ReportPiece(task=a.task, client=nobody, report=done), NotFound)
    world.refused(RemovePeer(peer=PeerId("nobody")), NotFound)
    world.refused(RegisterTask(spec=spec, client=a.name, peer=PeerId("nobody"), path=""), NotFound)


# ending


def test_a_client_with_every_piece_of_a_fetched_file_has_finished() -> None:
    world, (a,) = swarm("a")
    world.finish(a.task)
    a.has(0, 1, 2)
    assert status(a) is DownloadStatus.RUNNING
    a.has(3)
    assert status(a) is DownloadStatus.SUCCESS
    assert a.pull(4) == Pulled(ended=True)


def test_a_client_that_is_faster_than_the_fetch_finishes_with_it() -> None:
    world, (a,) = swarm("a")
    a.has(0, 1, 2, 3)
    assert status(a) is DownloadStatus.RUNNING
    assert a.pull(4) == Pulled(), "whether that is all is not known yet"
    world.finish(a.task)
    assert status(a) is DownloadStatus.SUCCESS
    assert world.count(DownloadFinished) == 1


def test_finished_ends_a_download_that_is_not_complete() -> None:
    world, (a, b) = swarm("a", "b", cached=2)
    a.has(0)
    a.take()
    assert a.pull(status=PullStatus.FINISHED) == Pulled(ended=True)
    assert status(a) is DownloadStatus.FAILED
    assert world.last(DownloadFailed).reason is Reason.CLIENT_LEFT
    assert a.download.leases == {}
    assert (0, "a") in b.take(2), "it is still a holder"


def test_finished_counts_the_reports_it_carries() -> None:
    world, (a,) = swarm("a", cached=4)
    world.finish(a.task)
    done = [report(piece, PieceResult.SUCCESS) for piece in range(4)]
    assert a.pull(1, *done, status=PullStatus.FINISHED) == Pulled(ended=True)
    assert status(a) is DownloadStatus.SUCCESS
    assert world.count(DownloadFailed) == 0


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("said_before", [True, False])
def test_finished_with_a_failure_withdraws_what_the_client_has(
    complete: bool, said_before: bool
) -> None:
    world, (a, b, c) = swarm("a", "b", "c", cached=4)
    world.finish(a.task)
    a.has(*range(4 if complete else 2))
    if said_before:  # it is the uploader that forgets the file, long after the download
        a.pull(status=PullStatus.FINISHED, result=PieceResult.SUCCESS)
    b.has(2, 3)
    assert ("a" in {source for _, source in b.take(2)}) is True
    ended = a.pull(status=PullStatus.FINISHED, result=PieceResult.FAILED)
    assert ended == Pulled(ended=True)
    assert world.last(LeaseReleased).reason is Reason.PEER_LEFT
    assert "a" not in {source for _, source in c.take(4)}


def test_finished_can_be_said_again() -> None:
    world, (a,) = swarm("a")
    for _ in range(2):
        assert a.pull(status=PullStatus.FINISHED) == Pulled(ended=True)
    assert world.count(DownloadFailed) == 1


def test_finished_with_every_piece_of_the_file_is_no_failure() -> None:
    """The client may know its last piece before we have digested the whole."""
    world, (a,) = swarm("a")
    a.has(0, 1, 2, 3)
    assert a.pull(status=PullStatus.FINISHED, result=PieceResult.SUCCESS) == Pulled(ended=True)
    world.finish(a.task)
    assert status(a) is DownloadStatus.SUCCESS
    assert world.count(DownloadFailed) == 0


def test_a_failed_task_tells_every_client_why() -> None:
    world, (a, b) = swarm("a", "b")
    a.has(0)
    b.take(2)
    world.fail(a.task, Reason.ORIGIN_STALLED, "o: 5 bytes")
    for client in (a, b):
        assert status(client) is DownloadStatus.FAILED
        with pytest.raises(TaskEnded) as ended:
            client.pull(4)
        assert ended.value.reason is Reason.ORIGIN_STALLED
        assert "5 bytes" in str(ended.value)
        client.say(0, PieceResult.SUCCESS)  # a late report does no harm
    assert world.tracker.task(a.task).status is CdnStatus.SOURCE_ERROR


def test_a_failed_task_can_be_asked_for_again() -> None:
    world, (a, _) = swarm("a", "b")
    a.has(0)
    world.fail(a.task, Reason.DISK_FULL)
    assert world.tracker.task(a.task).status is CdnStatus.FAILED
    again = world.client("b")
    assert world.tracker.next_to_fetch() == again.task == a.task
    world.cache(again.task, 0)
    assert again.take() == [(0, "seed")], "what a had is gone"
    with pytest.raises(TaskEnded):
        a.pull()
    assert world.client("a").take() == []


# peers that leave


def test_nobody_is_sent_to_a_peer_that_left() -> None:
    world, (a, b, c) = swarm("a", "b", "c", cached=1)
    a.has(0)
    assert b.take() == [(0, "a")]
    world.do(RemovePeer(peer=PeerId("a-10.0.0.1-15001")))
    assert world.last(LeaseReleased).reason is Reason.PEER_LEFT
    assert c.take() == [(0, "seed")]
    assert b.download.leased == 0


def test_a_download_goes_on_after_its_peer_left() -> None:
    world, (a, b) = swarm("a", "b", cached=2)
    a.has(0)
    a.take()
    world.do(RemovePeer(peer=PeerId("a-10.0.0.1-15001")))
    assert a.download.have == 1
    a.has(1)
    assert a.download.have == 3
    assert [source for _, source in b.take(2)] == ["seed", "seed"]


def test_a_peer_that_comes_back_is_the_same_and_holds_nothing() -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    a.has(0)
    world.do(RemovePeer(peer=PeerId("a-10.0.0.1-15001")))
    assert world.peer("a") == "a-10.0.0.1-15001"
    assert b.take() == [(0, "seed")]


# many


@pytest.mark.parametrize("peers", [5, 60])
def test_the_one_free_holder_among_many_busy_ones_is_found(peers: int) -> None:
    world, holders = swarm(*(f"p{n}" for n in range(peers)), seed_slots=0, peer_slots=1)
    for one in holders:
        one.has(0, 1, 2)
    for n in range(peers - 1):
        assert len(world.client(f"q{n}").take()) == 1
    free = [p.host_name for p in world.tracker._state.peers.values() if not p.serving]
    ((_, source),) = world.client("late").take()
    assert source in free
    assert world.client("later").take() == []


def test_the_choice_is_what_a_naive_search_would_allow() -> None:
    """Against lists and scans: rarest first, then a free holder, then the seed."""
    reasons = Counter[Why | None]()
    for seed in range(5):
        chance = random.Random(seed)
        names = [f"c{n}" for n in range(30)]
        limits = {"peer_slots": 2, "seed_slots": 4, "seed_repeats": seed, "avoid_peer": 5.0}
        limits |= {"peer_ttl": 1e9, "silent_after": 1e9}
        world, clients = swarm(*names, cached=12, seed=seed, **limits)
        for _ in range(500):
            client = chance.choice(clients)
            leases = list(client.download.leases)
            if leases and chance.random() < 0.4:
                result = chance.choice([PieceResult.SUCCESS] * 3 + [PieceResult.FAILED])
                client.say(chance.choice(leases), result)
            else:
                world.pass_time(chance.choice([0.1] * 9 + [20.0]))
                reasons[check_choice(world, client.download)] += 1
                client.pull(chance.randint(1, 2))
    assert reasons.keys() == {None, *Why}


def check_choice(world: World, download: Download) -> Why | None:
    """Compare the scheduler's next choice with those allowed; return its reason."""
    task, peers = world.tracker.task(download.task), world.tracker._state.peers
    scheduler = Scheduler(task, download, peers, world.limits, world.now, world.chance)
    choice = scheduler.choose()
    allowed = naive(world, download)
    if choice is None:
        assert not allowed
        return None
    assert (choice.piece, choice.holder) in allowed
    return choice.why


def naive(world: World, download: Download) -> set[tuple[int, ClientId | None]]:
    """Return every choice the rules allow."""
    task, peers = world.tracker.task(download.task), world.tracker._state.peers

    def avoids(peer: PeerId | None) -> bool:
        return download.avoided.get(peer, 0.0) > world.now

    def is_busy(holder: Peer | Task, slots: int) -> bool:
        return holder.slots_used >= slots or len(holder.serving) >= 2 * slots

    by_copies: dict[int, set[tuple[int, ClientId | None]]] = {}
    others = [d for d in task.downloads.values() if d.peer is not None]
    seed_is_free = not is_busy(task, world.limits.seed_slots) and not avoids(None)
    for piece in task.digests:
        if download.have >> piece & 1 or piece in download.leases:
            continue
        holders = [d for d in others if d.have >> piece & 1]
        coming = [d.leases[PieceNumber(piece)] for d in others if piece in d.leases]
        copies = len(holders) + sum(not lease.overdue for lease in coming)
        willing = [d for d in holders if not avoids(d.peer)]
        choices: set[tuple[int, ClientId | None]]
        choices = {
            (piece, d.client)
            for d in willing
            if d.peer is not None and not is_busy(peers[d.peer], world.limits.peer_slots)
        }
        repeats = holders and task.slots_used < world.limits.seed_repeats
        needed = not copies or (holders and not willing)
        if not choices and seed_is_free and (needed or repeats):
            choices = {(piece, None)}
        if choices:
            by_copies.setdefault(copies, set()).update(choices)
    return by_copies[min(by_copies)] if by_copies else set()


def test_no_more_are_known_than_there_is_room_for() -> None:
    world = World(Limits(most_peers=2, most_tasks=2, most_downloads=3))
    a = world.client("a")
    world.client("a", url="http://o/y")
    for again in range(2):
        world.client("a"), world.peer("b"), world.client("b", peer=False)
        assert world.tracker.task(a.task).downloads.keys() == {"a", "b"}, again
    one_more = RegisterPeer(ip="10.0.0.1", port=15001, host_name="c", version="1")
    world.refused(one_more, Full)
    for url in ("http://o/x", "http://o/z"):
        spec = TaskSpec(raw_url=url, task_url=url)
        wish = RegisterTask(spec=spec, client=ClientId("c"), peer=None, path="/c")
        world.refused(wish, Full)
