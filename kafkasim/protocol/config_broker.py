"""What brokers, controllers and topics are configured with: KafkaConfig (core) and LogConfig (storage).

A topic's own value counts first, then the broker's (under another name, for some: ServerTopicConfigSynonyms), then the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from kafkasim.protocol.config_options import LONG_MAX, Check, Draft, boolean, choice, integer, option

_HOUR_MS = 3_600_000
_MINUTE_MS = 60_000


def cleanup_policy() -> Check:
    """A list of delete and compact, in any order. Simplified: compaction (LogCleaner) is known and not modelled."""
    words = choice("compact", "delete")

    def convert(value: object) -> str:
        given = value if isinstance(value, list | tuple) else str(value).split(",")
        return ",".join([words.convert(word) for word in given])

    return Check("list", "[compact, delete]", convert)


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """Broker and controller: KafkaConfig of 4.1.1, and what profiles.py adds of other versions. Times in ms, sizes in bytes."""

    broker_session_timeout_ms: int = option(
        9_000, integer(), "A broker whose last heartbeat is older than this is fenced by the controller, in ms."
    )
    broker_heartbeat_interval_ms: int = option(2_000, integer(), "How often a broker sends BrokerHeartbeat to the controller, in ms.")
    controller_quorum_request_timeout_ms: int = option(
        2_000,
        integer(0),
        "How long a broker waits for the answer to a fetch of the metadata log before it connects to the controller anew, in ms.",
    )
    controller_quorum_election_timeout_ms: int = option(
        1_000, integer(0), "After so long, and up to twice as long by chance, a controller that knows no leader stands for election, in ms."
    )
    controller_quorum_fetch_timeout_ms: int = option(
        2_000, integer(0), "After so long without an answer of the active controller the others think of an election, in ms."
    )
    controller_quorum_election_backoff_max_ms: int = option(
        1_000, integer(0), "The longest that a controller waits to stand for election where the active one has resigned, in ms."
    )
    controller_quorum_retry_backoff_ms: int = option(
        20, integer(0), "How long a controller waits after a failed request to another, and a broker after one to a quorum, in ms."
    )
    controlled_shutdown_enable: bool = option(
        True, boolean(), "Whether a broker that is told to stop first asks the controller to move its leaderships away."
    )
    min_insync_replicas: int = option(
        1, integer(1), "With fewer replicas in the ISR acks=all is refused and the high watermark stands still; a topic may override it."
    )
    unclean_leader_election_enable: bool = option(
        False, boolean(), "Whether a replica outside ISR and ELR may lead when nobody else can, losing what it does not have."
    )
    auto_leader_rebalance_enable: bool = option(
        True, boolean(), "Whether the controller lets the preferred (first) replica lead again once it is in the ISR."
    )
    leader_imbalance_check_interval_seconds: int = option(
        300, integer(1, bits=64), "How often the controller looks for partitions that another than the preferred replica leads, in seconds."
    )
    message_max_bytes: int = option(
        1_048_588, integer(0), "Largest record batch a broker accepts, in bytes (of a topic: max.message.bytes)."
    )

    replica_lag_time_max_ms: int = option(
        30_000, integer(bits=64), "A follower that has not caught up with the leader's end for this long leaves the ISR, in ms."
    )
    replica_fetch_wait_max_ms: int = option(500, integer(), "How long the leader holds a follower's fetch that finds nothing new, in ms.")
    replica_fetch_min_bytes: int = option(1, integer(), "The leader answers a follower's fetch as soon as this much is there, in bytes.")
    replica_fetch_max_bytes: int = option(1_048_576, integer(0), "How much a follower fetches of one partition at once, in bytes.")
    replica_fetch_response_max_bytes: int = option(10_485_760, integer(0), "How much a follower fetches in one response, in bytes.")
    replica_fetch_backoff_ms: int = option(1_000, integer(0), "How long a follower waits after a failed fetch of a partition, in ms.")
    replica_socket_timeout_ms: int = option(30_000, integer(), "How long a follower waits for the answer to a fetch, in ms.")
    replica_high_watermark_checkpoint_interval_ms: int = option(
        5_000, integer(bits=64), "How often the high watermarks are written to replication-offset-checkpoint, in ms."
    )

    log_flush_interval_messages: int = option(
        LONG_MAX, integer(1, bits=64), "Flush a log to disk after this many records (of a topic: flush.messages)."
    )
    # LogManager.flushDirtyLogs is the only reader of flush.ms, and it runs 30 s after the start and then every
    # log.flush.scheduler.interval.ms, which is never by default: without the scheduler's interval, flush.ms flushes once at most.
    log_flush_interval_ms: int | None = option(
        None,
        integer(bits=64, null=True),
        "Flush a log not flushed for this long, in ms, whenever the scheduler looks (of a topic: flush.ms); null: "
        "log.flush.scheduler.interval.ms.",
    )
    log_flush_scheduler_interval_ms: int = option(
        LONG_MAX,
        integer(bits=64),
        "How often the flusher looks whether a log is due by flush.ms, in ms; the first time is 30 s after the start.",
    )

    log_segment_bytes: int = option(
        1_073_741_824, integer(1_048_576), "Size at which a log goes on in a new segment, in bytes (of a topic: segment.bytes)."
    )
    log_roll_ms: int | None = option(
        None,
        integer(bits=64, null=True),
        "Age at which a log goes on in a new segment, in ms (of a topic: segment.ms); null: log.roll.hours.",
    )
    log_roll_hours: int = option(168, integer(1), "Age at which a log goes on in a new segment, in hours, where log.roll.ms is null.")
    log_retention_ms: int | None = option(
        None,
        integer(bits=64, null=True),
        "How old the newest record of a segment becomes before the segment is deleted, in ms, -1: any age (of a topic: retention.ms); "
        "null: log.retention.minutes.",
    )
    log_retention_minutes: int | None = option(
        None, integer(null=True), "The same in minutes, where log.retention.ms is null; null: log.retention.hours."
    )
    log_retention_hours: int = option(
        168, integer(), "The same in hours, where neither log.retention.ms nor log.retention.minutes is given."
    )
    log_retention_bytes: int = option(
        -1, integer(bits=64), "Size above which a log's oldest segments are deleted, in bytes, -1: any size (of a topic: retention.bytes)."
    )
    log_retention_check_interval_ms: int = option(
        300_000, integer(1, bits=64), "How often a broker looks for segments that retention lets it delete, in ms."
    )
    log_initial_task_delay_ms: int = option(
        30_000, integer(0, bits=64), "How long after its start a broker looks for the first time what to delete and what to flush, in ms."
    )
    log_cleanup_policy: str = option(
        "delete", cleanup_policy(), "Whether old segments are deleted, or compacted, or both (of a topic: cleanup.policy)."
    )

    offsets_topic_num_partitions: int = option(50, integer(1), "Number of partitions of __consumer_offsets.")
    offsets_topic_replication_factor: int = option(3, integer(1, 2**15 - 1, bits=16), "Replication factor of __consumer_offsets.")
    offsets_commit_timeout_ms: int = option(
        5_000, integer(1), "How long an OffsetCommit waits for the replicas of __consumer_offsets, in ms."
    )
    offsets_retention_minutes: int = option(10_080, integer(1), "How long a group's offsets are kept once it has no members, in minutes.")
    offsets_retention_check_interval_ms: int = option(
        600_000, integer(1, bits=64), "How often a coordinator looks for offsets that are kept no longer, in ms."
    )
    offsets_commit_required_acks: int = option(
        -1, integer(-1, 1, bits=16), "Whom a coordinator's append to __consumer_offsets waits for: -1 the in-sync replicas, 1 or 0 nobody."
    )
    group_initial_rebalance_delay_ms: int = option(
        3_000, integer(), "How long the coordinator waits for more members before the first rebalance of an empty group, in ms."
    )
    group_min_session_timeout_ms: int = option(6_000, integer(), "Shortest session.timeout.ms that a coordinator accepts, in ms.")
    group_max_session_timeout_ms: int = option(1_800_000, integer(), "Longest session.timeout.ms that a coordinator accepts, in ms.")
    producer_id_expiration_ms: int = option(
        86_400_000,
        integer(1),
        "A partition forgets the sequence numbers of a producer silent for this long, in ms; a retry that comes later is written again.",
    )
    producer_id_expiration_check_interval_ms: int = option(
        600_000, integer(1), "How often a partition looks for producers that are due to be forgotten, in ms. Internal in Kafka, for tests."
    )


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """One topic: LogConfig of 4.1.1. Times in ms, sizes in bytes."""

    min_insync_replicas: int = option(
        1,
        integer(1),
        "With fewer replicas in the ISR acks=all is refused and the high watermark stands still; "
        "what counts is the smaller of it and the replication factor.",
    )
    unclean_leader_election_enable: bool = option(
        False, boolean(), "Whether a replica outside ISR and ELR may lead when nobody else can, losing what it does not have."
    )
    flush_messages: int = option(LONG_MAX, integer(1, bits=64), "Flush the log to disk after this many records.")
    flush_ms: int = option(
        LONG_MAX,
        integer(0, bits=64),
        "Flush the log if it was not flushed for this long, in ms; "
        "read only when the broker's log.flush.scheduler.interval.ms comes round.",
    )
    max_message_bytes: int = option(1_048_588, integer(0), "Largest record batch that is accepted, in bytes.")
    segment_bytes: int = option(1_073_741_824, integer(1_048_576), "Size at which the log goes on in a new segment, in bytes.")
    segment_ms: int = option(604_800_000, integer(1, bits=64), "Age at which the log goes on in a new segment, in ms.")
    retention_ms: int = option(
        604_800_000,
        integer(-1, bits=64),
        "How old the newest record of a segment becomes before the segment is deleted, in ms; -1: any age.",
    )
    retention_bytes: int = option(-1, integer(bits=64), "Size above which the log's oldest segments are deleted, in bytes; -1: any size.")
    cleanup_policy: str = option(
        "delete", cleanup_policy(), "Whether old segments are deleted, or compacted, or both. Only deletion is modelled."
    )

    @property
    def deletes_old_segments(self) -> bool:
        """Whether retention.ms and retention.bytes are looked at: not in a log that is only compacted."""
        return "delete" in self.cleanup_policy

    def altered(self, name: str, value: str | float) -> TopicConfig:
        """The same with another value of `name`, which is one of Kafka's keys; truth is 0 or 1."""
        field = name.replace(".", "_")
        return replace(self, **{field: type(getattr(self, field))(value)})


TOPIC_SYNONYMS: Mapping[str, str] = {
    "min.insync.replicas": "min.insync.replicas",
    "unclean.leader.election.enable": "unclean.leader.election.enable",
    "flush.messages": "log.flush.interval.messages",
    "flush.ms": "log.flush.interval.ms",
    "max.message.bytes": "message.max.bytes",
    "segment.bytes": "log.segment.bytes",
    "segment.ms": "log.roll.ms",
    "retention.ms": "log.retention.ms",
    "retention.bytes": "log.retention.bytes",
    "cleanup.policy": "log.cleanup.policy",
}  # ServerTopicConfigSynonyms: the topic's key, and the broker's that is its default


def topic_defaults(broker: BrokerConfig) -> dict[str, object]:
    """What a topic without values of its own gets from its brokers, by the topic's keys (KafkaConfig.extractLogConfigMap)."""
    defaults: dict[str, object] = {
        topic_key: getattr(broker, broker_key.replace(".", "_")) for topic_key, broker_key in TOPIC_SYNONYMS.items()
    }
    if broker.log_flush_interval_ms is None:
        defaults["flush.ms"] = broker.log_flush_scheduler_interval_ms
    if broker.log_roll_ms is None:
        defaults["segment.ms"] = broker.log_roll_hours * _HOUR_MS
    defaults["retention.ms"] = log_retention_ms(broker)
    return defaults


def log_retention_ms(broker: BrokerConfig) -> int:
    """KafkaConfig.logRetentionTimeMillis: ms before minutes before hours, and whatever is negative means any age."""
    milliseconds = broker.log_retention_ms
    if milliseconds is None:
        minutes = broker.log_retention_minutes
        milliseconds = broker.log_retention_hours * _HOUR_MS if minutes is None else minutes * _MINUTE_MS
    return max(milliseconds, -1)


def settle_broker(draft: Draft) -> None:
    """KafkaConfig.validateValues, as far as it concerns what is modelled."""
    wait = draft["replica.fetch.wait.max.ms"]
    if wait > draft["replica.socket.timeout.ms"]:
        draft.problem(
            "replica.socket.timeout.ms",
            f"replica.socket.timeout.ms must be at least replica.fetch.wait.max.ms ({wait}): "
            "else a follower gives up on fetches that the leader merely holds.",
        )
    if wait > draft["replica.lag.time.max.ms"]:
        draft.problem(
            "replica.fetch.wait.max.ms",
            f"replica.fetch.wait.max.ms ({wait}) must be at most replica.lag.time.max.ms ({draft['replica.lag.time.max.ms']}): "
            "else followers drop out of the ISR while they wait.",
        )
    if draft["log.flush.interval.ms"] is not None and draft["log.flush.scheduler.interval.ms"] == LONG_MAX:
        draft.note(
            "log.flush.interval.ms is looked at only once, 30 s after the start, as log.flush.scheduler.interval.ms is never (its default)."
        )

    retention = [(draft["log.retention.ms"], "log.retention.ms"), (draft["log.retention.minutes"], "log.retention.minutes")]
    value, key = next(
        ((value, key) for value, key in retention if value is not None), (draft["log.retention.hours"], "log.retention.hours")
    )
    if value == 0:
        draft.problem(key, f"{key} must be -1 (any age) or at least 1.")
    _note_compaction(draft, "log.cleanup.policy")


def settle_topic(draft: Draft) -> None:
    """A topic has no rules between its parameters; min.insync.replicas above the replication factor is accepted by Kafka."""
    _note_compaction(draft, "cleanup.policy")


def _note_compaction(draft: Draft, key: str) -> None:
    if key in draft.explicit and "compact" in draft[key]:
        draft.note(f"{key}={draft[key]}: compaction is not modelled; every record of a key stays.")
