"""Configuration: every parameter the simulator models, with Kafka's names, defaults, units and validation.

Each parameter is one declaration in config_producer, config_consumer or config_broker (how that works: config_options). Here is
what the rest of the house uses: `parse` turns what a user wrote into a config, with all problems at once; `parameters` lists what
there is; `topic_config` lays a topic's values over its brokers'. Kafka's classes: ConfigDef, AbstractConfig, ProducerConfig,
ConsumerConfig, KafkaConfig, LogConfig; librdkafka's rdkafka_conf.c.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from kafkasim.protocol.config_broker import BrokerConfig, TopicConfig, settle_broker, settle_topic, topic_defaults
from kafkasim.protocol.config_consumer import (
    JavaConsumerConfig,
    LibrdkafkaConsumerConfig,
    settle_java_consumer,
    settle_librdkafka_consumer,
)
from kafkasim.protocol.config_names import (
    BROKER_NAMES,
    JAVA_CONSUMER_NAMES,
    JAVA_PRODUCER_NAMES,
    LIBRDKAFKA_CONSUMER_ONLY,
    LIBRDKAFKA_NAMES,
    LIBRDKAFKA_PRODUCER_ONLY,
    TOPIC_NAMES,
)
from kafkasim.protocol.config_options import Check, Draft, Parameter, Problem, options
from kafkasim.protocol.config_producer import (
    JavaProducerConfig,
    LibrdkafkaProducerConfig,
    settle_java_producer,
    settle_librdkafka_producer,
)
from kafkasim.protocol.config_unknown import is_place, unknown_key
from kafkasim.protocol.profiles import KAFKA_4_1, PROFILES, Profile

__all__ = [
    "Kind",
    "parse",
    "Parsed",
    "Problem",
    "parameters",
    "Parameter",
    "differences",
    "added_parameters",
    "topic_config",
    "belongs_to_place",
    "Config",
    "JavaProducerConfig",
    "LibrdkafkaProducerConfig",
    "JavaConsumerConfig",
    "LibrdkafkaConsumerConfig",
    "BrokerConfig",
    "TopicConfig",
]

Config: TypeAlias = (
    JavaProducerConfig | LibrdkafkaProducerConfig | JavaConsumerConfig | LibrdkafkaConsumerConfig | BrokerConfig | TopicConfig
)


class Kind(Enum):
    """What is configured; the value is how it is called in sentences."""

    JAVA_PRODUCER = "the Java producer"
    LIBRDKAFKA_PRODUCER = "librdkafka's producer"
    JAVA_CONSUMER = "the Java consumer"
    LIBRDKAFKA_CONSUMER = "librdkafka's consumer"
    BROKER = "a broker"
    TOPIC = "a topic"


class Parsed(NamedTuple):
    """What `parse` made of the user's values. `config` is None exactly when there are problems."""

    config: Config | None
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]  # accepted, but worth knowing: what Kafka changes in silence or says in its log
    not_modelled: tuple[str, ...]  # keys that Kafka knows and the simulator does not act on, in the order given
    explicit: frozenset[str]  # modelled keys the user gave, by their main name


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """What one kind declares, knows by name, ignores, and requires between its parameters."""

    config_class: type[Config]
    names: frozenset[str]
    settle: Callable[[Draft], None]
    ignored: frozenset[str] = frozenset()


_VOCABULARIES: Mapping[Kind, _Vocabulary] = MappingProxyType(
    {
        Kind.JAVA_PRODUCER: _Vocabulary(JavaProducerConfig, JAVA_PRODUCER_NAMES, settle_java_producer),
        Kind.LIBRDKAFKA_PRODUCER: _Vocabulary(
            LibrdkafkaProducerConfig, LIBRDKAFKA_NAMES, settle_librdkafka_producer, ignored=LIBRDKAFKA_CONSUMER_ONLY
        ),
        Kind.JAVA_CONSUMER: _Vocabulary(JavaConsumerConfig, JAVA_CONSUMER_NAMES, settle_java_consumer),
        Kind.LIBRDKAFKA_CONSUMER: _Vocabulary(
            LibrdkafkaConsumerConfig, LIBRDKAFKA_NAMES, settle_librdkafka_consumer, ignored=LIBRDKAFKA_PRODUCER_ONLY
        ),
        Kind.BROKER: _Vocabulary(BrokerConfig, BROKER_NAMES, settle_broker),
        Kind.TOPIC: _Vocabulary(TopicConfig, TOPIC_NAMES, settle_topic),
    }
)


def parse(kind: Kind, values: Mapping[str, object], profile: Profile = KAFKA_4_1) -> Parsed:
    """Validate `values` (Kafka's dotted keys; Python values, or strings as in a .properties file) as Kafka of that version would.

    >>> parse(Kind.JAVA_PRODUCER, {"acks": "1"}).notes
    ('acks=1 switched the defaulted enable.idempotence off, in silence.',)
    >>> parse(Kind.JAVA_PRODUCER, {"linger": 5}).problems[0].sentence
    'linger is not a setting of the Java producer; did you mean linger.ms?'
    """
    return _parse(kind, values, {}, profile)


def topic_config(broker: BrokerConfig, values: Mapping[str, object], profile: Profile = KAFKA_4_1) -> Parsed:
    """A topic's own values over its brokers' (ServerTopicConfigSynonyms), over the defaults."""
    parsed = _parse(Kind.TOPIC, values, topic_defaults(broker), profile)
    config = parsed.config
    never = broker.log_flush_scheduler_interval_ms == BrokerConfig().log_flush_scheduler_interval_ms
    if isinstance(config, TopicConfig) and "flush.ms" in parsed.explicit and never:
        note = (
            "flush.ms is looked at only once, 30 s after a broker's start, as its log.flush.scheduler.interval.ms is never (the default)."
        )
        return parsed._replace(notes=(*parsed.notes, note))
    return parsed


def parameters(kind: Kind, profile: Profile = KAFKA_4_1) -> tuple[Parameter, ...]:
    """Every modelled parameter of a kind that this version has, in order of declaration."""
    found = []
    defaults = profile.defaults.get(kind.name, {})
    for name, declared in _declared(kind, profile).items():
        check: Check = declared.metadata["check"]
        default = check.show(defaults.get(name, declared.default))
        found.append(Parameter(name, default, check.valid, declared.metadata["doc"], check.type, declared.metadata["aliases"]))
    return tuple(found)


def differences(kind: Kind, name: str) -> tuple[str, ...]:
    """What other versions than 4.1 say of a parameter of 4.1, a sentence each."""
    said = []
    for profile in PROFILES.values():
        absent, defaults = profile.absent.get(kind.name, {}), profile.defaults.get(kind.name, {})
        if name in absent:
            said.append(f"Kafka {profile.version} has no {name}: {absent[name]}.")
        elif name in defaults:
            said.append(f"Default of Kafka {profile.version}: {defaults[name]}.")
    return tuple(said)


def added_parameters(kind: Kind) -> tuple[tuple[str, Parameter], ...]:
    """(version, parameter) for each modelled parameter that only another version than 4.1 has."""
    known = {parameter.name for parameter in parameters(kind)}
    return tuple(
        (profile.version, parameter)
        for profile in PROFILES.values()
        for parameter in parameters(kind, profile)
        if parameter.name not in known
    )


def belongs_to_place(key: str) -> bool:
    """Whether a key says where or who (addresses, ids, directories, security) rather than how to behave; overlays leave those out."""
    return is_place(key)


def _declared(kind: Kind, profile: Profile) -> Mapping[str, Field[Any]]:
    """What the kind's class declares, without what this version does not have."""
    absent = profile.absent.get(kind.name, {})
    return {name: field for name, field in options(_VOCABULARIES[kind].config_class).items() if name not in absent}


def _parse(kind: Kind, values: Mapping[str, object], inherited: Mapping[str, object], profile: Profile) -> Parsed:
    vocabulary = _VOCABULARIES[kind]
    declared, absent = _declared(kind, profile), profile.absent.get(kind.name, {})
    known = (vocabulary.names | profile.added.get(kind.name, frozenset())) - absent.keys()
    defaults = {**profile.defaults.get(kind.name, {}), **inherited}
    main_name = {alias: name for name, field in declared.items() for alias in (name, *field.metadata["aliases"])}
    everything = options(vocabulary.config_class)
    draft = Draft({name: defaults.get(name, field.default) for name, field in everything.items()}, frozenset(), profile.behaviours)
    given: dict[str, str] = {}  # main name -> the name the user used
    not_modelled: list[str] = []
    all_valid = True
    for key, value in values.items():
        if key in main_name:
            name = main_name[key]
            if name in given:
                draft.note(f"{given[name]} and {key} are one setting; the last one given counts.")
            given[name] = key
            all_valid = _take(draft, name, key, value, declared[name].metadata["check"]) and all_valid
        elif key in known or is_place(key):
            not_modelled.append(key)
            if key in vocabulary.ignored:
                draft.note(f"{key} is ignored: it means nothing to {kind.value}.")
        elif key in absent:
            draft.problem(key, f"{key} is not a setting of {kind.value} of Kafka {profile.version}; {absent[key]}.")
        else:
            draft.problem(key, unknown_key(key, kind.name, kind.value, (*main_name, *sorted(known))))
    draft.explicit = frozenset(given)
    if all_valid:  # rules between values make sense only once each value does; unknown keys do not stand in their way
        vocabulary.settle(draft)
    config = None if draft.problems else _build(vocabulary.config_class, draft.values)
    return Parsed(config, tuple(draft.problems), tuple(draft.notes), tuple(not_modelled), draft.explicit)


def _take(draft: Draft, name: str, key: str, value: object, check: Check) -> bool:
    try:
        draft[name] = check.convert(value)
    except ValueError as refusal:
        draft.problem(key, f"{key}={value} is not valid: {refusal}.")
        return False
    return True


def _build(config_class: type[Config], values: Mapping[str, Any]) -> Config:
    assert all(field.default is not MISSING for field in fields(config_class)), "every parameter has a default"
    return config_class(**{key.replace(".", "_"): value for key, value in values.items()})
