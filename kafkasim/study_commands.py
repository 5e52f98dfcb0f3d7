"""`kafkasim sweep`: plan a study, make what is missing of its runs, show what they say. Interrupted, what was made is kept and shown."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kafkasim import console
from kafkasim.cli_options import Overlays, lay_over
from kafkasim.output_files import OutputError, try_to_write, write_whole
from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.study_progress import sweep_progress

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from kafkasim.scenario import Scenario
    from kafkasim.study.collect import Outcome
    from kafkasim.study.store import Store
    from kafkasim.study.study import Study
    from kafkasim.study.summary import StudySummary

_PICTURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True, slots=True)
class Planned:
    """Which study: its target (a scenario or a study), and what was said of axes, points and runs."""

    target: str
    vary: Sequence[str]
    where: Sequence[str]
    design: str | None
    points: int | None
    runs: int | None
    until: Sequence[str]
    measures: Sequence[str]
    changes: Sequence[str]
    overlays: Overlays
    seed: int | None


@dataclass(frozen=True, slots=True)
class Kept:
    """Where rows are kept, and what is to be done with those that are there."""

    folder: Path | None
    resume: bool
    merge: Sequence[Path]
    parquet: bool


@dataclass(frozen=True, slots=True)
class Machines:
    """Who makes the runs: processes here, or a dask cluster; and which part of them."""

    jobs: int | None
    dask: str | None
    part: str | None


@dataclass(frozen=True, slots=True)
class Shown:
    """What is drawn and written."""

    plots: Sequence[str]
    json: str | None
    quiet: bool


def sweep_and_show(planned: Planned, kept: Kept, machines: Machines, shown: Shown, check: bool) -> int:
    """The whole command; its exit code."""
    outputs = console.Outputs(shown.json, None, None)
    pictures = [_picture(text) for text in shown.plots]
    part = _part(machines.part)
    study = plan_study(planned)
    _check_fit(study, part, pictures)
    if not shown.quiet and not outputs.json_to_stdout:
        for note in study.notes:
            console.say(note)
    outcome = _collect(study, kept, machines, part, shown.quiet or outputs.json_to_stdout)
    interrupted, code = outcome.interrupted, 0
    try:
        code = _show(study, outcome.store, outputs, pictures, check)
    except KeyboardInterrupt:  # again, or only now; how to go on is said all the same
        interrupted = True
    if not interrupted:
        return code
    left = f"interrupted, with {outcome.left} runs to make"
    console.say(
        f"{left}; this goes on: {_again()}" if kept.folder is not None else f"{left}; --out DIR would have kept those that were made"
    )
    return 130


def plan_study(planned: Planned) -> Study:
    """The study, planned to the last point. Raises ScenarioError with everything that is wrong."""
    from kafkasim.study.study_file import is_study, study_for

    def prepared(scenario: Scenario) -> Scenario:
        changed = lay_over(scenario, list(planned.changes), planned.overlays)
        return changed if planned.seed is None else changed.with_({"seed": planned.seed}, "--seed")

    if not is_study(planned.target):
        _refuse_a_name_of_nothing(planned.target)
    return study_for(
        planned.target,
        planned.vary,
        runs=planned.runs,
        design=planned.design,
        points=planned.points,
        prepare=prepared,
        where=planned.where,
        until=planned.until,
        measures=planned.measures,
    )


def _refuse_a_name_of_nothing(target: str) -> None:
    """A name that is neither a scenario's nor a study's may be meant to be either."""
    from kafkasim.scenario_file import shipped_scenarios
    from kafkasim.study.study_file import shipped_studies
    from kafkasim.values import hint

    known = (*shipped_scenarios(), *shipped_studies())
    if target not in known and Path(target).suffix not in {".yaml", ".yml"} and not Path(target).exists():
        raise ScenarioError([Problem(target, f"there is neither a file nor a shipped scenario or study of that name{hint(target, known)}")])


def _check_fit(study: Study, part: tuple[int, int], pictures: Sequence[tuple[str, Path]]) -> None:
    """What would be found wrong only when all runs are made is found now."""
    if part[0] > len(study.points):
        raise OutputError(f"--part {part[0]}/{part[1]}: the study has {len(study.points)} points, so this part has none")
    if pictures:
        from kafkasim.plots import check_kind
        from kafkasim.study.table import read_table

        empty = read_table((), study)
        for kind, _ in pictures:
            check_kind(kind, empty, study.design)


def _collect(study: Study, kept: Kept, machines: Machines, part: tuple[int, int], quiet: bool) -> Outcome:
    """Make what is missing; rows of other machines come first, so that they are not made again."""
    from kafkasim.study.collect import collect
    from kafkasim.study.results import Results

    if kept.parquet:
        _need_pyarrow()
    store = None if kept.folder is None else Results.open(kept.folder, study, resume=kept.resume or bool(kept.merge), say=console.say)
    try:
        if store is not None:
            if kept.resume and not store.tally.runs:
                console.say(f"{kept.folder}: holds no run yet, so there is nothing to resume; this sweep begins")
            for other in kept.merge:
                console.say(f"{other}: {store.merge(other)} rows were new here")
        with _executor(machines) as executor, sweep_progress(study.name, quiet) as told:
            outcome = collect(study, store, executor, part=part, progress=told, say=console.say)
        if store is not None and kept.parquet:
            store.derive_parquet()
        return outcome
    finally:
        if store is not None:
            store.close()


def _executor(machines: Machines) -> Executor:
    from kafkasim.study.executors import dask, processes

    return dask(machines.dask) if machines.dask is not None else processes(machines.jobs)


def _show(study: Study, store: Store, outputs: console.Outputs, pictures: Sequence[tuple[str, Path]], check: bool) -> int:
    """Print, write and draw what the rows say."""
    from kafkasim.study.summary import summarise_study
    from kafkasim.study.table import USUAL_KEYS, read_table
    from kafkasim.study_page import print_study

    if not store.tally.runs:
        return 0
    table = read_table(store.rows(), study, (*USUAL_KEYS, *study.measures))
    summary = summarise_study(study, table)
    if outputs.wants_json:
        outputs.write(summary.to_dict(), None, None)
    if not outputs.json_to_stdout:
        print_study(summary, console.make_console())
    for kind, path in pictures:
        _draw(summary, kind, path)
    return int(check and store.tally.violated > 0)


def _draw(summary: StudySummary, kind: str, path: Path) -> None:
    from kafkasim.plots import draw, draw_effects, save

    study, table = summary.study, summary.table
    about = study.title or study.name
    measure = study.measures[0] if study.measures else None
    if kind == "sensitivity" and study.design == "morris":
        figure = draw_effects(summary.morris, table, summary.main, about=about)
    else:
        figure = draw(table, kind, summary.main if kind == "sensitivity" else measure, about=about)
    write_whole(path, lambda beside: save(figure, beside, path.suffix[1:].lower()))


def _picture(text: str) -> tuple[str, Path]:
    """`[KIND:]FILE`, found to be writable."""
    kind, colon, name = text.partition(":")
    if not colon or len(kind) == 1:  # a single letter is a drive of Windows
        kind, name = "auto", text
    path = Path(name)
    if path.suffix.lower() not in _PICTURES:
        raise OutputError(f"--plot {text}: a picture's name ends in .png, .svg or .pdf")
    from kafkasim.plots import KINDS
    from kafkasim.values import hint

    kinds = [known.replace("_", "-") for known in KINDS]
    if kind not in kinds:
        raise OutputError(f"--plot {text}: there is no picture of the kind `{kind}`{hint(kind, kinds)}")
    try_to_write(path)
    return kind, path


def _part(text: str | None) -> tuple[int, int]:
    """`2/3` as (2, 3)."""
    if text is None:
        return 1, 1
    share, slash, of = text.partition("/")
    if not (slash and share.isdecimal() and of.isdecimal() and 1 <= int(share) <= int(of)):
        raise OutputError(f"--part {text}: it is written I/N, for example 1/2 on one machine and 2/2 on the other")
    return int(share), int(of)


def _need_pyarrow() -> None:
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise OutputError("--parquet needs the extra `sweep`: pip install 'kafkasim[sweep]'")


def _again() -> str:
    """This very command, to go on with."""
    words = [word for word in sys.argv[1:] if word != "--resume"]
    return f"kafkasim {shlex.join(words)} --resume"
