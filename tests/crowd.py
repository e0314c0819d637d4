"""A crowd of peers that does everything a tracker can be asked to do, at random, for long."""

import random
from collections.abc import Callable, Iterator
from typing import Any

from supernode.core.commands import (
    AdoptTask,
    BeginPart,
    CachePiece,
    Command,
    ConfirmTask,
    CopyTask,
    CreateBatch,
    CreatePreheat,
    CutTask,
    DrawSpotCheck,
    Expire,
    FailFetch,
    FailPreheat,
    FinishFetch,
    HoldTask,
    Inspection,
    JudgeClaim,
    JudgePeer,
    LosePieces,
    PauseTask,
    PieceResult,
    PinTask,
    Pull,
    PullStatus,
    RegisterPeer,
    RegisterTask,
    RemovePeer,
    RemovePreheat,
    RemoveTask,
    RenewTask,
    ReopenTask,
    Report,
    ReportPiece,
    ResolvePreheat,
    SeePeer,
    SizeTask,
    StartFetch,
    StartPreheat,
    TakeAccusation,
    VerifyPieces,
)
from supernode.core.identity import ClientId, PeerId, TaskId, peer_id, task_id
from supernode.core.model import (
    Blob,
    CdnStatus,
    Finding,
    Limits,
    Part,
    Preheat,
    PreheatKind,
    PreheatStatus,
    Secrets,
    Task,
    TaskSpec,
)
from supernode.core.pieces import PieceDigest, PieceNumber, content_size, piece_range
from supernode.core.reasons import Reason
from supernode.core.tracker import Tracker
from supernode.core.transitions.step import copy_of

LIMITS = Limits(
    seed_slots=2, peer_slots=2, client_leases=4, recheck_after=5.0, distrust=2.0, quarantine=2.0
)
PIECES = 6
PIECE_SIZE = 4 << 20
LENGTH = PIECES * content_size(PIECE_SIZE)
DIGEST = PieceDigest(f"{0:032x}:{PIECE_SIZE}")
PEERS = [f"h{n}" for n in range(6)]
CLIENTS = [ClientId(f"c{n}") for n in range(8)]
URLS = [f"http://user:pa55@o/{name}" for name in "xyz"]
SHA256 = "2" * 64
BLOBS = [f"http://{registry}/v2/app/blobs/sha256:{SHA256}" for registry in ("r", "s")]
"""Two URLs of one content."""
IMAGES = [f"http://{registry}/v2/app/manifests/1" for registry in ("r", "s")]


class Crowd:
    """Thinks of the next command.

    Args:
        tracker: whom it asks.
        seed: of what it does.
    """

    def __init__(self, tracker: Tracker, seed: int) -> None:
        self.now = 1_000.0
        self._inspection: Inspection | None = None
        self._tracker = tracker
        self._chance = random.Random(seed)
        self._some = self._chance.choice
        often, seldom = 12, 1
        self._deeds: dict[Callable[[], Command[Any] | None], int] = {
            self._pull: 3 * often,
            self._report: 3 * often,
            self._fetch: 2 * often,
            self._register_peer: often,
            self._register_task: often,
            lambda: Expire(): often // 2,
            lambda: SeePeer(peer=self._peer()): often // 3,
            lambda: HoldTask(task=self._task(), peer=self._peer(), path="/p"): often // 3,
            self._preheat: often // 3,
            self._settle: often // 2,
            self._inspect: often // 3,
            self._check: often // 3,
            self._verify: often // 3,
            self._reopen: seldom,
            lambda: CutTask(task=self._task()): seldom,
            lambda: PinTask(task=self._task(), pinned=self._some([True, False])): seldom,
            lambda: PauseTask(task=self._task(), paused=self._some([True, False])): seldom,
            lambda: RemovePeer(peer=self._peer()): seldom,
            lambda: RemoveTask(task=self._task(), reason=Reason.TASK_DELETED): seldom,
            lambda: RemoveTask(
                task=self._task(), reason=Reason.CACHE_DAMAGED, keep_copy=True
            ): seldom,
        }

    def commands(self, count: int) -> Iterator[Command[Any]]:
        """Yield so many commands; time passes in between."""
        deeds, weights = list(self._deeds), list(self._deeds.values())
        while count:
            self.now += self._some([0.0, 0.1, 0.1, 0.1, 1.0, 2.0, 40.0])
            (deed,) = self._chance.choices(deeds, weights)
            if command := deed():
                count -= 1
                yield command

    def _peer(self) -> PeerId:
        host = self._some(PEERS)
        return peer_id(host, "10.0.0.1", 15001)

    def _url(self) -> str:
        return self._some([URLS[0], *URLS, *BLOBS])

    def _task(self) -> TaskId:
        return task_id(self._url())

    def _download(self) -> tuple[TaskId, ClientId]:
        known = [(task.id, client) for task in self._tracker.tasks() for client in task.downloads]
        if not known or self._chance.random() < 0.05:
            return self._task(), self._some(CLIENTS)
        return self._some(known)

    def _spec(self) -> TaskSpec:
        url = self._url()
        headers = Secrets({"Authorization": "s3cret"})
        return TaskSpec(raw_url=url, task_url=url, headers=headers)

    def _register_peer(self) -> Command[Any]:
        version = self._some(["1", "1", "2"])
        return RegisterPeer(ip="10.0.0.1", port=15001, host_name=self._some(PEERS), version=version)

    def _register_task(self) -> Command[Any]:
        peers = [peer.id for peer in self._tracker.peers()]
        peer = self._some([*peers, None])
        return RegisterTask(
            spec=self._spec(),
            client=self._some(CLIENTS),
            peer=peer,
            path="/p",
            pieces=self._some([b"", b"", b"\x05"]),
        )

    def _reports(self) -> tuple[Report, ...]:
        pieces = self._chance.sample(range(PIECES), self._some([0, 1, 1, 2]))
        result = self._some([PieceResult.SUCCESS] * 3 + [PieceResult.SEMISUC, PieceResult.FAILED])
        return tuple(
            Report(
                field=f"reports[{n}]",
                piece_range=piece_range(piece, PIECE_SIZE),
                holder=None,
                result=result,
            )
            for n, piece in enumerate(pieces)
        )

    def _pull(self) -> Command[Any]:
        task, client = self._download()
        status = self._some([PullStatus.RUNNING] * 20 + list(PullStatus))
        return Pull(
            task=task,
            client=client,
            status=status,
            result=self._some([None, PieceResult.FAILED]),
            reports=self._reports(),
            count=self._some([0, 1, 4]),
        )

    def _report(self) -> Command[Any] | None:
        reports = self._reports()
        if not reports:
            return None
        task, client = self._download()
        return ReportPiece(task=task, client=client, report=reports[0])

    def _fetch(self) -> Command[Any] | None:
        waiting = self._tracker.next_to_fetch()
        if waiting:
            return StartFetch(task=waiting)
        running = [t for t in self._tracker.tasks() if t.status is CdnStatus.RUNNING]
        if not running:
            url = self._url()
            spec = self._spec()
            return AdoptTask(
                task=task_id(url),
                spec=spec,
                length=LENGTH,
                piece_size=PIECE_SIZE,
                last_used=1.0,
                digests=self._some([(), (DIGEST,) * PIECES]),
            )
        return self._go_on(self._some(running))

    def _go_on(self, task: Task) -> Command[Any]:
        known: dict[str, Any] = {"task": task.id, "generation": task.generation}
        if task.piece_size is None:
            return SizeTask(**known, length=self._some([LENGTH, None]))
        if self._chance.random() < 0.05:
            return FailFetch(**known, reason=Reason.ORIGIN_BROKEN, detail="x")
        missing = set(range(PIECES)) - set(task.digests)
        if not missing:
            return FinishFetch(
                **known, length=LENGTH, md5="1" * 32, sha256=self._some([SHA256] * 9 + ["3" * 64])
            )
        return CachePiece(**known, piece=min(missing), digest=DIGEST)

    def _verify(self) -> Command[Any] | None:
        tasks = list(self._tracker.tasks())
        if not tasks:
            return None
        task = self._some(tasks)
        deed = self._some([VerifyPieces, VerifyPieces, LosePieces])
        pieces = self._some([1, (1 << PIECES) - 1])
        return deed(task=task.id, generation=task.generation, pieces=pieces)

    def _reopen(self) -> Command[Any] | None:
        """Find the copy of a file damaged beyond repair."""
        whole = [task for task in self._tracker.tasks() if task.status is CdnStatus.SUCCESS]
        if not whole:
            return None
        task = self._some(whole)
        return ReopenTask(task=task.id, generation=task.generation)

    def _settle(self) -> Command[Any] | None:
        for task in self._tracker.doubted_tasks():
            deed = self._some([ConfirmTask, RenewTask])
            return deed(task=task.id, generation=task.generation)
        return None

    def _inspect(self) -> Command[Any]:
        """Look into an accusation; what was drawn is judged by the next look."""
        if self._inspection is None:
            self._inspection = self._peek()
            return TakeAccusation()
        inspection, self._inspection = self._inspection, None
        finding = self._some(list(Finding))
        return JudgePeer(inspection=inspection, finding=finding, seen="x")

    def _peek(self) -> Inspection | None:
        """Return what the next ``TakeAccusation`` will answer."""
        state = self._tracker.state
        for accusation in state.accused.values():
            task, peer = state.tasks[accusation.task], state.peers[accusation.peer]
            offer = task.downloads[accusation.holder]
            return Inspection(
                accusation=accusation,
                generation=task.generation,
                since=offer.created,
                holder=copy_of(peer, offer),
                piece_range=piece_range(accusation.piece, PIECE_SIZE),
                piece_size=PIECE_SIZE,
                digest=task.digests[accusation.piece],
            )
        return None

    def _check(self) -> Command[Any] | None:
        for claim, _ in self._tracker.claims_to_check():
            if self._chance.random() < 0.5:
                return DrawSpotCheck(claim=claim)
            finding = self._some(list(Finding))
            return JudgeClaim(claim=claim, piece=PieceNumber(0), finding=finding, seen="x")
        return None

    def _wish(self) -> CreatePreheat:
        headers = Secrets({"Authorization": "s3cret"})
        if self._chance.random() < 0.5:
            return CreatePreheat(spec=self._spec())
        url = self._some(IMAGES)
        return CreatePreheat(
            spec=TaskSpec(raw_url=url, task_url=url, headers=headers),
            kind=PreheatKind.IMAGE,
            manifest=self._some(["", f"sha256:{0:064x}"]),
        )

    def _preheat(self) -> Command[Any]:
        preheats = list(self._tracker.preheats())
        chance = self._chance.random()
        if not preheats or chance < 0.2:
            return self._wish()
        if chance < 0.25:
            return CreateBatch(wishes=(self._wish(), self._wish()))
        if parts := list(self._tracker.parts_to_begin()):
            return self._begin(self._some(parts))
        return self._carry_on(self._some(preheats))

    def _begin(self, part: Part) -> Command[Any]:
        for task in self._tracker.tasks():
            if task.status is CdnStatus.SUCCESS and task.sha256 == part.sha256:
                return self._some([CopyTask(part=part.id, source=task.id), BeginPart(part=part.id)])
        return BeginPart(part=part.id, may_copy=self._some([True, True, False]))

    def _carry_on(self, preheat: Preheat) -> Command[Any]:
        identity = preheat.id
        if self._chance.random() < 0.1:
            return RemovePreheat(preheat=self._some([identity, *self._tracker.state.batches]))
        if preheat.status is PreheatStatus.WAITING:
            return StartPreheat(preheat=identity)
        if self._chance.random() < 0.1:
            return FailPreheat(preheat=identity, reason=Reason.ORIGIN_STATUS, detail="x")
        here = preheat.spec.task_url.partition("/manifests/")[0]
        other = Blob(url="http://x/layer", digest=f"sha256:{1:064x}", skipped="it is elsewhere")
        blobs = (Blob(url=f"{here}/blobs/sha256:{SHA256}", digest=f"sha256:{SHA256}"), other)
        return ResolvePreheat(preheat=identity, manifest=f"sha256:{0:064x}", blobs=blobs)
