"""Whether what peers say they have is looked for, and believed only if it is there."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_network

import pytest
import trio

from supernode.clock import Clock
from supernode.core.commands import (
    CachePiece,
    FinishFetch,
    PeerHolder,
    Pull,
    RegisterPeer,
    RegisterTask,
    RemovePeer,
    SizeTask,
    StartFetch,
)
from supernode.core.events import ClaimConfirmed, ClaimRejected, Event
from supernode.core.identity import ClientId, PeerId, TaskId
from supernode.core.model import Finding, Limits, TaskSpec
from supernode.core.pieces import TRAILER, digest_of, frame_header, pack_pieces, piece_range
from supernode.core.tracker import Tracker
from supernode.dispatch import Dispatcher
from supernode.feed import Feed, Published
from supernode.origin.policy import OriginPolicy
from supernode.services import spot_checks
from supernode.services.spot_checks import AT_ONCE, SpotChecks
from tests.integration.http_stub import StubAnswer, StubRequest, http_stub

SIZE = 4 << 20
LENGTH = 3 * (SIZE - 5) - 4_000_000
LOOPBACK = OriginPolicy([ip_network("127.0.0.0/8")])


def framed(number: int) -> bytes:
    content = bytes([number]) * min(SIZE - 5, LENGTH - number * (SIZE - 5))
    return frame_header(len(content), SIZE) + content + TRAILER


class Holder:
    """A peer's uploader; a subclass is not what it should be."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[tuple[str, str]] = []

    async def answer(self, request: StubRequest) -> StubAnswer | None:
        wanted = request.headers["range"].removeprefix("bytes=")
        self.asked.append((request.target, wanted))
        return self.piece(int(wanted.partition("-")[0]) // SIZE)

    def piece(self, number: int) -> StubAnswer | None:
        return 206, framed(number)


class World:
    """One process's tracker and its spot checks, with a file of three pieces."""

    def __init__(self, policy: OriginPolicy = LOOPBACK) -> None:
        self.feed = Feed()
        chance = random.Random(0)
        roomy = Tracker(Limits(seed_slots=40, peer_slots=20))
        self.dispatch = Dispatcher(roomy, self.feed, Clock.started_now(), chance)
        self.checks = SpotChecks(self.dispatch, policy)
        self.judged: list[ClaimConfirmed | ClaimRejected] = []
        self._judged = trio.Event()
        self.feed.listen(self._take_note)
        self.task = self.register("taker", None)

    def _take_note(self, published: Published) -> None:
        event: Event = published.event
        if isinstance(event, ClaimConfirmed | ClaimRejected):
            self.judged.append(event)
            self._judged.set()

    def register(self, client: str, peer: PeerId | None, *has: int) -> TaskId:
        spec = TaskSpec(raw_url="http://o/f", task_url="http://o/f")
        return self.dispatch(
            RegisterTask(
                spec=spec,
                client=ClientId(client),
                peer=peer,
                path=f"/peer/file/{client}?x",
                pieces=pack_pieces(has),
            )
        )

    def peer(self, client: str, port: int, *has: int) -> PeerId:
        """Let a client register that says it has these pieces."""
        command = RegisterPeer(ip="127.0.0.1", port=port, host_name=client, version="1")
        peer = self.dispatch(command)
        self.register(client, peer, *has)
        return peer

    def fetch(self, *pieces: int) -> None:
        """Let the file have come from its origin."""
        task = self.task
        generation = self.dispatch(StartFetch(task=task))
        self.dispatch(SizeTask(task=task, generation=generation, length=LENGTH))
        self.cache(*pieces or range(3))

    def cache(self, *pieces: int) -> None:
        task = self.task
        generation = self.dispatch.tracker.task(task).generation
        for piece in pieces:
            digest = digest_of(framed(piece))
            self.dispatch(CachePiece(task=task, generation=generation, piece=piece, digest=digest))

    def finish(self) -> None:
        generation = self.dispatch.tracker.task(self.task).generation
        self.dispatch(
            FinishFetch(
                task=self.task, generation=generation, length=LENGTH, md5="1" * 32, sha256="2" * 64
            )
        )

    def holders(self) -> dict[str, str]:
        """Return whom one who pulls now is sent to, by piece."""
        self.register("asks", None)
        pulled = self.dispatch(Pull(task=self.task, client=ClientId("asks"), count=10))
        return {
            a.piece_range: a.holder.peer if isinstance(a.holder, PeerHolder) else "seed"
            for a in pulled.assignments
        }

    async def until_judged(self, count: int) -> None:
        while len(self.judged) < count:
            self._judged = trio.Event()
            await self._judged.wait()
        self.dispatch.tracker.check()


@asynccontextmanager
async def checking(world: World, holder: Holder) -> AsyncIterator[None]:
    """Run the service, and a peer's uploader."""
    with trio.fail_after(20):
        async with http_stub(holder.answer) as holder.port, trio.open_nursery() as nursery:
            await nursery.start(world.checks.run)
            yield
            nursery.cancel_scope.cancel()


def whole(peer: str) -> dict[str, str]:
    return {piece_range(number, SIZE): peer for number in range(3)}


async def test_what_a_peer_has_is_offered_once_one_piece_of_it_was_found_there() -> None:
    world, holder = World(), Holder()
    async with checking(world, holder):
        world.fetch()
        peer = world.peer("c", holder.port, 0, 1, 2)
        assert world.holders() == whole("seed")
        await world.until_judged(1)
        assert world.holders() == whole(peer)
    ((target, wanted),) = holder.asked
    assert wanted in whole("")
    assert target == "/peer/file/c%3Fx"  # nothing that a peer says becomes a query


async def test_it_waits_for_a_piece_to_compare_with() -> None:
    world, holder = World(), Holder()
    async with checking(world, holder):
        world.peer("c", holder.port, 1)
        world.fetch(0)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert holder.asked == []
        world.cache(1)
        await world.until_judged(1)
    assert [wanted for _, wanted in holder.asked] == [piece_range(1, SIZE)]


class Altered(Holder):
    def piece(self, number: int) -> StubAnswer:
        return 206, framed(number)[:-1] + b"!"


class Short(Holder):
    def piece(self, number: int) -> StubAnswer:
        return 206, framed(number)[:-1]


class Forgetful(Holder):
    def piece(self, number: int) -> StubAnswer:
        return 416, b"not here yet"


class Broken(Holder):
    def piece(self, number: int) -> StubAnswer:
        return 500, b""


class Mute(Holder):
    def piece(self, number: int) -> None:
        return None


@pytest.mark.parametrize(
    ("kind", "finding"),
    [
        (Altered, Finding.WRONG),
        (Short, Finding.WRONG),
        (Forgetful, Finding.MISSING),
        (Broken, Finding.NO_ANSWER),
        (Mute, Finding.NO_ANSWER),
    ],
)
async def test_a_peer_that_has_not_got_it_is_offered_to_nobody(
    kind: type[Holder], finding: Finding
) -> None:
    world, holder = World(), kind()
    async with checking(world, holder):
        world.fetch()
        world.peer("c", holder.port, 0, 1, 2)
        await world.until_judged(1)
        (rejected,) = world.judged
        assert isinstance(rejected, ClaimRejected)
        assert (rejected.client, rejected.finding) == ("c", finding)
        assert world.holders() == whole("seed")


async def test_where_no_origin_may_be_nobody_is_asked() -> None:
    world, holder = World(OriginPolicy()), Holder()
    async with checking(world, holder):
        world.fetch()
        world.peer("c", holder.port, 0)
        await world.until_judged(1)
    assert isinstance(world.judged[0], ClaimRejected)
    assert holder.asked == []


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an address be asked as often as there is something to ask."""
    monkeypatch.setattr(spot_checks, "SAME_ADDRESS_SECONDS", 0.0)


async def test_a_few_at_a_time_and_no_one_waits_for_ever(hasty: None) -> None:
    at_once = [0]
    full = trio.Event()

    class Slow(Holder):
        """Answers when as many are asked as may be at once."""

        async def answer(self, request: StubRequest) -> StubAnswer | None:
            at_once.append(at_once[-1] + 1)
            if at_once[-1] == AT_ONCE:
                full.set()
            await full.wait()
            at_once.append(at_once[-1] - 1)
            return await super().answer(request)

    world, many = World(), 2 * AT_ONCE
    async with checking(world, Slow()), AsyncExitStack() as stack:
        world.fetch()
        for number in range(many):
            port = await stack.enter_async_context(http_stub(Slow().answer))
            world.peer(f"c{number}", port, 2)
            world.peer(f"d{number}", port, 2)
        await world.until_judged(2 * many)
    assert max(at_once) == AT_ONCE
    assert {event.client for event in world.judged} == {
        f"{x}{n}" for x in "cd" for n in range(many)
    }
    assert all(isinstance(event, ClaimConfirmed) for event in world.judged)


async def test_nobody_is_asked_twice_at_a_time(hasty: None) -> None:
    class Busy(Holder):
        busy = False

        async def answer(self, request: StubRequest) -> StubAnswer | None:
            assert not self.busy
            self.busy = True
            await trio.testing.wait_all_tasks_blocked(0.01)
            self.busy = False
            return await super().answer(request)

    world, holder = World(), Busy()
    async with checking(world, holder):
        world.fetch()
        for number in range(3):
            world.peer(f"c{number}", holder.port, 2)
        await world.until_judged(3)
    assert len(holder.asked) == 3


async def test_one_address_is_not_asked_all_the_time_whatever_its_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spot_checks, "SAME_ADDRESS_SECONDS", 1000.0)
    world, holder, other = World(), Holder(), Holder()
    async with checking(world, holder), checking(World(), other):
        world.fetch()
        for number in range(5):
            world.peer(f"c{number}", holder.port, 0, 1, 2)
        world.peer("elsewhere", other.port, 0, 1, 2)
        await world.until_judged(2)
        await trio.testing.wait_all_tasks_blocked(0.05)
    assert {event.client for event in world.judged} == {"c0", "elsewhere"}
    assert (len(holder.asked), len(other.asked)) == (1, 1)


async def test_who_was_asked_of_late_is_asked_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spot_checks, "SAME_ADDRESS_SECONDS", 0.2)
    world, holder = World(), Holder()
    async with checking(world, holder):
        world.fetch()
        world.peer("first", holder.port, 0)
        world.peer("second", holder.port, 1)
        await world.until_judged(2)
    assert [wanted for _, wanted in holder.asked] == [piece_range(0, SIZE), piece_range(1, SIZE)]


async def test_a_peer_that_leaves_while_it_is_asked_disturbs_nobody(hasty: None) -> None:
    world, leaving = World(), trio.Event()

    class Leaving(Holder):
        async def answer(self, request: StubRequest) -> StubAnswer | None:
            if "first" in request.target:
                world.dispatch(RemovePeer(peer=first))
                leaving.set()
            return await super().answer(request)

    holder = Leaving()
    async with checking(world, holder):
        world.fetch()
        world.finish()
        first = world.peer("first", holder.port, 0)
        await leaving.wait()
        second = world.peer("second", holder.port, 0, 1, 2)
        await world.until_judged(1)
        assert [event.client for event in world.judged] == ["second"]
        assert world.holders() == whole(second)
