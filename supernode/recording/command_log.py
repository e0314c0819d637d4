"""Commands and what came of them, encoded as they happen: in memory, a command is a few bytes.

Everything is encoded the fast way, by field names. Read again, it is built by the types of the
commands' fields.
"""

import zlib
from collections.abc import Sequence
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

import msgspec

from supernode.core.commands import (
    AdoptTask,
    Command,
    CreatePreheat,
    Pull,
    RegisterTask,
    Report,
    ReportPiece,
    Seed,
)
from supernode.core.events import Event, PreheatRegistered, TaskRegistered
from supernode.core.model import Secrets, TaskSpec
from supernode.recording.masks import MaskedSpec, masked, masked_command

Row = tuple[float, str, dict[str, Any]]
"""A command as it is read again: when, which, its fields."""

_KINDS: dict[str, type[Command[Any]]] = {kind.__name__: kind for kind in Command.__subclasses__()}
_WITH_SPEC = frozenset({RegisterTask, CreatePreheat, AdoptTask})
_ESCAPE = "\0"


def encoded(command: Command[Any], now: float) -> bytes:
    """Return a command without secrets, and when it was executed, as few bytes.

    Raises:
        OverflowError: a number has more than 64 bits.
        UnicodeEncodeError: a text is none.
    """
    kind = type(command)
    if kind in _WITH_SPEC:
        command = masked_command(command)
    elif kind is Pull:
        command = _unambiguous_pull(command)  # type: ignore[arg-type]  # it is one
    elif kind is ReportPiece:
        command = _unambiguous_report(command)  # type: ignore[arg-type]  # likewise
    return _encode((now, kind.__name__, command))


def decoded(row: Row) -> tuple[Command[Any], float]:
    """Return a command and when it was executed.

    Raises:
        LookupError: there is no such command, or a field is missing.
        ValueError, TypeError: a field has another type.
    """
    now, kind, fields = row
    command: Command[Any] = _built(_KINDS[kind], fields)
    return command, now


def digest(events: Sequence[Event]) -> int:
    """Return what tells these events from any others."""
    shown = [
        msgspec.structs.replace(event, spec=masked(event.spec, event.task))
        if isinstance(event, (TaskRegistered, PreheatRegistered))
        else event
        for event in events
    ]
    try:
        data = _encode(shown)
    except OverflowError:  # a bitset has more than 64 bits
        data = repr(shown).encode()
    return zlib.crc32(data)


def _encode_hook(value: object) -> object:
    if isinstance(value, Secrets):
        return value.names()
    raise TypeError(f"{type(value)} is not recorded")


_encode = msgspec.msgpack.Encoder(enc_hook=_encode_hook).encode


# The seed as a holder is encoded as "seed", which some client may have written itself.


def _unambiguous_pull(pull: Pull) -> Pull:
    for report in pull.reports:
        if _is_ambiguous(report.holder):
            return msgspec.structs.replace(pull, reports=tuple(map(_escaped, pull.reports)))
    return pull


def _unambiguous_report(command: ReportPiece) -> ReportPiece:
    return msgspec.structs.replace(command, report=_escaped(command.report))


def _is_ambiguous(holder: object) -> bool:
    return type(holder) is str and holder.endswith("seed") and holder.lstrip(_ESCAPE) == "seed"


def _escaped(report: Report) -> Report:
    if not _is_ambiguous(report.holder):
        return report
    return msgspec.structs.replace(report, holder=f"{_ESCAPE}{report.holder}")


def _holder(raw: str) -> str | Seed:
    if raw == Seed.SEED.value:
        return Seed.SEED
    return raw.removeprefix(_ESCAPE) if _is_ambiguous(raw) else raw


# Reading


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def _members(kind: type[Enum]) -> dict[object, Enum]:
    return {_hashable(msgspec.msgpack.decode(_encode(member))): member for member in kind}


def _hashable(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _built(kind: Any, raw: Any) -> Any:  # noqa: ANN401 - a type, and anything of it
    """Return the value of a type that was encoded as ``raw``."""
    if isinstance(kind, NewType):
        return raw
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (UnionType, Union):
        if raw is None:
            return None
        if Seed in arguments:
            return _holder(raw)
        (kind,) = (argument for argument in arguments if argument is not type(None))
        return _built(kind, raw)
    if origin is tuple:
        return tuple(_built(arguments[0], each) for each in raw)
    if kind is TaskSpec:
        return _built(MaskedSpec, raw)
    if kind is Secrets:
        return Secrets(dict.fromkeys(raw, ""))
    if issubclass(kind, Enum):
        return _members(kind)[_hashable(raw)]
    if issubclass(kind, msgspec.Struct):
        hints = _hints(kind)
        return kind(**{name: _built(hints[name], raw[name]) for name in kind.__struct_fields__})
    return raw
