"""The spool and the flag store keep the same promises in memory, in SQLite and in Redis."""

import builtins
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kafkasim.stores import (
    FlagStore,
    MemoryFlags,
    MemorySpool,
    RedisFlags,
    Spool,
    SpoolEntry,
    SqliteFlags,
    SqliteSpool,
    StoreError,
)


@pytest.fixture(params=["memory", "sqlite", "sqlite with fsync"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spool]:
    made: Spool = MemorySpool() if request.param == "memory" else SqliteSpool(tmp_path / "spool.sqlite", fsync="fsync" in request.param)
    yield made
    made.close()


@pytest.fixture(params=["memory", "sqlite", "sqlite with fsync", "redis"])
def flags(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FlagStore]:
    if request.param == "redis":
        store = RedisFlags(request.getfixturevalue("redis_url"), namespace=f"test-{tmp_path.name}")
        yield store
        store.clear()
        store.close()
        return
    made: FlagStore = MemoryFlags() if request.param == "memory" else SqliteFlags(tmp_path / "flags.sqlite", fsync="fsync" in request.param)
    yield made
    made.close()


# --- the spool --------------------------------------------------------------------------------------------------------------------


def content(spool: Spool) -> list[tuple[str, list[int]]]:
    return [(entry.producer, list(entry.numbers)) for entry in spool.peek(1_000_000)]


def test_a_spool_gives_back_what_was_put_oldest_first(spool: Spool) -> None:
    spool.put("shop", range(100, 103), at=1.0)
    spool.put("till", [7, 3, 9], at=2.0)
    spool.put("shop", range(5, 6), at=3.0)
    assert content(spool) == [("shop", [100, 101, 102]), ("till", [7, 3, 9]), ("shop", [5])]
    assert [entry.at for entry in spool.peek(100)] == [1.0, 2.0, 3.0]
    assert spool.pending() == 7


def test_consecutive_numbers_stay_a_range(spool: Spool) -> None:
    spool.put("shop", range(1_000_000), at=0.0)
    spool.put("shop", [4, 5, 6], at=0.0)
    first, second = spool.peek(2_000_000)
    assert (first.numbers, second.numbers) == (range(1_000_000), range(4, 7))


def test_peek_gives_at_most_so_many_records_and_takes_none(spool: Spool) -> None:
    spool.put("shop", range(4), at=0.0)
    spool.put("shop", [8, 10, 12], at=0.0)
    assert [list(entry.numbers) for entry in spool.peek(6)] == [[0, 1, 2, 3], [8, 10]]
    assert [list(entry.numbers) for entry in spool.peek(3)] == [[0, 1, 2]]
    assert spool.peek(0) == []
    assert spool.pending() == 7


def test_removing_what_was_peeked_removes_that_and_no_more(spool: Spool) -> None:
    spool.put("shop", range(4), at=0.0)
    spool.put("shop", [8, 10, 12], at=0.0)
    spool.remove(spool.peek(6))
    assert content(spool) == [("shop", [12])]
    assert spool.pending() == 1


def test_an_entry_of_which_a_part_was_acknowledged_keeps_the_rest_in_its_place(spool: Spool) -> None:
    spool.put("shop", range(10), at=0.0)
    spool.put("shop", range(50, 52), at=0.0)
    entry = spool.peek(10)[0]
    spool.remove([entry._replace(numbers=range(3, 6)), entry._replace(numbers=[9])])
    assert content(spool) == [("shop", [0, 1, 2, 6, 7, 8]), ("shop", [50, 51])]
    assert spool.pending() == 8


def test_records_can_be_forgotten_by_number_across_entries(spool: Spool) -> None:
    spool.put("shop", range(5), at=0.0)
    spool.put("till", range(5), at=0.0)
    spool.put("shop", [7, 9, 11], at=0.0)
    spool.forget("shop", [3, 4, 9])
    assert content(spool) == [("shop", [0, 1, 2]), ("till", [0, 1, 2, 3, 4]), ("shop", [7, 11])]
    assert spool.pending() == 10


def test_forgetting_takes_the_oldest_copy_of_a_record_that_was_put_twice(spool: Spool) -> None:
    spool.put("shop", range(3), at=0.0)
    spool.put("shop", range(2, 4), at=0.0)
    spool.forget("shop", [2])
    assert content(spool) == [("shop", [0, 1]), ("shop", [2, 3])]


def test_removing_what_is_no_longer_there_changes_nothing(spool: Spool) -> None:
    spool.put("shop", range(3), at=0.0)
    gone = spool.peek(3)
    spool.remove(gone)
    spool.put("shop", range(7, 9), at=0.0)
    spool.remove(gone)
    spool.forget("shop", range(3))
    spool.remove([SpoolEntry(999, "shop", range(7, 9), 0.0)])
    assert content(spool) == [("shop", [7, 8])]
    assert spool.pending() == 2


def test_putting_nothing_leaves_no_entry(spool: Spool) -> None:
    spool.put("shop", [], at=0.0)
    spool.put("shop", range(0), at=0.0)
    assert spool.peek(10) == []


@pytest.mark.parametrize("fsync", [True, False])
def test_a_spool_that_was_never_closed_is_whole_when_its_file_is_opened_again(tmp_path: Path, fsync: bool) -> None:
    crashed = SqliteSpool(tmp_path / "spool.sqlite", fsync)
    crashed.put("shop", range(10), at=4.5)
    crashed.put("shop", [20, 22], at=6.0)
    crashed.remove(crashed.peek(4))
    reopened = SqliteSpool(tmp_path / "spool.sqlite", fsync)
    assert content(reopened) == [("shop", [4, 5, 6, 7, 8, 9]), ("shop", [20, 22])]
    assert reopened.pending() == 8
    assert reopened.peek(1)[0].at == 4.5
    crashed.close()
    reopened.close()


def test_fsync_is_what_makes_sqlite_write_through(tmp_path: Path) -> None:
    def synchronous(store: SqliteSpool) -> int:
        with store._database.transaction() as cursor:
            return int(cursor.execute("PRAGMA synchronous").fetchone()[0])

    durable, quick = SqliteSpool(tmp_path / "a", fsync=True), SqliteSpool(tmp_path / "b", fsync=False)
    assert (synchronous(durable), synchronous(quick)) == (2, 0)  # FULL, OFF
    durable.close()
    quick.close()


# --- the flag store ---------------------------------------------------------------------------------------------------------------


def test_a_flag_is_set_once_and_per_group_producer_and_number(flags: FlagStore) -> None:
    assert flags.lookup("billing", "shop", 1) is False
    assert flags.mark("billing", "shop", 1) is True
    assert flags.mark("billing", "shop", 1) is False
    assert flags.lookup("billing", "shop", 1) is True
    assert flags.lookup("billing", "shop", 2) is False
    assert flags.lookup("billing", "till", 1) is False
    assert flags.lookup("audit", "shop", 1) is False


def test_names_with_separators_in_them_do_not_meet(flags: FlagStore) -> None:
    flags.mark("a", "b:c", 1)
    flags.effect("a", "b/2", 1)
    assert flags.lookup("a:b", "c", 1) is False
    assert flags.effects("a") == {("b/2", 1): 1}


def test_every_effect_counts_and_is_listed_in_order(flags: FlagStore) -> None:
    for producer, n in [("till", 1), ("shop", 10), ("shop", 9), ("shop", 10)]:
        flags.effect("billing", producer, n)
    assert list(flags.effects("billing").items()) == [(("shop", 9), 1), (("shop", 10), 2), (("till", 1), 1)]
    assert flags.effects("audit") == {}


def test_effect_and_flag_in_one_transaction_happen_once(flags: FlagStore) -> None:
    assert flags.handle_and_mark("billing", "shop", 3) is True
    assert flags.handle_and_mark("billing", "shop", 3) is False
    assert flags.effects("billing") == {("shop", 3): 1}
    assert flags.lookup("billing", "shop", 3) is True


class CrashedError(Exception):
    """The consumer dies between two steps."""


def mark_first(flags: FlagStore, between: Callable[[], None]) -> None:
    if flags.mark("billing", "shop", 1):
        between()
        flags.effect("billing", "shop", 1)


def mark_last(flags: FlagStore, between: Callable[[], None]) -> None:
    if not flags.lookup("billing", "shop", 1):
        flags.effect("billing", "shop", 1)
        between()
        flags.mark("billing", "shop", 1)


def crash() -> None:
    raise CrashedError


@pytest.mark.parametrize(("order", "effects"), [(mark_first, 0), (mark_last, 2)])
def test_a_crash_between_flag_and_effect_loses_or_repeats_it_by_the_order(
    flags: FlagStore, order: Callable[[FlagStore, Callable[[], None]], None], effects: int
) -> None:
    with pytest.raises(CrashedError):
        order(flags, crash)
    order(flags, lambda: None)  # the record comes again
    order(flags, lambda: None)
    assert sum(flags.effects("billing").values()) == effects


def test_sqlite_keeps_neither_flag_nor_effect_of_a_transaction_that_broke_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = SqliteFlags(tmp_path / "flags.sqlite", fsync=False)
    with monkeypatch.context() as patch:
        patch.setattr(SqliteFlags, "_effect", staticmethod(lambda *_: crash()))
        with pytest.raises(CrashedError):
            flags.handle_and_mark("billing", "shop", 1)
    assert flags.lookup("billing", "shop", 1) is False
    assert flags.handle_and_mark("billing", "shop", 1) is True
    flags.close()


def test_redis_does_nothing_when_another_sets_the_flag_in_between(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import redis

    ours = RedisFlags(redis_url, namespace=f"race-{tmp_path.name}")
    theirs = RedisFlags(redis_url, namespace=f"race-{tmp_path.name}")
    multi = redis.client.Pipeline.multi

    def they_are_quicker(pipeline: redis.client.Pipeline) -> None:
        monkeypatch.setattr(redis.client.Pipeline, "multi", multi)
        assert theirs.handle_and_mark("billing", "shop", 1) is True
        multi(pipeline)

    monkeypatch.setattr(redis.client.Pipeline, "multi", they_are_quicker)
    assert ours.handle_and_mark("billing", "shop", 1) is False
    assert ours.effects("billing") == {("shop", 1): 1}
    ours.clear()
    assert ours.effects("billing") == {}
    ours.close()
    theirs.close()


def test_clearing_one_namespace_leaves_the_others(redis_url: str) -> None:
    one, other = RedisFlags(redis_url, namespace="run[1]*"), RedisFlags(redis_url, namespace="run[1]x")
    one.mark("billing", "shop", 1)
    other.mark("billing", "shop", 1)
    one.clear()
    assert (one.lookup("billing", "shop", 1), other.lookup("billing", "shop", 1)) == (False, True)
    other.clear()
    one.close()
    other.close()


def test_flags_survive_a_crash(tmp_path: Path) -> None:
    crashed = SqliteFlags(tmp_path / "flags.sqlite", fsync=True)
    crashed.handle_and_mark("billing", "shop", 1)
    reopened = SqliteFlags(tmp_path / "flags.sqlite", fsync=True)
    assert reopened.lookup("billing", "shop", 1) is True
    assert reopened.effects("billing") == {("shop", 1): 1}
    crashed.close()
    reopened.close()


# --- what can go wrong ------------------------------------------------------------------------------------------------------------


def test_an_unreachable_redis_is_one_sentence_without_the_password() -> None:
    pytest.importorskip("redis", reason="the redis package is not installed")
    with pytest.raises(StoreError, match=r"^The Redis server at 127\.0\.0\.1:1/0 cannot be used: .*refused.*\.$") as refusal:
        RedisFlags("redis://user:secret@127.0.0.1:1/0", namespace="test")
    assert "secret" not in str(refusal.value)


def test_a_wrong_redis_url_is_one_sentence() -> None:
    pytest.importorskip("redis", reason="the redis package is not installed")
    with pytest.raises(StoreError, match=r"^The Redis server at nonsense cannot be used: "):
        RedisFlags("nonsense", namespace="test")


def test_a_missing_redis_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    really = builtins.__import__

    def without_redis(name: str, *rest: object) -> object:
        if name == "redis":
            raise ImportError(name)
        return really(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_redis)
    with pytest.raises(StoreError, match="needs the redis package"):
        RedisFlags("redis://127.0.0.1", namespace="test")


def test_an_unwritable_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"^The store .*flags\.sqlite cannot be opened: unable to open database file\.$"):
        SqliteFlags(tmp_path / "nowhere" / "flags.sqlite", fsync=False)


def test_a_file_that_is_something_else_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    path.write_text("this is not a database, " * 100)
    with pytest.raises(StoreError, match="cannot be opened") as refusal:
        SqliteSpool(path, fsync=False)
    assert isinstance(refusal.value.__cause__, sqlite3.Error)
