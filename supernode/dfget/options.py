"""The values of dfget's flags, as Dragonfly v1 spells them, and what a download is asked to do."""

import ipaddress
import math
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_PORT = 8002
_RATE = re.compile(r"([0-9]+)(MB?|m|KB?|k|GB?|g|B)?")
_RATE_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|h|m|s)")
_DURATION_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DIGEST_DIGITS = {"md5": 32, "sha256": 64}


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """Where a supernode's control port is."""

    host: str
    port: int = DEFAULT_PORT
    tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https://' if self.tls else ''}{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Digest:
    """What the whole file must hash to: ``md5`` or ``sha256``, lower-case hex."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One download as the user asked for it.

    Args:
        nodes: supernodes, each with its weight; empty only if the origin alone is wanted.
        headers: for the origin; values may be secrets.
        insecure: do not verify the origin's certificate.
        root_cas: PEM texts of authorities that vouch for the origin besides the usual.
        dfdaemon: a dfdaemon asks.
        local_limit: bytes/s for this download; 0: none.
        total_limit: bytes/s for all uploads of this home; 0: none.
        timeout: seconds for everything; infinite: none.
        ip: this machine's address in the swarm; empty: whichever reaches the supernode.
        port: the uploader's; 0: any free one that v1 allows.
        expire_time: seconds a file is shared after its last use.
        alive_time: seconds an idle uploader stays; 0: it leaves with the download.
    """

    url: str
    output: Path
    home: Path
    nodes: tuple[tuple[Node, int], ...] = ()
    digest: Digest | None = None
    identifier: str = ""
    filters: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    insecure: bool = False
    root_cas: tuple[str, ...] = ()
    call_system: str = ""
    dfdaemon: bool = False
    local_limit: int = 0
    total_limit: int = 0
    timeout: float = math.inf
    back_to_source: bool = True
    ip: str = ""
    port: int = 0
    expire_time: float = 180.0
    alive_time: float = 300.0


def parse_rate(text: str) -> int:
    """Return bytes/s for ``20M``, ``64KB``, ``1g``, ``300B`` or a number of bytes; 1024-based.

    Raises:
        ValueError: anything else.
    """
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a rate such as 20M, 64KB or 1048576")
    unit = (match[2] or "").lower()
    return int(match[1]) * _RATE_UNITS[unit[:1]]


def parse_duration(text: str) -> float:
    """Return seconds for ``3m``, ``1m30s``, ``1.5h``, ``300ms`` or a number of seconds.

    Raises:
        ValueError: anything else.
    """
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration such as 3m, 1m30s or 0s")
    return sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)


def parse_nodes(text: str) -> tuple[tuple[Node, int], ...]:
    """Return supernodes and weights for ``[https://]host[:port][=weight],…``; IPv6 in brackets.

    Raises:
        ValueError: an entry that is not of this form.
    """
    return tuple(_parse_node(entry.strip()) for entry in text.split(",") if entry.strip())


def _parse_node(entry: str) -> tuple[Node, int]:
    url, equals, weight = entry.partition("=")
    scheme, given, address = url.rpartition("://")
    try:
        parts = urlsplit(f"//{address}")
        node = Node(parts.hostname or "", parts.port or DEFAULT_PORT, scheme.lower() == "https")
        if parts.netloc != address or not node.host or "@" in address:
            raise ValueError
        if given and scheme.lower() not in ("http", "https"):
            raise ValueError
        count = int(weight) if equals else 1
        if not 1 <= count <= 1000:
            raise ValueError
    except ValueError:
        raise ValueError(f"{entry!r} is not host[:port][=weight] or https://host…") from None
    return node, count


def parse_files(text: str) -> tuple[Path, ...]:
    """Return the files in a list with commas."""
    return tuple(Path(name) for name in text.split(",") if name)


def parse_header(text: str) -> tuple[str, str]:
    """Return name and value of a header line ``Name: value``.

    Raises:
        ValueError: no name, no colon, or characters that end a header line.
    """
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ValueError("a header looks like 'Name: value'")
    if re.search(r"[\r\n\0]", value):
        raise ValueError(f"the value of {name} spans lines")
    if not _is_text(value):
        raise ValueError(f"the value of {name} is not UTF-8")
    return name, value


def parse_url(text: str) -> str:
    """Return a URL that can be downloaded.

    Raises:
        ValueError: it is none, or not of http or https.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or not _is_text(text):
        raise ValueError("an http or https URL is needed")
    _ = parts.port  # raises if it is none
    return text


def parse_ip(text: str) -> str:
    """Return an IP address, or nothing for nothing.

    Raises:
        ValueError: it is neither.
    """
    return str(ipaddress.ip_address(text)) if text else ""


def _is_text(argument: str) -> bool:
    """Tell whether an argument was UTF-8; other bytes come as lone surrogates."""
    return not re.search("[\ud800-\udfff]", argument)


def parse_digest(text: str) -> Digest:
    """Return the digest for ``md5:<hex>`` or ``sha256:<hex>``.

    Raises:
        ValueError: another algorithm or not so many hexadecimal digits.
    """
    algorithm, _, digits = text.strip().lower().partition(":")
    wanted = _DIGEST_DIGITS.get(algorithm)
    if wanted is None:
        raise ValueError(f"{text!r} does not start with md5: or sha256:")
    if not re.fullmatch(rf"[0-9a-f]{{{wanted}}}", digits):
        raise ValueError(f"{algorithm} has {wanted} hexadecimal digits")
    return Digest(algorithm, digits)
