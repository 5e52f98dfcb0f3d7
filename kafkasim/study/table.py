"""The rows of a study by point: its axes with a value a point, and of each measure one number a run.

Only the columns asked for are kept, as 8 bytes a number, so that a file of a million rows fits. The rows may come in any order; what is
read from the table is in the order of points and runs.
"""

from __future__ import annotations

import csv
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.study.axes import Value
from kafkasim.study.axis_columns import AxisColumn, axis_column
from kafkasim.study.events import event_key
from kafkasim.study.study import Study
from kafkasim.values import hint

Row = Mapping[str, Any]
Numbers = npt.NDArray[np.float64]

# `*` stands for the name of a group, or for one of its counts.
USUAL_KEYS = (
    *("sent", "acked", "failed", "unresolved", "acked_lost", "failed_lost", "failed_but_written", "log_duplicates", "log_inversions"),
    *("spooled", "resent", "expired", "groups.*.*", "loss_rate", "silent_loss_rate", "duplication_rate"),
    *("latency_ms.*", "throughput", "unavailable_ms", "violated"),
)
_NO_MEASURES = frozenset({"task", "version", "point", "run", "seed", "command", "name", "scenario_id", "backend", "kafka"})


@dataclass(frozen=True)
class StudyTable:
    """What a study has shown so far. `axes[i].values[p]` is where point p lies; `runs[p]` is how many runs of it there are, perhaps 0."""

    axes: tuple[AxisColumn, ...]
    runs: tuple[int, ...]
    _starts: npt.NDArray[np.intp] = field(repr=False)  # of each point in the columns, and the end of the last
    _numbers: npt.NDArray[np.int64] = field(repr=False)  # `run` of each row
    _columns: Mapping[str, Numbers] = field(repr=False)

    @property
    def points(self) -> int:
        """How many points the study has."""
        return len(self.runs)

    @property
    def keys(self) -> tuple[str, ...]:
        """The measures that were kept."""
        return tuple(self._columns)

    def values(self, key: str, point: int) -> Numbers:
        """One number a run of the point, in order of `run`; NaN where there is none. Read-only. Raises ScenarioError for an unknown key."""
        if key not in self._columns:
            raise ScenarioError([Problem("", f"the results have no number `{key}`{hint(key, self._columns)}")])
        return self._columns[key][self._rows(point)]

    def event(self, name: str, point: int) -> npt.NDArray[np.bool_]:
        """Whether it befell each run: "loss", "silent_loss", "duplication", "violated", or any number of the table that is above 0."""
        key = event_key(name)
        if key not in self._columns:
            raise ScenarioError([Problem("", f"the results have no event `{name}`{hint(key, self._columns)}")])
        return self.values(key, point) > 0

    def run_numbers(self, point: int) -> npt.NDArray[np.int64]:
        """`run` of each row of the point, ascending: equal numbers at two points had equal seeds."""
        return self._numbers[self._rows(point)]

    def axis(self, name: str) -> AxisColumn:
        """The axis with this label or path. Raises ScenarioError with the nearest one."""
        for axis in self.axes:
            if name in (axis.label, axis.path):
                return axis
        known = [word for axis in self.axes for word in (axis.label, axis.path)]
        raise ScenarioError([Problem("", f"the study has no axis `{name}`{hint(name, known)}")])

    def _rows(self, point: int) -> slice:
        if not 0 <= point < self.points:
            raise ScenarioError([Problem("", f"there is no point {point}; the study has {self.points}, from 0 on")])
        return slice(int(self._starts[point]), int(self._starts[point + 1]))


def read_table(source: Path | Iterable[Row], study: Study | Mapping[str, str], keys: Sequence[str] = USUAL_KEYS) -> StudyTable:
    """The table of results.jsonl or results.csv, or of rows from anywhere, read one row at a time.

    `study`: the study itself, which knows the values of points that have no row yet; or {label: path} of the axes, whose values then come
    from the rows. `keys`: the columns to keep, with `*` for any letters. A last line that a kill has cut short is left out. Of two rows
    of the same run the first counts. Raises ScenarioError for what is no such file.
    """
    where = str(source) if isinstance(source, Path) else "the results"
    rows = rows_of(source) if isinstance(source, Path) else iter(source)
    if isinstance(study, Study):
        axes = _axes_of(study)
        return _table(_Kept(keys, (), len(study.points), where).take(rows), axes, len(study.points))
    kept = _Kept(keys, tuple(study.values()), None, where).take(rows)
    points = max(kept.points, default=-1) + 1
    placed = {path: [kept.places[path].get(point) for point in range(points)] for path in study.values()}
    return _table(kept, tuple(axis_column(label, path, placed[path]) for label, path in study.items()), points)


def table_of(axes: Mapping[str, Sequence[Value]], rows: Iterable[Row]) -> StudyTable:
    """A table from memory: {label: a value for each point}, and rows with `point`, `run` and any numbers."""
    points = len(next(iter(axes.values())))
    kept = _Kept(("*",), (), points, "the rows").take(iter(rows))
    return _table(kept, tuple(axis_column(label, label, values) for label, values in axes.items()), points)


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of results.jsonl or results.csv, one at a time. Raises ScenarioError with the line that is no row."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".csv":
                for line in csv.DictReader(file):
                    yield {name: _from_text(text) for name, text in line.items() if name is not None}
            else:
                yield from _json_rows(file, path)
    except OSError as error:
        raise ScenarioError([Problem(str(path), error.strerror or "it cannot be read")]) from None
    except UnicodeDecodeError:
        raise ScenarioError([Problem(str(path), "this is no text, so no results of a study")]) from None


def _json_rows(lines: Iterable[str], path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError:
            if not line.endswith("\n"):
                return  # a kill came in the middle of the last line; its run has not been made
            row = None
        if not isinstance(row, dict):
            raise ScenarioError([Problem(f"{path}:{number}", "this line is no row of a study: a row is one JSON object")])
        yield row


def _from_text(text: str | None) -> Value:
    """What a cell of a CSV file says: nothing, true or false, a number, or words."""
    if not text:
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


class _Kept:
    """The columns while they grow. `points`, `runs` and each of `columns` have one item a row; `places` the axes' values by point."""

    def __init__(self, keys: Sequence[str], paths: tuple[str, ...], points: int | None, where: str) -> None:
        self.points, self.runs = array("q"), array("q")
        self.columns: dict[str, array[float]] = {}
        self.places: dict[str, dict[int, Value]] = {path: {} for path in paths}
        self._keys, self._most, self._where = keys, points, where
        self._known: set[tuple[str, ...]] = set()

    def take(self, rows: Iterator[Row]) -> _Kept:
        for row in rows:
            if (layout := tuple(row)) not in self._known:
                self._known.add(layout)
                self._add_columns(row)
            self._take(row)
        return self

    def _take(self, row: Row) -> None:
        point, run = row.get("point"), row.get("run")
        if not isinstance(point, int) or not isinstance(run, int):
            raise self._wrong("a row of a study has a `point` and a `run`, and here is one without; is this the results file of a study?")
        if point < 0 or (self._most is not None and point >= self._most):
            raise self._wrong(f"there is a row of point {point}, and the study has {self._most} points: these are another study's results")
        for path, places in self.places.items():
            if point not in places:
                if path not in row:
                    raise self._wrong(f"there is no column `{path}`{hint(path, row)}")
                places[point] = row[path]
        self.points.append(point)
        self.runs.append(run)
        for name, column in self.columns.items():
            value = row.get(name)
            if isinstance(value, str):
                raise self._wrong(f"`{name}` is to be a number, and a row has the text {value!r}")
            column.append(np.nan if value is None else value)

    def _add_columns(self, row: Row) -> None:
        """Columns that only some rows have (a group that only some points have) are NaN in the others."""
        for name, value in row.items():
            if name in self.columns or name in _NO_MEASURES or name in self.places:
                continue
            exact = name in self._keys
            if exact or (not isinstance(value, str) and any(fnmatchcase(name, key) for key in self._keys)):
                self.columns[name] = array("d", [np.nan]) * len(self.points)

    def _wrong(self, sentence: str) -> ScenarioError:
        return ScenarioError([Problem(self._where, sentence)])


def _axes_of(study: Study) -> tuple[AxisColumn, ...]:
    """A column an axis; of paths that move together the first one speaks."""
    values: list[list[Value]] = [[] for _ in study.axes]
    for point in study.points:
        for column, axis in zip(values, study.axes, strict=True):
            value = point.changes[axis.paths[0]]
            column.append("default" if value is None else value)  # as the study says it: the key is taken away
    return tuple(
        axis_column(axis.label, axis.paths[0], column, axis.span.scale == "log" if axis.span else None)
        for axis, column in zip(study.axes, values, strict=True)
    )


def _table(kept: _Kept, axes: tuple[AxisColumn, ...], points: int) -> StudyTable:
    """Sort what was read by point and run, and let the second row of a run go."""
    point, run = np.array(kept.points, np.int64), np.array(kept.runs, np.int64)
    order = np.lexsort((run, point))
    again = np.zeros(len(order), bool)
    again[1:] = (np.diff(point[order]) == 0) & (np.diff(run[order]) == 0)
    order = order[~again]
    columns: dict[str, Numbers] = {}
    for name in list(kept.columns):
        column = np.frombuffer(kept.columns.pop(name), np.float64)[order] if len(order) else np.empty(0)
        column.setflags(write=False)
        columns[name] = column
    runs = np.bincount(point[order], minlength=points)
    starts = np.concatenate([[0], np.cumsum(runs)]).astype(np.intp)
    return StudyTable(axes, tuple(int(count) for count in runs), starts, run[order], columns)
