"""Worker threads: who finishes when, and which offset each way of committing would commit."""

from __future__ import annotations

from kafkasim.protocol.calls import PolledSlice
from kafkasim.protocol.records import TopicPartition
from kafkasim.simulator.consuming import Desk
from kafkasim.simulator.workers import Workers
from kafkasim.stores import MemoryFlags

ORDERS = TopicPartition("orders", 0)


def workers(threads: int, *durations: float, flags: MemoryFlags | None = None, order: str = "mark-last") -> tuple[Workers, list[int]]:
    """A pool whose n-th record takes the n-th of `durations` times 10 ms (from 0.5 to 1.5)."""
    desk = Desk("billing", "billing-0", "worker-threads", "polled", threads, 200.0, 10.0, order, 1.0, flags)
    draws = iter(duration - 0.5 for duration in durations)
    done: list[int] = []
    return Workers(desk, threads, lambda record, _now, _effect: done.append(record.base_offset), lambda: next(draws)), done


def test_records_finish_out_of_order_and_each_way_of_committing_says_something_else() -> None:
    pool, done = workers(3, 1.4, 0.6, 0.8)
    pool.give([PolledSlice(ORDERS, 100, "shop", range(3))], 0.0)
    assert pool.offsets("polled") == [(ORDERS, 103)]
    assert pool.offsets("highest-finished") == pool.offsets("lowest-contiguous") == []
    pool.run(7.0)
    assert done == [101]
    assert pool.offsets("highest-finished") == [(ORDERS, 102)]
    assert pool.offsets("lowest-contiguous") == []
    pool.run(9.0)
    assert done == [101, 102]
    assert pool.offsets("highest-finished") == [(ORDERS, 103)]
    assert pool.offsets("lowest-contiguous") == []
    pool.run(20.0)
    assert pool.offsets("lowest-contiguous") == [(ORDERS, 103)]


def test_what_is_queued_is_taken_in_order_by_whoever_is_free() -> None:
    pool, done = workers(1, 1.0, 1.0, 1.0)
    pool.give([PolledSlice(ORDERS, 0, "shop", range(3))], 0.0)
    pool.run(25.0)
    assert done == [0, 1]
    assert not pool.idle
    assert pool.next_due() == 30.0


def test_a_pause_shifts_the_work_under_way() -> None:
    pool, done = workers(1, 1.0)
    pool.give([PolledSlice(ORDERS, 0, "shop", range(1))], 0.0)
    pool.shift(100.0)
    pool.run(50.0)
    assert done == []
    pool.run(110.0)
    assert done == [0]


def test_no_more_offsets_of_a_partition_that_was_revoked() -> None:
    pool, _ = workers(2, 1.0, 1.0)
    pool.give([PolledSlice(ORDERS, 0, "shop", range(2))], 0.0)
    pool.forget([ORDERS])
    pool.run(20.0)
    assert pool.offsets("polled") == []


def test_a_flag_that_is_set_leaves_the_effect_out() -> None:
    flags = MemoryFlags()
    flags.mark("billing", "shop", 0)
    pool, done = workers(1, 1.0, 1.0, flags=flags)
    pool.give([PolledSlice(ORDERS, 0, "shop", range(2))], 0.0)
    pool.run(100.0)
    assert done == [0, 1]
    assert dict(flags.effects("billing")) == {("shop", 1): 1}


def test_of_two_members_who_race_only_one_has_the_effect() -> None:
    for order in ("mark-first", "transaction"):
        flags = MemoryFlags()
        zombie, late = workers(1, 1.0, flags=flags, order=order)
        successor, _ = workers(1, 1.0, flags=flags, order=order)
        for pool in (zombie, successor):
            pool.give([PolledSlice(ORDERS, 0, "shop", range(1))], 0.0)
        for now in (1.0, 2.0, 50.0):  # both look the flag up before either sets it
            successor.run(now)
            zombie.run(now)
        assert dict(flags.effects("billing")) == {("shop", 0): 1}
        assert late == [0]  # handled, without effect
