"""What an administrator does while the cluster runs: elects leaders, moves replicas, changes a topic's settings.

In Kafka: `kafka-leader-election` (ElectLeaders, KIP-460), `kafka-reassign-partitions` (AlterPartitionReassignments, KIP-455) and
`kafka-configs` (IncrementalAlterConfigs, KIP-339). They stand among the faults since they, too, move leaders at a moment that nobody asks
the clients about. Each is one moment, and nothing undoes it: a reassignment that was begun goes on after the final heal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema, field_validator

from kafkasim.fault_base import Fault, Step, Verb
from kafkasim.protocol.config import Kind, parse
from kafkasim.values import Name, Setting, hint

CANCEL = "cancel"  # as the target of a reassignment: take back the one that is under way


def _parse_partitions(value: object) -> tuple[str, ...]:
    """One name of a partition or topic, or a list of them."""
    names = tuple(value) if isinstance(value, list | tuple) else (value,)
    for name in names:
        if not isinstance(name, str) or not name:
            raise ValueError(f"{name!r} names no partition; it is written like orders-0, or orders for all partitions of the topic")
    if not names:
        raise ValueError("an empty list names no partition")
    return names


def _parse_target(value: object) -> tuple[int, ...]:
    """The ids of the brokers that are to hold the replicas; `cancel` is none."""
    if value in (CANCEL, ()):
        return ()
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"{value!r} is no list of brokers; it is written like [2, 3, 1], the preferred leader first, or {CANCEL}")
    for broker_id in value:
        if isinstance(broker_id, bool) or not isinstance(broker_id, int):
            raise ValueError(f"{broker_id!r} is not the id of a broker; ids are whole numbers from 1")
    twice = next((broker_id for position, broker_id in enumerate(value) if broker_id in value[:position]), None)
    if twice is not None:
        raise ValueError(f"broker {twice} stands in the list twice, and can hold one replica only")
    return tuple(value)


def _one_or_list(items: tuple[Any, ...]) -> Any:
    return items[0] if len(items) == 1 else list(items)


_NAMES: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_TARGET: dict[str, Any] = {"anyOf": [{"const": CANCEL}, {"type": "array", "items": {"type": "integer"}, "minItems": 1}]}
Partitions = Annotated[
    tuple[str, ...], PlainValidator(_parse_partitions), PlainSerializer(_one_or_list, return_type=Any), WithJsonSchema(_NAMES)
]
Target = Annotated[
    tuple[int, ...],
    PlainValidator(_parse_target),
    PlainSerializer(lambda replicas: list(replicas) or CANCEL, return_type=Any),
    WithJsonSchema(_TARGET),
]


class AdminFault(Fault):
    """An administrator's action. It hits no node; what it is about are partitions or a topic, by name."""

    ends_with = ""

    def subjects(self, partitions: Mapping[str, int]) -> tuple[str, ...]:
        """What it is about, each once; `partitions` is how many each topic has."""
        raise NotImplementedError

    def steps(self, nodes: Sequence[str], others: Sequence[str]) -> Iterator[Step]:
        """One moment, whatever `for` says. `nodes`: the subjects."""
        yield from self.begin(nodes, others)


class _OfPartitions(AdminFault):
    """An action on single partitions."""

    partition: Partitions = Field(description="which partition (orders-0), or all of a topic (orders), or a list of these")

    def subjects(self, partitions: Mapping[str, int]) -> tuple[str, ...]:
        """The partitions; a topic stands for all of its own."""
        return tuple(dict.fromkeys(each for name in self.partition for each in _expanded(name, partitions)))

    def complaint(self, partitions: Mapping[str, int]) -> str | None:
        """One sentence where a name is neither a topic nor one of its partitions."""
        for name in self.partition:
            topic, _, index = name.rpartition("-")
            if name in partitions or (topic in partitions and index.isdecimal() and int(index) < partitions[topic]):
                continue
            if topic in partitions and index.isdecimal():
                return f"`{name}`: the topic has no partition {index}; the last one is {topic}-{partitions[topic] - 1}"
            known = [*partitions, *(f"{topic}-{index}" for topic, count in partitions.items() for index in range(count))]
            return f"there is no partition `{name}`{hint(name, known)}"
        return None


def _expanded(name: str, partitions: Mapping[str, int]) -> Sequence[str]:
    return [f"{name}-{index}" for index in range(partitions[name])] if name in partitions else [name]


class Elect(_OfPartitions):
    """ElectLeaders: the preferred leader leads again if it is in sync; or, of a partition without a leader, anybody who is alive does."""

    begins_with = "elect"
    fault: Literal["elect"]
    election: Literal["preferred", "unclean"] = Field(description="preferred: the first replica; unclean: anybody, whatever that loses")

    @property
    def what(self) -> str:
        """What is done to whom, without when."""
        return f"{self.election} election of {', '.join(self.partition)}"

    def begin(self, nodes: Sequence[str], others: Sequence[str]) -> list[Verb]:  # noqa: ARG002  (it touches no links)
        """Ask for each partition."""
        return [Verb("elect", (partition, self.election)) for partition in nodes]


class Reassign(_OfPartitions):
    """AlterPartitionReassignments: other brokers hold the replicas, as soon as these have caught up."""

    begins_with = "reassign"
    fault: Literal["reassign"]
    to: Target = Field(
        description="the brokers that are to hold the replicas, the preferred leader first; `cancel` takes one under way back"
    )

    @property
    def what(self) -> str:
        """What is done to whom, without when."""
        return f"reassignment of {', '.join(self.partition)} to {', '.join(map(str, self.to))}" if self.to else self._cancelled

    @property
    def _cancelled(self) -> str:
        return f"cancelled reassignment of {', '.join(self.partition)}"

    def begin(self, nodes: Sequence[str], others: Sequence[str]) -> list[Verb]:  # noqa: ARG002  (it touches no links)
        """Ask for each partition."""
        return [Verb("reassign", (partition, *self.to)) for partition in nodes]


class AlterConfig(AdminFault):
    """IncrementalAlterConfigs: some of a topic's settings have other values from here on, those not named stay."""

    begins_with = "alter_config"
    fault: Literal["alter-config"]
    topic: Name = Field(description="whose settings")
    config: Mapping[str, Setting] = Field(description="the settings with their new values")

    @field_validator("config")
    @classmethod
    def _modelled(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if not value:
            raise ValueError("no setting is named, so that nothing would change")
        parsed = parse(Kind.TOPIC, value)
        problems = [problem.sentence for problem in parsed.problems]
        problems += [f"{key} is not modelled, so that its change would change nothing" for key in parsed.not_modelled]
        if problems:
            raise ValueError("; ".join(problem.rstrip(".") for problem in problems))
        return value

    @property
    def settings(self) -> tuple[tuple[str, str | float], ...]:
        """Kafka's keys with what they mean: numbers, truth and words, as the machines have them."""
        config = parse(Kind.TOPIC, self.config).config
        return tuple((name, getattr(config, name.replace(".", "_"))) for name in self.config)

    @property
    def what(self) -> str:
        """What is done to whom, without when."""
        said = ", ".join(f"{name}={str(value).lower()}" for name, value in self.config.items())
        return f"{said} for {self.topic}"

    def subjects(self, partitions: Mapping[str, int]) -> tuple[str, ...]:  # noqa: ARG002  (it is about the whole topic)
        """The topic."""
        return (self.topic,)

    def begin(self, nodes: Sequence[str], others: Sequence[str]) -> list[Verb]:  # noqa: ARG002  (it touches no links)
        """Change each setting."""
        return [Verb("alter_config", (topic, name, value)) for topic in nodes for name, value in self.settings]


def refusal(verb: Verb, why: str) -> str:
    """What a run notes where the controller did not do what `verb` asks, in the same words on either backend. `why`: Kafka's error."""
    subject, *rest = verb.arguments
    if verb.name == "elect":
        return f"the {rest[0]} election of {subject} did not take place: {why}"
    if verb.name == "reassign":
        return f"the reassignment of {subject} was not {'begun' if rest else 'cancelled'}: {why}"
    return f"{rest[0]} of {subject} was not changed: {why}"
