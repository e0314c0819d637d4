"""What a check finds."""

import enum
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec


class Verdict(enum.StrEnum):
    """How much it matters."""

    FINE = "fine"
    DOUBTFUL = "doubtful"
    BROKEN = "broken"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen.

    Args:
        seen: in words.
        advice: what to do about it; empty: nothing.
    """

    verdict: Verdict
    seen: str
    advice: str = ""


class Check(NamedTuple):
    """Something that usually goes wrong.

    Args:
        name: what is looked at.
        look: looks at it; raises nothing that is to be expected.
    """

    name: str
    look: Callable[[], Awaitable[Finding]]


def fine(seen: str) -> Finding:
    """Return that it is as it should be."""
    return Finding(verdict=Verdict.FINE, seen=seen)


def doubtful(seen: str, advice: str) -> Finding:
    """Return that it may be meant so, or turn bad."""
    return Finding(verdict=Verdict.DOUBTFUL, seen=seen, advice=advice)


def broken(seen: str, advice: str) -> Finding:
    """Return that it must be mended."""
    return Finding(verdict=Verdict.BROKEN, seen=seen, advice=advice)
