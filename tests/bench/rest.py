"""Requests a second of the control port, beside nginx answering a file of two bytes.

Run by hand: ``python tests/bench/rest.py``; needs wrk. Also prints the daemon's memory, idle and
with 10,000 peers registered.
"""

import http.client
import json
import re
import subprocess
import tempfile
from pathlib import Path

from tests.e2e.neighbours import Daemon, daemon, nginx

CONNECTIONS = 32
SECONDS = 5
PEERS = 10_000


def wrk(url: str, script: str = "") -> float:
    """Return the requests/s that wrk reaches."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        said = subprocess.run(
            [*command[:-1], "-s", file.name, url], check=True, capture_output=True, text=True
        ).stdout
    match = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert match, said
    return float(match[1])


def resident(node: Daemon) -> float:
    """Return the daemon's resident memory in MB."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match
    return int(match[1]) / 1000


def register_peers(node: Daemon) -> None:
    """Make 10,000 peers known."""
    connection = http.client.HTTPConnection("127.0.0.1", node.control, timeout=60)
    for n in range(PEERS):
        body = {"IP": f"10.0.{n >> 8}.{n & 255}", "hostName": f"host-{n}", "port": 15001}
        connection.request("POST", "/peers", json.dumps(body))
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 201
    connection.close()


def main() -> None:
    """Print the table."""
    with (
        tempfile.TemporaryDirectory() as directory,
        nginx(Path(directory) / "origin") as origin,
        daemon(Path(directory) / "node") as node,
    ):
        connection = http.client.HTTPConnection("127.0.0.1", node.control, timeout=60)
        url = origin.file("ok", 2)
        body = {"rawURL": url, "cID": "bench"}
        connection.request("POST", "/tasks", json.dumps(body), {"Prefer": "wait=10"})
        task = json.loads(connection.getresponse().read())["ID"]
        connection.close()
        print(f"memory, idle               {resident(node):7.1f} MB")
        base = f"http://{node.node}"
        reference = wrk(url)
        print(f"nginx, 2 bytes             {reference:7.0f} requests/s")
        pull = f"/tasks/{task}/pieces?clientID=bench"
        post = 'wrk.method="POST"; wrk.body=\'{"IP":"10.9.9.9","hostName":"h","port":15001}\''
        for name, path, script in (
            ("GET /_ping", "/_ping", ""),
            ("GET /tasks/{id}", f"/tasks/{task}", ""),
            ("GET /tasks/{id}/pieces", pull, ""),
            ("POST /peers, known", "/peers", post),
        ):
            rate = wrk(base + path, script)
            print(f"{name:26} {rate:7.0f} requests/s   ratio {rate / reference:.3f}")
        register_peers(node)
        print(f"memory, {PEERS} peers       {resident(node):7.1f} MB")


if __name__ == "__main__":
    main()
