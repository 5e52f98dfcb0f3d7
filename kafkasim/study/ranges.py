"""The levels of an axis as people write them: `1, all`, `0..100/10`, `1s..9s/2s`, `500..30000x5`, `log:100ms..10sx5`.

    a,b,c             these values, each read as `--set` reads it; commas inside (), [], {} and quotes do not separate
    LOW..HIGH/STEP    from LOW in steps of STEP, as far as HIGH
    LOW..HIGHxN       N levels, evenly spaced, both ends included
    log:LOW..HIGHxN   N levels, each the same multiple of the one before
    LOW..HIGH         the range itself, for designs that are no grid

Ends are numbers or durations; LOW and STEP may leave out HIGH's unit. Between whole ends the levels of a logarithmic range are rounded to
whole numbers, and equal ones count once; those of an even range stay exact, and vary.py rounds them for a key that takes whole numbers
only. A duration counts in milliseconds. What is wrong is a ValueError with one sentence; the caller
knows which axis it is about.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from kafkasim.scenario_file import parse_scalar
from kafkasim.study.axes import Span, Value
from kafkasim.values import format_duration, parse_duration

MOST_LEVELS = 100_000
_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_END = rf"{_NUMBER}\s*(?:ms|s|min|h)?"
_RANGE = re.compile(rf"(?P<log>log:)?\s*(?P<low>{_END})\s*\.\.\s*(?P<high>{_END})\s*(?:/\s*(?P<step>[^\s]+)|x\s*(?P<count>[^\s]+))?")
_MEANT_AS_RANGE = re.compile(r"log:.*|[-+]?\d[^\s.]*(?:\.\d+\w*)?\s*\.\..*")
_WRITTEN = "0..100/10 (steps of 10), 0..100x11 (11 levels) or log:1..1000x4"
_BRACKETS = ("([{", ")]}")
_LARGEST = 10**15
_MOST_DIGITS = 30
_DIGITS = 6  # that a value from inside a range keeps, so that a row stays readable


def split_outside(text: str, separator: str) -> list[str]:
    """The parts between separators that stand in no bracket and no quotes, without blanks around them."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and not parts[-1].strip():
            quote = character
        else:
            depth += (character in _BRACKETS[0]) - (character in _BRACKETS[1])
            if character == separator and depth <= 0:
                parts.append("")
                continue
        parts[-1] += character
    return [part.strip() for part in parts]


def parse_levels(text: str, bare: bool = False) -> tuple[list[Value], Span | None]:
    """The levels that a text means, and the span where it is one range alone. `bare`: a range may stand without steps."""
    if not text.strip():
        raise ValueError(f"has no levels; they are written like 1,all or {_WRITTEN}")
    items = split_outside(text, ",")
    if "" in items:
        raise ValueError(f"`{text}` has a comma with nothing beside it")
    levels: list[Value] = []
    span = None
    for item in items:
        if _MEANT_AS_RANGE.fullmatch(item):
            more, span = parse_range(item, bare and len(items) == 1)
            levels += more
        else:
            levels.append(parse_scalar(item))
    return levels, span if len(items) == 1 else None


def parse_range(text: str, bare: bool = False) -> tuple[list[Value], Span]:
    """The levels and the span of `LOW..HIGH/STEP`, `LOW..HIGHxN`, `log:LOW..HIGHxN` or, if `bare`, `LOW..HIGH`."""
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}` is not a range; one is written {_WRITTEN}")
    scale: Literal["linear", "log"] = "log" if match["log"] else "linear"
    count, step = match["count"], match["step"]
    if count is not None and not count.isdecimal():
        raise ValueError(f"`{text}`: `{count}` is not a number of levels; a range is written {_WRITTEN}")
    return make_range(match["low"], match["high"], step, None if count is None else int(count), scale, bare)


def make_range(
    low: object,
    high: object,
    step: object = None,
    count: int | None = None,
    scale: Literal["linear", "log"] = "linear",
    bare: bool = False,
) -> tuple[list[Value], Span]:
    """The levels and the span from `low` to `high`: in steps of `step`, or `count` of them. Ends are numbers or durations."""
    said = f"{'log:' if scale == 'log' else ''}{low}..{high}"
    start, end, timed = *_ends(low, high, said), _is_duration(high)
    if scale == "log" and start <= 0:
        raise ValueError(f"`{said}`: a logarithmic range starts above 0")
    if step is not None:
        if count is not None:
            raise ValueError(f"`{said}` has both a step and a number of levels; one of them decides")
        if scale == "log":
            raise ValueError(f"`{said}/{step}`: a logarithmic range has no steps; write {said}xN for N levels")
        values = _stepped(start, end, _step(step, high, said), said)
    elif count is not None:
        values = _spaced(start, end, count, scale, said)
    elif bare:
        values = [start, end]
    else:
        raise ValueError(f"`{said}` does not say which levels; write {said}/STEP or {said}xN (a design that is no grid needs neither)")
    whole = _is_whole(start) and _is_whole(end)
    if scale == "linear":
        whole = whole and all(_is_whole(value) for value in values) and end - start > 1  # inside 0..1 there is no whole number
    values = [Decimal(round(value)) for value in values] if whole else values
    span = Span(float(start), float(end), scale, "ms" if timed else "", whole)
    return list(dict.fromkeys(_written(value, span.unit) for value in values)), span


def rounded(levels: Sequence[Value]) -> list[Value]:
    """The same numbers as whole numbers, equal ones once; the half goes up, so that steps differ by no more than one."""
    return list(dict.fromkeys(math.floor(level + 0.5) if isinstance(level, float) else level for level in levels))


def inside(span: Span, u: float) -> Value:
    """The value at `u` of the span's length, from 0 to 1: even on its scale; of whole numbers, each has the same share of a linear span."""
    if span.scale == "log":
        value = math.exp(math.log(span.low) + u * (math.log(span.high) - math.log(span.low)))
        value = round(value) if span.whole else value
    elif span.whole:
        value = span.low + math.floor(u * (span.high - span.low + 1))
    else:
        value = span.low + u * (span.high - span.low)
    value = min(max(value, span.low), span.high)
    return _written(Decimal(repr(value)) if span.whole else Decimal(f"{value:.{_DIGITS}g}"), span.unit)


def _ends(low: object, high: object, said: str) -> tuple[Decimal, Decimal]:
    if _is_duration(low) and not _is_duration(high):
        raise ValueError(f"`{said}`: the high end has no unit; a duration is written like 300ms, 3.2s, 2min or 1h")
    start, end = _number(_with_unit_of(high, low)), _number(high)
    if start > end:
        raise ValueError(f"`{said}` holds nothing: the low end comes first")
    if start == end:
        raise ValueError(f"`{said}` is one value, not a range")
    return start, end


def _step(step: object, high: object, said: str) -> Decimal:
    """The step; without a unit it has that of the high end."""
    text = _with_unit_of(high, step)
    try:
        size = _number(text)
    except ValueError:
        raise ValueError(f"`{said}/{step}`: `{step}` is not a step; a range is written {_WRITTEN}") from None
    if _is_duration(text) != _is_duration(high):
        raise ValueError(f"`{said}/{step}`: the step has a unit of time, and the range has none")
    if size <= 0:
        raise ValueError(f"`{said}/{step}`: a step is above 0")
    return size


def _with_unit_of(high: object, value: object) -> object:
    """A value written without a unit beside a duration has the duration's: `0..9s`, `1s..9s/2`."""
    if _is_duration(high) and re.fullmatch(_NUMBER, text := str(value).strip()):
        return text + re.sub(r"[^a-z]", "", str(high))
    return value


def _stepped(start: Decimal, end: Decimal, step: Decimal, said: str) -> list[Decimal]:
    count = int((end - start) / step) + 1
    _check_count(count, said)
    return [start + index * step for index in range(count)]


def _spaced(start: Decimal, end: Decimal, count: int, scale: str, said: str) -> list[Decimal]:
    if count < 2:
        raise ValueError(f"`{said}x{count}`: a range has at least 2 levels, its ends")
    _check_count(count, said)
    if scale == "linear":
        inner = [start + (end - start) * index / (count - 1) for index in range(1, count - 1)]
    else:
        ratio = math.log(end / start) / (count - 1)
        inner = [Decimal(repr(float(start) * math.exp(ratio * index))) for index in range(1, count - 1)]
    return [start, *(Decimal(f"{value:.{_DIGITS}g}") if not _is_whole(value) else value for value in inner), end]


def _check_count(count: int, said: str) -> None:
    if count > MOST_LEVELS:
        raise ValueError(f"`{said}` has {count} levels; an axis has at most {MOST_LEVELS}")


def _is_duration(end: object) -> bool:
    return isinstance(end, str) and re.search(r"[a-z]\s*$", end) is not None


def _is_whole(value: Decimal) -> bool:
    return value == value.to_integral_value()


def _number(end: object) -> Decimal:
    """A number, or a duration in ms."""
    if isinstance(end, bool) or not isinstance(end, int | float | str):
        raise ValueError(f"`{end}` is neither a number nor a duration")
    if isinstance(end, str) and _is_duration(end):
        return Decimal(repr(parse_duration(end)))
    if isinstance(end, str) and not re.fullmatch(_NUMBER, end.strip()):
        raise ValueError(f"`{end}` is neither a number nor a duration")
    value = Decimal(str(end).strip()) if len(str(end)) <= _MOST_DIGITS else Decimal("inf")
    if not value.is_finite() or abs(value) > _LARGEST:
        raise ValueError(f"`{end}` is no end of a range; the largest is {_LARGEST}")
    return value


def _written(value: Decimal, unit: str) -> Value:
    """As the scenario file writes it: 316 ms is `316ms`, 2 is 2, 0.5 is 0.5."""
    if unit:
        return format_duration(float(value))
    return int(value) if _is_whole(value) else float(value)
