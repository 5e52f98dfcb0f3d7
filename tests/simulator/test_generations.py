"""A run under an older generation of replication: what lies differently on two brokers is in the ledger."""

from __future__ import annotations

import pytest

from kafkasim.ledger import Ledger
from kafkasim.runner import run
from kafkasim.scenario import Scenario
from kafkasim.simulator.simulation import Simulator
from kafkasim.simulator.violations import InvariantViolated
from kafkasim.simulator.watched import WatchedSimulator


def ledger_of(name: str) -> Ledger:
    return Simulator().run(Scenario.load(name), seed=1)


def test_records_that_a_follower_has_in_place_of_the_leaders_are_in_the_ledger_record_by_record() -> None:
    ledger = ledger_of("both-fail-diverged")
    assert {entry.broker for entry in ledger.diverged} == {1}
    at = {entry.base_offset: entry for entry in ledger.log}
    for entry in ledger.diverged:
        assert len(entry.numbers) == 1
        assert at[entry.base_offset].numbers[0] != entry.numbers[0]
    offsets = [entry.base_offset for entry in ledger.diverged]
    assert offsets == list(range(offsets[0], offsets[-1] + 1))


@pytest.mark.parametrize("name", ["both-fail-diverged-kip101", "fast-failover-kip279"])
def test_where_logs_are_reconciled_none_are(name: str) -> None:
    assert ledger_of(name).diverged == []


@pytest.mark.parametrize(
    ("scenario", "generation", "invariant"),
    [
        ("high-watermark-truncation", "hw", "NoCommittedRecordLost"),
        ("both-fail-diverged", "hw", "LogMatching"),
        ("fast-failover", "kip101", "LogMatching"),
        ("stale-epoch-fetch", "kip279", "LeaderCandidateCompleteness"),
    ],
)
def test_each_old_generation_breaks_an_invariant_in_its_counter_example(scenario: str, generation: str, invariant: str) -> None:
    counter_example = Scenario.load(scenario)
    assert counter_example.cluster.truncation == generation
    with pytest.raises(InvariantViolated) as violated:
        run(counter_example, backend=WatchedSimulator())
    assert violated.value.name == invariant


@pytest.mark.parametrize(
    "fix", ["high-watermark-truncation-kip101", "both-fail-diverged-kip101", "fast-failover-kip279", "stale-epoch-fetch-kip320"]
)
def test_the_next_generation_keeps_every_invariant_in_the_same_counter_example(fix: str) -> None:
    assert Scenario.load(fix).cluster.truncation == fix.rpartition("-")[2]
    run(Scenario.load(fix), backend=WatchedSimulator())
