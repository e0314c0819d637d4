"""Machines that download: real ``supernode dfget`` processes, each with a home of its own."""

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.neighbours import SUPERNODE

DEADLINE = 90


@dataclass
class Peer:
    """A running ``supernode dfget``, and its uploader."""

    process: subprocess.Popen[str]
    home: Path
    output: Path

    def finish(self) -> dict[str, object]:
        """Wait for its end; return the last thing it said."""
        said, _ = self.process.communicate(timeout=DEADLINE)
        last: dict[str, object] = json.loads(said.splitlines()[-1])
        assert last["event"] == "end"
        return last

    def first_piece(self) -> dict[str, object]:
        """Return what it says of the first piece it gets."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said: dict[str, object] = json.loads(line)
            if said["event"] == "piece":
                return said
        raise AssertionError(f"{self.home.name} ended before its first piece")

    def kill(self) -> None:
        """Take the whole machine away: the download and the uploader."""
        self.process.kill()
        self.process.wait()
        self.kill_uploader(signal.SIGKILL)

    def kill_uploader(self, how: signal.Signals) -> None:
        """Signal the uploader, if it is there."""
        lock = self.home / "uploader.lock"
        if lock.exists() and (text := lock.read_text()):
            pid = json.loads(text)["pid"]
            try:
                # A process ID may have been given to somebody else since.
                if str(self.home) in Path(f"/proc/{pid}/cmdline").read_text():
                    os.kill(pid, how)
            except (FileNotFoundError, ProcessLookupError):
                pass

    def right(self, sha256: str) -> bool:
        """Tell whether the output is the file."""
        return hashlib.sha256(self.output.read_bytes()).hexdigest() == sha256


@contextmanager
def peers(
    directory: Path, url: str, node: str, count: int, *arguments: str
) -> Iterator[list[Peer]]:
    """Run ``count`` peers that download ``url``, each with a home of its own."""
    running: list[Peer] = []
    try:
        for n in range(count):
            home, output = directory / f"home{n}", directory / f"out{n}"
            command = [*SUPERNODE, "dfget", "-u", url, "-o", str(output), "-n", node]
            command += ["--home", str(home), "--ip", "127.0.0.1", "--json", *arguments]
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            running.append(Peer(process, home, output))
        yield running
    finally:
        for peer in running:
            if peer.process.poll() is None:
                peer.process.kill()
            peer.process.wait()
            assert peer.process.stdout is not None
            peer.process.stdout.close()
            peer.kill_uploader(signal.SIGTERM)
