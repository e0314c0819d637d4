"""When something must go from the disk, and how much."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernode.storage.disk_space import DiskUse, WaterMark, bytes_to_free, measure

GIB = 1 << 30


def share(percent: float) -> WaterMark:
    return WaterMark(share=percent / 100)


def size(gib: float) -> WaterMark:
    return WaterMark(size=int(gib * GIB))


@pytest.mark.parametrize(
    ("free", "cached", "expected", "high", "low", "wanted"),
    [
        # a share of the file system, 100 GiB large, whoever fills it
        (11, 50, 0, share(90), share(80), 0),
        (10, 50, 0, share(90), share(80), 0),
        (9, 50, 0, share(90), share(80), 11),
        (9, 0, 0, share(90), share(80), 11),
        (0, 50, 0, share(90), share(90), 10),
        # what will come is as good as there
        (15, 50, 6, share(90), share(80), 11),
        (15, 50, 5, share(90), share(80), 0),
        (100, 0, 300, share(90), share(80), 220),
        # a size of the cache, however full the disk is
        (1, 20, 0, size(20), size(10), 0),
        (90, 21, 0, size(20), size(10), 11),
        (90, 15, 6, size(20), size(10), 11),
        (90, 0, 0, size(0), size(0), 0),
        # one of each
        (20, 80, 0, share(90), size(10), 0),
        (5, 80, 0, share(90), size(10), 70),
        (5, 21, 0, size(20), share(50), 45),
        # a low mark above the high one means the high one
        (5, 3, 0, share(90), size(10), 5),
        (90, 21, 0, size(20), share(50), 1),
    ],
)
def test_bytes_to_free(
    free: int, cached: int, expected: int, high: WaterMark, low: WaterMark, wanted: int
) -> None:
    use = DiskUse(total=100 * GIB, free=free * GIB, cached=cached * GIB, expected=expected * GIB)
    assert bytes_to_free(use, high, low) == wanted * GIB


marks = st.one_of(
    st.builds(WaterMark, share=st.floats(0, 1)), st.builds(WaterMark, size=st.integers(0, 10**6))
)


@given(
    free=st.integers(0, 10**6),
    cached=st.integers(0, 10**6),
    expected=st.integers(0, 10**6),
    high=marks,
    low=marks,
)
def test_what_was_freed_is_enough(
    free: int, cached: int, expected: int, high: WaterMark, low: WaterMark
) -> None:
    use = DiskUse(total=10**6, free=free, cached=cached, expected=expected)
    wanted = bytes_to_free(use, high, low)
    assert wanted >= 0
    after = DiskUse(total=use.total, free=free + wanted, cached=cached - wanted, expected=expected)
    assert bytes_to_free(after, high, low) == 0
    assert bytes_to_free(after, low, high) == 0 or not wanted


def test_what_is_reserved_for_root_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reserving(_path: Path) -> os.statvfs_result:
        return os.statvfs_result((4096, 512, 1000, 300, 250, 0, 0, 0, 0, 255))

    monkeypatch.setattr(os, "statvfs", reserving)
    assert measure(tmp_path) == (950 * 512, 250 * 512)


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        measure(tmp_path / "gone")
