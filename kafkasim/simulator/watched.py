"""A run that is watched: after every message, wake-up and end of a process somebody may look at the host that just acted.

What watches is `invariants.Invariants`. A run that nobody watches has another driver (driver.py) and pays nothing.
"""

from __future__ import annotations

from typing import Any, Protocol

from kafkasim.ledger import Ledger
from kafkasim.protocol.node import Output
from kafkasim.scenario import Scenario
from kafkasim.simulator.cluster import SimulatedCluster
from kafkasim.simulator.driver import Driver, Host
from kafkasim.simulator.invariants import Invariants
from kafkasim.simulator.simulation import Simulator
from kafkasim.trace import Trace


class Watcher(Protocol):
    """Whoever looks."""

    def acted(self, host: Host, outputs: list[Any], now: float) -> None:
        """The host's node was given input and has changed; `outputs` are what it asks for, and nobody has them yet."""

    def ended(self, host: Host, now: float) -> None:
        """The host's process ends at this instant; its node is still there."""

    def power_failed(self, node: str, now: float) -> None:
        """The node's disk has just lost what was not flushed."""


class WatchedDriver(Driver):
    """The driver, with somebody who is told."""

    def __init__(self) -> None:
        super().__init__()
        self.watcher: Watcher | None = None

    def after(self, host: Host, outputs: list[Output], now: float) -> None:
        """As in Driver; whoever watches looks first."""
        if self.watcher is not None:
            self.watcher.acted(host, outputs, now)
        super().after(host, outputs, now)

    def kill(self, host: Host) -> None:
        """As in Driver."""
        if self.watcher is not None:
            self.watcher.ended(host, self.now)
        super().kill(host)


class WatchedCluster(SimulatedCluster):
    """A cluster on a driver that is watched."""

    def __init__(self, scenario: Scenario, seed: int, ledger: Ledger, trace: Trace | None, driver: WatchedDriver) -> None:
        super().__init__(scenario, seed, ledger, trace, driver)
        self._watched = driver

    def power_off(self, node: str) -> None:
        """As in SimulatedCluster."""
        super().power_off(node)
        if self._watched.watcher is not None:
            self._watched.watcher.power_failed(node, self.driver.now)


class WatchedSimulator(Simulator):
    """The simulator under all invariants: a run in which one breaks ends there, with InvariantViolated. For one run each."""

    def __init__(self) -> None:
        self.invariants: Invariants | None = None

    def cluster(self, scenario: Scenario, seed: int, ledger: Ledger, trace: Trace | None) -> SimulatedCluster:
        """The cluster of one run, watched from its first event on."""
        driver = WatchedDriver()
        cluster = WatchedCluster(scenario, seed, ledger, trace, driver)
        driver.watcher = self.invariants = Invariants(scenario, cluster.controller_state, cluster.disks, driver.hosts, cluster.progress)
        return cluster
