"""Resolving: asks a registry of which files an image consists, and tells the tracker."""

import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

import structlog
import trio

from supernode.core.commands import FailPreheat, ResolvePreheat
from supernode.core.errors import Full, NotFound, PreheatEnded, TaskConflict
from supernode.core.model import Blob, Preheat
from supernode.core.reasons import Reason
from supernode.dispatch import Dispatcher
from supernode.origin.errors import OriginError
from supernode.registry import reference
from supernode.registry.image import Image
from supernode.registry.platforms import Platforms
from supernode.registry.reference import BadReference, Reference
from supernode.services.retries import RetryPolicy

LONGEST_SECONDS = 300.0
"""How long all that is asked about one image may take."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Images(Protocol):
    """Knows what images consist of: :class:`supernode.registry.client.Registries`."""

    async def image(
        self, reference: Reference, *, headers: Mapping[str, str], platforms: Platforms
    ) -> Image:
        """Return what the image consists of. Raises OriginError."""
        ...


class Resolving:
    """Finds out of which files images consist; what goes wrong ends the preheat with its reason.

    Args:
        dispatch: the door to the tracker.
        images: whom to ask.
        retries: how often a registry is asked again.
        longest: seconds for one image, pauses included.
    """

    def __init__(
        self,
        dispatch: Dispatcher,
        images: Images,
        *,
        retries: RetryPolicy | None = None,
        longest: float = LONGEST_SECONDS,
    ) -> None:
        self._dispatch = dispatch
        self._images = images
        self._retries = retries or RetryPolicy()
        self._longest = longest
        self._chance = random.Random()  # noqa: S311 - it spreads load, it guards nothing

    async def resolve(self, preheat: Preheat) -> None:
        """Let it be known of which files the image consists, or why that cannot be told."""
        try:
            with trio.fail_after(self._longest):
                image = await self._patiently(preheat)
        except trio.TooSlowError:
            problem = f"the registry did not say within {self._longest:g} s what the image is"
            self._fail(preheat, Reason.ORIGIN_TIMEOUT, problem)
        except OriginError as error:
            self._fail(preheat, error.reason, error.detail)
        except (BadReference, ValueError) as error:
            self._fail(preheat, Reason.URL_INVALID, str(error))
        except Exception as defect:
            log.exception("an image could not be resolved", preheat=preheat.id)
            self._fail(preheat, Reason.INTERNAL, type(defect).__name__)
        else:
            self._tell(preheat, image)

    async def _patiently(self, preheat: Preheat) -> Image:
        image = reference.parse(preheat.spec.raw_url)
        if preheat.manifest:
            image = image.pinned(preheat.manifest)
        platforms = Platforms.parse(",".join(preheat.platforms))
        headers = preheat.spec.headers.reveal()
        failures = 0
        while True:
            try:
                return await self._images.image(image, headers=headers, platforms=platforms)
            except OriginError as error:
                failures += 1
                pause = self._retries.pause(error, failures, self._chance)
                if pause is None:
                    raise
                log.info(
                    "a registry is asked again",
                    preheat=preheat.id,
                    reason=error.reason.code,
                    detail=error.detail,
                    pause_seconds=round(pause, 1),
                )
            await trio.sleep(pause)

    def _tell(self, preheat: Preheat, image: Image) -> None:
        try:
            self._dispatch(
                ResolvePreheat(preheat=preheat.id, manifest=image.digest, blobs=blobs_of(image))
            )
        except Full as error:
            self._fail(preheat, Reason.IMAGE_TOO_LARGE, str(error))
        except (NotFound, PreheatEnded, TaskConflict):
            pass  # it was removed meanwhile

    def _fail(self, preheat: Preheat, reason: Reason, detail: str) -> None:
        with suppress(NotFound, PreheatEnded, TaskConflict):
            self._dispatch(FailPreheat(preheat=preheat.id, reason=reason, detail=detail))


def blobs_of(image: Image) -> tuple[Blob, ...]:
    """Return an image's files as the core knows them; those that are skipped come last."""
    fetched = [
        Blob(
            url=blob.url,
            digest=blob.digest,
            size=blob.size,
            media_type=blob.media_type,
            platforms=(blob.platform,) if blob.platform else (),
        )
        for blob in image.blobs
    ]
    skipped = [
        Blob(url=each.url, digest=each.digest, media_type=each.media_type, skipped=each.why)
        for each in image.skipped
    ]
    return (*fetched, *skipped)
