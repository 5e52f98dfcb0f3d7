"""When a point has had enough runs: the rules of `Study.until`, asked of that point's rows alone, in the order of their seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kafkasim.intervals import bootstrap_mean, wilson
from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.study.study import Until
from kafkasim.study.task import Row
from kafkasim.values import hint

# What happened in a run, and the number of its row that tells: it happened where that is above zero.
EVENTS: Mapping[str, str] = {
    "loss": "loss_rate",
    "silent_loss": "silent_loss_rate",
    "duplication": "duplication_rate",
    "violated": "violated",
}


def happened(event: str, row: Row) -> bool:
    """Whether the event, or any number above zero, is in the row."""
    value = _number(event, EVENTS.get(event, event), row)
    return value is not None and value > 0


def next_question(until: Sequence[Until], after: int, runs: int) -> int:
    """After how many runs the rules are asked next, when they have been asked after `after`; at most `runs`."""
    return min([runs, *((after // rule.step + 1) * rule.step for rule in until)])


def enough(until: Sequence[Until], rows: Sequence[Row]) -> bool:
    """Whether one of the rules that are asked after so many runs ends the point. `rows`: all of the point's so far, in order."""
    return bool(rows) and any(len(rows) % rule.step == 0 and _fulfilled(rule, rows) for rule in until)


def _fulfilled(rule: Until, rows: Sequence[Row]) -> bool:
    if rule.kind == "failing":
        return sum(happened(rule.measure, row) for row in rows) >= rule.bound
    if rule.measure in EVENTS:
        interval = wilson(sum(happened(rule.measure, row) for row in rows), len(rows))
    else:
        numbers = [number for row in rows if (number := _number(rule.measure, rule.measure, row)) is not None]
        if not numbers:
            return False
        interval = bootstrap_mean(numbers)
    return interval.high - interval.low <= rule.bound


def _number(measure: str, key: str, row: Row) -> float | None:
    if key not in row:
        raise ScenarioError([Problem("until", f"no row has a number `{measure}`{hint(measure, [*EVENTS, *row])}")])
    value = row[key]
    if isinstance(value, str):
        raise ScenarioError([Problem("until", f"`{measure}` is no number but a text, for example {value!r}")])
    return None if value is None else float(value)
