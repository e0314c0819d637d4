"""How an image is named: by the URL of its manifest, or in short. Contacts nobody."""

import re
from collections.abc import Container
from dataclasses import dataclass, replace
from typing import NamedTuple

from supernode.origin.url import checked_url

LONGEST = 2048
LONGEST_NAME = 255
_USUAL_TAG = "latest"

_DOCKER_HUB = "docker.io"
_DOCKER_HUB_API = "index.docker.io"
"""Where dfdaemon looks for Docker Hub by default, so blobs of both ways are the same files."""

_NAME = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")  # one part of it
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ANY_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-zA-Z=_-]+")


class BadReference(ValueError):
    """A text that names no image. The message is for people; it quotes no password."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Which image of which registry.

    Args:
        base: the registry: what its URLs have before ``/v2/``, as it was written.
        name: of the repository.
        tag: "" if there is only a digest.
        digest: of the manifest; it beats the tag. "" if there is only a tag.
    """

    base: str
    name: str
    tag: str = ""
    digest: str = ""

    @property
    def manifest_url(self) -> str:
        """Where the manifest is."""
        return self.manifest_url_of(self.digest or self.tag)

    def manifest_url_of(self, what: str) -> str:
        """Return where another manifest of the repository is: by tag or digest."""
        return f"{self.base}/v2/{self.name}/manifests/{what}"

    def blob_url(self, digest: str) -> str:
        """Return where a blob of the repository is."""
        return f"{self.base}/v2/{self.name}/blobs/{digest}"

    def pinned(self, digest: str) -> "Reference":
        """Return the reference to the very manifest of this digest.

        Raises:
            BadReference: it is not a digest.
        """
        return replace(self, digest=checked_digest(digest))


class Repository(NamedTuple):
    """Where a blob is."""

    base: str
    name: str


def parse(text: str, plain_http: Container[str] = ()) -> Reference:
    """Return the image that ``text`` names.

    That is ``https://registry/v2/name/manifests/<tag or digest>``, or in short
    ``registry[:port]/name[:tag][@digest]``; in short, the tag is ``latest`` unless it is given, and
    ``docker.io`` is Docker Hub.

    Args:
        text: as it came.
        plain_http: registries, as in short and in lower case, that are spoken to without TLS.

    Raises:
        BadReference: it names no image.
    """
    if len(text) > LONGEST:
        raise BadReference(f"{len(text)} characters are too many")
    reference = _of_url(text) if "://" in text else _of_short(text, plain_http)
    try:
        url = checked_url(reference.base)
    except ValueError as error:
        raise BadReference(f"it does not name a registry: {error}") from None
    if url.userinfo:
        raise BadReference("user and password do not belong into the name of an image")
    return reference


def repository_of(blob_url: str) -> Repository | None:
    """Return the repository whose blob is at ``blob_url``; None: it is not the URL of a blob."""
    repository, digest = _taken_apart(blob_url, "/blobs/")
    try:
        checked_url(repository.base)
    except ValueError:
        return None
    return repository if digest else None


def registry_url(name: str, *, plain_http: bool) -> str:
    """Return what the URLs of a registry begin with.

    Args:
        name: as in the short name of an image.
        plain_http: whether it is spoken to without TLS.
    """
    host = _DOCKER_HUB_API if name.lower() == _DOCKER_HUB else name
    return f"{'http' if plain_http else 'https'}://{host}"


def checked_digest(text: str) -> str:
    """Return a digest that is one.

    Raises:
        BadReference: it is not.
    """
    if _DIGEST.fullmatch(text):
        return text
    if _ANY_DIGEST.fullmatch(text) and not text.startswith("sha256:"):
        algorithm = text.partition(":")[0][:32]
        raise BadReference(f"a digest by {algorithm} cannot be verified, only one by sha256")
    raise BadReference("expected a digest such as sha256: and 64 hexadecimal digits")


def _of_url(text: str) -> Reference:
    repository, what = _taken_apart(text, "/manifests/")
    if set("?#") & set(text) or not what:
        expected = "https://registry/v2/name/manifests/tag"
        raise BadReference(f"expected the URL of a manifest: {expected}")
    name = _checked_name(repository.name)
    if ":" in what:
        return Reference(repository.base, name, digest=checked_digest(what))
    return Reference(repository.base, name, tag=_checked_tag(what))


def _taken_apart(url: str, between: str) -> tuple[Repository, str]:
    """Return what ``url`` has before and after ``between``; nothing if it is not of that form."""
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    before, _, after = f"/{path}".partition("/v2/")
    name, _, what = after.rpartition(between)
    return Repository(f"{scheme}://{host}{before}", name), what if name else ""


def _of_short(text: str, plain_http: Container[str]) -> Reference:
    registry, slash, rest = text.partition("/")
    if not slash or not (set(".:[") & set(registry) or registry == "localhost"):
        raise BadReference("it names no registry: expected registry/name:tag")
    rest, at, digest = rest.partition("@")
    name, colon, tag = rest.partition(":")
    if not colon and not at:
        colon, tag = ":", _USUAL_TAG
    if registry.lower() == _DOCKER_HUB and "/" not in name:
        name = f"library/{name}"
    return Reference(
        base=registry_url(registry, plain_http=registry.lower() in plain_http),
        name=_checked_name(name),
        tag=_checked_tag(tag) if colon else "",
        digest=checked_digest(digest) if at else "",
    )


def _checked_name(name: str) -> str:
    if len(name) > LONGEST_NAME or not all(map(_NAME.fullmatch, name.split("/"))):
        raise BadReference(
            "the repository's name has to be of lower-case letters, digits and single separators"
        )
    return name


def _checked_tag(tag: str) -> str:
    if not _TAG.fullmatch(tag):
        raise BadReference("the tag has to be of up to 128 letters, digits, '_', '.' and '-'")
    return tag
