"""A broker: the machine that puts all the others of its side together.

In Kafka: kafka.server.BrokerServer (what belongs to a process, and in which order it starts), KafkaApis (which request goes where),
BrokerMetadataPublisher (what the metadata log makes of this broker).

    clients, followers  -> request_channel -> kafka_apis -> replica_manager, coordinator_runtime
    leaders             <- replica_fetcher
    controller          <- broker_lifecycle (heartbeats), alter_partition (ISRs), and the metadata log, which is read here

Its process is an object: a crash forgets it, and a new one is made from what is on its `BrokerDisk`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple

from kafkasim.protocol.alter_partition import AlterPartitionManager
from kafkasim.protocol.broker_lifecycle import BrokerLifecycleManager, BrokerState, ShutDownComplete
from kafkasim.protocol.config import BrokerConfig, TopicConfig
from kafkasim.protocol.config_options import LONG_MAX
from kafkasim.protocol.controller_connections import connections_to
from kafkasim.protocol.coordinator_runtime import GROUP_METADATA_TOPIC, CoordinatorRuntime
from kafkasim.protocol.errors import Error
from kafkasim.protocol.kafka_apis import ConnectionClosedByAcks0, KafkaApis
from kafkasim.protocol.log_manager import BrokerDisk, LogManager
from kafkasim.protocol.messages import (
    AlterPartitionResponse,
    BrokerHeartbeatResponse,
    BrokerRegistrationResponse,
    ConfigRecord,
    FetchResponse,
    ListOffsetsResponse,
    MetadataFetchResponse,
    OffsetForLeaderEpochResponse,
)
from kafkasim.protocol.metadata_cache import MetadataCache
from kafkasim.protocol.node import Connected, Disconnected, Output, Random, Trace
from kafkasim.protocol.profiles import KAFKA_4_1, Behaviours
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.replica_manager import BecameFollower, ReplicaManager
from kafkasim.protocol.request_channel import RequestChannel
from kafkasim.protocol.scheduled_tasks import Alarm
from kafkasim.protocol.truncation_policy import KIP_595, TruncationPolicy

__all__ = [
    "BecameFollower",
    "BeginControlledShutdown",
    "Broker",
    "BrokerDisk",
    "BrokerFencingSeen",
    "ConnectionClosedByAcks0",
    "ShutDownComplete",
]


class BeginControlledShutdown(NamedTuple):
    """SIGTERM, from the driver: move my leaderships away; `ShutDownComplete` follows."""


class BrokerFencingSeen(NamedTuple):
    """`broker` read in the metadata log that it is fenced now, or no longer."""

    broker: int
    fenced: bool


class Broker:
    """One process of the broker `broker_id`, `incarnation` being its number. `controllers` are the ids of all there are.

    `truncation` is the generation of replication that it belongs to: all brokers of a cluster have the same.
    """

    def __init__(
        self,
        broker_id: int,
        config: BrokerConfig,
        topic_configs: Mapping[str, TopicConfig],
        disk: BrokerDisk,
        incarnation: int,
        controllers: Sequence[int],
        random: Random,
        trace: Trace | None = None,
        truncation: TruncationPolicy = KIP_595,
        behaviours: Behaviours = KAFKA_4_1.behaviours,
    ) -> None:
        self.broker_id = broker_id
        self._trace = trace
        self._fenced = True
        self._outbox: list[Output] = []
        self._alarm = alarm = Alarm()
        self._metadata = MetadataCache()
        self._channel = RequestChannel(self._outbox)
        self._logs = LogManager(disk, topic_configs, config, alarm)
        connections = connections_to(controllers, broker_id, config, self._outbox, alarm, random)
        self._heartbeat_channel, self._alter_channel, self._metadata_log, self._channels = connections
        previous_broker_epoch = self._logs.take_clean_shutdown_marker()
        self._lifecycle = BrokerLifecycleManager(
            broker_id, incarnation, previous_broker_epoch, config, self._heartbeat_channel, random, self._outbox, alarm
        )
        self._alter_partitions = AlterPartitionManager(broker_id, self._broker_epoch, self._alter_channel, alarm)
        self._replicas = ReplicaManager(
            broker_id,
            self._broker_epoch,
            config,
            self._metadata.image,
            self._logs,
            self._channel,
            self._alter_partitions,
            alarm,
            self._outbox,
            trace,
            truncation=truncation,
            behaviours=behaviours,
        )
        self._coordinators = CoordinatorRuntime(broker_id, config, self._replicas, self._metadata, self._channel, alarm, trace)
        apis = KafkaApis(broker_id, incarnation, config, self._replicas, self._coordinators, self._metadata, self._channel, trace)
        self._channel.handlers, self._channel.door = apis.handlers, self._lifecycle
        self._handlers: dict[type, Callable[[Any, str, float], None]] = {
            FetchResponse: self._fetched,
            ListOffsetsResponse: self._bounds_answered,
            OffsetForLeaderEpochResponse: self._epoch_ends_answered,
            MetadataFetchResponse: self._metadata_fetched,
            BrokerHeartbeatResponse: self._heartbeat_answered,
            BrokerRegistrationResponse: self._registration_answered,
            AlterPartitionResponse: self._alter_partition_answered,
            **dict.fromkeys(apis.handlers, self._channel.receive),
            Connected: self._connected,
            Disconnected: self._disconnected,
            BeginControlledShutdown: self._begin_controlled_shutdown,
        }

    # ------------------------------------------------------------------------------------------------ the process

    @property
    def accepts_connections(self) -> bool:
        """Whether a connection is accepted now; one that is not accepted is refused."""
        return self._lifecycle.accepts_connections

    @property
    def state(self) -> BrokerState:
        """Where the broker stands in its life."""
        return self._lifecycle.state

    @property
    def replica_manager(self) -> ReplicaManager:
        """For observers: `replica_manager.hosted[partition].partition` is this broker's view of a partition."""
        return self._replicas

    def high_watermark(self, partition: TopicPartition) -> int:
        """The high watermark of a replica that this broker holds; 0 of one that it does not."""
        hosted = self._replicas.hosted.get(partition)
        return 0 if hosted is None else hosted.partition.high_watermark

    def start(self, now: float) -> list[Output]:
        """The process has started: it reads the metadata log, and registers."""
        self._replicas.start(now)
        self._fetch_metadata(now)
        self._lifecycle.start(now)
        return self._flush_outbox()

    def shut_down(self, now: float) -> None:
        """The last thing a clean stop does: checkpoint, flush, and leave the marker of a clean shutdown."""
        self._replicas.checkpoint_high_watermarks()
        self._logs.shut_down(self._lifecycle.broker_epoch, now)

    def receive(self, event: object, source: str, now: float) -> list[Output]:
        """A request of a client or follower, an answer to one of ours, or news of a connection."""
        self._handlers[type(event)](event, source, now)
        if self._channel.unmuted:
            self._channel.drain(now)
        outputs = self._outbox.copy()
        self._outbox.clear()
        return outputs

    def next_deadline(self) -> float | None:
        """When to be woken. It may be too early, never too late."""
        deadline = self._alarm.deadline
        return deadline if deadline < LONG_MAX else None

    def wake(self, now: float) -> list[Output]:
        """Time has come: every manager does what is due, and says when it wants to be woken next."""
        if now < self._alarm.deadline:
            return []
        self._alarm.deadline = inf
        self._lifecycle.wake(now)
        self._alter_partitions.wake(now)
        self._metadata_log.wake(now)
        self._replicas.wake(now)
        self._coordinators.wake(now)
        self._channel.drain(now)
        alarm = self._alarm
        alarm.set(self._lifecycle.next_deadline())
        alarm.set(self._alter_partitions.next_deadline())
        alarm.set(self._metadata_log.next_deadline())
        alarm.set(self._replicas.next_deadline())
        alarm.set(self._coordinators.next_deadline())
        return self._flush_outbox()

    # ------------------------------------------------------------------------------------------------ connections of this broker

    def _connected(self, event: Connected, _source: str, now: float) -> None:
        channel = self._channels.get(event.peer)
        if channel is not None:
            if channel.peer == event.peer:  # or it speaks to another controller by now
                channel.connected(now)
            return
        fetcher = self._replicas.fetchers.get(event.peer)
        if fetcher is not None:
            fetcher.connected(now)

    def peers_have_closed(self, sources: Sequence[str]) -> None:
        """See RequestChannel.peers_have_closed. WHO: the kernel. WHEN the process goes on after it stood still."""
        self._channel.peers_have_closed(sources)

    def _disconnected(self, event: Disconnected, _source: str, now: float) -> None:
        """Ours to the controller or to a leader, or else one of a client or follower."""
        channel = self._channels.get(event.peer)
        if channel is not None:
            if channel.peer == event.peer:
                channel.disconnected(now)
            return
        fetcher = self._replicas.fetchers.get(event.peer)
        if fetcher is not None:
            fetcher.disconnected(now)
            return
        self._channel.disconnected(event.peer)

    # ------------------------------------------------------------------------------------------------ answers to this broker

    def _fetched(self, response: FetchResponse, source: str, now: float) -> None:
        fetcher = self._replicas.fetchers.get(source)
        if fetcher is not None:
            fetcher.fetched(response, now)

    def _bounds_answered(self, response: ListOffsetsResponse, source: str, now: float) -> None:
        fetcher = self._replicas.fetchers.get(source)
        if fetcher is not None:
            fetcher.bounds_answered(response, now)

    def _epoch_ends_answered(self, response: OffsetForLeaderEpochResponse, source: str, now: float) -> None:
        fetcher = self._replicas.fetchers.get(source)
        if fetcher is not None:
            fetcher.epoch_ends_answered(response, now)

    def _registration_answered(self, response: BrokerRegistrationResponse, _source: str, now: float) -> None:
        if response.error is Error.NOT_CONTROLLER:
            self._heartbeat_channel.not_the_controller(now)
            return
        self._lifecycle.registration_answered(response, now)
        self._maybe_caught_up(now)

    def _heartbeat_answered(self, response: BrokerHeartbeatResponse, _source: str, now: float) -> None:
        if response.error is Error.NOT_CONTROLLER:
            self._heartbeat_channel.not_the_controller(now)
            return
        self._lifecycle.heartbeat_answered(response, now)
        self._maybe_stop()

    def _alter_partition_answered(self, response: AlterPartitionResponse, _source: str, now: float) -> None:
        if response.error is Error.NOT_CONTROLLER:
            self._alter_channel.not_the_controller(now)
            return
        self._replicas.alter_partition_answered(response, now)

    # ------------------------------------------------------------------------------------------------ the metadata log

    def _fetch_metadata(self, now: float) -> None:
        """The broker asks for what comes after its image; the controller answers when there is something, or after a while with nothing."""
        self._metadata_log.fetch(self._metadata.image.offset, now)

    def _metadata_fetched(self, response: MetadataFetchResponse, source: str, now: float) -> None:
        """News in the metadata log, if any: leaders and followers are made of this broker's replicas, coordinators come and go."""
        if not self._metadata_log.takes(response, source, now):
            return
        changed = self._metadata.apply(response.records)
        self._lifecycle.metadata_offset = self._metadata.image.offset - 1
        for partition in self._replicas.apply_delta(changed, now):
            if partition.partition.topic == GROUP_METADATA_TOPIC:
                self._coordinators.partition_changed(partition, now)
        for record in response.records:
            if type(record) is ConfigRecord:
                self._replicas.alter_topic_config(record.topic, record.name, record.value, now)
        self._fetch_metadata(now)
        self._maybe_caught_up(now)
        self._trace_fencing()

    def _maybe_caught_up(self, now: float) -> None:
        """This process's registration has been read, and with it all that was decided before it."""
        registration = self._metadata.image.brokers.get(self.broker_id)
        if registration is not None and registration.broker_epoch == self._lifecycle.broker_epoch:
            self._lifecycle.caught_up(now)

    def _trace_fencing(self) -> None:
        registration = self._metadata.image.brokers.get(self.broker_id)
        if registration is not None and registration.fenced != self._fenced:
            self._fenced = registration.fenced
            if self._trace is not None:
                self._trace(BrokerFencingSeen(self.broker_id, self._fenced))

    # ------------------------------------------------------------------------------------------------ stopping

    def _begin_controlled_shutdown(self, _event: BeginControlledShutdown, _source: str, now: float) -> None:
        self._replicas.begin_controlled_shutdown()
        self._lifecycle.begin_controlled_shutdown(now)
        self._maybe_stop()

    def _maybe_stop(self) -> None:
        """Once there is leave to stop: no more requests are taken (`_handle_request`), and nothing is asked of anybody."""
        if self._lifecycle.state is BrokerState.SHUTTING_DOWN:
            self._replicas.fetchers.shutdown()
            self._metadata_log.close()
            self._alter_channel.close()

    # ------------------------------------------------------------------------------------------------ helpers

    def _broker_epoch(self) -> int:
        return self._lifecycle.broker_epoch

    def _flush_outbox(self) -> list[Output]:
        outputs = self._outbox.copy()
        self._outbox.clear()
        return outputs
