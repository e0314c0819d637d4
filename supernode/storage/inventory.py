"""What earlier processes left in the cache directory: complete files, leftovers, things not ours.

Touches only what has the name of a task's file, lies where that belongs and is a plain file.
Symbolic links are not followed. Blocks: for threads.
"""

import os
import stat
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from supernode.core.identity import TaskId, is_task_id
from supernode.storage import sidecars
from supernode.storage.errors import Damaged
from supernode.storage.sidecars import Sidecars


@dataclass(frozen=True, slots=True)
class CachedFile:
    """A file that was complete when its sidecars were written. Nothing of it has been verified."""

    task: TaskId
    path: Path
    sidecars: Sidecars


@dataclass(slots=True)
class Inventory:
    """What was found.

    Attributes:
        cached: complete files.
        removed: leftovers, and why they were of no use.
        strange: paths, below the directory, of what is not ours, or cannot be read or removed.
    """

    cached: list[CachedFile] = field(default_factory=list)
    removed: dict[TaskId, str] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)


def take(directory: Path, known: Container[TaskId]) -> Inventory:
    """Find the complete files below a directory and remove what is left of others.

    Args:
        directory: ``<root>/download``; need not exist.
        known: tasks whose files are in use; they are left alone.
    """
    inventory = Inventory()
    for shard in _entries(directory, inventory):
        try:
            if _is_shard(shard):
                _take_shard(Path(shard.path), known, inventory)
                continue
        except OSError:
            pass  # whatever it is, it cannot be looked at
        inventory.strange.append(shard.name)
    return inventory


def _take_shard(shard: Path, known: Container[TaskId], inventory: Inventory) -> None:
    found: dict[TaskId, set[str]] = {}
    for entry in _entries(shard, inventory):
        name, suffix = entry.name[:64], entry.name[64:]
        is_ours = is_task_id(name) and name[:3] == shard.name
        if is_ours and suffix in ("", *sidecars.SUFFIXES) and entry.is_file(follow_symlinks=False):
            found.setdefault(TaskId(name), set()).add(suffix)
        else:
            inventory.strange.append(f"{shard.name}/{entry.name}")
    for task, suffixes in found.items():
        if task in known:
            continue
        try:
            inventory.cached.append(_cached_file(task, shard / task, suffixes))
            suffixes &= {suffix + sidecars.UNFINISHED for suffix in (sidecars.META, sidecars.MD5)}
        except OSError as problem:
            # It may be whole, and another time it can be read.
            inventory.strange.append(f"{shard.name}/{task}: {problem.strerror}")
            continue
        except Damaged as problem:
            inventory.removed[task] = problem.detail
        for suffix in sorted(suffixes, reverse=True):  # the sidecars first
            _remove(shard / (task + suffix), inventory)
    with suppress(OSError):
        shard.rmdir()  # if nothing is left in it


def _cached_file(task: TaskId, path: Path, suffixes: set[str]) -> CachedFile:
    """Raise Damaged or OSError if this is no complete file."""
    if not {"", sidecars.META, sidecars.MD5} <= suffixes:
        raise Damaged("the file is not complete")
    try:
        said = sidecars.parse(task, *sidecars.read(path))
    except FileNotFoundError:
        raise Damaged("the file is not complete") from None
    stored = path.stat(follow_symlinks=False)
    if not stat.S_ISREG(stored.st_mode) or stored.st_size != said.framed_length:
        raise Damaged(f"the file has {stored.st_size} bytes, not {said.framed_length}")
    return CachedFile(task, path, said)


def _entries(directory: Path, inventory: Inventory) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            yield from entries
    except FileNotFoundError:
        return
    except OSError:
        inventory.strange.append(directory.name)


def _is_shard(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a directory named by the first three digits of task IDs."""
    is_name = len(entry.name) == 3 and is_task_id(entry.name + "0" * 61)
    return is_name and entry.is_dir(follow_symlinks=False)


def _remove(path: Path, inventory: Inventory) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        inventory.strange.append(f"{path.parent.name}/{path.name}")
