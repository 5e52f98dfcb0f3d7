"""Recorded comparisons: a small JSON file a scenario, with all it takes to repeat it, and the sentences that explain what disagrees.

`docs/validation/SCENARIO.json` is a `Recorded`; `docs/validation/reasons.yaml` is read by `read_reasons`. What is wrong with a file is a
ScenarioError of one sentence a problem.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from kafkasim.output_files import write_whole
from kafkasim.report import Report
from kafkasim.scenario import Scenario
from kafkasim.scenario_file import Origins, Problem, ScenarioError, read_text, read_yaml
from kafkasim.validation import Draw, Kept, Ranges, Words, compare, compare_runs, draws_of, simulate_ranges
from kafkasim.validation_rows import Comparison
from kafkasim.values import hint

REASONS = "reasons.yaml"
_NOT_BEHAVIOUR = frozenset({"name", "title", "seed", "expect", "sometimes"})

Reasons = Mapping[str, Mapping[str, str]]  # scenario -> key -> sentence
Draws = Annotated[tuple[Draw, ...], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value), Field(min_length=1)]


class Recorded(Kept):
    """One scenario, simulated over many seeds and really run a few times.

    `calibration`: by path, every value that was measured at the cluster and laid over the scenario before it was simulated; nothing else
    was fitted. `clients`: versions of the real clients. `date`: of the real runs, as 2025-01-31. `commands`: what repeats it.
    `called`: by what name or path the scenario was loaded ("": its name); `changes`: the options that changed it (--set PATH=VALUE), before
    the calibration was laid over it. `given`: `given_id` of the scenario that was really run ("": the record is older).
    `notes`: what tells the two sides apart in this comparison as a whole.
    """

    scenario: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    title: str
    scenario_id: str
    kafkasim: str
    kafka: str
    clients: Mapping[str, str]
    java: str
    date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
    calibration: Mapping[str, str | int | float | bool]
    flavours: Words
    commits: Words
    faults: Words
    commands: Words
    simulated: Ranges
    real: Draws
    called: str = ""
    changes: Words = ()
    given: str = ""
    notes: Words = ()

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        simulated: Sequence[Report],
        real: Sequence[Report],
        *,
        kafkasim: str,
        java: str,
        date: str,
        calibration: Mapping[str, str | int | float | bool],
        commands: Sequence[str],
        called: str = "",
        changes: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> Recorded:
        """What is kept of a comparison. `scenario`: as it was really run. Raises ValueError where the runs do not belong together."""
        compare_runs(simulated, real)  # which looks at whether they do
        about: dict[str, Any] = {"scenario": scenario.name, "title": scenario.title, "scenario_id": scenario.scenario_id}
        about |= {"kafkasim": kafkasim, "kafka": real[0].kafka, "clients": dict(real[0].client_versions), "java": java, "date": date}
        about |= {"calibration": dict(calibration), "commands": tuple(commands)}
        about |= {"called": called, "changes": tuple(changes), "given": given_id(scenario), "notes": tuple(notes)}
        about["flavours"] = _distinct(
            [*(part.client.value for part in scenario.producers), *(part.client.value for part in scenario.consumers)]
        )
        about["commits"] = _distinct([part.commit for part in scenario.consumers])
        about["faults"] = _distinct([str(fault.fault) for fault in scenario.faults])
        return cls.model_validate(about | {"simulated": simulate_ranges(simulated), "real": draws_of(simulated, real)})

    def comparison(self, reasons: Reasons | None = None) -> Comparison:
        """The table, as `compare_runs` made it of the reports; with the reasons of this scenario, and the notes of the record."""
        table = compare(self.scenario, self.simulated, self.real)
        return replace(table, notes=(*self.notes, *table.notes), reasons=dict((reasons or {}).get(self.scenario, {})))

    def was_run_as(self, scenario: Scenario) -> bool:
        """Whether that is what was really run, under the calibration of its day."""
        # A scenario's id is another one as soon as one more of Kafka's parameters is modelled, though real brokers had it all along.
        return given_id(scenario) == self.given if self.given else scenario.scenario_id == self.scenario_id

    def to_json(self) -> str:
        """The file's text: the same for equal records."""
        return self.model_dump_json(indent=1) + "\n"

    def write(self, folder: Path) -> Path:
        """Write FOLDER/SCENARIO.json, whole or not at all, and say where. Raises OutputError where that is not possible."""
        path = folder / f"{self.scenario}.json"
        write_whole(path, partial(Path.write_text, data=self.to_json(), encoding="utf-8"))
        return path

    @classmethod
    def read(cls, path: Path) -> Recorded:
        """What `write` wrote. Raises ScenarioError where the file holds something else."""
        text = read_text(path)
        try:
            recorded = cls.model_validate_json(text)
        except ValidationError as error:
            raise ScenarioError([Problem(str(path), f"this is no recorded comparison{_first_trouble(error)}")]) from None
        if path.stem != recorded.scenario:
            raise ScenarioError([Problem(str(path), f"records {recorded.scenario}, so its name is {recorded.scenario}.json")])
        return recorded


def given_id(scenario: Scenario) -> str:
    """Twelve hexadecimal digits that are equal for scenarios that say the same, apart from names, the seed and expectations."""
    said = {key: value for key, value in scenario.data().items() if key not in _NOT_BEHAVIOUR}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


def read_all(folder: Path) -> tuple[Recorded, ...]:
    """Every record in a folder, in alphabetical order. Raises ScenarioError with whatever is wrong with any of them, or without any."""
    records, problems = list[Recorded](), list[Problem]()
    for path in sorted(folder.glob("*.json")):
        try:
            records.append(Recorded.read(path))
        except ScenarioError as error:
            problems += error.problems
    if not records and not problems:
        sentence = "there is no recorded comparison in it" if folder.is_dir() else "there is no such folder"
        problems = [Problem(str(folder), sentence)]
    if problems:
        raise ScenarioError(problems)
    return tuple(records)


def read_reasons(path: Path, records: Sequence[Recorded]) -> Reasons:
    """Scenario -> key -> sentence; nothing where there is no file. Raises ScenarioError for what the records do not have."""
    data, origins, problems = _read_sentences(path)
    tables = {record.scenario: record.comparison() for record in records}
    for scenario, reasons in data.items():
        if scenario not in tables:
            problems.append(Problem(origins[(scenario,)], f"no run of `{scenario}` is recorded{hint(scenario, tables)}"))
        else:
            problems += _wrong_reasons(scenario, reasons, tables[scenario], origins)
    if problems:
        raise ScenarioError(problems)
    return data


def reasons_at_hand(folder: Path) -> Reasons:
    """Scenario -> key -> sentence of `folder`'s reasons.yaml, as far as it has sentences; for tables of runs that are just being made.

    Whether they fit the records is `read_reasons`' question. Raises ScenarioError where the file is no YAML.
    """
    data, _, problems = _read_sentences(folder / REASONS)
    if problems:
        raise ScenarioError(problems)
    return {
        scenario: {key: sentence for key, sentence in reasons.items() if isinstance(sentence, str)}
        for scenario, reasons in data.items()
        if isinstance(reasons, Mapping)
    }


def _read_sentences(path: Path) -> tuple[dict[str, Any], Origins, list[Problem]]:
    """The file as it stands; nothing where there is none, or one of comments only."""
    text = read_text(path) if path.exists() else ""
    if not any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines()):
        return {}, {}, []
    return read_yaml(text, path.name)


def _wrong_reasons(scenario: str, reasons: object, table: Comparison, origins: Origins) -> list[Problem]:
    """What is wrong with one scenario's reasons."""
    if not isinstance(reasons, Mapping):
        return [Problem(origins[(scenario,)], f"`{scenario}` expects keys with sentences, not {reasons!r}")]
    known, problems = [row.key for row in table.rows], []
    for key, sentence in reasons.items():
        where = origins[(scenario, key)]
        if key not in known:
            problems.append(Problem(where, f"the table of {scenario} has no row `{key}`{hint(key, known)}"))
        elif not isinstance(sentence, str) or not sentence.strip():
            problems.append(Problem(where, f"`{key}` expects a sentence, which names the rule in Kafka's source"))
    return problems


def _first_trouble(error: ValidationError) -> str:
    """Where the first trouble is, as text for the end of a sentence."""
    details = error.errors(include_url=False)[0]
    place = ".".join(str(step) for step in details["loc"])
    return f" ({place}: {details['msg']})" if place else ", as `kafkasim validate --record` writes it"


def _distinct(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))
