"""Watching a run changes nothing, and each invariant says what it saw."""

from __future__ import annotations

import pytest

from kafkasim.ledger import Ledger
from kafkasim.protocol.config import TopicConfig
from kafkasim.protocol.log import Log
from kafkasim.protocol.records import LogBatch, RecordBatch, TopicPartition
from kafkasim.runner import run
from kafkasim.scenario import Scenario
from kafkasim.simulator.histories import History
from kafkasim.simulator.violations import INVARIANTS, InvariantViolated
from kafkasim.simulator.watched import WatchedSimulator

ORDERS = TopicPartition("orders", 0)


def batch(base_offset: int, leader_epoch: int = 0) -> LogBatch:
    return LogBatch(base_offset, base_offset + 2, leader_epoch, RecordBatch("shop", range(base_offset, base_offset + 2), 100, 0.0), 0.0)


def log_of(*batches: LogBatch) -> Log:
    log = Log(ORDERS, TopicConfig())
    for each in batches:
        log.append_as_follower(each, 0.0)
    return log


FIRST, SECOND, OTHER = batch(0), batch(2), batch(2, leader_epoch=1)


@pytest.mark.parametrize("name", ["zombie-leader", "power-loss", "last-replica-unclean", "takeover"])
def test_a_run_that_is_watched_is_the_same_run(name: str) -> None:
    scenario, ledgers = Scenario.load(name), list[Ledger]()
    run(scenario, keep=ledgers.append)
    run(scenario, backend=WatchedSimulator(), keep=ledgers.append)
    assert ledgers[0].digest() == ledgers[1].digest()


def test_an_unclean_election_waives_what_the_new_leader_lacks_and_the_rest_stays() -> None:
    simulator = WatchedSimulator()
    run(Scenario.load("last-replica-unclean"), backend=simulator)
    assert simulator.invariants is not None
    assert simulator.invariants.waived["unclean elections"] >= 1
    assert simulator.invariants.waived["committed batches given up"] > 0


def test_who_has_the_last_committed_batch_has_all_of_them() -> None:
    history = History(ORDERS)
    assert history.commit(log_of(FIRST, SECOND), 4, 0) is None
    assert history.high_watermark == 4
    assert history.held_by(log_of(FIRST, SECOND, batch(4)))
    assert not history.held_by(log_of(FIRST))
    assert not history.held_by(log_of(FIRST, OTHER))
    assert not history.held_by(None)


def test_what_older_leaders_committed_can_be_asked_for() -> None:
    history = History(ORDERS)
    history.commit(log_of(FIRST), 2, 0)
    history.commit(log_of(FIRST, OTHER), 4, 1)
    assert history.tail() == OTHER
    assert history.tail(before_epoch=1) == FIRST
    assert history.held_by(log_of(FIRST), before_epoch=1)


def test_a_leader_that_lacks_what_is_committed_cannot_commit() -> None:
    history = History(ORDERS)
    history.commit(log_of(FIRST, SECOND), 4, 0)
    assert history.commit(log_of(FIRST, OTHER, batch(4, 1)), 6, 1) == SECOND
    assert history.contradicts(log_of(FIRST, OTHER), 4) == OTHER
    assert history.contradicts(log_of(FIRST, SECOND), 4) is None


def test_what_is_given_up_is_no_longer_committed_and_nobody_is_blamed_for_it() -> None:
    history = History(ORDERS)
    history.commit(log_of(FIRST, SECOND), 4, 0)
    assert history.give_up(log_of(FIRST), 3) == 1
    assert history.high_watermark == 2
    assert history.is_given_up(SECOND)
    assert not history.is_committed(SECOND)
    assert history.is_committed(FIRST)


def test_a_violation_says_when_where_and_what_and_whence_the_invariant_comes() -> None:
    said = str(InvariantViolated("NoHole", "1.000 s, orders-0: on broker 1 …"))
    assert said.startswith("NoHole (batches follow each other")
    assert said.endswith("1.000 s, orders-0: on broker 1 …")
    assert all("(" in sentence or "KIP" in sentence for sentence in INVARIANTS.values())


ADMINISTRATOR = """
name: administrator
topics: {orders: {config: {min.insync.replicas: 2}}}
producers: [{name: shop, topic: orders, records: 400, rate: 200}]
consumers: []
"""


def test_an_administrator_may_ask_a_quorum_for_the_same_twice_before_the_first_answer() -> None:
    twice = "cluster: {controllers: 3}\nfaults:\n" + 2 * "- {fault: reassign, partition: orders-0, to: [2, 3, 1], at: 1s}\n"
    report = run(Scenario.loads(ADMINISTRATOR + twice), backend=WatchedSimulator())
    assert (report.acked, report.acked_lost, report.notes) == (400, 0, ())


def test_a_former_replica_that_a_reassignment_left_in_the_elr_is_elected_with_an_empty_log_and_the_guarantee_is_waived() -> None:
    faults = """
faults:
- {fault: reassign, at: 300ms, partition: orders-0, to: [1]}
- {fault: crash, at: 1s, for: 15s, node: broker(1)}
- {fault: reassign, at: 12s, partition: orders-0, to: [2, 3, 1]}
"""
    watched = WatchedSimulator()
    report = run(Scenario.loads(ADMINISTRATOR + faults), backend=watched)
    assert watched.invariants is not None
    assert watched.invariants.waived["elections of a replica that a reassignment had deleted, and left in the ELR"] == 1
    assert report.acked_lost > 100
    assert not report.violated
    assert any("leaves former ones in the ELR" in said.sentence for said in report.not_promised)


MOVED = """
name: moved
cluster: {brokers: 4, config: {log.retention.check.interval.ms: 200, log.initial.task.delay.ms: 100}}
topics:
  orders: {partitions: 2, config: {min.insync.replicas: 2, retention.ms: 1000, segment.ms: 300}}
producers:
  - {name: shop, topic: orders, records: 800, rate: 200, config: {acks: all}}
faults:
"""


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(["{at: 1s, fault: reassign, partition: orders, to: [4, 3]}"] * 2, id="away"),
        pytest.param(
            [
                "{at: 1s, fault: reassign, partition: orders, to: [4, 3]}",
                "{at: 1300ms, fault: reassign, partition: orders, to: [1, 2]}",
            ],
            id="away and back",
        ),
        pytest.param(["{at: 1s, fault: reassign, partition: orders, to: [4]}"], id="to one, so that the ELR names who is no replica"),
        pytest.param(
            [
                "{at: 2s, fault: reassign, partition: orders, to: [4, 2, 3]}",
                "{at: 3s, fault: alter-config, topic: orders, config: {retention.ms: 100}}",
            ],
            id="a follower's active segment begins below the log's start",
        ),
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_replicas_that_go_and_records_that_are_deleted_are_no_violation(faults: list[str], seed: int) -> None:
    scenario = Scenario.loads(MOVED + "".join(f"  - {fault}\n" for fault in faults))
    run(scenario, seed, backend=WatchedSimulator())


def test_a_zombies_records_may_come_back_where_retention_has_removed_what_replaced_them() -> None:
    """Its log ends where the leader's begins, so nothing tells it to truncate; a moment later it is elected, cleanly."""
    expired = """
name: expired-and-replaced
kafka: "3.6"
cluster:
  brokers: 5
  config: {broker.session.timeout.ms: 3000, broker.heartbeat.interval.ms: 300, replica.lag.time.max.ms: 4000, replica.fetch.backoff.ms: 100,
    log.retention.check.interval.ms: 300, log.initial.task.delay.ms: 100}
  startup.ms: 1500
  shutdown.ms: 100
topics: {orders: {config: {segment.ms: 200, retention.ms: 400}}}
producers:
- name: shop
  topic: orders
  client: librdkafka
  records: 200
  rate: 500
  config: {acks: 1, socket.timeout.ms: 1000, message.timeout.ms: 10000}
faults:
- {fault: shutdown, at: 400ms, for: 1533ms, node: leader(orders-0)}
- {fault: shutdown, at: 224ms, for: 100ms, node: leader(orders-0)}
- {fault: power-loss, at: 0s, for: 100ms, node: followers(orders-0)}
"""
    report = run(Scenario.loads(expired), 360, backend=WatchedSimulator())
    assert report.acked_lost > 0  # acks=1: nobody had promised them
    assert not report.violated


def test_who_replaces_expired_records_contradicts_nobody_and_who_replaces_others_does() -> None:
    history = History(TopicPartition("orders", 0))
    old, new = batch(0), batch(0, leader_epoch=3)
    assert history.commit(log_of(new), 2, 3) is None
    assert history.contradicts(log_of(old), 2) is old
    history.expire_below(2)
    assert history.contradicts(log_of(old), 2) is None


def test_an_unclean_leader_that_ends_below_what_had_expired_begins_another_history() -> None:
    lost = """
name: both-lose-power
cluster:
  config: {broker.session.timeout.ms: 1500, broker.heartbeat.interval.ms: 300, replica.lag.time.max.ms: 1000, replica.fetch.backoff.ms: 100,
    log.retention.check.interval.ms: 300, log.initial.task.delay.ms: 100}
  startup.ms: 1500
topics: {orders: {replication.factor: 2, config: {unclean.leader.election.enable: true, segment.ms: 200, retention.ms: 400}}}
producers:
- {name: shop, topic: orders, records: 46, rate: 200, config: {request.timeout.ms: 1000, delivery.timeout.ms: 10000}}
faults:
- {fault: power-loss, at: 78ms, for: 100ms, node: leader(orders-0)}
- {fault: power-loss, at: 1550ms, for: 100ms, node: leader(orders-0)}
"""
    watched = WatchedSimulator()
    report = run(Scenario.loads(lost), 36, backend=watched)
    assert watched.invariants is not None
    assert watched.invariants.waived["committed batches given up"] > 0
    assert not report.violated
