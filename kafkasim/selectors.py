"""Selectors: how a scenario says which nodes a fault hits, before anybody knows who will be leader then.

`parse_selector` reads one, `complaint` says what no run could ever resolve, `resolve` asks the cluster at the moment the fault
fires. What came out is kept until the fault ends, and `$name` means exactly that of an earlier fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from kafkasim.protocol.node import broker_name, controller_name
from kafkasim.protocol.records import TopicPartition
from kafkasim.values import hint

_CALL = re.compile(r"([a-z]+)\(\s*([^()\s]+)\s*\)")
_NUMBERED = re.compile(r"(.+)-(\d+)")
FORMS = {
    "leader": "leader(T-P)",
    "followers": "followers(T-P)",
    "follower": "follower(T-P)",
    "isr": "isr(T-P)",
    "broker": "broker(N)",
    "brokers": "brokers",
    "controller": "controller",
    "controllers": "controllers",
    "coordinator": "coordinator(GROUP)",
    "producer": "producer(NAME)",
    "consumer": "consumer(GROUP-N)",
    "clients": "clients",
    "$": "$name",
}
_OF_PARTITION = ("leader", "followers", "follower", "isr")
_ALONE = ("brokers", "controller", "controllers", "clients")
_BY_ID = ("broker", "controller")
_CLIENTS = ("producer", "consumer", "clients")
OFFSETS_TOPIC = "__consumer_offsets"


@dataclass(frozen=True, slots=True)
class Selector:
    """One selector: `kind` of FORMS; `name` of a topic, group, producer or fault; `number` of a partition, broker, controller or member.

    `controller` is whichever is active when the fault fires, controller(N) the one with that id.
    """

    kind: str
    name: str = ""
    number: int = -1

    def __str__(self) -> str:
        if self.kind in _ALONE and self.number < 0:
            return self.kind
        if self.kind == "$":
            return f"${self.name}"
        if self.kind in _BY_ID:
            return f"{self.kind}({self.number})"
        return f"{self.kind}({self.name})" if self.number < 0 else f"{self.kind}({self.name}-{self.number})"

    @property
    def partition(self) -> TopicPartition:
        """The partition that leader(T-P) and its like speak of."""
        assert self.kind in _OF_PARTITION, f"{self} names no partition"
        return TopicPartition(self.name, self.number)

    @property
    def clients_only(self) -> bool:
        """Whether this can only ever be clients, whatever the run does."""
        return self.kind in _CLIENTS


class ClusterView(Protocol):
    """What a backend knows of its cluster at the moment a fault fires. All ids and names in ascending order."""

    @property
    def brokers(self) -> Sequence[str]:
        """The node names of all brokers, alive or not."""

    @property
    def controllers(self) -> Sequence[str]:
        """The node names of all controllers, alive or not."""

    @property
    def active_controller(self) -> str | None:
        """The node name of the controller that decides at this moment; of one alone always that one's. None during a fail-over."""

    @property
    def producers(self) -> Sequence[str]:
        """The node names of all producers."""

    @property
    def consumers(self) -> Sequence[str]:
        """The node names of all members of all groups."""

    def leader(self, partition: TopicPartition) -> int | None:
        """The broker that the controller holds to be leader, or None."""

    def replicas(self, partition: TopicPartition) -> Sequence[int]:
        """The brokers that hold a replica."""

    def isr(self, partition: TopicPartition) -> Sequence[int]:
        """The brokers in the in-sync replica set that the controller holds."""

    def coordinator(self, group: str) -> int | None:
        """The broker that leads the group's partition of __consumer_offsets, or None."""

    def named(self, name: str) -> Sequence[str]:
        """The nodes that the fault called `as: name` hit; none where it has not fired."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a scenario declares, so that a selector of something else is found before any run."""

    partitions: Mapping[str, int]  # of each topic
    brokers: int
    controllers: Sequence[int]  # their ids
    producers: Sequence[str]
    members: Mapping[str, int]  # of each group
    earlier: Sequence[str] = field(default=())  # what earlier faults are called


def parse_selector(text: object) -> Selector:
    """Read one selector, or say in one sentence why it is none."""
    if isinstance(text, Selector):
        return text
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a selector; it is written like leader(orders-0) or broker(1)")
    text = text.strip()
    if text in _ALONE:
        return Selector(text)
    if text.startswith("$"):
        if len(text) == 1:
            raise ValueError("$ alone names no fault; it is written $name, where an earlier fault says `as: name`")
        return Selector("$", text[1:])
    match = _CALL.fullmatch(text)
    if match is None or match[1] not in FORMS or (match[1] in _ALONE and match[1] not in _BY_ID):
        word = text.partition("(")[0]
        form = FORMS.get(word)
        if (numbered := _NUMBERED.fullmatch(text)) is not None and numbered[1] in _BY_ID:  # as reports and links name that node
            form = f"{numbered[1]}({numbered[2]})"
        raise ValueError(f"`{text}` is not a selector" + (f"; it is written {form}" if form else hint(word, FORMS.values())))
    return _call(match[1], match[2])


def _call(kind: str, argument: str) -> Selector:
    if kind in _BY_ID:
        if not argument.isdecimal():
            first = 1 if kind == "broker" else 100
            raise ValueError(f"{kind}({argument}) names no {kind}; it is written {kind}(N), and ids count from {first}")
        return Selector(kind, number=int(argument))
    if kind in {"coordinator", "producer"}:
        return Selector(kind, argument)
    match = _NUMBERED.fullmatch(argument)
    if match is None:
        what = "the group, a dash and the member" if kind == "consumer" else "the topic, a dash and the partition"
        example = f"{kind}({argument}-0)"
        raise ValueError(f"{kind}({argument}) lacks a number; it takes {what}, for example {example}")
    return Selector(kind, match[1], int(match[2]))


def complaint(selector: Selector, known: Known) -> str | None:
    """One sentence where the selector means something that this scenario has not, else None."""
    if selector.kind in _OF_PARTITION:
        return _partition_complaint(selector, known)
    if selector.kind == "broker" and not 1 <= selector.number <= known.brokers:
        return f"{selector}: there is no broker {selector.number}; the cluster's brokers are 1 to {known.brokers}"
    if selector.kind == "controller" and selector.number >= 0 and selector.number not in known.controllers:
        there_is = " and ".join(map(str, known.controllers))
        return f"{selector}: there is no controller {selector.number}; there is {there_is}"
    if selector.kind == "producer" and selector.name not in known.producers:
        return f"{selector}: there is no producer `{selector.name}`{hint(selector.name, known.producers)}"
    if selector.kind in {"coordinator", "consumer"} and selector.name not in known.members:
        return f"{selector}: there is no group `{selector.name}`{hint(selector.name, known.members)}"
    if selector.kind == "consumer" and selector.number >= known.members[selector.name]:
        last = known.members[selector.name] - 1
        names = f"{selector.name}-0" if last == 0 else f"{selector.name}-0 to {selector.name}-{last}"
        return f"{selector}: the group has no such member; there is {names}"
    if selector.kind == "$" and selector.name not in known.earlier:
        near = hint(selector.name, known.earlier)
        return f"{selector}: no earlier fault says `as: {selector.name}`{near}"
    return None


def _partition_complaint(selector: Selector, known: Known) -> str | None:
    if selector.name not in known.partitions:
        topics = [topic for topic in known.partitions if topic != OFFSETS_TOPIC]
        return f"{selector}: there is no topic `{selector.name}`{hint(selector.name, topics)}"
    partitions = known.partitions[selector.name]
    if selector.number >= partitions:
        named = f"{selector.name}-0" if partitions == 1 else f"{selector.name}-0 to {selector.name}-{partitions - 1}"
        return f"{selector}: the topic has no partition {selector.number}; there is {named}"
    return None


def resolve(selector: Selector, view: ClusterView) -> tuple[str, ...]:
    """The nodes it means at this moment, in a fixed order; none where, for example, a partition has no leader just now."""
    return tuple(_RESOLVERS[selector.kind](selector, view))


def resolve_all(selectors: Sequence[Selector], view: ClusterView) -> tuple[str, ...]:
    """The nodes of several selectors, each once, in the order they are first named."""
    return tuple(dict.fromkeys(node for selector in selectors for node in resolve(selector, view)))


def _broker(broker_id: int | None) -> list[str]:
    return [] if broker_id is None or broker_id < 0 else [broker_name(broker_id)]


def _controller(selector: Selector, view: ClusterView) -> list[str]:
    if selector.number >= 0:
        return [controller_name(selector.number)]
    return [] if view.active_controller is None else [view.active_controller]


def _followers(selector: Selector, view: ClusterView) -> list[str]:
    leader = view.leader(selector.partition)
    return [broker_name(replica) for replica in sorted(view.replicas(selector.partition)) if replica != leader]


_RESOLVERS: Mapping[str, Callable[[Selector, ClusterView], Sequence[str]]] = {
    "leader": lambda selector, view: _broker(view.leader(selector.partition)),
    "followers": _followers,
    "follower": lambda selector, view: _followers(selector, view)[:1],
    "isr": lambda selector, view: [broker_name(replica) for replica in sorted(view.isr(selector.partition))],
    "broker": lambda selector, _: [broker_name(selector.number)],
    "brokers": lambda _, view: view.brokers,
    "controller": _controller,
    "controllers": lambda _, view: view.controllers,
    "coordinator": lambda selector, view: _broker(view.coordinator(selector.name)),
    "producer": lambda selector, _: [selector.name],
    "consumer": lambda selector, _: [f"{selector.name}-{selector.number}"],
    "clients": lambda _, view: [*view.producers, *view.consumers],
    "$": lambda selector, view: view.named(selector.name),
}


def _parse_nodes(value: object) -> tuple[Selector, ...]:
    """One selector, or a list of them."""
    selectors = [parse_selector(item) for item in value] if isinstance(value, list | tuple) else [parse_selector(value)]
    if not selectors:
        raise ValueError("an empty list selects nobody")
    return tuple(selectors)


def _show_nodes(selectors: tuple[Selector, ...]) -> str | list[str]:
    return str(selectors[0]) if len(selectors) == 1 else [str(selector) for selector in selectors]


_ONE = {"type": "string", "examples": list(FORMS.values())}
_SCHEMA = {"anyOf": [_ONE, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
Nodes = Annotated[
    tuple[Selector, ...], PlainValidator(_parse_nodes), PlainSerializer(_show_nodes, return_type=Any), WithJsonSchema(_SCHEMA)
]
