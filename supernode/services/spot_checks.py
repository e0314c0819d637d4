"""Spot checks: whether peers have what their clients say that they have from before.

A supernode that has lost its memory is told by its clients what they hold. Each one's word is
checked once: one piece, drawn by the core, is asked of the client's peer and compared with the
record. What is not there is offered to nobody; nothing else follows, for who names a peer need not
be that peer, and the file may have changed since.
"""

from contextlib import suppress

import structlog
import trio

from supernode.core.commands import DrawSpotCheck, JudgeClaim, SpotCheck
from supernode.core.errors import NotFound
from supernode.core.model import Finding
from supernode.dfget.http import Address
from supernode.dispatch import Dispatcher
from supernode.feed import TO_CHECK
from supernode.origin.policy import OriginPolicy
from supernode.services.asking import Pace, ask_for_piece, objection

AT_ONCE = 4
"""Each takes up to a piece of memory, and what it receives is lost to serving."""
SAME_ADDRESS_SECONDS = 3.0
"""A peer may have several files, and is offered with all of them soon after a restart."""
LOOK_AGAIN_SECONDS = 60.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class SpotChecks:
    """The service. Reads from the tracker what is to be checked.

    Args:
        dispatch: the door to the tracker.
        policy: who may be contacted.
    """

    def __init__(self, dispatch: Dispatcher, policy: OriginPolicy) -> None:
        self._dispatch = dispatch
        self._policy = policy
        self._pace = Pace(SAME_ADDRESS_SECONDS)
        self._under_way: set[Address] = set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Check claims until cancelled; those under way then are as if they had not begun."""
        self._under_way.clear()
        async with trio.open_nursery() as workers:
            for _ in range(AT_ONCE):
                workers.start_soon(self._work)
            task_status.started()

    async def _work(self) -> None:
        while True:
            claim, address = await self._next_claim()
            self._under_way.add(address)
            try:
                with suppress(NotFound):  # it was settled meanwhile
                    await self._check(claim)
            finally:
                self._under_way.remove(address)
                self._dispatch.feed.wake(TO_CHECK)
            await trio.lowlevel.checkpoint()  # there are checks that need nobody

    async def _next_claim(self) -> tuple[int, Address]:
        """Return the oldest claim whose peer may be asked now; wait until there is one."""
        while True:
            now = trio.current_time()
            again = now + LOOK_AGAIN_SECONDS
            for claim, peer in self._dispatch.tracker.claims_to_check():
                address = peer.ip, peer.port
                if address in self._under_way:
                    continue
                may_be_asked = self._pace.next_at(address)
                if may_be_asked <= now:
                    return claim, address
                again = min(again, may_be_asked)
            await self._dispatch.feed.wait(TO_CHECK, again)

    async def _check(self, claim: int) -> None:
        check = self._dispatch(DrawSpotCheck(claim=claim))
        if check is not None:
            finding, seen = await self._found(check)
            self._dispatch(JudgeClaim(claim=claim, piece=check.piece, finding=finding, seen=seen))

    async def _found(self, check: SpotCheck) -> tuple[Finding, str]:
        holder = check.holder
        self._pace.take((holder.ip, holder.port))
        if problem := objection(self._policy, holder):
            log.info("a peer may not be asked for what it has", peer=holder.peer, why=problem)
            return Finding.NO_ANSWER, problem
        return await ask_for_piece(holder, check.piece_range, check.piece_size, check.digest)
