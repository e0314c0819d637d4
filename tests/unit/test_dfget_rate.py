import pytest
import trio
from trio.testing import MockClock

from supernode.dfget.rate import BURST_SECONDS, TokenBucket


async def test_without_a_limit_nothing_waits(autojump_clock: MockClock) -> None:
    bucket = TokenBucket(0)
    began = trio.current_time()
    for _ in range(100):
        assert await bucket.take(1 << 30) == 0
    assert trio.current_time() == began


async def test_the_rate_is_kept_by_all_together(autojump_clock: MockClock) -> None:
    bucket = TokenBucket(1000)
    began = trio.current_time()

    async def take_often() -> None:
        for _ in range(100):
            await bucket.take(50)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_often)
        nursery.start_soon(take_often)
    assert trio.current_time() - began == pytest.approx(10 - BURST_SECONDS)


async def test_idle_time_is_not_saved_up(autojump_clock: MockClock) -> None:
    bucket = TokenBucket(1000)
    await trio.sleep(60)
    began = trio.current_time()
    await bucket.take(2000)
    assert trio.current_time() - began == pytest.approx(2 - BURST_SECONDS)


async def test_the_wait_is_told(autojump_clock: MockClock) -> None:
    bucket = TokenBucket(1000)
    began = trio.current_time()
    told = await bucket.take(1000) + await bucket.take(1000)
    assert told == pytest.approx(trio.current_time() - began)
