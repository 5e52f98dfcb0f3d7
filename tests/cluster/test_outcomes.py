from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from kafkasim.cluster.outcomes import ROWS, Certainty, java_outcome, ledger_name, librdkafka_outcome, refused_by_produce
from kafkasim.protocol.errors import Error

# What no delivery report can bring: errors of consumers, groups, administration, share groups, tokens, and librdkafka's own bookkeeping.
_NEVER = """
NO_ERROR OFFSET_OUT_OF_RANGE INVALID_MSG_SIZE STALE_CTRL_EPOCH OFFSET_METADATA_TOO_LARGE ILLEGAL_GENERATION
INCONSISTENT_GROUP_PROTOCOL INVALID_GROUP_ID UNKNOWN_MEMBER_ID INVALID_SESSION_TIMEOUT REBALANCE_IN_PROGRESS
INVALID_COMMIT_OFFSET_SIZE GROUP_AUTHORIZATION_FAILED UNSUPPORTED_SASL_MECHANISM ILLEGAL_SASL_STATE TOPIC_ALREADY_EXISTS
INVALID_PARTITIONS INVALID_REPLICATION_FACTOR INVALID_REPLICA_ASSIGNMENT INVALID_CONFIG NOT_CONTROLLER INVALID_TRANSACTION_TIMEOUT
CONCURRENT_TRANSACTIONS TRANSACTION_COORDINATOR_FENCED SECURITY_DISABLED OPERATION_NOT_ATTEMPTED REASSIGNMENT_IN_PROGRESS
DELEGATION_TOKEN_AUTH_DISABLED DELEGATION_TOKEN_NOT_FOUND DELEGATION_TOKEN_OWNER_MISMATCH DELEGATION_TOKEN_REQUEST_NOT_ALLOWED
DELEGATION_TOKEN_AUTHORIZATION_FAILED DELEGATION_TOKEN_EXPIRED INVALID_PRINCIPAL_TYPE NON_EMPTY_GROUP GROUP_ID_NOT_FOUND
FETCH_SESSION_ID_NOT_FOUND INVALID_FETCH_SESSION_EPOCH LISTENER_NOT_FOUND TOPIC_DELETION_DISABLED STALE_BROKER_EPOCH
OFFSET_NOT_AVAILABLE MEMBER_ID_REQUIRED PREFERRED_LEADER_NOT_AVAILABLE GROUP_MAX_SIZE_REACHED FENCED_INSTANCE_ID
ELIGIBLE_LEADERS_NOT_AVAILABLE ELECTION_NOT_NEEDED NO_REASSIGNMENT_IN_PROGRESS GROUP_SUBSCRIBED_TO_TOPIC UNSTABLE_OFFSET_COMMIT
RESOURCE_NOT_FOUND DUPLICATE_RESOURCE UNACCEPTABLE_CREDENTIAL INCONSISTENT_VOTER_SET INVALID_UPDATE_VERSION FEATURE_UPDATE_FAILED
PRINCIPAL_DESERIALIZATION_FAILURE FENCED_MEMBER_EPOCH UNRELEASED_INSTANCE_ID UNSUPPORTED_ASSIGNOR STALE_MEMBER_EPOCH
MISMATCHED_ENDPOINT_TYPE UNSUPPORTED_ENDPOINT_TYPE UNKNOWN_CONTROLLER_ID UNKNOWN_SUBSCRIPTION_ID TELEMETRY_TOO_LARGE
INVALID_REGISTRATION INVALID_RECORD_STATE SHARE_SESSION_NOT_FOUND INVALID_SHARE_SESSION_EPOCH FENCED_STATE_EPOCH INVALID_VOTER_KEY
DUPLICATE_VOTER VOTER_NOT_FOUND INVALID_REGULAR_EXPRESSION REBOOTSTRAP_REQUIRED STREAMS_INVALID_TOPOLOGY
STREAMS_INVALID_TOPOLOGY_EPOCH STREAMS_TOPOLOGY_FENCED SHARE_SESSION_LIMIT_REACHED
_PARTITION_EOF _FS _NODE_UPDATE _UNKNOWN_GROUP _IN_PROGRESS _PREV_IN_PROGRESS _EXISTING_SUBSCRIPTION _ASSIGN_PARTITIONS
_REVOKE_PARTITIONS _CONFLICT _UNKNOWN_PROTOCOL _NOT_IMPLEMENTED _NO_OFFSET _OUTDATED _WAIT_CACHE _KEY_DESERIALIZATION
_VALUE_DESERIALIZATION _PARTIAL _NOENT _INVALID_TYPE _MAX_POLL_EXCEEDED _UNKNOWN_BROKER _NOT_CONFIGURED _APPLICATION
_ASSIGNMENT_LOST _NOOP _AUTO_OFFSET_RESET _LOG_TRUNCATION
"""
NEVER_IN_A_DELIVERY = frozenset(_NEVER.split())

# What a produce callback can bring in Java, by what brings it up: org.apache.kafka.common.errors, and the producer's own.
_JAVA = """
TimeoutException BufferExhaustedException SerializationException RecordTooLargeException RecordBatchTooLargeException
NetworkException DisconnectException NotEnoughReplicasException NotEnoughReplicasAfterAppendException NotLeaderOrFollowerException
UnknownTopicOrPartitionException UnknownTopicIdException InconsistentTopicIdException LeaderNotAvailableException InvalidTopicException
CorruptRecordException InvalidRecordException InvalidTimestampException InvalidRequiredAcksException InvalidRequestException
UnsupportedVersionException UnsupportedForMessageFormatException UnsupportedCompressionTypeException PolicyViolationException
KafkaStorageException LogDirNotFoundException ReplicaNotAvailableException BrokerNotAvailableException UnknownServerException
OutOfOrderSequenceException DuplicateSequenceException InvalidProducerEpochException UnknownProducerIdException ProducerFencedException
FencedLeaderEpochException UnknownLeaderEpochException TopicAuthorizationException ClusterAuthorizationException AuthorizationException
TransactionalIdAuthorizationException SaslAuthenticationException SslAuthenticationException AuthenticationException
InvalidTxnStateException InvalidPidMappingException TransactionAbortableException TransactionAbortedException
ThrottlingQuotaExceededException CoordinatorLoadInProgressException CoordinatorNotAvailableException NotCoordinatorException
KafkaException IllegalStateException InterruptException
"""
JAVA_EXCEPTIONS = frozenset(_JAVA.split())

KNOWN = {error.kafka_name: error for error in Error}


def codes() -> set[str]:
    found = {name for name in dir(KafkaError) if not name.startswith("__") and isinstance(getattr(KafkaError, name), int)}
    assert len(found) > 150
    return found


def test_every_error_of_librdkafka_has_a_row_or_never_comes_with_a_delivery() -> None:
    rows = {name for row in ROWS for name in row.librdkafka}
    assert codes() - rows - NEVER_IN_A_DELIVERY == set()
    assert rows & NEVER_IN_A_DELIVERY == set()


def test_no_row_names_an_error_that_librdkafka_does_not_have() -> None:
    assert {name for row in ROWS for name in row.librdkafka} <= codes()


def test_the_name_of_an_error_is_the_name_that_rows_are_found_by() -> None:
    wrong = {name for row in ROWS for name in row.librdkafka if KafkaError(getattr(KafkaError, name)).name() != name}
    assert wrong == set()


def test_every_exception_of_a_java_callback_has_a_row_and_every_row_is_of_one() -> None:
    assert {exception for row in ROWS for exception in row.java} == JAVA_EXCEPTIONS


def test_no_error_has_two_rows() -> None:
    for names in ([row.name for row in ROWS], [n for row in ROWS for n in row.java], [n for row in ROWS for n in row.librdkafka]):
        assert len(names) == len(set(names))


def test_rows_agree_with_the_simulator_where_both_know_the_error() -> None:
    both = [row for row in ROWS if row.name in KNOWN]
    assert len(both) > 20
    assert {row.name for row in both if (row.certainty is not Certainty.UNKNOWN) is not KNOWN[row.name].definite} == set()


def test_every_row_gives_a_sentence_for_a_reason_and_who_brings_it_up() -> None:
    assert [row.name for row in ROWS if not (row.reason.endswith(".") and row.reason[0].isupper() and row.raised_by)] == []


@pytest.mark.parametrize("retries", [0, 5])
def test_what_is_in_no_row_is_unknown_under_its_own_name(retries: int) -> None:
    assert java_outcome("BrandNewException", "other", retries, left_client=False)[:2] == ("BrandNewException", False)
    assert librdkafka_outcome("_BRAND_NEW", retries, left_client=False)[:2] == ("_BRAND_NEW", False)


def test_a_refusal_is_definite_only_where_no_earlier_attempt_can_have_been_written() -> None:
    assert java_outcome("NotEnoughReplicasException", "other", 0)[:2] == ("NOT_ENOUGH_REPLICAS", True)
    assert java_outcome("NotEnoughReplicasException", "other", 3)[:2] == ("NOT_ENOUGH_REPLICAS", False)
    assert librdkafka_outcome("NOT_ENOUGH_REPLICAS", 0)[:2] == ("NOT_ENOUGH_REPLICAS", True)
    assert librdkafka_outcome("NOT_ENOUGH_REPLICAS", 3)[:2] == ("NOT_ENOUGH_REPLICAS", False)


def test_a_refusal_of_a_record_that_never_got_a_partition_is_definite_whatever_the_retries() -> None:
    assert java_outcome("RecordTooLargeException", "other", 5, left_client=False)[:2] == ("RECORD_TOO_LARGE", True)
    assert not java_outcome("RecordTooLargeException", "other", 5).definite
    assert librdkafka_outcome("_UNKNOWN_TOPIC", 5, left_client=False).definite


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("expired", Error.DELIVERY_TIMEOUT),
        ("memory", Error.BUFFER_EXHAUSTED),
        ("metadata", Error.METADATA_TIMEOUT),
        ("other", Error.TIMEOUT),
        ("a kind of tomorrow", Error.TIMEOUT),
    ],
)
def test_each_kind_of_java_timeout_is_called_and_judged_as_in_the_simulator(kind: str, error: Error) -> None:
    for retries in (0, 5):
        assert java_outcome("TimeoutException", kind, retries)[:2] == (error.kafka_name, error.definite)


@pytest.mark.parametrize(
    "name", ["_MSG_TIMED_OUT", "_TIMED_OUT", "_TRANSPORT", "_PURGE_INFLIGHT", "NOT_LEADER_FOR_PARTITION", "REQUEST_TIMED_OUT"]
)
def test_where_no_answer_came_or_a_leader_may_have_appended_nothing_is_certain(name: str) -> None:
    assert not librdkafka_outcome(name, 0).definite
    assert not librdkafka_outcome(name, 0, left_client=False).definite


def test_a_message_timeout_of_librdkafka_has_the_name_that_the_simulator_gives_it() -> None:
    assert librdkafka_outcome("_MSG_TIMED_OUT", 0).name == Error.DELIVERY_TIMEOUT.kafka_name


def test_what_produce_refused_is_certain_and_a_full_queue_is_called_as_in_the_simulator() -> None:
    assert refused_by_produce("_QUEUE_FULL")[:2] == (Error.QUEUE_FULL.kafka_name, True)
    assert refused_by_produce("MSG_SIZE_TOO_LARGE")[:2] == (Error.RECORD_TOO_LARGE.kafka_name, True)


def test_the_error_of_a_commit_is_called_as_in_the_simulator() -> None:
    assert ledger_name("_TIMED_OUT") == Error.TIMEOUT.kafka_name
    assert ledger_name("_TRANSPORT") == Error.NETWORK_EXCEPTION.kafka_name
    for name in ("REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID"):
        assert ledger_name(name) == Error[name].kafka_name
