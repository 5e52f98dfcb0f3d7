"""`sweep`: a whole study from Python, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from kafkasim.output_files import OutputError
from kafkasim.scenario import Scenario
from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.study.collect import collect
from kafkasim.study.executors import processes
from kafkasim.study.results import Results
from kafkasim.study.study import Study
from kafkasim.study.study_file import study_for
from kafkasim.study.summary import StudySummary, summarise_study
from kafkasim.study.table import USUAL_KEYS, StudyTable, read_table
from kafkasim.study.task import Row


@dataclass(frozen=True)
class Swept:
    """What came of a study: `rows`, one a run, in the order of points and seeds. `left`: runs that an interruption left to make."""

    study: Study
    rows: Sequence[Row]
    left: int = 0

    @cached_property
    def table(self) -> StudyTable:
        """The rows by point: what pictures are drawn from (`kafkasim.plots.draw`)."""
        return read_table(self.rows, self.study, (*USUAL_KEYS, *self.study.measures))

    @cached_property
    def summary(self) -> StudySummary:
        """Estimates with intervals, safe points, differences, which axes matter."""
        return summarise_study(self.study, self.table)

    def to_pandas(self) -> Any:
        """A pandas.DataFrame, a row a run. Raises OutputError where pandas is not installed."""
        try:
            pandas = import_module("pandas")
        except ImportError:
            raise OutputError("to_pandas() needs pandas: pip install pandas") from None
        return pandas.DataFrame(list(self.rows))


def sweep(
    what: Study | Scenario | str | Path,
    vary: Sequence[str] | Mapping[str, Any] = (),
    *,
    runs: int | None = None,
    where: Sequence[str] = (),
    until: Sequence[str] = (),
    design: str | None = None,
    points: int | None = None,
    measures: Sequence[str] = (),
    out: Path | str | None = None,
    resume: bool = False,
    jobs: int | None = None,
    executor: Executor | None = None,
) -> Swept:
    """Run a study: a `Study`, the name or file of one, or a scenario with what is to be varied, as `--vary` takes it or as a mapping.

    `runs` of each point, at most (20 by default). `out`: a folder that keeps every row, and with `resume` goes on with what it holds.
    `executor`: any of concurrent.futures (yours to shut down); without one, `jobs` processes, as many as there are processors. In a script
    that is run as a program, call it below `if __name__ == "__main__":`, as everything that starts processes. Ctrl-C gives what was made.
    Raises ScenarioError or OutputError, with a sentence for everything that is wrong.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(1) as one:
    ...     swept = sweep("calm", {"producers.shop.records": [10, 20]}, runs=2, executor=one)
    >>> [(row["point"], row["seed"], row["acked"]) for row in swept.rows]
    [(0, 1, 10), (0, 2, 10), (1, 1, 20), (1, 2, 20)]
    """
    if isinstance(what, Study):
        if vary or runs is not None or where or until or measures or design is not None or points is not None:
            sentence = "is a whole study already: what is varied and how often it runs is said where it is made"
            raise ScenarioError([Problem(what.name, sentence)])
        study = what
    else:
        study = study_for(what, vary, runs=runs, design=design, points=points, where=where, until=until, measures=measures)
    with ExitStack() as stack:
        store = None if out is None else stack.enter_context(Results.open(Path(out), study, resume=resume))
        outcome = collect(study, store, stack.enter_context(processes(jobs)) if executor is None else executor)
        return Swept(study, list(outcome.store.rows()), outcome.left)
