"""How full the disk may get: two water marks, and how much must go once the high one is passed."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class WaterMark:
    """How full is full: one of the two is given.

    Args:
        share: of the whole file system, whoever fills it, as ``df`` counts; from 0 to 1.
        size: of the cache alone, in bytes.
    """

    share: float | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """How full the disk is. Bytes.

    Args:
        total: what the file system can hold.
        free: what it still takes.
        cached: what the cache takes up.
        expected: what files in the cache will still grow by, as far as their length is known.
    """

    total: int
    free: int
    cached: int
    expected: int


def bytes_to_free(use: DiskUse, high: WaterMark, low: WaterMark) -> int:
    """Return how many bytes must go: none up to the high mark, beyond it all above the low one.

    What is expected counts as if it were there, so that there is room when it comes.
    """
    above_high = _above(high, use)
    return max(above_high, _above(low, use)) if above_high > 0 else 0


def _above(mark: WaterMark, use: DiskUse) -> int:
    if mark.share is not None:
        return use.total - use.free + use.expected - int(use.total * mark.share)
    assert mark.size is not None
    return use.cached + use.expected - mark.size


def measure(directory: Path) -> tuple[int, int]:
    """Return what the file system of a directory can hold and what is free. Blocks: for a thread.

    What is reserved for root counts as neither, as with ``df``.

    Raises:
        OSError: there is no such directory.
    """
    fs = os.statvfs(directory)
    used = fs.f_blocks - fs.f_bfree
    return (used + fs.f_bavail) * fs.f_frsize, fs.f_bavail * fs.f_frsize
