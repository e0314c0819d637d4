"""The feed described for programs: an AsyncAPI 3 document made of the types of its messages."""

import re
from inspect import getdoc

import msgspec

from supernode.api.event_json import MESSAGES, GapMessage, type_of_message
from supernode.api.event_query import DURABLE, EventQuery
from supernode.api.events import HEARTBEAT_SECONDS, NDJSON, PATH
from supernode.api.openapi import MODELS, Json, prose, tidied
from supernode.api.operations import Operation
from supernode.api.watching import PAUSE
from supernode.exchange import SEQ_HEADER, Answer, Request
from supernode.streaming import CLOSE_CODES, Ending

_ABOUT = prose(f"""
Everything that happens at a supernode, as it happens: each event is one JSON object.

``GET {PATH}`` with the handshake of a websocket sends each as a text message; what a client sends
is ignored. Without, each is a line of a body of type ``{NDJSON}`` that does not end; an empty line
each {HEARTBEAT_SECONDS:.0f} s or so tells that the connection lives.

``seq`` grows by one with each event, and no number is ever given to two. A client that names the
last one it knows of (``since``) gets what came after, none lost and none twice, also after the
supernode was restarted. Every answer of the supernode says in ``{SEQ_HEADER}`` which events it
takes into account, and so does the one to ``GET {PATH}``: its first event is the next.

What is kept no longer is told as a ``gap``, which has no ``seq``: some events of those numbers may
have been what was asked for. In memory are the last few thousand events; on disk the last 100,000
of those with ``x-kept``. A supernode that was killed has reserved more numbers than it is known to
have given; they are in such a gap, too, though no event may ever have had them.

Events of a moment go out together, in one write: within {PAUSE * 1000:.0f} ms, or ``batch``. A
client that misses more than it reads is disconnected with {CLOSE_CODES[Ending.TOO_SLOW]}; a
supernode that stops says {CLOSE_CODES[Ending.CLOSED]}. New types of events, and new fields, may
come at any time.
""")


def document(version: str) -> Json:
    """Return the document.

    Args:
        version: the program's.
    """
    _, found = msgspec.json.schema_components(MESSAGES, ref_template=MODELS + "{name}")
    _, query = msgspec.json.schema_components([EventQuery])
    schemas = {name: tidied(schema) for name, schema in found.items()}
    messages = {type_of_message(kind): _message(kind) for kind in MESSAGES}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "supernode",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache License 2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "events": {
                "address": PATH,
                "title": "what happens",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {
                    "ws": {
                        "method": "GET",
                        "query": tidied(query[EventQuery.__name__]),
                        "bindingVersion": "0.1.0",
                    }
                },
            }
        },
        "operations": {
            "watch": {
                "action": "send",
                "channel": {"$ref": "#/channels/events"},
                "summary": "Every event that was asked for, in the order they happened.",
            }
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def _message(kind: type[msgspec.Struct]) -> Json:
    name = type_of_message(kind)
    message: Json = {
        "name": name,
        "title": re.sub(r"[._]", " ", name),
        "summary": prose(getdoc(kind) or ""),
        "payload": {"$ref": f"{MODELS}{kind.__name__}"},
    }
    if kind is not GapMessage:
        message["x-kept"] = name in DURABLE
    return message


def operation(version: str) -> Operation:
    """Return what serves the document; it is made once."""
    answer = Answer(200, msgspec.json.encode(document(version)))

    def get(_request: Request) -> Answer:
        """``GET /asyncapi.json``."""
        return answer

    return Operation(
        method="GET",
        path="/asyncapi.json",
        handler=get,
        summary="get the feed of events as an AsyncAPI document",
        tag="System",
        extension=True,
    )
