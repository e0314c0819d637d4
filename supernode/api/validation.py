"""What a field's text must look like. Each check raises BadField naming the field."""

import ipaddress
import re
import ssl
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from supernode.core.errors import BadField
from supernode.origin.trust import root_certificates

_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_NOT_IN_HOST_NAMES = re.compile(r"[^A-Za-z0-9.-]")
_VISIBLE = re.compile(r"[!-~]+")
_UPLOAD_PATH = re.compile(r"/[!-~]*")
_MD5 = re.compile(r"[0-9A-Fa-f]{32}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f]")
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
_MOST_HEADER_BYTES = 16 << 10
_MOST_CERTIFICATE_BYTES = 64 << 10


def required(field: str, value: str) -> str:
    """Return a text that must be there."""
    if not value.strip():
        raise BadField(field, "is required")
    return value


def plain(field: str, value: str) -> str:
    """Return a text of any script, on one line."""
    if _CONTROL.search(value):
        raise BadField(field, "must not hold control characters")
    return value


def ip_address(field: str, value: str) -> str:
    """Return the address of one machine in its usual spelling; one that is mapped, as IPv4."""
    try:
        if "%" in required(field, value):  # a zone means nothing on another machine
            raise ValueError
        address = ipaddress.ip_address(value)
        address = getattr(address, "ipv4_mapped", None) or address
    except ValueError:
        raise BadField(field, f"{value[:64]!r} is not an IP address") from None
    if address.is_unspecified or address.is_multicast or address == _BROADCAST:
        raise BadField(field, f"{address} is not the address of one machine")
    return str(address)


def host_name(field: str, value: str) -> str:
    """Return a host name as RFC 1123 allows it."""
    if not _HOST_NAME.fullmatch(required(field, value)):
        raise BadField(field, f"{value[:64]!r} is not a host name")
    return value


def as_host_name(value: str) -> str:
    """Return a host name that resembles what a machine calls itself, which may be any text."""
    resembling = _NOT_IN_HOST_NAMES.sub("-", value[:253]).strip("-.")
    return resembling if _HOST_NAME.fullmatch(resembling) else "unnamed"


def name(field: str, value: str) -> str:
    """Return a name that can stand in a URL: visible ASCII, at most 512 characters."""
    if not _VISIBLE.fullmatch(required(field, value)) or len(value) > 512:
        raise BadField(field, "must be visible ASCII, at most 512 characters")
    return value


def upload_path(field: str, value: str) -> str:
    """Return the path of a URL under which a peer serves a file."""
    if not _UPLOAD_PATH.fullmatch(required(field, value)) or len(value) > 2048:
        raise BadField(field, "must start with / and be visible ASCII, at most 2048 characters")
    return value


def url(field: str, value: str) -> str:
    """Return an http or https URL with a host."""
    if not _VISIBLE.fullmatch(required(field, value)):
        raise BadField(field, "must be visible ASCII; encode other characters as %XX")
    try:
        parts = urlsplit(value)
        well_formed = parts.scheme.lower() in ("http", "https") and parts.hostname
        _ = parts.port
    except ValueError:
        well_formed = None
    if not well_formed:
        raise BadField(field, f"{value[:64]!r} is not an http or https URL")
    return value


def md5(field: str, value: str) -> str:
    """Return an MD5 in hexadecimal digits, or nothing."""
    if value and not _MD5.fullmatch(value):
        raise BadField(field, f"{value[:64]!r} is not an MD5 in hexadecimal digits")
    return value


def headers(field: str, value: Mapping[str, str]) -> Mapping[str, str]:
    """Return request headers that can be sent to an origin."""
    if sum(len(key) + len(text) for key, text in value.items()) > _MOST_HEADER_BYTES:
        raise BadField(field, f"are more than {_MOST_HEADER_BYTES >> 10} KiB")
    for key, text in value.items():
        if not _HEADER_NAME.fullmatch(key) or not _HEADER_VALUE.fullmatch(text):
            raise BadField(f"{field}.{key[:64]}", "is not a header")
    return value


def certificates(field: str, value: Sequence[str]) -> tuple[str, ...]:
    """Return the certificates in texts in PEM, each once and in one spelling, and nothing else."""
    if sum(map(len, value)) > _MOST_CERTIFICATE_BYTES:
        raise BadField(field, f"are more than {_MOST_CERTIFICATE_BYTES >> 10} KiB")
    found: dict[str, None] = {}
    for number, text in enumerate(value):
        try:
            ders = map(ssl.PEM_cert_to_DER_cert, root_certificates(text))
            found |= dict.fromkeys(map(ssl.DER_cert_to_PEM_cert, ders))
        except ValueError:
            raise BadField(f"{field}[{number}]", "holds no certificate in PEM") from None
    return tuple(found)
