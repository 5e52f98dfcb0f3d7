"""The group coordinator: the broker that leads a group's partition of `__consumer_offsets` keeps its members and its offsets.

In Kafka: org.apache.kafka.coordinator.group (GroupCoordinatorService, GroupMetadataManager, OffsetMetadataManager), classic protocol.

One `GroupCoordinator` is one partition of `__consumer_offsets` on its leader. It owns no log: the broker that hosts it does.

    on becoming leader        GroupCoordinator(...), then load(values of all batches in the log, in order, now)
    on losing the partition   send what unload() returns, and drop the object
    OffsetCommit              commit(request, now) -> an Error: answer it at once (commit_response);
                              or values: append RecordBatch("__consumer_offsets", (), payload=values) with acks=-1 and hold the answer back
                              until the high watermark has passed the batch; failing append or `offsets.commit.timeout.ms`: answer
                              commit_response(request, append_error(error)); the batch stays in the log and may commit all the same
    all other group requests  handle(request, source, now) -> [(source, response), ...], perhaps for other sources, too
    time                      wake(now) -> [(source, response), ...] by next_deadline()
    after handle and wake     take_records() -> values and tombstones to append likewise, with nobody waiting for them (often none)
    high watermark advanced   committed(values) for each batch it passed, in order: only then can an OffsetFetch see them
    asked about another's group or not leader   refusal(request, Error.NOT_COORDINATOR) -> the response

Simplified: no linger before the append (group.coordinator.append.linger.ms, 5 ms), no compaction.
Simplified: loading takes no time, so nobody hears COORDINATOR_LOAD_IN_PROGRESS.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, inf

from kafkasim.protocol.classic_group import Answers, ClassicGroup, PartitionsOf
from kafkasim.protocol.classic_group_member import GroupState
from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.errors import NO_ERROR, Error
from kafkasim.protocol.messages import (
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)
from kafkasim.protocol.node import Trace
from kafkasim.protocol.offset_expiration import expired_offsets, oldest_timestamp
from kafkasim.protocol.records import (
    CoordinatorRecord,
    GroupMetadataTombstone,
    GroupMetadataValue,
    OffsetAndEpoch,
    OffsetCommitTombstone,
    OffsetCommitValue,
    TopicPartition,
)

GroupRequest = JoinGroupRequest | SyncGroupRequest | HeartbeatRequest | LeaveGroupRequest | OffsetFetchRequest


def offsets_partition_of(group: str, partitions: int) -> int:
    """The partition of `__consumer_offsets` whose leader coordinates `group`: abs(hashCode) % partitions, with Java's String.hashCode.

    >>> offsets_partition_of("billing", 50)
    9
    """
    code = 0
    for letter in group:
        code = (31 * code + ord(letter)) & 0xFFFFFFFF
    signed = code - 0x100000000 if code >= 0x80000000 else code
    return (0 if signed == -0x80000000 else abs(signed)) % partitions


def append_error(error: Error) -> Error:
    """What a client hears where the append to `__consumer_offsets` failed with `error` (CoordinatorOperationExceptionHelper)."""
    if error in (
        Error.NOT_ENOUGH_REPLICAS,
        Error.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        Error.REQUEST_TIMED_OUT,
        Error.UNKNOWN_TOPIC_OR_PARTITION,
    ):
        return Error.COORDINATOR_NOT_AVAILABLE
    return Error.NOT_COORDINATOR if error is Error.NOT_LEADER_OR_FOLLOWER else error


def commit_response(request: OffsetCommitRequest, error: Error) -> OffsetCommitResponse:
    """The answer to an OffsetCommit. Simplified: one error for all of its partitions."""
    return OffsetCommitResponse(request.correlation_id, error)


def refusal(request: GroupRequest | OffsetCommitRequest, error: Error) -> object:
    """The response that carries `error`, of whichever kind the request asks for."""
    match request:
        case JoinGroupRequest():
            return JoinGroupResponse(request.correlation_id, error, -1, request.member_id)
        case SyncGroupRequest():
            return SyncGroupResponse(request.correlation_id, error, ())
        case HeartbeatRequest():
            return HeartbeatResponse(request.correlation_id, error)
        case LeaveGroupRequest():
            return LeaveGroupResponse(request.correlation_id, error)
        case OffsetFetchRequest():
            return OffsetFetchResponse(request.correlation_id, error, ())
        case OffsetCommitRequest():
            return OffsetCommitResponse(request.correlation_id, error)


class GroupCoordinator:
    """The groups of one partition of `__consumer_offsets`; how a broker hosts it stands at the head of this module.

    `partitions_of(topic)`: the topic's partitions in the broker's metadata, ascending; () where it is unknown.
    """

    __slots__ = (
        "_broker_id",
        "_check_at",
        "_config",
        "_due",
        "_groups",
        "_ids_given",
        "_offsets",
        "_partitions_of",
        "_tombstones",
        "_trace",
        "offsets_partition",
    )

    def __init__(
        self, broker_id: int, offsets_partition: int, config: BrokerConfig, partitions_of: PartitionsOf, trace: Trace | None = None
    ) -> None:
        self.offsets_partition = offsets_partition
        self._broker_id = broker_id
        self._config = config
        self._partitions_of = partitions_of
        self._trace = trace
        self._groups: dict[str, ClassicGroup] = {}
        self._offsets: dict[str, dict[TopicPartition, OffsetCommitValue]] = {}
        self._tombstones: list[CoordinatorRecord] = []
        self._ids_given = 0
        self._check_at = inf  # when offsets are looked at that may have expired
        self._due = inf

    def handle(self, request: GroupRequest, source: str, now: float) -> Answers:
        """Take one request of a consumer; the answers may go to others as well, or come later."""
        if isinstance(request, OffsetFetchRequest):
            return [(source, self._fetch_offsets(request))]
        group = self._groups.get(request.group)
        if group is None:
            if not isinstance(request, JoinGroupRequest) or request.member_id:
                return [(source, refusal(request, Error.UNKNOWN_MEMBER_ID))]
            group = self._create_group(request.group)
        answers: Answers = []
        match request:
            case HeartbeatRequest():
                group.heartbeat(request, source, now, answers)
            case JoinGroupRequest():
                group.join(request, self._new_member_id(request.instance, now), source, now, answers)
            case SyncGroupRequest():
                group.sync(request, source, now, answers)
            case LeaveGroupRequest():
                group.leave(request, source, now, answers)
        self._due = min(self._due, group.due)
        return answers

    def commit(self, request: OffsetCommitRequest, now: float) -> Error | tuple[OffsetCommitValue, ...]:
        """Check who commits; the records to append, or the error to answer."""
        group = self._groups.get(request.group)
        if group is None:
            if request.generation >= 0:
                return Error.ILLEGAL_GENERATION
            group = self._create_group(request.group)
        error = group.validate_offset_commit(request.generation, request.member_id, now)
        if error is not NO_ERROR:
            return error
        return tuple([OffsetCommitValue(request.group, partition, offset, epoch, now) for partition, offset, epoch in request.offsets])

    def committed(self, values: Iterable[CoordinatorRecord]) -> None:
        """The broker, once the high watermark has passed a batch of `__consumer_offsets`: its offsets are now what a fetch returns.

        The last one wins, even if it is lower: that is how a zombie's late commit turns the clock back.
        """
        for value in values:
            if isinstance(value, OffsetCommitValue):
                self._remember(value)
            elif isinstance(value, OffsetCommitTombstone):
                self._forget(value)
            elif isinstance(value, GroupMetadataTombstone):
                group = self._groups.get(value.group)
                if group is not None and group.state is GroupState.EMPTY:
                    del self._groups[value.group]

    def load(self, values: Iterable[CoordinatorRecord], now: float) -> None:
        """The broker, on becoming leader: read all that is in the log, oldest first (CoordinatorLoader)."""
        latest: dict[str, GroupMetadataValue] = {}
        for value in values:
            match value:
                case GroupMetadataValue():
                    latest[value.group] = value
                case GroupMetadataTombstone():
                    latest.pop(value.group, None)
                case OffsetCommitValue():
                    self._remember(value)
                case OffsetCommitTombstone():
                    self._forget(value)
        for name in self._offsets:
            self._create_group(name)
        for name, metadata in latest.items():
            group = self._create_group(name)
            group.load(metadata, now)
            self._due = min(self._due, group.due)
        self._schedule_expiration(now)

    def unload(self) -> Answers:
        """The broker, on losing the partition: what to tell those who wait for a join or a sync."""
        answers: Answers = []
        for group in self._groups.values():
            group.unload(answers)
        return answers

    def take_records(self) -> tuple[CoordinatorRecord, ...]:
        """Group metadata that changed and wants to be in the log, once each, and what has expired."""
        records, self._tombstones = self._tombstones, []
        for group in self._groups.values():
            if group.changed:
                group.changed = False
                records.append(group.metadata())
        return tuple(records)

    def next_deadline(self) -> float | None:
        """The instant at which `wake` wants to be called, or None. It may turn out too early, never too late."""
        return None if self._due == inf else self._due

    def wake(self, now: float) -> Answers:
        """Act on every deadline that is not after `now`."""
        answers: Answers = []
        if self._due <= now:
            for group in self._groups.values():
                if group.due <= now:
                    group.wake(now, answers)
            if self._check_at <= now:
                self._clean_up_group_metadata(now)
            self._due = min((group.due for group in self._groups.values()), default=inf)
            self._due = min(self._due, self._check_at)
        return answers

    # ------------------------------------------------------------------------------------------------ helpers

    def _fetch_offsets(self, request: OffsetFetchRequest) -> OffsetFetchResponse:
        offsets = self._offsets.get(request.group, {})
        found = []
        for partition in request.partitions:
            value = offsets.get(partition)
            found.append(OffsetAndEpoch(partition, -1) if value is None else OffsetAndEpoch(partition, value.offset, value.leader_epoch))
        return OffsetFetchResponse(request.correlation_id, Error.NONE, tuple(found))

    def _remember(self, value: OffsetCommitValue) -> None:
        self._offsets.setdefault(value.group, {})[value.partition] = value

    def _forget(self, tombstone: OffsetCommitTombstone) -> None:
        offsets = self._offsets.get(tombstone.group, {})
        offsets.pop(tombstone.partition, None)
        if not offsets:
            self._offsets.pop(tombstone.group, None)

    def _clean_up_group_metadata(self, now: float) -> None:
        """WHEN offsets.retention.check.interval.ms is over. THEN: tombstones for offsets that expired, and for groups with nothing left.

        What is to go is forgotten when its tombstone is committed; where that fails, the next round tries again (cleanupGroupMetadata).
        """
        retention_ms = self._config.offsets_retention_minutes * 60_000.0
        for name, group in self._groups.items():
            offsets = self._offsets.get(name, {})
            expired = expired_offsets(group, offsets, retention_ms, now)
            self._tombstones += [OffsetCommitTombstone(name, partition) for partition in expired]
            if len(expired) == len(offsets) and group.state is GroupState.EMPTY:
                self._tombstones.append(GroupMetadataTombstone(name))
        self._schedule_expiration(now)

    def _schedule_expiration(self, now: float) -> None:
        """scheduleGroupMetadataExpiration: the next round comes an interval after this one. Rounds that can find nothing are left out."""
        retention_ms = self._config.offsets_retention_minutes * 60_000.0
        interval_ms = self._config.offsets_retention_check_interval_ms
        oldest = [oldest_timestamp(group, self._offsets.get(name, {}), now) for name, group in self._groups.items()]
        rounds = ceil((min(oldest, default=now) + retention_ms - now) / interval_ms)
        self._check_at = now + max(rounds, 1) * interval_ms
        self._due = min(self._due, self._check_at)

    def _create_group(self, name: str) -> ClassicGroup:
        group = self._groups.get(name)
        if group is None:
            group = ClassicGroup(name, self._config.group_initial_rebalance_delay_ms, self._partitions_of, self._trace)
            self._groups[name] = group
        return group

    def _new_member_id(self, instance: str, now: float) -> str:
        """An id nobody ever had. Simplified: Kafka appends a random UUID, which deals partitions among members in random order."""
        self._ids_given += 1
        return f"{instance}-{self._broker_id}.{now:.3f}.{self._ids_given}"
