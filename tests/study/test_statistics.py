"""What is said of the points of a study: shares and means over runs, pairs, what is safe, what is on the front, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from kafkasim.intervals import bootstrap_mean, rule_of_three, unpaired_difference, wilson
from kafkasim.runner import run
from kafkasim.scenario import Scenario
from kafkasim.scenario_file import ScenarioError
from kafkasim.study.pareto import Objective, pareto_front, undominated
from kafkasim.study.statistics import difference, differences, estimate, estimates, means, safe_points
from kafkasim.study.stopping import until_met
from kafkasim.study.study import Until
from kafkasim.study.table import StudyTable, table_of


def study(**measures: Sequence[Sequence[float | None]]) -> StudyTable:
    """{measure: for each point the numbers of its runs}, `__` in a name being the dot of the table's column."""
    points = len(next(iter(measures.values())))
    rows = [
        {"point": point, "run": number, **{name.replace("__", "."): found[point][number] for name, found in measures.items()}}
        for point in range(points)
        for number in range(len(next(iter(measures.values()))[point]))
    ]
    return table_of({"x": list(range(points))}, rows)


# ------------------------------------------------------------------------------------------------- shares and means


def test_an_event_is_a_share_of_runs_with_wilsons_interval_whatever_the_records() -> None:
    table = study(silent_loss_rate=[[0, 0.5, 0, 0.001], [0, 0, 0, 0]])
    some, none = estimates(table, "silent_loss")
    assert (some.kind, some.runs, some.interval) == ("share", 4, wilson(2, 4))
    assert none.interval == wilson(0, 4)
    assert none.interval.high == rule_of_three(4)


def test_a_number_is_a_mean_over_runs_with_a_bootstrap_interval() -> None:
    table = study(acked_lost=[[3, 1, 4, 1, 5]])
    found = estimate(table, "acked_lost", 0)
    assert (found.kind, found.runs, found.least, found.most) == ("mean", 5, 1, 5)
    assert found.interval == bootstrap_mean([3, 1, 4, 1, 5])
    assert estimate(table, "acked_lost > 0", 0).interval == wilson(5, 5)


def test_runs_without_the_number_are_counted_and_left_out() -> None:
    table = study(latency_ms__p99=[[2.0, None, 4.0], [None, None, None], []])
    some, none, empty = estimates(table, "latency_ms.p99")
    assert (some.runs, some.missing, some.interval.estimate) == (2, 1, 3)
    assert (none.runs, none.missing, math.isnan(none.interval.estimate)) == (0, 3, True)
    assert (empty.runs, empty.missing, math.isnan(empty.interval.low)) == (0, 0, True)
    assert np.array_equal(means(table, "latency_ms.p99"), [3, np.nan, np.nan], equal_nan=True)


def test_more_confidence_is_a_wider_interval() -> None:
    table = study(acked_lost=[[3, 1, 4, 1, 5, 9, 2, 6]])
    usual, surer = (estimate(table, "acked_lost", 0, confidence).interval for confidence in (0.95, 0.99))
    assert surer.low < usual.low < usual.high < surer.high


def test_a_measure_that_is_misspelled_is_answered_with_the_nearest() -> None:
    with pytest.raises(ScenarioError, match=r"no number `acked_lots`; did you mean `acked_lost`\?"):
        estimate(study(acked_lost=[[1]]), "acked_lots", 0)


# ------------------------------------------------------------------------------------------------------------- pairs


def test_only_runs_that_both_points_have_are_compared() -> None:
    rows = [{"point": 0, "run": number, "acked_lost": 10.0 * number} for number in (0, 1, 2, 5)]
    rows += [{"point": 1, "run": number, "acked_lost": 10.0 * number + 1} for number in (1, 2, 3, 4)]
    found = difference(table_of({"x": [0, 1]}, rows), "acked_lost", 1, 0)
    assert (found.runs, found.paired.low, found.paired.estimate, found.paired.high) == (2, 1, 1, 1)


def test_points_without_a_common_run_cannot_be_compared() -> None:
    rows = [{"point": point, "run": point, "acked_lost": 1.0} for point in (0, 1)]
    found = difference(table_of({"x": [0, 1]}, rows), "acked_lost", 1, 0)
    assert (found.runs, math.isnan(found.paired.estimate)) == (0, True)


def test_a_share_whose_pairs_all_agree_is_not_thought_certain() -> None:
    (found,) = differences(study(loss_rate=[[0.0] * 20, [0.0] * 20]), "loss", 0)
    assert (found.paired.low, found.paired.estimate, found.paired.high) == (-rule_of_three(20), 0, rule_of_three(20))


def test_the_difference_of_two_samples_without_pairs_is_students_where_these_are_normal() -> None:
    dice, covered = np.random.default_rng(1), 0
    for _ in range(400):
        interval = unpaired_difference(dice.normal(0, 1, 20).tolist(), dice.normal(1, 2, 20).tolist())
        covered += interval.low <= 1 <= interval.high
    assert covered / 400 == pytest.approx(0.95, abs=0.03)


def test_common_random_numbers_make_a_real_difference_surer_than_independent_runs_would() -> None:
    """A longer zombie loses more; which records come when, and when it last asked the controller, is the seed's doing at both points."""
    zombie = Scenario.load("zombie-leader").with_(
        {"producers.shop.records": 300, "producers.shop.rate": 20, "producers.shop.arrivals": "poisson", "faults.zombie.at": "1s"}
    )
    lasts = ["6s", "8s"]
    points = [zombie.with_({"faults.zombie.for": how_long}) for how_long in lasts]
    rows = [
        {"point": point, "run": number, **run(scenario, seed=number).flat()}
        for point, scenario in enumerate(points)
        for number in range(12)
    ]
    found = difference(table_of({"for": lasts}, rows), "acked_lost", 1, 0)
    print(found)
    assert found.paired.estimate == pytest.approx(found.unpaired.estimate)
    assert found.paired.low > 0
    assert found.paired.high - found.paired.low < 0.7 * (found.unpaired.high - found.unpaired.low)


# --------------------------------------------------------------------------------------------------- safe, and the front


def test_safe_points_lost_nothing_in_any_run_and_the_cheapest_comes_first() -> None:
    table = study(
        silent_loss_rate=[[0, 0.1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], []],
        latency_ms__p99=[[1, 1, 1], [9, 9, 12], [2, 3, 4], [None, None, None], []],
    )
    assert [safe.point for safe in safe_points(table)] == [2, 1]  # 0 lost something, 3 has no price, 4 has no run
    assert [safe.point for safe in safe_points(table, at_most=5)] == [2]
    cheapest = safe_points(table)[0]
    assert (cheapest.runs, cheapest.may_still, cheapest.price.interval.estimate) == (3, rule_of_three(3), 3)


def test_safe_is_a_word_about_an_event() -> None:
    with pytest.raises(ScenarioError, match=r"`acked_lost` is a number, .* write `acked_lost > 0`"):
        safe_points(study(acked_lost=[[0]]), "acked_lost")


def test_the_front_holds_what_nothing_beats_in_everything() -> None:
    table = study(
        silent_loss_rate=[[0.0], [0.5], [0.5], [0.0], [0.0]],
        latency_ms__p99=[[20], [2], [3], [20], [None]],
        throughput=[[100], [900], [900], [100], [950]],
    )
    assert pareto_front(table) == (0, 1, 3)  # 2 is slower than 1 and no better; 0 and 3 are equal; 4 has no latency
    assert pareto_front(table, [Objective("throughput", "more")]) == (4,)


def test_the_front_is_what_the_definition_says_on_random_points() -> None:
    costs = np.random.default_rng(1).integers(0, 6, (80, 3)).astype(float)
    costs[5, 1] = np.nan

    def dominated(point: int) -> bool:
        return any((other <= costs[point]).all() and (other < costs[point]).any() for other in costs if not np.isnan(other).any())

    assert undominated(costs).tolist() == [point != 5 and not dominated(point) for point in range(80)]


# ---------------------------------------------------------------------------------------------------------- stopping


def test_a_point_rests_when_enough_runs_have_failed() -> None:
    rule = Until("failing", "silent_loss", 2)
    assert not until_met(rule, [{"silent_loss_rate": 0.1}, {"silent_loss_rate": 0.0}])
    assert until_met(rule, [{"silent_loss_rate": 0.1}, {"silent_loss_rate": 0.0}, {"silent_loss_rate": 0.2}])


def test_a_point_rests_when_the_interval_of_a_share_is_narrow() -> None:
    rule = Until("width", "loss", 0.3)
    assert not until_met(rule, [0.0, 1.0] * 5)
    assert until_met(rule, [0.0, 1.0] * 50)
    assert until_met(rule, [0.0] * 10)  # the rule of three: 0.2996


def test_a_point_rests_when_the_interval_of_a_mean_is_narrow() -> None:
    rule = Until("width", "latency_ms.p99", 1)
    assert not until_met(rule, [1.0, 5.0, None, 3.0, 2.0, 4.0])
    assert until_met(rule, [1.0, 1.2, None, 1.1, 1.0, 1.3])
    assert not until_met(rule, [1.0, 1.1, math.nan, 1.2])  # too few


def test_runs_that_are_all_alike_do_not_count_as_certainty() -> None:
    assert not until_met(Until("width", "silent_loss_rate", 0.1), [0.0] * 10)
    assert until_met(Until("width", "silent_loss_rate", 0.1), [0.0] * 30)
    assert not until_met(Until("width", "acked_lost", 1000), [7.0] * 30)
