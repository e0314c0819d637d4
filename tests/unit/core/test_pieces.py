"""Pieces against the vectors of Dragonfly v1, and round trips for everything between them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supernode.core.pieces import (
    FRAME_BYTES,
    LARGEST_PIECE,
    MIB,
    SMALLEST_PIECE,
    TRAILER,
    FramingError,
    RangeError,
    content_size,
    digest_length,
    digest_of,
    frame_header,
    framed_length,
    framed_piece_length,
    parse_piece_range,
    piece_count,
    piece_range,
    piece_size_for,
    unframe,
)

FULL = content_size(SMALLEST_PIECE)
PIECE_SIZES = st.integers(1, 15).map(lambda mib: mib * MIB)
LENGTHS = st.integers(0, 1 << 45)


def framed(content: bytes, piece_size: int = SMALLEST_PIECE) -> bytes:
    return frame_header(len(content), piece_size) + content + TRAILER


@pytest.mark.parametrize(
    ("length", "mib"),
    [
        (None, 4),
        (0, 4),
        (1, 4),
        (200 * MIB, 4),
        (200 * MIB + 1, 4),
        (299 * MIB, 4),
        (300 * MIB - 1, 4),
        (300 * MIB, 5),
        (1024 * MIB, 12),
        (1299 * MIB, 14),
        (1300 * MIB, 15),
        (1400 * MIB, 15),
        (1 << 50, 15),
    ],
)
def test_piece_size(length: int | None, mib: int) -> None:
    assert piece_size_for(length) == mib * MIB


@given(LENGTHS)
def test_piece_sizes_are_whole_mebibytes_within_v1s_bounds(length: int) -> None:
    size = piece_size_for(length)
    assert SMALLEST_PIECE <= size <= LARGEST_PIECE
    assert size % MIB == 0


@pytest.mark.parametrize(
    ("content_length", "mib", "header"),
    [
        (0, 4, "04000000"),
        (15, 4, "0400000f"),
        (4 * MIB - 5, 4, "043ffffb"),
        (5 * MIB - 5, 5, "054ffffb"),
        (8 * MIB - 5, 8, "087ffffb"),
        (15 * MIB - 5, 15, "0feffffb"),
    ],
)
def test_frame_header(content_length: int, mib: int, header: str) -> None:
    assert frame_header(content_length, mib * MIB).hex() == header


@pytest.mark.parametrize(
    ("content", "digest"),
    [
        (b"", "d6991051769098273e82477afd2bb93e:5"),
        (b"hello Dragonfly", "8f95b369fc1f8d38262bb1b42d1ac87c:20"),
    ],
)
def test_digest(content: bytes, digest: str) -> None:
    assert digest_of(framed(content)) == digest
    assert digest_of(memoryview(framed(content))) == digest
    assert digest_length(digest_of(framed(content))) == len(content) + FRAME_BYTES


@given(st.binary(max_size=4096), PIECE_SIZES)
def test_what_is_framed_comes_out_again(content: bytes, piece_size: int) -> None:
    whole = memoryview(framed(content, piece_size))
    inside = unframe(whole, piece_size)
    assert inside == content
    assert inside.obj is whole.obj, "copied"


@pytest.mark.parametrize(
    ("what", "piece"),
    [
        ("nothing", b""),
        ("shorter than a frame", framed(b"")[:4]),
        ("another header", b"\x05" + framed(b"x")[1:]),
        ("a header of more than there is", frame_header(2, SMALLEST_PIECE) + b"x" + TRAILER),
        ("a header of less than there is", frame_header(0, SMALLEST_PIECE) + b"x" + TRAILER),
        ("another trailer", framed(b"x")[:-1] + b"\x7e"),
        ("more than a piece", bytes(SMALLEST_PIECE + 1)),
    ],
)
def test_what_is_not_framed_is_refused(what: str, piece: bytes) -> None:
    with pytest.raises(FramingError):
        unframe(memoryview(piece), SMALLEST_PIECE)


def test_a_piece_framed_for_another_size_is_refused() -> None:
    with pytest.raises(FramingError):
        unframe(memoryview(framed(b"x", 5 * MIB)), 4 * MIB)


@given(st.binary(max_size=64))
def test_unframing_anything_raises_nothing_else(anything: bytes) -> None:
    try:
        content = unframe(memoryview(anything), SMALLEST_PIECE)
    except FramingError:
        return
    assert framed(bytes(content)) == anything


@pytest.mark.parametrize(
    ("number", "mib", "text"),
    [
        (0, 4, "0-4194303"),
        (1, 4, "4194304-8388607"),
        (12, 4, "50331648-54525951"),
        (0, 5, "0-5242879"),
        (59, 5, "309329920-314572799"),
    ],
)
def test_piece_range(number: int, mib: int, text: str) -> None:
    assert piece_range(number, mib * MIB) == text
    assert parse_piece_range(text, mib * MIB) == number


@given(st.integers(0, 1 << 38), PIECE_SIZES)
def test_a_range_names_its_piece(number: int, piece_size: int) -> None:
    assert parse_piece_range(piece_range(number, piece_size), piece_size) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "0",
        "0-",
        "-4194303",
        "a-b",
        "0-4194302",
        "0-4194304",
        "0-8388607",  # two pieces
        "1-4194304",
        "4194303-0",
        "4194304-4194303",
        "0--4194303",
        "0-4194303-",
        "-1-4194302",
        "+0-4194303",
        " 0-4194303",
        "0-4194303\n",
        "0_0-4194303",
        "0x0-0x3fffff",
        "٠-٤١٩٤٣٠٣",  # digits, but not ASCII's  # noqa: RUF001
        "bytes=0-4194303",
        "9" * 20 + "-" + "9" * 20,
        "9" * 5000 + "-" + "9" * 5000,
    ],
)
def test_what_is_not_the_range_of_one_piece_is_refused(text: str) -> None:
    with pytest.raises(RangeError):
        parse_piece_range(text, SMALLEST_PIECE)


@given(st.text(alphabet="0123456789-٣ +x", max_size=24), PIECE_SIZES)
@example("0-1048575", MIB)
def test_parsing_any_text_raises_nothing_else(text: str, piece_size: int) -> None:
    try:
        number = parse_piece_range(text, piece_size)
    except RangeError:
        return
    start, end = map(int, text.split("-"))
    assert (start, end) == (number * piece_size, (number + 1) * piece_size - 1)


@pytest.mark.parametrize(
    ("length", "count", "whole"),
    [
        (0, 1, 5),
        (1, 1, 6),
        (15, 1, 20),
        (FULL - 1, 1, SMALLEST_PIECE - 1),
        (FULL, 1, SMALLEST_PIECE),
        (FULL + 1, 2, SMALLEST_PIECE + 6),
        (SMALLEST_PIECE, 2, SMALLEST_PIECE + 10),
        (50 * MIB, 13, 52428865),
    ],
)
def test_totals(length: int, count: int, whole: int) -> None:
    assert piece_count(length, SMALLEST_PIECE) == count
    assert framed_length(length, SMALLEST_PIECE) == whole


@given(st.integers(0, 1 << 30), PIECE_SIZES)
def test_the_pieces_make_the_file(length: int, piece_size: int) -> None:
    count = piece_count(length, piece_size)
    lengths = [framed_piece_length(number, length, piece_size) for number in range(count)]
    assert all(one == piece_size for one in lengths[:-1])
    assert FRAME_BYTES <= lengths[-1] <= piece_size
    assert sum(lengths) == framed_length(length, piece_size)
    assert sum(one - FRAME_BYTES for one in lengths) == length
