"""Range headers: the grammar of RFC 9110 §14.1.2, and what a range means for a file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernode.wire.ranges import ByteRange, parse_range


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("bytes=0-0", ByteRange(0, 0)),
        ("bytes=4194304-8388607", ByteRange(4194304, 8388607)),
        ("bytes=500-", ByteRange(500, None)),
        ("bytes=-500", ByteRange(None, 500)),
        ("bytes=-0", ByteRange(None, 0)),
        ("BYTES=0-1", ByteRange(0, 1)),
        ("bytes=,0-1 \t, ,", ByteRange(0, 1)),
        ("bytes=007-0010", ByteRange(7, 10)),
        ("bytes=0-" + "9" * 5000, ByteRange(0, 1 << 63)),
    ],
)
def test_one_range_is_understood(value: str, wanted: ByteRange) -> None:
    assert parse_range(value) == wanted


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=,",
        "bytes=5-4",
        "bytes=a-b",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=1 - 2",
        "bytes=٣-٤",
        "bytes=0-1,5-6",
        "lines=0-1",
        "bytes =0-1",
    ],
)
def test_the_rest_is_ignored(value: str) -> None:
    assert parse_range(value) is None


@pytest.mark.parametrize(
    ("wanted", "length", "span"),
    [
        (ByteRange(0, 9), 100, (0, 10)),
        (ByteRange(90, 99), 100, (90, 100)),
        (ByteRange(90, 1000), 100, (90, 100)),
        (ByteRange(90, None), 100, (90, 100)),
        (ByteRange(None, 10), 100, (90, 100)),
        (ByteRange(None, 1000), 100, (0, 100)),
        (ByteRange(100, 100), 100, None),
        (ByteRange(100, None), 100, None),
        (ByteRange(None, 0), 100, None),
        (ByteRange(0, 9), None, (0, 10)),
        (ByteRange(0, None), None, None),
        (ByteRange(None, 10), None, None),
    ],
)
def test_within(wanted: ByteRange, length: int | None, span: tuple[int, int] | None) -> None:
    assert wanted.within(length) == span


@given(st.text() | st.text(alphabet="bytes=0123456789-, ").map("bytes=".__add__))
def test_no_header_is_an_error(value: str) -> None:
    wanted = parse_range(value)
    if wanted is not None:
        span = wanted.within(1000)
        assert span is None or 0 <= span[0] < span[1] <= 1000


@given(st.integers(0, 120), st.integers(0, 120), st.integers(1, 100))
def test_a_span_is_what_slicing_gives(first: int, size: int, length: int) -> None:
    sliced = range(length)[first : first + size + 1]
    span = ByteRange(first, first + size).within(length)
    assert span == ((sliced.start, sliced.stop) if sliced else None)
