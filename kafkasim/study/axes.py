"""What a study varies: an axis is one path of the scenario, or several that move together, and the levels it takes.

A level is a value for each path, written as the scenario file writes it (a duration is `"3s"`, a list is a list). A range has a span as
well, so that designs that are no grid can take any value inside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Value = Any  # a YAML value: str, int, float, bool, None, or a list or mapping of them


@dataclass(frozen=True, slots=True)
class Span:
    """A range of numbers, both ends included, even on `scale`. `unit` is "ms" for durations, or else empty; `whole`: integers only."""

    low: float
    high: float
    scale: Literal["linear", "log"] = "linear"
    unit: str = ""
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis. `levels[i][j]` is the value of `paths[j]` at level i; `label` is the shortest name that is clear in its study."""

    paths: tuple[str, ...]
    levels: tuple[tuple[Value, ...], ...]
    label: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One place in the space of a study: its number, and the changes that lead there from the scenario, as `Scenario.with_` takes them."""

    index: int
    changes: Mapping[str, Value]
