"""Byte ranges of RFC 9110 §14: the header ``Range``, one range at a time. Pure."""

import re
from dataclasses import dataclass

_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
_FARTHEST = 1 << 63
"""Beyond every file. Positions are clamped to it: no client makes us count with huge numbers."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """What a client wants of a file.

    Args:
        first: position of the first byte; None: the last ``last`` bytes are wanted.
        last: position of the last byte; None: up to the end.
    """

    first: int | None
    last: int | None

    def within(self, length: int | None) -> tuple[int, int] | None:
        """Return the range as ``[start, stop)`` of a file of ``length`` bytes (None: unknown).

        It is clipped at the end. None means that it cannot be satisfied.
        """
        if length is None:
            if self.first is None or self.last is None:
                return None
            return self.first, self.last + 1
        if self.first is None:
            start, stop = max(0, length - (self.last or 0)), length
        elif self.last is None:
            start, stop = self.first, length
        else:
            start, stop = self.first, min(self.last + 1, length)
        return (start, stop) if start < stop else None


def parse_range(value: str) -> ByteRange | None:
    """Return the one range that a ``Range`` header asks for; None: answer as if it were absent.

    RFC 9110 §14.2 lets a server ignore the header, and requires it for other units. We ignore
    what is malformed and what names several ranges: no downloader asks for that, and
    ``multipart/byteranges`` is not worth its code.
    """
    unit, _, listed = value.partition("=")
    specs = [spec for part in listed.split(",") if (spec := part.strip(" \t"))]
    if unit.lower() != "bytes" or len(specs) != 1:
        return None
    match = _SPEC.fullmatch(specs[0])
    if match is None or match[0] == "-":
        return None
    first, last = _position(match[1]), _position(match[2])
    if first is not None and last is not None and last < first:
        return None
    return ByteRange(first, last)


def _position(digits: str) -> int | None:
    if not digits:
        return None
    significant = digits.lstrip("0") or "0"
    return int(significant) if len(significant) <= 18 else _FARTHEST
