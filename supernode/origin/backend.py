"""The network under the HTTP client: resolves, has every address judged, connects.

Every connection is made here, whether for the first request or for a redirect, and it goes to the
very address that was judged. So a redirect cannot leave the policy, and neither can a name that
resolves differently the second time it is asked for.
"""

import errno
import math
import os
import socket
import ssl
from collections.abc import Iterable
from contextlib import ExitStack
from ipaddress import ip_address
from typing import NamedTuple

import httpcore2
import trio

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError
from supernode.origin.policy import OriginPolicy

READ_BYTES = 256 * 1024
"""Size of one read. From loopback: 64 KiB 1.9, 256 KiB 2.6, 1 MiB (leaves the cache) 2.1 GB/s."""


class CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections, but only to addresses that the policy permits."""

    def __init__(self, policy: OriginPolicy) -> None:
        self._policy = policy

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to one of the host's permitted addresses.

        They are tried in order, each for an equal share of the time that is left, so that one that
        swallows packets does not use it all up.

        Args:
            host: a name or an address.
            port: 1 to 65535.
            timeout: seconds for resolving and connecting together.
            local_address: not used by our pool.
            socket_options: not used by our pool.

        Raises:
            OriginError: ORIGIN_DNS, URL_FORBIDDEN, ORIGIN_REFUSED, ORIGIN_TIMEOUT or
                NO_DESCRIPTORS.
        """
        deadline = trio.current_time() + (math.inf if timeout is None else timeout)
        endpoints = await self._permitted(host, port, deadline)
        failure = OriginError(Reason.ORIGIN_TIMEOUT, f"no connection to {host} port {port}")
        for tried, endpoint in enumerate(endpoints):
            share = (deadline - trio.current_time()) / (len(endpoints) - tried)
            with trio.move_on_after(max(share, 0)):
                try:
                    return OriginStream(await endpoint.connect(), host)
                except OSError as error:
                    place = f"{host} at {endpoint.address[0]} port {port}"
                    problem = f"{place}: {os.strerror(error.errno or 0)}"
                    ours = error.errno in (errno.EMFILE, errno.ENFILE)
                    reason = Reason.NO_DESCRIPTORS if ours else Reason.ORIGIN_REFUSED
                    failure = OriginError(reason, problem)
        raise failure

    async def _permitted(self, host: str, port: int, deadline: float) -> list["_Endpoint"]:
        try:
            with trio.fail_at(deadline):
                found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except trio.TooSlowError:
            raise OriginError(Reason.ORIGIN_DNS, f"{host}: no answer in time") from None
        except OSError as error:
            raise OriginError(Reason.ORIGIN_DNS, f"{host}: {error.strerror}") from error
        except UnicodeError as error:
            raise OriginError(Reason.ORIGIN_DNS, f"{host}: not a name") from error
        endpoints = [_Endpoint(family, address) for family, _, _, _, address in found]
        permitted = [e for e in endpoints if self._policy.permits(ip_address(e.address[0]))]
        if not permitted:
            seen = ", ".join(sorted(str(e.address[0]) for e in endpoints))
            raise OriginError(Reason.URL_FORBIDDEN, f"{host} is at {seen}")
        return permitted


class _Endpoint(NamedTuple):
    family: int
    address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]

    async def connect(self) -> trio.SocketStream:
        connection = trio.socket.socket(self.family, socket.SOCK_STREAM)
        with ExitStack() as undo:
            undo.callback(connection.close)
            await connection.connect(self.address)
            undo.pop_all()
        return trio.SocketStream(connection)


class OriginStream(httpcore2.AsyncNetworkStream):
    """One connection to an origin, plain or under TLS.

    Reading and writing have no deadlines of their own: the client sets one around the head and
    one around each block of the body.
    """

    def __init__(
        self,
        transport: trio.SocketStream,
        host: str,
        tls: "trio.SSLStream[trio.SocketStream] | None" = None,
    ) -> None:
        self._transport = transport
        self._host = host
        self._stream: trio.abc.Stream = transport if tls is None else tls

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has arrived, b"" at the end.

        Up to ``READ_BYTES``, for httpcore2 asks for 64 KiB but takes any size.

        Raises:
            OriginError: ORIGIN_BROKEN.
        """
        try:
            return bytes(await self._stream.receive_some(READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise OriginError(Reason.ORIGIN_BROKEN, f"{self._host}: connection lost") from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of ``buffer``.

        Raises:
            httpcore2.WriteError: the connection is lost; httpcore2 then still looks for an answer.
        """
        try:
            await self._stream.send_all(buffer)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore2.WriteError from error

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Return this connection under TLS; closed if there is no agreement.

        Args:
            ssl_context: whom to trust.
            server_hostname: the name that the origin must prove to have.
            timeout: seconds for the handshake.

        Raises:
            OriginError: ORIGIN_TLS or ORIGIN_TIMEOUT.
        """
        tls = trio.SSLStream(
            self._transport, ssl_context, server_hostname=server_hostname, https_compatible=True
        )
        with ExitStack() as undo:
            undo.callback(self._transport.socket.close)
            try:
                with trio.fail_after(math.inf if timeout is None else timeout):
                    await tls.do_handshake()
            except trio.TooSlowError:
                problem = f"{self._host}: no TLS handshake in time"
                raise OriginError(Reason.ORIGIN_TIMEOUT, problem) from None
            except trio.BrokenResourceError as error:
                problem = f"{self._host}: {_tls_problem(error.__cause__)}"
                raise OriginError(Reason.ORIGIN_TLS, problem) from error
            undo.pop_all()
        return OriginStream(self._transport, self._host, tls)

    async def aclose(self) -> None:
        """Close the connection at once, without a farewell."""
        self._transport.socket.close()

    def get_extra_info(self, info: str) -> object:
        """Answer what the pool asks of an idle connection: whether the origin has hung up."""
        return self._transport.socket.is_readable() if info == "is_readable" else None


def _tls_problem(cause: BaseException | None) -> str:
    match cause:
        case ssl.SSLCertVerificationError():
            return cause.verify_message
        case ssl.SSLError():
            return cause.reason or "handshake failed"
        case _:
            return "connection lost during the handshake"
