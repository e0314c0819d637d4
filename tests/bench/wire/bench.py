"""What the hot requests of a download's life cost, on both of their ways.

Run by hand: ``python tests/bench/wire/bench.py``; needs wrk, takes some minutes. Each request
alone, over 1 and 32 connections: through the front; through Hypercorn, where a header that only
browsers send leads it; and beside both, a bare server on Trio and httptools with one answer for
everything. Then whole lives of downloads of 13 pieces, each on a connection and a file of its own,
and what a download, a fetch and a watcher get of the same process meanwhile.
"""

import argparse
import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic
from typing import NamedTuple

from supernode.core.identity import task_id
from tests.bench.footprint import footprint
from tests.e2e.neighbours import (
    MIB,
    Daemon,
    Origin,
    daemon,
    listening_socket,
    listens,
    nginx,
    until,
)

HERE = Path(__file__).parent
CONNECTIONS = (1, 32)
PIECES = 13
PIECE = 4 * MIB
LOAD_SECONDS = 30
DIALECTS = ("dfget_1_0", "rest")


class Hot(NamedTuple):
    """One request that can be repeated, and is answered with the same each time."""

    name: str
    path: str
    method: str = "GET"
    body: str = ""


class Figures(NamedTuple):
    """What wrk reached."""

    rate: float
    p99: float
    """Milliseconds."""


def wrk(url: str, hot: Hot, connections: int, seconds: int, *headers: str) -> Figures:
    """Return what wrk reaches with one request."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method = "{hot.method}"\nwrk.body = [[{hot.body}]]\n')
        script.flush()
        how = "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script.name
        said = _run(*how, *headers, url)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    p99 = re.search(r"99%\s+([\d.]+)(\w+)", said)
    assert rate, said
    assert p99, said
    assert "Non-2xx" not in said, said
    return Figures(float(rate[1]), float(p99[1]) * {"us": 1e-3, "ms": 1, "s": 1e3}[p99[2]])


def lives(node: Daemon, dialect: str, url: str, connections: int, seconds: int) -> Figures:
    """Return how many lives a second there are, and how late their answers come."""
    said = _run(
        f"-c{connections}",
        f"-t{connections}",
        f"-d{seconds}s",
        *("-s", str(HERE / f"{dialect}.lua"), f"http://{node.node}", "--", url),
    )
    match = re.search(r"lives (\d+) seconds ([\d.]+) p99 ([\d.]+) errors (\d+)", said)
    assert match, said
    assert match[4] == "0", said
    return Figures(int(match[1]) / float(match[2]), float(match[3]))


def _run(*arguments: str) -> str:
    return subprocess.run(["wrk", *arguments], check=True, capture_output=True, text=True).stdout


@contextmanager
def bare() -> Iterator[str]:
    """Run the bare server; yield its URL."""
    with listening_socket() as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, str(HERE / "bare.py"), str(port)]) as process:
        until(partial(listens, port))
        yield f"http://127.0.0.1:{port}/"
        process.terminate()


class Caller:
    """Prepares what there is to ask for."""

    def __init__(self, node: Daemon) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", node.control, timeout=60)

    def __call__(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """Return the JSON that a request is answered with."""
        self._connection.request(method, path, json.dumps(body) if body else None)
        answer = self._connection.getresponse()
        said = json.loads(answer.read())
        assert answer.status < 300, said
        return dict(said) if isinstance(said, dict) else {"list": said}


def hot_requests(call: Caller, url: str) -> Iterator[Hot]:
    """Yield the requests, each prepared."""
    cid = "127.0.0.1-h-1.1"
    wish = {
        "rawUrl": url,
        "taskUrl": url,
        "cid": cid,
        "ip": "127.0.0.1",
        "hostName": "h",
        "port": 15001,
        "path": "/f",
        "version": "1.0.6",
        "superNodeIp": "127.0.0.1",
    }
    registered = call("POST", "/peer/registry", wish)
    data = registered["data"]
    assert isinstance(data, dict)
    task = data["taskId"]
    while call("GET", f"/tasks/{task}")["cdnStatus"] != "SUCCESS":
        Event().wait(0.1)
    yield Hot("/peer/registry, known", "/peer/registry", "POST", json.dumps(wish))
    begin = f"srcCid={cid}&dstCid=&range=&result=502&status=700&taskId={task}"
    pieces = call("GET", f"/peer/task?{begin}")["data"]
    assert isinstance(pieces, list)
    piece, holder = pieces[0]["range"], pieces[0]["cid"]
    reported = f"srcCid={cid}&dstCid={holder}&range={piece}&result=503&status=701&taskId={task}"
    yield Hot("/peer/task, RUNNING", f"/peer/task?{reported}")
    success = f"taskId={task}&cid={cid}&dstCid={holder}&pieceRange={piece}"
    yield Hot("/peer/piece/suc", f"/peer/piece/suc?{success}")
    call("POST", "/tasks", {"rawURL": url, "cID": "c"})
    yield Hot("GET …/pieces, 4 pieces", f"/tasks/{task}/pieces?clientID=c&num=4")
    yield Hot("GET /_ping", "/_ping")


def each_alone(node: Daemon, url: str, seconds: int) -> None:
    """Print what each request alone reaches."""
    with bare() as reference:
        for connections in CONNECTIONS:
            constant = wrk(reference, Hot("", ""), connections, seconds).rate
            print(f"\n{connections} connections; bare: {constant:.0f}/s")
            print(f"{'':24}  front/s  p99 ms  of bare  Hypercorn/s  times")
            for hot in hot_requests(Caller(node), url):
                target = f"http://{node.node}{hot.path}"
                front = wrk(target, hot, connections, seconds)
                browser = ("-H", f"Origin: http://{node.node}")
                other = wrk(target, hot, connections, seconds, *browser).rate
                print(
                    f"{hot.name:24} {front.rate:8.0f} {front.p99:7.1f} {front.rate / constant:8.2f}"
                    f" {other:12.0f} {front.rate / other:6.1f}"
                )


def fetched(node: Daemon, origin: Origin, files: int) -> str:
    """Have as many files fetched; return their URL without its last digits."""
    call = Caller(node)
    url = ""
    for number in range(files):
        url = origin.file(f"f{number}", PIECES * (PIECE - 5))
        call("POST", "/tasks", {"rawURL": url, "cID": "c"})
    waiting = True
    while waiting:
        Event().wait(0.5)
        tasks = call("GET", "/tasks?pageSize=1000")["list"]
        assert isinstance(tasks, list)
        waiting = any(task["cdnStatus"] != "SUCCESS" for task in tasks)
    return url.removesuffix(str(files - 1))  # of the last


def whole_lives(node: Daemon, url: str, seconds: int) -> None:
    """Print how many lives a second there are, and whether memory grows."""
    print(f"\n{'':24} {'lives/s':>8} {'p99 ms':>7} {'MB':>7}")
    for dialect in DIALECTS:
        for connections in CONNECTIONS:
            reached = lives(node, dialect, url, connections, seconds)
            resident = footprint(node.process.pid).resident
            name = f"{dialect}, {connections} connections"
            print(f"{name:24} {reached.rate:8.0f} {reached.p99:7.1f} {resident:7.1f}")


class Neighbours(NamedTuple):
    """What others get of the same process."""

    served: float
    """MB/s of one client of the data port."""
    fetched: float
    """MB/s of one fetch from an origin."""
    told: float
    """Milliseconds until somebody who watches hears of a new peer, mostly."""


def neighbours(node: Daemon, origin: Origin, url: str, label: str) -> Neighbours:
    """Return what a download, a fetch and a watcher get."""
    call = Caller(node)
    path = f"/download/{task_id(url)[:3]}/{task_id(url)}"
    size, rounds = PIECES * PIECE, 8
    data = http.client.HTTPConnection("127.0.0.1", node.data, timeout=60)
    began = monotonic()
    for _ in range(rounds):
        data.request("GET", path, headers={"Range": f"bytes=0-{size - 1}"})
        assert len(data.getresponse().read()) == size
    served = rounds * size / (monotonic() - began)
    fresh = origin.file(f"fresh-{label}", size)
    began = monotonic()
    task = call("POST", "/tasks", {"rawURL": fresh, "cID": "c"})["ID"]
    while call("GET", f"/tasks/{task}")["cdnStatus"] != "SUCCESS":
        Event().wait(0.02)
    fetched = size / (monotonic() - began)
    return Neighbours(served / 1e6, fetched / 1e6, 1e3 * _feed_lag(node, call))


def _feed_lag(node: Daemon, call: Caller) -> float:
    feed = http.client.HTTPConnection("127.0.0.1", node.control, timeout=60)
    feed.request("GET", "/events?type=peer.registered")
    events, lags = feed.getresponse(), []
    for number in range(21):
        name = f"watched-{number}-{monotonic()}"
        began = monotonic()
        call("POST", "/peers", {"IP": "127.0.0.1", "hostName": name, "port": 15001})
        while name not in events.readline().decode():
            pass
        lags.append(monotonic() - began)
    feed.close()
    return statistics.median(lags)


def beside_lives(node: Daemon, origin: Origin, url: str) -> None:
    """Print what others get alone, and while lives are played as fast as they can be."""
    alone = neighbours(node, origin, f"{url}{max(CONNECTIONS)}", "alone")
    with ThreadPoolExecutor(1) as thread:
        load = thread.submit(lives, node, DIALECTS[0], url, max(CONNECTIONS), LOAD_SECONDS)
        beside = neighbours(node, origin, f"{url}{max(CONNECTIONS)}", "beside")
        assert not load.done(), "the load ended too early"
        reached = load.result()
    print(f"\n{'':24} {'alone':>8} {'beside':>8}   {reached.rate:.0f} lives/s")
    for name, unit, a, b in zip(
        ("data port", "a fetch", "the feed, later by"),
        ("MB/s", "MB/s", "ms"),
        alone,
        beside,
        strict=True,
    ):
        print(f"{name:24} {a:8.0f} {b:8.0f} {unit}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--lives-only", action="store_true", help="leave out the single requests")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        directory = Path(scratch)
        origin = stack.enter_context(nginx(directory / "origin"))
        node = stack.enter_context(daemon(directory / "node"))
        url = fetched(node, origin, max(CONNECTIONS) + 1)
        if not options.lives_only:
            each_alone(node, f"{url}{max(CONNECTIONS)}", options.seconds)
        whole_lives(node, url, options.seconds)
        beside_lives(node, origin, url)


if __name__ == "__main__":
    main()
