"""How many bytes go from whom to whom, and how fast: counted from the events as they happen.

The tracker needs none of it, so it is no part of its state: it begins with the process, and what
is known of a peer or a task goes with it. All amounts are bytes of content.

A *wave* is the time in which somebody downloads a task, from the first who begins until nobody is
left. Rates are those *while busy*: bytes divided by the time in which at least one piece was under
way, so that a link that had to wait does not pass for a slow one; or those of the best few seconds,
where these are higher: most links are slow while a swarm forms.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from supernode.core.events import (
    DownloadFailed,
    DownloadFinished,
    DownloadForgotten,
    DownloadStarted,
    Event,
    LeaseEvent,
    LeaseExpired,
    LeaseOverdue,
    LeaseReleased,
    PeerExpired,
    PeerLeft,
    PieceAssigned,
    PieceCached,
    PieceFailed,
    PieceFinished,
    TaskEvent,
    TaskFailed,
    TaskFinished,
    TaskRemoved,
    TaskStarted,
)
from supernode.core.identity import ClientId, PeerId, TaskId
from supernode.core.pieces import FRAME_BYTES, digest_length
from supernode.feed import Published

HISTORY_SECONDS = 600
RECENT_SECONDS = 5
"""Over how many seconds a rate is taken that counts as the present one."""


class Amounts(NamedTuple):
    """Bytes by where they came from."""

    origin: int = 0
    seed: int = 0
    peers: int = 0

    def plus(self, other: "Amounts") -> "Amounts":
        """Return the sums."""
        return Amounts(self.origin + other.origin, self.seed + other.seed, self.peers + other.peers)


@dataclass(slots=True)
class Meter:
    """What one end of links has carried, and for how long it was busy."""

    bytes: int = 0
    pieces: int = 0
    _busy: float = 0.0
    _under_way: int = 0
    _since: float = 0.0
    _best: float = 0.0
    """The highest rate of any few seconds."""
    _window: int = 0
    _window_began: float = 0.0

    def begin(self, at: float) -> None:
        """Note that one piece more is under way."""
        if not self._under_way:
            self._since = self._window_began = at
            self._window = 0
        self._under_way += 1

    def end(self, at: float) -> None:
        """Note that one piece less is under way, unless that was noted already."""
        if not self._under_way:
            return
        self._under_way -= 1
        if not self._under_way:
            self._busy += at - self._since

    @property
    def is_busy(self) -> bool:
        """Whether something is under way."""
        return self._under_way > 0

    def count(self, size: int, at: float) -> None:
        """Note that a piece has come."""
        self.bytes += size
        self.pieces += 1
        self._window += size
        seconds = at - self._window_began
        if seconds >= RECENT_SECONDS:
            self._best = max(self._best, self._window / seconds)
            self._window, self._window_began = 0, at

    def rate(self, now: float) -> float | None:
        """Return bytes/s while busy, or in the best seconds; None: nothing has come yet.

        Of each piece that is under way a half is taken to have come: or everything would seem
        slow at first.
        """
        busy = self._busy + (now - self._since if self._under_way else 0.0)
        if not self.pieces or busy <= 0:
            return None
        come = self.bytes + self._under_way * self.bytes / self.pieces / 2
        return max(come / busy, self._best)


class Rates(NamedTuple):
    """Bytes/s while busy, or at best, as far as known.

    Args:
        origin: of the origin.
        seed: of the supernode's uploads.
        peers: the sum of all peers' uploads.
        fastest: of the fastest client's downloads.
    """

    origin: float | None = None
    seed: float | None = None
    peers: float = 0.0
    fastest: float | None = None


class Ring:
    """What came in each of the last seconds."""

    def __init__(self, seconds: int) -> None:
        self._seconds: deque[Amounts] = deque([Amounts()] * seconds, maxlen=seconds)
        self._second = 0

    def add(self, at: float, amounts: Amounts) -> None:
        """Note what came."""
        self._turn(at)
        self._seconds[-1] = self._seconds[-1].plus(amounts)

    def seconds(self, now: float) -> tuple[int, list[Amounts]]:
        """Return when the present second began, and what came in each up to it, oldest first."""
        self._turn(now)
        return self._second, list(self._seconds)

    def _turn(self, at: float) -> None:
        passed = int(at) - self._second
        if passed > 0:
            self._seconds.extend([Amounts()] * min(passed, self._seconds.maxlen or 0))
            self._second = int(at)


@dataclass(slots=True)
class Wave:
    """One wave of downloads of a task."""

    began: float
    ended: float | None = None
    clients: int = 0
    """How many have begun, less those that failed."""
    came: Amounts = field(default_factory=Amounts)
    recent: Ring = field(default_factory=lambda: Ring(RECENT_SECONDS + 1))
    origin: Meter = field(default_factory=Meter)
    _givers: dict[PeerId | None, Meter] = field(default_factory=dict)
    _takers: dict[ClientId, Meter] = field(default_factory=dict)
    _fastest: float | None = None
    _overdue: set[int] = field(default_factory=set)
    _at_the_end: Rates | None = None

    def rates(self, now: float) -> Rates:
        """Return how fast everybody is; of a wave that is over, was."""
        if self._at_the_end is not None:
            return self._at_the_end
        peers = [meter.rate(now) for peer, meter in self._givers.items() if peer is not None]
        takers = [meter.rate(now) for meter in self._takers.values()]
        seed = self._givers.get(None)
        return Rates(
            origin=self.origin.rate(now),
            seed=seed.rate(now) if seed else None,
            peers=sum(rate for rate in peers if rate),
            fastest=max((rate for rate in [*takers, self._fastest] if rate), default=None),
        )

    def count(self, amounts: Amounts, at: float) -> None:
        """Note what came."""
        self.came = self.came.plus(amounts)
        self.recent.add(at, amounts)

    def rate_of(self, client: ClientId, now: float) -> float | None:
        """Return how fast one client of those that still download is."""
        taker = self._takers.get(client)
        return taker.rate(now) if taker else None

    def join(self, client: ClientId) -> Meter:
        """Return the meter of a client, who may be new."""
        if client not in self._takers:
            self._takers[client] = Meter()
            self.clients += 1
        return self._takers[client]

    def leave(self, client: ClientId, at: float, *, failed: bool) -> None:
        """Note that a client is done; if it was the last one, so is the wave."""
        taker = self._takers.get(client)
        if taker is None:
            return
        if len(self._takers) == 1:
            self.end(at)
        elif not failed and (rate := taker.rate(at)):
            self._fastest = max(rate, self._fastest or rate)
        self.clients -= failed
        self._takers.pop(client, None)

    def end(self, at: float) -> None:
        """Note that nobody downloads any longer."""
        if self.ended is None:
            self._at_the_end = self.rates(at)
            self.ended = at
        self._givers.clear()
        self._takers.clear()
        self._overdue.clear()

    @property
    def has_takers(self) -> bool:
        """Whether somebody downloads."""
        return bool(self._takers)

    def assigned(self, event: PieceAssigned) -> None:
        """Note that a piece is under way."""
        self.join(event.client).begin(event.at)
        self._givers.setdefault(event.source, Meter()).begin(event.at)

    def came_from(self, source: PeerId | None, client: ClientId, size: int, at: float) -> None:
        """Note that a client has a piece."""
        for meter in (self._givers.get(source), self._takers.get(client)):
            if meter is not None:
                meter.count(size, at)

    def lease_overdue(self, event: LeaseOverdue) -> None:
        """Note that a piece is probably not under way any longer."""
        self._stop(event.source, event.client, event.at)
        self._overdue.add(event.lease)

    def lease_ended(self, lease: int, source: PeerId | None, client: ClientId, at: float) -> None:
        """Note that a piece is under way no longer."""
        if lease in self._overdue:
            self._overdue.remove(lease)
        else:
            self._stop(source, client, at)

    def _stop(self, source: PeerId | None, client: ClientId, at: float) -> None:
        for meter in (self._givers.get(source), self._takers.get(client)):
            if meter is not None:
                meter.end(at)


@dataclass(slots=True)
class Given:
    """What one peer has given to others."""

    bytes: int = 0
    pieces: int = 0
    failed: int = 0
    """Pieces that somebody could not get from it."""


class Traffic:
    """Reads along, and adds up. Synchronous, a dictionary look-up or a few for each event."""

    def __init__(self) -> None:
        self.total = Amounts()
        self.history = Ring(HISTORY_SECONDS)
        self._given: dict[PeerId, Given] = {}
        self._waves: dict[TaskId, Wave] = {}

    def note(self, published: Published) -> None:
        """Note what an event says. A listener of the feed."""
        if rule := _RULES.get(type(published.event)):
            rule(self, published.event)

    def given(self, peer: PeerId) -> Given | None:
        """Return what a peer has given or failed to; None: nothing."""
        return self._given.get(peer)

    def wave(self, task: TaskId) -> Wave | None:
        """Return the present wave of a task, or the last one; None: there was none yet."""
        return self._waves.get(task)

    # what events say

    def _started(self, event: DownloadStarted) -> None:
        wave = self._waves.get(event.task)
        if wave is None or not wave.has_takers:
            before, wave = wave, Wave(event.at)
            if before and before.origin.is_busy:
                wave.origin = before.origin  # somebody joins a preheat
            self._waves[event.task] = wave
        wave.join(event.client)

    def _ended(self, event: DownloadFinished | DownloadFailed | DownloadForgotten) -> None:
        if wave := self._waves.get(event.task):
            wave.leave(event.client, event.at, failed=not isinstance(event, DownloadFinished))

    def _present(self, event: TaskEvent) -> Wave:
        """Return the wave of a task; one that an earlier process saw begin counts from now."""
        wave = self._waves.get(event.task)
        if wave is None:
            wave = self._waves[event.task] = Wave(event.at)
        return wave

    def _assigned(self, event: PieceAssigned) -> None:
        self._present(event).assigned(event)

    def _finished(self, event: PieceFinished) -> None:
        if event.lease is None:
            return  # nobody was told to give it
        wave = self._present(event)
        size = event.size - FRAME_BYTES
        amounts = Amounts(seed=size) if event.source is None else Amounts(peers=size)
        self._count(wave, amounts, event.at)
        wave.came_from(event.source, event.client, size, event.at)
        wave.lease_ended(event.lease, event.source, event.client, event.at)
        if event.source is not None:
            given = self._given.setdefault(event.source, Given())
            given.bytes += size
            given.pieces += 1

    def _failed(self, event: PieceFailed) -> None:
        if event.source is not None:
            self._given.setdefault(event.source, Given()).failed += 1
        self._lease_ended(event)

    def _lease_ended(self, event: LeaseEvent) -> None:
        if wave := self._waves.get(event.task):
            wave.lease_ended(event.lease, event.source, event.client, event.at)

    def _overdue(self, event: LeaseOverdue) -> None:
        if wave := self._waves.get(event.task):
            wave.lease_overdue(event)

    def _fetch_started(self, event: TaskStarted) -> None:
        self._present(event).origin.begin(event.at)

    def _cached(self, event: PieceCached) -> None:
        wave = self._present(event)
        size = digest_length(event.digest) - FRAME_BYTES
        wave.origin.count(size, event.at)
        self._count(wave, Amounts(origin=size), event.at)

    def _fetch_ended(self, event: TaskFinished | TaskFailed) -> None:
        wave = self._waves.get(event.task)
        if wave is None:
            return
        if wave.origin.is_busy:
            wave.origin.end(event.at)
        if isinstance(event, TaskFailed):
            wave.end(event.at)

    def _count(self, wave: Wave, amounts: Amounts, at: float) -> None:
        self.total = self.total.plus(amounts)
        self.history.add(at, amounts)
        wave.count(amounts, at)

    def _removed(self, event: TaskRemoved) -> None:
        self._waves.pop(event.task, None)

    def _peer_left(self, event: PeerLeft | PeerExpired) -> None:
        self._given.pop(event.peer, None)


_Rule: TypeAlias = Callable[[Traffic, Any], None]
_RULES: dict[type[Event], _Rule] = {
    DownloadStarted: Traffic._started,
    DownloadFinished: Traffic._ended,
    DownloadFailed: Traffic._ended,
    DownloadForgotten: Traffic._ended,
    PieceAssigned: Traffic._assigned,
    PieceFinished: Traffic._finished,
    PieceFailed: Traffic._failed,
    LeaseExpired: Traffic._lease_ended,
    LeaseReleased: Traffic._lease_ended,
    LeaseOverdue: Traffic._overdue,
    TaskStarted: Traffic._fetch_started,
    PieceCached: Traffic._cached,
    TaskFinished: Traffic._fetch_ended,
    TaskFailed: Traffic._fetch_ended,
    TaskRemoved: Traffic._removed,
    PeerLeft: Traffic._peer_left,
    PeerExpired: Traffic._peer_left,
}
