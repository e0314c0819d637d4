"""The part of the state that is about preheats: jobs, the files of each, who waits for which task.

Changed by ``apply`` alone, like all of the state.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from supernode.core.events import (
    BatchRegistered,
    BatchRemoved,
    Event,
    PartFailed,
    PartFinished,
    PartReleased,
    PartStarted,
    PreheatFailed,
    PreheatFinished,
    PreheatRegistered,
    PreheatRemoved,
    PreheatResolved,
    PreheatStarted,
)
from supernode.core.identity import PartId, PreheatId, TaskId, part_id
from supernode.core.model import (
    Blob,
    Part,
    PartStatus,
    Preheat,
    PreheatKind,
    PreheatStatus,
    TaskSpec,
)


class PreheatState:
    """Preheats, their files and batches."""

    def __init__(self) -> None:
        self.preheats: dict[PreheatId, Preheat] = {}
        self.preheats_open: OrderedDict[PreheatId, None] = OrderedDict()
        """Those that have not ended, in the order they were asked for."""
        self.preheats_ended: OrderedDict[PreheatId, None] = OrderedDict()
        """The others, in the order in which they did."""
        self.joinable: dict[str, PreheatId] = {}
        """By what is wanted, the preheat that whoever wants the same may join."""
        self.parts: dict[PartId, Part] = {}
        """The files of all preheats."""
        self.parts_to_begin: OrderedDict[PreheatId, dict[PartId, None]] = OrderedDict()
        """Of each preheat those files whose turn may have come."""
        self.parts_awaiting: dict[TaskId, dict[PartId, None]] = {}
        """Those that wait for a task's end."""
        self.parts_held: dict[TaskId, dict[PartId, None]] = {}
        """By their own task, those whose file must not go before their preheat has ended."""
        self.batches: OrderedDict[PreheatId, tuple[PreheatId, ...]] = OrderedDict()
        """What was asked for at once, the oldest first."""

    def spec_of(self, part: Part) -> TaskSpec:
        """Return what is to be fetched for a part."""
        return self.preheats[part.preheat].spec_of(part)

    def is_awaited(self, task: TaskId) -> bool:
        """Tell whether a preheat needs a task."""
        return task in self.parts_held or task in self.parts_awaiting

    def may_begin(self, limit: int) -> Iterator[Part]:
        """Yield the files whose turn it is, if so many of a preheat may be on their way at once."""
        for preheat_id, parts in self.parts_to_begin.items():
            preheat = self.preheats[preheat_id]
            if preheat.status is not PreheatStatus.RUNNING:
                continue
            room = limit - (preheat.open_parts - len(parts))
            yield from (self.parts[part] for part, _ in zip(parts, range(room), strict=False))

    # what happens to preheats

    def _preheat_registered(self, event: PreheatRegistered) -> None:
        preheat = Preheat(
            id=event.preheat,
            task=event.task,
            spec=event.spec,
            created=event.at,
            kind=event.kind,
            platforms=event.platforms,
            manifest=event.manifest,
        )
        self.preheats[preheat.id] = preheat
        self.preheats_open[preheat.id] = None
        self.joinable[preheat.key] = preheat.id
        if preheat.kind is PreheatKind.FILE:
            self._add_parts(preheat, (None,))

    def _preheat_started(self, event: PreheatStarted) -> None:
        preheat = self.preheats[event.preheat]
        preheat.status = PreheatStatus.RUNNING
        self._disown_unless_joinable(preheat)

    def _preheat_resolved(self, event: PreheatResolved) -> None:
        preheat = self.preheats[event.preheat]
        self._disown(preheat)
        preheat.manifest = event.manifest
        self.joinable.setdefault(preheat.key, preheat.id)
        self._add_parts(preheat, event.blobs)

    def _add_parts(self, preheat: Preheat, blobs: tuple[Blob | None, ...]) -> None:
        preheat.is_resolved = True
        for number, blob in enumerate(blobs):
            part = Part(
                id=part_id(preheat.id, number),
                preheat=preheat.id,
                task=preheat.task,
                blob=blob,
                length=blob.size if blob else None,
            )
            if blob is not None:
                part.task = preheat.spec_of(part).identity
                part.status = PartStatus.SKIPPED if blob.skipped else PartStatus.WAITING
                part.detail = blob.skipped
            self.add_part(preheat, part)

    def add_part(self, preheat: Preheat, part: Part) -> None:
        """Let a file be one of a preheat's."""
        preheat.parts[part.id] = self.parts[part.id] = part
        if preheat.finished is not None:
            return
        preheat.open_parts += not part.status.has_ended
        self._note(part)
        if part.status not in (PartStatus.FAILED, PartStatus.SKIPPED):
            self.parts_held.setdefault(part.task, {})[part.id] = None

    def _preheat_finished(self, event: PreheatFinished) -> None:
        self._end_preheat(event.preheat, PreheatStatus.SUCCESS, event.at)

    def _preheat_failed(self, event: PreheatFailed) -> None:
        preheat = self._end_preheat(event.preheat, PreheatStatus.FAILED, event.at)
        preheat.reason = event.reason
        preheat.detail = event.detail

    def _end_preheat(self, preheat_id: PreheatId, status: PreheatStatus, at: float) -> Preheat:
        preheat = self.preheats[preheat_id]
        preheat.status = status
        preheat.finished = at
        preheat.spec = preheat.spec.without_means()
        for part in preheat.parts.values():
            self._let_go(part)
        del self.preheats_open[preheat_id]
        self.preheats_ended[preheat_id] = None
        self._disown_unless_joinable(preheat)
        return preheat

    def _preheat_removed(self, event: PreheatRemoved) -> None:
        preheat = self.preheats.pop(event.preheat)
        self.preheats_open.pop(event.preheat, None)
        self.preheats_ended.pop(event.preheat, None)
        self._disown(preheat)
        for part in preheat.parts.values():
            self._forget(part)
            self._let_go(part)
            del self.parts[part.id]

    def _disown_unless_joinable(self, preheat: Preheat) -> None:
        if not preheat.may_be_joined:
            self._disown(preheat)

    def _disown(self, preheat: Preheat) -> None:
        if self.joinable.get(preheat.key) == preheat.id:
            del self.joinable[preheat.key]

    # what happens to their files

    def _part_started(self, event: PartStarted) -> None:
        part = self.parts[event.part]
        self._forget(part)
        part.status = PartStatus.RUNNING
        part.awaits = event.awaits
        part.came_from = event.came_from
        self._note(part)

    def _part_released(self, event: PartReleased) -> None:
        part = self.parts[event.part]
        self._forget(part)
        self.preheats[part.preheat].open_parts += part.status.has_ended
        part.status = PartStatus.RUNNING
        part.awaits = part.came_from = None
        self._note(part)

    def _part_finished(self, event: PartFinished) -> None:
        part = self._end_part(event.part, PartStatus.SUCCESS)
        part.came_from = event.came_from
        part.length = event.length

    def _part_failed(self, event: PartFailed) -> None:
        part = self._end_part(event.part, PartStatus.FAILED)
        part.came_from = None
        part.reason = event.reason
        part.detail = event.detail
        self._let_go(part)

    def _end_part(self, part_id: PartId, status: PartStatus) -> Part:
        part = self.parts[part_id]
        self._forget(part)
        self.preheats[part.preheat].open_parts -= not part.status.has_ended
        part.status = status
        part.awaits = None
        return part

    def _note(self, part: Part) -> None:
        """Let a part be found by what is to be done about it."""
        if part.awaits is not None:
            self.parts_awaiting.setdefault(part.awaits, {})[part.id] = None
        elif part.may_begin:
            self.parts_to_begin.setdefault(part.preheat, {})[part.id] = None

    def _forget(self, part: Part) -> None:
        """Let it be found by that no longer."""
        if part.awaits is not None:
            _discard(self.parts_awaiting, part.awaits, part.id)
        elif part.may_begin:
            _discard(self.parts_to_begin, part.preheat, part.id)

    def _let_go(self, part: Part) -> None:
        _discard(self.parts_held, part.task, part.id)

    # batches

    def _batch_registered(self, event: BatchRegistered) -> None:
        self.batches[event.batch] = event.preheats

    def _batch_removed(self, event: BatchRemoved) -> None:
        del self.batches[event.batch]


def _discard(index: dict[Any, dict[PartId, None]], key: object, part: PartId) -> None:
    entry = index.get(key)
    if entry is None:
        return
    entry.pop(part, None)
    if not entry:
        del index[key]


RULES: dict[type[Event], Callable[[Any, Any], None]] = {
    PreheatRegistered: PreheatState._preheat_registered,
    PreheatStarted: PreheatState._preheat_started,
    PreheatResolved: PreheatState._preheat_resolved,
    PreheatFinished: PreheatState._preheat_finished,
    PreheatFailed: PreheatState._preheat_failed,
    PreheatRemoved: PreheatState._preheat_removed,
    PartStarted: PreheatState._part_started,
    PartReleased: PreheatState._part_released,
    PartFinished: PreheatState._part_finished,
    PartFailed: PreheatState._part_failed,
    BatchRegistered: PreheatState._batch_registered,
    BatchRemoved: PreheatState._batch_removed,
}
