"""docs/VALIDATION.md is what the recorded runs say, and what was recorded still holds for the simulator as it is now."""

import pytest
from blocks import ROOT

from kafkasim.validation_page import page
from kafkasim.validation_records import Recorded, read_all, read_reasons
from kafkasim.validator import simulate_again

FOLDER = ROOT / "docs/validation"
PAGE = ROOT / "docs/VALIDATION.md"
RECORDS = read_all(FOLDER)
REASONS = read_reasons(FOLDER / "reasons.yaml", RECORDS)
AGAIN = ("zombie-leader", "failed-but-written", "spool-survives-crash", "commit-after", "auto-commit-java", "acks1-leader-crash")


def test_the_page_is_written_from_the_records() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(RECORDS, REASONS, "images/validation.png")


def test_there_are_at_least_25_scenarios_with_three_real_runs_each() -> None:
    assert len(RECORDS) >= 25
    assert all(len(record.real) >= 3 for record in RECORDS)


def test_both_flavours_all_commit_modes_and_the_faults_of_a_real_cluster_are_among_them() -> None:
    assert {flavour for record in RECORDS for flavour in record.flavours} == {"java", "librdkafka"}
    assert {commit for record in RECORDS for commit in record.commits} == {
        "after-processing",
        "before-processing",
        "auto",
        "worker-threads",
    }
    faults = {fault for record in RECORDS for fault in record.faults}
    assert faults >= {"crash", "shutdown", "pause", "partition", "delay", "disconnect", "drop-responses", "bounce"}


@pytest.mark.parametrize("record", RECORDS, ids=[record.scenario for record in RECORDS])
def test_every_disagreement_has_a_reason(record: Recorded) -> None:
    assert [row.key for row in record.comparison(REASONS).unexplained] == []


@pytest.mark.parametrize("name", AGAIN)
def test_the_recorded_real_runs_still_lie_within_what_the_simulator_spans(name: str) -> None:
    record = next(record for record in RECORDS if record.scenario == name)
    assert [row.key for row in simulate_again(record, seeds=24).comparison(REASONS).unexplained] == []
