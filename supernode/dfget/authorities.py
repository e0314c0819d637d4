"""The PEM files of ``--cacerts``: authorities that vouch for an origin besides the usual."""

import re
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path

TEXT_BYTES = 48 << 10
MOST_TEXTS = 16
"""A supernode takes so many; of this size, they fit into a registration of 1 MiB."""
_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", re.ASCII
)


def read_authorities(files: Iterable[Path]) -> tuple[str, ...]:
    """Return the certificates in files as PEM texts that a supernode takes.

    Nothing else leaves a file: neither comments nor a private key that lies beside its certificate.

    Raises:
        ValueError: a file cannot be read or holds no certificate, or all hold too many.
    """
    texts = dict.fromkeys(text for file in files for text in _portions(_certificates(file)))
    if len(texts) > MOST_TEXTS:
        raise ValueError(f"more certificates than {MOST_TEXTS} files of {TEXT_BYTES >> 10} KiB")
    return tuple(texts)


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


def _portions(certificates: list[str]) -> Iterator[str]:
    """Join certificates, such as those of a whole system, to texts of bounded size."""
    portion = ""
    for each in certificates:
        if portion and len(portion) + len(each) > TEXT_BYTES:
            yield portion
            portion = ""
        portion += each
    yield portion
