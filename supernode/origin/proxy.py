"""The proxy that everything may go through, if one is configured; the environment's never count.

Requests for http go to it and name the whole URL; for https it opens a tunnel.
"""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from supernode.core.reasons import Reason
from supernode.origin.connection import OriginConnection
from supernode.origin.errors import OriginError
from supernode.origin.url import checked_url, host_of, port_of

MAX_HEAD = 16 * 1024
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r\n]")


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where the proxy is. It is configured, hence trusted: no policy judges its address.

    Args:
        host: name or address.
        port: 1 to 65535.
        secure: whether it is spoken to under TLS.
        authorization: value of the header Proxy-Authorization; b"" for none.
    """

    host: str
    port: int
    secure: bool = False
    authorization: bytes = field(default=b"", repr=False)

    @classmethod
    def parse(cls, text: str) -> "Proxy":
        """Return the proxy as it is configured: ``http://user:password@host:port``, or https.

        Raises:
            ValueError: saying what was expected; it does not quote the password.
        """
        try:
            url = checked_url(text)
        except ValueError as error:
            raise ValueError(f"expected a URL such as http://proxy:3128, but {error}") from None
        if url.raw_path != b"/" or url.fragment:
            raise ValueError("expected a URL such as http://proxy:3128, and nothing after the port")
        user = unquote_to_bytes(url.userinfo)
        authorization = b"Basic " + b64encode(user) if user else b""
        return cls(host_of(url), port_of(url), url.scheme == "https", authorization)

    def __str__(self) -> str:
        return f"the proxy {self.host} port {self.port}"

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What is sent to the proxy only."""
        return [(b"Proxy-Authorization", self.authorization)] if self.authorization else []

    async def tunnel(self, connection: OriginConnection, place: str) -> None:
        """Turn a connection to the proxy into one to ``place``.

        Args:
            connection: to the proxy, nothing sent yet.
            place: host and port, an IPv6 address in brackets.

        Raises:
            OriginError: PROXY_REFUSED or ORIGIN_BROKEN.
        """
        target = place.encode("ascii")
        lines = [b"CONNECT %b HTTP/1.1" % target, b"Host: " + target]
        lines += [b": ".join(header) for header in self.headers]
        await connection.send(b"\r\n".join(lines) + b"\r\n\r\n")
        head = await _head(connection)
        status = _STATUS_LINE.match(head)
        if status is None or not head.endswith(b"\r\n\r\n"):
            problem = f"{self}: no proper answer for {place}"
            raise OriginError(Reason.ORIGIN_BROKEN, problem, may_pass=True)
        if not status[1].startswith(b"2"):
            problem = f"{self} answers {status[1].decode()} for {place}"
            may_pass = status[1].startswith(b"5")  # it did not get through to the origin
            raise OriginError(Reason.PROXY_REFUSED, problem, may_pass=may_pass)


async def _head(connection: OriginConnection) -> bytes:
    """Return what comes, up to the end of the head. Under TLS it is we who speak first after it."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) < MAX_HEAD:
        block = await connection.receive(MAX_HEAD - len(head))
        if not block:
            break
        head += block
    return head
