"""How downloads went, in the words of dfget 1.0."""

from collections.abc import Iterable

from prometheus_client.core import Metric

from supernode.metrics.series import OTHER, Counter, Histogram

_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 600)
_REASONS = frozenset(map(str, [*range(11), 100, *range(1000, 1011), 1100]))
"""Why a client went to the origin, or may not have; 0: it did not."""
_WHOSE = ("callsystem", "peer")


class ClientMetrics:
    """Counts what clients report at their end; they may say what they like."""

    def __init__(self) -> None:
        prefix = "dragonfly_dfget_download_"
        self._downloads = Counter(
            f"{prefix}total", "Downloads that clients say have ended; peer: its address", _WHOSE
        )
        self._failed = Counter(
            f"{prefix}failed_total",
            "Those that failed; reason: why the client went to the origin",
            (*_WHOSE, "reason"),
        )
        self._bytes = Counter(
            f"{prefix}size_bytes_total", "Bytes of files that clients say they have got", _WHOSE
        )
        self._seconds = Histogram(
            f"{prefix}duration_seconds", "Duration of downloads that succeeded", _SECONDS, _WHOSE
        )

    def succeeded(self, call_system: str, peer: str, *, seconds: float, length: int) -> None:
        """Count a download.

        Args:
            call_system: who asked for it.
            peer: the address of its machine.
            seconds: how long it took.
            length: of its file, in bytes; negative: not known.
        """
        self._downloads.add(1, call_system, peer)
        self._bytes.add(max(length, 0), call_system, peer)
        self._seconds.observe(max(seconds, 0.0), call_system, peer)

    def failed(self, call_system: str, peer: str, reason: str) -> None:
        """Count a download; ``reason`` is a number of the protocol's."""
        self._downloads.add(1, call_system, peer)
        self._failed.add(1, call_system, peer, reason if reason in _REASONS else OTHER)

    def families(self) -> Iterable[Metric]:
        """Yield what is exposed."""
        for series in (self._downloads, self._failed, self._bytes, self._seconds):
            yield series.family()
