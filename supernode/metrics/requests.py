"""How many requests were answered with what, how fast, how large."""

from collections.abc import Iterable

from prometheus_client.core import Metric

from supernode.metrics.series import Counter, Histogram, doubling

UNKNOWN = "unknown"
"""The handler of requests that no operation is there for, whatever their paths."""

_SECONDS = (0.01, 0.02, 0.04, 0.1, 0.2, 0.4, 1, 2, 4, 8, 20, 60, 120)
_BYTES = doubling(100, 10, 8)
_HANDLER = ("handler",)


class RequestMetrics:
    """Counts every answered request of the control port, whoever answers it."""

    def __init__(self) -> None:
        prefix = "dragonfly_supernode_http_"
        self._requests = Counter(
            f"{prefix}requests_total",
            "Requests by the status of their answers; handler: the operation's path",
            ("code", "handler"),
        )
        self._seconds = Histogram(
            f"{prefix}request_duration_seconds",
            "From a request's head to the end of its answer, waits included",
            _SECONDS,
            _HANDLER,
        )
        self._received = Histogram(
            f"{prefix}request_size_bytes", "Requests, heads and bodies, about", _BYTES, _HANDLER
        )
        self._sent = Histogram(
            f"{prefix}response_size_bytes", "Bodies of answers", _BYTES, _HANDLER
        )

    def record(
        self, handler: str, status: int, *, seconds: float, received: int, sent: int
    ) -> None:
        """Count a request that has been answered.

        Args:
            handler: the path of the operation that answered it, variable parts in braces; or
                ``UNKNOWN``.
            status: of the answer.
            seconds: how long that took.
            received: bytes of the request.
            sent: bytes of the answer's body.
        """
        self._requests.add(1, str(status), handler)
        self._seconds.observe(seconds, handler)
        self._received.observe(received, handler)
        self._sent.observe(sent, handler)

    def families(self) -> Iterable[Metric]:
        """Yield what is exposed."""
        for series in (self._requests, self._seconds, self._received, self._sent):
            yield series.family()
