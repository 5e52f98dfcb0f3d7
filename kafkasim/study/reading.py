"""Reading rows that somebody wrote at some time: each is checked before it is believed, and what is wrong is told with its line."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.study.description import describe, differences
from kafkasim.study.study import Study
from kafkasim.study.task import Row, behaviour_of, task_id, version

_POINTS_REMEMBERED = 256  # rows of a few points stand mixed, as their chunks ended


class Line(NamedTuple):
    """A row, the number of its line (from 1), and the bytes of the file from `begins` to `ends` that it takes."""

    row: Row
    number: int
    begins: int
    ends: int


class RowReader:
    """Reads files of rows of one study."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._behaviours: OrderedDict[int, str] = OrderedDict()

    def lines(self, path: Path) -> Iterator[Line]:
        """The rows of a file, in its order; a last line without an end is left out. Raises ScenarioError at the first that is wrong."""
        begins = 0
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if not text.endswith(b"\n"):
                    return
                row = self._row(text, f"{path}:{number}")
                yield Line(row, number, begins, begins + len(text))
                begins += len(text)

    def _row(self, text: bytes, where: str) -> Row:
        try:
            row = json.loads(text)
            task, made_by, point, run = (row[key] for key in ("task", "version", "point", "run"))
        except (ValueError, KeyError, TypeError):
            _refuse(where, "this line is damaged: it is no row of a sweep. Take it out, and --resume makes its run again")
        if made_by != version():
            _refuse(where, other_version(made_by))
        if type(run) is int and run >= self._study.runs:
            _refuse(
                where,
                f"this is run {run} of its point, counted from 0: ask for more runs than {self._study.runs}, or choose another folder",
            )
        if type(point) is not int or type(run) is not int or not (0 <= point < len(self._study.points) and 0 <= run < self._study.runs):
            _refuse(where, f"this row is of run {run} of point {point}, which this study does not have")
        seed = self._study.scenario.seed + run
        if task != task_id(self._behaviour(point), self._study.points[point].changes, seed) or row.get("seed") != seed:
            _refuse(where, f"this row is not of this study: run {run} of point {point} is another task than {task}")
        return row  # type: ignore[no-any-return]  # what wrote it wrote plain values

    def _behaviour(self, point: int) -> str:
        known = self._behaviours.get(point)
        if known is None:
            known = self._behaviours[point] = behaviour_of(self._study.scenario, self._study.points[point])
            if len(self._behaviours) > _POINTS_REMEMBERED:
                self._behaviours.popitem(last=False)
        return known


def described(study: Study) -> dict[str, Any]:
    """What `study.json` says: the study, by which version its rows are, and a digest of its points."""
    digest = hashlib.sha256()
    for point in study.points:
        digest.update(json.dumps(dict(point.changes), sort_keys=True, default=str).encode() + b"\n")
    whole = {**describe(study), "version": version(), "points_digest": digest.hexdigest()}
    plain: dict[str, Any] = json.loads(json.dumps(whole, default=str))  # as it will be read
    return plain


def refuse_other_study(path: Path, study: Study) -> None:
    """Raise ScenarioError unless the `study.json` at `path` describes this study and is of this version; fewer runs will do."""
    here = described(study)
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        made_by, clauses = there["version"], _different(there, here)
    except FileNotFoundError:
        _refuse(str(path.parent), f"holds rows, but no {path.name} that says what they are of; choose another folder")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        _refuse(str(path), "cannot be read as the description of a study; choose another folder")
    if clauses:
        _refuse(str(path.parent), f"holds the results of another study ({'; '.join(clauses)}); choose another folder")
    if made_by != here["version"]:
        _refuse(str(path.parent), other_version(made_by))


def _different(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What makes it another set of rows. More or fewer runs of each point do not, as long as every row that is there is one of them."""
    clauses = differences(there, here)
    if there["until"] != here["until"]:
        was, now = (" or ".join(study["until"]) or "all runs" for study in (there, here))
        clauses.append(f"until: was {was}; is {now}")
    if not clauses and there["points_digest"] != here["points_digest"]:
        clauses.append("its points are others, along the same axes")
    return clauses


def other_version(made_by: object) -> str:
    """The sentence for rows that other code made."""
    return (
        f"the rows are of kafkasim {made_by}, and this is {version()}: rows of two versions do not go together."
        " Finish with that version, or begin anew in another folder"
    )


def _refuse(where: str, sentence: str) -> NoReturn:
    raise ScenarioError([Problem(where, sentence)])
