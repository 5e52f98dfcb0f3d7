"""The producer's spool: records that send() reported as failed, kept on a local disk until a re-send was acknowledged."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from kafkasim.stores.sqlite import Database

_Runs: TypeAlias = list[tuple[int, int]]  # consecutive numbers as (first, last), both inclusive, in the order they were given


class SpoolEntry(NamedTuple):
    """Records of one producer that lie in the spool. `numbers` is a range where they are consecutive."""

    entry_id: int
    producer: str
    numbers: Sequence[int]
    at: float  # when they were put there, in ms


class Spool(Protocol):
    """A local queue of records that could not be sent. Oldest first; nothing leaves it but by `remove`."""

    def put(self, producer: str, numbers: Sequence[int], at: float) -> None:
        """Keep these records until they are removed; they survive a crash from here on."""

    def peek(self, limit: int) -> list[SpoolEntry]:
        """The oldest records, at most `limit` of them: the last entry is cut where they are more."""

    def remove(self, entries: Iterable[SpoolEntry]) -> None:
        """Forget exactly the numbers in `entries`, once their re-send was acknowledged; an entry removed in part keeps its rest.

        For a part of an entry pass `entry._replace(numbers=...)`. What is no longer there is ignored.
        """

    def forget(self, producer: str, numbers: Sequence[int]) -> None:
        """The same by the records' own numbers, for callers that do not keep entries: their oldest copies leave."""

    def pending(self) -> int:
        """How many records lie here."""

    def close(self) -> None:
        """Let go of the file; what lies in it stays."""


class MemorySpool:
    """The spool of a simulated machine. To survive a simulated crash the simulator keeps this object, as it keeps a disk."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[str, _Runs, float]] = {}  # in order of arrival
        self._next_id = 1
        self._pending = 0

    def put(self, producer: str, numbers: Sequence[int], at: float) -> None:
        """See Spool."""
        if len(numbers) == 0:
            return
        self._entries[self._next_id] = (producer, _runs(numbers), at)
        self._next_id += 1
        self._pending += len(numbers)

    def peek(self, limit: int) -> list[SpoolEntry]:
        """See Spool."""
        return _cut(((entry_id, *entry) for entry_id, entry in self._entries.items()), limit)

    def remove(self, entries: Iterable[SpoolEntry]) -> None:
        """See Spool."""
        for entry in entries:
            if entry.entry_id in self._entries:
                self._take_from(entry.entry_id, _runs(entry.numbers))

    def forget(self, producer: str, numbers: Sequence[int]) -> None:
        """See Spool."""
        wanted = _runs(numbers)
        for entry_id, (owner, runs, _) in list(self._entries.items()):
            if not wanted:
                return
            if owner == producer:
                self._take_from(entry_id, wanted)
                wanted = _without(wanted, runs)

    def pending(self) -> int:
        """See Spool."""
        return self._pending

    def close(self) -> None:
        """See Spool."""

    def _take_from(self, entry_id: int, removed: _Runs) -> None:
        producer, runs, at = self._entries[entry_id]
        rest = _without(runs, removed)
        self._pending -= _count(runs) - _count(rest)
        if rest:
            self._entries[entry_id] = (producer, rest, at)
        else:
            del self._entries[entry_id]


class SqliteSpool:
    """The spool in one SQLite file. Open the same path again after a crash and everything not yet removed is there."""

    def __init__(self, path: str | Path, fsync: bool) -> None:
        self._database = Database(
            path,
            fsync,
            "CREATE TABLE IF NOT EXISTS spool (id INTEGER PRIMARY KEY AUTOINCREMENT, producer TEXT NOT NULL,"
            " runs TEXT NOT NULL, records INTEGER NOT NULL, at REAL NOT NULL)",
        )
        with self._database.transaction() as cursor:  # counted once: the file belongs to one application, as long as it is open
            self._pending = int(cursor.execute("SELECT COALESCE(SUM(records), 0) FROM spool").fetchone()[0])

    def put(self, producer: str, numbers: Sequence[int], at: float) -> None:
        """See Spool."""
        if len(numbers) == 0:
            return
        with self._database.transaction() as cursor:
            row = (producer, json.dumps(_runs(numbers)), len(numbers), at)
            cursor.execute("INSERT INTO spool (producer, runs, records, at) VALUES (?, ?, ?, ?)", row)
        self._pending += len(numbers)

    def peek(self, limit: int) -> list[SpoolEntry]:
        """See Spool."""
        with self._database.transaction() as cursor:
            rows = cursor.execute("SELECT id, producer, runs, at FROM spool ORDER BY id LIMIT ?", (max(limit, 0),))
            return _cut(((entry_id, producer, _runs_from(runs), at) for entry_id, producer, runs, at in rows), limit)

    def remove(self, entries: Iterable[SpoolEntry]) -> None:
        """See Spool."""
        gone = 0
        with self._database.transaction() as cursor:
            for entry in entries:
                row = cursor.execute("SELECT runs FROM spool WHERE id = ?", (entry.entry_id,)).fetchone()
                if row is not None:
                    gone += self._take_from(cursor, entry.entry_id, _runs_from(row[0]), _runs(entry.numbers))
        self._pending -= gone

    def forget(self, producer: str, numbers: Sequence[int]) -> None:
        """See Spool."""
        wanted = _runs(numbers)
        gone = 0
        with self._database.transaction() as cursor:
            last_id = 0
            while wanted:  # usually the first row has them: what is acknowledged was the oldest
                next_row = "SELECT id, runs FROM spool WHERE producer = ? AND id > ? ORDER BY id LIMIT 1"
                row = cursor.execute(next_row, (producer, last_id)).fetchone()
                if row is None:
                    break
                last_id, runs = row[0], _runs_from(row[1])
                gone += self._take_from(cursor, last_id, runs, wanted)
                wanted = _without(wanted, runs)
        self._pending -= gone

    def pending(self) -> int:
        """See Spool."""
        return self._pending

    def close(self) -> None:
        """See Spool."""
        self._database.close()

    @staticmethod
    def _take_from(cursor: sqlite3.Cursor, entry_id: int, runs: _Runs, removed: _Runs) -> int:
        """Write what stays of an entry; how many records left it."""
        rest = _without(runs, removed)
        if not rest:
            cursor.execute("DELETE FROM spool WHERE id = ?", (entry_id,))
        elif rest != runs:
            cursor.execute("UPDATE spool SET runs = ?, records = ? WHERE id = ?", (json.dumps(rest), _count(rest), entry_id))
        return _count(runs) - _count(rest)


# --- runs of numbers --------------------------------------------------------------------------------------------------------


def _runs(numbers: Sequence[int]) -> _Runs:
    if isinstance(numbers, range) and numbers.step == 1:
        return [(numbers.start, numbers.stop - 1)] if numbers else []
    runs: _Runs = []
    for number in map(int, numbers):  # numpy's integers are not JSON's
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _runs_from(text: str) -> _Runs:
    return [(first, last) for first, last in json.loads(text)]


def _numbers(runs: _Runs) -> Sequence[int]:
    if len(runs) == 1:
        return range(runs[0][0], runs[0][1] + 1)
    return tuple(number for first, last in runs for number in range(first, last + 1))


def _count(runs: _Runs) -> int:
    return sum(last - first + 1 for first, last in runs)


def _without(runs: _Runs, removed: _Runs) -> _Runs:
    for low, high in removed:
        rest: _Runs = []
        for first, last in runs:
            if high < first or last < low:
                rest.append((first, last))
                continue
            if first < low:
                rest.append((first, low - 1))
            if high < last:
                rest.append((high + 1, last))
        runs = rest
    return runs


def _cut(entries: Iterable[tuple[int, str, _Runs, float]], limit: int) -> list[SpoolEntry]:
    found = []
    for entry_id, producer, runs, at in entries:
        if limit <= 0:
            break
        numbers = _numbers(runs)[:limit]
        limit -= len(numbers)
        found.append(SpoolEntry(entry_id, producer, numbers, at))
    return found
