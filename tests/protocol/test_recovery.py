"""What a machine finds on its disk after the power failed, and what a broker makes of it: log recovery and the checkpoint files.

In Kafka: LogLoader.recoverLog, LogManager's recovery-point-offset-checkpoint, ReplicaManager's replication-offset-checkpoint,
LeaderEpochCheckpointFile. All these files are synced when they are written (CheckpointFile), and so survive; but they may know of more than
the log still has.
"""

import pytest
from pump import ORDERS, Cluster, produce
from three_brokers import Three, batch_of

from kafkasim.protocol.config import BrokerConfig, TopicConfig
from kafkasim.protocol.log import Log
from kafkasim.protocol.profiles import KAFKA_3_6, KAFKA_4_1, Profile


def written(flush_messages: int = 2**63 - 1) -> Log:
    log = Log(ORDERS, TopicConfig(flush_messages=flush_messages))
    for place in range(4):
        log.append_as_leader(batch_of(10 * place), leader_epoch=place // 2, now=1_000.0 * place)
    return log


def numbers(cluster: Cluster, broker: int) -> list[int]:
    return [number for log_batch in cluster.disks[broker].logs[ORDERS].batches for number in log_batch.batch.numbers]


def fail_power(cluster: Cluster, *brokers: int, keep_until: int = 0) -> None:
    for broker in brokers:
        cluster.crash(f"broker-{broker}")
        for log in cluster.disks[broker].logs.values():
            log.lose_unflushed(keep_until)


def three_records(profile: Profile = KAFKA_4_1, elr: bool = True, **topic: int) -> Cluster:
    """Three replicas that have m1, m2, m3, all committed; nobody flushed unless `topic` says so."""
    cluster = Cluster(config=BrokerConfig(replica_lag_time_max_ms=2_000), profile=profile, eligible_leader_replicas=elr)
    cluster.create_topic("orders", min_insync_replicas=2, **topic)
    for number in (1, 2, 3):
        cluster.request("shop", "broker-1", produce(number, acks=-1, first=number))
    cluster.advance(6_000)
    assert cluster.partition(1).high_watermark == 3
    return cluster


# ---------------------------------------------------------------------------------------------------- one disk


def test_what_was_flushed_survives_whatever_the_checkpoint_file_said_for_recovery_reads_on_from_there() -> None:
    log = written(flush_messages=30)  # flushed at 30; the file recovery-point-offset-checkpoint, a minute old, would still say 0
    assert [lost.base_offset for lost in log.lose_unflushed(keep_until=0)] == [30]
    assert (log.recovery_point, log.log_end_offset) == (30, 30)


def test_what_the_kernel_wrote_back_survives_without_any_flush_but_is_not_above_the_recovery_point() -> None:
    log = written()
    assert [lost.base_offset for lost in log.lose_unflushed(keep_until=20)] == [20, 30]
    assert (log.recovery_point, log.log_end_offset) == (0, 20)


def test_leader_epochs_that_began_in_what_was_lost_are_forgotten_when_the_log_is_read_again() -> None:
    log = written()
    assert log.latest_epoch == 1
    log.lose_unflushed(keep_until=20)
    log.load()
    assert log.latest_epoch == 0
    assert log.end_offset_for_epoch(0) == (0, 20)


def test_a_high_watermark_checkpoint_above_the_end_of_what_is_left_counts_as_the_end() -> None:
    three = Three()
    three.at[1].append_records_to_leader(batch_of(), -1, 0.0)
    three.replicate(1, 2, 3)
    three.logs[1].high_watermark_checkpoint = three.at[1].high_watermark
    three.logs[1].lose_unflushed(keep_until=0)
    assert three.logs[1].high_watermark_checkpoint == 10  # the file survived, and knows better than the log
    assert three.start(1).high_watermark == 0


def test_a_follower_that_catches_up_late_has_written_late_whatever_the_age_of_the_records() -> None:
    leader, follower = written(), Log(ORDERS, TopicConfig())
    for log_batch in leader.batches:
        follower.append_as_follower(log_batch, now=40_000.0)
    assert leader.written_back(before=11_000.0) == 40
    assert follower.written_back(before=11_000.0) == 0
    assert follower.written_back(before=40_000.0) == 40
    follower.truncate_to(20)
    follower.append_as_follower(leader.batches[2], now=50_000.0)
    assert follower.written_back(before=45_000.0) == 20


def test_a_follower_that_keeps_up_has_written_when_its_leader_had() -> None:
    leader, follower = written(), Log(ORDERS, TopicConfig())
    for log_batch in leader.batches:
        follower.append_as_follower(log_batch, now=log_batch.appended + 1.0)
    assert follower.late_writes == {}
    assert follower.written_back(before=2_000.0) == leader.written_back(before=2_000.0) == 30


# ---------------------------------------------------------------------------------------------------- one, two, all of three


@pytest.mark.parametrize(("profile", "elr"), [(KAFKA_4_1, True), (KAFKA_4_1, False), (KAFKA_3_6, False)])
@pytest.mark.parametrize("lost", [(1,), (2,), (1, 2), (2, 3)])
def test_a_power_loss_that_leaves_one_member_of_the_isr_takes_nothing_that_was_committed(
    profile: Profile, elr: bool, lost: tuple[int, ...]
) -> None:
    cluster = three_records(profile, elr)
    fail_power(cluster, *lost)
    assert all(numbers(cluster, broker) == [] for broker in lost)
    cluster.advance(25_000)
    for broker in lost:
        cluster.start_broker(broker)
    cluster.advance(25_000)
    assert [numbers(cluster, broker) for broker in (1, 2, 3)] == [[1, 2, 3]] * 3


@pytest.mark.parametrize(("profile", "elr"), [(KAFKA_4_1, True), (KAFKA_4_1, False), (KAFKA_3_6, False)])
def test_a_power_loss_of_all_replicas_takes_what_none_had_flushed(profile: Profile, elr: bool) -> None:
    cluster = three_records(profile, elr)
    fail_power(cluster, 1, 2, 3)
    cluster.advance(25_000)
    for broker in (1, 2, 3):
        cluster.start_broker(broker)
    cluster.advance(25_000)
    assert cluster.state.image.partitions[ORDERS].leader > 0
    assert [numbers(cluster, broker) for broker in (1, 2, 3)] == [[]] * 3


@pytest.mark.parametrize(("profile", "elr"), [(KAFKA_4_1, True), (KAFKA_4_1, False), (KAFKA_3_6, False)])
def test_a_power_loss_of_all_replicas_takes_nothing_when_each_record_was_flushed(profile: Profile, elr: bool) -> None:
    cluster = three_records(profile, elr, flush_messages=1)
    fail_power(cluster, 1, 2, 3)
    cluster.advance(25_000)
    for broker in (1, 2, 3):
        cluster.start_broker(broker)
    cluster.advance(25_000)
    assert [numbers(cluster, broker) for broker in (1, 2, 3)] == [[1, 2, 3]] * 3


def test_of_two_eligible_replicas_that_lost_their_power_none_is_eligible_and_the_last_known_leader_leads_with_what_it_has() -> None:
    cluster = three_records()
    cluster.crash("broker-3")
    cluster.advance(12_000)
    fail_power(cluster, 2)
    cluster.advance(12_000)
    assert (cluster.state.image.partitions[ORDERS].isr, cluster.state.image.partitions[ORDERS].elr) == ((1,), (2,))
    fail_power(cluster, 1, keep_until=2)
    cluster.advance(12_000)
    assert (cluster.state.image.partitions[ORDERS].isr, cluster.state.image.partitions[ORDERS].elr) == ((), (1, 2))
    cluster.start_broker(2)
    cluster.advance(5_000)
    assert (cluster.state.image.partitions[ORDERS].leader, cluster.state.image.partitions[ORDERS].elr) == (-1, (1,))
    cluster.start_broker(1)
    cluster.advance(5_000)
    assert cluster.state.image.partitions[ORDERS].leader == 1
    cluster.start_broker(3)  # it had everything; but it had left the ISR while that was large enough
    cluster.advance(25_000)
    assert [numbers(cluster, broker) for broker in (1, 2, 3)] == [[1, 2]] * 3
