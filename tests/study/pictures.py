"""Synthetic studies for the tests of pictures, and what can be seen on a canvas."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from kafkasim.study.table import StudyTable, table_of

Changes = Mapping[str, Any]
Outcome = Callable[[Changes, np.random.Generator], Mapping[str, float | None]]


def row(loss: float = 0.0, p99: float | None = 5.0, throughput: float = 100.0, duplication: float = 0.0) -> dict[str, float | None]:
    """What a picture reads of a run."""
    rates = {"silent_loss_rate": loss, "loss_rate": loss, "duplication_rate": duplication, "violated": float(loss > 0)}
    return {**rates, "acked_lost": 600 * loss, "latency_ms.p99": p99, "throughput": throughput}


def grid(axes: Mapping[str, Sequence[Any]], runs: int, outcome: Outcome) -> StudyTable:
    """Every combination, `runs` runs each."""
    return listed([dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())], runs, outcome)


def listed(points: Sequence[Changes], runs: int, outcome: Outcome) -> StudyTable:
    """These points."""
    rows = [
        {"point": point, "run": run, **outcome(changes, np.random.default_rng([point, run]))}
        for point, changes in enumerate(points)
        for run in range(runs)
    ]
    return table_of({name: [changes[name] for changes in points] for name in points[0]}, rows)


def drawn_texts(figure: Figure) -> list[tuple[Text, Bbox]]:
    """Every text that is to be seen, with its place in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = list(figure.texts)
    for axes in figure.axes:
        texts += axes.texts
        if axes.axison:
            texts += [axes.xaxis.label, axes.yaxis.label, *tick_labels(axes.xaxis), *tick_labels(axes.yaxis)]
    return [(text, text.get_window_extent(renderer)) for text in texts if text.get_visible() and text.get_text().strip()]


def tick_labels(axis: Axis) -> list[Text]:
    """The labels of ticks inside the view."""
    low, high = sorted(axis.get_view_interval())
    room = 1e-9 * (high - low)
    return [tick.label1 for tick in axis.get_major_ticks() if low - room <= tick.get_loc() <= high + room and tick.label1.get_visible()]


def cut_off(figure: Figure) -> list[str]:
    """Texts that the edge of the canvas cuts."""
    width, height = figure.get_size_inches() * figure.dpi
    return [t.get_text() for t, box in drawn_texts(figure) if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that lie on each other, but for those aslant (whose boxes say little)."""
    upright = [(text, box) for text, box in drawn_texts(figure) if text.get_rotation() == 0]
    return [
        (one.get_text(), other.get_text())
        for (one, first), (other, second) in itertools.combinations(upright, 2)
        if min(first.x1, second.x1) - max(first.x0, second.x0) > 2 and min(first.y1, second.y1) - max(first.y0, second.y0) > 3
    ]


def title_of(figure: Figure) -> str:
    """The sentence on top, on one line and with plain spaces."""
    return " ".join(figure.texts[0].get_text().replace("\u00a0", " ").split())


def words_of(figure: Figure) -> str:
    """All that is written, with plain spaces."""
    return " | ".join(" ".join(text.get_text().replace("\u00a0", " ").split()) for text, _ in drawn_texts(figure))
