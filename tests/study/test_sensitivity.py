"""Sobol' indices and Morris' effects against functions whose answer is known, on a real study, and what cannot be said."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from SALib.analyze import morris as salib_morris
from SALib.sample import morris as morris_sample
from SALib.sample import sobol as saltelli

from kafkasim.runner import run
from kafkasim.scenario import Scenario
from kafkasim.scenario_file import ScenarioError
from kafkasim.study.sensitivity import morris_effects, morris_of, sobol_indices, sobol_of
from kafkasim.study.table import StudyTable, table_of

LABELS = ["x1", "x2", "x3"]


def problem(axes: int) -> dict[str, Any]:
    return {"num_vars": axes, "names": [f"x{axis + 1}" for axis in range(axes)], "bounds": [[0.0, 1.0]] * axes}


def saltelli_design(axes: int, base: int) -> np.ndarray:
    return saltelli.sample(problem(axes), base, calc_second_order=False, seed=1)


def ishigami(unit: np.ndarray) -> np.ndarray:
    x = math.pi * (2 * unit - 1)
    return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])


def table(unit: np.ndarray, outcomes: np.ndarray, runs: int = 2) -> StudyTable:
    """Runs that lie evenly around each outcome."""
    around = np.linspace(-1, 1, runs)
    rows = [{"point": p, "run": r, "acked_lost": value + around[r]} for p, value in enumerate(outcomes) for r in range(runs)]
    return table_of({f"x{axis + 1}": column.tolist() for axis, column in enumerate(unit.T)}, rows)


def test_the_indices_of_ishigamis_function_are_the_known_ones() -> None:
    found = sobol_indices(ishigami(saltelli_design(3, 1024)), LABELS)
    assert [index.label for index in found] == LABELS
    assert [index.first.estimate for index in found] == pytest.approx([0.3139, 0.4424, 0], abs=0.03)
    assert [index.total.estimate for index in found] == pytest.approx([0.5576, 0.4424, 0.2437], abs=0.03)
    for index, (first, total) in zip(found, [(0.3139, 0.5576), (0.4424, 0.4424), (0, 0.2437)], strict=True):
        assert index.first.low <= first <= index.first.high
        assert index.total.low <= total <= index.total.high


def test_indices_are_the_same_each_time() -> None:
    outcomes = ishigami(saltelli_design(3, 64))
    assert sobol_indices(outcomes, LABELS) == sobol_indices(outcomes, LABELS)


def test_the_effects_of_a_straight_line_are_its_slopes_and_never_vary() -> None:
    unit = morris_sample.sample(problem(3), 10, num_levels=4, seed=1)
    found = morris_effects(unit, unit @ np.array([5.0, -2.0, 0.0]) + 3, LABELS)
    assert [effect.mu_star.estimate for effect in found] == pytest.approx([5, 2, 0])
    assert [effect.mu for effect in found] == pytest.approx([5, -2, 0])
    assert [effect.sigma for effect in found] == pytest.approx([0, 0, 0], abs=1e-9)
    assert [effect.effects for effect in found] == [10, 10, 10]


def test_effects_are_those_of_salib() -> None:
    unit = morris_sample.sample(problem(3), 20, num_levels=4, seed=1)
    ours = morris_effects(unit, ishigami(unit), LABELS)
    theirs = salib_morris.analyze(problem(3), unit, ishigami(unit), num_levels=4, seed=1)
    assert [effect.mu_star.estimate for effect in ours] == pytest.approx(list(theirs["mu_star"]))
    assert [effect.mu for effect in ours] == pytest.approx(list(theirs["mu"]))
    assert [effect.sigma for effect in ours] == pytest.approx(list(theirs["sigma"]))
    for effect in ours:
        assert effect.mu_star.low <= effect.mu_star.estimate <= effect.mu_star.high


def test_of_a_table_the_mean_over_runs_counts() -> None:
    unit = saltelli_design(3, 64)
    by_table, by_hand = sobol_of(table(unit, ishigami(unit)), "acked_lost"), sobol_indices(ishigami(unit), LABELS)
    assert [index.first.estimate for index in by_table] == pytest.approx([index.first.estimate for index in by_hand])


def test_in_a_real_study_the_number_of_records_matters_and_the_size_of_one_does_not() -> None:
    """Every record of a run without brokers to fail is sent once, so `acked` is the number of records, whatever each one weighs."""
    topic = {"orders": {"replication.factor": 1}}
    producer = {"name": "p", "topic": "orders", "rate": 1000}
    calm = Scenario.of({"cluster": {"brokers": 1, "startup.ms": 1}, "topics": topic, "producers": [producer]})
    unit = morris_sample.sample(problem(2), 4, num_levels=4, seed=1)
    axes = {"records": [10 + round(90 * x) for x, _ in unit], "size": [100 + round(900 * x) for _, x in unit]}
    changes = [{"producers.p.records": many, "producers.p.record.size": size} for many, size in zip(*axes.values(), strict=True)]
    rows = [{"point": point, "run": 0, **run(calm.with_(change)).flat()} for point, change in enumerate(changes)]
    records, size = morris_of(table_of(axes, rows), unit, "acked")
    assert (records.mu_star.estimate, records.sigma) == pytest.approx((90, 0), abs=1e-6)
    assert (size.mu_star.estimate, size.sigma) == (0, 0)


# ---------------------------------------------------------------------------------------------------- what cannot be said


def test_outcomes_that_are_all_equal_tell_no_axis_from_another() -> None:
    unit = morris_sample.sample(problem(3), 4, num_levels=4, seed=1)
    with pytest.raises(ScenarioError, match=r"every point has the same outcome \(2\), so no axis"):
        sobol_indices(np.full(50, 2.0), LABELS)
    with pytest.raises(ScenarioError, match=r"every point has the same outcome \(0\), so no axis"):
        morris_effects(unit, np.zeros(len(unit)), LABELS)


@pytest.mark.parametrize("points", [5, 49, 51])
def test_a_number_of_points_that_no_such_design_has_is_refused(points: int) -> None:
    with pytest.raises(
        ScenarioError, match=f"two or more times 5 points, and there are {points}: it is another design, or some points were"
    ):
        sobol_indices(np.arange(points, dtype=float), LABELS)
    with pytest.raises(ScenarioError, match="two or more times 4 points"):
        morris_effects(np.zeros((points, 3)), np.arange(points, dtype=float), LABELS)


def test_points_that_are_no_trajectories_are_refused() -> None:
    with pytest.raises(ScenarioError, match="no morris design: each trajectory takes one step along each axis"):
        morris_effects(np.random.default_rng(1).random((20, 3)), np.arange(20.0), LABELS)


def test_a_point_without_a_run_or_without_the_number_is_named() -> None:
    rows = [{"point": point, "run": 0, "latency_ms.p99": None if point == 3 else 1.0 * point} for point in range(5)]
    axes = {"x1": list(range(10))}
    with pytest.raises(ScenarioError, match=r"point 3 has no run with a number for `latency_ms.p99`, nor have 5 other points"):
        sobol_of(table_of(axes, rows), "latency_ms.p99")
    with pytest.raises(ScenarioError, match=r"point 5 has no run yet, like 4 others; every point of the design is needed"):
        sobol_of(table_of(axes, [row | {"latency_ms.p99": 1.0} for row in rows]), "latency_ms.p99")


def test_without_salib_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "SALib.analyze.sobol", None)
    with pytest.raises(ScenarioError, match=r"pip install 'kafkasim\[sweep\]'"):
        sobol_indices(np.arange(10.0), LABELS)
