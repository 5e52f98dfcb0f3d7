"""Configuration is validated as Kafka 4.1.1 and librdkafka 2.16 validate it. The outcomes below were seen on the real libraries.

Two files beside this one are the oracle for names, defaults and ranges: what Kafka's own classes print about themselves, and the
tables of librdkafka's CONFIGURATION.md.
"""

import re
from pathlib import Path

import pytest

from kafkasim.protocol.config import (
    BrokerConfig,
    JavaConsumerConfig,
    JavaProducerConfig,
    Kind,
    LibrdkafkaConsumerConfig,
    LibrdkafkaProducerConfig,
    Parsed,
    TopicConfig,
    belongs_to_place,
    parameters,
    parse,
    topic_config,
)
from kafkasim.protocol.flavours import NEVER, NO_LIMIT, Client, consumer_settings, producer_settings

HERE = Path(__file__).parent
SECTIONS = {
    Kind.JAVA_PRODUCER: "ProducerConfig",
    Kind.JAVA_CONSUMER: "ConsumerConfig",
    Kind.BROKER: "KafkaConfig",
    Kind.TOPIC: "LogConfig",
}
# ConfigDef.defineInternal: known, and not printed. Kafka's own tests set them (LogConfig, TransactionLogConfig, storage).
INTERNAL = {
    Kind.BROKER: {
        "log.initial.task.delay.ms": ("30000", "[0,...]"),
        "producer.id.expiration.check.interval.ms": ("600000", "[1,...]"),
    }
}
LIBRDKAFKA = (Kind.LIBRDKAFKA_PRODUCER, Kind.LIBRDKAFKA_CONSUMER)


def kafkas_own_words(section: str) -> dict[str, tuple[str, str]]:
    """name -> (default, valid values), as the class prints them."""
    text = (HERE / "kafka-4.1.1-defaults.txt").read_text().split(f"## {section} ")[1].split("\n## ")[0]
    found = {}
    for line in text.splitlines()[1:]:
        name, _, rest = line.partition(" = ")
        default, _, valid = rest.partition("| valid:")
        found[name.strip()] = (re.sub(r" \(.*\)", "", default).strip(), valid.strip())
    return found


def librdkafkas_own_words() -> dict[str, tuple[str, str, str]]:
    """name -> (C/P, range, default); of two lines the first counts, the second is the old simple consumer's."""
    lines = (HERE / "librdkafka-2.16-configuration.txt").read_text().splitlines()[1:]
    rows = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    return {row[1]: (row[0], row[2] if len(row) > 2 else "", row[3] if len(row) > 3 else "") for row in reversed(rows)}


def problems(parsed: Parsed) -> list[str]:
    return [problem.key for problem in parsed.problems]


def refused(kind: Kind, values: dict[str, object]) -> list[str]:
    parsed = parse(kind, values)
    assert parsed.config is None
    return problems(parsed)


def accepted(kind: Kind, values: dict[str, object]) -> object:
    parsed = parse(kind, values)
    assert parsed.problems == ()
    return parsed.config


# --- names, defaults, ranges ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SECTIONS)
def test_every_parameter_has_the_name_and_the_default_that_kafkas_own_class_prints(kind: Kind) -> None:
    own = kafkas_own_words(SECTIONS[kind]) | INTERNAL.get(kind, {})
    shown = {p.name: str(p.default).replace("True", "true").replace("False", "false").replace("None", "null") for p in parameters(kind)}
    assert len(shown) >= 5
    assert shown == {name: own[name][0] for name in shown}


@pytest.mark.parametrize("kind", SECTIONS)
def test_a_value_below_kafkas_minimum_is_refused_and_the_minimum_is_not(kind: Kind) -> None:
    own = kafkas_own_words(SECTIONS[kind]) | INTERNAL.get(kind, {})
    modelled = {p.name for p in parameters(kind)}
    minima = {name: int(low) for name in modelled for low in re.findall(r"^\[(-?\d+),\.\.\.", own[name][1])}
    assert len(minima) >= 3
    for name, low in minima.items():
        below = {problem.sentence for problem in parse(kind, {name: low - 1}).problems}
        assert below == {f"{name}={low - 1} is not valid: it must be at least {low}."}
        assert not any("is not valid" in problem.sentence for problem in parse(kind, {name: low}).problems), name


@pytest.mark.parametrize("kind", SECTIONS)
def test_every_key_that_kafka_knows_is_accepted_and_what_is_not_modelled_is_listed(kind: Kind) -> None:
    own = kafkas_own_words(SECTIONS[kind]) | INTERNAL.get(kind, {})
    modelled = {p.name for p in parameters(kind)}
    parsed = parse(kind, {name: "anything" for name in own if name not in modelled})
    assert parsed.problems == ()
    assert set(parsed.not_modelled) == set(own) - modelled


@pytest.mark.parametrize("kind", LIBRDKAFKA)
def test_librdkafkas_parameters_have_its_defaults_and_ranges(kind: Kind) -> None:
    own = librdkafkas_own_words()
    special = {"acks", "auto.offset.reset", "transactional.id"}  # another spelling of the same default
    for p in parameters(kind):
        of, range_, default = own[p.name]
        assert of in ("*", "P" if kind is Kind.LIBRDKAFKA_PRODUCER else "C"), p.name
        if p.name not in special:
            assert (f"{p.default:g}" if isinstance(p.default, float) else str(p.default).lower()) == default, p.name
        bounds = re.fullmatch(r"(-?\d+) \.\. (\d+)", range_)
        if bounds and p.name not in ("acks", "fetch.min.bytes"):  # these two are narrower in practice than in the table
            low, high = int(bounds[1]), int(bounds[2])
            assert refused(kind, {p.name: low - 1}) == [p.name]
            assert refused(kind, {p.name: high + 1}) == [p.name]


@pytest.mark.parametrize("kind", LIBRDKAFKA)
def test_every_key_that_librdkafka_knows_is_accepted(kind: Kind) -> None:
    modelled = {name for p in parameters(kind) for name in (p.name, *p.aliases)}
    others = [name for name in librdkafkas_own_words() if name not in modelled]
    assert set(parse(kind, dict.fromkeys(others, "x")).not_modelled) == set(others)
    assert parse(kind, dict.fromkeys(others, "x")).problems == ()


def test_a_config_without_arguments_is_what_parsing_nothing_gives() -> None:
    assert parse(Kind.JAVA_PRODUCER, {}).config == JavaProducerConfig()
    assert parse(Kind.LIBRDKAFKA_PRODUCER, {}).config == LibrdkafkaProducerConfig()
    assert parse(Kind.JAVA_CONSUMER, {}).config == JavaConsumerConfig()
    assert parse(Kind.LIBRDKAFKA_CONSUMER, {}).config == LibrdkafkaConsumerConfig()
    assert parse(Kind.BROKER, {}).config == BrokerConfig()
    assert parse(Kind.TOPIC, {}).config == TopicConfig()


@pytest.mark.parametrize("kind", Kind)
def test_every_parameter_is_explained_in_a_sentence(kind: Kind) -> None:
    assert [p.name for p in parameters(kind) if not re.fullmatch(r"[A-Z].{20,}[.]", p.doc)] == []
    assert [p.name for p in parameters(kind) if p.name.endswith(".ms") and "ms" not in p.doc] == []


# --- values as they are written -------------------------------------------------------------------------------------------------


def test_strings_of_a_properties_file_are_converted_as_configdef_does() -> None:
    config = accepted(Kind.JAVA_PRODUCER, {"acks": "all", "batch.size": " +32768 ", "enable.idempotence": " TRUE "})
    assert config == JavaProducerConfig(acks=-1, batch_size=32768, enable_idempotence=True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("acks", "2"),
        ("acks", "ALL"),
        ("acks", True),
        ("batch.size", "1e3"),
        ("batch.size", "16_384"),
        ("batch.size", 16384.0),
        ("batch.size", True),
        ("batch.size", None),
        ("batch.size", 2**31),
        ("linger.ms", "0.5"),
        ("enable.idempotence", "yes"),
        ("enable.idempotence", 1),
        ("metadata.recovery.strategy", "maybe"),
        ("transactional.id", ""),
    ],
)
def test_the_java_producer_refuses_what_configdef_refuses(key: str, value: object) -> None:
    assert refused(Kind.JAVA_PRODUCER, {key: value}) == [key]


def test_librdkafka_is_freer_with_words_and_fractions() -> None:
    config = accepted(Kind.LIBRDKAFKA_PRODUCER, {"acks": " ALL", "enable.idempotence": "T", "linger.ms": "0.5"})
    assert isinstance(config, LibrdkafkaProducerConfig)
    assert (config.acks, config.enable_idempotence, config.linger_ms) == (-1, True, 0.5)
    assert accepted(Kind.LIBRDKAFKA_CONSUMER, {"isolation.level": "READ_COMMITTED", "auto.offset.reset": "Smallest"}) == (
        LibrdkafkaConsumerConfig(isolation_level="read_committed", auto_offset_reset="earliest")
    )


def test_all_problems_are_reported_at_once() -> None:
    found = refused(Kind.JAVA_PRODUCER, {"batch.size": "big", "linger": 5, "retries": -1})
    assert found == ["batch.size", "linger", "retries"]


def test_an_unknown_key_does_not_hide_a_contradiction() -> None:
    assert refused(Kind.JAVA_PRODUCER, {"linger": 5, "acks": 1, "enable.idempotence": True}) == ["linger", "acks"]


# --- the Java producer's rules ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [{"acks": 1}, {"acks": "0"}, {"retries": 0}])
def test_a_defaulted_idempotence_is_switched_off_in_silence(values: dict[str, object]) -> None:
    parsed = parse(Kind.JAVA_PRODUCER, values)
    assert isinstance(parsed.config, JavaProducerConfig)
    assert parsed.config.enable_idempotence is False
    (key,) = values
    assert parsed.notes == (f"{key}={values[key]} switched the defaulted enable.idempotence off, in silence.",)


def test_an_explicit_idempotence_contradicts_weaker_settings() -> None:
    assert refused(Kind.JAVA_PRODUCER, {"enable.idempotence": True, "acks": 1}) == ["acks"]
    assert refused(Kind.JAVA_PRODUCER, {"enable.idempotence": "true", "retries": "0"}) == ["retries"]


@pytest.mark.parametrize("other", [{}, {"acks": 1}, {"retries": 0}, {"enable.idempotence": True}])
def test_more_than_five_in_flight_are_refused_unless_idempotence_is_said_to_be_off(other: dict[str, object]) -> None:
    key = "max.in.flight.requests.per.connection"
    assert key in refused(Kind.JAVA_PRODUCER, {key: 6, **other})
    assert accepted(Kind.JAVA_PRODUCER, {key: 5}) == JavaProducerConfig()


def test_more_than_five_in_flight_are_fine_without_idempotence() -> None:
    key = "max.in.flight.requests.per.connection"
    config = accepted(Kind.JAVA_PRODUCER, {key: 6, "enable.idempotence": False})
    assert config == JavaProducerConfig(max_in_flight_requests_per_connection=6, enable_idempotence=False)


def test_a_transactional_id_needs_idempotence() -> None:
    assert refused(Kind.JAVA_PRODUCER, {"transactional.id": "t", "acks": 1}) == ["transactional.id"]
    assert refused(Kind.JAVA_PRODUCER, {"transactional.id": "t", "enable.idempotence": False}) == ["transactional.id"]
    assert accepted(Kind.JAVA_PRODUCER, {"transactional.id": "t"}) == JavaProducerConfig(transactional_id="t")


def test_a_delivery_timeout_that_is_set_too_low_is_refused() -> None:
    assert refused(Kind.JAVA_PRODUCER, {"delivery.timeout.ms": 30_004}) == ["delivery.timeout.ms"]
    assert accepted(Kind.JAVA_PRODUCER, {"delivery.timeout.ms": 30_005}) == JavaProducerConfig(delivery_timeout_ms=30_005)


def test_a_delivery_timeout_that_is_not_set_is_raised() -> None:
    parsed = parse(Kind.JAVA_PRODUCER, {"request.timeout.ms": 200_000})
    assert parsed.config == JavaProducerConfig(request_timeout_ms=200_000, delivery_timeout_ms=200_005)
    assert parsed.notes == ("delivery.timeout.ms was raised to linger.ms + request.timeout.ms, 200005 ms.",)
    huge = parse(Kind.JAVA_PRODUCER, {"linger.ms": 2**62}).config
    assert isinstance(huge, JavaProducerConfig)
    assert huge.delivery_timeout_ms == 2**31 - 1


def test_a_reconnect_backoff_alone_switches_its_growth_off() -> None:
    alone = accepted(Kind.JAVA_PRODUCER, {"reconnect.backoff.ms": 20})
    assert alone == JavaProducerConfig(reconnect_backoff_ms=20, reconnect_backoff_max_ms=20)
    both = accepted(Kind.JAVA_PRODUCER, {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 300})
    assert both == JavaProducerConfig(reconnect_backoff_ms=20, reconnect_backoff_max_ms=300)


def test_a_retry_backoff_above_its_maximum_is_a_note() -> None:
    (note,) = parse(Kind.JAVA_PRODUCER, {"retry.backoff.ms": 5_000}).notes
    assert note == "retry.backoff.ms (5000) is above retry.backoff.max.ms: 1000 ms is used, without growth."


# --- librdkafka's producer --------------------------------------------------------------------------------------------------------


def test_librdkafkas_idempotence_never_gives_way() -> None:
    assert refused(Kind.LIBRDKAFKA_PRODUCER, {"enable.idempotence": True, "acks": 1}) == ["acks"]
    assert refused(Kind.LIBRDKAFKA_PRODUCER, {"enable.idempotence": True, "retries": 0}) == ["retries"]
    assert refused(Kind.LIBRDKAFKA_PRODUCER, {"enable.idempotence": True, "max.in.flight": 6}) == ["max.in.flight.requests.per.connection"]


def test_librdkafkas_idempotence_lowers_what_was_left_to_the_default() -> None:
    config = accepted(Kind.LIBRDKAFKA_PRODUCER, {"enable.idempotence": True})
    assert isinstance(config, LibrdkafkaProducerConfig)
    assert config.max_in_flight_requests_per_connection == 5
    assert LibrdkafkaProducerConfig().max_in_flight_requests_per_connection == 1_000_000


def test_aliases_are_one_setting_and_the_last_word_wins() -> None:
    parsed = parse(Kind.LIBRDKAFKA_PRODUCER, {"request.required.acks": 0, "acks": 1})
    assert isinstance(parsed.config, LibrdkafkaProducerConfig)
    assert parsed.config.acks == 1
    assert parsed.explicit == {"acks"}
    assert parsed.notes == ("request.required.acks and acks are one setting; the last one given counts.",)


def test_message_timeout_must_exceed_a_linger_that_was_set() -> None:
    assert refused(Kind.LIBRDKAFKA_PRODUCER, {"linger.ms": 5, "message.timeout.ms": 5}) == ["message.timeout.ms"]
    assert refused(Kind.LIBRDKAFKA_PRODUCER, {"queue.buffering.max.ms": 7, "delivery.timeout.ms": 3}) == ["message.timeout.ms"]
    lowered = accepted(Kind.LIBRDKAFKA_PRODUCER, {"message.timeout.ms": 5})
    assert isinstance(lowered, LibrdkafkaProducerConfig)
    assert lowered.linger_ms == 4.9


def test_message_timeout_zero_is_no_timeout() -> None:
    config = accepted(Kind.LIBRDKAFKA_PRODUCER, {"message.timeout.ms": 0})
    assert isinstance(config, LibrdkafkaProducerConfig)
    assert producer_settings(config).delivery_timeout_ms == NEVER


def test_librdkafkas_transactions_bound_other_timeouts() -> None:
    assert refused(Kind.LIBRDKAFKA_PRODUCER, {"transactional.id": "t", "message.timeout.ms": 60_001}) == ["message.timeout.ms"]
    assert refused(Kind.LIBRDKAFKA_PRODUCER, {"transactional.id": "t", "socket.timeout.ms": 60_101}) == ["socket.timeout.ms"]
    assert refused(Kind.LIBRDKAFKA_PRODUCER, {"transactional.id": "t", "enable.idempotence": False}) == ["transactional.id"]
    config = accepted(Kind.LIBRDKAFKA_PRODUCER, {"transactional.id": "t"})
    assert isinstance(config, LibrdkafkaProducerConfig)
    assert (config.enable_idempotence, config.message_timeout_ms, config.socket_timeout_ms) == (True, 60_000, 59_900)


def test_sticky_partitioning_lasts_twice_the_linger_unless_set() -> None:
    default = accepted(Kind.LIBRDKAFKA_PRODUCER, {"linger.ms": 50})
    assert isinstance(default, LibrdkafkaProducerConfig)
    assert default.sticky_partitioning_linger_ms == 100
    explicit = accepted(Kind.LIBRDKAFKA_PRODUCER, {"linger.ms": 50, "sticky.partitioning.linger.ms": 0})
    assert isinstance(explicit, LibrdkafkaProducerConfig)
    assert explicit.sticky_partitioning_linger_ms == 0


def test_a_reconnect_backoff_above_its_maximum_is_refused_by_librdkafka() -> None:
    assert refused(Kind.LIBRDKAFKA_PRODUCER, {"reconnect.backoff.ms": 20_000}) == ["reconnect.backoff.max.ms"]


def test_librdkafkas_producer_ignores_a_consumers_key_and_says_so() -> None:
    parsed = parse(Kind.LIBRDKAFKA_PRODUCER, {"session.timeout.ms": 6_000})
    assert parsed.not_modelled == ("session.timeout.ms",)
    assert parsed.notes == ("session.timeout.ms is ignored: it means nothing to librdkafka's producer.",)


# --- consumers --------------------------------------------------------------------------------------------------------------------


def test_a_java_heartbeat_must_be_lower_than_the_session() -> None:
    assert refused(Kind.JAVA_CONSUMER, {"session.timeout.ms": 3_000}) == ["heartbeat.interval.ms"]
    assert accepted(Kind.JAVA_CONSUMER, {"heartbeat.interval.ms": 44_999}) == JavaConsumerConfig(heartbeat_interval_ms=44_999)


def test_librdkafka_compares_the_poll_interval_with_the_session_and_the_heartbeat_with_nothing() -> None:
    assert refused(Kind.LIBRDKAFKA_CONSUMER, {"max.poll.interval.ms": 44_999}) == ["max.poll.interval.ms"]
    assert accepted(Kind.LIBRDKAFKA_CONSUMER, {"heartbeat.interval.ms": 50_000}) == LibrdkafkaConsumerConfig(heartbeat_interval_ms=50_000)
    assert accepted(Kind.JAVA_CONSUMER, {"max.poll.interval.ms": 100}) == JavaConsumerConfig(max_poll_interval_ms=100)


def test_librdkafkas_fetch_max_bytes_follows_message_max_bytes_unless_set() -> None:
    config = accepted(Kind.LIBRDKAFKA_CONSUMER, {"message.max.bytes": 100_000_000})
    assert isinstance(config, LibrdkafkaConsumerConfig)
    assert config.fetch_max_bytes == 100_000_000
    assert refused(Kind.LIBRDKAFKA_CONSUMER, {"fetch.max.bytes": 1_000}) == ["fetch.max.bytes"]


def test_the_words_for_no_reset_differ() -> None:
    assert refused(Kind.LIBRDKAFKA_CONSUMER, {"auto.offset.reset": "none"}) == ["auto.offset.reset"]
    assert refused(Kind.JAVA_CONSUMER, {"auto.offset.reset": "error"}) == ["auto.offset.reset"]
    assert consumer_settings(LibrdkafkaConsumerConfig(auto_offset_reset="error")).auto_offset_reset == "none"


# --- brokers and topics -----------------------------------------------------------------------------------------------------------


def test_a_followers_wait_must_fit_into_its_socket_timeout_and_into_the_lag_time() -> None:
    assert refused(Kind.BROKER, {"replica.fetch.wait.max.ms": 30_001}) == ["replica.socket.timeout.ms", "replica.fetch.wait.max.ms"]
    assert refused(Kind.BROKER, {"replica.lag.time.max.ms": 499}) == ["replica.fetch.wait.max.ms"]
    assert accepted(Kind.BROKER, {"replica.fetch.wait.max.ms": 30_000}) == BrokerConfig(replica_fetch_wait_max_ms=30_000)


def test_brokers_accept_a_heartbeat_longer_than_the_session() -> None:
    assert accepted(Kind.BROKER, {"broker.heartbeat.interval.ms": 10_000}) == BrokerConfig(broker_heartbeat_interval_ms=10_000)


def test_a_topic_takes_its_own_value_then_its_brokers_then_the_default() -> None:
    broker = BrokerConfig(min_insync_replicas=2, message_max_bytes=5_000, log_flush_interval_messages=1)
    parsed = topic_config(broker, {"min.insync.replicas": "3"})
    assert parsed.config == TopicConfig(min_insync_replicas=3, max_message_bytes=5_000, flush_messages=1)
    assert parsed.explicit == {"min.insync.replicas"}


def test_flush_ms_comes_from_the_interval_and_else_from_the_schedulers() -> None:
    assert topic_config(BrokerConfig(log_flush_interval_ms=1_000), {}).config == TopicConfig(flush_ms=1_000)
    assert topic_config(BrokerConfig(log_flush_scheduler_interval_ms=2_000), {}).config == TopicConfig(flush_ms=2_000)


def test_flush_ms_without_a_scheduler_is_worth_a_note() -> None:
    never = topic_config(BrokerConfig(), {"flush.ms": 1_000}).notes
    assert never == (
        "flush.ms is looked at only once, 30 s after a broker's start, as its log.flush.scheduler.interval.ms is never (the default).",
    )
    assert topic_config(BrokerConfig(log_flush_scheduler_interval_ms=500), {"flush.ms": 1_000}).notes == ()
    (of_broker,) = parse(Kind.BROKER, {"log.flush.interval.ms": 1_000}).notes
    assert of_broker.startswith("log.flush.interval.ms is looked at only once")


# --- keys that do not belong ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "key", "sentence"),
    [
        (Kind.JAVA_PRODUCER, "ack", "ack is not a setting of the Java producer; did you mean acks?"),
        (Kind.JAVA_PRODUCER, "Linger.Ms", "Linger.Ms is not a setting of the Java producer; did you mean linger.ms?"),
        (Kind.JAVA_PRODUCER, "retry_backoff_ms", "retry_backoff_ms is not a setting of the Java producer; did you mean retry.backoff.ms?"),
        (
            Kind.JAVA_PRODUCER,
            "message.timeout.ms",
            "message.timeout.ms is not a setting of the Java producer; its name there is delivery.timeout.ms.",
        ),
        (
            Kind.JAVA_PRODUCER,
            "min.insync.replicas",
            "min.insync.replicas is not a setting of the Java producer but of a topic and a broker.",
        ),
        (Kind.JAVA_PRODUCER, "xyzzy", "xyzzy is not a setting of the Java producer, and nothing that Kafka knows is spelled alike."),
        (
            Kind.LIBRDKAFKA_PRODUCER,
            "buffer.memory",
            "buffer.memory is not a setting of librdkafka's producer; its name there is queue.buffering.max.kbytes (in kibibytes).",
        ),
        (
            Kind.LIBRDKAFKA_CONSUMER,
            "fetch.max.wait.ms",
            "fetch.max.wait.ms is not a setting of librdkafka's consumer; its name there is fetch.wait.max.ms.",
        ),
        (Kind.TOPIC, "log.flush.interval.ms", "log.flush.interval.ms is not a setting of a topic; its name there is flush.ms."),
        (Kind.TOPIC, "replica.lag.time.max.ms", "replica.lag.time.max.ms is not a setting of a topic but of a broker."),
        (Kind.BROKER, "flush.messages", "flush.messages is not a setting of a broker; its name there is log.flush.interval.messages."),
        (
            Kind.JAVA_PRODUCER,
            "max.poll.record",
            "max.poll.record is not a setting of the Java producer; did you mean max.poll.records? "
            "That is a setting of the Java consumer and librdkafka's consumer.",
        ),
    ],
)
def test_a_key_that_does_not_belong_is_answered_with_where_it_does(kind: Kind, key: str, sentence: str) -> None:
    (problem,) = parse(kind, {key: 1}).problems
    assert problem.sentence == sentence


def test_overlays_leave_out_what_belongs_to_a_place() -> None:
    places = (
        "bootstrap.servers group.id node.id process.roles listeners advertised.listeners controller.quorum.voters "
        "controller.listener.names inter.broker.listener.name listener.security.protocol.map log.dirs security.protocol "
        "ssl.keystore.location sasl.jaas.config"
        "inter.broker.listener.name listener.security.protocol.map log.dirs security.protocol ssl.keystore.location sasl.jaas.config"
    )
    behaviours = "acks min.insync.replicas transactional.id session.timeout.ms log.flush.interval.ms controlled.shutdown.enable"
    assert [key for key in places.split() if not belongs_to_place(key)] == []
    assert [key for key in behaviours.split() if belongs_to_place(key)] == []


# --- what the settings mean -------------------------------------------------------------------------------------------------------


def test_request_timeout_means_two_things_in_java_and_one_in_librdkafka() -> None:
    java = producer_settings(JavaProducerConfig(request_timeout_ms=1_000))
    assert (java.request_timeout_ms, java.ack_timeout_ms) == (1_000, 1_000)
    librdkafka = producer_settings(LibrdkafkaProducerConfig(request_timeout_ms=1_000, socket_timeout_ms=7_000))
    assert (librdkafka.request_timeout_ms, librdkafka.ack_timeout_ms) == (7_000, 1_000)


def test_a_full_buffer_blocks_java_and_fails_librdkafka() -> None:
    java, librdkafka = producer_settings(JavaProducerConfig()), producer_settings(LibrdkafkaProducerConfig())
    assert (java.client, java.max_block_ms, java.blocks_on_metadata, java.buffer_records) == (Client.JAVA, 60_000, True, NO_LIMIT)
    assert (librdkafka.client, librdkafka.max_block_ms, librdkafka.blocks_on_metadata) == (Client.LIBRDKAFKA, 0, False)
    assert (librdkafka.buffer_memory, librdkafka.buffer_records) == (2**30, 100_000)
    assert producer_settings(LibrdkafkaProducerConfig(queue_buffering_max_messages=0)).buffer_records == NO_LIMIT


def test_only_librdkafka_stores_offsets_before_the_record_is_handed_over() -> None:
    assert consumer_settings(JavaConsumerConfig()).auto_offset_store is False
    assert consumer_settings(LibrdkafkaConsumerConfig()).auto_offset_store is True
    assert (consumer_settings(JavaConsumerConfig()).read_committed, consumer_settings(LibrdkafkaConsumerConfig()).read_committed) == (
        False,
        True,
    )


def test_a_metadata_refresh_of_minus_one_is_never() -> None:
    assert producer_settings(LibrdkafkaProducerConfig(topic_metadata_refresh_interval_ms=-1)).metadata_max_age_ms == NEVER
    assert consumer_settings(LibrdkafkaConsumerConfig(topic_metadata_refresh_interval_ms=-1)).metadata_max_age_ms == NEVER


def test_partitioners_differ_and_murmur2_random_is_javas() -> None:
    assert producer_settings(JavaProducerConfig()).murmur2 is True
    assert producer_settings(LibrdkafkaProducerConfig()).murmur2 is False
    assert producer_settings(LibrdkafkaProducerConfig(partitioner="murmur2_random")).murmur2 is True
    (note,) = parse(Kind.LIBRDKAFKA_PRODUCER, {"partitioner": "fnv1a"}).notes
    assert note == "partitioner=fnv1a is simulated as consistent_random."


# --- retention ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "retention_ms"),
    [
        ({}, 604_800_000),
        ({"log.retention.hours": 2}, 7_200_000),
        ({"log.retention.hours": 2, "log.retention.minutes": 3}, 180_000),
        ({"log.retention.hours": 2, "log.retention.minutes": 3, "log.retention.ms": 4}, 4),
        ({"log.retention.hours": 2, "log.retention.minutes": -5}, -1),
        ({"log.retention.ms": -1}, -1),
    ],
)
def test_a_topics_retention_is_its_brokers_in_ms_before_minutes_before_hours(values: dict[str, object], retention_ms: int) -> None:
    broker = accepted(Kind.BROKER, values)
    assert isinstance(broker, BrokerConfig)
    inherited, own = topic_config(broker, {}).config, topic_config(broker, {"retention.ms": 9}).config
    assert isinstance(inherited, TopicConfig)
    assert isinstance(own, TopicConfig)
    assert (inherited.retention_ms, own.retention_ms) == (retention_ms, 9)


def test_a_topics_segments_are_its_brokers_unless_it_says_otherwise() -> None:
    broker = accepted(Kind.BROKER, {"log.roll.hours": 2, "log.segment.bytes": 2_000_000, "log.retention.bytes": 7})
    assert isinstance(broker, BrokerConfig)
    inherited, own = topic_config(broker, {}).config, topic_config(broker, {"segment.ms": 5, "segment.bytes": 3_000_000}).config
    assert isinstance(inherited, TopicConfig)
    assert isinstance(own, TopicConfig)
    assert (inherited.segment_ms, inherited.segment_bytes, inherited.retention_bytes) == (7_200_000, 2_000_000, 7)
    assert (own.segment_ms, own.segment_bytes) == (5, 3_000_000)


def test_a_retention_of_zero_is_refused_whatever_its_unit() -> None:
    for key in ("log.retention.ms", "log.retention.minutes", "log.retention.hours"):
        assert refused(Kind.BROKER, {key: 0}) == [key]


def test_cleanup_policies_are_a_list_and_compaction_is_said_not_to_be_modelled() -> None:
    both = parse(Kind.TOPIC, {"cleanup.policy": "compact, delete"})
    assert isinstance(both.config, TopicConfig)
    assert both.config.deletes_old_segments
    assert both.notes == ("cleanup.policy=compact,delete: compaction is not modelled; every record of a key stays.",)
    assert parse(Kind.TOPIC, {"cleanup.policy": "delete"}).notes == ()
    assert refused(Kind.TOPIC, {"cleanup.policy": "compress"}) == ["cleanup.policy"]


@pytest.mark.parametrize(
    ("duration", "milliseconds"),
    [("PT30S", 30_000.0), ("PT1M30S", 90_000.0), ("P1DT2H", 93_600_000.0), ("pt0.5s", 500.0), ("PT0S", 0.0), ("P2D", 172_800_000.0)],
)
def test_by_duration_takes_an_iso_8601_duration(duration: str, milliseconds: float) -> None:
    config = accepted(Kind.JAVA_CONSUMER, {"auto.offset.reset": f"by_duration:{duration}"})
    assert isinstance(config, JavaConsumerConfig)
    assert consumer_settings(config).reset_duration_ms == milliseconds


@pytest.mark.parametrize("duration", ["", "P", "PT", "30s", "-PT30S", "P1H", "PT1D", "PT1.5M"])
def test_by_duration_with_anything_else_is_refused_in_a_sentence(duration: str) -> None:
    [problem] = parse(Kind.JAVA_CONSUMER, {"auto.offset.reset": f"by_duration:{duration}"}).problems
    assert "a duration that is not negative, such as PT30S" in problem.sentence


def test_another_reset_word_is_answered_with_all_there_are() -> None:
    [problem] = parse(Kind.JAVA_CONSUMER, {"auto.offset.reset": "by_duration"}).problems
    assert problem.sentence.endswith("it must be one of latest, earliest, none, by_duration:PT….")
