"""The unit, and what the program and its service manager tell each other."""

import configparser
import shutil
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

from supernode.config.errors import EXIT_STATUS
from supernode.config.settings import Http
from supernode.daemon import SHUTDOWN_MARGIN
from tests.e2e.neighbours import daemon

UNITS = Path(__file__).parents[2] / "systemd"
UNIT = UNITS / "supernode.service"
TARGETS = ("basic", "multi-user", "network-online", "shutdown", "sockets", "sysinit")


def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None)
    unit.read(UNIT)
    return unit["Service"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a file system where the unit is installed, and what it refers to."""
    units, programs = tmp_path / "usr/lib/systemd/system", tmp_path / "usr/bin"
    units.mkdir(parents=True)
    programs.mkdir()
    for name in TARGETS:
        (units / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n")
    shutil.copytree(UNITS, units, dirs_exist_ok=True)
    (programs / "supernode").write_text("#!/bin/sh\n")
    (programs / "supernode").chmod(0o755)
    return tmp_path


def analyze(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", f"--root={root}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_systemd_understands_all_of_the_unit(root: Path) -> None:
    names = [path.name for path in UNITS.iterdir()]
    verified = analyze(root, "verify", "--man=no", *names)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_unit_may_do_little_but_serve(root: Path) -> None:
    judged = analyze(root, "security", "--offline=yes", "--threshold=20", UNIT.name)
    assert judged.returncode == 0, judged.stdout


def test_the_unit_knows_the_program() -> None:
    unit = service()
    assert unit["ExecStart"] == "/usr/bin/supernode serve"
    assert int(unit["TimeoutStopSec"]) > Http().drain_timeout + SHUTDOWN_MARGIN
    assert int(unit["RestartPreventExitStatus"]) == EXIT_STATUS


def test_a_manager_is_told_when_it_serves_and_when_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(address))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(20)
        with daemon(tmp_path / "state") as node:
            ready = manager.recv(4096).decode().splitlines()
            assert ready[0] == "READY=1"
            assert str(node.control) in ready[1]
            urllib.request.urlopen(f"http://{node.node}/_ping", timeout=10).close()
            assert node.stop() == 0
        stopping = manager.recv(4096).decode().splitlines()
        assert stopping[0] == "STOPPING=1"
