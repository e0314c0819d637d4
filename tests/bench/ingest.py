"""How fast the CDN takes a file from its origin, beside ``curl | md5sum`` in the same run.

Run by hand: ``python tests/bench/ingest.py``. The supernode does more for its bytes: two MD5s, a
SHA-256 and the disk, and it stays responsive; so there is a second pipe that does the same work.
Rounds alternate; the median counts.
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


def pipe(command: str) -> float:
    """Return the seconds that a shell command takes."""
    start = time.perf_counter()
    subprocess.run(["bash", "-c", command], check=True, stdout=subprocess.DEVNULL)
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
    """Print the rates and their ratios."""
    md5, same, ours = [], [], []
    with (
        tempfile.TemporaryDirectory() as directory,
        nginx(Path(directory) / "origin") as origin,
        daemon(Path(directory) / "node") as node,
    ):
        url = origin.file("file", SIZE)
        for n in range(ROUNDS):
            md5.append(pipe(f"curl -sS '{url}' | md5sum"))
            file = f"{directory}/copy{n}"
            work = f"tee >(md5sum) >(md5sum) >(sha256sum) > {file}; wait"
            same.append(pipe(f"curl -sS '{url}' | {work} 2>/dev/null"))
            ours.append(ingest(node, f"{url}?round={n}"))
    rates = [SIZE / MIB / statistics.median(seconds) for seconds in (md5, same, ours)]
    for name, rate in zip(("curl | md5sum", "curl, same work", "supernode"), rates, strict=True):
        ratio = rates[2] / rate
        print(f"{name:18} {rate:6.0f} MiB/s   supernode is {ratio:.2f} times as fast")


if __name__ == "__main__":
    main()
