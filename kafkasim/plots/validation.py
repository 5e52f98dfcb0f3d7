"""What real runs did beside what the simulator says: a row a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kafkasim.plots.style import ACKED, FAINT, GRID, INK, LOST
from kafkasim.validation_rows import Comparison, NumberRow

_TELLING = ("acked_lost", "lost", "failed_lost", "effects_duplicated", "reprocessed", "log_duplicates", "failed_but_written", "phantom")
_CLIP = 1.22  # where what lies far outside is drawn, its value beside it
_ALLOWANCE = "#dfe8f1"


def plot_validation(comparisons: Sequence[Comparison]) -> Figure:
    """A row a scenario, for its most telling number: the simulator's range, what is accepted around it, and each real run as a dot.

    The scale of each row ends at the most that is accepted, so a dot right of the line disagrees in every row alike.
    """
    height = 0.36 * len(comparisons) + 1.75
    figure = Figure(figsize=(13.33, height), dpi=120, facecolor="white")
    axis = figure.add_axes((0.205, 0.62 / height, 0.38, 1 - 1.75 / height))
    axis.axvline(1.0, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    right = axis.get_yaxis_transform()
    for lane, comparison in enumerate(comparisons):
        row = _telling(comparison)
        _lane(axis, lane, row)
        axis.text(-0.03, lane, comparison.scenario, color=INK, fontsize=11, ha="right", va="center", transform=right)
        words = f"{row.simulator_words}   ·   real {', '.join(row.real_words)}"
        axis.text(1.03, lane, row.key.removeprefix("groups."), color=FAINT, fontsize=10.5, va="center", transform=right)
        axis.text(1.49, lane, words, color=LOST if row.agrees is False else INK, fontsize=10.5, va="center", transform=right)
    axis.set_ylim(len(comparisons) - 0.4, -0.6)
    axis.set_xlim(-0.03, _CLIP + 0.06)
    axis.set_xticks([0, 1], ["0", "the most that is accepted"])
    axis.set_yticks([])
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)
    axis.tick_params(colors=FAINT, labelsize=10.5, length=0)
    agreeing = sum(comparison.agrees for comparison in comparisons)
    title = f"In {agreeing} of {len(comparisons)} scenarios every number and verdict of real Kafka agrees with the simulator"
    figure.text(0.03, 1 - 0.25 / height, title, color=INK, fontsize=17, fontweight="bold", va="top")
    _validation_legend(axis)
    return figure


def _telling(comparison: Comparison) -> NumberRow:
    """The number that a scenario is about: one that disagrees, or the gravest that is not zero everywhere."""
    rows = [row for row in comparison.rows if isinstance(row, NumberRow) and row.kind == "count"]
    wrong = [row for row in rows if row.agrees is False]
    busy = [row for key in _TELLING for row in rows if row.key.rpartition(".")[2] == key and not row.quiet]
    return next(iter([*wrong, *busy, *(row for row in rows if row.key == "acked_lost"), *rows]))


def _lane(axis: Axes, lane: int, row: NumberRow) -> None:
    """One row: the accepted band, the simulator's range in it, real runs as dots that do not hide one another."""
    low, high = row.simulated or (0, 0)
    least, most = row.allowed or (0.0, 0.0)
    scale = 1 / most if most else 0.0
    axis.hlines(lane, 0, 1, color=GRID, linewidth=1, zorder=0)
    axis.barh(lane, (most - least) * scale, left=least * scale, height=0.62, color=_ALLOWANCE, linewidth=0, zorder=1)
    width = max((high - low) * scale, 0.006)
    axis.barh(lane, width, left=(low + high) / 2 * scale - width / 2, height=0.62, color=ACKED, linewidth=0, zorder=2)
    values = [(value, out) for value, out in zip(row.real, row.outside, strict=True) if value is not None]
    for place, (value, out) in enumerate(values):
        across = value * scale if most else float(value > 0) * _CLIP
        at = lane + 0.36 * ((place + 0.5) / len(values) - 0.5)
        marker, colour = ("D", LOST) if out else ("o", INK)
        axis.plot(min(across, _CLIP), at, marker, color=colour, markersize=5, markeredgecolor="white", markeredgewidth=0.6, zorder=3)


def _validation_legend(axis: Axes) -> None:
    """What the marks mean, above the rows."""
    dot: dict[str, Any] = {"linestyle": "", "markersize": 6, "markeredgecolor": "white"}
    handles = [
        Patch(color=ACKED, label="simulator, all seeds"),
        Patch(color=_ALLOWANCE, label="accepted"),
        Line2D([], [], marker="o", color=INK, label="a real run", **dot),
        Line2D([], [], marker="D", color=LOST, label="a real run that disagrees", **dot),
    ]
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "borderaxespad": 0.0, "ncols": len(handles)}
    axis.legend(handles=handles, frameon=False, fontsize=11, labelcolor=INK, handlelength=1.1, columnspacing=1.8, **place)
