"""The title of a picture: one sentence that states what was found, computed from the data and no stronger than it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kafkasim.plots.levels import Level, Scale
from kafkasim.plots.lines import Curve
from kafkasim.plots.measure import NO_BREAK, Cell, Measure

_STRAIGHT = 0.98  # the least share of variance a line explains before the title speaks of a slope


def of_curves(measure: Measure, across: Scale, curves: Sequence[Curve]) -> str:
    """What the lines say: where there is none at all, and how far it goes elsewhere."""
    marks = [cell for curve in curves for cell in curve.cells if cell.interval is not None]
    if not marks:
        return f"No run has a {measure.noun}: {_nothing(measure)}"
    if measure.bad and all(mark.none for mark in marks):
        return nowhere(measure, len(marks))
    if same := everywhere(measure, marks):
        return same
    if len(curves) == 1:
        return _of_one(measure, across, curves[0])
    names = [_line_name(curve) for curve in curves]
    never = [name for name, curve in zip(names, curves, strict=True) if curve.cells and all(cell.none for cell in curve.cells)]
    level, curve, most = max(
        ((level, curve, _mean(cell)) for curve in curves for level, cell in zip(curve.levels, curve.cells, strict=True) if cell.interval),
        key=lambda found: found[2],
    )
    worst = f"{measure.amount(most)} with {_line_name(curve)} at {across.setting(level)}"
    if measure.bad and never and len(never) < len(curves):
        return f"No {measure.noun} in any run with {_listed(never)}; up to {worst}"
    if measure.bad:
        return f"{begin(measure.noun)} reaches {worst}"
    level, curve, least = min(
        ((level, curve, _mean(cell)) for curve in curves for level, cell in zip(curve.levels, curve.cells, strict=True) if cell.interval),
        key=lambda found: found[2],
    )
    return f"{begin(measure.noun)} goes from {measure.amount(least)} with {_line_name(curve)} at {across.setting(level)} to {worst}"


def _of_one(measure: Measure, across: Scale, curve: Curve) -> str:
    known = [(level, cell) for level, cell in zip(curve.levels, curve.cells, strict=True) if cell.interval is not None]
    if len(known) == 1:
        return f"{begin(measure.noun)} is {measure.amount(_mean(known[0][1]))} at {across.setting(known[0][0])}"
    calm = [cell.none for _, cell in known]
    if measure.bad and across.numeric:
        first = calm.index(False)
        if first and not any(calm[first:]):
            return f"No {measure.noun} up to {across.setting(known[first - 1][0])}; {_tail(measure, across, known[first:])}"
        last = len(calm) - 1 - calm[::-1].index(False)
        if last < len(calm) - 1 and not any(calm[: last + 1]):
            return f"No {measure.noun} from {across.setting(known[last + 1][0])} on; {_tail(measure, across, known[: last + 1])}"
    low, high = min(known, key=lambda pair: _mean(pair[1])), max(known, key=lambda pair: _mean(pair[1]))
    if across.numeric and (slope := _slope(measure, across, known)):
        return f"{begin(measure.noun)} {slope}"
    return (
        f"{begin(measure.noun)} goes from {measure.amount(_mean(low[1]))} at {across.setting(low[0])}"
        f" to {measure.amount(_mean(high[1]))} at {across.setting(high[0])}"
    )


def _tail(measure: Measure, across: Scale, known: Sequence[tuple[Level, Cell]]) -> str:
    """What is beyond the calm part."""
    if slope := _slope(measure, across, known):
        return f"beyond, it {slope}"
    level, cell = max(known, key=lambda pair: _mean(pair[1]))
    return f"elsewhere up to {measure.amount(_mean(cell))}, at {across.setting(level)}"


def _slope(measure: Measure, across: Scale, known: Sequence[tuple[Level, Cell]]) -> str:
    """ "grows by 2.1 % of records for each s"; empty where a straight line would not tell it."""
    if len(known) < 4 or across.log or measure.event:
        return ""
    x, y = np.array([level.place for level, _ in known]), np.array([_mean(cell) for _, cell in known])
    if np.ptp(x) == 0 or np.ptp(y) == 0 or np.corrcoef(x, y)[0, 1] ** 2 < _STRAIGHT:
        return ""
    slope = float(np.polyfit(x, y, 1)[0])
    unit = across.unit
    step, each = _step(float(np.ptp(x)), unit)
    return f"{'grows' if slope > 0 else 'falls'} by about {measure.amount(abs(slope) * step)} for each {each}"


def _step(span: float, unit: str) -> tuple[float, str]:
    """What to count in: single units, or the power of ten that fits a few times into the span."""
    step = 10.0 ** np.floor(np.log10(span)) if span > 20 or span < 2 else 1.0
    if unit == "ms" and step == 1000:
        return step, "second"
    words = f"{step:,.0f}".replace(",", NO_BREAK) if step >= 1 else f"{step:g}"
    if not unit:
        return step, f"step of {words}"
    return step, {"s": "second", "min": "minute", "h": "hour"}.get(unit, unit) if step == 1 else f"{words} {unit}"


def of_cells(measure: Measure, marks: Sequence[tuple[str, Cell]]) -> str:
    """Of many marks, each with its settings in words: how many have none, and the most."""
    known = [(words, cell) for words, cell in marks if cell.interval is not None]
    if not known:
        return f"No run has a {measure.noun}: {_nothing(measure)}"
    if measure.bad and all(cell.none for _, cell in known):
        return nowhere(measure, len(known))
    if same := everywhere(measure, [cell for _, cell in known]):
        return same
    low, high = min(known, key=lambda mark: _mean(mark[1])), max(known, key=lambda mark: _mean(mark[1]))
    if not measure.bad:
        return f"{begin(measure.noun)} goes from {measure.amount(_mean(low[1]))} ({low[0]}) to {measure.amount(_mean(high[1]))} ({high[0]})"
    calm = sum(cell.none for _, cell in known)
    none = f"No {measure.noun} in {calm} of {len(known)} combinations" if calm else f"{begin(measure.noun)} in every combination"
    return f"{none}; the most is {measure.amount(_mean(high[1]))}, with {high[0]}"


def nowhere(measure: Measure, marks: int) -> str:
    """Nothing anywhere."""
    return f"No {measure.noun} in any run" + (", whatever the settings" if marks > 1 else "")


def everywhere(measure: Measure, marks: Sequence[Cell]) -> str:
    """ "Silent loss is 100 % of records at each of 12 points", where all are alike; else empty."""
    means = [mark.interval.estimate for mark in marks if mark.interval is not None]
    if len(means) < 2 or min(means) != max(means):
        return ""
    return f"{begin(measure.noun)} is {measure.amount(means[0])} at each of {len(means)} points"


def _nothing(measure: Measure) -> str:
    return "nothing was acked" if "latency" in measure.key else "the results leave it empty"


def _line_name(curve: Curve) -> str:
    return curve.setting or curve.words


def _mean(cell: Cell) -> float:
    return cell.interval.estimate if cell.interval is not None else float("nan")


def begin(noun: str) -> str:
    """With a capital."""
    return noun if noun[1:2].isdigit() else noun[0].upper() + noun[1:]  # p99 is no beginning for a capital


def _listed(names: Sequence[str]) -> str:
    names = [names[0], *(name.replace(NO_BREAK, " ").partition(" = ")[2].replace(" ", NO_BREAK) or name for name in names[1:])]
    shown = names if len(names) <= 3 else [*names[:2], f"{len(names) - 2} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
