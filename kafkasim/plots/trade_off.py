"""What safety costs: loss against p99 latency, and against throughput, a dot a point, with the Pareto front and its settings by name.

Points without any loss lie on a floor of their own. On a front, nobody is both safer and faster.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from kafkasim.plots.heights import Heights, draw_floor, heights_of
from kafkasim.plots.key_table import choose, draw_key, key_height
from kafkasim.plots.levels import Scale, averaged_words, scale_of
from kafkasim.plots.measure import Measure, exact, how_sure, refuse
from kafkasim.plots.offers import Offer, chosen_axes, cost, ends, front, mean, offers_of, sentence_of
from kafkasim.plots.style import FAINT, GRID, INK, LEFT, MARKERS, PALETTE, bare, clipped, footnote, log_ticks, slide
from kafkasim.study.axis_columns import AxisColumn
from kafkasim.study.table import StudyTable

_RING = 17  # how far centres of rings are apart at least, in points of 1/72 inch
_BESIDE = ((0, 0), *((_RING * i * x, _RING * i * y) for i in (1.1, 2.2) for x, y in ((1, 0), (1, 1), (0, 1), (1, -1), (-1, 0), (0, -1))))
_FEW = 60  # dots, up to which whiskers are drawn in full


def draw_trade_off(table: StudyTable, measure: Measure, coloured: AxisColumn | None, title: str, under: Sequence[str]) -> Figure:
    """The whole slide. `coloured`: the axis whose levels have a colour each."""
    offers, left_out = offers_of(table, measure)
    if not offers:
        raise refuse("a trade_off needs points with a p99 latency and a throughput, and nothing was acked anywhere; draw a curve")
    fronts = [front(offers, "latency"), front(offers, "throughput")]
    named = choose(
        sorted({id(offer): offer for offer in [*fronts[0], *fronts[1]]}.values(), key=lambda offer: (mean(offer.loss), offer.point))
    )
    averaged = averaged_words(table, (), [offer.loss for offer in offers])
    figure, top = slide(title or sentence_of(measure, offers, left_out), " · ".join([*under, *([averaged] if averaged else [])]))
    inches = figure.get_figheight()
    foot = (key_height(len(named)) + 1.0) / inches
    scale = scale_of(coloured, len(PALETTE), len(PALETTE)) if coloured is not None else None
    look = {point: number for number, level in enumerate(scale.levels) for point in level.points} if scale is not None else {}
    heights = heights_of([value for offer in offers for value in (mean(offer.loss), *ends(offer.loss))])
    runs = min(offer.loss.runs for offer in offers)
    numbers = {offer.point: place + 1 for place, offer in enumerate(named)}
    for place, (what, words) in enumerate((("latency", "p99 latency from send to ack, ms"), ("throughput", "acked records a second"))):
        axis = figure.add_axes((0.06 + 0.478 * place, foot, 0.445, top - foot - 0.075))
        bare(axis)
        safe = any(offer.loss.none for offer in offers)
        draw_floor(axis, heights, how_sure(measure.noun, runs) if place == 0 and safe else "", label=place == 0)
        _panel(axis, what, offers, fronts[place], heights, look, numbers)
        axis.set_xlabel(words + ("  (less is better)" if place == 0 else "  (more is better)"), color=INK, fontsize=12)
    figure.text(LEFT, top - 0.012, measure.scale, color=INK, fontsize=12, va="top")
    if scale is not None:
        _colours(figure, scale, top - 0.012)
    draw_key(figure, chosen_axes(table), measure, named, (foot * inches - 0.62) / inches)
    footnote(figure, _how_to_read(left_out))
    return figure


def _panel(
    axis: Axes, what: str, offers: Sequence[Offer], front: Sequence[Offer], heights: Heights, look: dict[int, int], numbers: dict[int, int]
) -> None:
    xs = np.array([abs(cost(offer, what)) for offer in offers])
    ys = np.array([heights.of(mean(offer.loss)) for offer in offers])
    few = len(offers) <= _FEW
    for offer, x, y in zip(offers, xs, ys, strict=True):
        low, high = ends(offer.latency if what == "latency" else offer.throughput)
        least, most = ends(offer.loss)
        colour = PALETTE[look.get(offer.point, 0)]
        axis.hlines(y, low, high, color=colour, linewidth=0.9, alpha=0.55 if few else 0.2, zorder=2)
        if not offer.loss.none:
            axis.vlines(x, heights.end(least), heights.of(most), color=colour, linewidth=0.9, alpha=0.55 if few else 0.2, zorder=2)
    looks = np.array([look.get(offer.point, 0) for offer in offers])
    for number in np.unique(looks):
        chosen = looks == number
        axis.scatter(
            xs[chosen], ys[chosen], s=42 if few else 20, color=PALETTE[number], marker=MARKERS[number], alpha=0.85 if few else 0.55,
            linewidth=0, zorder=3,
        )  # fmt: skip
    _across(axis, xs)
    line = sorted((abs(cost(offer, what)), heights.of(mean(offer.loss))) for offer in front)
    steps = "steps-post" if what == "latency" else "steps-pre"  # between two of the front, the best is what the cheaper one gives
    axis.plot(*zip(*line, strict=True), color=INK, linewidth=1.1, linestyle=(0, (4, 3)), drawstyle=steps, zorder=2.5, gid="front")
    _number(
        axis, [(abs(cost(offer, what)), heights.of(mean(offer.loss)), numbers[offer.point]) for offer in front if offer.point in numbers]
    )


def _number(axis: Axes, places: Sequence[tuple[float, float, int]]) -> None:
    """A numbered ring a point, beside it where another ring is in its place already."""
    taken: list[tuple[float, float]] = []
    points = 72 / axis.figure.dpi
    for x, y, number in places:
        right, up = axis.transData.transform((x, y)) * points
        free = (off for off in _BESIDE if all(np.hypot(right + off[0] - a, up + off[1] - b) > _RING for a, b in taken))
        aside = next(free, _BESIDE[0])
        taken.append((right + aside[0], up + aside[1]))
        axis.annotate(
            str(number), (x, y), xytext=aside, textcoords="offset points", color=INK, fontsize=9, fontweight="bold", ha="center",
            va="center_baseline", zorder=6, bbox={"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": INK, "linewidth": 1.2},
            arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.8} if any(aside) else None, annotation_clip=False,
        )  # fmt: skip


def _across(axis: Axes, xs: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    low, high = float(xs.min()), float(xs.max())
    if low > 0 and high / low > 15:
        axis.set_xscale("log")
        axis.set_xlim(low / 1.25, high * 1.25)
        log_ticks(axis.xaxis, low, high)
    else:
        room = (high - low) * 0.06 or max(high * 0.1, 0.5)
        axis.set_xlim(low - room, high + room)
        axis.xaxis.set_major_locator(MaxNLocator(6))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: exact(value)))
    axis.grid(axis="x", color=GRID, linewidth=0.9)
    axis.set_axisbelow(True)


def _colours(figure: Figure, scale: Scale, y: float) -> None:
    """What a colour means: the levels in their colours, above the right panel."""
    x, room = 0.538, 0.0072
    label = clipped(scale.axis.label, 30)
    figure.text(x, y, label, color=INK, fontsize=12, va="top")
    x += room * (len(label) + 3)
    for number, level in enumerate(scale.levels):
        words = clipped(scale.value(level), 20)
        if x + room * len(words) > 0.985:
            figure.text(x, y, "…", color=FAINT, fontsize=12, va="top")
            break
        figure.text(x, y, words, color=PALETTE[number], fontsize=12, fontweight="bold", va="top")
        x += room * (len(words) + 3) + 0.004


def _how_to_read(left_out: int) -> str:
    words = "A dot is a setting, its whiskers 95 % intervals of the mean. Numbered: the front, where nothing is both safer and cheaper."
    if left_out:
        words += f" {left_out} settings are not shown: nothing was acked there."
    return words
