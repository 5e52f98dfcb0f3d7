"""How a broker hosts group coordinators: one for each partition of `__consumer_offsets` that it leads.

In Kafka: CoordinatorRuntime, CoordinatorLoaderImpl, CoordinatorPartitionWriter, GroupCoordinatorService. A coordinator decides what is to
be written and what is to be answered (group_coordinator.py); the writing and the waiting are here. A commit is a batch like any
other: appended by the leader, fetched by the followers, answered when the high watermark has passed it, and lost if it never does.

Simplified: loading takes no time. Simplified: nothing but a commit waits for its record (in Kafka a SyncGroup does, too).
"""

from __future__ import annotations

from collections import deque
from functools import partial
from math import inf

from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.group_coordinator import (
    GroupCoordinator,
    GroupRequest,
    append_error,
    commit_response,
    offsets_partition_of,
    refusal,
)
from kafkasim.protocol.messages import OffsetCommitRequest, PartitionProduceResponse
from kafkasim.protocol.metadata_cache import MetadataCache
from kafkasim.protocol.node import Trace
from kafkasim.protocol.partition import Partition
from kafkasim.protocol.purgatory import OnProduced
from kafkasim.protocol.records import RECORD_BATCH_OVERHEAD, CoordinatorRecord, RecordBatch, TopicPartition
from kafkasim.protocol.replica_manager import ReplicaManager
from kafkasim.protocol.request_channel import PARKED, Connection, RequestChannel
from kafkasim.protocol.scheduled_tasks import Alarm

GROUP_METADATA_TOPIC = "__consumer_offsets"
# Simplified: every record of `__consumer_offsets` counts as this many bytes; its key and value name group, topic and partition.
COORDINATOR_RECORD_SIZE = 100


class CoordinatorShard:
    """One coordinator, and its batches that the high watermark has not passed: (next offset, records), ascending."""

    __slots__ = ("coordinator", "name", "uncommitted")

    def __init__(self, name: TopicPartition, coordinator: GroupCoordinator) -> None:
        self.name = name
        self.coordinator = coordinator
        self.uncommitted: deque[tuple[int, tuple[CoordinatorRecord, ...]]] = deque()

    def committed_up_to(self, high_watermark: int) -> None:
        """The high watermark has moved: what it passed is what an OffsetFetch sees from now on."""
        uncommitted = self.uncommitted
        while uncommitted and uncommitted[0][0] <= high_watermark:
            self.coordinator.committed(uncommitted.popleft()[1])


class CoordinatorRuntime:
    """All coordinators of one broker."""

    __slots__ = ("_alarm", "_broker_id", "_channel", "_config", "_metadata", "_parked", "_partition_of", "_replicas", "_shards", "_trace")

    def __init__(
        self,
        broker_id: int,
        config: BrokerConfig,
        replicas: ReplicaManager,
        metadata: MetadataCache,
        channel: RequestChannel,
        alarm: Alarm,
        trace: Trace | None,
    ) -> None:
        self._broker_id = broker_id
        self._config = config
        self._replicas = replicas
        self._metadata = metadata
        self._channel = channel
        self._alarm = alarm
        self._trace = trace
        self._shards: dict[int, CoordinatorShard] = {}
        self._parked: dict[str, Connection] = {}  # by key: who waits for a rebalance
        self._partition_of: dict[str, int] = {}  # by group; a name's hash never changes, so what is known stays true

    # ------------------------------------------------------------------------------------------------ leadership

    def partition_changed(self, partition: Partition, now: float) -> None:
        """A partition of `__consumer_offsets` has a new leader epoch: take it over, or give it up."""
        if partition.is_leader:
            self._elected(partition, now)
        else:
            self._resigned(partition.partition)

    def _elected(self, partition: Partition, now: float) -> None:
        """onElection: read the whole log. A leader that is re-elected goes on with the coordinator it has."""
        name = partition.partition
        if name.partition in self._shards:
            return
        coordinator = GroupCoordinator(self._broker_id, name.partition, self._config, self._metadata.partitions_of, self._trace)
        coordinator.load((record for log_batch in partition.log.batches for record in log_batch.batch.payload), now)
        shard = self._shards[name.partition] = CoordinatorShard(name, coordinator)
        self._replicas.hosted[name].on_high_watermark = shard.committed_up_to
        self._set_alarm(coordinator)

    def _resigned(self, name: TopicPartition) -> None:
        """onResignation: those who wait are told to look elsewhere, and everything in memory is forgotten."""
        shard = self._shards.pop(name.partition, None)
        if shard is not None:
            hosted = self._replicas.hosted.get(name)
            if hosted is not None:  # else the replica is gone, too
                hosted.on_high_watermark = None
            self._answer(shard.coordinator.unload())

    # ------------------------------------------------------------------------------------------------ requests

    def handle(self, request: GroupRequest, connection: Connection, now: float) -> object:
        """A consumer: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetFetch. The answer may have to wait for other members."""
        shard = self._shard_of(request.group)
        if shard is None:
            return refusal(request, Error.NOT_COORDINATOR)
        own: object = PARKED
        others = []
        for key, response in shard.coordinator.handle(request, connection.key, now):
            if key == connection.key and own is PARKED:
                own = response
            else:
                others.append((key, response))
        if own is PARKED:
            self._parked[connection.key] = connection
        self._answer(others)
        self._after(shard, now)
        return own

    def commit_offsets(self, request: OffsetCommitRequest, connection: Connection, now: float) -> object:
        """A consumer commits: the answer waits for the high watermark, at most offsets.commit.timeout.ms."""
        shard = self._shard_of(request.group)
        if shard is None:
            return refusal(request, Error.NOT_COORDINATOR)
        records = shard.coordinator.commit(request, now)
        self._set_alarm(shard.coordinator)
        if isinstance(records, Error):
            return commit_response(request, records)
        if not records:
            return commit_response(request, Error.NONE)

        results = self._append(shard, records, partial(self._committed, request, connection), now)
        return PARKED if results is None else commit_response(request, append_error(results[0].error))

    def _committed(self, request: OffsetCommitRequest, connection: Connection, results: list[PartitionProduceResponse]) -> None:
        self._channel.respond(connection, commit_response(request, append_error(results[0].error)))

    # ------------------------------------------------------------------------------------------------ time

    def wake(self, now: float) -> None:
        """Sessions end, rebalances have waited long enough."""
        for shard in list(self._shards.values()):
            deadline = shard.coordinator.next_deadline()
            if deadline is not None and deadline <= now:
                self._answer(shard.coordinator.wake(now))
                self._after(shard, now)

    def next_deadline(self) -> float:
        """When `wake` has something to do."""
        deadlines = [shard.coordinator.next_deadline() for shard in self._shards.values()]
        return min((deadline for deadline in deadlines if deadline is not None), default=inf)

    # ------------------------------------------------------------------------------------------------ helpers

    def _shard_of(self, group: str) -> CoordinatorShard | None:
        partition = self._partition_of.get(group)
        if partition is None:
            partition = self._partition_of[group] = offsets_partition_of(group, self._config.offsets_topic_num_partitions)
        return self._shards.get(partition)

    def _answer(self, answers: list[tuple[str, object]]) -> None:
        for key, response in answers:
            connection = self._parked.pop(key, None)
            if connection is not None:
                self._channel.respond(connection, response)

    def _after(self, shard: CoordinatorShard, now: float) -> None:
        """What a request or the time has changed in the groups is written down, with nobody waiting for it."""
        records = shard.coordinator.take_records()
        if records:
            self._append(shard, records, _nobody_waits, now)
        self._set_alarm(shard.coordinator)

    def _append(
        self, shard: CoordinatorShard, records: tuple[CoordinatorRecord, ...], on_produced: OnProduced, now: float
    ) -> list[PartitionProduceResponse] | None:
        size = RECORD_BATCH_OVERHEAD + COORDINATOR_RECORD_SIZE * len(records)
        batch = RecordBatch(GROUP_METADATA_TOPIC, (), size, now, payload=records)
        partition = self._replicas.hosted[shard.name].partition
        log_end_offset = partition.log.log_end_offset
        acks = self._config.offsets_commit_required_acks
        results = self._replicas.append_records(acks, self._config.offsets_commit_timeout_ms, ((shard.name, batch),), on_produced, now)
        if partition.log.log_end_offset > log_end_offset:
            shard.uncommitted.append((partition.log.log_end_offset, records))
            # Before 4.0, with offsets.commit.required.acks 0 or 1, an offset counts as committed when it stands in the leader's log.
            shard.committed_up_to(partition.high_watermark if acks == -1 else partition.log.log_end_offset)
        return results

    def _set_alarm(self, coordinator: GroupCoordinator) -> None:
        deadline = coordinator.next_deadline()
        if deadline is not None:
            self._alarm.set(deadline)


def _nobody_waits(_results: list[PartitionProduceResponse]) -> None:
    """Group metadata is written for the next coordinator; nobody's answer depends on it."""
