import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supernode.config.units import (
    parse_duration,
    parse_rate,
    parse_size,
    parse_water_mark,
    positive_duration,
    positive_size,
    show_duration,
    show_rate,
    show_size,
    show_water_mark,
)
from supernode.storage.disk_space import WaterMark


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("24h", 86400),
        ("7d", 604800),
        ("300ms", 0.3),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("90", 90),
        ("0.25", 0.25),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-3s", "3 m", "3x", "m", "inf", "nan", "999999d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whoever asked says what was expected
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1 << 20),
        ("512B", 512),
        ("32KiB", 32 << 10),
        ("1.5MiB", 3 << 19),
        ("10GiB", 10 << 30),
        ("2TiB", 2 << 40),
        ("64KB", 64_000),
        ("500MB", 500_000_000),
        ("1GB", 10**9),
        ("4TB", 4 * 10**12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", "10G", "10gib", "-1B", "1 GiB", "1e9", "GiB", "9999999TiB"]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - see above
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "rate"), [("100MiB/s", 100 << 20), ("20MB/s", 20_000_000), ("4096", 4096)]
)
def test_rates(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "100MiB", "4096/s", "1MiB/m", "/s", "0"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - see above
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("90%", WaterMark(share=0.9)),
        ("92.5%", WaterMark(share=0.925)),
        ("100%", WaterMark(share=1.0)),
        ("500GiB", WaterMark(size=500 << 30)),
        ("1000", WaterMark(size=1000)),
    ],
)
def test_water_marks(text: str, mark: WaterMark) -> None:
    assert parse_water_mark(text) == mark


@pytest.mark.parametrize("text", ["", "%", "0%", "101%", "-5%", "nan%", "90 %", "90%%", "0.9.%"])
def test_what_is_no_water_mark(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - see above
        parse_water_mark(text)


@pytest.mark.parametrize("number", [0, -1, math.inf, math.nan])
def test_numbers_that_are_no_amount(number: float) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - see above
        positive_duration(number)
    with pytest.raises(ValueError):  # noqa: PT011 - see above
        positive_size(number)


@given(st.integers(1, 10**9))
def test_a_shown_duration_is_the_duration(milliseconds: int) -> None:
    assert parse_duration(show_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(1, (1 << 63) - 1) | st.integers(1, 10**6).map(lambda size: size << 30))
@example((1 << 63) - 1)
def test_a_shown_size_is_the_size(size: int) -> None:
    assert parse_size(show_size(size)) == size
    assert parse_rate(show_rate(size)) == size
    assert parse_water_mark(show_water_mark(WaterMark(size=size))) == WaterMark(size=size)


@given(st.integers(1, 10_000))
def test_a_shown_share_is_the_share(hundredths: int) -> None:
    mark = parse_water_mark(f"{hundredths / 100}%")
    assert parse_water_mark(show_water_mark(mark)) == mark


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(86400, "24h"), (5400, "90m"), (75, "75s"), (0.3, "0.3s"), (1e-06, "0.000001s")],
)
def test_durations_are_shown_as_a_person_would_write_them(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text
