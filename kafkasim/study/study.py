"""A study as data: a scenario, axes, the design that chooses points, constraints that drop some, and how many runs each point gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafkasim.scenario import Scenario
from kafkasim.study.axes import Axis, Point


@dataclass(frozen=True, slots=True)
class Dropped:
    """A point that is not looked at, and the sentence why: a constraint of the study, or Kafka's own rules of configuration."""

    point: Point
    sentence: str


@dataclass(frozen=True, slots=True)
class Until:
    """A rule that ends a point before it has all its runs.

    `failing`: at least `bound` runs with the event; `width`: the interval of the share (an event) or of the mean (a number) is at most
    `bound` wide. It is asked after every `step` runs of a point, in the order of their seeds: so the rows of a study do not depend on who
    was faster.
    """

    kind: str  # "failing" | "width"
    measure: str
    bound: float
    step: int = 10


@dataclass(frozen=True)
class Study:
    """What to run. Run r of a point has the seed `scenario.seed + r` at every point (common random numbers)."""

    name: str
    title: str
    scenario: Scenario
    axes: tuple[Axis, ...]
    points: Sequence[Point]  # those that are looked at, indices 0 … n-1, in the order of the design
    dropped: Sequence[Dropped]
    runs: int  # of each point, at most
    until: tuple[Until, ...] = ()
    design: str = "grid"
    measures: tuple[str, ...] = ()  # what its pictures and tables show; empty: what turns out to matter
