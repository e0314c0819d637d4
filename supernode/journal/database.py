"""The file: how it is opened, who may read it, what one transaction is. Blocks: for threads."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUSY_SECONDS = 2.0
"""How long another process may still have the file before it counts as in use."""

_PRAGMAS = (
    # One process has the file; a second supernode on the same directory is found out at once.
    "PRAGMA locking_mode = EXCLUSIVE",
    # Whoever kills this process finds every commit in the system's memory. After a power loss the
    # last ones may be missing, and nothing is torn.
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    # Headers with credentials are overwritten when they are forgotten.
    "PRAGMA secure_delete = ON",
)


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, made for its owner alone if it is not there.

    The connection is in autocommit mode, and for one thread at a time.

    Raises:
        OSError: it cannot be made.
        sqlite3.Error: it cannot be opened, is no database, or another process has it.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma).close()
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Let everything in it happen, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
