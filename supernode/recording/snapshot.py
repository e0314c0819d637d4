"""The state at one moment, taken bit by bit while it changes, so that nobody waits for it.

When a snapshot begins, only the outermost containers are copied. From then on each record is taken
in its turn, or just before an event changes it, whichever comes first: what is taken is the state
as it was when the snapshot began, exactly: with the order of what is ordered, and with everything
that is kept twice, also where the two contradict each other.

A record that has been taken is a few hundred bytes, without secrets and nothing that the garbage
collector has to look at. There, ``id`` stands for the records that it refers to.
"""

import marshal
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import attrgetter
from typing import Any, get_args

import msgspec

from supernode.core.events import (
    ClientEvent,
    Event,
    PeerExpired,
    PeerLeft,
    PreheatEvent,
    TaskEvent,
    TaskFailed,
    TaskRemoved,
)
from supernode.core.identity import PeerId
from supernode.core.model import Download, Lease, Part, Peer, Preheat, Task, TaskSpec
from supernode.core.state import State
from supernode.core.swarm import Swarm
from supernode.recording import plain
from supernode.recording.masks import masked


class Container(msgspec.Struct, frozen=True):
    """A container as it was.

    Args:
        keys: a dictionary's.
        values: what is in it.
    """

    keys: list[Any]
    values: list[Any]


class Snapshot:
    """The state from now on, if ``proceed`` is called until all of it is taken.

    Args:
        state: what to take; no other snapshot of it may be under way.
    """

    def __init__(self, state: State) -> None:
        own = {name: value for name, value in vars(state).items() if name != "before_change"}
        self.attributes = {name: _copied(value) for name, value in own.items()}
        """The state's own."""
        self.rows: dict[int, bytes] = {}
        """The records, by their ``id``; see :class:`Plan`. Some are of later ones."""
        self.is_complete = False
        self._state = state
        self._next = self._untaken()
        self._found: list[Iterable[object]] = [
            value.values
            for value in self.attributes.values()
            if isinstance(value, Container) and is_record(next(iter(value.values), None))
        ]
        """Whoever is to be taken lives at least so long, so that its ``id`` is nobody else's."""
        self._surrounded: set[PeerId] = set()
        """Peers whose swarms have all been taken."""
        state.before_change = self._take_before

    def proceed(self, records: int | None = None) -> None:
        """Take so many more records, or all that are left; 3 µs each."""
        taken = 0
        for record in islice(self._next, records):
            self._take(record)
            taken += 1
        if not self.is_complete and (records is None or taken < records):
            self.is_complete = True
            self._state.before_change = None

    def _untaken(self) -> Iterator[object]:
        while self._found:
            for record in self._found.pop():
                if id(record) not in self.rows:
                    yield record

    def _take(self, record: object) -> None:
        plan = PLANS[type(record)]
        self.rows[id(record)] = plan.row(record)
        if plan.references:
            self._found.extend(plan.records_in(record))

    def _take_before(self, event: Event) -> None:
        for record in self._touched(event):
            if id(record) not in self.rows:
                self._take(record)

    def _touched(self, event: Event) -> Iterator[object]:
        """Yield every record that an event may change, and some others."""
        state = self._state
        peers: set[Any] = {getattr(event, "peer", None), getattr(event, "source", None)}
        if isinstance(event, PreheatEvent):
            yield from _known(state.preheats, event.preheat)
            yield from _known(state.parts, getattr(event, "part", None))
        if isinstance(event, (TaskEvent, PreheatEvent)) and (task := state.tasks.get(event.task)):
            yield task
            yield task.swarm
            if isinstance(event, ClientEvent):
                yield from _known(state.leases, getattr(event, "lease", None))
                for download in _known(task.downloads, event.client):
                    yield download
                    peers.add(download.peer)
            elif isinstance(event, (TaskFailed, TaskRemoved)):
                yield from _all_of(task, state)
        for peer in peers & state.peers.keys():
            yield state.peers[peer]
            if isinstance(event, (PeerLeft, PeerExpired)):
                for task_id, client in state.peers[peer].downloads:
                    yield state.tasks[task_id].downloads[client]
            if peer not in self._surrounded:
                self._surrounded.add(peer)
                for task_id in {task_id for task_id, _ in state.peers[peer].downloads}:
                    yield state.tasks[task_id].swarm


def _all_of(task: Task, state: State) -> Iterator[object]:
    """Yield all downloads of a task, and their peers."""
    for download in task.downloads.values():
        yield download
        if download.peer is not None:
            yield state.peers[download.peer]


def _known(records: dict[Any, Any], key: object) -> list[Any]:
    return [records[key]] if key in records else []


def _copied(value: object) -> object:
    if isinstance(value, dict):
        values = list(value.values())
        if values and isinstance(values[0], (dict, list, set)):
            values = [each.copy() for each in values]
        return Container(list(value), values)
    return Container([], list(value)) if isinstance(value, (list, set)) else value


class Plan:
    """How the records of one class are taken: as a tuple of their fields, marshalled.

    Args:
        kind: the class.
        hints: the types of its fields.
    """

    def __init__(self, kind: type, hints: dict[str, Any]) -> None:
        how = {name: _converter(hint) for name, hint in hints.items()}
        names = sorted(hints, key=lambda name: how[name] is not None)
        self.hints = {name: hints[name] for name in names}
        """The types of its fields, in their order in a row."""
        self.references = [name for name in names if _has_records(hints[name])]
        """The fields that refer to records."""
        self._kind = kind.__name__
        self._plain = attrgetter(*(name for name in names if how[name] is None))
        self._others = [(name, convert) for name in names if (convert := how[name])]

    def row(self, record: object) -> bytes:
        """Return a record as it is now, by the name of its class and its fields."""
        others: list[Any] = [how(getattr(record, name), record) for name, how in self._others]
        return marshal.dumps((self._kind, *self._plain(record), *others))

    def records_in(self, record: object) -> Iterator[Iterable[object]]:
        """Yield the records that one refers to, in groups."""
        for name in self.references:
            value = getattr(record, name)
            if not isinstance(value, dict):
                yield (value,)
            elif value:
                yield list(value.values())


_RECORDS = (Peer, Task, Swarm, Download, Lease, Preheat, Part)
_Converter = Callable[[Any, Any], Any]


def is_record(value: object) -> bool:
    """Tell whether it is one of those records that a state is made of."""
    return isinstance(value, _RECORDS)


def _has_records(hint: Any) -> bool:  # noqa: ANN401 - a type
    return hint is Swarm or bool({*get_args(hint)} & {*_RECORDS})


def _converter(hint: Any) -> _Converter | None:  # noqa: ANN401 - a type
    """Return what makes plain data of a field, given its record, too; None: it is that."""
    if hint is Swarm:
        return lambda swarm, _: id(swarm)
    if _has_records(hint):
        return lambda records, _: {key: id(value) for key, value in records.items()}
    if hint is TaskSpec:
        return lambda spec, of: plain.builtins(masked(spec, of.id if type(of) is Task else of.task))
    if _is_plain(hint):
        return None
    return lambda value, _: plain.builtins(value)


def _is_plain(hint: Any) -> bool:  # noqa: ANN401 - a type
    if arguments := get_args(hint):
        return all(map(_is_plain, arguments))
    hint = getattr(hint, "__supertype__", hint)
    return hint in (str, int, float, bool, bytes, dict, list, set, type(None))


def _hints_of_swarm() -> dict[str, Any]:
    swarm = Swarm()
    return {name: type(getattr(swarm, name)) for name in Swarm.__slots__}


PLANS: dict[type, Plan] = {
    kind: Plan(kind, _hints_of_swarm() if kind is Swarm else plain.fields(kind))
    for kind in _RECORDS
}
