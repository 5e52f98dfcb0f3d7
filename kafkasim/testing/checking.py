"""Run a scenario under all invariants, and hold it to its promises, or to a claim of one's own.

What fails is an AssertionError whose text ends with the scenario as YAML: in a file, `kafkasim run FILE` shows the same run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from kafkasim.ledger import Ledger
from kafkasim.promises import HELD
from kafkasim.report import Report
from kafkasim.runner import run
from kafkasim.scenario import Scenario
from kafkasim.simulator.violations import InvariantViolated
from kafkasim.simulator.watched import WatchedSimulator
from kafkasim.testing.sometimes import reached_by
from kafkasim.trace import Trace


@dataclass(frozen=True, slots=True)
class Observed:
    """A run that kept every invariant: its report, what it really reached (SOMETIMES), and which guarantees were waived, how often."""

    report: Report
    reached: Counter[str]
    waived: Counter[str]


def observe(scenario: Scenario) -> Observed:
    """Run `scenario` with its own seed under all invariants. Raises InvariantViolated, with the scenario at the end of its text."""
    trace, simulator, ledgers = Trace(), WatchedSimulator(), list[Ledger]()
    try:
        report = run(scenario, trace=trace, backend=simulator, keep=ledgers.append)
    except InvariantViolated as violated:
        raise InvariantViolated(violated.name, violated.sentence + _as_file(scenario)) from None
    except Exception as error:  # the simulator itself broke off: as bad, and seen with the same file
        error.add_note(_as_file(scenario))
        raise
    invariants = simulator.invariants
    assert invariants is not None, "a run that ended was watched"
    return Observed(report, reached_by(ledgers[0], report, trace, invariants.reached), invariants.waived)


def check(scenario: Scenario) -> Observed:
    """`scenario` keeps every invariant at every moment, and at its end every promise that its configuration gives; all comes to rest."""
    observed = observe(scenario)
    report = observed.report
    broken = [f"{verdict.of}: {verdict.sentence}" for verdict in report.verdicts if verdict.verdict != HELD]
    if report.sent != report.acked + report.failed + report.unresolved:
        broken.append(f"{report.sent} sent is not {report.acked} acked + {report.failed} failed + {report.unresolved} unresolved")
    if any(verdict.promise == "drain" for verdict in report.verdicts):
        broken += [note for note in report.notes if note.endswith("nobody can read it")]
    if broken:
        raise AssertionError("; ".join(broken) + _as_file(scenario))
    return observed


def hold(scenario: Scenario, claim: Callable[[Report], object]) -> Report:
    """Run `scenario`, and hold it to `claim`: it returns False, or asserts, where the report does not keep it."""
    report = observe(scenario).report
    try:
        kept = claim(report)
    except AssertionError as error:
        raise AssertionError(f"{error}{_as_file(scenario)}") from error
    if kept is not None and not kept:
        raise AssertionError(f"the claim does not hold: {report.headline}{_as_file(scenario)}")
    return report


def _as_file(scenario: Scenario) -> str:
    return f"\nTo see it, put this into a file (seed {scenario.seed}), and `kafkasim run FILE`:\n\n{scenario.to_yaml()}"
