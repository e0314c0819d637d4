"""``/metrics``: v1's names, types, labels and buckets, and what they count."""

import platform

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock

from supernode.core.pieces import FRAME_BYTES
from supernode.core.reasons import Reason
from supernode.version import VERSION
from tests.inprocess import InProcess
from tests.integration.dfget_1_0_caller import SEED, Dfget
from tests.integration.rest_caller import FOUR_PIECES, SIZE, Caller

V1 = {
    "build_info": ("gauge", {"arch", "goversion", "os", "revision", "version"}),
    "http_requests": ("counter", {"code", "handler"}),
    "http_request_duration_seconds": ("histogram", {"handler"}),
    "http_request_size_bytes": ("histogram", {"handler"}),
    "http_response_size_bytes": ("histogram", {"handler"}),
    "pieces_downloaded_size_bytes": ("counter", set[str]()),
    "peers": ("gauge", {"peer"}),
    "tasks": ("gauge", {"cdnstatus"}),
    "tasks_registered": ("counter", set[str]()),
    "cdn_trigger": ("counter", set[str]()),
    "cdn_trigger_failed": ("counter", set[str]()),
    "schedule_duration_milliseconds": ("histogram", {"peer"}),
    "dfgettasks": ("gauge", {"callsystem", "status"}),
    "dfgettasks_registered": ("counter", {"callsystem"}),
    "dfgettasks_failed": ("counter", {"callsystem"}),
    "cdn_cache_hit": ("counter", set[str]()),
    "cdn_download": ("counter", set[str]()),
    "cdn_download_failed": ("counter", set[str]()),
    "cdn_download_size_bytes": ("counter", set[str]()),
    "gc_tasks": ("counter", set[str]()),
    "gc_peers": ("counter", set[str]()),
    "gc_disks": ("counter", set[str]()),
    "last_gc_disks_timestamp_seconds": ("gauge", set[str]()),
}
V1_DFGET = {
    "duration_seconds": ("histogram", {"callsystem", "peer"}),
    "size_bytes": ("counter", {"callsystem", "peer"}),
    "": ("counter", {"callsystem", "peer"}),
    "failed": ("counter", {"callsystem", "peer", "reason"}),
}
BUCKETS = {
    "supernode_http_request_duration_seconds": "0.01 0.02 0.04 0.1 0.2 0.4 1 2 4 8 20 60 120",
    "supernode_http_request_size_bytes": "100 1000 10000 100000 1e+06 1e+07 1e+08 1e+09",
    "supernode_http_response_size_bytes": "100 1000 10000 100000 1e+06 1e+07 1e+08 1e+09",
    "supernode_schedule_duration_milliseconds": "0.01 0.02 0.04 0.08 0.16 0.32 0.64",
    "dfget_download_duration_seconds": "1 2 5 10 30 60 120 300 600",
}
METRICS = "/task/metrics"


@pytest.fixture
async def node() -> InProcess:
    return InProcess()


async def scraped(node: InProcess) -> dict[str, float]:
    """Return every series of the text by its name and labels."""
    answer = await Caller(node)("GET", "/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    series = {}
    for line in answer.text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            series[name] = float(value)
    return series


async def everything_once(node: InProcess) -> None:
    """Let a client download a file, and say so."""
    dfget = Dfget(node, callSystem="ops")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dfget.register)
        await trio.testing.wait_all_tasks_blocked()
        node.size(dfget.task, FOUR_PIECES)
    node.cache(dfget.task)
    node.finish(dfget.task)
    await dfget.pull()
    for piece in range(4):
        await dfget.suc(piece)
    body = b'{"IP":"10.0.0.1","callSystem":"ops","success":true,"duration":7.5,"fileLength":100}'
    assert (await dfget.send("POST", METRICS, body)).json() == {"code": 1}
    body = b'{"IP":"10.0.0.1","callSystem":"ops","success":false,"backsourceReason":"1"}'
    assert (await dfget.send("POST", METRICS, body)).json() == {"code": 1}


async def test_v1s_names_types_labels_and_buckets(
    autojump_clock: MockClock, node: InProcess
) -> None:
    await everything_once(node)
    text = (await Caller(node)("GET", "/metrics")).text
    found = {family.name: family for family in text_string_to_metric_families(text)}
    wanted = {f"dragonfly_supernode_{name}": about for name, about in V1.items()}
    wanted |= {
        f"dragonfly_dfget_download{'_' * bool(name)}{name}": about
        for name, about in V1_DFGET.items()
    }
    for name, (kind, labels) in wanted.items():
        family = found[name]
        assert family.type == kind, name
        assert family.documentation
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == labels, name
    assert {name for name in found if name.startswith("dragonfly")} == wanted.keys()
    for name, bounds in BUCKETS.items():
        le = [s.labels["le"] for s in found[f"dragonfly_{name}"].samples if "le" in s.labels]
        width = len(bounds.split()) + 1
        assert le[:width] == [*bounds.split(), "+Inf"]


async def test_counters_are_named_as_v1_names_them(
    autojump_clock: MockClock, node: InProcess
) -> None:
    await everything_once(node)
    text = (await Caller(node)("GET", "/metrics")).text
    assert "# TYPE dragonfly_supernode_http_requests_total counter\n" in text
    assert "_created" not in text


async def test_what_is_counted_of_a_download(autojump_clock: MockClock, node: InProcess) -> None:
    await everything_once(node)
    said = await scraped(node)
    content = FOUR_PIECES
    expected = {
        "tasks_registered_total": 1,
        'dfgettasks_registered_total{callsystem="ops"}': 1,
        'dfgettasks{callsystem="ops",status="SUCCESS"}': 1,
        'tasks{cdnstatus="SUCCESS"}': 1,
        'tasks{cdnstatus="FAILED"}': 0,
        'peers{peer="10.0.0.1"}': 1,
        "cdn_trigger_total": 1,
        "cdn_trigger_failed_total": 0,
        "cdn_cache_hit_total": 0,
        "cdn_download_total": 1,
        "cdn_download_size_bytes_total": content,
        "pieces_downloaded_size_bytes_total": content + 4 * FRAME_BYTES,
        'schedule_duration_milliseconds_count{peer="10.0.0.1"}': 1,
        'http_requests_total{code="200",handler="/peer/registry"}': 1,
        'http_requests_total{code="200",handler="/peer/piece/suc"}': 4,
        'http_request_size_bytes_count{handler="/peer/task"}': 1,
    }
    for series, value in expected.items():
        assert said[f"dragonfly_supernode_{series}"] == value, series
    assert said['supernode_taken_bytes_total{from="seed"}'] == content
    assert said['supernode_piece_seconds_count{from="seed"}'] == 4
    assert said["supernode_cached_bytes_total"] == 4 * SIZE
    assert said['supernode_events_total{type="piece.finished"}'] == 4
    assert said['supernode_peers{state="alive"}'] == 1
    assert said["supernode_leases"] == 0


async def test_what_clients_report(autojump_clock: MockClock, node: InProcess) -> None:
    await everything_once(node)
    said = await scraped(node)
    labels = '{callsystem="ops",peer="10.0.0.1"}'
    prefix = "dragonfly_dfget_download_"
    assert said[f"{prefix}total{labels}"] == 2
    assert said[f"{prefix}size_bytes_total{labels}"] == 100
    assert said[f"{prefix}duration_seconds_sum{labels}"] == 7.5
    assert said[f'{prefix}failed_total{{callsystem="ops",peer="10.0.0.1",reason="1"}}'] == 1


async def test_a_task_that_fails_counts_with_each_download_that_ends_by_it(
    autojump_clock: MockClock, node: InProcess
) -> None:
    call = Caller(node)
    task = await call.task("c1", callSystem="ops")
    await call.task("c2", callSystem="ops")
    node.fail(task, Reason.ORIGIN_REFUSED)
    said = await scraped(node)
    assert said['dragonfly_supernode_dfgettasks_failed_total{callsystem="ops"}'] == 2
    assert said['dragonfly_supernode_dfgettasks{callsystem="ops",status="FAILED"}'] == 2
    assert said["dragonfly_supernode_cdn_trigger_failed_total"] == 1
    assert said["dragonfly_supernode_cdn_download_failed_total"] == 1
    assert said['supernode_tasks_failed_total{reason="origin_refused"}'] == 1
    assert said['supernode_downloads_failed_total{reason="origin_refused"}'] == 2


async def test_requests_count_under_the_path_of_their_operation(
    autojump_clock: MockClock, node: InProcess
) -> None:
    call = Caller(node)
    for path in ("/tasks/x", "/tasks/y", "/v1.24/tasks/z", "/api/v1/tasks/x", "/nowhere", "/a/b"):
        await call("GET", path)
    await call("PATCH", "/tasks/x")
    said = await scraped(node)
    counts = {
        name.partition("{")[2]: value
        for name, value in said.items()
        if name.startswith("dragonfly_supernode_http_requests_total")
    }
    assert counts == {
        'code="404",handler="/tasks/{id}"}': 3,
        'code="404",handler="/api/v1/tasks/{id}"}': 1,
        'code="404",handler="unknown"}': 2,
        'code="405",handler="unknown"}': 1,
    }


async def test_requests_count_alike_through_the_front(
    autojump_clock: MockClock, node: InProcess
) -> None:
    for path in ("/_ping", "/v1.24/_ping", "/tasks/x/pieces?clientID=c", "/api/v1/_ping"):
        for front in (False, True):
            async with node.browse(front=front) as client:
                await client.get(path, headers={"Content-Length": "0"})
    said = await scraped(node)
    prefix = "dragonfly_supernode_http_"
    for code, handler, count in (
        ("200", "/_ping", 4),
        ("404", "/tasks/{id}/pieces", 2),
        ("200", "/api/v1/_ping", 2),
    ):
        assert said[f'{prefix}requests_total{{code="{code}",handler="{handler}"}}'] == count
        of_it = f'{{handler="{handler}"}}'
        assert said[f"{prefix}response_size_bytes_count{of_it}"] == count
        assert said[f"{prefix}request_size_bytes_sum{of_it}"] % count == 0, "alike"
    assert said[f'{prefix}response_size_bytes_sum{{handler="/_ping"}}'] == 8


async def test_a_scrape_counts_itself_the_next_time(
    autojump_clock: MockClock, node: InProcess
) -> None:
    own = 'dragonfly_supernode_http_requests_total{code="200",handler="/metrics"}'
    assert own not in await scraped(node)
    assert (await scraped(node))[own] == 1


async def test_which_program_it_is(autojump_clock: MockClock, node: InProcess) -> None:
    text = (await Caller(node)("GET", "/v1.24/metrics")).text
    [line] = [line for line in text.splitlines() if line.startswith("dragonfly_supernode_build")]
    labels, value = line.split(" ")
    assert f'version="{VERSION}"' in labels
    assert f'goversion="python{platform.python_version()}"' in labels
    assert float(value) == 1


async def test_the_process_itself(autojump_clock: MockClock, node: InProcess) -> None:
    said = await scraped(node)
    assert said["process_resident_memory_bytes"] > 0
    assert said["process_open_fds"] > 0


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"IP": "nobody"}', "IP"),
        (b'{"duration": "long"}', "duration"),
        (b'{"success": true, "duration": 1e300}', "duration"),
        (b'{"success": true, "fileLength": %d}' % 10**400, "fileLength"),
        (b'{"callSystem": "a\\nb"}', "callSystem"),
    ],
)
async def test_a_report_that_makes_no_sense_counts_nothing(
    autojump_clock: MockClock, node: InProcess, body: bytes, problem: str
) -> None:
    said = (await Dfget(node).send("POST", METRICS, body)).json()
    assert said["code"] == 501
    assert problem in said["msg"]
    assert not [name for name in await scraped(node) if name.startswith("dragonfly_dfget")]


async def test_the_seeds_pieces_count_once_however_often_they_are_reported(
    autojump_clock: MockClock, node: InProcess
) -> None:
    await everything_once(node)
    dfget = Dfget(node, callSystem="ops")
    await dfget.suc(0, SEED)
    await dfget.suc(0, SEED)
    said = await scraped(node)
    framed = FOUR_PIECES + 4 * FRAME_BYTES
    assert said["dragonfly_supernode_pieces_downloaded_size_bytes_total"] == framed
