"""A snapshot as plain data that can be written to a file, and the state built again from it.

Records refer to each other by number. The same state gives the same bytes, whatever process it is
in: what has no order is sorted.
"""

import marshal
from collections.abc import Iterator
from typing import Any

import msgspec

from supernode.core import model, reasons
from supernode.core import state as state_module
from supernode.core.model import Limits
from supernode.core.state import State
from supernode.recording import plain
from supernode.recording.snapshot import PLANS, Container, Snapshot

_CLASSES = {kind.__name__: kind for kind in PLANS}
_PLAIN = (str, int, float, tuple, dict, list, type(None))
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in _PLAIN} | {
    name: kind
    for module in (model, reasons, state_module)
    for name, kind in vars(module).items()
    if isinstance(kind, type)
}
"""What else the containers of a state may hold."""


class _Things(msgspec.Struct, array_like=True):
    """Things of one kind, plain or, if they are records, by number."""

    kind: str
    plain: list[Any]


class _Portrait(msgspec.Struct, array_like=True):
    """A state.

    Args:
        limits: of its own attributes this one,
        containers: those that are containers, each by its keys, if it has any, and values,
        values: and the others.
        records: each the name of its class and its fields.
    """

    limits: dict[str, Any]
    containers: dict[str, tuple[_Things, _Things]]
    values: dict[str, Any]
    records: list[msgspec.Raw]


def encoded(snapshot: Snapshot) -> bytes:
    """Return the portrait of a snapshot, which is complete."""
    return msgspec.msgpack.encode(_Drawing(snapshot).portrait())


def encoded_now(state: State) -> bytes:
    """Return the portrait of a state as it is now."""
    snapshot = Snapshot(state)
    snapshot.proceed()
    return encoded(snapshot)


def built(data: bytes) -> State:
    """Return the state that a portrait is of.

    Raises:
        msgspec.DecodeError: it is none.
        LookupError, ValueError, TypeError, AttributeError: it is one of another core.
    """
    portrait = msgspec.msgpack.decode(data, type=_Portrait)
    records = _records(portrait.records)
    state = State(plain.build(Limits, portrait.limits))
    for name, value in portrait.values.items():
        setattr(state, name, value)
    for name, (keys, values) in portrait.containers.items():
        container = type(getattr(state, name))
        contents = _things(values, records)
        if issubclass(container, dict):
            contents = list(zip(_things(keys, records), contents, strict=True))
        setattr(state, name, container(contents))
    return state


def _records(rows: list[msgspec.Raw]) -> list[Any]:
    drawn = [plain.decoded(row) for row in rows]
    records: list[Any] = [object.__new__(_CLASSES[kind]) for kind, *_ in drawn]
    for record, (_, *fields) in zip(records, drawn, strict=True):
        plan = PLANS[type(record)]
        for (name, hint), field in zip(plan.hints.items(), fields, strict=True):
            if name not in plan.references:
                value = plain.build(hint, field)
            elif isinstance(field, dict):
                value = {key: records[number] for key, number in field.items()}
            else:
                value = records[field]
            setattr(record, name, value)
    return records


def _things(things: _Things, records: list[Any]) -> list[Any]:
    if things.kind in _CLASSES:
        return [records[number] for number in things.plain]
    return [plain.build(_KINDS[things.kind], thing) for thing in things.plain]


class _Drawing:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._numbers: dict[int, int] = {}
        """By the ``id`` of the record."""
        self._meant: list[int] = []
        """Whom the numbers stand for."""

    def portrait(self) -> _Portrait:
        values = self._snapshot.attributes.copy()
        limits = plain.builtins(values.pop("limits"))
        containers = {
            name: (self._things(value.keys), self._things(value.values))
            for name, value in self._snapshot.attributes.items()
            if isinstance(value, Container) and values.pop(name)
        }
        return _Portrait(limits, containers, values, list(self._records()))

    def _things(self, things: list[Any]) -> _Things:
        kind = type(next(iter(things), None))
        if kind in PLANS:
            return _Things(kind.__name__, [self._number(id(record)) for record in things])
        if kind.__name__ not in _KINDS:
            raise TypeError(f"{kind} is not recorded")
        return _Things(kind.__name__, plain.builtins(things))

    def _records(self) -> Iterator[msgspec.Raw]:
        """Yield the records by number; each may lead to more."""
        for identity in self._meant:
            kind, *fields = marshal.loads(self._snapshot.rows[identity])  # noqa: S302 - our own
            plan = _PLANS[kind]
            for place, (name, field) in enumerate(zip(plan.hints, fields, strict=True)):
                if isinstance(field, set):
                    fields[place] = sorted(field)
                elif name in plan.references:
                    fields[place] = self._numbered(field)
            yield msgspec.Raw(plain.encoded([kind, *fields]))

    def _numbered(self, meant: Any) -> Any:  # noqa: ANN401 - one record or a dictionary of them
        if isinstance(meant, dict):
            return {key: self._number(identity) for key, identity in meant.items()}
        return self._number(meant)

    def _number(self, identity: int) -> int:
        number = self._numbers.setdefault(identity, len(self._meant))
        if number == len(self._meant):
            self._meant.append(identity)
        return number


_PLANS = {kind.__name__: plan for kind, plan in PLANS.items()}
