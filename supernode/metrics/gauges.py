"""How things stand, looked up in the tracker whenever somebody asks. O(peers and downloads)."""

import platform
import sys
from collections import Counter as Tally
from collections.abc import Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric

from supernode.core.model import CdnStatus, PreheatStatus
from supernode.core.tracker import Tracker
from supernode.metrics.series import MOST_SERIES, OTHER, Labels
from supernode.version import REVISION, VERSION

_V1 = "dragonfly_supernode_"


class Gauges:
    """Looks things up.

    Args:
        tracker: where.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def families(self) -> Iterable[Metric]:
        """Yield what is exposed."""
        yield self._build_info()
        yield self._peers()
        yield self._tasks()
        yield self._downloads()
        yield self._peers_by_state()
        yield self._preheats()
        yield GaugeMetricFamily(
            "supernode_leases", "Pieces that are under way", len(self._tracker.state.leases)
        )

    def _build_info(self) -> Metric:
        about = {
            "arch": platform.machine(),
            "goversion": f"python{platform.python_version()}",
            "os": sys.platform,
            "revision": REVISION,
            "version": VERSION,
        }
        family = GaugeMetricFamily(
            f"{_V1}build_info",
            "1; which program this is, goversion being that of its language",
            labels=tuple(about),
        )
        family.add_metric(tuple(about.values()), 1)
        return family

    def _peers(self) -> Metric:
        return _family(
            f"{_V1}peers",
            "Peers that are known, by their addresses",
            ("peer",),
            _largest(Tally((peer.ip,) for peer in self._tracker.peers())),
        )

    def _tasks(self) -> Metric:
        counts: Tally[Labels] = Tally({(status.value,): 0 for status in CdnStatus})
        counts.update((task.status.value,) for task in self._tracker.tasks())
        return _family(
            f"{_V1}tasks",
            "Files that are known, by how far the supernode's own copies are",
            ("cdnstatus",),
            counts,
        )

    def _downloads(self) -> Metric:
        counts: Tally[Labels] = Tally()
        for task in self._tracker.tasks():
            statuses = Tally(download.status for download in task.downloads.values())
            for status, count in statuses.items():
                counts[task.spec.call_system, status.value] += count
        return _family(
            f"{_V1}dfgettasks",
            "Downloads that are known",
            ("callsystem", "status"),
            _largest(counts),
        )

    def _peers_by_state(self) -> Metric:
        counts: Tally[Labels] = Tally({("quarantined",): 0, ("silent",): 0, ("alive",): 0})
        for peer in self._tracker.peers():
            state = "quarantined" if peer.quarantined else "silent" if peer.silent else "alive"
            counts[state,] += 1
        return _family(
            "supernode_peers",
            "Peers that are known: alive, silent (asked last) or quarantined (never asked)",
            ("state",),
            counts,
        )

    def _preheats(self) -> Metric:
        counts: Tally[Labels] = Tally({(status.value,): 0 for status in PreheatStatus})
        counts.update((preheat.status.value,) for preheat in self._tracker.preheats())
        return _family("supernode_preheats", "Preheats that are known", ("status",), counts)


def _family(name: str, about: str, labels: tuple[str, ...], counts: Mapping[Labels, int]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


def _largest(counts: Tally[Labels]) -> Mapping[Labels, int]:
    """Return as many as there is room for, and the sum of the others."""
    if len(counts) <= MOST_SERIES:
        return counts
    kept = dict(counts.most_common(MOST_SERIES))
    others = (OTHER,) * len(next(iter(kept)))
    return kept | {others: counts.total() - sum(kept.values()) + kept.get(others, 0)}
