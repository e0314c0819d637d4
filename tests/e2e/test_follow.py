"""``supernode events`` beside a supernode that is killed, and others that end in order."""

import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.neighbours import SUPERNODE, Daemon, until


@contextmanager
def following(node: Daemon, log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Follow a supernode for the body; what is shown goes to a file."""
    command = [*SUPERNODE, "events", f"--node={node.node}", *arguments]
    with (
        log.open("wb") as out,
        log.with_suffix(".notices").open("wb") as notices,
        subprocess.Popen(command, stdout=out, stderr=notices) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def shown(log: Path) -> list[dict[str, Any]]:
    """Return the messages that were shown."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def types(log: Path) -> list[str]:
    return [message["type"] for message in shown(log)]


def register(node: Daemon, name: str) -> None:
    body = json.dumps({"IP": "10.0.0.7", "hostName": name, "port": 15001}).encode()
    url = f"http://{node.node}/peers"
    with urllib.request.urlopen(urllib.request.Request(url, body, method="POST")):
        pass


def span(message: dict[str, Any]) -> range:
    if message["type"] == "gap":
        return range(message["from"], message["to"] + 1)
    return range(message["seq"], message["seq"] + 1)


def test_nothing_is_lost_in_silence_when_the_supernode_is_killed(
    supernode: Daemon, tmp_path: Path
) -> None:
    log, late = tmp_path / "followed", tmp_path / "late"
    names = [f"host-{number}" for number in range(9)]
    with following(supernode, log, "--since=0") as follower:
        for number, name in enumerate(names):
            register(supernode, name)
            if number % 3 == 1:
                supernode.kill()
                supernode.start()
        register(supernode, "last")
        until(lambda: "last" in log.read_text())
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 130
    seen = shown(log)
    numbers = [number for message in seen for number in (span(message)[0], span(message)[-1])]
    assert all(before <= after for before, after in pairwise(numbers))
    assert all(span(one)[-1] + 1 == span(next_)[0] for one, next_ in pairwise(seen))
    assert span(seen[0])[0] == 1
    registered = [m["hostName"] for m in seen if m["type"] == "peer.registered"]
    assert registered == [*names, "last"], "what was acknowledged was written before"
    assert types(log).count("gap") == 3
    assert "connected again" in log.with_suffix(".notices").read_text()

    with following(supernode, late, "--since=0", "--type=peer.registered"):
        until(lambda: "last" in late.read_text())
    assert [m["seq"] for m in shown(late) if "seq" in m] == [
        m["seq"] for m in seen if m["type"] == "peer.registered"
    ]


def test_a_supernode_that_ends_in_order_leaves_no_gap(supernode: Daemon, tmp_path: Path) -> None:
    log = tmp_path / "followed"
    with following(supernode, log, "--since=0"):
        for _ in range(3):
            register(supernode, "host")
            assert supernode.stop() == 0
            supernode.start()
        until(lambda: types(log).count("daemon.started") == 4)
    assert types(log).count("daemon.told_to_stop") == 3
    seen = shown(log)
    assert [message["seq"] for message in seen] == list(range(1, len(seen) + 1))


def test_lines_of_json_for_curl(supernode: Daemon) -> None:
    url = f"http://{supernode.node}/events?since=0&type=peer.registered"
    with subprocess.Popen(["curl", "-sN", url], stdout=subprocess.PIPE) as curl:
        try:
            register(supernode, "host")
            assert curl.stdout
            message = json.loads(curl.stdout.readline())
        finally:
            curl.kill()
    assert message["hostName"] == "host"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", message["time"])


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--type=nonsense"], 64, "no events of type 'nonsense'"),
        (["--since=999999999"], 64, "since: is beyond"),
        (["--node=127.0.0.1:1"], 69, "no connection to 127.0.0.1:1"),
    ],
)
def test_it_says_why_it_ends(
    supernode: Daemon, arguments: list[str], status: int, says: str
) -> None:
    command = [*SUPERNODE, "events", f"--node={supernode.node}", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert run.returncode == status
    assert says in run.stderr
    assert run.stdout == ""


def test_whoever_reads_may_have_enough(supernode: Daemon) -> None:
    register(supernode, "host")
    follow = " ".join([*SUPERNODE, "events", f"--node={supernode.node}", "--since=0"])
    command = f"{{ {follow}; echo $? >&2; }} | head -1"
    with subprocess.Popen(
        ["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        assert run.stderr
        assert json.loads(run.stdout.readline())["seq"] == 1
        for number in range(20):  # it notices when it next has something to say
            register(supernode, f"other-{number}")
        assert run.stderr.read() == "0\n"
