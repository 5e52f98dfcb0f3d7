"""A study on paper: what its points have shown, for a terminal of 100 columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kafkasim.intervals import Interval
from kafkasim.promises import number
from kafkasim.study.designs import WHOLE
from kafkasim.study.events import is_event
from kafkasim.study.statistics import Estimate, SafePoint, estimate
from kafkasim.study.summary import StudySummary, column_measures

MOST_POINTS = 40  # of a table; all of them are in results.csv and in --json
MOST_MEASURES = 4
MOST_SAFE = 5
MOST_DIFFERENCES = 12
MOST_LETTERS = 14  # of a line of a heading
WIDTH_OF_AN_AXIS = 14
WIDTH_OF_A_MEASURE = 24
_NAMES: Mapping[str, str] = {
    "silent_loss": "runs with silent loss",
    "loss": "runs with loss",
    "duplication": "runs with duplicates",
    "violated": "runs that broke a promise",
    "silent_loss_rate": "lost in silence",
    "loss_rate": "lost",
    "duplication_rate": "twice",
    "latency_ms.p50": "p50, ms",
    "latency_ms.p99": "p99, ms",
    "latency_ms.max": "slowest, ms",
    "throughput": "acked a second",
    "unavailable_ms": "without answer, ms",
}


def print_study(summary: StudySummary, console: Console) -> None:
    """Headline, a line a point, what is safe and its price, the difference to the first point, which axes matter."""
    study = summary.study
    console.print()
    console.print(Text.assemble((study.name, "bold cyan"), f"  {study.title}" if study.title else ""))
    console.print()
    console.print(Text(headline(summary), style="bold"))
    _section(console, _points_heading(summary), _points_table(summary))
    if summary.safe and len(summary.safe) < summary.table.points:
        _section(console, "Safe in every run, the quickest first", _bullets([_safe(summary, one) for one in summary.safe[:MOST_SAFE]]))
    if summary.against_first and summary.table.points <= MOST_DIFFERENCES:
        _section(console, f"{_name(summary.main)}, against the first point with the same seeds", _difference_table(summary))
    if summary.sobol or summary.morris:
        _section(console, f"Which axes matter for {_name(summary.main)}", _sensitivity_table(summary))
    notes = [*study.notes, *_dropped(summary)]
    if notes:
        _section(console, "Notes", _bullets(notes))


def headline(summary: StudySummary) -> str:
    """How many points lost nothing in silence, and what that leaves open."""
    looked_at = [point for point, runs in enumerate(summary.table.runs) if runs]
    found = [estimate(summary.table, "silent_loss", point) for point in looked_at]
    without = [each for each in found if not each.most]
    if not without:
        many = len(looked_at) > 1
        return f"At each of {number(len(looked_at))} points some run lost records in silence." if many else "Records were lost in silence."
    may_still = max(each.interval.high for each in without)
    dead = len(without) - len(summary.safe)
    nothing = f" At {number(dead)} of them nothing was acknowledged either." if dead else ""
    return (
        f"At {number(len(without))} of {number(len(looked_at))} points no run lost records in silence"
        f" (which leaves up to {may_still * 100:.0f} % of their runs open, at 95 % confidence).{nothing}"
    )


# ------------------------------------------------------------------------------------------------------------------ parts


def _points_heading(summary: StudySummary) -> str:
    runs = sorted({count for count in summary.table.runs if count})
    each = f"{runs[0]}" if len(set(runs)) == 1 else f"{runs[0]} to {runs[-1]}"
    shown = "" if summary.table.points <= MOST_POINTS else f", {MOST_POINTS} of {number(summary.table.points)} points shown"
    return f"{number(summary.runs)} runs, {each} a point, with 95 % intervals{shown}"


def _points_table(summary: StudySummary) -> Table:
    """The first points of a small study; of a large one those on the front of Pareto first, and then the rest."""
    room = 100 - WIDTH_OF_AN_AXIS * len(summary.table.axes)
    measures = column_measures(summary, min(MOST_MEASURES, max(2, room // WIDTH_OF_A_MEASURE)))
    table = _table(*(axis.label for axis in summary.table.axes), *(_name(measure) for measure in measures), "")
    for point in _shown(summary):
        if not summary.table.runs[point]:
            continue
        place = [axis.written[point] for axis in summary.table.axes]
        cells = [_cell(estimate(summary.table, measure, point)) for measure in measures]
        table.add_row(*place, *cells, Text("front", style="green") if point in summary.front and summary.table.points > 2 else "")
    return table


def _shown(summary: StudySummary) -> Sequence[int]:
    points = range(summary.table.points)
    if len(points) <= MOST_POINTS:
        return points
    front = set(summary.front)
    rest = [point for point in points if point not in front]
    return sorted([*summary.front, *rest][:MOST_POINTS])


def _cell(found: Estimate) -> Text:
    """An estimate with its interval; what was never seen is quiet."""
    if not found.runs:
        return Text("-", style="bright_black")
    show = _percent if is_event(found.measure) or found.measure.endswith("_rate") else _decimal
    style = "" if found.most else "bright_black"
    return Text(_with_interval(found.interval, show), style=style)


def _with_interval(interval: Interval, show: Callable[[float], str]) -> str:
    """`12 (10 to 15)`; of a percentage the sign stands once, at the end."""
    if interval.low == interval.high:
        return show(interval.estimate)
    words = [show(value) for value in (interval.estimate, interval.low, interval.high)]
    sign = " %" if any(word.endswith(" %") for word in words) else ""
    estimate, low, high = (word.removesuffix(" %") for word in words)
    return f"{estimate} ({low} to {high}){sign}"


def _safe(summary: StudySummary, one: SafePoint) -> str:
    place = ", ".join(f"{axis.label}={axis.written[one.point]}" for axis in summary.table.axes)
    price = _with_interval(one.price.interval, _decimal) if one.price.runs else "unknown"
    return f"{place}: p99 {price} ms, {number(one.runs)} runs"


def _difference_table(summary: StudySummary) -> Table:
    table = _table(*(axis.label for axis in summary.table.axes), "difference", "runs compared")
    rate = is_event(summary.main) or summary.main.endswith("_rate")
    for each in summary.against_first:
        if each.runs:
            place = [axis.written[each.point] for axis in summary.table.axes]
            table.add_row(*place, _with_interval(each.paired, _signed_percent if rate else _signed), number(each.runs))
    return table


def _sensitivity_table(summary: StudySummary) -> Table:
    if summary.sobol:
        table = _table("axis", "by itself", "with the others")
        for index in sorted(summary.sobol, key=lambda one: -one.total.estimate):
            table.add_row(index.label, _with_interval(index.first, _two), _with_interval(index.total, _two))
        return table
    rate = summary.main.endswith("_rate")
    table = _table("axis", "mean size of effects", "mean", "spread")
    for effect in sorted(summary.morris, key=lambda one: -one.mu_star.estimate):
        show = _signed_percent if rate else _signed
        size = _with_interval(effect.mu_star, _percent if rate else _decimal)
        table.add_row(effect.label, size, show(effect.mu), (_percent if rate else _decimal)(effect.sigma))
    return table


def _dropped(summary: StudySummary) -> list[str]:
    """Points that were never run, where the study itself does not say so already."""
    missing = sum(1 for runs in summary.table.runs if not runs)
    said = [f"{number(missing)} of {number(summary.table.points)} points have no run yet."] if missing else []
    if summary.study.design in WHOLE and not (summary.sobol or summary.morris):
        said.append(f"Which axes matter for {_name(summary.main)} cannot be said: it is the same at every point, or unknown at some.")
    return said


# ------------------------------------------------------------------------------------------------------------------ words


def _name(measure: str) -> str:
    return _NAMES.get(measure, measure)


def _percent(value: float) -> str:
    return f"{value * 100:.3g} %" if value else "0"


def _signed_percent(value: float) -> str:
    return f"{value * 100:+.3g} %" if value else "0"


def _signed(value: float) -> str:
    return f"{value:+.4g}" if value else "0"


def _two(value: float) -> str:
    return f"{value:.2f}"


def _decimal(value: float) -> str:
    if math.isnan(value):
        return "-"
    return number(round(value)) if abs(value) >= 1000 else f"{value:.3g}"


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, show_header=True, header_style="bright_black", padding=(0, 2, 0, 0))
    for heading in headings:
        lines = _in_lines(heading)
        wide = max(map(len, lines.splitlines()), default=0)
        table.add_column(lines, overflow="fold", no_wrap=heading in _NAMES.values(), min_width=wide)
    return table


def _in_lines(heading: str) -> str:
    """A long name of a setting, broken behind its dots."""
    lines = [""]
    for part in heading.replace(".", ".\0").split("\0"):
        if lines[-1] and len(lines[-1] + part) > MOST_LETTERS:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _bullets(sentences: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for sentence in sentences:
        table.add_row(Text(f"· {sentence}"))
    return table


def _section(console: Console, heading: str, body: Table) -> None:
    console.print()
    console.print(Text(heading, style="bold"))
    console.print(Padding(body, (0, 0, 0, 2), expand=False))
