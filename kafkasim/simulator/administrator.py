"""The administrator of a simulated cluster: puts the verbs of admin_faults.py to the controller, and writes down what it refuses.

Simplified: a call reaches the controller at once, past every link; in Kafka a broker passes it on.
"""

from __future__ import annotations

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
    """Asks the controller on `host`."""

    def __init__(self, driver: Driver, host: Host, ledger: Ledger) -> None:
        self._driver = driver
        self._host = host
        self._ledger = ledger
        self._asked: dict[object, Verb] = {}

    def ask(self, verb: Verb) -> None:
        """Do what the verb says; while the controller's process is down, try again."""
        self._put(verb, _call(verb), self._driver.now + _TIMEOUT_MS)

    def told(self, output: Output) -> None:
        """The controller's answer. What it did needs no word; what it refused does."""
        if isinstance(output, AdministratorAnswered):
            verb = self._asked.pop(output.call)
            self._ledger.notes += [refusal(verb, error.kafka_name) for _, error in output.results if error is not Error.NONE]

    def _put(self, verb: Verb, call: object, deadline: float) -> None:
        now = self._driver.now
        if self._host.status is not Status.DOWN:
            self._asked[call] = verb
            self._driver.inject(self._host, call)
        elif now < deadline:
            self._driver.call_at(now + _RETRY_MS, lambda: self._put(verb, call, deadline))
        else:
            self._ledger.notes.append(refusal(verb, "no answer came"))


def _call(verb: Verb) -> object:
    subject: Any
    subject, *rest = verb.arguments
    if verb.name == "alter_config":
        name, value = rest
        return IncrementalAlterConfigs(subject, ((str(name), float(value) if isinstance(value, float) else int(value)),))
    topic, _, index = subject.rpartition("-")
    partitions = (TopicPartition(topic, int(index)),)
    if verb.name == "elect":
        return ElectLeaders(partitions, Election(rest[0]))
    return AlterPartitionReassignments(partitions, tuple(int(replica) for replica in rest))
