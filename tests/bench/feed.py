"""What those who watch cost: lag, CPU, memory, and what is left of the hot routes' requests/s.

Run by hand: ``python tests/bench/feed.py``; needs wrk, takes four minutes. A supernode without disk
publishes 1,000 events a second, each as long as usual; who watches sits in a process of its own
and notes, of some, how long after its time each event arrived. Each row is measured twice: alone,
then while wrk asks for pieces as fast as it can, which is set against the same with nobody
watching, just before. The machine's other load moves all of it; look at the ratios. Handshakes that
come in two parts are left to Hypercorn: those rows tell what the front's own websockets are worth.
"""

import json
import logging
import os
import re
import selectors
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from time import sleep as pause  # noqa: TID251 - there is no event loop here
from typing import NamedTuple

import structlog
import trio

from supernode.api.events import add_events, opener
from supernode.api.watching import Watching
from supernode.core.commands import RegisterTask
from supernode.core.events import PieceFinished
from supernode.core.identity import ClientId, PeerId
from supernode.core.model import TaskSpec
from supernode.core.pieces import PieceNumber
from supernode.wire.front import Front
from tests.inprocess import InProcess

EVENTS_A_SECOND = 1000
TICK = 0.01
SECONDS = 3
ROUNDS = 3
LONGEST_RUSH = 20
"""How many seconds those who have just connected have to catch up."""
SAMPLED = 10
"""Of how many watchers each event's lag is noted."""
CONNECTIONS = 16
ROUTE = "/tasks/{task}/pieces?clientID=c"


class Row(NamedTuple):
    """One measurement."""

    name: str
    watchers: int
    query: str = ""
    stalled: int = 0
    in_parts: bool = False


ROWS = [
    Row("1 watcher", 1),
    Row("100 watchers", 100),
    Row("1,000 watchers, batch=250", 1000, "?batch=250"),
    Row("1,000 watchers, batch=250, one stalled", 1000, "?batch=250", stalled=1),
    Row("100 watchers of one task of many", 100, "?task=none"),
    Row("1 watcher, by Hypercorn", 1, in_parts=True),
    Row("10 watchers, by Hypercorn", 10, in_parts=True),
]


# the supernode


async def serve() -> None:
    """Serve on any port, which is printed, and publish, until ended."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    node = InProcess()
    watching = Watching(node.feed, most=1100)
    add_events(node.app, watching)
    spec = TaskSpec(raw_url="http://origin/file", task_url="http://origin/file")
    task = node.dispatch(RegisterTask(spec=spec, client=ClientId("c"), peer=None, path=""))
    node.size(task, 40 << 20)
    node.cache(task)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    front = Front(
        listeners,
        node.app,
        max_connections=4096,
        write_timeout=30,
        drain_timeout=1,
        idle_timeout=75,
        streams=partial(opener, watching),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(front.run)
        print(json.dumps([listeners[0].socket.getsockname()[1], task]), flush=True)
        event = PieceFinished(
            at=0.0,
            task=task,
            client=ClientId("node-4711-1767268800.123"),
            piece=PieceNumber(7),
            lease=4711,
            source=PeerId("node-4712-10.0.0.7-15001"),
            size=4 << 20,
            seconds=0.123,
        )
        at = trio.current_time()
        while True:
            now = node.clock.now()
            happened = [
                PieceFinished(
                    **{f: getattr(event, f) for f in event.__struct_fields__} | {"at": now}
                )
                for _ in range(round(EVENTS_A_SECOND * TICK))
            ]
            node.feed.publish(happened)
            at += TICK
            await trio.sleep_until(at)


# who watches


class Watcher:
    """One connection; of some, what arrives is read, and not only taken."""

    def __init__(self, port: int, row: Row) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.lags: list[float] = []
        self._buffer = b""
        request = (
            f"GET /events{row.query} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode()
        if row.in_parts:
            self.socket.sendall(request[:20])
            pause(0.05)
            request = request[20:]
        self.socket.sendall(request)
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.socket.recv(1 << 16)
        assert head.startswith(b"HTTP/1.1 101"), head
        self._buffer = head.partition(b"\r\n\r\n")[2]
        self.socket.setblocking(False)

    def read(self, data: bytes) -> None:
        """Note the lag of each message."""
        now, at = time.time(), 0  # noqa: TID251 - as the events' time
        received = self._buffer + data
        while at + 4 <= len(received):
            length, start = received[at + 1], at + 2
            if length == 126:
                (length,), start = struct.unpack_from(">H", received, start), at + 4
            if len(received) < start + length:
                break
            if received[at] == 0x81:
                said = json.loads(received[start : start + length])
                assert said["type"] != "gap", said
                self.lags.append(now - datetime.fromisoformat(said["time"]).timestamp())
            at = start + length
        self._buffer = received[at:]


def watch(port: int, row: Row) -> None:
    """Watch until told to end, then print the lags; on each line of stdin begin to note anew."""
    watchers = [Watcher(port, row) for _ in range(row.watchers)]
    stalled = [Watcher(port, row) for _ in range(row.stalled)]
    with selectors.DefaultSelector() as selector:
        for number, watcher in enumerate(watchers):
            selector.register(watcher.socket, selectors.EVENT_READ, (number, watcher))
        selector.register(sys.stdin, selectors.EVENT_READ, None)
        print("watching", flush=True)
        buffer, taken = bytearray(1 << 18), 0
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    command = sys.stdin.readline()
                    lags = [lag for watcher in watchers for lag in watcher.lags]
                    print(json.dumps({"lags": lags, "bytes": taken}), flush=True)
                    if not command:
                        return
                    taken = 0
                    for watcher in watchers:
                        watcher.lags.clear()
                    continue
                number, watcher = key.data
                size = watcher.socket.recv_into(buffer)
                assert size, "cut off"
                taken += size
                if number < SAMPLED:
                    watcher.read(bytes(buffer[:size]))
    assert len(stalled) == row.stalled


# measuring


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run this program as something else."""
    with subprocess.Popen(
        [sys.executable, __file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    ) as child:
        try:
            yield child
        finally:
            child.send_signal(signal.SIGKILL)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def megabytes(pid: int) -> float:
    """Return the resident memory of a process."""
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match
    return int(match[1]) / 1000


def wrk(url: str) -> float:
    """Return the requests/s that wrk reaches."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    match = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert match, said
    assert "Non-2xx" not in said, said
    return float(match[1])


def quantiles(lags: Sequence[float]) -> str:
    """Return the median, the 99th percentile, and the worst, in ms."""
    if not lags:
        return "   -      -      -  "
    cuts = statistics.quantiles(lags, n=100)
    return f"{cuts[49] * 1000:5.0f}  {cuts[98] * 1000:5.0f}  {max(lags) * 1000:5.0f}"


class Watchers:
    """The watchers of one row, in a process of their own."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        assert child.stdin
        assert child.stdout
        self._in, self._out = child.stdin, child.stdout
        assert self._out.readline() == "watching\n"

    def settle(self) -> None:
        """Wait until what came while all of them were connecting has been read."""
        for _ in range(LONGEST_RUSH):
            self.told()
            pause(1)
            lags, _ = self.told()
            if not lags or statistics.median(lags) < 1:
                return

    def told(self) -> tuple[list[float], int]:
        """Return the lags, and how many bytes came, since the last call."""
        self._in.write("\n")
        self._in.flush()
        answer = json.loads(self._out.readline())
        return answer["lags"], answer["bytes"]


def measure(port: int, pid: int, url: str, row: Row) -> None:
    """Print one row."""
    ratios: list[float] = []
    for _ in range(ROUNDS):
        before = wrk(url)
        with process("watch", str(port), json.dumps(row)) as child:
            watchers = Watchers(child)
            watchers.settle()
            start, used = time.perf_counter(), cpu_seconds(pid)
            pause(SECONDS)
            used, passed = cpu_seconds(pid) - used, time.perf_counter() - start
            lags, taken = watchers.told()
            memory = megabytes(pid)
            ratios.append(wrk(url) / before)
            busy, _ = watchers.told()
    print(
        f"{row.name:40} {quantiles(lags)}   {used / passed * 100:4.0f} % "
        f"{taken / passed / 1e6:6.1f}  {memory:6.1f}   {quantiles(busy)}   "
        f"{statistics.median(ratios):.2f} of {', '.join(f'{ratio:.2f}' for ratio in ratios)}",
        flush=True,
    )


def compare() -> None:
    """Print all rows."""
    with process("serve") as node:
        assert node.stdout
        port, task = json.loads(node.stdout.readline())
        url = f"http://127.0.0.1:{port}{ROUTE.format(task=task)}"
        start, used = time.perf_counter(), cpu_seconds(node.pid)
        pause(SECONDS)
        share = (cpu_seconds(node.pid) - used) / (time.perf_counter() - start)
        print(f"nobody watches: CPU {share * 100:.0f} %, {megabytes(node.pid):.1f} MB")
        print(
            f"{'':40} lag, ms: p50, p99, max   CPU    MB/s      MB   lag under load     "
            "requests/s, of those with nobody watching"
        )
        for row in ROWS:
            measure(port, node.pid, url, row)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            trio.run(serve)
        case ["watch", at, what]:
            watch(int(at), Row(*json.loads(what)))
        case _:
            compare()
