"""Which points are worth a look when several things are wanted at once: the front of Pareto.

A point is on the front if no other point is at least as good in everything and better in something. Whoever wants more of one thing than
a point of the front has must give up some of another: safety costs throughput or latency, and the front shows how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kafkasim.study.statistics import means
from kafkasim.study.table import StudyTable


@dataclass(frozen=True, slots=True)
class Objective:
    """A measure, and whether less or more of it is better."""

    measure: str
    better: Literal["less", "more"]


SAFETY_AND_ITS_PRICE = (Objective("silent_loss_rate", "less"), Objective("latency_ms.p99", "less"), Objective("throughput", "more"))


def pareto_front(table: StudyTable, objectives: Sequence[Objective] = SAFETY_AND_ITS_PRICE) -> tuple[int, ...]:
    """The points of the front, ascending, judged by the means over runs: how sure these are is not looked at.

    Points with equal means are on the front together. A point that has no mean of one of the measures (no run, or nothing was acked) can
    neither be on the front nor keep another off it.
    """
    columns = [means(table, objective.measure) * (1 if objective.better == "less" else -1) for objective in objectives]
    costs = np.stack(columns, axis=1)
    return tuple(int(point) for point in np.flatnonzero(undominated(costs)))


def undominated(costs: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which rows of (points, objectives), less being better, no other row dominates. A row with a NaN is none of them."""
    known: npt.NDArray[np.bool_] = np.logical_not(np.isnan(costs).any(axis=1))
    front = known.copy()
    for point in np.flatnonzero(known):
        if not front[point]:
            continue  # whoever dominates it also dominates what it dominates
        worse = known & (costs >= costs[point]).all(axis=1) & (costs > costs[point]).any(axis=1)
        front[worse] = False
    return front
