"""The page at ``/docs``: an OpenAPI document as HTML that needs no script and no other file."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from html import escape
from urllib.parse import urlencode

from supernode.api.openapi import EXTENSION, MODELS, Json

_EXTENSION_MARK = (
    ' <span class="mark" title="not in the specification of Dragonfly\'s SuperNode API">'
    "extension</span>"
)
_LARGEST = (1 << 63) - 1
"""A maximum that is one of the encoding only."""

_HOST = "http://localhost:8002"


def page(document: Json, style: str) -> str:
    """Return the page.

    Args:
        document: as ``openapi.document`` makes it.
        style: the style sheet.
    """
    info = document["info"]
    title = f"{info['title']} {info['version']}"
    main = "".join(
        [
            f"<header><h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>"
            f'{_paragraphs(info["description"])}<p>For programs: <a href="openapi.json">'
            "openapi.json</a>, OpenAPI 3.1.</p></header>",
            *(_section(tag, document) for tag in document["tags"]),
            '<section id="models"><h2>Models</h2>',
            *(_model(name, schema) for name, schema in _models(document).items()),
            "</section>",
        ]
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f"<body>{_contents(document)}<main>{main}</main></body></html>\n"
    )


def _contents(document: Json) -> str:
    groups = []
    for tag in document["tags"]:
        links = "".join(
            f'<li><a href="#{operation["operationId"]}">{_badge(method)} {_path(path)}</a></li>'
            for method, path, operation in _operations(document, tag["name"])
        )
        name = escape(tag["name"])
        groups.append(f'<h2><a href="#tag-{name}">{name}</a></h2><ul>{links}</ul>')
    names = "".join(f"<li>{_link(name)}</li>" for name in _models(document))
    groups.append(f'<h2><a href="#models">Models</a></h2><ul>{names}</ul>')
    return f"<nav>{''.join(groups)}</nav>"


def _operations(document: Json, tag: str) -> Iterator[tuple[str, str, Json]]:
    """Yield the operations of one tag: method, path, description."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                yield method.upper(), path, operation


def _models(document: Json) -> Json:
    schemas: Json = document["components"]["schemas"]
    return schemas


def _section(tag: Json, document: Json) -> str:
    name = escape(tag["name"])
    operations = "".join(
        _operation(method, path, operation, document)
        for method, path, operation in _operations(document, tag["name"])
    )
    about = _paragraphs(tag["description"])
    return f'<section id="tag-{name}"><h2>{name}</h2>{about}{operations}</section>'


def _operation(method: str, path: str, operation: Json, document: Json) -> str:
    name = operation["operationId"]
    summary = operation["summary"]
    parts = [
        f'<article id="{name}"><h3><a href="#{name}">{_badge(method)} {_path(path)}</a>'
        f"{_mark(operation)}</h3>",
        f'<p class="summary">{_text(summary[:1].upper() + summary[1:])}</p>',
        _paragraphs(operation.get("description", "")),
    ]
    if parameters := operation.get("parameters"):
        rows = [
            _row(
                f"{_name(parameter['name'], parameter, required=parameter['required'])} "
                f'<span class="in">{parameter["in"]}</span>',
                _type(parameter["schema"]),
                parameter.get("description", ""),
            )
            for parameter in parameters
        ]
        parts.append(_table("Parameters", rows))
    if body := operation.get("requestBody"):
        model = _model_name(_schema(body))
        parts.append(_table(f"Body: {_link(model)}", _fields(_models(document)[model])))
    parts.append(_table("Answers", _answers(operation, document)))
    if "101" not in operation["responses"]:
        parts.append(f"<pre><code>{escape(_curl(method, path, operation, document))}</code></pre>")
    return "".join(parts) + "</article>"


def _answers(operation: Json, document: Json) -> list[str]:
    rows = []
    for status, response in operation["responses"].items():
        meaning = response["description"]
        content = _type(_schema(response)) if "content" in response else "nothing"
        rows.append(_row(f"<code>{status}</code>", content, meaning))
        for header in response.get("headers", {}):
            described = document["components"]["headers"][header]
            cell = f'{_name(header, described)} <span class="in">header</span>'
            rows.append(_row(cell, _type(described["schema"]), described["description"]))
    return rows


def _model(name: str, schema: Json) -> str:
    parts = [
        f'<article id="{name}"><h3><a href="#{name}">{escape(name)}</a></h3>',
        _paragraphs(schema.get("description", "")),
    ]
    if "properties" in schema:
        parts.append(_table("", _fields(schema)))
    else:
        parts.append(f"<p>{_type(schema)}</p>")
    return "".join(parts) + "</article>"


def _fields(schema: Json) -> list[str]:
    always = schema.get("required", ())
    return [
        _row(
            _name(name, field, required=name in always), _type(field), field.get("description", "")
        )
        for name, field in schema["properties"].items()
    ]


def _table(title: str, rows: Iterable[str]) -> str:
    heading = f"<h4>{title}</h4>" if title else ""
    return f"{heading}<table>{''.join(rows)}</table>"


def _row(name: str, kind: str, description: str) -> str:
    return f"<tr><th scope=row>{name}</th><td>{kind}</td><td>{_text(description)}</td></tr>"


def _name(name: str, described: Json, *, required: bool = False) -> str:
    star = ' <span class="required">required</span>' if required else ""
    return f"<code>{escape(name)}</code>{star}{_mark(described)}"


def _mark(described: Json) -> str:
    return _EXTENSION_MARK if described.get(EXTENSION) else ""


def _badge(method: str) -> str:
    return f'<span class="method {method.lower()}">{method}</span>'


def _path(path: str) -> str:
    """Return a path that may be broken at its slashes."""
    return f"<code>{escape(path).replace('/', '<wbr>/')}</code>"


def _link(model: str) -> str:
    return f'<a href="#{escape(model)}">{escape(model)}</a>'


def _schema(content: Json) -> Json:
    schema: Json = next(iter(content["content"].values()))["schema"]
    return schema


def _model_name(schema: Json) -> str:
    reference: str = schema["$ref"]
    return reference.removeprefix(MODELS)


def _type(schema: Json) -> str:
    """Return what values are allowed, in a few words."""
    if "$ref" in schema:
        kind = _link(_model_name(schema))
    elif "enum" in schema:
        kind = " | ".join(f"<code>{escape(value)}</code>" for value in schema["enum"])
    elif schema["type"] == "array":
        kind = f"list{_most(schema, 'maxItems')} of {_type(schema['items'])}"
    elif "additionalProperties" in schema:
        most = _most(schema, "maxProperties")
        kind = f"map{most} to {_type(schema['additionalProperties'])}"
    else:
        kind = escape(schema["type"])
    return ", ".join([kind, *_limits(schema)])


def _most(schema: Json, bound: str) -> str:
    return f" (at most {schema[bound]})" if bound in schema else ""


def _limits(schema: Json) -> Iterator[str]:
    if "format" in schema:
        yield escape(schema["format"])
    low, high = schema.get("minimum"), schema.get("maximum")
    if high == _LARGEST:
        high = None
    if low is not None and high is not None:
        yield f"{low} to {high}"
    elif low is not None:
        yield f"at least {low}"
    if "minLength" in schema:
        yield "not empty"
    if "maxLength" in schema:
        yield f"at most {schema['maxLength']} characters"
    if "default" in schema:
        yield f"default <code>{escape(json.dumps(schema['default']))}</code>"


def _text(markdown: str) -> str:
    """Return one paragraph; of Markdown it knows code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(markdown))


def _paragraphs(markdown: str) -> str:
    return "".join(f"<p>{_text(part)}</p>" for part in markdown.split("\n\n") if part.strip())


def _curl(method: str, path: str, operation: Json, document: Json) -> str:
    """Return a command line that makes an example of a request."""
    query = {}
    for parameter in operation.get("parameters", ()):
        example = parameter["schema"].get("examples", [None])[0]
        if parameter["in"] == "path":
            shown = example or "$" + path.split("/")[1].removesuffix("s").upper()
            path = path.replace(f"{{{parameter['name']}}}", shown)
        elif parameter["in"] == "query" and parameter["required"]:
            query[parameter["name"]] = example
    url = _HOST + path + ("?" + urlencode(query) if query else "")
    words = ["curl"]
    body = {}
    if "requestBody" in operation:
        fields = _models(document)[_model_name(_schema(operation["requestBody"]))]["properties"]
        body = {name: kind["examples"][0] for name, kind in fields.items() if "examples" in kind}
    if method != ("POST" if body else "GET"):
        words.append(f"-X {method}")
    words.append(f'"{url}"')
    if body:
        words.append("-d " + shlex.quote(json.dumps(body)))
    return " ".join(words)
