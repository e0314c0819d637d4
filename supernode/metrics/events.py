"""What has happened to files, peers and pieces, counted event by event."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from supernode.core.events import (
    DownloadFailed,
    DownloadStarted,
    Event,
    PeerExpired,
    PieceCached,
    PieceFinished,
    TaskFailed,
    TaskFinished,
    TaskRemoved,
    TaskStarted,
)
from supernode.core.identity import TaskId
from supernode.core.pieces import FRAME_BYTES, digest_length
from supernode.core.reasons import Reason
from supernode.core.tracker import Tracker
from supernode.metrics.series import Counter, Histogram

_V1 = "dragonfly_supernode_"
_LET_GO = (Reason.TASK_EVICTED, Reason.TASK_EXPIRED, Reason.TASK_UNWANTED)
_PIECE_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120)


class EventMetrics:
    """Counts the events.

    Args:
        tracker: knows what they are about.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._events: Tally[type[Event]] = Tally()
        self._last_eviction = 0.0
        self._registrations = Counter(
            f"{_V1}tasks_registered_total", "Registrations of clients that were accepted"
        )
        self._downloads = Counter(
            f"{_V1}dfgettasks_registered_total", "Downloads that were begun", ("callsystem",)
        )
        self._failed_downloads = Counter(
            f"{_V1}dfgettasks_failed_total", "Downloads that failed", ("callsystem",)
        )
        self._seed_bytes = Counter(
            f"{_V1}pieces_downloaded_size_bytes_total",
            "Framed bytes of the pieces that clients took from the supernode",
        )
        self._ends = Counter(
            f"{_V1}cdn_trigger_total", "Files that were made available, or could not be"
        )
        self._failures = Counter(f"{_V1}cdn_trigger_failed_total", "Those that could not be")
        self._hits = Counter(
            f"{_V1}cdn_cache_hit_total", "Files of an earlier process found in the cache, whole"
        )
        self._fetches = Counter(f"{_V1}cdn_download_total", "Fetches from origins that began")
        self._failed_fetches = Counter(
            f"{_V1}cdn_download_failed_total", "Fetches that failed because of the origin"
        )
        self._fetched_bytes = Counter(
            f"{_V1}cdn_download_size_bytes_total", "Bytes of the files that were fetched, whole"
        )
        self._let_go = Counter(
            f"{_V1}gc_tasks_total", "Tasks that were let go of for their age or for room"
        )
        self._peers_gone = Counter(
            f"{_V1}gc_peers_total", "Peers that fell silent and were dropped"
        )
        self._evictions = Counter(f"{_V1}gc_disks_total", "Files that were removed to make room")
        self._taken = Counter(
            "supernode_taken_bytes_total",
            "Bytes of content that clients took, from the seed or from peers",
            ("from",),
        )
        self._piece_seconds = Histogram(
            "supernode_piece_seconds",
            "From a piece's assignment to the report that its client has it, by who gave it",
            _PIECE_SECONDS,
            ("from",),
        )
        self._cached_bytes = Counter(
            "supernode_cached_bytes_total", "Framed bytes of pieces that were fetched and kept"
        )
        self._tasks_failed = Counter(
            "supernode_tasks_failed_total", "Tasks that failed, by why", ("reason",)
        )
        self._downloads_failed = Counter(
            "supernode_downloads_failed_total", "Downloads that failed, by why", ("reason",)
        )
        self._all = [each for each in vars(self).values() if isinstance(each, Counter | Histogram)]

    def note(self, event: Event) -> None:
        """Count an event that has just happened."""
        kind = type(event)
        self._events[kind] += 1
        if rule := _RULES.get(kind):
            rule(self, event)

    def families(self) -> Iterable[Metric]:
        """Yield what is exposed."""
        for series in self._all:
            yield series.family()
        yield GaugeMetricFamily(
            f"{_V1}last_gc_disks_timestamp_seconds",
            "When a file was last removed to make room, in seconds since the epoch; 0: never",
            self._last_eviction,
        )
        events = CounterMetricFamily(
            "supernode_events_total", "Events, by what has happened", labels=("type",)
        )
        for kind, count in self._events.items():
            events.add_metric((str(kind.__struct_config__.tag),), count)
        yield events

    # one rule for each kind of event that counts as more than itself

    def _task_started(self, _event: TaskStarted) -> None:
        self._fetches.add(1)

    def _task_finished(self, event: TaskFinished) -> None:
        self._ends.add(1)
        task = self._tracker.state.tasks.get(event.task)
        if task is not None and task.adopted:
            self._hits.add(1)
        else:
            self._fetched_bytes.add(event.length)

    def _task_failed(self, event: TaskFailed) -> None:
        self._ends.add(1)
        self._failures.add(1)
        self._tasks_failed.add(1, event.reason.code)
        if event.reason.is_origins_fault:
            self._failed_fetches.add(1)
        if event.downloads:
            self._failed_downloads.add(event.downloads, self._call_system(event.task))
            self._downloads_failed.add(event.downloads, event.reason.code)

    def _task_removed(self, event: TaskRemoved) -> None:
        if event.reason in _LET_GO:
            self._let_go.add(1)
        if event.reason is Reason.TASK_EVICTED:
            self._evictions.add(1)
            self._last_eviction = event.at

    def _peer_expired(self, _event: PeerExpired) -> None:
        self._peers_gone.add(1)

    def _download_started(self, event: DownloadStarted) -> None:
        self._registrations.add(1)
        self._downloads.add(1, self._call_system(event.task))

    def _download_failed(self, event: DownloadFailed) -> None:
        self._failed_downloads.add(1, self._call_system(event.task))
        self._downloads_failed.add(1, event.reason.code)

    def _piece_cached(self, event: PieceCached) -> None:
        self._cached_bytes.add(digest_length(event.digest))

    def _piece_finished(self, event: PieceFinished) -> None:
        if event.seconds is None:
            return  # it has it from elsewhere
        giver = "seed" if event.source is None else "peers"
        self._taken.add(event.size - FRAME_BYTES, giver)
        self._piece_seconds.observe(event.seconds, giver)
        if event.source is None:
            self._seed_bytes.add(event.size)

    def _call_system(self, task: TaskId) -> str:
        """Return who wanted a file first; empty: it did not say, or the file is forgotten."""
        known = self._tracker.state.tasks.get(task)
        return known.spec.call_system if known else ""


_RULES: dict[type[Event], Callable[[EventMetrics, Any], None]] = {
    TaskStarted: EventMetrics._task_started,
    TaskFinished: EventMetrics._task_finished,
    TaskFailed: EventMetrics._task_failed,
    TaskRemoved: EventMetrics._task_removed,
    PeerExpired: EventMetrics._peer_expired,
    DownloadStarted: EventMetrics._download_started,
    DownloadFailed: EventMetrics._download_failed,
    PieceCached: EventMetrics._piece_cached,
    PieceFinished: EventMetrics._piece_finished,
}
