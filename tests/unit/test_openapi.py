"""The document and the page that describe the interface, and that they are what they claim."""

import base64
import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser
from typing import Annotated, Any, cast

import jsonschema_rs
import pytest
import schemathesis
from msgspec import Meta, field

from supernode.api.decoding import convert
from supernode.api.docs import Docs
from supernode.api.models import Model
from supernode.api.openapi import Json, document
from supernode.api.operations import Operation
from supernode.api.rest import Rest, SeedAddress
from supernode.api.routes import routes
from supernode.dispatch import Dispatcher
from supernode.exchange import Answer, Handler, Request

_REST = Rest(cast("Dispatcher", None), SeedAddress("10.0.0.1", 8001))  # which nobody calls
OPERATIONS = routes(_REST)
DOCUMENT = document(OPERATIONS, "1.2.3")


class Colour(Model):
    """What a thing looks like; ``name`` is what it is called."""

    name: Annotated[str, Meta(min_length=1, description="In <b>English</b>.")] = ""
    shade: Annotated[int | None, Meta(extra_json_schema={"x-extension": True})] = None
    code: int = 0


class ColourQuery(Model, kw_only=True):
    """Which colours."""

    tags: list[str] = field(default_factory=list)
    count: Annotated[int, Meta(ge=1, description="How many.")]


def paint(_request: Request) -> Answer:
    """``PUT /things/{id}``: paints it.

    Once ``dry``,
    for good.
    """
    return Answer(200)


def described(**fields: Any) -> Json:  # noqa: ANN401 - the operation's fields
    """Return what the document says of one operation."""
    record: dict[str, Any] = {
        "method": "PUT",
        "path": "/things/{id}",
        "handler": cast("Handler", paint),
        "summary": "paint <it>",
        "tag": "Task",
    }
    operation: Json = document([Operation(**record | fields)], "1")["paths"]["/things/{id}"]["put"]
    return operation


def test_document_is_openapi_3_1() -> None:
    schemathesis.openapi.from_dict(json.loads(json.dumps(DOCUMENT))).validate()


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_models_are_json_schemas(name: str) -> None:
    jsonschema_rs.meta.validate(DOCUMENT["components"]["schemas"][name])


def test_references_lead_somewhere() -> None:
    for target in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT))):
        place = DOCUMENT
        for step in target.split("/"):
            place = place[step]


def test_every_operation_is_there_once() -> None:
    listed = [
        (method.upper(), path)
        for path, methods in DOCUMENT["paths"].items()
        for method in methods
        if path != "/events"
    ]
    assert sorted(listed) == sorted((known.method, known.path) for known in OPERATIONS)
    ids = [
        entry["operationId"] for methods in DOCUMENT["paths"].values() for entry in methods.values()
    ]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    "operation",
    [known for known in OPERATIONS if known.body],
    ids=lambda known: f"{known.method} {known.path}",
)
def test_examples_can_be_decoded(operation: Operation) -> None:
    assert operation.body
    schema = DOCUMENT["components"]["schemas"][operation.body.__name__]
    example = {
        name: kind["examples"][0]
        for name, kind in schema["properties"].items()
        if "examples" in kind
    }
    assert example, "a reader is shown what to send"
    convert(example, operation.body)


def test_path_and_query_are_parameters() -> None:
    identity, tags, count = described(query=ColourQuery)["parameters"]
    assert (identity["name"], identity["in"], identity["required"]) == ("id", "path", True)
    assert tags["required"] is False
    assert tags["schema"] == {"type": "array", "items": {"type": "string"}}
    assert count == {
        "name": "count",
        "in": "query",
        "required": True,
        "description": "How many.",
        "schema": {"type": "integer", "minimum": 1},
    }


def test_models_say_what_can_be_left_out_not_what_is_null() -> None:
    record = Operation(
        method="GET",
        path="/things",
        handler=cast("Handler", paint),
        summary="",
        tag="Task",
        body=Colour,
    )
    schema = document([record], "1")["components"]["schemas"]["Colour"]
    assert schema["description"] == "What a thing looks like; `name` is what it is called."
    assert schema["properties"] == {
        "name": {"type": "string", "minLength": 1, "description": "In <b>English</b>."},
        "shade": {"type": "integer", "x-extension": True},
        "code": {"type": "integer", "default": 0},
    }
    assert "required" not in schema


def test_statuses_and_what_they_carry() -> None:
    answers = described(answer=list[Colour], status=201, errors={404: "no such thing"})["responses"]
    assert list(answers) == ["201", "404", "500"]
    colours = {"type": "array", "items": {"$ref": "#/components/schemas/Colour"}}
    assert answers["201"]["content"] == {
        "application/json": {"schema": colours},
        "text/plain": {"schema": colours},
    }
    assert answers["404"]["description"] == "no such thing"
    assert "content" not in described()["responses"]["200"]


def test_what_may_be_waited_for_says_so() -> None:
    (prefer,) = (entry for entry in described(waits=True)["parameters"] if entry["in"] == "header")
    assert prefer["name"] == "Prefer"
    assert "Preference-Applied" in described(waits=True)["responses"]["200"]["headers"]
    assert described(success="it is painted")["responses"]["200"] == {
        "description": "it is painted",
        "headers": {"Supernode-Seq": {"$ref": "#/components/headers/Supernode-Seq"}},
    }


def test_description_is_the_handlers_and_what_v1_does() -> None:
    said = described(v1_status=201, v1_query=ColourQuery)
    assert said["description"] == (
        "Paints it.\n\nOnce `dry`, for good.\n\nUnder `/api/v1`: a success is 201. Which colours."
    )
    assert said["x-v1-status"] == 201


def test_extensions_are_marked() -> None:
    assert described(extension=True)["x-extension"] is True
    assert "x-extension" not in described()


# the page


class Page(HTMLParser):
    """What there is on a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()
        self.links: set[str] = set()
        self.elements: Counter[str] = Counter()
        self.open: list[str] = []
        self.text = ""
        self.style = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "wbr"):
            self.open.append(tag)
        self.elements[tag] += 1
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in ("src", "style")
            if name == "id":
                self.names[value or ""] += 1
            if name == "href":
                self.links.add(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text += data


def page_of(operations: list[Operation]) -> tuple[Page, Answer]:
    answer = Docs(operations, "1.2.3").page(Request())
    assert isinstance(answer, Answer)
    return Page(answer.body.decode()), answer


def test_page_needs_nothing_else() -> None:
    page, answer = page_of(OPERATIONS)
    assert answer.content_type == "text/html; charset=utf-8"
    assert page.open == []
    assert not page.elements.keys() & {"script", "img", "link", "iframe", "form", "base"}
    assert "url(" not in page.style
    assert "@import" not in page.style
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")


def test_page_links_lead_somewhere() -> None:
    page, _ = page_of(OPERATIONS)
    assert max(page.names.values()) == 1
    assert page.links - {"openapi.json"} <= {f"#{name}" for name in page.names}


def test_page_shows_every_operation_and_model() -> None:
    page, _ = page_of(OPERATIONS)
    for methods in DOCUMENT["paths"].values():
        assert {entry["operationId"] for entry in methods.values()} <= page.names.keys()
    assert DOCUMENT["components"]["schemas"].keys() <= page.names.keys()
    assert 'curl "http://localhost:8002/peers?pageSize=20"' in page.text
    assert 'curl -X PUT "http://localhost:8002/tasks/$TASK" -d \'{' in page.text


def test_page_shows_text_as_it_is() -> None:
    operation = Operation(
        method="PUT",
        path="/things/{id}",
        handler=cast("Handler", paint),
        summary="paint <it>",
        tag="Task",
        body=Colour,
    )
    page, _ = page_of([operation])
    assert "Paint <it>" in page.text
    assert "In <b>English</b>." in page.text
    assert page.elements["b"] == 0
