"""The tables, and how those of older versions become those of today.

``PRAGMA user_version`` counts the migrations that a file has been through. Each is one transaction:
whoever is interrupted finds the file as it was before or after. A migration that was released is
never changed; what is to be different comes with another one.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from supernode.journal.database import transaction
from supernode.journal.errors import JournalTooNew

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE peers (
            id TEXT PRIMARY KEY, ip TEXT NOT NULL, port INTEGER NOT NULL, host_name TEXT NOT NULL,
            version TEXT NOT NULL, created REAL NOT NULL, strikes INTEGER NOT NULL,
            quarantined INTEGER NOT NULL, quarantined_until REAL NOT NULL, evidence TEXT NOT NULL
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE tasks (
            id TEXT PRIMARY KEY, generation INTEGER NOT NULL, spec TEXT NOT NULL,
            created REAL NOT NULL, last_used REAL NOT NULL,
            status TEXT NOT NULL, adopted INTEGER NOT NULL, paused INTEGER NOT NULL,
            pinned INTEGER NOT NULL,
            reason TEXT, detail TEXT NOT NULL, failures INTEGER NOT NULL, retry_at REAL NOT NULL,
            length INTEGER, piece_size INTEGER, md5 TEXT NOT NULL, sha256 TEXT NOT NULL,
            etag TEXT NOT NULL, last_modified TEXT NOT NULL, validator TEXT NOT NULL,
            checked REAL NOT NULL, boot TEXT NOT NULL
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE pieces (
            task TEXT NOT NULL, number INTEGER NOT NULL, digest TEXT NOT NULL,
            PRIMARY KEY (task, number)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE downloads (
            task TEXT NOT NULL, client TEXT NOT NULL, peer TEXT, path TEXT NOT NULL,
            created REAL NOT NULL, status TEXT NOT NULL, reason TEXT, detail TEXT NOT NULL,
            have BLOB NOT NULL, claimed BLOB NOT NULL,
            from_seed INTEGER NOT NULL, from_peers INTEGER NOT NULL,
            PRIMARY KEY (task, client)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX downloads_of_peers ON downloads (peer)",
        """CREATE TABLE preheats (
            id TEXT PRIMARY KEY, task TEXT NOT NULL, spec TEXT NOT NULL, created REAL NOT NULL,
            status TEXT NOT NULL, reason TEXT, detail TEXT NOT NULL, finished REAL
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE gone (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            task TEXT NOT NULL UNIQUE, reason TEXT NOT NULL
        ) STRICT""",
        """CREATE TABLE counters (
            name TEXT PRIMARY KEY, value INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID""",
    ),
    (
        # With a first number, those up to ``seq`` are lost; there is no text then.
        """CREATE TABLE events (
            seq INTEGER PRIMARY KEY, first INTEGER, text BLOB NOT NULL
        ) STRICT""",
    ),
)


def migrate(
    connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS
) -> None:
    """Bring a journal, which may be empty, up to date. Blocks: for a thread.

    Args:
        connection: in autocommit mode.
        migrations: the statements of each.

    Raises:
        JournalTooNew: it has been through more migrations than there are.
        sqlite3.Error: see there; the last migration that ended well stands.
    """
    with closing(connection.execute("PRAGMA user_version")) as cursor:
        (version,) = cursor.fetchone()
    if version > len(migrations):
        raise JournalTooNew(f"it has version {version}, and {len(migrations)} is the newest known")
    for number in range(version, len(migrations)):
        with transaction(connection):
            for statement in migrations[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
