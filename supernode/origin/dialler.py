"""Resolves, has every address judged, connects.

Every connection is made here, whether for the first request or for a redirect, and it goes to the
very address that was judged. So a redirect cannot leave the policy, and neither can a name that
resolves differently the second time it is asked for.

Through a proxy it is the proxy that resolves and connects. What can be judged from here still is:
addresses in the URL, and names that resolve here. Only of a name that a name server here denies is
the proxy left to judge: one that merely got no answer might resolve to anything the next moment.
"""

import errno
import os
import socket
import ssl
from contextlib import ExitStack
from ipaddress import ip_address
from typing import Any, NamedTuple

import trio

from supernode.core.reasons import Reason
from supernode.origin.address import IPAddress
from supernode.origin.connection import OriginConnection
from supernode.origin.errors import OriginError
from supernode.origin.policy import OriginPolicy
from supernode.origin.proxy import Proxy
from supernode.origin.request import OriginRequest
from supernode.origin.url import host_of, port_of

SHOWN_OBJECTIONS = 3
_NO_SUCH_NAME = (socket.EAI_NONAME, socket.EAI_NODATA)


class Dialler:
    """Opens connections to origins, if the policy permits.

    Args:
        policy: judges every address.
        proxy: what everything goes through, if anything.
        usual: whom to trust to be the proxy.
        timeout: seconds to resolve and connect, and again for the TLS handshake.
    """

    def __init__(
        self, policy: OriginPolicy, proxy: Proxy | None, usual: ssl.SSLContext, timeout: float
    ) -> None:
        self._policy = policy
        self._proxy = proxy
        self._usual = usual
        self._timeout = timeout

    async def connect(self, request: OriginRequest, context: ssl.SSLContext) -> OriginConnection:
        """Return a connection on which ``request`` can be made.

        Args:
            request: says where to.
            context: whom to trust, if it is https.

        Raises:
            OriginError: ORIGIN_DNS, URL_FORBIDDEN, ORIGIN_REFUSED, ORIGIN_TIMEOUT, ORIGIN_TLS,
                ORIGIN_BROKEN or NO_DESCRIPTORS.
        """
        host, secure = host_of(request.url), request.url.scheme == "https"
        deadline = trio.current_time() + self._timeout
        if self._proxy is None:
            endpoints = await _resolve(host, port_of(request.url), deadline)
            transport = await _dial(self._permitted(host, endpoints), host, deadline)
            connection = OriginConnection(transport, host)
        else:
            await self._vet(request, deadline)
            connection = await self._through(self._proxy, request.origin if secure else None)
        if secure:
            await connection.secure(context, host, self._timeout)
        return connection

    def _permitted(self, host: str, endpoints: "list[_Endpoint]") -> "list[_Endpoint]":
        """Return the endpoints that may be contacted. Raises OriginError if there is none."""
        judged = [(each, self._policy.objection(each.ip, each.port)) for each in endpoints]
        permitted = [each for each, objection in judged if objection is None]
        if not permitted:
            seen = sorted({objection for _, objection in judged if objection is not None})
            raise _forbidden(host, ", ".join(seen[:SHOWN_OBJECTIONS]))
        return permitted

    async def _vet(self, request: OriginRequest, deadline: float) -> None:
        """Raise OriginError if the proxy should not be asked for this."""
        host = host_of(request.url)
        objection = self._policy.forbids_url(str(request.url))
        if objection is not None:
            raise _forbidden(host, objection)
        try:
            endpoints = await _resolve(host, port_of(request.url), deadline)
        except OriginError as error:
            if _is_unknown(error):
                return  # a name that only the proxy knows
            raise
        for endpoint in endpoints:
            self._permitted(host, [endpoint])  # all of them: we cannot say which one to take

    async def _through(self, proxy: Proxy, place: str | None) -> OriginConnection:
        """Return a connection to the proxy, or through it to ``place``."""
        deadline = trio.current_time() + self._timeout
        endpoints = await _resolve(proxy.host, proxy.port, deadline)
        connection = OriginConnection(await _dial(endpoints, proxy.host, deadline), proxy.host)
        with ExitStack() as undo:
            undo.callback(connection.close)
            if proxy.secure:
                await connection.secure(self._usual, proxy.host, self._timeout)
            if place is not None:
                try:
                    with trio.fail_after(self._timeout):
                        await proxy.tunnel(connection, place)
                except trio.TooSlowError:
                    problem = f"{proxy}: no tunnel to {place} in time"
                    raise OriginError(Reason.ORIGIN_TIMEOUT, problem, may_pass=True) from None
            undo.pop_all()
        return connection


class _Endpoint(NamedTuple):
    family: int
    address: tuple[Any, ...]
    port: int

    @property
    def ip(self) -> IPAddress:
        return ip_address(self.address[0])

    async def connect(self) -> trio.SocketStream:
        connection = trio.socket.socket(self.family, socket.SOCK_STREAM)
        with ExitStack() as undo:
            undo.callback(connection.close)
            await connection.connect((self.address[0], self.port, *self.address[2:]))
            undo.pop_all()
        return trio.SocketStream(connection)


def _forbidden(host: str, objection: str) -> OriginError:
    detail = objection if objection.startswith(host) else f"{host}: {objection}"
    return OriginError(Reason.URL_FORBIDDEN, detail)


async def _resolve(host: str, port: int, deadline: float) -> list[_Endpoint]:
    """Return where ``host`` is. Raises OriginError: ORIGIN_DNS."""
    try:
        with trio.fail_at(deadline):
            # Without the port: look-ups of one name are one look-up.
            found = await trio.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except trio.TooSlowError:
        problem = f"{host}: no answer in time"
        raise OriginError(Reason.ORIGIN_DNS, problem, may_pass=True) from None
    except OSError as error:
        problem, may_pass = f"{host}: {error.strerror}", error.errno == socket.EAI_AGAIN
        raise OriginError(Reason.ORIGIN_DNS, problem, may_pass=may_pass) from error
    except UnicodeError as error:
        raise OriginError(Reason.ORIGIN_DNS, f"{host}: not a name") from error
    return [_Endpoint(family, address, port) for family, _, _, _, address in found]


def _is_unknown(error: OriginError) -> bool:
    """Tell whether a name server has said that there is no such name, or that it has no address."""
    cause = error.__cause__
    return isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_NAME


async def _dial(endpoints: list[_Endpoint], host: str, deadline: float) -> trio.SocketStream:
    """Connect to one of the endpoints.

    They are tried in order, each for an equal share of the time that is left, so that one that
    swallows packets does not use it all up.

    Raises:
        OriginError: ORIGIN_REFUSED, ORIGIN_TIMEOUT or NO_DESCRIPTORS.
    """
    problem = f"no connection to {host} in time"
    failure = OriginError(Reason.ORIGIN_TIMEOUT, problem, may_pass=True)
    for tried, endpoint in enumerate(endpoints):
        share = (deadline - trio.current_time()) / (len(endpoints) - tried)
        with trio.move_on_after(max(share, 0)):
            try:
                return await endpoint.connect()
            except OSError as error:
                place = f"{host} at {endpoint.address[0]} port {endpoint.port}"
                problem = f"{place}: {os.strerror(error.errno or 0)}"
                ours = error.errno in (errno.EMFILE, errno.ENFILE)
                reason = Reason.NO_DESCRIPTORS if ours else Reason.ORIGIN_REFUSED
                failure = OriginError(reason, problem, may_pass=not ours)
    raise failure
