"""What an error of a real client means for the record: failed for certain, or unknown. One table for both flavours.

In Kafka: org.apache.kafka.common.protocol.Errors and org.apache.kafka.common.errors; librdkafka: rd_kafka_resp_err_t, and the status
that `rd_kafka_handle_Produce_error` gives a message (confluent-kafka does not show it, or it would be asked). A row's name is the one that
`kafkasim/protocol/errors.py` gives the error, where it knows it; else Kafka's own.

librdkafka tells less of the past than its names suggest: a message may have been sent before, and the error is that of the last attempt. So
what a broker refused is failed for certain only where `retries` is 0. An error that is in no row is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, NamedTuple


class Certainty(Enum):
    """What an error says by itself about the attempt that it ended."""

    NEVER_SENT = "the record has never left the client, in no attempt"
    REFUSED = "this attempt wrote nothing; an earlier one may have"
    UNKNOWN = "the record may have been written"


class Row(NamedTuple):
    """An error: its name in the ledger, its names in Java (simple class names) and in librdkafka, and why it means what it means."""

    name: str
    certainty: Certainty
    java: tuple[str, ...]
    librdkafka: tuple[str, ...]
    raised_by: str  # the class, or librdkafka's function, that brings it up
    reason: str


class Outcome(NamedTuple):
    """`name` as in `Callback.error`; `definite`: this record was certainly not written by this send."""

    name: str
    definite: bool
    reason: str


NEVER_SENT, REFUSED, UNKNOWN = Certainty.NEVER_SENT, Certainty.REFUSED, Certainty.UNKNOWN

# Java's one TimeoutException has many meanings. Its message tells which, and the driver gives it as `kind`:
#   expired   "Expiring 5 record(s) for orders-0: …"            Sender, delivery.timeout.ms
#   metadata  "Topic orders not present in metadata after …"    KafkaProducer.waitOnMetadata, max.block.ms
#   memory    "Failed to allocate memory within …"              BufferPool; since Kafka 2.5 a class of its own, BufferExhaustedException
#   other     "Disconnected from node 1 due to timeout"         Sender, request.timeout.ms; or the broker's own REQUEST_TIMED_OUT
_TIMEOUTS: Final[Mapping[str, str]] = {
    "expired": "TimeoutException: delivery.timeout.ms",
    "metadata": "TimeoutException: max.block.ms",
    "memory": "BufferExhaustedException",
    "other": "TimeoutException",
}

# fmt: off
ROWS: Final[Sequence[Row]] = (
    # ---- The client itself, before anything was sent.
    Row("BufferExhaustedException", NEVER_SENT, ("BufferExhaustedException",), (), "BufferPool.allocate",
        "There was no buffer.memory for send() within max.block.ms, so the record was not even queued."),
    Row("TimeoutException: max.block.ms", NEVER_SENT, (), (), "KafkaProducer.waitOnMetadata",
        "There was no metadata for send() within max.block.ms, so the record was not even queued."),
    Row("_QUEUE_FULL", NEVER_SENT, (), ("_QUEUE_FULL",), "rd_kafka_curr_msgs_add",
        "The queue of librdkafka was full, and produce() did not take the record."),
    Row("SerializationException", NEVER_SENT, ("SerializationException",), ("_KEY_SERIALIZATION", "_VALUE_SERIALIZATION"),
        "KafkaProducer.doSend", "The record could not be turned into bytes."),
    Row("_UNKNOWN_PARTITION", REFUSED, (), ("_UNKNOWN_PARTITION",), "rd_kafka_topic_assign_uas",
        "The topic has no such partition; a message that was sent while it had may be among these."),
    Row("_UNKNOWN_TOPIC", REFUSED, (), ("_UNKNOWN_TOPIC",), "rd_kafka_topic_set_notexists",
        "The cluster does not know the topic; a message that was sent while it did may be among these."),
    Row("_PURGE_QUEUE", REFUSED, (), ("_PURGE_QUEUE",), "rd_kafka_purge",
        "The message was waiting when the queue was purged; it may have waited for a second attempt."),
    Row("_INVALID_ARG", REFUSED, (), ("_INVALID_ARG",), "rd_kafka_produceva", "The client refused the arguments."),
    Row("_READ_ONLY", REFUSED, (), ("_READ_ONLY",), "rd_kafka_produceva", "The client refused the arguments."),

    # ---- A broker refused the batch before it wrote anything.
    Row("NOT_ENOUGH_REPLICAS", REFUSED, ("NotEnoughReplicasException",), ("NOT_ENOUGH_REPLICAS",), "Partition.appendRecordsToLeader",
        "The leader saw too small an ISR before it appended."),
    Row("RECORD_TOO_LARGE", REFUSED, ("RecordTooLargeException",), ("MSG_SIZE_TOO_LARGE",), "UnifiedLog.append",
        "A record larger than max.message.bytes, or than the client's own limit, is not appended."),
    Row("RECORD_LIST_TOO_LARGE", REFUSED, ("RecordBatchTooLargeException",), ("RECORD_LIST_TOO_LARGE",), "UnifiedLog.append",
        "A batch larger than a segment is not appended."),
    Row("UNKNOWN_TOPIC_OR_PARTITION", REFUSED, ("UnknownTopicOrPartitionException",), ("UNKNOWN_TOPIC_OR_PART",),
        "ReplicaManager.getPartitionOrException", "The broker knows no such partition and has nowhere to write."),
    Row("UNKNOWN_TOPIC_ID", REFUSED, ("UnknownTopicIdException",), ("UNKNOWN_TOPIC_ID",), "KafkaApis.handleProduceRequest",
        "The broker knows no such topic and has nowhere to write."),
    Row("INCONSISTENT_TOPIC_ID", REFUSED, ("InconsistentTopicIdException",), ("INCONSISTENT_TOPIC_ID",), "ReplicaManager",
        "The topic was made anew under the same name; the request was refused before the append."),
    Row("LEADER_NOT_AVAILABLE", REFUSED, ("LeaderNotAvailableException",), ("LEADER_NOT_AVAILABLE",), "MetadataCache",
        "There was no leader to write to."),
    Row("INVALID_TOPIC_EXCEPTION", REFUSED, ("InvalidTopicException",), ("TOPIC_EXCEPTION",), "ReplicaManager.appendToLocalLog",
        "Nobody may write to such a topic."),
    Row("CORRUPT_MESSAGE", REFUSED, ("CorruptRecordException",), ("INVALID_MSG",), "UnifiedLog.analyzeAndValidateRecords",
        "The checksum is wrong; the batch is checked before it is appended."),
    Row("INVALID_RECORD", REFUSED, ("InvalidRecordException",), ("INVALID_RECORD", "_INVALID_DIFFERENT_RECORD"), "LogValidator",
        "A record of the batch is invalid, and the whole batch is refused."),
    Row("INVALID_TIMESTAMP", REFUSED, ("InvalidTimestampException",), ("INVALID_TIMESTAMP",), "LogValidator",
        "The timestamp is out of bounds, and the whole batch is refused."),
    Row("INVALID_REQUIRED_ACKS", REFUSED, ("InvalidRequiredAcksException",), ("INVALID_REQUIRED_ACKS",), "ReplicaManager.appendRecords",
        "The number of acks is looked at before the append."),
    Row("INVALID_REQUEST", REFUSED, ("InvalidRequestException",), ("INVALID_REQUEST",), "ProduceRequest.validateRecords",
        "The request was refused as a whole."),
    Row("UNSUPPORTED_VERSION", REFUSED, ("UnsupportedVersionException",), ("UNSUPPORTED_VERSION", "_UNSUPPORTED_FEATURE"),
        "KafkaApis, or the client", "The two do not speak one version of the request."),
    Row("UNSUPPORTED_FOR_MESSAGE_FORMAT", REFUSED, ("UnsupportedForMessageFormatException",), ("UNSUPPORTED_FOR_MESSAGE_FORMAT",),
        "LogValidator", "The log's format cannot hold the batch."),
    Row("UNSUPPORTED_COMPRESSION_TYPE", REFUSED, ("UnsupportedCompressionTypeException",), ("UNSUPPORTED_COMPRESSION_TYPE",),
        "ProduceRequest.validateRecords", "The broker cannot read the batch."),
    Row("POLICY_VIOLATION", REFUSED, ("PolicyViolationException",), ("POLICY_VIOLATION",), "a broker's policy",
        "A policy is asked before anything is written."),
    Row("TOPIC_AUTHORIZATION_FAILED", REFUSED, ("TopicAuthorizationException",), ("TOPIC_AUTHORIZATION_FAILED",),
        "KafkaApis.handleProduceRequest", "The right to write is checked before the append."),
    Row("CLUSTER_AUTHORIZATION_FAILED", REFUSED, ("ClusterAuthorizationException",), ("CLUSTER_AUTHORIZATION_FAILED",),
        "KafkaApis.handleInitProducerIdRequest", "The right to be idempotent is checked before the append."),
    Row("AUTHORIZATION_FAILED", REFUSED, ("AuthorizationException",), (), "KafkaApis", "Rights are checked before the append."),
    Row("SASL_AUTHENTICATION_FAILED", UNKNOWN, ("SaslAuthenticationException", "AuthenticationException"),
        ("SASL_AUTHENTICATION_FAILED", "_AUTHENTICATION"), "NetworkClient", "A connection in use may be asked to authenticate once more."),
    Row("SSL_AUTHENTICATION_FAILED", UNKNOWN, ("SslAuthenticationException",), ("_SSL",), "NetworkClient",
        "The connection failed; librdkafka calls a connection that broke later the same."),
    Row("OUT_OF_ORDER_SEQUENCE_NUMBER", REFUSED, ("OutOfOrderSequenceException",), ("OUT_OF_ORDER_SEQUENCE_NUMBER",),
        "ProducerAppendInfo.checkSequence", "The broker did not append a batch out of sequence."),
    Row("INVALID_PRODUCER_EPOCH", REFUSED, ("InvalidProducerEpochException",), ("INVALID_PRODUCER_EPOCH",),
        "ProducerAppendInfo.checkProducerEpoch", "The broker did not append a batch of an older epoch."),
    Row("UNKNOWN_PRODUCER_ID", REFUSED, ("UnknownProducerIdException",), ("UNKNOWN_PRODUCER_ID",), "UnifiedLog",
        "The broker had forgotten the producer and did not append."),
    Row("FENCED_LEADER_EPOCH", REFUSED, ("FencedLeaderEpochException",), ("FENCED_LEADER_EPOCH",), "Partition.checkCurrentLeaderEpoch",
        "The leader epoch is compared before the append."),
    Row("UNKNOWN_LEADER_EPOCH", REFUSED, ("UnknownLeaderEpochException",), ("UNKNOWN_LEADER_EPOCH",), "Partition.checkCurrentLeaderEpoch",
        "The leader epoch is compared before the append."),
    Row("PRODUCER_FENCED", UNKNOWN, ("ProducerFencedException",), ("PRODUCER_FENCED", "_FENCED"), "TransactionCoordinator",
        "A newer producer has taken the place of this one, whatever its requests were doing."),
    Row("THROTTLING_QUOTA_EXCEEDED", REFUSED, ("ThrottlingQuotaExceededException",), ("THROTTLING_QUOTA_EXCEEDED",), "QuotaManager",
        "The request was refused as a whole."),

    # ---- The leader may have appended the batch.
    Row("NOT_ENOUGH_REPLICAS_AFTER_APPEND", UNKNOWN, ("NotEnoughReplicasAfterAppendException",), ("NOT_ENOUGH_REPLICAS_AFTER_APPEND",),
        "Partition.checkEnoughReplicasReachOffset", "The leader has appended, and then saw too small an ISR."),
    Row("NOT_LEADER_OR_FOLLOWER", UNKNOWN, ("NotLeaderOrFollowerException",), ("NOT_LEADER_FOR_PARTITION",), "Partition, DelayedProduce",
        "A leader that stepped down while acks=all was waited for had appended already (KAFKA-13574)."),
    Row("REQUEST_TIMED_OUT", UNKNOWN, (), ("REQUEST_TIMED_OUT",), "DelayedProduce.onExpiration",
        "The leader has appended, and its followers were too slow."),
    Row("KAFKA_STORAGE_ERROR", UNKNOWN, ("KafkaStorageException",), ("KAFKA_STORAGE_ERROR",), "UnifiedLog.append",
        "The disk failed in the middle of an append, and some of it may be in the file."),
    Row("LOG_DIR_NOT_FOUND", UNKNOWN, ("LogDirNotFoundException",), ("LOG_DIR_NOT_FOUND",), "LogManager",
        "The disk is gone; what it held may come back."),
    Row("REPLICA_NOT_AVAILABLE", UNKNOWN, ("ReplicaNotAvailableException",), ("REPLICA_NOT_AVAILABLE",), "ReplicaManager",
        "The partition is moving; whether before or after an append is not told."),
    Row("BROKER_NOT_AVAILABLE", UNKNOWN, ("BrokerNotAvailableException",), ("BROKER_NOT_AVAILABLE",), "a broker",
        "Whether before or after an append is not told."),
    Row("DUPLICATE_SEQUENCE_NUMBER", UNKNOWN, ("DuplicateSequenceException",), ("DUPLICATE_SEQUENCE_NUMBER",), "ProducerStateManager",
        "A batch of that sequence is in the log: most likely this one."),
    Row("UNKNOWN_SERVER_ERROR", UNKNOWN, ("UnknownServerException",), ("UNKNOWN",), "Errors.forException",
        "The broker stumbled, before or after the append."),
    Row("COORDINATOR_LOAD_IN_PROGRESS", REFUSED, ("CoordinatorLoadInProgressException",), ("COORDINATOR_LOAD_IN_PROGRESS",),
        "TransactionCoordinator", "The coordinator answers before the append."),
    Row("COORDINATOR_NOT_AVAILABLE", REFUSED, ("CoordinatorNotAvailableException",), ("COORDINATOR_NOT_AVAILABLE",),
        "TransactionCoordinator", "The coordinator answers before the append."),
    Row("NOT_COORDINATOR", REFUSED, ("NotCoordinatorException",), ("NOT_COORDINATOR",), "TransactionCoordinator",
        "The coordinator answers before the append."),

    # ---- No answer: the request may have arrived, or may still arrive.
    Row("TimeoutException", UNKNOWN, ("TimeoutException",), ("_TIMED_OUT",), "NetworkClient; rd_kafka_broker_bufq_timeout_scan",
        "The request was not answered in time; the broker may have written all of it."),
    Row("TimeoutException: delivery.timeout.ms", UNKNOWN, (), ("_MSG_TIMED_OUT", "_TIMED_OUT_QUEUE"),
        "Sender.failExpiredBatches; rd_kafka_broker_toppar_msgq_scan", "The time of the record was up, in the queue or on its way."),
    Row("NetworkException", UNKNOWN, ("NetworkException", "DisconnectException"), ("NETWORK_EXCEPTION", "_TRANSPORT"),
        "Sender.handleProduceResponse; rd_kafka_broker_fail", "The connection broke while the request was on its way."),
    Row("_ALL_BROKERS_DOWN", UNKNOWN, (), ("_ALL_BROKERS_DOWN",), "rd_kafka_broker_set_state", "Nobody is left to ask what became of it."),
    Row("_PURGE_INFLIGHT", UNKNOWN, (), ("_PURGE_INFLIGHT",), "rd_kafka_purge", "The request was on its way when it was purged."),
    Row("_DESTROY", UNKNOWN, (), ("_DESTROY",), "rd_kafka_destroy", "The client was destroyed, whatever its requests were doing."),
    Row("_DESTROY_BROKER", UNKNOWN, (), ("_DESTROY_BROKER",), "rd_kafka_broker_fail", "The connection was taken down under the request."),
    Row("_RETRY", UNKNOWN, (), ("_RETRY",), "rd_kafka_idemp_drain", "The message was taken back to be sent again."),
    Row("_BAD_MSG", UNKNOWN, (), ("_BAD_MSG",), "rd_kafka_handle_Produce_parse", "The answer could not be read."),
    Row("_UNDERFLOW", UNKNOWN, (), ("_UNDERFLOW",), "rd_kafka_handle_Produce_parse", "The answer was cut short."),
    Row("_BAD_COMPRESSION", UNKNOWN, (), ("_BAD_COMPRESSION",), "rd_kafka_msgset_writer", "The batch could not be compressed."),
    Row("_ISR_INSUFF", UNKNOWN, (), ("_ISR_INSUFF",), "librdkafka", "The ISR was too small; whether before the append is not told."),
    Row("_RESOLVE", UNKNOWN, (), ("_RESOLVE",), "rd_kafka_broker_resolve",
        "The broker's name could not be resolved, perhaps after a first attempt."),
    Row("_WAIT_COORD", UNKNOWN, (), ("_WAIT_COORD",), "librdkafka", "There was nobody to ask what became of it."),
    Row("_CRIT_SYS_RESOURCE", UNKNOWN, (), ("_CRIT_SYS_RESOURCE",), "librdkafka", "The machine ran out of something in the middle of it."),
    Row("_FAIL", UNKNOWN, (), ("_FAIL",), "librdkafka", "It failed, and librdkafka does not say how."),

    # ---- The client gave up, whatever its requests were doing.
    Row("KafkaException", UNKNOWN, ("KafkaException",), (), "RecordAccumulator.abortIncompleteBatches, TransactionManager",
        "The producer was closed by force or is in a fatal state, and its requests may be on their way."),
    Row("IllegalStateException", UNKNOWN, ("IllegalStateException",), (), "KafkaProducer.throwIfProducerClosed, ProducerBatch",
        "The producer is closed, or a batch was completed twice."),
    Row("InterruptException", UNKNOWN, ("InterruptException",), (), "KafkaProducer.doSend",
        "The thread was interrupted in the middle of it."),
    Row("TRANSACTION_ABORTABLE", UNKNOWN, ("TransactionAbortableException", "TransactionAbortedException"), ("TRANSACTION_ABORTABLE",),
        "TransactionManager", "The record may be in the log, in a transaction that came to nothing."),
    Row("INVALID_TXN_STATE", REFUSED, ("InvalidTxnStateException",), ("INVALID_TXN_STATE",), "ProducerStateManager",
        "The transaction is looked at before the append."),
    Row("INVALID_PRODUCER_ID_MAPPING", REFUSED, ("InvalidPidMappingException",), ("INVALID_PRODUCER_ID_MAPPING",), "TransactionCoordinator",
        "The transaction is looked at before the append."),
    Row("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", REFUSED, ("TransactionalIdAuthorizationException",),
        ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED",), "KafkaApis.handleProduceRequest", "Rights are checked before the append."),
    Row("_FATAL", UNKNOWN, (), ("_FATAL",), "rd_kafka_set_fatal_error", "The producer stopped for good, whatever its requests were doing."),
    Row("_STATE", UNKNOWN, (), ("_STATE",), "librdkafka", "The client is in no state to tell."),
    Row("_INCONSISTENT", UNKNOWN, (), ("_INCONSISTENT",), "rd_kafka_handle_idempotent_Produce_error",
        "The sequences do not match, and nobody knows."),
    Row("_GAPLESS_GUARANTEE", UNKNOWN, (), ("_GAPLESS_GUARANTEE",), "rd_kafka_handle_Produce_error",
        "An earlier batch failed for good, and these went down with it."),
    Row("_INTR", UNKNOWN, (), ("_INTR",), "librdkafka", "It was interrupted in the middle of it."),
)
# fmt: on

_BY_NAME: Final[Mapping[str, Row]] = {row.name: row for row in ROWS}
_BY_JAVA: Final[Mapping[str, Row]] = {exception: row for row in ROWS for exception in row.java}
_BY_LIBRDKAFKA: Final[Mapping[str, Row]] = {name: row for row in ROWS for name in row.librdkafka}
_NO_ROW: Final = "This error is in no table: the record may have been written."


def java_outcome(exception: str, kind: str, retries: int, left_client: bool = True) -> Outcome:
    """What a callback's exception means. `exception`: simple class name. `kind`: of a TimeoutException, expired, memory, metadata or other.

    `retries`: the producer's. `left_client` False: the callback's metadata has no partition, for then send() itself had failed.
    """
    name = _TIMEOUTS.get(kind, "") if exception == "TimeoutException" else ""
    return _outcome(_BY_NAME.get(name) or _BY_JAVA.get(exception), exception, retries, left_client)


def librdkafka_outcome(name: str, retries: int, left_client: bool = True) -> Outcome:
    """What the error of a delivery report means. `name`: KafkaError.name().

    `retries`: the producer's. `left_client` False: the message has no partition, so that it cannot have been sent.
    """
    return _outcome(_BY_LIBRDKAFKA.get(name), name, retries, left_client)


def refused_by_produce(name: str) -> Outcome:
    """produce() itself raised this error: whatever it is, librdkafka has not taken the record, and there will be no delivery report."""
    row = _BY_LIBRDKAFKA.get(name)
    return Outcome(row.name if row else name, True, "produce() raised it, and so did not take the record.")


def ledger_name(name: str) -> str:
    """How the ledger calls an error of librdkafka (KafkaError.name()), a commit's for instance: as the simulator does, or as it is."""
    row = _BY_LIBRDKAFKA.get(name)
    return row.name if row else name


def _outcome(row: Row | None, own_name: str, retries: int, left_client: bool) -> Outcome:
    if row is None:
        return Outcome(own_name, False, _NO_ROW)
    never_sent = row.certainty is NEVER_SENT
    refused_once = row.certainty is REFUSED and (retries == 0 or not left_client)
    return Outcome(row.name, never_sent or refused_once, row.reason)
