"""Measure the data port against nginx: ``python tests/bench/data_port.py``, less than a minute.

Both serve the same 300 MiB from memory over loopback, one process each, in alternating rounds to
the same load generator, which is a process of its own: keep-alive connections that fetch ranges of
4 MiB and throw them away. For ours it also tells how late a task that wanted to sleep 1 ms woke up.
Look at the ratio; the figures are this machine's.
"""

import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trio
from rich.console import Console
from rich.table import Table

from supernode.core.identity import TaskId, download_path
from supernode.core.pieces import MIB, content_size
from supernode.storage.piece_files import PieceStore
from supernode.wire.data_port import DataPort

TASK = TaskId("abc" + "0" * 61)
PIECE = 4 * MIB
PIECES = 75
CONNECTIONS = (1, 8, 32)
ROUNDS = 4
SECONDS = 1.2

NGINX = """
{user}
worker_processes 1;
daemon off;
error_log stderr error;
pid {root}/nginx.pid;
events {{ worker_connections 256; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  client_body_temp_path {root}/body;
  proxy_temp_path {root}/proxy;
  fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi;
  scgi_temp_path {root}/scgi;
  server {{ listen 127.0.0.1:{port}; root {root}; default_type application/octet-stream; }}
}}
"""


# Ours, in a process of its own


async def serve(root: Path) -> None:
    """Fill a store, serve it; on SIGUSR1 print how late tasks have woken up since the last time."""
    store = PieceStore(root)
    file = await store.create(TASK, PIECE)
    content = os.urandom(content_size(PIECE))
    for number in range(PIECES):
        await file.write(number, [content])
        file.seal(number, PIECE)
    file.end_known(PIECES * PIECE)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = DataPort(
        listeners,
        store.find,
        max_connections=256,
        stall_timeout=30,
        idle_timeout=60,
        drain_timeout=0,
    )
    late: list[float] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(port.run)
        nursery.start_soon(measure_lateness, late)
        print(listeners[0].socket.getsockname()[1], flush=True)
        with trio.open_signal_receiver(signal.SIGUSR1, signal.SIGTERM) as signals:
            async for number in signals:
                if number == signal.SIGTERM:
                    nursery.cancel_scope.cancel()
                    return
                print(statistics.quantiles(late, n=100)[98] * 1000, flush=True)
                late.clear()


async def measure_lateness(late: list[float]) -> None:
    while True:
        due = trio.current_time() + 0.001
        await trio.sleep_until(due)
        late.append(trio.current_time() - due)


# The load, in a process of its own


def load(port: int, connections: int) -> None:
    """Fetch pieces over so many connections for a while; print the bytes a second."""
    counts = [0] * connections
    begin = time.perf_counter()
    threads = [
        threading.Thread(target=fetch, args=(port, begin + SECONDS, counts, n))
        for n in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sum(counts) / (time.perf_counter() - begin))


def fetch(port: int, until: float, counts: list[int], me: int) -> None:
    block = bytearray(MIB)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        while time.perf_counter() < until:
            start = random.randrange(PIECES) * PIECE
            sock.sendall(
                f"GET {download_path(TASK)} HTTP/1.1\r\nHost: x\r\n"
                f"Range: bytes={start}-{start + PIECE - 1}\r\n\r\n".encode()
            )
            received = sock.recv_into(block)
            assert block.startswith(b"HTTP/1.1 206"), bytes(block[:100])
            head_end = block.index(b"\r\n\r\n", 0, received) + 4  # both send it in one packet
            left = PIECE - (received - head_end)
            while left:
                count = sock.recv_into(block, min(left, MIB))
                assert count, "closed in the middle of an answer"
                left -= count
            counts[me] += PIECE


# Both, side by side


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program; end it with the block."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.terminate()


def line_of(running: subprocess.Popen[str]) -> str:
    assert running.stdout
    return running.stdout.readline()


def throughput(port: int, connections: int) -> float:
    command = [sys.executable, __file__, "load", str(port), str(connections)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    return float(done.stdout)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        threading.Event().wait(0.02)
    raise TimeoutError("nginx does not listen")


def compare() -> None:
    nginx = shutil.which("nginx")
    if nginx is None:
        sys.exit("nginx is not installed")
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = stack.enter_context(process(sys.executable, __file__, "serve", str(root)))
        ours_port = int(line_of(ours))
        nginx_port = free_port()
        config = root / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(NGINX.format(user=user, root=root, port=nginx_port))
        stack.enter_context(process(nginx, "-c", str(config), "-e", "stderr"))
        wait_for(nginx_port)
        Console().print(table(ours, ours_port, nginx_port))


def table(ours: subprocess.Popen[str], ours_port: int, nginx_port: int) -> Table:
    result = Table("connections", "data port GB/s", "nginx GB/s", "ratio", "loop lag p99 ms")
    for connections in CONNECTIONS:
        measured: tuple[list[float], list[float]] = ([], [])
        lags = []
        for _ in range(ROUNDS):
            ours.send_signal(signal.SIGUSR1)  # begin anew
            line_of(ours)
            measured[0].append(throughput(ours_port, connections) / 1e9)
            ours.send_signal(signal.SIGUSR1)
            lags.append(float(line_of(ours)))
            measured[1].append(throughput(nginx_port, connections) / 1e9)
        ratio = statistics.median(measured[0]) / statistics.median(measured[1])
        result.add_row(
            str(connections),
            spread(measured[0]),
            spread(measured[1]),
            f"{ratio:.2f}",
            spread(lags),
        )
    return result


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", root]:
            trio.run(serve, Path(root))
        case ["load", port, connections]:
            load(int(port), int(connections))
        case _:
            compare()
