"""Renders docs/CATALOGUE.md from docs/catalogue.yaml: each scenario runs with seed 1, and the numbers its row asks for are printed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from kafkasim.runner import run
from kafkasim.scenario import Scenario
from kafkasim.scenario_expect import number_in

SOURCE = Path(__file__).parent.parent.parent / "docs" / "catalogue.yaml"
SEED = 1
KEYS = {"row", "what", "configuration", "outcome", "scenarios", "numbers", "tests", "reason"}


class Row(NamedTuple):
    """A row of the catalogue, or (`number` 0) a group of scenarios beyond it."""

    number: int
    what: str
    configuration: str
    outcome: str
    scenarios: tuple[str, ...]
    numbers: tuple[str, ...]
    tests: tuple[str, ...]
    reason: str


def _row(entry: dict[str, Any]) -> Row:
    assert set(entry) <= KEYS, f"row {entry.get('row')}: what is {sorted(set(entry) - KEYS)}?"
    words = [str(entry.get(key, "")) for key in ("what", "configuration", "outcome")]
    lists = [tuple(entry.get(key, ())) for key in ("scenarios", "numbers", "tests")]
    return Row(int(entry.get("row", 0)), *words, *lists, str(entry.get("reason", "")))


@cache
def catalogue() -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """The rows, and what lies beyond them."""
    document = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    return tuple(_row(entry) for entry in document["rows"]), tuple(_row(entry) for entry in document["beyond"])


@cache
def _report(scenario: str) -> dict[str, Any]:
    return run(Scenario.load(scenario), SEED).to_dict()


def outcome_of(scenario: str, numbers: tuple[str, ...]) -> str:
    """`acked_lost 212, log_duplicates 0`, from a run with seed 1; a number that this scenario does not have is left out."""
    found = [(key, number_in(_report(scenario), key)) for key in numbers]
    return ", ".join(f"{key} {_shown(value)}" for key, value in found if value is not None)


def _shown(value: float) -> str:
    """Counts and milliseconds whole, rates as they are."""
    return f"{value:.0f}" if value >= 1 or value == 0 else f"{value:.4g}"


def _scenarios(row: Row) -> str:
    return "<br>".join(f"`{name}`" for name in row.scenarios) or f"none: {row.reason}"


def _outcomes(row: Row) -> str:
    return "<br>".join(outcome_of(name, row.numbers) for name in row.scenarios) or ", ".join(f"`{test}`" for test in row.tests)


def rows_as_markdown() -> str:
    """The table of the catalogue."""
    lines = ["| # | what happens | configuration | outcome | scenario | with seed 1 |", "|---|---|---|---|---|---|"]
    for row in catalogue()[0]:
        caveat = f" ({row.reason})" if row.scenarios and row.reason else ""
        lines.append(f"| {row.number} | {row.what} | {row.configuration} | {row.outcome}{caveat} | {_scenarios(row)} | {_outcomes(row)} |")
    return "\n".join(lines)


def beyond_as_markdown() -> str:
    """The table of the scenarios that no row asks for."""
    lines = ["| what it is about | scenario | with seed 1 |", "|---|---|---|"]
    lines += [f"| {row.what} | {_scenarios(row)} | {_outcomes(row)} |" for row in catalogue()[1]]
    return "\n".join(lines)
