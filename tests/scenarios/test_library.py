"""Every shipped scenario keeps what its `expect:` says over 50 seeds, and shows what its `sometimes:` says in at least one."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Any

import pytest

from kafkasim.runner import run
from kafkasim.scenario import Scenario
from kafkasim.scenario_file import shipped_scenarios

SEEDS = 50
CORES = 2
NAMES = shipped_scenarios()


def one_report(job: tuple[str, int]) -> dict[str, Any]:
    name, seed = job
    return run(Scenario.load(name), seed).to_dict()


@cache
def reports() -> dict[str, list[dict[str, Any]]]:
    """All runs of all scenarios, on both cores; the tests below look at the same ones."""
    jobs = [(name, seed) for name in NAMES for seed in range(1, SEEDS + 1)]
    with ProcessPoolExecutor(CORES) as pool:
        done = list(pool.map(one_report, jobs, chunksize=10))
    return {name: done[index * SEEDS : (index + 1) * SEEDS] for index, name in enumerate(NAMES)}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_scenario_keeps_its_expectations_over_50_seeds(name: str) -> None:
    assert Scenario.load(name).missed_expectations(reports()[name]) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_no_run_of_a_shipped_scenario_breaks_a_promise_or_is_left_moving(name: str) -> None:
    broken = [
        (report["seed"], verdict["sentence"])
        for report in reports()[name]
        for verdict in report["verdicts"]
        if verdict["verdict"] != "held"
    ]
    assert broken == []


def test_there_are_at_least_20_scenarios_and_each_says_what_it_expects() -> None:
    assert len(NAMES) >= 20
    for name in NAMES:
        scenario = Scenario.load(name)
        assert scenario.name == name
        assert len(scenario.title) > 20
        assert "acked_lost" in scenario.expect


@pytest.mark.parametrize("name", NAMES)
def test_an_expectation_is_two_sided_unless_it_is_zero(name: str) -> None:
    for key, bound in Scenario.load(name).expect.items():
        exact = bound.comparison == "=="
        assert exact or bound.comparison == "between", f"{name}: {key} is {bound}"


def test_an_expectation_that_is_missed_is_found() -> None:
    calm = Scenario.load("calm")
    report = run(calm).to_dict()
    assert calm.missed_expectations([report]) == []
    assert calm.missed_expectations([{**report, "acked_lost": 1}]) != []


def test_together_the_library_shows_every_fault_client_commit_mode_and_store() -> None:
    scenarios = [Scenario.load(name) for name in NAMES]
    assert {fault.fault for scenario in scenarios for fault in scenario.faults} >= {
        *("crash", "power-loss", "shutdown", "pause", "partition", "delay", "disconnect", "drop-responses", "slow-disk", "bounce"),
        *("elect", "reassign", "alter-config"),
    }
    producers = [producer for scenario in scenarios for producer in scenario.producers]
    consumers = [consumer for scenario in scenarios for consumer in scenario.consumers]
    assert {producer.client.value for producer in producers} == {"java", "librdkafka"}
    assert {producer.on_failure for producer in producers} == {"drop", "resend", "spool"}
    assert {str(producer.config.get("acks", "all")) for producer in producers} == {"0", "1", "all"}
    assert {consumer.commit for consumer in consumers} == {"after-processing", "before-processing", "auto", "worker-threads"}
    assert {consumer.worker_commit for consumer in consumers} == {"polled", "highest-finished", "lowest-contiguous"}
    assert {consumer.dedup_order for consumer in consumers if consumer.dedup != "none"} == {"mark-first", "mark-last", "transaction"}
