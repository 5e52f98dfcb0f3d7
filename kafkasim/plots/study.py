"""`draw`: the picture of a study, of the kind asked for or the one that fits its axes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from kafkasim.plots.curve import draw_curve
from kafkasim.plots.heatmap import draw_heatmap
from kafkasim.plots.levels import depth, most_telling, need_axes, runs_words, varying
from kafkasim.plots.lines import MOST_LINES
from kafkasim.plots.measure import Measure, measure_of, refuse, unknown
from kafkasim.plots.offers import chosen_axes
from kafkasim.plots.parallel import draw_parallel
from kafkasim.plots.sensitivity import draw_sensitivity
from kafkasim.plots.small_multiples import MOST_COLUMNS, MOST_ROWS, draw_small_multiples
from kafkasim.plots.trade_off import draw_trade_off
from kafkasim.study.axis_columns import AxisColumn
from kafkasim.study.designs import WHOLE
from kafkasim.study.sensitivity import MorrisEffect, sobol_of
from kafkasim.study.table import StudyTable

KINDS = ("auto", "curve", "heatmap", "trade_off", "small_multiples", "parallel", "sensitivity")
_SEVERAL = 7  # levels, from which a second numeric axis is read better as a map than as lines


def draw(
    table: StudyTable, kind: str = "auto", measure: str | None = None, *, axes: Sequence[str] = (), title: str = "", about: str = ""
) -> Figure:
    """A picture of `table`.

    `kind`: one of KINDS ("sensitivity": Sobol' indices, of a study whose design is for them); "auto" takes a curve for one axis, a curve
    or a heat map for two, small multiples for three or four with few levels, parallel coordinates for more. `measure`: a number of the
    report ("silent_loss_rate", "latency_ms.p99" …) or an event ("silent_loss", "loss", "duplication", "violated", "KEY > 0"); without it,
    what matters. `axes`: labels or paths, in the order in which the picture uses them (x, then lines, rows, columns); without, those that
    differ most come first. `title`: instead of the sentence computed from the data; `about`: what was studied, for the line under it.

    Raises ScenarioError where the kind, the measure or an axis is unknown, or the kind does not fit.
    """
    kind = kind.replace("-", "_")
    if kind not in KINDS:
        raise unknown("kind of picture", kind, KINDS)
    if not table.points:
        raise refuse("there is nothing to draw: no point of the study has a run")
    chosen = measure_of(table, measure)
    wanted = [table.axis(name) for name in axes]
    kind = kind if kind != "auto" else _fitting(wanted or varying(table))
    under = [*([about] if about else []), runs_words(table)]
    return _DRAWN[kind](table, chosen, wanted, title, under)


def check_kind(kind: str, table: StudyTable, design: str) -> None:
    """Raise ScenarioError where a picture of the kind will not fit a study, whose table may have no runs yet."""
    kind = kind.replace("-", "_")
    if kind in ("heatmap", "small_multiples", "parallel"):
        need_axes(table, kind, 2)
    if kind == "sensitivity" and design not in WHOLE:
        raise refuse(f"`sensitivity` needs a design that is made for it, saltelli or morris, and this study's is {design}")


def draw_effects(
    effects: Sequence[MorrisEffect], table: StudyTable, measure: str | None = None, *, title: str = "", about: str = ""
) -> Figure:
    """Morris' elementary effects of `table`, as study.sensitivity.morris_of gives them for the same measure."""
    return draw_sensitivity(effects, measure_of(table, measure), title, [*([about] if about else []), runs_words(table)])


def _fitting(axes: Sequence[AxisColumn]) -> str:
    depths = sorted((depth(axis) for axis in axes), reverse=True)
    if len(axes) <= 1:
        return "curve"
    if len(axes) == 2:
        return "heatmap" if depths[1] >= _SEVERAL else "curve"
    few = len(axes) <= 4 and all(deep <= most for deep, most in zip(depths[1:], (MOST_LINES, MOST_COLUMNS, MOST_ROWS), strict=False))
    return "small_multiples" if few else "parallel"


def _curve(table: StudyTable, measure: Measure, wanted: Sequence[AxisColumn], title: str, under: Sequence[str]) -> Figure:
    ordered = _in_order(table, measure, wanted, MOST_LINES, 2)
    if not ordered:
        ordered = list(table.axes[:1])
    if not ordered:
        raise refuse("a curve needs an axis, and this study has none")
    return draw_curve(table, measure, ordered[0], ordered[1] if len(ordered) > 1 else None, title, under)


def _heatmap(table: StudyTable, measure: Measure, wanted: Sequence[AxisColumn], title: str, under: Sequence[str]) -> Figure:
    need_axes(table, "heatmap", 2)
    ordered = _in_order(table, measure, wanted, 10**9, 2)
    return draw_heatmap(table, measure, ordered[0], ordered[1], title, under)


def _small_multiples(table: StudyTable, measure: Measure, wanted: Sequence[AxisColumn], title: str, under: Sequence[str]) -> Figure:
    need_axes(table, "small_multiples", 2)
    ordered = _in_order(table, measure, wanted, MOST_COLUMNS, 4)
    return draw_small_multiples(table, measure, ordered, title, under)


def _trade_off(table: StudyTable, measure: Measure, wanted: Sequence[AxisColumn], title: str, under: Sequence[str]) -> Figure:
    few = [axis for axis in wanted or chosen_axes(table) if depth(axis) <= MOST_LINES]
    measure = measure if measure.bad else measure_of(table, "silent_loss_rate")
    return draw_trade_off(table, measure, most_telling(table, measure, few, MOST_LINES), title, under)


def _parallel(table: StudyTable, measure: Measure, wanted: Sequence[AxisColumn], title: str, under: Sequence[str]) -> Figure:
    need_axes(table, "parallel", 2)
    return draw_parallel(table, measure, wanted or varying(table), title, under)


def _sensitivity(table: StudyTable, measure: Measure, wanted: Sequence[AxisColumn], title: str, under: Sequence[str]) -> Figure:
    return draw_sensitivity([index for index in sobol_of(table, measure.key) if _is_wanted(index.label, wanted)], measure, title, under)


def _is_wanted(label: str, wanted: Sequence[AxisColumn]) -> bool:
    return not wanted or label in [axis.label for axis in wanted]


def _in_order(table: StudyTable, measure: Measure, wanted: Sequence[AxisColumn], few: int, most: int) -> list[AxisColumn]:
    """x, then the axes that split it: those that were named come first; then the deepest numeric axis, then the most telling."""
    ordered, rest = list(wanted[:most]), [axis for axis in varying(table) if axis not in wanted]
    if not ordered and rest:
        ordered.append(_across(table, measure, rest))
        rest.remove(ordered[0])
    while rest and len(ordered) < most:
        following = most_telling(table, measure, rest, few)
        if following is None:
            break
        ordered.append(following)
        rest.remove(following)
    return ordered


def _across(table: StudyTable, measure: Measure, axes: Sequence[AxisColumn]) -> AxisColumn:
    """The axis for x: numbers rather than words, several levels rather than few, and of those the one that tells most."""
    deepest = max((axis.numeric, min(depth(axis), 4)) for axis in axes)
    fit = [axis for axis in axes if (axis.numeric, min(depth(axis), 4)) == deepest]
    return most_telling(table, measure, fit, None) or fit[0]


_DRAWN = {
    "curve": _curve,
    "heatmap": _heatmap,
    "small_multiples": _small_multiples,
    "trade_off": _trade_off,
    "parallel": _parallel,
    "sensitivity": _sensitivity,
}
