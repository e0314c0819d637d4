"""What an origin is asked: which URL, which headers, what of them survives a redirect. No I/O."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import h11
import httpx2

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError
from supernode.origin.proxy import Proxy
from supernode.origin.resumption import Resumption
from supernode.origin.url import checked_url, port_of, service_of
from supernode.version import VERSION

_USER_AGENT = f"supernode/{VERSION}"
_OURS = frozenset({"host", "accept-encoding", "content-length", "expect"})
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_FOR_ANYBODY = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "pragma",
        "range",
        "user-agent",
    }
)
"""Headers that say what is asked for. Any other may say who asks, whatever its name."""
_PLACE_CHARACTERS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginRequest:
    """One request: a GET, usually.

    Args:
        url: where to.
        headers: what is sent besides Host and what is about the connection.
        method: GET, HEAD or POST.
        content: what is sent besides headers.
    """

    url: httpx2.URL
    headers: httpx2.Headers
    method: str = "GET"
    content: bytes = b""

    @property
    def place(self) -> str:
        """The URL as it may be shown: without user, password, query and fragment."""
        path = self.url.raw_path.partition(b"?")[0].decode("ascii")
        host = self.url.netloc.decode("ascii")
        return f"{self.url.scheme}://{host}{path}"[:_PLACE_CHARACTERS]

    @property
    def origin(self) -> str:
        """Host and port."""
        return service_of(self.url)

    @property
    def range(self) -> str | None:
        """Which part of the file was asked for, as it was written; None: all of it."""
        return self.headers.get("Range")

    def redirected(self, location: str) -> "OriginRequest":
        """Return the request that follows a redirect to ``location``, relative or absolute.

        Unless it is the same service (scheme, host and port, or http's port become https's), only
        headers that are for anybody go along. The others do not come back on the way home.

        What was sent besides headers goes nowhere else.

        Raises:
            OriginError: URL_INVALID, ORIGIN_REDIRECTS.
        """
        if self.content:
            problem = f"{self.place} redirects who has sent it what is for nobody else"
            raise OriginError(Reason.ORIGIN_REDIRECTS, problem)
        try:
            url = checked_url(location, self.url)
        except ValueError as error:
            problem = f"{self.place} redirects to what cannot be fetched: {error}"
            raise OriginError(Reason.URL_INVALID, problem) from None
        headers = self.headers.copy()
        if not _same_service(self.url, url):
            for name in [name for name in headers if name.lower() not in _FOR_ANYBODY]:
                del headers[name]
        return replace(self, url=url, headers=headers)

    def on_wire(self, proxy: Proxy | None) -> h11.Request:
        """Return the request as it is sent to the origin, or to the proxy that passes it on.

        Raises:
            h11.LocalProtocolError: a header cannot be sent; the message quotes it.
        """
        target = self.url.raw_path
        headers = [(b"Host", self.url.netloc), *self.headers.raw, (b"Connection", b"close")]
        if proxy is not None:
            headers = [field for field in headers if field[0].lower() != b"proxy-authorization"]
            if self.url.scheme == "http":
                target = b"http://" + self.url.netloc + target
                headers += proxy.headers
        return h11.Request(method=self.method, target=target, headers=headers)

    def with_form(self, form: Mapping[str, str]) -> "OriginRequest":
        """Return the request that posts a form."""
        headers, content = self.headers.copy(), urlencode(form).encode()
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        headers["Content-Length"] = str(len(content))
        return replace(self, method="POST", headers=headers, content=content)


def compose(
    url: str, headers: Mapping[str, str], resume: Resumption | None = None
) -> OriginRequest:
    """Return the request for ``url`` with the caller's headers, as far as they are the caller's.

    User and password in the URL become an Authorization header, unless there is one.

    Args:
        url: http or https.
        headers: the caller's.
        resume: what is there already of the file.

    Raises:
        OriginError: URL_INVALID.
    """
    try:
        target = checked_url(url)
    except ValueError as error:
        raise OriginError(Reason.URL_INVALID, str(error)) from None
    try:
        sent = httpx2.Headers(dict(headers), encoding="utf-8")
    except UnicodeError:
        raise OriginError(Reason.URL_INVALID, "a header cannot be sent") from None
    named = {name.strip().lower() for name in sent.get("Connection", "").split(",")}
    for name in _OURS | _HOP_BY_HOP | named:
        sent.pop(name, None)
    sent.setdefault("User-Agent", _USER_AGENT)
    sent["Accept-Encoding"] = "identity"
    if target.userinfo:
        user = f"{target.username}:{target.password}"
        sent.setdefault("Authorization", f"Basic {b64encode(user.encode()).decode()}")
    if resume is not None:
        sent.update(resume.headers)
    return OriginRequest(url=target, headers=sent)


def _same_service(one: httpx2.URL, other: httpx2.URL) -> bool:
    if one.raw_host != other.raw_host:
        return False
    ports = port_of(one), port_of(other)
    if one.scheme == other.scheme:
        return ports[0] == ports[1]
    return other.scheme == "https" and ports == (80, 443)
