"""All metrics of one daemon, and their text."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from supernode.core.tracker import Tracker
from supernode.metrics.clients import ClientMetrics
from supernode.metrics.decisions import DecisionMetrics
from supernode.metrics.events import EventMetrics
from supernode.metrics.gauges import Gauges
from supernode.metrics.requests import RequestMetrics

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Metrics(Collector):
    """What is counted, by who counts it.

    Args:
        tracker: whose present and past it is about.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.requests = RequestMetrics()
        self.clients = ClientMetrics()
        self.events = EventMetrics(tracker)
        self.decisions = DecisionMetrics(tracker)
        self._gauges = Gauges(tracker)
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def describe(self) -> Iterable[Metric]:
        """Yield nothing: what there is says nobody before it is asked for."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield what is exposed, as it is now."""
        parts = (self._gauges, self.requests, self.events, self.decisions, self.clients)
        for part in parts:
            yield from part.families()

    def text(self) -> bytes:
        """Return all of it in Prometheus's text format. Some milliseconds for 1,000 series."""
        return generate_latest(self._registry)
