"""Random scenarios keep every invariant and every promise, and reach what they are meant to reach; planted bugs are found.

This is the profile for every day (ci): a few hundred scenarios. The deep one is a command, see docs/HACKING.md.
"""

from __future__ import annotations

from functools import cache

import pytest
from planted import BUGS, GIVEN
from rich.console import Console

from kafkasim.runner import run
from kafkasim.scenario import Scenario
from kafkasim.testing import SOMETIMES, scenarios
from kafkasim.testing.__main__ import table
from kafkasim.testing.campaign import Outcome, campaign

RUNS = 1000
RUNS_FOR_A_BUG = 400
SEED = 1
RARE = ("sequences refused", "elections on demand")  # some thousand runs reach them; the deep campaign's table tells


@cache
def everyday() -> Outcome:
    """One campaign, which several tests look at."""
    return campaign(RUNS, SEED)


@pytest.mark.slow
def test_random_scenarios_keep_every_invariant_and_every_promise_and_come_to_rest() -> None:
    assert everyday().violation == ""
    assert everyday().runs == RUNS


@pytest.mark.slow
def test_the_campaign_reaches_what_it_is_meant_to_reach(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        Console().print(table(everyday()))
    assert [name for name in SOMETIMES if not everyday().reached[name] and name not in RARE] == []


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS, ids=lambda name: name.replace(" ", "-"))
def test_a_planted_bug_is_found_and_shrunk_to_a_scenario(bug: str) -> None:
    with BUGS[bug]():
        found = campaign(RUNS_FOR_A_BUG, SEED, scenarios(**GIVEN.get(bug, {})), shrinking_runs=100)
    print(found.violation)
    assert found.violation, f"{RUNS_FOR_A_BUG} scenarios did not show that {bug}"
    assert found.scenario is not None
    assert Scenario.loads(found.violation.split("kafkasim run FILE`:\n\n")[1]) == found.scenario


def test_a_planted_bug_is_over_with_its_block() -> None:
    scenario = Scenario.load("calm")
    before = run(scenario).to_dict()
    for bug in BUGS.values():
        with bug():
            pass
    assert run(scenario).to_dict() == before
