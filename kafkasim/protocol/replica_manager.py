"""The replicas that a broker hosts: appending, reading, and changing hands. In Kafka: kafka.server.ReplicaManager.

What one partition decides for itself stands in partition.py; here stands what an event on it means for everybody else: who waits for
it (delayed_produce.py, delayed_fetch.py), who fetches it (replica_fetcher.py), and what the controller is asked (alter_partition.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from kafkasim.protocol.alter_partition import AlterPartitionManager
from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.delayed_fetch import FetchPurgatory
from kafkasim.protocol.delayed_produce import ProducePurgatory
from kafkasim.protocol.errors import NO_ERROR, Error
from kafkasim.protocol.hosted_partitions import HostedPartition, HostedPartitions
from kafkasim.protocol.log_manager import LogManager
from kafkasim.protocol.messages import (
    AlterPartitionResponse,
    FetchRequest,
    FetchResponse,
    PartitionProduceResponse,
    PartitionRegistration,
)
from kafkasim.protocol.metadata import NO_LEADER, MetadataImage
from kafkasim.protocol.node import Output, Trace
from kafkasim.protocol.partition import Partition
from kafkasim.protocol.profiles import KAFKA_4_1, Behaviours
from kafkasim.protocol.purgatory import DelayedProduce, OnProduced
from kafkasim.protocol.records import RecordBatch, TopicPartition
from kafkasim.protocol.replica_fetcher import ReplicaFetcherManager
from kafkasim.protocol.request_channel import PARKED, Connection, RequestChannel
from kafkasim.protocol.scheduled_tasks import NEVER, Alarm, ScheduledTask
from kafkasim.protocol.truncation_policy import KIP_595, FirstStep, TruncationPolicy

# ---------------------------------------------------------------------------------------------------- what the trace is told


class ReplicaDeleted(NamedTuple):
    """`broker` learned that it is no replica any more, and deleted its log, which ended at `log_end_offset`."""

    partition: TopicPartition
    broker: int
    log_end_offset: int
    high_watermark: int


class BecameFollower(NamedTuple):
    """`broker` learned that it follows `leader` (-1: nobody leads). The counterpart of partition.py's LeaderEpochStarted."""

    partition: TopicPartition
    broker: int
    leader: int
    leader_epoch: int
    log_end_offset: int
    high_watermark: int


# ---------------------------------------------------------------------------------------------------- the machine


class ReplicaManager:
    """All replicas of one broker."""

    __slots__ = (
        "_alter_partitions",
        "_behaviours",
        "_broker_epoch",
        "_broker_id",
        "_checkpoint",
        "_config",
        "_fetches",
        "_flusher",
        "_image",
        "_in_controlled_shutdown",
        "_isr_expiration",
        "_logs",
        "_produces",
        "_retention",
        "_trace",
        "_truncation",
        "fetchers",
        "hosted",
    )

    def __init__(
        self,
        broker_id: int,
        broker_epoch: Callable[[], int],
        config: BrokerConfig,
        image: MetadataImage,
        logs: LogManager,
        channel: RequestChannel,
        alter_partitions: AlterPartitionManager,
        alarm: Alarm,
        outbox: list[Output],
        trace: Trace | None,
        truncation: TruncationPolicy = KIP_595,
        behaviours: Behaviours = KAFKA_4_1.behaviours,
    ) -> None:
        self._broker_id = broker_id
        self._behaviours = behaviours
        self._broker_epoch = broker_epoch
        self._config = config
        self._image = image
        self._logs = logs
        self._alter_partitions = alter_partitions
        self._trace = trace
        self._truncation = truncation
        self._in_controlled_shutdown = False
        self.hosted = HostedPartitions(image, behaviours.errors_name_the_leader)
        self._produces = ProducePurgatory(broker_id, self.hosted, alarm, trace)
        self._fetches = FetchPurgatory(self.hosted, channel, alarm)
        self._flusher = logs.flusher
        self._retention = logs.retention
        self._checkpoint = ScheduledTask(config.replica_high_watermark_checkpoint_interval_ms, alarm)
        self._isr_expiration = ScheduledTask(config.replica_lag_time_max_ms / 2, alarm)
        self.fetchers = ReplicaFetcherManager(broker_id, broker_epoch, config, self._replicated, outbox, alarm, truncation)

    def start(self, now: float) -> None:
        """The process has started: from here on the tasks come round."""
        self._checkpoint.first = self._isr_expiration.first = now
        self._logs.start(now)
        self._isr_expiration.arm(now)

    # ------------------------------------------------------------------------------------------------ requests

    def append_records(
        self,
        acks: int,
        timeout_ms: float,
        batches: Sequence[tuple[TopicPartition, RecordBatch]],
        on_produced: OnProduced,
        now: float,
    ) -> list[PartitionProduceResponse] | None:
        """A producer or the group coordinator, with a batch for each of some partitions.

        The results; or None, with acks=-1 and something appended that the high watermark has not reached: then `on_produced` will
        get them. Fetches that waited for these batches are answered after all have been appended.
        """
        results: list[PartitionProduceResponse] = []
        appended: list[tuple[HostedPartition, bool]] = []
        operation = None
        for name, batch in batches:
            hosted = self.hosted.get(name)
            if hosted is None:
                results.append(self._produces.refused(name, self.hosted.error_of_absent(name)))
                continue
            partition = hosted.partition
            error, base_offset, next_offset, moved = partition.append_records_to_leader(batch, acks, now)
            if error is not NO_ERROR:
                results.append(self._produces.refused(name, error))
                continue
            if acks == -1:
                if partition.high_watermark < next_offset:
                    if operation is None:
                        operation = DelayedProduce(now + timeout_ms, results, on_produced)
                    hosted.watch_produce(next_offset, operation, len(results))
                else:
                    _, error = partition.check_enough_replicas_reach_offset(next_offset)
            results.append(PartitionProduceResponse(name, error, base_offset))
            appended.append((hosted, moved))
        if appended:
            self._appended(appended, now)
        if operation is None:
            return results
        self._produces.park(operation, timeout_ms)
        return None

    def fetch_messages(self, request: FetchRequest, connection: Connection, now: float) -> FetchResponse | None:
        """A consumer or a follower. A follower's fetch is also news of the follower: the high watermark may move.

        It is read before that, so that the high watermark in an answer given at once is the one of before: which is why a follower,
        and a consumer behind it, learns of it one fetch later.
        """
        is_follower = request.replica_id >= 0
        waiting = self._fetches.nothing_to_read(request)
        if waiting is not None:  # the steady state of a reader that has kept up
            if is_follower:
                for fetch, hosted in zip(request.partitions, waiting):  # noqa: B905 - made of each other
                    self._update_follower_fetch_state(hosted, request, fetch.fetch_offset, now)
            self._fetches.park(request, connection, waiting, True, now)
            return PARKED
        results, answers = self._fetches.read_from_log(request)
        if is_follower:
            for fetch, result in zip(request.partitions, results, strict=True):
                # A fetch in the wrong epoch, or from a log that differs, says nothing about what the follower has.
                if result.error is NO_ERROR and result.diverging_epoch < 0:
                    self._update_follower_fetch_state(self.hosted[fetch.partition], request, fetch.fetch_offset, now)
        if answers or request.max_wait_ms <= 0 or not results:
            return FetchResponse(request.correlation_id, tuple(results))
        self._fetches.park(request, connection, [self.hosted[fetch.partition] for fetch in request.partitions], False, now)
        return PARKED

    # ------------------------------------------------------------------------------------------------ what happens to partitions

    def apply_delta(self, changed: Iterable[PartitionRegistration], now: float) -> list[Partition]:
        """The metadata log, with the newest registration of each partition that changed. Those whose leader epoch is new here.

        Simplified: it takes no time; in Kafka requests wait for it meanwhile, and those to a deposed leader then fail together.
        """
        renewed, count = [], len(self.hosted)
        for registration in changed:
            if self._broker_id not in registration.replicas:
                renewed += self._stop_partition(registration, now)
                continue
            hosted = self.hosted.get(registration.partition) or self._host(registration.partition)
            leader_epoch = hosted.partition.leader_epoch
            if registration.leader == self._broker_id:
                self._make_leader(hosted, registration, now)
            else:
                self._make_follower(hosted.partition, registration, now)
            if hosted.partition.leader_epoch != leader_epoch:
                renewed.append(hosted.partition)
                self._produces.try_complete(hosted)
                self._fetches.try_complete(hosted.follower_fetches)
                self._fetches.try_complete(hosted.consumer_fetches)
        self.fetchers.metadata_applied(now)
        if len(self.hosted) > count:
            self._logs.arm_retention(now)
        return renewed

    def alter_topic_config(self, topic: str, name: str, value: str | float, now: float) -> None:
        """The metadata log, with another setting of a topic (TopicConfigHandler). Nobody who waits is asked again for it."""
        config = self._logs.alter_topic_config(topic, name, value)
        self._logs.arm_retention(now)
        for hosted in self.hosted.values():
            if hosted.partition.partition.topic == topic:
                hosted.partition.config_changed(config)

    def begin_controlled_shutdown(self) -> None:
        """From here on a partition without a leader, or whose ISR this broker has left, is not fetched any more."""
        self._in_controlled_shutdown = True

    def alter_partition_answered(self, response: AlterPartitionResponse, now: float) -> None:
        """The controller, about the ISRs that were proposed. A smaller ISR may let the high watermark move."""
        for name, error, leader, leader_epoch, isr, partition_epoch in self._alter_partitions.answered(response, now):
            hosted = self.hosted.get(name)
            if hosted is None:
                continue  # the replica was deleted meanwhile
            if hosted.partition.alter_partition_answered(error, leader, leader_epoch, isr, partition_epoch, now):
                self._high_watermark_moved(hosted, now)
            self._propose_isr(hosted.partition, now)
        self._alter_partitions.propagate(now)

    def wake(self, now: float) -> None:
        """Time has come: requests expire, laggards leave the ISR, high watermarks are checkpointed, old segments go, followers fetch."""
        self._fetches.wake(now)
        self._produces.wake(now)
        if self._isr_expiration.runs(now):
            for hosted in self.hosted.values():
                hosted.partition.maybe_shrink_isr(now)
                self._propose_isr(hosted.partition, now)
            self._isr_expiration.arm(now)
        if self._checkpoint.runs(now):
            self.checkpoint_high_watermarks()
        if self._retention.runs(now):
            for hosted in self.hosted.values():
                hosted.partition.delete_old_segments(now)
            self._logs.arm_retention(now)
        self._logs.wake(now)
        self.fetchers.wake(now)

    def next_deadline(self) -> float:
        """When `wake` has something to do."""
        return min(
            self._fetches.next_deadline(),
            self._produces.next_deadline(),
            self._isr_expiration.due,
            self._checkpoint.due,
            self._logs.next_deadline(),
            self.fetchers.next_deadline(),
        )

    def checkpoint_high_watermarks(self) -> None:
        """Write replication-offset-checkpoint: where a restarted broker's high watermarks begin."""
        for hosted in self.hosted.values():
            hosted.partition.log.high_watermark_checkpoint = hosted.partition.high_watermark

    # ------------------------------------------------------------------------------------------------ helpers

    def _update_follower_fetch_state(self, hosted: HostedPartition, request: FetchRequest, fetch_offset: int, now: float) -> None:
        partition, replica_id = hosted.partition, request.replica_id
        if partition.update_follower_fetch_state(replica_id, request.broker_epoch, fetch_offset, now):
            self._high_watermark_moved(hosted, now)
        if replica_id not in partition.isr:
            self._propose_isr(partition, now)

    def _host(self, name: TopicPartition) -> HostedPartition:
        log, config = self._logs.get_or_create_log(name), self._logs.topic_config(name.topic)
        partition = Partition(
            name, self._broker_id, log, config, self._config, self._trace, self._image.brokers, self._truncation, self._behaviours
        )
        hosted = self.hosted[name] = HostedPartition(partition)
        return hosted

    def _stop_partition(self, registration: PartitionRegistration, now: float) -> list[Partition]:
        """A reassignment took this broker's replica away, or did so while it was down: the log goes (stopPartitions, KIP-455).

        Who waits for the partition is sent to its leader. The partition, where there was one: its coordinator must go, too.
        """
        name = registration.partition
        hosted = self.hosted.pop(name, None)
        if hosted is not None:
            self.fetchers.remove_fetcher_for_partition(name)
            hosted.partition.make_follower(registration, now)
            self._produces.try_complete(hosted)
            self._fetches.try_complete(hosted.follower_fetches)
            self._fetches.try_complete(hosted.consumer_fetches)
            if self._trace is not None:
                partition = hosted.partition
                self._trace(ReplicaDeleted(name, self._broker_id, partition.log.log_end_offset, partition.high_watermark))
        self._logs.delete_log(name)
        return [] if hosted is None else [hosted.partition]

    def _make_leader(self, hosted: HostedPartition, registration: PartitionRegistration, now: float) -> None:
        self.fetchers.remove_fetcher_for_partition(registration.partition)
        if hosted.partition.make_leader(registration, now):
            self._high_watermark_moved(hosted, now)

    def _make_follower(self, partition: Partition, registration: PartitionRegistration, now: float) -> None:
        """A new leader epoch: fetch from whoever leads in it, beginning at the end of the log as it is, or as the generation cuts it."""
        name, leader = partition.partition, registration.leader
        is_new_leader = leader != partition.leader
        is_new_leader_epoch = partition.make_follower(registration, now)
        if self._in_controlled_shutdown and (leader == NO_LEADER or self._broker_id not in registration.isr):
            self.fetchers.remove_fetcher_for_partition(name)
            return
        if not is_new_leader_epoch:
            return
        if self._trace is not None:
            end, high_watermark = partition.log.log_end_offset, partition.high_watermark
            self._trace(BecameFollower(name, self._broker_id, leader, partition.leader_epoch, end, high_watermark))
        self.fetchers.remove_fetcher_for_partition(name)
        if leader != NO_LEADER:
            first_step = self._truncation.first_step(is_new_leader)
            if first_step is FirstStep.CUT_TO_HIGH_WATERMARK:
                partition.truncate_to(partition.high_watermark)
            self.fetchers.add_fetcher_for_partition(partition, leader, partition.leader_epoch, first_step is FirstStep.ASK)

    def _appended(self, appended: list[tuple[HostedPartition, bool]], now: float) -> None:
        """As a leader, to these partitions, where the high watermark moved with it or not: who waited for it?"""
        alone = len(appended) == 1
        for hosted, moved in appended:
            if moved:
                self._high_watermark_moved(hosted, now, alone)
            if hosted.follower_fetches:
                if alone:
                    self._fetches.try_complete_with(hosted.partition, hosted.follower_fetches)
                else:
                    self._fetches.try_complete(hosted.follower_fetches)
        if self._flusher.due == NEVER:
            self._flusher.arm(now)

    def _high_watermark_moved(self, hosted: HostedPartition, now: float, alone: bool = True) -> None:
        """On a leader: who waited for it? The coordinator hears first, for its clients may ask as soon as they have their answer.

        `alone`: nothing has happened to other partitions that nobody has been told of yet.
        """
        if hosted.on_high_watermark is not None:
            hosted.on_high_watermark(hosted.partition.high_watermark)
        if hosted.produces:
            self._produces.try_complete(hosted)
        if hosted.consumer_fetches:
            if alone:
                self._fetches.try_complete_with(hosted.partition, hosted.consumer_fetches)
            else:
                self._fetches.try_complete(hosted.consumer_fetches)
        if self._checkpoint.due == NEVER:
            self._checkpoint.arm(now)

    def _replicated(self, name: TopicPartition, now: float) -> None:
        """A follower's log or high watermark has changed; a consumer may be reading here, too (KIP-392)."""
        hosted = self.hosted[name]
        if hosted.consumer_fetches:
            self._fetches.try_complete(hosted.consumer_fetches)
        if self._checkpoint.due == NEVER:
            self._checkpoint.arm(now)
        if self._flusher.due == NEVER:
            self._flusher.arm(now)

    def _propose_isr(self, partition: Partition, now: float) -> None:
        """Send to the controller what a partition wants its ISR to be, with everybody's broker epoch (KIP-903), if it is something new."""
        proposed = partition.take_alter_partition()
        if proposed is None:
            return
        with_epochs = tuple(
            (member, self._broker_epoch() if member == self._broker_id else partition.broker_epoch_of(member)) for member in proposed.isr
        )
        if not self._alter_partitions.submit(partition.partition, (proposed.leader_epoch, proposed.partition_epoch, with_epochs), now):
            partition.alter_partition_answered(Error.OPERATION_NOT_ATTEMPTED, NO_LEADER, -1, (), -1, now)
