"""An axis as a picture or a formula wants it: numbers on a scale, or categories in order of appearance."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from kafkasim.study.axes import Value
from kafkasim.values import parse_duration


@dataclass(frozen=True, slots=True)
class AxisColumn:
    """Where each point lies on one axis.

    `values`: one a point; numbers (durations in ms, NaN where not known yet) where `numeric`, else words. `written`: the same as the
    scenario file has it. `unit`: "ms", "bytes" or nothing. `log`: the levels are spaced by ratio, so the scale should be.
    """

    label: str
    path: str
    values: tuple[Value, ...]
    numeric: bool
    unit: str
    log: bool
    written: tuple[str, ...]

    @property
    def levels(self) -> tuple[Value, ...]:
        """The values that occur, each once: numbers ascending, words in order of appearance."""
        levels = tuple(dict.fromkeys(value for value in self.values if value == value))  # noqa: PLR0124 - NaN is not equal to itself
        return tuple(sorted(levels)) if self.numeric else levels


def axis_column(label: str, path: str, written: Sequence[Value], log: bool | None = None) -> AxisColumn:
    """The column of values as written (numbers, durations like "3s", words, lists; None: not known). `log` None: judged by the levels."""
    texts = tuple(_text(value) for value in written)
    known = [value for value in written if value is not None]
    numbers = _numbers(known)
    if numbers is None:
        return AxisColumn(label, path, texts, False, "", False, texts)
    durations = isinstance(known[0], str)
    unit = "ms" if durations or path.endswith(".ms") else "bytes" if path.endswith((".bytes", "record.size", "batch.size")) else ""
    each = iter(numbers)
    values = tuple(math.nan if value is None else next(each) for value in written)
    positive = min(numbers) > 0
    return AxisColumn(label, path, values, True, unit, positive and (_spaced_by_ratio(numbers) if log is None else log), texts)


def _numbers(values: Sequence[Value]) -> list[float] | None:
    """All values as numbers, or None: `1` beside `all` is a word like any other."""
    if not values or any(isinstance(value, bool) for value in values):
        return None
    if all(isinstance(value, int | float) for value in values):
        return [float(value) for value in values]
    try:
        return [parse_duration(value) for value in values]
    except ValueError:
        return None


def _spaced_by_ratio(numbers: Sequence[float]) -> bool:
    """Whether levels from 10 times apart on have steps whose ratios differ less than their differences do."""
    levels = sorted(dict.fromkeys(numbers))
    if len(levels) < 3 or levels[0] <= 0 or levels[-1] < 10 * levels[0]:
        return False
    return _unevenness([math.log(level) for level in levels]) < _unevenness(levels)


def _unevenness(levels: Sequence[float]) -> float:
    """The longest step over the shortest."""
    steps = [after - before for before, after in pairwise(levels)]
    return max(steps) / min(steps)


def _text(value: Value) -> str:
    """As a person would write it in the scenario."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
