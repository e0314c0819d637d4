"""Spot checks: whether peers have what their clients say that they have from before.

A supernode that has lost its memory is told by its clients what they hold. Each one's word is
checked once: one piece, drawn by the core, is fetched from the client's peer, as any other peer
would, and compared with the record.
"""

from contextlib import closing
from ipaddress import ip_address

import structlog
import trio

from supernode.core.commands import DrawSpotCheck, JudgeClaim, SpotCheck
from supernode.core.errors import NotFound, TaskConflict
from supernode.core.model import Finding
from supernode.core.pieces import digest_of
from supernode.dfget.http import HttpClient, HttpError, StatusError, target_of
from supernode.dfget.rate import TokenBucket
from supernode.dispatch import Dispatcher
from supernode.feed import TO_CHECK
from supernode.origin.policy import OriginPolicy
from supernode.version import VERSION

MOST_AT_ONCE = 4
"""Each takes a piece of memory, and what it receives is lost to serving."""
LOOK_AGAIN_SECONDS = 60.0
STALL_SECONDS = 10.0
LONGEST_SECONDS = 60.0
"""For a whole piece; its peer may be busy with others."""
_HAS_IT_NOT = frozenset({404, 410, 416})
_NO_LIMIT = TokenBucket(0)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class SpotChecks:
    """The service. Reads from the tracker what is to be checked.

    Args:
        dispatch: the door to the tracker.
        policy: who may be contacted: where a peer is says whoever registers it.
    """

    def __init__(self, dispatch: Dispatcher, policy: OriginPolicy) -> None:
        self._dispatch = dispatch
        self._policy = policy
        self._begun: set[int] = set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Check claims until cancelled; those under way then are as if they had not begun."""
        self._begun.clear()
        slots = trio.Semaphore(MOST_AT_ONCE)
        with closing(HttpClient(user_agent=f"supernode/{VERSION}")) as http:
            async with trio.open_nursery() as checks:
                task_status.started()
                while True:
                    await slots.acquire()
                    claim = await self._next_claim()
                    self._begun.add(claim)
                    checks.start_soon(self._check, claim, http, slots)

    async def _next_claim(self) -> int:
        while True:
            claims = self._dispatch.tracker.claims_to_check()
            claim = next((claim for claim in claims if claim not in self._begun), None)
            if claim is not None:
                return claim
            await self._dispatch.feed.wait(TO_CHECK, trio.current_time() + LOOK_AGAIN_SECONDS)

    async def _check(self, claim: int, http: HttpClient, slots: trio.Semaphore) -> None:
        """Check one claim, unless it is withdrawn meanwhile."""
        try:
            check = self._dispatch(DrawSpotCheck(claim=claim))
            if check is not None:
                finding = await self._found(check, http)
                self._dispatch(JudgeClaim(claim=claim, piece=check.piece, finding=finding))
        except (NotFound, TaskConflict) as error:
            log.debug("a spot check is moot", problem=str(error))
        finally:
            self._begun.discard(claim)
            slots.release()

    async def _found(self, check: SpotCheck, http: HttpClient) -> Finding:
        """Fetch the piece, if its peer may be contacted, and compare it with the record."""
        holder = check.holder
        objection = self._policy.objection(ip_address(holder.ip), holder.port)
        if objection is not None:
            log.info("a peer may not be asked for what it has", peer=holder.peer, why=objection)
            return Finding.NO_ANSWER
        return await _ask(check, http)


async def _ask(check: SpotCheck, http: HttpClient) -> Finding:
    holder, into = check.holder, bytearray(check.piece_size)
    try:
        received = await http.fetch(
            (holder.ip, holder.port),
            target_of(holder.path),
            check.piece_range,
            memoryview(into),
            stall=STALL_SECONDS,
            total=LONGEST_SECONDS,
            limit=_NO_LIMIT,
        )
    except StatusError as error:
        return Finding.MISSING if error.status in _HAS_IT_NOT else Finding.NO_ANSWER
    except HttpError:
        return Finding.NO_ANSWER
    digest = await trio.to_thread.run_sync(digest_of, memoryview(into)[:received])
    return Finding.RIGHT if digest == check.digest else Finding.WRONG
