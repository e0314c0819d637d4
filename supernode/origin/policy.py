"""Who may be contacted: the one place that judges schemes, ports and addresses.

It contacts nobody. The dialler has every address judged right before it connects to that very
address, so neither a redirect nor a name that resolves differently the next time leads past it.

In this order:

1. A ``deny`` rule forbids.
2. An ``allow`` rule that names the port permits.
3. Our own listeners are forbidden: to fetch from ourselves is never of use.
4. A port that is not among ``ports`` is forbidden, if there are any.
5. An ``allow`` rule without a port permits.
6. What only this machine or this link can reach is forbidden, as are the metadata services of
   clouds. The rest is permitted: private networks too, for that is where registries usually are.
"""

from collections.abc import Callable, Collection, Sequence
from ipaddress import ip_network
from typing import NamedTuple

from supernode.origin import address as addresses
from supernode.origin.address import IPAddress, IPNetwork, literal_addresses, targets
from supernode.origin.url import checked_url, host_of, port_of

_FORBIDDEN = {
    kind: tuple(ip_network(network) for network in networks)
    for kind, networks in {
        "loopback": ("127.0.0.0/8", "::1/128"),
        "unspecified": ("0.0.0.0/8", "::/128"),
        "link-local": ("169.254.0.0/16", "fe80::/10"),  # where most metadata services are
        "multicast": ("224.0.0.0/4", "ff00::/8"),
        "broadcast": ("255.255.255.255/32",),
        "a cloud's metadata service": (
            "fd00:ec2::/32",  # Amazon, whose time and name servers are there as well
            "fd20:ce::254/128",  # Google
            "168.63.129.16/32",  # Azure
            "100.100.100.200/32",  # Alibaba
            "192.0.0.192/32",  # Oracle
            "fd00:c1::a9fe:a9fe/128",
            "fd00:42::42/128",  # Scaleway
        ),
    }.items()
}


class Rule(NamedTuple):
    """Some addresses, on one port or on any.

    Args:
        network: the addresses.
        port: None: any.
    """

    network: IPNetwork
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Return the rule as it is configured.

        Such as ``10.0.0.0/8``, ``127.0.0.1:5000``, ``fd00::/8`` and ``[::1]:5000``.

        Raises:
            ValueError: saying what was expected.
        """
        network, port = text, ""
        if text.startswith("["):
            network, _, port = text[1:].partition("]:")
        elif text.count(":") == 1:
            network, _, port = text.partition(":")
        bare = network == text
        try:
            if not bare and not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
                raise ValueError
            return cls(ip_network(network, strict=False), None if bare else int(port))
        except ValueError:
            expected = "a network such as 10.0.0.0/8, 127.0.0.1:5000 or [::1]:5000"
            raise ValueError(f"expected {expected}, got {text!r}") from None

    def covers(self, address: IPAddress, port: int) -> bool:
        """Tell whether the rule is about this address and port."""
        return self.port in (None, port) and address in self.network


class OriginPolicy:
    """Decides which addresses and ports origins may have.

    Args:
        allow: what is permitted although a built-in rule forbids it.
        deny: what is forbidden; beats ``allow``.
        ports: the only ones that origins may have; none: any.
        own: where we listen, and where we say that we do; an unspecified address is every
            address of this machine.
        is_here: tells whether an address is one of this machine's.
    """

    def __init__(
        self,
        allow: Sequence[Rule | IPNetwork] = (),
        deny: Sequence[Rule | IPNetwork] = (),
        *,
        ports: Collection[int] = (),
        own: Collection[tuple[IPAddress, int]] = (),
        is_here: Callable[[IPAddress], bool] = addresses.is_here,
    ) -> None:
        self._allow = tuple(map(_rule, allow))
        self._deny = tuple(map(_rule, deny))
        self._ports = frozenset(ports)
        self._own = tuple(own)
        self._is_here = is_here

    def permits(self, address: IPAddress, port: int) -> bool:
        """Tell whether ``port`` of ``address`` may be contacted."""
        return self.objection(address, port) is None

    def objection(self, address: IPAddress, port: int) -> str | None:
        """Return why ``port`` of ``address`` may not be contacted; None if it may.

        An IPv6 address that carries an IPv4 address is judged by the latter, or a tunnel would
        lead around the policy; ``deny`` heeds both.
        """
        ends = targets(address)
        if any(rule.covers(each, port) for rule in self._deny for each in (address, *ends)):
            return f"{address} port {port} is denied"
        if all(self._allows_port(end, port) for end in ends):
            return None
        if any(self._is_own(end, port) for end in ends):
            return f"{address} port {port} is this supernode itself"
        if self._ports and port not in self._ports:
            return f"port {port} is none that origins may have"
        for end in ends:
            if (kind := _kind(end)) is not None and not self._allows_any_port(end):
                return f"{address} is {kind}"
        return None

    def forbids_url(self, url: str) -> str | None:
        """Return why ``url`` cannot be fetched, as far as this is known without contacting anyone.

        Scheme, port, an address in any spelling, names of loopback. What another name resolves to
        is judged when it is fetched. The answer quotes neither user, password, path nor query.
        """
        try:
            target = checked_url(url)
        except ValueError as error:
            return str(error)
        port = port_of(target)
        if literals := literal_addresses(host_of(target)):
            objections = [self.objection(address, port) for address in literals]
            return None if None in objections else objections[0]
        named = any(rule.port == port for rule in self._allow)
        if self._ports and port not in self._ports and not named:
            return f"port {port} is none that origins may have"
        return None

    def _allows_port(self, end: IPAddress, port: int) -> bool:
        return any(rule.port is not None and rule.covers(end, port) for rule in self._allow)

    def _allows_any_port(self, end: IPAddress) -> bool:
        return any(rule.port is None and end in rule.network for rule in self._allow)

    def _is_own(self, end: IPAddress, port: int) -> bool:
        mine = [address for address, own_port in self._own if own_port == port]
        if end in mine or (mine and end.is_unspecified):
            return True
        return any(address.is_unspecified for address in mine) and self._is_here(end)


def _rule(entry: Rule | IPNetwork) -> Rule:
    return entry if isinstance(entry, Rule) else Rule(entry)


def _kind(address: IPAddress) -> str | None:
    for kind, networks in _FORBIDDEN.items():
        if any(address in network for network in networks):
            return kind
    return None
