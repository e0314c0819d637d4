"""Which part of a file is the one that was asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernode.origin.ranges import part_length


@pytest.mark.parametrize(
    ("asked", "sent", "length"),
    [
        ("bytes=0-0", "bytes 0-0/9", 1),
        ("bytes=2-5", "bytes 2-5/9", 4),
        ("bytes=2-5", "bytes 2-5/*", 4),
        ("Bytes=2-5", "BYTES 2-5/6", 4),
        ("bytes=2-99", "bytes 2-8/9", 7),
        ("bytes=2-", "bytes 2-8/9", 7),
        ("bytes=-4", "bytes 5-8/9", 4),
        ("bytes=-99", "bytes 0-8/9", 9),
    ],
)
def test_the_part_that_was_asked_for(asked: str, sent: str, length: int) -> None:
    assert part_length(asked, sent) == length


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("bytes=2-5", ""),
        ("bytes=2-5", "bytes 1-5/9"),
        ("bytes=2-5", "bytes 2-4/9"),
        ("bytes=2-5", "bytes 2-6/9"),
        ("bytes=2-5", "bytes 2-5/5"),  # beyond its own end
        ("bytes=2-5", "bytes */9"),
        ("bytes=2-5", "bytes 2-5"),
        ("bytes=2-5", "bytes 2-5/9, bytes 2-5/9"),
        ("bytes=2-5", "items 2-5/9"),
        ("bytes=5-2", "bytes 5-2/9"),
        ("bytes=2-99", "bytes 2-8/*"),
        ("bytes=2-", "bytes 2-7/9"),
        ("bytes=2-", "bytes 2-8/*"),
        ("bytes=-4", "bytes 4-8/9"),
        ("bytes=-4", "bytes 5-8/*"),
        ("bytes=-0", "bytes 9-8/9"),
        ("bytes=0-0,2-5", "bytes 0-0/9"),
        ("items=2-5", "bytes 2-5/9"),
        ("bytes=-", "bytes 0-8/9"),
        ("bytes=٢-5", "bytes 2-5/9"),
        ("bytes=0-" + "9" * 5000, "bytes 0-8/9"),
    ],
)
def test_any_other_part_is_not(asked: str, sent: str) -> None:
    assert part_length(asked, sent) is None


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_a_part_that_is_taken_is_what_a_file_has_there(first: int, last: int, total: int) -> None:
    content = bytes(range(total))
    part = content[first : last + 1] if first <= last else b""
    sent = f"bytes {first}-{first + len(part) - 1}/{total}"
    expected = len(part) or None
    assert part_length(f"bytes={first}-{last}", sent) == expected
