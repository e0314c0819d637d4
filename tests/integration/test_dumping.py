"""Dumps of a running supernode: on a signal, on a defect, on a stall, by `supernode debug dump`."""

import gzip
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from supernode import debug
from supernode.core.commands import RegisterPeer, RegisterTask
from supernode.core.errors import DomainError, InvariantError
from supernode.core.identity import ClientId
from supernode.core.model import TaskSpec
from supernode.core.swarm import Swarm
from supernode.recording import dump_file, recorder
from supernode.recording.dumps import ASKED, BROKEN, KEPT, STALLED, Dumps
from supernode.recording.replay import Ended, ReplayResult, replay
from supernode.services.dumping import Dumping
from supernode.services.watchdog import Watchdog
from supernode.simulation import command as simulate
from tests.crowd import LIMITS, Crowd
from tests.inprocess import InProcess
from tests.recorded_tracker import RecordedTracker


class World:
    def __init__(self, directory: Path) -> None:
        self.node = InProcess()
        self.dumps = Dumps(directory)
        self.dumping = Dumping(self.node.dispatch, self.dumps)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                await nursery.start(self.dumping.run)
                yield
                nursery.cancel_scope.cancel()

    def register_peer(self) -> str:
        return self.node.dispatch(
            RegisterPeer(ip="10.0.0.1", port=15001, host_name="h", version="1")
        )

    def register_task(self) -> str:
        spec = TaskSpec(raw_url="http://o/x", task_url="http://o/x")
        register = RegisterTask(spec=spec, client=ClientId("c"), peer=None, path="")
        return self.node.dispatch(register)

    def replayed(self, cause: str) -> ReplayResult:
        """Replay the one dump of a cause."""
        (file,) = self.dumps.files(cause)
        return replay(dump_file.read(file))


def run(directory: Path) -> Result:
    arguments = ("dump", "--config=/dev/null", f"--state-dir={directory}")
    return CliRunner().invoke(debug.command, arguments)


def run_again(file: Path) -> Result:
    return CliRunner().invoke(simulate.command, ["--replay", str(file)])


async def test_a_signal_is_answered_with_a_dump(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.running():
        world.register_peer()
        signal.raise_signal(signal.SIGUSR1)
        while not (files := world.dumps.files(ASKED)):  # noqa: ASYNC110 - a thread writes it
            await trio.sleep(0.01)
    (file,) = files
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    result = world.replayed(ASKED)
    assert (result.ended, result.commands, result.events) == (Ended.AS_RECORDED, 1, 1)


async def test_a_core_that_fails_is_dumped_when_the_daemon_ends_and_fails_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Swarm, "join", lambda _: 1 // 0)
    world = World(tmp_path)

    async def live() -> None:
        async with world.running():
            world.register_peer()
            with pytest.raises(InvariantError):
                world.register_task()
            world.register_task()  # what the core does now says nothing about the defect

    with pytest.raises(ExceptionGroup):
        await live()
    result = world.replayed(BROKEN)
    assert (result.ended, result.commands) == (Ended.FAILED, 2)
    assert "RegisterTask" in result.command


async def test_a_stall_is_dumped_while_it_lasts(tmp_path: Path) -> None:
    world = World(tmp_path)
    dumped = threading.Event()

    def dump() -> None:
        world.dumping.dump(STALLED)
        dumped.set()

    with capture_logs(), trio.fail_after(40):
        async with trio.open_nursery() as nursery:
            await nursery.start(Watchdog(dump).run)
            world.register_peer()
            await wait_all_tasks_blocked()  # the watchdog looks
            assert dumped.wait(20)  # and the event loop stalls
            nursery.cancel_scope.cancel()
    assert world.replayed(STALLED).ended is Ended.AS_RECORDED


async def test_a_defect_of_the_recorder_ends_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    monkeypatch.setattr(Dumps, "write", lambda *_, **__: 1 // 0)
    with capture_logs() as logs:
        world.dumping.dump(STALLED)
    assert [log["event"] for log in logs] == ["cannot write a dump"]


async def test_a_supernode_that_knew_much_from_the_start_is_dumped_whole(tmp_path: Path) -> None:
    world = World(tmp_path)
    tracker, chance = world.node.tracker, random.Random(0)
    for n in range(2_000):
        command = RegisterPeer(ip="10.0.0.1", port=15001, host_name=f"h{n}", version="1")
        tracker.execute(command, now=1.0, chance=chance)  # as if from the journal
    async with world.running():
        world.register_peer()
        assert not world.node.dispatch.recorder.recorded()  # its snapshot takes a while
        assert (await trio.to_thread.run_sync(run, tmp_path)).exit_code == 0
    result = world.replayed(ASKED)
    assert (result.ended, result.commands) == (Ended.AS_RECORDED, 1)


async def test_debug_dump_asks_the_supernode_with_that_state_directory(tmp_path: Path) -> None:
    world = World(tmp_path)
    with capture_logs():  # which go to stdout unless the daemon says otherwise
        async with world.running():
            world.register_peer()
            for _ in range(KEPT + 2):
                asked = await trio.to_thread.run_sync(run, tmp_path)
                assert asked.exit_code == 0, asked.output
    files = world.dumps.files(ASKED)
    assert len(files) == KEPT
    assert asked.output.strip() == str(files[-1])
    asked = await trio.to_thread.run_sync(run, tmp_path)
    assert asked.exit_code == debug.EXIT_UNAVAILABLE
    assert "no supernode runs" in asked.output


def test_after_the_clock_was_set_back_the_new_dump_is_kept(tmp_path: Path) -> None:
    dumps = Dumps(tmp_path)
    dumps.directory.mkdir()
    for n in range(KEPT):
        (dumps.directory / f"29990101T00000{n}Z-{ASKED}.supernode-dump").touch()
    written = dumps.write([], cause=ASKED)
    assert written in dumps.files(ASKED)
    assert len(dumps.files(ASKED)) == KEPT


def test_what_a_killed_process_left_of_a_dump_is_used_again(tmp_path: Path) -> None:
    dumps = Dumps(tmp_path)
    dumps.directory.mkdir()
    (dumps.directory / f".{ASKED}.unfinished").write_bytes(bytes(1000))
    dumps.write([], cause=ASKED)
    assert list(dumps.directory.iterdir()) == dumps.files(ASKED)


async def test_without_a_place_to_write_the_service_goes_on(tmp_path: Path) -> None:
    (tmp_path / "dumps").touch()
    world = World(tmp_path)
    async with world.running():
        world.register_peer()
        world.dumping.dump(ASKED)
    assert not world.dumps.files(ASKED)


async def test_simulate_replay_tells_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.register_task()
    world.dumping.dump(ASKED)
    (file,) = world.dumps.files(ASKED)
    good = run_again(file)
    assert (good.exit_code, good.output.splitlines()[1]) == (0, "1 of 1 commands, 2 events")
    monkeypatch.setattr(Swarm, "join", lambda _: 1 // 0)
    bad = run_again(file)
    assert bad.exit_code == simulate.EXIT_NOT_AS_RECORDED
    assert "command 1: RegisterTask" in bad.output
    assert "ZeroDivisionError" in bad.output
    file.write_bytes(b"something else")
    other = run_again(file)
    assert other.exit_code == simulate.EXIT_UNUSABLE
    assert "no dump" in other.output
    file.write_bytes(gzip.compress(b"\x00"))
    assert run_again(file).exit_code == simulate.EXIT_UNUSABLE


def test_another_process_repeats_what_a_crowd_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, sets have another order."""
    monkeypatch.setattr(recorder, "LENGTH", 2_000)
    monkeypatch.setattr(recorder, "DIGEST_EVERY", 1)
    tracker = RecordedTracker(LIMITS)
    crowd = Crowd(tracker, 0)
    for command in crowd.commands(5_000):
        with suppress(DomainError):
            tracker.execute(command, now=crowd.now)
    file = tmp_path / "dump"
    tracker.dumped(file)
    replayed = subprocess.run(
        [sys.executable, "-m", "supernode", "simulate", "--replay", str(file)],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert "3000 of 3000 commands" in replayed.stdout
