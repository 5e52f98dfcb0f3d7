"""Which request goes where, and the requests that a broker answers from memory: kafka.server.KafkaApis."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.coordinator_runtime import GROUP_METADATA_TOPIC, CoordinatorRuntime
from kafkasim.protocol.errors import NO_ERROR, Error
from kafkasim.protocol.group_coordinator import offsets_partition_of
from kafkasim.protocol.messages import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    FetchRequest,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    HeartbeatRequest,
    InitProducerIdRequest,
    InitProducerIdResponse,
    JoinGroupRequest,
    LeaveGroupRequest,
    ListOffsetsRequest,
    ListOffsetsResponse,
    MetadataRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    SyncGroupRequest,
)
from kafkasim.protocol.metadata import NO_LEADER
from kafkasim.protocol.metadata_cache import MetadataCache
from kafkasim.protocol.node import Trace
from kafkasim.protocol.records import NO_PRODUCER_ID, TopicPartition
from kafkasim.protocol.replica_manager import ReplicaManager
from kafkasim.protocol.request_channel import CLOSE_CONNECTION, NO_RESPONSE, PARKED, Connection, RequestChannel

EARLIEST_TIMESTAMP = -2

# Producer ids of one process of a broker; of one broker.
PRODUCER_IDS_PER_INCARNATION = 1_000_000
PRODUCER_IDS_PER_BROKER = 1_000_000_000


class ConnectionClosedByAcks0(NamedTuple):
    """A batch with acks=0 could not be appended: the broker closed the producer's connection, which is all it hears of it."""

    broker: int
    source: str
    results: tuple[PartitionProduceResponse, ...]


class KafkaApis:
    """The requests of clients and followers. `handlers` maps a request's type to its handler (request_channel.py)."""

    def __init__(
        self,
        broker_id: int,
        incarnation: int,
        config: BrokerConfig,
        replicas: ReplicaManager,
        coordinators: CoordinatorRuntime,
        metadata: MetadataCache,
        channel: RequestChannel,
        trace: Trace | None,
    ) -> None:
        self._broker_id = broker_id
        self._config = config
        self._replicas = replicas
        self._metadata = metadata
        self._channel = channel
        self._trace = trace
        self._next_producer_id = broker_id * PRODUCER_IDS_PER_BROKER + incarnation * PRODUCER_IDS_PER_INCARNATION
        self.handlers: dict[type, Callable[[Any, Connection, float], object]] = {
            ApiVersionsRequest: self._api_versions,
            ProduceRequest: self._produce,
            FetchRequest: replicas.fetch_messages,
            MetadataRequest: self._topic_metadata,
            FindCoordinatorRequest: self._find_coordinator,
            ListOffsetsRequest: self._list_offsets,
            OffsetForLeaderEpochRequest: self._offset_for_leader_epoch,
            InitProducerIdRequest: self._init_producer_id,
            OffsetCommitRequest: coordinators.commit_offsets,
            **dict.fromkeys(
                (JoinGroupRequest, SyncGroupRequest, HeartbeatRequest, LeaveGroupRequest, OffsetFetchRequest), coordinators.handle
            ),
        }

    def _api_versions(self, request: ApiVersionsRequest, _connection: Connection, _now: float) -> ApiVersionsResponse:
        """A client that has just connected: this process is alive, and reads what is sent to it."""
        return ApiVersionsResponse(request.correlation_id)

    # ------------------------------------------------------------------------------------------------ producers

    def _produce(self, request: ProduceRequest, connection: Connection, now: float) -> object:
        """A producer. acks=1: answered once appended here; acks=-1: once the high watermark has passed it; acks=0: not at all."""
        on_produced = partial(self._produced, request.correlation_id, connection)
        results = self._replicas.append_records(request.acks, request.timeout_ms, request.batches, on_produced, now)
        if results is None:
            return PARKED
        if request.acks != 0:
            return ProduceResponse(request.correlation_id, tuple(results))
        if all(result.error is NO_ERROR for result in results):
            return NO_RESPONSE
        if self._trace is not None:
            self._trace(ConnectionClosedByAcks0(self._broker_id, connection.source, tuple(results)))
        return CLOSE_CONNECTION

    def _produced(self, correlation_id: int, connection: Connection, results: list[PartitionProduceResponse]) -> None:
        self._channel.respond(connection, ProduceResponse(correlation_id, tuple(results)))

    def _init_producer_id(self, request: InitProducerIdRequest, _connection: Connection, _now: float) -> InitProducerIdResponse:
        """An idempotent producer, at its start; with an id of its own it gets the next epoch of it (KIP-360).

        Simplified: ids are made of broker id, incarnation and a counter, rather than taken from blocks that the controller hands out.
        """
        if request.producer_id != NO_PRODUCER_ID:
            return InitProducerIdResponse(request.correlation_id, Error.NONE, request.producer_id, request.producer_epoch + 1)
        producer_id = self._next_producer_id
        self._next_producer_id += 1
        return InitProducerIdResponse(request.correlation_id, Error.NONE, producer_id, 0)

    # ------------------------------------------------------------------------------------------------ who leads, and where logs end

    def _topic_metadata(self, request: MetadataRequest, _connection: Connection, _now: float) -> object:
        return self._metadata.answer(request)

    def _find_coordinator(self, request: FindCoordinatorRequest, _connection: Connection, _now: float) -> FindCoordinatorResponse:
        """A consumer: the leader of its group's partition of `__consumer_offsets`."""
        partition = offsets_partition_of(request.group, self._config.offsets_topic_num_partitions)
        leader = self._metadata.leader_of(TopicPartition(GROUP_METADATA_TOPIC, partition))
        error = Error.COORDINATOR_NOT_AVAILABLE if leader == NO_LEADER else Error.NONE
        return FindCoordinatorResponse(request.correlation_id, error, leader)

    def _list_offsets(self, request: ListOffsetsRequest, _connection: Connection, _now: float) -> ListOffsetsResponse:
        """A consumer without a position, to which the log ends at the high watermark; or a follower out of range, to which it does not."""
        rows = [(name, *self._list_offset(name, request)) for name in request.partitions]
        return ListOffsetsResponse(request.correlation_id, tuple(rows))

    def _list_offset(self, name: TopicPartition, request: ListOffsetsRequest) -> tuple[Error, int, int]:
        hosted = self._replicas.hosted.get(name)
        if hosted is None:
            return self._replicas.hosted.error_of_absent(name), -1, -1
        partition = hosted.partition
        if request.replica_id < 0 or not partition.is_leader:
            return partition.fetch_offset_for_timestamp(request.timestamp)
        offset = partition.log.log_start_offset if request.timestamp == EARLIEST_TIMESTAMP else partition.log.log_end_offset
        return Error.NONE, offset, partition.leader_epoch

    def _offset_for_leader_epoch(
        self, request: OffsetForLeaderEpochRequest, _connection: Connection, _now: float
    ) -> OffsetForLeaderEpochResponse:
        """A consumer that has seen a new leader epoch: was the log cut below its position? (KIP-320) Or, until 2.8, a new follower."""
        rows: list[tuple[TopicPartition, Error, int, int]] = []
        for name, current_leader_epoch, leader_epoch in request.partitions:
            hosted = self._replicas.hosted.get(name)
            if hosted is None:
                rows.append((name, self._replicas.hosted.error_of_absent(name), -1, -1))
            else:
                rows.append((name, *hosted.partition.last_offset_for_leader_epoch(current_leader_epoch, leader_epoch, request.replica_id)))
        return OffsetForLeaderEpochResponse(request.correlation_id, tuple(rows))
