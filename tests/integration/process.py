"""One process's memory and its state directory, without sockets; several can follow each other."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from supernode.api.errors import explain
from supernode.api.event_json import text
from supernode.clock import Clock
from supernode.core.model import Limits, Task
from supernode.core.tracker import Tracker
from supernode.dispatch import Dispatcher
from supernode.exchange import Responder
from supernode.feed import Feed
from supernode.origin.http import OriginClient
from supernode.services.journaling import Journaling
from supernode.services.recalling import Recalled, recall
from supernode.services.repairing import Repair
from supernode.services.restoration import Restoration
from supernode.storage.piece_files import PieceFile, PieceStore


async def not_repaired(_task: Task, _file: PieceFile, _number: int) -> bool:
    """The origin is out of reach."""
    return False


class Process:
    """The parts, wired as the daemon does; made by :func:`begun`."""

    def __init__(
        self, state: Path, recalled: Recalled, clock: Clock, origin: OriginClient | None
    ) -> None:
        self.recalled = recalled
        self.store = PieceStore(state / "repo")
        self.tracker = Tracker(recalled.state)
        self.feed = Feed(recalled.seq)
        self.dispatch = Dispatcher(self.tracker, self.feed, clock, random.Random(0))
        self.journaling = Journaling(self.dispatch, recalled, boot=self.store.boot_id, shown=text)
        repair = not_repaired if origin is None else Repair(self.dispatch, origin)
        self.restoration = Restoration(self.dispatch, self.store, repair, recalled.boots)
        self.responder = Responder(self.feed, clock, explain, self.journaling)


@asynccontextmanager
async def begun(state: Path, origin: OriginClient | None = None) -> AsyncIterator[Process]:
    """Begin a process that journals; it ends as if killed, but for a last commit.

    Args:
        state: its directory.
        origin: by which it repairs what is damaged; None: it cannot.
    """
    clock = Clock.started_now()
    recalled = await recall(state / "supernode.db", Limits(), clock)
    try:
        process = Process(state, recalled, clock, origin)
        async with trio.open_nursery() as nursery:
            await nursery.start(process.journaling.run)
            await nursery.start(process.restoration.run)
            yield process
            nursery.cancel_scope.cancel("the test ends the process")
    finally:
        recalled.journal.close()
