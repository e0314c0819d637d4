"""Who may be contacted: judges one IP address. No I/O: the backend asks before it connects."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")
_LOOPBACK_OR_UNSPECIFIED = IPv6Network("::/127")
_V4_COMPATIBLE = IPv6Network("::/96")
_V4_MASK = 0xFFFFFFFF


class OriginPolicy:
    """Decides which addresses origins may have.

    Without rules everything is permitted but what only this machine or this link can reach:
    loopback, unspecified, link-local (cloud metadata services live there) and multicast. Private
    networks are permitted, for that is where registries usually are.

    Args:
        allow: networks that are permitted whatever the built-in rule says.
        deny: networks that are forbidden; beats ``allow``.
    """

    def __init__(self, allow: Sequence[IPNetwork] = (), deny: Sequence[IPNetwork] = ()) -> None:
        self._allow = tuple(allow)
        self._deny = tuple(deny)

    def permits(self, address: IPAddress) -> bool:
        """Tell whether ``address`` may be contacted.

        An IPv6 address that carries an IPv4 address is judged by the latter, or a tunnel would
        lead around the policy; ``deny`` heeds both.
        """
        target = _destination(address)
        if any(address in network or target in network for network in self._deny):
            return False
        if any(target in network for network in self._allow):
            return True
        return not (
            target.is_loopback
            or target.is_unspecified
            or target.is_link_local
            or target.is_multicast
        )


def _destination(address: IPAddress) -> IPAddress:
    """Return the IPv4 address that an IPv6 address carries, or ``address`` itself."""
    if isinstance(address, IPv4Address):
        return address
    tunnelled = address.ipv4_mapped or address.sixtofour
    if tunnelled is not None:
        return tunnelled
    compatible = address in _V4_COMPATIBLE and address not in _LOOPBACK_OR_UNSPECIFIED
    if compatible or address in _NAT64:
        return IPv4Address(int(address) & _V4_MASK)
    return address
