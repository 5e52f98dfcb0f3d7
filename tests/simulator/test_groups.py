"""Groups whose members crash: how long a takeover takes, who owns what afterwards, and which way of committing loses."""

from __future__ import annotations

from random import Random

import pytest

from kafkasim.ledger import Handled, Ledger
from kafkasim.protocol.records import TopicPartition
from kafkasim.report import make_report
from kafkasim.runner import run
from kafkasim.scenario import Scenario
from kafkasim.simulator.cluster import SimulatedCluster
from kafkasim.simulator.consuming import ConsumingApplication
from kafkasim.simulator.simulation import Run

SESSION, HEARTBEAT, CRASH = 6_000.0, 1_000.0, 5_000.0
RTT = 50.0  # a few round trips, with a wide margin


def scenario(members: int, fault: str, group: str = "", records: int = 6_000) -> Scenario:
    """Two partitions, a record every 2 ms, and a group that commits after every poll: each commit is a sign of life."""
    return Scenario.loads(
        f"""
topics: {{orders: {{partitions: 2, config: {{min.insync.replicas: 2}}}}}}
producers: [{{name: shop, topic: orders, records: {records}, rate: 500, keys: uniform(50)}}]
consumers:
  - group: billing
    topics: [orders]
    members: {members}
    config: {{session.timeout.ms: 6000, heartbeat.interval.ms: 1000, auto.offset.reset: earliest{group}}}
faults: [{{at: 5s, fault: {fault}}}]
"""
    )


def handled(chosen: Scenario, seed: int) -> tuple[list[Handled], dict[str, int]]:
    ledgers: list[Ledger] = []
    report = run(chosen, seed, keep=ledgers.append).to_dict()
    return ledgers[0].handled, report["groups"]["billing"]


def gap(entries: list[Handled], partition: str) -> tuple[float, str]:
    """When `partition` was handled again after the crash, and by whom; whatever was under way at the crash is over within 100 ms."""
    entry = next(entry for entry in entries if entry.partition == partition and entry.at > CRASH + 100)
    return entry.at, entry.member


def crashed_members_partition(entries: list[Handled]) -> str:
    return next(entry.partition for entry in entries if entry.member == "billing-1")


# ---------------------------------------------------------------------------------------------------- one crash


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_crashed_members_partitions_wait_for_its_session_and_then_for_the_others_next_heartbeat(seed: int) -> None:
    entries, counts = handled(scenario(2, "crash, node: consumer(billing-1), for: 20s"), seed)
    taken_over, member = gap(entries, crashed_members_partition(entries))
    assert member == "billing-0"
    assert SESSION - RTT <= taken_over - CRASH <= SESSION + HEARTBEAT + RTT
    assert counts["lost"] == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_member_that_restarts_at_once_waits_for_the_session_of_its_former_self(seed: int) -> None:
    entries, counts = handled(scenario(1, "crash, node: consumer(billing-0), for: 1s"), seed)
    resumed, _ = gap(entries, "orders-0")
    assert SESSION - RTT <= resumed - CRASH <= SESSION + RTT
    assert counts["lost"] == 0


def test_a_member_that_restarts_after_its_session_waits_for_the_initial_rebalance_of_an_empty_group_only() -> None:
    entries, _ = handled(scenario(1, "crash, node: consumer(billing-0), for: 8s"), 1)
    resumed, _ = gap(entries, "orders-0")
    initial = 3_000.0  # group.initial.rebalance.delay.ms
    assert 8_000 + initial <= resumed - CRASH <= 8_000 + initial + 500


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_member_that_closes_leaves_the_group_so_that_nobody_waits_for_its_session(seed: int) -> None:
    entries, counts = handled(scenario(2, "shutdown, node: consumer(billing-1), for: 20s"), seed)
    taken_over, member = gap(entries, crashed_members_partition(entries))
    assert member == "billing-0"
    assert taken_over - CRASH <= HEARTBEAT + RTT + 100
    assert (counts["lost"], counts["reprocessed"]) == (0, 0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_member_that_is_told_to_stop_in_the_middle_of_its_work_commits_no_more_than_it_has_handled(seed: int) -> None:
    busy = scenario(2, "shutdown, node: consumer(billing-1), for: 2s", ", max.poll.records: 500, auto.commit.interval.ms: 100000")
    busy = busy.with_({"consumers.billing.commit": "auto", "consumers.billing.processing.ms": 5})
    entries, counts = handled(busy, seed)
    last = max(entry.at for entry in entries if entry.member == "billing-1" and entry.at < CRASH + 2_000)
    assert last > CRASH, "it was at work"
    assert (counts["lost"], counts["reprocessed"]) == (0, 0)


def test_a_member_that_is_paused_beyond_its_session_cannot_commit_what_another_owns_by_then() -> None:
    ledgers: list[Ledger] = []
    report = run(scenario(2, "pause, node: consumer(billing-1), for: 9s"), 1, keep=ledgers.append).to_dict()
    late = [commit for commit in ledgers[0].commits if commit.member == "billing-1" and CRASH + 9_000 <= commit.at < CRASH + 9_200]
    assert all(commit.error for commit in late)
    assert report["groups"]["billing"]["lost"] == 0


# ---------------------------------------------------------------------------------------------------- after a truncation


@pytest.mark.parametrize(
    ("client", "commit", "lost"),
    [
        ("java", "commit: after-processing", False),
        ("java", "commit: auto", False),
        ("java", "commit: worker-threads, worker.commit: lowest-contiguous", True),
        ("librdkafka", "commit: after-processing", True),
    ],
)
def test_a_member_that_was_away_while_the_log_was_cut_notices_it_by_the_committed_epoch(client: str, commit: str, lost: bool) -> None:
    """Java validates a committed offset before it reads there, if it carries an epoch; offsets that the application names carry none.

    librdkafka does not validate it. Who does not notice passes over the new records below the old offset.
    """
    chosen = Scenario.loads(
        f"""
topics: {{orders: {{partitions: 1, replication.factor: 1}}}}
producers: [{{name: shop, topic: orders, records: 5000, rate: 250, config: {{acks: all}}}}]
consumers:
  - {{group: billing, topics: [orders], client: {client}, {commit}, config: {{session.timeout.ms: 6000, auto.offset.reset: earliest}}}}
faults:
  - {{at: 4.9s, fault: crash, node: consumer(billing-0), for: 14s}}
  - {{at: 5s, fault: power-loss, node: leader(orders-0), for: 1s}}
"""
    )
    counts = run(chosen, 1).to_dict()["groups"]["billing"]
    assert (counts["lost"] > 0) is lost


# ---------------------------------------------------------------------------------------------------- a soak

GROUPS = {
    "by-hand": "commit: after-processing",
    "contiguous": "commit: worker-threads, worker.commit: lowest-contiguous, threads: 4",
    "java": "commit: auto",
    "librdkafka": "commit: auto, client: librdkafka",
}
NEVER_LOSE = ("by-hand", "contiguous", "java")
SEEDS = range(1, 11)


def stormy(seed: int) -> Scenario:
    """Four groups of three members over four partitions; every group is struck five times, at random."""
    random = Random(seed)
    faults = [
        f"{{at: {random.uniform(1, 9):.3f}s, fault: {random.choice(['crash', 'crash', 'pause', 'shutdown'])}, "
        f"node: consumer({group}-{random.randrange(3)}), for: {random.uniform(0.2, 9):.3f}s}}"
        for group in GROUPS
        for _ in range(5)
    ]
    config = (
        "{session.timeout.ms: 6000, heartbeat.interval.ms: 1000, "
        "auto.commit.interval.ms: 100, max.poll.records: 100, auto.offset.reset: earliest}"
    )
    groups = [
        f"{{group: {name}, topics: [orders], members: 3, processing.ms: 5, {rest}, config: {config}}}" for name, rest in GROUPS.items()
    ]
    return Scenario.loads(
        "topics: {orders: {partitions: 4, config: {min.insync.replicas: 2}}}\n"
        "producers: [{name: shop, topic: orders, records: 2000, rate: 200, keys: uniform(50), config: {linger.ms: 50}}]\n"
        f"consumers: [{', '.join(groups)}]\n"
        f"faults: [{', '.join(faults)}]\n"
    )


@pytest.fixture(scope="module")
def storms() -> list[tuple[dict[str, list[TopicPartition]], dict[str, dict[str, int]]]]:
    """Of each seed: who owns what at the end, and the groups' counts."""
    outcomes = []
    for seed in SEEDS:
        chosen = stormy(seed)
        ledger = Ledger("simulator", seed, groups=tuple(GROUPS))
        one = Run(SimulatedCluster(chosen, seed, ledger, None), None)
        one.all_phases()
        owned: dict[str, list[TopicPartition]] = {group: [] for group in GROUPS}
        for application in one._running(ConsumingApplication):
            owned[application.client.group] += application.assignment or ()
        outcomes.append((owned, make_report(chosen, ledger).to_dict()["groups"]))
    return outcomes


def test_after_the_heal_every_partition_is_owned_exactly_once_whatever_had_crashed(storms) -> None:
    everything = [TopicPartition("orders", index) for index in range(4)]
    for owned, _ in storms:
        assert {group: sorted(partitions) for group, partitions in owned.items()} == dict.fromkeys(GROUPS, everything)


def test_committing_what_is_handled_never_loses_by_hand_in_order_or_by_javas_automatic_commit(storms) -> None:
    for seed, (_, counts) in zip(SEEDS, storms, strict=True):
        assert {group: counts[group]["lost"] for group in NEVER_LOSE} == dict.fromkeys(NEVER_LOSE, 0), f"seed {seed}"
    assert sum(counts[group]["reprocessed"] for _, counts in storms for group in NEVER_LOSE) > 0


def test_librdkafkas_automatic_commit_can_lose_since_it_commits_what_is_not_yet_handled(storms) -> None:
    assert any(counts["librdkafka"]["lost"] > 0 for _, counts in storms)


def test_a_fault_that_hits_a_group_before_its_start_does_not_start_it() -> None:
    chosen = scenario(1, "crash, node: consumer(billing-0), for: 1s").with_({"consumers.billing.start": "8s", "faults.0.at": "1s"})
    entries, counts = handled(chosen, 1)
    assert min(entry.at for entry in entries) > 8_000
    assert counts["lost"] == 0


def test_what_holds_a_member_down_at_its_start_starts_it_when_it_is_over() -> None:
    chosen = scenario(1, "crash, node: consumer(billing-0), for: 3s").with_({"consumers.billing.start": "6s", "faults.0.at": "4s"})
    entries, counts = handled(chosen, 1)
    assert min(entry.at for entry in entries) > 7_000
    assert counts["lost"] == 0
