"""Counters and histograms: what they count, what bounds them, how they read."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from supernode.core.commands import RegisterPeer, RemoveTask
from supernode.core.model import DownloadStatus
from supernode.core.reasons import Reason
from supernode.metrics import gauges
from supernode.metrics.clients import ClientMetrics
from supernode.metrics.events import EventMetrics
from supernode.metrics.requests import RequestMetrics
from supernode.metrics.series import Counter, Histogram, doubling
from tests.world import SIZE, World, status, swarm


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


def test_of_very_many_addresses_the_largest_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gauges, "MOST_SERIES", 2)
    world = World()
    for host, ip in enumerate([1, 1, 1, 2, 2, 3, 4]):
        peer = RegisterPeer(ip=f"10.0.0.{ip}", port=15001, host_name=f"h{host}", version="1")
        world.do(peer)
    families = {family.name: family for family in gauges.Gauges(world.tracker).families()}
    samples = families["dragonfly_supernode_peers"].samples
    counts = {sample.labels["peer"]: sample.value for sample in samples}
    assert counts == {"10.0.0.1": 3, "10.0.0.2": 2, "other": 2}


def test_how_downloads_stand() -> None:
    world, (a, b, c) = swarm("a", "b", "c")
    a.has(0, 1, 2, 3)
    world.finish(a.task)
    b.leave()
    assert status(c) is DownloadStatus.RUNNING
    families = {family.name: family for family in gauges.Gauges(world.tracker).families()}
    samples = families["dragonfly_supernode_dfgettasks"].samples
    counts = {sample.labels["status"]: sample.value for sample in samples}
    assert counts == {"SUCCESS": 1, "FAILED": 1, "RUNNING": 1}


def test_files_that_are_let_go_of_and_pieces_that_peers_give() -> None:
    world, (a, b) = swarm("a", "b", cached=1)
    counted = EventMetrics(world.tracker)
    before = len(world.events)
    a.has(0)
    assert b.take() == [(0, "a")]
    world.now += 3
    b.has(0)
    world.do(RemoveTask(task=a.task, reason=Reason.TASK_EVICTED))
    for event in world.events[before:]:
        counted.note(event)
    said = {}
    for family in counted.families():
        for sample in family.samples:
            said[sample.name, *sample.labels.values()] = sample.value
    assert said["supernode_taken_bytes_total", "peers"] == SIZE - 5
    assert said["supernode_piece_seconds_sum", "peers"] == 3
    assert said["supernode_events_total", "piece.finished"] == 2
    prefix = "dragonfly_supernode"
    assert said[f"{prefix}_pieces_downloaded_size_bytes_total",] == 0
    assert said[f"{prefix}_gc_disks_total",] == said[f"{prefix}_gc_tasks_total",] == 1
    assert said[f"{prefix}_last_gc_disks_timestamp_seconds",] == world.now
