"""What any backend is: it turns a scenario into a ledger, and says which faults it can apply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from kafkasim.ledger import Ledger
from kafkasim.scenario import Scenario
from kafkasim.trace import Trace

Tick = Callable[[float, str], None]  # (share done from 0 to 1, phase): for a progress bar


class Backend(Protocol):
    """`simulator` runs in simulated time; `cluster` drives real brokers."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def client_versions(self) -> Mapping[str, str] | None:
        """Of real clients, by flavour; None where they are modelled."""

    @property
    def options(self) -> Sequence[str]:
        """What a command line says of where the brokers are: of the command that repeats a run."""

    def run(self, scenario: Scenario, seed: int, trace: Trace | None = None, tick: Tick | None = None) -> Ledger:
        """Run once. Raises ScenarioError where the scenario asks for what this backend cannot do at all."""
