"""What a picture shows of each run: a number of its report, or whether something happened; in which words, and in which unit.

A number is shown as its mean over runs with a bootstrap interval, an event as the share of runs with Wilson's (the rule of three where it
never happened).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from kafkasim.intervals import Interval, bootstrap_mean, rule_of_three, wilson
from kafkasim.promises import number
from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.study.events import EVENTS, event_key, is_event
from kafkasim.study.table import StudyTable
from kafkasim.truth import Floats
from kafkasim.values import hint

_WORDS: Mapping[str, tuple[str, str, str]] = {  # noun; what the scale says; family of colours
    "silent_loss_rate": ("silent loss", "records lost in silence, % of those sent", "loss"),
    "loss_rate": ("loss", "records lost, % of those sent", "loss"),
    "duplication_rate": ("duplication", "second effects, % of records sent", "duplication"),
    "latency_ms.p50": ("median latency", "median latency from send to ack, ms", "other"),
    "latency_ms.p99": ("p99 latency", "p99 latency from send to ack, ms", "other"),
    "latency_ms.max": ("longest latency", "longest latency from send to ack, ms", "other"),
    "throughput": ("throughput", "acked records a second", "other"),
    "unavailable_ms": ("time without an ack", "time without an ack, ms", "other"),
    "silent_loss": ("silent loss", "runs that lost records in silence, %", "loss"),
    "loss": ("loss", "runs that lost records, %", "loss"),
    "duplication": ("duplication", "runs with second effects, %", "duplication"),
    "violated": ("broken promises", "runs that broke a promise of their configuration, %", "loss"),
}


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure in words. `event`: the share of runs in which it happened. Values are multiplied by `factor` (100 for shares)."""

    key: str
    noun: str
    scale: str
    family: str
    event: bool
    factor: float
    unit: str

    @property
    def bad(self) -> bool:
        """Whether none at all is what one hopes for."""
        return self.family != "other"

    def amount(self, value: float) -> str:
        """ "3.1 % of records", "12 ms"."""
        return f"{short(value)}{self.unit}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One mark of a picture: the points it stands for, each run's value (the mean over those points), and the interval; None: no value."""

    points: tuple[int, ...]
    values: Floats
    interval: Interval | None
    seen: int  # runs of all its points together, with a value or without; 0: not looked at

    @property
    def runs(self) -> int:
        """Runs of each point that have a value."""
        return len(self.values)

    @property
    def none(self) -> bool:
        """Whether it is zero in every run."""
        return self.interval is not None and not self.values.any()


def measure_of(table: StudyTable, name: str | None) -> Measure:
    """The measure called so; without a name, the one that matters: silent loss if there was any, else duplication, else p99 latency.

    Raises ScenarioError for a name that no run has.
    """
    name = name or _what_matters(table)
    event = is_event(name)
    if (event_key(name) if event else name) not in table.keys:
        raise unknown("number or event of these runs", name, [*table.keys, *EVENTS])
    key = event_key(name) if event else name
    if name in _WORDS:
        noun, scale, family = _WORDS[name]
    else:
        noun = key.replace("_", " ")
        scale = f"runs with {noun} above 0, %" if event else noun
        family = "loss" if key.endswith("lost") else "duplication" if key.endswith(_TWICE) else "loss" if event else "other"
    share = event or name.endswith("_rate")
    unit = f"{NO_BREAK}% of runs" if event else f"{NO_BREAK}% of records" if share else f"{NO_BREAK}ms" if "_ms" in name else ""
    return Measure(name, noun, scale, family, event, 100.0 if share else 1.0, f"{NO_BREAK}records/s" if name == "throughput" else unit)


NO_BREAK = "\u00a0"  # a number, its thousands and its unit stay on one line
_TWICE = ("duplicated", "duplicates", "reprocessed")


def _what_matters(table: StudyTable) -> str:
    def any_above_0(key: str) -> bool:
        return key in table.keys and any((table.values(key, point) > 0).any() for point in range(table.points))

    wanted = [key for key in ("silent_loss_rate", "duplication_rate", "latency_ms.p99") if any_above_0(key)]
    known = [key for key in ("silent_loss_rate", *table.keys) if key in table.keys]  # nothing was acked: the picture says so
    if not known:
        raise refuse("there is nothing to draw: the results have no numbers")
    return (wanted or known)[0]


def cell_of(table: StudyTable, measure: Measure, points: Sequence[int]) -> Cell:
    """The mean over runs at these points, in the measure's unit.

    Several points: each run (seed) is averaged over them first, for seeds are shared between points and are what is drawn anew.
    """
    seen = [point for point in points if table.runs[point]]
    columns = _columns(table, measure, seen)
    known = (~np.isnan(columns)).sum(axis=0)
    kept = (np.nansum(columns, axis=0) / np.maximum(known, 1))[known > 0]
    if not len(kept):
        return Cell(tuple(points), np.zeros(0), None, sum(table.runs[point] for point in seen))
    return Cell(tuple(points), kept * measure.factor, _interval(kept, measure, len(seen)), sum(table.runs[point] for point in seen))


def _columns(table: StudyTable, measure: Measure, points: Sequence[int]) -> Floats:
    """A row a point, a column a run: the runs that all of the points have."""
    if not points:
        return np.zeros((0, 0))
    shared = reduce(np.intersect1d, [table.run_numbers(point) for point in points])
    rows = []
    for point in points:
        values = table.event(measure.key, point).astype(np.float64) if measure.event else table.values(measure.key, point)
        rows.append(values[np.isin(table.run_numbers(point), shared)])
    return np.array(rows)


def _interval(values: Floats, measure: Measure, points: int) -> Interval:
    if measure.event and points == 1:
        found = wilson(int(values.sum()), len(values))
    else:
        found = bootstrap_mean([float(value) for value in values])
        if measure.event and not values.any():
            found = Interval(0.0, 0.0, rule_of_three(len(values)))
        elif measure.event and values.all() and values.min() == 1:
            found = Interval(1.0, 1.0 - rule_of_three(len(values)), 1.0)
    return Interval(found.estimate * measure.factor, found.low * measure.factor, found.high * measure.factor)


def short(value: float) -> str:
    """A number with as many digits as a slide needs: 12 345, 31, 3.1, 0.31, 0.004."""
    if not np.isfinite(value):
        return "–"
    if value and abs(value) < 0.001:
        return f"{value:.0e}".replace("e-0", "e-")
    if abs(value) >= 9.95:
        return number(round(value)).replace(" ", NO_BREAK)
    return f"{value:.2g}"


def exact(value: float) -> str:
    """A tick of a scale, as it stands: 12 000, 11.25."""
    return short(value) if abs(value) >= 1000 and float(value).is_integer() else f"{value:.5g}"


def percent(share: float) -> str:
    """ "37 %"."""
    return f"{round(share * 100)}{NO_BREAK}%"  # an integer has no minus before its zero


def how_sure(noun: str, runs: int) -> str:
    """What so many runs without it allow to say (the rule of three): "no silent loss in 20 runs: at most 15 % of runs"."""
    bound = rule_of_three(runs)
    then = f"at most {percent(bound)} of runs" if bound < 0.9 else "too few to say more"
    return f"no {noun} in {runs} run{'' if runs == 1 else 's'}: {then}"


def refuse(sentence: str) -> ScenarioError:
    """The error of a picture that cannot be drawn."""
    return ScenarioError([Problem("the picture", sentence)])


def unknown(what: str, word: str, choices: Sequence[str]) -> ScenarioError:
    """`word` is no `what`, and the nearest that is."""
    return refuse(f"`{word}` is no {what}{hint(word, choices)}")
