"""What is written, when, and who waits for it."""

import threading
from pathlib import Path

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from supernode.core.commands import (
    CachePiece,
    CreatePreheat,
    PieceResult,
    RegisterPeer,
    RegisterTask,
    RemoveTask,
    Report,
    ReportPiece,
    Seed,
    SizeTask,
    StartFetch,
)
from supernode.core.events import Event, PeerRegistered, PeerSeen
from supernode.core.identity import ClientId, PeerId, TaskId, task_id
from supernode.core.model import TaskSpec
from supernode.core.pieces import PieceDigest, piece_range
from supernode.core.reasons import Reason
from supernode.daemon_events import JournalCaughtUp, JournalFellBehind
from supernode.exchange import Answer, Facts, Request
from supernode.journal.changes import Batch
from supernode.journal.errors import JournalError
from supernode.journal.journal import Journal
from supernode.services import journaling, recalling
from tests.faults import GoesOn, Group, Seen, fault
from tests.integration.process import Process, begun
from tests.waiting import eventually

SIZE = 4 << 20
URL = "http://o/x"
SPEC = TaskSpec(raw_url=URL, task_url=URL)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path


class Gate:
    """Holds up every write until it is told what to do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[Batch] = []
        self._let_through = threading.Semaphore(0)
        real = Journal.write

        def write(journal: Journal, batch: Batch) -> None:
            assert self._let_through.acquire(timeout=10)
            real(journal, batch)
            self.batches.append(batch)

        monkeypatch.setattr(Journal, "write", write)

    def open(self) -> None:
        self._let_through.release(1000)


def register(process: Process, name: str) -> PeerId:
    peer = RegisterPeer(ip="10.0.0.1", port=15001, host_name=name, version="1")
    return process.dispatch(peer)


async def registered(process: Process, name: str) -> Answer:
    """Register as a client does: by a request."""

    def handle(_: Request) -> Answer:
        register(process, name)
        return Answer(201)

    return await process.responder.respond(handle, Request())


async def test_nobody_is_told_of_a_fact_before_it_is_written(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Answer] = []
    with trio.fail_after(10):
        async with begun(state) as process, trio.open_nursery() as nursery:
            gate = Gate(monkeypatch)

            async def ask() -> None:
                answers.append(await registered(process, "a"))

            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            assert not answers
            assert process.journaling.is_behind
            gate.open()
        assert [answer.status for answer in answers] == [201]
        assert not process.journaling.is_behind


async def test_who_asks_meanwhile_is_not_told_either(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one client's answer must not tell before it is written, another's must not."""
    answers: list[int] = []
    with trio.fail_after(10):
        async with begun(state) as process, trio.open_nursery() as nursery:
            gate = Gate(monkeypatch)
            peer = register(process, "a")

            def look(_: Request) -> Answer:
                process.tracker.peer(peer)
                return Answer(200)

            async def ask() -> None:
                answers.append((await process.responder.respond(look, Request())).status)

            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            assert not answers
            gate.open()
    assert answers == [200]


async def test_many_facts_are_one_commit(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with trio.fail_after(10):
        async with begun(state) as process:
            gate = Gate(monkeypatch)
            async with trio.open_nursery() as nursery:
                for n in range(33):
                    nursery.start_soon(registered, process, f"host{n}")
                await trio.testing.wait_all_tasks_blocked()
                gate.open()
            assert sum(bool(batch.upserts) for batch in gate.batches) <= 2
        async with begun(state) as after:
            assert len(after.tracker.peers()) == 33


async def test_progress_is_written_but_not_waited_for(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journaling, "PROGRESS_SECONDS", 0.01)
    with trio.fail_after(10):
        async with begun(state) as process:
            task = await a_download(process)
            await process.journaling.settled()
            gate = Gate(monkeypatch)
            report = Report(
                field="pieceRange",
                piece_range=piece_range(0, SIZE),
                holder=Seed.SEED,
                result=PieceResult.SUCCESS,
            )
            process.dispatch(ReportPiece(task=task, client=ClientId("c"), report=report))
            assert not process.journaling.is_behind
            gate.open()
            await eventually(lambda: any(b.upserts.get("downloads") for b in gate.batches))
        async with begun(state) as after:
            assert after.tracker.task(task).downloads[ClientId("c")].have == 1


async def a_download(process: Process) -> TaskId:
    """Let a client download a file of which one piece is there."""
    dispatch = process.dispatch
    task = dispatch(RegisterTask(spec=SPEC, client=ClientId("c"), peer=None, path=""))
    fetch = dispatch(StartFetch(task=task))
    dispatch(SizeTask(task=task, generation=fetch, length=2 * SIZE))
    digest = PieceDigest(f"{0:032x}:{SIZE}")
    dispatch(CachePiece(task=task, generation=fetch, piece=0, digest=digest))
    return task


async def test_signs_of_life_are_not_worth_a_write(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(10):
        async with begun(state) as process:
            peer = register(process, "a")
            await process.journaling.settled()
            gate = Gate(monkeypatch)
            process.feed.publish([PeerSeen(at=1.0, peer=peer)])
            assert not process.journaling.is_behind
            gate.open()
        (last,) = gate.batches
        assert last == Batch(counters={"seq": process.feed.seq, "given": process.feed.seq})


@fault(
    Group.JOURNAL,
    "cannot be written, for the disk is full or fails",
    GoesOn(
        says="a restart would forget what happens now",
        does="nobody is kept waiting, and all of it is written once that is possible",
    ),
)
async def test_when_the_disk_takes_nothing_the_swarm_goes_on(
    state: Path, monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    monkeypatch.setattr(journaling, "TRY_AGAIN_SECONDS", 0.01)
    real = Journal.write
    full = True

    def write(journal: Journal, batch: Batch) -> None:
        if full:
            raise JournalError("database or disk is full")
        real(journal, batch)

    with trio.fail_after(10), capture_logs() as logs:
        async with begun(state) as process:
            told: list[Event] = []
            process.feed.listen(lambda published: told.append(published.event))
            monkeypatch.setattr(Journal, "write", write)
            for name in "ab":
                assert (await registered(process, name)).status == 201
            assert not process.journaling.is_behind, "nobody is kept waiting"
            assert process.journaling.trouble == "database or disk is full", "/readyz tells it"
            full = False
            await eventually(lambda: any("written down again" in line["event"] for line in logs))
            assert process.journaling.trouble == ""
            of_the_journal = [event for event in told if not isinstance(event, PeerRegistered)]
            assert [type(event) for event in of_the_journal] == [JournalFellBehind, JournalCaughtUp]
        async with begun(state) as after:
            assert len(after.tracker.peers()) == 2
    complaints = [line for line in logs if line["log_level"] == "error"]
    assert [line["problem"] for line in complaints] == ["database or disk is full"]
    seen(GoesOn(says=complaints[0]["event"]))


@fault(
    Group.JOURNAL,
    "is written to very slowly",
    GoesOn(says="", does=f"an answer waits {journaling.LONGEST_COMMIT:g} s, then goes out"),
)
async def test_an_answer_does_not_wait_for_ever(
    state: Path, monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    monkeypatch.setattr(journaling, "LONGEST_COMMIT", 0.05)
    with trio.fail_after(10):
        async with begun(state) as process:
            gate = Gate(monkeypatch)
            assert (await registered(process, "a")).status == 201
            assert not gate.batches
            seen(GoesOn(says=""))
            gate.open()


async def test_what_happens_last_is_written_when_the_process_ends(state: Path) -> None:
    with trio.fail_after(10):
        async with begun(state) as process:
            await process.journaling.settled()
            register(process, "a")
        async with begun(state) as after:
            assert len(after.tracker.peers()) == 1


async def test_all_progress_is_written_when_the_process_ends(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journaling, "MOST_PROGRESS", 1)
    monkeypatch.setattr(journaling, "PROGRESS_SECONDS", 3600)
    clients = [ClientId(name) for name in "cde"]
    with trio.fail_after(10):
        async with begun(state) as process:
            task = await a_download(process)
            for client in clients[1:]:
                ask = RegisterTask(spec=SPEC, client=client, peer=None, path="")
                process.dispatch(ask)
            await process.journaling.settled()
            for client in clients:
                report = Report(
                    field="pieceRange",
                    piece_range=piece_range(0, SIZE),
                    holder=Seed.SEED,
                    result=PieceResult.SUCCESS,
                )
                process.dispatch(ReportPiece(task=task, client=client, report=report))
        async with begun(state) as after:
            downloads = after.tracker.task(task).downloads
            assert [downloads[client].have for client in clients] == [1, 1, 1]


async def test_a_removed_task_stays_removed_and_says_why(state: Path) -> None:
    with trio.fail_after(10):
        async with begun(state) as process:
            task = await a_download(process)
            process.dispatch(RemoveTask(task=task, reason=Reason.TASK_DELETED))
        async with begun(state) as after:
            assert not after.tracker.tasks()
            assert after.tracker.why_gone(task) is Reason.TASK_DELETED


async def test_a_preheat_keeps_its_id(state: Path) -> None:
    with trio.fail_after(10):
        async with begun(state) as process:
            preheat = process.dispatch(CreatePreheat(spec=SPEC))
        async with begun(state) as after:
            assert after.tracker.preheat(preheat).spec == SPEC
            assert after.dispatch(CreatePreheat(spec=SPEC)) == preheat


async def test_event_numbers_are_never_given_twice(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    for module in (journaling, recalling):
        monkeypatch.setattr(module, "STRIDE", 10)
    with trio.fail_after(20):
        for run in range(3):
            async with begun(state) as process:
                assert process.feed.seq >= max(given, default=0)
                for n in range(25):
                    register(process, f"host{run}-{n}")
                    given.append(process.feed.seq)
                    await process.journaling.settled()
    assert len(set(given)) == len(given)


@pytest.mark.parametrize("content", [b"Dear diary", b""])
async def test_a_damaged_journal_is_put_aside_with_a_word(state: Path, content: bytes) -> None:
    path = state / "supernode.db"
    path.write_bytes(content)
    with trio.fail_after(10), capture_logs() as logs:
        async with begun(state) as process:
            register(process, "a")
        async with begun(state) as after:
            assert len(after.tracker.peers()) == 1
    aside = path.with_name("supernode.db.damaged")
    assert aside.exists() == bool(content)
    assert any("damaged" in line["event"] for line in logs) == bool(content)


@fault(
    Group.JOURNAL,
    "was written when the clock was ahead",
    GoesOn(
        says="the journal was written in the future", does="times that are to come count as now"
    ),
)
async def test_a_clock_that_was_wrong_is_noticed(
    state: Path, monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    with trio.fail_after(10), capture_logs() as logs:
        async with begun(state) as process:
            task = await a_download(process)
            known = process.tracker.task(task)
            known.created = known.last_used = known.created + 1e6
        async with begun(state) as after:
            now = after.dispatch.clock.now()
            assert after.tracker.task(task).created <= now
            after.tracker.check()
    (warning,) = [line for line in logs if "future" in line["event"]]
    assert warning["seconds"] == pytest.approx(1e6, abs=30)
    seen(GoesOn(says=warning["event"]))


@pytest.mark.parametrize(
    ("rests_on", "waits"),
    [
        (Facts.ALL, True),
        (task_id(URL), True),
        (task_id("http://o/other"), False),
        (Facts.NONE, False),
    ],
)
async def test_an_answer_waits_for_what_it_rests_on(
    state: Path, monkeypatch: pytest.MonkeyPatch, rests_on: TaskId | Facts, waits: bool
) -> None:
    answers: list[Answer] = []
    with trio.fail_after(10):
        async with begun(state) as process, trio.open_nursery() as nursery:
            gate = Gate(monkeypatch)
            process.dispatch(RegisterTask(spec=SPEC, client=ClientId("c"), peer=None, path=""))

            async def ask() -> None:
                said = Answer(200, rests_on=rests_on)
                answers.append(await process.responder.respond(lambda _: said, Request()))

            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            assert bool(answers) is not waits
            gate.open()
        assert [answer.status for answer in answers] == [200]
