"""An axis of a study as a picture shows it: its levels in order, each with its words and the points that have it.

A numeric axis with more values than a picture can tell apart (a random design) is cut into bins of about as many points each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kafkasim.plots.measure import NO_BREAK, Cell, Measure, cell_of, refuse, short
from kafkasim.plots.style import clipped
from kafkasim.promises import number
from kafkasim.study.axis_columns import AxisColumn
from kafkasim.study.table import StudyTable
from kafkasim.truth import Floats

_LONGEST = 40
_TOGETHER = 40  # letters, up to which a name and its value stay on one line


@dataclass(frozen=True, slots=True)
class Level:
    """One level: where it lies on a numeric scale (0, 1, 2 … for categories), in words, and the points that have it."""

    place: float
    words: str
    points: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """The levels of one axis. `left_out`: how many more it has than the picture shows; `binned`: a level stands for a range.

    `unit`: that of the places ("s" where the axis is a duration of seconds, though the table has ms).
    """

    axis: AxisColumn
    numeric: bool
    log: bool
    levels: tuple[Level, ...]
    unit: str = ""
    left_out: int = 0
    binned: bool = False

    @property
    def name(self) -> str:
        """ "faults.zombie.for, s"."""
        return f"{self.axis.label},{NO_BREAK}{self.unit}" if self.unit else self.axis.label

    def setting(self, level: Level) -> str:
        """ "acks = all", "faults.zombie.for = 3 s"."""
        text = f"{self.axis.label} = {self.value(level)}"
        return text.replace(" ", NO_BREAK) if len(text) <= _TOGETHER else text

    def value(self, level: Level) -> str:
        """ "all", "3 s"."""
        return f"{level.words}{NO_BREAK}{self.unit}" if self.unit else level.words


def scale_of(axis: AxisColumn, most: int, bins: int = 12) -> Scale:
    """At most `most` levels: a numeric axis with more is binned, of others the first are kept."""
    if not axis.numeric:
        keys = list(dict.fromkeys(axis.written))
        members = {key: tuple(i for i, text in enumerate(axis.written) if text == key) for key in keys[:most]}
        levels = tuple(Level(float(place), clipped(key, _LONGEST), points) for place, (key, points) in enumerate(members.items()))
        return Scale(axis, False, False, levels, left_out=max(len(keys) - most, 0))
    places, unit = numbers(axis)
    known = np.flatnonzero(~np.isnan(places))
    distinct = np.unique(places[known])
    if len(distinct) <= most:
        found = tuple(Level(float(place), plain(place), tuple(np.flatnonzero(places == place).tolist())) for place in distinct)
        return Scale(axis, True, axis.log and len(found) > 1, found, unit)
    parts = np.array_split(known[np.argsort(places[known], kind="stable")], min(bins, most))
    return Scale(axis, True, axis.log, tuple(_bin(places, np.sort(part)) for part in parts), unit, binned=True)


def _bin(places: Floats, part: Any) -> Level:
    inside = places[part]
    return Level(float(inside.mean()), f"{short(inside.min())} … {short(inside.max())}", tuple(part.tolist()))


def numbers(axis: AxisColumn) -> tuple[Floats, str]:
    """The values of a numeric axis, one a point, and their unit: a duration that reaches a second is shown in seconds."""
    places = np.array(axis.values, np.float64)
    if axis.unit == "ms" and not axis.path.endswith(".ms") and np.nanmax(places, initial=0.0) >= 1000:
        return places / 1000, "s"
    return places, "" if axis.label.endswith(f".{axis.unit}") else axis.unit  # request.timeout.ms says it itself


def plain(value: float) -> str:
    """A level as one would write it: 30 000, 3, 0.25."""
    return number(int(value)).replace(" ", NO_BREAK) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.3g}"


# ---------------------------------------------------------------------------------------------------- which axis for what


def varying(table: StudyTable) -> list[AxisColumn]:
    """The axes that take more than one value."""
    return [axis for axis in table.axes if depth(axis) > 1]


def depth(axis: AxisColumn) -> int:
    """How many different values it has."""
    return len(axis.levels)


def most_telling(table: StudyTable, measure: Measure, axes: Sequence[AxisColumn], most: int | None) -> AxisColumn | None:
    """Of the axes with at most `most` levels (None: any), the one whose levels differ most; the first where all are alike."""
    spreads = [(_spread(cells(table, measure, scale_of(axis, most or 12))), axis) for axis in axes if most is None or depth(axis) <= most]
    return max(spreads, key=lambda spread: spread[0], default=(0.0, None))[1]


def _spread(found: Sequence[Cell]) -> float:
    means = [cell.interval.estimate for cell in found if cell.interval is not None]
    return float(np.std(means)) if means else 0.0


def cells(table: StudyTable, measure: Measure, scale: Scale) -> list[Cell]:
    """A cell a level."""
    return [cell_of(table, measure, level.points) for level in scale.levels]


def common(first: Level, second: Level) -> tuple[int, ...]:
    """The points that have both."""
    there = frozenset(second.points)
    return tuple(point for point in first.points if point in there)


def runs_words(table: StudyTable) -> str:
    """ "24 points, 20 runs each"."""
    few, many = min(table.runs, default=0), max(table.runs, default=0)
    runs = f"{number(many)} run{'' if many == 1 else 's'}" if few == many else f"{number(few)} to {number(many)} runs"
    return f"{number(table.points)} point{'' if table.points == 1 else 's'}, {runs} each"


def averaged_words(table: StudyTable, shown: Sequence[Scale], marks: Sequence[Cell]) -> str:
    """ "each mark is the mean over acks (2 values)": the axes that differ inside a mark; empty where each mark is a point."""
    drawn = [scale.axis.label for scale in shown]
    inside = [
        f"a range of {axis.label}" if axis.label in drawn else f"{axis.label} ({depth(axis)} values)"
        for axis in varying(table)
        if any(len({axis.written[point] for point in mark.points}) > 1 for mark in marks)
    ]
    shown_names = inside if len(inside) <= 4 else [*inside[:3], f"{len(inside) - 3} more axes"]
    return f"each mark is the mean over {', '.join(shown_names)}" if inside else ""


def need_axes(table: StudyTable, kind: str, least: int) -> list[AxisColumn]:
    """The varying axes. Raises ScenarioError where they are fewer than the picture needs."""
    axes = varying(table)
    if len(axes) < least:
        have = f"this study varies {', '.join(axis.label for axis in axes)} only" if axes else "this study varies nothing"
        raise refuse(f"`{kind}` needs at least {least} axes that vary, and {have}; draw a `curve`")
    return axes
