"""What producers are configured with: Java's ProducerConfig (4.1.1), and librdkafka's CONFIGURATION.md (2.x).

Two libraries, two vocabularies: the same word may have another default and another meaning (request.timeout.ms!). What each
setting *means* to the producer machine stands in flavours.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from kafkasim.protocol.config_options import (
    INT_MAX,
    Check,
    Draft,
    boolean,
    choice,
    double,
    integer,
    option,
    text,
)

MAX_IN_FLIGHT_OF_IDEMPOTENCE = 5  # brokers remember the last five batches of a producer (ProducerStateEntry.NUM_BATCHES_TO_RETAIN)


def _acks(*, ignore_case: bool) -> Check:
    """all | -1 | 0 | 1; the machines use the number, all being -1.

    Simplified: librdkafka's own range is -1 to 1000, a remnant of Kafka 0.8; brokers refuse every other number than these three.
    """

    def convert(value: object) -> int:
        word = str(value).strip()
        word = word.lower() if ignore_case else word
        if isinstance(value, bool) or word not in ("all", "-1", "0", "1"):
            raise ValueError("it must be one of all, -1, 0, 1")
        return -1 if word == "all" else int(word)

    return Check("string", "all, -1, 0, 1", convert, show=lambda acks: "all" if acks == -1 else str(acks))


LIBRDKAFKA_BOOLEAN = boolean({"true": True, "t": True, "1": True, "false": False, "f": False, "0": False})
METADATA_RECOVERY = choice("none", "rebootstrap", ignore_case=True)


@dataclass(frozen=True, slots=True)
class JavaProducerConfig:
    """KafkaProducer, the Java client. Times in ms, sizes in bytes. `parse` applies the rules between parameters."""

    acks: int = option(
        -1, _acks(ignore_case=False), "Who must have a batch before it counts: 0 nobody, 1 the leader, all (-1) the in-sync replicas."
    )
    enable_idempotence: bool = option(
        True, boolean(), "Whether brokers drop a batch they already have, and refuse one out of order, by producer id and sequence number."
    )
    retries: int = option(
        INT_MAX, integer(0, INT_MAX), "How often a batch is sent again after a retriable error, within delivery.timeout.ms."
    )
    retry_backoff_ms: int = option(
        100, integer(0, bits=64), "Wait before the first retry, in ms; doubles with each failure, with a jitter of 20 percent."
    )
    retry_backoff_max_ms: int = option(1_000, integer(0, bits=64), "Longest wait before a retry, in ms (before jitter).")
    linger_ms: int = option(5, integer(0, bits=64), "How long a batch that is not full waits for more records, in ms.")
    batch_size: int = option(16_384, integer(0), "A batch is closed when the next record would make it larger than this, in bytes.")
    buffer_memory: int = option(
        33_554_432, integer(0, bits=64), "Memory for records not yet sent or answered, in bytes; when full, send() blocks."
    )
    max_block_ms: int = option(60_000, integer(0, bits=64), "How long send() blocks for memory or metadata before it fails, in ms.")
    max_in_flight_requests_per_connection: int = option(
        5, integer(1), "Requests on the way to one broker at once; more than one can reorder on retry, unless idempotent."
    )
    delivery_timeout_ms: int = option(120_000, integer(0), "From send() to success or failure at the latest, retries included, in ms.")
    request_timeout_ms: int = option(
        30_000, integer(0), "How long the client waits for an answer, and what it tells the broker to wait for replicas at most, in ms."
    )
    reconnect_backoff_ms: int = option(50, integer(0, bits=64), "Wait before connecting again to a broker, in ms; doubles, with jitter.")
    reconnect_backoff_max_ms: int = option(1_000, integer(0, bits=64), "Longest wait before connecting again, in ms.")
    socket_connection_setup_timeout_ms: int = option(
        10_000, integer(bits=64), "How long a connection may take to be set up, in ms; doubles with each failure, with jitter."
    )
    socket_connection_setup_timeout_max_ms: int = option(
        30_000, integer(bits=64), "Longest time that a connection may take to be set up, in ms."
    )
    metadata_max_age_ms: int = option(
        300_000, integer(0, bits=64), "Metadata older than this is fetched anew even without an error, in ms."
    )
    metadata_recovery_strategy: str = option(
        "rebootstrap",
        METADATA_RECOVERY,
        "What to do when no known broker can be reached: start again from bootstrap.servers, or not (KIP-899).",
    )
    metadata_recovery_rebootstrap_trigger_ms: int = option(
        300_000, integer(0, bits=64), "Start again from bootstrap.servers when no metadata came for this long, in ms (KIP-1102)."
    )
    max_request_size: int = option(1_048_576, integer(0), "Largest request, and largest record before compression, in bytes.")
    transactional_id: str | None = option(
        None, text(), "Identity of a transactional producer; checked as Kafka checks it, transactions themselves are not simulated."
    )


def settle_java_producer(draft: Draft) -> None:
    """ProducerConfig.postProcessParsedConfig, then KafkaProducer.configureDeliveryTimeout."""
    settle_java_backoffs(draft)
    _settle_java_idempotence(draft)
    _settle_java_delivery_timeout(draft)


def settle_java_backoffs(draft: Draft) -> None:
    """CommonClientConfigs, for every Java client: postProcessReconnectBackoffConfigs and warnDisablingExponentialBackoff."""
    if "reconnect.backoff.ms" in draft.explicit and "reconnect.backoff.max.ms" not in draft.explicit:
        draft["reconnect.backoff.max.ms"] = draft["reconnect.backoff.ms"]
        draft.note("reconnect.backoff.ms without reconnect.backoff.max.ms switched the exponential growth of the reconnect backoff off.")
    if not draft.behaviours.retry_backoff_grows:
        draft["retry.backoff.max.ms"] = draft["retry.backoff.ms"]
    for base, most in (
        ("retry.backoff.ms", "retry.backoff.max.ms"),
        ("socket.connection.setup.timeout.ms", "socket.connection.setup.timeout.max.ms"),
    ):
        if draft[base] > draft[most]:
            draft.note(f"{base} ({draft[base]}) is above {most}: {draft[most]} ms is used, without growth.")


def _settle_java_idempotence(draft: Draft) -> None:
    """postProcessAndValidateIdempotenceConfigs: a default gives way in silence, what the user wrote does not.

    max.in.flight.requests.per.connection is the exception since 4.0: above 5 it is an error even when idempotence is only the
    default, and even when acks=1 is about to switch that off. Before, it is a conflict like the others, and said in a warning.
    """
    if draft["enable.idempotence"]:
        conflicts = [("retries", "retries above 0")] if draft["retries"] == 0 else []
        conflicts += [("acks", "acks=all")] if draft["acks"] != -1 else []
        in_flight = draft["max.in.flight.requests.per.connection"]
        if in_flight > MAX_IN_FLIGHT_OF_IDEMPOTENCE and not draft.behaviours.in_flight_above_5_is_an_error:
            conflicts += [("max.in.flight.requests.per.connection", "at most 5")]
        elif in_flight > MAX_IN_FLIGHT_OF_IDEMPOTENCE:
            draft.problem(
                "max.in.flight.requests.per.connection",
                f"max.in.flight.requests.per.connection={in_flight} must be at most 5 with idempotence, which is on unless "
                "enable.idempotence=false is said (an error since Kafka 4.0).",
            )
        if "enable.idempotence" in draft.explicit:
            for key, need in conflicts:
                draft.problem(key, f"{key}={draft[key]} contradicts enable.idempotence=true, which needs {need}.")
        elif conflicts:
            draft["enable.idempotence"] = False
            culprits = " and ".join(f"{key}={draft[key]}" for key, _ in conflicts)
            draft.note(f"{culprits} switched the defaulted enable.idempotence off, in silence.")
    _settle_java_transactional_id(draft)


def _settle_java_transactional_id(draft: Draft) -> None:
    if "transactional.id" not in draft.explicit:
        return
    # Kafka asks only whether the key was given: even transactional.id=null without idempotence is refused.
    if not draft["enable.idempotence"]:
        draft.problem("transactional.id", "transactional.id needs enable.idempotence=true, and with it acks=all and retries above 0.")
    elif draft["transactional.id"] is not None:
        draft.note("transactional.id is checked but not simulated: the records are sent outside of any transaction.")


def _settle_java_delivery_timeout(draft: Draft) -> None:
    least = min(min(draft["linger.ms"], INT_MAX) + draft["request.timeout.ms"], INT_MAX)
    if draft["delivery.timeout.ms"] >= least:
        return
    if "delivery.timeout.ms" in draft.explicit:
        draft.problem(
            "delivery.timeout.ms",
            f"delivery.timeout.ms={draft['delivery.timeout.ms']} must be at least linger.ms + request.timeout.ms, here {least}.",
        )
    else:
        draft["delivery.timeout.ms"] = least
        draft.note(f"delivery.timeout.ms was raised to linger.ms + request.timeout.ms, {least} ms.")


@dataclass(frozen=True, slots=True)
class LibrdkafkaProducerConfig:
    """librdkafka's producer (confluent-kafka and many others). Times in ms, sizes in bytes unless the key says kbytes.

    Where librdkafka has two names for one setting, the field bears the one that Java shares, and the other is an alias.
    """

    acks: int = option(
        -1,
        _acks(ignore_case=True),
        "Who must have a batch before it counts: 0 nobody, 1 the leader, all (-1) the in-sync replicas.",
        aliases=("request.required.acks",),
    )
    enable_idempotence: bool = option(
        False,
        LIBRDKAFKA_BOOLEAN,
        "Whether brokers drop a batch they already have and refuse one out of order; off by default, unlike in Java.",
    )
    retries: int = option(
        INT_MAX,
        integer(0, INT_MAX),
        "How often a message is sent again, within message.timeout.ms.",
        aliases=("message.send.max.retries",),
    )
    retry_backoff_ms: int = option(100, integer(1, 300_000), "Wait before the first retry, in ms; doubles with each failure, with jitter.")
    retry_backoff_max_ms: int = option(1_000, integer(1, 300_000), "Longest wait before a retry, in ms.")
    linger_ms: float = option(
        5.0, double(0, 900_000), "How long a batch that is not full waits for more messages, in ms.", aliases=("queue.buffering.max.ms",)
    )
    batch_size: int = option(1_000_000, integer(1, INT_MAX), "Largest batch, in bytes.")
    batch_num_messages: int = option(10_000, integer(1, 1_000_000), "Largest batch, in messages.")
    queue_buffering_max_messages: int = option(
        100_000, integer(0, INT_MAX), "Most messages in the producer's queue, 0 for no limit; when full, produce() fails at once."
    )
    queue_buffering_max_kbytes: int = option(
        1_048_576, integer(1, INT_MAX), "Most kibibytes in the producer's queue; when full, produce() fails at once."
    )
    max_in_flight_requests_per_connection: int = option(
        1_000_000,
        integer(1, 1_000_000),
        "Requests on the way to one broker at once; more than one can reorder on retry, unless idempotent.",
        aliases=("max.in.flight",),
    )
    message_timeout_ms: int = option(
        300_000,
        integer(0, INT_MAX),
        "From produce() to the delivery report at the latest, retries included, in ms; 0 for no limit.",
        aliases=("delivery.timeout.ms",),
    )
    request_timeout_ms: int = option(
        30_000,
        integer(1, 900_000),
        "What the broker is told to wait for its replicas at most, in ms; the client's own wait is socket.timeout.ms.",
    )
    socket_timeout_ms: int = option(
        60_000,
        integer(10, 300_000),
        "How long the client waits for an answer (a Produce: no longer than its first message may live), in ms.",
    )
    socket_connection_setup_timeout_ms: int = option(30_000, integer(1_000, INT_MAX), "How long a connection may take to be set up, in ms.")
    api_version_request_timeout_ms: int = option(
        10_000, integer(1, 300_000), "How long the first answer on a new connection may take, which says that the broker is alive, in ms."
    )
    reconnect_backoff_ms: int = option(100, integer(0, 3_600_000), "Wait before connecting again to a broker, in ms; doubles, with jitter.")
    reconnect_backoff_max_ms: int = option(10_000, integer(0, 3_600_000), "Longest wait before connecting again, in ms.")
    topic_metadata_refresh_interval_ms: int = option(
        300_000, integer(-1, 3_600_000), "How often metadata is fetched anew even without an error, in ms; -1 for never."
    )
    topic_metadata_refresh_fast_interval_ms: int = option(
        100,
        integer(1, 60_000),
        "How soon metadata is asked for again while a leader is missing, in ms; doubles up to retry.backoff.max.ms.",
    )
    metadata_recovery_strategy: str = option(
        "rebootstrap", METADATA_RECOVERY, "What to do when no known broker can be reached: start again from bootstrap.servers, or not."
    )
    metadata_recovery_rebootstrap_trigger_ms: int = option(
        300_000, integer(0, INT_MAX), "Start again from bootstrap.servers when no metadata came for this long, in ms."
    )
    message_max_bytes: int = option(1_000_000, integer(1_000, 1_000_000_000), "Largest request, in bytes.")
    sticky_partitioning_linger_ms: int = option(
        10,
        integer(0, 900_000),
        "How long messages without a key stay with one partition, in ms; twice linger.ms unless set, 0 for not at all.",
    )
    partitioner: str = option(
        "consistent_random",
        choice("random", "consistent", "consistent_random", "murmur2", "murmur2_random", "fnv1a", "fnv1a_random"),
        "Which partition a message goes to: by CRC32 of its key (consistent_random), or as Java does (murmur2_random).",
    )
    transactional_id: str | None = option(
        None, text(), "Identity of a transactional producer; checked as librdkafka checks it, transactions themselves are not simulated."
    )
    transaction_timeout_ms: int = option(
        60_000, integer(1_000, INT_MAX), "How long a transaction may last, in ms; used only to check other timeouts against it."
    )


def settle_librdkafka_producer(draft: Draft) -> None:
    """rd_kafka_conf_finalize and rd_kafka_topic_conf_finalize (rdkafka_conf.c), with the warnings of rd_kafka_conf_warn."""
    _settle_librdkafka_transactions(draft)
    if draft["enable.idempotence"]:
        _settle_librdkafka_idempotence(draft)
    if "sticky.partitioning.linger.ms" not in draft.explicit:
        draft["sticky.partitioning.linger.ms"] = min(900_000, int(2 * draft["linger.ms"]))
    settle_librdkafka_backoffs(draft)
    _settle_librdkafka_message_timeout(draft)
    if draft["partitioner"] not in ("consistent_random", "murmur2_random"):
        # Simplified: the partitioners that pin empty keys to one partition, FNV-1a and pure chance are played by the default.
        draft.note(f"partitioner={draft['partitioner']} is simulated as consistent_random.")


def settle_librdkafka_backoffs(draft: Draft) -> None:
    """For every librdkafka client: reconnecting, retrying and asking for metadata again."""
    if draft["reconnect.backoff.max.ms"] < draft["reconnect.backoff.ms"]:
        draft.problem(
            "reconnect.backoff.max.ms",
            f"reconnect.backoff.max.ms={draft['reconnect.backoff.max.ms']} must be at least reconnect.backoff.ms "
            f"({draft['reconnect.backoff.ms']}).",
        )
    if "topic.metadata.refresh.fast.interval.ms" not in draft.explicit:
        draft["topic.metadata.refresh.fast.interval.ms"] = draft["retry.backoff.ms"]
    most = draft["retry.backoff.max.ms"]
    for base in ("retry.backoff.ms", "topic.metadata.refresh.fast.interval.ms"):
        if draft[base] > most and base in draft.explicit:
            draft.note(f"{base} ({draft[base]}) is above retry.backoff.max.ms: {most} ms is used, without growth.")


def _settle_librdkafka_transactions(draft: Draft) -> None:
    if draft["transactional.id"] is None:
        return
    if "enable.idempotence" in draft.explicit and not draft["enable.idempotence"]:
        draft.problem("transactional.id", "transactional.id needs enable.idempotence=true.")
        return
    draft["enable.idempotence"] = True
    draft.note("transactional.id switched enable.idempotence on; transactions themselves are not simulated.")
    timeout = draft["transaction.timeout.ms"]
    if "socket.timeout.ms" not in draft.explicit:
        draft["socket.timeout.ms"] = max(timeout - 100, 900)
    elif timeout + 100 < draft["socket.timeout.ms"]:
        draft.problem(
            "socket.timeout.ms",
            f"socket.timeout.ms={draft['socket.timeout.ms']} must be at most transaction.timeout.ms + 100, {timeout + 100}.",
        )
    if "message.timeout.ms" not in draft.explicit:
        draft["message.timeout.ms"] = timeout
    elif draft["message.timeout.ms"] > timeout:
        draft.problem(
            "message.timeout.ms", f"message.timeout.ms={draft['message.timeout.ms']} must be at most transaction.timeout.ms, {timeout}."
        )


def _settle_librdkafka_idempotence(draft: Draft) -> None:
    """Idempotence adjusts what was left to the default, and contradicts what was not: it never gives way, unlike Java's."""
    in_flight = "max.in.flight.requests.per.connection"
    if in_flight not in draft.explicit:
        draft[in_flight] = MAX_IN_FLIGHT_OF_IDEMPOTENCE
    elif draft[in_flight] > MAX_IN_FLIGHT_OF_IDEMPOTENCE:
        draft.problem(in_flight, f"{in_flight}={draft[in_flight]} must be at most 5 when enable.idempotence is true.")
    if draft["retries"] < 1:
        draft.problem("retries", "retries=0 contradicts enable.idempotence=true, which needs retries above 0.")
    if draft["acks"] != -1:
        draft.problem("acks", f"acks={draft['acks']} contradicts enable.idempotence=true, which needs acks=all.")


def _settle_librdkafka_message_timeout(draft: Draft) -> None:
    timeout, linger = draft["message.timeout.ms"], draft["linger.ms"]
    if timeout == 0 or timeout > linger:  # 0 is no limit
        return
    if "linger.ms" in draft.explicit:
        draft.problem("message.timeout.ms", f"message.timeout.ms={timeout} must be greater than linger.ms ({linger:g}).")
    else:
        draft["linger.ms"] = timeout - 0.1
        draft.note(f"linger.ms was lowered to {timeout - 0.1:g}, just below message.timeout.ms.")
