"""The numbered points of a trade-off by name: a small table under the panels, a row a point, a column a setting that varies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from matplotlib.figure import Figure

from kafkasim.plots.measure import Cell, Measure, short
from kafkasim.plots.style import FAINT, INK, LEFT, clipped
from kafkasim.study.axis_columns import AxisColumn

ROW = 0.235  # inches
_MOST = 8
_MOST_SETTINGS = 7
_ROOM = 112  # letters for all settings
_LETTER = 0.0062  # of the width, at the size of the table

Item = TypeVar("Item")


class Row(Protocol):
    """What the table shows of a point."""

    @property
    def point(self) -> int:
        """Its number."""

    @property
    def loss(self) -> Cell:
        """Loss (or duplication) over its runs."""

    @property
    def latency(self) -> Cell:
        """p99, ms."""

    @property
    def throughput(self) -> Cell:
        """Acked records a second."""


def choose(items: Sequence[Item], most: int = _MOST) -> list[Item]:
    """At most `most` of them: the first, the last, and those between evenly."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def key_height(rows: int) -> float:
    """In inches, with its head."""
    return ROW * rows + 0.42


def draw_key(figure: Figure, settings: Sequence[AxisColumn], measure: Measure, rows: Sequence[Row], top: float) -> None:
    """From `top` (0 … 1) down."""
    inches = figure.get_figheight()
    axes = list(settings[:_MOST_SETTINGS])
    while len(axes) > 1 and sum(_letters(axis, rows) for axis in axes) > _ROOM:
        axes.pop()
    left = len(settings) - len(axes)
    heads = ["", *(_broken(axis.label) for axis in axes), measure.noun, "p99, ms", "records/s"]
    lines = [
        [str(place + 1), *(_clip(axis.written[row.point]) for axis in axes), _value(row.loss), _value(row.latency), _value(row.throughput)]
        for place, row in enumerate(rows)
    ]
    if left:
        heads[len(axes)] += f"\n(+ {left} more)"
    widths = [max(len(part) for text in column for part in text.split("\n")) for column in zip(heads, *lines, strict=True)]
    spare = max((0.955 - LEFT) / _LETTER - sum(widths), 0.0) / len(widths)
    places, x = [], LEFT
    for width in widths:
        places.append(x)
        x += _LETTER * (width + min(spare, 4.0))
    for place, head in zip(places, heads, strict=True):
        figure.text(place, top - 0.34 / inches, head, color=FAINT, fontsize=9, va="bottom", linespacing=1.1)
    for down, line in enumerate(lines):
        y = top - (0.42 + ROW * (down + 0.5)) / inches
        for place, text in zip(places, line, strict=True):
            figure.text(place, y, text, color=INK, fontsize=10, va="center", fontweight="bold" if place == LEFT else "normal")


def _letters(axis: AxisColumn, rows: Sequence[Row]) -> int:
    """How wide its column is, with the gap behind it."""
    texts = [*_broken(axis.label).split("\n"), *(_clip(axis.written[row.point]) for row in rows)]
    return max(len(text) for text in texts) + 3


def _broken(label: str) -> str:
    """A long label on two lines, broken at the dot nearest its middle."""
    label = clipped(label, 40)
    dots = [place for place, letter in enumerate(label) if letter == "."]
    if len(label) <= 12 or not dots:
        return label
    middle = min(dots, key=lambda dot: abs(dot - len(label) / 2))
    return f"{label[: middle + 1]}\n{label[middle + 1 :]}"


def _clip(text: str) -> str:
    return clipped(text, 16)


def _value(cell: Cell) -> str:
    assert cell.interval is not None, "only points with all three are named"
    return "none" if cell.none else short(cell.interval.estimate)
