"""The consumer's flag store: which records a group has handled, and the effects that handling them had."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from kafkasim.stores.sqlite import Database, StoreError


class RecordId(NamedTuple):
    """One record: the n-th that `producer` handed to send()."""

    producer: str
    n: int


class FlagStore(Protocol):
    """Which records a group has handled, and the effects that handling had. Every call is atomic; none spans two calls."""

    def lookup(self, group: str, producer: str, n: int) -> bool:
        """Whether the record's flag is set."""

    def mark(self, group: str, producer: str, n: int) -> bool:
        """Set the record's flag; False if it was set already, so that of two who race only one goes on."""

    def effect(self, group: str, producer: str, n: int) -> None:
        """The effect of handling, alone: a mail sent, a sum booked. It counts every time."""

    def handle_and_mark(self, group: str, producer: str, n: int) -> bool:
        """Effect and flag, both or neither; False, and no effect, if the flag was set already."""

    def effects(self, group: str) -> dict[RecordId, int]:
        """How many effects each record has had, by producer and number; records without one are left out."""

    def close(self) -> None:
        """Let go of file or connection; flags and effects stay."""


class MemoryFlags:
    """The flag store of a simulated world: the object outlives the consumers, as a database server would."""

    def __init__(self) -> None:
        self._marked: dict[str, set[RecordId]] = {}
        self._effects: dict[str, dict[RecordId, int]] = {}

    def lookup(self, group: str, producer: str, n: int) -> bool:
        """See FlagStore."""
        return (producer, n) in self._marked.get(group, ())

    def mark(self, group: str, producer: str, n: int) -> bool:
        """See FlagStore."""
        marked = self._marked.setdefault(group, set())
        record = RecordId(producer, n)
        if record in marked:
            return False
        marked.add(record)
        return True

    def effect(self, group: str, producer: str, n: int) -> None:
        """See FlagStore."""
        effects = self._effects.setdefault(group, {})
        record = RecordId(producer, n)
        effects[record] = effects.get(record, 0) + 1

    def handle_and_mark(self, group: str, producer: str, n: int) -> bool:
        """See FlagStore."""
        if not self.mark(group, producer, n):
            return False
        self.effect(group, producer, n)
        return True

    def effects(self, group: str) -> dict[RecordId, int]:
        """See FlagStore."""
        return dict(sorted(self._effects.get(group, {}).items()))

    def close(self) -> None:
        """See FlagStore."""


class SqliteFlags:
    """Flags and effects in one SQLite file, and so in one transaction where that is asked for."""

    def __init__(self, path: str | Path, fsync: bool) -> None:
        self._database = Database(
            path,
            fsync,
            "CREATE TABLE IF NOT EXISTS flags (grp TEXT, producer TEXT, n INTEGER, PRIMARY KEY (grp, producer, n)) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS effects (grp TEXT, producer TEXT, n INTEGER, times INTEGER NOT NULL,"
            " PRIMARY KEY (grp, producer, n)) WITHOUT ROWID",
        )

    def lookup(self, group: str, producer: str, n: int) -> bool:
        """See FlagStore."""
        with self._database.transaction() as cursor:
            found = cursor.execute("SELECT 1 FROM flags WHERE grp = ? AND producer = ? AND n = ?", (group, producer, n))
            return found.fetchone() is not None

    def mark(self, group: str, producer: str, n: int) -> bool:
        """See FlagStore."""
        with self._database.transaction() as cursor:
            return self._mark(cursor, group, producer, n)

    def effect(self, group: str, producer: str, n: int) -> None:
        """See FlagStore."""
        with self._database.transaction() as cursor:
            self._effect(cursor, group, producer, n)

    def handle_and_mark(self, group: str, producer: str, n: int) -> bool:
        """See FlagStore."""
        with self._database.transaction() as cursor:
            if not self._mark(cursor, group, producer, n):
                return False
            self._effect(cursor, group, producer, n)
            return True

    def effects(self, group: str) -> dict[RecordId, int]:
        """See FlagStore."""
        with self._database.transaction() as cursor:
            rows = cursor.execute("SELECT producer, n, times FROM effects WHERE grp = ? ORDER BY producer, n", (group,))
            return {RecordId(producer, n): times for producer, n, times in rows}

    def close(self) -> None:
        """See FlagStore."""
        self._database.close()

    @staticmethod
    def _mark(cursor: sqlite3.Cursor, group: str, producer: str, n: int) -> bool:
        cursor.execute("INSERT OR IGNORE INTO flags VALUES (?, ?, ?)", (group, producer, n))
        return cursor.rowcount == 1

    @staticmethod
    def _effect(cursor: sqlite3.Cursor, group: str, producer: str, n: int) -> None:
        more = "INSERT INTO effects VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1"
        cursor.execute(more, (group, producer, n))


class RedisFlags:
    """Flags and effects in a Redis server: a key a flag (SET NX), a hash of counts for the effects of a group (HINCRBY).

    One transaction is WATCH on the flag, then MULTI/EXEC of both writes: EXEC does nothing if the flag appeared in between.
    How much a server's crash forgets is the server's configuration (appendfsync), not ours.
    """

    def __init__(self, url: str, namespace: str) -> None:
        try:
            import redis
        except ImportError:
            raise StoreError("The Redis flag store needs the redis package: install kafkasim[redis].") from None
        self._redis: Any = redis
        self._namespace = namespace
        self._server = url.rsplit("@", 1)[-1]  # without a password, as it is said in errors
        with self._one_sentence():
            # No retries: a command that is sent again after a lost answer would count an effect twice.
            never = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
            self._client: Any = redis.Redis.from_url(
                url, decode_responses=True, socket_connect_timeout=5.0, socket_timeout=10.0, retry=never
            )
            self._client.ping()

    def lookup(self, group: str, producer: str, n: int) -> bool:
        """See FlagStore."""
        with self._one_sentence():
            return bool(self._client.exists(self._flag(group, producer, n)))

    def mark(self, group: str, producer: str, n: int) -> bool:
        """See FlagStore."""
        with self._one_sentence():
            return bool(self._client.set(self._flag(group, producer, n), 1, nx=True))

    def effect(self, group: str, producer: str, n: int) -> None:
        """See FlagStore."""
        with self._one_sentence():
            self._client.hincrby(self._effects_of(group), f"{producer}/{n}", 1)

    def handle_and_mark(self, group: str, producer: str, n: int) -> bool:
        """See FlagStore."""
        flag = self._flag(group, producer, n)
        with self._one_sentence(), self._client.pipeline() as pipeline:
            pipeline.watch(flag)
            if pipeline.exists(flag):
                return False
            pipeline.multi()
            pipeline.set(flag, 1)
            pipeline.hincrby(self._effects_of(group), f"{producer}/{n}", 1)
            try:
                pipeline.execute()
            except self._redis.WatchError:
                return False  # somebody else set the flag in between, and flags are never unset
            return True

    def effects(self, group: str) -> dict[RecordId, int]:
        """See FlagStore."""
        with self._one_sentence():
            counts: dict[str, str] = self._client.hgetall(self._effects_of(group))
        found = {}
        for field, times in counts.items():
            producer, n = field.rsplit("/", 1)
            found[RecordId(producer, int(n))] = int(times)
        return dict(sorted(found.items()))

    def clear(self) -> None:
        """Forget everything under this namespace; what belongs to others on the same server stays."""
        with self._one_sentence():
            for key in self._client.scan_iter(match=f"{_glob_literal(self._namespace)}:*"):
                self._client.delete(key)

    def close(self) -> None:
        """See FlagStore."""
        self._client.close()

    def _flag(self, group: str, producer: str, n: int) -> str:
        return f"{self._namespace}:flag:{quote(group, safe='')}:{quote(producer, safe='')}/{n}"

    def _effects_of(self, group: str) -> str:
        return f"{self._namespace}:effects:{group}"

    @contextmanager
    def _one_sentence(self) -> Iterator[None]:
        """Whatever goes wrong between us and the server becomes a StoreError that says so in one sentence."""
        try:
            yield
        except (self._redis.RedisError, ValueError) as error:
            reason = str(error).strip().rstrip(".") or type(error).__name__
            raise StoreError(f"The Redis server at {self._server} cannot be used: {reason}.") from error


def _glob_literal(text: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in text)
