"""Surveying: asks origins what a preheat would fetch, for dry runs. Nothing is fetched or kept."""

from collections import deque
from dataclasses import dataclass, field

import structlog
import trio

from supernode.core.commands import CreatePreheat
from supernode.core.errors import Full
from supernode.core.identity import TaskId
from supernode.core.model import Blob, PreheatKind
from supernode.core.reasons import Reason
from supernode.dispatch import Dispatcher
from supernode.feed import TO_SURVEY
from supernode.origin.errors import OriginError
from supernode.origin.http import OriginClient
from supernode.registry import reference
from supernode.registry.platforms import Platforms
from supernode.registry.reference import BadReference
from supernode.services.resolving import Images, blobs_of

MOST_SURVEYS = 32
"""That wait for their turn or are under way."""
AT_ONCE = 8
LONGEST_SECONDS = 20.0
LOOK_AGAIN_SECONDS = 60.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Survey:
    """A question to an origin, and its answer once it is over.

    Attributes:
        wish: what would be preheated.
        topic: of the feed: there is news when it is over.
        manifest: an image's digest.
        blobs: an image's files, or the one file.
        reason: why there are none.
        detail: the same in detail.
    """

    wish: CreatePreheat
    topic: TaskId
    is_over: bool = False
    manifest: str = ""
    blobs: tuple[Blob, ...] = field(default=())
    reason: Reason | None = None
    detail: str = ""


class Surveying:
    """The service.

    Args:
        dispatch: whose feed tells of what is over.
        origin: who is asked about files.
        images: who is asked about images.
    """

    def __init__(self, dispatch: Dispatcher, origin: OriginClient, images: Images) -> None:
        self._feed = dispatch.feed
        self._origin = origin
        self._images = images
        self._waiting: deque[Survey] = deque()
        self._open = 0
        self._asked = 0

    def begin(self, wish: CreatePreheat) -> Survey:
        """Return a survey that is going to be carried out. Raises Full."""
        if self._open >= MOST_SURVEYS:
            raise Full("dry runs")
        self._open += 1
        self._asked += 1
        survey = Survey(wish, TaskId(f"survey {self._asked}"))
        self._waiting.append(survey)
        self._feed.wake(TO_SURVEY)
        return survey

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry surveys out until cancelled."""
        self._open = len(self._waiting)
        limiter = trio.CapacityLimiter(AT_ONCE)
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                while self._waiting:
                    nursery.start_soon(self._carry_out, self._waiting.popleft(), limiter)
                await self._feed.wait(TO_SURVEY, trio.current_time() + LOOK_AGAIN_SECONDS)

    async def _carry_out(self, survey: Survey, limiter: trio.CapacityLimiter) -> None:
        try:
            async with limiter:
                with trio.fail_after(LONGEST_SECONDS):
                    await self._ask(survey)
        except trio.TooSlowError:
            survey.reason = Reason.ORIGIN_TIMEOUT
            survey.detail = f"it did not say within {LONGEST_SECONDS:g} s"
        except OriginError as error:
            survey.reason, survey.detail = error.reason, error.detail
        except (BadReference, ValueError) as error:
            survey.reason, survey.detail = Reason.URL_INVALID, str(error)
        except Exception as defect:
            log.exception("a dry run failed")
            survey.reason, survey.detail = Reason.INTERNAL, type(defect).__name__
        finally:
            self._open -= 1
            survey.is_over = True
            self._feed.wake(survey.topic)

    async def _ask(self, survey: Survey) -> None:
        spec = survey.wish.spec
        headers = spec.headers.reveal()
        if survey.wish.kind is PreheatKind.FILE:
            async with self._origin.open(spec.raw_url, headers) as body:
                survey.blobs = (Blob(url=spec.task_url, digest="", size=body.length),)
            return
        image = reference.parse(spec.raw_url)
        if survey.wish.manifest:
            image = image.pinned(survey.wish.manifest)
        platforms = Platforms.parse(",".join(survey.wish.platforms))
        found = await self._images.image(image, headers=headers, platforms=platforms)
        survey.manifest, survey.blobs = found.digest, blobs_of(found)
