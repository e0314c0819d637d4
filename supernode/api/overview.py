"""``/overview``: the supernode at a glance."""

from collections import Counter
from collections.abc import Callable

from supernode.api.answers import as_json, moment
from supernode.api.swarm_models import (
    BytesBySource,
    DiskInfo,
    Overview,
    PeerCounts,
    TrafficHistory,
)
from supernode.api.traffic import Traffic
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Request
from supernode.storage.disk_space import DiskUse


class Overviews:
    """The operation.

    Args:
        dispatch: the door to the tracker.
        traffic: what came from where.
        disk: tells how full the disk was when somebody last looked.
    """

    def __init__(
        self, dispatch: Dispatcher, traffic: Traffic, disk: Callable[[], DiskUse | None]
    ) -> None:
        self._dispatch = dispatch
        self._traffic = traffic
        self._disk = disk

    def get(self, _request: Request) -> Answer:
        """``GET /overview``: counts and amounts, and the traffic of the last ten minutes."""
        state, limits = self._dispatch.tracker.state, self._dispatch.tracker.limits
        clock = self._dispatch.clock
        came = self._traffic.total
        overview = Overview(
            started=moment(clock.start_wall),
            time=moment(clock.now()),
            peers=PeerCounts(
                known=len(state.peers),
                silent=len(state.silent_peers),
                quarantined=len(state.quarantined),
            ),
            tasks=dict(Counter(task.status.value for task in state.tasks.values())),
            paused=sum(task.paused for task in state.tasks.values()),
            preheats=dict(Counter(preheat.status.value for preheat in state.preheats.values())),
            running=sum(task.running for task in state.tasks.values()),
            leases=len(state.leases),
            seed_slots=limits.seed_slots,
            peer_slots=limits.peer_slots,
            bytes_from=BytesBySource(origin=came.origin, seed=came.seed, peers=came.peers),
            traffic=self._history(clock.now()),
        )
        if use := self._disk():
            overview.disk = DiskInfo(total=use.total, free=use.free, cached=use.cached)
        return as_json(200, overview)

    def _history(self, now: float) -> TrafficHistory:
        until, seconds = self._traffic.history.seconds(now)
        return TrafficHistory(
            until=until,
            origin=[amounts.origin for amounts in seconds],
            seed=[amounts.seed for amounts in seconds],
            peers=[amounts.peers for amounts in seconds],
        )
