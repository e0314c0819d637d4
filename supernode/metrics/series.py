"""Counters and histograms as plain numbers, each with as many series as there is room for."""

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

OTHER = "other"
"""The value of every label of the one series that counts what there is no series of its own for."""
MOST_SERIES = 1000
MOST_HISTOGRAMS = 100
"""The same for histograms: each of their series is a dozen lines."""

Labels = tuple[str, ...]


class Counter:
    """What only grows, by labels.

    Args:
        name: as it is exposed.
        about: what it counts, in a line.
        labels: their names; without any, it is there from the beginning.
        most: how many series there are at most; sums over all of them stay right.
    """

    def __init__(
        self, name: str, about: str, labels: Sequence[str] = (), *, most: int = MOST_SERIES
    ) -> None:
        self._name = name
        self._about = about
        self._labels = labels
        self._most = most
        self._values: dict[Labels, float] = {} if labels else {(): 0.0}

    def add(self, amount: float, *labels: str) -> None:
        """Count ``amount`` more under these values of the labels."""
        values = self._values
        if labels not in values:
            if len(values) >= self._most:
                labels = (OTHER,) * len(labels)
            values.setdefault(labels, 0.0)
        values[labels] += amount

    def family(self) -> CounterMetricFamily:
        """Return it as it is exposed."""
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        return family


class Histogram:
    """How values are spread, by labels.

    Args:
        name: as it is exposed.
        about: of what, in a line.
        bounds: the buckets' upper ends, each of which belongs to its bucket, in order.
        labels: their names.
        most: how many series there are at most.
    """

    def __init__(
        self,
        name: str,
        about: str,
        bounds: Sequence[float],
        labels: Sequence[str] = (),
        *,
        most: int = MOST_HISTOGRAMS,
    ) -> None:
        self._name = name
        self._about = about
        self._bounds = list(bounds)
        self._labels = labels
        self._most = most
        self._spreads: dict[Labels, _Spread] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Count a value under these values of the labels."""
        spread = self._spreads.get(labels) or self._added(labels)
        spread.counts[bisect_left(self._bounds, value)] += 1
        spread.sum += value

    def _added(self, labels: Labels) -> "_Spread":
        if len(self._spreads) >= self._most:
            labels = (OTHER,) * len(labels)
        return self._spreads.setdefault(labels, _Spread(len(self._bounds)))

    def family(self) -> HistogramMetricFamily:
        """Return it as it is exposed."""
        family = HistogramMetricFamily(self._name, self._about, labels=self._labels)
        for labels, spread in self._spreads.items():
            family.add_metric(labels, spread.buckets(self._bounds), spread.sum)
        return family


class _Spread:
    """One series of a histogram."""

    __slots__ = ("counts", "sum")

    def __init__(self, bounds: int) -> None:
        self.counts = [0] * (bounds + 1)
        self.sum = 0.0

    def buckets(self, bounds: Sequence[float]) -> list[tuple[str, float]]:
        """Return up to each bound how many values there were."""
        so_far, buckets = 0, []
        for bound, count in zip([*bounds, float("inf")], self.counts, strict=True):
            so_far += count
            buckets.append((_text(bound), float(so_far)))
        return buckets


def doubling(first: float, factor: float, count: int) -> list[float]:
    """Return so many bounds, each ``factor`` times the one before."""
    return [first * factor**step for step in range(count)]


def _text(bound: float) -> str:
    """Return a bound as Go writes it, in v1's metrics and so in queries."""
    return "+Inf" if bound == float("inf") else f"{bound:g}"
