"""Recalling: what the journal holds, when the daemon starts, becomes the state it starts with."""

from pathlib import Path

import structlog
import trio

from supernode.core.model import Limits
from supernode.core.restoring import restore
from supernode.core.state import State
from supernode.journal.changes import Batch
from supernode.journal.errors import JournalDamaged, JournalError
from supernode.journal.journal import SEQ, Journal, Recollection, put_aside
from supernode.services.journaling import STRIDE

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def recall(path: Path) -> tuple[Journal, Recollection]:
    """Open the journal and read it; one that is damaged is put aside, and another one begun.

    The next numbers for events are reserved by this; the counter says which one was last.

    Raises:
        JournalTooNew: a newer supernode has written it.
        JournalError: it cannot be opened or read; nothing has changed.
    """
    return await trio.to_thread.run_sync(_recall, path)


def _recall(path: Path) -> tuple[Journal, Recollection]:
    journal = None
    try:
        journal = Journal(path)
        told = journal.load()
    except JournalDamaged as damage:
        if journal is not None:
            journal.close()
        aside = put_aside(path)
        log.error(
            "the journal is damaged: peers and downloads are forgotten until they call again",
            problem=str(damage),
            kept_as=aside.name,
        )
        journal, told = Journal(path), Recollection()
    except JournalError:
        if journal is not None:
            journal.close()
        raise
    try:
        journal.write(Batch(counters={SEQ: told.counters.get(SEQ, 0) + STRIDE}))
    except JournalError as error:
        log.error("event numbers may be given twice", problem=str(error))
    return journal, told


def restored(told: Recollection, limits: Limits, now: float) -> State:
    """Return the state that a journal tells of.

    Args:
        told: what it tells; not to be used any more.
        limits: how much may be handed out and known.
        now: seconds since the epoch.
    """
    known = told.known
    if (latest := known.latest()) > now:
        log.warning("the journal was written in the future", seconds=round(latest - now))
    state = restore(limits, known, now)
    if state.tasks or state.peers:
        log.info(
            "the journal was read",
            peers=len(state.peers),
            tasks=len(state.tasks),
            downloads=state.downloads,
            preheats=len(state.preheats),
        )
    return state
