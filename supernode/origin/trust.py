"""Whom to trust to be the origin: the usual authorities, a task's own besides them, or anyone.

And those of a ``Site`` besides, where the operator has said something of that one origin.
"""

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import httpx2
import trio

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError
from supernode.origin.sites import Site, Stamp, read, stamps, unusable

MAX_CONTEXTS = 16
"""How many kinds of trust are remembered; one is made anew in some 20 ms."""

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
NO_SITE = Site()


_Key = tuple[Trust, Site, tuple[Stamp, ...]]


class TlsContexts:
    """Gives each kind of trust its TLS context, and keeps those used last.

    Args:
        usual: what the usual trust is; the system's authorities unless given.
    """

    def __init__(self, usual: ssl.SSLContext | None = None) -> None:
        self.usual = _heeding_the_end(usual or httpx2.create_ssl_context())
        self._contexts: dict[_Key, ssl.SSLContext] = {}  # the last one was used last

    async def of(self, trust: Trust, site: Site = NO_SITE) -> ssl.SSLContext:
        """Return the context.

        Args:
            trust: whose certificates count, wherever it leads.
            site: what is known of this one origin; its files are looked at each time.

        Raises:
            OriginError: URL_INVALID: a root certificate is not one; SETTING_UNUSABLE: a file is
                not what it should be.
        """
        if trust == USUAL and site == NO_SITE:
            return self.usual
        found: tuple[Stamp, ...] = ()
        if site.files:
            found = await trio.to_thread.run_sync(stamps, site.files)
        key = trust, site, found
        context = self._contexts.pop(key, None)
        if context is None:
            # It reads the system's files.
            context = await trio.to_thread.run_sync(context_for, trust, site)
        self._contexts[key] = context
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


def context_for(trust: Trust, site: Site) -> ssl.SSLContext:
    """Return the context of a task's trust and a site's. Blocks: for a thread. Raises as ``of``."""
    verify = not (trust.insecure or site.insecure)
    context = _heeding_the_end(httpx2.create_ssl_context(verify=verify))
    if verify:
        for number, text in enumerate(trust.root_cas):
            try:
                _add(context, text)
            except ValueError as error:
                problem = f"root certificate {number}: {error}"
                raise OriginError(Reason.URL_INVALID, problem) from None
    if verify and site.ca is not None:
        try:
            _add(context, read(site.ca))
        except ValueError as error:
            raise unusable(site.ca, str(error)) from None
    if site.client_cert is not None and site.client_key is not None:
        _introduce(context, site.client_cert, site.client_key)
    return context


def _add(context: ssl.SSLContext, text: str) -> None:
    context.load_verify_locations(cadata="\n".join(root_certificates(text)))


def _introduce(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    """Have us prove who we are. Raises OriginError."""
    try:
        # Unless a password is given, if only an empty one, the terminal is asked for it.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise unusable(key, f"it is not the key of {cert}") from None
        problem = f"with {cert} it makes no certificate and key, in PEM and without a password"
        raise unusable(key, problem) from None
    except OSError as error:
        raise unusable(cert, f"it or {key}: {error.strerror}") from None
