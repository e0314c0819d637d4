"""How events are shown: all of them, in the terms of who reads them, and nothing secret."""

import enum
import json
import re
import types
from functools import reduce
from operator import or_
from typing import Any, NewType, Union, get_args, get_origin

import msgspec
import pytest

from supernode import daemon_events
from supernode.api.event_json import MESSAGES, text
from supernode.core import events
from supernode.core.events import (
    Event,
    LeaseExpired,
    PieceAssigned,
    PieceCached,
    PieceFinished,
    PiecesHeld,
    TaskFailed,
    TaskRegistered,
    TaskSized,
    Why,
)
from supernode.core.identity import ClientId, PeerId, TaskId
from supernode.core.model import CdnStatus, OriginVersion, Secrets, TaskSpec
from supernode.core.pieces import PieceDigest, PieceNumber
from supernode.core.reasons import Reason
from supernode.feed import Gap, Published

AT = 1767268800.1234
T, C, P = TaskId("t"), ClientId("c"), PeerId("p")
DIGEST = PieceDigest("d" * 32 + ":1029")
SPEC = TaskSpec(
    raw_url="http://user:s3cr3t@host/f?token=s3cr3t&v=1",
    task_url="http://user:s3cr3t@host/f?v=1",
    identifier="i",
    headers=Secrets({"Authorization": "s3cr3t"}),
    root_cas=("s3cr3t",),
)


def _named(kind: object) -> bool:
    """Tell whether this is the type of an event, not the base of some: ``piece.cached``."""
    return (
        isinstance(kind, type)
        and issubclass(kind, Event)
        and "." in str(kind.__struct_config__.tag)
    )


EVERY_TYPE: list[type[Event]] = [
    kind for module in (events, daemon_events) for kind in vars(module).values() if _named(kind)
]


def sample(kind: object) -> object:
    """Return a value of a field's type."""
    if isinstance(kind, NewType):
        return DIGEST if kind is PieceDigest else sample(kind.__supertype__)
    if get_origin(kind) in (Union, types.UnionType):
        return sample(get_args(kind)[0])
    if get_origin(kind) is tuple:
        return (sample(get_args(kind)[0]),) * 3
    if isinstance(kind, enum.EnumType):
        return next(iter(kind))
    samples: dict[object, object] = {
        str: "text",
        int: 300,
        float: AT,
        bool: False,
        bytes: b"bytes",
        TaskSpec: SPEC,
        OriginVersion: OriginVersion(etag='"a"', validator='"a"'),
    }
    return samples[kind]


def rendered(kind: type[Event]) -> str:
    """Return an event of this type, as number 7, as it is shown."""
    fields: dict[str, Any] = {
        field.name: sample(field.type) for field in msgspec.structs.fields(kind)
    }
    return text(Published(7, kind(**fields))).decode()


def shown(event: Event) -> dict[str, Any]:
    message = json.loads(text(Published(7, event)))
    assert isinstance(message, dict)
    return message


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_every_event_can_be_shown(kind: type[Event]) -> None:
    message = json.loads(rendered(kind))
    assert (message.pop("seq"), message.pop("time")) == (7, "2026-01-01T12:00:00.123Z")
    assert message.pop("type") == kind.__struct_config__.tag
    for name, value in message.items():
        assert re.fullmatch("[a-zA-Z0-9]+", name)
        assert isinstance(value, str | int | float | list)
    assert "s3cr3t" not in rendered(kind)
    assert str(AT) not in rendered(kind)  # moments have a form that people can read


def test_every_type_has_a_dotted_name_of_its_own() -> None:
    names = [str(kind.__struct_config__.tag) for kind in EVERY_TYPE]
    assert len(names) == len(set(names)) > 20
    for name in names:
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", name)


def test_the_messages_are_what_their_definitions_say() -> None:
    """So that a document can be made from the definitions."""
    any_message = reduce(or_, MESSAGES)
    for kind in EVERY_TYPE:
        message = msgspec.json.decode(rendered(kind), type=any_message)
        assert msgspec.json.encode(message).decode() == rendered(kind)
    schemas, _ = msgspec.json.schema_components(MESSAGES)
    assert len(schemas) == len(MESSAGES)


def test_an_event_is_rendered_once() -> None:
    published = Published(7, PiecesHeld(at=AT, task=T, client=C, pieces=0b1011))
    assert text(published) is text(published)


def test_a_gap_says_what_is_missing() -> None:
    assert json.loads(text(Gap(3, 9))) == {"type": "gap", "from": 3, "to": 9}


def about(**fields: object) -> dict[str, object]:
    return {"seq": 7, "time": "2026-01-01T12:00:00.123Z", "task": "t", **fields}


def test_a_task_is_shown_by_the_url_that_identifies_it_and_the_names_of_headers() -> None:
    event = TaskRegistered(at=AT, task=T, generation=2, spec=SPEC, last_used=AT, adopted=False)
    assert shown(event) == about(
        type="task.registered",
        generation=2,
        adopted=False,
        taskURL="http://host/f?v=1",
        identifier="i",
        headers=["Authorization"],
    )


def test_reasons_are_codes() -> None:
    event = TaskFailed(
        at=AT, task=T, status=CdnStatus.SOURCE_ERROR, reason=Reason.ORIGIN_DNS, detail="no host"
    )
    assert shown(event) == about(
        type="task.failed", cdnStatus="SOURCE_ERROR", reason="origin_dns", detail="no host"
    )


def test_amounts_are_bytes_of_content() -> None:
    cached = PieceCached(at=AT, task=T, piece=PieceNumber(3), digest=DIGEST)
    assert shown(cached) == about(type="piece.cached", piece=3, bytes=1024, pieceMD5=DIGEST)
    sized = TaskSized(at=AT, task=T, length=1024, piece_size=4096)
    assert shown(sized) == about(type="task.sized", bytes=1024, pieceSize=4096)


def test_what_is_not_known_is_left_out() -> None:
    sized = TaskSized(at=AT, task=T, length=None, piece_size=4096)
    assert shown(sized) == about(type="task.sized", pieceSize=4096)


def test_a_bitset_is_shown_as_a_number_of_pieces() -> None:
    held = PiecesHeld(at=AT, task=T, client=C, pieces=(1 << 700) - 1)
    assert shown(held) == about(type="pieces.held", client="c", pieces=700)


@pytest.mark.parametrize(("source", "holder"), [(P, "p"), (None, "seed")])
def test_a_holder_is_a_peer_or_the_seed(source: PeerId | None, holder: str) -> None:
    assigned = PieceAssigned(
        at=AT,
        task=T,
        client=C,
        lease=1,
        piece=PieceNumber(3),
        holder=ClientId("other") if source else None,
        source=source,
        overdue_at=AT + 1,
        deadline=AT + 2,
        why=Why.FIRST_COPY,
    )
    assert shown(assigned) == about(
        type="piece.assigned",
        client="c",
        lease=1,
        piece=3,
        holder=holder,
        overdueAt="2026-01-01T12:00:01.123Z",
        deadline="2026-01-01T12:00:02.123Z",
        why="first_copy",
        copies=0,
    )
    expired = LeaseExpired(at=AT, task=T, client=C, lease=1, piece=PieceNumber(3), source=source)
    assert shown(expired)["holder"] == holder


def test_nobody_is_the_holder_of_what_was_not_assigned() -> None:
    finished = PieceFinished(
        at=AT,
        task=T,
        client=C,
        piece=PieceNumber(3),
        lease=None,
        source=None,
        size=1029,
        seconds=None,
    )
    assert shown(finished) == about(type="piece.finished", client="c", piece=3, bytes=1024)
