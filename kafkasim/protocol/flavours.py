"""One machine, two client libraries: what each flavour's settings *mean*.

Java (KafkaProducer, KafkaConsumer 4.1) and librdkafka 2.x give different names, defaults and meanings to the same ideas; side by
side they stand here, and nowhere else. Sources: ProducerConfig, ConsumerConfig; librdkafka's CONFIGURATION.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kafkasim.protocol.config import JavaConsumerConfig, JavaProducerConfig, LibrdkafkaConsumerConfig, LibrdkafkaProducerConfig
from kafkasim.protocol.config_consumer import reset_duration_ms


class Client(Enum):
    """Whose library the client is."""

    JAVA = "java"
    LIBRDKAFKA = "librdkafka"


@dataclass(frozen=True, slots=True)
class ProducerSettings:
    """What the producer machine obeys. Times in ms, sizes in bytes. The first name is Java's, the second librdkafka's."""

    client: Client
    acks: int  # acks: 0, 1, -1
    enable_idempotence: bool
    retries: int
    max_in_flight: int  # max.in.flight.requests.per.connection
    linger_ms: float  # linger.ms | queue.buffering.max.ms
    batch_size: int
    batch_records: int  # no limit (a very large number) | batch.num.messages
    buffer_memory: int  # buffer.memory | queue.buffering.max.kbytes
    buffer_records: int  # no limit | queue.buffering.max.messages
    max_block_ms: float  # max.block.ms | 0: a full queue fails at once
    blocks_on_metadata: bool  # Java: send() waits for metadata | False: the queue takes it
    delivery_timeout_ms: float  # delivery.timeout.ms | message.timeout.ms
    request_timeout_ms: float  # how long the client waits: request.timeout.ms | socket.timeout.ms
    ack_timeout_ms: float  # what the broker is told: request.timeout.ms | request.timeout.ms
    retry_backoff_ms: float
    retry_backoff_max_ms: float
    reconnect_backoff_ms: float
    reconnect_backoff_max_ms: float
    connection_setup_timeout_ms: float  # socket.connection.setup.timeout.ms
    metadata_max_age_ms: float  # metadata.max.age.ms | topic.metadata.refresh.interval.ms
    metadata_retry_ms: float  # retry.backoff.ms | topic.metadata.refresh.fast.interval.ms
    rebootstrap: bool  # metadata.recovery.strategy
    rebootstrap_trigger_ms: float  # metadata.recovery.rebootstrap.trigger.ms
    max_request_size: int
    sticky_partitioner: bool  # Java's KIP-794 (batch.size bytes) | False: librdkafka's random, sticky for sticky_linger_ms
    sticky_linger_ms: float  # 0 | sticky.partitioning.linger.ms
    murmur2: bool  # keys by murmur2 | CRC32 (consistent_random)
    connection_setup_timeout_max_ms: float = 30_000.0  # socket.connection.setup.timeout.max.ms | does not grow
    api_versions_timeout_ms: float | None = None  # None: request.timeout.ms, as for any request | api.version.request.timeout.ms


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """What the consumer machine obeys. Times in ms, sizes in bytes."""

    client: Client
    enable_auto_commit: bool
    auto_commit_interval_ms: float
    auto_offset_store: bool  # librdkafka: the offset is stored before the record is handed over
    auto_offset_reset: str  # earliest | latest | none | by_duration:PT…
    reset_duration_ms: float | None  # of by_duration, how far a reset goes back from now
    read_committed: bool
    max_poll_records: int  # max.poll.records | the n of consume(n)
    max_poll_interval_ms: float
    session_timeout_ms: float
    heartbeat_interval_ms: float
    fetch_min_bytes: int
    fetch_max_wait_ms: float
    fetch_max_bytes: int
    max_partition_fetch_bytes: int
    request_timeout_ms: float
    default_api_timeout_ms: float
    retry_backoff_ms: float
    retry_backoff_max_ms: float
    reconnect_backoff_ms: float
    reconnect_backoff_max_ms: float
    connection_setup_timeout_ms: float
    metadata_max_age_ms: float
    metadata_retry_ms: float
    rebootstrap: bool
    rebootstrap_trigger_ms: float
    connection_setup_timeout_max_ms: float = 30_000.0  # socket.connection.setup.timeout.max.ms | does not grow
    api_versions_timeout_ms: float | None = None  # None: request.timeout.ms, as for any request | api.version.request.timeout.ms


NO_LIMIT = 2**63 - 1
NEVER = float("inf")


def producer_settings(config: JavaProducerConfig | LibrdkafkaProducerConfig) -> ProducerSettings:
    """What a producer's configuration means to the one producer machine."""
    return _java_producer(config) if isinstance(config, JavaProducerConfig) else _librdkafka_producer(config)


def consumer_settings(config: JavaConsumerConfig | LibrdkafkaConsumerConfig) -> ConsumerSettings:
    """What a consumer's configuration means to the one consumer machine."""
    return _java_consumer(config) if isinstance(config, JavaConsumerConfig) else _librdkafka_consumer(config)


def _java_producer(config: JavaProducerConfig) -> ProducerSettings:
    return ProducerSettings(
        client=Client.JAVA,
        acks=config.acks,
        enable_idempotence=config.enable_idempotence,
        retries=config.retries,
        max_in_flight=config.max_in_flight_requests_per_connection,
        linger_ms=config.linger_ms,
        batch_size=config.batch_size,
        batch_records=NO_LIMIT,  # Java counts bytes only
        buffer_memory=config.buffer_memory,
        buffer_records=NO_LIMIT,
        max_block_ms=config.max_block_ms,
        blocks_on_metadata=True,  # KafkaProducer.waitOnMetadata: without a partition count there is no batch to put the record into
        delivery_timeout_ms=config.delivery_timeout_ms,
        request_timeout_ms=config.request_timeout_ms,
        ack_timeout_ms=config.request_timeout_ms,  # Sender: one setting serves as the client's and as the broker's timeout
        retry_backoff_ms=min(config.retry_backoff_ms, config.retry_backoff_max_ms),
        retry_backoff_max_ms=config.retry_backoff_max_ms,
        reconnect_backoff_ms=config.reconnect_backoff_ms,
        reconnect_backoff_max_ms=config.reconnect_backoff_max_ms,
        connection_setup_timeout_ms=min(config.socket_connection_setup_timeout_ms, config.socket_connection_setup_timeout_max_ms),
        connection_setup_timeout_max_ms=config.socket_connection_setup_timeout_max_ms,  # grows with each failed attempt (KIP-601)
        metadata_max_age_ms=config.metadata_max_age_ms,
        metadata_retry_ms=min(config.retry_backoff_ms, config.retry_backoff_max_ms),  # Metadata: refresh backoff is the retry backoff
        rebootstrap=config.metadata_recovery_strategy == "rebootstrap",
        rebootstrap_trigger_ms=config.metadata_recovery_rebootstrap_trigger_ms,
        max_request_size=config.max_request_size,
        sticky_partitioner=True,  # BuiltInPartitioner: another partition after batch.size bytes
        sticky_linger_ms=0.0,
        murmur2=True,
    )


def _librdkafka_producer(config: LibrdkafkaProducerConfig) -> ProducerSettings:
    interval = config.topic_metadata_refresh_interval_ms
    return ProducerSettings(
        client=Client.LIBRDKAFKA,
        acks=config.acks,
        enable_idempotence=config.enable_idempotence,
        retries=config.retries,
        max_in_flight=config.max_in_flight_requests_per_connection,
        linger_ms=config.linger_ms,
        batch_size=min(config.batch_size, config.message_max_bytes),
        batch_records=config.batch_num_messages,
        buffer_memory=config.queue_buffering_max_kbytes * 1024,
        buffer_records=config.queue_buffering_max_messages or NO_LIMIT,  # 0 is no limit
        max_block_ms=0.0,  # a full queue is an error at once (_QUEUE_FULL): the application must poll and try again
        blocks_on_metadata=False,  # without metadata a message waits in the topic's unassigned queue, and its clock runs
        delivery_timeout_ms=config.message_timeout_ms or NEVER,  # 0 is no limit
        request_timeout_ms=config.socket_timeout_ms,  # and no longer than the batch's first message may still live
        ack_timeout_ms=config.request_timeout_ms,  # the same name as Java's, but here for the broker's ears only
        retry_backoff_ms=min(config.retry_backoff_ms, config.retry_backoff_max_ms),
        retry_backoff_max_ms=config.retry_backoff_max_ms,
        reconnect_backoff_ms=config.reconnect_backoff_ms,
        reconnect_backoff_max_ms=config.reconnect_backoff_max_ms,
        connection_setup_timeout_ms=config.socket_connection_setup_timeout_ms,
        connection_setup_timeout_max_ms=config.socket_connection_setup_timeout_ms,  # does not grow
        # Simplified: the setup timeout covers the wait for versions, too; here it starts again when the connection stands.
        api_versions_timeout_ms=min(config.api_version_request_timeout_ms, config.socket_connection_setup_timeout_ms),
        metadata_max_age_ms=NEVER if interval < 0 else interval,  # metadata.max.age.ms is something else here: when a cache entry dies
        metadata_retry_ms=config.topic_metadata_refresh_fast_interval_ms,
        rebootstrap=config.metadata_recovery_strategy == "rebootstrap",
        rebootstrap_trigger_ms=config.metadata_recovery_rebootstrap_trigger_ms,
        max_request_size=config.message_max_bytes,
        sticky_partitioner=False,
        sticky_linger_ms=config.sticky_partitioning_linger_ms,  # a partition is kept for a time, not for a number of bytes
        murmur2=config.partitioner == "murmur2_random",
    )


def _java_consumer(config: JavaConsumerConfig) -> ConsumerSettings:
    return ConsumerSettings(
        client=Client.JAVA,
        enable_auto_commit=config.enable_auto_commit,
        auto_commit_interval_ms=config.auto_commit_interval_ms,
        auto_offset_store=False,  # poll() commits the positions that earlier polls reached: what they returned has been processed
        auto_offset_reset=config.auto_offset_reset,
        reset_duration_ms=reset_duration_ms(config.auto_offset_reset),
        read_committed=config.isolation_level == "read_committed",
        max_poll_records=config.max_poll_records,
        max_poll_interval_ms=config.max_poll_interval_ms,
        session_timeout_ms=config.session_timeout_ms,
        heartbeat_interval_ms=config.heartbeat_interval_ms,
        fetch_min_bytes=config.fetch_min_bytes,
        fetch_max_wait_ms=config.fetch_max_wait_ms,
        fetch_max_bytes=config.fetch_max_bytes,
        max_partition_fetch_bytes=config.max_partition_fetch_bytes,
        request_timeout_ms=config.request_timeout_ms,
        default_api_timeout_ms=config.default_api_timeout_ms,
        retry_backoff_ms=min(config.retry_backoff_ms, config.retry_backoff_max_ms),
        retry_backoff_max_ms=config.retry_backoff_max_ms,
        reconnect_backoff_ms=config.reconnect_backoff_ms,
        reconnect_backoff_max_ms=config.reconnect_backoff_max_ms,
        connection_setup_timeout_ms=min(config.socket_connection_setup_timeout_ms, config.socket_connection_setup_timeout_max_ms),
        connection_setup_timeout_max_ms=config.socket_connection_setup_timeout_max_ms,
        metadata_max_age_ms=config.metadata_max_age_ms,
        metadata_retry_ms=min(config.retry_backoff_ms, config.retry_backoff_max_ms),
        rebootstrap=config.metadata_recovery_strategy == "rebootstrap",
        rebootstrap_trigger_ms=config.metadata_recovery_rebootstrap_trigger_ms,
    )


def _librdkafka_consumer(config: LibrdkafkaConsumerConfig) -> ConsumerSettings:
    interval = config.topic_metadata_refresh_interval_ms
    return ConsumerSettings(
        client=Client.LIBRDKAFKA,
        enable_auto_commit=config.enable_auto_commit,
        auto_commit_interval_ms=config.auto_commit_interval_ms,
        auto_offset_store=config.enable_auto_offset_store,  # stored before the message is handed over: committed before it is processed
        auto_offset_reset="none" if config.auto_offset_reset == "error" else config.auto_offset_reset,
        reset_duration_ms=None,
        read_committed=config.isolation_level == "read_committed",
        max_poll_records=config.max_poll_records,
        max_poll_interval_ms=config.max_poll_interval_ms,
        session_timeout_ms=config.session_timeout_ms,
        heartbeat_interval_ms=config.heartbeat_interval_ms,
        fetch_min_bytes=config.fetch_min_bytes,
        fetch_max_wait_ms=config.fetch_wait_max_ms,
        fetch_max_bytes=config.fetch_max_bytes,
        max_partition_fetch_bytes=config.max_partition_fetch_bytes,
        request_timeout_ms=config.socket_timeout_ms,  # a fetch may take fetch.wait.max.ms longer
        default_api_timeout_ms=config.socket_timeout_ms,  # Simplified: a blocking commit() of librdkafka has no time limit of its own
        retry_backoff_ms=min(config.retry_backoff_ms, config.retry_backoff_max_ms),
        retry_backoff_max_ms=config.retry_backoff_max_ms,
        reconnect_backoff_ms=config.reconnect_backoff_ms,
        reconnect_backoff_max_ms=config.reconnect_backoff_max_ms,
        connection_setup_timeout_ms=config.socket_connection_setup_timeout_ms,
        connection_setup_timeout_max_ms=config.socket_connection_setup_timeout_ms,
        api_versions_timeout_ms=min(config.api_version_request_timeout_ms, config.socket_connection_setup_timeout_ms),
        metadata_max_age_ms=NEVER if interval < 0 else interval,
        metadata_retry_ms=config.topic_metadata_refresh_fast_interval_ms,
        rebootstrap=config.metadata_recovery_strategy == "rebootstrap",
        rebootstrap_trigger_ms=config.metadata_recovery_rebootstrap_trigger_ms,
    )
