"""The administrator of a simulated cluster: puts the verbs of admin_faults.py to the controller, and writes down what it refuses.

In Kafka a broker passes his requests on (KIP-590), so that he can do nothing while no broker is up, or while the controller is down.
Simplified: with one of each up, a call reaches the controller at once, past every link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kafkasim.admin_faults import refusal
from kafkasim.fault_base import Verb
from kafkasim.ledger import Ledger
from kafkasim.protocol.administration import AdministratorAnswered, AlterPartitionReassignments, ElectLeaders, IncrementalAlterConfigs
from kafkasim.protocol.election import Election
from kafkasim.protocol.errors import Error
from kafkasim.protocol.node import Output
from kafkasim.protocol.records import TopicPartition
from kafkasim.simulator.driver import Driver, Host, Status

# How long an administrator's client goes on asking (AdminClientConfig's default.api.timeout.ms), and how often (retry.backoff.ms).
_TIMEOUT_MS = 60_000.0
_RETRY_MS = 100.0


class Administrator:
    """Asks the active controller, whose node name `active_controller` tells, by way of some broker on one of the hosts `brokers`."""

    def __init__(self, driver: Driver, active_controller: Callable[[], str | None], brokers: Sequence[Host], ledger: Ledger) -> None:
        self._driver = driver
        self._active_controller = active_controller
        self._brokers = brokers
        self._ledger = ledger
        # By the call, which may be under way twice: the verb, and until when it is asked again.
        self._asked: dict[object, list[tuple[Verb, float]]] = {}

    def ask(self, verb: Verb) -> None:
        """Do what the verb says; while that cannot reach the controller, try again."""
        self._put(verb, _call(verb), self._driver.now + _TIMEOUT_MS)

    def told(self, output: Output) -> None:
        """The controller's answer. What it did needs no word; what it refused does."""
        if isinstance(output, AdministratorAnswered):
            verb, deadline = self._asked[output.call].pop(0)
            if any(error is Error.NOT_CONTROLLER for _, error in output.results):
                self._again(verb, output.call, deadline)
                return
            self._ledger.notes += [refusal(verb, error.kafka_name) for _, error in output.results if error is not Error.NONE]

    def _put(self, verb: Verb, call: object, deadline: float) -> None:
        active = self._active_controller()
        controller = None if active is None else self._driver.hosts[active]
        if controller is not None and controller.status is not Status.DOWN and any(map(_listens, self._brokers)):
            self._asked.setdefault(call, []).append((verb, deadline))
            self._driver.inject(controller, call)
        else:
            self._again(verb, call, deadline)

    def _again(self, verb: Verb, call: object, deadline: float) -> None:
        now = self._driver.now
        if now < deadline:
            self._driver.call_at(now + _RETRY_MS, lambda: self._put(verb, call, deadline))
        else:
            self._ledger.notes.append(refusal(verb, "no answer came"))


def _listens(broker: Host) -> bool:
    return broker.status is Status.RUNNING and getattr(broker.node, "accepts_connections", False)


def _call(verb: Verb) -> object:
    subject: Any
    subject, *rest = verb.arguments
    if verb.name == "alter_config":
        name, value = rest
        return IncrementalAlterConfigs(subject, ((str(name), value),))
    topic, _, index = subject.rpartition("-")
    partitions = (TopicPartition(topic, int(index)),)
    if verb.name == "elect":
        return ElectLeaders(partitions, Election(rest[0]))
    return AlterPartitionReassignments(partitions, tuple(int(replica) for replica in rest))
