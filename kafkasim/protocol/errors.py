"""Kafka's error codes, and the two questions a client asks of each: may I retry, and is it certain that nothing was written?

Source: org.apache.kafka.common.protocol.Errors, org.apache.kafka.common.errors.RetriableException and
InvalidMetadataException; librdkafka's `rd_kafka_handle_Produce_error` for "possibly persisted". That
NOT_LEADER_OR_FOLLOWER is not a definite failure is KAFKA-13574.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Error(Enum):
    """What a response says about one partition or group, and what a client makes of a request that got no response.

    `retriable`: the Java client sends again. `definite`: the broker certainly wrote nothing for *this* request.
    `invalid_metadata`: the client asks for fresh metadata before it tries again.
    """

    NONE = ("NONE", False, False, False)
    # Answers of a broker.
    UNKNOWN_SERVER_ERROR = ("UNKNOWN_SERVER_ERROR", False, False, False)
    OFFSET_OUT_OF_RANGE = ("OFFSET_OUT_OF_RANGE", False, True, False)
    OFFSET_NOT_AVAILABLE = ("OFFSET_NOT_AVAILABLE", True, True, False)
    UNKNOWN_TOPIC_OR_PARTITION = ("UNKNOWN_TOPIC_OR_PARTITION", True, True, True)
    LEADER_NOT_AVAILABLE = ("LEADER_NOT_AVAILABLE", True, True, True)
    NOT_LEADER_OR_FOLLOWER = ("NOT_LEADER_OR_FOLLOWER", True, False, True)
    REQUEST_TIMED_OUT = ("REQUEST_TIMED_OUT", True, False, False)
    RECORD_TOO_LARGE = ("RECORD_TOO_LARGE", False, True, False)
    COORDINATOR_LOAD_IN_PROGRESS = ("COORDINATOR_LOAD_IN_PROGRESS", True, True, False)
    COORDINATOR_NOT_AVAILABLE = ("COORDINATOR_NOT_AVAILABLE", True, True, False)
    NOT_COORDINATOR = ("NOT_COORDINATOR", True, True, False)
    NOT_ENOUGH_REPLICAS = ("NOT_ENOUGH_REPLICAS", True, True, False)
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = ("NOT_ENOUGH_REPLICAS_AFTER_APPEND", True, False, False)
    ILLEGAL_GENERATION = ("ILLEGAL_GENERATION", False, True, False)
    UNKNOWN_MEMBER_ID = ("UNKNOWN_MEMBER_ID", False, True, False)
    MEMBER_ID_REQUIRED = ("MEMBER_ID_REQUIRED", False, True, False)
    REBALANCE_IN_PROGRESS = ("REBALANCE_IN_PROGRESS", False, True, False)
    OUT_OF_ORDER_SEQUENCE_NUMBER = ("OUT_OF_ORDER_SEQUENCE_NUMBER", False, True, False)
    DUPLICATE_SEQUENCE_NUMBER = ("DUPLICATE_SEQUENCE_NUMBER", False, False, False)
    INVALID_PRODUCER_EPOCH = ("INVALID_PRODUCER_EPOCH", False, True, False)
    UNKNOWN_PRODUCER_ID = ("UNKNOWN_PRODUCER_ID", False, True, False)
    FENCED_LEADER_EPOCH = ("FENCED_LEADER_EPOCH", True, True, True)
    UNKNOWN_LEADER_EPOCH = ("UNKNOWN_LEADER_EPOCH", True, True, False)
    STALE_BROKER_EPOCH = ("STALE_BROKER_EPOCH", False, True, False)
    DUPLICATE_BROKER_REGISTRATION = ("DUPLICATE_BROKER_REGISTRATION", False, True, False)
    BROKER_ID_NOT_REGISTERED = ("BROKER_ID_NOT_REGISTERED", False, True, False)
    INVALID_UPDATE_VERSION = ("INVALID_UPDATE_VERSION", False, True, False)
    INELIGIBLE_REPLICA = ("INELIGIBLE_REPLICA", False, True, False)
    OPERATION_NOT_ATTEMPTED = ("OPERATION_NOT_ATTEMPTED", False, True, False)
    INVALID_REQUEST = ("INVALID_REQUEST", False, True, False)
    NOT_CONTROLLER = ("NOT_CONTROLLER", True, True, False)
    NEW_LEADER_ELECTED = ("NEW_LEADER_ELECTED", False, True, False)
    ELECTION_NOT_NEEDED = ("ELECTION_NOT_NEEDED", True, True, True)
    PREFERRED_LEADER_NOT_AVAILABLE = ("PREFERRED_LEADER_NOT_AVAILABLE", True, True, True)
    ELIGIBLE_LEADERS_NOT_AVAILABLE = ("ELIGIBLE_LEADERS_NOT_AVAILABLE", True, True, True)
    INVALID_REPLICA_ASSIGNMENT = ("INVALID_REPLICA_ASSIGNMENT", False, True, False)
    NO_REASSIGNMENT_IN_PROGRESS = ("NO_REASSIGNMENT_IN_PROGRESS", False, True, False)
    # What a client says itself, having heard nothing or having given up.
    TIMEOUT = ("TimeoutException", True, False, False)
    DELIVERY_TIMEOUT = ("TimeoutException: delivery.timeout.ms", False, False, False)
    NETWORK_EXCEPTION = ("NetworkException", True, False, True)
    BUFFER_EXHAUSTED = ("BufferExhaustedException", False, True, False)
    METADATA_TIMEOUT = ("TimeoutException: max.block.ms", False, True, False)
    QUEUE_FULL = ("_QUEUE_FULL", False, True, False)
    PRODUCER_CLOSED = ("KafkaException: producer closed", False, False, False)
    COMMIT_FAILED = ("CommitFailedException", False, True, False)

    def __init__(self, kafka_name: str, retriable: bool, definite: bool, invalid_metadata: bool) -> None:
        self.kafka_name = kafka_name
        self.retriable = retriable
        self.definite = definite
        self.invalid_metadata = invalid_metadata


# `Error.NONE` by a plain name: an attribute of an Enum costs ten times as much to look up, and every message is asked for its error.
NO_ERROR: Final = Error.NONE
