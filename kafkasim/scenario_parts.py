"""The parts of a scenario: cluster, network, topics, producers, consumers. (Faults have faults.py, Kafka's parameters protocol/config.py.)

A dotted key is spelled as Kafka spells its own; the attribute has underscores: `record.size` is `producer.record_size`. What is
measured in ms ends in `_ms`, whether the file says `startup.ms: 3000` or `start: 3s`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from kafkasim.faults import FAULTS, When, fault_words
from kafkasim.protocol.flavours import Client
from kafkasim.scenario_file import Location
from kafkasim.values import Count, Duration, FeatureLevel, Few, Keys, KeysField, Milliseconds, Name, Rate, Setting, Text

FIRST_CONTROLLER = 100  # the id of the first controller; brokers count from 1
_MOST_BROKERS = FIRST_CONTROLLER - 1
QUORUM_SIZES = (1, 3, 5)


class Part(BaseModel):
    """What every part has in common: nothing changes it, and it takes no key it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Cluster(Part):
    """The brokers and controllers. Start-up and controlled shutdown take time that is no configuration, so it stands here."""

    brokers: Few = Field(default=3, description="how many; their ids count from 1")
    controllers: Few = Field(default=1, description="how many, 1 or 3 or 5; their ids count from 100")
    config: Mapping[str, Setting] = Field(default_factory=dict, description="goes to every broker and controller")
    features: Mapping[str, FeatureLevel] = Field(
        default_factory=dict, description="finalized features of the cluster: eligible.leader.replicas.version, 0 or 1 (KIP-966)"
    )
    startup_ms: Milliseconds = Field(default=3000.0, alias="startup.ms", description="from the start of a process to its registration")
    shutdown_ms: Milliseconds = Field(default=1200.0, alias="shutdown.ms", description="how long a controlled shutdown takes")
    truncation: Literal["kip595", "kip320", "kip279", "kip101", "hw"] = Field(
        default="kip595", description="how followers find where their log parts from the leader's: today, or as Kafka did before"
    )

    @field_validator("brokers")
    @classmethod
    def _ids_below_the_controllers(cls, brokers: int) -> int:
        if brokers > _MOST_BROKERS:
            raise ValueError(f"{brokers} is too many: the ids from {FIRST_CONTROLLER} on are the controllers'")
        return brokers

    @field_validator("controllers")
    @classmethod
    def _an_odd_quorum(cls, controllers: int) -> int:
        if controllers not in QUORUM_SIZES:
            raise ValueError(f"{controllers} is no good quorum; there may be 1, or 3 to survive one failure, or 5 to survive two")
        return controllers


class Link(Part):
    """One direction of one link, where it differs from the network."""

    latency_ms: Milliseconds | None = Field(default=None, alias="latency.ms", description="one way; without it, the network's")
    jitter_ms: Milliseconds | None = Field(default=None, alias="jitter.ms", description="without it, the network's")


class Network(Part):
    """Latency between any two nodes, one way."""

    latency_ms: Milliseconds = Field(default=0.3, alias="latency.ms", description="one way, between any two nodes")
    jitter_ms: Milliseconds = Field(default=0.1, alias="jitter.ms", description="by how much that varies")
    links: Mapping[str, Link] = Field(default_factory=dict, description="FROM>TO, such as broker-1>broker-2: one direction that differs")

    def between(self, a: str, b: str) -> tuple[float, float]:
        """Latency and jitter of what node `a` sends to node `b`, in ms."""
        link = self.links.get(f"{a}>{b}")
        if link is None:
            return self.latency_ms, self.jitter_ms
        latency = self.latency_ms if link.latency_ms is None else link.latency_ms
        return latency, self.jitter_ms if link.jitter_ms is None else link.jitter_ms

    @field_validator("links")
    @classmethod
    def _one_spelling(cls, links: Mapping[str, Link]) -> Mapping[str, Link]:
        return {">".join(end.strip() for end in key.split(">")): link for key, link in links.items()}


class Topic(Part):
    """One topic, which exists before the workload begins."""

    partitions: Few = Field(default=1, description="how many")
    replication_factor: Count = Field(default=3, alias="replication.factor", description="replicas of each partition")
    config: Mapping[str, Setting] = Field(default_factory=dict, description="the topic's configuration")


class Producer(Part):
    """One application that produces, its workload, and what it does about failures."""

    name: Name = Field(description="the producer's name, and its node's")
    topic: Text = Field(description="the topic it writes to")
    client: Client = Field(default=Client.JAVA, description="whose library: its defaults and its meanings")
    records: Count = Field(default=5000, description="how many it sends")
    rate: Rate = Field(default=500.0, description="records per second")
    arrivals: Literal["constant", "poisson"] = Field(default="constant", description="evenly spaced, or at random with that mean")
    keys: KeysField = Field(default_factory=Keys, description="none, uniform(N) or zipf(N, s)")
    record_size: Count = Field(default=100, alias="record.size", description="bytes of a record's value")
    on_failure: Literal["drop", "resend", "spool"] = Field(
        default="drop", alias="on.failure", description="forget it, send it again, or keep it on local disk until the broker answers again"
    )
    on_restart: Literal["continue", "resend"] = Field(
        default="continue",
        alias="on.restart",
        description="after a crash: go on with the next record, or resend from the last callback on",
    )
    spool_retry_ms: Milliseconds = Field(
        default=1000.0, alias="spool.retry.ms", description="how often the spool tries one record again when nothing else was acked"
    )
    config: Mapping[str, Setting] = Field(default_factory=dict, description="goes verbatim to the client")

    @field_validator("records", mode="before")
    @classmethod
    def _some_records(cls, records: object) -> object:
        if records == 0 and not isinstance(records, bool):
            raise ValueError("a producer of 0 records shows nothing; the least is 1")
        return records

    @field_validator("spool_retry_ms")
    @classmethod
    def _not_at_once(cls, value: float) -> float:
        return _at_least_one_ms(value, "a spool that tried again without a pause would do nothing else")


class ConsumerGroup(Part):
    """One group of applications that consume, and in which order they process, commit and mark."""

    group: Name = Field(description="the group's name; its members are GROUP-0, GROUP-1 …")
    topics: tuple[Text, ...] = Field(description="the topics it reads")
    members: Few = Field(default=1, description="how many members")
    client: Client = Field(default=Client.JAVA, description="whose library: its defaults and its meanings")
    start_ms: Duration = Field(
        default=0.0, alias="start", description="when it joins, counted from the start of the workload", json_schema_extra={"default": "0s"}
    )
    committed: Literal["nothing", "beginning"] = Field(
        default="nothing", description="what the group has committed before the run: nothing, or the beginning of every partition"
    )
    commit: Literal["after-processing", "before-processing", "auto", "worker-threads"] = Field(
        default="after-processing", description="when offsets are committed; sets enable.auto.commit unless the configuration does"
    )
    threads: Few = Field(default=4, description="of worker-threads")
    worker_commit: Literal["polled", "highest-finished", "lowest-contiguous"] = Field(
        default="polled", alias="worker.commit", description="which offset worker-threads commit"
    )
    poll_timeout_ms: Milliseconds = Field(default=200.0, alias="poll.timeout.ms", description="how long poll() or consume(n) waits")
    processing_ms: Milliseconds = Field(default=0.0, alias="processing.ms", description="how long handling one record takes")
    dedup: Literal["none", "sqlite", "redis"] = Field(default="none", description="the store of processing flags, asked before handling")
    dedup_order: Literal["mark-first", "mark-last", "transaction"] = Field(
        default="mark-last", alias="dedup.order", description="the flag before the effect, after it, or both in one transaction"
    )
    dedup_url: Text | None = Field(default=None, alias="dedup.url", description="where a Redis is, for example redis://localhost:6379/0")
    dedup_ms: Milliseconds = Field(default=0.5, alias="dedup.ms", description="how long one access to that store takes")
    config: Mapping[str, Setting] = Field(default_factory=dict, description="goes verbatim to the client")

    @field_validator("poll_timeout_ms")
    @classmethod
    def _waits(cls, value: float) -> float:
        return _at_least_one_ms(value, "a poll that did not wait would spin")

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of its members."""
        return tuple(f"{self.group}-{member}" for member in range(self.members))


def _at_least_one_ms(value: float, why: str) -> float:
    if value < 1:
        raise ValueError(f"{value:g} is too short: {why}; the least is 1")
    return value


_PARTS: Mapping[tuple[str, ...], type[BaseModel]] = {
    ("cluster",): Cluster,
    ("network",): Network,
    ("network", "links", "*"): Link,
    ("topics", "*"): Topic,
    ("producers", "*"): Producer,
    ("consumers", "*"): ConsumerGroup,
    ("faults", "*", "when"): When,
}


def part_at(location: Location, data: object) -> type[BaseModel] | None:
    """Which part's keys are expected at a location; for a fault, those of the fault that its word names."""
    if len(location) == 2 and location[0] == "faults":
        faults = data.get("faults") if isinstance(data, dict) else None
        index = location[1]
        fault = faults[index] if isinstance(faults, list | tuple) and isinstance(index, int) and index < len(faults) else None
        word = fault.get("fault") if isinstance(fault, dict) else None
        return dict(zip(fault_words(), FAULTS, strict=True)).get(str(word))
    for shape, part in _PARTS.items():
        if len(shape) == len(location) and all(want in {"*", step} for want, step in zip(shape, location, strict=True)):
            return part
    return None
