"""Restoration: what the cache held when the last process ended is offered by this one, verified.

What the journal tells of is known already; every other complete file on disk becomes a task again
before anybody can ask for it, so that nothing is fetched twice. If the system has not been started
anew since a file was written, its length and its frames are enough; else each piece is offered once
its MD5 has been checked: what a client waits for first, then what was used last. A damaged piece
is fetched again if its origin still has it; else the whole file is, or it is discarded if nobody
waits for it. Nothing bad of it was served. Of a file whose fetch is to go on only the frames are
checked here, the rest by the fetch.

While the daemon runs, the sidecars are kept telling when each file was last used.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
import trio

from supernode.core.commands import AdoptTask, FailFetch, FinishFetch, RemoveTask, VerifyPieces
from supernode.core.errors import NotFound, TaskConflict
from supernode.core.identity import TaskId
from supernode.core.model import CdnStatus, Task, TaskSpec
from supernode.core.pieces import PieceDigest, framed_length
from supernode.core.reasons import Reason
from supernode.dispatch import Dispatcher
from supernode.services.provenance import provenance, version_of
from supernode.services.reopening import reopen
from supernode.storage.errors import Damaged, Discarded, Gone, StoreError
from supernode.storage.inventory import CachedFile
from supernode.storage.piece_files import PieceFile, PieceStore

CONCURRENT_FILES = 2
PIECES_A_TURN = 16
"""After so many verified pieces it is asked anew what clients wait for."""
MOST_REPAIRS = 8
"""A file of which more pieces are damaged had better be fetched anew."""
PATIENCE_SECONDS = 5.0
"""How long the start waits for files whose frames are enough."""
NOTE_USE_SECONDS = 600.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Restoration:
    """The service. A file that cannot be restored ends its task, never the service.

    Args:
        dispatch: the door to the tracker.
        store: where the files are.
        repair: puts a damaged piece of a complete file back, and tells whether it could.
        boots: per task that the journal tells of, in which start of the system all its pieces were
            written or verified.
    """

    def __init__(
        self,
        dispatch: Dispatcher,
        store: PieceStore,
        repair: Callable[[Task, PieceFile, int], Awaitable[bool]],
        boots: Mapping[TaskId, str],
    ) -> None:
        self._dispatch = dispatch
        self._store = store
        self._repair = repair
        self._boots = boots
        self._unverified: OrderedDict[TaskId, _Adopted] = OrderedDict()
        """The most urgent last; without those that are being verified now."""
        self._since_look = PIECES_A_TURN
        """How many pieces were verified since it was asked what clients wait for."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Restore what there is, then note what is used, until cancelled.

        Has started when every file is known and those of this boot are verified, unless that takes
        too long. On cancel a file that is not verified stays as it is.
        """
        unfinished = self._reopen_known()
        await self._adopt_all()
        for file in unfinished:
            await self._offer_unfinished(file)
        async with trio.open_nursery() as nursery:
            of_this_boot = _Countdown(sum(a.of_this_boot for a in self._unverified.values()))
            for _ in range(CONCURRENT_FILES):
                nursery.start_soon(self._verify_all, of_this_boot)
            with trio.move_on_after(PATIENCE_SECONDS):
                await of_this_boot.over.wait()
            task_status.started()
            while True:
                await trio.sleep(NOTE_USE_SECONDS)
                await self._note_use()

    # what the journal tells of

    def _reopen_known(self) -> list[PieceFile]:
        """Reopen the files of known tasks; return those whose fetch is to go on."""
        unfinished = []
        for task in self._dispatch.tracker.tasks():
            digests = [task.digests[number] for number in sorted(task.digests)]
            if not digests or task.piece_size is None or self._store.find(task.id) is not None:
                continue
            whole = None if task.length is None else framed_length(task.length, task.piece_size)
            file = self._store.reopen_known(task.id, task.piece_size, digests, whole)
            if task.adopted:
                of_this_boot = self._is_trusted(self._boots.get(task.id))
                self._unverified[task.id] = _Adopted(file, task, digests, of_this_boot)
            elif task.status is CdnStatus.WAITING:
                unfinished.append(file)
        return unfinished

    def _is_trusted(self, boot: str | None) -> bool:
        """Tell whether what was good in that boot still is: the system has not been restarted."""
        return bool(boot) and boot == self._store.boot_id

    async def _offer_unfinished(self, file: PieceFile) -> None:
        """Offer what is there of a file, unless only its digests tell what that is worth."""
        if not self._is_trusted(self._boots.get(file.task)):
            return
        try:
            await file.verify_frames()
            task = self._dispatch.tracker.task(file.task)
            self._dispatch(
                VerifyPieces(task=task.id, generation=task.generation, pieces=file.sealed)
            )
        except (Damaged, StoreError) as problem:
            log.warning("a fetch begins anew", task=file.task, problem=problem.detail)
            await self._discard(file)
        except (Discarded, NotFound, TaskConflict):
            pass  # the task was removed meanwhile

    # what else is there

    async def _adopt_all(self) -> None:
        """Make every file and its task known; if there are too many, those used last."""
        found = await self._found()
        tracker = self._dispatch.tracker
        surplus = max(len(found) + len(tracker.tasks()) - tracker.limits.most_tasks, 0)
        refused = [self._store.reopen(cached) for cached in found[:surplus]]
        adopted = []
        for cached in found[surplus:]:
            file = self._store.reopen(cached)
            if tracker.why_gone(cached.task) is not None:
                refused.append(file)  # it was removed, but not yet from the disk
                continue
            try:
                self._dispatch(_adoption(cached, self._dispatch.clock.now()))
            except TaskConflict:
                refused.append(file)  # somebody asked for it before it was found
            else:
                task, said = tracker.task(cached.task), cached.sidecars
                of_this_boot = self._is_trusted(said.boot_id)
                adopted.append(_Adopted(file, task, said.digests, of_this_boot))
        self._unverified.update((a.file.task, a) for a in adopted)
        # The most urgent are last.
        for task_id in [key for key, a in self._unverified.items() if a.of_this_boot]:
            self._unverified.move_to_end(task_id)
        if found:
            log.info("found cached files", count=len(adopted), not_used=len(refused))
        for file in refused:
            await self._discard(file)

    async def _found(self) -> list[CachedFile]:
        """Return the complete files, least recently used first, as the tracker expects them."""
        inventory = await self._store.take_inventory()
        for task, problem in inventory.removed.items():
            log.info("removed what was left of a file", task=task, problem=problem)
        if inventory.strange:
            log.warning(
                "left alone what is not the supernode's in its cache directory",
                count=len(inventory.strange),
                examples=sorted(inventory.strange)[:5],
            )
        found = [cached for cached in inventory.cached if self._store.find(cached.task) is None]
        return sorted(found, key=lambda cached: cached.sidecars.origin.accessed_ms)

    # what of it is good

    async def _verify_all(self, of_this_boot: "_Countdown") -> None:
        while adopted := self._most_urgent():
            over = False
            try:
                over = await self._verify(adopted)
            finally:
                if not over:
                    self._unverified[adopted.file.task] = adopted
            if over and adopted.of_this_boot:
                of_this_boot.count()
            has_sidecars = adopted.of_this_boot and adopted.file.origin is not None
            if over and not has_sidecars and adopted.file.is_complete:
                await self._vouch(adopted)

    def _most_urgent(self) -> "_Adopted | None":
        """Take the file to go on with. O(files to verify), but once a turn only."""
        if self._since_look >= PIECES_A_TURN:
            self._since_look = 0
            for task in [task for task in self._unverified if self._is_wanted(task)]:
                self._unverified.move_to_end(task)
        return self._unverified.popitem()[1] if self._unverified else None

    def _is_wanted(self, task: TaskId) -> bool:
        try:
            return self._dispatch.tracker.task(task).running > 0
        except NotFound:
            return False

    async def _verify(self, adopted: "_Adopted") -> bool:
        """Verify a file or, if there is much of it, some pieces; tell whether that is over."""
        try:
            are_right = adopted.of_this_boot and await self._verify_frames(adopted)
            if not are_right and not await self._verify_some(adopted):
                return False
            self._finish(adopted)
        except Damaged as damage:
            if not await reopen(self._dispatch, self._store, adopted.task, adopted.file, damage):
                await self._give_up(adopted, Reason.CACHE_DAMAGED, damage.detail)
        except StoreError as error:
            await self._give_up(adopted, error.reason, error.detail)
        except (Discarded, NotFound, TaskConflict):
            await self._discard(adopted.file)  # the task was removed meanwhile
        except Exception as defect:
            log.exception("a cached file could not be verified", task=adopted.file.task)
            await self._give_up(adopted, Reason.INTERNAL, type(defect).__name__)
        return True

    async def _verify_frames(self, adopted: "_Adopted") -> bool:
        """Offer all pieces if their frames are right; tell whether they are."""
        if adopted.verified:
            return False
        try:
            await adopted.file.verify_frames()
        except Gone:
            raise
        except Damaged as damage:
            log.warning("a file is damaged", task=adopted.file.task, problem=damage.detail)
            return False
        self._offer(adopted, adopted.file.sealed)
        return True

    async def _verify_some(self, adopted: "_Adopted") -> bool:
        """Verify pieces until the turn is over; tell whether that was the last one."""
        while adopted.verified < len(adopted.digests):
            if self._since_look >= PIECES_A_TURN:
                return False
            await self._verify_piece(adopted)
            self._offer(adopted, 1 << adopted.verified)
            adopted.verified += 1
            self._since_look += 1
        return True

    async def _verify_piece(self, adopted: "_Adopted") -> None:
        """Seal the next piece, repaired if need be. Raises Damaged, StoreError, Discarded."""
        file, number = adopted.file, adopted.verified
        try:
            await file.verify(number, adopted.whole)
        except Gone:
            raise
        except Damaged:
            adopted.repairs += 1
            if adopted.repairs > MOST_REPAIRS or not await self._repair(adopted.task, file, number):
                raise
            await file.verify(number, adopted.whole)

    def _offer(self, adopted: "_Adopted", pieces: int) -> None:
        self._dispatch(
            VerifyPieces(task=adopted.file.task, generation=adopted.generation, pieces=pieces)
        )

    def _finish(self, adopted: "_Adopted") -> None:
        """Let the task succeed."""
        if len(adopted.digests) != adopted.task.piece_total or adopted.task.length is None:
            raise Damaged("it is not known whole")
        self._dispatch(
            FinishFetch(
                task=adopted.file.task,
                generation=adopted.generation,
                length=adopted.task.length,
                md5=adopted.task.md5,
                sha256=adopted.sha256,
            )
        )

    async def _vouch(self, adopted: "_Adopted") -> None:
        """Let the sidecars say that the file need not be verified again in this boot."""
        file = adopted.file
        try:
            await file.complete(provenance(adopted.task))
        except StoreError as error:
            log.warning("a file will be verified again", task=file.task, problem=str(error))
        except Discarded:
            pass  # its task was removed meanwhile

    async def _give_up(self, adopted: "_Adopted", reason: Reason, detail: str) -> None:
        """End the task and discard the file; if nobody waits for it, it is as if never known."""
        task = adopted.file.task
        is_wanted = self._is_wanted(task)
        log.warning("a cached file is lost", task=task, reason=reason.code, detail=detail)
        try:
            self._dispatch(
                FailFetch(task=task, generation=adopted.generation, reason=reason, detail=detail)
            )
            if not is_wanted:
                self._dispatch(RemoveTask(task=task, reason=reason))
        except (NotFound, TaskConflict):
            pass  # it was removed meanwhile
        await self._discard(adopted.file)

    async def _discard(self, file: PieceFile) -> None:
        try:
            await self._store.discard(file)
        except StoreError as error:
            log.warning("a file could not be removed", task=file.task, problem=str(error))

    # what is used

    async def _note_use(self) -> None:
        """Have the sidecars tell when files were last used, so that the next process knows."""
        for file in list(self._store.files()):
            if file.origin is None or not file.is_complete:
                continue
            try:
                used_ms = int(self._dispatch.tracker.task(file.task).last_used * 1000)
                if used_ms > file.origin.accessed_ms:
                    await file.note_access(used_ms)
            except (NotFound, Discarded):
                continue
            except StoreError as error:
                log.warning("the use of files could not be noted", problem=str(error))
                return


@dataclass(slots=True)
class _Adopted:
    """A cached file whose task is as if it were being fetched.

    Args:
        file: nothing of it is sealed at first.
        task: what is known of it.
        digests: of its pieces, in order.
        of_this_boot: whether its frames are enough.
    """

    file: PieceFile
    task: Task
    digests: Sequence[PieceDigest]
    of_this_boot: bool
    generation: int = field(init=False)
    verified: int = 0
    """How many of its pieces are verified and offered, from the first on."""
    repairs: int = 0
    """How many of its pieces were damaged."""
    whole: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    """Of their content."""

    def __post_init__(self) -> None:
        self.generation = self.task.generation

    @property
    def sha256(self) -> str:
        """The SHA-256 of the whole file, once every piece is verified; empty: nobody knows."""
        if self.task.sha256 or self.of_this_boot:
            return self.task.sha256
        return self.whole.hexdigest()


class _Countdown:
    """Tells when the last of so many has been counted."""

    def __init__(self, left: int) -> None:
        self.over = trio.Event()
        self._left = left
        if not left:
            self.over.set()

    def count(self) -> None:
        self._left -= 1
        if not self._left:
            self.over.set()


def _adoption(cached: CachedFile, now: float) -> AdoptTask:
    said = cached.sidecars
    return AdoptTask(
        task=cached.task,
        spec=TaskSpec(
            raw_url=said.origin.url,
            task_url=said.origin.url,
            md5=said.origin.md5,
            identifier=said.origin.identifier,
            call_system=said.origin.call_system,
            dfdaemon=said.origin.dfdaemon,
        ),
        length=said.length,
        piece_size=said.piece_size,
        last_used=min(max(said.origin.accessed_ms / 1000, 0.0), now),
        digests=said.digests,
        md5=said.origin.real_md5,
        sha256=said.origin.sha256,
        version=version_of(said.origin),
    )
