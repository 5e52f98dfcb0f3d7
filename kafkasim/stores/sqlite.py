"""What the stores on SQLite share: one file, and transactions that are atomic and, where asked for, durable."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import RLock


class StoreError(Exception):
    """A store cannot do its work (missing library, unreachable server, unwritable file); the message is one sentence for the user."""


class Database:
    """One SQLite file in WAL mode: a transaction is atomic whatever happens; with `fsync` it is on the disk when it returns."""

    def __init__(self, path: str | Path, fsync: bool, *tables: str) -> None:
        self._path = path
        self._lock = RLock()  # worker threads of one consumer share the connection
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30.0)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if fsync else 'OFF'}")
            for table in tables:
                self._connection.execute(table)
        except sqlite3.Error as error:
            raise StoreError(f"The store {path} cannot be opened: {error}.") from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Cursor]:
        """All that is executed inside takes effect at its end, or nothing of it if it ends with an exception."""
        with self._lock:
            try:
                with closing(self._connection.cursor()) as cursor:
                    cursor.execute("BEGIN IMMEDIATE")
                    try:
                        yield cursor
                    except BaseException:
                        cursor.execute("ROLLBACK")
                        raise
                    cursor.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreError(f"The store {self._path} cannot be used: {error}.") from error

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()
