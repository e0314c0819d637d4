"""The journal as its users see it: read once at the start, then written to. Blocks: for threads."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from supernode.core.identity import TaskId
from supernode.core.model import Part
from supernode.core.pieces import PieceDigest, PieceNumber
from supernode.core.restoring import Known
from supernode.core.state import MOST_GONE
from supernode.journal import rows, schema
from supernode.journal.changes import Batch
from supernode.journal.database import connect, transaction
from supernode.journal.errors import JournalDamaged, JournalError, JournalTooNew
from supernode.journal.kept_events import MOST_KEPT, MOST_READ, Kept, Lost, Page, found_in, row_of

SEQ = "seq"
"""The counter of events: numbers up to it may have been given to some."""
GIVEN = "given"
"""Numbers up to this one were given to events, and what is to be kept of those is."""
FORGOTTEN = "forgotten"
"""Events up to this number are kept no longer, whatever they were."""

_FORGET = (
    "DELETE FROM tasks WHERE id = ?",
    "DELETE FROM pieces WHERE task = ?",
    "DELETE FROM downloads WHERE task = ?",
)
_DELETE = {
    "peers": "DELETE FROM peers WHERE id = ?",
    "pieces": "DELETE FROM pieces WHERE task = ? AND number = ?",
    "downloads": "DELETE FROM downloads WHERE task = ? AND client = ?",
    "preheats": "DELETE FROM preheats WHERE id = ?",
    "batches": "DELETE FROM batches WHERE id = ?",
}
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)  # no such table
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@dataclass(slots=True)
class Recollection:
    """What a journal tells.

    Attributes:
        known: what the core knew.
        boots: per task, in which start of the system all its pieces were written or verified;
            empty: in none.
        counters: by name.
    """

    known: Known = field(default_factory=Known)
    boots: dict[TaskId, str] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)


class Journal:
    """One file; for one thread at a time.

    Args:
        path: made if it is not there.

    Raises:
        JournalTooNew: a newer supernode has written it.
        JournalDamaged: it cannot be understood.
        JournalError: it cannot be opened, or another process has it.
    """

    def __init__(self, path: Path) -> None:
        with _errors(path):
            self._connection = connect(path)
        self._path = path
        try:
            with _errors(path):
                schema.migrate(self._connection)
        except BaseException:
            self._connection.close()
            raise

    def load(self) -> Recollection:
        """Return everything.

        Raises:
            JournalDamaged: it cannot be understood.
            JournalError: it cannot be read.
        """
        with _errors(self._path):
            (verdict,) = next(self._read("PRAGMA quick_check(1)"))
            if verdict != "ok":
                raise JournalDamaged(f"{self._path}: {verdict}")
            return self._load()

    def _load(self) -> Recollection:
        told = Recollection(counters=dict(self._read("SELECT name, value FROM counters")))
        known = told.known
        known.peers = [rows.peer_of(row) for row in self._read("SELECT * FROM peers")]
        digests: dict[str, dict[PieceNumber, PieceDigest]] = {}
        for task_id, number, digest in self._read("SELECT task, number, digest FROM pieces"):
            digests.setdefault(task_id, {})[number] = digest
        for row in self._read("SELECT * FROM tasks"):
            task, told.boots[task.id] = rows.task_of(row)
            task.digests = digests.get(task.id, {})
            known.tasks.append(task)
        known.downloads = [rows.download_of(row) for row in self._read("SELECT * FROM downloads")]
        preheats = {p.id: p for p in map(rows.preheat_of, self._read("SELECT * FROM preheats"))}
        for part in sorted(map(rows.part_of, self._read("SELECT * FROM parts")), key=_number):
            preheats[part.preheat].parts[part.id] = part
        known.preheats = list(preheats.values())
        batches = self._read("SELECT id, preheats FROM batches ORDER BY number")
        known.batches = [rows.batch_of(row) for row in batches]
        gone = self._read("SELECT task, reason FROM gone ORDER BY number")
        known.gone = [rows.gone_of(row) for row in gone]
        return told

    def _read(self, statement: str) -> Iterator[rows.Row]:
        return iter(self._connection.execute(statement))

    def write(self, batch: Batch) -> None:
        """Write all of it, or nothing. O(rows).

        Raises:
            JournalError: it cannot be written.
        """
        with _errors(self._path), transaction(self._connection):
            self._write(batch)

    def _write(self, batch: Batch) -> None:
        many = self._connection.executemany
        for statement in _FORGET:
            many(statement, _ones(batch.removed))
        many("DELETE FROM pieces WHERE task = ?", _ones(batch.failed))
        many("UPDATE downloads SET peer = NULL WHERE peer = ?", _ones(batch.left))
        many("DELETE FROM parts WHERE preheat = ?", _ones(batch.dropped))
        many("DELETE FROM gone WHERE task = ?", _ones(batch.returned))
        if batch.gone:
            many("INSERT OR REPLACE INTO gone (task, reason) VALUES (?, ?)", batch.gone)
            many(
                "DELETE FROM gone WHERE number <= (SELECT max(number) FROM gone) - ?",
                [(MOST_GONE,)],
            )
        for table, keys in batch.deletes.items():
            many(_DELETE[table], keys)
        many("INSERT OR REPLACE INTO batches (id, preheats) VALUES (?, ?)", batch.batches)
        for table, new in batch.upserts.items():
            many(_upsert(table, len(new[0])), new)
        many("INSERT OR REPLACE INTO events VALUES (?, ?, ?)", map(row_of, batch.events))
        many("INSERT OR REPLACE INTO counters VALUES (?, ?)", list(batch.counters.items()))

    def trim_events(self) -> None:
        """Forget the oldest events, if there are too many. O(those).

        Raises:
            JournalError: it cannot be written.
        """
        with _errors(self._path), transaction(self._connection):
            beyond = "SELECT seq FROM events ORDER BY seq DESC LIMIT 1 OFFSET ?"
            for (seq,) in self._connection.execute(beyond, (MOST_KEPT,)).fetchall():
                self._connection.execute("DELETE FROM events WHERE seq <= ?", (seq,))
                self._connection.execute(
                    "INSERT OR REPLACE INTO counters VALUES (?, ?)", (FORGOTTEN, seq)
                )

    def read_events(self, after: int, before: int) -> Page:
        """Return what is kept of the events between two numbers, from the first on.

        Raises:
            JournalError: it cannot be read.
        """
        with _errors(self._path):
            told = self._connection.execute(
                "SELECT value FROM counters WHERE name = ?", (FORGOTTEN,)
            ).fetchone()
            forgotten = min(told[0] if told else 0, before - 1)
            rows = self._connection.execute(
                "SELECT seq, first, text FROM events WHERE seq > ? AND seq < ? "
                "ORDER BY seq LIMIT ?",
                (max(after, forgotten), before, MOST_READ),
            )
            found = [found_in(row) for row in rows]
        last = before - 1
        if len(found) == MOST_READ:
            last = found[-1].seq if isinstance(found[-1], Kept) else found[-1].last
        if after < forgotten:
            found.insert(0, Lost(after + 1, forgotten))
        return Page(found, last)

    def close(self) -> None:
        """Let go of the file, with everything in it."""
        self._connection.close()


def put_aside(path: Path) -> Path:
    """Rename a journal, and what belongs to it, so that a new one can be made; return its new name.

    Raises:
        OSError: it cannot be renamed.
    """
    aside = path.with_name(path.name + ".damaged")
    for end in ("-wal", "-shm", ""):
        part = path.with_name(path.name + end)
        if part.exists():
            part.rename(aside.with_name(aside.name + end))
    return aside


def _upsert(table: str, columns: int) -> str:
    marks = ", ".join("?" * columns)
    return f"INSERT OR REPLACE INTO {table} VALUES ({marks})"  # noqa: S608 - the names are ours


def _number(part: Part) -> int:
    """Return which of its preheat's files it is."""
    return int(part.id.rpartition("-")[2])


def _ones(keys: Sequence[str]) -> list[tuple[str]]:
    return [(key,) for key in keys]


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system complain about into errors of the journal."""
    try:
        yield
    except JournalTooNew as error:
        raise JournalTooNew(f"{path}: {error}") from None
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGED:
            raise JournalDamaged(f"{path}: {error}") from error
        if code in _LOCKED:
            raise JournalError(f"{path} is in use by another process") from error
        raise JournalError(f"{path}: {error}") from error
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}") from error
    except OverflowError as error:  # no column can hold the number
        raise JournalError(f"{path}: {error}") from error
    except (ValueError, TypeError, KeyError) as error:
        # Text that is no JSON, a status that never was: it was altered, or not by a supernode.
        raise JournalDamaged(f"{path}: {error}") from error
