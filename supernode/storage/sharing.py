"""One content on disk under several names: which files share it, so that it is counted once."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, TypeVar


class Shared(Protocol):
    """A file that may share its content."""

    inode: int | None


F = TypeVar("F", bound=Shared)


def shared_inode(path: Path) -> int | None:
    """Return what all names of one content have in common; None: this is its only name.

    Blocks: for a thread.

    Raises:
        OSError: there is no such file.
    """
    found = os.lstat(path)
    return found.st_ino if found.st_nlink > 1 else None


def groups(files: Iterable[F]) -> list[list[F]]:
    """Return the files that share their content together, in the order of the first of each."""
    by_content: dict[int, list[F]] = {}
    for file in files:
        # A number that is no inode for what has its content to itself.
        by_content.setdefault(file.inode or -1 - len(by_content), []).append(file)
    return list(by_content.values())
