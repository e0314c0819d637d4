"""Whom to trust to be the origin: the usual authorities, a task's own besides them, or anyone."""

import re
import ssl
from dataclasses import dataclass

import httpx2
import trio

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError

MAX_CONTEXTS = 16
"""How many tasks' kinds of trust are remembered; one is read again in some 20 ms."""

_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Trust:
    """Which certificates are accepted for one fetch, its redirects included.

    Args:
        insecure: any; nothing is verified.
        root_cas: authorities to trust besides the system's; each a PEM text of one or more
            certificates.
    """

    insecure: bool = False
    root_cas: tuple[str, ...] = ()


USUAL = Trust()


class TlsContexts:
    """Gives each kind of trust its TLS context, and keeps those used last.

    Args:
        usual: what the usual trust is; the system's authorities unless given.
    """

    def __init__(self, usual: ssl.SSLContext | None = None) -> None:
        self.usual = _heeding_the_end(usual or httpx2.create_ssl_context())
        self._contexts: dict[Trust, ssl.SSLContext] = {}  # the last one was used last

    async def of(self, trust: Trust) -> ssl.SSLContext:
        """Return the context.

        Raises:
            OriginError: URL_INVALID: a root certificate is not one.
        """
        if trust == USUAL:
            return self.usual
        context = self._contexts.pop(trust, None)
        if context is None:
            # It reads the system's files.
            context = _heeding_the_end(await trio.to_thread.run_sync(_context, trust))
        self._contexts[trust] = context
        if len(self._contexts) > MAX_CONTEXTS:
            del self._contexts[next(iter(self._contexts))]
        return context


def root_certificates(text: str) -> list[str]:
    """Return the certificates in a PEM text, whatever else it says.

    Raises:
        ValueError: there is none, or one that cannot be read.
    """
    found = _CERTIFICATE.findall(text)
    if not found:
        raise ValueError("expected a PEM text with a certificate")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata="\n".join(found))
    except ssl.SSLError:
        raise ValueError("expected a PEM text, its certificate cannot be read") from None
    return found


def _heeding_the_end(context: ssl.SSLContext) -> ssl.SSLContext:
    """Have it tell an end that was agreed on from a connection that was cut; returns it.

    Python's own build takes both for the same, as long as nobody says otherwise.
    """
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


def _context(trust: Trust) -> ssl.SSLContext:
    if trust.insecure:
        return httpx2.create_ssl_context(verify=False)
    context = httpx2.create_ssl_context()
    for number, text in enumerate(trust.root_cas):
        try:
            context.load_verify_locations(cadata="\n".join(root_certificates(text)))
        except ValueError as error:
            raise OriginError(Reason.URL_INVALID, f"root certificate {number}: {error}") from None
    return context
