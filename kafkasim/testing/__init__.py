"""Hold your own claims against thousands of random clusters, clients and failures: Hypothesis strategies, and what to hold scenarios to.

    from hypothesis import given
    from kafkasim.testing import check, hold, scenarios

    @given(scenarios(base=my_settings))
    def test_we_lose_nothing(scenario):
        hold(scenario, lambda report: report.acked_lost == 0)

Needs Hypothesis: `pip install 'kafkasim[testing]'`. The guide is docs/guide/properties.md.
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("hypothesis") is None:
    raise ImportError("kafkasim.testing draws its scenarios with Hypothesis, which is not installed: pip install 'kafkasim[testing]'")

from kafkasim.simulator.violations import INVARIANTS, InvariantViolated
from kafkasim.testing.checking import Observed, check, hold, observe
from kafkasim.testing.fault_kinds import FAULT_KINDS
from kafkasim.testing.schedules import TARGETED
from kafkasim.testing.sometimes import SOMETIMES
from kafkasim.testing.strategies import faults, scenarios

__all__ = [
    "scenarios",
    "faults",
    "check",
    "hold",
    "observe",
    "Observed",
    "INVARIANTS",
    "InvariantViolated",
    "FAULT_KINDS",
    "TARGETED",
    "SOMETIMES",
]
