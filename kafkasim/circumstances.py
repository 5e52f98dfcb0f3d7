"""What promises depend on: the few settings that decide, and the faults that really fired. Taken from scenario and ledger, nothing judged.

A promise of Kafka is conditional: "acks=all keeps what it acknowledged" holds as long as an in-sync replica that kept its log is there to
lead. Here stands which conditions a run met, in Kafka's words, so that promises.py can be read like a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kafkasim.admin_faults import AlterConfig, Elect, Reassign
from kafkasim.fault_base import Fault
from kafkasim.ledger import FaultApplied, Ledger
from kafkasim.protocol.config import TopicConfig
from kafkasim.protocol.metadata import MIN_INSYNC_REPLICAS
from kafkasim.selectors import OFFSETS_TOPIC
from kafkasim.truth import topic_of

if TYPE_CHECKING:
    from kafkasim.scenario import Scenario

# A connection that is reset or an answer that is swallowed moves no leader; everything else that happens to a broker may.
_HARMLESS_TO_LEADERS = ("disconnect", "drop-responses")
_OF_LINKS = ("partition", "delay")
_UNCLEAN = ("crash", "power-loss", "bounce")
# With these, replicas may part when leaders change fast enough (KIP-101, KIP-279, KIP-320).
UNSAFE_GENERATIONS = ("hw", "kip101", "kip279")
_PROCESS_DIES = ("crash", "power-loss", "shutdown", "bounce")
_MOVES_LEADERS = ("elect", "reassign")
ADMINISTRATIVE = ("elect", "reassign", "alter-config")  # these hit no node


@dataclass(frozen=True, slots=True)
class TopicCase:
    """A topic's replication; `min_insync_replicas` is what counts, the smaller of it and the replication factor.

    `retention`: its settings by key, where retention has removed something of the topic in this run; else empty.
    `eligible_leader_replicas` is the cluster's: whether the controller knows who left the ISR with all that was committed (KIP-966).
    Where an administrator changed it during the run, the weakest that held at any time. `elected_uncleanly`: he asked for such an election.
    """

    name: str
    replication_factor: int
    min_insync_replicas: int
    unclean_leader_election: bool
    flushes_each_message: bool
    truncation: str = "kip595"  # the cluster's generation of replication
    retention: tuple[tuple[str, str], ...] = ()
    eligible_leader_replicas: bool = True
    elected_uncleanly: bool = False
    left_in_elr: bool = False  # with ELR: who lost its replica to fewer than min.insync.replicas stays eligible (PartitionChangeBuilder)
    elr_emptied: bool = False  # by another min.insync.replicas: who was eligible is forgotten, also where nobody else may lead
    min_isr_out_of_reach: bool = False  # before Kafka 3.7, above the replication factor: acks=all is refused, while that lasts


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
    producer_id_expiration_ms: float  # the brokers'
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
    longest_poll_ms: float  # how long a full poll takes to handle on the polling thread
    max_poll_interval_ms: float
    offsets: TopicCase  # __consumer_offsets, where its commits lie
    offsets_required_acks: int  # offsets.commit.required.acks: -1, or before Kafka 4.0 whatever was set
    offsets_expired: str = ""  # "offsets.retention.minutes=1", where a group found its offsets gone that had been away for so long


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
    links_failed: bool  # some link of a broker was cut or slow, so that its followers, or it, may have left an ISR
    restarted: tuple[str, ...]  # brokers whose process ended, cleanly or not
    controller_failed: bool
    dead_clients: tuple[str, ...]  # producers and members whose process died
    unsupported: tuple[FaultApplied, ...]
    leaders_moved: bool = False  # an administrator asked for it: an election, a reassignment

    def may_have_left_the_isr(self, replication_factor: int) -> int:
        """How many replicas of a partition these faults may have put out of its ISR."""
        return replication_factor if self.links_failed or self.controller_failed else min(len(self.failed_brokers), replication_factor)

    def leaders_may_move(self) -> bool:
        """Whether anything happened that can end a leader's term."""
        return bool(self.failed_brokers) or self.controller_failed or self.leaders_moved


@dataclass(frozen=True, slots=True)
class Circumstances:
    """All of it, for one run."""

    producers: tuple[ProducerCase, ...]
    groups: tuple[GroupCase, ...]
    faults: Faults
    drained: bool


def circumstances_of(scenario: Scenario, ledger: Ledger) -> Circumstances:
    """Distil a scenario and what befell it."""
    expired = {topic_of(entry.partition) for entry in ledger.log if entry.expired}
    actions = [
        fault for fault, applied in zip(scenario.faults, ledger.faults, strict=False) if applied.supported and applied.fired is not None
    ]
    topics = {name: _topic(scenario, name, name in expired, actions) for name in scenario.topics}
    producers = tuple(_producer(scenario, producer.name, topics) for producer in scenario.producers)
    groups = tuple(_group(scenario, ledger, consumer.group, topics) for consumer in scenario.consumers)
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
        } | {f"topics.{topic.name}.{key}": value for key, value in topic.retention}
        if topic.truncation != "kip595":
            settings["cluster.truncation"] = topic.truncation
        if not topic.eligible_leader_replicas:
            settings["eligible.leader.replicas.version"] = "0"  # as Kafka counts a feature that a cluster does not have
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


def _topic(scenario: Scenario, name: str, expired: bool, actions: Sequence[Fault]) -> TopicCase:
    config = scenario.topic_config(name)
    case = _topic_case(scenario, name, config, scenario.topics[name].replication_factor)
    for fault in actions:
        case = _administered(case, fault, scenario)
    literally = not scenario.profile.behaviours.min_isr_is_at_most_replication_factor
    demanded, first, reassigned = _min_isr_and_factors(scenario, name, actions)
    below = reassigned < demanded
    later = (_altered(config, fault) for fault in actions if isinstance(fault, AlterConfig) and fault.topic == name)
    return replace(
        case,
        left_in_elr=below and case.eligible_leader_replicas,
        elr_emptied=case.eligible_leader_replicas and any(_sets_min_isr(action, name) for action in actions),
        min_isr_out_of_reach=literally and (below or first < demanded),
        retention=_retention([config, *later]) if expired else (),
    )


def _sets_min_isr(action: Fault, name: str) -> bool:
    return isinstance(action, AlterConfig) and action.topic == name and any(key == MIN_INSYNC_REPLICAS for key, _ in action.settings)


def _min_isr_and_factors(scenario: Scenario, name: str, actions: Sequence[Fault]) -> tuple[int, int, int]:
    """The largest min.insync.replicas there ever was, and the replication factor: the first, and the smallest that anybody asked for."""
    factor = scenario.topics[name].replication_factor
    demanded, factors = [scenario.topic_config(name).min_insync_replicas], [max(factor, scenario.cluster.brokers)]
    for action in actions:
        if isinstance(action, AlterConfig) and action.topic == name:
            demanded += [int(value) for key, value in action.settings if key == MIN_INSYNC_REPLICAS]
        elif isinstance(action, Reassign) and action.to:
            factors.append(len(action.to))
    return max(demanded), factor, min(factors)


def _offsets_topic(scenario: Scenario) -> TopicCase:
    factor = min(scenario.broker_config().offsets_topic_replication_factor, scenario.cluster.brokers)
    return _topic_case(scenario, OFFSETS_TOPIC, scenario.topic_config(None), factor)


def _topic_case(scenario: Scenario, name: str, config: TopicConfig, factor: int) -> TopicCase:
    return TopicCase(
        name=name,
        replication_factor=factor,
        min_insync_replicas=min(config.min_insync_replicas, factor),
        unclean_leader_election=config.unclean_leader_election_enable and scenario.profile.behaviours.unclean_election_configurable,
        flushes_each_message=config.flush_messages == 1,
        truncation=scenario.cluster.truncation,
        eligible_leader_replicas=scenario.eligible_leader_replicas,
    )


def _administered(case: TopicCase, fault: Fault, scenario: Scenario) -> TopicCase:
    """What an administrator's action leaves of a topic's safety: nothing makes it greater, for what came before it was without."""
    if isinstance(fault, AlterConfig) and fault.topic == case.name:
        config = _altered(scenario.topic_config(case.name), fault)
        return replace(
            case,
            min_insync_replicas=min(case.min_insync_replicas, config.min_insync_replicas),
            unclean_leader_election=case.unclean_leader_election or config.unclean_leader_election_enable,
            flushes_each_message=case.flushes_each_message and config.flush_messages == 1,
        )
    if isinstance(fault, Elect | Reassign):
        names = [f"{case.name}-{index}" for index in range(scenario.topics[case.name].partitions)]
        if not any(subject in names for subject in fault.subjects({name: topic.partitions for name, topic in scenario.topics.items()})):
            return case
        if isinstance(fault, Elect):
            return replace(case, elected_uncleanly=case.elected_uncleanly or fault.election == "unclean")
        factor = min(case.replication_factor, len(fault.to) or case.replication_factor)
        return replace(case, replication_factor=factor, min_insync_replicas=min(case.min_insync_replicas, factor))
    return case


def _altered(config: TopicConfig, fault: AlterConfig) -> TopicConfig:
    for name, value in fault.settings:
        config = config.altered(name, value)
    return config


def _retention(configs: Sequence[TopicConfig]) -> tuple[tuple[str, str], ...]:
    """What may have removed records under the settings a topic had one after the other: of each limit the tightest.

    The limit of size where there is one, and of age where it is not the default or the only one.
    """
    sizes = [config.retention_bytes for config in configs if config.retention_bytes >= 0]
    ages = [config.retention_ms for config in configs if config.retention_ms >= 0]
    limits_age = ages and (min(ages) != TopicConfig().retention_ms or not sizes)
    by_age = (("retention.ms", str(min(ages))),) if limits_age else ()
    return (*by_age, *((("retention.bytes", str(min(sizes))),) if sizes else ()))


def _offsets_expired(scenario: Scenario, ledger: Ledger, group: str) -> str:
    """A group that had committed came back to nothing, offsets.retention.minutes after its last commit or later."""
    minutes = scenario.broker_config().offsets_retention_minutes
    resets = [reset for reset in ledger.skipped if reset.group == group and reset.position < 0]
    accepted = [commit for commit in ledger.commits if commit.group == group and not commit.error] if resets else []
    for reset in resets:
        commits = [commit.at for commit in accepted if commit.partition == reset.partition and commit.at < reset.at]
        if commits and reset.at - max(commits) >= minutes * 60_000:
            return f"offsets.retention.minutes={minutes}"
    return ""


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
        producer_id_expiration_ms=scenario.broker_config().producer_id_expiration_ms,
        on_failure=producer.on_failure,
        on_restart=producer.on_restart,
        topic=topics[producer.topic],
    )


def _group(scenario: Scenario, ledger: Ledger, name: str, topics: dict[str, TopicCase]) -> GroupCase:
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
        longest_poll_ms=0.0 if group.commit == "worker-threads" else settings.max_poll_records * (group.processing_ms + access),
        max_poll_interval_ms=settings.max_poll_interval_ms,
        offsets=_offsets_topic(scenario),
        offsets_required_acks=scenario.broker_config().offsets_commit_required_acks,
        offsets_expired=_offsets_expired(scenario, ledger, name),
    )


def _faults(applied: Iterable[FaultApplied]) -> Faults:
    fired = [fault for fault in applied if fault.supported and fault.fired is not None]
    moving = [fault for fault in fired if fault.fault not in _HARMLESS_TO_LEADERS]
    return Faults(
        failed_brokers=_nodes(moving, "broker-"),
        lost_power=_nodes([fault for fault in fired if fault.fault == "power-loss"], "broker-"),
        died_uncleanly=_nodes([fault for fault in fired if fault.fault in _UNCLEAN], "broker-"),
        links_failed=bool(_nodes([fault for fault in fired if fault.fault in _OF_LINKS], "broker-")),
        restarted=_nodes([fault for fault in fired if fault.fault in _PROCESS_DIES], "broker-"),
        controller_failed=bool(_nodes(moving, "controller-")),
        dead_clients=tuple(node for node in _nodes([fault for fault in fired if fault.fault in _PROCESS_DIES], "") if not is_server(node)),
        unsupported=tuple(fault for fault in applied if not fault.supported),
        leaders_moved=any(fault.fault in _MOVES_LEADERS for fault in fired),
    )


def is_server(node: str) -> bool:
    """Whether a node's name is a broker's or a controller's (protocol/node.py)."""
    return node.startswith(("broker-", "controller-"))


def _nodes(faults: Iterable[FaultApplied], prefix: str) -> tuple[str, ...]:
    """The distinct nodes these faults hit, in order."""
    return tuple(dict.fromkeys(node for fault in faults for node in fault.nodes if node.startswith(prefix)))


def _truth(value: bool) -> str:
    return "true" if value else "false"
