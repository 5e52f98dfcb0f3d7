"""What an administrator does during a run: how it is written, what cannot be, and what becomes of it in a simulated run."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from kafkasim.admin_faults import refusal
from kafkasim.faults import AnyFault, Fault, Verb
from kafkasim.runner import run
from kafkasim.scenario import Scenario, ScenarioError, schema

_READER: TypeAdapter[Fault] = TypeAdapter(AnyFault)
PARTITIONS = {"orders": 2, "clicks": 1}
BASE = """\
cluster: {brokers: 4}
topics: {orders: {partitions: 2}, clicks: {}}
producers:
  - {name: shop, topic: orders, records: 400, rate: 200, config: {acks: ACKS}}
faults:
"""


def action(**fields: object) -> Any:
    return _READER.validate_python({"at": "1s", **fields})


def verbs(fault: Any) -> list[Verb]:
    return list(fault.steps(fault.subjects(PARTITIONS), ()))


def scenario(*lines: str, acks: str = "all") -> Scenario:
    return Scenario.loads(BASE.replace("ACKS", acks) + "".join(f"  - {line}\n" for line in lines), "x.yaml")


def problems(line: str) -> list[str]:
    with pytest.raises(ScenarioError) as refusals:
        scenario(line)
    return [problem.sentence for problem in refusals.value.problems]


# ---------------------------------------------------------------------------------------------------- how they are written


def test_an_election_is_asked_for_each_partition_once() -> None:
    assert verbs(action(fault="elect", partition="orders-1", election="preferred")) == [Verb("elect", ("orders-1", "preferred"))]
    everything = action(fault="elect", partition=["orders-1", "orders", "clicks"], election="unclean")
    assert [verb.arguments[0] for verb in verbs(everything)] == ["orders-1", "orders-0", "clicks-0"]
    assert str(everything) == "unclean election of orders-1, orders, clicks at 1s"


def test_a_reassignment_names_brokers_or_takes_back() -> None:
    move, back = action(fault="reassign", partition="clicks", to=[4, 2]), action(fault="reassign", partition="clicks", to="cancel")
    assert verbs(move) == [Verb("reassign", ("clicks-0", 4, 2))]
    assert verbs(back) == [Verb("reassign", ("clicks-0",))]
    assert str(move) == "reassignment of clicks to 4, 2 at 1s"
    assert str(back) == "cancelled reassignment of clicks at 1s"


def test_settings_become_what_kafka_makes_of_them() -> None:
    change = action(fault="alter-config", topic="orders", config={"unclean.leader.election.enable": "true", "min.insync.replicas": "3"})
    assert verbs(change) == [
        Verb("alter_config", ("orders", "unclean.leader.election.enable", True)),
        Verb("alter_config", ("orders", "min.insync.replicas", 3)),
    ]
    assert str(change) == "unclean.leader.election.enable=true, min.insync.replicas=3 for orders at 1s"


def test_what_is_written_is_read_back() -> None:
    written = scenario(
        "{at: 1s, fault: elect, partition: [orders-0, clicks], election: preferred, as: back}",
        "{at: 1s, fault: reassign, partition: orders-0, to: [4, 2, 3]}",
        "{at: 2s, fault: reassign, partition: orders-0, to: cancel}",
        "{at: 2s, fault: alter-config, topic: orders, config: {min.insync.replicas: 2}}",
    )
    again = Scenario.loads(written.to_yaml(), "x.yaml")
    assert again.faults == written.faults
    assert again.scenario_id == written.scenario_id


def test_the_schema_knows_them_with_the_settings_of_a_topic() -> None:
    parts = schema()["$defs"]
    assert {"Elect", "Reassign", "AlterConfig"} <= set(parts)
    assert "min.insync.replicas" in parts["AlterConfig"]["properties"]["config"]["properties"]
    assert all("description" in key for name in ("Elect", "Reassign") for key in parts[name]["properties"].values() if "const" not in key)


def test_nothing_takes_them_back_and_a_for_is_noted() -> None:
    assert action(fault="elect", partition="orders", election="unclean").end(("orders-0",), ()) == []
    notes = scenario("{at: 1s, for: 3s, fault: elect, partition: orders, election: preferred}").notes
    assert "faults.0: nothing takes an administrator's action back; `for` has no effect." in notes


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "{at: 1s, fault: elect, partition: orders-2, election: preferred}",
            "`orders-2`: the topic has no partition 2; the last one is orders-1.",
        ),
        ("{at: 1s, fault: elect, partition: order, election: preferred}", "there is no partition `order`; did you mean `orders`?"),
        ("{at: 1s, fault: elect, partition: [], election: preferred}", "an empty list names no partition."),
        (
            "{at: 1s, fault: elect, partition: 3, election: preferred}",
            "3 names no partition; it is written like orders-0, or orders for all partitions of the topic.",
        ),
        ("{at: 1s, fault: elect, partition: orders, election: clean}", "`clean` is not one of preferred, unclean; did you mean `unclean`?"),
        (
            "{at: 1s, fault: elect, partition: orders}",
            "`election` is missing: preferred: the first replica; unclean: anybody, whatever that loses.",
        ),
        (
            "{at: 1s, fault: elect, node: brokers, partition: orders, election: preferred}",
            "unknown key `node`: this fault has none; it belongs to "
            "crash, power-loss, shutdown, pause, partition, delay, disconnect, drop-responses, slow-disk, bounce.",
        ),
        ("{at: 1s, fault: reassign, partition: orders, to: [4, 5]}", "there is no broker 5; the cluster's brokers are 1 to 4."),
        (
            "{at: 1s, fault: reassign, partition: orders, to: [4, 2, 4]}",
            "broker 4 stands in the list twice, and can hold one replica only.",
        ),
        (
            "{at: 1s, fault: reassign, partition: orders, to: []}",
            "[] is no list of brokers; it is written like [2, 3, 1], the preferred leader first, or cancel.",
        ),
        ("{at: 1s, fault: reassign, partition: orders, to: [one]}", "'one' is not the id of a broker; ids are whole numbers from 1."),
        (
            "{at: 1s, fault: alter-config, topic: clocks, config: {min.insync.replicas: 2}}",
            "there is no topic `clocks`; did you mean `clicks`?",
        ),
        ("{at: 1s, fault: alter-config, topic: orders, config: {}}", "no setting is named, so that nothing would change."),
        (
            "{at: 1s, fault: alter-config, topic: orders, config: {compression.type: gzip}}",
            "compression.type is not modelled, so that its change would change nothing.",
        ),
        (
            "{at: 1s, fault: alter-config, topic: orders, config: {min.insync.replica: 2}}",
            "min.insync.replica is not a setting of a topic; did you mean min.insync.replicas?",
        ),
    ],
)
def test_an_action_that_cannot_be_is_one_sentence(line: str, sentence: str) -> None:
    assert problems(line) == [sentence]


def test_a_setting_whose_value_is_a_word_may_be_altered() -> None:
    change = "{at: 1s, fault: alter-config, topic: orders, config: {cleanup.policy: compact}}"
    assert run(scenario(change)).notes == ()


def test_what_retention_did_is_told_with_the_tightest_setting_of_the_run() -> None:
    brokers = {"cluster.config": {"log.retention.check.interval.ms": 200, "log.initial.task.delay.ms": 100}}
    alter = "{at: 500ms, fault: alter-config, topic: orders, config: {retention.ms: 100, segment.ms: 100}}"
    report = run(scenario(alter).with_({**brokers, "producers.shop.records": 400, "producers.shop.rate": 200}))
    assert report.expired > 0
    assert report.settings["topics.orders.retention.ms"] == "100"


def test_no_later_fault_may_hit_the_nodes_of_an_election() -> None:
    with pytest.raises(ScenarioError, match=r"\$back: preferred election of orders is about no node"):
        scenario("{at: 1s, fault: elect, partition: orders, election: preferred, as: back}", "{at: 2s, fault: crash, node: $back}")


# ---------------------------------------------------------------------------------------------------- what becomes of them


def test_a_run_says_what_was_done_to_which_partitions_and_what_was_refused() -> None:
    report = run(
        scenario(
            "{at: 0.5s, fault: elect, partition: orders, election: preferred}", "{at: 1s, fault: reassign, partition: orders-0, to: [2, 4]}"
        ),
        1,
    )
    assert [applied.nodes for applied in report.faults_applied] == [("orders-0", "orders-1"), ("orders-0",)]
    assert [note for note in report.notes if "orders-" in note] == [
        "the preferred election of orders-0 did not take place: ELECTION_NOT_NEEDED",
        "the preferred election of orders-1 did not take place: ELECTION_NOT_NEEDED",
    ]
    assert [verdict.sentence for verdict in report.verdicts if verdict.verdict != "held"] == []


def test_while_the_controller_is_down_the_administrator_tries_again() -> None:
    lines = ("{at: 0.1s, fault: crash, node: controller, for: 1s}", "{at: 0.5s, fault: reassign, partition: orders-0, to: cancel}")
    notes = run(scenario(*lines), 1).notes
    assert "the reassignment of orders-0 was not cancelled: NO_REASSIGNMENT_IN_PROGRESS" in notes


def test_with_no_broker_up_the_administrator_waits_for_one() -> None:
    """Asked at once, the controller would know of nobody who may lead; heard by the first broker that is back, it has elected that one."""
    report = run(
        scenario("{at: 0.1s, fault: crash, node: brokers, for: 20s}", "{at: 15s, fault: elect, partition: clicks, election: unclean}"), 1
    )
    assert [note for note in report.notes if "clicks" in note] == [
        "the unclean election of clicks-0 did not take place: ELECTION_NOT_NEEDED"
    ]


def test_refusals_have_the_same_words_on_either_backend() -> None:
    assert refusal(Verb("reassign", ("orders-0", 4, 2)), "INVALID_REPLICA_ASSIGNMENT") == (
        "the reassignment of orders-0 was not begun: INVALID_REPLICA_ASSIGNMENT"
    )
    assert refusal(Verb("alter_config", ("orders", "min.insync.replicas", 2)), "no answer came") == (
        "min.insync.replicas of orders was not changed: no answer came"
    )


# ---------------------------------------------------------------------------------------------------- what is promised then


def durability(*lines: str, acks: str = "all") -> str:
    report = run(scenario(*lines, acks=acks), 1)
    held = [verdict.sentence for verdict in report.verdicts if verdict.promise == "durability"]
    withheld = [each.sentence for each in report.not_promised if each.promise == "durability"]
    return (held or withheld)[0]


@pytest.mark.parametrize(
    "line",
    ["{at: 1s, fault: elect, partition: clicks, election: preferred}", "{at: 1s, fault: reassign, partition: orders-0, to: [2, 3, 4]}"],
)
def test_acks_1_promises_nothing_once_a_leader_is_moved(line: str) -> None:
    assert durability(line, acks="1").startswith("acks=1 promises nothing when another leader is elected")
    assert "min.insync.replicas=1" in durability(line)
    assert durability("{at: 1s, fault: alter-config, topic: orders, config: {min.insync.replicas: 2}}", acks="1").startswith(
        "no acked record is lost"
    )


def test_after_an_unclean_election_on_demand_acks_all_promises_nothing_of_that_topic() -> None:
    crash = "{at: 0.5s, fault: crash, node: broker(1), for: 1s}"
    assert "an administrator elects uncleanly" in durability(crash, "{at: 1s, fault: elect, partition: orders-0, election: unclean}")
    assert "uncleanly" not in durability(crash, "{at: 1s, fault: elect, partition: clicks, election: unclean}")


def test_the_weakest_setting_of_the_run_is_what_counts() -> None:
    crash = "{at: 0.5s, fault: crash, node: broker(1), for: 1s}"
    allowed = "{at: 1s, fault: alter-config, topic: orders, config: {unclean.leader.election.enable: true}}"
    assert "unclean.leader.election.enable=true" in durability(crash, allowed)
    raised = "{at: 1s, fault: alter-config, topic: orders, config: {min.insync.replicas: 2}}"
    assert "min.insync.replicas=1" in durability(raised)
