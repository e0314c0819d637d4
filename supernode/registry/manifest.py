"""What a manifest says: of which blobs an image consists, or which manifests an index has. Pure.

Docker's and OCI's, with or without ``mediaType``, Docker's first schema, and whatever else names
its content in the same way: Helm charts, models, build caches.
"""

import base64
import hashlib
import re
from typing import Annotated, NamedTuple

import msgspec

from supernode.registry.platforms import Platform
from supernode.registry.reference import BadReference, checked_digest

SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+json"
SIGNED_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.artifact.manifest.v1+json",
)
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
ACCEPTED = (*_INDEXES, *_MANIFESTS, SIGNED_SCHEMA_1, SCHEMA_1)
"""Every kind that is known, the usual ones first: to be asked for."""

_SCHEMA_1_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_FOREIGN = re.compile(
    r"application/vnd\.docker\.image\.rootfs\.foreign\.|"
    r"application/vnd\.oci\.image\.layer\.nondistributable\."
)
_SHOWN = 64

_Short = Annotated[str, msgspec.Meta(max_length=64, pattern=r"\A[ -~]*\Z")]
_Word = Annotated[str, msgspec.Meta(max_length=255, pattern=r"\A[ -~]*\Z")]
_Url = Annotated[str, msgspec.Meta(max_length=2048)]
_Bytes = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]
"""What is kept of a manifest, which may be of anybody, is bounded; sums of sizes fit anywhere."""


class BadManifest(ValueError):
    """Bytes that are no manifest, or one that cannot be followed. The message is for people."""


class Descriptor(NamedTuple):
    """What a manifest says of something else.

    Args:
        digest: of its bytes.
        media_type: what it is; "" if not told.
        size: in bytes; None if not told.
        urls: where else it is.
        platform: for which machines; None if not told.
    """

    digest: str
    media_type: str
    size: int | None
    urls: tuple[str, ...] = ()
    platform: Platform | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether registries do not give it away: their maker does."""
        return _FOREIGN.match(self.media_type) is not None


class Manifest(NamedTuple):
    """A manifest that was read.

    Args:
        digest: of its bytes; of what is signed, where the signature is among them.
        media_type: what it is.
        manifests: what else is to be read, in the order of the index; none unless it is one.
        blobs: what is to be fetched: the config, then the layers.
        platform: for which machines, if it says so itself, as only schema 1 does.
    """

    digest: str
    media_type: str
    manifests: tuple[Descriptor, ...]
    blobs: tuple[Descriptor, ...]
    platform: Platform | None


def read(content: bytes, content_type: str = "") -> Manifest:
    """Return what a manifest says.

    Args:
        content: as received.
        content_type: what the registry says that it is.

    Raises:
        BadManifest: it is none, or none that can be followed.
    """
    said = _said(content)
    announced = content_type.partition(";")[0].strip().lower()
    media_type = said.media_type or announced
    _check_kind(said, announced)
    if said.fs_layers is not None:
        return _schema_1(said, content, media_type or SCHEMA_1)
    blobs = [*([said.config] if said.config else []), *(said.layers or []), *(said.blobs or [])]
    entries = said.manifests or []
    manifests = [each for each in entries if each.is_manifest]
    blobs += [each for each in entries if not each.is_manifest]  # of a build cache
    if not manifests and not blobs:
        kind = f" of the type {media_type[:_SHOWN]!r}" if media_type else ""
        raise BadManifest(f"this manifest{kind} names nothing that could be fetched")
    return Manifest(
        digest_of(content),
        media_type or (_INDEXES if said.manifests else _MANIFESTS)[0],
        tuple(map(_descriptor, manifests)),
        tuple(map(_descriptor, blobs)),
        None,
    )


def digest_of(content: bytes) -> str:
    """Return the digest by which registries know the bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class _PlatformSaid(msgspec.Struct):
    os: _Short = ""
    architecture: _Short = ""
    variant: _Short | None = None


class _DescriptorSaid(msgspec.Struct, rename="camel"):
    digest: str
    media_type: _Word | None = None
    size: _Bytes | None = None
    urls: list[_Url] | None = None
    platform: _PlatformSaid | None = None

    @property
    def is_manifest(self) -> bool:
        """Whether it is to be read as the index was; else it is a blob."""
        return not self.media_type or self.media_type in ACCEPTED


class _LayerSaid(msgspec.Struct, rename="camel"):
    blob_sum: str


class _SignatureSaid(msgspec.Struct):
    protected: str = ""


class _Said(msgspec.Struct, rename="camel"):
    media_type: _Word | None = None
    manifests: list[_DescriptorSaid] | None = None
    config: _DescriptorSaid | None = None
    layers: list[_DescriptorSaid] | None = None
    blobs: list[_DescriptorSaid] | None = None
    # Schema 1:
    fs_layers: list[_LayerSaid] | None = None
    architecture: _Short | None = None
    signatures: list[_SignatureSaid] | None = None


class _Protected(msgspec.Struct, rename="camel"):
    format_length: Annotated[int, msgspec.Meta(ge=0)]
    format_tail: str


def _said(content: bytes) -> _Said:
    try:
        return msgspec.json.decode(content, type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadManifest(f"it is not a manifest in JSON: {error}") from None


def _check_kind(said: _Said, announced: str) -> None:
    """Raise BadManifest if readers may differ about what it is (CVE-2021-41190)."""
    is_image = said.config is not None or said.layers is not None or said.blobs is not None
    is_index, is_schema_1 = said.manifests is not None, said.fs_layers is not None
    if is_image + is_index + is_schema_1 > 1:
        raise BadManifest("it is an index and a manifest, or two kinds of manifest, at once")
    for media_type in (said.media_type, announced):
        if is_index and media_type in (*_MANIFESTS, SCHEMA_1, SIGNED_SCHEMA_1):
            raise BadManifest(f"it is an index, but says that it is {media_type}")
        if (is_image or is_schema_1) and media_type in _INDEXES:
            raise BadManifest(f"it is a manifest, but says that it is an index, {media_type}")


def _descriptor(said: _DescriptorSaid) -> Descriptor:
    platform = None
    if said.platform is not None:
        platform = Platform(
            said.platform.os, said.platform.architecture, said.platform.variant or ""
        )
    return Descriptor(
        _checked(said.digest), said.media_type or "", said.size, tuple(said.urls or ()), platform
    )


def _schema_1(said: _Said, content: bytes, media_type: str) -> Manifest:
    if said.signatures:
        content = _signed(content, said.signatures[0].protected)
        said = _said(content)  # only that has the digest by which it may have been asked for
    blobs = tuple(
        Descriptor(_checked(layer.blob_sum), _SCHEMA_1_LAYER, None)
        for layer in said.fs_layers or ()
    )
    if not blobs:
        raise BadManifest("this manifest of schema 1 names no layers")
    platform = Platform("linux", said.architecture) if said.architecture else None
    return Manifest(digest_of(content), media_type, (), blobs, platform)


def _signed(content: bytes, protected: str) -> bytes:
    """Return what was signed: the beginning of the bytes, and their end before the signature."""
    try:
        said = msgspec.json.decode(_decoded(protected), type=_Protected)
        return content[: said.format_length] + _decoded(said.format_tail)
    except (ValueError, RecursionError):
        raise BadManifest("what its signature is for cannot be told") from None


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _checked(digest: str) -> str:
    try:
        return checked_digest(digest)
    except BadReference as error:
        raise BadManifest(str(error)) from None
