"""``/metrics``: what is counted, in Prometheus's text format."""

from supernode.api.operations import Operation
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Request
from supernode.metrics.metrics import CONTENT_TYPE, Metrics


def metrics_of(dispatch: Dispatcher) -> Metrics:
    """Return what counts all that the tracker does from now on."""
    metrics = Metrics(dispatch.tracker)
    note = metrics.events.note
    dispatch.feed.listen(lambda published: note(published.event))
    dispatch.observer = metrics.decisions.note
    return metrics


class MetricsPage:
    """The operation.

    Args:
        metrics: what is counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def get(self, _request: Request) -> Answer:
        """``GET /metrics``; this request is counted in the next answer."""
        return Answer(200, self._metrics.text(), CONTENT_TYPE)

    def operations(self) -> list[Operation]:
        """Return it, to be served beside the others."""
        return [
            Operation(
                method="GET",
                path="/metrics",
                handler=self.get,
                summary="what is counted, for Prometheus",
                tag="System",
                extension=True,
            )
        ]
