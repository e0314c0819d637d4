"""What is configured about those who are contacted, as what contacts them takes it."""

from collections.abc import Collection
from ipaddress import ip_address

from supernode.config import registries
from supernode.config.settings import Config
from supernode.origin.http import OriginClient
from supernode.origin.policy import OriginPolicy


def policy(config: Config, own: Collection[tuple[str, int]]) -> OriginPolicy:
    """Return who may be contacted.

    Args:
        config: all of it.
        own: addresses and ports where this supernode itself is.
    """
    return OriginPolicy(
        allow=[*config.origin.allow, *registries.allowed(config.registries)],
        deny=config.origin.deny,
        ports=config.origin.ports,
        own=[(ip_address(ip), port) for ip, port in own],
    )


def origin_client(config: Config, policy: OriginPolicy) -> OriginClient:
    """Return a client that contacts whom the policy permits."""
    settings = config.origin
    return OriginClient(
        policy,
        connect_timeout=settings.connect_timeout,
        head_timeout=settings.head_timeout,
        stall_timeout=settings.stall_timeout,
        max_connections=settings.max_connections,
        max_connections_per_origin=settings.max_connections_per_origin,
        rate=settings.rate,
        rate_per_origin=settings.rate_per_origin,
        floor=settings.slowest_rate,
        proxy=settings.proxy,
        sites=registries.sites(config.registries),
    )
