"""A measure against one axis, with its band: a line a level of a second axis, each run as a faint dot, categories as dot and interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from kafkasim.plots import sentences
from kafkasim.plots.levels import Scale, averaged_words, scale_of
from kafkasim.plots.lines import MOST_LINES, Curve, curves_of
from kafkasim.plots.measure import Cell, Measure, exact, how_sure
from kafkasim.plots.style import GRID, INK, LEFT, MARKERS, PALETTE, SAFE, bare, clipped, footnote, log_ticks, slide, wrapped
from kafkasim.study.axis_columns import AxisColumn
from kafkasim.study.table import StudyTable
from kafkasim.truth import Floats

TURN, TURNED_LETTERS = 40, 20  # of the names of categories that stand aslant: degrees, and how much of them is shown
MOST_PLACES = 40  # of a numeric axis before it is binned
MOST_CATEGORIES = 24
_MANY_DOTS = 4000


def draw_curve(table: StudyTable, measure: Measure, x: AxisColumn, lines: AxisColumn | None, title: str, under: Sequence[str]) -> Figure:
    """The whole slide. `lines`: the axis that gives one line a level."""
    across = scale_of(x, MOST_PLACES if x.numeric else MOST_CATEGORIES, 14)
    split = scale_of(lines, MOST_LINES, MOST_LINES) if lines is not None else None
    curves = curves_of(table, measure, across, split)
    marks = [cell for curve in curves for cell in curve.cells]
    shown = [scale for scale in (across, split) if scale is not None]
    averaged = averaged_words(table, shown, marks)
    figure, top = slide(title or sentences.of_curves(measure, across, curves), " · ".join([*under, *([averaged] if averaged else [])]))
    bottom = 0.265 if is_turned(across, small=False) else 0.155
    right = 0.17 if split is not None else 0.04
    axis = figure.add_axes((0.075, bottom, 1 - 0.075 - right, top - bottom - 0.06))
    panel(axis, measure, across, curves, reach_of(measure, curves))
    axis.set_xlabel(across.name, color=INK, fontsize=12, labelpad=7)
    figure.text(LEFT, axis.get_position().y1 + 0.022, measure.scale, color=INK, fontsize=12, va="bottom")
    if split is not None:
        _name_lines(axis, curves, split)
    footnote(figure, _how_to_read(measure, curves, shown))
    return figure


@dataclass(frozen=True, slots=True)
class Reach:
    """What the y axis spans, shared by panels."""

    low: float
    high: float
    log: bool


def reach_of(measure: Measure, curves: Sequence[Curve]) -> Reach:
    """From zero to a little over the highest; logarithmic where a latency or a throughput spans more than a factor of fifty."""
    marks = [cell for curve in curves for cell in curve.cells if cell.interval is not None]
    highs = [max(cell.interval.high, 0.0 if measure.event else float(cell.values.max())) for cell in marks if cell.interval is not None]
    least = min((float(cell.values.min()) for cell in marks), default=0.0)
    most = max(highs, default=0.0) or (100.0 if measure.factor == 100 else 1.0)
    if not measure.bad and least > 0 and most / least > 50:
        return Reach(least / 1.4, most * 1.4, True)
    low = min(least, 0.0)
    return Reach(low - 0.035 * (most - low), 103.5 if measure.event and most > 95 else most + 0.06 * (most - low), False)


def panel(axis: Axes, measure: Measure, across: Scale, curves: Sequence[Curve], reach: Reach, small: bool = False) -> None:
    """One panel: where nothing was lost as a pale ground, dots of runs, bands, lines."""
    bare(axis)
    axis.set_ylim(reach.low, reach.high)
    if reach.log:
        axis.set_yscale("log")
        log_ticks(axis.yaxis, reach.low, reach.high)
    else:
        axis.yaxis.set_major_locator(MaxNLocator(3 if small else 5))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: exact(value)))
    axis.grid(axis="y", color=GRID, linewidth=0.9)
    axis.set_axisbelow(True)
    _across(axis, across, small)
    _safe_ground(axis, measure, across, curves, small)
    step = _dodge(across, len(curves))
    for number, curve in enumerate(curves):
        shift = (number - (len(curves) - 1) / 2) * step
        places = np.array([level.place for level in curve.levels]) + shift
        _dots(axis, measure, across, curve, places)
        if across.numeric:
            _line(axis, curve, places, small, 0.9 * (len(curves) - 1 - number))  # so that lines on one another are seen
        else:
            _whiskers(axis, curve, places, small)


def _dodge(across: Scale, curves: int) -> float:
    """How far lines stand apart at one category."""
    return 0.0 if across.numeric or curves < 2 else min(0.7 / curves, 0.2)


def _across(axis: Axes, across: Scale, small: bool) -> None:
    """The x axis: its ticks are the levels that were studied, where they are few enough to be read."""
    places = [level.place for level in across.levels]
    if not across.numeric:
        axis.set_xlim(-0.6, max(len(places), 1) - 0.4)
        width = 7 if small else max(int(130 / max(len(places), 1)), 9)
        turned = is_turned(across, small)
        most = 16 if small else TURNED_LETTERS
        words = [clipped(level.words, most) if turned else wrapped(level.words, width) for level in across.levels]
        axis.set_xticks(places, words, rotation=TURN if turned else 0, ha="right" if turned else "center", rotation_mode="anchor")
        return
    if across.log:
        axis.set_xscale("log")
        axis.xaxis.set_minor_locator(NullLocator())
        edge = max((places[-1] / places[0]) ** 0.03, 1.02)
        axis.set_xlim(places[0] / edge, places[-1] * edge)
    else:
        edge = 0.03 * (places[-1] - places[0]) or max(abs(places[0]) * 0.1, 0.5)
        axis.set_xlim(places[0] - edge, places[-1] + edge)
    if not across.binned and len(places) <= 12:
        at = np.log(places) if across.log else np.array(places)
        axis.set_xticks(places, _thinned(across, at, small))
    else:
        if across.log:
            log_ticks(axis.xaxis, *axis.get_xlim())
        else:
            axis.xaxis.set_major_locator(MaxNLocator(4 if small else 8))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: exact(value)))


def is_turned(across: Scale, small: bool) -> bool:
    """Whether the names of categories stand aslant: many, or long for the room that each has."""
    room = (5.5 if small else 10.0) / max(len(across.levels), 1) / (0.075 if small else 0.09)  # letters
    return not across.numeric and max((len(level.words) for level in across.levels), default=0) > max(room, 4) * 2.5


def _thinned(across: Scale, at: Floats, small: bool) -> list[str]:
    """The words of the levels, without those that would lie on the one before."""
    span = float(at[-1] - at[0]) or 1.0
    inches = 1.5 if small else 9.5
    words, last = [], -np.inf
    for level, place in zip(across.levels, at, strict=True):
        centre, half = (place - at[0]) / span * inches, 0.05 * len(level.words) + 0.04
        words.append(level.words if centre - half > last else "")
        last = centre + half if words[-1] else last
    return words


def _safe_ground(axis: Axes, measure: Measure, across: Scale, curves: Sequence[Curve], small: bool) -> None:
    """Where no run of any line lost anything (or had a second effect): a pale ground, and how sure that is."""
    if not measure.bad or not across.numeric:
        return
    safe = []
    for level in across.levels:
        marks = [cell for curve in curves for place, cell in zip(curve.levels, curve.cells, strict=True) if place is level]
        safe.append(bool(marks) and all(mark.none for mark in marks))
    places = [level.place for level in across.levels]
    low, high = axis.get_xlim()
    edges = [low, *((np.sqrt(a * b) if across.log else (a + b) / 2) for a, b in pairwise(places)), high]
    for place, calm in enumerate(safe):
        if calm:
            axis.axvspan(edges[place], edges[place + 1], color=SAFE, linewidth=0, zorder=0)
    if not small and any(safe):
        first = safe.index(True)
        runs = min(cell.runs for curve in curves for cell in curve.cells if cell.none)
        until = next((place for place in range(first, len(safe)) if not safe[place]), len(safe))
        words = how_sure(measure.noun, runs)
        wide = (edges[until] - edges[first]) / (high - low) if not across.log else np.log(edges[until] / edges[first]) / np.log(high / low)
        axis.annotate(
            fill(words, max(int(95 * wide), 14)),
            (edges[first], 1.0),
            xycoords=axis.get_xaxis_transform(),
            xytext=(8, -9),
            textcoords="offset points",
            color=PALETTE[0],
            fontsize=10.5,
            va="top",
        )


def _dots(axis: Axes, measure: Measure, across: Scale, curve: Curve, places: Floats) -> None:
    """Each run, beside one another; an event has none, for a run either had it or not."""
    if measure.event:
        return
    xs, ys = [], []
    low, high = axis.get_xlim()
    for place, cell in zip(places, curve.cells, strict=True):
        spread = (np.arange(cell.runs) * 0.618034) % 1 - 0.5  # even, and the same each time
        if across.log:
            xs.append(place * (high / low) ** (0.012 * spread))
        else:
            xs.append(place + (0.12 if not across.numeric else 0.012 * (high - low)) * spread)
        ys.append(cell.values)
    if xs:
        x, y = np.concatenate(xs), np.concatenate(ys)
        axis.scatter(x, y, s=9, color=curve.colour, alpha=0.22, linewidth=0, zorder=2, rasterized=len(x) > _MANY_DOTS)


def _line(axis: Axes, curve: Curve, places: Floats, small: bool, under: float) -> None:
    """Band, line, and a mark a level: hollow where no run had any."""
    known = [(x, cell, cell.interval) for x, cell in zip(places, curve.cells, strict=True) if cell.interval is not None]
    if not known:
        return
    x = [x for x, _, _ in known]
    axis.fill_between(
        x, [i.low for _, _, i in known], [i.high for _, _, i in known], color=curve.colour, alpha=0.16, linewidth=0, zorder=3, gid="band"
    )
    if len(known) == 1:
        axis.vlines(x, known[0][2].low, known[0][2].high, color=curve.colour, linewidth=2.2, alpha=0.6, zorder=3)
    axis.plot(x, [i.estimate for _, _, i in known], color=curve.colour, linewidth=(1.6 if small else 2.2) + under, zorder=4)
    _marks(axis, curve, [(x, cell) for x, cell, _ in known], small)


def _whiskers(axis: Axes, curve: Curve, places: Floats, small: bool) -> None:
    known = [(x, cell, cell.interval) for x, cell in zip(places, curve.cells, strict=True) if cell.interval is not None]
    low, high = [i.low for _, _, i in known], [i.high for _, _, i in known]
    axis.vlines([x for x, _, _ in known], low, high, color=curve.colour, linewidth=2.4, alpha=0.75, zorder=3, gid="whiskers")
    _marks(axis, curve, [(x, cell) for x, cell, _ in known], small)


def _marks(axis: Axes, curve: Curve, known: Sequence[tuple[float, Cell]], small: bool) -> None:
    for hollow in (False, True):
        chosen = [(x, cell.interval.estimate) for x, cell in known if cell.interval is not None and cell.none is hollow]
        axis.plot(
            [x for x, _ in chosen],
            [y for _, y in chosen],
            MARKERS[curve.look],
            color=curve.colour,
            markerfacecolor="white" if hollow else curve.colour,
            markersize=4 if small else 6.5,
            markeredgewidth=1.4,
            zorder=5,
            clip_on=False,
        )


def _name_lines(axis: Axes, curves: Sequence[Curve], split: Scale) -> None:
    """Each line's name at its right end, pushed apart where ends meet."""
    ends = []
    for curve in curves:
        known = [(level, cell.interval) for level, cell in zip(curve.levels, curve.cells, strict=True) if cell.interval is not None]
        if known:
            place = axis.transData.transform((known[-1][0].place, known[-1][1].estimate))
            ends.append((float(axis.transAxes.inverted().transform(place)[1]), curve))
    ends.sort(key=lambda end: (end[0], end[1].look))
    tall = axis.get_window_extent().height / axis.figure.dpi  # inches
    words = [wrapped(with_name(curve, split), 18) for _, curve in ends]
    heights = [(0.21 * len(text.splitlines()) + 0.06) / tall for text in words]
    for (_, curve), text, y in zip(ends, words, apart([end for end, _ in ends], heights), strict=True):
        axis.text(
            1.012, y, text, color=curve.colour, fontsize=11.5, fontweight="bold", va="center", transform=axis.transAxes, linespacing=1.1
        )
    axis.text(1.012, 1.035, wrapped(split.axis.label, 21), color=INK, fontsize=12, va="bottom", transform=axis.transAxes)


def with_name(curve: Curve, split: Scale) -> str:
    """ "3 s", "all": the axis's name stands above all of them."""
    return f"{curve.words} {split.unit}" if split.unit else curve.words


def apart(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Centres as near as can be to those wanted (ascending), so that labels of these heights do not overlap, inside 0 … 1."""
    places: list[float] = []
    for want, height in zip(wanted, heights, strict=True):
        least = places[-1] + (heights[len(places) - 1] + height) / 2 if places else height / 2
        places.append(max(want, least))
    ceiling = 1.0
    for i in range(len(places) - 1, -1, -1):
        places[i] = min(places[i], ceiling - heights[i] / 2)
        ceiling = places[i] - heights[i] / 2
    return places


def _how_to_read(measure: Measure, curves: Sequence[Curve], shown: Sequence[Scale]) -> str:
    how = (
        "95 % interval: Wilson's, or the rule of three"
        if measure.event
        else "95 % interval of the mean, by bootstrap over runs; a faint dot is a run"
    )
    words = [f"Band: {how}." if shown[0].numeric else f"Whisker: {how}."]
    if any(cell.none for curve in curves for cell in curve.cells) and measure.bad:
        words.append("Hollow: none in any run.")
    words += [f"{scale.left_out} more levels of {scale.axis.label} are not shown." for scale in shown if scale.left_out]
    if not any(cell.interval is not None for curve in curves for cell in curve.cells):
        words = ["No run has a value."]
    return " ".join(words)
