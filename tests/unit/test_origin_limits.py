"""How fetches share connections and bandwidth, on a virtual clock."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supernode.core.reasons import Reason
from supernode.origin.body import SMALLEST_BLOCK, Blocks
from supernode.origin.errors import OriginError
from supernode.origin.limits import QUEUE_SECONDS, OriginLimits, Toll
from supernode.origin.pace import LEAST_RATE, WINDOW_SECONDS, Pace


def limits(**given: Any) -> OriginLimits:  # noqa: ANN401
    unlimited: dict[str, Any] = {
        "max_connections": 99,
        "max_connections_per_origin": 99,
        "rate": None,
        "rate_per_origin": None,
    }
    return OriginLimits(**unlimited | given)


class Fetchers:
    """Fetches that hold their connections until they are told to let go."""

    def __init__(self, shared: OriginLimits, nursery: trio.Nursery) -> None:
        self._limits = shared
        self._nursery = nursery
        self._scopes: dict[str, trio.CancelScope] = {}
        self.connected: list[str] = []

    async def start(self, name: str, origin: str) -> None:
        self._nursery.start_soon(self._fetch, name, origin)
        await wait_all_tasks_blocked()

    async def end(self, name: str) -> None:
        self._scopes[name].cancel()
        await wait_all_tasks_blocked()

    async def _fetch(self, name: str, origin: str) -> None:
        with trio.CancelScope() as self._scopes[name]:
            async with self._limits.connection(origin):
                self.connected.append(name)
                await trio.sleep_forever()


async def test_a_fetch_waits_for_a_connection_in_turn(nursery: trio.Nursery) -> None:
    fetchers = Fetchers(limits(max_connections=2), nursery)
    for name in "abcd":
        await fetchers.start(name, f"{name}.test:80")
    assert fetchers.connected == ["a", "b"]
    await fetchers.end("c")  # gives up waiting
    await fetchers.end("a")
    assert fetchers.connected == ["a", "b", "d"]


async def test_who_waits_for_one_origin_keeps_nobody_from_another(nursery: trio.Nursery) -> None:
    fetchers = Fetchers(limits(max_connections=2, max_connections_per_origin=1), nursery)
    for name in ("a1", "a2", "a3"):
        await fetchers.start(name, "a.test:80")
    await fetchers.start("b1", "b.test:80")
    assert fetchers.connected == ["a1", "b1"]
    await fetchers.end("a1")
    assert fetchers.connected == ["a1", "b1", "a2"]


async def test_nobody_waits_for_ever(autojump_clock: MockClock) -> None:
    shared = limits(max_connections=1)
    async with shared.connection("a.test:80"):
        start = trio.current_time()
        with pytest.raises(OriginError) as caught:
            async with shared.connection("b.test:80"):
                pass
        assert trio.current_time() - start == pytest.approx(QUEUE_SECONDS)
    assert caught.value.reason is Reason.TOO_MANY_FETCHES
    assert "b.test:80" in caught.value.detail
    async with shared.connection("b.test:80"):
        pass  # and nothing is left behind


async def take(shared: OriginLimits, origin: str, amount: int, ended: dict[str, float]) -> None:
    async with shared.connection(origin) as toll:
        for _ in range(100):
            await toll.pay(amount // 100)
        ended[origin] = trio.current_time()


async def test_all_fetches_share_the_rate_fairly(autojump_clock: MockClock) -> None:
    shared = limits(rate=1000)
    ended: dict[str, float] = {}
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for name in ("a.test:80", "b.test:80"):
            nursery.start_soon(take, shared, name, 5000, ended)
    for end in ended.values():
        assert end - start == pytest.approx(10, abs=0.2)


async def test_fetches_from_one_origin_share_its_rate(autojump_clock: MockClock) -> None:
    shared = limits(rate=4000, rate_per_origin=1000)
    ended: dict[str, float] = {}
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take, shared, "a.test:80", 5000, ended)
        nursery.start_soon(take, shared, "a.test:80", 5000, {})
        nursery.start_soon(take, shared, "b.test:80", 5000, ended)
    assert ended["a.test:80"] - start == pytest.approx(10, abs=0.2)
    assert ended["b.test:80"] - start == pytest.approx(5, abs=0.2)


async def test_time_that_was_not_used_is_not_saved_up(autojump_clock: MockClock) -> None:
    shared = limits(rate=1000)
    async with shared.connection("a.test:80") as toll:
        await toll.pay(1000)
        await trio.sleep(100)
        start = trio.current_time()
        await toll.pay(1000)
        assert trio.current_time() - start == pytest.approx(0.9)


async def test_without_a_rate_nothing_waits() -> None:
    async with limits().connection("a.test:80") as toll:
        assert toll.is_free
        assert toll.read_size(1 << 18) == 1 << 18


async def test_a_slow_transfer_is_read_in_small_bits() -> None:
    async with limits(rate=1e9, rate_per_origin=100_000).connection("a.test:80") as toll:
        assert toll.read_size(1 << 18) == 10_000
    async with limits(rate=1).connection("a.test:80") as toll:
        assert toll.read_size(1 << 18) == 1024


class Steady:
    """An answer whose content comes block by block.

    Args:
        every: seconds before each block, and before the end.
        blocks: the content.
    """

    so_far = "so far"

    def __init__(self, every: float, *blocks: bytes) -> None:
        self._every = every
        self._blocks = list(blocks)

    async def receive(self) -> bytes:
        await trio.sleep(self._every)
        return self._blocks.pop(0) if self._blocks else b""


def blocks(content: Any, toll: Toll, stall_timeout: float) -> Blocks:  # noqa: ANN401
    return Blocks(content, toll, stall_timeout, Pace(LEAST_RATE, WINDOW_SECONDS))


@pytest.mark.parametrize("size", [100, SMALLEST_BLOCK])
async def test_the_time_that_a_limit_takes_is_no_stall(
    autojump_clock: MockClock, size: int
) -> None:
    content = Steady(0, *[bytes(size)] * 3)
    start = trio.current_time()
    async with limits(rate=size / 60).connection("a.test:80") as toll:
        taken = [len(block) async for block in blocks(content, toll, stall_timeout=1)]
    assert sum(taken) == 3 * size
    assert trio.current_time() - start > 120


async def test_an_origin_that_is_too_slow_has_stalled(autojump_clock: MockClock) -> None:
    start = trio.current_time()
    async with limits().connection("a.test:80") as toll:
        with pytest.raises(OriginError) as caught:
            async for _ in blocks(Steady(20, *[b"x"] * 9), toll, stall_timeout=30):
                pass
    assert trio.current_time() - start == 60
    assert caught.value.reason is Reason.ORIGIN_STALLED
    assert caught.value.detail == "so far, only 3 bytes in 60 s"


async def test_an_origin_that_becomes_too_slow_has_stalled(autojump_clock: MockClock) -> None:
    quick = [bytes(1 << 20)] * 6
    start = trio.current_time()
    async with limits().connection("a.test:80") as toll:
        with pytest.raises(OriginError):
            async for _ in blocks(Steady(20, *quick, *[b"x"] * 9), toll, stall_timeout=30):
                pass
    assert trio.current_time() - start == 180


async def test_an_origin_may_pause_if_it_is_fast_enough_else(autojump_clock: MockClock) -> None:
    content = Steady(29, *[bytes(30 * 1024)] * 20)
    async with limits().connection("a.test:80") as toll:
        taken = [len(block) async for block in blocks(content, toll, stall_timeout=30)]
    assert sum(taken) == 20 * 30 * 1024


async def test_a_small_file_may_end_late(autojump_clock: MockClock) -> None:
    content = Steady(25, b"x", b"x")
    async with limits().connection("a.test:80") as toll:
        assert [block async for block in blocks(content, toll, stall_timeout=30)] == [b"xx"]


async def test_the_time_that_the_taker_takes_is_not_the_origins(autojump_clock: MockClock) -> None:
    content = Steady(0.001, *[bytes(SMALLEST_BLOCK)] * 9)
    taken = 0
    async with limits().connection("a.test:80") as toll:
        async for block in blocks(content, toll, stall_timeout=30):
            taken += len(block)
            await trio.sleep(1000)  # a disk that is this slow
    assert taken == 9 * SMALLEST_BLOCK
