"""What an address leads to, however it is written. Sends nothing and asks no name server."""

import re
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

_LOOPBACK_OR_UNSPECIFIED = IPv6Network("::/127")
_V4_IN_LAST_BITS = (
    IPv6Network("::ffff:0:0/96"),  # mapped
    IPv6Network("::ffff:0:0:0/96"),  # translated
    IPv6Network("::/96"),  # compatible
    IPv6Network("64:ff9b::/96"),  # NAT64
)
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_NO_HOST = IPv4Network("0.0.0.0/8")
_V4_MASK = 0xFFFFFFFF
_ISATAP, _ISATAP_MASK = 0x5EFE, 0xFDFFFFFF  # whether or not the universal bit is set

_LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_LOOPBACK_NAME = re.compile(
    r"(.+\.)?localhost|localhost6?\.localdomain6?|localhost[46]|ip6-(localhost|loopback)"
)


def targets(address: IPAddress) -> tuple[IPAddress, ...]:
    """Return every address at which a packet to ``address`` may end up.

    That is the IPv4 address which an IPv6 address carries, or else ``address`` itself. There are
    several where the notation is ambiguous, and where a tunnel carries its relay besides its end.
    """
    if isinstance(address, IPv4Address):
        return (address,)
    bits = int(address)
    plain, last = IPv6Address(bits), IPv4Address(bits & _V4_MASK)  # plain: without a zone
    if plain in _LOOPBACK_OR_UNSPECIFIED:
        return (plain,)
    if any(plain in network for network in _V4_IN_LAST_BITS):
        return (last,)
    if plain.sixtofour is not None:
        return (plain.sixtofour,)
    if plain.teredo is not None:
        return plain.teredo
    if plain in _LOCAL_NAT64:
        return _behind_local_nat64(bits)
    if bits >> 32 & _ISATAP_MASK == _ISATAP:
        return (plain, last)
    return (plain,)


def _behind_local_nat64(bits: int) -> tuple[IPAddress, ...]:
    """Return where a NAT64 in the range for local use leads, by each prefix length of RFC 6052.

    Which length the network uses cannot be told. A reading in 0.0.0.0/8 is none: no host is there.
    """
    readings = (
        (bits >> 64 & 0xFFFF) << 16 | bits >> 40 & 0xFFFF,  # /48
        (bits >> 64 & 0xFF) << 24 | bits >> 32 & 0xFFFFFF,  # /56
        bits >> 24 & _V4_MASK,  # /64
        bits & _V4_MASK,  # /96
    )
    found = [IPv4Address(reading) for reading in readings]
    return tuple(end for end in found if end not in _NO_HOST) or (found[-1],)


def literal_addresses(host: str) -> tuple[IPAddress, ...]:
    """Return the addresses that ``host`` is whatever a name server says; none for other names.

    As the C library reads them: ``127.1``, ``0x7f.1``, ``2130706433`` and ``localhost`` as well.
    """
    name = host.rstrip(".").lower()
    if _LOOPBACK_NAME.fullmatch(name):
        return _LOOPBACK
    try:
        return (ip_address(name),)
    except ValueError:
        pass
    try:
        return (IPv4Address(socket.inet_aton(name)),)
    except OSError:
        return ()


def is_here(address: IPAddress) -> bool:
    """Tell whether ``address`` is one of this machine's, by what the kernel would do with it."""
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))  # picks a route and our end of it, sends nothing
            return bool(probe.getsockname()[0] == str(address))
    except OSError:  # no route, or no IPv6
        return False
