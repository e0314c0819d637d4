"""A supernode that is cancelled at a certain step, and what must hold of what it leaves.

A step is what Trio runs of a task between two of its checkpoints; so whoever is cancelled before
each of the steps in turn has been cancelled wherever a cancellation can make a difference.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from supernode.api.rest import Rest, SeedAddress
from supernode.clock import Clock
from supernode.core.identity import TaskId
from supernode.core.model import Limits
from supernode.core.restoring import restore
from supernode.core.swarm import bits
from supernode.exchange import Answer, Handler, Request
from supernode.journal.journal import Journal
from supernode.origin.http import OriginClient
from supernode.services.cdn import Cdn
from supernode.services.copying import Copying
from supernode.services.eviction import Eviction
from supernode.services.preheating import Preheating
from supernode.services.recalling import recall
from supernode.services.resolving import Resolving
from supernode.services.retries import RetryPolicy
from supernode.storage import verification
from supernode.storage.disk_space import WaterMark
from supernode.storage.piece_files import PieceFile
from supernode.supervision import RestartPolicy, outlasting
from supernode.wire.data_port import DataPort
from tests.integration.process import Process
from tests.integration.scripted_images import ScriptedImages
from tests.integration.scripted_origin import LOOPBACK
from tests.unit.core.test_tracker_machine import remembered
from tests.waiting import eventually

WIND_DOWN_SECONDS = 5.0
AT_ONCE = RetryPolicy(first_pause=0)


class HungUp(Exception):
    """The supernode ended before it had answered."""


class Steps(trio.abc.Instrument):
    """Counts the steps of a task and all that it begins; cancels a scope before one of them."""

    def __init__(self, root: trio.lowlevel.Task, scope: trio.CancelScope, last: int | None) -> None:
        self.taken = 0
        self._root = root
        self._scope = scope
        self._last = last

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._is_within(task):
            self.taken += 1
            if self.taken == self._last:
                self._scope.cancel(f"before step {self._last}")

    def _is_within(self, task: trio.lowlevel.Task) -> bool:
        while task is not self._root:
            if task.parent_nursery is None:
                return False
            task = task.parent_nursery.parent_task
        return True


class Node:
    """All services on a state directory, wired as the daemon does, and its data port.

    Args:
        state: the directory.
        cache: how large the cache may become.
        last: before which step it is cancelled; None: before none.
        retries: how often it asks an origin again.
    """

    def __init__(
        self,
        state: Path,
        cache: WaterMark,
        last: int | None = None,
        *,
        retries: RetryPolicy = AT_ONCE,
    ) -> None:
        self.state = state
        self.steps = 0
        self.scope = trio.CancelScope()
        self.serves = trio.Event()
        self._cache = cache
        self._last = last
        self._retries = retries
        self._process: Process | None = None
        self._limiters: list[trio.CapacityLimiter] = []
        self._found = self.files_on_disk()
        """What an earlier one has left, until somebody has looked at it."""

    async def run(self) -> None:
        """Run until cancelled."""
        steps = Steps(trio.lowlevel.current_task(), self.scope, self._last)
        trio.lowlevel.add_instrument(steps)
        try:
            with self.scope:
                await self._run()
        finally:
            trio.lowlevel.remove_instrument(steps)
            self.steps = steps.taken

    async def _run(self) -> None:
        (self.state / "repo").mkdir(exist_ok=True)
        clock = Clock.started_now()
        recalled = await recall(self.state / "supernode.db", Limits(), clock)
        try:
            async with OriginClient(LOOPBACK) as origin:
                process = self._process = Process(self.state, recalled, clock, origin)
                journaling = outlasting("journaling", process.journaling.run, RestartPolicy())
                async with journaling, trio.open_nursery() as self._tasks:
                    await self._start(process, origin)
                    self.serves.set()
                    await trio.sleep_forever()
        finally:
            recalled.journal.close()

    async def _start(self, process: Process, origin: OriginClient) -> None:
        dispatch, store, start = process.dispatch, process.store, self._tasks.start
        cdn = Cdn(dispatch, store, origin, retries=self._retries)
        disk = store._disk
        disk.descriptors._idle_limit = 0  # files are opened and closed all the time
        self._limiters = [disk.readers, disk.writers, cdn._tools.hashers]
        self._limiters.append(process.journaling._thread)
        await start(process.restoration.run)
        self._found = set()  # by now they all have an owner
        settled = process.journaling.settled
        await start(Eviction(dispatch, store, settled, high=self._cache, low=self._cache).run)
        await start(cdn.run)
        self.images = ScriptedImages()
        resolving, copying = Resolving(dispatch, self.images), Copying(dispatch, store)
        await start(Preheating(dispatch, resolving, copying).run)
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        self.rest = Rest(dispatch, SeedAddress("127.0.0.1", port))
        data = DataPort(
            listeners,
            store.find,
            max_connections=9,
            stall_timeout=9,
            idle_timeout=9,
            drain_timeout=0,
        )
        await start(data.run)

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    async def ask(self, handler: Handler, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Have a request handled by a task of the supernode, as the front does; return the answer.

        Raises:
            HungUp: there is none.
        """
        if self.scope.cancel_called:
            raise HungUp
        send, receive = trio.open_memory_channel[Answer](1)

        async def respond() -> None:
            with send:
                send.send_nowait(await self.process.responder.respond(handler, request))

        self._tasks.start_soon(respond)
        try:
            answer = await receive.receive()
        except trio.EndOfChannel:
            raise HungUp from None
        assert answer.status < 300, answer
        return json.loads(answer.body or b"null")

    # what must hold once it has ended

    async def check(self) -> None:
        """Check what it leaves: in memory, on the disk, in the journal; close what it has open."""
        self.process.tracker.check()
        limiters = [*self._limiters, trio.to_thread.current_default_thread_limiter()]
        assert not sum(limiter.borrowed_tokens for limiter in limiters), "a thread goes on"
        for file in self.process.store.files():
            self._check_file(file)
        owned = {file.task for file in self.process.store.files()}
        assert self.files_on_disk() <= self._found | owned, "a file that nobody knows of"
        assert not [*self.state.rglob("*.new")], "half of a sidecar"
        self._check_journal()
        for file in self.process.store.files():
            await file.retire()

    def _check_file(self, file: PieceFile) -> None:
        """Check that what may be served is good, and is what the tracker believes."""
        for number in bits(file.sealed):
            offset, digest = number * file.piece_size, file._digests[number]
            verification.check_piece(file.path, offset, file.piece_size, digest, None)
        known = {task.id: task for task in self.process.tracker.tasks()}
        if task := known.get(file.task):
            assert task.swarm.seeded == file.sealed, "what is offered is what may be served"
            assert all(file._digests[number] == task.digests[number] for number in task.digests)

    def _check_journal(self) -> None:
        """Check that the next process knows what this one knew."""
        journal = Journal(self.state / "supernode.db")
        try:
            known = journal.load().known
        finally:
            journal.close()
        now = self.process.dispatch.clock.now()
        assert remembered(restore(Limits(), known, now)) == remembered(self.process.tracker._state)

    def files_on_disk(self) -> set[TaskId]:
        """Return whose piece files there are, complete or not."""
        files = (self.state / "repo" / "download").glob("*/*")
        return {TaskId(file.name) for file in files if len(file.name) == 64}


async def nothing_left_open(before: set[str]) -> None:
    """Check that no more is open than before; the origin may still be closing its side."""
    with trio.move_on_after(WIND_DOWN_SECONDS):
        await eventually(lambda: descriptors() <= before)
    assert descriptors() <= before


def descriptors() -> set[str]:
    """Return what this process has open."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one that the list was read by
            found.add(os.readlink(f"/proc/self/fd/{number}"))
    return found
