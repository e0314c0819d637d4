"""An image as it becomes known, one manifest after another, and how large it may be. Pure."""

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError
from supernode.registry.image import Blob, Image, Part, Skipped
from supernode.registry.manifest import Descriptor, Manifest
from supernode.registry.reference import Reference

MOST_MANIFESTS = 256
"""An index of every platform there is has some 40."""
MOST_BLOBS = 4096
"""An image has at most 127 layers, on each platform."""

FOREIGN = "registries do not give this layer away, only its maker does"


class Gathering:
    """What is known of an image.

    Args:
        reference: which one.
    """

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._parts: dict[str, Part] = {}
        self._blobs: dict[str, Blob] = {}
        self._skipped: dict[str, Skipped] = {}

    def __contains__(self, digest: str) -> bool:
        """Tell whether the manifest has been read."""
        return digest in self._parts

    def add(self, manifest: Manifest, platform: str, size: int) -> None:
        """Take a manifest, and the blobs that it names, into account.

        Args:
            manifest: what was read.
            platform: what the index says that it is for; "" if nothing.
            size: of the manifest, in bytes.

        Raises:
            OriginError: IMAGE_TOO_LARGE.
        """
        platform = platform or str(manifest.platform or "")
        part = Part(manifest.digest, manifest.media_type, platform, size)
        self._parts.setdefault(manifest.digest, part)
        for blob in manifest.blobs:
            self._add_blob(blob, platform)
        if len(self._parts) > MOST_MANIFESTS:
            raise self._too_large(len(self._parts), "manifests", MOST_MANIFESTS)
        blobs = len(self._blobs) + len(self._skipped)
        if blobs > MOST_BLOBS:
            raise self._too_large(blobs, "blobs", MOST_BLOBS)

    def image(self) -> Image:
        """Return what has been gathered."""
        parts = tuple(self._parts.values())
        return Image(
            parts[0].digest, parts, tuple(self._blobs.values()), tuple(self._skipped.values())
        )

    def _add_blob(self, blob: Descriptor, platform: str) -> None:
        digest, media_type = blob.digest, blob.media_type
        if blob.is_foreign:
            url = next(iter(blob.urls), "")
            self._skipped.setdefault(digest, Skipped(digest, media_type, url, FOREIGN))
        else:
            url = self._reference.blob_url(digest)
            self._blobs.setdefault(digest, Blob(url, digest, blob.size, media_type, platform))

    def _too_large(self, count: int, what: str, most: int) -> OriginError:
        problem = f"{self._reference.manifest_url}: {count} {what}, at most {most} are taken"
        return OriginError(Reason.IMAGE_TOO_LARGE, problem)
