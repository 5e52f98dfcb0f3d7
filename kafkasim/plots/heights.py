"""A scale with a floor of its own for zero: what never happened is no small number, so it lies apart, below where the scale begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from kafkasim.plots.measure import short
from kafkasim.plots.style import FAINT, GRID, PALETTE, SAFE

FLOOR = 0.16  # how much of the height is the floor
ZERO = 0.105
_BEGIN = 0.2
_LOG_FROM = 30  # times that the largest is of the smallest


@dataclass(frozen=True, slots=True)
class Heights:
    """From values to 0 … 1: zero in the floor, the rest above it; `low` and `high` are the ends of the part above."""

    low: float
    high: float
    log: bool

    def of(self, value: float) -> float:
        """The height of a value; of zero, the upper part of the floor: its words stand below."""
        if value <= 0:
            return ZERO
        if self.log:
            share = np.log(max(value, self.low) / self.low) / np.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return float(_BEGIN + (1 - _BEGIN) * min(max(share, 0.0), 1.0))

    def end(self, value: float) -> float:
        """The height of an interval's end: one at zero ends at the floor's edge."""
        return self.of(value) if value > 0 else FLOOR


def heights_of(values: Sequence[float]) -> Heights:
    """Logarithmic where the positive values span more than a factor of thirty."""
    positive = [value for value in values if value > 0]
    low, high = min(positive, default=1.0), max(positive, default=1.0)
    if high / low > _LOG_FROM:
        return Heights(low / 1.3, high * 1.15, True)
    return Heights(0.0, high * 1.06, False)


def draw_floor(axis: Axes, heights: Heights, words: str, label: bool = True) -> None:
    """The floor as a pale ground with its words, ticks of the scale above it, and the gap between."""
    axis.set_ylim(-0.01, 1.02)
    axis.axhspan(0, FLOOR, color=SAFE, linewidth=0, zorder=0)
    if words:
        axis.annotate(
            words, (0, 0.03), xycoords="axes fraction", xytext=(8, 0), textcoords="offset points", color=PALETTE[0], fontsize=10.5,
            ha="left", va="center", zorder=6,
        )  # fmt: skip
    ticks = ticks_of(heights)
    axis.set_yticks([ZERO, *(heights.of(tick) for tick in ticks)], ["0", *(short(tick) for tick in ticks)] if label else [])
    for tick in ticks:
        axis.axhline(heights.of(tick), color=GRID, linewidth=0.9, zorder=0)
    axis.tick_params(colors=FAINT, labelsize=10.5, length=0)


def ticks_of(heights: Heights) -> list[float]:
    """Round values on the part above the floor."""
    if not heights.log:
        step = 10.0 ** np.floor(np.log10(heights.high / 3))
        step *= next(times for times in (1, 2, 5, 10) if heights.high / (step * times) <= 5)
        return [float(tick) for tick in np.arange(step, heights.high, step)]
    decades = range(int(np.floor(np.log10(heights.low))), int(np.ceil(np.log10(heights.high))) + 1)
    steps = (1, 3) if len(decades) <= 4 else (1,)
    return [times * 10.0**decade for decade in decades for times in steps if heights.low <= times * 10.0**decade <= heights.high]
