"""What was recorded of a tracker, written to a file and replayed, goes as it went."""

import gzip
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from supernode.core.commands import (
    CachePiece,
    Command,
    CreatePreheat,
    PauseTask,
    PieceResult,
    Pull,
    Pulled,
    RegisterPeer,
    RegisterTask,
    Report,
    ReportPiece,
    Seed,
    SeePeer,
    SizeTask,
    StartFetch,
)
from supernode.core.errors import DomainError
from supernode.core.identity import ClientId, PeerId, TaskId
from supernode.core.model import Secrets, TaskSpec
from supernode.core.pieces import PieceDigest, content_size
from supernode.core.scheduler import Scheduler
from supernode.core.swarm import Swarm
from supernode.core.transitions import pulls
from supernode.core.transitions.step import Step
from supernode.recording import dump_file, recorder
from supernode.recording.dump_file import DumpError
from supernode.recording.recorder import Recorder
from supernode.recording.replay import Ended, ReplayResult, replay
from tests.recorded_tracker import RecordedTracker
from tests.unit.core import test_tracker_machine as tracker_machine

LENGTH = 12
PIECE_SIZE = 4 << 20


@pytest.fixture(autouse=True)
def short_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots begin often, and take as many commands as they can."""
    monkeypatch.setattr(recorder, "LENGTH", LENGTH)
    monkeypatch.setattr(recorder, "RECORDS_AT_ONCE", 1)
    monkeypatch.setattr(recorder, "DIGEST_EVERY", 1)


class RecordedMachine(tracker_machine.Machine):
    """The tracker's machine, recorded; at its end what was recorded is replayed."""

    def teardown(self) -> None:
        super().teardown()
        assert isinstance(self.tracker, RecordedTracker)
        with tempfile.TemporaryDirectory() as directory:
            dump = self.tracker.dumped(Path(directory, "dump"))
        if dump.generations:  # else nothing was asked of it
            result = replay(dump)
            assert result.ended is Ended.AS_RECORDED, result
            assert result.commands == result.recorded


def test_whatever_happens_a_replay_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_machine, "Tracker", RecordedTracker)
    run_state_machine_as_test(
        RecordedMachine, settings=settings(max_examples=60, stateful_step_count=60, deadline=None)
    )


class Recording:
    """A tracker that is recorded, and one file in it."""

    def __init__(self, directory: Path) -> None:
        self.tracker = RecordedTracker()
        self.now = 1_000.0
        self.file = directory / "dump"

    @property
    def recorder(self) -> Recorder:
        return self.tracker.recorder

    def do(self, command: Command[Any]) -> Any:  # noqa: ANN401
        self.now += 0.1
        try:
            answer, _ = self.tracker.execute(command, now=self.now)
        except DomainError:
            return None
        return answer

    def begin(self, spec: TaskSpec, peers: int = 3) -> TaskId:
        """Let some peers want a file of eight pieces; return its ID."""
        task = TaskId("")
        for n in range(peers):
            register = RegisterPeer(ip="10.0.0.1", port=15001 + n, host_name=f"h{n}", version="1")
            peer = self.do(register)
            client = ClientId(f"c{n}")
            task = self.do(RegisterTask(spec=spec, client=client, peer=peer, path=f"/{n}"))
        fetch = self.do(StartFetch(task=task))
        self.do(SizeTask(task=task, generation=fetch, length=8 * content_size(PIECE_SIZE)))
        for piece in range(8):
            digest = PieceDigest(f"{piece:032x}:{PIECE_SIZE}")
            self.do(CachePiece(task=task, generation=fetch, piece=piece, digest=digest))
        return task

    def spread(self, task: TaskId, rounds: int) -> None:
        """Let each client take pieces and report them, time and again."""
        for n in range(rounds):
            client = ClientId(f"c{n % 3}")
            pulled = self.do(Pull(task=task, client=client, count=1))
            for assignment in pulled.assignments:
                self.report(task, client, assignment.piece_range, None)

    def report(
        self,
        task: TaskId,
        client: ClientId,
        piece: str,
        holder: str | Seed | None,
        result: PieceResult = PieceResult.SUCCESS,
    ) -> None:
        report = Report(field="", piece_range=piece, holder=holder, result=result)
        self.do(ReportPiece(task=task, client=client, report=report))

    def replayed(self) -> ReplayResult:
        """Write what was recorded, and replay it."""
        return replay(self.tracker.dumped(self.file))


def spec(url: str = "http://o/x", **fields: Any) -> TaskSpec:  # noqa: ANN401
    return TaskSpec(raw_url=url, task_url=url, **fields)


def test_only_the_last_commands_are_kept_and_what_came_before_is_known(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    recording.spread(recording.begin(spec()), rounds=100)
    result = recording.replayed()
    assert result.ended is Ended.AS_RECORDED
    assert LENGTH < result.recorded < 4 * LENGTH


def test_a_tracker_is_recorded_from_where_it_is(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    task = recording.begin(spec())
    recording.tracker = RecordedTracker(recording.tracker.state)
    recording.spread(task, rounds=1)
    result = recording.replayed()
    assert result.ended is Ended.AS_RECORDED
    assert result.commands == 2


def test_large_commands_fill_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MOST_BYTES", 100_000)
    monkeypatch.setattr(recorder, "LENGTH", 1_000_000)
    recording = Recording(tmp_path)
    records = 1_000
    for n in range(records):
        recording.do(RegisterPeer(ip="10.0.0.1", port=15001, host_name=f"h{n}", version="1"))
    large = RegisterPeer(ip="10.0.0.1", port=15001, host_name="h", version="x" * 50_000)
    for _ in range(50):
        recording.do(large)
        generations = recording.recorder.recorded()
        held = sum(len(command) for each in generations for command in each.commands)
        assert held < 2 * (100_000 + 50_000 + records * recorder.BYTES_A_RECORD)
    assert recording.replayed().ended is Ended.AS_RECORDED


def test_a_core_that_behaves_otherwise_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(tmp_path)
    recording.spread(recording.begin(spec()), rounds=4)
    assert recording.replayed().ended is Ended.AS_RECORDED
    monkeypatch.setattr(Scheduler, "_random_bit", lambda _, bitset: bitset.bit_length() - 1)
    result = recording.replayed()
    assert result.ended is Ended.DIVERGED
    assert result.commands < result.recorded
    assert "Pull" in result.command


def test_another_answer_without_any_event_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(tmp_path)
    task = recording.begin(spec())
    recording.do(PauseTask(task=task, paused=True))
    recording.do(Pull(task=task, client=ClientId("c0")))
    monkeypatch.setattr(pulls, "Pulled", partial(Pulled, ended=True))
    result = recording.replayed()
    assert result.ended is Ended.DIVERGED
    assert "Pull" in result.command


@pytest.mark.parametrize("digest_every", [1, 1_000])
def test_what_was_refused_must_be_refused_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest_every: int
) -> None:
    monkeypatch.setattr(recorder, "DIGEST_EVERY", digest_every)
    recording = Recording(tmp_path)
    recording.begin(spec())
    recording.do(SeePeer(peer=PeerId("nobody")))
    assert recording.replayed().ended is Ended.AS_RECORDED
    monkeypatch.setattr(Step, "peer", lambda step, _: next(iter(step.state.peers.values())))
    result = recording.replayed()
    assert result.ended is Ended.DIVERGED
    assert "SeePeer" in result.command


def test_a_failure_is_repeated_at_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(tmp_path)
    task = recording.begin(spec())
    with monkeypatch.context() as broken:
        broken.setattr(Swarm, "took", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            recording.spread(task, rounds=1)
        recording.recorder.stop()
        result = recording.replayed()
        assert (result.ended, result.commands) == (Ended.FAILED, result.recorded)
        assert "ReportPiece" in result.command
        assert "ZeroDivisionError" in result.problem
    assert recording.replayed().ended is Ended.AS_RECORDED  # by a core without the defect


def test_invariants_are_checked_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = Recording(tmp_path)
    task = recording.begin(spec())
    recording.recorder.catch_up()
    monkeypatch.setattr(Swarm, "set_free", lambda *_, **__: None)
    register = RegisterPeer(ip="10.0.0.9", port=15009, host_name="h9", version="1")
    peer = recording.do(register)
    recording.do(RegisterTask(spec=spec(), client=ClientId("c9"), peer=peer, path="/9"))
    assert task
    result = recording.replayed()
    assert result.ended is Ended.FAILED
    assert "free peers" in result.problem


def test_secrets_stay_here_and_the_file_is_the_same_one(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    headers = Secrets({"Authorization": "Bearer s3cret", "range": "bytes=5-77777"})
    url = "http://user:pa55@o/x"
    secret = TaskSpec(
        raw_url=f"{url}?Signature=77778",  # which the client filtered out
        task_url=url,
        headers=headers,
        root_cas=("CERTIFICATE",),
    )
    task = recording.begin(secret)
    recording.do(CreatePreheat(spec=spec("http://user:pa55@o/y", headers=headers)))
    recording.spread(task, rounds=1)  # with the ID of what has the secrets
    assert recording.replayed().ended is Ended.AS_RECORDED
    written = gzip.decompress(recording.file.read_bytes())
    assert b"Authorization" in written
    for value in (b"s3cret", b"pa55", b"77777", b"77778", b"CERTIFICATE"):
        assert value not in written


def test_a_snapshot_has_no_secrets_either(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    headers = Secrets({"Authorization": "Bearer s3cret", "range": "bytes=5-77777"})
    task = recording.begin(spec("http://user:pa55@o/x", headers=headers))
    recording.do(CreatePreheat(spec=spec("http://user:pa55@o/y", headers=headers)))
    recording.spread(task, rounds=50)
    assert recording.replayed().ended is Ended.AS_RECORDED
    assert b"RegisterTask" not in gzip.decompress(recording.file.read_bytes())
    for value in (b"s3cret", b"pa55", b"77777"):
        assert value not in gzip.decompress(recording.file.read_bytes())


@pytest.mark.parametrize("holder", ["0", "seed", Seed.SEED])
def test_a_peer_called_seed_is_not_the_seed(tmp_path: Path, holder: str | Seed) -> None:
    recording = Recording(tmp_path)
    task = recording.begin(spec())
    (assigned,) = recording.do(Pull(task=task, client=ClientId("c0"), count=1)).assignments
    failed = PieceResult.FAILED
    recording.report(task, ClientId("c0"), assigned.piece_range, holder, failed)
    assert recording.replayed().ended is Ended.AS_RECORDED


def test_numbers_of_any_size_are_recorded(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    task = recording.begin(spec())
    recording.do(Pull(task=task, client=ClientId("c0"), count=1 << 70))
    recording.spread(task, rounds=20)
    assert recording.replayed().ended is Ended.AS_RECORDED


@pytest.mark.parametrize("keep", [0, 5, -20], ids=["empty", "beginning", "most"])
def test_a_part_of_a_dump_is_none(tmp_path: Path, keep: int) -> None:
    recording = Recording(tmp_path)
    recording.begin(spec())
    recording.replayed()
    recording.file.write_bytes(recording.file.read_bytes()[:keep])
    with pytest.raises(DumpError, match="no dump"):
        dump_file.read(recording.file)


def test_a_dump_of_another_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "dump"
    head = [dump_file.FORMAT, dump_file.FORMAT_VERSION + 1]
    file.write_bytes(gzip.compress(msgspec.msgpack.encode(head)))
    with pytest.raises(DumpError, match="version"):
        dump_file.read(file)
