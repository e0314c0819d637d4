"""How much is asked of origins at once: connections and bandwidth, of each and of all."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

import trio

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError

QUEUE_SECONDS = 600.0
"""How long a fetch waits for its connection. The origin is not to blame for that, so it is not
part of the time that the origin has to answer."""
BURST_SECONDS = 0.1


class OriginLimits:
    """Lets so many connections exist, and so many bytes pass.

    Args:
        max_connections: in all.
        max_connections_per_origin: to one host and port.
        rate: bytes/s of content in all; None: no limit.
        rate_per_origin: bytes/s of content from one host and port; None: no limit.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        max_connections_per_origin: int,
        rate: float | None,
        rate_per_origin: float | None,
    ) -> None:
        self._slots = trio.Semaphore(max_connections)
        self._buckets = _buckets(rate)
        self._slots_per_origin = max_connections_per_origin
        self._rate_per_origin = rate_per_origin
        self._lanes: dict[str, _Lane] = {}

    @asynccontextmanager
    async def connection(self, origin: str) -> AsyncIterator["Toll"]:
        """Wait until a connection to ``origin`` is free; have it while the context lasts.

        First come, first served.

        Args:
            origin: host and port.

        Raises:
            OriginError: TOO_MANY_FETCHES, after ``QUEUE_SECONDS``.
        """
        with self._lane(origin) as lane, ExitStack() as taken:
            try:
                with trio.fail_after(QUEUE_SECONDS):
                    for slots in (lane.slots, self._slots):  # one slow origin holds up no other
                        await slots.acquire()
                        taken.callback(slots.release)
            except trio.TooSlowError:
                problem = f"{origin}: no connection was free within {QUEUE_SECONDS:g} s"
                raise OriginError(Reason.TOO_MANY_FETCHES, problem) from None
            yield Toll((*lane.buckets, *self._buckets))

    @contextmanager
    def _lane(self, origin: str) -> Iterator["_Lane"]:
        """Offer the origin's lane, which exists as long as somebody is in it."""
        lane = self._lanes.get(origin)
        if lane is None:
            slots = trio.Semaphore(self._slots_per_origin)
            lane = self._lanes[origin] = _Lane(slots, _buckets(self._rate_per_origin))
        lane.users += 1
        try:
            yield lane
        finally:
            lane.users -= 1
            if not lane.users:
                del self._lanes[origin]


class TokenBucket:
    """Lets ``rate`` bytes/s through, shared by all who take from it in the order they come.

    Bytes are paid for after they have passed. It holds at most a tenth of a second's worth.

    Args:
        rate: bytes/s, above 0.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._paid_until = float("-inf")

    def charge(self, amount: int) -> float:
        """Return when ``amount`` bytes are paid for, on Trio's clock."""
        earliest = trio.current_time() - BURST_SECONDS
        self._paid_until = max(self._paid_until, earliest) + amount / self.rate
        return self._paid_until


@dataclass(frozen=True, slots=True)
class Toll:
    """What the content of one connection costs: time."""

    _buckets: tuple[TokenBucket, ...]

    @property
    def is_free(self) -> bool:
        """Whether there is no limit."""
        return not self._buckets

    async def pay(self, amount: int) -> None:
        """Wait until ``amount`` bytes are paid for; only if it is not free."""
        await trio.sleep_until(max([bucket.charge(amount) for bucket in self._buckets]))

    def read_size(self, most: int) -> int:
        """Return how much to read at a time, up to ``most``.

        A tenth of a second's worth, so that a slow transfer pauses briefly and often: an origin
        hangs up on who pauses for long.
        """
        rates = [bucket.rate * BURST_SECONDS for bucket in self._buckets]
        return max(1024, min([most, *map(int, rates)]))


@dataclass(slots=True)
class _Lane:
    slots: trio.Semaphore
    buckets: tuple[TokenBucket, ...]
    users: int = 0


def _buckets(rate: float | None) -> tuple[TokenBucket, ...]:
    return () if rate is None else (TokenBucket(rate),)
