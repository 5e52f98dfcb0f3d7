"""An axis of a study as a picture shows it: its levels in order, each with its words and the points that have it.

A numeric axis with more values than a picture can tell apart (a random design) is cut into bins of about as many points each.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kafkasim.plots.measure import Cell, Measure, cell_of, refuse, short, unknown
from kafkasim.promises import number
from kafkasim.study.table import AxisColumn, StudyTable
from kafkasim.truth import Floats
from kafkasim.values import parse_duration

_IN_MS = {"ms": 1.0, "s": 1000.0, "min": 60_000.0, "h": 3_600_000.0}
_LONGEST = 34


@dataclass(frozen=True, slots=True)
class Level:
    """One level: where it lies on a numeric scale (0, 1, 2 … for categories), in words, and the points that have it."""

    place: float
    words: str
    points: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """The levels of one axis. `left_out`: how many more it has than the picture shows; `binned`: a level stands for a range."""

    axis: AxisColumn
    numeric: bool
    log: bool
    levels: tuple[Level, ...]
    left_out: int = 0
    binned: bool = False

    @property
    def name(self) -> str:
        """"faults.zombie.for, s"."""
        return f"{self.axis.label}, {self.axis.unit}" if self.axis.unit and self.numeric else self.axis.label

    def setting(self, level: Level) -> str:
        """"acks = all", "faults.zombie.for = 3 s"."""
        return f"{self.axis.label} = {with_unit(self.axis, level.words) if self.numeric else level.words}"


def scale_of(axis: AxisColumn, most: int, bins: int = 12) -> Scale:
    """At most `most` levels: a numeric axis with more is binned, of others the first are kept."""
    if not is_numeric(axis):
        keys = list(dict.fromkeys(written(value) for value in axis.values))
        members = {key: tuple(i for i, value in enumerate(axis.values) if written(value) == key) for key in keys[:most]}
        levels = tuple(Level(float(place), _clip(key), points) for place, (key, points) in enumerate(members.items()))
        return Scale(axis, False, False, levels, max(len(keys) - most, 0))
    places = numbers(axis)
    log = axis.log and bool(len(places)) and bool(places.min() > 0)
    distinct = np.unique(places)
    if len(distinct) <= most:
        found = tuple(Level(float(place), plain(place), tuple(np.flatnonzero(places == place).tolist())) for place in distinct)
        return Scale(axis, True, log, found)
    parts = np.array_split(np.argsort(places, kind="stable"), min(bins, most))
    return Scale(axis, True, log, tuple(_bin(places, np.sort(part)) for part in parts if len(part)), binned=True)


def _bin(places: Floats, part: Any) -> Level:
    inside = places[part]
    return Level(float(inside.mean()), f"{short(inside.min())} … {short(inside.max())}", tuple(part.tolist()))


def is_numeric(axis: AxisColumn) -> bool:
    """Whether its values have places on a number line; a single odd one out (`none`) makes it categories."""
    return axis.numeric


def numbers(axis: AxisColumn) -> Floats:
    """The values of a numeric axis, one a point, in the axis's unit."""
    unit = _IN_MS.get(axis.unit, 1.0)
    return np.array([parse_duration(value) / unit if isinstance(value, str) and axis.unit else float(value) for value in axis.values])


def with_unit(axis: AxisColumn, words: str) -> str:
    """"3" as "3 s" on an axis of seconds."""
    return f"{words} {axis.unit}" if axis.unit else words


def plain(value: float) -> str:
    """A level as one would write it: 30 000, 3, 0.25."""
    return number(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.3g}"


def written(value: Any) -> str:
    """A value as the scenario file writes it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false"}.get(value, "none")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _clip(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


# ---------------------------------------------------------------------------------------------------- which axis for what


def varying(table: StudyTable) -> list[AxisColumn]:
    """The axes that take more than one value."""
    return [axis for axis in table.axes if len({written(value) for value in axis.values}) > 1]


def depth(axis: AxisColumn) -> int:
    """How many different values it has."""
    return len({written(value) for value in axis.values})


def axis_called(table: StudyTable, name: str) -> AxisColumn:
    """The axis with this label or path. Raises ScenarioError, with the nearest, where there is none."""
    found = next((axis for axis in table.axes if name in (axis.label, axis.path)), None)
    if found is None:
        raise unknown("axis of this study", name, [axis.label for axis in table.axes])
    return found


def most_telling(table: StudyTable, measure: Measure, axes: Sequence[AxisColumn], most: int) -> AxisColumn | None:
    """Of the axes with at most `most` levels, the one whose levels differ most in the measure; the first where all are alike."""
    spreads: list[tuple[float, AxisColumn]] = []
    for axis in axes:
        if depth(axis) <= most:
            spreads.append((_spread(cells(table, measure, scale_of(axis, most))), axis))
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
    """"24 points, 20 runs each"."""
    few, many = min(table.runs, default=0), max(table.runs, default=0)
    runs = f"{number(many)} run{'' if many == 1 else 's'}" if few == many else f"{number(few)} to {number(many)} runs"
    return f"{number(table.points)} point{'' if table.points == 1 else 's'}, {runs} each"


def averaged_words(table: StudyTable, shown: Sequence[Scale], marks: Sequence[Cell]) -> str:
    """"each mark is the mean over acks (2 values)": the axes that differ inside a mark; empty where each mark is a point."""
    drawn = {scale.axis.label: scale for scale in shown}
    inside = []
    for axis in varying(table):
        levels = [written(value) for value in axis.values]
        if any(len({levels[point] for point in mark.points}) > 1 for mark in marks):
            inside.append(f"a range of {axis.label}" if axis.label in drawn else f"{axis.label} ({depth(axis)} values)")
    return f"each mark is the mean over {', '.join(inside)}" if inside else ""


def need_axes(table: StudyTable, kind: str, least: int) -> list[AxisColumn]:
    """The varying axes. Raises ScenarioError where they are fewer than the picture needs."""
    axes = varying(table)
    if len(axes) < least:
        have = f"this study varies {', '.join(axis.label for axis in axes)} only" if axes else "this study varies nothing"
        other = "curve" if axes or least == 1 else "curve, which draws a single point too"
        raise refuse(f"a {kind} needs {least} axes that vary, and {have}; draw a {other}")
    return axes
