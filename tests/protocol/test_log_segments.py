"""Where one segment of a log ends and the next begins."""

from random import Random

import pytest
from test_log import batch_of, log_of

from kafkasim.protocol.config import TopicConfig
from kafkasim.protocol.log import Log
from kafkasim.protocol.records import TopicPartition

ORDERS = TopicPartition("orders", 0)


def bases(log: Log) -> list[int]:
    log.segments.catch_up(log.batches, log.config)
    return [segment.base_offset for segment in log.segments.segments]


def test_a_log_has_one_segment_before_anything_is_written() -> None:
    assert bases(Log(ORDERS, TopicConfig())) == [0]


def test_a_batch_that_would_make_the_segment_larger_than_segment_bytes_begins_the_next_one() -> None:
    assert bases(log_of(5, config=TopicConfig(segment_bytes=200))) == [0, 20, 40]
    assert bases(log_of(5, config=TopicConfig(segment_bytes=199))) == [0, 10, 20, 30, 40]


def test_a_batch_younger_than_the_segments_first_by_more_than_segment_ms_begins_the_next_one() -> None:
    assert bases(log_of(6, config=TopicConfig(segment_ms=2))) == [0, 30]  # batches come every ms


def test_time_alone_rolls_nothing() -> None:
    log = log_of(1, config=TopicConfig(segment_ms=1))
    assert bases(log) == [0]
    log.append_as_leader(batch_of(10, created=99.0), 0, now=99.0)
    assert bases(log) == [0, 10]


def test_a_batch_larger_than_segment_bytes_has_a_segment_of_its_own() -> None:
    assert bases(log_of(3, config=TopicConfig(segment_bytes=50))) == [0, 10, 20]


def test_sizes_and_times_are_those_of_the_batches() -> None:
    log = log_of(5, config=TopicConfig(segment_bytes=200))
    assert bases(log) == [0, 20, 40]
    assert [segment.size for segment in log.segments.segments] == [200, 200, 100]
    assert [segment.largest_timestamp for segment in log.segments.segments] == [1.0, 3.0, 4.0]
    assert log.segments.size() == 500
    assert [log.segments.upper_bound(index) for index in range(3)] == [20, 40, 50]


def test_cutting_a_log_takes_the_later_segments_away_and_reads_the_one_that_was_cut_anew() -> None:
    log = log_of(6, config=TopicConfig(segment_bytes=200))
    assert bases(log) == [0, 20, 40]
    log.truncate_to(30)
    assert bases(log) == [0, 20]
    assert [segment.size for segment in log.segments.segments] == [200, 100]
    log.append_as_leader(batch_of(30), 0, now=9.0)
    log.append_as_leader(batch_of(40), 0, now=9.0)
    assert bases(log) == [0, 20, 40]


def test_a_log_cut_below_its_first_segment_begins_there_with_nothing() -> None:
    log = log_of(6, config=TopicConfig(segment_bytes=200))
    bases(log)
    log.segments.remove_first(1)
    log.remove_below(20)
    assert len(log.truncate_to(10)) == 4
    assert (log.log_start_offset, log.log_end_offset, bases(log)) == (10, 10, [10])


@pytest.mark.parametrize("seed", range(20))
def test_looking_now_and_then_gives_the_segments_that_looking_after_every_append_gives(seed: int) -> None:
    random = Random(seed)
    config = TopicConfig(segment_bytes=random.randint(100, 900), segment_ms=random.randint(1, 40))
    often, seldom = Log(ORDERS, config), Log(ORDERS, config)
    now = 0.0
    for _ in range(200):
        now += random.choice((0.0, 1.0, 7.0))
        if random.random() < 0.1:
            cut = random.randint(often.log_end_offset * 2 // 3, often.log_end_offset)
            for log in (often, seldom):
                log.truncate_to(cut)
        batch = batch_of(0, size=random.randint(50, 300), created=now)
        for log in (often, seldom):
            log.append_as_leader(batch, 0, now)
        bases(often)
        if random.random() < 0.05:
            bases(seldom)
    assert bases(often) == bases(seldom)
    assert len(bases(often)) > 3


def test_a_power_loss_spares_the_segments_before_the_active_one() -> None:
    log = log_of(5, config=TopicConfig(segment_bytes=200))
    assert [batch.base_offset for batch in log.lose_unflushed(0)] == [40]
    assert log.log_end_offset == 40
