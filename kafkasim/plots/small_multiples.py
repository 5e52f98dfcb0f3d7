"""The same curve for each combination of two further axes: a panel each, in rows and columns, all on the same scales."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kafkasim.plots import sentences
from kafkasim.plots.curve import is_turned, panel, reach_of
from kafkasim.plots.levels import Level, Scale, averaged_words, common, scale_of
from kafkasim.plots.lines import MOST_LINES, Curve, curves_of
from kafkasim.plots.measure import Cell, Measure
from kafkasim.plots.style import FAINT, INK, LEFT, PALETTE, footnote, slide, wrapped
from kafkasim.study.axis_columns import AxisColumn
from kafkasim.study.table import StudyTable

MOST_ROWS, MOST_COLUMNS = 4, 5
_PLACES = 12


def draw_small_multiples(table: StudyTable, measure: Measure, axes: Sequence[AxisColumn], title: str, under: Sequence[str]) -> Figure:
    """The whole slide. `axes`: x and columns; x, rows and columns; or x, lines, rows and columns."""
    across = scale_of(axes[0], 40 if axes[0].numeric else _PLACES, _PLACES)
    columns = scale_of(axes[-1], MOST_COLUMNS, MOST_COLUMNS)
    rows = scale_of(axes[-2], MOST_ROWS, MOST_ROWS) if len(axes) > 2 else None
    lines = scale_of(axes[1], MOST_LINES, MOST_LINES) if len(axes) > 3 else None
    every = Level(0.0, "", tuple(range(table.points)))
    grid = [
        [curves_of(table, measure, across, lines, common(row, column)) for column in columns.levels]
        for row in (rows.levels if rows is not None else (every,))
    ]
    shown = [scale for scale in (across, lines, rows, columns) if scale is not None]
    marks = _marks(grid, across, lines, rows, columns)
    averaged = averaged_words(table, shown, [cell for _, cell in marks])
    figure, top = slide(title or sentences.of_cells(measure, marks), " · ".join([*under, *([averaged] if averaged else [])]))
    figure.text(LEFT, top, measure.scale, color=INK, fontsize=12, va="top")
    if lines is not None:
        _name_lines(figure, lines, top)
    _panels(figure, measure, across, grid, top - 0.075, rows, columns)
    figure.text(0.5, 0.062, across.name, color=INK, fontsize=12, ha="center", va="center")
    footnote(figure, _how_to_read(measure, shown))
    return figure


def _panels(
    figure: Figure, measure: Measure, across: Scale, grid: Sequence[Sequence[list[Curve]]], top: float, rows: Scale | None, columns: Scale
) -> None:
    reach = reach_of(measure, [curve for row in grid for curves in row for curve in curves])
    turned = is_turned(across, small=True)
    left, right, bottom = 0.06, 0.895 if rows is not None else 0.975, 0.2 if turned else 0.125
    wide, tall = (right - left) / len(columns.levels), (top - bottom) / len(grid)
    for down, row in enumerate(grid):
        for along, curves in enumerate(row):
            last = down == len(grid) - 1
            place = (left + along * wide, top - (down + 1) * tall + 0.03, wide - 0.018, tall - 0.055)
            axis = figure.add_axes(place)
            panel(axis, measure, across, curves, reach, small=True)
            axis.tick_params(labelsize=9, labelleft=along == 0, labelbottom=last)
            if turned:
                axis.tick_params(axis="x", labelsize=7.5)
            if down == 0:
                _head(axis, columns, along, int(wide * 130))
            if rows is not None and along == len(row) - 1:
                broken = wrapped(rows.setting(rows.levels[down]), 15)
                axis.text(1.04, 0.5, broken, color=INK, fontsize=10.5, va="center", transform=axis.transAxes)
            if all(cell.interval is None for curve in curves for cell in curve.cells):
                seen = any(cell.seen for curve in curves for cell in curve.cells)
                axis.text(
                    0.5,
                    0.5,
                    "no value" if seen else "not looked at",
                    color=FAINT,
                    fontsize=10,
                    ha="center",
                    va="center",
                    transform=axis.transAxes,
                )


def _head(axis: Axes, columns: Scale, along: int, letters: int) -> None:
    words = columns.setting(columns.levels[along])
    axis.text(0.0, 1.03, wrapped(words, letters), color=INK, fontsize=10.5, va="bottom", transform=axis.transAxes)


def _name_lines(figure: Figure, lines: Scale, y: float) -> None:
    """The lines' names in their colours, above the panels at the right."""
    x, room = 0.5, 0.0072
    figure.text(x, y, lines.axis.label, color=INK, fontsize=12, va="top")
    x += room * (len(lines.axis.label) + 3)
    for number, level in enumerate(lines.levels):
        words = lines.value(level)
        figure.text(x, y, words, color=PALETTE[number], fontsize=12, fontweight="bold", va="top")
        x += room * (len(words) + 3) + 0.004


def _marks(
    grid: Sequence[Sequence[list[Curve]]], across: Scale, lines: Scale | None, rows: Scale | None, columns: Scale
) -> list[tuple[str, Cell]]:
    """Every mark of every panel with its settings in words."""
    marks = []
    for down, row in enumerate(grid):
        for along, curves in enumerate(row):
            panel_words = [columns.setting(columns.levels[along]), *([rows.setting(rows.levels[down])] if rows is not None else [])]
            for curve in curves:
                line_words = [curve.setting] if lines is not None else []
                for level, cell in zip(curve.levels, curve.cells, strict=True):
                    marks.append((", ".join([*line_words, across.setting(level), *panel_words]), cell))
    return marks


def _how_to_read(measure: Measure, shown: Sequence[Scale]) -> str:
    kind = "Wilson's, or the rule of three" if measure.event else "by bootstrap over runs"
    words = [f"Same scales everywhere. Band or whisker: 95 % interval, {kind}."]
    words += ["Hollow: none in any run. Pale ground: none with any line."] if measure.bad else []
    words += [f"{scale.left_out} more levels of {scale.axis.label} are not shown." for scale in shown if scale.left_out]
    return " ".join(words)
