"""Whose a connection is, and how many each client has: no client may take them all.

A client is an IPv4 address or the /64 of an IPv6 one, which is what a single machine is given.
"""

from collections import Counter
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import NewType

import trio

Client = NewType("Client", str)
"""Such as ``192.0.2.7`` or ``2001:db8:1:2::/64``; empty if there is no telling."""

UNKNOWN = Client("")


def client_at(address: str) -> Client:
    """Return whose an IP address is; a scope (``%eth0``) does not matter."""
    ip = ip_address(address.partition("%")[0])
    if not isinstance(ip, IPv6Address):
        return Client(str(ip))
    if ip.ipv4_mapped:
        return Client(str(ip.ipv4_mapped))
    return Client(str(IPv6Network((ip, 64), strict=False)))


def client_of(stream: trio.SocketStream) -> Client:
    """Return whose a connection is; unknown if that is gone, or came by a Unix socket."""
    try:
        return client_at(address_of(stream.socket))
    except ValueError:
        return UNKNOWN


def address_of(socket: trio.socket.SocketType) -> str:
    """Return the address at the other end; "" if that is gone, or has none."""
    try:
        return str(socket.getpeername()[0])
    except (OSError, IndexError):
        return ""


class ConnectionCounts:
    """How many connections each client has.

    Args:
        limit: how many it may have; None: any number. Unknown clients are not limited.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._counts: Counter[Client] = Counter()

    def at_limit(self, client: Client) -> bool:
        """Tell whether a client has as many as it may."""
        return bool(client) and self._limit is not None and self._counts[client] >= self._limit

    def add(self, client: Client) -> None:
        """Count a connection."""
        self._counts[client] += 1

    def remove(self, client: Client) -> None:
        """Count one that has ended no longer."""
        self._counts[client] -= 1
        if not self._counts[client]:
            del self._counts[client]
