"""What may be asked of the feed, and which events fit."""

from typing import Any

import pytest

from supernode.api.event_json import TYPES, text
from supernode.api.event_query import DURABLE, EventQuery, Selection, event_query, selection
from supernode.core.errors import BadField
from supernode.core.events import Event, LeaseExpired, PeerLeft, PieceCached, PieceFinished
from supernode.core.identity import ClientId, PeerId, TaskId
from supernode.core.pieces import PieceDigest, PieceNumber
from supernode.core.subjects import NOTHING, Subject
from supernode.exchange import Request
from supernode.feed import Published

X, P, Q = TaskId("x"), PeerId("p"), PeerId("q")
LEFT = PeerLeft(at=0, peer=P)
CACHED = PieceCached(at=0, task=X, piece=PieceNumber(1), digest=PieceDigest("d" * 32 + ":9"))


def finished(source: PeerId | None) -> PieceFinished:
    return PieceFinished(
        at=0,
        task=X,
        client=ClientId("c"),
        piece=PieceNumber(1),
        lease=1,
        source=source,
        size=9,
        seconds=1.0,
    )


def asked(query: str) -> EventQuery:
    return event_query(Request(query_string=query))


def wanted(query: str) -> Selection:
    return selection(asked(query))


def test_everything_that_happens_from_now_on_unless_asked_for_something_else() -> None:
    assert asked("") == EventQuery()
    assert asked("").since is None
    assert wanted("") == Selection()


def test_names_may_be_repeated_and_numbers_are_numbers() -> None:
    query = asked("task=x&task=y&peer=p&type=piece.*&type=task.failed,peer.left&since=7&batch=250")
    assert query == EventQuery(
        task=["x", "y"],
        peer=["p"],
        type=["piece.*", "task.failed", "peer.left"],
        since=7,
        batch=250,
    )


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("colour=red", "colour"),
        ("since=-1", "since"),
        ("since=soon", "since"),
        ("since=", "since"),
        ("since=1&since=2", "since"),
        ("since=99999999999999999999", "since"),
        ("batch=-1", "batch"),
        ("batch=60001", "batch"),
        ("batch=1&batch=1", "batch"),
        ("type=piece.eaten", "type"),
        ("type=piece", "type"),
        ("type=pie*", "type"),
        ("type=*", "type"),
        ("type=gap", "type"),
        ("type=", "type[0]"),
        ("task=", "task[0]"),
        ("&".join(["task=x"] * 65), "query"),
        ("task=" + ",".join(["x"] * 65), "task"),
        ("peer=" + "p" * 513, "peer[0]"),
    ],
)
def test_what_makes_no_sense_is_named(query: str, field: str) -> None:
    with pytest.raises(BadField) as refused:
        wanted(query)
    assert refused.value.field == field


def test_a_pattern_stands_for_all_types_of_a_kind() -> None:
    types = wanted("type=piece.*").types or frozenset()
    assert types == {name for name in TYPES if name.startswith("piece.")}
    assert len(types) > 3
    assert "pieces.held" not in types


@pytest.mark.parametrize(
    ("query", "event", "subject", "fits"),
    [
        ("", LEFT, NOTHING, True),
        ("type=peer.left", LEFT, NOTHING, True),
        ("type=peer.expired", LEFT, NOTHING, False),
        ("type=peer.*&type=task.*", LEFT, NOTHING, True),
        ("task=x", LEFT, NOTHING, False),
        ("task=x", CACHED, NOTHING, True),
        ("task=y", CACHED, NOTHING, False),
        ("task=y&task=x", CACHED, NOTHING, True),
        ("task=x&type=task.*", CACHED, NOTHING, False),
        ("peer=p", LEFT, NOTHING, True),
        ("peer=q", LEFT, NOTHING, False),
        ("peer=p", CACHED, NOTHING, False),
        ("peer=p", finished(Q), Subject(1, P), True),  # whose client it is
        ("peer=q", finished(Q), Subject(1, P), True),  # who gave it
        ("peer=r", finished(Q), Subject(1, P), False),
        ("peer=seed", finished(None), Subject(1, P), True),
        ("peer=seed", finished(Q), Subject(1, P), False),
    ],
)
def test_what_fits(query: str, event: Event, subject: Subject, fits: bool) -> None:
    published = Published(1, event, subject)
    assert wanted(query).fits(published) is fits
    assert wanted(query).fits_text(text(published)) is fits, "as it is found on disk"


def test_whoever_was_to_give_a_piece_is_named_by_its_lease() -> None:
    lease: dict[str, Any] = {"client": ClientId("c"), "lease": 1, "piece": PieceNumber(1)}
    expired = LeaseExpired(at=0, task=X, source=Q, **lease)
    assert wanted("peer=q").fits(Published(1, expired))


def test_what_is_kept_on_disk() -> None:
    assert wanted("type=task.*&type=piece.cached").is_within(DURABLE)
    assert not wanted("type=piece.*").is_within(DURABLE)
    assert not wanted("task=x").is_within(DURABLE)
