"""A run under an older generation of replication: what lies differently on two brokers is in the ledger."""

from __future__ import annotations

import pytest

from kafkasim.ledger import Ledger
from kafkasim.scenario import Scenario
from kafkasim.simulator.simulation import Simulator


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
