"""The interface described for programs: an OpenAPI 3.1 document made of the table of operations.

Nothing is said twice: parameters, bodies and answers are the schemas of the models that decode and
encode them. What the specification does not have carries ``x-extension``.
"""

import re
from collections.abc import Iterable, Mapping
from inspect import getdoc
from typing import Any, TypeAlias

import msgspec

from supernode.api.event_query import EventQuery
from supernode.api.models import ErrorBody, Model
from supernode.api.operations import Operation
from supernode.exchange import SEQ_HEADER

Json: TypeAlias = dict[str, Any]

EXTENSION = "x-extension"
MODELS = "#/components/schemas/"
_MEDIA_TYPES = ("application/json", "text/plain")

_ABOUT = """\
Fetches each file once from its origin, cuts it into pieces, knows which peer holds which piece, \
and tells every client which piece to take from whom.

The operations are also under `/api/v1`, with the statuses of Dragonfly v1 where those differ, and \
both of them behind `/v{x.y}`.

A body is read as JSON whatever its `Content-Type`; no body is `{}`. Keys are known in any case, \
unknown ones are ignored, and null is as good as left out. Answers are JSON, and the same text as \
text/plain for a client whose `Accept` prefers that.

Besides what each operation lists, a request may be refused with 403 (it comes from another site's \
page), 405, 408, 431 or 503 (too many connections).

What is marked as an extension goes beyond the specification of Dragonfly's SuperNode API 0.1."""

_TAGS = {
    "Peer": "Machines that download, and serve to others what they have.",
    "Task": "Files, and who downloads them.",
    "Piece": "The parts of a file: who shall take which from whom, and what became of it.",
    "PreheatTask": "Jobs that fetch a file before anybody asks for it.",
    "System": "The supernode itself.",
}

_EXAMPLES: Mapping[str, object] = {
    "IP": "10.0.0.7",
    "hostName": "node-7",
    "port": 15001,
    "rawURL": "https://files.example/base.img",
    "cID": "node-7-4711",
    "clientID": "node-7-4711",
    "peerID": "node-7-10.0.0.7-15001",
    "path": "/peer/file/base.img",
    "pageSize": 20,
    "pieceRange": "0-4194303",
    "dstPID": "node-8-10.0.0.8-15001",
    "pieceResult": "SUCCESS",
    "pieceStatus": "SUCCESS",
    "type": "file",
    "url": "https://files.example/base.img",
}
"""By the name of a field or parameter: enough of them to make a request that works."""

_PIECE_RANGE = "First and last byte of the piece, framed; the last piece's range is not cut short."

_HEADERS: Mapping[str, Json] = {
    SEQ_HEADER: {
        "description": "Number of the last event that the answer takes into account. What an "
        "operation refuses has it, too.",
        "schema": {"type": "integer", "minimum": 0},
        EXTENSION: True,
    },
    "Preference-Applied": {
        "description": "The wait that was granted, as `wait=30` (RFC 7240).",
        "schema": {"type": "string"},
        EXTENSION: True,
    },
    "Supernode-Reason": {
        "description": "Why there are no pieces: `paused`.",
        "schema": {"type": "string"},
        EXTENSION: True,
    },
}

_PREFER: Json = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`wait=N`: answer when there is something to say, at the latest after N seconds "
    "or 30 (RFC 7240).",
    "schema": {"type": "string", "examples": ["wait=30"]},
    EXTENSION: True,
}

_ERROR: Json = {"application/json": {"schema": {"$ref": MODELS + ErrorBody.__name__}}}

_EVENTS: Json = {
    "summary": "watch what happens",
    "description": "Every event as one JSON object: `seq`, its number; `time`, RFC 3339; `type`, "
    "in the past tense, such as `piece.cached`; and what it is about. With the handshake of a "
    "websocket each is a text message, and what a client sends is ignored; without, each is a "
    "line, and an empty line now and then tells that the connection lives. `/asyncapi.json` "
    "describes the messages. Events that are kept no longer are told of as "
    '`{"type":"gap","from":…,"to":…}`.',
    "operationId": "get_events",
    "tags": ["System"],
    "responses": {
        "101": {"description": "the websocket is open"},
        "200": {
            "description": "events, without an end",
            "headers": {SEQ_HEADER: {"$ref": f"#/components/headers/{SEQ_HEADER}"}},
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        },
        "400": {"description": "the query makes no sense", "content": _ERROR},
        "503": {"description": "there are too many who watch", "content": _ERROR},
    },
    EXTENSION: True,
}

_DEFECT = {500: "the supernode has a defect; its log says more"}
_TOO_LARGE = {413: "the body is too large"}
_TOO_LONG = {"description": "the target and the headers are too long; there may be no body"}

_OWN_ROUTE = re.compile(r"``[A-Z]+ /[^`]*``[:;,.]?\s*")
"""How a handler's docstring begins."""


def document(operations: Iterable[Operation], version: str) -> Json:
    """Return the OpenAPI document of these operations and of ``/events``.

    Args:
        operations: in the order to list them.
        version: the program's.
    """
    operations = list(operations)
    schemas = _Schemas(operations)
    paths: dict[str, Json] = {}
    for operation in operations:
        methods = paths.setdefault(operation.path, {})
        methods[operation.method.lower()] = _described(operation, schemas)
    paths["/events"] = {"get": _EVENTS | {"parameters": schemas.parameters(EventQuery)}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "supernode",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {"schemas": schemas.published(), "headers": dict(_HEADERS)},
    }


class _Schemas:
    """The schemas of all types that the operations name."""

    def __init__(self, operations: list[Operation]) -> None:
        queries = {operation.query for operation in operations if operation.query}
        self._queries: set[type[Model]] = {EventQuery, *queries}
        others = {operation.body for operation in operations if operation.body}
        answers = {operation.answer for operation in operations if operation.answer}
        types = [ErrorBody, *self._queries, *others, *answers]
        found, components = msgspec.json.schema_components(types, ref_template=MODELS + "{name}")
        self._of = dict(zip(types, found, strict=True))
        self._components = {name: tidied(schema) for name, schema in components.items()}

    def of(self, kind: Any) -> Json:  # noqa: ANN401 - a type expression
        """Return the schema of a type, models by reference."""
        schema: Json = self._of[kind]
        return schema

    def parameters(self, query: type[Model]) -> list[Json]:
        """Return the parameters that are the fields of ``query``."""
        schema = self._components[query.__name__]
        return [
            _parameter("query", name, field, required=name in schema.get("required", ()))
            for name, field in schema["properties"].items()
        ]

    def published(self) -> Json:
        """Return the components; queries are none, for they are spelled out as parameters."""
        queries = {query.__name__ for query in self._queries}
        return {
            name: schema for name, schema in sorted(self._components.items()) if name not in queries
        }


def tidied(schema: Json) -> Json:
    """Return msgspec's schema in the words of the specification.

    There a field can be left out, rather than be null or empty.
    """
    if "anyOf" in schema:
        others = [option for option in schema["anyOf"] if option != {"type": "null"}]
        if len(others) == 1:
            rest = {name: value for name, value in schema.items() if name != "anyOf"}
            schema = others[0] | rest
    tidy: Json = {}
    for name, value in schema.items():
        match name, value:
            case "default", None | "" | [] | {}:
                pass
            case "required", []:
                pass
            case "title", _:
                pass
            case "description", str():
                tidy[name] = prose(value)
            case "properties", dict():
                tidy[name] = {field: _exemplified(field, kind) for field, kind in value.items()}
            case _, dict() if name in ("items", "additionalProperties"):
                tidy[name] = tidied(value)
            case _:
                tidy[name] = value
    if "enum" in tidy:
        tidy["type"] = "string"
    return tidy


def _exemplified(field: str, schema: Json) -> Json:
    tidy = tidied(schema)
    if field not in _EXAMPLES or tidy.keys() & {"examples", "enum"}:
        return tidy
    return tidy | {"examples": [_EXAMPLES[field]]}


def prose(docstring: str) -> str:
    """Return a docstring as Markdown, one line a paragraph."""
    paragraphs = re.split(r"\n\s*\n", docstring.strip().replace("``", "`"))
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _parameter(place: str, name: str, schema: Json, *, required: bool) -> Json:
    """Return a parameter; what is said about its schema is said about it."""
    raised = ("description", EXTENSION)
    return {
        "name": name,
        "in": place,
        "required": required,
        **{key: schema[key] for key in raised if key in schema},
        "schema": {key: value for key, value in schema.items() if key not in raised},
    }


def _described(operation: Operation, schemas: _Schemas) -> Json:
    """Return one operation's part of the document."""
    described: Json = {
        "summary": operation.summary,
        "operationId": _operation_id(operation),
        "tags": [operation.tag],
    }
    if description := _description(operation):
        described["description"] = description
    if parameters := _parameters(operation, schemas):
        described["parameters"] = parameters
    if operation.body:
        described["requestBody"] = {"required": False, "content": _content(schemas, operation.body)}
    described["responses"] = _responses(operation, schemas)
    if operation.v1_status:
        described["x-v1-status"] = operation.v1_status
    if operation.extension:
        described[EXTENSION] = True
    return described


def _operation_id(operation: Operation) -> str:
    return re.sub(r"[^A-Za-z]+", "_", operation.method.lower() + operation.path).strip("_")


def _description(operation: Operation) -> str:
    text = prose(_OWN_ROUTE.sub("", getdoc(operation.handler) or "", count=1))
    text = text[:1].upper() + text[1:]
    in_v1 = []
    if operation.v1_status:
        in_v1.append(f"a success is {operation.v1_status}.")
    if operation.v1_query:
        in_v1.append(prose(operation.v1_query.__doc__ or ""))
    if in_v1:
        text += f"\n\nUnder `/api/v1`: {' '.join(in_v1)}"
    return text.strip()


def _parameters(operation: Operation, schemas: _Schemas) -> list[Json]:
    kind = operation.path.split("/")[1].removesuffix("s")
    about = {"id": f"ID of the {kind}.", "pieceRange": _PIECE_RANGE}
    parameters = [
        _parameter(
            "path",
            name,
            _exemplified(name, {"type": "string", "description": about[name]}),
            required=True,
        )
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    if operation.query:
        parameters += schemas.parameters(operation.query)
    if operation.waits:
        parameters.append(_PREFER)
    return parameters


def _responses(operation: Operation, schemas: _Schemas) -> Json:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in _headers(operation)}
    success: Json = {"description": operation.success, "headers": headers}
    if operation.answer:
        success["content"] = _content(schemas, operation.answer)
    responses = {str(operation.status): success}
    errors = operation.errors | _DEFECT | (_TOO_LARGE if operation.body else {})
    for status, meaning in errors.items():
        content = _content(schemas, ErrorBody)
        responses[str(status)] = {"description": meaning, "content": content}
    if operation.query:
        responses["431"] = _TOO_LONG
    return dict(sorted(responses.items()))


def _headers(operation: Operation) -> list[str]:
    """Return the headers of a success."""
    headers = [SEQ_HEADER]
    if operation.waits:
        headers.append("Preference-Applied")
    if operation.answer and operation.tag == "Piece":
        headers.append("Supernode-Reason")
    return headers


def _content(schemas: _Schemas, kind: Any) -> Json:  # noqa: ANN401 - a type expression
    return {media_type: {"schema": schemas.of(kind)} for media_type in _MEDIA_TYPES}
