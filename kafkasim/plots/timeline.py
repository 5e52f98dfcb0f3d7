"""The timeline of one run for a slide: faults on top, what became of records, what consumers did."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kafkasim.ledger import FaultApplied, Ledger
from kafkasim.plots.style import ACKED, AGAIN, FAILED, FAINT, FAULT, HANDLED, INK, LAG, LOST, dress
from kafkasim.promises import number
from kafkasim.report import Report
from kafkasim.truth import Floats, GroupTruth, Mask, Truth, expand, flatten

_BINS = (100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000)  # ms
_MOST_BINS = 300
_MOST_GROUPS = 3


class Layer(NamedTuple):
    """One colour of a stacked chart: a time in seconds for each record in it."""

    label: str
    colour: str
    times: Floats


def plot_report(report: Report, ledger: Ledger) -> Figure:
    """The timeline of one run: records acked (and lost), failed; faults; each group's handlings, second handlings and lag."""
    truth = expand(ledger)
    end = _end(truth)
    width = next((width for width in _BINS if end / width <= _MOST_BINS), _BINS[-1]) / 1000
    edges = np.arange(0, 1.015 * end / 1000 + width, width) - 1e-7  # so that a time on an edge falls into the column it begins
    groups = truth.groups[:_MOST_GROUPS]
    lanes = [fault for fault in ledger.faults if fault.fired is not None]
    headline = fill(report.headline, 92)
    figure, axes = _canvas(headline, len(lanes), len(groups))
    _faults(axes[0], lanes, end / 1000)
    _records(axes[1], truth, edges, width)
    for axis, group in zip(axes[2:], groups, strict=True):
        _group(axis, truth, group, edges, width)
    for axis in axes[1:]:
        for fault in lanes:
            axis.axvspan(_fired(fault), _ended(fault, end), color=FAULT, alpha=0.07, linewidth=0, zorder=0)
    axes[0].set_xlim(0, edges[-1])
    axes[-1].set_xlabel("seconds since the workload began", color=FAINT)
    _words(figure, headline, report)
    return figure


# ---------------------------------------------------------------------------------------------------------------- panels


def _faults(axis: Axes, faults: Sequence[FaultApplied], end: float) -> None:
    """A lane a fault, its name beside or inside its bar."""
    axis.set_ylim(max(len(faults), 1) - 0.4, -0.6)
    axis.set_yticks([])
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)
    axis.tick_params(axis="x", length=0, labelbottom=False)
    if not faults:
        axis.text(0.0, 0.0, "no fault", color=FAINT, va="center", fontsize=11)
    for lane, fault in enumerate(faults):
        began, ended = _fired(fault), max(_ended(fault, end * 1000), _fired(fault) + end / 250)
        axis.barh(lane, ended - began, left=began, height=0.74, color=FAULT, alpha=0.92, linewidth=0)
        words = f"{fault.fault}: {', '.join(fault.nodes[:3])}{' …' if len(fault.nodes) > 3 else ''}"
        inside = (ended - began) / end > 0.011 * len(words)
        left = ended + end / 150 if began < 0.65 * end else began - end / 150
        place: dict[str, Any] = {"x": left, "ha": "left" if began < 0.65 * end else "right", "color": INK}
        if inside:
            place = {"x": (began + ended) / 2, "ha": "center", "color": "white"}
        axis.text(y=lane, s=words, va="center", fontsize=11, **place)


def _records(axis: Axes, truth: Truth, edges: Floats, width: float) -> None:
    """What the callbacks said, when they said it; acked records that no log has stand out."""
    layers = [
        Layer("acked, and lost in silence", LOST, _times(truth, [p.acked & ~p.in_log for p in truth.producers], "acked_at")),
        Layer("failed", FAILED, _times(truth, [p.failed for p in truth.producers], "resolved_at")),
        Layer("acked, and in the log", ACKED, _times(truth, [p.acked & p.in_log for p in truth.producers], "acked_at")),
    ]
    _stack(axis, layers, edges, width)
    sent = _times(truth, [producer.sent for producer in truth.producers], "sent_at")
    counts, _ = np.histogram(sent, edges)
    axis.stairs(counts, edges, color=INK, linewidth=1.1, label=f"sent  {number(len(sent))}")
    axis.set_ylabel(f"records\na {_span(width)}", color=FAINT)
    _legend(axis)


def _group(axis: Axes, truth: Truth, group: GroupTruth, edges: Floats, width: float) -> None:
    """First handlings, handlings again, and how far the group is behind what was acked and stayed in the log."""
    first, again = _handlings(truth, group.name)
    _stack(axis, [Layer("handled again", AGAIN, again), Layer("handled", HANDLED, first)], edges, width)
    readable = [p.acked & p.in_log & subscribed for p, subscribed in zip(truth.producers, group.subscribed, strict=True)]
    available, _ = np.histogram(_times(truth, readable, "acked_at"), edges)
    done, _ = np.histogram(first, edges)
    lag = np.maximum(np.cumsum(available) - np.cumsum(done), 0)
    behind = axis.twinx()
    behind.stairs(lag, edges, fill=True, color=LAG, alpha=0.55, linewidth=0, label="lag (right)")
    behind.set_ylim(0, max(int(lag.max(initial=0)), axis.get_ylim()[1]) * 1.3)  # a lag of a few records is none
    dress(behind, right=True)
    behind.set_ylabel("lag", color=FAINT)
    axis.set_zorder(behind.get_zorder() + 1)
    axis.patch.set_visible(False)
    axis.set_ylabel(f"{group.name}\na {_span(width)}", color=FAINT)
    _legend(axis, behind)


def _stack(axis: Axes, layers: Sequence[Layer], edges: Floats, width: float) -> None:
    """Stacked columns, what matters most at the bottom: a column that would dwarf the others is cut off, its height written beside it."""
    tables = [np.histogram(layer.times, edges)[0] for layer in layers]
    total = np.sum(tables, axis=0)
    busy = total[total > 0]
    usual = float(np.percentile(busy, 90)) if len(busy) else 1.0
    ceiling = max(float(total.max(initial=1)) if len(busy) and total.max() <= 2.2 * usual else 1.7 * usual, 1.0)
    floor = np.zeros(len(total))
    for layer, counts in zip(layers, tables, strict=True):
        if counts.any():
            label = f"{layer.label}  {number(len(layer.times))}"
            axis.bar(edges[:-1], counts, width, bottom=floor, align="edge", color=layer.colour, linewidth=0, label=label, zorder=2)
        floor += counts
    axis.set_ylim(0, ceiling * 1.12)
    last = -np.inf
    for place in np.flatnonzero(total > ceiling * 1.12):
        if edges[place] - last > 0.06 * edges[-1]:  # so that two numbers never lie on each other
            late = edges[place] > 0.9 * edges[-1]  # nor one on the axis to the right
            beside = edges[place] - 0.6 * width if late else edges[place] + 1.6 * width
            words = f"{number(int(total[place]))} ↑" if late else f"↑ {number(int(total[place]))}"
            side = "right" if late else "left"
            axis.text(beside, ceiling * 1.06, words, color=INK, fontsize=10, va="center", ha=side, zorder=5)
            last = edges[place]


# ------------------------------------------------------------------------------------------------------------ appearance


def _canvas(headline: str, lanes: int, groups: int) -> tuple[Figure, list[Axes]]:
    """A slide of 16:9, taller where lanes or groups are many; all panels share the time axis. Heights in inches, from the top."""
    header = 0.75 + 0.33 * len(headline.splitlines())
    panels = [(0.1, 0.34 * max(lanes, 1))] + [(0.55, 2.6 if groups else 4.2)] + [(0.55, 1.55)] * groups  # (room above, height)
    height = max(header + sum(above + tall for above, tall in panels) + 0.75, 7.5)
    figure = Figure(figsize=(13.33, height), dpi=120, facecolor="white")
    axes: list[Axes] = []
    spare = height - header - sum(above + tall for above, tall in panels) - 0.75
    top = height - header
    for row, (above, tall) in enumerate(panels):
        inches = tall + (spare if row == 1 else 0.0)  # the records get what is left of the slide
        top -= above + inches
        shared = axes[0] if axes else None
        axes.append(figure.add_axes((0.085, top / height, 0.85, inches / height), sharex=shared))
    for axis in axes[1:]:
        dress(axis)
    for axis in axes[1:-1]:
        axis.tick_params(labelbottom=False)
    return figure, axes


def _legend(axis: Axes, *others: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    for other in others:
        more = other.get_legend_handles_labels()
        handles, labels = handles + more[0], labels + more[1]
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.008, 0.985), "borderaxespad": 0.0}
    axis.legend(
        handles,
        labels,
        ncols=len(labels),
        frameon=False,
        fontsize=11,
        labelcolor=INK,
        handlelength=1.1,
        handleheight=1.0,
        columnspacing=1.8,
        **place,
    )


def _words(figure: Figure, headline: str, report: Report) -> None:
    """The headline is the title; what ran, and how it was acknowledged, stand small under it, and how to repeat it in the corner."""
    inches = figure.get_figheight()
    figure.text(0.03, 1 - 0.25 / inches, headline, color=INK, fontsize=17, fontweight="bold", va="top", linespacing=1.25)
    acks = [f"{path.split('.')[1]}: acks={value}" for path, value in report.settings.items() if path.endswith(".acks")]
    under = fill("   ·   ".join([report.title or report.name, *acks[:3]]), 150).splitlines()[0]
    figure.text(0.03, 1 - (0.36 + 0.33 * len(headline.splitlines())) / inches, under, color=FAINT, fontsize=12, va="top")
    figure.text(0.935, 0.09 / inches, report.command, color=FAINT, fontsize=9.5, ha="right", family="monospace")


# ----------------------------------------------------------------------------------------------------------------- times


def _times(truth: Truth, masks: Sequence[Mask], what: str) -> Floats:
    """In seconds: one of a producer's times, for the records that are marked."""
    times = [getattr(producer, what)[mask] for producer, mask in zip(truth.producers, masks, strict=True)]
    return np.concatenate(times) / 1000 if times else np.zeros(0)


def _handlings(truth: Truth, group: str) -> tuple[Floats, Floats]:
    """When records were handled for the first time, and when again, in seconds."""
    first, again = [], []
    for producer in truth.producers:
        entries = [entry for entry in truth.ledger.handled if entry.group == group and entry.producer == producer.name]
        column = flatten([entry.numbers for entry in entries])
        times = column.spread((entry.at for entry in entries), np.float64) / 1000
        fresh = np.zeros(len(times), np.bool_)
        fresh[np.unique(column.numbers, return_index=True)[1]] = True
        first.append(times[fresh])
        again.append(times[~fresh])
    return np.concatenate(first), np.concatenate(again)


def _end(truth: Truth) -> float:
    """The last thing that happened, in ms: a drain that only waits is not drawn."""
    ledger = truth.ledger
    moments = [1000.0, *(entry.at for entry in ledger.callbacks), *(entry.at for entry in ledger.handled)]
    moments += [fault.ended if fault.ended is not None else fault.fired for fault in ledger.faults if fault.fired is not None]
    moments += [float(np.nanmax(producer.sent_at)) for producer in truth.producers if producer.sent.any()]
    return max(moments)


def _fired(fault: FaultApplied) -> float:
    return (fault.fired or 0.0) / 1000


def _ended(fault: FaultApplied, end: float) -> float:
    return (end if fault.ended is None else fault.ended) / 1000


def _span(seconds: float) -> str:
    return f"{seconds * 1000:g} ms" if seconds < 1 else ("second" if seconds == 1 else f"{seconds:g} s")
