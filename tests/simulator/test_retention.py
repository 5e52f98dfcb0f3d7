"""Retention in a whole run: what is deleted is in the ledger, and a group's way around it is the one of its auto.offset.reset."""

import pytest

from kafkasim.report import make_report
from kafkasim.scenario import Scenario, ScenarioError
from kafkasim.simulator.simulation import Simulator

YAML = """
name: lesson
title: a lesson
cluster: {config: {log.retention.check.interval.ms: 500, log.initial.task.delay.ms: 0}}
topics:
  orders: {replication.factor: 3, config: {min.insync.replicas: 2, retention.ms: 2000, segment.ms: 500}}
producers:
  - {name: shop, topic: orders, records: 600, rate: 100, config: {acks: all}}
"""
GROUP = """
consumers:
  - {group: billing, topics: [orders], committed: beginning, config: {auto.offset.reset: none}}
"""


def test_every_record_is_in_the_ledgers_log_once_and_what_retention_took_is_marked() -> None:
    ledger = Simulator().run(Scenario.loads(YAML), 1)
    offsets = [(entry.base_offset, len(entry.numbers), entry.expired) for entry in ledger.log]
    assert sum(count for _, count, _ in offsets) == 600
    reached = 0
    for base_offset, count, _ in offsets:
        assert base_offset == reached
        reached += count
    expired = [expired for _, _, expired in offsets]
    assert expired == sorted(expired, reverse=True), "the oldest go"
    assert any(expired)


def test_what_one_leader_removed_is_known_when_another_one_leads_at_the_end() -> None:
    faults = "faults:\n  - {at: 4s, fault: crash, node: leader(orders-0), as: crash}\n"
    scenario = Scenario.loads(YAML + faults)
    report = make_report(scenario, Simulator().run(scenario, 1))
    assert (report.acked, report.acked_lost) == (600, 0)
    assert report.expired > 100


def test_a_group_that_has_committed_the_beginning_starts_there_whatever_auto_offset_reset_says() -> None:
    scenario = Scenario.loads(YAML + GROUP)
    ledger = Simulator().run(scenario, 1)
    assert make_report(scenario, ledger).groups["billing"].processed == 600
    assert ledger.skipped == []
    nothing = scenario.with_({"consumers.billing.committed": "nothing"})
    ended = Simulator().run(nothing, 1)
    assert any("poll() found no offset to start from" in note for note in ended.notes)


def test_by_duration_that_would_have_to_start_in_an_empty_topic_is_refused_with_the_way_out() -> None:
    scenario = Scenario.loads(YAML + GROUP)
    with pytest.raises(ScenarioError, match="finds no position in a topic that is empty"):
        scenario.with_({"consumers.billing.committed": "nothing", "consumers.billing.config.auto.offset.reset": "by_duration:PT1S"})
    scenario.with_({"consumers.billing.config.auto.offset.reset": "by_duration:PT1S"})


def test_what_retention_removed_of_a_log_that_a_reassignment_deleted_is_not_lost() -> None:
    actions = "faults:\n  - {at: 4s, fault: reassign, partition: orders-0, to: [2]}\n"
    actions += "  - {at: 5s, fault: reassign, partition: orders-0, to: [3]}\n"
    scenario = Scenario.loads(YAML + actions)
    report = make_report(scenario, Simulator().run(scenario, 1))
    assert (report.acked, report.acked_lost) == (600, 0)
    assert report.expired > 100
