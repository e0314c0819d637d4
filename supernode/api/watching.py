"""Those who watch what happens: each with its place in the events, all with the same messages.

Whoever names the last event it knows of is given what came after, from the disk, then from memory,
then as it happens; in between nothing is awaited, so that nothing is lost or repeated. What is kept
nowhere any more is told as a gap. Then events go out as they come, those of a moment together: many
who watch cost little more than one, and an event waits no longer than one asks for.
"""

import math
import weakref
from collections import OrderedDict
from typing import Protocol

import structlog
import trio

from supernode.api.errors import explain, failure
from supernode.api.event_json import text
from supernode.api.event_query import DURABLE, EventQuery, Selection, event_query, selection
from supernode.core.errors import BadField
from supernode.exchange import SEQ_HEADER, Answer, Request
from supernode.feed import RECENT, Feed, Gap
from supernode.journal.errors import JournalError
from supernode.journal.kept_events import Lost, Page
from supernode.streaming import Ending, Portion

MOST_SUBSCRIBERS = 1000
MOST_BYTES = 128 << 10
"""What one portion may have, unless a single message is larger."""
PAUSE = 0.05
"""How long an event waits for others, in seconds, unless a client asks for more …"""
STEP = 0.025
"""… and all who would be sent something within so many seconds are sent it at once."""
SHARED = 16
"""How many portions are kept for others who want the same."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Past(Protocol):
    """Where the events are that the feed has forgotten."""

    async def read(self, after: int, before: int) -> Page:
        """Return what is kept between two numbers, from the first on. Raises JournalError."""
        ...


class Watching:
    """Everybody who watches.

    Args:
        feed: what happens.
        past: what has happened; None: nobody knows.
        most: how many may watch at a time.
    """

    def __init__(
        self, feed: Feed, past: Past | None = None, *, most: int = MOST_SUBSCRIBERS
    ) -> None:
        self._feed = feed
        self._past = past
        self._most = most
        self._room = trio.Semaphore(most)
        self._portions = _Portions(feed)

    def open(self, request: Request) -> "Watch | Answer":
        """Begin to watch, as a query says; the caller closes it. An answer says why not."""
        try:
            query = event_query(request)
            wanted = selection(query)
            if query.since is not None and query.since > self._feed.seq:
                raise BadField("since", f"is beyond {self._feed.seq}, the last event there was")
        except BadField as error:
            return self._dated(explain(error))
        try:
            self._room.acquire_nowait()
        except trio.WouldBlock:
            return self._dated(failure(503, f"there are {self._most} subscribers already"))
        return Watch(self._feed, self._past, self._portions, self._room, query, wanted)

    def _dated(self, answer: Answer) -> Answer:
        return Answer(answer.status, answer.body, headers={SEQ_HEADER: str(self._feed.seq)})


class Watch:
    """One who watches: a stream, as :mod:`supernode.streaming` has it."""

    def __init__(
        self,
        feed: Feed,
        past: Past | None,
        portions: "_Portions",
        room: trio.Semaphore,
        query: EventQuery,
        wanted: Selection,
    ) -> None:
        self._feed = feed
        self._past = past
        self._portions = portions
        self._leave = weakref.finalize(self, room.release)  # also if nobody ever closes it
        self._wanted = wanted
        self._place = feed.subscribe(query.since)
        self._catches_up = query.since is not None
        self._hole: Gap | None = None
        """What is to be told before the next event from the disk."""
        self._pause = max(query.batch / 1000, PAUSE)
        self._not_before = -math.inf
        """On Trio's clock: when the next portion may go."""
        self._resumed: int | None = None
        """After which event it went on when it had missed some."""

    @property
    def headers(self) -> dict[str, str]:
        """After which event it begins."""
        return {SEQ_HEADER: str(self._place.last)}

    def close(self) -> None:
        """Make room for others."""
        self._leave()

    async def next(self) -> Portion | Ending:
        """Wait for the next messages, or the end. On cancel, none is lost."""
        while True:
            portion = await self._catch_up() if self._catches_up else await self._keep_up()
            if not isinstance(portion, Portion) or portion.texts:
                return portion

    async def _keep_up(self) -> Portion | Ending:
        """Wait for what happens next."""
        place = self._place
        await self._portions.until(self._not_before)
        if not await place.news():
            return Ending.CLOSED
        if gap := place.missed():
            if self._misses_more_than_it_reads(gap):
                return Ending.TOO_SLOW
            portion = Portion([text(gap)])
        else:
            portion = self._next_portion()
        if place.last == self._feed.seq:
            self._not_before = self._portions.later(self._pause)
        return portion

    def _next_portion(self) -> Portion:
        portion, self._place.last = self._portions.after(self._place.last, self._wanted)
        return portion

    def _misses_more_than_it_reads(self, gap: Gap) -> bool:
        """Tell whether it has missed as much as is kept, and read less since it last did."""
        before, self._resumed = self._resumed, gap.last
        return before is not None and gap.first - before < RECENT

    async def _catch_up(self) -> Portion:
        """Return what has happened, until it is the present; what memory has lost, the disk has."""
        await trio.lowlevel.checkpoint()
        place, feed = self._place, self._feed
        if place.last < feed.oldest - 1:
            return await self._from_the_past(feed.oldest)
        self._catches_up = place.last < feed.seq
        hole, portion = self._told_hole(), self._next_portion()
        return Portion([*hole, *portion.texts]) if hole else portion

    async def _from_the_past(self, before: int) -> Portion:
        place = self._place
        texts: list[bytes] = []
        page = await self._read(place.last, before)
        for found in page.found:
            if isinstance(found, Lost):
                self._pass_over(found.first - 1)
                self._skip(found.last)
            else:
                self._pass_over(found.seq - 1)
                place.last = found.seq
                if self._wanted.fits_text(found.text):
                    texts += self._told_hole()
                    texts.append(found.text)
        self._pass_over(page.last)
        return Portion(texts)

    async def _read(self, after: int, before: int) -> Page:
        try:
            if self._past is not None:
                return await self._past.read(after, before)
        except JournalError as error:
            log.warning("events could not be read", problem=str(error))
        return Page([Lost(after + 1, before - 1)], before - 1)

    def _pass_over(self, last: int) -> None:
        """Go on after what was not meant to be kept; a gap for who might have wanted it."""
        if self._wanted.is_within(DURABLE):
            self._place.last = max(self._place.last, last)
        else:
            self._skip(last)

    def _skip(self, last: int) -> None:
        """Go on after numbers of which some may be missing."""
        if self._place.last < last:
            first = self._hole.first if self._hole else self._place.last + 1
            self._hole = Gap(first, last)
            self._place.last = last

    def _told_hole(self) -> list[bytes]:
        hole, self._hole = self._hole, None
        return [text(hole)] if hole else []


class _Portions:
    """What goes out, and when: made once for all who are at the same place and want the same."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._made: OrderedDict[tuple[int, int, Selection], tuple[Portion, int]] = OrderedDict()
        self._moments: dict[float, trio.Event] = {}
        """Those that somebody waits for."""

    def later(self, seconds: float) -> float:
        """Return a moment so many seconds from now, or a little after, the same for many."""
        return math.ceil((trio.current_time() + seconds) / STEP) * STEP

    async def until(self, moment: float) -> None:
        """Wait for a moment, or until the feed is closed. The first who does wakes the others."""
        if moment <= trio.current_time():
            await trio.lowlevel.checkpoint()
        elif (come := self._moments.get(moment)) is not None:
            await come.wait()
        else:
            come = self._moments[moment] = trio.Event()
            try:
                with trio.move_on_at(moment):
                    await self._feed.until_closed()
            finally:
                come.set()
                del self._moments[moment]

    def after(self, seq: int, wanted: Selection) -> tuple[Portion, int]:
        """Return the next messages after a number, and the number of the last event looked at."""
        key = (seq, self._feed.seq, wanted)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = self._make(seq, wanted)
            if len(self._made) > SHARED:
                self._made.popitem(last=False)
        return made

    def _make(self, seq: int, wanted: Selection) -> tuple[Portion, int]:
        texts: list[bytes] = []
        room = MOST_BYTES
        for published in self._feed.after(seq):
            if wanted.fits(published):
                shown = text(published)
                if texts and len(shown) > room:
                    break
                room -= len(shown)
                texts.append(shown)
            seq = published.seq
        return Portion(texts), seq
