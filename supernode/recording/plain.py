"""Values of the core as plain data - texts, numbers, lists, maps - and back by their types."""

from dataclasses import is_dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec.msgpack import Ext

from supernode.core.model import Secrets, TaskSpec
from supernode.recording.masks import MaskedSpec

_INTEGER = 1
"""The one extension of MessagePack: an integer of more than 64 bits, such as a bitset."""
_FITS = range(-(1 << 63), 1 << 64)


def _names(value: object) -> object:
    if isinstance(value, Secrets):
        return value.names()
    raise TypeError(f"{type(value)} is not recorded")


def _integer(_code: int, data: memoryview) -> int:
    return int.from_bytes(data, "big", signed=True)


_encode = msgspec.msgpack.Encoder(enc_hook=_names).encode
_decode = msgspec.msgpack.Decoder(ext_hook=_integer).decode


def encoded(value: object) -> bytes:
    """Return a value as MessagePack: what has fields as a map, a member of an enum by its value."""
    try:
        return _encode(value)
    except OverflowError:
        return _encode(_fitting(value))


def decoded(data: bytes) -> Any:  # noqa: ANN401 - plain data
    """Return plain data. Raises msgspec.DecodeError."""
    return _decode(data)


def builtins(value: object) -> Any:  # noqa: ANN401 - plain data
    """Return a value as the plain data that it is decoded as."""
    if isinstance(value, Enum):
        return _of_member(value)
    return None if value is None else decoded(encoded(value))


@cache
def _of_member(member: Enum) -> object:
    return decoded(encoded(member))


def _fitting(value: object) -> object:
    match value:
        case bool():
            return value
        case int() if value not in _FITS:
            return Ext(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
        case list() | tuple():
            return list(map(_fitting, value))
        case dict():
            return {key: _fitting(each) for key, each in value.items()}
    kind: type = type(value)
    if issubclass(kind, msgspec.Struct) or is_dataclass(kind):
        return {name: _fitting(getattr(value, name)) for name in fields(kind)}
    return value


def build(kind: Any, raw: Any) -> Any:  # noqa: ANN401 - a type, and anything of it
    """Return the value of a type that was encoded as ``raw``.

    Raises:
        LookupError: there is no such member, or a field is missing.
        ValueError, TypeError: it is a value of another type.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if raw is None or isinstance(kind, NewType):
        return raw
    if origin in (UnionType, Union):
        kinds = [argument for argument in arguments if argument is not type(None)]
        return raw if type(raw) in kinds else build(kinds[-1], raw)
    if origin is tuple:
        each = arguments[:1] * len(raw) if arguments[-1] is Ellipsis else arguments
        return tuple(map(build, each, raw))
    if isinstance(origin, type) and issubclass(origin, dict):
        key, value = arguments
        return origin((build(key, name), build(value, each)) for name, each in raw.items())
    if origin in (set, list):
        return origin(build(arguments[0], each) for each in raw)
    if kind is TaskSpec:
        return build(MaskedSpec, raw | {"root_cas": ()})
    if kind is Secrets:
        return Secrets(dict.fromkeys(raw, ""))
    if issubclass(kind, Enum):
        return _members(kind)[_hashable(raw)]
    if issubclass(kind, msgspec.Struct) or is_dataclass(kind):
        return kind(**{name: build(hint, raw[name]) for name, hint in fields(kind).items()})
    if issubclass(kind, tuple) and (hints := get_type_hints(kind)):
        return kind(*map(build, hints.values(), raw))
    return kind(raw) if kind in (set, tuple) else raw


@cache
def fields(kind: type) -> dict[str, Any]:
    """Return the types of a class's fields."""
    if issubclass(kind, msgspec.Struct):
        return {field.name: field.type for field in msgspec.structs.fields(kind)}
    return get_type_hints(kind)


@cache
def _members(kind: type[Enum]) -> dict[object, Enum]:
    return {_hashable(_of_member(member)): member for member in kind}


def _hashable(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
