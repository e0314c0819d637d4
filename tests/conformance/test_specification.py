"""The published document against the specification: operations, parameters, statuses, models.

Whatever the specification has must be there, and be the same; whatever else there is must be marked
as an extension. Where we differ knowingly, ``DEVIATIONS`` says so.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias, cast

import pytest

from supernode.api.docs import Docs
from supernode.api.rest import Rest, SeedAddress
from supernode.api.routes import routes
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Request

Json: TypeAlias = dict[str, Any]

SPECIFICATION: Json = json.loads(
    (Path(__file__).parent / "data/specification.json").read_text("utf-8")
)
MODELS = "#/components/schemas/"

ONE_ERROR = "ErrorBody"
"""Our errors are of both shapes at once: the specification's ``Error`` and ``ErrorResponse``."""

EITHER_FAMILY: Json = {"format": None}
LARGEST = (1 << 63) - 1

DEVIATIONS: dict[str, Json] = {
    # An IPv6 address is as good as an IPv4 address.
    "PeerCreateRequest.IP": EITHER_FAMILY,
    "PeerInfo.IP": EITHER_FAMILY,
    # What cannot be meant is refused, rather than guessed at.
    "GET /peers query pageNum": {"minimum": 0, "maximum": LARGEST},
    "GET /peers query pageSize": {"minimum": 1, "maximum": LARGEST},
    "GET /tasks/{id}/pieces query num": {"minimum": 1, "maximum": LARGEST},
    "TaskUpdateRequest.peerID": {"minLength": 1},
    # Many a client cannot send a body with a GET: the query's fields do as well.
    "GET /tasks/{id}/pieces body": {"required": False},
}
"""By place: what the document says there, None where it says nothing."""

COMPARED = (
    *("type", "format", "anyOf", "enum", "pattern"),
    *("minimum", "maximum", "minLength", "additionalProperties", "required"),
)
"""What is the same in both. Beyond it the document bounds how long texts and lists may be, which
the specification leaves open, and says what is meant by what is left out."""


def published() -> Json:
    """Return the document as it is served."""
    rest = Rest(cast("Dispatcher", None), SeedAddress("10.0.0.1", 8001))  # which nobody calls
    answer = Docs(routes(rest), "1").openapi(Request())
    assert isinstance(answer, Answer)
    document: Json = json.loads(answer.body)
    return document


DOCUMENT = published()

OPERATIONS: list[Json] = SPECIFICATION["operations"]
OPERATION_IDS = [f"{asked['method']} {asked['path']}" for asked in OPERATIONS]
PARAMETERS = [
    (asked, parameter, f"{asked['method']} {asked['path']} {parameter['in']} {parameter['name']}")
    for asked in OPERATIONS
    for parameter in asked["parameters"]
]
FIELDS = [
    (model, name, schema)
    for model, fields in SPECIFICATION["models"].items()
    for name, schema in fields.items()
]


def found(asked: Json) -> Json:
    """Return the document's part about an operation."""
    operation: Json = DOCUMENT["paths"][asked["path"]][asked["method"].lower()]
    return operation


def media_types(asked: Json, direction: str) -> set[str]:
    return set(asked[direction] if direction in asked else SPECIFICATION[direction])


def parameters_of(operation: Json) -> dict[tuple[str, str], Json]:
    return {(known["in"], known["name"]): known for known in operation.get("parameters", ())}


def component(model: str) -> Json:
    name = ONE_ERROR if model in ("Error", "ErrorResponse") else model
    schema: Json = DOCUMENT["components"]["schemas"][name]
    return schema


def resolved(schema: Json) -> Json:
    """Return a schema with its enumeration in place, which the document has apart."""
    target = schema.get("$ref", "").removeprefix(MODELS)
    if target and "enum" in component(target):
        return {**component(target), **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def difference(asked: Json, ours: Json) -> Json:
    """Return what is not the same about two schemas, as ours has it."""
    ours = resolved(ours)
    if "model" in asked:
        model = ONE_ERROR if asked["model"] in ("Error", "ErrorResponse") else asked["model"]
        return {} if ours == {"$ref": MODELS + model} else ours
    names = [*COMPARED, "default"] if "default" in asked else COMPARED
    both = [(name, asked.get(name), ours.get(name)) for name in names]
    differing = {
        name: new
        for name, old, new in both
        if (old, new) != (None, None) and not same(name, old, new)
    }
    if asked.get("type") == "array" and (of := difference(asked["items"], ours["items"])):
        differing["items"] = of
    return differing


def same(name: str, old: object, new: object) -> bool:
    match name, old, new:
        case "enum", list(), list():
            return sorted(old) == sorted(new)
        case "additionalProperties", dict(), dict():
            return not difference(old, new)
        case _:
            return old == new


@pytest.mark.parametrize("asked", OPERATIONS, ids=OPERATION_IDS)
def test_operations(asked: Json) -> None:
    operation = found(asked)
    assert "x-extension" not in operation
    answers = {name: entry for name, entry in operation["responses"].items() if name < "400"}
    assert answers.keys() == {name for name in asked["responses"] if name < "400"}
    for status, model in asked["responses"].items():
        content = operation["responses"][status].get("content")
        if model is None:
            assert content is None
            continue
        assert media_types(asked, "produces") <= content.keys()
        for kind in content.values():
            assert difference(model, kind["schema"]) == {}


@pytest.mark.parametrize("asked", OPERATIONS, ids=OPERATION_IDS)
def test_bodies(asked: Json) -> None:
    if asked["body"] is None:
        assert "requestBody" not in found(asked)
        return
    body = found(asked)["requestBody"]
    assert media_types(asked, "consumes") <= body["content"].keys()
    for kind in body["content"].values():
        assert difference({"model": asked["body"]["model"]}, kind["schema"]) == {}
    place = f"{asked['method']} {asked['path']} body"
    differing = {} if asked["body"]["required"] == body["required"] else {"required": False}
    assert differing == DEVIATIONS.get(place, {})
    assert not component(asked["body"]["model"]).get("required"), "every field is optional"


@pytest.mark.parametrize(
    ("asked", "parameter", "place"), PARAMETERS, ids=[place for *_, place in PARAMETERS]
)
def test_parameters(asked: Json, parameter: Json, place: str) -> None:
    ours = parameters_of(found(asked))[parameter["in"], parameter["name"]]
    assert "x-extension" not in ours
    assert ours["required"] == parameter["required"]
    assert difference(parameter["schema"], ours["schema"]) == DEVIATIONS.get(place, {})


@pytest.mark.parametrize(
    ("model", "name", "schema"), FIELDS, ids=[f"{model}.{name}" for model, name, _ in FIELDS]
)
def test_fields(model: str, name: str, schema: Json) -> None:
    ours = component(model)["properties"][name]
    assert "x-extension" not in ours
    assert difference(schema, ours) == DEVIATIONS.get(f"{model}.{name}", {})


def test_deviations_are_about_something() -> None:
    places = {place for *_, place in PARAMETERS} | {f"{model}.{name}" for model, name, _ in FIELDS}
    assert places | {f"{name} body" for name in OPERATION_IDS} >= DEVIATIONS.keys()


def beyond() -> Iterator[tuple[str, Json]]:
    """Yield what the document has beyond the specification, by place.

    Further ways to fail are no extension: HTTP has them all.
    """
    asked = {(entry["path"], entry["method"].lower()): entry for entry in OPERATIONS}
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            place = f"{method.upper()} {path}"
            if (path, method) not in asked:
                yield place, operation
                continue
            entry = asked[path, method]
            known = {(parameter["in"], parameter["name"]) for parameter in entry["parameters"]}
            for key, parameter in parameters_of(operation).items():
                if key not in known:
                    yield f"{place} {' '.join(key)}", parameter
    for name, header in DOCUMENT["components"]["headers"].items():
        yield name, header
    for model, fields in SPECIFICATION["models"].items():
        if model == "Error":
            continue  # its fields are among those of ErrorResponse, for they share one body
        for name, field in component(model)["properties"].items():
            if name not in fields:
                yield f"{model}.{name}", field


@pytest.mark.parametrize(
    ("place", "described"), [pytest.param(*entry, id=entry[0]) for entry in beyond()]
)
def test_extensions_are_marked(place: str, described: Json) -> None:
    assert described.get("x-extension") is True, place


def test_models_of_ours_are_only_where_extensions_are() -> None:
    def models(described: object) -> Iterator[str]:
        """Yield the models named outside of extensions."""
        if isinstance(described, list):
            for entry in described:
                yield from models(entry)
        elif isinstance(described, dict) and not described.get("x-extension"):
            if "$ref" in described:
                yield described["$ref"]
            for entry in described.values():
                yield from models(entry)

    named = set(models(DOCUMENT["paths"]))
    for model in SPECIFICATION["models"]:
        named |= set(models(component(model)))
    ours = {name.removeprefix(MODELS) for name in named if name.startswith(MODELS)}
    enumerations = {name for name in ours if "enum" in component(name)}
    assert ours - enumerations <= SPECIFICATION["models"].keys() | {ONE_ERROR}
