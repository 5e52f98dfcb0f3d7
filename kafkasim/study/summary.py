"""What a study says in all: an estimate of each measure at each point, which points are safe, what differs, which axes matter.

It is data for the terminal, for JSON and for Python alike; it reads nothing but the table of the study's rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kafkasim.intervals import Interval
from kafkasim.study.description import describe
from kafkasim.study.designs import unit_matrix
from kafkasim.study.events import event_key
from kafkasim.study.pareto import pareto_front
from kafkasim.study.sensitivity import MorrisEffect, SobolIndex, morris_of, sobol_of
from kafkasim.study.statistics import Difference, Estimate, SafePoint, differences, estimate, means, safe_points
from kafkasim.study.study import Study
from kafkasim.study.table import StudyTable

SHARES = ("silent_loss", "loss", "duplication", "violated")
NUMBERS = ("silent_loss_rate", "loss_rate", "duplication_rate", "latency_ms.p99", "throughput", "unavailable_ms")
_OUTCOMES = ("silent_loss_rate", "loss_rate", "duplication_rate", "unavailable_ms", "latency_ms.p99")  # the gravest first


@dataclass(frozen=True)
class StudySummary:
    """What follows from the rows. `measures`: those that can be estimated; `main`: the one that the study is about."""

    study: Study
    table: StudyTable
    measures: tuple[str, ...]
    main: str
    safe: tuple[SafePoint, ...]
    front: tuple[int, ...]
    against_first: tuple[Difference, ...]
    sobol: tuple[SobolIndex, ...]
    morris: tuple[MorrisEffect, ...]

    @property
    def runs(self) -> int:
        """Of all points."""
        return sum(self.table.runs)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: numbers that are not known are null."""
        points, safe, front = [], {one.point for one in self.safe}, set(self.front)
        for index, point in enumerate(self.study.points):
            said = {name: _plain_estimate(estimate(self.table, name, index)) for name in self.measures}
            place = {"point": index, "changes": dict(point.changes), "runs": self.table.runs[index]}
            points.append(place | {"safe": index in safe, "on_front": index in front, "estimates": said})
        return {
            "study": describe(self.study),
            "runs": self.runs,
            "main": self.main,
            "points": points,
            "dropped": [{"changes": dict(each.point.changes), "sentence": each.sentence} for each in self.study.dropped],
            "against_first": [
                {"point": each.point, "measure": each.measure, "runs": each.runs, "paired": _plain(each.paired)}
                for each in self.against_first
            ],
            "sobol": [{"axis": one.label, "first": _plain(one.first), "total": _plain(one.total)} for one in self.sobol],
            "morris": [asdict(one) | {"mu_star": _plain(one.mu_star)} for one in self.morris],
            "notes": list(self.study.notes),
        }


def summarise_study(study: Study, table: StudyTable) -> StudySummary:
    """Everything that may be said of the rows that there are. Raises ScenarioError for a measure that no row has."""
    main = main_measure(study, table)
    wanted = tuple(dict.fromkeys([*study.measures, *SHARES, *NUMBERS, main]))
    measures = tuple(name for name in wanted if name in study.measures or event_key(name) in table.keys)
    return StudySummary(
        study=study,
        table=table,
        measures=measures,
        main=main,
        safe=safe_points(table),
        front=pareto_front(table),
        against_first=differences(table, main, 0) if table.points > 1 and table.runs[0] else (),
        sobol=sobol_of(table, main) if study.design == "saltelli" and _can_be_split(table, main) else (),
        morris=morris_of(table, unit_matrix(study), main) if study.design == "morris" and _can_be_split(table, main) else (),
    )


def main_measure(study: Study, table: StudyTable) -> str:
    """What the study is about: the first measure it names, or else the gravest outcome that is not the same everywhere."""
    if study.measures:
        return study.measures[0]
    varying = (name for name in _OUTCOMES if _varies(table, name))
    return next(varying, _OUTCOMES[0])


def _varies(table: StudyTable, measure: str) -> bool:
    """Whether two runs differ in it."""
    seen: set[float] = set()
    for point in range(table.points):
        seen.update(value for value in table.values(event_key(measure), point).tolist() if not math.isnan(value))
        if len(seen) > 1:
            return True
    return False


def _can_be_split(table: StudyTable, measure: str) -> bool:
    """Whether every point has an outcome, and two of them differ: else no axis can be told from another."""
    outcomes = means(table, measure)
    return bool(np.isfinite(outcomes).all() and np.ptp(outcomes) > 0)


def _plain_estimate(found: Estimate) -> dict[str, Any]:
    plain = {"kind": found.kind, "runs": found.runs, "missing": found.missing, **_plain(found.interval)}
    return plain | {"min": _finite(found.least), "max": _finite(found.most)}


def _plain(interval: Interval) -> dict[str, float | None]:
    return {name: _finite(value) for name, value in interval.to_dict().items()}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def column_measures(summary: StudySummary, most: int) -> Sequence[str]:
    """The measures for a table with room for so many: those that were asked for, or those that are not the same everywhere."""
    if summary.study.measures:
        return summary.study.measures[:most]
    shares = [name for name in ("silent_loss", "loss") if _varies(summary.table, name)][:1]
    return [*shares, *(name for name in NUMBERS if name in summary.measures and _varies(summary.table, name))][:most]
