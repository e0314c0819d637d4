"""Preheating: carries out the jobs that have files fetched before anybody asks for them.

Level-triggered: what the tracker knows says which image is to be resolved and which file is to be
begun; an event only wakes. The fetch itself is the CDN's, as for any other task: a client that asks
for a file meanwhile joins it. The tracker lets a job end with its last file.
"""

from contextlib import suppress
from typing import Protocol

import trio

from supernode.core.commands import BeginPart, StartPreheat
from supernode.core.errors import Full, NotFound, PreheatEnded
from supernode.core.identity import PartId, PreheatId, TaskId
from supernode.core.model import Preheat, PreheatKind, PreheatStatus
from supernode.dispatch import Dispatcher
from supernode.feed import TO_PREHEAT

LOOK_AGAIN_SECONDS = 60.0
RESOLVED_AT_ONCE = 8
COPIED_AT_ONCE = 4


class Resolver(Protocol):
    """Finds out of which files an image consists."""

    async def resolve(self, preheat: Preheat) -> None:
        """Let it be known of which files the image consists, or why that cannot be told."""
        ...


class Copier(Protocol):
    """Lets one complete file be another task's, too."""

    async def copy(self, part: PartId, source: TaskId) -> bool:
        """Let the file of ``source`` be the part's; tell whether it is."""
        ...


class Preheating:
    """The service. Reads from the tracker what is to be done.

    Args:
        dispatch: the door to the tracker.
        resolver: asks registries.
        copier: takes over what is there under another URL.
    """

    def __init__(self, dispatch: Dispatcher, resolver: Resolver, copier: Copier) -> None:
        self._dispatch = dispatch
        self._resolver = resolver
        self._copier = copier
        self._resolving: set[PreheatId] = set()
        self._copying: set[PartId] = set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry preheats on until cancelled."""
        self._resolving.clear()
        self._copying.clear()
        copies = trio.CapacityLimiter(COPIED_AT_ONCE)
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                self._start(nursery)
                if self._begin_parts(nursery, copies):
                    await trio.lowlevel.checkpoint()  # some may have ended; it is others' turn
                    continue
                again = trio.current_time() + LOOK_AGAIN_SECONDS
                await self._dispatch.feed.wait(TO_PREHEAT, again)

    def _start(self, nursery: trio.Nursery) -> None:
        """Start what waits; find out what the images consist of, a few at a time."""
        for preheat in self._dispatch.tracker.unfinished_preheats():
            to_resolve = preheat.kind is PreheatKind.IMAGE and not preheat.is_resolved
            if to_resolve and (
                preheat.id in self._resolving or len(self._resolving) >= RESOLVED_AT_ONCE
            ):
                continue
            if preheat.status is PreheatStatus.WAITING:
                with suppress(Full):  # it may be started later
                    self._dispatch(StartPreheat(preheat=preheat.id))
            if to_resolve:
                self._resolving.add(preheat.id)
                nursery.start_soon(self._resolve, preheat, name=f"resolve {preheat.id}")

    async def _resolve(self, preheat: Preheat) -> None:
        try:
            await self._resolver.resolve(preheat)
        finally:
            self._resolving.discard(preheat.id)
            self._dispatch.feed.wake(TO_PREHEAT)

    def _begin_parts(self, nursery: trio.Nursery, copies: trio.CapacityLimiter) -> bool:
        """Begin the files whose turn it is; tell whether there were any."""
        parts = [p.id for p in self._dispatch.tracker.parts_to_begin() if p.id not in self._copying]
        for part in parts:
            try:
                source = self._dispatch(BeginPart(part=part))
            except Full:
                return False  # it may be begun later
            except (NotFound, PreheatEnded):
                continue  # it ended with its preheat a moment ago
            if source is not None:
                self._copying.add(part)
                nursery.start_soon(self._copy, part, source, copies, name=f"copy {part}")
        return bool(parts)

    async def _copy(self, part: PartId, source: TaskId, copies: trio.CapacityLimiter) -> None:
        """Take a file over, or have it fetched like any other."""
        try:
            async with copies:
                copied = await self._copier.copy(part, source)
            if not copied:
                with suppress(Full, NotFound, PreheatEnded):
                    self._dispatch(BeginPart(part=part, may_copy=False))
        finally:
            self._copying.discard(part)
            self._dispatch.feed.wake(TO_PREHEAT)
