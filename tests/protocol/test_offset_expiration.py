"""A group's offsets are forgotten offsets.retention.minutes after it lost its last member; what comes back then knows nothing."""

from pump import Cluster
from test_group_coordinator import ORDERS, commit, committed_offset, get_id, heartbeat, join

from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.group_coordinator import GroupCoordinator
from kafkasim.protocol.messages import LeaveGroupRequest, OffsetCommitRequest, SyncGroupRequest
from kafkasim.protocol.records import (
    GroupMetadataTombstone,
    GroupMetadataValue,
    OffsetAndEpoch,
    OffsetCommitTombstone,
    OffsetCommitValue,
    TopicPartition,
)

MINUTE = 60_000.0
CONFIG = BrokerConfig(offsets_retention_minutes=1, offsets_retention_check_interval_ms=10_000)
PAYMENTS = TopicPartition("payments", 0)


def coordinator(*log: object) -> GroupCoordinator:
    group = GroupCoordinator(1, 0, CONFIG, lambda topic: ORDERS if topic == "orders" else ())
    group.load(log, 0.0)
    return group


def rounds(group: GroupCoordinator, until: float) -> list[object]:
    """Wake the coordinator whenever it wants to be; what it writes is committed at once."""
    written: list[object] = []
    while (due := group.next_deadline()) is not None and due <= until:
        group.wake(due)
        records = group.take_records()
        group.committed(records)
        written += records
    return written


def reading_group(*partitions: TopicPartition) -> tuple[GroupCoordinator, str]:
    """A group of one member, stable at 3 s, that commits 10 in each of `partitions` at 5 s."""
    group = coordinator()
    member_id = get_id(group, "billing-0", 0)
    group.handle(join("billing-0", member_id), "billing-0", 0)
    group.wake(3_000)
    group.handle(SyncGroupRequest(8, "billing", 1, member_id), "billing-0", 3_000)
    group.take_records()
    offsets = tuple(OffsetAndEpoch(partition, 10, 7) for partition in partitions)
    values = group.commit(OffsetCommitRequest(3, "billing", 1, member_id, offsets), 5_000)
    assert isinstance(values, tuple)
    group.committed(values)
    return group, member_id


def leave(group: GroupCoordinator, member_id: str, now: float) -> None:
    [(_, response)] = group.handle(LeaveGroupRequest(9, "billing", member_id), "billing-0", now)
    assert response.error is Error.NONE
    [metadata] = group.take_records()
    assert isinstance(metadata, GroupMetadataValue)
    assert not metadata.members


def test_offsets_of_an_empty_group_expire_a_retention_after_it_became_empty_and_the_group_with_them() -> None:
    group = coordinator(
        OffsetCommitValue("billing", ORDERS[0], 10, 7, 5_000.0),
        OffsetCommitValue("billing", ORDERS[1], 10, 7, 5_000.0),
        GroupMetadataValue("billing", 3, "", (), 25_000.0),
    )
    assert rounds(group, until=84_999.0) == []
    assert committed_offset(group) == 10
    assert rounds(group, until=90_000.0) == [
        OffsetCommitTombstone("billing", ORDERS[0]),
        OffsetCommitTombstone("billing", ORDERS[1]),
        GroupMetadataTombstone("billing"),
    ]
    assert committed_offset(group) == -1


def test_a_group_is_empty_from_the_moment_at_which_its_last_member_leaves() -> None:
    group, member_id = reading_group(ORDERS[0])
    leave(group, member_id, 6_000)
    assert rounds(group, until=6_000 + MINUTE - 1) == []
    assert rounds(group, until=6_000 + MINUTE + 10_000)[0] == OffsetCommitTombstone("billing", ORDERS[0])


def test_a_stable_group_keeps_the_offsets_of_its_topics_however_old_and_loses_those_of_others() -> None:
    group, member_id = reading_group(ORDERS[0], PAYMENTS)
    for now in range(10_000, 200_000, 10_000):
        assert heartbeat(group, 1, member_id, now) is Error.NONE
        if now == 60_000:
            assert rounds(group, until=now) == []
    assert rounds(group, until=200_000) == [OffsetCommitTombstone("billing", PAYMENTS)]
    assert committed_offset(group) == 10


def test_offsets_committed_without_a_group_expire_a_retention_after_the_last_commit() -> None:
    group = coordinator()
    values = group.commit(commit(-1, ""), 30_000)
    assert isinstance(values, tuple)
    group.committed(values)
    assert rounds(group, until=89_999.0) == []
    assert committed_offset(group) == 10
    assert OffsetCommitTombstone("billing", ORDERS[0]) in rounds(group, until=100_000.0)


def test_what_expired_is_not_there_for_the_next_coordinator_either() -> None:
    log = (
        OffsetCommitValue("billing", ORDERS[0], 10, 7, 5_000.0),
        GroupMetadataValue("billing", 3, "", (), 25_000.0),
        OffsetCommitTombstone("billing", ORDERS[0]),
        GroupMetadataTombstone("billing"),
    )
    group = coordinator(*log)
    assert committed_offset(group) == -1
    assert rounds(group, until=300_000.0) == []


def test_tombstones_that_never_commit_leave_the_offsets_and_come_again_at_the_next_round() -> None:
    group = coordinator(OffsetCommitValue("billing", ORDERS[0], 10, 7, 0.0), GroupMetadataValue("billing", 3, "", (), 0.0))
    group.wake(60_000.0)
    assert len(group.take_records()) == 2
    assert committed_offset(group) == 10
    group.wake(70_000.0)
    assert len(group.take_records()) == 2


def test_by_default_a_coordinator_looks_when_the_first_offset_can_have_expired_and_not_before() -> None:
    group = GroupCoordinator(1, 0, BrokerConfig(), lambda _topic: ORDERS)
    group.load((), 1_000.0)
    assert group.next_deadline() == 1_000.0 + 7 * 24 * 60 * MINUTE


def test_the_broker_writes_the_tombstones_into_the_log_of_consumer_offsets() -> None:
    pump = Cluster(config=CONFIG)
    pump.create_topic("__consumer_offsets", partitions=50, replication_factor=3)
    source, name = "billing-0", TopicPartition("__consumer_offsets", 9)
    leader = next(b for b in (1, 2, 3) if pump.partition(b, name.topic, name.partition).is_leader)
    pump.request(source, f"broker-{leader}", commit(-1, ""))
    pump.advance(80_000)
    for broker_id in (1, 2, 3):
        records = [record for batch in pump.disks[broker_id].logs[name].batches for record in batch.batch.payload]
        assert [type(record) for record in records] == [OffsetCommitValue, OffsetCommitTombstone, GroupMetadataTombstone]
