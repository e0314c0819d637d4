"""What is configured for registries, as those who contact them take it."""

from collections.abc import Iterator, Mapping
from ipaddress import ip_network

from supernode.config.errors import Unusable
from supernode.config.settings import Registry
from supernode.origin.address import literal_addresses
from supernode.origin.errors import OriginError
from supernode.origin.policy import Rule
from supernode.origin.sites import Site, read
from supernode.origin.trust import USUAL, context_for
from supernode.origin.url import checked_url, host_of, port_of, service_of
from supernode.registry.accounts import KnownRegistry
from supernode.registry.reference import registry_url

Tables = Mapping[str, Registry]


def known_registries(registries: Tables) -> dict[str, KnownRegistry]:
    """Return who we are to each."""
    return {
        name: KnownRegistry(
            username=each.username or "",
            password=each.password,
            password_file=each.password_file,
            identity_token=each.identity_token,
            identity_token_file=each.identity_token_file,
            plain_http=each.plain_http,
        )
        for name, each in registries.items()
    }


def sites(registries: Tables) -> dict[str, Site]:
    """Return how each proves itself, and we to it, by host and port."""
    return {
        _service(name, each): Site(
            insecure=each.insecure,
            ca=each.ca,
            client_cert=each.client_cert,
            client_key=each.client_key,
        )
        for name, each in registries.items()
        if not each.plain_http
    }


def allowed(registries: Tables) -> Iterator[Rule]:
    """Yield what permits to contact those that are called by their address, loopback too."""
    for name, each in registries.items():
        url = checked_url(registry_url(name, plain_http=each.plain_http))
        for address in literal_addresses(host_of(url)):
            yield Rule(ip_network(address), port_of(url))


def check(registries: Tables) -> None:
    """Raise Unusable if what is configured does not go together, or a file is not what it is for.

    Blocks: it reads the files.
    """
    services: dict[str, str] = {}
    for name, each in registries.items():
        at = f"registries.{name}"
        _check_together(at, each)
        _check_files(at, each)
        other = services.setdefault(_service(name, each), name)
        if other != name:
            first = next(key for key in Registry.__struct_fields__ if getattr(each, key))
            raise Unusable(f"{name} is the same registry as {other}", f"{at}.{first}")


def _service(name: str, registry: Registry) -> str:
    return service_of(checked_url(registry_url(name, plain_http=registry.plain_http)))


def _check_together(at: str, registry: Registry) -> None:
    for one, other in (
        ("password", "password_file"),
        ("identity_token", "identity_token_file"),
        ("username", "identity_token"),
        ("username", "identity_token_file"),
        *((key, "plain_http") for key in ("ca", "insecure", "client_cert")),
    ):
        if getattr(registry, one) and getattr(registry, other):
            raise Unusable(f"{one} and {other} exclude each other", f"{at}.{other}")
    password = next(
        (key for key in ("password", "password_file") if getattr(registry, key) is not None), ""
    )
    if registry.username and not password:
        raise Unusable("username needs password or password_file", f"{at}.username")
    if password and not registry.username:
        raise Unusable(f"{password} needs username", f"{at}.{password}")
    for one, other in (("client_cert", "client_key"), ("client_key", "client_cert")):
        if getattr(registry, one) and not getattr(registry, other):
            raise Unusable("client_cert and client_key need each other", f"{at}.{one}")


def _check_files(at: str, registry: Registry) -> None:
    cert, key = registry.client_cert, registry.client_key
    for setting, site in (
        ("ca", Site(ca=registry.ca)),
        ("client_key", Site(client_cert=cert, client_key=key)),
    ):
        try:
            context_for(USUAL, site)
        except OriginError as error:
            raise Unusable(error.detail, f"{at}.{setting}") from None
    for setting in ("password_file", "identity_token_file"):
        try:
            read(getattr(registry, setting)) if getattr(registry, setting) else None
        except OriginError as error:
            raise Unusable(error.detail, f"{at}.{setting}") from None
