"""When a point has had enough runs: it failed often enough to be looked into, or its interval is as narrow as was asked.

Whoever looks at an interval after every few runs and stops once it is narrow stops a little too early: its confidence is somewhat less
than the 95 % it says. The rule is asked after `step` runs and not after each, which keeps that small.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kafkasim.intervals import bootstrap_mean, rule_of_three, wilson
from kafkasim.study.events import event_key, is_event
from kafkasim.study.study import Until

FEWEST_RUNS = 5  # below, no interval of a mean is worth its name


def next_question(until: Sequence[Until], after: int, runs: int) -> int:
    """After how many runs the rules are asked next, when they have been asked after `after`; at most `runs`."""
    return min([runs, *((after // rule.step + 1) * rule.step for rule in until)])


def enough(until: Sequence[Until], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether one of the rules that are asked after so many runs ends the point. `rows`: all of the point's so far, in order."""
    return bool(rows) and any(len(rows) % rule.step == 0 and until_met(rule, rows) for rule in until)


def until_met(rule: Until, runs: Iterable[Mapping[str, Any] | float | None]) -> bool:
    """Whether the rule lets a point rest after these runs: rows of the point, or the numbers of the rule's measure. A pure function.

    `failing`: the event (`silent_loss`, `acked_lost > 0`, a number above 0) befell at least `bound` of them. `width`: Wilson's interval
    of an event's share, or the bootstrap interval of a number's mean, is at most `bound` wide. Runs without the number are left out.
    """
    key = event_key(rule.measure)
    found = (run.get(key) if isinstance(run, Mapping) else run for run in runs)
    values = [float(value) for value in found if value is not None and not math.isnan(value)]
    if rule.kind == "failing":
        return sum(value > 0 for value in values) >= rule.bound
    assert rule.kind == "width", f"there is no rule of the kind {rule.kind}"
    return interval_width(rule.measure, values) <= rule.bound


def interval_width(measure: str, values: list[float]) -> float:
    """How wide the interval of the measure is after these runs; infinite where nothing can be said.

    Runs that are all alike have a mean without any width, and yet the next run may differ. Of a rate, which is at most 1, the rule of
    three says by how much; of any other number nothing does, so such a point gets all its runs.
    """
    if is_event(measure) and values:
        interval = wilson(sum(value > 0 for value in values), len(values))
        return interval.high - interval.low
    if len(values) < FEWEST_RUNS:
        return math.inf
    if min(values) == max(values):
        return rule_of_three(len(values)) if measure.endswith("_rate") else math.inf
    interval = bootstrap_mean(values)
    return interval.high - interval.low
