"""Which URLs can be fetched. Every part of the origin client reads them through here. No I/O."""

import re

import httpx2

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f.:]*:[0-9a-f.:]*")  # a name or IPv4; IPv6, no zone
_BACKSLASH_IN_AUTHORITY = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*\\")


def checked_url(text: str, base: httpx2.URL | None = None) -> httpx2.URL:
    r"""Return the URL that ``text`` is, if we can fetch it.

    Spellings that other programs read differently are refused: a host that is percent-encoded or
    has a zone, a backslash before the path.

    Args:
        text: as it came.
        base: what ``text`` may be relative to.

    Raises:
        ValueError: why not; the message quotes nothing of ``text``, which may hold a password.
    """
    try:
        url = httpx2.URL(text) if base is None else base.join(text)
        host = host_of(url)
    except (httpx2.InvalidURL, ValueError):
        raise ValueError("it does not parse") from None
    if url.scheme not in _DEFAULT_PORTS:
        raise ValueError("its scheme is neither http nor https")
    if not host:
        raise ValueError("it names no host")
    if not _HOST.fullmatch(host) or _BACKSLASH_IN_AUTHORITY.match(text):
        raise ValueError("its host is neither spelled as a name nor as an address")
    if not 0 < port_of(url) < 1 << 16:
        raise ValueError("its port is not one")
    return url


def host_of(url: httpx2.URL) -> str:
    """Return the host as it is resolved: lower case, ASCII, IPv6 without brackets."""
    return url.raw_host.decode("ascii").lower()


def service_of(url: httpx2.URL) -> str:
    """Return host and port, an IPv6 address in brackets."""
    host = host_of(url)
    return f"[{host}]:{port_of(url)}" if ":" in host else f"{host}:{port_of(url)}"


def port_of(url: httpx2.URL) -> int:
    """Return the port, its scheme's own unless it is written out; 0 if that is none."""
    return _DEFAULT_PORTS.get(url.scheme, 0) if url.port is None else url.port
