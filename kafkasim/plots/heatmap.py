"""A measure over two axes: a cell a combination, with its value and how many runs it rests on.

A cell without any loss is white, so that none and little never look alike; a combination that was not looked at is hatched.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from kafkasim.plots import sentences
from kafkasim.plots.curve import TURN, TURNED_LETTERS
from kafkasim.plots.levels import Scale, averaged_words, common, scale_of
from kafkasim.plots.measure import Cell, Measure, cell_of, exact, short
from kafkasim.plots.style import FAINT, INK, LAG, bare, clipped, footnote, ramp, slide, wrapped
from kafkasim.promises import number
from kafkasim.study.axis_columns import AxisColumn
from kafkasim.study.table import StudyTable

_MOST_ACROSS, _MOST_UP = 20, 14
_UNSEEN = "#eef1f4"


def draw_heatmap(table: StudyTable, measure: Measure, x: AxisColumn, y: AxisColumn, title: str, under: Sequence[str]) -> Figure:
    """The whole slide."""
    across, up = scale_of(x, _MOST_ACROSS, 10), scale_of(y, _MOST_UP, 8)
    pairs = [[common(right, above) for right in across.levels] for above in up.levels]
    grid = [[cell_of(table, measure, points) for points in row] for row in pairs]
    named = [
        (f"{across.setting(right)}, {up.setting(above)}", cell)
        for above, row in zip(up.levels, grid, strict=True)
        for right, cell in zip(across.levels, row, strict=True)
    ]
    averaged = averaged_words(table, (across, up), [cell for _, cell in named])
    figure, top = slide(title or sentences.of_cells(measure, named), " · ".join([*under, *([averaged] if averaged else [])]))
    width = max(len(level.words) for level in up.levels)
    left = 0.055 + 0.0065 * min(width, 26)
    turned = len(across.levels) * max(len(level.words) for level in across.levels) > 110
    bottom = 0.265 if turned else 0.15
    axis = figure.add_axes((left, bottom, 0.895 - left, top - bottom - 0.055))
    shade = _shade(measure, [cell for _, cell in named])
    _cells(axis, measure, grid, shade)
    _ticks(axis, across, up, turned)
    if shade is not None:
        _colour_bar(figure, axis, measure, shade)
    footnote(figure, _how_to_read(measure, [cell for _, cell in named], (across, up)))
    return figure


def _shade(measure: Measure, marks: Sequence[Cell]) -> Normalize | None:
    """From values to 0 … 1; logarithmic where they span more than a factor of a hundred."""
    seen = [mark.interval.estimate for mark in marks if mark.interval is not None and not (measure.bad and mark.none)]
    if not seen:
        return None
    low, high = min(seen), max(seen)
    if low > 0 and high / low > 100:
        return LogNorm(low, high)
    return Normalize(0.0 if measure.bad or low == high else low, high)


def _cells(axis: Axes, measure: Measure, grid: Sequence[Sequence[Cell]], shade: Normalize | None) -> None:
    colours = ramp(measure.family)
    rows, columns = len(grid), len(grid[0])
    size = min(15.0, 150 / columns, 90 / rows)
    for up, row in enumerate(grid):
        for right, cell in enumerate(row):
            box = Rectangle((right - 0.5, up - 0.5), 1, 1, edgecolor="#ffffff", linewidth=2.0)
            ink = INK
            if cell.interval is None:
                box.set(facecolor=_UNSEEN, hatch=None if cell.seen else "////")
                box.set_edgecolor(LAG)
            elif shade is None or (measure.bad and cell.none):
                box.set(facecolor="white", edgecolor=LAG, linewidth=1.0)
            else:
                red, green, blue, _ = colour = colours(float(shade(cell.interval.estimate)))
                box.set(facecolor=colour)
                ink = "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.55 else INK
            axis.add_patch(box)
            if cell.interval is not None or cell.seen:
                value = short(cell.interval.estimate) if cell.interval is not None else "no value"
                axis.text(
                    right, up + 0.04, value, color=ink, fontsize=size if cell.interval is not None else size * 0.6, ha="center", va="center"
                )
                if rows <= 10 and columns <= 14:
                    runs = f"{number(cell.seen)} run{'' if cell.seen == 1 else 's'}"
                    axis.text(right, up - 0.36, runs, color=ink, fontsize=max(min(size * 0.6, 8.5), 6), ha="center", va="center", alpha=0.8)
    axis.set_xlim(-0.5, columns - 0.5)
    axis.set_ylim(-0.5, rows - 0.5)


def _ticks(axis: Axes, across: Scale, up: Scale, turned: bool) -> None:
    bare(axis)
    wide = max(int(120 / max(len(across.levels), 1)), 8)
    words = [clipped(level.words, TURNED_LETTERS) if turned else wrapped(level.words, wide) for level in across.levels]
    axis.set_xticks(range(len(words)), words, rotation=TURN if turned else 0, ha="right" if turned else "center", rotation_mode="anchor")
    axis.set_yticks(range(len(up.levels)), [clipped(level.words, 26) for level in up.levels])
    axis.set_xlabel(across.name, color=INK, fontsize=12, labelpad=7)
    axis.annotate(
        clipped(up.name, 60),
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 8),
        textcoords="offset points",
        color=INK,
        fontsize=12,
        va="bottom",
        ha="left",
    )


def _colour_bar(figure: Figure, axis: Axes, measure: Measure, shade: Normalize) -> None:
    """How dark is how much, to the right; the words stand above."""
    place = axis.get_position()
    bar = figure.add_axes((0.915, place.y0, 0.012, place.height))
    figure.colorbar(ScalarMappable(shade, ramp(measure.family)), cax=bar)
    bar.tick_params(colors=FAINT, labelsize=10.5, length=0)
    if isinstance(shade, LogNorm):
        bar.yaxis.set_minor_locator(NullLocator())
    else:
        bar.yaxis.set_major_locator(MaxNLocator(5))
    bar.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: exact(value)))
    bar.spines["outline"].set_visible(False)
    figure.text(0.97, place.y1 + 8 / 72 / figure.get_figheight(), measure.scale, color=INK, fontsize=12, ha="right", va="bottom")


def _how_to_read(measure: Measure, marks: Sequence[Cell], scales: Sequence[Scale]) -> str:
    mean = "the share of runs" if measure.event else "the mean over runs"
    words = [f"A cell is {mean}."]
    if measure.bad and any(mark.none for mark in marks):
        words.append("White: none in any run.")
    if any(mark.interval is None and not mark.seen for mark in marks):
        words.append("Hatched: not looked at.")
    if any(mark.interval is None and mark.seen for mark in marks):
        words.append("No value: no run has one, as where nothing was acked.")
    words += [f"{scale.left_out} more levels of {scale.axis.label} are not shown." for scale in scales if scale.left_out]
    return " ".join(words)
