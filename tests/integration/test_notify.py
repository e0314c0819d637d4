"""What a service manager hears from us."""

import socket
from pathlib import Path

import pytest
import trio
import trio.testing

from supernode import notify


def manager(address: str) -> socket.socket:
    """Return the socket on which a service manager listens."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(address)
    listening.setblocking(False)
    return listening


def fill(address: str) -> int:
    """Send until no more fits; return how many messages that were."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.connect(address)
        other.setblocking(False)
        for sent in range(1_000_000):
            try:
                other.send(b"of another service")
            except BlockingIOError:
                return sent
    raise AssertionError("it takes everything")


async def test_a_manager_hears_when_we_serve_and_when_we_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/notify")
    with manager(f"{tmp_path}/notify") as listening, trio.fail_after(10):
        await notify.ready("serving on port 8002")
        await notify.stopping("draining")
        assert listening.recv(1000) == b"READY=1\nSTATUS=serving on port 8002"
        assert listening.recv(1000) == b"STOPPING=1\nSTATUS=draining"


async def test_a_managers_address_may_be_abstract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{tmp_path}/notify")
    with manager(f"\0{tmp_path}/notify") as listening, trio.fail_after(10):
        await notify.ready("serving")
        assert listening.recv(1000) == b"READY=1\nSTATUS=serving"


async def test_a_manager_that_is_busy_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/notify")
    with manager(f"{tmp_path}/notify") as listening, trio.fail_after(10):
        others = fill(f"{tmp_path}/notify")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(notify.ready, "serving")
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(others):
                assert listening.recv(1000) == b"of another service"
        assert listening.recv(1000) == b"READY=1\nSTATUS=serving"


@pytest.mark.parametrize("address", [None, "", "/nonexistent/notify", "vsock:2:1234", "@" * 200])
async def test_without_a_manager_that_listens_we_serve_all_the_same(
    address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    with trio.fail_after(10):
        await notify.ready("serving")
