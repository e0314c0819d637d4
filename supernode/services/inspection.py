"""Inspection: looks into what peers are accused of, by asking them for the piece as a client would.

Where a peer is says whoever registers it, so these requests could be meant for somebody else. They
go nowhere that the URL of a task could not have led: the policy for origins judges every address.
Each is one GET, under the path that others are sent to, without a query and without following
redirects; what comes is weighed and thrown away. However many accuse how many peers under whatever
names, an address is asked twice a minute at most, and so are a few at a time.
"""

from contextlib import suppress
from ipaddress import ip_address

import structlog
import trio

from supernode.core.commands import Inspection, JudgePeer, PeerHolder, TakeAccusation
from supernode.core.errors import NotFound
from supernode.core.model import Finding
from supernode.core.pieces import digest_of
from supernode.dfget.http import HttpClient, HttpError, StatusError, WrongLength, target_of
from supernode.dfget.rate import TokenBucket
from supernode.dispatch import Dispatcher
from supernode.feed import TO_INSPECT
from supernode.origin.policy import OriginPolicy

AT_ONCE = 4
"""Each takes up to a piece of memory."""
PAUSE_SECONDS = 1.0
"""After each, so that all together take no more than a few pieces a second."""
SAME_ADDRESS_SECONDS = 30.0
CONNECT_SECONDS = 3.0
STALL_SECONDS = 5.0
LONGEST_SECONDS = 20.0
"""For a whole piece; shorter than what lies between two requests to one address."""
LOOK_AGAIN_SECONDS = 60.0
LONGEST_DETAIL = 200
_HAS_IT_NOT = frozenset({404, 410, 416})
_NO_LIMIT = TokenBucket(0)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Inspector:
    """The service.

    Args:
        dispatch: the door to the tracker.
        policy: who may be contacted.
    """

    def __init__(self, dispatch: Dispatcher, policy: OriginPolicy) -> None:
        self._dispatch = dispatch
        self._policy = policy
        self._asked: dict[tuple[str, int], float] = {}
        """When addresses were asked of late, on Trio's clock, the longest ago first."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look into whatever comes up, until cancelled."""
        async with trio.open_nursery() as workers:
            for _ in range(AT_ONCE):
                workers.start_soon(self._work)
            task_status.started()

    async def _work(self) -> None:
        while True:
            inspection = self._dispatch(TakeAccusation())
            if inspection is None:
                again = trio.current_time() + LOOK_AGAIN_SECONDS
                await self._dispatch.feed.wait(TO_INSPECT, again)
            elif self._may_ask(inspection.holder):
                finding, seen = await _ask(inspection)
                self._judge(inspection, finding, seen)
                await trio.sleep(PAUSE_SECONDS)
            else:
                await trio.lowlevel.checkpoint()

    def _may_ask(self, peer: PeerHolder) -> bool:
        """Tell whether a peer may be asked now, and take note if it is."""
        address, now = (peer.ip, peer.port), trio.current_time()
        while self._asked:
            oldest = next(iter(self._asked))
            if now - self._asked[oldest] < SAME_ADDRESS_SECONDS:
                break
            del self._asked[oldest]
        if address in self._asked:
            return False
        self._asked[address] = now
        objection = self._policy.objection(ip_address(peer.ip), peer.port)
        if objection is not None:
            log.info("a peer is accused and may not be asked", peer=peer.peer, why=objection)
        return objection is None

    def _judge(self, inspection: Inspection, finding: Finding, seen: str) -> None:
        with suppress(NotFound):  # it left meanwhile
            self._dispatch(
                JudgePeer(inspection=inspection, finding=finding, seen=seen[:LONGEST_DETAIL])
            )


async def _ask(inspection: Inspection) -> tuple[Finding, str]:
    """Ask a peer for the piece; return what came of it, and that in detail."""
    holder, into = inspection.holder, bytearray(inspection.piece_size)
    http = HttpClient(connect_timeout=CONNECT_SECONDS)
    try:
        received = await http.fetch(
            (holder.ip, holder.port),
            target_of(holder.path),
            inspection.piece_range,
            memoryview(into),
            stall=STALL_SECONDS,
            total=LONGEST_SECONDS,
            limit=_NO_LIMIT,
        )
    except StatusError as error:
        has_not = error.status in _HAS_IT_NOT
        return Finding.MISSING if has_not else Finding.NO_ANSWER, str(error)
    except WrongLength as error:
        return Finding.WRONG, str(error)
    except HttpError as error:
        return Finding.NO_ANSWER, str(error)
    finally:
        http.close()
    digest = await trio.to_thread.run_sync(digest_of, memoryview(into)[:received])
    return Finding.RIGHT if digest == inspection.digest else Finding.WRONG, digest
