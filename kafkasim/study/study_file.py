"""Studies as people give them: a YAML file, a shipped study's name, or the options of `kafkasim sweep` beside a scenario.

study: five-settings
title: what loss costs
scenario: zombie-leader              # a shipped name, a file beside this one, or a whole scenario as a mapping
set: {producers.shop.records: 2000}  # changes before anything is varied
axes:
  producers.shop.config.acks: [1, all]
  faults.zombie.for: 1s..9s/2s
  cluster.config.replica.lag.time.max.ms: {from: 500, to: 30000, points: 5, scale: log}
zipped:                              # each mapping is one axis, whose paths move together
  - {cluster.config.broker.session.timeout.ms: [3000, 9000], cluster.config.broker.heartbeat.interval.ms: [500, 2000]}
where: ["acks == all or min.insync.replicas == 1"]
design: grid                         # or {sobol: 128}, {latin-hypercube: 100}, {random: 100, seed: 1}, {saltelli: 64}, {morris: 20}
runs: 20
until: ["failing(loss) >= 10"]
measures: [silent_loss_rate, duplication_rate]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kafkasim.scenario import Scenario
from kafkasim.scenario_file import Location, Origins, Problem, ScenarioError, read_text, read_yaml, shipped_scenarios
from kafkasim.study.constraints import Constraint, bind
from kafkasim.study.designs import GRID, Design, parse_design
from kafkasim.study.planning import Wish, plan
from kafkasim.study.study import RUNS, Study
from kafkasim.study.until import check_measure, parse_until
from kafkasim.study.vary import Draft, axes_in, draft_of, parse_vary, sentence, zipped_draft
from kafkasim.values import hint

MOST_RUNS_OF_A_POINT = 1_000_000
_KINDS: Mapping[str, str] = {
    "string_type": "a text",
    "dict_type": "a mapping: keys with values",
    "list_type": "a list",
}


_OPTIONS: Mapping[str, str] = {"where": "--where", "until": "--until", "measures": "--measure"}  # what errors call these, said outside

T = TypeVar("T")


class StudyFile(BaseModel):
    """What stands in a study file. Its values are looked at when the scenario is known."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    study: str = Field(default="", description="its name; the file's, if it has none")
    title: str = Field(default="", description="what it asks, in one line")
    scenario: str | dict[str, Any] = Field(description="a shipped scenario, a file beside this one, or a whole scenario")
    set: dict[str, Any] = Field(default_factory=dict, description="changes to the scenario before anything is varied")
    axes: dict[str, Any] = Field(default_factory=dict, description="levels by path")
    zipped: list[dict[str, Any]] = Field(default_factory=list, description="axes whose paths move together")
    where: list[str] = Field(default_factory=list, description="what every point must meet")
    design: str | dict[str, Any] = Field(default=GRID, description="which points are looked at")
    runs: int = Field(default=RUNS, ge=1, le=MOST_RUNS_OF_A_POINT, description="of each point, at most")
    until: list[str] = Field(default_factory=list, description="when a point has enough runs")
    measures: list[str] = Field(default_factory=list, description="what pictures and tables show")


# ---------------------------------------------------------------------------------------------------- where studies lie


def shipped_studies() -> tuple[str, ...]:
    """The names of the studies that come with kafkasim, in alphabetical order."""
    folder = resources.files("kafkasim") / "studies"
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def find_study(path_or_name: str | Path) -> tuple[str, str]:
    """The text of a study and what to call its source: a file, or else a shipped study of that name. Raises ScenarioError."""
    name, path = str(path_or_name), Path(path_or_name)
    if isinstance(path_or_name, str) and name in shipped_studies():
        return (resources.files("kafkasim") / "studies" / f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml"
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1 or path.is_file():
        return read_text(path), name
    sentence = f"there is neither a file nor a shipped study of that name{hint(name, shipped_studies())}"
    raise ScenarioError([Problem(name or '""', sentence)])


def is_study(path_or_name: str | Path) -> bool:
    """Whether this names a study rather than a scenario: a shipped one, or a file that has axes. Unreadable files are no studies."""
    if str(path_or_name) in shipped_studies():
        return True
    if str(path_or_name) in shipped_scenarios():
        return False
    try:
        data, _, _ = read_yaml(*find_study(path_or_name))
    except ScenarioError:
        return False
    return any(key in data for key in ("study", "scenario", "axes", "zipped"))


# ---------------------------------------------------------------------------------------------------- from a file


def load_study(path_or_name: str | Path, prepare: Callable[[Scenario], Scenario] | None = None, **instead: Any) -> Study:
    """Read a study file, or a shipped study by its name. Raises ScenarioError with everything that is wrong.

    `prepare` changes its scenario, after `set:`; `instead` replaces keys of the file: `runs=5`, `until=[…]`, `design="grid"`.
    """
    text, source = find_study(path_or_name)
    shipped = str(path_or_name) in shipped_studies()
    return study_from(text, source, None if shipped else Path(path_or_name).parent, prepare, **instead)


def study_from(
    text: str,
    source: str = "<text>",
    folder: Path | None = None,
    prepare: Callable[[Scenario], Scenario] | None = None,
    **instead: Any,
) -> Study:
    """Read a study from YAML. `folder`: where the files lie that it names; `source`: what errors call it."""
    data, origins, problems = read_yaml(text, source)
    for key in ("where", "until", "measures"):
        if isinstance(data.get(key), str):
            data[key] = [data[key]]
    data |= instead
    try:
        file = StudyFile.model_validate(data)
    except ValidationError as error:
        raise ScenarioError(sorted([*problems, *_told(error, origins)], key=_line)) from None
    if problems:
        raise ScenarioError(problems)
    place, problems = _Places(origins), list[Problem]()
    scenario = _kept(problems, lambda: (prepare or _as_it_is)(_scenario(file, source, folder, origins, place)))
    design = _kept(problems, lambda: _design_of(file.design, place.of("design")))
    bare = design is not None and design.kind != GRID
    drafts = [_kept(problems, partial(draft_of, place.of("axes", key), key, levels, bare)) for key, levels in file.axes.items()]
    drafts += [_kept(problems, partial(zipped_draft, place.of("zipped", index), columns)) for index, columns in enumerate(file.zipped)]
    if problems or scenario is None or design is None:
        raise ScenarioError(sorted(problems, key=_line))
    name = file.study or ("study" if source.startswith("<") else Path(source).stem)
    said = _Said(
        *(
            [(text, option if key in instead else place.of(key, index)) for index, text in enumerate(getattr(file, key))]
            for key, option in _OPTIONS.items()
        )
    )
    return _assemble(source, name, file.title, scenario, [draft for draft in drafts if draft is not None], said, design, file.runs)


def _as_it_is(scenario: Scenario) -> Scenario:
    return scenario


def _scenario(file: StudyFile, source: str, folder: Path | None, origins: Origins, place: _Places) -> Scenario:
    """The scenario that a study file names or holds, with its `set:`."""
    if isinstance(file.scenario, dict):
        inside: Origins = {location[1:]: origin for location, origin in origins.items() if location[:1] == ("scenario",)}
        scenario = Scenario.of({"name": file.study or "scenario", **file.scenario}, inside)
        if folder is not None:
            scenario = scenario.called_by(source)  # a run can be repeated from the study's own file
    else:
        beside = None if folder is None else folder / file.scenario
        known = file.scenario in shipped_scenarios() and not (beside is not None and beside.is_file())
        try:
            scenario = Scenario.load(file.scenario if known or beside is None or not _is_path(file.scenario) else str(beside))
        except ScenarioError as error:
            # The study's own line, unless it is about a line of the scenario's file.
            raise ScenarioError([_from_here(problem, place.of("scenario")) for problem in error.problems]) from None
    return scenario.with_(file.set, place.of("set")) if file.set else scenario


def _is_path(name: str) -> bool:
    return Path(name).suffix in {".yaml", ".yml"} or len(Path(name).parts) > 1


def _from_here(problem: Problem, where: str) -> Problem:
    return problem if re.search(r":\d+", problem.where) else Problem(where, f"{problem.where}: {problem.sentence}")


def _design_of(written: str | Mapping[str, Any], where: str) -> Design:
    """`grid`, or a mapping like {sobol: 128, seed: 3}."""
    try:
        if isinstance(written, str):
            return parse_design(written)
        kinds = [key for key in written if key != "seed"]
        if len(kinds) != 1:
            raise ValueError("is one design with its number of points, for example {sobol: 128} or {random: 100, seed: 1}")
        return parse_design(kinds[0], written[kinds[0]], written.get("seed"))
    except ValueError as error:
        raise ScenarioError([Problem(where, sentence(error))]) from None


def _told(error: ValidationError, origins: Origins) -> list[Problem]:
    """pydantic's complaints, a sentence each."""
    place, problems = _Places(origins), list[Problem]()
    for details in error.errors(include_url=False):
        location: Location = details["loc"]
        kind, given = details["type"], details["input"]
        if kind == "missing":
            problems.append(Problem(place.of(), f"`{location[-1]}` is missing: {StudyFile.model_fields[str(location[0])].description}."))
        elif kind == "extra_forbidden":
            near = hint(str(location[-1]), StudyFile.model_fields)
            problems.append(Problem(place.of(*location), f"unknown key `{location[-1]}`{near or '.'}"))
        elif location[0] == "runs":
            problems.append(Problem(place.of("runs"), _runs_sentence(given)))
        else:
            # Where a text or a mapping may stand, pydantic names both in turn; what it adds to the location is its own word.
            step = location if all(isinstance(each, int) or each == location[0] for each in location) else location[:1]
            wanted = "a text or a mapping" if location[0] in {"scenario", "design"} else _KINDS.get(kind, details["msg"])
            problems.append(Problem(place.of(*step), f"is {wanted}, not `{given}`."))
    return list(dict.fromkeys(problems))


class _Places:
    """What errors call the parts of a study: `five.yaml:12: axes.faults.zombie.for`."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def of(self, *location: str | int) -> str:
        """Where this part stands, as far as is known."""
        origin = next((self._origins[location[:end]] for end in range(len(location), -1, -1) if location[:end] in self._origins), "")
        return ": ".join(part for part in (origin, ".".join(str(step) for step in location)) if part)


# ---------------------------------------------------------------------------------------------------- from options


def study_of(
    scenario: Scenario | str | Path,
    vary: Sequence[str] | Mapping[str, Any],
    *,
    where: Sequence[str] = (),
    runs: int = 1,
    until: Sequence[str] = (),
    design: str = GRID,
    points: int | None = None,
    design_seed: int | None = None,
    measures: Sequence[str] = (),
    name: str = "",
    title: str = "",
) -> Study:
    """A study from what the command line or Python says. Raises ScenarioError with everything that is wrong.

    `vary`: texts `KEY=a,b,c` as `--vary` takes them, or a mapping from path to levels (a list, or the text of a range). `points`: the
    design's number of points, of saltelli base samples, of morris trajectories.

    >>> study = study_of("zombie-leader", {"faults.zombie.for": "1s..9s/2s"}, runs=20)
    >>> len(study.points), study.axes[0].label
    (5, 'zombie.for')
    """
    problems = list[Problem]()
    loaded = scenario if isinstance(scenario, Scenario) else _kept(problems, partial(Scenario.load, scenario))
    chosen = _kept(problems, partial(_design_from, design, points, design_seed))
    bare = design != GRID
    if isinstance(vary, Mapping):
        drafts = [_kept(problems, partial(draft_of, key, key, levels, bare)) for key, levels in vary.items()]
    else:
        drafts = [_kept(problems, partial(parse_vary, text, bare)) for text in vary]
    if isinstance(runs, bool) or not isinstance(runs, int) or not 1 <= runs <= MOST_RUNS_OF_A_POINT:
        problems.append(Problem("--runs", _runs_sentence(runs)))
    if problems or loaded is None or chosen is None:
        raise ScenarioError(problems)
    said = _Said(
        *([(text, option) for text in texts] for texts, option in ((where, "--where"), (until, "--until"), (measures, "--measure")))
    )
    return _assemble("the study", name or loaded.name, title, loaded, [draft for draft in drafts if draft is not None], said, chosen, runs)


def _design_from(kind: str, points: int | None, seed: int | None) -> Design:
    try:
        return parse_design(kind, points, seed)
    except ValueError as error:
        raise ScenarioError([Problem("--design", sentence(error))]) from None


def _runs_sentence(given: object) -> str:
    return f"`{given}` is not a number of runs of a point; it is a whole number from 1 to {MOST_RUNS_OF_A_POINT}."


def study_for(
    target: Scenario | str | Path,
    vary: Sequence[str] | Mapping[str, Any] = (),
    *,
    runs: int | None = None,
    design: str | None = None,
    points: int | None = None,
    prepare: Callable[[Scenario], Scenario] | None = None,
    **texts: Sequence[str],
) -> Study:
    """The study that `target` means: a scenario with what is varied, or a study (shipped, or a file) some keys of which are replaced.

    `texts`: where, until, measures. None, or nothing, leaves a study's own; of a scenario it means 20 runs over the grid. `prepare`
    changes the scenario before anything is varied. Raises ScenarioError.
    """
    if isinstance(target, Scenario) or not is_study(target):
        scenario = target if isinstance(target, Scenario) else Scenario.load(target)
        said: dict[str, Any] = {"runs": RUNS if runs is None else runs, "design": design or GRID, "points": points, **texts}
        return study_of((prepare or _as_it_is)(scenario), vary, **said)
    if vary:
        raise ScenarioError([Problem(str(target), "is a study, which has axes of its own; copy it and write them there")])
    if points is not None and design in {None, GRID}:
        raise ScenarioError([Problem(str(target), "a number of points is a design's: it needs a design, as sobol")])
    instead: dict[str, Any] = {key: list(value) for key, value in texts.items() if value}
    instead |= {} if runs is None else {"runs": runs}
    instead |= {} if design is None else {"design": design if points is None else {design: points}}
    return load_study(target, prepare, **instead)


# ---------------------------------------------------------------------------------------------------- both


class _Said(NamedTuple):
    """Texts that mean something only beside a scenario and axes, each with what errors call it."""

    where: list[tuple[str, str]]
    until: list[tuple[str, str]]
    measures: list[tuple[str, str]]


def _assemble(
    place: str, name: str, title: str, scenario: Scenario, drafts: Sequence[Draft], said: _Said, design: Design, runs: int
) -> Study:
    """Compare everything with the scenario, and plan."""
    if not drafts:
        raise ScenarioError([Problem(place, "varies nothing; an axis is written like --vary producers.shop.config.acks=1,all.")])
    problems = list[Problem]()
    axes = _kept(problems, partial(axes_in, drafts, scenario))
    until = [_kept(problems, partial(_asked, parse_until, text, where, scenario)) for text, where in said.until]
    for measure, where in said.measures:
        _kept(problems, partial(_asked, check_measure, measure, where, scenario))
    constraints: tuple[Constraint, ...] | None = ()
    if axes is not None:
        texts, places = [text for text, _ in said.where], [where for _, where in said.where]
        constraints = _kept(problems, partial(bind, texts, places, axes, scenario))
    if problems or axes is None or constraints is None:
        raise ScenarioError(sorted(problems, key=_line))
    rules = tuple(rule for rule in until if rule is not None)
    measures = tuple(measure for measure, _ in said.measures)
    places_of_axes = tuple(draft.where for draft in drafts)
    return plan(Wish(place, name, title, scenario, axes, places_of_axes, constraints, design, runs, rules, measures))


def _asked(read: Callable[[str, Scenario], T], text: str, where: str, scenario: Scenario) -> T:
    try:
        return read(text, scenario)
    except ValueError as error:
        raise ScenarioError([Problem(where, sentence(error))]) from None


def _line(problem: Problem) -> int:
    match = re.search(r":(\d+)(?::|$)", problem.where)
    return int(match[1]) if match else 0


def _kept(problems: list[Problem], make: Callable[[], T]) -> T | None:
    """What `make` makes; what it complains of goes to the problems, so that all are said at once."""
    try:
        return make()
    except ScenarioError as error:
        problems += error.problems
        return None
