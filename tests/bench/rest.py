"""What the control port costs: requests/s of every operation, memory, time to start.

Run by hand: ``python tests/bench/rest.py``; needs wrk, takes a minute and a half. The requests/s
stand beside those of an nginx that answers with a file of two bytes; look at the ratio. Memory is
the daemon's, before anything and with 10,000 peers. The start is measured from exec to the line in
the log that says that both ports are served, for ``python -m supernode`` and, if it has been made,
for ``dist/supernode``.
"""

import http.client
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tests.e2e.neighbours import MIB, SUPERNODE, Daemon, daemon, listening_socket, nginx

CONNECTIONS = 32
SECONDS = 3
PEERS = 10_000
TASKS = 100
STARTS = 5
EXECUTABLE = Path(__file__).parents[2] / "dist/supernode"


class Operation(NamedTuple):
    """One request that can be repeated, and answered with the same each time."""

    name: str
    path: str
    method: str = "GET"
    body: object = None


class Caller:
    """A client that prepares what there is to ask for."""

    def __init__(self, node: Daemon) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", node.control, timeout=60)

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: object = None) -> object:
        """Return the JSON that a request is answered with."""
        text = json.dumps(body) if body else None
        self._connection.request(method, path, text, {"Prefer": "wait=10"})
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status < 300, content
        return json.loads(content)

    def create(self, path: str, body: object) -> str:
        """Return the ID of something new."""
        created = self.ask("POST", path, body)
        assert isinstance(created, dict)
        return str(created["ID"])


# requests a second


def wrk(url: str, operation: Operation) -> float:
    """Return the requests/s that wrk reaches."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method = "{operation.method}"\n')
        if operation.body is not None:
            script.write(f"wrk.body = [[{json.dumps(operation.body)}]]\n")
        script.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", script.name, url]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    match = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert match, said
    assert "Non-2xx" not in said, said
    return float(match[1])


def operations(caller: Caller, file: str, unfinished: str) -> Iterator[Operation]:
    """Yield every operation; each is prepared just before.

    Args:
        caller: asks our supernode.
        file: the URL of a large file.
        unfinished: one that an origin has yet to answer for.
    """
    yield Operation("GET /_ping", "/_ping")
    peer = {"IP": "10.9.9.9", "hostName": "host", "port": 15001}
    peer_id = caller.create("/peers", peer)
    yield Operation("POST /peers, known", "/peers", "POST", peer)
    yield Operation(f"GET /peers, 20 of {PEERS}", "/peers?pageSize=20")
    yield Operation("GET /peers/{id}", f"/peers/{peer_id}")
    download = {"rawURL": file, "cID": "puller"}
    task = f"/tasks/{caller.create('/tasks', download)}"
    pull = f"{task}/pieces?clientID=puller"
    yield Operation("GET …/pieces, 4 pieces", pull)
    pieces = caller.ask("GET", pull)
    assert isinstance(pieces, list)
    report = {"clientID": "puller", "dstPID": pieces[0]["pID"], "pieceStatus": "SUCCESS"}
    piece = f"{task}/pieces/{pieces[0]['pieceRange']}"
    yield Operation("PUT …/pieces/{range}, known", piece, "PUT", report)
    yield Operation("POST /tasks, known", "/tasks", "POST", download)
    yield Operation(f"GET /tasks, 20 of {TASKS}", "/tasks?pageSize=20")
    yield Operation("GET /tasks/{id}", task)
    yield Operation("PUT /tasks/{id}", task, "PUT", {"paused": False})
    yield Operation("GET …/clients", f"{task}/clients")
    preheat = {"type": "file", "url": unfinished}
    preheat_id = caller.create("/preheats", preheat)
    yield Operation("POST /preheats, joining", "/preheats", "POST", preheat)
    yield Operation("GET /preheats/{id}", f"/preheats/{preheat_id}")
    yield Operation("GET /preheats, one", "/preheats")
    yield Operation("GET /version", "/version")
    yield Operation("GET /openapi.json", "/openapi.json")


def compare(directory: Path) -> None:
    """Print memory, and the requests/s of each operation."""
    with ExitStack() as stack:
        origin = stack.enter_context(nginx(directory / "origin"))
        silent = stack.enter_context(listening_socket())
        node = stack.enter_context(daemon(directory / "node"))
        caller = Caller(node)
        stack.callback(caller.close)
        caller.ask("GET", "/version")
        print(f"memory, idle                   {resident(node):6.1f} MB")
        for n in range(PEERS):
            peer = {"IP": f"10.0.{n >> 8}.{n & 255}", "hostName": f"host-{n}", "port": 15001}
            caller.create("/peers", peer)
        print(f"memory, {PEERS} peers           {resident(node):6.1f} MB")
        small, large = origin.file("small", 2), origin.file("large", 40 * MIB)
        for n in range(TASKS - 2):
            caller.create("/tasks", {"rawURL": f"{small}?{n}", "cID": "client"})
        reference = wrk(small, Operation("", ""))
        print(f"nginx, 2 bytes                 {reference:6.0f} requests/s")
        unfinished = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        for operation in operations(caller, large, unfinished):
            rate = wrk(f"http://{node.node}{operation.path}", operation)
            print(f"{operation.name:30} {rate:6.0f} requests/s   ratio {rate / reference:.3f}")
        print(f"memory, after all that         {resident(node):6.1f} MB")


def resident(node: Daemon) -> float:
    """Return the daemon's resident memory in MB."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match
    return int(match[1]) / 1000


# the start


def start_seconds(command: Sequence[str], **environment: str) -> float:
    """Return the seconds from exec to the line that says that it serves."""
    with tempfile.TemporaryDirectory() as state, listening_socket() as free:
        port = free.getsockname()[1]
        free.close()
        arguments = ["serve", "--config=/dev/null", "--host=127.0.0.1", "--port=0"]
        arguments += [f"--data-port={port}", f"--state-dir={state}"]
        start = time.perf_counter()
        with subprocess.Popen(
            [*command, *arguments], stderr=subprocess.PIPE, env=os.environ | environment
        ) as process:
            assert process.stderr
            for line in process.stderr:
                if json.loads(line)["event"] == "serving":
                    break
            seconds = time.perf_counter() - start
            process.terminate()
            process.stderr.read()
        return seconds


def starts(name: str, command: Sequence[str], first: float) -> None:
    """Print how long it takes, for the first time and usually."""
    usual = statistics.median(start_seconds(command) for _ in range(STARTS))
    print(f"{name:30} {first:6.2f} s the first time, {usual:.2f} s usually")


def not_in_memory(file: Path) -> None:
    """Have a file read from the disk the next time, as after it was installed and a reboot."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure_starts(directory: Path) -> None:
    """Print how long a start takes."""
    compiled: Mapping[str, str] = {"PYTHONPYCACHEPREFIX": str(directory / "nothing compiled yet")}
    starts("python -m supernode serve", SUPERNODE, start_seconds(SUPERNODE, **compiled))
    if EXECUTABLE.exists():
        not_in_memory(EXECUTABLE)
        command = [str(EXECUTABLE)]
        starts("dist/supernode serve", command, start_seconds(command))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        measure_starts(Path(temporary))
        compare(Path(temporary))
