"""The tracker under every order of commands hypothesis can think of.

What must hold whatever happens: the state's own invariants, a fold of the events gives the same
state, an error changes nothing, and every lease ends exactly once.
"""

import copy
import dataclasses
import random
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
    CachePiece,
    Command,
    CreatePreheat,
    EndPreheat,
    Expire,
    FailFetch,
    FinishFetch,
    HoldTask,
    PauseTask,
    PieceResult,
    Pull,
    PullStatus,
    RegisterPeer,
    RegisterTask,
    RemovePeer,
    RemovePreheat,
    RemoveTask,
    Report,
    ReportPiece,
    Seed,
    SeedHolder,
    SeePeer,
    SizeTask,
    StartFetch,
    StartPreheat,
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
from supernode.core.model import CdnStatus, DownloadStatus, Limits, TaskSpec
from supernode.core.pieces import PieceDigest, content_size, piece_range
from supernode.core.reasons import Reason
from supernode.core.state import State
from supernode.core.swarm import Swarm
from supernode.core.tracker import Tracker

LIMITS = Limits(seed_slots=2, peer_slots=2, client_leases=4)
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
        tasks,
        list(state.waiting),
        list(state.failed),
        list(state.gone.items()),
        list(state.heard),
        [dataclasses.asdict(preheat) for preheat in state.preheats.values()],
        list(state.preheats_ended),
        dict(state.preheats_of),
        state.downloads,
        state.next_generation,
        {lease.id: dataclasses.asdict(lease) for lease in state.leases.values()},
        state.next_lease,
        list(state.deadlines),
    )


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
        return answer

    def judge(self, event: Event) -> None:
        """Check an assignment against the state it was made in."""
        if not isinstance(event, PieceAssigned):
            return
        task = self.replayed.tasks[event.task]
        download = task.downloads[event.client]
        assert not download.have >> event.piece & 1, "assigned what the client has"
        assert not task.paused, "handed out while paused"
        offering = [d for d in task.downloads.values() if d.peer is not None and d.have]
        slots = LIMITS.seed_slots + LIMITS.peer_slots * len(offering)
        in_flight = sum(not lease.overdue for lease in download.leases.values())
        assert in_flight < max(1, slots // task.running), "more than its share"
        free_holders = [
            other.client
            for other in task.downloads.values()
            if other.peer is not None
            and other.client != event.client
            and other.have >> event.piece & 1
            and self.replayed.peers[other.peer].slots_used < LIMITS.peer_slots
            and len(self.replayed.peers[other.peer].serving) < 2 * LIMITS.peer_slots
            and download.avoided.get(other.peer, 0) <= self.now
        ]
        if event.holder is None:
            assert not free_holders, "the seed was used while a peer could serve"
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
        """Three peers want the same file, four of whose pieces are there."""
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
    )
    def register_task(
        self, peer: PeerId | None, url: str, name: str, md5: str
    ) -> tuple[TaskId, ClientId] | None:
        task = self.do(
            RegisterTask(
                spec=TaskSpec(raw_url=url, task_url=url, md5=md5),
                client=ClientId(name),
                peer=peer,
                path="/p",
            )
        )
        return (task, ClientId(name)) if task else None

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

    @rule(who=clients, keep=st.booleans())
    def remove_task(self, who: tuple[TaskId, ClientId] | None, keep: bool) -> None:
        """Rarely, for it ends everything."""
        if who is not None and self.chance.random() < 0.1:
            self.do(RemoveTask(task=who[0], reason=Reason.TASK_DELETED, keep_copy=keep))

    @rule(target=preheats, url=st.sampled_from(["http://o/x", "http://o/z"]))
    def create_preheat(self, url: str) -> PreheatId | None:
        answer = self.do(CreatePreheat(spec=TaskSpec(raw_url=url, task_url=url)))
        return PreheatId(answer) if answer else None

    @rule(preheat=preheats)
    def start_preheat(self, preheat: PreheatId | None) -> None:
        if preheat is not None:
            self.do(StartPreheat(preheat=preheat))

    @rule(preheat=preheats, reason=st.none() | st.just(Reason.ORIGIN_STATUS))
    def end_preheat(self, preheat: PreheatId | None, reason: Reason | None) -> None:
        if preheat is not None:
            self.do(EndPreheat(preheat=preheat, reason=reason))

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
                    assert download.have == (1 << PIECES) - 1


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
