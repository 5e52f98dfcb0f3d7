import pytest
from pump import Cluster

from kafkasim.protocol.config import BrokerConfig, TopicConfig
from kafkasim.protocol.controller import CreateTopic
from kafkasim.protocol.errors import Error
from kafkasim.protocol.group_coordinator import offsets_partition_of
from kafkasim.protocol.messages import (
    FindCoordinatorRequest,
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
    SyncGroupRequest,
)
from kafkasim.protocol.node import Disconnected
from kafkasim.protocol.records import OffsetAndEpoch, TopicPartition

ORDERS = TopicPartition("orders", 0)
OFFSETS = "__consumer_offsets"


@pytest.fixture
def pump() -> Cluster:
    """The one partition of `__consumer_offsets` is led by broker 1."""
    pump = Cluster(config=BrokerConfig(offsets_topic_num_partitions=1, group_initial_rebalance_delay_ms=0))
    pump.create_topic("orders", partitions=2)
    pump.create_topic(OFFSETS)
    pump.advance(500)  # fetches that were on their way did not name the new partition yet
    return pump


def commit(offset: int, correlation_id: int = 1) -> OffsetCommitRequest:
    return OffsetCommitRequest(correlation_id, "billing", -1, "", (OffsetAndEpoch(ORDERS, offset),))


def committed_offset(pump: Cluster, peer: str) -> int:
    pump.request("asker", peer, OffsetFetchRequest(1, "billing", (ORDERS,)))
    [response] = pump.replies("asker")
    assert response.error is Error.NONE
    return int(response.offsets[0][1])


def join(pump: Cluster, member: str) -> str:
    peer = "broker-1#coordinator"
    pump.request(member, peer, JoinGroupRequest(1, "billing", "", member, 45_000, 300_000, ("orders",)))
    [response] = pump.replies(member)
    assert response.error is Error.MEMBER_ID_REQUIRED
    pump.request(member, peer, JoinGroupRequest(2, "billing", response.member_id, member, 45_000, 300_000, ("orders",)))
    return str(response.member_id)


def test_the_coordinator_is_the_leader_of_the_groups_partition() -> None:
    pump = Cluster()
    partition = offsets_partition_of("billing", 50)
    pump.request("billing-0", "broker-2", FindCoordinatorRequest(1, "billing"))
    assert pump.replies("billing-0")[0].error is Error.COORDINATOR_NOT_AVAILABLE
    pump.call("controller-100", CreateTopic(OFFSETS, (partition,), 3, TopicConfig()))
    leader = pump.state.image.partitions[TopicPartition(OFFSETS, partition)].leader
    pump.request("billing-0", "broker-2", FindCoordinatorRequest(2, "billing"))
    [response] = pump.replies("billing-0")
    assert (response.error, response.coordinator) == (Error.NONE, leader)


def test_a_commit_is_answered_and_visible_only_when_the_high_watermark_has_passed_it(pump: Cluster) -> None:
    pump.cut("broker-1", "broker-2")
    pump.request("billing-0", "broker-1#coordinator", commit(17))
    assert pump.replies("billing-0") == []
    assert pump.partition(1, OFFSETS).log.log_end_offset == 1
    assert committed_offset(pump, "broker-1#coordinator") == -1
    pump.heal()
    assert pump.replies("billing-0")[0].error is Error.NONE
    assert committed_offset(pump, "broker-1#coordinator") == 17


def test_a_commit_that_the_replicas_do_not_get_in_time_fails_and_may_count_later_all_the_same(pump: Cluster) -> None:
    pump.cut("broker-1", "broker-2")
    pump.request("billing-0", "broker-1#coordinator", commit(17))
    pump.advance(5_000)  # offsets.commit.timeout.ms
    assert pump.replies("billing-0")[0].error is Error.COORDINATOR_NOT_AVAILABLE
    pump.heal()
    assert committed_offset(pump, "broker-1#coordinator") == 17


def test_another_broker_refuses_group_requests(pump: Cluster) -> None:
    pump.request("billing-0", "broker-2", commit(1), HeartbeatRequest(2, "billing", 1, "x"), OffsetFetchRequest(3, "billing", ()))
    assert [response.error for response in pump.replies("billing-0")] == [Error.NOT_COORDINATOR] * 3


def test_a_new_leader_of_the_offsets_partition_has_loaded_the_commits(pump: Cluster) -> None:
    pump.request("billing-0", "broker-1#coordinator", commit(17), commit(23))
    pump.crash("broker-1")
    pump.advance(12_000)
    assert committed_offset(pump, "broker-2#coordinator") == 23


def test_a_coordinator_that_loses_its_partition_tells_those_who_wait(pump: Cluster) -> None:
    member = join(pump, "billing-0")
    pump.advance(0)
    pump.replies("billing-0")
    pump.request("billing-0", "broker-1#coordinator", SyncGroupRequest(3, "billing", 1, member))
    pump.replies("billing-0")
    join(pump, "billing-1")  # and now waits for the first to rejoin
    pump.cut("broker-1", "broker-2", "broker-3", "controller-100")
    pump.advance(15_000)
    assert pump.replies("billing-1") == []
    pump.heal()
    assert pump.replies("billing-1")[0].error is Error.NOT_COORDINATOR


def test_two_members_get_a_partition_each_through_join_and_sync(pump: Cluster) -> None:
    members = {name: join(pump, name) for name in ("billing-0", "billing-1")}
    pump.advance(0)
    assert {pump.replies(name)[-1].generation for name in members} == {1}
    for name in reversed(members):
        pump.request(name, "broker-1#coordinator", SyncGroupRequest(5, "billing", 1, members[name]))
    assignments = sorted(pump.replies(name)[-1].assignment for name in members)
    assert assignments == [(ORDERS,), (TopicPartition("orders", 1),)]


def test_the_answer_to_a_join_of_a_closed_connection_does_not_reach_the_members_next_one(pump: Cluster) -> None:
    first = join(pump, "billing-0")
    pump.advance(0)
    pump.replies("billing-0")
    pump.request("billing-0", "broker-1#coordinator", SyncGroupRequest(3, "billing", 1, first))
    join(pump, "billing-1")
    pump.disconnect("billing-1", "broker-1#coordinator")
    assert [type(reply) for reply in pump.replies("billing-1")] == [Disconnected]
    pump.request("billing-1", "broker-1#coordinator", HeartbeatRequest(77, "billing", 1, "nobody"))
    pump.request("billing-0", "broker-1#coordinator", LeaveGroupRequest(78, "billing", first))
    pump.advance(1_000)
    assert [reply.correlation_id for reply in pump.replies("billing-1")] == [77]
