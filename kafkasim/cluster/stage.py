"""The real cluster of one run, as far as faults are concerned: the verbs of faults.py's ClusterVerbs, and who is who.

Brokers, controller and links belong to the *site* (site.py), which outlives the run; the clients' applications belong to the run.
Two faults may hold the same process: it comes back when the last of them lets it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from confluent_kafka import KafkaError

from kafkasim.admin_faults import refusal
from kafkasim.cluster.clock import RealClock
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.names import Names
from kafkasim.cluster.site import Doomed, Site
from kafkasim.faults import ADMIN_VERBS, PROCESS_VERBS, Verb
from kafkasim.ledger import Ledger
from kafkasim.progress import Progress
from kafkasim.protocol.records import TopicPartition
from kafkasim.scenario import Scenario

_LOOK_MS = 20.0  # how often a process that was told to stop is looked at


@dataclass(slots=True)
class _Held:
    """What holds a process down, or still."""

    process: Doomed
    down: int = 0
    paused: int = 0
    stopping: bool = False
    on_stop: list[Callable[[], None]] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """Whether a fault has it: on its way down, down, still, or waiting to be started again."""
        return bool(self.stopping or self.down or self.paused or self.on_stop)


@runtime_checkable
class _Mourned(Protocol):
    """A process that can say why it ended."""

    def died(self) -> str:
        """As half a sentence; "" where it runs, or was never started."""


class RealView:
    """injector.py's Sight, in the scenario's names, on what the site knows of the controller's truth."""

    def __init__(self, scenario: Scenario, site: Site, names: Names, held: Mapping[str, _Held]) -> None:
        self.fault_nodes: dict[str, tuple[str, ...]] = {}
        self._scenario = scenario
        self._site = site
        self._names = names
        self._held = held

    @property
    def brokers(self) -> Sequence[str]:
        """Node names of all brokers."""
        return self._scenario.broker_nodes

    @property
    def controllers(self) -> Sequence[str]:
        """Node names of all controllers."""
        return self._scenario.controller_nodes

    @property
    def active_controller(self) -> str | None:
        """The one there is: a cluster of one's own has one controller."""
        return self._scenario.controller_nodes[0]

    @property
    def producers(self) -> Sequence[str]:
        """Node names of all producers."""
        return self._scenario.producer_nodes

    @property
    def consumers(self) -> Sequence[str]:
        """Node names of all members of all groups."""
        return self._scenario.consumer_nodes

    @property
    def partitions(self) -> list[TopicPartition]:
        """Every partition of the scenario's topics."""
        topics = self._scenario.topics.items()
        return [TopicPartition(name, index) for name, topic in topics for index in range(topic.partitions)]

    def leader(self, partition: TopicPartition) -> int | None:
        """The leader by the controller's truth."""
        state = self._site.partition(*self._names.real(partition))
        return None if state is None or state.leader < 0 else state.leader

    def replicas(self, partition: TopicPartition) -> Sequence[int]:
        """The assigned replicas."""
        state = self._site.partition(*self._names.real(partition))
        return () if state is None else state.replicas

    def isr(self, partition: TopicPartition) -> Sequence[int]:
        """The in-sync replicas by the controller's truth."""
        state = self._site.partition(*self._names.real(partition))
        return () if state is None else sorted(state.isr)

    def coordinator(self, group: str) -> int | None:
        """The broker that coordinates the group."""
        return self._site.coordinator(self._names, group)

    def named(self, name: str) -> Sequence[str]:
        """What an earlier fault of that name hit."""
        return self.fault_nodes.get(name, ())

    def in_sync(self, node: str) -> bool:
        """Whether a broker is up, unfenced, and in every ISR it belongs to.

        One that has just been told to stop is in sync as far as the controller knows, and is not on its way back yet.
        """
        held = self._held.get(node)
        return not (held is not None and held.held) and self._site.in_sync(node)


class RealCluster:
    """injector.py's Stage. Client names become the site's slots ("client-1" …) where a verb concerns links."""

    def __init__(
        self,
        scenario: Scenario,
        site: Site,
        names: Names,
        ledger: Ledger,
        progress: Progress,
        clock: RealClock,
        applications: Mapping[str, Doomed],
    ) -> None:
        self.scenario = scenario
        self.ledger = ledger
        self.progress = progress
        self._held = {name: _Held(process) for name, process in {**site.processes, **applications}.items()}
        self.view = RealView(scenario, site, names, self._held)
        self._site = site
        self._clock = clock
        self._slots = slots_of(scenario)
        self._names = names
        self._asking: list[threading.Thread] = []

    def cannot(self, verb: Verb) -> str:
        """Why that cannot be done to these nodes here; "" where it can."""
        if verb.name in {"power_off", "slow_disk", "fast_disk"}:
            what = "a power failure cannot be made" if verb.name == "power_off" else "a disk cannot be slowed down"
            return f"{what} from outside a real machine"
        if verb.name in ADMIN_VERBS:
            return ""  # the topics are ours, whosesoever the brokers are
        nodes = [str(argument) for argument in verb.arguments if isinstance(argument, str)]
        if verb.name in PROCESS_VERBS and nodes[0] in self._slots:
            return ""  # applications are processes of ours, wherever the brokers are
        return self._site.cannot(self._translated(verb))

    # ------------------------------------------------------------------------------------------------ processes

    def kill(self, node: str) -> None:
        """SIGKILL."""
        held = self._held[node]
        held.down += 1
        held.process.kill()
        self._stopped(held)

    def stop(self, node: str) -> None:
        """SIGTERM; its controlled shutdown, or close(), takes its time."""
        held = self._held[node]
        held.down += 1
        if held.process.alive and not held.stopping:
            held.stopping = True
            held.process.terminate()
            self._look(held)

    def start(self, node: str) -> None:
        """Start it once nothing holds it down and a stop under way is over."""
        held = self._held[node]
        held.down = max(0, held.down - 1)
        if held.down:
            return
        if held.stopping:
            held.on_stop.append(lambda: self._begin(held))
        else:
            self._begin(held)

    def join_in(self, node: str) -> None:
        """Its first start, at its own time; a node that a fault has down comes when the fault lets it."""
        self._begin(self._held[node])

    def pause(self, node: str) -> None:
        """SIGSTOP."""
        held = self._held[node]
        held.paused += 1
        held.process.pause()

    def resume(self, node: str) -> None:
        """SIGCONT, once nothing else holds it."""
        held = self._held[node]
        held.paused = max(0, held.paused - 1)
        if not held.paused:
            held.process.resume()

    @property
    def all_up(self) -> bool:
        """Whether every process runs that should."""
        return all(held.process.alive and not held.stopping for held in self._held.values())

    def check(self) -> None:
        """Raises ClusterError where a process has ended though no fault ended it: what comes after that is not the scenario's."""
        for name, held in self._held.items():
            if held.down or held.stopping or held.process.alive:
                continue
            who = f"The client {name}" if name in self._slots else name
            if not isinstance(held.process, _Mourned):
                raise ClusterError(f"{who} ended by itself.")
            if why := held.process.died():
                raise ClusterError(f"{who} ended by itself: {why}")

    def _look(self, held: _Held) -> None:
        if not held.stopping:
            return
        if held.process.alive:
            self._clock.call_at(self._clock.now + _LOOK_MS, lambda: self._look(held))
        else:
            held.process.kill()  # what is left of its process group
            self._stopped(held)

    def _stopped(self, held: _Held) -> None:
        held.stopping = False
        waiting, held.on_stop = held.on_stop, []
        for then in waiting:
            then()

    @staticmethod
    def _begin(held: _Held) -> None:
        if not held.down and not held.process.alive:
            held.process.start()

    # ------------------------------------------------------------------------------------------------ links

    def cut(self, a: str, b: str) -> None:
        """Hold back bytes from `a` to `b`."""
        self._do(Verb("cut", (a, b)))

    def join(self, a: str, b: str) -> None:
        """Let them flow."""
        self._do(Verb("join", (a, b)))

    def delay(self, a: str, b: str, latency_ms: float, jitter_ms: float) -> None:
        """Add to the latency from `a` to `b`."""
        self._do(Verb("delay", (a, b, latency_ms, jitter_ms)))

    def undelay(self, a: str, b: str) -> None:
        """Take it away again."""
        self._do(Verb("undelay", (a, b)))

    def reset(self, a: str, b: str) -> None:
        """Break the connections between the two."""
        self._do(Verb("reset", (a, b)))

    def drop_responses(self, a: str, b: str, probability: float) -> None:
        """Swallow answers of `a` to `b`."""
        self._do(Verb("drop_responses", (a, b, probability)))

    def stop_dropping(self, a: str, b: str) -> None:
        """Let them pass."""
        self._do(Verb("stop_dropping", (a, b)))

    # ------------------------------------------------------------------------------------------------ an administrator's

    def elect(self, partition: str, election: str) -> None:
        """ElectLeaders."""
        real = self._real(partition)
        self._ask(Verb("elect", (partition, election)), lambda: next(iter(self._site.admin.elect(election, [real])), None))

    def reassign(self, partition: str, *replicas: int) -> None:
        """AlterPartitionReassignments."""
        topic, index = self._real(partition)
        self._ask(Verb("reassign", (partition, *replicas)), lambda: self._site.admin.reassign(topic, index, replicas))

    def alter_config(self, topic: str, name: str, value: str | float) -> None:
        """IncrementalAlterConfigs."""
        written = str(value).lower() if isinstance(value, bool) else str(value)
        real = self._names.topics[topic]
        self._ask(Verb("alter_config", (topic, name, value)), lambda: self._site.admin.alter_topic_config(real, name, written))

    def _real(self, partition: str) -> tuple[str, int]:
        topic, _, index = partition.rpartition("-")
        return self._names.real(TopicPartition(topic, int(index)))

    def _ask(self, verb: Verb, ask: Callable[[], KafkaError | None]) -> None:
        """On a thread of its own: the workload goes on while brokers or controller are slow to answer."""

        def asking() -> None:
            try:
                refused = ask()
            except ClusterError as problem:
                self.ledger.notes.append(refusal(verb, str(problem).rstrip(".")))
            else:
                self.ledger.notes += [] if refused is None else [refusal(verb, refused.name())]

        thread = threading.Thread(target=asking, daemon=True)
        self._asking.append(thread)
        thread.start()

    def wait_for_answers(self, at_most_s: float) -> None:
        """Until an administrator's requests have been answered, whose refusals are notes of the run."""
        for thread in self._asking:
            thread.join(at_most_s)

    # ------------------------------------------------------------------------------------------------ helpers

    def _do(self, verb: Verb) -> None:
        self._site.do(self._translated(verb))

    def _translated(self, verb: Verb) -> Verb:
        return Verb(verb.name, tuple(self._slots.get(each, each) if isinstance(each, str) else each for each in verb.arguments))


def slots_of(scenario: Scenario) -> dict[str, str]:
    """Which of the site's slots each client of the scenario has."""
    clients = [*scenario.producer_nodes, *scenario.consumer_nodes]
    return {name: f"client-{number}" for number, name in enumerate(clients, 1)}
