"""The watchdog of a service manager, and what it hears from an event loop."""

import hashlib
import os
import socket
from pathlib import Path

import pytest
import trio

from supernode import notify
from supernode.services import heartbeat

SECONDS = 0.05


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """The socket of a manager that wants to hear from us every 50 ms."""
    address = f"{tmp_path}/notify"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(address)
    listening.settimeout(10)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", str(int(SECONDS * 1_000_000)))
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    return listening


async def heard(manager: socket.socket) -> bytes:
    return await trio.to_thread.run_sync(manager.recv, 1000)


async def test_a_manager_hears_again_and_again_that_the_loop_runs(manager: socket.socket) -> None:
    with manager, trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(heartbeat.run)
            for _ in range(3):
                assert await heard(manager) == b"WATCHDOG=1"
            nursery.cancel_scope.cancel()


def stall_while_it_says_anything(manager: socket.socket) -> None:
    while True:
        manager.recv(1000)


async def test_it_hears_nothing_from_a_loop_that_stalls(manager: socket.socket) -> None:
    with manager, trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(heartbeat.run)
            await heard(manager)
            manager.settimeout(SECONDS * 4)
            with pytest.raises(TimeoutError):
                stall_while_it_says_anything(manager)
            manager.settimeout(10)
            assert await heard(manager) == b"WATCHDOG=1"
            nursery.cancel_scope.cancel()


async def test_a_loop_with_much_to_do_is_not_taken_for_one(manager: socket.socket) -> None:
    async def work() -> None:
        while True:
            hashlib.sha256(bytes(1 << 20)).digest()  # about a millisecond
            await trio.lowlevel.checkpoint()

    with manager, trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(work)
            await nursery.start(heartbeat.run)
            for _ in range(3):
                assert await heard(manager) == b"WATCHDOG=1"
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getppid())}, None),
    ],
)
def test_only_what_the_manager_wants_of_this_process_counts(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert notify.watchdog_seconds(environment) == seconds
