"""A scenario: cluster, topics, clients, workload, faults and seed, as data. It can be diffed, hashed, swept, shrunk and drawn.

Kafka's own names, units and defaults wherever Kafka has a parameter; our own words elsewhere. A scenario never changes: `with_` and
`overlay` make another one. It knows of each effective configuration value where it came from. Its parts are in scenario_parts.py.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, field_validator, model_validator

from kafkasim import scenario_checks, scenario_config, scenario_expect
from kafkasim.faults import AdminFault, AnyFault
from kafkasim.protocol.config import BrokerConfig, TopicConfig, belongs_to_place
from kafkasim.protocol.flavours import ConsumerSettings, ProducerSettings, consumer_settings, producer_settings
from kafkasim.protocol.node import broker_name, controller_name
from kafkasim.protocol.profiles import ELR_FEATURE, PROFILES, Profile
from kafkasim.scenario_config import Effective, Place
from kafkasim.scenario_errors import problems_of, raise_findings
from kafkasim.scenario_file import Location, Origins, Problem, Properties, ScenarioError, find_scenario, read_yaml, write_yaml
from kafkasim.scenario_parts import FIRST_CONTROLLER, Cluster, ConsumerGroup, Link, Network, Part, Producer, Topic, part_at
from kafkasim.scenario_paths import locate, put, put_origin
from kafkasim.scenario_schema import complete_schema
from kafkasim.values import BoundField, Seed, Text, did_you_mean

__all__ = ["Scenario", "Cluster", "Network", "Link", "Topic", "Producer", "ConsumerGroup", "ScenarioError", "Problem", "PROFILES", "schema"]


class Scenario(Part):
    """One scenario, validated as a whole. Make one with `load`, `loads` or `of`; change one with `with_` or `overlay`."""

    name: Text = Field(default="scenario", description="a short name, without blanks")
    title: Text = Field(default="", description="what happens in it, in one line")
    kafka: Text = Field(default="4.1", description="whose defaults and behaviours")
    seed: Seed = Field(default=1, description="of all that is random")
    cluster: Cluster = Field(default_factory=Cluster, description="brokers and controllers")
    network: Network = Field(default_factory=Network, description="latencies")
    topics: Mapping[str, Topic] = Field(description="the topics, by name")
    producers: tuple[Producer, ...] = Field(description="the applications that produce")
    consumers: tuple[ConsumerGroup, ...] = Field(default=(), description="the groups that consume")
    faults: tuple[AnyFault, ...] = Field(default=(), description="what goes wrong")
    expect: Mapping[str, BoundField] = Field(default_factory=dict, description="what every run's report must say")
    sometimes: Mapping[str, BoundField] = Field(default_factory=dict, description="what at least one of several runs' reports must say")

    _places: tuple[Place, ...] = PrivateAttr(())
    _origins: Origins = PrivateAttr(default_factory=dict)
    _remarks: tuple[str, ...] = PrivateAttr(())
    _called: str = PrivateAttr("")
    _changes: tuple[str, ...] = PrivateAttr(())

    @field_validator("kafka", mode="before")
    @classmethod
    def _profile(cls, value: object) -> object:
        text = str(value) if isinstance(value, float) else value  # kafka: 4.1 without quotes is a number
        if isinstance(text, str) and text not in PROFILES:
            raise ValueError(f"Kafka {text} is not modelled; what is: {', '.join(PROFILES)}{did_you_mean(text, PROFILES)}")
        return text

    @model_validator(mode="after")
    def _between_values(self) -> Self:
        self._places = scenario_config.read_places(self)
        raise_findings([*scenario_checks.findings(self), *scenario_config.config_findings(self, self._places)])
        return self

    # ------------------------------------------------------------------------------------------------ making and changing

    @classmethod
    def load(cls, path_or_name: str | Path) -> Scenario:
        """Read a file, or a shipped scenario by its name. Raises ScenarioError with everything that is wrong."""
        text, source = find_scenario(path_or_name)
        scenario = cls.loads(text, source)
        scenario._called = str(path_or_name)
        return scenario

    @classmethod
    def loads(cls, text: str, source: str = "<text>") -> Scenario:
        """Read YAML; `source` is what errors and origins call it. Of a study that holds its scenario, that scenario is read."""
        data, origins, problems = read_yaml(text, source)
        if isinstance(inside := data.get("scenario"), dict) and "topics" not in data:
            data, origins = dict(inside), {location[1:]: said for location, said in origins.items() if location[:1] == ("scenario",)}
        if not source.startswith("<"):
            data.setdefault("name", Path(source).stem)
        try:
            scenario = cls.of(data, origins)
        except ScenarioError as error:
            raise ScenarioError([*problems, *error.problems]) from None
        if problems:
            raise ScenarioError(problems)
        return scenario

    @classmethod
    def of(cls, data: Mapping[str, Any], origins: Origins | None = None, remarks: tuple[str, ...] = ()) -> Scenario:
        """Validate plain data, as it stands in a file. `origins` says of each location who said so."""
        plain = dict(data)
        try:
            scenario = cls.model_validate(plain)
        except ValidationError as error:
            raise ScenarioError(problems_of(error, plain, origins or {}, _model_at, cls.model_validate)) from None
        scenario._origins = dict(origins or {})
        scenario._remarks = remarks
        return scenario

    def with_(self, changes: Mapping[str, Any], origin: str = "--set") -> Scenario:
        """A scenario in which each path has its new value: `{"producers.shop.config.acks": 1, "faults.zombie.for": "8s"}`.

        None takes a value away, so that its default counts again. A path may lead into what an earlier one has put there. `origin` is who
        the effective configuration says it was.
        """
        complete = self.model_dump(mode="json", by_alias=True)
        located, problems = list[tuple[Location, Any]](), list[Problem]()
        for path, value in changes.items():
            try:
                location = locate(path, complete, origin)
            except ScenarioError as error:
                problems += error.problems
                continue
            located.append((location, copy.deepcopy(value)))
            if isinstance(value, dict | list):
                put(complete, location, copy.deepcopy(value))
                _name_all_keys(complete, location)
        if problems:
            raise ScenarioError(problems)
        changed = self._changed(located, dict.fromkeys((location for location, _ in located), origin), ())
        changed._changes = (*self._changes, *(f"--set {shlex.quote(f'{path}={as_text(value)}')}" for path, value in changes.items()))
        return changed

    def overlay(self, kind: str, properties: Mapping[str, Any], origin: str) -> Scenario:
        """Lay a .properties file over all configurations of a kind: producer, consumer, broker or topic.

        What belongs to a place and not to behaviour is left out, and noted. `origin` is what the file is called.
        """
        assert kind in {"producer", "consumer", "broker", "topic"}, f"there are no {kind} configurations"
        if kind == "broker":
            places: list[Location] = [("cluster", "config")]
        elif kind == "topic":
            places = [("topics", name, "config") for name in self.topics]
        else:
            clients = self.producers if kind == "producer" else self.consumers
            places = [(f"{kind}s", index, "config") for index in range(len(clients))]
        lines = properties.lines if isinstance(properties, Properties) else {}
        origins = {key: f"{origin}:{lines[key]}" if key in lines else origin for key in properties}
        taken = [key for key in properties if not belongs_to_place(key)]
        remarks = [f"{origins[key]}: {key} belongs to a place, not to behaviour; left out." for key in properties if key not in taken]
        remarks += [] if places else [f"{origin}: there is no {kind} in this scenario to configure."]
        located = [((*place, key), properties[key]) for place in places for key in taken]
        changed = self._changed(located, {location: origins[str(location[-1])] for location, _ in located}, tuple(remarks))
        changed._changes = (*self._changes, f"--{kind}-config {shlex.quote(origin)}")
        return changed

    def _changed(self, located: list[tuple[Location, Any]], said: Mapping[Location, str], remarks: tuple[str, ...]) -> Scenario:
        data, origins = self.data(), dict(self._origins)
        for location, value in located:
            put(data, location, value)
            put_origin(origins, location, said[location])
        changed = Scenario.of(data, origins, self._remarks + remarks)
        changed._called = self._called
        return changed

    @property
    def called(self) -> str:
        """The name or path it was loaded by, for the command that repeats a run; its own name where it came from elsewhere."""
        return self._called or self.name

    def called_by(self, path_or_name: str) -> Scenario:
        """The same scenario, to be loaded by this name or path in the command that repeats a run."""
        called = self.model_copy()
        called._called = path_or_name
        return called

    @property
    def changes(self) -> tuple[str, ...]:
        """What was laid over it since it was loaded, as options of the command line, in order."""
        return self._changes

    # ------------------------------------------------------------------------------------------------ as text

    def data(self) -> dict[str, Any]:
        """What was given, as plain data: `Scenario.of` makes the same scenario of it."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def to_yaml(self) -> str:
        """What was given, as YAML: `Scenario.loads` makes the same scenario of it."""
        return write_yaml(self.data())

    @property
    def scenario_id(self) -> str:
        """Twelve hexadecimal digits that are equal for scenarios that behave alike.

        Every value that reaches behaviour counts, defaults and effective configurations too. Seed, name, title and expectations do not:
        a report gives the seed beside it.
        """
        return self.behaviour_digest[:12]

    @property
    def behaviour_digest(self) -> str:
        """The whole of the digest (SHA-256, 64 digits) whose first twelve are `scenario_id`: where millions of scenarios must not meet."""
        what = self.model_dump(mode="json", by_alias=True, exclude={"name", "title", "seed", "expect", "sometimes"})
        if self.eligible_leader_replicas == (self.profile.behaviours.eligible_leader_replicas_version == 1):
            del what["cluster"]["features"]  # the default of its version, said or not
        for part in (what["cluster"], *what["topics"].values(), *what["producers"], *what["consumers"]):
            del part["config"]
        what["config"] = scenario_config.canonical(self._places)
        return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        """Equal values; where they came from does not matter."""
        if not isinstance(other, Scenario):
            return NotImplemented
        return all(getattr(self, field) == getattr(other, field) for field in Scenario.model_fields)

    def __hash__(self) -> int:
        return hash((self.scenario_id, self.name, self.seed))

    # ------------------------------------------------------------------------------------------------ configuration

    @property
    def notes(self) -> tuple[str, ...]:
        """What was accepted and is worth knowing: what Kafka changes in silence, what an overlay left out."""
        return (*scenario_config.notes(self, self._places), *self._own_notes(), *self._remarks)

    @property
    def not_modelled(self) -> tuple[str, ...]:
        """The paths of configuration that Kafka knows and the simulator does not act on."""
        return tuple(scenario_config.not_modelled(self._places))

    def effective(self) -> list[Effective]:
        """(place, key, value, origin) of every effective configuration value, as Kafka writes it."""
        return scenario_config.effective(self._places, self._origins, self.kafka)

    def producer_settings(self, name: str) -> ProducerSettings:
        """What the producer machine of that name obeys."""
        return producer_settings(self._config(f"producers.{name}"))

    def consumer_settings(self, group: str) -> ConsumerSettings:
        """What the consumer machines of that group obey."""
        return consumer_settings(self._config(f"consumers.{group}"))

    def broker_config(self) -> BrokerConfig:
        """What brokers and controllers obey."""
        config: BrokerConfig = self._config("cluster")
        return config

    def topic_config(self, topic: str | None) -> TopicConfig:
        """What the topic's replicas obey; None: a topic with no values of its own, as __consumer_offsets is."""
        config = scenario_config.inherited(self.broker_config(), self.profile) if topic is None else self._config(f"topics.{topic}")
        assert isinstance(config, TopicConfig), "a topic's place holds a topic's configuration"
        return config

    @property
    def profile(self) -> Profile:
        """The version of Kafka: its defaults and behaviours."""
        return PROFILES[self.kafka]

    @property
    def eligible_leader_replicas(self) -> bool:
        """Whether the cluster has eligible leader replicas (KIP-966): `cluster.features`, or else what a new one of the version has."""
        given = self.cluster.features.get(ELR_FEATURE)
        return (self.profile.behaviours.eligible_leader_replicas_version if given is None else given) == 1

    @property
    def offsets_partitions(self) -> int:
        """Partitions of __consumer_offsets."""
        return self.broker_config().offsets_topic_num_partitions

    def missed_expectations(self, reports: Sequence[Mapping[str, Any]]) -> list[str]:
        """A sentence for each `expect` that one of the reports (as written to JSON) missed, and each `sometimes` that none met."""
        return scenario_expect.missed(self.expect, self.sometimes, reports)

    @property
    def drain_ms(self) -> float:
        """The longest that the drain may take: the longest timeout of any client, and a minute."""
        producers = [self.producer_settings(producer.name) for producer in self.producers]
        consumers = [self.consumer_settings(consumer.group) for consumer in self.consumers]
        timeouts = [time for each in producers for time in (each.delivery_timeout_ms, each.request_timeout_ms, each.max_block_ms)]
        for each in consumers:
            timeouts += [each.session_timeout_ms, each.max_poll_interval_ms, each.request_timeout_ms, each.default_api_timeout_ms]
        return max(time for time in timeouts if math.isfinite(time)) + 60_000.0

    def _config(self, place: str) -> Any:
        """The parsed configuration; while others are still being complained about, a refused one counts as all defaults."""
        found = next(each for each in self._places if each.name == place)
        return found.parsed.config or scenario_config.defaults(found.kind, self.profile)

    def _own_notes(self) -> list[str]:
        """What our own words say without effect."""
        said = []
        for index, fault in enumerate(self.faults):
            if fault.for_ms is not None and fault.fault in {"disconnect", "bounce"}:
                said.append(f"faults.{fault.name or index}: a {fault.fault} ends by itself; `for` has no effect.")
            if fault.for_ms is not None and isinstance(fault, AdminFault):
                said.append(f"faults.{fault.name or index}: nothing takes an administrator's action back; `for` has no effect.")
        for consumer in self.consumers:
            changed = (consumer.threads, consumer.worker_commit) != (4, "polled")
            if changed and consumer.commit != "worker-threads":
                said.append(f"consumers.{consumer.group}: threads and worker.commit mean something with `commit: worker-threads` only.")
        return said

    # ------------------------------------------------------------------------------------------------ who is there

    def producer(self, name: str) -> Producer:
        """The producer of that name."""
        return next(producer for producer in self.producers if producer.name == name)

    def consumer(self, group: str) -> ConsumerGroup:
        """The group of that name."""
        return next(consumer for consumer in self.consumers if consumer.group == group)

    @property
    def broker_nodes(self) -> tuple[str, ...]:
        """broker-1, broker-2 …"""
        return tuple(broker_name(number) for number in range(1, self.cluster.brokers + 1))

    @property
    def controller_ids(self) -> tuple[int, ...]:
        """100 …"""
        return tuple(range(FIRST_CONTROLLER, FIRST_CONTROLLER + self.cluster.controllers))

    @property
    def controller_nodes(self) -> tuple[str, ...]:
        """controller-100 …"""
        return tuple(controller_name(controller_id) for controller_id in self.controller_ids)

    @property
    def producer_nodes(self) -> tuple[str, ...]:
        """The producers' names."""
        return tuple(producer.name for producer in self.producers)

    @property
    def consumer_nodes(self) -> tuple[str, ...]:
        """The members of all groups."""
        return tuple(node for consumer in self.consumers for node in consumer.nodes)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Everybody."""
        return self.broker_nodes + self.controller_nodes + self.producer_nodes + self.consumer_nodes


def as_text(value: object) -> str:
    """A value as `--set PATH=VALUE` reads it back."""
    return value if isinstance(value, str) else json.dumps(value)


def _model_at(location: Location, data: object) -> type[BaseModel] | None:
    return part_at(location, data) if location else Scenario


def _name_all_keys(data: dict[str, Any], location: Location) -> None:
    """Give every part at and below a location the keys that nobody gave it, so that paths find them."""
    here: Any = data
    for step in location:
        here = here[step]
    if isinstance(here, dict):
        part = part_at(location, data)
        for name, field in part.model_fields.items() if part is not None else ():
            here.setdefault(field.alias or name, None)
    inside = here.items() if isinstance(here, dict) else enumerate(here) if isinstance(here, list) else ()
    for step, _ in list(inside):
        _name_all_keys(data, (*location, step))


def schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file, for editors: every key with its sentence, Kafka's parameters with theirs."""
    return complete_schema(Scenario.model_json_schema(by_alias=True))
