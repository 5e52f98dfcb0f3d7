"""Kafka's configuration, place by place: each producer's, each group's, each topic's and the brokers', parsed once.

What a value is, and what Kafka refuses, is protocol/config.py's. Here stands where it applies: which flavour's vocabulary, what a
topic takes over from its brokers, what `commit:` means for enable.auto.commit, and who said each effective value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from kafkasim.protocol.config import BrokerConfig, Config, Kind, Parsed, parameters, parse, topic_config
from kafkasim.protocol.config_options import options
from kafkasim.protocol.flavours import Client
from kafkasim.protocol.profiles import PROFILES, Profile
from kafkasim.scenario_errors import Finding
from kafkasim.scenario_file import Location, Origins
from kafkasim.scenario_paths import origin_of

if TYPE_CHECKING:
    from kafkasim.scenario import ConsumerGroup, Scenario

_PRODUCER = {Client.JAVA: Kind.JAVA_PRODUCER, Client.LIBRDKAFKA: Kind.LIBRDKAFKA_PRODUCER}
_CONSUMER = {Client.JAVA: Kind.JAVA_CONSUMER, Client.LIBRDKAFKA: Kind.LIBRDKAFKA_CONSUMER}
_AUTO_COMMIT = "enable.auto.commit"


@dataclass(frozen=True, slots=True)
class Place:
    """One configuration: whose it is, what was given for it, and what Kafka makes of that."""

    name: str  # "producers.shop", "topics.orders", "cluster"
    location: Location  # of its `config`
    kind: Kind
    given: Mapping[str, object]
    parsed: Parsed
    kafka: str  # the version; a Profile itself would not travel to another process


class Effective(NamedTuple):
    """One effective value of a configuration, and who said so."""

    place: str
    key: str
    value: object
    origin: str


def read_places(scenario: Scenario) -> tuple[Place, ...]:
    """Parse every configuration of the scenario: the brokers' first, since topics rest on it."""
    profile = scenario.profile

    def place(name: str, location: Location, kind: Kind, given: Mapping[str, object]) -> Place:
        return Place(name, location, kind, given, parse(kind, given, profile), scenario.kafka)

    brokers = place("cluster", ("cluster", "config"), Kind.BROKER, dict(scenario.cluster.config))
    base = brokers.parsed.config if isinstance(brokers.parsed.config, BrokerConfig) else BrokerConfig()
    places = [brokers]
    for name, topic in scenario.topics.items():
        given = dict(topic.config)
        parsed = topic_config(base, given, profile)
        places.append(Place(f"topics.{name}", ("topics", name, "config"), Kind.TOPIC, given, parsed, scenario.kafka))
    for index, producer in enumerate(scenario.producers):
        places.append(
            place(f"producers.{producer.name}", ("producers", index, "config"), _PRODUCER[producer.client], dict(producer.config))
        )
    for index, consumer in enumerate(scenario.consumers):
        given = {_AUTO_COMMIT: consumer.commit == "auto", **consumer.config}
        places.append(place(f"consumers.{consumer.group}", ("consumers", index, "config"), _CONSUMER[consumer.client], given))
    return tuple(places)


def config_findings(scenario: Scenario, places: tuple[Place, ...]) -> list[Finding]:
    """What Kafka would refuse, `commit:` against enable.auto.commit, and sessions that no coordinator would accept."""
    found = []
    for place in places:
        rests_on = ((*place.location[:-1], "client"), place.location)
        found += [Finding((*place.location, key), sentence, rests_on) for key, sentence in place.parsed.problems]
    for index, consumer in enumerate(scenario.consumers):
        place = next(place for place in places if place.location == ("consumers", index, "config"))
        found += _commit_findings(place, consumer)
        found += _session_findings(place, places[0])
        found += _duration_findings(place, consumer, scenario)
    return found


def _commit_findings(place: Place, consumer: ConsumerGroup) -> list[Finding]:
    if _AUTO_COMMIT not in consumer.config or place.parsed.config is None:
        return []
    automatic = bool(getattr(place.parsed.config, "enable_auto_commit"))  # noqa: B009  (not every kind of configuration has it)
    if automatic == (consumer.commit == "auto"):
        return []
    commit = f"`commit: {consumer.commit}`"
    sentence = (
        f"enable.auto.commit is true, but {commit} commits by hand; one of the two has to go"
        if automatic
        else f"enable.auto.commit is false, but {commit} leaves committing to the client; one of the two has to go"
    )
    return [Finding((*place.location, _AUTO_COMMIT), sentence, ((*place.location[:-1], "commit"),))]


def _session_findings(place: Place, brokers: Place) -> list[Finding]:
    """JoinGroup would be answered INVALID_SESSION_TIMEOUT (GroupCoordinatorService.joinGroup), and the group would never read anything."""
    if place.parsed.config is None or not isinstance(brokers.parsed.config, BrokerConfig):
        return []
    session: int = getattr(place.parsed.config, "session_timeout_ms")  # noqa: B009  (not every kind of configuration has it)
    shortest, longest = brokers.parsed.config.group_min_session_timeout_ms, brokers.parsed.config.group_max_session_timeout_ms
    if shortest <= session <= longest:
        return []
    bound = f"below group.min.session.timeout.ms ({shortest})" if session < shortest else f"above group.max.session.timeout.ms ({longest})"
    sentence = f"session.timeout.ms {session} is {bound}: brokers answer INVALID_SESSION_TIMEOUT, and no member ever joins its group"
    return [Finding((*place.location, "session.timeout.ms"), sentence, (brokers.location, place.location))]


def _duration_findings(place: Place, consumer: ConsumerGroup, scenario: Scenario) -> list[Finding]:
    """by_duration came with 4.0, and before there is a record gives no position (fetcher.py): the warm-up would wait for ever."""
    reset = getattr(place.parsed.config, "auto_offset_reset", "")
    if not reset.startswith("by_duration:"):
        return []
    if not scenario.profile.behaviours.resets_by_duration:
        sentence = f"Kafka {scenario.kafka} has no auto.offset.reset={reset}: it came with 4.0 (KIP-1106)"
        return [Finding((*place.location, "auto.offset.reset"), sentence, (("kafka",),))]
    if consumer.start_ms or consumer.committed != "nothing":
        return []
    sentence = (
        f"auto.offset.reset {reset} finds no position in a topic that is empty, and before the first record it is; "
        "let the group begin later (`start: 1s`), or where it has been (`committed: beginning`)"
    )
    rests_on = tuple((*place.location[:-1], key) for key in ("start", "committed"))
    return [Finding((*place.location, "auto.offset.reset"), sentence, rests_on)]


def defaults(kind: Kind, profile: Profile) -> Config:
    """A configuration in which nobody said anything."""
    config = parse(kind, {}, profile).config
    assert config is not None, "Kafka accepts its own defaults"
    return config


def inherited(brokers: BrokerConfig, profile: Profile) -> Config:
    """What a topic obeys that has no values of its own."""
    config = topic_config(brokers, {}, profile).config
    assert config is not None, "what brokers accepted, topics accept"
    return config


def notes(scenario: Scenario, places: tuple[Place, ...]) -> list[str]:
    """What was accepted and is worth knowing, each with its place."""
    said = [f"{place.name}: {note}" for place in places for note in place.parsed.notes]
    for name, topic in scenario.topics.items():
        minimum, factor = scenario.topic_config(name).min_insync_replicas, topic.replication_factor
        if minimum > factor:
            smaller = scenario.profile.behaviours.min_isr_is_at_most_replication_factor
            what = "what counts is the smaller" if smaller else "before Kafka 3.7 acks=all is then refused for ever"
            said.append(f"topics.{name}: min.insync.replicas={minimum} is above replication.factor={factor}; {what}.")
        if scenario.topic_config(name).unclean_leader_election_enable and not scenario.profile.behaviours.unclean_election_configurable:
            said.append(
                f"topics.{name}: unclean.leader.election.enable=true has no effect: Kafka {scenario.kafka} does not heed it in KRaft mode."
            )
    return said


def not_modelled(places: tuple[Place, ...]) -> list[str]:
    """The paths of keys that Kafka knows and the simulator does not act on."""
    return [f"{place.name}.config.{key}" for place in places for key in place.parsed.not_modelled]


def effective(places: tuple[Place, ...], origins: Origins, kafka: str) -> list[Effective]:
    """Every effective value of every configuration, and where it came from."""
    table: list[Effective] = []
    for place in places:
        assert place.parsed.config is not None, "a scenario stands only when every configuration does"
        values = _shown(place.parsed.config)
        for parameter in parameters(place.kind, PROFILES[place.kafka]):
            given = [key for key in place.given if key in {parameter.name, *parameter.aliases}]
            changed = values[parameter.name] != parameter.default
            origin = _origin(place, given[-1], origins) if given else _unsaid(place, changed, kafka)
            table.append(Effective(place.name, parameter.name, values[parameter.name], origin))
        others = place.parsed.not_modelled
        table += [Effective(place.name, key, place.given[key], f"{_origin(place, key, origins)}, not modelled") for key in others]
    return table


def _shown(config: Config) -> dict[str, object]:
    """The values as Kafka writes them: acks is "all", not -1."""
    declared = options(type(config))
    return {name: field.metadata["check"].show(getattr(config, field.name)) for name, field in declared.items()}


def _origin(place: Place, key: str, origins: Origins) -> str:
    exactly = origins.get((*place.location, key))
    if exactly is None and key == _AUTO_COMMIT and place.location[0] == "consumers":
        commit = origins.get((*place.location[:-1], "commit"))
        return f"`commit:`{f', {commit}' if commit else ', by default'}"
    return exactly or origin_of((*place.location, key), origins) or "the scenario"


def _unsaid(place: Place, changed: bool, kafka: str) -> str:
    """Whose word a value is that nobody gave."""
    if changed:
        return "the brokers' configuration" if place.kind is Kind.TOPIC else "follows from other values"
    return "default of librdkafka" if place.kind in {Kind.LIBRDKAFKA_PRODUCER, Kind.LIBRDKAFKA_CONSUMER} else f"default of Kafka {kafka}"


def canonical(places: tuple[Place, ...]) -> dict[str, object]:
    """All that the configurations amount to, for the scenario's identity: equal for different words of one meaning.

    Defaults are left out, so that a parameter that is modelled from some day on changes no scenario's identity.
    """
    found: dict[str, object] = {}
    for place in places:
        unsaid, config = defaults(place.kind, PROFILES[place.kafka]), place.parsed.config
        names = [field.name for field in dataclasses.fields(type(config))] if config else []
        found[place.name] = {
            "kind": place.kind.name,
            "values": {name: getattr(config, name) for name in names if getattr(config, name) != getattr(unsaid, name)},
            "not modelled": {key: place.given[key] for key in sorted(place.parsed.not_modelled)},
        }
    return found
