"""Which requests of web pages are answered. Pure.

A page anywhere can make its reader's browser ask us, who may be out of that page's own reach. The
browser says so, and this is where we listen:

* ``Origin`` names the page's site. It must be this one: no forged requests, no foreign websocket.
* ``Sec-Fetch-Site`` says what the browser itself thinks of the matter.
* ``Host`` must be a name that nobody else can point at us: an IP address, localhost, or one that
  is ours by configuration. No other name makes its site this one (DNS rebinding).

What names neither is no business of these rules, with one exception: over plain HTTP, a browser
says nothing when a page asks its own site for something, which is all that DNS rebinding needs. So
a request with ``Accept-Language``, which every browser sends and no downloader does, must have one
of those hosts as well.
"""

import re
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^\[\]:/?#@\s]+)(?::([0-9]{0,5}))?")
_PORTS = {"http": 80, "https": 443}
_LONGEST_QUOTE = 100


class _Place(NamedTuple):
    """Where a URL leads, apart from its scheme."""

    host: str | IPv4Address | IPv6Address
    port: int


def is_host_name(text: str) -> bool:
    """Tell whether a text has the form of a host name."""
    return _NAME.fullmatch(text) is not None


class BrowserRule:
    """The rule of one supernode.

    Args:
        hosts: names under which browsers may reach it, besides addresses and localhost.

    Raises:
        ValueError: one of them is no host name.
    """

    def __init__(self, hosts: Collection[str] = ()) -> None:
        self._hosts = {"localhost"}
        for host in hosts:
            if not is_host_name(host):
                raise ValueError(f"{host!r} is not a host name")
            self._hosts.add(host.lower().removesuffix("."))

    def refusal(self, headers: Iterable[tuple[bytes, bytes]], *, tls: bool) -> str | None:
        """Return why a request is answered 403 and what to do about it; None: it is not.

        Args:
            headers: as received; HTTP/2's ``:authority`` as ``host``.
            tls: whether they came over TLS. If not, there may still be a proxy in between that
                the browser speaks TLS to.
        """
        origins: list[bytes] = []
        sites: list[bytes] = []
        hosts: list[bytes] = []
        from_browser = False
        for name, value in headers:
            match name.lower():
                case b"host":
                    hosts.append(value)
                case b"origin":
                    origins.append(value)
                case b"sec-fetch-site":
                    sites.append(value)
                case b"accept-language":
                    from_browser = True
        if not (origins or sites or from_browser):
            return None
        if len(hosts) != 1 or len(origins) > 1 or len(sites) > 1:
            return "a browser sends Host once, Origin and Sec-Fetch-Site at most once"
        if sites and sites[0].strip().lower() not in (b"same-origin", b"none"):
            return f"a page of another site asks (Sec-Fetch-Site: {_quoted(sites[0])})"
        scheme, origin = _origin(origins[0]) if origins else ("https" if tls else "http", None)
        host = _place(hosts[0].decode("latin-1"), scheme)
        if host is None or (isinstance(host.host, str) and host.host not in self._hosts):
            return (
                f"browsers reach this supernode by its address, localhost or its own name, not as"
                f" {_quoted(hosts[0])}; if that is right, add it to hosts in section [http] of the"
                f" configuration"
            )
        if origins and (origin != host or (tls and scheme != "https")):
            return (
                f"a page of {_quoted(origins[0])} asks {_quoted(hosts[0])}, but only pages of the"
                f" same site may; a proxy in between must pass on Host as it is"
            )
        return None


def _origin(value: bytes) -> tuple[str, _Place | None]:
    """Return the scheme of an origin, and where it is; None: not on the web."""
    scheme, _, authority = value.strip().decode("latin-1").lower().partition("://")
    return scheme, _place(authority, scheme) if scheme in _PORTS else None


def _place(authority: str, scheme: str) -> _Place | None:
    """Return what ``host[:port]`` stands for; None: it is not of this form."""
    match = _AUTHORITY.fullmatch(authority.strip().lower())
    if match is None:
        return None
    host = match[1].removesuffix(".")
    port = int(match[2] or _PORTS.get(scheme, 0))
    try:
        return _Place(ip_address(host.strip("[]")), port)
    except ValueError:
        return None if host.startswith("[") else _Place(host, port)


def _quoted(value: bytes) -> str:
    """Return what a client sent, fit for a message."""
    return repr(value[:_LONGEST_QUOTE].decode("latin-1"))
