"""What the value of a setting may look like: kinds, to annotate its type with.

``Port = Annotated[int, Whole(1, 65535, "a port …")]``: the program sees an ``int``; the kind knows
how one is read from a file, a variable or a flag, and how it is shown. Text is understood for every
kind, as variables and flags have nothing else.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from supernode.config import units
from supernode.origin.policy import Rule
from supernode.origin.proxy import Proxy
from supernode.origin.url import checked_url
from supernode.storage.disk_space import WaterMark

T = TypeVar("T")

_UNFIT_FOR_TEXT = re.compile("[\0-\x1f\x7f\ud800-\udfff]")
"""Control characters, and what arguments have instead of bytes that are not UTF-8."""
_BROADCAST = IPv4Address("255.255.255.255")
_HOST_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*", re.IGNORECASE)


class Kind(Protocol[T]):
    """How values of one kind are read and shown."""

    @property
    def form(self) -> str:
        """What such a value is, for people, and its unit."""

    def read(self, raw: object) -> T:
        """Return the value that ``raw`` stands for; raise ValueError, for people, if none."""

    def show(self, value: T) -> str:
        """Return the text that ``read`` makes ``value`` of, but without its secrets."""


@dataclass(frozen=True)
class Whole:
    """Whole numbers from ``low`` to ``high``."""

    low: int
    high: int
    what: str = "a number"

    @property
    def form(self) -> str:
        """See ``Kind``."""
        return f"{self.what} from {self.low} to {self.high}"

    def read(self, raw: object) -> int:
        """See ``Kind``."""
        number = raw
        if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,19}", raw):
            number = int(raw)
        if type(number) is int and self.low <= number <= self.high:
            return number
        raise ValueError(f"{raw!r} is not {self.form}")

    def show(self, value: int) -> str:
        """See ``Kind``."""
        return str(value)


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def form(self) -> str:
        """See ``Kind``."""
        return f"one of {', '.join(self.words)}"

    def read(self, raw: object) -> str:
        """See ``Kind``."""
        if isinstance(raw, str) and raw in self.words:
            return raw
        raise ValueError(f"{raw!r} is not {self.form}")

    def show(self, value: str) -> str:
        """See ``Kind``."""
        return value


@dataclass(frozen=True)
class YesOrNo:
    """Whether something is so."""

    @property
    def form(self) -> str:
        """See ``Kind``."""
        return "true or false"

    def read(self, raw: object) -> bool:
        """See ``Kind``."""
        if isinstance(raw, bool):
            return raw
        if raw in ("true", "false"):
            return raw == "true"
        raise ValueError(f"{raw!r} is neither true nor false")

    def show(self, value: bool) -> str:
        """See ``Kind``."""
        return "true" if value else "false"


@dataclass(frozen=True)
class Written(Generic[T]):
    """What is written as text of some form.

    Args:
        form: see ``Kind``; with an example.
        of_text: makes a value of text; raises ValueError.
        of_number: makes a value of a number; raises ValueError.
        to_text: makes text of a value, without its secrets.
        metavar: stands for a value in a command's help.
        secret: whether values have secrets: errors do not repeat what was given.
    """

    form: str
    of_text: Callable[[str], T]
    of_number: Callable[[float], T] | None = None
    to_text: Callable[[T], str] = str
    metavar: str = "TEXT"
    secret: bool = False

    def read(self, raw: object) -> T:
        """See ``Kind``."""
        try:
            if isinstance(raw, str) and not _UNFIT_FOR_TEXT.search(raw):
                return self.of_text(raw)
            if self.of_number and isinstance(raw, int | float) and not isinstance(raw, bool):
                return self.of_number(raw)
        except ValueError:
            pass
        raise ValueError(f"{'this' if self.secret else repr(raw)} is not {self.form}")

    def show(self, value: T) -> str:
        """See ``Kind``."""
        return self.to_text(value)


def _host_name(text: str) -> str:
    """Return a name in lower case; one that ends in a number would be an address, but is none."""
    if len(text) > 253 or not _HOST_NAME.fullmatch(text) or text.rpartition(".")[2].isdecimal():
        raise ValueError(text)
    return text.lower()


def _host(text: str) -> str:
    try:
        return str(_ip(text))
    except ValueError:
        return _host_name(text)


def _address(text: str) -> str:
    """Return an IP address that something can be sent to, and to one machine."""
    address = _ip(text)
    if address.is_unspecified or address.is_multicast or address == _BROADCAST:
        raise ValueError(text)
    return str(address)


def _ip(text: str) -> IPv4Address | IPv6Address:
    """Return an IP address, IPv4 if it is IPv4 written as IPv6."""
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def _registry(text: str) -> str:
    """Return host and port as in the name of an image, in lower case."""
    if set("/?#@") & set(text):
        raise ValueError(text)
    checked_url(f"https://{text}")
    return text.lower()


def _word(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


def _path(text: str) -> Path:
    return Path(_word(text))


def _proxy(text: str) -> str:
    Proxy.parse(text)
    return text


def _masked(url: str) -> str:
    """Return a URL without its password, or without its user if that is all there is."""
    parts = urlsplit(url)
    who, at, place = parts.netloc.rpartition("@")
    if not at:
        return url
    user, colon, _ = who.partition(":")
    shown = f"{user}:****" if colon else "****"
    return parts._replace(netloc=f"{shown}@{place}").geturl()


def _rule_text(rule: Rule) -> str:
    if rule.port is None:
        return str(rule.network)
    brackets = "[{}]:{}" if rule.network.version == 6 else "{}:{}"
    return brackets.format(rule.network, rule.port)


def _duration(
    least: float = 0.0, what: str = "a duration such as 30s, 5m or 24h"
) -> Written[float]:
    """Return durations of more than 0 and at least ``least`` seconds."""

    def checked(seconds: float) -> float:
        if seconds < least:
            raise ValueError(seconds)
        return units.positive_duration(seconds)

    return Written(
        what, lambda text: checked(units.parse_duration(text)), checked, units.show_duration
    )


Host = Annotated[str, Written("an IP address or a host name", _host, metavar="HOST")]
Address = Annotated[
    str, Written("an IP address that clients could send to", _address, metavar="ADDRESS")
]
HostName = Annotated[str, Written("a host name", _host_name)]
OriginRule = Annotated[
    Rule,
    Written(
        "a network such as 10.0.0.0/8, 127.0.0.1:5000 or [::1]:5000",
        Rule.parse,
        to_text=_rule_text,
        metavar="CIDR[:PORT]",
    ),
]
Port = Annotated[int, Whole(1, 65535, "a port")]
PortOrNone = Annotated[int, Whole(0, 65535, "a port")]
Count = Annotated[int, Whole(1, 1_000_000)]
Duration = Annotated[float, _duration()]
"""Seconds."""
DayOrLonger = Annotated[float, _duration(86400.0, "a duration of 24h or longer")]
"""Seconds."""
Size = Annotated[
    int,
    Written(
        "a size such as 32KiB, 10GiB or 500MB",
        units.parse_size,
        units.positive_size,
        units.show_size,
    ),
]
"""Bytes."""
Rate = Annotated[
    int,
    Written("a rate such as 100MiB/s", units.parse_rate, units.positive_size, units.show_rate),
]
"""Bytes/s."""
Mark = Annotated[
    WaterMark,
    Written(
        "a water mark such as 90% (of the file system) or 500GiB (of cache)",
        units.parse_water_mark,
        lambda size: WaterMark(size=units.positive_size(size)),
        units.show_water_mark,
    ),
]
File = Annotated[Path, Written("the path of a file", _path, metavar="FILE")]
Directory = Annotated[Path, Written("the path of a directory", _path, metavar="DIRECTORY")]
Word = Annotated[str, Written("a word", _word)]
Resort = Annotated[str, Choice(("origin", "abort"))]
Level = Annotated[str, Choice(("debug", "info", "warning", "error"))]
ProxyUrl = Annotated[
    str,
    Written("a URL such as http://proxy.example:3128", _proxy, to_text=_masked, secret=True),
]
Switch = Annotated[bool, YesOrNo()]
Secret = Annotated[str, Written("a word", _word, to_text=lambda _: "****", secret=True)]
RegistryName = Annotated[
    str, Written("a registry such as harbor.example.com or 10.0.0.5:5000", _registry)
]
