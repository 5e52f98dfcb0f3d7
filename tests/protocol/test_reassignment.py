"""Moving replicas: the assignment while it changes, when the change is complete, and what brokers make of it (KIP-455)."""

from __future__ import annotations

import pytest
from protocol.pump import ORDERS, Cluster, batch, produce

from kafkasim.protocol.administration import AdministratorAnswered, AlterPartitionReassignments
from kafkasim.protocol.controller_trace import AssignmentChanged, LeaderElected
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import FetchPartition, FetchRequest, PartitionRegistration
from kafkasim.protocol.profiles import KAFKA_3_6
from kafkasim.protocol.reassignment import Assignment, completed, reverted, towards
from kafkasim.protocol.replica_manager import ReplicaDeleted


def partition(replicas=(1, 2, 3), isr=(1, 2, 3), adding=(), removing=()):
    return PartitionRegistration(ORDERS, replicas, isr, 1, 5, 9, adding_replicas=adding, removing_replicas=removing)


# ---------------------------------------------------------------------------------------------------- the assignment


def test_the_target_comes_first_in_its_own_order_and_who_will_go_stands_behind_it():
    assert towards(partition(), (4, 2, 3)) == Assignment((4, 2, 3, 1), adding=(4,), removing=(1,))
    assert towards(partition(), (3, 2, 1)) == Assignment((3, 2, 1))
    assert Assignment((4, 2, 3, 1), (4,), (1,)).target == (4, 2, 3)


def test_a_second_reassignment_begins_where_the_first_one_stands():
    under_way = partition((4, 2, 3, 1), (1, 2, 3), adding=(4,), removing=(1,))
    assert towards(under_way, (4, 2, 5)) == Assignment((4, 2, 5, 1, 3), adding=(5,), removing=(1, 3))
    # Nobody is new and nobody goes: both lists stay what they were, and broker 1 will go after all (changePartitionReassignment).
    assert towards(under_way, (1, 2, 3, 4)) == Assignment((1, 2, 3, 4), adding=(4,), removing=(1,))


@pytest.mark.parametrize(
    ("isr", "complete"),
    [
        ((1, 2, 3), None),  # the new replica has not caught up
        ((1, 4, 2), None),  # a replica that was there before has fallen behind
        ((1, 2, 3, 4), (2, 3, 4)),
        ((4, 3, 2), (4, 3, 2)),
        ((1,), None),
    ],
)
def test_it_is_complete_when_everybody_of_the_target_is_in_the_isr(isr, complete):
    under_way = Assignment((4, 2, 3, 1), adding=(4,), removing=(1,))
    assert completed(under_way, isr) == (None if complete is None else (Assignment((4, 2, 3)), complete))


def test_where_none_is_under_way_none_is_completed():
    assert completed(Assignment((1, 2, 3)), (1, 2, 3)) is None


def test_it_is_taken_back_to_the_replicas_of_before():
    under_way = partition((4, 2, 3, 1), (1, 2, 4), adding=(4,), removing=(1,))
    assert reverted(under_way) == (Assignment((2, 3, 1)), (1, 2), False)


def test_where_only_added_replicas_are_in_sync_it_can_be_taken_back_only_uncleanly():
    under_way = partition((4, 2, 3, 1), (4,), adding=(4,), removing=(1,))
    assert reverted(under_way) == (Assignment((2, 3, 1)), (2,), True)


# ---------------------------------------------------------------------------------------------------- brokers that do it


def cluster(brokers=4, replication_factor=3, **config):
    """orders-0 on brokers 1, 2, 3 (or the first of them), led by broker 1, with ten records that all have."""
    world = Cluster(brokers)
    world.create_topic("orders", replication_factor=replication_factor, **config)
    world.request("shop", "broker-1", produce(1, -1, 0, 10))
    world.advance(1_000)
    world.traced.clear()
    return world


def reassign(world, *replicas):
    world.call("controller-100", AlterPartitionReassignments((ORDERS,), replicas))
    return [answer.results[0][1] for answer in world.outputs["controller-100"] if isinstance(answer, AdministratorAnswered)][-1]


def registration(world):
    return world.state.image.partitions[ORDERS]


def numbers(world, broker_id):
    return [number for stored in world.disks[broker_id].logs[ORDERS].batches for number in stored.batch.numbers]


def test_a_new_replica_fetches_the_log_from_its_start_and_the_old_one_is_deleted():
    world = cluster()
    assert reassign(world, 1, 2, 4) is Error.NONE
    world.advance(1_000)
    assert registration(world).replicas == (1, 2, 4)
    assert sorted(registration(world).isr) == [1, 2, 4]
    assert (registration(world).adding_replicas, registration(world).removing_replicas) == ((), ())
    assert numbers(world, 4) == list(range(10))
    assert ORDERS not in world.disks[3].logs
    assert ORDERS not in world.broker(3).replica_manager.hosted
    assert world.traces(ReplicaDeleted) == [ReplicaDeleted(ORDERS, 3, 10, 10)]
    assert world.traces(AssignmentChanged) == [
        AssignmentChanged(ORDERS, (1, 2, 4, 3), (4,), (3,)),
        AssignmentChanged(ORDERS, (1, 2, 4), (), ()),
    ]


def test_the_leader_stays_where_it_is_of_the_target_and_its_epoch_grows_once_a_replica_goes():
    world = cluster()
    epoch = registration(world).leader_epoch
    reassign(world, 4, 2, 1)
    world.advance(1_000)
    assert (registration(world).leader, registration(world).leader_epoch) == (1, epoch + 1)


def test_a_leader_that_is_to_go_hands_over_to_the_first_of_the_target_and_forgets_everything():
    world = cluster()
    reassign(world, 4, 3, 2)
    world.advance(1_000)
    assert registration(world).leader == 4
    assert [(elected.leader, elected.unclean) for elected in world.traces(LeaderElected)] == [(4, False)]
    assert ORDERS not in world.disks[1].logs
    world.request("shop", "broker-4", produce(2, -1, 10, 5))
    world.request("shop", "broker-1", produce(3, -1, 15, 5))
    served, sent_away = (reply.results[0] for reply in world.replies("shop")[-2:])
    assert served.error is Error.NONE
    assert (sent_away.error, sent_away.current_leader) == (Error.NOT_LEADER_OR_FOLLOWER, 4)


def test_who_waits_at_a_deposed_leader_is_sent_to_the_new_one():
    world = cluster()
    world.cut("broker-1", "broker-4")
    reassign(world, 4, 2, 3)
    world.advance(1_000)
    world.cut("broker-1", "broker-2", "broker-3")  # acks=all waits for these two from here on
    world.replies("shop")
    world.request("shop", "broker-1", produce(7, -1, 10, 1))
    fetch = FetchRequest(8, -1, -1, 60_000.0, 1, 1_000_000, False, (FetchPartition(ORDERS, 10, -1, -1, 1_000_000),))
    world.request("reader", "broker-1", fetch)
    assert world.replies("shop") == []
    world.heal()
    world.advance(2_000)
    assert registration(world).replicas == (4, 2, 3)
    assert world.replies("shop")[0].correlation_id == 7
    assert world.replies("reader")[0].correlation_id == 8
    assert numbers(world, 4) == list(range(11))


def test_with_a_broker_of_the_target_down_it_waits_and_nobody_who_is_to_go_has_gone():
    world = cluster()
    world.crash("broker-4")
    world.advance(20_000)
    assert reassign(world, 4, 2, 3) is Error.NONE
    world.advance(5_000)
    assert registration(world).replicas == (4, 2, 3, 1)
    assert registration(world).leader == 1
    assert numbers(world, 1) == list(range(10))
    world.start_broker(4)
    world.advance(20_000)
    assert registration(world).replicas == (4, 2, 3)
    assert registration(world).leader == 4


def test_a_broker_that_lost_its_replica_while_it_was_down_deletes_the_log_when_it_is_back():
    world = cluster()
    world.crash("broker-3")
    world.advance(20_000)
    reassign(world, 1, 2, 4)
    world.advance(1_000)
    assert registration(world).replicas == (1, 2, 4)
    assert ORDERS in world.disks[3].logs
    world.start_broker(3)
    world.advance(20_000)
    assert ORDERS not in world.disks[3].logs


def test_where_replicas_only_go_it_is_complete_at_once():
    world = cluster()
    assert reassign(world, 2, 3) is Error.NONE
    assert (registration(world).replicas, registration(world).isr, registration(world).leader) == ((2, 3), (2, 3), 2)


def test_where_they_only_change_places_nothing_moves_and_another_is_preferred():
    world = cluster()
    epoch = registration(world).leader_epoch
    assert reassign(world, 3, 1, 2) is Error.NONE
    assert (registration(world).replicas, registration(world).leader, registration(world).leader_epoch) == ((3, 1, 2), 1, epoch)
    assert ORDERS in world.state.imbalanced


def test_a_replica_that_is_added_counts_for_min_insync_replicas_before_it_is_in_sync():
    world = cluster(replication_factor=1, min_insync_replicas=2)
    world.cut("broker-1", "broker-2", "broker-3")
    assert not world.partition(1)._under_min_isr
    reassign(world, 1, 2, 3)
    world.replies("shop")
    world.request("shop", "broker-1", produce(5, -1, 10, 1), produce(6, 1, 11, 1))
    assert [reply.results[0].error for reply in world.replies("shop")] == [Error.NOT_ENOUGH_REPLICAS, Error.NONE]
    world.heal()
    world.advance(2_000)
    assert sorted(registration(world).isr) == [1, 2, 3]
    world.request("shop", "broker-1", produce(7, -1, 12, 1))
    world.advance(1_000)
    assert [reply.results[0].error for reply in world.replies("shop")] == [Error.NONE]


def test_one_under_way_is_taken_back_and_the_new_replica_deletes_what_it_had_fetched():
    world = cluster()
    world.cut("broker-1", "broker-4")
    reassign(world, 4, 2, 3)
    world.advance(500)
    assert registration(world).replicas == (4, 2, 3, 1)
    assert ORDERS in world.disks[4].logs
    assert reassign(world) is Error.NONE
    world.advance(500)
    assert (registration(world).replicas, registration(world).leader) == ((2, 3, 1), 1)
    assert ORDERS not in world.disks[4].logs


def test_what_cannot_be_is_refused():
    world = cluster()
    assert reassign(world) is Error.NO_REASSIGNMENT_IN_PROGRESS
    assert reassign(world, 1, 1) is Error.INVALID_REPLICA_ASSIGNMENT
    assert reassign(world, 1, 9) is Error.INVALID_REPLICA_ASSIGNMENT
    world.call("controller-100", AlterPartitionReassignments((ORDERS._replace(topic="other"),), (1,)))
    assert world.outputs["controller-100"][-1].results == (("other-0", Error.UNKNOWN_TOPIC_OR_PARTITION),)
    assert registration(world).replicas == (1, 2, 3)


@pytest.mark.parametrize(("allowed", "error"), [(False, Error.INVALID_REPLICA_ASSIGNMENT), (True, Error.NONE)])
def test_a_return_that_would_be_unclean_needs_the_topics_leave(allowed, error):
    world = cluster(brokers=3, replication_factor=1, unclean_leader_election_enable=allowed)
    world.state.append(registration(world)._replace(replicas=(2, 1), adding_replicas=(2,), removing_replicas=(1,), isr=(2,), leader=2))
    assert reassign(world) is error
    assert registration(world).isr == ((1,) if allowed else (2,))


def test_3_6_gives_leave_to_no_unclean_return_whatever_the_topic_says():
    world = Cluster(brokers=3, profile=KAFKA_3_6)
    world.create_topic("orders", replication_factor=1, unclean_leader_election_enable=True)
    world.state.append(registration(world)._replace(replicas=(2, 1), adding_replicas=(2,), removing_replicas=(1,), isr=(2,), leader=2))
    assert reassign(world) is Error.INVALID_REPLICA_ASSIGNMENT
    assert registration(world).isr == (2,)


def test_slow_disks_charge_for_writes_to_logs_that_are_gone():
    world = cluster()
    before = world.disks[3].appends
    reassign(world, 1, 2, 4)
    world.advance(1_000)
    assert before > 0
    assert world.disks[3].appends == before


def test_the_tail_that_only_the_deposed_leader_had_is_lost():
    world = cluster()
    appended = world.partition(1).append_records_to_leader(batch(10, 3), 1, world.now)  # acks=1, and the followers' fetches still wait
    assert (appended.error, numbers(world, 1)) == (Error.NONE, list(range(13)))
    reassign(world, 2, 3)
    world.advance(1_000)
    assert registration(world).leader == 2
    assert numbers(world, 2) == numbers(world, 3) == list(range(10))
