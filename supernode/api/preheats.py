"""``/preheats``: files and images that are fetched before anybody asks for them."""

from supernode.api import validation
from supernode.api.answers import as_json
from supernode.api.decoding import from_fields, from_json
from supernode.api.dry_runs import DryRuns
from supernode.api.models import (
    BatchedPreheat,
    PartQuery,
    PreheatCreateRequest,
    PreheatCreateResponse,
    PreheatQuery,
)
from supernode.api.paging import part
from supernode.api.preheat_infos import batch_info, info_of
from supernode.api.preheat_wishes import FILE, IMAGE, Wish, Wishes
from supernode.core.commands import CreateBatch, CreatePreheat, RemovePreheat
from supernode.core.errors import BadField
from supernode.core.identity import PreheatId
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Request, Wait


class Preheats:
    """The operations about preheats.

    Args:
        dispatch: the door to the tracker.
        wishes: checks what is asked for.
        dry_runs: tells what would be fetched.
    """

    def __init__(self, dispatch: Dispatcher, wishes: Wishes, dry_runs: DryRuns) -> None:
        self._dispatch = dispatch
        self._wishes = wishes
        self._dry_runs = dry_runs

    def create(self, request: Request) -> Answer | Wait:
        """``POST /preheats``: who asks for the same content again gets the same preheat.

        What only the origin can tell is found out by the preheat, and told as its end.
        """
        asked = from_json(request.body, PreheatCreateRequest)
        is_dry = from_fields(request.query, PreheatQuery).dry_run
        kind = validation.required("type", asked.type)
        if kind not in (FILE, IMAGE):
            raise BadField("type", f"{kind[:64]!r} is neither image nor file")
        if not asked.urls:
            wish = self._wish(asked, kind, asked.url, "url")
            if is_dry:
                return self._dry_runs.begin(wish)
            return as_json(200, PreheatCreateResponse(id=self._dispatch(wish)))
        if asked.url:
            raise BadField("urls", "cannot be given along with url")
        if is_dry:
            raise BadField("dryRun", "is for one url")
        wanted = tuple(
            self._wish(asked, kind, url, f"urls[{n}]") for n, url in enumerate(asked.urls)
        )
        return as_json(200, self._create_batch(asked.urls, wanted))

    def _wish(self, asked: PreheatCreateRequest, kind: str, url: str, field: str) -> CreatePreheat:
        wish = Wish(
            url=url,
            named=field,
            filter=asked.filter,
            identifier=asked.identifier,
            headers=asked.headers,
            call_system=asked.call_system,
            platform=asked.platform,
            digest=asked.digest,
        )
        return self._wishes.file(wish) if kind == FILE else self._wishes.image(wish)

    def _create_batch(
        self, urls: list[str], wanted: tuple[CreatePreheat, ...]
    ) -> PreheatCreateResponse:
        made = self._dispatch(CreateBatch(wishes=wanted))
        members = zip(urls, made.preheats, strict=True)
        return PreheatCreateResponse(
            id=made.batch, preheats=[BatchedPreheat(url=url, id=id_) for url, id_ in members]
        )

    def page(self, request: Request) -> Answer:
        """``GET /preheats``: those that were asked for last come first."""
        asked = from_fields(request.query, PartQuery)
        newest_first = list(self._dispatch.tracker.preheats())[::-1]
        return as_json(200, [info_of(preheat) for preheat in part(newest_first, asked)])

    def get(self, request: Request) -> Answer:
        """``GET /preheats/{id}``: also a batch, which is as far as the last of its preheats."""
        identity, tracker = _id(request), self._dispatch.tracker
        if members := tracker.batch(identity):
            return as_json(200, batch_info(identity, members))
        return as_json(200, info_of(tracker.preheat(identity), tracker.task))

    def delete(self, request: Request) -> Answer:
        """``DELETE /preheats/{id}``: what only it waits for is no longer fetched."""
        self._dispatch(RemovePreheat(preheat=_id(request)))
        return Answer(204)


def _id(request: Request) -> PreheatId:
    return PreheatId(request.path_fields["id"])
