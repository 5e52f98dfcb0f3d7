"""The house style: colours, and how an axis is dressed."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from kafkasim.promises import number

INK, FAINT, GRID = "#22303c", "#6b7a88", "#e4e9ee"
ACKED, LOST, FAILED = "#8fb8de", "#d7263d", "#f2a541"
HANDLED, AGAIN, LAG = "#6aaf8e", "#7a3e9d", "#c9d3dc"
FAULT = "#3d4a57"


def dress(axis: Axes, right: bool = False) -> None:
    """Ticks and one axis line in faint ink, horizontal help lines."""
    for side in ("top", "left", "right"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(FAINT)
    axis.tick_params(colors=FAINT, labelsize=10.5, length=0)
    axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: number(int(value))))
    if not right:
        axis.grid(axis="y", color=GRID, linewidth=0.9)
        axis.set_axisbelow(True)
