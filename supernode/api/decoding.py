"""From a request's bytes to a checked model, with errors that name the field."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar, get_args

import msgspec

from supernode.core.errors import BadField

M = TypeVar("M", bound=msgspec.Struct)

_WHERE = re.compile(r"(?P<problem>.*) - at `\$\.?(?P<field>.*)`", re.DOTALL)


def from_json(body: bytes, model: type[M]) -> M:
    """Return the model in ``body``; keys in any case, unknown ones ignored, no body is ``{}``.

    Raises:
        BadField: not JSON, not an object, or a field of the wrong type or out of bounds.
    """
    try:
        data = msgspec.json.decode(body) if body.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadField("body", f"is not JSON: {error}") from None
    return convert(data, model)


def from_fields(fields: Mapping[str, str], model: type[M]) -> M:
    """Return the model in a query's fields, whose names are spelled as the model's.

    Raises:
        BadField: a value of the wrong type or out of bounds.
    """
    return convert(dict(fields), model, strict=False)


def convert(data: object, model: type[M], *, strict: bool = True) -> M:
    """Return ``data`` as a model. Raises BadField."""
    if not isinstance(data, dict):
        raise BadField("body", "is not a JSON object")
    try:
        return msgspec.convert(_spelled(data, model), model, strict=strict)
    except msgspec.ValidationError as error:
        if match := _WHERE.fullmatch(str(error)):
            raise BadField(match["field"], match["problem"].lower()) from None
        raise BadField("body", str(error)) from None


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
    fields = {f.encode_name.lower(): f for f in msgspec.structs.fields(model)}
    return {
        known.encode_name: _spelled(item, known.type)
        for key, item in value.items()
        if (known := fields.get(key.lower()))
    }


def _model_in(kind: Any) -> type[msgspec.Struct] | None:  # noqa: ANN401 - a type expression
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return next(filter(None, map(_model_in, get_args(kind))), None)
