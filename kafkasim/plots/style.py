"""The house style: colours that differ for every eye, a slide with its sentence on top, how an axis is dressed, and how a picture is saved.

PALETTE and the ramps differ in lightness as well as in hue, so they stay apart for readers who see no red or no green; the tests
measure how far.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from textwrap import fill

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from kafkasim.promises import number

INK, FAINT, GRID = "#22303c", "#6b7a88", "#e4e9ee"
ACKED, LOST, FAILED = "#8fb8de", "#d7263d", "#f2a541"
HANDLED, AGAIN, LAG = "#6aaf8e", "#7a3e9d", "#c9d3dc"
FAULT = "#3d4a57"
PALETTE = ("#1b4f8f", "#e0662f", "#4bb0d8", "#22303c", "#e3b23c", "#8a63e8")  # of lines and dots; a picture has no more of them
MARKERS = ("o", "s", "D", "^", "v", "P")
SAFE = "#e3f0f6"  # the ground on which nothing was lost
WIDTH, HEIGHT = 13.33, 7.5  # a slide of 16:9, in inches
LEFT = 0.03  # where words begin, as a share of the width

_RAMPS: Mapping[str, tuple[str, str, str]] = {
    "loss": ("#fbd9c8", LOST, "#4a0815"),
    "duplication": ("#e9d7f2", AGAIN, "#2b0a3d"),
    "other": ("#d9e6f2", "#4a8cc4", "#0d2a4d"),
}


def ramp(family: str) -> LinearSegmentedColormap:
    """From light to dark for what grows: red for loss, violet for duplication, blue for everything else."""
    return LinearSegmentedColormap.from_list(family, _RAMPS[family])


def slide(title: str, under: str, height: float = HEIGHT) -> tuple[Figure, float]:
    """An empty slide with its title and the small line under it; and how far up (0 … 1) there is room for panels."""
    figure = Figure(figsize=(WIDTH, height), dpi=120, facecolor="white")
    title, size = _fill(title, 90), 17.0
    if len(title.splitlines()) > 2:
        title, size = _fill(" ".join(title.split("\n")), 104), 13.5
    under = _fill(under, 140)
    figure.text(LEFT, 1 - 0.25 / height, title, color=INK, fontsize=size, fontweight="bold", va="top", linespacing=1.25)
    down = 0.36 + 0.33 * size / 17 * len(title.splitlines())
    figure.text(LEFT, 1 - down / height, under, color=FAINT, fontsize=12, va="top", linespacing=1.3)
    return figure, 1 - (down + 0.22 * len(under.splitlines()) + 0.12) / height


def _fill(text: str, letters: int) -> str:
    return fill(text, letters, break_on_hyphens=False)


def footnote(figure: Figure, sentence: str) -> None:
    """What the reader has to know to read it right, small at the bottom; at most two lines."""
    inches = figure.get_figheight()
    lines = _fill(sentence, 180).splitlines()[:2]
    figure.text(LEFT, 0.12 / inches, "\n".join(lines), color=FAINT, fontsize=9.5, va="bottom", linespacing=1.3)


def wrapped(name: str, letters: int) -> str:
    """A dotted name on as many lines as it needs: broken behind dots, commas, hyphens and spaces, and where it must."""
    lines = [""]
    for part in re.split(r"(?<=[.,\- ])(?!\u00a0)", name):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > letters:
            lines.append("")
        lines[-1] += part
        while len(lines[-1].rstrip()) > letters:
            lines[-1:] = [lines[-1][:letters], lines[-1][letters:]]
    return "\n".join(line.strip(" ") for line in lines)


def clipped(text: str, letters: int) -> str:
    """Without its middle, where it is too long: what tells two long words apart is as often their ends as their beginnings."""
    if len(text) <= letters:
        return text
    return f"{text[: letters - letters // 2 - 1]}…{text[len(text) - letters // 2 :]}"


def dress(axis: Axes, right: bool = False) -> None:
    """Ticks and one axis line in faint ink, horizontal help lines."""
    bare(axis)
    axis.spines["bottom"].set_visible(True)
    axis.spines["bottom"].set_color(FAINT)
    axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: number(int(value))))
    if not right:
        axis.grid(axis="y", color=GRID, linewidth=0.9)
        axis.set_axisbelow(True)


def bare(axis: Axes) -> None:
    """Faint tick labels, and no lines at all."""
    for side in ("top", "left", "right", "bottom"):
        axis.spines[side].set_visible(False)
    axis.tick_params(colors=FAINT, labelsize=10.5, length=0)


def log_ticks(axis: XAxis | YAxis, low: float, high: float) -> None:
    """Round numbers on a logarithmic axis, more of them where it spans few decades."""
    subs = (1.0, 2.0, 5.0) if high / low < 30 else (1.0, 3.0) if high / low < 3000 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_minor_locator(NullLocator())


def save(figure: Figure, path: Path, kind: str = "") -> None:
    """Write the picture as `kind` ("svg", "png", "pdf"; empty: what the file's name says). Equal pictures give equal files.

    Text in an SVG is drawn as shapes, so that it looks the same where our font is not installed.
    """
    kind = (kind or path.suffix[1:]).lower()
    dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with rc_context({"svg.hashsalt": "kafkasim", "svg.fonttype": "path"}):
        figure.savefig(path, format=kind, metadata=dated)
