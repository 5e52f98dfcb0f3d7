"""One run to be made, and the row that it becomes. The id of a task is equal for two tasks exactly where their rows must be equal.

So the id is a digest of all that decides what a row says: the code (`version`), how the point's scenario behaves, what was varied, and the
seed. Rows of two machines go together where their ids do, and a row that was made by other code is refused, even where the number of
the version is the same.
"""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from kafkasim.report import Report
from kafkasim.scenario import Scenario, as_text
from kafkasim.study.axes import Point, Value
from kafkasim.study.study import Study

Row = dict[str, str | int | float | bool | None]

ID_DIGITS = 32
# What only shows rows, or makes none: real brokers, tests, pictures and the command line. All other sources decide what a row says.
SHOWING = (
    "__main__.py",
    "cli",
    "console.py",
    "export.py",
    "plots",
    "postmortem.py",
    "cluster",
    "testing",
    "study",
    "validat",
)


@dataclass(frozen=True, slots=True)
class Task:
    """Run `run` (0, 1, …) of a point."""

    point: Point
    run: int
    seed: int
    id: str


@cache
def version() -> str:
    """The package's version and ten digits of a digest of its sources, as "0.1.0+1a2b3c4d5e": whose rows go together."""
    try:
        number = metadata.version("kafkasim")
    except metadata.PackageNotFoundError:  # used from a folder, never installed
        number = "0"
    return f"{number}+{sources_digest(Path(__file__).parent.parent)[:10]}"


def sources_digest(package: Path) -> str:
    """SHA-256 of the sources below `package` that decide what a row says; the same whatever ends their lines."""
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(package).as_posix(), path) for path in package.rglob("*.py")):
        if not name.startswith(SHOWING) or name == "study/task.py":
            digest.update(name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()


def task_of(scenario: Scenario, point: Point, run: int, behaviour: str | None = None) -> Task:
    """The task of a point's run, in a study of `scenario`; `behaviour`: the digest of the point's scenario, where it is known already."""
    seed = scenario.seed + run
    return Task(point, run, seed, task_id(behaviour or behaviour_of(scenario, point), point.changes, seed))


def behaviour_of(scenario: Scenario, point: Point) -> str:
    """The digest of how the point's scenario behaves. Raises ScenarioError where the changes make no scenario."""
    return scenario.with_(point.changes).behaviour_digest


def task_id(behaviour: str, changes: Mapping[str, Value], seed: int) -> str:
    """32 hexadecimal digits of SHA-256 over everything that matters."""
    what = json.dumps([version(), behaviour, dict(changes), seed], sort_keys=True, default=str)
    return hashlib.sha256(what.encode()).hexdigest()[:ID_DIGITS]


def axis_paths(study: Study) -> tuple[str, ...]:
    """The paths that are varied, in the order of the axes: a column each."""
    return tuple(dict.fromkeys(path for axis in study.axes for path in axis.paths))


def row_of(task: Task, report: Report, paths: Sequence[str]) -> Row:
    """The task's row: who it is, the values of the varied paths as they are written, the report's numbers, and the command."""
    row: Row = {"task": task.id, "version": version(), "point": task.point.index, "run": task.run, "seed": task.seed}
    for path in paths:
        row.setdefault(path, cell(task.point.changes.get(path)))
    for key, value in report.flat().items():
        row.setdefault(key, None if isinstance(value, float) and not math.isfinite(value) else value)  # JSON has no infinity
    row["command"] = report.command
    return row


def cell(value: Value) -> str | int | float | bool | None:
    """A value as a table holds it: a list or a mapping becomes compact JSON."""
    if isinstance(value, list | tuple | Mapping):
        return json.dumps(value, separators=(",", ":"), default=str)
    return value  # type: ignore[no-any-return]  # a YAML value is one of these, or was one of those


def command_of(scenario: Scenario, changes: Mapping[str, Value], seed: int) -> str:
    """The command that repeats a run which has no report: the same words as a report's."""
    laid_over = [*scenario.changes, *(f"--set {shlex.quote(f'{path}={as_text(value)}')}" for path, value in changes.items())]
    return " ".join(["kafkasim run", shlex.quote(scenario.called), f"--seed {seed}", *laid_over])
