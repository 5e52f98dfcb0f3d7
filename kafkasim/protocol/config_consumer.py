"""What consumers are configured with: Java's ConsumerConfig (4.1.1), and librdkafka's CONFIGURATION.md (2.x).

Simplified: the classic group protocol only; group.protocol=consumer (KIP-848) is known and not modelled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kafkasim.protocol.config_options import INT_MAX, Check, Draft, boolean, choice, integer, option
from kafkasim.protocol.config_producer import (
    LIBRDKAFKA_BOOLEAN,
    METADATA_RECOVERY,
    settle_java_backoffs,
    settle_librdkafka_backoffs,
)

_ISOLATION = ("read_committed", "read_uncommitted")


_BY_DURATION = "by_duration:"
# java.time.Duration.parse, without signs: days, hours, minutes, seconds with a fraction.
_DURATION = re.compile(r"P(?=.)(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:[.,]\d{0,9})?)S)?)?", re.IGNORECASE)
_UNITS_MS = (86_400_000.0, 3_600_000.0, 60_000.0, 1_000.0)


def reset_duration_ms(auto_offset_reset: str) -> float | None:
    """Of by_duration:PT…, the time in ms by which a reset goes back from now (AutoOffsetResetStrategy, KIP-1106); None of any other word.

    >>> reset_duration_ms("by_duration:PT1M30S")
    90000.0
    """
    if not auto_offset_reset.startswith(_BY_DURATION):
        return None
    found = _DURATION.fullmatch(auto_offset_reset.removeprefix(_BY_DURATION))
    if found is None:
        raise ValueError("what follows by_duration: must be a duration that is not negative, such as PT30S, PT5M, PT1H or P1D")
    return sum(float(number.replace(",", ".")) * unit for number, unit in zip(found.groups(), _UNITS_MS, strict=True) if number)


def _java_auto_offset_reset() -> Check:
    """latest | earliest | none | by_duration:<an ISO-8601 duration>."""
    words = choice("latest", "earliest", "none")

    def convert(value: object) -> object:
        word = str(value).strip()
        if reset_duration_ms(word) is not None:
            return word
        try:
            return words.convert(word)
        except ValueError:
            raise ValueError("it must be one of latest, earliest, none, by_duration:PT…") from None

    return words._replace(convert=convert, valid=f"{words.valid}, by_duration:PnDTnHnMn.nS")


@dataclass(frozen=True, slots=True)
class JavaConsumerConfig:
    """KafkaConsumer, the Java client. Times in ms, sizes in bytes."""

    enable_auto_commit: bool = option(
        True, boolean(), "Whether poll() itself commits, every auto.commit.interval.ms, what earlier polls returned."
    )
    auto_commit_interval_ms: int = option(5_000, integer(0), "How often poll() commits when enable.auto.commit is true, in ms.")
    auto_offset_reset: str = option(
        "latest", _java_auto_offset_reset(), "Where to start when the group has no offset, or one that the log no longer has."
    )
    isolation_level: str = option("read_uncommitted", choice(*_ISOLATION), "Whether records of open and aborted transactions are returned.")
    max_poll_records: int = option(500, integer(1), "Most records that one poll() returns.")
    max_poll_interval_ms: int = option(300_000, integer(1), "A member that does not call poll() for this long leaves the group, in ms.")
    session_timeout_ms: int = option(45_000, integer(), "A member that sends no heartbeat for this long is put out of the group, in ms.")
    heartbeat_interval_ms: int = option(3_000, integer(), "How often a member sends a heartbeat to its coordinator, in ms.")
    fetch_min_bytes: int = option(1, integer(0), "The broker answers a fetch as soon as this much is there, in bytes.")
    fetch_max_wait_ms: int = option(500, integer(0), "How long the broker holds a fetch that finds less than fetch.min.bytes, in ms.")
    fetch_max_bytes: int = option(52_428_800, integer(0), "How much one response may bring, in bytes.")
    max_partition_fetch_bytes: int = option(1_048_576, integer(0), "How much one response may bring of one partition, in bytes.")
    request_timeout_ms: int = option(30_000, integer(0), "How long the client waits for an answer, in ms.")
    default_api_timeout_ms: int = option(
        60_000, integer(0), "How long a blocking call such as commitSync() may take, retries included, in ms."
    )
    retry_backoff_ms: int = option(100, integer(0, bits=64), "Wait before the first retry, in ms; doubles with each failure, with jitter.")
    retry_backoff_max_ms: int = option(1_000, integer(0, bits=64), "Longest wait before a retry, in ms (before jitter).")
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


def settle_java_consumer(draft: Draft) -> None:
    """ConsumerConfig.postProcessParsedConfig, and the constructor of Heartbeat (clients.consumer.internals)."""
    settle_java_backoffs(draft)
    if draft["heartbeat.interval.ms"] >= draft["session.timeout.ms"]:
        draft.problem(
            "heartbeat.interval.ms",
            f"heartbeat.interval.ms={draft['heartbeat.interval.ms']} must be lower than session.timeout.ms "
            f"({draft['session.timeout.ms']}).",
        )


@dataclass(frozen=True, slots=True)
class LibrdkafkaConsumerConfig:
    """librdkafka's consumer (confluent-kafka and many others). Times in ms, sizes in bytes."""

    enable_auto_commit: bool = option(
        True, LIBRDKAFKA_BOOLEAN, "Whether a thread of the client commits the stored offsets, every auto.commit.interval.ms."
    )
    auto_commit_interval_ms: int = option(
        5_000, integer(0, 86_400_000), "How often the stored offsets are committed when enable.auto.commit is true, in ms."
    )
    enable_auto_offset_store: bool = option(
        True, LIBRDKAFKA_BOOLEAN, "Whether a message's offset is stored, to be committed, just before the message is handed over."
    )
    auto_offset_reset: str = option(
        "latest",
        choice(
            *("smallest", "earliest", "beginning", "largest", "latest", "end", "error"),
            ignore_case=True,
            meaning={"smallest": "earliest", "beginning": "earliest", "largest": "latest", "end": "latest"},
        ),
        "Where to start when the group has no offset, or one that the log no longer has.",
    )
    isolation_level: str = option(
        "read_committed", choice(*_ISOLATION, ignore_case=True), "Whether records of open and aborted transactions are returned."
    )
    max_poll_records: int = option(500, integer(1, INT_MAX), "The n of consume(n): how many messages one call waits for, at most.")
    max_poll_interval_ms: int = option(
        300_000, integer(1, 86_400_000), "A member that does not consume for this long leaves the group, in ms."
    )
    session_timeout_ms: int = option(
        45_000, integer(1, 3_600_000), "A member that sends no heartbeat for this long is put out of the group, in ms."
    )
    heartbeat_interval_ms: int = option(3_000, integer(1, 3_600_000), "How often a member sends a heartbeat to its coordinator, in ms.")
    fetch_min_bytes: int = option(1, integer(1, 100_000_000), "The broker answers a fetch as soon as this much is there, in bytes.")
    fetch_wait_max_ms: int = option(
        500, integer(0, 300_000), "How long the broker holds a fetch that finds less than fetch.min.bytes, in ms."
    )
    fetch_max_bytes: int = option(52_428_800, integer(0, INT_MAX - 512), "How much one response may bring, in bytes.")
    max_partition_fetch_bytes: int = option(
        1_048_576,
        integer(1, 1_000_000_000),
        "How much one response may bring of one partition, in bytes.",
        aliases=("fetch.message.max.bytes",),
    )
    message_max_bytes: int = option(
        1_000_000, integer(1_000, 1_000_000_000), "Largest request, in bytes; fetch.max.bytes may not be lower."
    )
    socket_timeout_ms: int = option(
        60_000, integer(10, 300_000), "How long the client waits for an answer (to a fetch: fetch.wait.max.ms more), in ms."
    )
    socket_connection_setup_timeout_ms: int = option(30_000, integer(1_000, INT_MAX), "How long a connection may take to be set up, in ms.")
    api_version_request_timeout_ms: int = option(
        10_000, integer(1, 300_000), "How long the first answer on a new connection may take, which says that the broker is alive, in ms."
    )
    retry_backoff_ms: int = option(100, integer(1, 300_000), "Wait before the first retry, in ms; doubles with each failure, with jitter.")
    retry_backoff_max_ms: int = option(1_000, integer(1, 300_000), "Longest wait before a retry, in ms.")
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


def settle_librdkafka_consumer(draft: Draft) -> None:
    """rd_kafka_conf_finalize, consumer's part (rdkafka_conf.c); note that heartbeat.interval.ms is not compared with anything there."""
    settle_librdkafka_backoffs(draft)
    if draft["max.poll.interval.ms"] < draft["session.timeout.ms"]:
        draft.problem(
            "max.poll.interval.ms",
            f"max.poll.interval.ms={draft['max.poll.interval.ms']} must be at least session.timeout.ms ({draft['session.timeout.ms']}).",
        )
    if "fetch.max.bytes" not in draft.explicit:
        draft["fetch.max.bytes"] = max(draft["fetch.max.bytes"], draft["message.max.bytes"])
    elif draft["fetch.max.bytes"] < draft["message.max.bytes"]:
        draft.problem(
            "fetch.max.bytes",
            f"fetch.max.bytes={draft['fetch.max.bytes']} must be at least message.max.bytes ({draft['message.max.bytes']}).",
        )
    if draft["fetch.wait.max.ms"] + 1_000 > draft["socket.timeout.ms"]:
        draft.note(
            "fetch.wait.max.ms should be lower than socket.timeout.ms by at least 1000 ms, else later requests time out behind a fetch."
        )
