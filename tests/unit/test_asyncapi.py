"""The document that describes the feed, and that the feed is what it says."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from supernode.api.asyncapi import document, operation
from supernode.api.event_json import MESSAGES, TYPES, text
from supernode.core.events import PieceCached, PieceFinished, TaskRegistered
from supernode.core.identity import ClientId, PeerId, TaskId
from supernode.core.model import TaskSpec
from supernode.core.pieces import PieceDigest, PieceNumber
from supernode.core.subjects import Subject
from supernode.exchange import Request
from supernode.feed import Gap, Published

DOCUMENT = document("1.2.3")
T, P = TaskId("t"), PeerId("p")


def test_it_is_what_its_specification_wants() -> None:
    schema = json.loads((Path(__file__).parent / "data/asyncapi/3.0.0.json").read_text())
    jsonschema_rs.Draft7Validator(schema).validate(DOCUMENT)


def test_references_lead_somewhere() -> None:
    for target in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT))):
        place: Any = DOCUMENT
        for step in target.split("/"):
            place = place[step]


def test_every_type_of_message_is_there() -> None:
    (channel,) = DOCUMENT["channels"].values()
    assert set(channel["messages"]) == {*TYPES, "gap"}
    messages = DOCUMENT["components"]["messages"]
    assert len(messages) == len(MESSAGES)
    assert all(message["summary"] for message in messages.values())


def test_it_tells_what_is_kept_on_disk() -> None:
    messages = DOCUMENT["components"]["messages"]
    assert messages["piece.cached"]["x-kept"]
    assert messages["daemon.started"]["x-kept"]
    assert not messages["piece.assigned"]["x-kept"]
    assert "x-kept" not in messages["gap"]


def test_it_tells_what_may_be_asked_for() -> None:
    (channel,) = DOCUMENT["channels"].values()
    query = channel["bindings"]["ws"]["query"]
    assert set(query["properties"]) == {"task", "peer", "type", "since", "batch"}
    assert query["properties"]["since"]["minimum"] == 0


REGISTERED = TaskRegistered(
    at=0, task=T, generation=1, spec=TaskSpec(raw_url="u", task_url="u"), last_used=0, adopted=False
)
CACHED = PieceCached(at=0, task=T, piece=PieceNumber(1), digest=PieceDigest("d" * 32 + ":9"))
FINISHED = PieceFinished(
    at=0, task=T, client=ClientId("c"), piece=PieceNumber(1), lease=1, source=P, size=9, seconds=1.5
)


@pytest.mark.parametrize(
    "item",
    [
        Published(1, REGISTERED),
        Published(2, CACHED, Subject(1)),
        Published(3, FINISHED, Subject(1, P)),
        Published(4, FINISHED),
        Gap(1, 2),
    ],
)
def test_messages_are_as_described(item: Published | Gap) -> None:
    message = json.loads(text(item))
    payload = DOCUMENT["components"]["messages"][message["type"]]["payload"]
    schema = {**payload, "components": DOCUMENT["components"]}
    jsonschema_rs.Draft202012Validator(schema).validate(message)
    described = DOCUMENT["components"]["schemas"][payload["$ref"].rpartition("/")[2]]
    assert set(message) <= set(described["properties"])


def test_it_is_served() -> None:
    served = operation("1.2.3")
    assert served.path == "/asyncapi.json"
    answer = served.handler(Request())
    assert json.loads(getattr(answer, "body")) == DOCUMENT  # noqa: B009 - it may be a wait
