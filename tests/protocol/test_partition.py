"""Leader and followers of one partition, played by hand: append, fetch, fetch, and the high watermark moves (kafka.cluster.Partition)."""

from __future__ import annotations

from three_brokers import CONSUMER, LAG, ORDERS, Three, batch_of, consume, registration

from kafkasim.protocol.errors import Error
from kafkasim.protocol.isr import IsrChanged
from kafkasim.protocol.local_replica import HighWatermarkMoved
from kafkasim.protocol.messages import FetchPartition
from kafkasim.protocol.partition import DuplicateDropped, LeaderEpochStarted, SequenceRefused
from kafkasim.protocol.records import RecordBatch

# ---------------------------------------------------------------------------------------------------- replication


def test_append_then_fetch_then_fetch_moves_the_high_watermark() -> None:
    three = Three()
    leader = three.at[1]
    assert leader.append_records_to_leader(batch_of(), acks=-1, now=1.0) == (Error.NONE, 0, 10, False)

    three.fetch(2, 1)  # brings the batch to 2; the leader has learned only that 2 stood at 0
    three.fetch(3, 1)
    assert (leader.high_watermark, three.logs[2].log_end_offset, three.logs[3].log_end_offset) == (0, 10, 10)

    three.fetch(2, 1)  # asks for 10: so 2 has it, but does 3?
    assert leader.high_watermark == 0
    three.fetch(3, 1)
    assert leader.high_watermark == 10


def test_a_follower_learns_the_high_watermark_one_fetch_later() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(), acks=-1, now=1.0)
    for _ in range(2):
        three.fetch(2, 1)
        three.fetch(3, 1)
    assert (three.at[1].high_watermark, three.at[3].high_watermark) == (10, 0)
    three.fetch(3, 1)
    assert three.at[3].high_watermark == 10


def test_acks_all_is_answered_when_the_high_watermark_is_there() -> None:
    three = Three(min_isr=2)
    leader = three.at[1]
    required = leader.append_records_to_leader(batch_of(), acks=-1, now=1.0).next_offset
    assert leader.check_enough_replicas_reach_offset(required) == (False, Error.NONE)
    three.replicate(1, 2, 3)
    assert leader.check_enough_replicas_reach_offset(required) == (True, Error.NONE)


def test_a_consumer_reads_to_the_high_watermark_and_a_follower_to_the_end() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(0), acks=1, now=1.0)
    three.replicate(1, 2, 3)
    three.at[1].append_records_to_leader(batch_of(10), acks=1, now=1.0)
    assert [b.base_offset for b in consume(three.at[1], 0).batches] == [0]
    assert [b.base_offset for b in three.ask(2, 1).batches] == [10]
    assert (three.at[1].available_end_offset(CONSUMER), three.at[1].available_end_offset(2)) == (10, 20)


def test_with_a_single_replica_an_append_is_committed_at_once() -> None:
    one = Three(isr=(1,), replicas=(1,))
    assert one.at[1].append_records_to_leader(batch_of(), acks=-1, now=0.0).high_watermark_changed


def test_the_answer_to_a_fetch_holds_the_high_watermark_from_before_it() -> None:
    two = Three(isr=(1, 2), replicas=(1, 2))
    two.at[1].append_records_to_leader(batch_of(), acks=1, now=1.0)
    two.fetch(2, 1)
    assert two.fetch(2, 1).high_watermark == 0
    assert two.at[1].high_watermark == 10


def test_the_trace_tells_of_the_leader_and_of_the_high_watermark_on_each_broker() -> None:
    two = Three(isr=(1, 2), replicas=(1, 2))
    two.at[1].append_records_to_leader(batch_of(), acks=1, now=1.0)
    two.replicate(1, 2)
    assert two.events == [
        LeaderEpochStarted(ORDERS, 1, 0, 0, 0, (1, 2)),
        IsrChanged(ORDERS, 1, (1, 2), 0),
        HighWatermarkMoved(ORDERS, 1, 0, 10, True),
        HighWatermarkMoved(ORDERS, 2, 0, 10, False),
    ]


# ---------------------------------------------------------------------------------------------------- who may fetch what


def test_a_reader_with_an_old_epoch_is_fenced_and_told_who_leads() -> None:
    three = Three()
    three.elect(2, leader_epoch=5, isr=(2, 3))
    fetched = consume(three.at[2], 0, epoch=4)
    assert (fetched.error, fetched.current_leader, fetched.current_leader_epoch) == (Error.FENCED_LEADER_EPOCH, 2, 5)


def test_a_reader_with_a_newer_epoch_than_the_leader_is_asked_to_come_again() -> None:
    assert consume(Three().at[1], 0, epoch=1).error is Error.UNKNOWN_LEADER_EPOCH


def test_a_follower_may_not_fetch_from_a_follower() -> None:
    assert Three().ask(3, 2).error is Error.NOT_LEADER_OR_FOLLOWER


def test_a_broker_that_is_no_replica_may_not_fetch_as_one() -> None:
    fetch = FetchPartition(ORDERS, 0, 0, -1, 1000)
    assert Three().at[1].read_for_fetch(fetch, 9, False).error is Error.UNKNOWN_LEADER_EPOCH


def test_an_offset_outside_the_log_is_out_of_range() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(), acks=1, now=0.0)
    assert consume(three.at[1], 11).error is Error.OFFSET_OUT_OF_RANGE
    assert consume(three.at[1], 10).error is Error.NONE  # above the high watermark, but in the log: nothing yet, no error
    three.logs[1].increment_log_start_offset(10)
    assert consume(three.at[1], 5).error is Error.OFFSET_OUT_OF_RANGE


def test_a_fetch_of_a_followers_former_process_counts_for_nothing() -> None:
    two = Three(isr=(1, 2), replicas=(1, 2))
    two.at[1].append_records_to_leader(batch_of(), acks=1, now=0.0)
    assert not two.at[1].update_follower_fetch_state(2, broker_epoch=101, fetch_offset=10, now=1.0)
    assert two.at[1].update_follower_fetch_state(2, broker_epoch=102, fetch_offset=10, now=1.0)


# ---------------------------------------------------------------------------------------------------- min.insync.replicas


def test_below_min_isr_acks_all_is_refused_and_acks_1_is_accepted_but_stays_invisible() -> None:
    three = Three(min_isr=2, isr=(1,))
    leader = three.at[1]
    assert leader.append_records_to_leader(batch_of(0), acks=-1, now=0.0).error is Error.NOT_ENOUGH_REPLICAS
    assert leader.append_records_to_leader(batch_of(0), acks=1, now=0.0) == (Error.NONE, 0, 10, False)
    assert (leader.high_watermark, leader.log.log_end_offset) == (0, 10)
    assert consume(leader, 0).batches == ()


def test_what_was_accepted_below_min_isr_becomes_visible_when_the_isr_is_large_enough_again() -> None:
    three = Three(min_isr=2, isr=(1,))
    leader = three.at[1]
    leader.append_records_to_leader(batch_of(0), acks=1, now=0.0)
    three.replicate(1, 2)
    assert leader.high_watermark == 0
    leader_epoch, partition_epoch, new_isr = leader.take_alter_partition() or (0, 0, ())
    assert new_isr == (1, 2)
    assert leader.alter_partition_answered(Error.NONE, 1, leader_epoch, new_isr, partition_epoch + 1, now=1.0)
    assert leader.high_watermark == 10


def test_min_insync_replicas_above_the_replication_factor_counts_as_the_replication_factor() -> None:
    two = Three(min_isr=3, isr=(1, 2), replicas=(1, 2))
    assert two.at[1].append_records_to_leader(batch_of(), acks=-1, now=0.0).error is Error.NONE


def test_an_isr_that_shrank_after_the_append_is_reported_though_the_records_are_committed() -> None:
    three = Three(min_isr=2)
    leader = three.at[1]
    required = leader.append_records_to_leader(batch_of(), acks=-1, now=0.0).next_offset
    three.replicate(1, 2, 3)
    leader.make_leader(registration(1, 0, (1,), partition_epoch=1), now=1.0)
    assert leader.check_enough_replicas_reach_offset(required) == (True, Error.NOT_ENOUGH_REPLICAS_AFTER_APPEND)


def test_an_acks_all_request_that_waits_when_leadership_goes_is_over() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(), acks=-1, now=0.0)
    three.elect(2, leader_epoch=1, isr=(2, 3))
    assert three.at[1].check_enough_replicas_reach_offset(10) == (True, Error.NOT_LEADER_OR_FOLLOWER)
    assert three.at[1].append_records_to_leader(batch_of(), acks=1, now=0.0).error is Error.NOT_LEADER_OR_FOLLOWER


# ---------------------------------------------------------------------------------------------------- becoming leader and follower


def test_a_new_leader_keeps_the_high_watermark_it_knew_until_its_followers_have_fetched() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(), acks=1, now=0.0)
    three.replicate(1, 2, 3)
    three.at[1].append_records_to_leader(batch_of(10), acks=1, now=0.0)
    three.fetch(2, 1)
    three.fetch(3, 1)
    three.elect(2, leader_epoch=1, isr=(2, 3), told=(2, 3))
    assert three.at[2].high_watermark == 10
    three.fetch(3, 2)
    assert three.at[2].high_watermark == 20


def test_a_new_leader_down_to_itself_commits_its_whole_log_at_once() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(), acks=1, now=0.0)
    three.fetch(2, 1)
    moved = three.at[2].make_leader(registration(2, 1, (2,), partition_epoch=1), now=1.0)
    assert moved
    assert three.at[2].high_watermark == 10


def test_a_leader_elected_again_keeps_where_its_followers_stood_and_waits_for_nobody_outside_the_isr() -> None:
    three = Three()
    leader = three.at[1]
    three.replicate(1, 2, 3)
    leader.append_records_to_leader(batch_of(), acks=1, now=0.0)
    three.replicate(1, 2)
    assert leader.high_watermark == 0
    assert leader.make_leader(registration(1, 1, (1, 2), partition_epoch=1), now=2 * LAG)
    assert leader.high_watermark == 10


def test_a_late_fetch_at_a_former_leader_moves_nothing() -> None:
    two = Three(isr=(1, 2), replicas=(1, 2))
    two.at[1].append_records_to_leader(batch_of(), acks=1, now=0.0)
    two.elect(2, leader_epoch=1, isr=(2,), told=(1,))
    assert not two.at[1].update_follower_fetch_state(2, 102, 10, now=1.0)
    assert two.at[1].high_watermark == 0


def test_a_registration_with_the_same_leader_epoch_changes_the_isr_and_nothing_else() -> None:
    three = Three()
    leader = three.at[1]
    leader.append_records_to_leader(batch_of(), acks=1, now=0.0)
    three.fetch(2, 1)
    three.fetch(2, 1)
    assert leader.make_leader(registration(1, 0, (1, 2), partition_epoch=1), now=1.0)  # 3 is out: 10 is committed
    assert (leader.isr, leader.partition_epoch, leader.leader_epoch_start_offset, leader.high_watermark) == ((1, 2), 1, 0, 10)
    assert len(three.told(LeaderEpochStarted)) == 1


def test_an_older_partition_epoch_than_the_one_known_is_ignored() -> None:
    leader = Three().at[1]
    leader.make_leader(registration(1, 0, (1, 2), partition_epoch=4), now=0.0)
    leader.make_leader(registration(1, 0, (1, 2, 3), partition_epoch=3), now=0.0)
    leader.make_follower(registration(2, 0, (1, 2, 3), partition_epoch=3), now=0.0)
    assert (leader.isr, leader.is_leader) == ((1, 2), True)


def test_a_follower_truncates_nothing_when_it_learns_of_a_new_leader() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(), acks=1, now=0.0)
    is_new_epoch = three.at[1].make_follower(registration(2, 1, (2, 3), partition_epoch=1), now=1.0)
    assert is_new_epoch
    assert (three.logs[1].log_end_offset, three.at[1].high_watermark, three.at[1].isr) == (10, 0, ())


def test_a_restarted_broker_begins_with_the_checkpointed_high_watermark_but_never_above_its_log() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(), acks=1, now=0.0)
    three.replicate(1, 2, 3)
    three.logs[2].high_watermark_checkpoint = 10
    assert three.start(2).high_watermark == 10
    three.logs[2].lose_unflushed(keep_until=0)
    assert three.start(2).high_watermark == 0


def test_a_restarted_broker_has_forgotten_an_epoch_it_led_without_writing() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(), acks=1, now=0.0)
    three.elect(1, leader_epoch=4, isr=(1, 2, 3))
    assert three.logs[1].latest_epoch == 4
    assert three.start(1).log.latest_epoch == 0


def test_a_new_leader_does_not_know_the_latest_offset_before_it_has_committed_its_epochs_start() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(), acks=1, now=0.0)
    three.fetch(2, 1)
    three.fetch(3, 1)
    three.elect(2, leader_epoch=1, isr=(2, 3), told=(2, 3))
    assert three.at[2].fetch_offset_for_timestamp(-1) == (Error.OFFSET_NOT_AVAILABLE, -1, -1)
    assert three.at[2].fetch_offset_for_timestamp(-2) == (Error.NONE, 0, 0)
    three.fetch(3, 2)
    assert three.at[2].fetch_offset_for_timestamp(-1) == (Error.NONE, 10, 1)
    assert three.at[2].fetch_offset_for_timestamp(0.0) == (Error.NONE, 0, 0)
    assert three.at[2].fetch_offset_for_timestamp(99.0) == (Error.NONE, -1, -1)
    assert three.at[3].fetch_offset_for_timestamp(-1)[0] is Error.NOT_LEADER_OR_FOLLOWER


def test_the_end_of_an_epoch_is_told_by_the_leader_alone() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(), acks=1, now=0.0)
    assert three.at[1].last_offset_for_leader_epoch(current_leader_epoch=0, leader_epoch=0) == (Error.NONE, 0, 10)
    assert three.at[1].last_offset_for_leader_epoch(current_leader_epoch=1, leader_epoch=0)[0] is Error.UNKNOWN_LEADER_EPOCH
    assert three.at[2].last_offset_for_leader_epoch(current_leader_epoch=-1, leader_epoch=0)[0] is Error.NOT_LEADER_OR_FOLLOWER


# ---------------------------------------------------------------------------------------------------- idempotence


def test_duplicates_of_the_last_five_batches_are_answered_with_the_first_offsets_and_not_appended() -> None:
    three = Three()
    leader = three.at[1]
    for first in range(0, 60, 10):
        leader.append_records_to_leader(batch_of(first, producer_id=7), acks=-1, now=0.0)
    answers = [leader.append_records_to_leader(batch_of(first, producer_id=7), acks=-1, now=1.0) for first in range(10, 60, 10)]
    assert [(a.error, a.base_offset, a.next_offset) for a in answers] == [(Error.NONE, n, n + 10) for n in range(10, 60, 10)]
    assert leader.log.log_end_offset == 60
    assert [event.base_offset for event in three.told(DuplicateDropped)] == [10, 20, 30, 40, 50]


def test_an_older_retry_is_out_of_order_and_the_trace_tells() -> None:
    three = Three()
    for first in range(0, 60, 10):
        three.at[1].append_records_to_leader(batch_of(first, producer_id=7), acks=-1, now=0.0)
    retry = batch_of(0, producer_id=7)
    assert three.at[1].append_records_to_leader(retry, acks=-1, now=1.0) == (Error.OUT_OF_ORDER_SEQUENCE_NUMBER, -1, -1, False)
    assert three.told(SequenceRefused) == [SequenceRefused(ORDERS, 1, retry, Error.OUT_OF_ORDER_SEQUENCE_NUMBER)]


def test_without_a_producer_id_a_retry_is_appended_again() -> None:
    leader = Three().at[1]
    leader.append_records_to_leader(batch_of(), acks=-1, now=0.0)
    assert leader.append_records_to_leader(batch_of(), acks=-1, now=1.0).base_offset == 10


def test_a_new_leader_recognises_the_retry_of_a_batch_that_the_old_leader_appended() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(0, producer_id=7), acks=-1, now=0.0)
    three.replicate(1, 2, 3)
    three.elect(2, leader_epoch=1, isr=(2, 3), told=(2, 3))
    result = three.at[2].append_records_to_leader(batch_of(0, producer_id=7), acks=-1, now=1.0)
    assert (result.error, result.base_offset, three.logs[2].log_end_offset) == (Error.NONE, 0, 10)


def test_after_truncation_the_retry_of_a_removed_batch_is_new() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(0, producer_id=7), acks=1, now=0.0)  # only on 1
    three.elect(2, leader_epoch=1, isr=(2, 3))
    three.fetch(1, 2)
    three.elect(1, leader_epoch=2, isr=(1, 2, 3))
    result = three.at[1].append_records_to_leader(batch_of(0, producer_id=7), acks=1, now=1.0)
    assert (result.error, result.base_offset, three.logs[1].log_end_offset) == (Error.NONE, 0, 10)
    assert three.told(DuplicateDropped) == []


def test_a_batch_above_max_message_bytes_is_refused() -> None:
    three = Three()
    large = RecordBatch("shop", range(1), three.config.max_message_bytes + 1, 0.0)
    assert three.at[1].append_records_to_leader(large, acks=1, now=0.0).error is Error.RECORD_TOO_LARGE
    assert three.logs[1].log_end_offset == 0
