"""Fires faults: by time and by progress, against the nodes that their selectors mean at that moment; and heals them all.

The same for both backends: what a fault is stands in faults.py, what a verb does is the backend's. A fault that the backend cannot
apply as a whole is not applied at all, and the ledger says so: half a partition would be another experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from kafkasim.faults import AdminFault, Fault, Lasts, LinkFault, NodeFault, Step, Verb, WaitInSync
from kafkasim.ledger import FaultApplied, Ledger
from kafkasim.progress import Progress
from kafkasim.scenario import Scenario
from kafkasim.selectors import ClusterView, resolve_all

_LOOK_MS = 50.0  # how often a bounce looks whether its node is back in every ISR


class Clock(Protocol):
    """Time as the backend has it, in ms from whatever instant; `Progress.zero` is where the ledger's time begins on it."""

    @property
    def now(self) -> float:
        """This instant."""

    def call_at(self, instant: float, function: Callable[[], None]) -> None:
        """Call `function` then; in the order of the calls where two are due at once."""


class Sight(ClusterView, Protocol):
    """What the injector looks at, and where it writes down whom a named fault hit."""

    fault_nodes: dict[str, tuple[str, ...]]

    def in_sync(self, node: str) -> bool:
        """Whether the broker is up, unfenced, and in the ISR of every partition that it has a replica of."""


class Stage(Protocol):
    """The cluster of one run, as far as faults are concerned. Besides these it has the verbs of faults.py's ClusterVerbs that it can do."""

    @property
    def scenario(self) -> Scenario:
        """What is being run."""

    @property
    def ledger(self) -> Ledger:
        """Where it is written down."""

    @property
    def progress(self) -> Progress:
        """How far the workload is."""

    @property
    def view(self) -> Sight:
        """Who leads, who follows."""

    def cannot(self, verb: Verb) -> str:
        """Why this backend cannot do that, as half a sentence; "" where it can."""


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

    def __init__(self, cluster: Stage, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._firings = [_Firing(fault, index) for index, fault in enumerate(cluster.scenario.faults)]
        for firing in self._firings:
            cluster.ledger.faults.append(FaultApplied(_name(firing), firing.fault.fault, (), None, None))

    def arm(self, zero: float) -> None:
        """Schedule what fires by time, and wait for the progress of the rest."""
        for firing in self._firings:
            when = firing.fault.when
            if when is None:
                assert firing.fault.at_ms is not None, "a fault has `at` or `when`"
                self._clock.call_at(zero + firing.fault.at_ms, lambda firing=firing: self._fire(firing))  # type: ignore[misc]  # bound early
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
        self._clock.call_at(self._clock.now, lambda: self._fire(firing))

    def _fire(self, firing: _Firing) -> None:
        if firing.state != "armed":
            return
        fault, cluster, view = firing.fault, self._cluster, self._cluster.view
        firing.nodes = self._subjects(fault)
        if isinstance(fault, LinkFault):
            everybody = [*view.controllers, *view.brokers, *view.producers, *view.consumers]
            firing.others = resolve_all(fault.from_, view) if fault.from_ is not None else fault.others_of(firing.nodes, everybody)
        if fault.name and isinstance(fault, NodeFault):
            view.fault_nodes[fault.name] = firing.nodes
        firing.state = "on"
        entry = cluster.ledger.faults[firing.index]
        cluster.ledger.faults[firing.index] = entry._replace(nodes=firing.nodes, fired=self._clock.now - cluster.progress.zero)
        if not firing.nodes:
            selectors = ", ".join(str(selector) for key, selector in fault.selectors if key == "node")
            cluster.ledger.notes.append(f"{_name(firing)} hit nobody: {selectors} meant no node when it fired")
        if reason := self._unsupported(firing):
            self._over(firing)
            cluster.ledger.faults[firing.index] = cluster.ledger.faults[firing.index]._replace(supported=False)
            cluster.ledger.notes.append(f"{_name(firing)} was not applied: {reason}")
            return
        firing.steps = fault.steps(firing.nodes, firing.others)
        self._go_on(firing)

    def _subjects(self, fault: Fault) -> tuple[str, ...]:
        """Whom it hits: nodes, or what an administrator's action is about."""
        if isinstance(fault, AdminFault):
            return fault.subjects({name: topic.partitions for name, topic in self._cluster.scenario.topics.items()})
        return resolve_all([selector for key, selector in fault.selectors if key == "node"], self._cluster.view)

    def _unsupported(self, firing: _Firing) -> str:
        """Why the backend cannot apply this fault, or "". A bounce begins with nothing: what it will do is asked about instead."""
        fault, nodes = firing.fault, firing.nodes
        verbs = fault.begin(nodes, firing.others) or [Verb(name, (node,)) for node in nodes for name in sorted(fault.capabilities)]
        return next((reason for verb in verbs if (reason := self._cluster.cannot(verb))), "")

    def _go_on(self, firing: _Firing) -> None:
        """Take the fault's steps until one waits."""
        firing.resume_at = None
        for step in firing.steps:
            match step:
                case Verb():
                    self._do(step)
                case Lasts(ms):
                    if ms is not None:
                        self._resume(firing, self._clock.now + ms)
                    return
                case WaitInSync(node, at_most_ms):
                    self._wait_in_sync(firing, node, self._clock.now + at_most_ms)
                    return
        self._over(firing)

    def _resume(self, firing: _Firing, instant: float) -> None:
        firing.resume_at = instant
        self._clock.call_at(instant, lambda: self._go_on(firing) if firing.state == "on" else None)

    def _wait_in_sync(self, firing: _Firing, node: str, at_most: float) -> None:
        if firing.state != "on":
            return
        if self._cluster.view.in_sync(node) or self._clock.now >= at_most:
            self._go_on(firing)
            return
        firing.resume_at = self._clock.now + _LOOK_MS
        self._clock.call_at(firing.resume_at, lambda: self._wait_in_sync(firing, node, at_most))

    def _do(self, verb: Verb) -> None:
        getattr(self._cluster, verb.name)(*verb.arguments)

    def _over(self, firing: _Firing) -> None:
        firing.state = "over"
        ledger = self._cluster.ledger
        ledger.faults[firing.index] = ledger.faults[firing.index]._replace(ended=self._clock.now - self._cluster.progress.zero)


def _name(firing: _Firing) -> str:
    return firing.fault.name or f"fault {firing.index}"
