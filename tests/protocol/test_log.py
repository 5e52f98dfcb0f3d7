"""One replica's log: appending, reading, truncating, flushing, and what a power loss leaves."""

import pytest

from kafkasim.protocol.config import TopicConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.log import Log
from kafkasim.protocol.log_retention import delete_old_segments
from kafkasim.protocol.records import RecordBatch, TopicPartition

ORDERS = TopicPartition("orders", 0)


def batch_of(first: int, count: int = 10, size: int = 100, created: float = 0.0, sequenced: bool = False) -> RecordBatch:
    identity = (7, 0, first) if sequenced else ()
    return RecordBatch("shop", range(first, first + count), size, created, *identity)


def log_of(batches: int, epoch: int = 0, config: TopicConfig | None = None, sequenced: bool = False) -> Log:
    log = Log(ORDERS, config or TopicConfig())
    for index in range(batches):
        log.append_as_leader(batch_of(10 * index, created=float(index), sequenced=sequenced), epoch, now=float(index))
    return log


def bases(batches: tuple) -> list[int]:
    return [batch.base_offset for batch in batches]


def test_a_leader_gives_each_batch_the_next_offsets_and_its_epoch() -> None:
    log = log_of(1, epoch=3)
    appended = log.append_as_leader(batch_of(10, count=5), leader_epoch=4, now=1.0)
    assert (appended.base_offset, appended.next_offset, appended.leader_epoch) == (10, 15, 4)
    assert log.log_end_offset == 15
    assert log.latest_epoch == 4
    assert log.end_offset_for_epoch(3) == (3, 10)


def test_a_follower_appends_what_the_leader_wrote_with_offsets_epochs_and_producer_state() -> None:
    leader, follower = log_of(3, epoch=2, sequenced=True), Log(ORDERS, TopicConfig())
    for batch in leader.batches:
        follower.append_as_follower(batch, now=9.0)
    assert follower.batches == leader.batches
    assert follower.latest_epoch == 2
    assert follower.producers.find_duplicate_batch(batch_of(20, sequenced=True)) is leader.batches[2]


def test_a_follower_never_appends_with_a_hole() -> None:
    with pytest.raises(AssertionError, match="no holes"):
        Log(ORDERS, TopicConfig()).append_as_follower(log_of(2).batches[1], now=0.0)


def test_a_read_begins_with_the_batch_that_holds_the_offset() -> None:
    assert bases(log_of(4).read(15, max_offset=40, max_bytes=10_000)) == [10, 20, 30]
    assert bases(log_of(4).read(35, max_offset=40, max_bytes=10_000)) == [30]


def test_a_read_at_the_end_finds_nothing() -> None:
    assert log_of(4).read(40, max_offset=40, max_bytes=10_000) == ()
    assert Log(ORDERS, TopicConfig()).read(0, max_offset=0, max_bytes=10_000) == ()


def test_a_read_stays_below_the_maximum_offset() -> None:
    assert bases(log_of(4).read(0, max_offset=20, max_bytes=10_000)) == [0, 10]
    assert log_of(4).read(30, max_offset=20, max_bytes=10_000) == ()
    assert log_of(4).read(30, max_offset=30, max_bytes=10_000) == ()
    assert log_of(4).read(30, max_offset=35, max_bytes=10_000) == ()


def test_a_read_returns_as_many_whole_batches_as_fit_but_at_least_one() -> None:
    assert bases(log_of(4).read(0, max_offset=40, max_bytes=250)) == [0, 10]
    assert bases(log_of(4).read(0, max_offset=40, max_bytes=1)) == [0]
    assert bases(log_of(4).read(30, max_offset=40, max_bytes=1)) == [30]


def test_truncation_removes_what_lies_behind_the_offset() -> None:
    log = log_of(4)
    removed = log.truncate_to(20)
    assert bases(removed) == [20, 30]
    assert log.log_end_offset == 20


def test_a_batch_that_straddles_the_truncation_offset_goes_whole() -> None:
    log = log_of(4)
    log.truncate_to(25)
    assert log.log_end_offset == 20


def test_truncation_below_the_start_of_the_log_begins_it_anew_at_the_offset() -> None:
    log = log_of(4, epoch=1, config=TopicConfig(segment_bytes=1))  # a segment a batch
    log.increment_log_start_offset(20)
    assert bases(delete_old_segments(log, high_watermark=40, now=0.0)) == [0, 10]
    assert bases(log.truncate_to(10)) == [20, 30]
    assert (log.log_start_offset, log.log_end_offset, log.recovery_point, log.latest_epoch) == (10, 10, 10, -1)
    assert bases([log.append_as_leader(batch_of(0), leader_epoch=2, now=0.0)]) == [10]


def test_truncation_above_the_end_removes_nothing_but_forgets_an_epoch_in_which_nothing_was_written() -> None:
    log = log_of(2, epoch=1)
    log.leader_epochs.assign(5, log.log_end_offset)
    assert log.truncate_to(100) == ()
    assert log.log_end_offset == 20
    assert log.latest_epoch == 1


def test_truncation_takes_epochs_and_producer_state_and_recovery_point_along() -> None:
    log = log_of(2, epoch=1, sequenced=True)
    log.append_as_leader(batch_of(20, sequenced=True), leader_epoch=2, now=0.0)
    log.flush(now=1.0)
    log.truncate_to(20)
    assert log.latest_epoch == 1
    assert log.recovery_point == 20
    assert log.producers.check_append(batch_of(20, sequenced=True)) is Error.NONE


def test_without_flushing_a_power_loss_takes_everything() -> None:
    log = log_of(4, epoch=1)
    lost = log.lose_unflushed(keep_until=0)
    assert bases(lost) == [0, 10, 20, 30]
    assert (log.log_end_offset, log.latest_epoch) == (0, -1)


def test_a_power_loss_spares_what_was_flushed() -> None:
    log = log_of(3)
    log.flush(now=3.0)
    log.append_as_leader(batch_of(30), 0, now=4.0)
    assert bases(log.lose_unflushed(keep_until=0)) == [30]
    assert log.log_end_offset == log.recovery_point == 30


def test_a_power_loss_spares_what_the_operating_system_had_written_back_save_for_a_torn_batch() -> None:
    log = log_of(4)
    assert bases(log.lose_unflushed(keep_until=25)) == [20, 30]


def test_after_a_power_loss_a_retry_of_a_lost_batch_is_accepted_and_of_a_kept_one_recognised() -> None:
    log = log_of(4, sequenced=True)
    log.lose_unflushed(keep_until=20)
    assert log.producers.find_duplicate_batch(batch_of(10, sequenced=True)) is log.batches[1]
    assert log.producers.find_duplicate_batch(batch_of(20, sequenced=True)) is None
    assert log.producers.check_append(batch_of(20, sequenced=True)) is Error.NONE


def test_flush_messages_flushes_once_that_many_records_are_not() -> None:
    log = log_of(2, config=TopicConfig(flush_messages=25))
    assert log.recovery_point == 0
    log.append_as_leader(batch_of(20), 0, now=2.0)
    assert log.recovery_point == 30
    assert log.last_flush_time == 2.0


def test_flush_messages_1_loses_nothing_to_a_power_loss() -> None:
    log = log_of(4, config=TopicConfig(flush_messages=1))
    assert log.lose_unflushed(keep_until=0) == ()


def test_by_default_nothing_is_ever_flushed() -> None:
    assert log_of(1000).recovery_point == 0


def test_opening_the_log_forgets_an_epoch_in_which_nothing_was_written() -> None:
    log = log_of(2, epoch=1)
    log.leader_epochs.assign(5, log.log_end_offset)
    log.load()
    assert log.latest_epoch == 1


def test_the_offset_of_a_time_is_that_of_the_first_batch_not_older() -> None:
    log = log_of(4)
    assert log.offset_for_timestamp(1.5) == 20
    assert log.offset_for_timestamp(99.0) == -1


def test_retention_deletes_from_the_front() -> None:
    log = log_of(4, epoch=1)
    assert bases(log.remove_below(20)) == bases(log.expired) == [0, 10]
    assert (log.log_start_offset, log.log_end_offset) == (20, 40)
    assert bases(log.read(20, max_offset=40, max_bytes=10_000)) == [20, 30]
    assert log.end_offset_for_epoch(0) == (0, 20)


def test_a_log_whose_start_moves_keeps_its_batches_until_retention_comes_round() -> None:
    log = log_of(4)
    log.increment_log_start_offset(20)
    log.increment_log_start_offset(10)
    assert (log.log_start_offset, bases(log.batches), log.expired) == (20, [0, 10, 20, 30], [])


def test_starting_anew_throws_everything_away() -> None:
    log = log_of(4, sequenced=True)
    assert len(log.truncate_fully_and_start_at(100)) == 4
    assert (log.log_start_offset, log.log_end_offset, log.latest_epoch) == (100, 100, -1)
    assert log.producers.entry(7) is None
