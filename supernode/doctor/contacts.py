"""Checks of those whom the supernode contacts: the proxy, and the registries it knows."""

import trio

from supernode.config import contacting
from supernode.config.settings import Config
from supernode.core.reasons import Reason
from supernode.doctor.finding import Finding, broken, fine
from supernode.origin.errors import OriginError
from supernode.origin.proxy import Proxy
from supernode.registry.reference import registry_url

_GREETINGS = (200, 401, 403)
"""What a registry may say to a stranger."""
_MOST = 64 << 10
_ADVICE = {
    Reason.ORIGIN_DNS: "mend its name in [registries], or this machine's name server",
    Reason.ORIGIN_REFUSED: "see that it runs, and that no firewall is between",
    Reason.ORIGIN_TIMEOUT: "see that it runs, that no firewall is between, or set [origin] proxy",
    Reason.ORIGIN_TLS: "name the authority that vouches for it in its ca, mend its certificate, or "
    "set plain_http if it has no TLS",
    Reason.URL_FORBIDDEN: "permit its address with [origin] allow",
    Reason.PROXY_REFUSED: "have the proxy let it through, or mend the user in [origin] proxy",
    Reason.SETTING_UNUSABLE: "mend that file",
}


async def proxy(config: Config) -> Finding:
    """See whether the proxy takes connections."""
    if config.origin.proxy is None:
        return fine("none is configured; proxies in the environment are ignored")
    place = Proxy.parse(config.origin.proxy)
    try:
        with trio.fail_after(config.origin.connect_timeout):
            stream = await trio.open_tcp_stream(place.host, place.port)
            await stream.aclose()
    except (OSError, trio.TooSlowError) as error:
        why = "it does not answer" if isinstance(error, trio.TooSlowError) else _cause(error)
        return broken(f"{place}: {why}", "mend [origin] proxy, or see that the proxy runs")
    return fine(f"{place} takes connections")


async def registry(config: Config, name: str) -> Finding:
    """See whether a registry can be reached and proves who it is, as when an image is fetched."""
    known = config.registries[name]
    url = registry_url(name, plain_http=known.plain_http) + "/v2/"
    client = contacting.origin_client(config, contacting.policy(config, []))
    try:
        async with client:
            said = await client.document(url, {}, most=_MOST, also=_GREETINGS)
    except OriginError as error:
        advice = _ADVICE.get(error.reason, "see whether it is a registry, and well")
        return broken(str(error), advice)
    trusted = "" if not known.insecure else ", and whoever it is: insecure is set"
    return fine(f"{said.place} answers {said.status}{trusted}")


def _cause(error: OSError) -> str:
    """Return what the system said; Trio's own error sums up attempts."""
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    known = cause if isinstance(cause, OSError) else error
    return known.strerror or str(known)
