"""Recalling: what the journal holds, when the daemon starts, becomes the state it starts with."""

import gc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from supernode.clock import Clock
from supernode.core.identity import TaskId
from supernode.core.model import Limits
from supernode.core.restoring import restore
from supernode.core.state import State
from supernode.journal.changes import Batch
from supernode.journal.errors import JournalDamaged, JournalError
from supernode.journal.journal import FORGOTTEN, GIVEN, SEQ, Journal, Recollection, put_aside
from supernode.journal.kept_events import Lost

STRIDE = 100_000
"""So many event numbers are reserved at a time; a process that is killed leaves some unused."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a process begins with.

    Args:
        journal: open; the caller closes it.
        state: what was known.
        boots: per task, in which start of the system all its pieces were written or verified.
        seq: after which number the first event is to be numbered; ``STRIDE`` more are reserved.
    """

    journal: Journal
    state: State
    boots: Mapping[TaskId, str]
    seq: int


async def recall(path: Path, limits: Limits, clock: Clock) -> Recalled:
    """Open the journal and read it; one that is damaged is put aside, and another one begun.

    Args:
        path: of the journal.
        limits: how much may be handed out and known.
        clock: tells the time.

    Raises:
        JournalTooNew: a newer supernode has written it.
        JournalError: it cannot be opened or read; nothing has changed.
    """
    gc.disable()  # what is read stays: to look for garbage among it, again and again, is in vain
    try:
        journal, told = await trio.to_thread.run_sync(_opened, path)
        now = clock.now()
        if (latest := told.known.latest()) > now:
            log.warning("the journal was written in the future", seconds=round(latest - now))
        state = restore(limits, told.known, now)
        gc.freeze()
    finally:
        gc.enable()
    if state.tasks or state.peers:
        log.info(
            "the journal was read",
            peers=len(state.peers),
            tasks=len(state.tasks),
            downloads=state.downloads,
            preheats=len(state.preheats),
        )
    return Recalled(journal, state, told.boots, told.counters.get(SEQ, 0))


def _opened(path: Path) -> tuple[Journal, Recollection]:
    """Return the journal and what it tells; the next event numbers are reserved in it."""
    try:
        journal, told = _read(path)
    except JournalDamaged as damage:
        log.error(
            "the journal is damaged: peers and downloads are forgotten until they call again",
            problem=str(damage),
            kept_as=put_aside(path).name,
        )
        journal, told = _read(path)
    try:
        journal.write(_beginning(told.counters))
    except JournalError as error:
        log.error("events may be given numbers that others had", problem=str(error))
    return journal, told


def _beginning(counters: Mapping[str, int]) -> Batch:
    """Return what a process writes first.

    Args:
        counters: those of the process before it; one that was killed has reserved more numbers
            than it is known to have given.
    """
    last = counters.get(SEQ, 0)
    batch = Batch(counters={SEQ: last + STRIDE, GIVEN: last})
    if GIVEN not in counters:  # nothing was kept then
        batch.counters[FORGOTTEN] = last
    elif counters[GIVEN] < last:
        batch.events.append(Lost(counters[GIVEN] + 1, last))
    return batch


def _read(path: Path) -> tuple[Journal, Recollection]:
    journal = Journal(path)
    try:
        return journal, journal.load()
    except BaseException:
        journal.close()
        raise
