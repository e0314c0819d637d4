"""From a request's bytes to a checked model, with errors that name the field."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from supernode.core.errors import BadField

M = TypeVar("M", bound=msgspec.Struct)
T = TypeVar("T")

_MISSING = re.compile(r"Object missing required field `(?P<field>.*)`")
_WHERE = re.compile(r"(?P<problem>.*) - at (?:`key` in )?`\$\.?(?P<field>.*)`", re.DOTALL)
_SOME_ENTRY = "[...]"
"""How msgspec names an entry of a map, whose key it does not tell."""


def from_json(body: bytes, model: type[M]) -> M:
    """Return the model in ``body``; keys in any case, unknown ones ignored, no body is ``{}``.

    A key whose value is null is as good as left out.

    Raises:
        BadField: not JSON, not an object, or a field of the wrong type or out of bounds.
    """
    try:
        data = _decoded(body) if body.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadField("body", f"is not JSON: {error}") from None
    return convert(data, model)


def from_fields(
    fields: Mapping[str, Sequence[str]], model: type[M], *, separator: str | None = ","
) -> M:
    """Return the model in a query's fields; names in any case, unknown ones ignored.

    A field that is a list may be repeated, hold several values separated by commas, or both. Of
    any other that is repeated, the first counts.

    Args:
        fields: each with its values in order.
        model: what they make up.
        separator: of the values of a list; None: each is repeated.

    Raises:
        BadField: one is missing, of the wrong type or out of bounds.
    """
    known = _fields(model)
    data: dict[str, object] = {}
    for name, values in fields.items():
        field = known.get(name.lower())
        if field and _is_list(field.type):
            data[name] = [part for value in values for part in _parts(value, separator)]
        elif field:
            data[name] = values[0]
    return convert(data, model, strict=False)


def _parts(value: str, separator: str | None) -> list[str]:
    return [value] if separator is None else value.split(separator)


def convert(data: object, model: type[M], *, strict: bool = True) -> M:
    """Return ``data`` as a model. Raises BadField."""
    if not isinstance(data, dict):
        raise BadField("body", "is not a JSON object")
    spelled = _spelled(data, model)
    try:
        return msgspec.convert(spelled, model, strict=strict)
    except msgspec.ValidationError as error:
        if match := _WHERE.fullmatch(str(error)):
            field = match["field"]
            if field.endswith(_SOME_ENTRY):
                field = _bad_entry(spelled, field.removesuffix(_SOME_ENTRY), model)
            raise BadField(field, match["problem"].lower()) from None
        if match := _MISSING.fullmatch(str(error)):
            raise BadField(match["field"], "is required") from None
        raise BadField("body", str(error)) from None


def _decoded(body: bytes) -> object:
    """Return what ``body`` says.

    Raises:
        BadField: a number in one of its fields is larger than numbers are here.
        msgspec.DecodeError: it is not JSON.
    """
    try:
        return msgspec.json.decode(body)
    except msgspec.ValidationError as error:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        name = _first_bad(fields, msgspec.json.decode)
        raise BadField(name or "body", str(error).partition(" - at ")[0].lower()) from None


def _bad_entry(data: Mapping[str, Any], path: str, model: type[msgspec.Struct]) -> str:
    """Return what to call the entry of a map in ``data`` that is not as ``model`` has it."""
    *parents, field = path.split(".")
    for parent in parents:
        data = data[parent]

    def read(value: object) -> None:
        whole: dict[str, object] = {field: {"": value}}
        for parent in reversed(parents):
            whole = {parent: whole}
        msgspec.convert(whole, model)

    return f"{path}.{_first_bad(data[field], read)}"


def _first_bad(entries: Mapping[str, T], read: Callable[[T], object]) -> str:
    """Return the name of the first entry that cannot be read; empty if its name is repeated."""
    for name, value in entries.items():
        try:
            read(value)
        except msgspec.ValidationError:
            return name[:64]
    return ""


def _spelled(value: Any, kind: Any) -> Any:  # noqa: ANN401 - JSON
    """Return ``value`` with its keys spelled as ``kind`` does; clients of v1 differ in case."""
    model = _model_in(kind)
    if model is None:
        return value
    if isinstance(value, list):
        # A list in the list is wrong, and it may be nested deeper than calls can be.
        return [item if isinstance(item, list) else _spelled(item, model) for item in value]
    if not isinstance(value, dict):
        return value
    known = _fields(model)
    return {
        field.encode_name: _spelled(item, field.type)
        for key, item in value.items()
        if item is not None and (field := known.get(key.lower()))
    }


@cache
def _fields(model: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """Return a model's fields by their names in lower case."""
    return {field.encode_name.lower(): field for field in msgspec.structs.fields(model)}


def _is_list(kind: Any) -> bool:  # noqa: ANN401 - a type expression
    return get_origin(kind) is list or any(map(_is_list, get_args(kind)))


@cache
def _model_in(kind: Any) -> type[msgspec.Struct] | None:  # noqa: ANN401 - a type expression
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return next(filter(None, map(_model_in, get_args(kind))), None)
