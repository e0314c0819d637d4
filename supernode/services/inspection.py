"""Inspection: looks into what peers are accused of, by asking them for the piece as a client would.

However many accuse how many peers under whatever names, an address is asked twice a minute at most,
and so are a few at a time.
"""

from contextlib import suppress

import structlog
import trio

from supernode.core.commands import Inspection, JudgePeer, PeerHolder, TakeAccusation
from supernode.core.errors import NotFound
from supernode.core.model import Finding
from supernode.dispatch import Dispatcher
from supernode.feed import TO_INSPECT
from supernode.origin.policy import OriginPolicy
from supernode.services.asking import Pace, ask_for_piece, objection

AT_ONCE = 4
"""Each takes up to a piece of memory."""
PAUSE_SECONDS = 1.0
"""After each, so that all together take no more than a few pieces a second."""
SAME_ADDRESS_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 60.0

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
        self._pace = Pace(SAME_ADDRESS_SECONDS)

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
                finding, seen = await ask_for_piece(
                    inspection.holder,
                    inspection.piece_range,
                    inspection.piece_size,
                    inspection.digest,
                )
                self._judge(inspection, finding, seen)
                await trio.sleep(PAUSE_SECONDS)
            else:
                await trio.lowlevel.checkpoint()

    def _may_ask(self, peer: PeerHolder) -> bool:
        """Tell whether a peer may be asked now, and take note if it is."""
        if not self._pace.take((peer.ip, peer.port)):
            return False
        if problem := objection(self._policy, peer):
            log.info("a peer is accused and may not be asked", peer=peer.peer, why=problem)
        return not problem

    def _judge(self, inspection: Inspection, finding: Finding, seen: str) -> None:
        with suppress(NotFound):  # it left meanwhile
            self._dispatch(JudgePeer(inspection=inspection, finding=finding, seen=seen))
