"""What is cut when leaders change, and what a power loss takes (KIP-101, KIP-279, KIP-595)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from three_brokers import ORDERS, Three, batch_of

from kafkasim.protocol.config import TopicConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.local_replica import Truncated
from kafkasim.protocol.log import Log

# ---------------------------------------------------------------------------------------------------- truncation


def test_kip_101_a_follower_with_a_lagging_high_watermark_restarts_and_keeps_the_committed_batch() -> None:
    """Scenario 1 of the KIP: by its high watermark it would have thrown the second batch away, and then become leader."""
    two = Three(isr=(1, 2), replicas=(1, 2))
    two.at[1].append_records_to_leader(batch_of(0), acks=-1, now=0.0)
    two.replicate(1, 2)
    two.at[1].append_records_to_leader(batch_of(10), acks=-1, now=0.0)
    two.fetch(2, 1)
    two.ask(2, 1)  # now it is committed; the answer with the new high watermark is lost
    assert (two.at[1].high_watermark, two.at[2].high_watermark) == (20, 10)

    two.logs[2].high_watermark_checkpoint = two.at[2].high_watermark
    two.at[2] = two.start(2)  # crash and restart
    two.elect(1, leader_epoch=0, isr=(1, 2), told=(2,))
    two.elect(2, leader_epoch=1, isr=(2,), told=(2,))  # and the leader dies
    assert two.numbers(2) == list(range(20))
    assert two.at[2].high_watermark == 20


def test_kip_101_logs_that_diverged_at_one_offset_are_reconciled() -> None:
    """Scenario 2: both lose power, the one with less comes back first, leads, and appends at an offset the other has already."""
    two = Three(isr=(1, 2), replicas=(1, 2))
    two.at[1].append_records_to_leader(batch_of(0), acks=-1, now=0.0)
    two.replicate(1, 2)
    two.at[1].append_records_to_leader(batch_of(10), acks=-1, now=0.0)
    two.fetch(2, 1)
    two.logs[2].lose_unflushed(keep_until=10)
    two.at = {broker: two.start(broker) for broker in (1, 2)}
    two.elect(2, leader_epoch=1, isr=(2,))
    two.at[2].append_records_to_leader(batch_of(100), acks=-1, now=0.0)
    two.fetch(1, 2)
    assert two.told(Truncated)[-1][:4] == (ORDERS, 1, 20, 10)
    two.replicate(2, 1)
    assert two.logs[1].batches == two.logs[2].batches
    assert two.numbers(1) == [*range(10), *range(100, 110)]


def test_a_zombies_unreplicated_tail_is_truncated_when_it_comes_back() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(0), acks=1, now=0.0)
    three.replicate(1, 2, 3)
    three.elect(2, leader_epoch=1, isr=(2, 3), told=(2, 3))
    three.at[1].append_records_to_leader(batch_of(10), acks=1, now=0.0)  # the zombie acks
    three.at[2].append_records_to_leader(batch_of(100), acks=1, now=0.0)
    three.elect(2, leader_epoch=1, isr=(2, 3), told=(1,))
    diverging = three.fetch(1, 2)
    assert (diverging.diverging_epoch, diverging.diverging_end_offset, diverging.batches) == (0, 10, ())
    (truncated,) = three.told(Truncated)
    assert isinstance(truncated, Truncated)
    assert list(truncated.removed[0].batch.numbers) == list(range(10, 20))
    three.replicate(2, 1, 3)
    assert three.logs[1].batches == three.logs[2].batches == three.logs[3].batches


def test_kip_279_after_two_quick_elections_a_follower_steps_back_epoch_by_epoch() -> None:
    """Leader 1 (epoch 0), then 2 (epoch 1), then 3 (epoch 2), each appending what no other gets. No hole and no mix may remain."""
    three = Three()
    three.at[1].append_records_to_leader(batch_of(0), acks=1, now=0.0)
    three.replicate(1, 2, 3)
    three.at[1].append_records_to_leader(batch_of(10), acks=1, now=0.0)
    three.elect(2, leader_epoch=1, isr=(2, 3), told=(2,))
    three.at[2].append_records_to_leader(batch_of(20), acks=1, now=0.0)
    three.at[2].append_records_to_leader(batch_of(30), acks=1, now=0.0)
    three.elect(3, leader_epoch=2, isr=(3,))
    three.at[3].append_records_to_leader(batch_of(40), acks=1, now=0.0)
    three.replicate(3, 1, 2)
    assert three.logs[1].batches == three.logs[2].batches == three.logs[3].batches
    assert three.numbers(1) == [*range(10), *range(40, 50)]


def test_a_follower_without_the_epoch_it_is_told_of_cuts_to_its_next_older_one_and_asks_again() -> None:
    """The follower knows epochs 0 and 3, the leader 0, 1, 2 and 4: told of epoch 2, it can only agree on what it has of epoch 0."""
    three = Three()
    shared = batch_of(0)
    for log, epochs in ((three.logs[1], (0, 3, 3)), (three.logs[2], (0, 1, 2, 4))):
        for index, epoch in enumerate(epochs):
            log.append_as_leader(batch_of(10 * index) if index else shared, epoch, now=0.0)
    three.elect(2, leader_epoch=5, isr=(2,))
    told = three.fetch(1, 2)
    assert (told.diverging_epoch, told.diverging_end_offset) == (2, 30)
    assert three.logs[1].log_end_offset == 10
    three.replicate(2, 1)
    assert three.logs[1].batches == three.logs[2].batches


def test_an_empty_epoch_of_a_former_leader_is_reconciled_without_removing_a_record() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(0), acks=1, now=0.0)
    three.replicate(1, 2, 3)
    three.elect(2, leader_epoch=1, isr=(2, 3), told=(2,))
    three.elect(3, leader_epoch=2, isr=(2, 3))
    assert three.logs[2].latest_epoch == 1
    three.fetch(2, 3)
    assert (three.logs[2].log_end_offset, three.logs[2].latest_epoch) == (10, 0)
    assert three.told(Truncated) == []
    assert three.fetch(2, 3).diverging_end_offset == -1


def test_truncation_below_the_high_watermark_takes_the_high_watermark_along() -> None:
    """After an unclean election committed records go, and the follower must not remember them as committed."""
    three = Three()
    three.at[1].append_records_to_leader(batch_of(0), acks=1, now=0.0)
    three.replicate(1, 2)
    three.elect(3, leader_epoch=1, isr=(3,))
    three.at[2].high_watermark = 10
    three.fetch(2, 3)
    assert (three.logs[2].log_end_offset, three.at[2].high_watermark) == (0, 0)


def test_a_followers_high_watermark_follows_a_new_leaders_even_backwards() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(0), acks=1, now=0.0)
    three.replicate(1, 2, 3)
    three.fetch(3, 1)
    three.at[2].high_watermark = 0  # 2 has not heard of it
    three.elect(2, leader_epoch=1, isr=(2, 3), told=(2, 3))
    three.fetch(3, 2)
    assert three.at[3].high_watermark == 0
    three.fetch(3, 2)
    assert three.at[3].high_watermark == 10


def test_a_follower_below_the_leaders_log_start_begins_anew_there_and_follows_retention() -> None:
    three = Three()
    for first in (0, 10, 20):
        three.at[1].append_records_to_leader(batch_of(first), acks=1, now=0.0)
    three.replicate(1, 2)
    three.logs[1].increment_log_start_offset(20)
    assert three.fetch(3, 1).error is Error.OFFSET_OUT_OF_RANGE
    three.at[3].truncate_fully_and_start_at(20)
    three.replicate(1, 3, 2)
    assert three.numbers(3) == list(range(20, 30))
    three.replicate(1, 2)
    assert (three.at[1].high_watermark, three.logs[2].log_start_offset) == (30, 20)


def test_a_follower_whose_retention_went_beyond_the_end_of_an_unclean_leader_begins_anew_at_that_end() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(0), acks=1, now=0.0)
    three.replicate(1, 2, 3)  # broker 2 hears of no more than this
    three.elect(1, leader_epoch=1, isr=(1, 3))
    for first in (10, 20):
        three.at[1].append_records_to_leader(batch_of(first), acks=1, now=0.0)
    three.replicate(1, 3)
    three.logs[1].increment_log_start_offset(20)
    three.replicate(1, 3)
    three.logs[3].config = replace(three.logs[3].config, segment_bytes=1)  # a segment a batch
    three.at[3].delete_old_segments(0.0)
    assert three.numbers(3) == list(range(20, 30))
    assert three.logs[3].log_start_offset == 20
    three.elect(2, leader_epoch=2, isr=(2,))
    three.at[2].append_records_to_leader(batch_of(30), acks=1, now=0.0)
    three.replicate(2, 3)
    assert (three.logs[3].log_start_offset, three.at[3].high_watermark, three.numbers(3)) == (10, 20, list(range(30, 40)))


# ---------------------------------------------------------------------------------------------------- power loss


@pytest.mark.parametrize(("flush_messages", "kept"), [(1, 10), (2**63 - 1, 0)])
def test_a_power_loss_of_all_replicas_loses_committed_records_unless_they_were_flushed(flush_messages: int, kept: int) -> None:
    three = Three()
    three.config = TopicConfig(flush_messages=flush_messages)
    three.logs = {broker: Log(ORDERS, three.config) for broker in three.replicas}
    three.at = {broker: three.start(broker) for broker in three.replicas}
    three.elect(1, leader_epoch=0, isr=(1, 2, 3))
    three.at[1].append_records_to_leader(batch_of(), acks=-1, now=0.0)
    three.replicate(1, 2, 3)
    assert three.at[1].high_watermark == 10
    for log in three.logs.values():
        log.lose_unflushed(keep_until=0)
    three.at = {broker: three.start(broker) for broker in three.replicas}
    three.elect(1, leader_epoch=1, isr=(1, 2, 3))
    assert len(three.numbers(1)) == kept
