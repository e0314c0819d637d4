"""One download from the swarm of one supernode.

A pull asks for pieces and carries the reports of those that have come since the last. While pieces
are plentiful, a pull is made for every :data:`BATCH` pieces. While they are scarce, pulls are held
open by the supernode and finished pieces are reported at once, so that others can have them.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import trio

from supernode.core.identity import SEED_PREFIX
from supernode.core.pieces import (
    FRAME_BYTES,
    LARGEST_PIECE,
    RangeError,
    pack_pieces,
    parse_piece_range,
    piece_range,
)
from supernode.core.reasons import Reason
from supernode.dfget.content import BadPiece, ContentFile
from supernode.dfget.errors import DigestMismatch, NoSupernode, SwarmStuck, TaskFailed, ungrouped
from supernode.dfget.http import HttpClient, HttpError, piece_headers, target_of
from supernode.dfget.progress import Progress, Source
from supernode.dfget.rate import TokenBucket
from supernode.dfget.sharing import Sharing
from supernode.dfget.supernode import (
    FAILED,
    Assignment,
    PieceReport,
    Rejected,
    Supernode,
    TaskInfo,
    TaskRequest,
    Ticket,
    Unreachable,
)
from supernode.patience import Patience

T = TypeVar("T")
log = logging.getLogger(__name__)

PARALLEL = 6
"""Pieces fetched at once."""
BATCH = 4
"""Pieces between two pulls while they are plentiful."""
WINDOW = PARALLEL + BATCH
"""Pieces assigned to us and not finished: those being fetched and a short backlog."""
LOW = 3
"""With so few of them left a pull cannot wait for a full batch."""
REPORTS_AT_ONCE = 256
HEAD_SECONDS = 5
"""How long a registration waits for the origin to say how long the file is."""
HOLD_SECONDS = 10
"""How long a pull is held open for want of pieces; of a file of unknown length, less."""
HOLD_SECONDS_UNSIZED = 2
GONE_SECONDS = 20.0
"""How long a supernode may be out of reach in the middle of a download."""
STUCK_SECONDS = 300.0
"""How long there may be no new piece."""
FAILURES_IN_A_ROW = 24
"""After so many failed pieces without a good one, holders are out of reach for us."""
REGISTRATIONS = 4
"""How often to register without a new piece in between."""
SLOWEST_RATE = 64 << 10
PIECE_GRACE_SECONDS = 10.0
STALL_SECONDS = 10.0
REPORT_PAUSE_SECONDS = 0.5
_ANOTHER_FILE = "the file is another one than before"
_TRY_AGAIN = frozenset({"cache_damaged", "client_silent"})
"""Reasons for which a download ended at the supernode that asking again mends."""


class SwarmDownload:
    """A download under way.

    Args:
        supernode: the tracker.
        request: what to download, under which client ID.
        content: where it goes.
        http: connections to holders.
        limit: what received bytes are paid to.
        progress: what is shown.
        sharing: who serves our pieces to others; None: nobody.
        sized: called with task and piece size before the first piece is stored.
        rejoin: makes this machine, and what else it has, known to a supernode that has forgotten
            it; returns its peer ID, empty if it has none.
    """

    def __init__(
        self,
        supernode: Supernode,
        request: TaskRequest,
        content: ContentFile,
        *,
        http: HttpClient,
        limit: TokenBucket,
        progress: Progress,
        sharing: Sharing | None,
        sized: Callable[[str, int], Awaitable[None]],
        rejoin: Callable[[], Awaitable[str]],
    ) -> None:
        self._supernode = supernode
        self._request = request
        self._content = content
        self._http = http
        self._limit = limit
        self._progress = progress
        self._sharing = sharing
        self._sized = sized
        self._rejoin = rejoin
        self._task = ""
        self._piece_size: int | None = None
        self._total: int | None = None
        self._open: dict[int, Assignment] = {}  # assigned to us, not finished
        self._fetching: set[int] = set()  # of them those that are more than queued
        self._unleased: set[int] = set()  # of those what the supernode has forgotten we fetch
        self._lengths: dict[int, int] = {}  # content bytes of each finished piece
        self._digests: dict[int, str] = {}  # and its digest
        self._reports: deque[PieceReport] = deque()
        self._scarce = False
        self._last_count = 0
        self._failures = 0
        self._patience = Patience()
        self._registrations = 0
        self._epoch = 0  # which registration this is
        self._empty_answers = 0
        self._moved_at = trio.current_time()
        self._changed = trio.Event()
        self._backlog, self._queue = trio.open_memory_channel[tuple[int, Assignment]](4 * WINDOW)

    @property
    def length(self) -> int:
        """Content bytes of the finished pieces."""
        return sum(self._lengths.values())

    async def run(self) -> TaskInfo:
        """Get every piece; return what the supernode says about the whole.

        Raises:
            SwarmError: the swarm does not deliver.
            DigestMismatch: the supernode found that the origin has another file.
            CannotWrite: the disk refuses.
        """
        await self._register()
        with ungrouped():
            async with trio.open_nursery() as crew:
                for _ in range(PARALLEL):
                    crew.start_soon(self._work)
                crew.start_soon(self._report_at_once)
                crew.start_soon(self._digest_along)
                info = await self._pull_until_whole()
                crew.cancel_scope.cancel()
        return info

    async def finish(self, *, holds: bool) -> None:
        """End the download at the supernode; whatever it answers, we are done.

        Args:
            holds: whether others may go on taking pieces from us.
        """
        if not self._task:
            return
        reports = tuple(self._reports)[:REPORTS_AT_ONCE]
        try:
            try:
                await self._ask(
                    lambda: self._supernode.finish(
                        self._task, self._request.client, holds=holds, reports=reports
                    )
                )
            except Rejected as error:
                if not holds or error.status != 404:
                    raise
                await self._ask(self._rejoin)  # the file will be offered again by its uploader
        except (NoSupernode, Rejected) as error:
            log.info("the end of the download was not heard: %s", error)

    # the supernode's side

    async def _register(self) -> None:
        """Register, perhaps again: a supernode may have lost its memory.

        Transfers under way go on. What they bring after we said what we have is reported when the
        supernode, not knowing, assigns it to us: earlier, it may not know such a piece yet.
        """
        self._registrations += 1
        if self._registrations > REGISTRATIONS:
            raise TaskFailed(f"supernode {self._supernode.node} forgets this download every time")
        try:
            if self._task:
                peer, pieces = await self._ask(self._rejoin), pack_pieces(self._lengths)
                self._request = msgspec.structs.replace(self._request, peer=peer, pieces=pieces)
            ticket = await self._ask(
                lambda: self._supernode.register_task(self._request, wait=HEAD_SECONDS)
            )
        except Rejected as error:
            raise _failed(error.reason, str(error)) from error
        if self._task not in ("", ticket.task):
            raise TaskFailed(_ANOTHER_FILE)
        self._task = ticket.task
        await self._learn(ticket)
        self._open = {n: a for n, a in self._open.items() if n in self._fetching}
        self._unleased = set(self._open)
        self._reports.clear()
        self._epoch += 1
        await self._pull("STARTED")

    async def _learn(self, source: Ticket | TaskInfo | Assignment) -> None:
        """Take over what the supernode knows about sizes by now. Raises TaskFailed."""
        if self._piece_size and source.piece_size not in (None, self._piece_size):
            raise TaskFailed(_ANOTHER_FILE)
        if source.piece_size and self._piece_size is None:
            if not FRAME_BYTES < source.piece_size <= LARGEST_PIECE:
                raise TaskFailed(f"pieces of {source.piece_size} bytes cannot be")
            self._piece_size = source.piece_size
            await self._sized(self._task, source.piece_size)
        if isinstance(source, Assignment) or not source.framed_length or not self._piece_size:
            return
        total = -(-source.framed_length // self._piece_size)
        if self._total not in (None, total):
            raise TaskFailed(_ANOTHER_FILE)
        if self._total is None:
            self._total = total
            self._progress.size(source.framed_length - FRAME_BYTES * self._total, self._total)

    async def _pull_until_whole(self) -> TaskInfo:
        while True:
            if self._has_all() or (self._total is None and not self._open):
                info = await self._look()
                if info is not None and info.status == "SUCCESS" and self._has_all():
                    return info
            elif not self._open and trio.current_time() - self._moved_at > STUCK_SECONDS:
                raise SwarmStuck(f"no new piece for {STUCK_SECONDS:g} s")
            else:
                # No deadline: while a pull is not due, pieces are under way, and those have one.
                while not self._is_due():
                    await self._change()
                if self._has_all():
                    continue
            await self._pull("RUNNING")

    async def _look(self) -> TaskInfo | None:
        """Ask how far the task is; None: it was forgotten, and is registered again."""
        try:
            info = await self._ask(lambda: self._supernode.task(self._task))
        except Rejected as error:
            await self._forgotten(error)
            return None
        if info.status in FAILED and info.reason in _TRY_AGAIN:
            await self._register()
            return None
        if info.status in FAILED:
            raise _failed(info.reason, info.detail or info.status)
        await self._learn(info)
        return info

    def _is_due(self) -> bool:
        if self._has_all():
            return True
        if self._all_assigned():
            return not self._scarce and len(self._reports) >= BATCH
        return self._scarce or len(self._open) <= LOW or len(self._reports) >= BATCH

    def _has_all(self) -> bool:
        return self._total is not None and len(self._lengths) >= self._total

    def _all_assigned(self) -> bool:
        return self._total is not None and len(self._lengths) + len(self._open) >= self._total

    async def _pull(self, status: str) -> None:
        """Report, ask for pieces and queue them."""
        held = HOLD_SECONDS_UNSIZED if self._total is None else HOLD_SECONDS
        wait = held if status == "RUNNING" and (self._scarce or self._has_all()) else 0
        count = max(1, WINDOW - len(self._open))
        if count == self._last_count and not self._reports:
            count += 1  # the very same question would be taken for a repetition
        self._last_count = count
        reports = tuple(
            self._reports.popleft() for _ in range(min(len(self._reports), REPORTS_AT_ONCE))
        )
        asked_at = trio.current_time()
        try:
            assignments = await self._ask(
                lambda: self._supernode.pull(
                    self._task,
                    self._request.client,
                    status=status,
                    reports=reports,
                    count=count,
                    wait=wait,
                )
            )
        except Rejected as error:
            await self._forgotten(error)
            return
        except BaseException:
            self._reports.extendleft(reversed(reports))
            raise
        taken = 0
        for assignment in assignments:
            taken += await self._take(assignment)
        if not self._all_assigned():
            self._scarce = taken < count and len(self._open) <= LOW
        self._stir()
        self._empty_answers = 0 if taken else self._empty_answers + 1
        if self._empty_answers > 1 and trio.current_time() - asked_at < 1:
            # The supernode does not hold pulls open: then we must not ask in a tight loop.
            with trio.move_on_after(min(1.0, 0.05 * self._empty_answers)):
                await self._change()

    async def _forgotten(self, error: Rejected) -> None:
        """Register again if the supernode has forgotten us or its copy; else it is final."""
        if error.status != 404 and error.reason not in _TRY_AGAIN:
            raise _failed(error.reason, str(error)) from error
        log.warning("supernode %s: %s; registering again", self._supernode.node, error)
        await self._register()

    async def _take(self, assignment: Assignment) -> bool:
        """Queue an assignment, or report what we have already; tell whether it is news."""
        await self._learn(assignment)
        assert self._piece_size is not None
        try:
            number = parse_piece_range(assignment.piece_range, self._piece_size)
        except RangeError as error:
            raise TaskFailed(f"the supernode assigned what is no piece: {error}") from error
        if number in self._lengths:
            if assignment.digest != self._digests[number]:
                raise TaskFailed("the file has changed")
            self._report(number, assignment.holder, "SUCCESS")
            return True
        if number in self._unleased:
            if assignment.digest != self._open[number].digest:
                raise TaskFailed("the file has changed")
            self._unleased.remove(number)
            self._open[number] = assignment
            return True
        if number in self._open:
            return False
        try:
            self._backlog.send_nowait((number, assignment))
        except trio.WouldBlock:
            return False  # more than we asked for; the lease will run out
        self._open[number] = assignment
        return True

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask the supernode; be patient while it is out of reach, as when it restarts."""
        since, delay = trio.current_time(), 0.1
        while True:
            try:
                return await call()
            except Unreachable as error:
                if trio.current_time() - since > GONE_SECONDS:
                    raise NoSupernode(str(error)) from error
                log.info("%s; asking again", error)
            await trio.sleep(delay)
            delay = min(2 * delay, 2.0)

    async def _report_at_once(self) -> None:
        """While pieces are scarce, report each as it comes: somebody waits for it."""
        while True:
            while not (self._scarce and self._reports):
                await self._change()
            report, epoch = self._reports.popleft(), self._epoch
            try:
                await self._supernode.report(self._task, self._request.client, report)
            except (Unreachable, Rejected) as error:
                log.info("report not heard: %s", error)
                if epoch == self._epoch:
                    self._reports.appendleft(report)
                await trio.sleep(REPORT_PAUSE_SECONDS)  # meanwhile a pull may take it along
            except BaseException:
                self._reports.appendleft(report)
                raise

    def _report(self, number: int, holder: str, result: str) -> None:
        assert self._piece_size is not None
        self._reports.append(PieceReport(piece_range(number, self._piece_size), holder, result))

    # the holders' side

    async def _work(self) -> None:
        """Fetch pieces, one at a time."""
        buffer = bytearray()
        async for number, assignment in self._queue:
            if self._open.get(number) is not assignment:
                continue  # from before a registration
            if not buffer:
                buffer = bytearray(assignment.piece_size)
            self._fetching.add(number)
            try:
                length = await self._fetch(number, assignment, memoryview(buffer))
            except (HttpError, BadPiece) as error:
                await self._piece_failed(number, assignment, error)
            else:
                await self._piece_finished(number, assignment, length)

    async def _fetch(self, number: int, assignment: Assignment, into: memoryview) -> int:
        is_peer = _source(assignment) is Source.PEER
        wait = self._patience.wait(len(into), peer=is_peer)
        began = trio.current_time()
        received = await self._http.fetch(
            (assignment.ip, assignment.port),
            target_of(assignment.path),
            assignment.piece_range,
            into,
            headers=piece_headers(assignment.piece_range, assignment.piece_size),
            stall=wait.stall,
            total=wait.total,
            limit=self._limit,
        )
        if is_peer:
            self._patience.came(trio.current_time() - began)
        return await self._content.store(number, into[:received], assignment.digest, len(into))

    async def _piece_finished(self, number: int, assignment: Assignment, length: int) -> None:
        if self._sharing is not None:
            await self._sharing.piece(number, length)  # first servable, then known to others
        is_leased = self._close(number)
        self._lengths[number] = length
        self._digests[number] = assignment.digest
        self._failures = self._registrations = 0
        self._moved_at = trio.current_time()
        self._progress.piece(number, length, _source(assignment), assignment.holder)
        if is_leased:
            self._report(number, assignment.holder, "SUCCESS")
        self._stir()

    async def _piece_failed(self, number: int, assignment: Assignment, error: Exception) -> None:
        log.warning("piece %d from %s: %s", number, assignment.holder, error)
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            raise SwarmStuck(f"{self._failures} pieces failed in a row, at last with: {error}")
        if _source(assignment) is Source.PEER:
            self._patience.failed()
        if self._close(number):
            self._report(number, assignment.holder, "FAILED")
        self._stir()
        await trio.sleep(min(1.0, 0.02 * self._failures))

    def _close(self, number: int) -> bool:
        """A piece is fetched no longer; tell whether the supernode is to hear how that went."""
        is_leased = number not in self._unleased
        self._unleased.discard(number)
        self._fetching.remove(number)
        del self._open[number]
        return is_leased

    async def _digest_along(self) -> None:
        """Digest the beginning of the file while the rest comes."""
        number = stop = 0
        while True:
            before = number
            while number in self._lengths:
                stop += self._lengths[number]
                number += 1
            if number > before:
                await self._content.digest_upto(stop)
            else:
                await self._change()

    # waking each other

    def _stir(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _change(self) -> None:
        await self._changed.wait()


def _source(assignment: Assignment) -> Source:
    return Source.SEED if assignment.holder.startswith(SEED_PREFIX) else Source.PEER


def _failed(code: str, text: str) -> TaskFailed | DigestMismatch:
    """Return the error for a task that the supernode has given up."""
    known = next((reason for reason in Reason if reason.code == code), None)
    if known is not None and known.text not in text:
        text = f"{known.text}: {text}"
    message = f"the supernode says: {text}"
    return DigestMismatch(message) if known is Reason.DIGEST_MISMATCH else TaskFailed(message)
