"""Shrinking and expanding the ISR, and what the high watermark waits for meanwhile (kafka.cluster.Partition, KIP-497)."""

from __future__ import annotations

from three_brokers import LAG, ORDERS, Three, batch_of, registration

from kafkasim.protocol.errors import Error
from kafkasim.protocol.isr import IsrExpandProposed, IsrShrinkProposed
from kafkasim.protocol.messages import BrokerRegistration


def test_a_follower_that_has_not_caught_up_for_replica_lag_time_max_ms_is_to_go() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(), acks=1, now=0.0)
    three.replicate(1, 2, now=10.0)
    three.at[1].maybe_shrink_isr(now=LAG)
    assert three.at[1].take_alter_partition() is None
    three.at[1].maybe_shrink_isr(now=LAG + 1)
    assert three.at[1].take_alter_partition() == (0, 0, (1, 2))
    assert three.told(IsrShrinkProposed) == [IsrShrinkProposed(ORDERS, 1, (3,), (1, 2))]


def test_the_high_watermark_moves_when_the_laggard_is_out_and_not_before() -> None:
    three = Three()
    leader = three.at[1]
    leader.append_records_to_leader(batch_of(), acks=1, now=0.0)
    three.replicate(1, 2, now=LAG)
    leader.maybe_shrink_isr(now=LAG + 1)
    leader.take_alter_partition()
    assert (leader.isr, leader.maximal_isr, leader.high_watermark) == ((1, 2, 3), (1, 2, 3), 0)
    assert leader.alter_partition_answered(Error.NONE, 1, 0, (1, 2), 1, now=LAG + 2)
    assert (leader.isr, leader.partition_epoch, leader.high_watermark) == ((1, 2), 1, 10)


def test_a_zombie_keeps_its_maximal_isr_so_acks_all_waits_and_is_not_refused() -> None:
    three = Three(min_isr=2)
    zombie = three.at[1]
    three.elect(2, leader_epoch=1, isr=(2, 3), told=(2, 3))
    assert zombie.append_records_to_leader(batch_of(), acks=-1, now=1.0).error is Error.NONE
    zombie.maybe_shrink_isr(now=LAG + 1)
    assert zombie.take_alter_partition() == (0, 0, (1,))  # sent, never answered

    result = zombie.append_records_to_leader(batch_of(10), acks=-1, now=2 * LAG)
    assert (result.error, zombie.isr, zombie.maximal_isr) == (Error.NONE, (1, 2, 3), (1, 2, 3))
    assert zombie.high_watermark == 0
    assert zombie.check_enough_replicas_reach_offset(result.next_offset) == (False, Error.NONE)
    zombie.maybe_shrink_isr(now=10 * LAG)
    assert zombie.take_alter_partition() is None


def test_a_follower_that_reached_the_high_watermark_is_to_join_and_is_waited_for_from_then_on() -> None:
    three = Three(isr=(1, 2))
    leader = three.at[1]
    leader.append_records_to_leader(batch_of(), acks=1, now=0.0)
    three.replicate(1, 2)
    assert leader.high_watermark == 10
    three.fetch(3, 1)
    assert leader.take_alter_partition() is None  # it stood at 0
    three.fetch(3, 1)
    assert leader.take_alter_partition() == (0, 0, (1, 2, 3))
    assert three.told(IsrExpandProposed) == [IsrExpandProposed(ORDERS, 1, 3, (1, 2, 3))]
    assert (leader.isr, leader.maximal_isr) == ((1, 2), (1, 2, 3))

    leader.append_records_to_leader(batch_of(10), acks=1, now=0.0)
    three.replicate(1, 2)
    assert leader.high_watermark == 10  # 3 may be in the ISR by now, and does not have it
    three.replicate(1, 3)
    assert leader.high_watermark == 20


def test_a_fenced_follower_is_neither_taken_in_nor_waited_for() -> None:
    three = Three(isr=(1, 2))
    three.brokers[3] = BrokerRegistration(3, 103, 1, True, False)
    three.at[1].append_records_to_leader(batch_of(), acks=1, now=0.0)
    three.replicate(1, 2, 3)
    assert three.at[1].take_alter_partition() is None
    three.at[1].append_records_to_leader(batch_of(10), acks=1, now=0.0)
    three.replicate(1, 2)
    assert three.at[1].high_watermark == 20


def test_the_high_watermark_waits_for_a_caught_up_follower_that_is_about_to_join() -> None:
    """Else it would run away from a follower that keeps up with the end but never meets the high watermark."""
    three = Three(isr=(1, 2))
    leader = three.at[1]
    three.replicate(1, 2, 3)  # 3 is at the end, its expansion pending
    assert leader.take_alter_partition() is not None
    leader.alter_partition_answered(Error.INELIGIBLE_REPLICA, -1, -1, (), -1, now=0.0)
    assert leader.maximal_isr == (1, 2)
    leader.append_records_to_leader(batch_of(), acks=1, now=1.0)
    three.fetch(2, 1, now=2.0)
    three.fetch(2, 1, now=2.0)
    assert leader.high_watermark == 0
    three.brokers[3] = BrokerRegistration(3, 103, 1, True, False)
    leader.append_records_to_leader(batch_of(10), acks=1, now=3.0)
    assert leader.high_watermark == 10


def test_a_new_leader_takes_nobody_in_who_has_not_reached_the_start_of_its_epoch() -> None:
    three = Three(isr=(1, 2))
    three.at[1].append_records_to_leader(batch_of(), acks=1, now=0.0)
    three.fetch(2, 1)  # 2 has the batch, and does not know that it will be committed
    three.elect(2, leader_epoch=1, isr=(2,), told=(2, 3))
    assert three.at[2].leader_epoch_start_offset == 10
    three.fetch(3, 2)
    assert three.at[2].take_alter_partition() is None
    three.fetch(3, 2)
    assert three.at[2].take_alter_partition() == (1, 1, (2, 3))


def test_an_answer_of_another_leader_epoch_or_an_older_partition_epoch_is_ignored() -> None:
    three = Three()
    leader = three.at[1]
    leader.append_records_to_leader(batch_of(), acks=1, now=0.0)
    leader.make_leader(registration(1, 0, (1, 2, 3), partition_epoch=7), now=0.0)
    leader.maybe_shrink_isr(now=LAG + 1)
    leader.take_alter_partition()
    assert not leader.alter_partition_answered(Error.NONE, 1, 0, (1,), 6, now=LAG + 2)
    assert (leader.isr, leader.partition_epoch) == ((1, 2, 3), 7)

    leader.make_leader(registration(1, 0, (1, 2, 3), partition_epoch=8), now=0.0)
    leader.maybe_shrink_isr(now=LAG + 1)
    leader.take_alter_partition()
    assert not leader.alter_partition_answered(Error.NONE, 2, 1, (1,), 9, now=LAG + 2)
    assert (leader.isr, leader.partition_epoch) == ((1, 2, 3), 8)


def test_alter_partition_states_the_broker_epoch_of_a_followers_fetches_and_minus_one_before_the_first() -> None:
    three = Three()
    three.ask(2, 1)
    assert [three.at[1].broker_epoch_of(broker) for broker in (1, 2, 3)] == [-1, 102, -1]


# ---------------------------------------------------------------------------------------------------- two gaps in Kafka's own rules


def test_as_in_kafka_a_leader_that_skipped_another_leaders_epoch_trusts_what_its_followers_had_fetched_before() -> None:
    """Leader 1 hears of epoch 2 (itself) without having heard of epoch 1 (broker 2), under which broker 3 was truncated."""
    three = Three()
    leader = three.at[1]
    leader.append_records_to_leader(batch_of(0), acks=1, now=0.0)
    three.fetch(3, 1)
    three.fetch(3, 1)  # 3 has the batch; 2 has not, so it is not committed
    three.elect(2, leader_epoch=1, isr=(1, 2, 3), told=(2, 3))
    three.fetch(3, 2)
    assert three.logs[3].log_end_offset == 0
    three.elect(1, leader_epoch=2, isr=(1, 2, 3), told=(1, 2))
    three.replicate(1, 2)
    assert leader.high_watermark == 10  # though broker 3, of the ISR, does not have it


def test_as_in_kafka_late_news_of_the_known_partition_epoch_takes_back_a_pending_expansion() -> None:
    """And an answer that then says the expansion was committed is ignored, until the metadata log says it too."""
    three = Three(isr=(1, 2))
    leader = three.at[1]
    three.replicate(1, 3)
    assert leader.take_alter_partition() == (0, 0, (1, 2, 3))
    leader.make_leader(registration(1, 0, (1, 2), partition_epoch=0), now=0.0)
    assert leader.maximal_isr == (1, 2)
    assert not leader.alter_partition_answered(Error.NONE, 1, 0, (1, 2, 3), 1, now=0.0)
    assert (leader.isr, leader.partition_epoch) == ((1, 2), 0)
