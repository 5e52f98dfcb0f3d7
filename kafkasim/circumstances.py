"""What promises depend on: the few settings that decide, and the faults that really fired. Taken from scenario and ledger, nothing judged.

A promise of Kafka is conditional: "acks=all keeps what it acknowledged" holds as long as an in-sync replica that kept its log is there to
lead. Here stands which conditions a run met, in Kafka's words, so that promises.py can be read like a table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kafkasim.ledger import FaultApplied, Ledger
from kafkasim.selectors import OFFSETS_TOPIC

if TYPE_CHECKING:
    from kafkasim.protocol.config import TopicConfig
    from kafkasim.scenario import Scenario

# A connection that is reset or an answer that is swallowed moves no leader; everything else that happens to a broker may.
_HARMLESS_TO_LEADERS = ("disconnect", "drop-responses")
_UNCLEAN = ("crash", "power-loss", "bounce")
_PROCESS_DIES = ("crash", "power-loss", "shutdown", "bounce")


@dataclass(frozen=True, slots=True)
class TopicCase:
    """A topic's replication; `min_insync_replicas` is what counts, the smaller of it and the replication factor."""

    name: str
    replication_factor: int
    min_insync_replicas: int
    unclean_leader_election: bool
    flushes_each_message: bool


@dataclass(frozen=True, slots=True)
class ProducerCase:
    """A producer's settings that promises depend on, as its client understands them."""

    name: str
    client: str
    acks: int
    idempotent: bool
    retries: int
    max_in_flight: int
    delivery_timeout_ms: float
    on_failure: str
    on_restart: str
    topic: TopicCase


@dataclass(frozen=True, slots=True)
class GroupCase:
    """A group's way of committing and of remembering what it has done."""

    name: str
    client: str
    commit: str
    worker_commit: str
    auto_offset_reset: str
    dedup: str
    dedup_order: str
    topics: tuple[TopicCase, ...]
    offsets_topic: TopicCase  # where its commits are kept
    longest_poll_ms: float  # how long a full poll takes to handle on the polling thread
    max_poll_interval_ms: float


@dataclass(frozen=True, slots=True)
class RunCase:
    """The run as a whole."""

    name: str
    producers: tuple[ProducerCase, ...]
    groups: tuple[GroupCase, ...]


@dataclass(frozen=True, slots=True)
class Faults:
    """What the faults that fired did to brokers, and which faults the backend could not apply."""

    failed_brokers: tuple[str, ...]  # hit by anything that may move a leader
    lost_power: tuple[str, ...]
    died_uncleanly: tuple[str, ...]  # lost power, or kill -9: without a word to the controller
    controller_failed: bool
    dead_clients: tuple[str, ...]  # producers and members whose process died
    unsupported: tuple[FaultApplied, ...]

    def leaders_may_move(self) -> bool:
        """Whether anything happened that can end a leader's term."""
        return bool(self.failed_brokers) or self.controller_failed


@dataclass(frozen=True, slots=True)
class Circumstances:
    """All of it, for one run."""

    producers: tuple[ProducerCase, ...]
    groups: tuple[GroupCase, ...]
    faults: Faults
    drained: bool


def circumstances_of(scenario: Scenario, ledger: Ledger) -> Circumstances:
    """Distil a scenario and what befell it."""
    topics = {name: _topic(scenario, name) for name in scenario.topics}
    producers = tuple(_producer(scenario, producer.name, topics) for producer in scenario.producers)
    groups = tuple(_group(scenario, consumer.group, topics) for consumer in scenario.consumers)
    return Circumstances(producers, groups, _faults(ledger.faults), ledger.drained)


def deciding_settings(case: Circumstances) -> dict[str, str]:
    """The settings that decide what may be lost or come twice, by path, as Kafka writes them; only those that matter here."""
    settings: dict[str, str] = {}
    for producer in case.producers:
        settings |= {f"producers.{producer.name}.{key}": value for key, value in _producer_settings(producer).items()}
    read = [topic for group in case.groups for topic in group.topics]
    for topic in dict.fromkeys([*(producer.topic for producer in case.producers), *read]):
        settings |= {
            f"topics.{topic.name}.replication.factor": str(topic.replication_factor),
            f"topics.{topic.name}.min.insync.replicas": str(topic.min_insync_replicas),
            f"topics.{topic.name}.unclean.leader.election.enable": _truth(topic.unclean_leader_election),
        }
    for group in case.groups:
        settings |= {f"consumers.{group.name}.{key}": value for key, value in _group_settings(group).items()}
    return settings


def _producer_settings(producer: ProducerCase) -> dict[str, str]:
    settings = {
        "client": producer.client,
        "acks": "all" if producer.acks == -1 else str(producer.acks),
        "enable.idempotence": _truth(producer.idempotent),
    }
    if producer.acks != 0:
        settings["retries"] = str(producer.retries)
        settings["delivery.timeout.ms"] = f"{producer.delivery_timeout_ms:g}"
    if not producer.idempotent:
        settings["max.in.flight.requests.per.connection"] = str(producer.max_in_flight)
    settings["on.failure"] = producer.on_failure
    if producer.on_restart != "continue":
        settings["on.restart"] = producer.on_restart
    return settings


def _group_settings(group: GroupCase) -> dict[str, str]:
    settings = {"client": group.client, "commit": group.commit, "auto.offset.reset": group.auto_offset_reset, "dedup": group.dedup}
    if group.commit == "worker-threads":
        settings["worker.commit"] = group.worker_commit
    if group.dedup != "none":
        settings["dedup.order"] = group.dedup_order
    return settings


def _topic(scenario: Scenario, name: str) -> TopicCase:
    return _topic_case(name, scenario.topic_config(name), scenario.topics[name].replication_factor)


def _offsets_topic(scenario: Scenario) -> TopicCase:
    """__consumer_offsets has no settings of its own; with fewer brokers than its replication factor it is on all of them."""
    factor = min(scenario.broker_config().offsets_topic_replication_factor, scenario.cluster.brokers)
    return _topic_case(OFFSETS_TOPIC, scenario.topic_config(None), factor)


def _topic_case(name: str, config: TopicConfig, factor: int) -> TopicCase:
    return TopicCase(
        name=name,
        replication_factor=factor,
        min_insync_replicas=min(config.min_insync_replicas, factor),
        unclean_leader_election=config.unclean_leader_election_enable,
        flushes_each_message=config.flush_messages == 1,
    )


def _producer(scenario: Scenario, name: str, topics: dict[str, TopicCase]) -> ProducerCase:
    settings = scenario.producer_settings(name)
    producer = scenario.producer(name)
    return ProducerCase(
        name=name,
        client=producer.client.value,
        acks=settings.acks,
        idempotent=settings.enable_idempotence,
        retries=settings.retries,
        max_in_flight=settings.max_in_flight,
        delivery_timeout_ms=settings.delivery_timeout_ms,
        on_failure=producer.on_failure,
        on_restart=producer.on_restart,
        topic=topics[producer.topic],
    )


def _group(scenario: Scenario, name: str, topics: dict[str, TopicCase]) -> GroupCase:
    group = scenario.consumer(name)
    settings = scenario.consumer_settings(name)
    access = 2 * group.dedup_ms if group.dedup != "none" else 0.0  # a record is looked up, and marked
    return GroupCase(
        name=name,
        client=group.client.value,
        commit=group.commit,
        worker_commit=group.worker_commit,
        auto_offset_reset=settings.auto_offset_reset,
        dedup=group.dedup,
        dedup_order=group.dedup_order,
        topics=tuple(topics[topic] for topic in group.topics),
        offsets_topic=_offsets_topic(scenario),
        longest_poll_ms=0.0 if group.commit == "worker-threads" else settings.max_poll_records * (group.processing_ms + access),
        max_poll_interval_ms=settings.max_poll_interval_ms,
    )


def _faults(applied: Iterable[FaultApplied]) -> Faults:
    fired = [fault for fault in applied if fault.supported and fault.fired is not None]
    moving = [fault for fault in fired if fault.fault not in _HARMLESS_TO_LEADERS]
    return Faults(
        failed_brokers=_nodes(moving, "broker-"),
        lost_power=_nodes([fault for fault in fired if fault.fault == "power-loss"], "broker-"),
        died_uncleanly=_nodes([fault for fault in fired if fault.fault in _UNCLEAN], "broker-"),
        controller_failed=bool(_nodes(moving, "controller-")),
        dead_clients=tuple(node for node in _nodes([fault for fault in fired if fault.fault in _PROCESS_DIES], "") if not is_server(node)),
        unsupported=tuple(fault for fault in applied if not fault.supported),
    )


def is_server(node: str) -> bool:
    """Whether a node's name is a broker's or a controller's (protocol/node.py)."""
    return node.startswith(("broker-", "controller-"))


def _nodes(faults: Iterable[FaultApplied], prefix: str) -> tuple[str, ...]:
    """The distinct nodes these faults hit, in order."""
    return tuple(dict.fromkeys(node for fault in faults for node in fault.nodes if node.startswith(prefix)))


def _truth(value: bool) -> str:
    return "true" if value else "false"
