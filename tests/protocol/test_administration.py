"""An administrator's elections and settings, as the controller answers them (KIP-460, KIP-339, KIP-966)."""

from __future__ import annotations

import pytest
from protocol.pump import ORDERS, Cluster, produce

from kafkasim.protocol.administration import ElectLeaders, IncrementalAlterConfigs
from kafkasim.protocol.config import TopicConfig
from kafkasim.protocol.controller_trace import LeaderElected
from kafkasim.protocol.election import Election
from kafkasim.protocol.errors import Error

SESSION_MS = 9_000
FIVE_MINUTES = 300_000


def cluster(**config):
    world = Cluster()
    world.create_topic("orders", **config)
    world.advance(1_000)
    world.traced.clear()
    return world


def registration(world):
    return world.state.image.partitions[ORDERS]


def ask(world, call):
    world.call("controller-100", call)
    return world.outputs["controller-100"][-1].results[0][1]


def elect(world, election, partition=ORDERS):
    return ask(world, ElectLeaders((partition,), election))


def alter(world, **settings):
    call = IncrementalAlterConfigs("orders", tuple((name.replace("_", "."), value) for name, value in settings.items()))
    return ask(world, call)


def led_by_another():
    """Broker 1, the preferred leader, is away for a session, and back in the ISR; broker 2 leads."""
    world = cluster()
    world.crash("broker-1")
    world.advance(2 * SESSION_MS)
    world.start_broker(1)
    world.advance(2 * SESSION_MS)
    assert registration(world).leader != 1
    assert sorted(registration(world).isr) == [1, 2, 3]
    world.traced.clear()
    return world


def without_a_leader(alive=3, **config):
    """Only broker 1 was in the ISR, and it is gone; the brokers `alive` on are there and may not lead."""
    world = cluster(**config)
    for broker_id in (2, 3):
        world.crash(f"broker-{broker_id}")
    world.advance(2 * SESSION_MS)
    world.request("shop", "broker-1", produce(1, 1, 0, 10))
    world.crash("broker-1")
    world.advance(2 * SESSION_MS)
    for broker_id in range(alive, 4):
        world.start_broker(broker_id)
    world.advance(2 * SESSION_MS)
    assert registration(world).leader == -1
    world.traced.clear()
    return world


# ---------------------------------------------------------------------------------------------------- elections


def test_the_preferred_leader_leads_again_when_it_is_asked_for():
    world = led_by_another()
    assert elect(world, Election.PREFERRED) is Error.NONE
    assert [(elected.leader, elected.unclean) for elected in world.traces(LeaderElected)] == [(1, False)]
    assert world.partition(1).is_leader


def test_an_election_that_would_change_nothing_is_not_needed():
    world = cluster()
    assert elect(world, Election.PREFERRED) is Error.ELECTION_NOT_NEEDED
    assert elect(world, Election.UNCLEAN) is Error.ELECTION_NOT_NEEDED
    assert elect(led_by_another(), Election.UNCLEAN) is Error.ELECTION_NOT_NEEDED


def test_a_preferred_leader_that_is_out_of_sync_is_not_available():
    world = cluster()
    world.crash("broker-1")
    world.advance(2 * SESSION_MS)
    epoch = registration(world).leader_epoch
    assert elect(world, Election.PREFERRED) is Error.PREFERRED_LEADER_NOT_AVAILABLE
    assert registration(world).leader_epoch == epoch


def test_a_partition_that_does_not_exist_is_not_elected_for():
    assert elect(cluster(), Election.PREFERRED, ORDERS._replace(partition=7)) is Error.UNKNOWN_TOPIC_OR_PARTITION


def test_an_unclean_election_on_demand_asks_for_nobodys_leave_and_loses_what_the_new_leader_has_not():
    world = without_a_leader()
    assert not world.state.topic_configs["orders"].unclean_leader_election_enable
    assert elect(world, Election.UNCLEAN) is Error.NONE
    assert [(elected.leader, elected.isr, elected.unclean) for elected in world.traces(LeaderElected)] == [(3, (3,), True)]
    assert registration(world).elr == ()
    assert registration(world).recovering
    world.start_broker(1)
    world.advance(4 * SESSION_MS)
    assert world.disks[1].logs[ORDERS].log_end_offset == 0


def test_with_nobody_alive_no_leader_is_eligible():
    world = without_a_leader(alive=4)
    assert elect(world, Election.UNCLEAN) is Error.ELIGIBLE_LEADERS_NOT_AVAILABLE


# ---------------------------------------------------------------------------------------------------- settings


def test_unclean_elections_allowed_later_wait_for_the_periodic_task():
    world = without_a_leader()
    assert alter(world, unclean_leader_election_enable=True) is Error.NONE
    assert registration(world).leader == -1
    asked = world.now
    while registration(world).leader == -1 and world.now < asked + 2 * FIVE_MINUTES:
        world.advance(1_000)
    assert registration(world).leader == 3
    assert 0 < world.now - asked <= FIVE_MINUTES


def test_another_min_insync_replicas_reaches_controller_brokers_and_logs():
    world = cluster(min_insync_replicas=1)
    for broker_id in (2, 3):
        world.crash(f"broker-{broker_id}")
    world.advance(2 * SESSION_MS)
    assert registration(world).isr == (1,)
    assert alter(world, min_insync_replicas=2) is Error.NONE
    assert world.state.topic_configs["orders"] == TopicConfig(min_insync_replicas=2)
    assert registration(world).min_insync_replicas == 2
    assert world.partition(1).log.config.min_insync_replicas == 2
    world.request("shop", "broker-1", produce(3, -1))
    assert [reply.results[0].error for reply in world.replies("shop")] == [Error.NOT_ENOUGH_REPLICAS]
    assert alter(world, min_insync_replicas=1) is Error.NONE
    world.request("shop", "broker-1", produce(4, -1))
    assert [reply.results[0].error for reply in world.replies("shop")] == [Error.NONE]


def test_a_broker_that_starts_later_knows_the_altered_setting():
    world = cluster(min_insync_replicas=1)
    alter(world, min_insync_replicas=3)
    world.crash("broker-3")
    world.advance(2 * SESSION_MS)
    world.start_broker(3)
    world.advance(2 * SESSION_MS)
    assert world.partition(3).config.min_insync_replicas == 3


def test_another_min_insync_replicas_empties_the_elr_and_so_nobody_may_lead():
    world = without_a_leader()
    before = registration(world)
    assert (before.elr, before.last_known_elr) == ((1,), (1,))
    alter(world, min_insync_replicas=2)
    after = registration(world)
    assert (after.elr, after.last_known_elr, after.partition_epoch) == ((), (), before.partition_epoch + 1)
    world.start_broker(1)
    world.advance(4 * SESSION_MS)
    assert registration(world).leader == -1
    assert elect(world, Election.UNCLEAN) is Error.NONE


def test_the_same_value_again_and_other_settings_leave_the_elr_alone():
    world = without_a_leader(min_insync_replicas=1)
    written = world.state.log_end_offset
    assert alter(world, min_insync_replicas=1) is Error.NONE
    assert world.state.log_end_offset == written
    alter(world, flush_messages=1)
    assert registration(world).elr == (1,)


def test_a_topic_that_does_not_exist_has_no_settings():
    call = IncrementalAlterConfigs("payments", (("min.insync.replicas", 2),))
    assert ask(cluster(), call) is Error.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize("value", [2**63 - 1, 1])
def test_large_numbers_stay_exact(value):
    assert TopicConfig().altered("flush.messages", value).flush_messages == value
