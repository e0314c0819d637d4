"""Journaling: what was acknowledged is written down before anybody is told.

Facts that come while others are being written go together into the next commit, so that many cost
little more than one. Progress of downloads follows a little later: it can be told again.

While the disk takes nothing, the swarm goes on: a warning says that a restart would forget what is
not written, nobody is kept waiting, and all of it is written as soon as there is room.

The last events are written along, for those who read the feed and have been away.
"""

from collections.abc import Callable

import structlog
import trio

from supernode.core.events import TaskEvent
from supernode.core.identity import TaskId
from supernode.daemon_events import JournalCaughtUp, JournalFellBehind
from supernode.dispatch import Dispatcher
from supernode.exchange import Facts
from supernode.feed import Published
from supernode.journal.changes import Batch, Changes
from supernode.journal.errors import JournalError
from supernode.journal.journal import GIVEN, SEQ
from supernode.journal.kept_events import Found, Lost, Page
from supernode.services.event_keeping import Unwritten
from supernode.services.recalling import STRIDE, Recalled

PROGRESS_SECONDS = 0.25
"""At most so long, and a commit, does progress wait to be written."""
MOST_PROGRESS = 1000
"""Of how many downloads progress is written in one commit, so that none takes long."""
TRY_AGAIN_SECONDS = 1.0
LONGEST_COMMIT = 5.0
"""How long an answer waits for a commit, in seconds, before it goes out without."""
TRIM_EVERY = 1000
"""After so many events the oldest ones are forgotten."""
MOST_READERS = 2
"""How many wait at a time to read events, so that no commit waits for many."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Journaling:
    """The service. Listens to the feed, so build it before anything happens.

    Args:
        dispatch: the door to the tracker.
        recalled: what the process began with; its journal is written to.
        boot: tells this start of the system from others.
        shown: how an event is shown to those who read the feed.
    """

    def __init__(
        self,
        dispatch: Dispatcher,
        recalled: Recalled,
        *,
        boot: str,
        shown: Callable[[Published], bytes],
    ) -> None:
        self._tracker = dispatch.tracker
        self._feed = dispatch.feed
        self._clock = dispatch.clock
        self._journal = recalled.journal
        self._boot = boot
        self._reserved = recalled.seq + STRIDE
        """Up to this number events may be numbered."""
        self._changes = Changes()
        self._events = Unwritten(shown)
        self._kept = recalled.seq
        """Of events up to this number, all that is to be kept is."""
        self._untrimmed = TRIM_EVERY
        """How many events were written since the oldest ones were last forgotten."""
        self._readers = trio.CapacityLimiter(MOST_READERS)
        self._ending = False
        self._committed = 0
        """How many facts are in the journal, or were when it last took any."""
        self._facts_of: dict[TaskId, int] = {}
        """Number of the last fact of each task that has any which are not written."""
        self._news = trio.Event()
        """Set when there is something to write at once."""
        self._turn = trio.Event()
        """Set after each commit, and when one fails."""
        self._trouble = ""
        """What the last attempt to write failed at, without a path; empty: it did not."""
        self._thread = trio.CapacityLimiter(1)
        dispatch.feed.listen(self._note)

    def _note(self, published: Published) -> None:
        self._events.note(published)
        is_fact = self._changes.note(published.event, self._tracker)
        if is_fact and isinstance(published.event, TaskEvent):
            self._facts_of[published.event.task] = self._changes.facts
        if is_fact or self._runs_out:
            self._news.set()

    @property
    def is_behind(self) -> bool:
        """Whether something has happened that an answer should not tell of before it is written."""
        return self._committed < self._changes.facts and not self._trouble

    @property
    def trouble(self) -> str:
        """Why nothing can be written at the moment, without a path; empty: it can."""
        return self._trouble

    async def settled(self, on: TaskId | Facts = Facts.ALL) -> None:
        """Wait until what has happened so far, all or of one task, is written; a few seconds."""
        if on is Facts.NONE:
            return
        facts = self._changes.facts if on is Facts.ALL else self._facts_of.get(on, 0)
        with trio.move_on_after(LONGEST_COMMIT):
            while self._committed < facts and not self._trouble:
                await self._turn.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what happens until cancelled, then what is left, unless the disk takes nothing.

        The last commits are not to be cancelled: whoever runs it bounds the whole shutdown.
        """
        task_status.started()
        try:
            while True:
                with trio.move_on_after(PROGRESS_SECONDS):
                    await self._news.wait()
                await self._write()
                if self._trouble:
                    await trio.sleep(TRY_AGAIN_SECONDS)
        except trio.Cancelled:
            self._ending = True  # nothing happens any more
            raise
        finally:
            await self._write()
            while self._has_more and not self._trouble:
                await self._write()

    async def _write(self) -> None:
        """Commit what there is, unless there is nothing."""
        self._news = trio.Event()
        taken = self._changes.take(MOST_PROGRESS)
        batch = taken.rows(self._tracker, self._boot)
        batch.events = self._events.take()
        kept = _last(batch.events) if len(batch.events) < len(self._events) else self._feed.seq
        if self._runs_out:
            batch.counters[SEQ] = self._feed.seq + STRIDE
        if self._ending:
            batch.counters[SEQ] = self._feed.seq  # what was reserved beyond was not needed
        try:
            if not batch.is_empty:
                batch.counters[GIVEN] = kept
                await self._commit(batch)
        except JournalError as error:
            self._changes.put_back(taken)
            self._complain(error)
        except BaseException:
            self._changes.put_back(taken)
            raise
        else:
            self._committed = taken.facts
            facts_of = self._facts_of.items()
            self._facts_of = {task: last for task, last in facts_of if last > taken.facts}
            self._reserved = batch.counters.get(SEQ, self._reserved)
            self._events.written(kept)
            self._kept = kept
            self._complain(None)
        self._turn.set()
        self._turn = trio.Event()

    async def _commit(self, batch: Batch) -> None:
        """Write it. Not to be cancelled: what a thread has begun it ends, unseen."""
        self._untrimmed += len(batch.events)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._journal.write, batch, limiter=self._thread)
            if self._untrimmed >= TRIM_EVERY:
                await trio.to_thread.run_sync(self._journal.trim_events, limiter=self._thread)
                self._untrimmed = 0

    async def read(self, after: int, before: int) -> Page:
        """Return what is kept of the events between two numbers, from the first on.

        What is about to be written is waited for, not for ever; then it counts as lost.

        Raises:
            JournalError: it cannot be read.
        """
        with trio.move_on_after(LONGEST_COMMIT):
            while self._kept < before - 1 and not self._trouble:
                self._news.set()
                await self._turn.wait()
        kept = max(self._kept, after)
        if after == kept:
            return Page([Lost(after + 1, before - 1)], before - 1)
        async with self._readers:
            return await trio.to_thread.run_sync(
                self._journal.read_events, after, min(before, kept + 1), limiter=self._thread
            )

    @property
    def _has_more(self) -> bool:
        behind = self._ending and self._reserved != self._feed.seq
        return behind or bool(self._changes.progress or self._events)

    @property
    def _runs_out(self) -> bool:
        return self._feed.seq > self._reserved - STRIDE // 2

    def _complain(self, trouble: JournalError | None) -> None:
        """Warn, but once until it is over."""
        before = self._trouble
        self._trouble = str(trouble.__cause__ or trouble) if trouble is not None else ""
        now = self._clock.now()
        if trouble is not None and not before:
            log.error("a restart would forget what happens now", problem=str(trouble))
            self._feed.publish([JournalFellBehind(at=now, problem=self._trouble)])
        elif trouble is None and before:
            log.info("what happened is written down again")
            self._feed.publish([JournalCaughtUp(at=now)])


def _last(events: list[Found]) -> int:
    last = events[-1]
    return last.last if isinstance(last, Lost) else last.seq
