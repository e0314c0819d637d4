"""``supernode status`` and the questions of load balancers, asked of a running supernode."""

import json
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.neighbours import MIB, SUPERNODE, Daemon, Origin, daemon, until


def status(node: Daemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*SUPERNODE, "status", f"--node={node.node}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def preheat(node: Daemon, url: str) -> None:
    body = json.dumps({"type": "file", "url": url}).encode()
    request = urllib.request.Request(f"http://{node.node}/preheats", body, method="POST")
    urllib.request.urlopen(request, timeout=20).close()


def have_ended(node: Daemon, number: int) -> bool:
    preheats = node.get("/preheats")
    assert isinstance(preheats, list)
    return sum(one["status"] in ("SUCCESS", "FAILED") for one in preheats) == number


def test_the_screen_tells_what_came_and_what_failed(supernode: Daemon, origin: Origin) -> None:
    url = origin.file("f", 5 * MIB)
    preheat(supernode, url)
    preheat(supernode, f"{url}-missing")
    until(lambda: have_ended(supernode, 2))
    plain = status(supernode)
    assert (plain.returncode, plain.stderr) == (0, "")
    said = [line.partition(": ")[::2] for line in plain.stdout.splitlines()]
    assert ("ready", "yes") in said
    assert ("preheats", "1 FAILED, 1 SUCCESS") in said
    assert any(name == "bytes" and text.startswith("5.0 MiB from origins") for name, text in said)
    failed = [text for name, text in said if name == "failed"]
    assert len(failed) == 2  # the task, and the preheat that asked for it
    assert all(f"{url}-missing" in text for text in failed)
    whole = json.loads(status(supernode, "--json").stdout)
    assert whole["ready"] is True
    assert whole["overview"]["bytesFrom"]["origin"] == 5 * MIB
    assert {failure["what"] for failure in whole["failures"]} == {"task", "preheat"}


def test_a_supernode_that_is_gone_is_not_shown(supernode: Daemon) -> None:
    url = f"http://{supernode.node}"
    assert urllib.request.urlopen(f"{url}/livez", timeout=10).read() == b"OK"
    assert status(supernode).returncode == 0
    for held in supernode._sockets:
        held.close()
    assert supernode.stop() == 0
    ended = status(supernode)
    assert (ended.returncode, ended.stdout) == (69, "")


@pytest.mark.parametrize(
    ("held", "whose"), [(True, "control and data passed on"), (False, "opened by this process")]
)
def test_ready_says_whose_sockets_are_served(tmp_path: Path, held: bool, whose: str) -> None:
    with daemon(tmp_path, held=held) as node:
        until(lambda: answers(node))
        assert node.get("/readyz") == {
            "checks": {"disk": "ok", "journal": "ok", "serving": "ok", "sockets": whose}
        }


def answers(node: Daemon) -> bool:
    try:
        node.get("/version")
    except OSError:
        return False
    return True
