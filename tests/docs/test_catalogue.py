"""The catalogue accounts for every row and every shipped scenario. (That its page is up to date, test_blocks.py checks.)"""

from collections import Counter

import pytest
from blocks import ROOT
from catalogue import Row, catalogue, outcome_of

from kafkasim.scenario import Scenario
from kafkasim.scenario_expect import report_keys
from kafkasim.scenario_file import shipped_scenarios

ROWS, BEYOND = catalogue()
LAST_ROW = 44


def complaints(row: Row) -> list[str]:
    """What a row lacks: words, scenarios that exist or a reason, numbers that reports have, tests that are there."""
    found = [f"no scenario is called {name}" for name in row.scenarios if name not in shipped_scenarios()]
    if row.number and not (row.configuration and row.outcome):
        found.append("configuration and outcome must be said")
    if not row.scenarios and not row.reason:
        found.append("neither a scenario nor a reason why not")
    if row.scenarios and not row.numbers:
        found.append("no numbers are asked for")
    groups = [group.group for name in row.scenarios if name in shipped_scenarios() for group in Scenario.load(name).consumers]
    found += [f"no report has a number {key}" for key in row.numbers if key not in report_keys(groups)]
    return found + [f"{test} is not there" for test in row.tests if not (ROOT / test).exists()]


def test_every_row_is_there_once_and_in_order() -> None:
    assert [row.number for row in ROWS] == list(range(1, LAST_ROW + 1))


@pytest.mark.parametrize("row", [*ROWS, *BEYOND], ids=lambda row: f"{row.number} {row.what}")
def test_a_row_has_its_scenarios_or_a_reason_why_not(row: Row) -> None:
    assert complaints(row) == []


def test_every_shipped_scenario_is_in_a_row_or_beyond_them_and_not_in_both() -> None:
    in_rows = {name for row in ROWS for name in row.scenarios}
    beyond = Counter(name for row in BEYOND for name in row.scenarios)
    assert in_rows | set(beyond) == set(shipped_scenarios()), "enter it into docs/catalogue.yaml"
    assert in_rows & set(beyond) == set()
    assert [name for name, times in beyond.items() if times > 1] == []


def test_what_is_wrong_with_a_row_would_be_seen() -> None:
    assert complaints(Row(1, "x", "x", "x", (), (), (), "")) == ["neither a scenario nor a reason why not"]
    assert complaints(Row(1, "x", "", "x", ("calm", "calmer"), (), (), "")) == [
        "no scenario is called calmer",
        "configuration and outcome must be said",
        "no numbers are asked for",
    ]
    assert complaints(Row(0, "x", "", "", ("calm",), ("groups.nobody.lost",), ("tests/nowhere.py",), "")) == [
        "no report has a number groups.nobody.lost",
        "tests/nowhere.py is not there",
    ]


def test_an_outcome_is_the_numbers_of_seed_1() -> None:
    assert outcome_of("calm", ("sent", "acked_lost", "groups.nobody.lost")) == "sent 2000, acked_lost 0"
