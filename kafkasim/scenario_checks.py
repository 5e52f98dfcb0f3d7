"""What makes sense only between the values of a scenario: names that must exist, names that must differ, numbers that must fit.

Each rule is a generator of findings and a line in `findings`. Faults that hit nobody, topics nobody made and expectations of
numbers no report has are found here, before any run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kafkasim.admin_faults import AlterConfig, Elect, Reassign
from kafkasim.faults import AdminFault, Fault, When
from kafkasim.protocol.profiles import ELR_FEATURE
from kafkasim.scenario_errors import Finding
from kafkasim.scenario_expect import key_complaint
from kafkasim.scenario_file import Location
from kafkasim.selectors import OFFSETS_TOPIC, Known, Selector, complaint
from kafkasim.values import NAME, hint

if TYPE_CHECKING:
    from kafkasim.scenario import Scenario

_BROKER_COUNT: Location = ("cluster", "brokers")
_NAMES: tuple[Location, ...] = (("producers", "*", "name"), ("consumers", "*", "group"), ("consumers", "*", "members"))


def findings(scenario: Scenario) -> list[Finding]:
    """Everything wrong between the values of a scenario whose single values are right."""
    rules = (_features, _topics, _producers, _consumers, _names, _links, _fault_names, _faults, _expectations)
    return [finding for rule in rules for finding in rule(scenario)]


def _features(scenario: Scenario) -> Iterator[Finding]:
    """A feature must exist in the version of Kafka, and be one that the simulator models."""
    for feature in scenario.cluster.features:
        location: Location = ("cluster", "features", feature)
        if feature != ELR_FEATURE:
            yield Finding(location, f"`{feature}` is not a feature that is modelled{hint(feature, (ELR_FEATURE,))}")
        elif scenario.profile.behaviours.eligible_leader_replicas_version is None:
            yield Finding(location, f"Kafka {scenario.kafka} has no {ELR_FEATURE}: it came with 4.0 (KIP-966)", (("kafka",),))


def _topics(scenario: Scenario) -> Iterator[Finding]:
    if not scenario.topics:
        yield Finding(("topics",), "a scenario needs at least one topic", (("topics", "*"),))
    for name, topic in scenario.topics.items():
        location: Location = ("topics", name)
        if name == OFFSETS_TOPIC or name.startswith("__"):
            yield Finding(location, f"`{name}` is a name that Kafka keeps for itself")
        elif name in {".", ".."} or NAME.fullmatch(name.lstrip("._-")) is None or len(name) > 249:
            yield Finding(location, f"`{name}` cannot name a topic; Kafka takes letters, digits, '.', '_' and '-', at most 249 of them")
        if topic.replication_factor > scenario.cluster.brokers:
            brokers = scenario.cluster.brokers
            said = "" if "replication_factor" in topic.model_fields_set else " (the default)"
            sentence = f"{topic.replication_factor}{said} is more replicas than there are brokers: the cluster has {brokers}"
            yield Finding((*location, "replication.factor"), sentence, (_BROKER_COUNT,))


def _producers(scenario: Scenario) -> Iterator[Finding]:
    if not scenario.producers:
        yield Finding(("producers",), "a scenario needs at least one producer; where no record is sent, none can be lost")
    for index, producer in enumerate(scenario.producers):
        yield from _topic_exists(scenario, producer.topic, ("producers", index, "topic"))


def _consumers(scenario: Scenario) -> Iterator[Finding]:
    for index, consumer in enumerate(scenario.consumers):
        if not consumer.topics:
            yield Finding(("consumers", index, "topics"), "a group reads at least one topic")
        for position, topic in enumerate(consumer.topics):
            location: Location = ("consumers", index, "topics", position)
            yield from _topic_exists(scenario, topic, location)
            if topic in consumer.topics[:position]:
                yield Finding(location, f"`{topic}` stands in the list twice")


def _topic_exists(scenario: Scenario, topic: str, location: Location) -> Iterator[Finding]:
    if topic not in scenario.topics:
        yield Finding(location, f"there is no topic `{topic}`{hint(topic, scenario.topics)}", (("topics", topic),))


def _names(scenario: Scenario) -> Iterator[Finding]:
    """Every node has a name of its own, and a group is written once."""
    taken = dict.fromkeys([*scenario.broker_nodes, *scenario.controller_nodes], "a node of the cluster")
    groups: list[str] = []
    for index, consumer in enumerate(scenario.consumers):
        if consumer.group in groups:
            sentence = f"the group `{consumer.group}` stands here a second time; give it more `members`"
            yield Finding(("consumers", index, "group"), sentence, _NAMES)
            continue
        groups.append(consumer.group)
        clashing = next((node for node in consumer.nodes if node in taken), None)
        if clashing is not None:
            sentence = f"its member {clashing} would have the name of {taken[clashing]}"
            yield Finding(("consumers", index, "group"), sentence, (*_NAMES, _BROKER_COUNT))
        taken |= dict.fromkeys(consumer.nodes, f"a member of the group `{consumer.group}`")
    for index, producer in enumerate(scenario.producers):
        if producer.name in taken:
            sentence = f"`{producer.name}` is already the name of {taken[producer.name]}"
            yield Finding(("producers", index, "name"), sentence, (*_NAMES, _BROKER_COUNT))
        taken[producer.name] = "another producer"


def _links(scenario: Scenario) -> Iterator[Finding]:
    for link in scenario.network.links:
        location: Location = ("network", "links", link)
        ends = [end.strip() for end in link.split(">")]
        if len(ends) != 2:
            yield Finding(location, f"`{link}` is not a link; it is written FROM>TO, for example broker-1>broker-2")
            continue
        for end in ends:
            if end not in scenario.nodes:
                yield Finding(location, f"there is no node `{end}`{hint(end, scenario.nodes)}", (_BROKER_COUNT, *_NAMES))
        if ends[0] == ends[1]:
            yield Finding(location, "a node has no link with itself")


# ---------------------------------------------------------------------------------------------------- faults


def _fault_names(scenario: Scenario) -> Iterator[Finding]:
    taken: list[str] = []
    for index, fault in enumerate(scenario.faults):
        location: Location = ("faults", index, "as")
        if fault.name is None:
            continue
        if fault.name.isdecimal():
            yield Finding(location, f"`{fault.name}` would be taken for the fault's index; a name has a letter in it")
        if fault.name in taken:
            yield Finding(location, f"an earlier fault is called `{fault.name}` too", (("faults", "*", "as"),))
        taken.append(fault.name)


def _faults(scenario: Scenario) -> Iterator[Finding]:
    earlier: list[str] = []
    for index, fault in enumerate(scenario.faults):
        if isinstance(fault, AdminFault):
            yield from _administration(scenario, index, fault)
        known = _known(scenario, earlier)
        for key, selector in fault.selectors:
            said = complaint(selector, known) or _names_no_nodes(scenario, selector)
            if said is not None:
                yield Finding(("faults", index, key), said, _ground(selector))
        yield from _only_brokers(index, fault)
        if fault.when is not None:
            yield from _progress(scenario, fault.when, ("faults", index, "when"))
        earlier += [fault.name] if fault.name is not None else []


def _administration(scenario: Scenario, index: int, fault: AdminFault) -> Iterator[Finding]:
    """What it is about exists: topics, partitions, brokers."""
    partitions = {name: topic.partitions for name, topic in scenario.topics.items()}
    if isinstance(fault, AlterConfig):
        yield from _topic_exists(scenario, fault.topic, ("faults", index, "topic"))
    if isinstance(fault, Elect | Reassign):
        said = fault.complaint(partitions)
        if said is not None:
            yield Finding(("faults", index, "partition"), said, (("topics", "*", "partitions"), ("topics", "*")))
    if isinstance(fault, Reassign):
        brokers = scenario.cluster.brokers
        for broker_id in fault.to:
            if not 1 <= broker_id <= brokers:
                sentence = f"there is no broker {broker_id}; the cluster's brokers are 1 to {brokers}"
                yield Finding(("faults", index, "to"), sentence, (_BROKER_COUNT,))


def _names_no_nodes(scenario: Scenario, selector: Selector) -> str | None:
    """`$name` of an administrator's action, which hits no node."""
    named = next((fault for fault in scenario.faults if selector.kind == "$" and fault.name == selector.name), None)
    return f"{selector}: {named.what} is about no node" if isinstance(named, AdminFault) else None


def _ground(selector: Selector) -> tuple[Location, ...]:
    """Which values a complaint about a selector was concluded from."""
    if selector.kind == "broker":
        return (_BROKER_COUNT,)
    if selector.kind in {"producer", "consumer", "coordinator"}:
        return _NAMES
    return (("faults", "*", "as"),) if selector.kind == "$" else (("topics", selector.name, "partitions"),)


def _known(scenario: Scenario, earlier: list[str]) -> Known:
    partitions = {name: topic.partitions for name, topic in scenario.topics.items()}
    partitions[OFFSETS_TOPIC] = scenario.offsets_partitions
    members = {consumer.group: consumer.members for consumer in scenario.consumers}
    return Known(
        partitions,
        scenario.cluster.brokers,
        scenario.controller_ids,
        [producer.name for producer in scenario.producers],
        members,
        tuple(earlier),
    )


def _only_brokers(index: int, fault: Fault) -> Iterator[Finding]:
    for key, selector in fault.selectors:
        if key == "node" and fault.brokers_only and selector.clients_only:
            yield Finding(("faults", index, "node"), f"{fault.fault} on {selector}: {fault.brokers_only}")
        if key == "node" and fault.no_controller and selector.kind in {"controller", "controllers"}:
            yield Finding(("faults", index, "node"), f"{fault.fault} on {selector}: {fault.no_controller}")


def _progress(scenario: Scenario, when: When, location: Location) -> Iterator[Finding]:
    producers = [producer.name for producer in scenario.producers]
    groups = [consumer.group for consumer in scenario.consumers]
    if when.producer is not None and when.producer not in producers:
        yield Finding((*location, "producer"), f"there is no producer `{when.producer}`{hint(when.producer, producers)}", _NAMES)
    if when.group is not None and when.group not in groups:
        yield Finding((*location, "group"), f"there is no group `{when.group}`{hint(when.group, groups)}", _NAMES)


def _expectations(scenario: Scenario) -> Iterator[Finding]:
    groups = [consumer.group for consumer in scenario.consumers]
    for part, bounds in (("expect", scenario.expect), ("sometimes", scenario.sometimes)):
        for key in bounds:
            said = key_complaint(key, groups)
            if said is not None:
                yield Finding((part, key), said, _NAMES)
