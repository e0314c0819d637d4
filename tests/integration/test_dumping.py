"""Dumps of a running supernode: on a signal, on a defect, by `supernode debug`."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from supernode import debug
from supernode.core.commands import RegisterPeer, RegisterTask
from supernode.core.errors import DomainError, InvariantError
from supernode.core.identity import ClientId
from supernode.core.model import TaskSpec
from supernode.core.swarm import Swarm
from supernode.core.tracker import Tracker
from supernode.recording import dump_file, recorder
from supernode.recording.dumps import ASKED, BROKEN, KEPT, Dumps
from supernode.recording.recorder import Recorder
from supernode.recording.replay import Ended, replay
from supernode.services.dumping import Dumping
from tests.inprocess import InProcess
from tests.unit.recording.crowd import LIMITS, Crowd


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


def run(*arguments: str) -> Result:
    return CliRunner().invoke(debug.command, arguments)


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
    result = replay(file)
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
    (file,) = world.dumps.files(BROKEN)
    result = replay(file)
    assert (result.ended, result.commands) == (Ended.FAILED, 2)
    assert "RegisterTask" in result.command


async def test_debug_dump_asks_the_supernode_with_that_state_directory(tmp_path: Path) -> None:
    world = World(tmp_path)
    arguments = ("dump", "--config=/dev/null", f"--state-dir={tmp_path}")
    with capture_logs():  # which go to stdout unless the daemon says otherwise
        async with world.running():
            for _ in range(KEPT + 2):
                world.register_peer()
                asked = await trio.to_thread.run_sync(run, *arguments)
                assert asked.exit_code == 0, asked.output
    files = world.dumps.files(ASKED)
    assert len(files) == KEPT
    assert asked.output.strip() == str(files[-1])
    asked = await trio.to_thread.run_sync(run, *arguments)
    assert asked.exit_code == debug.EXIT_UNAVAILABLE
    assert "no supernode runs" in asked.output


async def test_without_a_place_to_write_the_service_goes_on(tmp_path: Path) -> None:
    (tmp_path / "dumps").touch()
    world = World(tmp_path)
    async with world.running():
        world.register_peer()
        world.dumping.dump(ASKED)
    assert not world.dumps.files(ASKED)


async def test_debug_replay_tells_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.register_task()
    world.dumping.dump(ASKED)
    (file,) = world.dumps.files(ASKED)
    good = run("replay", "--check", str(file))
    assert (good.exit_code, good.output.splitlines()[0]) == (0, "1 of 1 commands, 2 events")
    monkeypatch.setattr(Swarm, "join", lambda _: 1 // 0)
    bad = run("replay", str(file))
    assert bad.exit_code == debug.EXIT_NOT_AS_RECORDED
    assert "command 1: RegisterTask" in bad.output
    assert "ZeroDivisionError" in bad.output
    file.write_bytes(b"something else")
    other = run("replay", str(file))
    assert other.exit_code == debug.EXIT_UNUSABLE
    assert "no dump" in other.output


def test_another_process_repeats_what_a_crowd_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, sets have another order."""
    monkeypatch.setattr(recorder, "LENGTH", 2_000)
    tracker, chance = Tracker(LIMITS), random.Random(0)
    crowd, recording = Crowd(tracker, 0), Recorder(tracker, chance)
    for command in crowd.commands(5_000):
        recording.begin(command, crowd.now)
        try:
            _, events = tracker.execute(command, now=crowd.now, chance=chance)
        except DomainError:
            events = []
        recording.end(events)
    file = tmp_path / "dump"
    dump_file.write(file, recording.recorded(), cause=ASKED, at=crowd.now)
    program = f"from supernode.debug import command; command(['replay', {str(file)!r}])"
    replayed = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert replayed.stdout.startswith("3000 of 3000 commands")
