"""What a run costs in heap events and in memory. Counts and bytes are the same on every machine, so these are tests."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from speed import bare_heap_rate, played, steady


def test_the_cost_is_linear_in_the_records() -> None:
    costs = []
    for batches in (50, 500, 5000):
        run, _, _ = played(steady(10, batches))
        costs.append(run.events_of_workload / batches)
    assert costs[2] == pytest.approx(costs[1], rel=0.1)
    assert costs[2] < costs[0]  # what start and drain cost is spread over more


def test_a_record_costs_at_most_200_bytes_at_ten_a_batch() -> None:
    def peak(batches: int) -> int:
        scenario = steady(10, batches)
        gc.collect()
        tracemalloc.start()
        played(scenario)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    small, large = peak(1000), peak(5000)
    assert (large - small) / 40_000 <= 200


def test_the_yardstick_measures_something() -> None:
    assert bare_heap_rate(20_000) > 10_000
