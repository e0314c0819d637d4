"""What images consist of, as a test says: stands for the registry client."""

from collections.abc import Mapping
from typing import NamedTuple

import trio

from supernode.core.reasons import Reason
from supernode.origin.errors import OriginError
from supernode.registry.image import Blob, Image, Skipped
from supernode.registry.platforms import ALL, Platforms
from supernode.registry.reference import Reference


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def image(reference: Reference, manifest: str, *layers: str, skipped: str = "") -> Image:
    """Return an image of these layers, each of five bytes; if ``skipped`` for that, one more."""
    return Image(
        digest=manifest,
        manifests=(),
        blobs=tuple(
            Blob(reference.blob_url(each), each, 5, "application/x-layer", "linux/amd64")
            for each in layers
        ),
        skipped=(Skipped(digest(999), "foreign", "http://elsewhere/", skipped),) if skipped else (),
    )


class Asked(NamedTuple):
    """What was asked of a registry."""

    url: str
    headers: dict[str, str]
    platforms: str


class ScriptedImages:
    """Says of what an image consists by the tag or digest it is asked for by.

    Attributes:
        layers: the digests.
        manifests: the image's own digest, unless it is number 1.
        skipped: why the image has one more layer, which is not fetched.
        errors: what is raised instead, one time each.
        asked: everything, in order.
        may_answer: until then nobody is answered.
        headers: what opens the blobs; None: the request's.
    """

    def __init__(self) -> None:
        self.layers: dict[str, tuple[str, ...]] = {}
        self.manifests: dict[str, str] = {}
        self.skipped = ""
        self.errors: dict[str, list[OriginError]] = {}
        self.asked: list[Asked] = []
        self.may_answer = trio.Event()
        self.may_answer.set()
        self.headers: dict[str, str] | None = None

    async def image(
        self, reference: Reference, *, headers: Mapping[str, str], platforms: Platforms = ALL
    ) -> Image:
        what = reference.digest or reference.tag
        self.asked.append(Asked(reference.manifest_url, dict(headers), str(platforms)))
        await self.may_answer.wait()
        if errors := self.errors.get(what):
            raise errors.pop(0)
        if what not in self.layers:
            raise OriginError(Reason.ORIGIN_NOT_FOUND, f"404 from {reference.manifest_url}")
        manifest = self.manifests.get(what, digest(1))
        return image(reference, manifest, *self.layers[what], skipped=self.skipped)

    async def headers_for(self, blob_url: str, headers: Mapping[str, str]) -> dict[str, str]:
        return dict(headers) if self.headers is None else self.headers
