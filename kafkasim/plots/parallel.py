"""Parallel coordinates: an upright a varied axis, one for the outcome at the right, and a line through all of them for each point.

Lines fan out where many share a level. Those without any loss have a colour of their own; whatever is rarer lies on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from kafkasim.plots.heights import FLOOR, heights_of, ticks_of
from kafkasim.plots.levels import Scale, scale_of
from kafkasim.plots.measure import Cell, Measure, cell_of, how_sure, percent, short
from kafkasim.plots.sentences import begin, nowhere
from kafkasim.plots.style import FAINT, INK, PALETTE, clipped, footnote, ramp, slide, wrapped
from kafkasim.promises import number
from kafkasim.study.axis_columns import AxisColumn
from kafkasim.study.table import StudyTable
from kafkasim.truth import Floats, Mask

Indices = npt.NDArray[np.intp]

_MOST_AXES = 9
_FEW_LEVELS = 10  # levels up to which lines fan out at each


@dataclass(frozen=True, slots=True)
class Upright:
    """One axis: its name, the height of each point on it, and (height, words) of its ticks."""

    name: str
    heights: Floats
    ticks: tuple[tuple[float, str], ...]


def draw_parallel(table: StudyTable, measure: Measure, axes: Sequence[AxisColumn], title: str, under: Sequence[str]) -> Figure:
    """The whole slide, of at most nine axes."""
    marks = [cell_of(table, measure, [point]) for point in range(table.points)]
    known = np.array([point for point, mark in enumerate(marks) if mark.interval is not None], np.intp)
    means = np.array([mark.interval.estimate for mark in marks if mark.interval is not None])
    none = np.array([marks[point].none for point in known], np.bool_) & measure.bad
    figure, top = slide(title or _sentence(measure, axes, known, means, none), " · ".join(under))
    shown = axes[:_MOST_AXES]
    rank = np.argsort(np.argsort(means, kind="stable"), kind="stable")
    uprights = [_upright(scale_of(one, _FEW_LEVELS, _FEW_LEVELS), one, known, rank) for one in shown]
    outcome = _outcome(measure, means)
    letters = min(max(int(112 / (len(shown) + 1)), 9), 22)
    head = max(len(wrapped(upright.name, letters).splitlines()) for upright in [*uprights, outcome])
    axis = figure.add_axes((0.055, 0.115, 0.875, top - 0.115 - 0.035 - 0.027 * head))
    _lines(axis, measure, [*uprights, outcome], means, none)
    _uprights(axis, [*uprights, outcome], letters)
    footnote(figure, _how_to_read(table, measure, marks, known, none, len(axes) - len(shown)))
    return figure


def _upright(scale: Scale, column: AxisColumn, known: Indices, rank: Indices) -> Upright:
    """Few levels stand at even distance, and the points of each fan out by outcome; many lie where their numbers are."""
    heights = np.zeros(len(known))
    if scale.binned:
        values = np.array([column.values[point] for point in known], np.float64)
        values = np.log(values) if scale.log else values
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        heights = (values - low) / ((high - low) or 1.0)
        unit = 1000 if scale.unit == "s" else 1
        ends = [np.exp(end) if scale.log else end for end in (low, (low + high) / 2, high)]
        return Upright(scale.name, heights, tuple((place, short(end / unit)) for place, end in zip((0.0, 0.5, 1.0), ends, strict=True)))
    several = max(len(scale.levels), 1)
    ticks = []
    for place, level in enumerate(scale.levels):
        middle = (place + 0.5) / several
        ticks.append((middle, level.words))
        members = np.flatnonzero(np.isin(known, level.points))
        order = members[np.argsort(rank[members], kind="stable")]
        heights[order] = middle + 0.55 / several * (np.linspace(-0.5, 0.5, len(order)) if len(order) > 1 else np.zeros(len(order)))
    return Upright(scale.name, heights, tuple(ticks))


def _outcome(measure: Measure, means: Floats) -> Upright:
    """The outcome at the right: none at all in the floor, fanned out, the rest above it."""
    if not measure.bad:
        low, high = (float(means.min()), float(means.max())) if len(means) else (0.0, 1.0)
        ends = [(0.0, short(low)), (0.5, short((low + high) / 2)), (1.0, short(high))]
        return Upright(measure.scale, (means - low) / ((high - low) or 1.0), tuple(ends))
    heights = heights_of(list(means))
    placed = np.array([heights.of(float(value)) for value in means])
    zero = np.flatnonzero(means <= 0)
    placed[zero] = FLOOR * np.linspace(0.1, 0.9, len(zero)) if len(zero) > 1 else FLOOR / 2
    return Upright(measure.scale, placed, ((FLOOR / 2, "none"), *((heights.of(tick), short(tick)) for tick in ticks_of(heights))))


def _lines(axis: Axes, measure: Measure, uprights: Sequence[Upright], means: Floats, none: Mask) -> None:
    if not len(means):
        return
    paths = np.stack([np.column_stack([np.full(len(means), place), upright.heights]) for place, upright in enumerate(uprights)], axis=1)
    most = float(means.max()) or 1.0
    low = 0.0 if measure.bad else float(means.min())
    shades = ramp(measure.family)((means - low) / ((most - low) or 1.0))
    rare = none if none.sum() * 2 <= len(none) else ~none
    for chosen, above in ((~rare, 2.0), (rare, 3.0)):
        indices = np.flatnonzero(chosen)
        indices = indices[np.argsort(means[indices], kind="stable")]
        if not len(indices):
            continue
        alpha = float(np.clip((50 if above == 2.0 else 70) / len(indices), 0.14 if above == 2.0 else 0.3, 0.9))
        colours = [(*to_rgba(PALETTE[0])[:3], alpha) if none[i] else (*shades[i][:3], alpha) for i in indices]
        width = 1.0 if len(means) > 100 else 1.5
        axis.add_collection(LineCollection(list(paths[indices]), colors=colours, linewidths=width + 0.4 * (above == 3.0), zorder=above))


def _uprights(axis: Axes, uprights: Sequence[Upright], letters: int) -> None:
    axis.set_xlim(-0.04 * len(uprights), len(uprights) - 1 + 0.02 * len(uprights))
    axis.set_ylim(-0.02, 1.02)
    axis.set_axis_off()
    for place, upright in enumerate(uprights):
        axis.vlines(place, 0, 1, color=FAINT, linewidth=1.2, zorder=4)
        last = place == len(uprights) - 1
        axis.text(
            place,
            1.05,
            wrapped(upright.name, letters),
            color=INK,
            fontsize=10.5,
            fontweight="bold" if last else "normal",
            ha="center",
            va="bottom",
        )
        for height, words in upright.ticks:
            axis.text(
                place + 0.012 * len(uprights) * (1 if last else -1), height, clipped(words, min(max(letters - 2, 9), 14)),
                color=INK, fontsize=10, va="center", ha="left" if last else "right", zorder=5,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.0},
            )  # fmt: skip


def _sentence(measure: Measure, axes: Sequence[AxisColumn], known: Indices, means: Floats, none: Mask) -> str:
    if not len(known):
        return f"No run has a {measure.noun}"
    least, most = measure.amount(float(means.min())), measure.amount(float(means.max()))
    safe = int(none.sum())
    if safe == len(known):
        return nowhere(measure, len(known))
    if least == most:
        return f"{begin(measure.noun)} is {most} at each of {number(len(known))} points"
    if not safe:
        return f"{begin(measure.noun)} goes from {least} to {most} over {number(len(known))} points"
    words = f"{number(safe)} of {number(len(known))} points {'has' if safe == 1 else 'have'} no {measure.noun} in any run"
    where = _where(axes, known, none)
    return f"{words}: {where}" if where else f"{words}; the worst has {most}"


def _where(axes: Sequence[AxisColumn], known: Indices, none: Mask) -> str:
    """The one level whose share of such points differs most from the others': "76 % of those with acks = all, 17 % of the others"."""
    best = (0.0, "")
    for axis in axes:
        scale = scale_of(axis, _FEW_LEVELS, _FEW_LEVELS)
        for level in scale.levels:
            inside = np.isin(known, level.points)
            if scale.binned or scale.left_out or inside.all() or not inside.any():
                continue
            here, elsewhere = float(none[inside].mean()), float(none[~inside].mean())
            if here - elsewhere > best[0]:
                there = "none" if elsewhere == 0 else percent(elsewhere)
                share = "all" if here == 1 else percent(here)
                best = (here - elsewhere, f"{share} of those with {scale.setting(level)}, {there} of the others")
    return best[1]


def _how_to_read(
    table: StudyTable,
    measure: Measure,
    marks: Sequence[Cell],
    known: Indices,
    none: Mask,
    left_out: int,
) -> str:
    words = ["A line is a point; darker is more." if measure.bad else "A line is a point; darker is higher."]
    if none.any():
        runs = min(marks[point].runs for point in known)
        words.append(f"Blue: {how_sure(measure.noun, runs)}. The rarer colour lies on top.")
    if len(known) < table.points:
        words.append(f"{table.points - len(known)} points have no value.")
    if left_out:
        words.append(f"{left_out} more axes are not shown.")
    return " ".join(words)
