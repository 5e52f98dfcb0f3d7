"""Which axes matter, a row an axis, the weightiest on top: Sobol' indices as bars, Morris' effects as a bar and a diamond."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from kafkasim.intervals import Interval
from kafkasim.plots.measure import Measure, exact, percent, refuse, short
from kafkasim.plots.sentences import begin
from kafkasim.plots.style import ACKED, FAINT, GRID, INK, PALETTE, bare, clipped, footnote, slide
from kafkasim.study.sensitivity import MorrisEffect, SobolIndex

_MOST = 14
_SAME_WAY = 0.9  # share of the mean size of effects that their mean with sign has, from which an axis acts one way
_SOBOL = "Dark: first-order index; pale: total index; whiskers: 95 % intervals. Total beyond first: the axis acts together with others."
_MORRIS = (
    "Bar: mean size (mu*) of a step across the whole axis, with its 95 % interval. Diamond: standard deviation (sigma);"
    " beyond the bar, the axis acts unevenly or together with others."
)


def draw_sensitivity(found: Sequence[SobolIndex] | Sequence[MorrisEffect], measure: Measure, title: str, under: Sequence[str]) -> Figure:
    """The whole slide: of Sobol' indices (shares of the variance over points) or of Morris' elementary effects (in the measure's unit).

    Raises ScenarioError where there is no axis.
    """
    indices = sorted((one for one in found if isinstance(one, SobolIndex)), key=lambda one: (-one.total.estimate, one.label))
    effects = sorted((one for one in found if isinstance(one, MorrisEffect)), key=lambda one: (-one.mu_star.estimate, one.label))
    if not indices and not effects:
        raise refuse("a picture of kind `sensitivity` needs at least one axis that varies")
    sentence = _of_indices(measure, indices) if indices else _of_effects(measure, effects)
    figure, top = slide(title or sentence, " · ".join(under))
    labels = [clipped(label, 34) for label in [*(row.label for row in indices), *(row.label for row in effects)][:_MOST]]
    left = 0.05 + 0.0067 * max(len(label) for label in labels)
    axis = figure.add_axes((left, 0.15, 0.87 - left, top - 0.15 - 0.06))
    _frame(axis, labels)
    if indices:
        _draw_indices(axis, indices[:_MOST])
        axis.set_xlabel(f"share of the variance of {measure.noun} over the points, %", color=INK, fontsize=12, labelpad=7)
    else:
        _draw_effects(axis, measure, effects[:_MOST])
        axis.set_xlabel(f"effect on {measure.scale}", color=INK, fontsize=12, labelpad=7)
    left_out = max(len(indices), len(effects)) - len(labels)
    footnote(figure, (_SOBOL if indices else _MORRIS) + (f" {left_out} more axes are not shown." if left_out else ""))
    return figure


def _frame(axis: Axes, labels: Sequence[str]) -> None:
    bare(axis)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.set_yticks(range(len(labels)), labels)
    axis.tick_params(axis="y", labelsize=12, labelcolor=INK)
    axis.grid(axis="x", color=GRID, linewidth=0.9)
    axis.set_axisbelow(True)
    axis.axvline(0, color=FAINT, linewidth=1, zorder=1)
    axis.xaxis.set_major_locator(MaxNLocator(6))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: exact(value)))


def _draw_indices(axis: Axes, rows: Sequence[SobolIndex]) -> None:
    totals, firsts = [_times(row.total, 100) for row in rows], [_times(row.first, 100) for row in rows]
    _bars(axis, totals, 0.62, ACKED, 0.16)
    _bars(axis, firsts, 0.3, PALETTE[0], -0.16)
    end = max(105.0, *(interval.high for interval in (*totals, *firsts)))
    axis.set_xlim(min(0.0, *(max(interval.low, -20.0) for interval in (*totals, *firsts))), min(end, 140.0))
    for place, row in enumerate(rows):
        _say(axis, place, f"{percent(row.first.estimate)} alone\n{percent(row.total.estimate)} in all")


def _draw_effects(axis: Axes, measure: Measure, rows: Sequence[MorrisEffect]) -> None:
    sizes = [_times(row.mu_star, measure.factor) for row in rows]
    _bars(axis, sizes, 0.42, ACKED, 0.0)
    sigmas = np.array([row.sigma * measure.factor for row in rows])
    axis.plot(sigmas, np.arange(len(rows)), "D", color=PALETTE[1], markersize=8, markeredgecolor="white", zorder=5)
    axis.set_xlim(0, 1.06 * (max(*sigmas, *(interval.high for interval in sizes), 0.0) or 1.0))
    for place, row in enumerate(rows):
        one_way = row.mu_star.estimate > 0 and abs(row.mu) > _SAME_WAY * row.mu_star.estimate
        way = ("raises it" if row.mu > 0 else "lowers it") if one_way else "both ways" if row.mu_star.estimate else "no effect"
        _say(axis, place, f"{short(row.mu_star.estimate * measure.factor)}\n{way}")


def _bars(axis: Axes, values: Sequence[Interval], tall: float, colour: str, shift: float) -> None:
    axis.barh(np.arange(len(values)), [value.estimate for value in values], tall, color=colour, linewidth=0, zorder=2)
    for place, value in enumerate(values):
        axis.hlines(place + shift * 1.5, value.low, value.high, color=INK, linewidth=1.3, zorder=4)


def _say(axis: Axes, place: int, words: str) -> None:
    axis.text(1.012, place, words, color=INK, fontsize=10, va="center", linespacing=1.25, transform=axis.get_yaxis_transform())


def _times(interval: Interval, factor: float) -> Interval:
    return Interval(interval.estimate * factor, interval.low * factor, interval.high * factor)


def _of_indices(measure: Measure, rows: Sequence[SobolIndex]) -> str:
    first, *others = rows
    close = [row for row in others if row.total.high >= first.total.low]
    if close and first.total.low <= 0:
        return f"The intervals leave open which axis matters most for {measure.noun}"
    if close:
        return f"{_all([first.label, *(row.label for row in close)])} matter most for {measure.noun}; the intervals leave their order open"
    return (
        f"{first.label} matters most for {measure.noun}: {percent(first.first.estimate)} of the variance by itself,"
        f" {percent(first.total.estimate)} with the others"
    )


def _of_effects(measure: Measure, rows: Sequence[MorrisEffect]) -> str:
    first, *others = rows
    if not first.mu_star.estimate:
        return f"{begin(measure.noun)} is the same whatever is varied"
    close = [row for row in others if row.mu_star.high >= first.mu_star.low]
    if close:
        return f"{_all([first.label, *(row.label for row in close)])} matter most for {measure.noun}; the intervals leave their order open"
    amount = measure.amount(first.mu_star.estimate * measure.factor)
    return f"{first.label} matters most: a step across its range moves {measure.noun} by {amount}"


def _all(labels: Sequence[str]) -> str:
    shown = labels if len(labels) <= 3 else [*labels[:2], f"{len(labels) - 2} more"]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
