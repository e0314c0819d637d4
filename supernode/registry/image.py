"""What an image consists of, as far as its manifests say. Pure."""

from typing import NamedTuple


class Part(NamedTuple):
    """A manifest that was read on the way.

    Args:
        digest: of its bytes.
        media_type: what it is.
        platform: for which machines, such as ``linux/arm/v7``; "" if nobody said.
        size: in bytes.
    """

    digest: str
    media_type: str
    platform: str
    size: int


class Blob(NamedTuple):
    """A file to fetch.

    Args:
        url: where it is; what dfget behind dfdaemon asks for.
        digest: ``sha256:`` and 64 hexadecimal digits.
        size: in bytes; None: its manifest does not say (schema 1).
        media_type: what it is.
        platform: of the first manifest that has it; "" if nobody said.
    """

    url: str
    digest: str
    size: int | None
    media_type: str
    platform: str


class Skipped(NamedTuple):
    """What belongs to the image but is not the registry's to give.

    Args:
        digest: of its bytes.
        media_type: what it is.
        url: where it is said to be; "" if nowhere.
        why: for people.
    """

    digest: str
    media_type: str
    url: str
    why: str


class Image(NamedTuple):
    """An image, for one platform or several.

    Args:
        digest: of the manifest, or index, that the reference led to.
        manifests: that one first, then those in it.
        blobs: each digest once.
        skipped: each digest once.
    """

    digest: str
    manifests: tuple[Part, ...]
    blobs: tuple[Blob, ...]
    skipped: tuple[Skipped, ...]
