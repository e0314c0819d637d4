"""Which events a client wants to see: the query of ``GET /events``, and who fits it."""

from collections.abc import Collection, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, field

from supernode.api.decoding import from_fields
from supernode.api.event_json import TYPES, shown_peers, type_of
from supernode.api.models import MOST_ENTRIES, Model, Natural, SomeWord
from supernode.core.errors import BadField
from supernode.exchange import Request
from supernode.feed import Published
from supernode.journal.kept_events import TRANSIENT

LONGEST_BATCH = 60_000
DURABLE = TYPES - {str(kind.__struct_config__.tag) for kind in TRANSIENT}
"""The types of events that are kept on disk."""

_Names = Annotated[list[SomeWord], Meta(max_length=MOST_ENTRIES)]


class EventQuery(Model):
    """Which events, from which one on, how many at a time; of each name any of its values."""

    task: Annotated[_Names, Meta(description="Only what is about these tasks.")] = field(
        default_factory=list
    )
    peer: Annotated[
        _Names, Meta(description="Only what names these peers, as `peer` or as `holder`.")
    ] = field(default_factory=list)
    type: Annotated[
        _Names,
        Meta(
            description="Only these types: `task.finished`; `piece.*` is all of a kind.",
            examples=[["piece.*"]],
        ),
    ] = field(default_factory=list)
    since: Annotated[
        Natural | None,
        Meta(
            description="First the events whose `seq` is greater, then those that happen. Left "
            "out: only those that happen.",
        ),
    ] = None
    batch: Annotated[
        int,
        Meta(
            ge=0,
            le=LONGEST_BATCH,
            description="For so many milliseconds at most an event waits for others to be sent "
            "along with.",
        ),
    ] = 0


class Selection(msgspec.Struct, frozen=True):
    """Which events fit.

    Attributes:
        types: those of these types; None: of any.
        tasks: about these tasks; empty: about anything.
        peers: about these peers; empty: about anything.
    """

    types: frozenset[str] | None = None
    tasks: frozenset[str] = frozenset()
    peers: frozenset[str] = frozenset()

    def fits(self, published: Published) -> bool:
        """Tell whether an event is wanted."""
        event = published.event
        if self.types is not None and type_of(event) not in self.types:
            return False
        if self.tasks and getattr(event, "task", None) not in self.tasks:
            return False
        return not self.peers or not self.peers.isdisjoint(shown_peers(published))

    def fits_text(self, text: bytes) -> bool:
        """Tell the same of an event that was rendered by an earlier process."""
        if not (self.types is not None or self.tasks or self.peers):
            return True
        about = msgspec.json.decode(text, type=_About)
        return (
            (self.types is None or about.type in self.types)
            and (not self.tasks or about.task in self.tasks)
            and (not self.peers or not self.peers.isdisjoint({about.peer, about.holder}))
        )

    def is_within(self, types: Collection[str]) -> bool:
        """Tell whether only events of these types can fit."""
        return self.types is not None and self.types <= frozenset(types)


class _About(msgspec.Struct):
    type: str
    task: str | None = None
    peer: str | None = None
    holder: str | None = None


def event_query(request: Request) -> EventQuery:
    """Return what a request asks for.

    Raises:
        BadField: a name that is not known, given twice, or whose value makes no sense.
    """
    fields = {known.name for known in msgspec.structs.fields(EventQuery)}
    for name, values in request.query.items():
        if name.lower() not in fields:
            raise BadField(name[:64], f"is none of {', '.join(sorted(fields))}")
        if len(values) > 1 and name.lower() in ("since", "batch"):
            raise BadField(name, "is given more than once")
    return from_fields(request.query, EventQuery)


def selection(query: EventQuery) -> Selection:
    """Return which events fit a query. Raises BadField."""
    return Selection(
        types=_types(query.type) if query.type else None,
        tasks=frozenset(query.task),
        peers=frozenset(query.peer),
    )


def _types(patterns: Sequence[str]) -> frozenset[str]:
    types: set[str] = set()
    for pattern in patterns:
        kind = pattern.removesuffix("*")
        if kind == pattern:
            found = {pattern} & TYPES
        else:
            found = {name for name in TYPES if name.startswith(kind) and kind.endswith(".")}
        if not found:
            raise BadField("type", f"there are no events of type {pattern[:64]!r}")
        types |= found
    return frozenset(types)
