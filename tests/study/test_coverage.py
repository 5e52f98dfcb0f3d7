"""Coverage is measured: the intervals of a sweep's estimates hold the closed forms as often as they say they do.

Each form has one tiny scenario, whose expectation the form gives exactly, whatever the seed: 200 repetitions of it are 200 points of one
sweep, with runs of disjoint seeds. tests/simulator/test_closed_forms.py holds the simulator itself against the same forms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from kafkasim.intervals import Interval, wilson
from kafkasim.runner import run
from kafkasim.scenario import Scenario
from kafkasim.study.statistics import estimates
from kafkasim.study.table import StudyTable, table_of

REPETITIONS, RUNS = 200, 15
LEAST = 0.93  # of the repetitions, at a nominal 95 %: chance alone brings fewer in about one of ten choices of seeds; the seeds are fixed

ONE_A_BATCH = {"acks": 1, "linger.ms": 0, "batch.size": 1, "enable.idempotence": False, "max.in.flight.requests.per.connection": 1}


def scenario(brokers: int, producer: Mapping[str, Any], fault: Mapping[str, Any], consumers: Sequence[Mapping[str, Any]] = ()) -> Scenario:
    """`orders` with one partition on all brokers, led by broker-1; messages take a ms, without jitter. Quick to start, few records."""
    sessions = {"broker.session.timeout.ms": 1000, "broker.heartbeat.interval.ms": 400}
    return Scenario.of(
        {
            "cluster": {"brokers": brokers, "startup.ms": 1, "config": sessions},
            "network": {"latency.ms": 1, "jitter.ms": 0},
            "topics": {"orders": {"partitions": 1, "replication.factor": brokers}},
            "producers": [{"name": "shop", "topic": "orders", **producer}],
            "consumers": list(consumers),
            "faults": [fault],
        }
    )


def sweep(what: Scenario) -> StudyTable:
    """200 points that differ in their seeds only: point 0 has the first ones, point 1 the next."""
    rows = (
        {"point": point, "run": number, **run(what, seed=what.seed + point * RUNS + number).flat()}
        for point in range(REPETITIONS)
        for number in range(RUNS)
    )
    return table_of({"repetition": range(REPETITIONS)}, rows)


def coverage(intervals: Sequence[Interval], truth: float) -> float:
    """The share of intervals that hold the truth."""
    return sum(interval.low <= truth <= interval.high for interval in intervals) / len(intervals)


def sweep_agrees(table: StudyTable, measure: str, truth: float) -> float:
    """The coverage; and the truth is that of the scenario: over all runs together the mean is within 3.3 standard errors of it."""
    values = np.concatenate([table.values(measure, point) for point in range(table.points)])
    assert abs(values.mean() - truth) < 3.3 * values.std() / len(values) ** 0.5
    covered = coverage([found.interval for found in estimates(table, measure)], truth)
    print(f"{measure}: {covered:.3f} of {table.points} intervals over {RUNS} runs hold {truth:.4g}; the mean of all is {values.mean():.4g}")
    return covered


@pytest.mark.slow
def test_intervals_hold_the_loss_of_a_zombie_which_is_rate_times_window() -> None:
    """Poisson arrivals in a window that does not depend on them: rate times mean window, exactly.

    The window is the cut of 2 s, and what the zombie needs after it to hear that it is one: it fetches the metadata once in 502 ms, and
    waits for the SYN that its kernel sends anew (tests/simulator/closed_forms.py, hearing_delay, has the same times and says why).
    """
    one_way, cut, per_ms = 1, 2000, 0.005
    fetched = np.linspace(one_way - 502, one_way, 20_001)[:, None]  # the last fetch before the cut, evenly over its cycle
    late = np.arange(1, 9)[None, :] * 4.0  # the wheel of the kernel's timers, evenly over its eight places
    syns = np.stack([fetched + 2000 + 0 * late, fetched + 3000 + late, fetched + 4024 + late])
    waited = np.where(syns >= cut, syns - cut, np.inf).min(axis=0)
    window = cut + waited.mean() + 4 * one_way

    # At 1 s the producer is connected to the leader. 40 records at 5 a second outlast the window.
    zombie = {"at": "1s", "fault": "partition", "node": "leader(orders-0)", "from": ["brokers", "controller"], "for": "2s"}
    producer = {"records": 40, "rate": 1000 * per_ms, "arrivals": "poisson", "config": {"acks": 1, "linger.ms": 0, "batch.size": 1}}
    assert sweep_agrees(sweep(scenario(2, producer, zombie)), "acked_lost", per_ms * window) >= LEAST


@pytest.mark.slow
def test_intervals_hold_the_duplicates_of_retries_which_are_q_over_1_minus_q() -> None:
    """An answer is lost with probability q, and each loss is answered by a retry, which is written once more: geometrically often.

    The fault outlasts the last retry: where it is over after 10 s, the slowest runs lack copies, and the mean of all runs shows it.
    """
    q = 0.3
    lossy = {"at": "0s", "fault": "drop-responses", "node": "leader(orders-0)", "from": "producer(shop)", "probability": q, "for": "20s"}
    producer = {"records": 24, "rate": 40, "config": ONE_A_BATCH}
    assert sweep_agrees(sweep(scenario(1, producer, lossy)), "duplication_rate", q / (1 - q)) >= LEAST


@pytest.mark.slow
def test_intervals_hold_the_reprocessing_of_a_crash_which_is_half_a_commit_interval_and_intervals_over_records_do_not() -> None:
    """A crash at a random instant of the cycle between two auto-commits repeats half a cycle, less the half record that was not finished.

    Commits wait for the next poll, which comes every 21 ms, so the cycle is 504 ms: μT/2 with the T that Kafka keeps.
    """
    handling, cycle, records = 21, 504, 42
    consumer = {
        "group": "billing",
        "topics": ["orders"],
        "commit": "auto",
        "processing.ms": handling,
        "config": {"auto.offset.reset": "earliest", "max.poll.records": 1, "session.timeout.ms": 6000, "auto.commit.interval.ms": 500},
    }
    crash = {"at": "800ms", "fault": "crash", "node": "consumer(billing-0)", "for": "1s"}
    table = sweep(scenario(1, {"records": records, "rate": 5000, "config": {"acks": 1}}, crash, [consumer]))
    truth = cycle / handling / 2 - 0.5
    assert sweep_agrees(table, "groups.billing.reprocessed", truth) >= LEAST

    # The same rows, as if each record were repeated or not by a toss of its own: the interval is far too narrow.
    sums = [int(table.values("groups.billing.reprocessed", point).sum()) for point in range(table.points)]
    by_record = coverage([wilson(repeated, RUNS * records) for repeated in sums], truth / records)
    print(f"by record: {by_record:.3f}")
    assert by_record < 0.8


def test_the_share_of_runs_that_lost_anything_is_held_by_wilson_over_every_share() -> None:
    """Whether a run lost anything is one toss a run, so no simulation is needed: how often each count comes is binomial."""
    shares = np.arange(0.01, 1, 0.01)
    intervals = [wilson(hits, RUNS) for hits in range(RUNS + 1)]
    chances = stats.binom.pmf(np.arange(RUNS + 1)[None, :], RUNS, shares[:, None])
    held = np.array([[interval.low <= share <= interval.high for interval in intervals] for share in shares])
    assert np.mean((chances * held).sum(axis=1)) >= LEAST
