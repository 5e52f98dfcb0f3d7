"""What may be said of the points of a study: shares and means over runs with their intervals, differences by pairs, what is safe.

The unit is always the run (kafkasim/intervals.py says why). A share of runs has Wilson's interval, or the rule of three where all runs
agree; the mean of a number has a bootstrap interval. Points are independent tests: of 100 intervals at 95 %, five miss on average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kafkasim.intervals import Interval, bootstrap_mean, paired_difference, rule_of_three, unpaired_difference, wilson
from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.study.events import event_key, is_event
from kafkasim.study.table import Numbers, StudyTable

NOTHING = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Estimate:
    """One measure at one point. `kind`: the share of runs that an event befell, or the mean of a number over runs.

    `runs`: how many it rests on; those without the number (a latency where nothing was acked) are in `missing` instead. Without any run
    the interval is NaN. `least` and `most`: of single runs.
    """

    point: int
    measure: str
    kind: Literal["share", "mean"]
    runs: int
    missing: int
    interval: Interval
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much a measure at `point` exceeds that at `reference`, over the runs (seeds) that both have.

    `paired` takes run by run, so that what one seed does to both cancels out. `unpaired` is what the same rows would say without that.
    """

    point: int
    reference: int
    measure: str
    runs: int
    paired: Interval
    unpaired: Interval


@dataclass(frozen=True, slots=True)
class SafePoint:
    """A point at which the event befell no run. `may_still`: how large the share of such runs may be all the same (rule of three)."""

    point: int
    runs: int
    may_still: float
    price: Estimate


def estimate(table: StudyTable, measure: str, point: int, confidence: float = 0.95) -> Estimate:
    """The measure at the point. An event (`silent_loss`, `acked_lost > 0`) gives a share, a number (`acked_lost`) a mean.

    Raises ScenarioError with the nearest right name for a measure that the table does not have.
    """
    found = table.values(event_key(measure), point)
    numbers = found[~np.isnan(found)]
    runs, missing = len(numbers), len(found) - len(numbers)
    if is_event(measure):
        numbers = (numbers > 0).astype(np.float64)
    if not runs:
        interval = NOTHING
    elif is_event(measure):
        interval = wilson(int(numbers.sum()), runs, confidence)
    else:
        interval = bootstrap_mean(numbers.tolist(), confidence=confidence)
    least, most = (float(numbers.min()), float(numbers.max())) if runs else (math.nan, math.nan)
    return Estimate(point, measure, "share" if is_event(measure) else "mean", runs, missing, interval, least, most)


def estimates(table: StudyTable, measure: str, confidence: float = 0.95) -> tuple[Estimate, ...]:
    """The measure at every point of the table."""
    return tuple(estimate(table, measure, point, confidence) for point in range(table.points))


def means(table: StudyTable, measure: str) -> Numbers:
    """The mean (of an event: the share) at every point, float64 (points,); NaN at a point without any run that has it."""
    found = [table.values(event_key(measure), point) for point in range(table.points)]
    kept = [numbers[~np.isnan(numbers)] for numbers in found]
    if is_event(measure):
        kept = [(numbers > 0).astype(np.float64) for numbers in kept]
    return np.array([numbers.mean() if len(numbers) else math.nan for numbers in kept], np.float64)


# ------------------------------------------------------------------------------------------------------- differences


def difference(table: StudyTable, measure: str, point: int, reference: int, confidence: float = 0.95) -> Difference:
    """Mean of the measure at `point` minus that at `reference`, of an event the difference of the two shares.

    Equal run numbers had equal seeds, so only runs that both points have, and that have the number at both, are compared. Where all of
    these pairs differ alike, a number's interval has no width; that of an event reaches as far as the rule of three says.
    """
    _, here, there = np.intersect1d(table.run_numbers(point), table.run_numbers(reference), return_indices=True)
    key = event_key(measure)
    first, second = table.values(key, reference)[there], table.values(key, point)[here]
    both = ~np.isnan(first) & ~np.isnan(second)
    first, second = first[both], second[both]
    if is_event(measure):
        first, second = (first > 0).astype(np.float64), (second > 0).astype(np.float64)
    if not len(first):
        return Difference(point, reference, measure, 0, NOTHING, NOTHING)
    paired = paired_difference(first.tolist(), second.tolist(), confidence=confidence)
    unpaired = unpaired_difference(first.tolist(), second.tolist(), confidence=confidence)
    if is_event(measure):
        paired, unpaired = (_not_too_sure(interval, len(first), confidence) for interval in (paired, unpaired))
    return Difference(point, reference, measure, len(first), paired, unpaired)


def differences(table: StudyTable, measure: str, reference: int, confidence: float = 0.95) -> tuple[Difference, ...]:
    """Every point of the table against the reference, which itself is left out."""
    others = (point for point in range(table.points) if point != reference)
    return tuple(difference(table, measure, point, reference, confidence) for point in others)


def _not_too_sure(interval: Interval, runs: int, confidence: float) -> Interval:
    """A share whose pairs all agree may still differ in as many runs as the rule of three allows."""
    if interval.low < interval.high:
        return interval
    reach = rule_of_three(runs, confidence)
    return Interval(interval.estimate, max(-1.0, interval.low - reach), min(1.0, interval.high + reach))


# --------------------------------------------------------------------------------------------------------- what is safe


def safe_points(
    table: StudyTable, event: str = "silent_loss", price: str = "latency_ms.p99", at_most: float = math.inf, confidence: float = 0.95
) -> tuple[SafePoint, ...]:
    """The points at which the event befell no run, the cheapest first: by the mean of `price`, and by number where that is equal.

    `at_most`: only points whose mean price is not above it. A point that has no run, or no price, is not safe but unknown, so it is not
    among them. Safe means: not seen in so many runs; `may_still` says what that leaves open.
    """
    if not is_event(event):
        raise ScenarioError(
            [Problem("", f"`{event}` is a number, and a safe point is one that an event befell in no run; write `{event} > 0`")]
        )
    safe = []
    for point in range(table.points):
        befell = estimate(table, event, point, confidence)
        cost = estimate(table, price, point, confidence)
        if befell.runs and befell.most == 0 and cost.interval.estimate <= at_most:
            safe.append(SafePoint(point, befell.runs, befell.interval.high, cost))
    return tuple(sorted(safe, key=lambda one: (one.price.interval.estimate, one.point)))
