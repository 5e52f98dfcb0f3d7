"""Every message on the wire, under the name of Kafka's own request or response (clients/src/main/resources/common/message).

Simplified: fields that no modelled rule reads are left out; a response carries the correlation id that Kafka has in its header.
"""

from __future__ import annotations

from typing import NamedTuple

from kafkasim.protocol.errors import Error
from kafkasim.protocol.records import LogBatch, OffsetAndEpoch, RecordBatch, TopicPartition

# ---------------------------------------------------------------------------------------------------- every client and broker


class ApiVersionsRequest(NamedTuple):
    """KIP-35: the first request on every connection of a client. What counts here is not which versions there are, but the answer."""

    correlation_id: int


class ApiVersionsResponse(NamedTuple):
    correlation_id: int


# ---------------------------------------------------------------------------------------------------- producer and broker


class ProduceRequest(NamedTuple):
    """Batches for one broker, at most one a partition. `acks` 0, 1 or -1; `timeout_ms`: how long the broker waits for acks=-1."""

    correlation_id: int
    acks: int
    timeout_ms: float
    batches: tuple[tuple[TopicPartition, RecordBatch], ...]


class PartitionProduceResponse(NamedTuple):
    """`base_offset` is -1 where nothing was appended. KIP-951: the current leader, where the broker knows better (else -1)."""

    partition: TopicPartition
    error: Error
    base_offset: int
    current_leader: int = -1
    current_leader_epoch: int = -1


class ProduceResponse(NamedTuple):
    correlation_id: int
    results: tuple[PartitionProduceResponse, ...]


class InitProducerIdRequest(NamedTuple):
    """KIP-98, KIP-360: an id for a new session, or with the current id and epoch, an epoch bump."""

    correlation_id: int
    producer_id: int = -1
    producer_epoch: int = -1


class InitProducerIdResponse(NamedTuple):
    correlation_id: int
    error: Error
    producer_id: int
    producer_epoch: int


class MetadataRequest(NamedTuple):
    correlation_id: int
    topics: tuple[str, ...]


class PartitionMetadata(NamedTuple):
    """`leader` is -1 where there is none."""

    partition: TopicPartition
    error: Error
    leader: int
    leader_epoch: int


class MetadataResponse(NamedTuple):
    """What the answering broker believes: `brokers` are those not fenced."""

    correlation_id: int
    brokers: tuple[int, ...]
    partitions: tuple[PartitionMetadata, ...]


# ---------------------------------------------------------------------------------------------------- fetching


class FetchPartition(NamedTuple):
    """`current_leader_epoch` fences (KIP-320; -1: not checked); `last_fetched_epoch` asks for divergence (KIP-595; -1: not asked)."""

    partition: TopicPartition
    fetch_offset: int
    current_leader_epoch: int
    last_fetched_epoch: int
    max_bytes: int


class FetchRequest(NamedTuple):
    """`replica_id` is -1 for a consumer; `broker_epoch` (KIP-903) is the follower's, -1 for a consumer."""

    correlation_id: int
    replica_id: int
    broker_epoch: int
    max_wait_ms: float
    min_bytes: int
    max_bytes: int
    read_committed: bool
    partitions: tuple[FetchPartition, ...]


class FetchedPartition(NamedTuple):
    """`diverging_epoch` and `diverging_end_offset` (-1, -1: none) tell a follower or consumer where the logs part (KIP-595)."""

    partition: TopicPartition
    error: Error
    high_watermark: int
    log_start_offset: int
    batches: tuple[LogBatch, ...] = ()
    diverging_epoch: int = -1
    diverging_end_offset: int = -1
    current_leader: int = -1
    current_leader_epoch: int = -1


class FetchResponse(NamedTuple):
    correlation_id: int
    partitions: tuple[FetchedPartition, ...]


class ListOffsetsRequest(NamedTuple):
    """`timestamp` -1 latest, -2 earliest, or an instant in ms (first offset at or after it). `replica_id`: as in FetchRequest."""

    correlation_id: int
    partitions: tuple[TopicPartition, ...]
    timestamp: float
    replica_id: int = -1


class ListOffsetsResponse(NamedTuple):
    """One (partition, error, offset, leader_epoch) a partition; offset -1 where there is none."""

    correlation_id: int
    partitions: tuple[tuple[TopicPartition, Error, int, int], ...]


class OffsetForLeaderEpochRequest(NamedTuple):
    """KIP-101, KIP-320: where did `leader_epoch` end? (partition, current_leader_epoch, leader_epoch) each.

    `replica_id`: as in FetchRequest.
    """

    correlation_id: int
    partitions: tuple[tuple[TopicPartition, int, int], ...]
    replica_id: int = -1


class OffsetForLeaderEpochResponse(NamedTuple):
    """(partition, error, leader_epoch, end_offset) each; -1, -1 where unknown."""

    correlation_id: int
    partitions: tuple[tuple[TopicPartition, Error, int, int], ...]


# ---------------------------------------------------------------------------------------------------- groups


class FindCoordinatorRequest(NamedTuple):
    correlation_id: int
    group: str


class FindCoordinatorResponse(NamedTuple):
    correlation_id: int
    error: Error
    coordinator: int


class JoinGroupRequest(NamedTuple):
    """`member_id` is "" on the first join; `instance` is the node's name, only for the trace."""

    correlation_id: int
    group: str
    member_id: str
    instance: str
    session_timeout_ms: float
    rebalance_timeout_ms: float
    topics: tuple[str, ...]


class JoinGroupResponse(NamedTuple):
    correlation_id: int
    error: Error
    generation: int
    member_id: str


class SyncGroupRequest(NamedTuple):
    correlation_id: int
    group: str
    generation: int
    member_id: str


class SyncGroupResponse(NamedTuple):
    correlation_id: int
    error: Error
    assignment: tuple[TopicPartition, ...]


class HeartbeatRequest(NamedTuple):
    correlation_id: int
    group: str
    generation: int
    member_id: str


class HeartbeatResponse(NamedTuple):
    correlation_id: int
    error: Error


class LeaveGroupRequest(NamedTuple):
    correlation_id: int
    group: str
    member_id: str


class LeaveGroupResponse(NamedTuple):
    correlation_id: int
    error: Error


class OffsetCommitRequest(NamedTuple):
    """The next offset to read of each partition, with the leader epoch of the record before it (KIP-320)."""

    correlation_id: int
    group: str
    generation: int
    member_id: str
    offsets: tuple[OffsetAndEpoch, ...]


class OffsetCommitResponse(NamedTuple):
    correlation_id: int
    error: Error


class OffsetFetchRequest(NamedTuple):
    correlation_id: int
    group: str
    partitions: tuple[TopicPartition, ...]


class OffsetFetchResponse(NamedTuple):
    """The committed offset and epoch of each partition; -1, -1 where the group has committed nothing."""

    correlation_id: int
    error: Error
    offsets: tuple[OffsetAndEpoch, ...]


# ---------------------------------------------------------------------------------------------------- brokers and controller


class BrokerRegistrationRequest(NamedTuple):
    """KIP-631. `incarnation` is the process's; `previous_broker_epoch` (KIP-966) is -1 unless the last shutdown was clean."""

    correlation_id: int
    broker_id: int
    incarnation: int
    previous_broker_epoch: int


class BrokerRegistrationResponse(NamedTuple):
    correlation_id: int
    error: Error
    broker_epoch: int


class BrokerHeartbeatRequest(NamedTuple):
    """KIP-631. `current_metadata_offset` lets the controller see that the broker has caught up before it is unfenced."""

    correlation_id: int
    broker_id: int
    broker_epoch: int
    current_metadata_offset: int
    want_fence: bool
    want_shut_down: bool


class BrokerHeartbeatResponse(NamedTuple):
    correlation_id: int
    error: Error
    is_fenced: bool
    should_shut_down: bool


class AlterPartitionRequest(NamedTuple):
    """KIP-497. (partition, leader_epoch, partition_epoch, new_isr as (broker, broker_epoch) pairs (KIP-903)) each."""

    correlation_id: int
    broker_id: int
    broker_epoch: int
    partitions: tuple[tuple[TopicPartition, int, int, tuple[tuple[int, int], ...]], ...]


class AlterPartitionResponse(NamedTuple):
    """`error` for the whole request; else (partition, error, leader, leader_epoch, isr, partition_epoch) each."""

    correlation_id: int
    error: Error
    partitions: tuple[tuple[TopicPartition, Error, int, int, tuple[int, ...], int], ...]


class PartitionRegistration(NamedTuple):
    """The controller's truth about one partition (org.apache.kafka.metadata.PartitionRegistration).

    `min_insync_replicas` is the topic's. `adding_replicas` and `removing_replicas` stand among `replicas` while these are reassigned.
    """

    partition: TopicPartition
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int
    leader_epoch: int
    partition_epoch: int
    elr: tuple[int, ...] = ()
    last_known_elr: tuple[int, ...] = ()
    min_insync_replicas: int = 1
    recovering: bool = False
    adding_replicas: tuple[int, ...] = ()
    removing_replicas: tuple[int, ...] = ()


class BrokerRegistration(NamedTuple):
    """The controller's truth about one broker (org.apache.kafka.metadata.BrokerRegistration)."""

    broker_id: int
    broker_epoch: int
    incarnation: int
    fenced: bool
    in_controlled_shutdown: bool


class ConfigRecord(NamedTuple):
    """From here on the topic's setting `name` has this value (org.apache.kafka.common.metadata.ConfigRecord, whose values are texts)."""

    topic: str
    name: str
    value: str | float


class LeaderChange(NamedTuple):
    """The first record of every new leader of the metadata log (LeaderChangeMessage): it says who, and that the epoch has begun."""

    leader_id: int
    voters: tuple[int, ...]
    granting_voters: tuple[int, ...]


MetadataRecord = PartitionRegistration | BrokerRegistration | ConfigRecord | LeaderChange


class MetadataFetchRequest(NamedTuple):
    """A broker reads the metadata log (KRaft's Fetch of __cluster_metadata, KIP-595) from `fetch_offset` on.

    `current_leader_epoch`: of the controllers' leader, as the broker knows it; 0 where there is one controller and no quorum.
    """

    correlation_id: int
    broker_id: int
    fetch_offset: int
    current_leader_epoch: int = 0


class MetadataFetchResponse(NamedTuple):
    """The records from `fetch_offset` on; none, if there was no news for as long as the fetch may wait.

    A voter of a quorum that does not lead, or knows another epoch, answers with an error and says who leads.

    Simplified: an idle controller writes no NoOpRecord (metadata.max.idle.interval.ms, 500 ms), which would end the wait likewise.
    """

    correlation_id: int
    fetch_offset: int
    records: tuple[MetadataRecord, ...]
    error: Error = Error.NONE
    leader_id: int = -1
    leader_epoch: int = 0
