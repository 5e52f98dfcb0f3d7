"""A study as data: a scenario, axes, the design that chooses points, constraints that drop some, and how many runs each point gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafkasim.scenario import Scenario
from kafkasim.study.axes import Axis, Point

RUNS = 20  # of each point, unless somebody says otherwise: enough to tell one half of the runs from one tenth


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

    def __str__(self) -> str:
        """As it is written: `failing(loss) >= 10`."""
        return f"{self.kind}({self.measure}) {'>=' if self.kind == 'failing' else '<='} {self.bound:g}"


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
    design: str = "grid"  # "grid" | "random" | "latin-hypercube" | "sobol" | "saltelli" | "morris"
    measures: tuple[str, ...] = ()  # what its pictures and tables show; empty: what turns out to matter
    samples: int = 0  # how many the design was asked for: points, of saltelli base samples, of morris trajectories; 0 for a grid
    design_seed: int = 1  # of the design's dice, apart from the runs' seeds
    where: tuple[str, ...] = ()  # the constraints, as written
    notes: tuple[str, ...] = ()  # sentences about what was made of it: points dropped, sizes rounded up, points that are equal
