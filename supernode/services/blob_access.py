"""By which headers the registry gives away the blobs that are preheated.

They are obtained when a fetch begins, however long it has waited for its turn: tokens lapse.
"""

from collections.abc import Mapping
from typing import Protocol

import trio

from supernode.core.identity import TaskId
from supernode.core.model import PreheatKind, TaskSpec
from supernode.core.reasons import Reason
from supernode.core.tracker import Tracker
from supernode.origin.errors import OriginError

LONGEST_SECONDS = 60.0


class Keys(Protocol):
    """Proves to registries who we are: :class:`supernode.registry.client.Registries`."""

    async def headers_for(self, blob_url: str, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers by which the registry gives the blob away. Raises OriginError."""
        ...


class BlobAccess:
    """Says what a fetch sends along.

    Args:
        tracker: knows which preheats wait for it.
        keys: proves who we are.
    """

    def __init__(self, tracker: Tracker, keys: Keys) -> None:
        self._tracker = tracker
        self._keys = keys

    async def headers_for(self, task: TaskId, spec: TaskSpec) -> dict[str, str]:
        """Return what the origin is sent, at this moment.

        Of several preheats of one blob, one whose credentials are good enough will do. Whoever
        asks for a blob without a preheat has to have credentials of their own.

        Raises:
            OriginError: the registry cannot be asked, or nobody's credentials are good enough.
        """
        own = spec.headers.reveal()
        refusal: OriginError | None = None
        for preheat in self._tracker.preheats_fetching(task):
            if preheat.kind is not PreheatKind.IMAGE:
                continue
            try:
                with trio.fail_after(LONGEST_SECONDS):
                    return await self._keys.headers_for(spec.raw_url, preheat.spec.headers.reveal())
            except trio.TooSlowError:
                problem = f"the registry did not let us in within {LONGEST_SECONDS:g} s"
                refusal = OriginError(Reason.ORIGIN_TIMEOUT, problem, may_pass=True)
            except OriginError as error:
                refusal = error
        if refusal is not None and not own:
            raise refusal
        return own
