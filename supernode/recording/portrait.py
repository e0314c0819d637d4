"""A snapshot as plain data that can be written to a file, and the state built again from it.

Records refer to each other by number. The same state gives the same bytes, whatever process it is
in: what has no order is sorted.
"""

from collections.abc import Iterator
from enum import Enum
from itertools import chain
from typing import Any

import msgspec
from msgspec.msgpack import Ext

from supernode.core import model, reasons
from supernode.core.model import LastPull, Limits, Secrets
from supernode.core.state import State
from supernode.recording.masks import MaskedSpec
from supernode.recording.snapshot import CONTAINERS, PLANS, Frozen, Row, Snapshot, Value

_RECORD, _INTEGER, _MEMBER, _OBJECT = range(1, 5)
"""What is encoded as an extension: a reference to a record, an integer of more than 64 bits, a
member of an enumeration, an object that never changes."""

_ENUMS: dict[str, type[Enum]] = {
    name: kind
    for name, kind in chain(vars(model).items(), vars(reasons).items())
    if isinstance(kind, type) and issubclass(kind, Enum)
}
_CLASSES: dict[str, type] = {record.__name__: record for record in PLANS}
_INTEGERS = range(-(1 << 63), 1 << 64)


class _Record(msgspec.Struct, array_like=True):
    kind: str
    values: list[Any]
    containers: list[Any]


class _Portrait(msgspec.Struct):
    """A state.

    Args:
        fields: by class of records, the names of the values and of the containers.
    """

    limits: dict[str, Any]
    attributes: dict[str, Any]
    fields: dict[str, tuple[list[str], list[str]]]
    records: list[_Record]


def encoded(values: dict[str, Value], rows: dict[int, Row]) -> bytes:
    """Return the portrait of a snapshot.

    Args:
        values: see :class:`Snapshot`; so for
        rows: which are all there.
    """
    return msgspec.msgpack.encode(_Drawing(rows).of(values))


def encoded_now(state: State) -> bytes:
    """Return the portrait of a state as it is now."""
    snapshot = Snapshot(state)
    snapshot.proceed()
    return encoded(snapshot.values, snapshot.rows)


def built(data: bytes) -> State:
    """Return the state that a portrait is of.

    Raises:
        msgspec.DecodeError: it is none.
        LookupError, ValueError, TypeError: it is one of another core.
    """
    portrait = msgspec.msgpack.decode(data, type=_Portrait)
    reading = _Reading(portrait)
    state = State(Limits(**portrait.limits))
    for name, value in portrait.attributes.items():
        setattr(state, name, reading.value(value))
    return state


class _Drawing:
    def __init__(self, rows: dict[int, Row]) -> None:
        self._rows = rows
        self._numbers: dict[int, int] = {}
        self._meant: list[int] = []
        """Whom the numbers stand for."""

    def of(self, values: dict[str, Value]) -> dict[str, Any]:
        """Return the fields of a portrait."""
        limits: Limits = values["limits"]
        others = {name: value for name, value in values.items() if name != "limits"}
        return {
            "limits": limits,
            "attributes": {name: self._plain(value) for name, value in others.items()},
            "fields": {
                kind.__name__: (plan.names, plan.container_names) for kind, plan in PLANS.items()
            },
            "records": list(self._records()),
        }

    def _records(self) -> Iterator[msgspec.Raw]:
        """Yield the records by number, encoded, for they are many; each may lead to more."""
        for identity in self._meant:
            row = self._rows[identity]
            drawn = _Record(
                type(row.record).__name__,
                list(map(self._plain, row.values)),
                list(map(self._plain, row.containers)),
            )
            yield msgspec.Raw(msgspec.msgpack.encode(drawn))

    def _plain(self, value: Value) -> object:
        kind = type(value)
        if kind in (str, float, bool, bytes) or value is None:
            return value
        if kind is int:
            return value if value in _INTEGERS else Ext(_INTEGER, _bytes_of(value))
        if kind is tuple:
            return list(map(self._plain, value))
        if kind is Frozen:
            values = sorted(value.values, key=repr) if value.kind == "set" else value.values
            return {
                "kind": value.kind,
                "keys": list(map(self._plain, value.keys)),
                "values": list(map(self._plain, values)),
            }
        if kind in PLANS:
            return Ext(_RECORD, _bytes_of(self._number(value)))
        if isinstance(value, Enum):
            return Ext(_MEMBER, f"{kind.__name__}.{value.name}".encode())
        return Ext(_OBJECT, msgspec.msgpack.encode([kind.__name__, self._content(value)]))

    def _content(self, value: Value) -> object:
        match value:
            case MaskedSpec():
                return msgspec.to_builtins(value, enc_hook=Secrets.names)
            case LastPull():
                return msgspec.to_builtins(value)
        raise TypeError(f"{type(value)} is not recorded")

    def _number(self, record: object) -> int:
        number = self._numbers.setdefault(id(record), len(self._meant))
        if number == len(self._meant):
            self._meant.append(id(record))
        return number


class _Reading:
    def __init__(self, portrait: _Portrait) -> None:
        self._records: list[Any] = [
            object.__new__(_CLASSES[each.kind]) for each in portrait.records
        ]
        for record, drawn in zip(self._records, portrait.records, strict=True):
            for names, values in zip(
                portrait.fields[drawn.kind], (drawn.values, drawn.containers), strict=True
            ):
                for name, value in zip(names, values, strict=True):
                    setattr(record, name, self.value(value))

    def value(self, raw: Any) -> Any:  # noqa: ANN401 - anything that a state holds
        """Return the value that was drawn as ``raw``."""
        match raw:
            case list():
                return tuple(map(self.value, raw))
            case {"kind": kind, "keys": keys, "values": values}:
                container = CONTAINERS[kind]
                contents = map(self.value, values)
                if issubclass(container, dict):
                    return container(zip(map(self.value, keys), contents, strict=True))
                return container(contents)
            case Ext(code=code, data=data):
                return self._extension(code, bytes(data))
        return raw

    def _extension(self, code: int, data: bytes) -> Any:  # noqa: ANN401 - likewise
        if code == _RECORD:
            return self._records[_integer(data)]
        if code == _INTEGER:
            return _integer(data)
        if code == _MEMBER:
            kind, _, name = data.decode().partition(".")
            return _ENUMS[kind][name]
        kind, content = msgspec.msgpack.decode(data)
        if kind == LastPull.__name__:
            return msgspec.convert(content, LastPull)
        headers = Secrets(dict.fromkeys(content["headers"], ""))
        return MaskedSpec(**(content | {"headers": headers, "root_cas": ()}))


def _bytes_of(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)


def _integer(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)
