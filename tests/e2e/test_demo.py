"""``supernode demo`` as a newcomer runs it: a whole swarm, and nothing of it left afterwards."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import trio

DEMO = [sys.executable, "-m", "supernode", "demo"]
MIB = 1 << 20


def environment(directory: Path) -> dict[str, str]:
    """Return an environment in which all temporary files go to ``directory``."""
    return {**os.environ, "TMPDIR": str(directory), "COLUMNS": "80"}


def left_behind(directory: Path) -> list[str]:
    """Return what there still is: files, and command lines that name the directory."""
    processes = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(directory) in line:
            processes.append(line)
    return [*map(str, directory.iterdir()), *processes]


async def test_every_peer_gets_the_file_and_nothing_is_left(tmp_path: Path) -> None:
    with trio.fail_after(120):
        ended = await trio.run_process(
            [*DEMO, "--peers", "3", "--size", "24MiB", "--json"],
            env=environment(tmp_path),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert list(figures) == [
        "ok",
        "peers",
        "size",
        "seconds",
        "bytes",
        "lower_bound_seconds",
        "efficiency",
        "digests_ok",
    ]
    assert list(figures["bytes"]) == ["origin", "seed", "peers"]
    assert figures["ok"] is True
    assert figures["digests_ok"] is True
    assert (figures["peers"], figures["size"]) == (3, 24 * MIB)
    assert figures["seconds"] > 0
    assert figures["lower_bound_seconds"] is figures["efficiency"] is None
    assert 24 * MIB <= figures["bytes"]["origin"] <= 1.02 * 24 * MIB
    assert figures["bytes"]["seed"] + figures["bytes"]["peers"] == 3 * 24 * MIB
    assert figures["bytes"]["seed"] >= 24 * MIB
    assert left_behind(tmp_path) == []


async def test_with_a_rate_there_is_a_bound_that_is_not_beaten(tmp_path: Path) -> None:
    with trio.fail_after(120):
        ended = await trio.run_process(
            [*DEMO, "--peers=2", "--size=16MiB", "--rate=8M", "--json"],
            env=environment(tmp_path),
            capture_stdout=True,
            capture_stderr=True,
        )
    figures = json.loads(ended.stdout)
    assert figures["lower_bound_seconds"] == 2.0
    assert 0 < figures["efficiency"] <= 1
    assert figures["efficiency"] == round(2.0 / figures["seconds"], 3)


async def test_an_interrupted_demo_leaves_nothing(tmp_path: Path) -> None:
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            run = partial(
                trio.run_process, env=environment(tmp_path), stdout=subprocess.PIPE, check=False
            )
            demo = await nursery.start(run, [*DEMO, "--peers=3", "--size=60MiB", "--rate=4M"])
            assert demo.stdout is not None
            # The first tenth has arrived: a directory, a supernode, peers and their uploaders.
            assert b"10 %" in await demo.stdout.receive_some()
            assert len(left_behind(tmp_path)) >= 1 + 1 + 3 + 3
            demo.send_signal(signal.SIGINT)
            assert await demo.wait() == 130
    assert left_behind(tmp_path) == []


async def test_a_swarm_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with trio.fail_after(120):
        ended = await trio.run_process(
            [*DEMO, "--peers=2", "--size=40MiB", "--rate=1M", "--timeout=5", "--json"],
            env=environment(tmp_path),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    assert ended.returncode == 1
    assert b"demo: not done within 5 s" in ended.stderr
    figures = json.loads(ended.stdout)
    assert (figures["ok"], figures["digests_ok"], figures["seconds"]) == (False, False, None)
    assert left_behind(tmp_path) == []
