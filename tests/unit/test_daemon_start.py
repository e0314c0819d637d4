"""The order of a start, and its end when somebody says to stop meanwhile."""

import errno
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from supernode.daemon import _make_writable, _started
from supernode.supervision import Service


class Signals:
    """What the daemon is told: at once, or never."""

    def __init__(self, *signals: int) -> None:
        self._signals = list(signals)

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        if not self._signals:
            await trio.sleep_forever()
        return self._signals.pop()


def service(name: str, begun: list[str], *, ready: bool = True) -> Service:
    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        begun.append(name)
        if ready:
            task_status.started()
        await trio.sleep_forever()

    return run


async def test_a_service_starts_when_the_one_before_it_is_ready(autojump_clock: object) -> None:
    begun: list[str] = []
    names = ["first", "second", "third"]
    async with trio.open_nursery() as root:
        assert await _started(root, {name: service(name, begun) for name in names}, Signals())
        assert begun == names
        root.cancel_scope.cancel()


async def test_who_is_told_to_stop_while_starting_starts_nothing_more(
    autojump_clock: object,
) -> None:
    begun: list[str] = []
    services = {
        "slow": service("slow", begun, ready=False),
        "next": service("next", begun),
    }
    with trio.fail_after(10):
        async with trio.open_nursery() as root:
            assert not await _started(root, services, Signals(15))
            assert begun == ["slow"]
            root.cancel_scope.cancel()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_is_no_reason_not_to_start_but_a_read_only_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def fails(**_: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(tempfile, "TemporaryFile", fails)
    with capture_logs() as logs:
        if error == errno.EROFS:
            with pytest.raises(OSError, match="Read-only"):
                _make_writable(tmp_path / "repo")
        else:
            _make_writable(tmp_path / "repo")
    assert [line["event"] for line in logs] == ["the disk is full"] * (error != errno.EROFS)
