"""The state at one moment, taken bit by bit while it changes, so that nobody waits for it.

When a snapshot begins, only the outermost containers are copied. From then on each record is taken
in its turn, or just before an event changes it, whichever comes first: what is taken is the state
as it was when the snapshot began, exactly: with the order of what is ordered, and with everything
that is kept twice, also where the two contradict each other.

Nothing is encoded here: a snapshot holds values that never change, most of them the very objects
of the state. Records themselves appear in it only to say which one is meant.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import attrgetter
from typing import Any, TypeAlias, get_args, get_origin, get_type_hints

import msgspec

from supernode.core.events import (
    ClientEvent,
    Event,
    PreheatEvent,
    TaskEvent,
    TaskFailed,
    TaskRemoved,
)
from supernode.core.model import Download, Lease, Peer, Preheat, Task
from supernode.core.state import State
from supernode.core.swarm import Swarm
from supernode.recording.masks import MaskedSpec, masked

Value: TypeAlias = Any
"""Anything that a state holds. What is no container and no record never changes."""

CONTAINERS: dict[str, Any] = {kind.__name__: kind for kind in (dict, OrderedDict, set, list)}


class Frozen(msgspec.Struct, frozen=True, gc=False):
    """A container as it was.

    Args:
        kind: its type.
        keys: a dictionary's.
        values: what is in it.
    """

    kind: str
    keys: list[Value]
    values: list[Value]


class Row(msgspec.Struct, frozen=True, gc=False):
    """A record as it was.

    Args:
        record: which one; it lives on with the row, so that its ``id`` is nobody else's.
        values: of its fields that are no containers.
        containers: the others, frozen; a record that is part of another one counts as such.
    """

    record: Value
    values: tuple[Value, ...]
    containers: tuple[Value, ...]


class Snapshot:
    """The state from now on, if ``proceed`` is called until all of it is taken.

    Args:
        state: what to take; no other snapshot of it may be under way.
    """

    def __init__(self, state: State) -> None:
        self.values = {name: _frozen(value) for name, value in vars(state).items()}
        """The state's own attributes."""
        self.rows: dict[int, Row] = {}
        """By the ``id`` of the record."""
        self.is_complete = False
        self._state = state
        self._apply = state.apply
        self._next = self._untaken()
        self._found: list[Iterable[Value]] = [
            value.values
            for value in self.values.values()
            if isinstance(value, Frozen) and type(next(iter(value.values), None)) in PLANS
        ]
        state.apply = self._take_and_apply  # type: ignore[method-assign]  # until complete

    def proceed(self, records: int | None = None) -> None:
        """Take so many more records, or all that are left."""
        before = len(self.rows)
        for record in islice(self._next, records):
            self._take(record)
        if not self.is_complete and (records is None or len(self.rows) - before < records):
            self.is_complete = True
            del self._state.apply  # its class's again

    def _untaken(self) -> Iterator[Value]:
        while self._found:
            for record in self._found.pop():
                if id(record) not in self.rows:
                    yield record

    def _take(self, record: Value) -> None:
        plan = PLANS[type(record)]
        row = self.rows[id(record)] = plan.row(record)
        for place in plan.leads:
            value = row.containers[place]
            if type(value) is not Frozen:
                self._found.append((value,))
            elif value.values:
                self._found.append(value.values)

    def _take_and_apply(self, event: Event) -> None:
        for record in _touched(self._state, event):
            if id(record) not in self.rows:
                self._take(record)
        self._apply(event)


def _touched(state: State, event: Event) -> Iterator[Value]:
    """Yield every record that an event may change, and some others."""
    peers = {getattr(event, "peer", None), getattr(event, "source", None)}
    if isinstance(event, PreheatEvent):
        yield from _known(state.preheats, event.preheat)
    if isinstance(event, (TaskEvent, PreheatEvent)) and (task := state.tasks.get(event.task)):
        yield task
        yield task.swarm
        downloads: list[Download] = []
        if isinstance(event, ClientEvent):
            downloads = _known(task.downloads, event.client)
            yield from _known(state.leases, getattr(event, "lease", None))
        elif isinstance(event, (TaskFailed, TaskRemoved)):
            downloads = list(task.downloads.values())
        yield from downloads
        peers.update(download.peer for download in downloads)
    for identity in peers:
        for peer in _known(state.peers, identity):
            yield peer
            for task_id, client in peer.downloads:
                yield state.tasks[task_id].swarm
                yield state.tasks[task_id].downloads[client]


def _known(records: dict[Any, Any], key: object) -> list[Any]:
    return [records[key]] if key in records else []


class Plan:
    """How the records of one class are taken: what changes in place and may be shared.

    Args:
        hints: the types of its fields.
        spec: returns a record's spec without its secrets, if it has one.
    """

    def __init__(
        self, hints: dict[str, Any], spec: Callable[[Any], MaskedSpec] | None = None
    ) -> None:
        kinds = {name: get_origin(hint) or hint for name, hint in hints.items() if name != "spec"}
        containers = [name for name, kind in kinds.items() if _changes(kind)]
        values = [name for name in kinds if name not in containers]
        self.names = tuple(values)
        """Of the fields that are no containers."""
        self.container_names = (*containers, *(["spec"] if spec else []))
        """Of the others."""
        self.leads = [
            place
            for place, name in enumerate(containers)
            if _RECORDS & {hints[name], *get_args(hints[name])}
        ]
        """Which of them are records, or have such in them."""
        self._values: Callable[[object], tuple[Value, ...]] = attrgetter(*values)
        self._containers: Callable[[object], tuple[Value, ...]] | None = None
        if containers:
            self._containers = attrgetter(*containers)
        self._spec = spec

    def row(self, record: object) -> Row:
        """Return a record as it is now."""
        containers = tuple(map(_frozen, self._containers(record))) if self._containers else ()
        if self._spec:
            containers = (*containers, self._spec(record))
        return Row(record, self._values(record), containers)


def _changes(kind: Any) -> bool:  # noqa: ANN401 - a type
    return kind in CONTAINERS.values() or kind in _RECORDS


_EMPTY = {kind: Frozen(name, [], []) for name, kind in CONTAINERS.items()}


def _frozen(value: Value) -> Value:
    """Return a value that cannot change."""
    empty = _EMPTY.get(type(value))
    if empty is None:
        return value
    if not value:
        return empty
    if isinstance(value, dict):
        return Frozen(empty.kind, list(value), list(value.values()))
    return Frozen(empty.kind, [], list(value))


def _hints_of_swarm() -> dict[str, Any]:
    swarm = Swarm()
    return {name: type(getattr(swarm, name)) for name in Swarm.__slots__}


_RECORDS: set[Any] = {Peer, Task, Swarm, Download, Lease, Preheat}
PLANS: dict[type, Plan] = {
    Peer: Plan(get_type_hints(Peer)),
    Task: Plan(get_type_hints(Task), lambda task: masked(task.spec, task.id)),
    Swarm: Plan(_hints_of_swarm()),
    Download: Plan(get_type_hints(Download)),
    Lease: Plan(get_type_hints(Lease)),
    Preheat: Plan(get_type_hints(Preheat), lambda preheat: masked(preheat.spec, preheat.task)),
}
