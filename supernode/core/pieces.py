"""Pieces: how a file is cut, framed, numbered and digested.

The formats are Dragonfly v1's, byte for byte, so that its clients, its uploaders and its cache
directories work unchanged. Two coordinate systems exist: *content* counts the origin's bytes,
*framed* counts the bytes that travel and are stored, five more per piece. ``piece_size`` is always
framed, and every range on the wire is framed too.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import NewType

MIB = 1 << 20
FRAME_BYTES = 5
TRAILER = b"\x7f"
SMALLEST_PIECE = 4 * MIB
LARGEST_PIECE = 15 * MIB

PieceNumber = NewType("PieceNumber", int)
PieceDigest = NewType("PieceDigest", str)
"""``<md5 of the framed piece, hex>:<framed length>``."""


class FramingError(ValueError):
    """Bytes that claim to be a piece but are not framed like one."""


class RangeError(ValueError):
    """Text that is not the range of exactly one piece."""


def piece_size_for(length: int | None) -> int:
    """Return the framed piece size for a file of ``length`` bytes (None: unknown)."""
    if length is None or length <= 200 * MIB:
        return SMALLEST_PIECE
    return min((length // (100 * MIB) + 2) * MIB, LARGEST_PIECE)


def piece_count(length: int, piece_size: int) -> int:
    """Return how many pieces ``length`` content bytes make; an empty file is one empty piece."""
    return max(1, -(-length // content_size(piece_size)))


def content_size(piece_size: int) -> int:
    """Return how many content bytes a full piece carries."""
    return piece_size - FRAME_BYTES


def framed_length(length: int, piece_size: int) -> int:
    """Return the framed length of a file of ``length`` content bytes."""
    return length + FRAME_BYTES * piece_count(length, piece_size)


def framed_piece_length(number: int, length: int, piece_size: int) -> int:
    """Return the framed length of one piece: ``piece_size``, but for the last."""
    return min(piece_size, framed_length(length, piece_size) - number * piece_size)


def frame_header(content_length: int, piece_size: int) -> bytes:
    """Return the four bytes before the content: piece size and content length, big-endian."""
    return (content_length | piece_size << 4).to_bytes(4, "big")


def unframe(framed: memoryview, piece_size: int) -> memoryview:
    """Return the content of one framed piece without copying it.

    Raises:
        FramingError: header, trailer or length do not fit each other.
    """
    content_length = len(framed) - FRAME_BYTES
    if content_length < 0 or content_length > content_size(piece_size):
        raise FramingError(f"a piece of {len(framed)} bytes cannot be")
    if framed[:4] != frame_header(content_length, piece_size):
        raise FramingError(f"header {framed[:4].hex()} does not fit {content_length} bytes")
    if framed[-1:] != TRAILER:
        raise FramingError(f"trailer {framed[-1:].hex()} is not {TRAILER.hex()}")
    return framed[4:-1]


def digest_of(framed: bytes | bytearray | memoryview) -> PieceDigest:
    """Return the digest of one framed piece. Takes about 2 ms a MiB: call it in a thread."""
    return piece_digest(hashlib.md5(framed).hexdigest(), len(framed))


def digest_of_content(content: bytes | bytearray | memoryview, piece_size: int) -> PieceDigest:
    """Return the digest that a piece with this content has once framed. Call it in a thread."""
    md5 = hashlib.md5(frame_header(len(content), piece_size))
    md5.update(content)
    md5.update(TRAILER)
    return piece_digest(md5.hexdigest(), framed_length(len(content), piece_size))


def piece_digest(md5: str, framed_length: int) -> PieceDigest:
    """Return the digest made of the framed piece's MD5 in hexadecimal digits and its length."""
    return PieceDigest(f"{md5}:{framed_length}")


def digest_length(digest: PieceDigest) -> int:
    """Return the framed length that a digest names."""
    return int(digest.partition(":")[2])


def piece_range(number: int, piece_size: int) -> str:
    """Return the framed range of a piece, inclusive; the last piece's is not clipped."""
    return f"{number * piece_size}-{(number + 1) * piece_size - 1}"


@lru_cache(maxsize=4096)
def parse_piece_range(text: str, piece_size: int) -> PieceNumber:
    """Return the number of the piece that ``text`` (``start-end``) is the range of.

    Raises:
        RangeError: not two decimal numbers, or not exactly one piece of this size.
    """
    start, dash, end = text.partition("-")
    if not dash or not _decimal(start) or not _decimal(end):
        raise RangeError(f"{text[:64]!r} is not a range such as '0-{piece_size - 1}'")
    number, offset = divmod(int(start), piece_size)
    if offset or int(end) - int(start) + 1 != piece_size:
        raise RangeError(f"{text!r} is not the range of one piece of {piece_size} bytes")
    return PieceNumber(number)


def pack_pieces(numbers: Iterable[int]) -> bytes:
    """Return a bitset of pieces as it travels: the lowest bit of the first byte is piece 0."""
    bitset = 0
    for number in numbers:
        bitset |= 1 << number
    return pack_bitset(bitset)


def pack_bitset(bitset: int) -> bytes:
    """Return the same of a bitset."""
    return bitset.to_bytes(-(-bitset.bit_length() // 8), "little")


def unpack_pieces(packed: bytes) -> int:
    """Return the bitset that :func:`pack_pieces` packed."""
    return int.from_bytes(packed, "little")


def _decimal(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 19
