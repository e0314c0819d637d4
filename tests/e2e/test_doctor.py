"""``supernode doctor`` as an operator runs it, beside a running supernode and before its start."""

import json
import socket
import subprocess
from pathlib import Path

from tests.e2e.neighbours import SUPERNODE, Daemon


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*SUPERNODE, "doctor", "--config=/dev/null", "--host=127.0.0.1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_beside_a_running_supernode_all_is_well(supernode: Daemon) -> None:
    ports = f"--port={supernode.control}", f"--data-port={supernode.data}"
    ended = doctor(*ports, f"--state-dir={supernode.directory}", "--json")
    found = {line["check"]: line for line in map(json.loads, ended.stdout.splitlines())}
    assert found["control port"]["seen"].startswith(f"port {supernode.control} is served by")
    assert {line["verdict"] for line in found.values()} == {"fine", "doubtful"}
    assert found["advertised address"]["verdict"] == "doubtful"  # it is loopback
    assert (ended.returncode, ended.stderr) == (0, "")


def test_what_must_be_mended_makes_it_fail_and_says_how(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = doctor(f"--port={port}", "--data-port=0", f"--state-dir={tmp_path}")
    assert ended.returncode == 78, "0 needs --advertise-data-port"
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = doctor(
            *(f"--port={port}", "--data-port=0", "--advertise-data-port=8001"),
            f"--state-dir={tmp_path}",
        )
    assert (ended.returncode, ended.stderr) == (1, "")
    lines = ended.stdout.splitlines()
    place = lines.index(next(line for line in lines if "control port" in line))
    assert lines[place].startswith("broken")
    assert f"sport = :{port}" in lines[place + 1]
    assert list(tmp_path.iterdir()) == []
