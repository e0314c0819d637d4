"""The PEM files of ``--cacerts``: authorities that vouch for an origin besides the usual."""

import re
import ssl
from collections.abc import Iterable
from pathlib import Path

MOST_BYTES = 64 << 10
MOST_CERTIFICATES = 64
"""A supernode takes so many for one file."""
_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", re.ASCII
)


def read_authorities(files: Iterable[Path]) -> tuple[str, ...]:
    """Return the certificates in files, each once, as PEM texts that a supernode takes.

    Nothing else leaves a file: neither comments nor a private key that lies beside its certificate.

    Raises:
        ValueError: a file cannot be read or holds no certificate, or all hold too many.
    """
    found = dict.fromkeys(each for file in files for each in _certificates(file))
    if len(found) > MOST_CERTIFICATES or sum(map(len, found)) > MOST_BYTES:
        raise ValueError(f"more than {MOST_CERTIFICATES} certificates or {MOST_BYTES >> 10} KiB")
    return tuple(found)


def _certificates(file: Path) -> list[str]:
    try:
        text = file.read_text("latin-1")  # comments may be in any encoding
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from error
    found = _CERTIFICATE.findall(text)
    if not found:
        raise ValueError(f"{file} holds no certificate in PEM")
    try:
        ders = [ssl.PEM_cert_to_DER_cert(each) for each in found]
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=b"".join(ders))
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"{file} holds a certificate that cannot be read") from error
    return [ssl.DER_cert_to_PEM_cert(der) for der in ders]  # one spelling: tasks are compared by it
