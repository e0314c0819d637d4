"""A file as it comes from its origin: what is known of it, and its content."""

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

import trio

from supernode.core.reasons import Reason
from supernode.origin.answer import OriginAnswer
from supernode.origin.errors import OriginError
from supernode.origin.limits import Toll
from supernode.origin.pace import Pace

SMALLEST_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginBody:
    """A file that an origin has begun to send.

    Args:
        status: 200, or 206 if a range was asked for and honoured.
        first: which of the content bytes asked for comes first; 0 unless it is resumed.
        length: of all content asked for, with what came before; None if the origin did not say.
        etag: as received, quotes and all; "" if absent.
        last_modified: as received; "" if absent.
        validator: by which it may be resumed; "" if it may not.
    """

    status: int
    first: int
    length: int | None
    etag: str
    last_modified: str
    validator: str
    _blocks: "Blocks"

    def chunks(self) -> AsyncIterator[bytes]:
        """Return the iterator over the content: blocks of at least 64 KiB, but for the last.

        There is one; it may be left at any point. The origin may pause for the stall time, and
        has to keep to the least rate.

        Raises:
            OriginError: ORIGIN_STALLED, ORIGIN_LENGTH or ORIGIN_BROKEN, while iterating.
        """
        return self._blocks


class Blocks:
    """Iterator over an answer's content. Not a generator: nobody has to close it.

    Small blocks (tiny HTTP chunks, TLS records, a slow link) are gathered, so that an origin
    cannot make its file cost more than its bytes. What came before a failure comes before it.

    Args:
        answer: whose content.
        toll: what is paid for it; the origin is not to blame for the time that takes.
        stall_timeout: seconds the origin may pause.
        pace: how fast it has to be.
    """

    def __init__(self, answer: OriginAnswer, toll: Toll, stall_timeout: float, pace: Pace) -> None:
        self._answer = answer
        self._toll = toll
        self._stall_timeout = stall_timeout
        self._pace = pace
        self._block = b""
        self._failure: OriginError | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        try:
            with trio.fail_after(self._stall_timeout) as scope:
                await self._gather(scope)
        except trio.TooSlowError:
            problem = f"{self._answer.so_far}, then nothing for {self._stall_timeout:g} s"
            self._failure = OriginError(Reason.ORIGIN_STALLED, problem, may_pass=True)
        except OriginError as error:
            self._failure = error
        if self._block:
            return self._block
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def _gather(self, scope: trio.CancelScope) -> None:
        """Receive the next block, nothing at the end; whatever arrives puts the deadline off."""
        self._block = b""
        self._block = await self._arrival(scope)
        if len(self._block) >= SMALLEST_BLOCK:
            return
        gathered = bytearray(self._block)
        try:
            while len(gathered) < SMALLEST_BLOCK and (block := await self._arrival(scope)):
                gathered += block
        finally:
            self._block = bytes(gathered)

    async def _arrival(self, scope: trio.CancelScope) -> bytes:
        begun = trio.current_time()
        scope.deadline = begun + self._stall_timeout
        block = await self._answer.receive()
        slow = self._pace.too_slow(len(block), trio.current_time() - begun)
        if slow and block:  # rather than the end, which may come slowly
            problem = f"{self._answer.so_far}, {slow}"
            raise OriginError(Reason.ORIGIN_STALLED, problem, may_pass=True)
        if not self._toll.is_free:
            scope.deadline = math.inf
            await self._toll.pay(len(block))
        return block
