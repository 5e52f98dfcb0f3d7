"""The active controller: registers and fences brokers, elects leaders, decides every ISR, and writes all of it to the metadata log.

In Kafka: org.apache.kafka.controller.QuorumController with ClusterControlManager (brokers) and PeriodicTaskControlManager (checks); the
rules for partitions are in replication_control.py. KIP-500, KIP-631, KIP-841 (controlled shutdown), KIP-966 (unclean shutdown).

Alone it is the whole quorum: a record is committed in the instant in which it is written, and survives every crash, as a single voter
flushes its log before it answers. One of several runs inside quorum_controller.py, which holds back its answers until others have the
records.

Simplified: a single controller holds no election of itself and writes no LeaderChange; after a crash it is there at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kafkasim.protocol.administration import ADMINISTRATORS_CALLS, Administration
from kafkasim.protocol.config import BrokerConfig, TopicConfig
from kafkasim.protocol.controller_trace import (
    BrokerFenced,
    BrokerRegistered,
    BrokerUnfenced,
    IsrAccepted,
    IsrRefused,
    trace_partition,
)
from kafkasim.protocol.errors import Error
from kafkasim.protocol.heartbeats import BrokerControlState, BrokerHeartbeatManager
from kafkasim.protocol.messages import (
    AlterPartitionRequest,
    AlterPartitionResponse,
    BrokerHeartbeatRequest,
    BrokerHeartbeatResponse,
    BrokerRegistration,
    BrokerRegistrationRequest,
    BrokerRegistrationResponse,
    MetadataFetchRequest,
    MetadataFetchResponse,
    MetadataRecord,
    PartitionRegistration,
)
from kafkasim.protocol.metadata import NO_LEADER
from kafkasim.protocol.node import Disconnected, Output, Send, Trace
from kafkasim.protocol.periodic_task import PeriodicTask
from kafkasim.protocol.profiles import KAFKA_4_1, Behaviours
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.replication_control import ControllerState, ReplicationControl

# The controller looks this many times a session for a stale broker (QuorumController.maybeFenceStaleBrokerPeriodNs).
STALE_CHECKS_PER_SESSION = 8
# Before 4.0 it looks when the oldest session is over, which it is a nanosecond after its last instant.
ONE_NANOSECOND_MS = 1e-6
# unclean.leader.election.interval.ms, which is internal and not meant to be changed.
UNCLEAN_LEADER_ELECTION_INTERVAL_MS = 300_000
# How long a fetch of the metadata log may find nothing new (KafkaRaftClient.MAX_FETCH_WAIT_MS, which every fetch carries).
MAX_FETCH_WAIT_MS = 500.0


class CreateTopic(NamedTuple):
    """Create these partitions (their indices) of `topic`, placed round the brokers from number `first_broker` on.

    An administrator's wish, not a message on the wire.
    """

    topic: str
    partitions: tuple[int, ...]
    replication_factor: int
    config: TopicConfig
    first_broker: int = 0


class _ParkedFetch(NamedTuple):
    """A fetch of the metadata log that waits for news, until `deadline` at the latest."""

    deadline: float
    request: MetadataFetchRequest


class Controller:
    """The active controller. `state` survives a crash; what it knows from heartbeats does not, and is given time to come in again."""

    def __init__(
        self,
        controller_id: int,
        config: BrokerConfig,
        state: ControllerState,
        trace: Trace | None = None,
        behaviours: Behaviours = KAFKA_4_1.behaviours,
    ) -> None:
        self.controller_id = controller_id
        self._state = state
        self._image = state.image
        self._trace = trace
        self._heartbeats = BrokerHeartbeatManager(config.broker_session_timeout_ms, behaviours.session_outlives_fencing)
        self._replication = ReplicationControl(state, behaviours.unclean_election_configurable)
        self._administration = Administration(state, self._replication)
        self._stale_brokers_by_periodic_task = behaviours.stale_brokers_by_periodic_task
        self._parked_fetches: dict[str, _ParkedFetch] = {}  # all wait equally long, so that the first to end comes first
        self._config = config
        self._start_tasks(0.0)
        self._handlers: dict[type, Callable[[Any, str, float], list[Output]]] = {
            BrokerHeartbeatRequest: self._broker_heartbeat,
            AlterPartitionRequest: self._alter_partition,
            MetadataFetchRequest: self._metadata_fetch,
            BrokerRegistrationRequest: self._register_broker,
            CreateTopic: self._create_topic,
            **dict.fromkeys(ADMINISTRATORS_CALLS, self._administer),
            Disconnected: self._disconnected,
        }

    def start(self, now: float) -> list[Output]:
        """WHO: the controller's process, WHEN it starts. THEN it reads its log, and every broker that is not fenced counts as just heard.

        ClusterControlManager.activate: so that after a failover nobody is fenced for heartbeats that the old controller got.
        """
        for broker in self._image.brokers.values():
            self._heartbeats.register(broker.broker_id, broker.fenced)
            if not broker.fenced:
                self._heartbeats.update_contact_time(broker.broker_id, broker.broker_epoch, now)
        self._start_tasks(now)
        return []

    def receive(self, event: object, source: str, now: float) -> list[Output]:
        """Take one request of a broker, an administrator's call (source ""), or the news that a broker's connection is gone."""
        handler = self._handlers.get(type(event))
        assert handler is not None, f"a controller is never sent a {type(event).__name__}"
        return handler(event, source, now)

    def next_deadline(self) -> float | None:
        """The next periodic check that may find something, or the end of the fetch that has waited longest."""
        expiry = self._heartbeats.next_expiry()
        stale_check = None if expiry is None else self._stale_check_after(expiry)
        oldest = next(iter(self._parked_fetches.values()), None)
        fetch_ends = None if oldest is None else oldest.deadline
        dues = [due for due in (fetch_ends, stale_check, self._elect_preferred.due, self._elect_unclean.due) if due is not None]
        return min(dues, default=None)

    def wake(self, now: float) -> list[Output]:
        """WHO: the controller. WHEN a periodic task is due. THEN it fences one stale broker, and elects who should lead and does not."""
        outputs = self._answer_empty(now)
        expiry = self._heartbeats.next_expiry()
        if expiry is not None and self._stale_check_after(expiry) <= now:
            outputs += self._fence_one_stale_broker(now)
        if self._elect_preferred.due is not None and self._elect_preferred.due <= now:
            self._elect_preferred.ran(now, had_work=False)
            outputs += self._write(self._replication.elect_preferred_leaders(), now)
        if self._elect_unclean.due is not None and self._elect_unclean.due <= now:
            self._elect_unclean.ran(now, had_work=False)
            outputs += self._write(self._replication.elect_unclean_leaders(), now)
        self._arm_elections(now)
        return outputs

    # ------------------------------------------------------------------------------------------------ brokers

    def _register_broker(self, request: BrokerRegistrationRequest, source: str, now: float) -> list[Output]:
        """WHO: a broker. WHEN its process starts. THEN it gets a broker epoch and is fenced until it asks and has caught up.

        Another process of the same broker with a session still alive makes it a duplicate (ClusterControlManager.registerBroker). A
        previous epoch that does not match means an unclean shutdown: its log may lack what was not flushed (KIP-966).
        """
        broker_id = request.broker_id
        existing = self._image.brokers.get(broker_id)
        if existing is not None and existing.incarnation == request.incarnation:
            return self._amend_registration(existing, request, source, now)
        if existing is not None and self._heartbeats.has_valid_session(broker_id, existing.broker_epoch, now):
            refusal = BrokerRegistrationResponse(request.correlation_id, Error.DUPLICATE_BROKER_REGISTRATION, -1)
            return [Send(source, refusal)]
        clean_shutdown = existing is not None and existing.broker_epoch == request.previous_broker_epoch
        broker_epoch = self._state.log_end_offset  # also where there are records before it in the same batch
        records: list[MetadataRecord] = [*self._replication.broker_shut_down(broker_id, clean_shutdown)]
        records.append(BrokerRegistration(broker_id, broker_epoch, request.incarnation, fenced=True, in_controlled_shutdown=False))
        answers = self._write(records, now)
        self._heartbeats.register(broker_id, fenced=True)
        if self._trace is not None:
            self._trace(BrokerRegistered(broker_id, broker_epoch, request.incarnation, clean_shutdown))
        return [Send(source, BrokerRegistrationResponse(request.correlation_id, Error.NONE, broker_epoch)), *answers]

    def _amend_registration(
        self, existing: BrokerRegistration, request: BrokerRegistrationRequest, source: str, now: float
    ) -> list[Output]:
        """The same process asks again, having lost the answer or its connection: its epoch and its state stay."""
        answers = self._write([existing], now)
        self._state.register_offsets[existing.broker_id] = self._state.log_end_offset - 1
        self._heartbeats.register(existing.broker_id, existing.fenced)
        return [Send(source, BrokerRegistrationResponse(request.correlation_id, Error.NONE, existing.broker_epoch)), *answers]

    def _broker_heartbeat(self, request: BrokerHeartbeatRequest, source: str, now: float) -> list[Output]:
        """WHO: a broker. WHEN each broker.heartbeat.interval.ms. THEN its session begins anew, and it is told whether it is fenced.

        The heartbeat is also how it asks to be unfenced, and how it asks to shut down (QuorumController.processBrokerHeartbeat).
        """
        broker_id = request.broker_id
        self._heartbeats.update_contact_time(broker_id, request.broker_epoch, now)
        broker = self._image.brokers.get(broker_id)
        if broker is None or broker.broker_epoch != request.broker_epoch:
            refusal = BrokerHeartbeatResponse(request.correlation_id, Error.STALE_BROKER_EPOCH, is_fenced=True, should_shut_down=False)
            return [Send(source, refusal)]
        before, after = self._heartbeats.next_state(
            request, self._state.register_offsets[broker_id], lambda: self._replication.has_leaderships(broker_id)
        )
        self._heartbeats.touch(broker_id, after.fenced, request.current_metadata_offset)
        answers = self._enter(broker, after, now) if after is not before else []
        if after is BrokerControlState.CONTROLLED_SHUTDOWN:
            self._heartbeats.begin_controlled_shutdown(broker_id, self._state.log_end_offset - 1)
        shut_down = after is BrokerControlState.SHUTDOWN_NOW
        return [Send(source, BrokerHeartbeatResponse(request.correlation_id, Error.NONE, after.fenced, shut_down)), *answers]

    def _enter(self, broker: BrokerRegistration, state: BrokerControlState, now: float) -> list[Output]:
        """A broker's state changes: write that, and what it means for the partitions. Returns answers to parked metadata fetches."""
        if state is BrokerControlState.UNFENCED:
            if self._trace is not None:
                self._trace(BrokerUnfenced(broker.broker_id, broker.broker_epoch))
            return self._write([broker._replace(fenced=False), *self._replication.broker_unfenced(broker.broker_id)], now)
        leaves = self._replication.broker_leaves(broker.broker_id)
        if state is BrokerControlState.CONTROLLED_SHUTDOWN:
            announced = [] if broker.in_controlled_shutdown else [broker._replace(in_controlled_shutdown=True)]
            return self._write([*announced, *leaves], now)
        return self._fence(broker, leaves, False, now)

    def _fence(self, broker: BrokerRegistration, leaves: Sequence[MetadataRecord], stale: bool, now: float) -> list[Output]:
        if broker.fenced:
            return []  # its session ended while it was fenced, and nothing is left to be taken from it
        if self._trace is not None:
            self._trace(BrokerFenced(broker.broker_id, broker.broker_epoch, stale))
        return self._write([*leaves, broker._replace(fenced=True)], now)

    def _fence_one_stale_broker(self, now: float) -> list[Output]:
        """WHO: the controller. WHEN eight times a session. THEN one broker whose session ran out is fenced; the next 10 ms later.

        One at a time, so that each fencing sees what the one before did (ReplicationControlManager.maybeFenceOneStaleBroker).
        """
        session = self._heartbeats.remove_expired(now)
        self._fence_stale.ran(now, had_work=session is not None)
        if session is None:
            return []
        broker_id, broker_epoch = session
        broker = self._image.brokers.get(broker_id)
        if broker is None or broker.broker_epoch != broker_epoch:
            return []  # a session of an earlier registration, or of one that never was
        self._heartbeats.fence(broker_id)
        return self._fence(broker, self._replication.broker_leaves(broker_id), True, now)

    # ------------------------------------------------------------------------------------------------ partitions

    def _create_topic(self, event: CreateTopic, _source: str, now: float) -> list[Output]:
        """WHO: an administrator. WHEN it creates a topic. THEN its partitions are placed, and the first live replica of each leads."""
        self._state.topic_configs[event.topic] = event.config
        topic, partitions, replication_factor, _, first_broker = event
        return self._write(self._replication.create_partitions(topic, partitions, replication_factor, first_broker), now)

    def _administer(self, call: object, _source: str, now: float) -> list[Output]:
        """WHO: an administrator. WHEN it wants an election, a reassignment, other settings. THEN what is decided is written, and told."""
        records, answer = self._administration.decide(call)
        return [answer, *self._write(records, now)]

    def _alter_partition(self, request: AlterPartitionRequest, source: str, now: float) -> list[Output]:
        """WHO: a leader. WHEN it wants another ISR (KIP-497). THEN each is granted, or refused with the reason."""
        broker = self._image.brokers.get(request.broker_id)
        if broker is None or broker.broker_epoch != request.broker_epoch:
            return [Send(source, AlterPartitionResponse(request.correlation_id, Error.STALE_BROKER_EPOCH, ()))]
        records: list[MetadataRecord] = []
        results: list[tuple[TopicPartition, Error, int, int, tuple[int, ...], int]] = []
        for partition, leader_epoch, partition_epoch, new_isr in request.partitions:
            error, granted = self._replication.alter_partition(partition, request.broker_id, leader_epoch, partition_epoch, new_isr)
            if granted is None or error is not Error.NONE:
                results.append((partition, error, NO_LEADER, -1, (), -1))
            else:
                results.append((partition, error, granted.leader, granted.leader_epoch, granted.isr, granted.partition_epoch))
            if granted is not None and granted != self._image.partitions[partition]:
                records.append(granted)
            if self._trace is not None:
                isr = tuple(replica for replica, _ in new_isr)
                refused = IsrRefused(partition, request.broker_id, isr, error)
                self._trace(refused if granted is None else IsrAccepted(partition, request.broker_id, isr, granted.partition_epoch))
        answers = self._write(records, now)
        return [Send(source, AlterPartitionResponse(request.correlation_id, Error.NONE, tuple(results))), *answers]

    # ------------------------------------------------------------------------------------------------ the metadata log

    def _metadata_fetch(self, request: MetadataFetchRequest, source: str, now: float) -> list[Output]:
        """WHO: a broker. WHEN it has read the metadata log up to `fetch_offset`. THEN it gets what follows, as soon as it is there."""
        self._parked_fetches.pop(source, None)  # of an earlier connection: the new one takes its place behind all others
        if request.fetch_offset < self._state.log_end_offset:
            return [Send(source, self._read(request))]
        self._parked_fetches[source] = _ParkedFetch(now + MAX_FETCH_WAIT_MS, request)
        return []

    def _answer_empty(self, now: float) -> list[Output]:
        """WHO: the controller. WHEN a fetch has waited for so long. THEN it gets nothing (KafkaRaftClient.handleFetchRequest)."""
        over = [source for source, parked in self._parked_fetches.items() if parked.deadline <= now]
        return [Send(source, self._read(self._parked_fetches.pop(source).request)) for source in over]

    def _disconnected(self, event: Disconnected, source: str, _now: float) -> list[Output]:
        """WHO: the controller. WHEN a broker's connection is gone. THEN the fetch that waited on it is forgotten, the session is not."""
        self._parked_fetches.pop(source or event.peer, None)
        return []

    def _write(self, records: Sequence[MetadataRecord], now: float) -> list[Output]:
        """Append `records`, and answer every metadata fetch that was waiting for news."""
        if not records:
            return []
        for record in records:
            if self._trace is not None and isinstance(record, PartitionRegistration):
                trace_partition(self._trace, self._image.partitions.get(record.partition), record)
            self._state.append(record)
        self._arm_elections(now)
        answers: list[Output] = [Send(source, self._read(parked.request)) for source, parked in self._parked_fetches.items()]
        self._parked_fetches.clear()
        return answers

    def _read(self, request: MetadataFetchRequest) -> MetadataFetchResponse:
        return MetadataFetchResponse(request.correlation_id, request.fetch_offset, tuple(self._state.records[request.fetch_offset :]))

    # ------------------------------------------------------------------------------------------------ helpers

    def _stale_check_after(self, expiry: float) -> float:
        """When the controller will see that a session ended at `expiry`: at its next look, or before 4.0 at once."""
        return self._fence_stale.first_run_after(expiry) if self._stale_brokers_by_periodic_task else expiry + ONE_NANOSECOND_MS

    def _start_tasks(self, now: float) -> None:
        session_timeout_ms = self._config.broker_session_timeout_ms
        self._fence_stale = PeriodicTask(max(1.0, session_timeout_ms / STALE_CHECKS_PER_SESSION), now)
        self._elect_preferred = PeriodicTask(self._config.leader_imbalance_check_interval_seconds * 1000, now)
        self._elect_unclean = PeriodicTask(UNCLEAN_LEADER_ELECTION_INTERVAL_MS, now)
        self._arm_elections(now)

    def _arm_elections(self, now: float) -> None:
        """Both election tasks run for as long as there is a partition that they might help.

        leader.imbalance.per.broker.percentage is not read: KRaft reads it nowhere.
        Simplified: a run is not cut off at 1000 elections (MAX_ELECTIONS_PER_IMBALANCE).
        """
        self._elect_preferred.need(self._config.auto_leader_rebalance_enable and bool(self._state.imbalanced), now)
        self._elect_unclean.need(self._replication.wants_unclean_leaders(), now)
