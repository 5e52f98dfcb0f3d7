"""Idempotence at its edges: who recognises a retry, who has forgotten, and what a new epoch is good for. Read from the trace."""

from __future__ import annotations

from typing import Any

import pytest

from kafkasim.protocol.errors import Error
from kafkasim.report import Report
from kafkasim.runner import run
from kafkasim.scenario import Scenario
from kafkasim.trace import Trace, TraceEntry


def traced(name: str, changes: dict[str, Any] | None = None, seed: int = 1) -> tuple[Report, list[TraceEntry]]:
    trace = Trace()
    report = run(Scenario.load(name).with_(changes or {}), seed, trace=trace)
    return report, trace.entries


def of_kind(entries: list[TraceEntry], kind: str) -> list[TraceEntry]:
    return [entry for entry in entries if type(entry.event).__name__ == kind]


def test_a_new_leader_recognises_the_retries_of_batches_that_the_old_one_appended() -> None:
    report, entries = traced("idempotent-leader-change")
    [crashed] = report.to_dict()["faults_applied"][1]["nodes"]
    dropped = of_kind(entries, "DuplicateDropped")
    assert len(dropped) == 5
    assert all(entry.node != crashed for entry in dropped)


def test_the_expiration_ms_alone_decides_whether_a_late_retry_is_recognised() -> None:
    for expiration_ms, duplicates, recognised in ((3_000, 15, 0), (60_000, 0, 5)):
        report, entries = traced("producer-state-expiry", {"cluster.config.producer.id.expiration.ms": expiration_ms})
        assert (report.log_duplicates, len(of_kind(entries, "DuplicateDropped"))) == (duplicates, recognised)


def test_a_restarted_leader_takes_the_oldest_retry_for_a_gap_and_all_of_them_come_again_in_a_new_epoch() -> None:
    report, entries = traced("idempotent-restart")
    [refused] = of_kind(entries, "SequenceRefused")
    assert refused.event.error is Error.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert len(of_kind(entries, "EpochBumped")) == 1
    assert report.log_duplicates == 15


def test_no_more_than_one_batch_in_flight_makes_a_restart_harmless() -> None:
    report, entries = traced("idempotent-restart", {"producers.shop.config.max.in.flight.requests.per.connection": 1})
    assert len(of_kind(entries, "DuplicateDropped")) == 1
    assert report.log_duplicates == 0


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("delivery_timeout_ms", "failed", "written", "bumps"), [(1340, 3, 2, 1), (1450, 2, 2, 0)])
def test_an_expired_batch_costs_an_epoch_only_where_it_left_a_gap(
    delivery_timeout_ms: int, failed: int, written: int, bumps: int, seed: int
) -> None:
    report, entries = traced("epoch-bump", {"producers.shop.config.delivery.timeout.ms": delivery_timeout_ms}, seed)
    assert (report.failed, report.failed_but_written, len(of_kind(entries, "EpochBumped"))) == (failed, written, bumps)
    assert (report.log_duplicates, report.log_inversions) == (0, 0)
