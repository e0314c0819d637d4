"""Who is woken by what, in which order, and that nobody is left behind; who reads along."""

import math
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supernode.core.events import (
    ClaimConfirmed,
    ClaimMade,
    ClaimRejected,
    ClientEvent,
    Concern,
    DownloadFailed,
    DownloadFinished,
    DownloadForgotten,
    DownloadSeen,
    DownloadStarted,
    DownloadWithdrawn,
    Event,
    EvidenceFound,
    LeaseEvent,
    LeaseExpired,
    LeaseOverdue,
    LeaseReleased,
    PeerAccused,
    PeerCleared,
    PeerLeft,
    PeerQuarantined,
    PeerWarned,
    PieceAssigned,
    PieceCached,
    PieceFailed,
    PieceFinished,
    PiecesHeld,
    PiecesListed,
    PiecesLost,
    PiecesOffered,
    PiecesVerified,
    PreheatRegistered,
    PreheatRemoved,
    TaskConfirmed,
    TaskDoubted,
    TaskEvent,
    TaskFailed,
    TaskFinished,
    TaskPaused,
    TaskPinned,
    TaskRegistered,
    TaskRemoved,
    TaskResumed,
    TaskSized,
    TaskStarted,
    TaskUnpinned,
    Why,
)
from supernode.core.identity import ClientId, PeerId, PreheatId, TaskId
from supernode.core.model import CdnStatus, TaskSpec
from supernode.core.pieces import PieceDigest, PieceNumber
from supernode.core.reasons import Reason
from supernode.feed import (
    RECENT,
    REMOVED,
    TO_FETCH,
    TO_PREHEAT,
    Feed,
    Gap,
    Published,
    Subscription,
)

X, Y = TaskId("x"), TaskId("y")
C, PIECE = ClientId("c"), PieceNumber(0)
CACHED = PieceCached(at=0, task=X, piece=PIECE, digest=PieceDigest("d:5"))
FAILED = TaskFailed(at=0, task=X, status=CdnStatus.FAILED, reason=Reason.DISK_FULL, detail="")
ASSIGNED = PieceAssigned(
    at=0,
    task=X,
    lease=1,
    client=C,
    piece=PIECE,
    holder=None,
    source=None,
    overdue_at=8,
    deadline=9,
    why=Why.PEER,
)
SPEC = TaskSpec(raw_url="", task_url="")
REGISTERED = TaskRegistered(at=0, task=X, generation=1, spec=SPEC, last_used=0, adopted=False)
PREHEAT = PreheatId("p")

FEW = 6


class Waiting:
    """Tasks that wait; notes which of them woke, in order."""

    def __init__(self, feed: Feed, nursery: trio.Nursery) -> None:
        self.feed = feed
        self.woken: list[str] = []
        self.scopes: dict[str, trio.CancelScope] = {}
        self._nursery = nursery

    async def add(self, *names: str, topic: str = X, deadline: float = math.inf) -> None:
        """Let them wait, in this order, each on behalf of the client of its name."""
        for name in names:
            self._nursery.start_soon(self._wait, name, topic, deadline)
            await wait_all_tasks_blocked()

    async def _wait(self, name: str, topic: str, deadline: float) -> None:
        with trio.CancelScope() as self.scopes[name]:
            await self.feed.wait(topic, deadline, client=ClientId(name))
            self.woken.append(name)

    async def after(self, act: Callable[[], object]) -> list[str]:
        """Return who woke because of ``act``."""
        self.woken.clear()
        act()
        await wait_all_tasks_blocked()
        return list(self.woken)


def names(count: int) -> list[str]:
    return [f"w{n:02}" for n in range(count)]


async def test_news_for_everybody_wakes_everybody_of_that_task() -> None:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            waiting = Waiting(Feed(), nursery)
            await waiting.add(*names(20))
            await waiting.add("other", topic=Y)
            assert sorted(await waiting.after(lambda: waiting.feed.publish([FAILED]))) == names(20)
            nursery.cancel_scope.cancel()


async def test_news_for_a_few_wakes_the_first_who_came() -> None:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            waiting = Waiting(Feed(), nursery)
            publish = waiting.feed.publish
            await waiting.add(*names(20))
            everybody = names(20)
            first = await waiting.after(lambda: publish([CACHED]))
            assert sorted(first) == everybody[:FEW]
            second = await waiting.after(lambda: publish([CACHED]))
            assert sorted(second) == everybody[FEW : 2 * FEW]
            both = await waiting.after(lambda: publish([CACHED, CACHED]))
            assert sorted(both) == everybody[2 * FEW :], "each event wakes its own"
            assert await waiting.after(lambda: publish([CACHED])) == []


async def test_who_waits_again_stands_at_the_end() -> None:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            waiting = Waiting(Feed(), nursery)
            await waiting.add(*names(FEW), "late")
            await waiting.after(lambda: waiting.feed.publish([CACHED]))
            await waiting.add(*names(FEW))
            woken = await waiting.after(lambda: waiting.feed.publish([CACHED]))
            assert sorted(woken) == ["late", *names(FEW - 1)]
            nursery.cancel_scope.cancel()


async def test_what_concerns_nobody_who_waits_wakes_nobody() -> None:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            waiting = Waiting(Feed(), nursery)
            await waiting.add(*names(3))
            assert await waiting.after(lambda: waiting.feed.publish([ASSIGNED] * 5)) == []
            nursery.cancel_scope.cancel()


async def test_what_concerns_one_client_wakes_that_one() -> None:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            waiting = Waiting(Feed(), nursery)
            publish = waiting.feed.publish
            await waiting.add(*names(9))
            await waiting.add("w05", topic=Y)
            finished = DownloadFinished(at=0, task=X, client=ClientId("w05"))
            assert await waiting.after(lambda: publish([finished])) == ["w05"]
            # Woken that way, it does not use up what a few others are woken by.
            news = await waiting.after(lambda: publish([finished, CACHED]))
            assert sorted(news) == ["w00", "w01", "w02", "w03", "w04", "w06"]
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("kind", "concerns"),
    [
        (TaskRegistered, Concern.NOBODY),
        (TaskStarted, Concern.NOBODY),
        (TaskSized, Concern.EVERYBODY),
        (TaskFinished, Concern.EVERYBODY),
        (TaskFailed, Concern.EVERYBODY),
        (TaskPaused, Concern.EVERYBODY),  # so that they can be told why they wait
        (TaskResumed, Concern.EVERYBODY),
        (TaskPinned, Concern.NOBODY),
        (TaskUnpinned, Concern.NOBODY),
        (TaskRemoved, Concern.EVERYBODY),
        (TaskDoubted, Concern.NOBODY),
        (TaskConfirmed, Concern.EVERYBODY),
        (PieceCached, Concern.A_FEW),
        (PiecesListed, Concern.NOBODY),  # nobody can be given one by that
        (PiecesVerified, Concern.EVERYBODY),
        (PiecesLost, Concern.NOBODY),
        (DownloadStarted, Concern.NOBODY),
        (DownloadSeen, Concern.NOBODY),
        (DownloadFinished, Concern.ITS_CLIENT),  # it may have a pull waiting
        (DownloadFailed, Concern.ITS_CLIENT),
        (DownloadWithdrawn, Concern.NOBODY),
        (DownloadForgotten, Concern.NOBODY),
        (ClaimMade, Concern.NOBODY),
        (ClaimConfirmed, Concern.A_FEW),
        (ClaimRejected, Concern.NOBODY),
        (PeerAccused, Concern.NOBODY),
        (PeerCleared, Concern.NOBODY),
        (PeerWarned, Concern.A_FEW),  # others can give what it only said it had
        (PeerQuarantined, Concern.A_FEW),
        (PiecesHeld, Concern.A_FEW),
        (PieceAssigned, Concern.NOBODY),
        (PiecesOffered, Concern.NOBODY),
        (PieceFinished, Concern.A_FEW),
        (PieceFailed, Concern.A_FEW),
        (LeaseOverdue, Concern.A_FEW),
        (LeaseExpired, Concern.A_FEW),
        (LeaseReleased, Concern.A_FEW),
    ],
)
def test_whom_an_event_concerns(kind: type[TaskEvent], concerns: Concern) -> None:
    assert kind.concerns is concerns


def test_every_event_of_a_task_is_in_that_table() -> None:
    (mark,) = test_whom_an_event_concerns.pytestmark  # type: ignore[attr-defined]
    bases = (TaskEvent, ClientEvent, LeaseEvent, EvidenceFound)
    kinds = {kind for base in bases for kind in base.__subclasses__()} - set(bases)
    assert {kind for kind, _ in mark.args[1]} == kinds


@pytest.mark.parametrize(
    ("event", "topics"),
    [
        (REGISTERED, [TO_FETCH]),
        (TaskResumed(at=0, task=X), [TO_FETCH]),
        (FAILED, [TO_PREHEAT]),
        (TaskFinished(at=0, task=X, length=1, md5="", sha256=""), [TO_PREHEAT]),
        (TaskRemoved(at=0, task=X, reason=Reason.TASK_DELETED), [TO_PREHEAT, REMOVED]),
        (PreheatRegistered(at=0, preheat=PREHEAT, task=X, spec=SPEC), [TO_PREHEAT]),
        (PreheatRemoved(at=0, preheat=PREHEAT, task=X), [TO_PREHEAT]),
    ],
)
async def test_a_service_is_woken_by_what_makes_work_for_it(
    event: Event, topics: list[str]
) -> None:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            waiting = Waiting(Feed(), nursery)
            for service in (TO_FETCH, TO_PREHEAT, REMOVED):
                await waiting.add(service, topic=service)
            woken = await waiting.after(lambda: waiting.feed.publish([event]))
            assert sorted(woken) == sorted(topics)
            nursery.cancel_scope.cancel()


async def test_events_are_numbered() -> None:
    feed = Feed()
    feed.publish([CACHED, PeerLeft(at=0, peer=PeerId("p")), FAILED])
    feed.publish([])
    assert feed.seq == 3


async def test_a_nudge_wakes_a_few_of_every_topic() -> None:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            waiting = Waiting(Feed(), nursery)
            await waiting.add(*names(FEW + 1))
            await waiting.add("other", topic=Y)
            assert sorted(await waiting.after(waiting.feed.nudge)) == ["other", *names(FEW)]
            nursery.cancel_scope.cancel()


async def test_a_wait_ends_at_its_deadline(autojump_clock: MockClock) -> None:
    feed = Feed()
    before = trio.current_time()
    await feed.wait(X, before + 30)
    assert trio.current_time() == before + 30
    assert feed._topics == {}


async def test_a_wait_whose_deadline_has_passed_lets_others_run() -> None:
    with trio.testing.assert_checkpoints():
        await Feed().wait(X, trio.current_time() - 1)


async def test_who_goes_away_is_forgotten_and_takes_no_wake_up_along() -> None:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            waiting = Waiting(Feed(), nursery)
            everybody = names(2 * FEW)
            await waiting.add(*everybody)
            gone, left = everybody[:FEW], everybody[FEW:]
            for name in gone:
                waiting.scopes[name].cancel()
            await wait_all_tasks_blocked()
            assert len(waiting.feed._topics[X]) == FEW
            woken = await waiting.after(lambda: waiting.feed.publish([CACHED]))
            assert sorted(woken) == left
            assert waiting.feed._topics == {}


@pytest.mark.parametrize("order", [["go", "publish"], ["publish", "go"]])
async def test_who_goes_away_at_the_moment_of_the_news_leaves_it_to_the_next(
    order: list[str],
) -> None:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            waiting = Waiting(Feed(), nursery)
            everybody = names(FEW + 2)
            await waiting.add(*everybody)
            acts = {
                "go": waiting.scopes[everybody[0]].cancel,
                "publish": lambda: waiting.feed.publish([CACHED]),
            }
            woken = await waiting.after(lambda: [acts[name]() for name in order])
            assert sorted(woken) == everybody[1 : FEW + 1]
            nursery.cancel_scope.cancel()


async def test_news_between_a_look_and_the_wait_cannot_be_missed() -> None:
    """Looking, and waiting when there is nothing, happen without a checkpoint between."""
    feed, found = Feed(), False
    seen: list[str] = []

    async def look_until_found() -> None:
        while not found:
            await feed.wait(X, math.inf)
            seen.append("woken")

    async def find() -> None:
        nonlocal found
        found = True
        feed.publish([FAILED])

    with trio.fail_after(10):
        for first, second in ((look_until_found, find), (find, look_until_found)):
            found = False
            async with trio.open_nursery() as nursery:
                nursery.start_soon(first)
                nursery.start_soon(second)
    assert len(seen) <= 2
    assert feed._topics == {}


# Reading along.


def taken(subscription: Subscription) -> list[Published]:
    """Return the events that are there for a subscriber, who has then dealt with them."""
    events = list(subscription._feed.after(subscription.last))
    subscription.last += len(events)
    return events


def numbers(subscription: Subscription) -> list[int]:
    return [published.seq for published in taken(subscription)]


def test_a_subscriber_gets_what_comes_after_it_in_order() -> None:
    feed = Feed()
    feed.publish([FAILED])
    subscription = feed.subscribe()
    feed.publish([CACHED, FAILED])
    feed.publish([REGISTERED])
    assert [(each.seq, each.event) for each in taken(subscription)] == [
        (2, CACHED),
        (3, FAILED),
        (4, REGISTERED),
    ]


def test_a_subscriber_may_begin_in_the_past() -> None:
    feed = Feed(100)
    feed.publish([CACHED] * 5)
    assert feed.oldest == 101
    assert numbers(feed.subscribe(100)) == [101, 102, 103, 104, 105]
    assert numbers(feed.subscribe(103)) == [104, 105]
    assert numbers(feed.subscribe(105)) == []


async def test_a_subscriber_waits_for_what_comes() -> None:
    with trio.fail_after(10):
        feed = Feed()
        got: list[int] = []

        async def read(subscription: Subscription) -> None:
            for _ in range(2):
                assert await subscription.news()
                got.extend(numbers(subscription))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(read, feed.subscribe())
            for _ in range(2):
                await wait_all_tasks_blocked()
                feed.publish([CACHED])
        assert sorted(got) == [1, 1, 1, 2, 2, 2]


def test_a_subscriber_may_fall_behind_as_far_as_events_are_kept() -> None:
    feed = Feed()
    feed.publish([FAILED] * 10)
    subscription = feed.subscribe()
    feed.publish([CACHED] * RECENT)
    assert subscription.missed() is None
    assert numbers(subscription) == list(range(11, 11 + RECENT))


def test_one_that_is_too_slow_is_told_what_it_missed_and_goes_on_from_there() -> None:
    feed = Feed()
    slow, quick = feed.subscribe(), feed.subscribe()
    feed.publish([CACHED])
    assert numbers(quick) == [1]
    feed.publish([CACHED] * RECENT)
    assert slow.missed() == Gap(1, RECENT + 1)
    assert slow.missed() is None
    assert quick.missed() is None
    assert numbers(quick) == list(range(2, RECENT + 2))
    feed.publish([CACHED])
    assert numbers(slow) == numbers(quick) == [RECENT + 2]


async def test_who_stops_waiting_misses_nothing() -> None:
    with trio.fail_after(10):
        feed = Feed()
        subscription = feed.subscribe()
        with trio.move_on_after(0):
            await subscription.news()
        feed.publish([CACHED])
        assert await subscription.news()
        assert numbers(subscription) == [1]


async def test_when_the_feed_is_closed_subscribers_get_what_happened_before_and_no_more() -> None:
    with trio.fail_after(10):
        feed = Feed()
        ended: dict[str, list[int]] = {}

        async def read(name: str, subscription: Subscription) -> None:
            got: list[int] = []
            while await subscription.news():
                got += numbers(subscription)
            ended[name] = got

        async with trio.open_nursery() as nursery:
            waits = feed.subscribe()
            nursery.start_soon(read, "waits", waits)
            await wait_all_tasks_blocked()
            behind = feed.subscribe()
            feed.publish([CACHED])
            feed.close()
            late = feed.subscribe()
            feed.publish([FAILED])
            nursery.start_soon(read, "late", late)
            await wait_all_tasks_blocked()
            assert ended.pop("late") == []
            nursery.start_soon(read, "behind", behind)
        assert ended["waits"][0] == ended["behind"][0] == 1


async def test_listeners_are_told_of_every_event_at_once() -> None:
    feed = Feed()
    told: list[tuple[int, Event]] = []
    feed.listen(lambda published: told.append((published.seq, published.event)))
    feed.publish([CACHED, FAILED])
    assert told == [(1, CACHED), (2, FAILED)]
