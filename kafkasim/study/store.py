"""Where the rows of a study are kept: what every store knows of them, and the store in memory. The one on disk is results.py's.

A task has a place, `point * runs + run`, and a store holds at most one row a place. A row that comes again is compared with the one that
is there: nothing is ever held twice, and two rows of one task that differ are an error, for a run has one outcome.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.study.events import EVENTS
from kafkasim.study.study import Study
from kafkasim.study.task import Row

WHERE_IT_WAS_MADE = ("name", "command")  # what the scenario's file is called is not what happened


@dataclass(frozen=True, slots=True)
class Tally:
    """Runs that are held, and in how many of them something happened: the estimates of a sweep that is still running."""

    runs: int = 0
    loss: int = 0
    silent_loss: int = 0
    duplication: int = 0
    violated: int = 0

    def with_row(self, row: Row) -> Tally:
        """With one more run."""
        return Tally(self.runs + 1, *(getattr(self, event) + bool(row.get(key)) for event, key in _TOLD))


_TOLD = tuple((event, EVENTS[event]) for event in ("loss", "silent_loss", "duplication", "violated"))


class Store(Protocol):
    """What collecting needs of a store."""

    @property
    def tally(self) -> Tally:
        """Of all rows that are held."""

    def held(self, point: int) -> npt.NDArray[np.bool_]:
        """Of each run of the point, whether its row is held."""

    def add(self, rows: Sequence[Row]) -> None:
        """Keep the rows, all or none of them. Raises OutputError where they cannot be kept, ScenarioError where one contradicts another."""

    def rows(self) -> Iterator[Row]:
        """All rows, in the order of the tasks: by point, then by run."""

    def rows_of(self, point: int) -> list[Row]:
        """The point's rows, in the order of their seeds."""

    def derive(self) -> None:
        """Bring what is made of the rows up to date; called when a sweep ends or is interrupted."""


class InMemory:
    """Rows in memory, for Python: gone when nobody holds them any more."""

    def __init__(self, study: Study) -> None:
        self._runs = study.runs
        self._rows: dict[int, Row] = {}
        self.tally = Tally()

    def held(self, point: int) -> npt.NDArray[np.bool_]:
        """Of each run of the point, whether its row is held."""
        return np.fromiter((point * self._runs + run in self._rows for run in range(self._runs)), np.bool_, self._runs)

    def add(self, rows: Sequence[Row]) -> None:
        """Keep the rows. Raises ScenarioError where one contradicts the row that its task has already."""
        for row in rows:
            place = place_of(row, self._runs)
            if place in self._rows:
                same_or_refuse(self._rows[place], row, "memory", "memory")
                continue
            self._rows[place] = row
            self.tally = self.tally.with_row(row)

    def rows(self) -> Iterator[Row]:
        """All rows, in the order of the tasks."""
        return (self._rows[place] for place in sorted(self._rows))

    def rows_of(self, point: int) -> list[Row]:
        """The point's rows, in the order of their seeds."""
        places = range(point * self._runs, (point + 1) * self._runs)
        return [self._rows[place] for place in places if place in self._rows]

    def derive(self) -> None:
        """Nothing is made of rows in memory."""


def place_of(row: Row, runs: int) -> int:
    """The place of a row's task among those of its study."""
    point, run = row["point"], row["run"]
    assert isinstance(point, int), "a row says which point it is of"
    assert isinstance(run, int), "a row says which run it is"
    return point * runs + run


def same_or_refuse(one: Row, other: Row, here: str, there: str) -> None:
    """Raise ScenarioError with what differs, unless the two rows of one task say the same."""
    keys = dict.fromkeys([*one, *other])
    differ = [key for key in keys if key not in WHERE_IT_WAS_MADE and (key not in one or key not in other or one[key] != other[key])]
    if not differ:
        return
    what = ", ".join(f"{key} is {one.get(key)!r} and {other.get(key)!r}" for key in differ[:3]) + (" …" if len(differ) > 3 else "")
    sentence = (
        f"two machines disagree about run {one['run']} of point {one['point']} (task {one['task']}; the other is {there}): {what}."
        f" One task has one outcome; repeat it with `{one.get('command')}` to see whose is right."
    )
    raise ScenarioError([Problem(here, sentence)])
