"""The tracker under every order of commands hypothesis can think of.

What must hold whatever happens: the state's own invariants, a fold of the events gives the same
state, an error changes nothing, every lease ends exactly once, and a process that begins with what
the journal holds knows what the one before it knew.
"""

import copy
import dataclasses
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

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
    Seed,
    SeedHolder,
    SeePeer,
    SizeTask,
    StartFetch,
    StartPreheat,
    TakeAccusation,
    VerifyPieces,
)
from supernode.core.errors import BadField, DomainError
from supernode.core.events import (
    Event,
    LeaseExpired,
    LeaseReleased,
    PieceAssigned,
    PieceFailed,
    PieceFinished,
)
from supernode.core.identity import ClientId, PeerId, PreheatId, TaskId, task_id
from supernode.core.model import (
    Blob,
    CdnStatus,
    DownloadStatus,
    Finding,
    Limits,
    PreheatKind,
    Task,
    TaskSpec,
)
from supernode.core.pieces import PieceDigest, PieceNumber, content_size, piece_range
from supernode.core.reasons import Reason
from supernode.core.restoring import restore
from supernode.core.state import State
from supernode.core.swarm import Swarm
from supernode.core.tracker import Tracker
from supernode.journal.changes import Changes
from supernode.journal.journal import Journal

LIMITS = Limits(seed_slots=2, peer_slots=2, client_leases=4, most_accused=2)
MANIFEST = f"sha256:{0:064x}"
PIECES = 6
PIECE_SIZE = 4 << 20
LENGTH = PIECES * content_size(PIECE_SIZE) - 17


def fingerprint(state: State) -> tuple[object, ...]:
    """Everything a state holds, as values that can be compared later."""
    tasks = []
    for task in state.tasks.values():
        values: dict[str, object] = dataclasses.asdict(dataclasses.replace(task, swarm=Swarm()))
        del values["swarm"]
        tasks.append((values, [copy.copy(getattr(task.swarm, s)) for s in Swarm.__slots__]))
    return (
        [dataclasses.asdict(peer) for peer in state.peers.values()],
        list(state.heard_peers),
        list(state.silent_peers),
        list(state.accused.values()),
        list(state.quarantined),
        list(state.struck.items()),
        tasks,
        [(origin, list(tasks)) for origin, tasks in state.waiting.items()],
        list(state.failed),
        list(state.doubted),
        list(state.gone.items()),
        list(state.heard),
        [dataclasses.asdict(preheat) for preheat in state.preheats.values()],
        list(state.preheats_ended),
        list(state.preheats_open),
        dict(state.joinable),
        {preheat: list(parts) for preheat, parts in state.parts_to_begin.items()},
        {task: list(parts) for task, parts in state.parts_awaiting.items()},
        {task: list(parts) for task, parts in state.parts_held.items()},
        list(state.batches.items()),
        {sha256: list(tasks) for sha256, tasks in state.complete.items()},
        {sha256: list(tasks) for sha256, tasks in state.coming.items()},
        list(state.claims),
        {task: list(claims) for task, claims in state.claims_of.items()},
        state.claim_bytes,
        state.next_claim,
        state.downloads,
        state.next_generation,
        {lease.id: dataclasses.asdict(lease) for lease in state.leases.values()},
        state.next_lease,
        list(state.deadlines),
    )


def remembered(state: State) -> tuple[object, ...]:
    """What the next process must know of a state, as values that can be compared."""
    return (
        {
            (
                *(p.id, p.ip, p.port, p.host_name, p.version, p.created),
                *(p.strikes, p.quarantined, p.quarantined_until, p.evidence),
            )
            for p in state.peers.values()
        },
        {
            task.id: (
                *(task.generation, task.spec, task.created, task.paused, task.pinned),
                *(task.reason, task.detail, task.failures, task.length, task.piece_size),
                *(task.md5, task.sha256, task.digests, task.running, in_the_next_process(task)),
            )
            for task in state.tasks.values()
        },
        {
            (task.id, download.client): (
                *(download.peer, download.path, download.created, download.status),
                *(download.reason, download.have, download.claimed),
                *(download.from_seed, download.from_peers),
            )
            for task in state.tasks.values()
            for download in task.downloads.values()
        },
        {
            preheat.id: (
                *(preheat.task, preheat.spec, preheat.created, preheat.reason, preheat.status),
                *(preheat.kind, preheat.platforms, preheat.manifest, preheat.is_resolved),
                *(preheat.open_parts, preheat.finished, list(preheat.parts)),
            )
            for preheat in state.preheats.values()
        },
        {
            part.id: (part.task, part.blob, part.status, part.reason, part.detail, part.length)
            for part in state.parts.values()
        },
        set(state.preheats_open),
        dict(state.batches),
        dict(state.gone),
        state.spec_bytes,
    )


def in_the_next_process(task: Task) -> tuple[CdnStatus, bool]:
    """How far a task's file will be, and whether it is on disk to be verified."""
    if task.status is CdnStatus.SUCCESS:
        return CdnStatus.RUNNING, True
    if task.status is CdnStatus.RUNNING and not task.adopted:
        return CdnStatus.WAITING, False
    return task.status, task.adopted


class Machine(RuleBasedStateMachine):
    """Peers come and go, clients pull and report, the fetch goes well or fails."""

    peers = Bundle("peers")
    clients = Bundle("clients")
    preheats = Bundle("preheats")

    def __init__(self) -> None:
        super().__init__()
        self.tracker = Tracker(LIMITS)
        self.replayed = State(LIMITS)
        self.now = 1_000.0
        self.chance = random.Random(0)
        self.open: set[int] = set()
        self.inspections: list[Inspection] = []
        self.directory = tempfile.TemporaryDirectory()
        self.journal = Journal(Path(self.directory.name, "journal"))
        self.changes = Changes()

    def teardown(self) -> None:
        self.journal.close()
        self.directory.cleanup()

    def do(self, command: Command[Any]) -> Any:  # noqa: ANN401
        """Execute; fold the events into the second state; follow every lease."""
        before = fingerprint(self.tracker._state)
        try:
            answer, events = self.tracker.execute(command, now=self.now, chance=self.chance)
        except DomainError:
            assert fingerprint(self.tracker._state) == before
            return None
        for event in events:
            self.judge(event)
            self.replayed.apply(event)
            self.follow(event)
            self.changes.note(event, self.tracker)
        return answer

    @rule()
    def restart(self) -> None:
        """The process ends, at once, and another one begins."""
        self.journal.write(self.changes.take(1000).rows(self.tracker, "boot"))
        before = remembered(self.tracker._state)
        states = [restore(LIMITS, self.journal.load().known, self.now) for _ in range(2)]
        assert remembered(states[0]) == before
        self.tracker, self.replayed = Tracker(states[0]), states[1]
        self.open = set()

    @rule(same=st.booleans())
    def settle_doubts(self, same: bool) -> None:
        command = ConfirmTask if same else RenewTask
        for task in self.tracker.doubted_tasks():
            self.do(command(task=task.id, generation=task.generation))

    @rule()
    def verify(self) -> None:
        for task in list(self.tracker.tasks()):
            pieces = task.swarm.lacking
            self.do(VerifyPieces(task=task.id, generation=task.generation, pieces=pieces))

    @rule()
    def lose_a_copy(self) -> None:
        for task in list(self.tracker.tasks()):
            if task.status is CdnStatus.SUCCESS and not task.doubted:
                known: dict[str, Any] = {"task": task.id, "generation": task.generation}
                self.do(LosePieces(**known, pieces=1))
                self.do(ReopenTask(**known))

    def judge(self, event: Event) -> None:
        """Check an assignment against the state it was made in."""
        if not isinstance(event, PieceAssigned):
            return
        task = self.replayed.tasks[event.task]
        download = task.downloads[event.client]
        assert not download.done >> event.piece & 1, "assigned what the client has"
        assert not task.paused, "handed out while paused"
        assert not task.doubted, "handed out while in doubt"
        offering = [d for d in task.downloads.values() if d.peer is not None and d.have]
        slots = LIMITS.seed_slots + LIMITS.peer_slots * len(offering)
        in_flight = sum(lease.holds_slot for lease in download.leases.values())
        assert in_flight < max(1, slots // task.running), "more than its share"
        free_holders = [
            other.client
            for other in task.downloads.values()
            if other.peer is not None
            and not self.replayed.peers[other.peer].quarantined
            and other.client != event.client
            and other.have >> event.piece & 1
            and self.replayed.peers[other.peer].slots_used < LIMITS.peer_slots
            and len(self.replayed.peers[other.peer].serving) < 2 * LIMITS.peer_slots
            and download.avoided.get(other.peer, 0) <= self.now
        ]
        if event.holder is None:
            assert not free_holders, "the seed was used while a peer could serve"
            assert not task.swarm.lacking >> event.piece & 1, "the seed has not verified its copy"
            assert task.slots_used < LIMITS.seed_slots
        else:
            assert event.holder in free_holders
            silent = {
                other.client
                for other in task.downloads.values()
                if other.peer is not None and self.replayed.peers[other.peer].silent
            }
            if event.holder in silent:
                assert set(free_holders) <= silent, "a silent peer was asked before another"

    def follow(self, event: Event) -> None:
        """Count how each lease ends."""
        if isinstance(event, PieceAssigned):
            self.open.add(event.lease)
        elif isinstance(event, (PieceFailed, LeaseExpired, LeaseReleased, PieceFinished)):
            if event.lease is None:
                return
            assert event.lease in self.open, "ended twice, or never began"
            self.open.remove(event.lease)

    @initialize(target=clients)
    def begin(self) -> MultipleResults[tuple[TaskId, ClientId] | None]:
        """Three peers want the same file, four of whose pieces are there; one has a few."""
        clients = []
        for name in ("c1", "c2", "c3"):
            peer = self.register_peer_at(name)
            spec = TaskSpec(raw_url="http://o/x", task_url="http://o/x")
            client = ClientId(name)
            task = self.do(RegisterTask(spec=spec, client=client, peer=peer, path="/p"))
            clients.append((task, client))
        fetch = self.do(StartFetch(task=task))
        self.do(SizeTask(task=task, generation=fetch, length=LENGTH))
        for piece in range(4):
            digest = PieceDigest(f"{piece:032x}:9")
            self.do(CachePiece(task=task, generation=fetch, piece=piece, digest=digest))
        self.pull_and_take(clients[0], 2)
        return multiple(*clients)

    def register_peer_at(self, host: str) -> PeerId:
        answer = self.do(RegisterPeer(ip="10.0.0.1", port=15001, host_name=host, version="1"))
        assert isinstance(answer, str)
        return PeerId(answer)

    @rule(target=peers, host=st.sampled_from(["c1", "c2", "d"]))
    def register_peer(self, host: str) -> PeerId:
        return self.register_peer_at(host)

    @rule(peer=consumes(peers))
    def remove_peer(self, peer: PeerId) -> None:
        self.do(RemovePeer(peer=peer))

    @rule(
        target=clients,
        peer=st.none() | peers,
        url=st.sampled_from(["http://o/x", "http://o/y"]),
        name=st.sampled_from(["c1", "c2", "c3", "c4", "c5"]),
        md5=st.sampled_from(["", "0" * 32]),
        pieces=st.just(0) | st.integers(0, (2 << PIECES) - 1),
    )
    def register_task(
        self, peer: PeerId | None, url: str, name: str, md5: str, pieces: int
    ) -> tuple[TaskId, ClientId] | None:
        task = self.do(
            RegisterTask(
                spec=TaskSpec(raw_url=url, task_url=url, md5=md5),
                client=ClientId(name),
                peer=peer,
                path="/p",
                pieces=pieces.to_bytes(2, "little"),
            )
        )
        return (task, ClientId(name)) if task else None

    @rule(finding=st.sampled_from(Finding))
    def check_a_claim(self, finding: Finding) -> None:
        claim, peer = next(self.tracker.claims_to_check(), (None, None))
        if claim is None:
            return
        download = self.tracker._state.claims[claim]
        assert peer is not None
        assert peer.id == download.peer
        known = self.tracker.task(download.task).swarm.known
        check = self.do(DrawSpotCheck(claim=claim))
        if check is None:
            assert download.claimed >> PIECES, "rejected what can be true"
            return
        assert (download.claimed & known) >> check.piece & 1, "looks for what is not claimed"
        self.do(JudgeClaim(claim=claim, piece=check.piece, finding=finding, seen="seen"))
        assert claim not in self.tracker._state.claims
        assert bool(download.claimed) is (finding is not Finding.RIGHT)

    @rule(claim=st.integers(0, 9), piece=st.integers(0, PIECES))
    def a_late_word_of_a_claim(self, claim: int, piece: int) -> None:
        self.do(DrawSpotCheck(claim=claim))
        if claim not in self.tracker._state.claims:
            late = PieceNumber(piece)
            self.do(JudgeClaim(claim=claim, piece=late, finding=Finding.RIGHT, seen="seen"))

    @rule(
        who=clients,
        status=st.sampled_from(PullStatus),
        result=st.none() | st.sampled_from(PieceResult),
        count=st.integers(0, 8),
        data=st.data(),
        retry=st.booleans(),
    )
    def pull(
        self,
        who: tuple[TaskId, ClientId] | None,
        status: PullStatus,
        result: PieceResult | None,
        count: int,
        data: st.DataObject,
        retry: bool,
    ) -> None:
        if who is None:
            return
        reports = data.draw(st.lists(_report(), max_size=3).map(tuple))
        pull = Pull(
            task=who[0],
            client=who[1],
            status=status,
            result=result,
            reports=reports,
            count=count,
            retry=retry,
        )
        answer = self.do(pull)
        if answer is not None:
            assert len(answer.assignments) <= count

    @rule(who=clients, count=st.integers(1, 4))
    def pull_and_take(self, who: tuple[TaskId, ClientId] | None, count: int) -> None:
        """A client that works: pulls, fetches, reports with its next pull."""
        if who is None:
            return
        answer = self.do(Pull(task=who[0], client=who[1], count=count))
        if answer is None:
            return
        reports = tuple(
            Report(
                field="reports",
                piece_range=a.piece_range,
                holder=Seed.SEED if isinstance(a.holder, SeedHolder) else a.holder.peer,
                result=PieceResult.SUCCESS,
            )
            for a in answer.assignments
        )
        self.do(Pull(task=who[0], client=who[1], reports=reports, count=0))

    @rule(who=clients, data=st.data())
    def repeat_a_pull(self, who: tuple[TaskId, ClientId] | None, data: st.DataObject) -> None:
        """A verbatim repeat while nothing was reported gets the same pieces."""
        if who is None:
            return
        pull = Pull(task=who[0], client=who[1], count=data.draw(st.integers(1, 4)))
        first = self.do(pull)
        if first is not None and first.assignments:
            leases = set(self.open)
            assert self.do(pull) == first
            assert self.open == leases

    @rule(who=clients, data=st.data())
    def report(self, who: tuple[TaskId, ClientId] | None, data: st.DataObject) -> None:
        if who is not None:
            self.do(ReportPiece(task=who[0], client=who[1], report=data.draw(_report())))

    @rule(who=clients, finding=st.none() | st.sampled_from(Finding))
    def blame(self, who: tuple[TaskId, ClientId] | None, finding: Finding | None) -> None:
        """A client that gets nothing from peers, or says so; somebody may look into it at once."""
        if who is None:
            return
        answer = self.do(Pull(task=who[0], client=who[1], count=4))
        for given in answer.assignments if answer else ():
            if not isinstance(given.holder, SeedHolder):
                failed = Report(
                    field="pieceRange",
                    piece_range=given.piece_range,
                    holder=given.holder.peer,
                    result=PieceResult.FAILED,
                )
                self.do(ReportPiece(task=who[0], client=who[1], report=failed))
        if finding is not None and (inspection := self.do(TakeAccusation())):
            self.inspections.append(inspection)
            self.do(JudgePeer(inspection=inspection, finding=finding, seen="seen"))

    @rule(data=st.data(), finding=st.sampled_from(Finding))
    def judge_late(self, data: st.DataObject, finding: Finding) -> None:
        """An inspection that may have been judged before, or made moot."""
        if inspection := self.do(TakeAccusation()):
            self.inspections.append(inspection)
        if self.inspections:
            inspection = data.draw(st.sampled_from(self.inspections))
            self.do(JudgePeer(inspection=inspection, finding=finding, seen="seen"))

    @rule()
    def fetch_next(self) -> None:
        if task := self.tracker.next_to_fetch():
            self.do(StartFetch(task=task))

    def running(self) -> list[tuple[TaskId, int]]:
        tasks = self.tracker.tasks()
        return [(t.id, t.generation) for t in tasks if t.status is CdnStatus.RUNNING]

    @rule(known=st.booleans())
    def size(self, known: bool) -> None:
        for task, fetch in self.running():
            self.do(SizeTask(task=task, generation=fetch, length=LENGTH if known else None))

    @rule(who=clients)
    def cut(self, who: tuple[TaskId, ClientId] | None) -> None:
        """Whoever is told how a file is cut, is told the same from then on."""
        if who is not None and (size := self.do(CutTask(task=who[0]))):
            assert self.do(CutTask(task=who[0])) == size

    @rule(piece=st.integers(0, PIECES - 1))
    def cache(self, piece: int) -> None:
        for task, fetch in self.running():
            if self.tracker.task(task).piece_size and piece not in self.tracker.task(task).digests:
                digest = PieceDigest(f"{piece:032x}:9")
                self.do(CachePiece(task=task, generation=fetch, piece=piece, digest=digest))

    @rule()
    def finish(self) -> None:
        for task, fetch in self.running():
            if len(self.tracker.task(task).digests) == PIECES:
                self.do(
                    FinishFetch(
                        task=task, generation=fetch, length=LENGTH, md5="1" * 32, sha256="2" * 64
                    )
                )

    @rule()
    def fetch_whole(self) -> None:
        """A file that somebody waits for comes at once."""
        awaited = [task.id for task in self.tracker.tasks() if self.tracker.has_takers(task)]
        for task in [t for t in awaited if self.tracker.task(t).status is CdnStatus.WAITING][:1]:
            fetch = self.do(StartFetch(task=task))
            self.do(SizeTask(task=task, generation=fetch, length=LENGTH))
            for piece in range(PIECES):
                digest = PieceDigest(f"{piece:032x}:9")
                self.do(CachePiece(task=task, generation=fetch, piece=piece, digest=digest))
            self.finish()

    @rule(reason=st.sampled_from([Reason.ORIGIN_STATUS, Reason.DISK_FULL]))
    def fail(self, reason: Reason) -> None:
        """Rarely, for it ends everything."""
        if self.chance.random() < 0.9:
            return
        for task, fetch in self.running()[:1]:
            self.do(FailFetch(task=task, generation=fetch, reason=reason, detail="x"))

    @rule()
    def a_late_word_of_an_old_fetch(self) -> None:
        for task, fetch in self.running():
            self.do(FailFetch(task=task, generation=fetch - 1, reason=Reason.INTERNAL, detail=""))
            assert self.tracker.task(task).status is CdnStatus.RUNNING

    @rule()
    def adopt(self) -> None:
        url = "http://o/y"
        spec = TaskSpec(raw_url=url, task_url=url)
        self.do(
            AdoptTask(
                task=task_id(url), spec=spec, length=LENGTH, piece_size=PIECE_SIZE, last_used=5.0
            )
        )

    @rule(peer=peers)
    def see_peer(self, peer: PeerId) -> None:
        self.do(SeePeer(peer=peer))

    @rule(who=clients, peer=peers, path=st.sampled_from(["", "/p", "/q"]))
    def hold(self, who: tuple[TaskId, ClientId] | None, peer: PeerId, path: str) -> None:
        if who is not None:
            self.do(HoldTask(task=who[0], peer=peer, path=path))

    @rule(who=clients, paused=st.booleans())
    def pause(self, who: tuple[TaskId, ClientId] | None, paused: bool) -> None:
        if who is not None:
            self.do(PauseTask(task=who[0], paused=paused))

    @rule(who=clients, pinned=st.booleans())
    def pin(self, who: tuple[TaskId, ClientId] | None, pinned: bool) -> None:
        if who is not None:
            self.do(PinTask(task=who[0], pinned=pinned))

    @rule(who=clients, keep=st.booleans())
    def remove_task(self, who: tuple[TaskId, ClientId] | None, keep: bool) -> None:
        """Rarely, for it ends everything."""
        if who is not None and self.chance.random() < 0.1:
            self.do(RemoveTask(task=who[0], reason=Reason.TASK_DELETED, keep_copy=keep))

    @rule(target=preheats, url=st.sampled_from(["http://o/x", "http://o/z"]))
    def create_preheat(self, url: str) -> PreheatId | None:
        answer = self.do(CreatePreheat(spec=TaskSpec(raw_url=url, task_url=url)))
        return PreheatId(answer) if answer else None

    @rule(
        target=preheats,
        registry=st.sampled_from(["r", "s"]),
        manifest=st.sampled_from(["", MANIFEST]),
    )
    def create_image(self, registry: str, manifest: str) -> PreheatId | None:
        url = f"http://{registry}/v2/app/manifests/1"
        spec = TaskSpec(raw_url=url, task_url=url)
        answer = self.do(CreatePreheat(spec=spec, kind=PreheatKind.IMAGE, manifest=manifest))
        return PreheatId(answer) if answer else None

    @rule(preheat=preheats, count=st.integers(0, 2))
    def resolve_preheat(self, preheat: PreheatId | None, count: int) -> None:
        known = self.tracker.state.preheats.get(preheat) if preheat else None
        if known is not None:
            here = known.spec.task_url.partition("/manifests/")[0]
            blobs = tuple(
                Blob(url=f"{here}/blobs/sha256:{digit * 64}", digest=f"sha256:{digit * 64}")
                for digit in "23"[:count]
            )
            skipped = Blob(url="", digest="sha256:4", skipped="elsewhere")
            blobs = (*blobs, skipped)
            self.do(ResolvePreheat(preheat=known.id, manifest=MANIFEST, blobs=blobs))

    @rule(may_copy=st.booleans(), which=st.integers(0, 3))
    def begin_part(self, may_copy: bool, which: int) -> None:
        parts = list(self.tracker.parts_to_begin())
        if parts:
            part = parts[which % len(parts)].id
            source = self.do(BeginPart(part=part, may_copy=may_copy))
            if source is not None:
                self.do(CopyTask(part=part, source=TaskId(source)))

    @rule(preheats=st.lists(st.sampled_from(["http://o/x", "http://o/y"]), min_size=1))
    def create_batch(self, preheats: list[str]) -> None:
        specs = (TaskSpec(raw_url=url, task_url=url) for url in preheats)
        self.do(CreateBatch(wishes=tuple(CreatePreheat(spec=spec) for spec in specs)))

    @rule(preheat=preheats)
    def start_preheat(self, preheat: PreheatId | None) -> None:
        if preheat is not None:
            self.do(StartPreheat(preheat=preheat))

    @rule(preheat=preheats)
    def fail_preheat(self, preheat: PreheatId | None) -> None:
        if preheat is not None:
            self.do(FailPreheat(preheat=preheat, reason=Reason.ORIGIN_STATUS))

    @rule(preheat=consumes(preheats))
    def remove_preheat(self, preheat: PreheatId | None) -> None:
        if preheat is not None:
            self.do(RemovePreheat(preheat=preheat))

    @rule(seconds=st.sampled_from([0.1, 11.0, 80.0, 200.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        while self.do(Expire()):
            pass
        assert all(lease.deadline > self.now for lease in self.tracker._state.leases.values())

    @invariant()
    def state_agrees_with_itself(self) -> None:
        self.tracker.check()
        assert set(self.tracker._state.leases) == self.open

    @invariant()
    def replay_gives_the_same_state(self) -> None:
        assert fingerprint(self.replayed) == fingerprint(self.tracker._state)

    @invariant()
    def finished_clients_have_every_piece(self) -> None:
        for task in self.tracker._state.tasks.values():
            for download in task.downloads.values():
                if download.status is DownloadStatus.SUCCESS:
                    assert not ((1 << PIECES) - 1) & ~download.done


def _report() -> st.SearchStrategy[Report]:
    return st.builds(
        Report,
        field=st.just("pieceRange"),
        piece_range=st.integers(0, PIECES).map(lambda n: piece_range(n, PIECE_SIZE)),
        holder=st.none() | st.just(Seed.SEED) | st.sampled_from(["c1", "c2", "c1-10.0.0.1-15001"]),
        result=st.sampled_from(PieceResult),
    )


Machine.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
test_tracker = Machine.TestCase


def test_a_wrong_report_in_a_list_changes_nothing() -> None:
    tracker = Tracker(LIMITS)
    chance = random.Random(0)
    spec = TaskSpec(raw_url="http://o/x", task_url="http://o/x")
    task, _ = tracker.execute(
        RegisterTask(spec=spec, client=ClientId("c"), peer=None, path="/p"), now=0, chance=chance
    )
    fetch, _ = tracker.execute(StartFetch(task=task), now=0, chance=chance)
    digest = PieceDigest("0" * 32 + ":9")
    commands: list[Command[Any]] = [
        SizeTask(task=task, generation=fetch, length=LENGTH),
        CachePiece(task=task, generation=fetch, piece=0, digest=digest),
    ]
    for command in commands:
        tracker.execute(command, now=0, chance=chance)
    before = fingerprint(tracker._state)
    good, bad = (
        Report(
            field=f"reports[{n}].pieceRange",
            piece_range=text,
            holder=None,
            result=PieceResult.SUCCESS,
        )
        for n, text in enumerate((piece_range(0, PIECE_SIZE), "7-9"))
    )
    pull = Pull(task=task, client=ClientId("c"), reports=(good, bad))
    with pytest.raises(BadField) as caught:
        tracker.execute(pull, now=0, chance=chance)
    assert caught.value.field == "reports[1].pieceRange"
    assert fingerprint(tracker._state) == before
