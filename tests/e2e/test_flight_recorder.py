"""What real peers asked of a real supernode, dumped and run again by `simulate --replay`."""

import gzip
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from supernode.demo.processes import end_uploaders
from supernode.recording import dump_file, portrait
from tests.e2e import neighbours
from tests.e2e.neighbours import MIB, SUPERNODE, Daemon, Origin, daemon

DEADLINE = 60
SHORT = "from supernode.recording import recorder; recorder.LENGTH, recorder.DIGEST_EVERY = 10, 1"
DEFECT = "from supernode.core.swarm import Swarm; Swarm.took = lambda *_: 1 / 0"


@pytest.fixture(autouse=True)
def no_uploader_stays(tmp_path: Path) -> Iterator[None]:
    """See to it that they leave, too."""
    yield
    trio.run(end_uploaders, tmp_path, 10.0)


def program(*changes: str) -> list[str]:
    """Return the installed program with some changes, as a command."""
    return [
        sys.executable,
        *("-c", "; ".join([*changes, "from supernode.cli import main", "main()"])),
    ]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)


@contextmanager
def download(node: str, url: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Get a file by one peer, with secrets."""
    address = url.replace("http://", "http://user:pa55@")
    peer = subprocess.Popen(
        [
            *(*SUPERNODE, "dfget", "-u", address, "-o", str(home), "-n", node, "--notbs"),
            *(f"--home={home}.home", "--ip=127.0.0.1", "--header", "X-Token: s3cret"),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield peer
    finally:
        peer.kill()
        peer.wait(DEADLINE)


def dump_of(running: Daemon) -> Path:
    asked = run(
        *SUPERNODE, "debug", "dump", "--config=/dev/null", f"--state-dir={running.directory}"
    )
    assert asked.returncode == 0, asked.stderr
    return Path(asked.stdout.strip())


def test_what_many_commands_did_is_repeated_bit_for_bit(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "SUPERNODE", program(SHORT))
    url = origin.file("f", 40 * MIB)
    with daemon(tmp_path / "supernode") as running:
        for n in range(3):
            with download(running.node, url, tmp_path / f"peer{n}") as peer:
                assert peer.wait(DEADLINE) == 0
        file = dump_of(running)
    replayed = run(*program(SHORT), "simulate", "--replay", str(file))
    assert replayed.returncode == 0, replayed.stdout
    assert "as recorded" in replayed.stdout
    first = dump_file.read(file).generations[0]
    assert portrait.built(first.state).tasks  # what came before has been let go of
    content = gzip.decompress(file.read_bytes())
    assert b"X-Token" in content
    assert b"pa55" not in content
    assert b"s3cret" not in content


def test_a_defect_of_the_core_is_dumped_and_happens_again(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "SUPERNODE", program(DEFECT))
    url = origin.file("f", 5 * MIB)
    with (
        daemon(tmp_path / "supernode") as running,
        download(running.node, url, tmp_path / "peer"),
    ):
        assert running.process.wait(DEADLINE) == 70
    (file,) = (running.directory / "dumps").glob("*-broken.supernode-dump")
    again = run(*program(DEFECT), "simulate", "--replay", str(file))
    assert again.returncode == 1
    assert "ZeroDivisionError" in again.stdout
    cured = run(*SUPERNODE, "simulate", "--replay", str(file))
    assert cured.returncode == 0, cured.stdout
