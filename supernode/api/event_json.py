"""Events as they are shown: flat JSON objects without secrets and without our insides.

The types of the messages are made from those of the events, field by field, so that an event which
the core learns is shown, and described, from then on. A field is shown as it is, spelled as the
interface spells its models, unless the table below knows better.
"""

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from operator import attrgetter
from typing import Annotated, Any, NamedTuple, TypeAlias, get_args

import msgspec
from msgspec import Meta

import supernode.daemon_events  # noqa: F401 - they are events, too
from supernode.core.events import (
    ClientEvent,
    Event,
    LeaseEvent,
    PieceAssigned,
    PieceFinished,
    PreheatEvent,
    TaskEvent,
)
from supernode.core.identity import PeerId, without_credentials
from supernode.core.pieces import FRAME_BYTES, digest_length
from supernode.feed import Gap, Published

SEED = "seed"
"""The supernode itself, where the ID of a peer could stand."""

Moment: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""RFC 3339, UTC, milliseconds."""


class _Shown(NamedTuple):
    """One field of a message.

    Args:
        kind: its type; one that allows None is left out when it is None.
        of: takes it from the event.
    """

    name: str
    kind: Any  # a type expression
    of: Callable[[Any], object]


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _moment_in(field: str, name: str) -> _Shown:
    value = attrgetter(field)
    return _Shown(name, Moment, lambda event: _moment(value(event)))


_ABOUT_HOLDERS = LeaseEvent | PieceAssigned | PieceFinished


def _holder(event: LeaseEvent | PieceAssigned | PieceFinished) -> str | None:
    """Return who gave a piece, or was to; a piece that was not leased may be from anywhere."""
    return event.source or (SEED if event.lease is not None else None)


def _seconds(event: PieceFinished) -> float | None:
    return None if event.seconds is None else round(event.seconds, 3)


_SHOWN: dict[str, tuple[_Shown, ...]] = {
    "at": (_moment_in("at", "time"),),
    "ip": (_Shown("IP", str, attrgetter("ip")),),
    # The file. A URL's query may be part of its name; what a client has filtered out is not.
    "spec": (
        _Shown("taskURL", str, lambda event: without_credentials(event.spec.task_url)),
        _Shown("md5", str | None, lambda event: event.spec.md5 or None),
        _Shown("identifier", str | None, lambda event: event.spec.identifier or None),
        _Shown("headers", list[str] | None, lambda event: event.spec.headers.names() or None),
    ),
    "status": (_Shown("cdnStatus", str, lambda event: event.status.value),),
    "reason": (_Shown("reason", str, lambda event: event.reason.code),),
    "last_used": (),
    # Amounts are bytes of content, as the origin counts them.
    "length": (_Shown("bytes", int | None, attrgetter("length")),),
    "size": (_Shown("bytes", int, lambda event: event.size - FRAME_BYTES),),
    "digest": (
        _Shown("bytes", int, lambda event: digest_length(event.digest) - FRAME_BYTES),
        _Shown("pieceMD5", str, attrgetter("digest")),
    ),
    "pieces": (_Shown("pieces", int, lambda event: event.pieces.bit_count()),),
    # The lease.
    "holder": (),
    "source": (_Shown("holder", str | None, _holder),),
    "seconds": (_Shown("seconds", float | None, _seconds),),
    "why": (_Shown("why", str, lambda event: event.why.name.lower()),),
    "overdue_at": (_moment_in("overdue_at", "overdueAt"),),
    "deadline": (_moment_in("deadline", "deadline"),),
    "avoid_until": (_moment_in("avoid_until", "avoidUntil"),),
    "distrusted_until": (_moment_in("distrusted_until", "distrustedUntil"),),
    "until": (_moment_in("until", "until"),),
    "retry_at": (
        _Shown(
            "retryAt",
            Moment | None,
            lambda event: None if event.retry_at is None else _moment(event.retry_at),
        ),
    ),
    "question": (),
    "origin_version": (
        _Shown("etag", str | None, lambda event: event.origin_version.etag or None),
        _Shown(
            "lastModified", str | None, lambda event: event.origin_version.last_modified or None
        ),
    ),
    "digests": (),
    "excess": (_Shown("bytes", int, attrgetter("excess")),),
}


_ABOUT = {
    "time": "When it happened.",
    "generation": "Of the task: a file that has changed at its origin is another one.",
    "client": "Who downloads.",
    "peer": "Which machine; of a client's event, the client's, if it shares what it has.",
    "holder": "Who gives the piece, or was to: a peer, or `seed`, the supernode itself.",
    "piece": "Its number, from 0.",
    "bytes": "Of content, as the origin counts them.",
    "seconds": "How long it took, since it was assigned.",
    "why": "Why this holder: `peer`, one with a free slot; the seed for `first_copy`, no peer has "
    "it or is getting it, `holders_full`, all are busy, `holders_avoided`, all failed the client.",
    "copies": "Why this piece: so many peers had it or were getting it, of no other fewer.",
    "reason": "For programs.",
    "detail": "What exactly was seen.",
    "lease": "Number of the assignment.",
}


class GapMessage(msgspec.Struct, frozen=True, tag_field="type", tag="gap"):
    """The reader was too slow: it missed the events of these numbers, inclusive."""

    first: int = msgspec.field(name="from")
    last: int = msgspec.field(name="to")


class _Rendering(NamedTuple):
    """How the events of one type are shown.

    Args:
        shown: the fields that come from the event.
        subject: those that come from what it is about.
    """

    message: type[msgspec.Struct]
    shown: tuple[_Shown, ...]
    subject: tuple[_Shown, ...]


def _rendering(kind: type[Event]) -> _Rendering:
    shown = tuple(
        part
        for field in msgspec.structs.fields(kind)
        for part in _SHOWN.get(field.name, (_as_it_is(field),))
    )
    subject = tuple(_subject(kind, {part.name for part in shown}))
    message = msgspec.defstruct(
        kind.__name__,
        [("seq", int), *(_definition(part) for part in (*shown, *subject))],
        namespace={"__doc__": kind.__doc__},
        tag_field="type",
        tag=kind.__struct_config__.tag,
        frozen=True,
        kw_only=True,
        omit_defaults=True,
    )
    return _Rendering(message, shown, subject)


def _subject(kind: type[Event], shown: Collection[str]) -> Iterator[_Shown]:
    """Yield what is shown of the subjects of events that do not say it themselves."""
    if issubclass(kind, TaskEvent | PreheatEvent) and "generation" not in shown:
        yield _Shown("generation", int | None, attrgetter("generation"))
    if issubclass(kind, ClientEvent) and "peer" not in shown:
        yield _Shown("peer", PeerId | None, attrgetter("peer"))


def _as_it_is(field: msgspec.structs.FieldInfo) -> _Shown:
    first, *others = field.name.split("_")
    name = first + "".join(word.capitalize() for word in others)
    return _Shown(name, field.type, attrgetter(field.name))


def _definition(part: _Shown) -> tuple[str, Any] | tuple[str, Any, None]:
    kind = part.kind
    if part.name in _ABOUT:
        kind = Annotated[kind, Meta(description=_ABOUT[part.name])]
    if type(None) in get_args(part.kind):
        return part.name, kind, None
    return part.name, kind


def _kinds(of: type[Event] = Event) -> Iterator[type[Event]]:
    """Yield the types of what happens, but not their bases."""
    if not of.__subclasses__():
        yield of
    for kind in of.__subclasses__():
        yield from _kinds(kind)


_RENDERINGS = {kind: _rendering(kind) for kind in _kinds()}

TYPES: frozenset[str] = frozenset(str(kind.__struct_config__.tag) for kind in _RENDERINGS)
"""The names of all types of events."""

MESSAGES: tuple[type[msgspec.Struct], ...] = (
    *(rendering.message for rendering in _RENDERINGS.values()),
    GapMessage,
)
"""The type of every message that there can be; ``type`` tells them apart."""


def type_of(event: Event) -> str:
    """Return the name of an event's type."""
    return str(event.__struct_config__.tag)


def type_of_message(kind: type[msgspec.Struct]) -> str:
    """Return the value of ``type`` by which a type of messages is told from the others."""
    return str(kind.__struct_config__.tag)


def shown_peers(published: Published) -> set[str | None]:
    """Return the peers that an event is shown with."""
    event = published.event
    peers: set[str | None] = {getattr(event, "peer", published.subject.peer)}
    if isinstance(event, _ABOUT_HOLDERS):
        peers.add(_holder(event))
    return peers


def message(published: Published) -> msgspec.Struct:
    """Return an event as it is shown."""
    kind, shown, subject = _RENDERINGS[type(published.event)]
    fields = {part.name: part.of(published.event) for part in shown}
    for part in subject:
        fields[part.name] = part.of(published.subject)
    return kind(seq=published.seq, **fields)


def text(item: Published | Gap) -> bytes:
    """Return an event, or a gap, as one JSON object; an event is rendered only once."""
    if isinstance(item, Gap):
        return msgspec.json.encode(GapMessage(item.first, item.last))
    if not item.text:
        item.text = msgspec.json.encode(message(item))
    return item.text
