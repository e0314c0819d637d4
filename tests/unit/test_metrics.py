"""Counters and histograms: what they count, what bounds them, how they read."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from supernode.metrics.clients import ClientMetrics
from supernode.metrics.requests import RequestMetrics
from supernode.metrics.series import Counter, Histogram, doubling


class _Exposed(Collector):
    def __init__(self, *series: Counter | Histogram | RequestMetrics | ClientMetrics) -> None:
        self._series = series

    def collect(self) -> list[Metric]:
        found: list[Metric] = []
        for series in self._series:
            if isinstance(series, Counter | Histogram):
                found.append(series.family())
            else:
                found.extend(series.families())
        return found


def lines(*series: Counter | Histogram | RequestMetrics | ClientMetrics) -> list[str]:
    """Return the lines of the text format, without the comments."""
    registry = CollectorRegistry()
    registry.register(_Exposed(*series))
    text = generate_latest(registry).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_a_counter_without_labels_is_there_from_the_beginning() -> None:
    assert lines(Counter("things_total", "Things")) == ["things_total 0.0"]


def test_a_counter_adds_up_by_its_labels() -> None:
    counter = Counter("things_total", "Things", ("colour", "size"))
    counter.add(2, "red", "small")
    counter.add(1, "blue", "small")
    counter.add(3, "red", "small")
    assert lines(counter) == [
        'things_total{colour="red",size="small"} 5.0',
        'things_total{colour="blue",size="small"} 1.0',
    ]


def test_what_is_beyond_the_room_is_counted_together() -> None:
    counter = Counter("things_total", "Things", ("colour",), most=2)
    histogram = Histogram("lengths", "Lengths", [1], ("colour",), most=2)
    for number in range(5):
        counter.add(1, f"colour {number}")
        histogram.observe(0.5, f"colour {number}")
    counter.add(1, "colour 0")
    assert lines(counter) == [
        'things_total{colour="colour 0"} 2.0',
        'things_total{colour="colour 1"} 1.0',
        'things_total{colour="other"} 3.0',
    ]
    counts = [line for line in lines(histogram) if line.startswith("lengths_count")]
    assert counts == [
        'lengths_count{colour="colour 0"} 1.0',
        'lengths_count{colour="colour 1"} 1.0',
        'lengths_count{colour="other"} 3.0',
    ]


def test_the_buckets_of_a_histogram() -> None:
    histogram = Histogram("lengths", "Lengths", [0.1, 1, 1e6], ("kind",))
    for value in (0.05, 0.1, 0.2, 1, 2e6):
        histogram.observe(value, "rope")
    assert lines(histogram) == [
        'lengths_bucket{kind="rope",le="0.1"} 2.0',
        'lengths_bucket{kind="rope",le="1"} 4.0',
        'lengths_bucket{kind="rope",le="1e+06"} 4.0',
        'lengths_bucket{kind="rope",le="+Inf"} 5.0',
        'lengths_count{kind="rope"} 5.0',
        'lengths_sum{kind="rope"} 2.00000135e+06',
    ]


def test_bounds_that_double() -> None:
    assert doubling(0.01, 2, 4) == [0.01, 0.02, 0.04, 0.08]


def test_a_request_counts_in_each_of_v1s_families() -> None:
    requests = RequestMetrics()
    requests.record("/_ping", 200, seconds=0.03, received=90, sent=2)
    said = lines(requests)
    for line in [
        'dragonfly_supernode_http_requests_total{code="200",handler="/_ping"} 1.0',
        'dragonfly_supernode_http_request_duration_seconds_bucket{handler="/_ping",le="0.02"} 0.0',
        'dragonfly_supernode_http_request_duration_seconds_bucket{handler="/_ping",le="0.04"} 1.0',
        'dragonfly_supernode_http_request_duration_seconds_bucket{handler="/_ping",le="120"} 1.0',
        'dragonfly_supernode_http_request_size_bytes_bucket{handler="/_ping",le="1e+09"} 1.0',
        'dragonfly_supernode_http_request_size_bytes_sum{handler="/_ping"} 90.0',
        'dragonfly_supernode_http_response_size_bytes_sum{handler="/_ping"} 2.0',
    ]:
        assert line in said


@pytest.mark.parametrize("length", [-1, -(10**12)])
def test_a_client_that_does_not_know_its_file_takes_nothing_away(length: int) -> None:
    clients = ClientMetrics()
    clients.succeeded("me", "10.0.0.1", seconds=-1, length=length)
    said = lines(clients)
    labels = '{callsystem="me",peer="10.0.0.1"}'
    assert f"dragonfly_dfget_download_size_bytes_total{labels} 0.0" in said
    assert f"dragonfly_dfget_download_duration_seconds_sum{labels} 0.0" in said


def test_a_reason_that_no_client_knows_is_one_among_others() -> None:
    clients = ClientMetrics()
    for reason in ("1", "1001", "77", "<made up>"):
        clients.failed("", "10.0.0.1", reason)
    said = lines(clients)
    failed = "dragonfly_dfget_download_failed_total"
    for reason, count in (("1", 1), ("1001", 1), ("other", 2)):
        assert f'{failed}{{callsystem="",peer="10.0.0.1",reason="{reason}"}} {count}.0' in said
