"""What has changed since it was last written down: keys, collected from events.

The rows are made of the state as it is when they are written, so that what changes ten times in
between is written once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias, TypeVar

from supernode.core.errors import NotFound
from supernode.core.events import (
    ClaimConfirmed,
    ClaimMade,
    ClientEvent,
    DownloadFailed,
    DownloadFinished,
    DownloadForgotten,
    DownloadStarted,
    DownloadWithdrawn,
    Event,
    EvidenceFound,
    PeerExpired,
    PeerLeft,
    PeerQuarantined,
    PeerRegistered,
    PeerReleased,
    PeerWarned,
    PieceCached,
    PieceFinished,
    PiecesHeld,
    PiecesListed,
    PiecesLost,
    PiecesVerified,
    PreheatEvent,
    PreheatFailed,
    PreheatFinished,
    PreheatRegistered,
    PreheatRemoved,
    PreheatStarted,
    TaskConfirmed,
    TaskDoubted,
    TaskEvent,
    TaskFailed,
    TaskFinished,
    TaskPaused,
    TaskPinned,
    TaskRegistered,
    TaskRemoved,
    TaskResumed,
    TaskSized,
    TaskStarted,
    TaskUnpinned,
)
from supernode.core.identity import ClientId, PeerId, PreheatId, TaskId
from supernode.core.pieces import PieceNumber
from supernode.core.reasons import Reason
from supernode.core.tracker import Tracker
from supernode.journal import rows
from supernode.journal.kept_events import Found
from supernode.journal.rows import Row

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class Batch:
    """What is written in one transaction, in this order.

    Attributes:
        removed: tasks that are forgotten with all that belongs to them …
        failed: … and those whose pieces are.
        left: peers that nothing is offered by any longer.
        gone: why tasks were removed.
        returned: tasks of which that is true no longer.
        upserts: by table, rows that are new or replace others with the same key.
        deletes: by table, keys of rows that are to go.
        events: that are kept, and which are lost.
        counters: by name.
    """

    removed: list[TaskId] = field(default_factory=list)
    failed: list[TaskId] = field(default_factory=list)
    left: list[PeerId] = field(default_factory=list)
    gone: list[Row] = field(default_factory=list)
    returned: list[TaskId] = field(default_factory=list)
    upserts: dict[str, list[Row]] = field(default_factory=dict)
    deletes: dict[str, list[Row]] = field(default_factory=dict)
    events: list[Found] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not any(getattr(self, name) for name in self.__slots__)

    def put(self, table: str, key: Row, row: Row | None) -> None:
        """Let there be this row under the key; None: none."""
        if row is None:
            self.deletes.setdefault(table, []).append(key)
        else:
            self.upserts.setdefault(table, []).append(row)


@dataclass(slots=True)
class Changes:
    """Keys of what is to be written. Facts are what clients were, or are about to be, told."""

    facts: int = 0
    """How many there were, in all."""
    peers: set[PeerId] = field(default_factory=set)
    left: set[PeerId] = field(default_factory=set)
    tasks: set[TaskId] = field(default_factory=set)
    returned: set[TaskId] = field(default_factory=set)
    removed: dict[TaskId, Reason] = field(default_factory=dict)
    failed: set[TaskId] = field(default_factory=set)
    pieces: set[tuple[TaskId, PieceNumber]] = field(default_factory=set)
    downloads: set[tuple[TaskId, ClientId]] = field(default_factory=set)
    preheats: set[PreheatId] = field(default_factory=set)
    progress: dict[tuple[TaskId, ClientId], None] = field(default_factory=dict)
    """Downloads that have come further, which is no fact; those that wait longest first."""

    def note(self, event: Event, tracker: Tracker) -> bool:
        """Take an event that has just happened into account; tell whether it is a fact."""
        if rule := _FACTS.get(type(event)):
            rule(self, event, tracker)
            self.facts += 1
            return True
        if rule := _PROGRESS.get(type(event)):
            rule(self, event, tracker)
        return False

    def take(self, most_progress: int) -> "Changes":
        """Return what there is, and begin anew; progress of no more downloads than so many."""
        taken = Changes(**{name: getattr(self, name) for name in self.__slots__})
        for name in self.__slots__:
            if name != "facts":
                setattr(self, name, type(getattr(self, name))())
        self.progress = dict(islice(taken.progress.items(), most_progress, None))
        for key in self.progress:
            del taken.progress[key]
        return taken

    def put_back(self, taken: "Changes") -> None:
        """Let what was taken, and could not be written, be still to be written."""
        for name in self.__slots__:
            if name != "facts":
                setattr(self, name, getattr(taken, name) | getattr(self, name))

    def rows(self, tracker: Tracker, boot: str) -> Batch:
        """Return what is to be written, as the tracker knows it now.

        Args:
            tracker: knows everything.
            boot: tells this start of the system from others.
        """
        batch = Batch(
            removed=list(self.removed),
            failed=list(self.failed),
            left=list(self.left),
            returned=list(self.returned),
        )
        for peer_id in self.peers:
            peer = _found(tracker.peer, peer_id)
            batch.put("peers", (peer_id,), rows.peer_row(peer) if peer else None)
        for task_id in self.tasks:
            if task := _found(tracker.task, task_id):
                batch.put("tasks", (task_id,), rows.task_row(task, boot))
        for task_id, reason in self.removed.items():
            if _found(tracker.task, task_id) is None:
                batch.gone.append(rows.gone_row(task_id, reason))
        for task_id, number in self.pieces:
            task = _found(tracker.task, task_id)
            if task and number in task.digests:
                batch.put("pieces", (task_id, number), (task_id, number, task.digests[number]))
        for task_id, client in self.downloads | self.progress.keys():
            task = _found(tracker.task, task_id)
            download = task.downloads.get(client) if task else None
            batch.put(
                "downloads", (task_id, client), rows.download_row(download) if download else None
            )
        for preheat_id in self.preheats:
            preheat = _found(tracker.preheat, preheat_id)
            batch.put("preheats", (preheat_id,), rows.preheat_row(preheat) if preheat else None)
        return batch


def _found(get: Callable[[K], V], key: K) -> V | None:
    try:
        return get(key)
    except NotFound:
        return None


def _peer(
    changes: Changes, event: PeerRegistered | EvidenceFound | PeerReleased, _: Tracker
) -> None:
    changes.peers.add(event.peer)


def _peer_left(changes: Changes, event: PeerLeft | PeerExpired, _: Tracker) -> None:
    changes.peers.add(event.peer)
    changes.left.add(event.peer)


def _task(changes: Changes, event: TaskEvent, _: Tracker) -> None:
    changes.tasks.add(event.task)


def _task_registered(changes: Changes, event: TaskRegistered, _: Tracker) -> None:
    changes.tasks.add(event.task)
    changes.returned.add(event.task)


def _task_failed(changes: Changes, event: TaskFailed, tracker: Tracker) -> None:
    changes.tasks.add(event.task)
    changes.failed.add(event.task)
    if task := _found(tracker.task, event.task):
        changes.downloads.update((event.task, client) for client in task.downloads)


def _task_removed(changes: Changes, event: TaskRemoved, _: Tracker) -> None:
    changes.removed[event.task] = event.reason


def _piece(changes: Changes, event: PieceCached, _: Tracker) -> None:
    changes.pieces.add((event.task, event.piece))


def _pieces(changes: Changes, event: PiecesListed, tracker: Tracker) -> None:
    if task := _found(tracker.task, event.task):
        changes.pieces.update((event.task, piece) for piece in task.digests)


def _download(changes: Changes, event: ClientEvent, _: Tracker) -> None:
    changes.downloads.add((event.task, event.client))


def _preheat(changes: Changes, event: PreheatEvent, _: Tracker) -> None:
    changes.preheats.add(event.preheat)


def _progress(changes: Changes, event: ClientEvent, _: Tracker) -> None:
    changes.progress[event.task, event.client] = None


_Rule: TypeAlias = Callable[[Changes, Any, Tracker], None]

_FACTS: dict[type[Event], _Rule] = {
    PeerRegistered: _peer,
    PeerLeft: _peer_left,
    PeerExpired: _peer_left,
    PeerWarned: _peer,
    PeerQuarantined: _peer,
    PeerReleased: _peer,
    TaskRegistered: _task_registered,
    TaskStarted: _task,
    TaskSized: _task,
    TaskFinished: _task,
    TaskDoubted: _task,
    TaskConfirmed: _task,
    TaskFailed: _task_failed,
    TaskPaused: _task,
    TaskResumed: _task,
    TaskPinned: _task,
    TaskUnpinned: _task,
    TaskRemoved: _task_removed,
    PieceCached: _piece,
    PiecesListed: _pieces,
    DownloadStarted: _download,
    ClaimMade: _download,
    ClaimConfirmed: _download,
    DownloadFinished: _download,
    DownloadFailed: _download,
    DownloadWithdrawn: _download,
    DownloadForgotten: _download,
    PreheatRegistered: _preheat,
    PreheatStarted: _preheat,
    PreheatFinished: _preheat,
    PreheatFailed: _preheat,
    PreheatRemoved: _preheat,
}
_PROGRESS: dict[type[Event], _Rule] = {
    PieceFinished: _progress,
    PiecesHeld: _progress,
    PiecesVerified: _task,
    PiecesLost: _task,
}
