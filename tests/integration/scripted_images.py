"""What images consist of, as a test says: stands for the registry client."""

from collections.abc import Mapping

import trio

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError
from supernode.registry.image import Blob, Image, Skipped
from supernode.registry.platforms import ALL, Platforms
from supernode.registry.reference import Reference


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def image(reference: Reference, manifest: int, *layers: int, skipped: str = "") -> Image:
    """Return an image of these layers, each of five bytes."""
    return Image(
        digest=digest(manifest),
        manifests=(),
        blobs=tuple(
            Blob(reference.blob_url(digest(n)), digest(n), 5, "application/x-layer", "linux/amd64")
            for n in layers
        ),
        skipped=(Skipped(digest(999), "foreign", "http://elsewhere/", skipped),) if skipped else (),
    )


class ScriptedImages:
    """By the name of a manifest's tag or digest, what it is, or why that cannot be told."""

    def __init__(self) -> None:
        self.layers: dict[str, tuple[int, ...]] = {}
        self.errors: dict[str, list[OriginError]] = {}
        self.manifests: dict[str, int] = {}
        self.asked: list[tuple[str, dict[str, str], str]] = []
        self.may_answer = trio.Event()
        self.may_answer.set()

    async def image(
        self, reference: Reference, *, headers: Mapping[str, str], platforms: Platforms = ALL
    ) -> Image:
        what = reference.digest or reference.tag
        self.asked.append((reference.manifest_url, dict(headers), str(platforms)))
        await self.may_answer.wait()
        if errors := self.errors.get(what):
            raise errors.pop(0)
        if what not in self.layers:
            raise OriginError(Reason.ORIGIN_NOT_FOUND, f"404 from {reference.manifest_url}")
        return image(reference, self.manifests.get(what, 1), *self.layers[what])

    async def headers_for(self, blob_url: str, headers: Mapping[str, str]) -> dict[str, str]:
        return dict(headers)
