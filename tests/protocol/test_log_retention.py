"""What retention deletes, when, and what it never touches."""

from __future__ import annotations

import pytest
from pump import ORDERS as ORDERS_0
from pump import Cluster, produce
from test_log import batch_of, log_of
from test_partition_storm import Storm
from three_brokers import Three
from three_brokers import batch_of as unsequenced

from kafkasim.protocol.config import BrokerConfig, TopicConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.local_replica import SegmentsDeleted
from kafkasim.protocol.log import Log
from kafkasim.protocol.log_retention import delete_old_segments, first_expiry

# Segments of two batches; log_of() creates a batch of ten records and 100 bytes every ms.
BY_AGE = TopicConfig(segment_bytes=200, retention_ms=10)
BY_SIZE = TopicConfig(segment_bytes=200, retention_bytes=300)


def deleted(log: Log, now: float, high_watermark: int | None = None) -> list[int]:
    removed = delete_old_segments(log, log.log_end_offset if high_watermark is None else high_watermark, now)
    return [batch.base_offset for batch in removed]


def test_a_segment_goes_when_its_youngest_record_is_older_than_retention_ms() -> None:
    log = log_of(5, config=BY_AGE)
    assert deleted(log, now=11.0) == []  # the segment's last batch is of 1 ms
    assert deleted(log, now=11.5) == [0, 10]
    assert (log.log_start_offset, log.log_end_offset) == (20, 50)
    assert [batch.base_offset for batch in log.expired] == [0, 10]


def test_when_all_is_old_a_new_segment_begins_and_everything_goes() -> None:
    log = log_of(5, config=BY_AGE)
    assert deleted(log, now=100.0) == [0, 10, 20, 30, 40]
    assert (log.log_start_offset, log.log_end_offset, log.batches) == (50, 50, [])
    log.append_as_leader(batch_of(50, created=100.0), 0, now=100.0)
    assert [batch.base_offset for batch in log.read(50, 60, 1_000)] == [50]
    assert deleted(log, now=105.0) == []


def test_an_empty_active_segment_stays() -> None:
    log = log_of(2, config=BY_AGE)
    deleted(log, now=100.0)
    assert deleted(log, now=200.0) == []
    assert [segment.base_offset for segment in log.segments.segments] == [20]


def test_the_oldest_segments_go_as_long_as_retention_bytes_are_left() -> None:
    log = log_of(6, config=BY_SIZE)  # 600 bytes: without the first segment it has 400, without the second 200
    assert deleted(log, now=5.0) == [0, 10]
    log.append_as_leader(batch_of(60), 0, now=6.0)
    assert deleted(log, now=6.0) == [20, 30]


def test_a_log_below_retention_bytes_keeps_everything() -> None:
    assert deleted(log_of(2, config=BY_SIZE), now=5.0) == []


def test_retention_bytes_of_zero_delete_the_active_segment_too() -> None:
    log = log_of(3, config=TopicConfig(segment_bytes=200, retention_bytes=0))
    assert deleted(log, now=3.0) == [0, 10, 20]


def test_nothing_at_or_above_the_high_watermark_goes() -> None:
    log = log_of(6, config=BY_AGE)
    assert deleted(log, now=100.0, high_watermark=39) == [0, 10]
    assert deleted(log, now=100.0, high_watermark=40) == [20, 30]
    assert log.log_start_offset == 40


def test_retention_of_minus_one_and_compaction_delete_nothing() -> None:
    assert deleted(log_of(6, config=TopicConfig(segment_bytes=200, retention_ms=-1)), now=1e15) == []
    assert deleted(log_of(6, config=TopicConfig(segment_bytes=200, retention_ms=10, cleanup_policy="compact")), now=1e15) == []
    assert deleted(log_of(6, config=TopicConfig(segment_bytes=200, retention_ms=10, cleanup_policy="compact,delete")), now=1e15) != []


def test_what_the_logs_start_has_passed_goes_by_whole_segments_whatever_the_policy() -> None:
    log = log_of(6, config=TopicConfig(segment_bytes=200, cleanup_policy="compact"))
    log.increment_log_start_offset(30)
    assert deleted(log, now=5.0) == [0, 10]
    assert (log.log_start_offset, log.batches[0].base_offset) == (30, 20)
    log.increment_log_start_offset(60)
    assert deleted(log, now=5.0) == [20, 30]  # the active segment stays


def test_the_next_run_that_may_find_something_is_known() -> None:
    log = log_of(5, config=BY_AGE)
    assert first_expiry(log, now=5.0) == 11.0
    deleted(log, now=11.5)
    assert first_expiry(log, now=11.5) == 13.0
    deleted(log, now=100.0)
    assert first_expiry(log, now=100.0) == 110.0
    assert first_expiry(log_of(5, config=BY_SIZE), now=5.0) <= 5.0
    assert first_expiry(log_of(5, config=TopicConfig(retention_ms=-1)), now=5.0) == float("inf")


# --- replicas -------------------------------------------------------------------------------------------------------------------


def three_with(config: TopicConfig, batches: int) -> Three:
    three = Three()
    for broker, log in three.logs.items():
        three.logs[broker] = Log(log.partition, config)
        three.at[broker] = three.start(broker)
    three.elect(1, leader_epoch=1, isr=(1, 2, 3))
    for index in range(batches):
        three.at[1].append_records_to_leader(unsequenced(10 * index), acks=1, now=float(index))
    return three


def test_a_follower_takes_its_log_start_from_the_leader_and_deletes_when_its_own_turn_comes() -> None:
    three = three_with(TopicConfig(segment_bytes=200, retention_bytes=200), batches=6)
    three.replicate(1, 2, 3)
    three.at[1].delete_old_segments(now=9.0)
    assert three.logs[1].log_start_offset == 40
    assert (three.logs[2].log_start_offset, len(three.logs[2].batches)) == (0, 6)
    three.fetch(2, 1)
    assert (three.logs[2].log_start_offset, len(three.logs[2].batches)) == (40, 6)
    three.at[2].delete_old_segments(now=9.0)
    assert len(three.logs[2].batches) == 2
    assert three.told(SegmentsDeleted) == [
        SegmentsDeleted(three.at[1].partition, 1, 0, 40, True),
        SegmentsDeleted(three.at[2].partition, 2, 0, 40, False),
    ]


def test_a_follower_that_was_away_longer_than_the_leader_keeps_begins_where_the_leader_does() -> None:
    three = three_with(TopicConfig(segment_bytes=200, retention_bytes=200), batches=2)
    three.replicate(1, 2, 3)
    for index in range(2, 8):
        three.at[1].append_records_to_leader(unsequenced(10 * index), acks=1, now=float(index))
    three.elect(1, leader_epoch=2, isr=(1,))
    three.at[1].delete_old_segments(now=9.0)
    assert three.ask(3, 1).error is Error.OFFSET_OUT_OF_RANGE
    three.at[3].truncate_fully_and_start_at(three.logs[1].log_start_offset)
    three.replicate(1, 3)
    assert [batch.base_offset for batch in three.logs[3].batches] == [60, 70]


def test_uncommitted_records_do_not_expire() -> None:
    three = three_with(TopicConfig(segment_bytes=200, retention_ms=10), batches=6)
    three.at[1].delete_old_segments(now=1e9)  # nobody has fetched: the high watermark is 0
    assert three.logs[1].log_start_offset == 0


def test_a_replica_that_parted_from_a_leader_long_gone_keeps_its_own_records_only_where_nobody_can_read_them() -> None:
    three = three_with(TopicConfig(segment_bytes=200, retention_ms=10), batches=2)  # epoch 1: only broker 1 has them
    three.elect(3, leader_epoch=2, isr=(1, 2, 3), told=(3,))
    for index in range(3):
        three.at[3].append_records_to_leader(unsequenced(500 + 10 * index), acks=1, now=5.0)  # epoch 2: only broker 3 has these
    three.elect(1, leader_epoch=3, isr=(1,))
    three.at[1].delete_old_segments(now=100.0)
    three.replicate(1, 3)
    assert [log.log_start_offset for log in (three.logs[1], three.logs[3])] == [20, 20]
    assert three.numbers(3) == list(range(500, 520)), "KIP-101 sees no difference below the leader's oldest epoch"
    three.at[3].delete_old_segments(now=100.0)
    assert (three.numbers(3), three.logs[3].expired) == ([], [])


class RetentionStorm(Storm):
    """The storm of test_partition_storm.py, in which segments of two or three batches are deleted down to 300 bytes now and then."""

    def __init__(self, seed: int, min_isr: int) -> None:
        super().__init__(seed, min_isr)
        config = TopicConfig(min_insync_replicas=min_isr, segment_bytes=250, retention_bytes=300, retention_ms=500)
        for broker in self.replicas:
            self.logs[broker] = Log(self.logs[broker].partition, config)
            self.at[broker] = self.start(broker)
            self.read[broker] = 0
        self.committed_at: dict[int, object] = {}
        self.deleted_committed = 0

    def alter_isr(self, broker: int) -> None:
        super().alter_isr(broker)
        self.at[broker].delete_old_segments(self.now)

    def follow(self, broker: int) -> None:
        leader = self.at[broker].leader
        if leader in (broker, -1):
            return
        if self.fetch(broker, leader, self.now).error is Error.OFFSET_OUT_OF_RANGE:
            start = self.logs[leader].log_start_offset
            if start > self.logs[broker].log_end_offset:
                self.at[broker].truncate_fully_and_start_at(start)

    def check(self) -> None:
        """A log's start never passes its high watermark; what is readable, and what was until retention took it, is the same everywhere."""
        for broker, partition in self.at.items():
            log = self.logs[broker]
            assert log.log_start_offset <= partition.high_watermark <= log.log_end_offset
            readable = [b for b in log.batches if b.base_offset >= log.log_start_offset and b.next_offset <= partition.high_watermark]
            for batch in (*readable, *log.expired):  # what expired was readable until then
                assert self.committed_at.setdefault(batch.base_offset, batch.batch) is batch.batch
            self.deleted_committed = max(self.deleted_committed, len(log.expired))
        for broker in self.truth.isr:
            log = self.logs[broker]
            held = {batch.base_offset for batch in log.batches}
            assert all(base in held for base in self.committed_at if base >= log.log_start_offset)


@pytest.mark.parametrize("seed", range(40))
def test_retention_deletes_nothing_above_the_high_watermark_whoever_leads(seed: int) -> None:
    storm = RetentionStorm(seed, min_isr=1 + seed % 2)
    for _ in range(400):
        storm.step()
    assert storm.deleted_committed, "a storm in which nothing was deleted tests nothing"


# --- the broker's task ----------------------------------------------------------------------------------------------------------


def test_the_task_comes_round_first_after_the_initial_delay_and_then_at_its_interval() -> None:
    pump = Cluster(config=BrokerConfig(log_retention_check_interval_ms=2_000, log_initial_task_delay_ms=5_000))
    pump.create_topic("orders", retention_ms=1_000)
    pump.request("shop", "broker-1", produce(count=3))
    log = pump.disks[1].logs[ORDERS_0]
    expires = log.batches[0].batch.created + 1_000
    while log.log_start_offset == 0:
        assert pump.now < 20_000
        pump.advance(100)
    assert pump.now >= max(expires, 5_000)
    assert pump.now % 1_000 < 500  # brokers start within the first ms of the pump's clock
    assert [pump.disks[broker_id].logs[ORDERS_0].log_start_offset for broker_id in (1, 2, 3)] == [3, 3, 3]


def test_a_broker_whose_topics_keep_everything_for_long_is_not_woken_for_retention() -> None:
    pump = Cluster(config=BrokerConfig(log_retention_check_interval_ms=100))
    pump.create_topic("orders")
    pump.request("shop", "broker-1", produce(count=3))
    pump.advance(30_000)
    before = pump.events
    pump.advance(60_000)
    assert pump.events - before < 3_000


def test_a_broker_that_comes_back_after_retention_has_passed_it_asks_for_both_bounds_and_begins_at_the_leaders_start() -> None:
    pump = Cluster(config=BrokerConfig(log_retention_check_interval_ms=1_000, log_initial_task_delay_ms=0, broker_session_timeout_ms=3_000))
    pump.create_topic("orders", retention_ms=2_000, segment_ms=500)
    pump.request("shop", "broker-1", produce(count=3))
    pump.advance(100)
    pump.crash("broker-3")
    pump.advance(4_000)
    pump.request("shop", "broker-1", produce(count=4))
    pump.advance(4_000)
    leader, follower = pump.disks[1].logs[ORDERS_0], pump.disks[3].logs[ORDERS_0]
    assert (leader.log_start_offset, leader.log_end_offset) == (7, 7)
    assert (follower.log_start_offset, follower.log_end_offset) == (0, 3)
    pump.start_broker(3)
    pump.advance(1_500)
    assert (follower.log_start_offset, follower.log_end_offset) == (7, 7)
    pump.request("shop", "broker-1", produce(count=5))
    assert [batch.base_offset for batch in follower.batches] == [7]
