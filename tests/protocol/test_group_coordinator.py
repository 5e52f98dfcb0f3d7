from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.group_coordinator import GroupCoordinator, append_error, offsets_partition_of
from kafkasim.protocol.messages import (
    HeartbeatRequest,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
    SyncGroupRequest,
    SyncGroupResponse,
)
from kafkasim.protocol.records import OffsetAndEpoch, OffsetCommitValue, TopicPartition

ORDERS = tuple(TopicPartition("orders", index) for index in range(4))


def coordinator(broker_id: int = 1) -> GroupCoordinator:
    return GroupCoordinator(broker_id, 0, BrokerConfig(), lambda topic: ORDERS if topic == "orders" else ())


def join(instance: str, member_id: str = "", session: float = 45_000, rebalance: float = 300_000) -> JoinGroupRequest:
    return JoinGroupRequest(7, "billing", member_id, instance, session, rebalance, ("orders",))


def get_id(group: GroupCoordinator, instance: str, now: float) -> str:
    [(_, response)] = group.handle(join(instance), instance, now)
    assert response.error is Error.MEMBER_ID_REQUIRED
    return response.member_id


def heartbeat(group: GroupCoordinator, generation: int, member_id: str, now: float) -> Error:
    [(_, response)] = group.handle(HeartbeatRequest(1, "billing", generation, member_id), "x", now)
    return response.error


def committed_offset(group: GroupCoordinator, now: float = 0) -> int:
    [(_, response)] = group.handle(OffsetFetchRequest(1, "billing", ORDERS[:1]), "x", now)
    return response.offsets[0][1]


def commit(generation: int, member_id: str, offset: int = 10) -> OffsetCommitRequest:
    return OffsetCommitRequest(3, "billing", generation, member_id, (OffsetAndEpoch(ORDERS[0], offset, 7),))


def stable_group(*instances: str, session: float = 45_000) -> tuple[GroupCoordinator, list[str]]:
    """A group in generation 1, stable at 3 s; the session of each member ends at 3 s + `session`."""
    group = coordinator()
    ids = [get_id(group, instance, 0) for instance in instances]
    for instance, member_id in zip(instances, ids, strict=True):
        assert group.handle(join(instance, member_id, session), instance, 0) == []
    answers = group.wake(3_000)
    if len(instances) > 1:
        assert answers == []
        answers = group.wake(6_000)  # the second member prolonged the initial delay
    assert [source for source, _ in answers] == list(instances)
    for instance, member_id in reversed(list(zip(instances, ids, strict=True))):
        answers = group.handle(SyncGroupRequest(8, "billing", 1, member_id), instance, 3_000)
    assert len(answers) == len(instances)
    return group, ids


def test_the_first_join_gets_an_id_and_the_second_waits_for_the_initial_rebalance_delay() -> None:
    group = coordinator()
    member_id = get_id(group, "billing-0", 0)
    assert group.handle(join("billing-0", member_id), "billing-0", 5) == []
    assert group.next_deadline() == 3_005
    assert group.wake(3_004) == []
    assert group.wake(3_005) == [("billing-0", JoinGroupResponse(7, Error.NONE, 1, member_id))]


def test_a_member_that_comes_during_the_initial_delay_prolongs_it_once() -> None:
    group = coordinator()
    first, second = get_id(group, "billing-0", 0), get_id(group, "billing-1", 0)
    group.handle(join("billing-0", first), "billing-0", 0)
    group.handle(join("billing-1", second), "billing-1", 2_000)
    assert group.wake(3_000) == []
    assert group.next_deadline() == 6_000
    assert [response.member_id for _, response in group.wake(6_000)] == [first, second]


def test_the_assignment_comes_when_the_leader_has_synced() -> None:
    group = coordinator()
    first, second = get_id(group, "billing-0", 0), get_id(group, "billing-1", 0)
    group.handle(join("billing-0", first), "billing-0", 0)
    group.handle(join("billing-1", second), "billing-1", 0)
    group.wake(3_000)
    group.wake(6_000)
    assert group.handle(SyncGroupRequest(8, "billing", 1, second), "billing-1", 6_001) == []
    assert group.handle(SyncGroupRequest(9, "billing", 1, first), "billing-0", 6_002) == [
        ("billing-0", SyncGroupResponse(9, Error.NONE, ORDERS[:2])),
        ("billing-1", SyncGroupResponse(8, Error.NONE, ORDERS[2:])),
    ]


def test_heartbeats_keep_a_session_alive_without_moving_the_wake_up() -> None:
    group, [member_id] = stable_group("billing-0")
    for now in range(6_000, 60_000, 3_000):
        assert heartbeat(group, 1, member_id, now) is Error.NONE
    group.wake(48_000)
    assert group.next_deadline() == 57_000 + 45_000
    assert heartbeat(group, 1, member_id, 60_000) is Error.NONE


def test_a_member_without_heartbeats_is_removed_when_its_session_ends() -> None:
    group, [member_id] = stable_group("billing-0")
    group.wake(47_999)
    assert heartbeat(group, 1, member_id, 47_999) is Error.NONE
    group.wake(47_999 + 45_000)
    assert heartbeat(group, 1, member_id, 93_000) is Error.UNKNOWN_MEMBER_ID


def test_a_restarted_consumer_is_a_new_member_and_waits_for_the_session_of_the_old_one() -> None:
    group, [old] = stable_group("billing-0")
    new = get_id(group, "billing-0", 10_000)
    assert new != old
    assert group.handle(join("billing-0", new), "billing-0 again", 10_000) == []
    answers = []
    now = 10_000.0
    while not answers:
        now = group.next_deadline()
        answers = group.wake(now)
    assert now == 3_000 + 45_000
    assert answers == [("billing-0 again", JoinGroupResponse(7, Error.NONE, 2, new))]


def test_a_member_that_joins_makes_the_others_hear_of_a_rebalance_and_come_back() -> None:
    group, [first] = stable_group("billing-0")
    second = get_id(group, "billing-1", 10_000)
    assert group.handle(join("billing-1", second), "billing-1", 10_000) == []
    assert heartbeat(group, 1, first, 11_000) is Error.REBALANCE_IN_PROGRESS
    answers = group.handle(join("billing-0", first), "billing-0", 11_001)
    assert {response.member_id: response.generation for _, response in answers} == {first: 2, second: 2}
    assert heartbeat(group, 1, first, 11_002) is Error.ILLEGAL_GENERATION


def test_who_does_not_rejoin_within_the_rebalance_timeout_is_out_though_its_heart_beats() -> None:
    group = coordinator()
    first = get_id(group, "billing-0", 0)
    group.handle(join("billing-0", first, rebalance=20_000), "billing-0", 0)
    group.wake(3_000)
    group.handle(SyncGroupRequest(8, "billing", 1, first), "billing-0", 3_000)
    second = get_id(group, "billing-1", 10_000)
    group.handle(join("billing-1", second, rebalance=20_000), "billing-1", 10_000)
    assert heartbeat(group, 1, first, 29_000) is Error.REBALANCE_IN_PROGRESS
    assert group.wake(29_999) == []
    assert group.wake(30_000) == [("billing-1", JoinGroupResponse(7, Error.NONE, 2, second))]
    assert heartbeat(group, 1, first, 30_001) is Error.UNKNOWN_MEMBER_ID


def test_a_member_that_leaves_starts_a_rebalance_at_once() -> None:
    group, [first, second] = stable_group("billing-0", "billing-1")
    group.handle(LeaveGroupRequest(5, "billing", second), "billing-1", 10_000)
    assert heartbeat(group, 1, first, 10_001) is Error.REBALANCE_IN_PROGRESS
    assert group.handle(join("billing-0", first), "billing-0", 10_002) == [("billing-0", JoinGroupResponse(7, Error.NONE, 2, first))]


def test_a_rebalance_before_the_leader_syncs_sends_those_who_wait_back_to_join() -> None:
    group = coordinator()
    first, second = get_id(group, "billing-0", 0), get_id(group, "billing-1", 0)
    group.handle(join("billing-0", first), "billing-0", 0)
    group.handle(join("billing-1", second), "billing-1", 0)
    group.wake(3_000)
    group.wake(6_000)
    group.handle(SyncGroupRequest(8, "billing", 1, second), "billing-1", 6_001)
    third = get_id(group, "billing-2", 6_002)
    answers = group.handle(join("billing-2", third), "billing-2", 6_003)
    assert answers == [("billing-1", SyncGroupResponse(8, Error.REBALANCE_IN_PROGRESS, ()))]


def test_who_joins_but_never_syncs_is_out_after_the_rebalance_timeout() -> None:
    group = coordinator()
    first = get_id(group, "billing-0", 0)
    group.handle(join("billing-0", first, session=60_000, rebalance=20_000), "billing-0", 0)
    group.wake(3_000)
    group.wake(23_000)
    assert heartbeat(group, 1, first, 23_001) is Error.UNKNOWN_MEMBER_ID


def test_a_commit_is_visible_only_once_it_is_replicated() -> None:
    group, [member_id] = stable_group("billing-0")
    values = group.commit(commit(1, member_id), 4_000)
    assert values == (OffsetCommitValue("billing", ORDERS[0], 10, 7, 4_000),)
    assert committed_offset(group) == -1
    group.committed(values)
    assert committed_offset(group) == 10


def test_a_commit_is_refused_to_a_stale_generation_and_to_a_stranger() -> None:
    group, [first] = stable_group("billing-0")
    second = get_id(group, "billing-1", 10_000)
    group.handle(join("billing-1", second), "billing-1", 10_000)
    assert isinstance(group.commit(commit(1, first), 10_001), tuple)  # before it rejoins it may still commit
    group.handle(join("billing-0", first), "billing-0", 10_002)
    assert group.commit(commit(1, first), 10_003) is Error.ILLEGAL_GENERATION
    assert group.commit(commit(2, first), 10_003) is Error.REBALANCE_IN_PROGRESS
    assert group.commit(commit(2, "billing-9"), 10_003) is Error.UNKNOWN_MEMBER_ID
    assert group.commit(commit(-1, ""), 10_003) is Error.UNKNOWN_MEMBER_ID


def test_a_consumer_without_group_management_commits_to_an_empty_group() -> None:
    assert coordinator().commit(commit(-1, ""), 0) == (OffsetCommitValue("billing", ORDERS[0], 10, 7),)


def test_a_commit_renews_the_session() -> None:
    group, [member_id] = stable_group("billing-0")
    group.commit(commit(1, member_id), 40_000)
    group.wake(48_000)
    assert heartbeat(group, 1, member_id, 48_001) is Error.NONE


def test_a_new_coordinator_goes_on_with_offsets_and_generation_from_the_log() -> None:
    group, [member_id] = stable_group("billing-0")
    log = group.take_records()
    assert group.take_records() == ()
    successor = coordinator(2)
    successor.load((OffsetCommitValue("billing", ORDERS[0], 5), *log, OffsetCommitValue("billing", ORDERS[0], 9)), 20_000)
    assert committed_offset(successor) == 9
    assert heartbeat(successor, 1, member_id, 20_001) is Error.NONE
    assert isinstance(successor.commit(commit(1, member_id), 20_002), tuple)
    assert successor.handle(SyncGroupRequest(1, "billing", 1, member_id), "x", 20_003) == [("x", SyncGroupResponse(1, Error.NONE, ORDERS))]
    successor.wake(65_002)
    assert heartbeat(successor, 1, member_id, 65_003) is Error.UNKNOWN_MEMBER_ID


def test_without_group_metadata_in_its_log_a_new_coordinator_knows_no_member() -> None:
    successor = coordinator(2)
    successor.load((OffsetCommitValue("billing", ORDERS[0], 5),), 20_000)
    assert heartbeat(successor, 1, "billing-0-1", 20_001) is Error.UNKNOWN_MEMBER_ID
    assert committed_offset(successor) == 5


def test_a_broker_that_loses_the_partition_sends_those_who_wait_away() -> None:
    group = coordinator()
    first = get_id(group, "billing-0", 0)
    group.handle(join("billing-0", first), "billing-0", 0)
    assert group.unload() == [("billing-0", JoinGroupResponse(7, Error.NOT_COORDINATOR, 0, first))]


def test_an_id_that_is_never_used_does_not_hold_up_a_rebalance_for_longer_than_a_session() -> None:
    group, [first] = stable_group("billing-0")
    get_id(group, "billing-1", 10_000)
    group.handle(join("billing-0", first), "billing-0", 10_001)  # the leader asks for a rebalance
    assert group.wake(54_999) == []
    assert group.wake(55_000) == [("billing-0", JoinGroupResponse(7, Error.NONE, 2, first))]


def test_the_group_name_decides_the_offsets_partition_as_java_hashes_it() -> None:
    assert offsets_partition_of("a", 50) == 97 % 50
    assert offsets_partition_of("ab", 50) == (97 * 31 + 98) % 50
    assert offsets_partition_of("polygenelubricants", 50) == 0  # its hashCode is Integer.MIN_VALUE


def test_a_failed_append_sends_the_client_away_or_makes_it_try_again() -> None:
    assert append_error(Error.NOT_ENOUGH_REPLICAS) is Error.COORDINATOR_NOT_AVAILABLE
    assert append_error(Error.NOT_LEADER_OR_FOLLOWER) is Error.NOT_COORDINATOR
