"""Checks of the machine: its disk, its limits, its clock."""

import os
import resource
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import trio

from supernode.clock import Clock
from supernode.config.settings import Config
from supernode.dfget.progress import human
from supernode.doctor.finding import Finding, broken, doubtful, fine
from supernode.storage import disk_space

LEAST_FREE = 1 << 30
"""Bytes: less is soon full, whatever the water marks say."""
LEAST_INODES = 10_000
FILES_APART_FROM_CONNECTIONS = 1024
EARLIEST = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
"""Before this supernode was written it was never now."""
TOLERANCE_SECONDS = 300.0


async def state_directory(config: Config) -> Finding:
    """See whether something can be written where the state is kept."""
    path = config.disk.state_dir

    def write() -> None:
        existing = _existing(path)
        if existing != path and not os.access(existing, os.W_OK | os.X_OK):
            raise PermissionError(None, f"it is not there, and cannot be made in {existing}")
        with tempfile.TemporaryFile(dir=existing, buffering=0) as file:
            file.write(bytes(4096))

    try:
        await trio.to_thread.run_sync(write)
    except OSError as error:
        return broken(
            f"{path}: {error.strerror}",
            "give the supernode's user the directory, mount it writable, make room on it, or set "
            "[disk] state_dir",
        )
    return fine(f"{path} can be written")


async def disk(config: Config) -> Finding:
    """See whether there is room for pieces."""
    where, high = _existing(config.disk.state_dir), config.disk.high
    try:
        total, free = await trio.to_thread.run_sync(disk_space.measure, where)
        inodes = await trio.to_thread.run_sync(os.statvfs, where)
    except OSError as error:
        return broken(f"{where}: {error.strerror}", "set [disk] state_dir to a file system's")
    seen = f"{human(free)} of {human(total)} free"
    if free < LEAST_FREE:
        return broken(seen, "make room, or set [disk] state_dir to a larger file system's")
    if inodes.f_files and inodes.f_favail < LEAST_INODES:
        return broken(f"{inodes.f_favail} inodes free", "remove files, or use another file system")
    if high.share is not None and total - free > high.share * total:
        return doubtful(
            f"{seen}: that is above the high water mark, so that nothing idle is kept",
            "make room, or raise [disk] high and low",
        )
    if high.size is not None and high.size > total:
        return doubtful(
            f"[disk] high is {human(high.size)}, the file system has {human(total)}",
            "set it to less than what the file system can hold",
        )
    return fine(seen)


async def open_files(config: Config) -> Finding:
    """See whether there may be as many files open as connections are."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * config.http.max_connections + FILES_APART_FROM_CONNECTIONS
    if most == resource.RLIM_INFINITY or most >= wanted:
        return fine(f"{'any number' if most == resource.RLIM_INFINITY else most} may be open")
    return broken(
        f"{most} files may be open, {wanted} are needed for [http] max_connections = "
        f"{config.http.max_connections} on each port",
        f"set LimitNOFILE={wanted} in the unit (or ulimit -Hn), or lower max_connections",
    )


async def clock(config: Config) -> Finding:
    """See whether the time can be right: certificates and what is kept by age depend on it."""
    now = Clock.started_now().now()
    shown = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    mend = "set the clock, and keep it right: timedatectl set-ntp true"
    if now < EARLIEST:
        return broken(f"it is said to be {shown}, which is past", mend)
    try:
        written = (config.disk.state_dir / "supernode.db").stat().st_mtime
    except OSError:
        return fine(f"it is {shown}")
    if written > now + TOLERANCE_SECONDS:
        return broken(f"it is said to be {shown}, but the journal was written later", mend)
    return fine(f"it is {shown}, after what the journal was last written at")


def _existing(path: Path) -> Path:
    """Return the part of a path that is there."""
    return next(part for part in (path, *path.absolute().parents) if part.is_dir())
