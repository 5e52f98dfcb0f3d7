"""The small values a scenario is written with: durations, milliseconds, names, keys, bounds; and the nearest right word.

Each is parsed from what YAML gives, with one clear sentence where it cannot be, and printed back as it was written. Kafka's own
values are not here: they are `protocol/config.py`'s.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h)")
_UNITS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}
_UNIFORM = re.compile(r"uniform\(\s*(\d+)\s*\)")
_ZIPF = re.compile(r"zipf\(\s*(\d+)\s*,\s*(\d+(?:\.\d+)?)\s*\)")
_COMPARISON = re.compile(r"(>=|<=|==|!=|>|<)?\s*(-?\d+(?:\.\d+)?(?:[eE]-?\d+)?)")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


def hint(word: str, choices: Iterable[str]) -> str:
    """`; did you mean …?`, or `; known: …` where nothing is near and the choices are few, or nothing at all."""
    known = list(dict.fromkeys(choices))
    near = nearest(word, known)
    if near is not None:
        return f"; did you mean `{near}`?"
    return f"; known: {', '.join(known)}" if 0 < len(known) <= 12 else ""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`; did you mean …?`, or nothing where nothing is near."""
    near = nearest(word, choices)
    return "" if near is None else f"; did you mean {near}?"


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice most like `word`, if any is alike: spelling counts, and the kind of separator does not."""
    known = {choice.lower().replace("_", ".").replace("-", "."): choice for choice in choices}
    found = difflib.get_close_matches(word.lower().replace("_", ".").replace("-", "."), known, n=1, cutoff=0.6)
    return known[found[0]] if found else None


def _printed_as(schema: dict[str, Any], parse: Callable[[Any], Any], show: Callable[[Any], Any] | None = None) -> tuple[Any, ...]:
    """The three things pydantic wants to know of a value: how it is read, how it is written, how an editor checks it."""
    return (PlainValidator(parse), PlainSerializer(show or (lambda value: value), return_type=Any), WithJsonSchema(schema))


# ---------------------------------------------------------------------------------------------------- time


def parse_duration(value: object) -> float:
    """`3.2s`, `300ms`, `2min`, `1h` in ms. A bare number has no unit, so it is refused rather than guessed."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(Decimal(match[1]) * _UNITS[match[2]])
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit; a duration is written like 300ms, 3.2s, 2min or 1h")
    raise ValueError(f"{_brief(value)} is not a duration; it is written like 300ms, 3.2s, 2min or 1h")


def format_duration(ms: float) -> str:
    """The shortest text that `parse_duration` reads back as the same number."""
    for unit in ("h", "min", "s"):
        if ms >= _UNITS[unit] and ms % _UNITS[unit] == 0:
            return f"{int(ms // _UNITS[unit])}{unit}"
    return f"{format(Decimal(repr(ms)).normalize(), 'f')}ms" if ms else "0s"


def _milliseconds(value: object) -> float:
    """A key that ends in `.ms` holds a number, as Kafka's own do."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{_brief(value)} is not a number of milliseconds; the key says .ms, so it is written like 300 or 0.5")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{value} is not a time; it is 0 or more milliseconds")
    return float(value)


def _plain_number(value: float) -> float:
    return int(value) if value == int(value) else value


# ---------------------------------------------------------------------------------------------------- numbers, words


def _count_to(most: int) -> tuple[Any, ...]:
    """A whole number from 1 to `most`: more would be no scenario but a slip of the finger, and would eat the memory."""

    def count(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{_brief(value)} is not a whole number")
        if value < 1:
            raise ValueError(f"{value} is too few; the least is 1")
        if value > most:
            raise ValueError(f"{_brief(value)} is too many; the most is {most}")
        return value

    return _printed_as({"type": "integer", "minimum": 1, "maximum": most}, count)


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def _seed(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{_brief(value)} is not a seed; it is a whole number from 0 on")
    return value


def _feature_level(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in {0, 1}:
        raise ValueError(f"{_brief(value)} is not a level of this feature; it is 0 (off) or 1 (on)")
    return value


def _rate(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{_brief(value)} is not a number of records per second")
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{value} records per second is no rate; it must be above 0")
    return float(value)


def _probability(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{_brief(value)} is not a probability; it is a number from 0 to 1")
    return float(value)


def _name(value: object) -> str:
    if isinstance(value, str) and NAME.fullmatch(value) and len(value) <= 249:
        return value
    raise ValueError(f"{_brief(value)} cannot be a name; Kafka takes letters, digits, '.', '_' and '-', at most 249 of them")


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"{_brief(value)} is neither true nor false")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"{_brief(value)} is not a text; put it in quotes if it is meant as one")


def _setting(value: object) -> str | int | float | bool:
    """One value of a Kafka configuration, not yet looked at: that is protocol/config.py's part."""
    if isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if value is None:
        raise ValueError("has no value; leave the key out for Kafka's default")
    raise ValueError(f"{_brief(value)} is not a value of Kafka's; it takes one number, word, true or false")


_UNIT_PATTERN = r"^\d+(\.\d+)?\s*(ms|s|min|h)$"


Duration = Annotated[float, *_printed_as({"type": "string", "pattern": _UNIT_PATTERN}, parse_duration, format_duration)]
Milliseconds = Annotated[float, *_printed_as({"type": "number", "minimum": 0}, _milliseconds, _plain_number)]
Count = Annotated[int, *_count_to(1_000_000_000)]
Few = Annotated[int, *_count_to(1000)]
FeatureLevel = Annotated[int, *_printed_as({"type": "integer", "enum": [0, 1]}, _feature_level)]
Seed = Annotated[int, *_printed_as({"type": "integer", "minimum": 0}, _seed)]
Rate = Annotated[float, *_printed_as({"type": "number", "exclusiveMinimum": 0}, _rate, _plain_number)]
Probability = Annotated[float, *_printed_as({"type": "number", "minimum": 0, "maximum": 1}, _probability, _plain_number)]
Name = Annotated[str, *_printed_as({"type": "string", "pattern": f"^{NAME.pattern}$"}, _name)]
Flag = Annotated[bool, *_printed_as({"type": "boolean"}, _flag)]
Text = Annotated[str, *_printed_as({"type": "string"}, _text)]
Setting = Annotated[str | int | float | bool, *_printed_as({"type": ["string", "number", "boolean", "array"]}, _setting)]


# ---------------------------------------------------------------------------------------------------- keys


@dataclass(frozen=True, slots=True)
class Keys:
    """How records get their keys: `none`, `uniform(n)`, or `zipf(n, s)`, where key k has weight 1 / k^s. Keys count from 0."""

    kind: str = "none"
    n: int = 0
    s: float = 0.0

    def __str__(self) -> str:
        if self.kind == "uniform":
            return f"uniform({self.n})"
        return f"zipf({self.n}, {self.s})" if self.kind == "zipf" else "none"


def parse_keys(value: object) -> Keys:
    """`none`, `uniform(100)` or `zipf(100, 1.1)`."""
    if isinstance(value, Keys):
        return value
    text = value.strip() if isinstance(value, str) else ""
    keys = Keys() if text == "none" else None
    if match := _UNIFORM.fullmatch(text):
        keys = Keys("uniform", int(match[1]))
    elif match := _ZIPF.fullmatch(text):
        keys = Keys("zipf", int(match[1]), float(match[2]))
    if keys is None:
        raise ValueError(f"{_brief(value)} is not a way to draw keys; it is none, uniform(N) or zipf(N, s), for example zipf(100, 1.1)")
    if keys.kind != "none" and keys.n < 1:
        raise ValueError(f"{text} draws from no keys at all; N is at least 1")
    return keys


KeysField = Annotated[Keys, *_printed_as({"type": "string", "examples": ["none", "uniform(100)", "zipf(100, 1.1)"]}, parse_keys, str)]


# ---------------------------------------------------------------------------------------------------- bounds


@dataclass(frozen=True, slots=True)
class Bound:
    """What a number of the report must be: `written` as in the scenario, `low` <= it <= `high`, or a comparison with `low`."""

    written: str | int | float | tuple[float, float]
    comparison: str  # "==", ">", …; "between"
    low: float
    high: float

    def holds(self, value: float | None) -> bool:
        """Whether the number is within. No number at all (a backend that could not count it) is within no bound."""
        if value is None or math.isnan(value):
            return False
        if self.comparison == "between":
            return self.low <= value <= self.high
        return _OPERATORS[self.comparison](value, self.low)

    def __str__(self) -> str:
        if self.comparison == "between":
            return f"between {_plain_number(self.low)} and {_plain_number(self.high)}"
        number = str(_plain_number(self.low))
        return number if self.comparison == "==" else f"{self.comparison} {number}"


def parse_bound(value: object) -> Bound:
    """A number, `[low, high]` (both included), or a comparison: `"> 0"`, `">= 3"`, `"== 0"`, `"0"`."""
    if isinstance(value, Bound):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return Bound(value, "==", value, value)
    if isinstance(value, list | tuple) and len(value) == 2 and all(type(end) in {int, float} and math.isfinite(end) for end in value):
        low, high = value
        if low > high:
            raise ValueError(f"[{low}, {high}] holds nothing: the low end comes first")
        return Bound((low, high), "between", low, high)
    if isinstance(value, str) and (match := _COMPARISON.fullmatch(value.strip())):
        return Bound(value, match[1] or "==", float(match[2]), float(match[2]))
    raise ValueError(f'{_brief(value)} is not a bound; it is a number, [low, high], or a comparison like "> 0"')


def _show_bound(bound: Bound) -> object:
    return list(bound.written) if isinstance(bound.written, tuple) else bound.written


_NUMBER = {"type": "number"}
_BOUND_SCHEMA = {"anyOf": [_NUMBER, {"type": "string"}, {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}]}
BoundField = Annotated[Bound, *_printed_as(_BOUND_SCHEMA, parse_bound, _show_bound)]
