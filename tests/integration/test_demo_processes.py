"""Starting and ending the demo's processes."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from supernode.demo.processes import child, end_uploaders, reserved_ports

IGNORES_SIGTERM = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
signal.pause()
"""


async def test_a_child_says_what_it_says_and_ends(tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with child("it", tmp_path / "log", "--help", grace=5) as started:
            lines = [line async for line in started.lines()]
            assert await started.process.wait() == 0
    assert lines[0].startswith(b"Usage: supernode")
    assert len(lines) > 10


async def test_a_failure_ends_with_what_the_process_said(tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with child("it", tmp_path / "log", "serve", "--port=x", grace=5) as started:
            status = await started.process.wait()
    said = str(started.failure(f"ended with {status}"))
    assert said.startswith("it ended with 2\n")
    assert "--port" in said


async def test_a_child_is_gone_when_its_context_is_cancelled(tmp_path: Path) -> None:
    arguments = ["--host=127.0.0.1", f"--state-dir={tmp_path}"]
    with trio.fail_after(20), reserved_ports(2) as (control, data):
        arguments += [f"--port={control}", f"--data-port={data}"]
        with trio.CancelScope() as scope:
            async with child("it", tmp_path / "log", "serve", *arguments, grace=10) as started:
                scope.cancel()
                await trio.sleep_forever()
    assert started.process.returncode is not None


def test_reserved_ports_can_be_listened_on_by_servers_only() -> None:
    with reserved_ports(3) as ports:
        assert len(set(ports)) == 3
        for port in ports:
            with socket.socket() as selfish, pytest.raises(OSError, match="in use"):
                selfish.bind(("127.0.0.1", port))
            with socket.socket() as server:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind(("127.0.0.1", port))
                server.listen()
                socket.create_connection(("127.0.0.1", port), 5).close()


async def test_the_uploaders_of_these_homes_are_ended_and_no_others(tmp_path: Path) -> None:
    def stubborn(home: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", IGNORES_SIGTERM, "dfget-uploader", f"--home={home}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        return process

    with (
        trio.fail_after(20),
        stubborn(tmp_path / "ours" / "A") as ours,
        stubborn(tmp_path / "others" / "A") as others,
    ):
        try:
            await end_uploaders(tmp_path / "ours", 0.1)
            assert ours.wait(0) == -9
            assert others.poll() is None
        finally:
            ours.kill()
            others.kill()
