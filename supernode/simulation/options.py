"""What the command line's texts mean."""

import re

from supernode.simulation.plan import Arrivals, Failure, Slowness

_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGT]?)(i?B|bit)?", re.IGNORECASE)
_PREFIXES = " KMGT"


def parse_size(text: str) -> int:
    """Return bytes: ``1GiB``, ``100M``, ``1048576``; units are 1024-based. Raises ValueError."""
    amount = int(_amount(text, bits=False))
    if amount < 1:
        raise ValueError(f"{text!r} is not a size such as 1GiB or 100M")
    return amount


def parse_rate(text: str) -> float:
    """Return bytes/s: ``12MiB/s``, ``12M``, or, 1000-based, ``100Mbit/s``. Raises ValueError."""
    rate = _amount(text.removesuffix("/s"), bits=True)
    if rate <= 0:
        raise ValueError(f"{text!r} is not a rate such as 12MiB/s, 12M or 100Mbit/s")
    return rate


def parse_arrivals(text: str) -> Arrivals:
    """Return what ``all``, ``uniform:SECONDS`` or ``poisson:RATE`` says. Raises ValueError."""
    kind, _, number = text.partition(":")
    if text == "all":
        return Arrivals()
    if kind in ("uniform", "poisson") and (value := _positive(number)):
        return Arrivals(spread=value) if kind == "uniform" else Arrivals(rate=value)
    raise ValueError(f"{text!r} is not all, uniform:SECONDS or poisson:PEERS_PER_SECOND")


def parse_failure(text: str) -> Failure:
    """Return what ``3@0.5`` says. Raises ValueError."""
    peers, _, share = text.partition("@")
    if peers.isdecimal() and 0 < (value := _positive(share)) < 1:
        return Failure(int(peers), value)
    raise ValueError(f"{text!r} is not PEERS@SHARE such as 3@0.5")


def parse_slowness(text: str) -> Slowness:
    """Return what ``3@1M`` says. Raises ValueError."""
    peers, _, rate = text.partition("@")
    if not peers.isdecimal():
        raise ValueError(f"{text!r} is not PEERS@RATE such as 3@1MiB/s")
    return Slowness(int(peers), parse_rate(rate))


def _amount(text: str, *, bits: bool) -> float:
    """Return bytes; 0 if the text is no amount."""
    match = _AMOUNT.fullmatch(text.strip())
    if not match:
        return 0.0
    power = _PREFIXES.index(match[2].upper() or " ")
    if (match[3] or "").lower() == "bit":
        return float(match[1]) * 10.0 ** (3 * power) / 8 if bits else 0.0
    return float(match[1]) * 2.0 ** (10 * power)


def _positive(text: str) -> float:
    """Return a number; 0 if the text is none that is more than 0."""
    return float(text) if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", text) else 0.0
