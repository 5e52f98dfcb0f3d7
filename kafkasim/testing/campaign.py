"""Many random scenarios, one after another: how many were run, what they reached, and the smallest one that breaks something.

Deterministic by (runs, seed, code): Hypothesis draws with that seed and keeps no database. A violation is shrunk for a bounded number of
runs, so that a campaign ends in bounded time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from kafkasim.scenario import Scenario
from kafkasim.testing.checking import Observed, check
from kafkasim.testing.strategies import scenarios

SHRINKING_RUNS = 400  # at most, for one violation


@dataclass(slots=True)
class Outcome:
    """`reached` and `waived` count over all runs that broke nothing. `violation` is what the smallest broken one says, with its YAML."""

    runs: int = 0
    reached: Counter[str] = field(default_factory=Counter)
    waived: Counter[str] = field(default_factory=Counter)
    runs_that_reached: Counter[str] = field(default_factory=Counter)
    violation: str = ""
    scenario: Scenario | None = None  # the smallest broken one

    def add(self, other: Outcome) -> None:
        """Take another campaign's counts in."""
        self.runs += other.runs
        self.reached += other.reached
        self.waived += other.waived
        self.runs_that_reached += other.runs_that_reached


def campaign(
    runs: int,
    first_seed: int,
    drawn: SearchStrategy[Scenario] | None = None,
    held_to: Callable[[Scenario], Observed] = check,
    shrinking_runs: int = SHRINKING_RUNS,
) -> Outcome:
    """Draw up to `runs` scenarios and hold each to `held_to`; the first that breaks it is shrunk, and ends the campaign."""
    outcome, broken, left = Outcome(), dict[str, tuple[str, Scenario]](), [shrinking_runs]

    @seed(first_seed)
    @settings(
        max_examples=runs,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(scenarios() if drawn is None else drawn)
    def hold_each(scenario: Scenario) -> None:
        text = scenario.to_yaml()
        if broken:
            left[0] -= 1
            if left[0] < 0 and text not in broken:
                return  # enough: with nothing smaller that fails, shrinking ends at what it has
        try:
            observed = held_to(scenario)
        except Exception as error:
            broken[text] = ("\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())]), scenario)
            raise
        if not broken:
            _count(outcome, observed)

    try:
        hold_each()
    except Exception:
        # The last one to fail is Hypothesis' smallest: it runs that once more at the end.
        assert broken, "only what was broken here fails"
        outcome.violation, outcome.scenario = min(broken.values(), key=lambda found: len(found[1].to_yaml()))
    return outcome


def _count(outcome: Outcome, observed: Observed) -> None:
    outcome.runs += 1
    outcome.reached += observed.reached
    outcome.waived += observed.waived
    outcome.runs_that_reached.update(name for name, count in observed.reached.items() if count)
