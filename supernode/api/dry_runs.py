"""Dry runs: what a preheat would fetch, without fetching it."""

from collections.abc import Callable
from typing import Protocol

from supernode.api.answers import as_json
from supernode.api.models import DryRun, DryRunBlob, PreheatCreateResponse
from supernode.api.urls import shown_task_url
from supernode.core.commands import CreatePreheat
from supernode.core.identity import ClientId, TaskId
from supernode.core.model import Blob, PreheatKind, Source, TaskSpec
from supernode.core.reasons import Reason
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Wait

LONGEST_SECONDS = 20.0
"""Less than clients wait."""
_NOBODY = ClientId("")


class Survey(Protocol):
    """A question to an origin: what is there? The answer comes by and by.

    Attributes:
        topic: of the feed; there is news on it when the answer has come.
        is_over: whether it has.
        manifest: an image's digest.
        blobs: an image's files, or the one file.
        reason: why there are none.
        detail: the same in detail.
    """

    topic: TaskId
    is_over: bool
    manifest: str
    blobs: tuple[Blob, ...]
    reason: Reason | None
    detail: str


class DryRuns:
    """Asks origins, and weighs their answers against what is there.

    Args:
        dispatch: the door to the tracker.
        survey: begins to ask the origin; raises Full.
    """

    def __init__(self, dispatch: Dispatcher, survey: Callable[[CreatePreheat], Survey]) -> None:
        self._dispatch = dispatch
        self._survey = survey

    def begin(self, wish: CreatePreheat) -> Answer | Wait:
        """Return what would be fetched, as soon as that is known. Raises Full."""
        survey = self._survey(wish)
        until = self._dispatch.clock.now() + LONGEST_SECONDS

        def again(time_is_over: bool) -> Answer | Wait:
            if not survey.is_over and not time_is_over:
                return Wait(survey.topic, _NOBODY, until, again)
            return as_json(200, PreheatCreateResponse(dry_run=self._found(wish, survey)))

        return again(False)

    def _found(self, wish: CreatePreheat, survey: Survey) -> DryRun:
        if not survey.is_over:
            return DryRun(
                can_authenticate=False,
                reason=Reason.ORIGIN_TIMEOUT.code,
                detail=f"it was not known within {LONGEST_SECONDS:g} s",
            )
        if survey.reason is not None:
            return DryRun(can_authenticate=False, reason=survey.reason.code, detail=survey.detail)
        found = DryRun(can_authenticate=True, digest=survey.manifest)
        for blob in survey.blobs:
            shown = self._blob(wish, blob)
            found.blobs.append(shown)
            if not blob.skipped:
                found.bytes_total += blob.size or 0
                if shown.came_from is Source.ORIGIN:
                    found.bytes_to_fetch += blob.size or 0
                else:
                    found.bytes_cached += blob.size or 0
        return found

    def _blob(self, wish: CreatePreheat, blob: Blob) -> DryRunBlob:
        spec = wish.spec
        if wish.kind is PreheatKind.IMAGE:
            spec = TaskSpec(raw_url=blob.url, task_url=blob.url)
        task = spec.identity
        came_from = None
        if not blob.skipped:
            sha256 = blob.digest.removeprefix("sha256:")
            came_from = self._dispatch.tracker.expected_source(task, sha256)
        return DryRunBlob(
            url=shown_task_url(spec),
            task_id=task,
            digest=blob.digest,
            size=blob.size,
            media_type=blob.media_type,
            platforms=list(blob.platforms),
            came_from=came_from,
            skipped=blob.skipped,
        )
