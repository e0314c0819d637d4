"""What an origin is asked: which URL, which headers, what of them survives a redirect. No I/O."""

import importlib.metadata
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace

import httpcore2
import httpx2

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError

try:
    _VERSION = importlib.metadata.version("supernode")
except importlib.metadata.PackageNotFoundError:  # run from a source tree
    _VERSION = "dev"
_USER_AGENT = f"supernode/{_VERSION}"
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
_CREDENTIALS = ("Authorization", "Cookie", "Proxy-Authorization", "WWW-Authenticate")
_PLACE_CHARACTERS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginRequest:
    """One GET.

    Args:
        url: where to.
        headers: what is sent besides Host.
        home: host whose credentials ``headers`` carry; they go to it and its subdomains only.
    """

    url: httpx2.URL
    headers: httpx2.Headers
    home: str

    @property
    def place(self) -> str:
        """The URL as it may be shown: without user, password, query and fragment."""
        path = self.url.raw_path.partition(b"?")[0].decode("ascii")
        host = self.url.netloc.decode("ascii")
        return f"{self.url.scheme}://{host}{path}"[:_PLACE_CHARACTERS]

    @property
    def wants_range(self) -> bool:
        """Whether a part of the file was asked for."""
        return "Range" in self.headers

    def redirected(self, location: str) -> "OriginRequest":
        """Return the request that follows a redirect to ``location``, relative or absolute.

        Credentials stay behind when the target is neither the home nor below it, and when it is
        not encrypted but this request is. They do not come back on the way home.

        Raises:
            OriginError: URL_INVALID.
        """
        try:
            url = _checked(self.url.join(location))
        except (httpx2.InvalidURL, ValueError) as error:
            problem = f"{self.place} redirects to what cannot be fetched"
            raise OriginError(Reason.URL_INVALID, problem) from error
        headers = self.headers.copy()
        downgraded = self.url.scheme == "https" and url.scheme == "http"
        if downgraded or not _is_below(url.host, self.home):
            for name in _CREDENTIALS:
                headers.pop(name, None)
        return replace(self, url=url, headers=headers)

    def on_wire(self, *, connect_timeout: float) -> httpcore2.Request:
        """Return the request as httpcore2 takes it; ``connect_timeout`` in seconds."""
        return httpcore2.Request(
            method="GET",
            url=httpcore2.URL(
                scheme=self.url.raw_scheme,
                host=self.url.raw_host,
                port=self.url.port,
                target=self.url.raw_path,
            ),
            headers=[(b"Host", self.url.netloc), *self.headers.raw],
            extensions={"timeout": {"connect": connect_timeout}},
        )


def compose(url: str, headers: Mapping[str, str]) -> OriginRequest:
    """Return the request for ``url`` with the caller's headers, as far as they are the caller's.

    User and password in the URL become an Authorization header, unless there is one.

    Raises:
        OriginError: URL_INVALID.
    """
    try:
        target = _checked(httpx2.URL(url))
    except (httpx2.InvalidURL, UnicodeError):
        # The parser's message quotes the part it stumbled over, which may be a password.
        raise OriginError(Reason.URL_INVALID, "it does not parse") from None
    except ValueError as error:
        raise OriginError(Reason.URL_INVALID, str(error)) from error
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
    return OriginRequest(url=target, headers=sent, home=target.host)


def _checked(url: httpx2.URL) -> httpx2.URL:
    if url.scheme not in ("http", "https"):
        raise ValueError("its scheme is neither http nor https")
    if not url.host:
        raise ValueError("it names no host")
    if url.port is not None and not 0 < url.port < 1 << 16:
        raise ValueError("its port is not one")
    return url


def _is_below(host: str, home: str) -> bool:
    return host == home or host.endswith(f".{home}")
