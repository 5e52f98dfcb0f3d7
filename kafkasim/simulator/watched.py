"""A run that is watched: after every message, wake-up and end of a process somebody may look at the host that just acted.

What watches is `invariants.Invariants`. A run that nobody watches has another driver (driver.py) and pays nothing.
"""

from __future__ import annotations

from kafkasim.ledger import Ledger
from kafkasim.scenario import Scenario
from kafkasim.simulator.cluster import SimulatedCluster
from kafkasim.simulator.invariants import Invariants
from kafkasim.simulator.simulation import Simulator
from kafkasim.simulator.watched_driver import WatchedDriver
from kafkasim.trace import Trace


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
