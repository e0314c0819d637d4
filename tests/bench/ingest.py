"""How fast the CDN takes a file from its origin, beside ``curl | md5sum`` in the same run.

Run by hand: ``python tests/bench/ingest.py``. The supernode does more for its bytes: two MD5s, a
SHA-256, the disk, and it stays responsive. Rounds alternate; the median counts.
"""

import http.client
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.e2e.neighbours import MIB, Daemon, daemon, nginx

SIZE = 300 * MIB
ROUNDS = 5


def curl(url: str) -> float:
    """Return the seconds that ``curl | md5sum`` takes."""
    start = time.perf_counter()
    subprocess.run(
        ["sh", "-c", f"curl -sS '{url}' | md5sum"], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def ingest(node: Daemon, url: str) -> float:
    """Return the seconds from the request to the task's success."""
    connection = http.client.HTTPConnection("127.0.0.1", node.control, timeout=60)

    def ask(method: str, path: str, body: object = None) -> dict[str, object]:
        connection.request(method, path, json.dumps(body) if body else None, {"Prefer": "wait=30"})
        answer: dict[str, object] = json.loads(connection.getresponse().read())
        return answer

    start = time.perf_counter()
    task = ask("POST", "/tasks", {"rawURL": url, "cID": "bench"})["ID"]
    while ask("GET", f"/tasks/{task}")["cdnStatus"] != "SUCCESS":
        time.sleep(0.01)  # noqa: TID251 - a bench looks at the clock
    seconds = time.perf_counter() - start
    connection.close()
    return seconds


def main() -> None:
    """Print both rates and their ratio."""
    theirs, ours = [], []
    with (
        tempfile.TemporaryDirectory() as directory,
        nginx(Path(directory) / "origin") as origin,
        daemon(Path(directory) / "node") as node,
    ):
        url = origin.file("file", SIZE)
        for n in range(ROUNDS):
            theirs.append(curl(url))
            ours.append(ingest(node, f"{url}?round={n}"))
    rates = [SIZE / MIB / statistics.median(seconds) for seconds in (theirs, ours)]
    print(f"curl | md5sum   {rates[0]:6.0f} MiB/s")
    print(f"supernode       {rates[1]:6.0f} MiB/s   ratio {rates[1] / rates[0]:.2f}")


if __name__ == "__main__":
    main()
