"""The controller, played by hand: no network, no brokers, a clock that is a number."""

from dataclasses import replace

import pytest

from kafkasim.protocol.config import BrokerConfig, TopicConfig
from kafkasim.protocol.controller import Controller, CreateTopic
from kafkasim.protocol.controller_trace import (
    BrokerFenced,
    BrokerRegistered,
    BrokerUnfenced,
    IsrAccepted,
    IsrChanged,
    IsrRefused,
    LeaderElected,
    PartitionOffline,
)
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import (
    AlterPartitionRequest,
    BrokerHeartbeatRequest,
    BrokerHeartbeatResponse,
    BrokerRegistrationRequest,
    BrokerRegistrationResponse,
    MetadataFetchRequest,
    MetadataFetchResponse,
)
from kafkasim.protocol.node import Disconnected, Send
from kafkasim.protocol.periodic_task import PeriodicTask
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.replication_control import ControllerState

ORDERS_0 = TopicPartition("orders", 0)
CONFIG = replace(BrokerConfig(), broker_session_timeout_ms=9_000, auto_leader_rebalance_enable=False)


class World:
    """A controller with everything it said and traced."""

    def __init__(self, config=CONFIG, elr=True):
        self.config = config
        self.state = ControllerState(eligible_leader_replicas=elr)
        self.epochs = {}
        self.events = []
        self.restart(0.0)

    def restart(self, now):
        self.controller = Controller(100, self.config, self.state, self.events.append)
        self.controller.start(now)

    def register(self, broker_id, incarnation=1, previous_broker_epoch=-1, now=0.0):
        request = BrokerRegistrationRequest(1, broker_id, incarnation, previous_broker_epoch)
        answer = self.controller.receive(request, f"broker-{broker_id}#heartbeat", now)[0].message
        assert isinstance(answer, BrokerRegistrationResponse)
        if answer.error is Error.NONE:
            self.epochs[broker_id] = answer.broker_epoch
        return answer

    def heartbeat(self, broker_id, now, *, want_fence=False, want_shut_down=False, offset=None, epoch=None):
        offset = self.state.log_end_offset - 1 if offset is None else offset
        epoch = self.epochs[broker_id] if epoch is None else epoch
        request = BrokerHeartbeatRequest(2, broker_id, epoch, offset, want_fence, want_shut_down)
        answer = self.controller.receive(request, f"broker-{broker_id}#heartbeat", now)[0].message
        assert isinstance(answer, BrokerHeartbeatResponse)
        return answer

    def alter(self, broker_id, new_isr, *, leader_epoch=None, partition_epoch=None, broker_epoch=None, partition=ORDERS_0, epochs=None):
        current = self.partition() if partition == ORDERS_0 else None
        leader_epoch = current.leader_epoch if leader_epoch is None else leader_epoch
        partition_epoch = current.partition_epoch if partition_epoch is None else partition_epoch
        broker_epoch = self.epochs[broker_id] if broker_epoch is None else broker_epoch
        isr = tuple((broker, (epochs or self.epochs)[broker]) for broker in new_isr)
        request = AlterPartitionRequest(3, broker_id, broker_epoch, ((partition, leader_epoch, partition_epoch, isr),))
        return self.controller.receive(request, f"broker-{broker_id}#alter", 0.0)[0].message

    def partition(self):
        return self.state.image.partitions[ORDERS_0]

    def broker(self, broker_id):
        return self.state.image.brokers[broker_id]

    def run_until(self, end):
        """Wake the controller whenever it wants to be woken; returns when that was."""
        woken = []
        while (deadline := self.controller.next_deadline()) is not None and deadline <= end:
            woken.append(deadline)
            self.controller.wake(deadline)
        return woken

    def live(self, start, end, *broker_ids):
        """Let these brokers beat every two seconds, and the controller run, from start to end."""
        for now in range(start, end + 1, 2_000):
            for broker_id in broker_ids:
                self.heartbeat(broker_id, float(now))
            self.run_until(float(now))

    def traced(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def cluster(brokers=3, min_isr=2, unclean=False, now=0.0, **options):
    """Registered and unfenced brokers 1.., and orders-0 on the first three of them, led by broker 1."""
    world = World(**options)
    for broker_id in range(1, brokers + 1):
        world.register(broker_id, now=now)
    for broker_id in range(1, brokers + 1):
        world.heartbeat(broker_id, now)
    topic = TopicConfig(min_insync_replicas=min_isr, unclean_leader_election_enable=unclean)
    world.controller.receive(CreateTopic("orders", (0,), min(3, brokers), topic), "", now)
    world.events.clear()
    return world


def fence(world, *broker_ids):
    """These brokers ask to be fenced, as one does that cannot go on."""
    for broker_id in broker_ids:
        world.heartbeat(broker_id, 0.0, want_fence=True)


# ---------------------------------------------------------------------------------------------------- registration


def test_a_broker_epoch_is_the_offset_of_the_registration_and_the_broker_is_fenced_at_first():
    world = World()
    assert world.register(1).broker_epoch == 0
    assert world.register(2).broker_epoch == 1
    assert world.broker(2).fenced
    assert world.events == [BrokerRegistered(1, 0, 1, False), BrokerRegistered(2, 1, 1, False)]


def test_another_process_of_the_same_broker_is_refused_while_the_session_of_the_first_lives():
    world = cluster()
    world.heartbeat(1, 1_000.0)
    assert world.register(1, incarnation=2, now=10_000.0).error is Error.DUPLICATE_BROKER_REGISTRATION
    assert world.register(1, incarnation=2, now=10_000.1).error is Error.NONE


def test_neither_fencing_nor_shutting_down_ends_a_session_so_that_a_quick_restart_is_refused():
    world = cluster()
    fence(world, 2)
    assert world.heartbeat(2, 1_000.0, want_shut_down=True).should_shut_down
    assert world.register(2, incarnation=2, previous_broker_epoch=world.epochs[2], now=2_000.0).error is Error.DUPLICATE_BROKER_REGISTRATION
    assert world.register(2, incarnation=2, previous_broker_epoch=world.epochs[2], now=10_001.0).error is Error.NONE


def test_the_same_process_that_registers_again_keeps_its_epoch_and_stays_unfenced():
    world = cluster()
    again = world.register(1, incarnation=1, now=100.0)
    assert (again.error, again.broker_epoch) == (Error.NONE, 0)
    assert not world.broker(1).fenced


def test_a_broker_that_registers_before_it_was_fenced_loses_its_leaderships_at_once():
    world = cluster()
    world.register(1, incarnation=2, now=9_001.0)
    assert (world.partition().leader, world.partition().isr) == (2, (2, 3))
    assert world.broker(1).fenced


def test_after_an_unclean_shutdown_a_broker_is_no_longer_eligible():
    world = cluster()
    fence(world, 3, 2, 1)
    assert (world.partition().isr, world.partition().elr) == ((), (1, 2))
    world.register(2, incarnation=2, previous_broker_epoch=-1, now=20_000.0)
    assert world.partition().elr == (1,)
    assert world.traced(BrokerRegistered)[-1].clean_shutdown is False


def test_after_a_clean_shutdown_a_broker_is_still_eligible():
    world = cluster()
    fence(world, 3, 2, 1)
    world.register(2, incarnation=2, previous_broker_epoch=world.epochs[2], now=20_000.0)
    assert world.partition().elr == (1, 2)
    assert world.traced(BrokerRegistered)[-1].clean_shutdown is True


def test_an_unclean_shutdown_that_was_noticed_only_at_registration_empties_the_isr_and_leaves_the_partition_offline():
    world = cluster(brokers=1, min_isr=1)
    world.register(1, incarnation=2, now=9_001.0)
    assert (world.partition().leader, world.partition().isr, world.partition().elr) == (-1, (), ())
    assert world.partition().last_known_elr == (1,)


def test_a_process_that_is_gone_is_not_elected_uncleanly_though_it_was_never_fenced():
    world = cluster(brokers=1, min_isr=1, unclean=True)
    world.register(1, incarnation=2, now=9_001.0)
    assert world.partition().leader == -1


def test_a_single_replica_that_crashed_leads_again_as_the_last_known_leader():
    world = cluster(brokers=1, min_isr=1)
    world.register(1, incarnation=2, now=9_001.0)
    world.heartbeat(1, 9_002.0)
    assert (world.partition().leader, world.partition().isr, world.partition().recovering) == (1, (1,), True)
    assert world.traced(LeaderElected)[-1].unclean is True


def test_the_broker_epoch_is_the_offset_before_the_records_that_clean_up_after_the_process_before():
    world = cluster()
    end = world.state.log_end_offset
    assert world.register(1, incarnation=2, now=9_001.0).broker_epoch == end
    assert world.state.register_offsets[1] == end + 1


# ---------------------------------------------------------------------------------------------------- heartbeats


def test_a_broker_is_unfenced_once_it_has_read_its_own_registration():
    world = World()
    world.register(1)
    world.register(2)
    assert world.heartbeat(2, 10.0, offset=0).is_fenced
    assert not world.heartbeat(2, 20.0, offset=1).is_fenced
    assert world.traced(BrokerUnfenced) == [BrokerUnfenced(2, 1)]


def test_a_broker_that_wants_to_stay_fenced_stays_fenced():
    world = World()
    world.register(1)
    assert world.heartbeat(1, 10.0, want_fence=True).is_fenced


@pytest.mark.parametrize("epoch", [-1, 7])
def test_a_heartbeat_with_another_broker_epoch_is_stale(epoch):
    world = World()
    world.register(1)
    assert world.heartbeat(1, 10.0, epoch=epoch).error is Error.STALE_BROKER_EPOCH


def test_a_heartbeat_of_an_unregistered_broker_is_stale():
    assert World().heartbeat(4, 10.0, epoch=0).error is Error.STALE_BROKER_EPOCH


def test_the_heartbeat_of_an_earlier_process_does_not_keep_the_session_of_the_next_one_alive():
    world = cluster()
    old = world.epochs[1]
    world.register(1, incarnation=2, now=9_001.0)
    world.heartbeat(1, 9_002.0)
    world.heartbeat(1, 17_000.0, epoch=old)
    world.run_until(20_000.0)
    assert world.broker(1).fenced


def test_the_session_of_an_earlier_process_that_runs_out_does_not_fence_the_next_one():
    world = cluster()
    world.register(1, incarnation=2, now=9_001.0)
    world.live(9_002, 11_002, 1, 2, 3)
    assert world.traced(BrokerFenced) == []


# ---------------------------------------------------------------------------------------------------- fencing


def test_a_silent_broker_is_fenced_at_the_first_check_after_its_session_ended():
    world = cluster()
    for now in range(0, 20_000, 2_000):
        world.heartbeat(2, float(now))
        world.heartbeat(3, float(now))
    woken = world.run_until(20_000.0)
    assert woken == [9_000.0 + 1_125.0]  # 9 s after the last heartbeat at 0; checks come at 1125, 2250, … 9000, 10125
    assert world.traced(BrokerFenced) == [BrokerFenced(1, 0, True)]
    assert world.traced(LeaderElected) == [LeaderElected(ORDERS_0, 2, 1, (2, 3), False)]


def test_a_broker_heard_of_in_time_is_not_fenced():
    world = cluster()
    for now in range(0, 60_000, 2_000):
        world.run_until(float(now))
        for broker_id in (1, 2, 3):
            world.heartbeat(broker_id, float(now))
    assert world.traced(BrokerFenced) == []


def test_an_idle_controller_is_woken_at_most_about_once_a_session():
    world = cluster()
    woken = []
    for now in range(0, 90_000, 2_000):
        woken += world.run_until(float(now))
        for broker_id in (1, 2, 3):
            world.heartbeat(broker_id, float(now))
    assert woken == []
    assert world.controller.next_deadline() > 88_000.0 + 9_000.0


@pytest.mark.parametrize("beat", [0.0, 1.0, 700.0, 1_124.0, 1_125.0])
def test_fencing_comes_after_the_session_and_at_most_an_eighth_of_it_later(beat):
    world = cluster(brokers=1, min_isr=1)
    world.heartbeat(1, beat)
    (fenced_at,) = world.run_until(60_000.0)
    assert 9_000.0 < fenced_at - beat <= 9_000.0 + 1_125.0
    assert fenced_at % 1_125.0 == 0.0


def test_fencing_after_a_kill_follows_the_closed_form_o5():
    """The last heartbeat was U(0, 2) s before the kill, the check comes U(0, 9/8) s after the session's end: from 7 to 10.125 s."""
    delays = []
    for step in range(400):
        beat, kill = step * 7.1, step * 7.1 + (step * 797 % 2_000)
        world = cluster(brokers=1, min_isr=1)
        world.heartbeat(1, beat)
        delays.append(world.run_until(60_000.0)[0] - kill)
    assert min(delays) >= 7_000.0
    assert max(delays) <= 10_125.0
    assert sum(delays) / len(delays) == pytest.approx(9_000.0 - 1_000.0 + 562.5, rel=0.02)


def test_two_silent_brokers_are_fenced_one_after_the_other_ten_milliseconds_apart():
    world = cluster()
    world.heartbeat(3, 5_000.0)
    woken = world.run_until(11_000.0)
    assert woken == [10_125.0, 10_135.0]
    assert [event.broker_id for event in world.traced(BrokerFenced)] == [1, 2]
    assert world.partition().leader == 3


def test_waking_too_early_does_nothing_and_too_late_is_made_good():
    world = cluster(brokers=1, min_isr=1)
    world.controller.wake(10_124.0)
    assert not world.broker(1).fenced
    world.controller.wake(55_555.0)
    assert world.broker(1).fenced


def test_a_fenced_broker_that_is_heard_of_again_is_unfenced_but_is_not_in_the_isr():
    world = cluster()
    world.heartbeat(2, 5_000.0)
    world.heartbeat(3, 5_000.0)
    world.run_until(11_000.0)
    assert not world.heartbeat(1, 11_000.0).is_fenced
    assert world.partition().isr == (2, 3)


def test_the_last_member_of_the_isr_takes_its_partition_offline_and_brings_it_back():
    world = cluster(min_isr=1)
    fence(world, 3, 2, 1)
    assert world.traced(PartitionOffline) == [PartitionOffline(ORDERS_0, 1, (), (1,))]
    world.heartbeat(2, 1.0)
    assert world.partition().leader == -1
    world.heartbeat(1, 2.0)
    assert world.traced(LeaderElected)[-1] == LeaderElected(ORDERS_0, 1, 2, (1,), False)


def test_without_elr_the_last_isr_is_remembered_and_its_member_alone_comes_back():
    world = cluster(elr=False)
    fence(world, 3, 2, 1)
    assert (world.partition().leader, world.partition().isr) == (-1, (1,))
    world.heartbeat(2, 1.0)
    assert world.partition().leader == -1
    world.heartbeat(1, 2.0)
    assert world.partition().leader == 1


def test_last_replica_standing_with_elr_waits_for_the_replica_that_has_everything():
    world = cluster()
    fence(world, 3, 2, 1)  # T0, T1: ISR [1], ELR [2]; T2: the leader is gone too
    world.register(1, incarnation=2, now=20_000.0)  # T3: it lost its power, and with it its unflushed tail
    world.heartbeat(1, 20_001.0)
    assert (world.partition().leader, world.partition().elr) == (-1, (2,))
    world.heartbeat(2, 20_002.0)
    assert (world.partition().leader, world.partition().isr) == (2, (2,))
    assert world.traced(LeaderElected)[-1].unclean is False


def test_last_replica_standing_without_elr_leads_again_with_what_it_has_left():
    world = cluster(elr=False)
    fence(world, 3, 2, 1)
    world.register(1, incarnation=2, now=20_000.0)
    world.heartbeat(1, 20_001.0)
    assert (world.partition().leader, world.partition().isr) == (1, (1,))


# ---------------------------------------------------------------------------------------------------- unclean, preferred


def test_where_unclean_election_is_enabled_any_living_replica_leads_at_once():
    world = cluster(min_isr=1, unclean=True)
    fence(world, 3, 2)
    world.heartbeat(2, 1.0)
    fence(world, 1)
    assert world.traced(LeaderElected)[-1] == LeaderElected(ORDERS_0, 2, 1, (2,), True)
    assert world.partition().recovering


def test_an_unclean_election_that_nobody_could_win_is_won_by_the_first_broker_to_return():
    world = cluster(min_isr=1, unclean=True)
    fence(world, 3, 2, 1)
    world.heartbeat(2, 1.0)
    assert world.traced(LeaderElected)[-1] == LeaderElected(ORDERS_0, 2, 2, (2,), True)


def test_leaderless_partitions_are_looked_at_every_five_minutes_where_unclean_election_is_enabled():
    world = cluster(min_isr=1, unclean=False)
    fence(world, 3, 2, 1)
    world.heartbeat(2, 1.0)
    world.state.topic_configs["orders"] = TopicConfig(unclean_leader_election_enable=True)
    world.controller.receive(CreateTopic("payments", (0,), 3, TopicConfig()), "", 1.0)  # whatever is written makes it look at its tasks
    world.live(2_000, 298_000, 2)
    assert world.partition().leader == -1
    world.live(300_000, 300_000, 2)
    assert world.traced(LeaderElected)[-1] == LeaderElected(ORDERS_0, 2, 2, (2,), True)


def test_no_look_is_taken_at_leaderless_partitions_where_it_is_not():
    world = cluster(min_isr=1)
    fence(world, 3, 2, 1)
    world.run_until(100_000.0)
    assert world.controller.next_deadline() is None


def test_the_preferred_replica_leads_again_at_the_next_rebalance():
    world = cluster(config=replace(CONFIG, auto_leader_rebalance_enable=True))
    fence(world, 1)
    world.heartbeat(1, 10.0)
    world.alter(2, (2, 3, 1))
    world.live(2_000, 298_000, 1, 2, 3)
    assert world.partition().leader == 2
    world.live(300_000, 300_000, 1, 2, 3)
    assert world.partition().leader == 1
    assert world.traced(LeaderElected)[-1] == LeaderElected(ORDERS_0, 1, 2, (2, 3, 1), False)


def test_a_rebalance_that_cannot_help_yet_is_tried_again_after_the_interval():
    world = cluster(config=replace(CONFIG, auto_leader_rebalance_enable=True))
    fence(world, 1)
    world.live(2_000, 300_000, 2, 3)
    world.live(302_000, 302_000, 1, 2, 3)
    world.alter(2, (2, 3, 1))
    world.live(304_000, 598_000, 1, 2, 3)
    assert world.partition().leader == 2
    world.live(600_000, 600_000, 1, 2, 3)
    assert world.partition().leader == 1


def test_without_automatic_rebalance_the_leader_stays():
    world = cluster()
    fence(world, 1)
    world.heartbeat(1, 10.0)
    world.alter(2, (2, 3, 1))
    world.live(2_000, 302_000, 1, 2, 3)
    assert world.partition().leader == 2


# ---------------------------------------------------------------------------------------------------- controlled shutdown


def test_a_controlled_shutdown_moves_leaders_away_before_the_broker_may_stop():
    world = cluster()
    first = world.heartbeat(1, 100.0, want_shut_down=True)
    assert (first.should_shut_down, first.is_fenced) == (False, False)
    assert world.broker(1).in_controlled_shutdown
    assert (world.partition().leader, world.partition().isr) == (2, (2, 3))


def test_a_broker_may_stop_once_all_active_brokers_know_their_new_leaders():
    world = cluster()
    world.heartbeat(1, 100.0, want_shut_down=True)
    assert not world.heartbeat(1, 200.0, want_shut_down=True).should_shut_down
    world.heartbeat(2, 300.0)
    assert not world.heartbeat(1, 400.0, want_shut_down=True).should_shut_down
    world.heartbeat(3, 500.0)
    answer = world.heartbeat(1, 600.0, want_shut_down=True)
    assert (answer.should_shut_down, answer.is_fenced) == (True, True)
    assert world.traced(BrokerFenced) == [BrokerFenced(1, 0, False)]


def test_a_broker_that_missed_its_permission_to_stop_is_given_it_again():
    world = cluster()
    world.heartbeat(1, 100.0, want_shut_down=True)
    world.heartbeat(2, 200.0)
    world.heartbeat(3, 200.0)
    assert world.heartbeat(1, 300.0, want_shut_down=True).should_shut_down
    world.heartbeat(2, 400.0, offset=0)
    assert world.heartbeat(1, 500.0, want_shut_down=True).should_shut_down


def test_a_broker_that_leads_nothing_may_stop_at_once():
    world = cluster()
    assert world.heartbeat(3, 100.0, want_shut_down=True).should_shut_down
    assert world.partition().isr == (1, 2)


def test_a_fenced_broker_may_stop_at_once():
    world = World()
    world.register(1)
    assert world.heartbeat(1, 10.0, want_shut_down=True, want_fence=True).should_shut_down


def test_the_last_replica_may_stop_and_is_eligible_when_it_returns_cleanly():
    world = cluster(brokers=1, min_isr=1)
    world.heartbeat(1, 100.0, want_shut_down=True)
    assert world.heartbeat(1, 200.0, want_shut_down=True).should_shut_down
    assert (world.partition().leader, world.partition().elr) == (-1, (1,))
    world.register(1, incarnation=2, previous_broker_epoch=0, now=10_000.0)
    world.heartbeat(1, 10_001.0)
    assert world.traced(LeaderElected)[-1] == LeaderElected(ORDERS_0, 1, 2, (1,), False)


def test_a_broker_fenced_in_its_controlled_shutdown_may_stop_at_once():
    world = cluster()
    world.heartbeat(1, 100.0, want_shut_down=True)
    for now in range(2_000, 13_000, 2_000):
        world.heartbeat(2, float(now), offset=0)
        world.heartbeat(3, float(now), offset=0)
        world.run_until(float(now))
    assert world.broker(1).fenced
    assert world.heartbeat(1, 13_000.0, want_shut_down=True).should_shut_down


# ---------------------------------------------------------------------------------------------------- AlterPartition


def test_a_leader_may_shrink_its_isr():
    world = cluster()
    (result,) = world.alter(1, (1, 3)).partitions
    assert result == (ORDERS_0, Error.NONE, 1, 0, (1, 3), 1)
    assert world.events == [IsrAccepted(ORDERS_0, 1, (1, 3), 1), IsrChanged(ORDERS_0, (1, 3), ())]


def test_below_min_insync_replicas_who_leaves_is_eligible():
    world = cluster()
    world.alter(1, (1,))
    assert (world.partition().isr, world.partition().elr) == ((1,), (2, 3))
    world.alter(1, (1, 3))
    assert (world.partition().isr, world.partition().elr) == ((1, 3), ())


def test_an_isr_that_is_already_so_is_granted_without_a_record():
    world = cluster()
    end = world.state.log_end_offset
    (result,) = world.alter(1, (1, 2, 3)).partitions
    assert (result[1], result[5]) == (Error.NONE, 0)
    assert world.state.log_end_offset == end


def test_a_stale_broker_epoch_refuses_the_whole_request():
    answer = cluster().alter(1, (1,), broker_epoch=77)
    assert (answer.error, answer.partitions) == (Error.STALE_BROKER_EPOCH, ())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"leader_epoch": 2}, Error.NOT_CONTROLLER),
        ({"partition_epoch": 9}, Error.NOT_CONTROLLER),
        ({"leader_epoch": 0}, Error.FENCED_LEADER_EPOCH),
        ({"partition_epoch": 0}, Error.INVALID_UPDATE_VERSION),
    ],
)
def test_epochs_of_the_past_and_of_the_future_are_refused(options, error):
    world = cluster()
    fence(world, 1)  # broker 2 leads with leader epoch 1, partition epoch 1
    (result,) = world.alter(2, (2,), **options).partitions
    assert result == (ORDERS_0, error, -1, -1, (), -1)
    assert world.events[-1] == IsrRefused(ORDERS_0, 2, (2,), error)
    assert world.partition().isr == (2, 3)


def test_a_follower_may_not_alter_the_partition():
    assert cluster().alter(2, (2, 3)).partitions[0][1] is Error.INVALID_REQUEST


@pytest.mark.parametrize("isr", [(2, 3), (1, 4), (1, 2, 2), ()])
def test_an_isr_without_the_leader_with_a_stranger_or_with_somebody_twice_is_refused(isr):
    assert cluster(brokers=4).alter(1, isr).partitions[0][1] is Error.INVALID_REQUEST


def test_an_unknown_partition_is_refused():
    answer = cluster().alter(1, (1,), partition=TopicPartition("orders", 5), leader_epoch=0, partition_epoch=0)
    assert answer.partitions[0][1] is Error.UNKNOWN_TOPIC_OR_PARTITION


def test_a_fenced_replica_is_ineligible():
    world = cluster()
    fence(world, 3)
    assert world.alter(1, (1, 2, 3)).partitions[0][1] is Error.INELIGIBLE_REPLICA


def test_a_replica_in_controlled_shutdown_is_ineligible():
    world = cluster()
    world.heartbeat(1, 1.0, want_shut_down=True)
    assert world.alter(2, (2, 3, 1)).partitions[0][1] is Error.INELIGIBLE_REPLICA


def test_a_replica_that_restarted_since_its_leader_saw_it_is_ineligible():
    world = cluster()
    before = dict(world.epochs)
    for broker_id in (1, 2):
        world.heartbeat(broker_id, 9_000.0)
    world.register(3, incarnation=2, now=9_001.0)
    world.heartbeat(3, 9_002.0)
    assert world.alter(1, (1, 2, 3), epochs=before).partitions[0][1] is Error.INELIGIBLE_REPLICA
    assert world.alter(1, (1, 2, 3)).partitions[0][1] is Error.NONE


def test_a_replica_whose_epoch_its_leader_does_not_know_is_not_checked():
    world = cluster()
    world.alter(1, (1, 2))
    assert world.alter(1, (1, 2, 3), epochs={1: 0, 2: -1, 3: -1}).partitions[0][1] is Error.NONE


def test_a_fenced_leader_that_does_not_know_it_is_refused():
    world = cluster()
    leader_epoch, partition_epoch = world.partition().leader_epoch, world.partition().partition_epoch
    fence(world, 1)
    result = world.alter(1, (1,), leader_epoch=leader_epoch, partition_epoch=partition_epoch).partitions[0]
    assert result[1] is Error.FENCED_LEADER_EPOCH


def test_an_unclean_leader_has_recovered_with_its_first_alter_partition():
    world = cluster(min_isr=1, unclean=True)
    fence(world, 3, 2)
    world.heartbeat(2, 1.0)
    fence(world, 1)
    world.alter(2, (2,))
    assert not world.partition().recovering


# ---------------------------------------------------------------------------------------------------- the metadata log


def test_a_broker_that_is_behind_gets_everything_from_its_offset_on():
    world = cluster()
    (answer,) = world.controller.receive(MetadataFetchRequest(7, 1, 2), "broker-1#metadata", 0.0)
    assert answer.peer == "broker-1#metadata"
    assert answer.message == MetadataFetchResponse(7, 2, tuple(world.state.records[2:]))
    assert len(answer.message.records) == 5  # the third registration, three unfencings, orders-0


def test_a_broker_that_is_up_to_date_waits_for_news():
    world = cluster()
    end = world.state.log_end_offset
    assert world.controller.receive(MetadataFetchRequest(7, 2, end), "broker-2#metadata", 0.0) == []
    request = BrokerHeartbeatRequest(2, 3, world.epochs[3], end, want_fence=True, want_shut_down=False)
    heartbeat, news = world.controller.receive(request, "broker-3#heartbeat", 1.0)
    assert heartbeat.peer == "broker-3#heartbeat"
    assert (news.peer, news.message.correlation_id, news.message.fetch_offset) == ("broker-2#metadata", 7, end)
    assert [record.isr for record in news.message.records[:1]] == [(1, 2)]
    assert news.message.records[1].fenced


def test_news_is_told_once_a_request():
    world = cluster()
    world.controller.receive(MetadataFetchRequest(7, 2, world.state.log_end_offset), "broker-2#metadata", 0.0)
    alter = AlterPartitionRequest(3, 1, 0, ((ORDERS_0, 0, 0, ((1, 0),)),))
    assert len(world.controller.receive(alter, "broker-1#alter", 0.0)) == 2
    alter = AlterPartitionRequest(4, 1, 0, ((ORDERS_0, 0, 1, ((1, 0), (2, 1))),))
    assert len(world.controller.receive(alter, "broker-1#alter", 0.0)) == 1


def test_a_fetch_whose_connection_is_gone_is_forgotten():
    world = cluster()
    world.controller.receive(MetadataFetchRequest(7, 2, world.state.log_end_offset), "broker-2#metadata", 0.0)
    world.controller.receive(Disconnected("broker-2#metadata"), "broker-2#metadata", 0.0)
    alter = AlterPartitionRequest(3, 1, 0, ((ORDERS_0, 0, 0, ((1, 0),)),))
    assert [output.peer for output in world.controller.receive(alter, "broker-1#alter", 0.0) if isinstance(output, Send)] == [
        "broker-1#alter"
    ]


def test_a_fetch_that_finds_nothing_for_half_a_second_is_answered_with_nothing():
    world = cluster()
    end = world.state.log_end_offset
    for broker_id, now in ((2, 100.0), (1, 150.0)):
        world.controller.receive(MetadataFetchRequest(7, broker_id, end), f"broker-{broker_id}#metadata", now)
    assert world.controller.next_deadline() == 600.0
    assert world.controller.wake(599.0) == []
    assert world.controller.wake(600.0) == [Send("broker-2#metadata", MetadataFetchResponse(7, end, ()))]
    assert world.controller.next_deadline() == 650.0
    fence(world, 3)  # which answers the other one
    assert world.controller.wake(650.0) == []
    assert world.controller.next_deadline() > 1_000.0


def test_a_fetch_sent_again_on_a_new_connection_waits_anew_and_behind_the_others():
    world = cluster()
    end = world.state.log_end_offset
    for broker_id, now in ((1, 0.0), (2, 100.0), (1, 200.0)):
        world.controller.receive(MetadataFetchRequest(7, broker_id, end), f"broker-{broker_id}#metadata", now)
    answered = []
    while (deadline := world.controller.next_deadline()) < 1_000.0:
        answered += [(deadline, output.peer) for output in world.controller.wake(deadline)]
    assert answered == [(600.0, "broker-2#metadata"), (700.0, "broker-1#metadata")]


# ---------------------------------------------------------------------------------------------------- topics


def test_partitions_are_spread_over_the_brokers_in_the_order_of_their_ids():
    world = cluster(brokers=4)
    world.controller.receive(CreateTopic("payments", (0, 1, 2, 3), 3, TopicConfig()), "", 0.0)
    replicas = {partition.partition: registration.replicas for partition, registration in world.state.image.partitions.items()}
    del replicas[0]
    assert world.state.image.partitions[TopicPartition("payments", 0)].replicas == (1, 2, 3)
    assert [replicas[index] for index in (1, 2, 3)] == [(2, 3, 4), (3, 4, 1), (4, 1, 2)]


def test_a_new_partition_is_led_by_its_first_living_replica_and_the_fenced_are_not_in_the_isr():
    world = cluster()
    fence(world, 1)
    world.controller.receive(CreateTopic("payments", (0,), 3, TopicConfig(min_insync_replicas=5)), "", 0.0)
    created = world.state.image.partitions[TopicPartition("payments", 0)]
    assert (created.replicas, created.isr, created.leader) == ((1, 2, 3), (2, 3), 2)
    assert (created.leader_epoch, created.partition_epoch, created.min_insync_replicas) == (0, 0, 5)
    assert world.traced(LeaderElected)[-1] == LeaderElected(TopicPartition("payments", 0), 2, 0, (2, 3), False)


def test_nothing_is_placed_on_a_broker_that_is_about_to_stop():
    world = cluster()
    world.heartbeat(1, 1.0, want_shut_down=True)
    world.controller.receive(CreateTopic("payments", (0,), 2, TopicConfig()), "", 0.0)
    assert world.state.image.partitions[TopicPartition("payments", 0)].replicas == (2, 3)


def test_more_replicas_than_brokers_cannot_be_created():
    with pytest.raises(ValueError, match="3 brokers are registered"):
        cluster().controller.receive(CreateTopic("payments", (0,), 4, TopicConfig()), "", 0.0)


# ---------------------------------------------------------------------------------------------------- a controller that crashes


def test_a_controller_that_starts_again_knows_its_log_and_gives_every_broker_a_whole_session():
    world = cluster()
    before = dict(world.state.image.partitions)
    world.restart(100_000.0)
    assert world.state.image.partitions == before
    woken = world.run_until(200_000.0)
    assert woken == [110_125.0, 110_135.0, 110_145.0]


def test_a_controller_that_starts_again_does_not_wait_for_brokers_that_were_fenced():
    world = cluster(brokers=1, min_isr=1)
    fence(world, 1)
    world.restart(100.0)
    assert world.controller.next_deadline() is None
    assert world.register(1, incarnation=2, now=101.0).error is Error.NONE


def test_a_restarted_controller_goes_on_with_a_controlled_shutdown():
    world = cluster()
    world.heartbeat(1, 100.0, want_shut_down=True)
    world.restart(200.0)
    assert world.heartbeat(1, 300.0, want_shut_down=True).should_shut_down


# ---------------------------------------------------------------------------------------------------- periodic tasks


def test_runs_that_could_find_nothing_are_left_out_and_the_rest_stay_on_their_beat():
    task = PeriodicTask(100.0, now=0.0)
    assert task.first_run_after(0.0) == 100.0
    assert task.first_run_after(100.0) == 200.0
    assert task.first_run_after(999.9) == 1_000.0


def test_the_beat_is_counted_from_the_last_run():
    task = PeriodicTask(100.0, now=0.0)
    task.ran(130.0, had_work=False)
    assert task.first_run_after(130.0) == 230.0
    task.ran(230.0, had_work=True)
    assert task.first_run_after(230.0) == 240.0
    assert task.first_run_after(240.0) == 340.0


def test_a_need_that_lasts_does_not_put_off_the_run_that_is_due():
    task = PeriodicTask(100.0, now=0.0)
    task.need(True, 10.0)
    task.need(True, 150.0)
    assert task.due == 100.0
    task.need(False, 160.0)
    assert task.due is None
