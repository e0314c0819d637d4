"""The journal's file: who may read it, what it survives, how it grows older."""

import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from supernode.core.identity import ClientId, PeerId, TaskId
from supernode.core.model import (
    CdnStatus,
    Download,
    OriginVersion,
    PartStatus,
    Peer,
    PreheatKind,
    Secrets,
    Task,
    TaskSpec,
)
from supernode.core.pieces import PieceDigest, PieceNumber
from supernode.core.reasons import Reason
from supernode.core.state import MOST_GONE
from supernode.journal import database, rows
from supernode.journal.changes import Batch
from supernode.journal.errors import JournalDamaged, JournalError, JournalTooNew
from supernode.journal.journal import Journal, put_aside
from supernode.journal.schema import MIGRATIONS, migrate
from tests.faults import GoesOn, Group, Seen, fault

TASK = TaskId("a" * 64)
PEER = PeerId("host-10.0.0.1-15001")
SPEC = TaskSpec(
    raw_url="http://user:pass@o/x?y=1",
    task_url="http://o/x",
    md5="",
    identifier="v1",
    headers=Secrets({"Authorization": "Bearer s3cr3t-s3cr3t"}),
    call_system="a",
    dfdaemon=True,
    path="/p",
    insecure=True,
    root_cas=("-----BEGIN",),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "supernode.db"


def a_task(spec: TaskSpec = SPEC) -> Task:
    return Task(
        id=TASK,
        generation=3,
        spec=spec,
        created=1.5,
        last_used=2.5,
        status=CdnStatus.RUNNING,
        paused=True,
        pinned=True,
        failures=2,
        retry_at=7.5,
        length=9,
        piece_size=4 << 20,
        version=OriginVersion(etag='"e"', last_modified="then", validator='"e"'),
        md5="1" * 32,
        sha256="2" * 64,
    )


def a_peer() -> Peer:
    return Peer(
        id=PEER, ip="10.0.0.1", port=15001, host_name="host", version="1", created=1, last_seen=1
    )


def a_download() -> Download:
    return Download(
        task=TASK,
        client=ClientId("c"),
        peer=PEER,
        path="/p",
        index=-1,
        created=1.0,
        last_seen=1.0,
        have=1 << 700 | 1,
        claimed=1 << 9,
        from_seed=1 << 40,
        from_peers=3,
    )


def everything() -> Batch:
    batch = Batch(counters={"seq": 12})
    batch.put("peers", (PEER,), rows.peer_row(a_peer()))
    batch.put("tasks", (TASK,), rows.task_row(a_task(), "boot"))
    batch.put("pieces", (TASK, 0), (TASK, 0, "d:9"))
    batch.put("downloads", (TASK, "c"), rows.download_row(a_download()))
    return batch


def written(path: Path, *batches: Batch) -> None:
    with closing(Journal(path)) as journal:
        for batch in batches:
            journal.write(batch)


def test_what_is_written_is_what_is_read(path: Path) -> None:
    written(path, everything())
    with closing(Journal(path)) as journal:
        told = journal.load()
    task = a_task()
    task.digests = {PieceNumber(0): PieceDigest("d:9")}
    (found,) = told.known.tasks
    found.swarm = task.swarm
    assert found == task
    assert told.known.peers == [a_peer()]
    assert told.known.downloads == [a_download()]
    assert told.boots == {TASK: "boot"}
    assert told.counters == {"seq": 12}


def test_nobody_else_may_read_it(path: Path) -> None:
    with closing(Journal(path)) as journal:
        journal.write(everything())
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_credentials_that_are_forgotten_are_not_in_the_file_any_more(path: Path) -> None:
    written(path, everything())
    assert b"s3cr3t-s3cr3t" in path.read_bytes()
    batch = Batch()
    batch.put("tasks", (TASK,), rows.task_row(a_task(SPEC.without_means()), "boot"))
    written(path, batch)
    for file in path.parent.iterdir():
        assert b"s3cr3t-s3cr3t" not in file.read_bytes()


def test_a_batch_is_written_whole_or_not_at_all(path: Path) -> None:
    batch = everything()
    batch.put("peers", ("x",), ("x", *[None] * 9))
    with closing(Journal(path)) as journal:
        with pytest.raises(JournalError, match=r"peers\.ip"):
            journal.write(batch)
        assert not journal.load().known.tasks
        large = Batch()
        large.put("peers", ("x",), ("x", "ip", 1 << 64, *[""] * 7))
        with pytest.raises(JournalError, match="too large"):
            journal.write(large)
        journal.write(everything())
        assert journal.load().known.tasks


def test_a_removed_task_goes_with_all_that_belongs_to_it(path: Path) -> None:
    gone = Batch(removed=[TASK], gone=[rows.gone_row(TASK, Reason.TASK_DELETED)])
    written(path, everything(), gone)
    with closing(Journal(path)) as journal:
        known = journal.load().known
        assert (known.tasks, known.downloads) == ([], [])
        assert known.gone == [(TASK, Reason.TASK_DELETED)]
        journal.write(Batch(returned=[TASK]))
        assert not journal.load().known.gone


def test_it_is_remembered_of_so_many_tasks_only_that_they_are_gone(path: Path) -> None:
    reasons = [rows.gone_row(TaskId(f"{n:064x}"), Reason.TASK_EVICTED) for n in range(MOST_GONE)]
    last = rows.gone_row(TASK, Reason.TASK_DELETED)
    written(path, Batch(gone=reasons), Batch(gone=[last]))
    with closing(Journal(path)) as journal:
        gone = journal.load().known.gone
    assert len(gone) == MOST_GONE
    assert gone[0] == (f"{1:064x}", Reason.TASK_EVICTED)
    assert gone[-1] == (TASK, Reason.TASK_DELETED)


def test_what_a_peer_that_left_had_is_offered_no_more_even_if_it_returns(path: Path) -> None:
    batch = Batch(left=[PEER])
    batch.put("peers", (PEER,), rows.peer_row(a_peer()))
    written(path, everything(), batch)
    with closing(Journal(path)) as journal:
        known = journal.load().known
    assert [peer.id for peer in known.peers] == [PEER]
    assert [download.peer for download in known.downloads] == [None]


# what may have become of it


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)


def something_else(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 100)


def with_a_status_that_never_was(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tasks SET status = 'MAYBE'")


def without_a_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE pieces")


@pytest.mark.parametrize(
    "harm",
    [cut_short, overwritten, something_else, with_a_status_that_never_was, without_a_table],
)
def test_a_damaged_one_is_found_out_and_can_be_put_aside(
    path: Path, harm: Callable[[Path], None]
) -> None:
    written(path, everything())
    harm(path)
    with pytest.raises(JournalDamaged, match=r"supernode\.db"):
        load(path)
    aside = put_aside(path)
    assert aside.exists()
    assert load(path) == 0


def load(path: Path) -> int:
    with closing(Journal(path)) as journal:
        return len(journal.load().known.tasks)


@fault(
    Group.JOURNAL,
    "ends in a torn write",
    GoesOn(says="", does="that write is as if it had never begun; what was before it stands"),
)
def test_an_unfinished_write_is_as_if_it_had_never_begun(path: Path, seen: Seen) -> None:
    written(path, everything())
    with closing(Journal(path)) as journal:
        journal.write(Batch(counters={"seq": 99}))
        copies = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    for name, content in copies.items():
        torn = content[:-100] if name.endswith("-wal") else content
        path.with_name(name).write_bytes(torn)
    with closing(Journal(path)) as journal:
        told = journal.load()
    assert told.counters["seq"] == 12
    assert len(told.known.tasks) == 1
    seen(GoesOn(says=""))


def test_one_process_has_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    with closing(Journal(path)), pytest.raises(JournalError, match="another process"):
        Journal(path)
    Journal(path).close()


def test_it_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file"):
        Journal(tmp_path / "nowhere" / "supernode.db")


# its versions


def test_that_of_a_newer_supernode_is_left_alone(path: Path) -> None:
    written(path, everything())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = path.read_bytes()
    with pytest.raises(JournalTooNew, match=f"version {len(MIGRATIONS) + 1}"):
        Journal(path)
    assert path.read_bytes() == before


def test_an_older_one_is_brought_up_to_date(path: Path) -> None:
    written(path, everything())
    later = (*MIGRATIONS, ("ALTER TABLE peers ADD COLUMN zone TEXT NOT NULL DEFAULT ''",))
    with closing(database.connect(path)) as connection:
        for _ in range(2):
            migrate(connection, later)
        assert list(connection.execute("SELECT id, zone FROM peers")) == [(PEER, "")]


@fault(
    Group.JOURNAL,
    "is of an older version, and bringing it up to date is broken off",
    GoesOn(says="", does="it is as it was before, and the next start brings it up to date"),
)
@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
def test_a_migration_that_is_broken_off_has_not_happened(
    path: Path, seen: Seen, version: int
) -> None:
    broken = (*MIGRATIONS[version], "SELECT this_is_no_function()")
    with closing(database.connect(path)) as connection:
        migrate(connection, MIGRATIONS[:version])
        before = list(connection.execute("SELECT name, sql FROM sqlite_schema"))
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, (*MIGRATIONS[:version], broken))
        assert list(connection.execute("SELECT name, sql FROM sqlite_schema")) == before
        migrate(connection)
    written(path, everything())
    seen(GoesOn(says=""))


def test_a_preheat_from_before_there_were_images_has_its_one_file(path: Path) -> None:
    with closing(database.connect(path)) as connection:
        migrate(connection, MIGRATIONS[:1])
        spec = rows._spec_text(SPEC)
        connection.execute(
            "INSERT INTO preheats VALUES ('p', ?, ?, 1.5, 'FAILED', 'disk_full', 'x', 2.5)",
            (TASK, spec),
        )
    with closing(Journal(path)) as journal:
        (preheat,) = journal.load().known.preheats
    assert (preheat.kind, preheat.is_resolved) == (PreheatKind.FILE, True)
    (part,) = preheat.parts.values()
    assert (part.task, part.blob) == (TASK, None)
    assert (part.status, part.reason, part.detail) == (PartStatus.FAILED, Reason.DISK_FULL, "x")
