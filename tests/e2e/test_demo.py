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
ROOT = Path(__file__).parents[2]
ENTRY_POINT = """
import sys
sys.path[0] = sys.argv.pop(1)
from supernode.cli import main
main()
"""
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


async def under_way(demo: trio.Process) -> None:
    """Return when a tenth or more has arrived: peers and their uploaders are at work."""
    assert demo.stdout is not None
    said = b""
    while b" %" not in said:
        more = await demo.stdout.receive_some()
        assert more, said
        said += more


async def test_every_peer_gets_the_file_and_nothing_is_left(tmp_path: Path) -> None:
    # Nor does it matter how the supernode of this machine is set up.
    settings = {"SUPERNODE_CONFIG": "nothing", "SUPERNODE_HTTP__TLS_CERT": "nonsense"}
    with trio.fail_after(120):
        ended = await trio.run_process(
            [*DEMO, "--peers", "3", "--size", "24MiB", "--json"],
            env=environment(tmp_path) | settings,
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


async def test_with_links_of_a_rate_most_comes_from_peers_and_no_bound_is_beaten(
    tmp_path: Path,
) -> None:
    with trio.fail_after(120):
        ended = await trio.run_process(
            [*DEMO, "--peers=5", "--size=48MiB", "--rate=16M", "--json"],
            env=environment(tmp_path),
            capture_stdout=True,
            capture_stderr=True,
        )
    figures = json.loads(ended.stdout)
    sent = figures["bytes"]
    assert sent["origin"] <= 1.02 * 48 * MIB
    assert sent["peers"] / (sent["peers"] + sent["seed"]) > 0.6
    assert figures["lower_bound_seconds"] == 3.0
    assert 0 < figures["efficiency"] <= 1
    assert figures["efficiency"] == round(3.0 / figures["seconds"], 3)


async def test_modules_in_the_current_directory_are_not_imported(tmp_path: Path) -> None:
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    for directory in (here, temporary):
        directory.mkdir()
    for name in ("random", "trio", "supernode"):
        (here / f"{name}.py").write_text("raise SystemExit(3)")
    with trio.fail_after(120):
        # As the installed program does: it has its own directory first, not the current one.
        await trio.run_process(
            [sys.executable, "-c", ENTRY_POINT, str(ROOT), "demo", "--peers=1", "--size=1MiB"],
            cwd=here,
            env=environment(temporary),
            capture_stdout=True,
        )
    assert left_behind(temporary) == []


async def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            run = partial(
                trio.run_process,
                env=environment(tmp_path),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                check=False,
            )
            demo = await nursery.start(run, [*DEMO, "--peers=2", "--size=40MiB", "--rate=8M"])
            await under_way(demo)
            await demo.stdout.aclose()
            assert await demo.stderr.receive_some() == b""
            assert await demo.wait() == 128 + signal.SIGPIPE
    assert left_behind(tmp_path) == []


async def test_a_killed_demo_is_cleared_up(tmp_path: Path) -> None:
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            run = partial(
                trio.run_process, env=environment(tmp_path), stdout=subprocess.PIPE, check=False
            )
            demo = await nursery.start(run, [*DEMO, "--peers=3", "--size=60MiB", "--rate=4M"])
            await under_way(demo)
            demo.kill()
        while left_behind(tmp_path):  # noqa: ASYNC110 - another process does it
            await trio.sleep(0.1)


async def test_an_interrupted_demo_leaves_nothing(tmp_path: Path) -> None:
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            run = partial(
                trio.run_process, env=environment(tmp_path), stdout=subprocess.PIPE, check=False
            )
            demo = await nursery.start(run, [*DEMO, "--peers=3", "--size=60MiB", "--rate=4M"])
            await under_way(demo)
            # A directory and its guard, a supernode, peers and their uploaders.
            assert len(left_behind(tmp_path)) >= 1 + 1 + 1 + 3 + 3
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
