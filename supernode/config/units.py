"""Amounts as people write them, and back: ``5m``, ``10GiB``, ``100MiB/s``, ``90%``.

One grammar for every setting. A duration is numbers with ``ms``, ``s``, ``m``, ``h`` or ``d``. A
size is a number with ``B``, with ``KiB MiB GiB TiB`` (powers of 1024) or ``KB MB GB TB`` (powers of
1000); not ``10G``, which to some is the one and to some the other. A rate is a size and ``/s``. A
number alone is seconds, bytes, bytes/s.

Every ``parse_…`` raises ValueError for what is not of its form, or beyond what can be meant.
"""

import re
from decimal import Decimal

from supernode.storage.disk_space import WaterMark

_NUMBER = r"[0-9]{1,19}(?:\.[0-9]{1,9})?"
_DURATION_PART = re.compile(rf"({_NUMBER})(ms|s|m|h|d)")
_DURATION_UNITS = {
    "d": Decimal(86400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
_SIZE = re.compile(rf"({_NUMBER})([KMGT]i?B|B)?")
_SIZE_UNITS = {
    "TiB": 1 << 40,
    "GiB": 1 << 30,
    "MiB": 1 << 20,
    "KiB": 1 << 10,
    "TB": 10**12,
    "GB": 10**9,
    "MB": 10**6,
    "KB": 10**3,
    "B": 1,
}
_LONGEST = 100 * 366 * 86400.0
_LARGEST = (1 << 63) - 1


def parse_duration(text: str) -> float:
    """Return the seconds of ``30s``, ``1h30m``, ``300ms`` or a number of seconds."""
    if re.fullmatch(_NUMBER, text):
        return positive_duration(float(text))
    parts = _DURATION_PART.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        raise ValueError(text)
    return positive_duration(
        float(sum(Decimal(number) * _DURATION_UNITS[unit] for number, unit in parts))
    )


def positive_duration(seconds: float) -> float:
    """Return ``seconds``; raise ValueError unless they are more than 0, and within a century."""
    if not 0 < seconds <= _LONGEST:  # also false for what is not a number
        raise ValueError(seconds)
    return float(seconds)


def show_duration(seconds: float) -> str:
    """Return the shortest text of which ``parse_duration`` makes ``seconds``."""
    exact = Decimal(repr(seconds))
    for unit in ("h", "m", "s"):
        if exact % _DURATION_UNITS[unit] == 0:
            return f"{int(exact / _DURATION_UNITS[unit])}{unit}"
    return f"{exact.normalize():f}s"


def parse_size(text: str) -> int:
    """Return the bytes of ``10GiB``, ``500MB``, ``1.5TiB`` or a number of bytes."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return positive_size(int(Decimal(match[1]) * _SIZE_UNITS[match[2] or "B"]))


def positive_size(size: float) -> int:
    """Return ``size``; raise ValueError unless it is a whole number of bytes, and more than 0."""
    if not 0 < size <= _LARGEST or size != int(size):
        raise ValueError(size)
    return int(size)


def show_size(size: int) -> str:
    """Return the shortest text of which ``parse_size`` makes ``size``."""
    for unit, factor in _SIZE_UNITS.items():
        if size % factor == 0:
            return f"{size // factor}{unit}"
    raise AssertionError("every size is a number of bytes")


def parse_rate(text: str) -> int:
    """Return the bytes/s of ``100MiB/s`` or a number of bytes/s."""
    if text.isdecimal():
        return parse_size(text)
    size, slash, second = text.partition("/")
    if not slash or second != "s" or size.isdecimal():
        raise ValueError(text)
    return parse_size(size)


def show_rate(rate: int) -> str:
    """Return the shortest text of which ``parse_rate`` makes ``rate``."""
    return f"{show_size(rate)}/s"


def parse_water_mark(text: str) -> WaterMark:
    """Return what ``90%`` or a size means."""
    if not text.endswith("%"):
        return WaterMark(size=parse_size(text))
    if not re.fullmatch(_NUMBER, text[:-1]) or not 0 < float(text[:-1]) <= 100:
        raise ValueError(text)
    return WaterMark(share=float(text[:-1]) / 100)


def show_water_mark(mark: WaterMark) -> str:
    """Return the shortest text of which ``parse_water_mark`` makes ``mark``."""
    return show_size(mark.size or 0) if mark.share is None else f"{mark.share * 100:.10g}%"
