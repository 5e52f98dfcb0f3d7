"""Fires faults: by time and by progress, against the nodes that their selectors mean at that moment; and heals them all."""

from __future__ import annotations

from collections.abc import Iterator

from kafkasim.faults import Fault, Lasts, LinkFault, Step, Verb, WaitInSync
from kafkasim.ledger import FaultApplied
from kafkasim.selectors import resolve_all
from kafkasim.simulator.cluster import SimulatedCluster

_LOOK_MS = 50.0  # how often a bounce looks whether its node is back in every ISR


class _Firing:
    """One fault of the scenario and where it stands."""

    __slots__ = ("fault", "index", "nodes", "others", "resume_at", "state", "steps")

    def __init__(self, fault: Fault, index: int) -> None:
        self.fault = fault
        self.index = index
        self.state = "armed"  # armed, on, over
        self.nodes: tuple[str, ...] = ()
        self.others: tuple[str, ...] = ()
        self.steps: Iterator[Step] = iter(())
        self.resume_at: float | None = None


class Injector:
    """All faults of one run. Writes FaultApplied entries into the ledger, one a fault, in the scenario's order."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self._driver = cluster.driver
        self._firings = [_Firing(fault, index) for index, fault in enumerate(cluster.scenario.faults)]
        for firing in self._firings:
            cluster.ledger.faults.append(FaultApplied(_name(firing), firing.fault.fault, (), None, None))

    def arm(self, zero: float) -> None:
        """Schedule what fires by time, and wait for the progress of the rest."""
        for firing in self._firings:
            when = firing.fault.when
            if when is None:
                assert firing.fault.at_ms is not None, "a fault has `at` or `when`"
                self._driver.call_at(zero + firing.fault.at_ms, lambda firing=firing: self._fire(firing))  # type: ignore[misc]  # bound early
            else:
                what, name = ("processed", when.group) if when.processed else ("sent" if when.sent else "acked", when.producer)
                assert name is not None, "a `when` names its producer or group"
                self._cluster.progress.when(what, name, when.count, lambda firing=firing: self._fire_now(firing))  # type: ignore[misc]  # bound early

    @property
    def timed_over(self) -> bool:
        """Every fault that fires by time has ended, except those that last until the heal; so has every other that fired."""
        return all(self._settled(firing) for firing in self._firings if firing.fault.when is None or firing.state != "armed")

    @property
    def waiting(self) -> bool:
        """Some fault still waits for progress."""
        return any(firing.state == "armed" for firing in self._firings)

    def heal(self) -> None:
        """End every fault that is still on, the latest first. What never fired never will, and the ledger says so."""
        for firing in reversed(self._firings):
            if firing.state == "on":
                for verb in firing.fault.end(firing.nodes, firing.others):
                    self._do(verb)
                self._over(firing)
        for firing in self._firings:
            if firing.state == "armed":
                firing.state = "over"
                self._cluster.ledger.notes.append(f"{_name(firing)} never fired: {firing.fault}")

    # ------------------------------------------------------------------------------------------------ one fault

    @staticmethod
    def _settled(firing: _Firing) -> bool:
        until_heal = firing.state == "on" and firing.fault.for_ms is None and firing.resume_at is None
        return firing.state == "over" or until_heal

    def _fire_now(self, firing: _Firing) -> None:
        """Progress was made inside a handler: strike right after it, at the same instant."""
        self._driver.call_at(self._driver.now, lambda: self._fire(firing))

    def _fire(self, firing: _Firing) -> None:
        if firing.state != "armed":
            return
        fault, cluster, view = firing.fault, self._cluster, self._cluster.view
        firing.nodes = resolve_all(fault.node, view)
        if isinstance(fault, LinkFault):
            everybody = [*view.controllers, *view.brokers, *view.producers, *view.consumers]
            firing.others = resolve_all(fault.from_, view) if fault.from_ is not None else fault.others_of(firing.nodes, everybody)
        if fault.name:
            view.fault_nodes[fault.name] = firing.nodes
        firing.state = "on"
        entry = cluster.ledger.faults[firing.index]
        cluster.ledger.faults[firing.index] = entry._replace(nodes=firing.nodes, fired=self._driver.now - cluster.progress.zero)
        if not firing.nodes:
            selectors = ", ".join(map(str, fault.node))
            cluster.ledger.notes.append(f"{_name(firing)} hit nobody: {selectors} meant no node when it fired")
        firing.steps = fault.steps(firing.nodes, firing.others)
        self._go_on(firing)

    def _go_on(self, firing: _Firing) -> None:
        """Take the fault's steps until one waits."""
        firing.resume_at = None
        for step in firing.steps:
            match step:
                case Verb():
                    self._do(step)
                case Lasts(ms):
                    if ms is not None:
                        self._resume(firing, self._driver.now + ms)
                    return
                case WaitInSync(node, at_most_ms):
                    self._wait_in_sync(firing, node, self._driver.now + at_most_ms)
                    return
        self._over(firing)

    def _resume(self, firing: _Firing, instant: float) -> None:
        firing.resume_at = instant
        self._driver.call_at(instant, lambda: self._go_on(firing) if firing.state == "on" else None)

    def _wait_in_sync(self, firing: _Firing, node: str, at_most: float) -> None:
        if firing.state != "on":
            return
        if self._cluster.view.in_sync(node) or self._driver.now >= at_most:
            self._go_on(firing)
            return
        firing.resume_at = self._driver.now + _LOOK_MS
        self._driver.call_at(firing.resume_at, lambda: self._wait_in_sync(firing, node, at_most))

    def _do(self, verb: Verb) -> None:
        getattr(self._cluster, verb.name)(*verb.arguments)

    def _over(self, firing: _Firing) -> None:
        firing.state = "over"
        ledger = self._cluster.ledger
        ledger.faults[firing.index] = ledger.faults[firing.index]._replace(ended=self._driver.now - self._cluster.progress.zero)


def _name(firing: _Firing) -> str:
    return firing.fault.name or f"fault {firing.index}"
