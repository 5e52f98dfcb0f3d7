"""One broker's view of one partition: becoming leader or follower, and what a leader does with batches and with its followers.

In Kafka: kafka.cluster.Partition. Leader and follower are one class, for a broker is now the one and now the other, as the
controller says in the metadata log. A leader that is cut off from the controller is not told, and goes on. What any replica does with
its own log (answer readers, follow, truncate) is in local_replica.py, the states of the ISR in isr.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kafkasim.protocol.config import BrokerConfig, TopicConfig
from kafkasim.protocol.errors import NO_ERROR, Error
from kafkasim.protocol.isr import CommittedPartitionState, InSyncReplicas, ProposedIsr, is_follower_in_sync, is_replica_isr_eligible
from kafkasim.protocol.local_replica import CONSUMER, LocalReplica
from kafkasim.protocol.log import Log
from kafkasim.protocol.messages import BrokerRegistration, PartitionRegistration
from kafkasim.protocol.node import Trace
from kafkasim.protocol.profiles import KAFKA_4_1, Behaviours
from kafkasim.protocol.records import RecordBatch, TopicPartition
from kafkasim.protocol.replica import Replica
from kafkasim.protocol.truncation_policy import KIP_595, TruncationPolicy

# ---------------------------------------------------------------------------------------------------- what the trace is told


class LeaderEpochStarted(NamedTuple):
    """`broker` learned that it leads in `leader_epoch`, from its log's end `start_offset` on."""

    partition: TopicPartition
    broker: int
    leader_epoch: int
    start_offset: int
    high_watermark: int
    isr: tuple[int, ...]


class DuplicateDropped(NamedTuple):
    """The leader recognised `batch` as a retry of what lies at `base_offset`, and did not append it again."""

    partition: TopicPartition
    broker: int
    batch: RecordBatch
    base_offset: int


class SequenceRefused(NamedTuple):
    """The leader refused `batch`: its sequence number or its producer epoch is not the next one."""

    partition: TopicPartition
    broker: int
    batch: RecordBatch
    error: Error


class AppendResult(NamedTuple):
    """Where a leader put a batch, or had put it before; -1, -1 with an error. acks=-1 waits for `next_offset`."""

    error: Error
    base_offset: int
    next_offset: int
    high_watermark_changed: bool


# ---------------------------------------------------------------------------------------------------- the machine


class Partition(LocalReplica):
    """`leader` is -1 while there is none. `isr` and `maximal_isr` are the leader's (isr.py); a follower has none.

    `brokers` is the live dict of the broker's metadata image: who is fenced, who shuts down, and everybody's broker epoch.
    """

    __slots__ = (
        "_awaited",
        "_behaviours",
        "_brokers",
        "_enough_after_append",
        "_high_watermark_held",
        "_in_sync",
        "_not_awaited",
        "_remote_replicas",
        "_replica_lag_time_max_ms",
        "_replicas",
        "_under_min_isr",
        "config",
        "isr",
        "maximal_isr",
    )

    def __init__(
        self,
        partition: TopicPartition,
        broker_id: int,
        log: Log,
        config: TopicConfig,
        broker_config: BrokerConfig,
        trace: Trace | None = None,
        brokers: Mapping[int, BrokerRegistration] | None = None,
        truncation: TruncationPolicy = KIP_595,
        behaviours: Behaviours = KAFKA_4_1.behaviours,
    ) -> None:
        super().__init__(partition, broker_id, log, trace, truncation, behaviours.errors_name_the_leader)
        self.config = config
        self.isr: tuple[int, ...] = ()
        self.maximal_isr: tuple[int, ...] = ()
        self._brokers = {} if brokers is None else brokers
        self._in_sync = InSyncReplicas(partition, broker_id, trace)
        self._replicas: dict[int, Replica] = {}
        self._remote_replicas: tuple[Replica, ...] = ()
        self._replica_lag_time_max_ms = broker_config.replica_lag_time_max_ms
        # What the hot paths ask of the ISR; _isr_changed computes them.
        self._awaited: tuple[Replica, ...] = ()  # followers in the maximal ISR: the high watermark waits for all of them
        self._not_awaited: tuple[Replica, ...] = ()  # the other followers
        self._behaviours = behaviours
        self._under_min_isr = False
        self._high_watermark_held = False
        self._enough_after_append = True

    # ------------------------------------------------------------------------------------------------ becoming

    def make_leader(self, registration: PartitionRegistration, now: float) -> bool:
        """WHO: the leader, WHEN the metadata log says so. THEN: a new epoch begins at its log end; with the same epoch only ISR and
        partition epoch are taken over. True if the high watermark moved (the ISR may be down to the leader alone).

        A new leader's high watermark stays what it knew as a follower, until its followers fetch from it. The start of the epoch goes
        into the epoch cache at once, before any record, so that a follower with a later epoch than our last record finds the place.
        As in Kafka, two gaps remain: a leader that skips another's epoch in the metadata log still trusts its followers' old fetches,
        and late news of the partition epoch it knows already takes a pending proposal back.
        """
        if registration.partition_epoch < self.partition_epoch:
            return False
        is_new_leader = not self.is_leader
        self._update_assignment(registration.replicas)
        if registration.leader_epoch > self.leader_epoch:
            self._begin_leader_epoch(registration, is_new_leader, now)
        self.leader = self.broker_id
        self.is_leader = True
        self._readers = (CONSUMER, *registration.replicas)
        self.partition_epoch = registration.partition_epoch
        self._in_sync.commit(registration.isr, registration.partition_epoch)
        self._isr_changed()
        return self._maybe_increment_leader_high_watermark(now)

    def make_follower(self, registration: PartitionRegistration, now: float) -> bool:  # noqa: ARG002 - as for make_leader
        """WHO: any replica, WHEN the metadata log names another leader (or none). THEN: it forgets its followers and takes the epoch.

        It truncates nothing: where to cut its log is the next question, and who answers it, the generation's (truncation_policy.py).
        True if the leader epoch is new, so that fetching must start anew.
        """
        if registration.partition_epoch < self.partition_epoch:
            return False
        is_new_leader_epoch = registration.leader_epoch > self.leader_epoch
        self.leader = registration.leader
        self.is_leader = False
        self._readers = (CONSUMER,)
        self.leader_epoch = registration.leader_epoch
        self.leader_epoch_start_offset = -1
        self.partition_epoch = registration.partition_epoch
        self.replicas = registration.replicas
        self._replicas = {}
        self._remote_replicas = ()
        self._in_sync.clear()
        self._isr_changed()
        return is_new_leader_epoch

    def config_changed(self, config: TopicConfig) -> None:
        """WHO: any replica, WHEN its topic has another setting. THEN it holds from the next batch or fetch on."""
        self.config = config
        self._isr_changed()

    # ------------------------------------------------------------------------------------------------ the leader, appending

    def append_records_to_leader(self, batch: RecordBatch, acks: int, now: float) -> AppendResult:
        """WHO: the leader, WHEN a batch is produced. THEN: append it; or refuse it; or find that it is there already.

        acks=-1 is refused while the ISR is below min.insync.replicas. acks=0 and acks=1 are accepted, and since 3.7 stay invisible
        (KAFKA-15583).
        A duplicate is answered with the offsets it got the first time, so that its producer sees a success.
        """
        if not self.is_leader:
            return _refused(Error.NOT_LEADER_OR_FOLLOWER)
        if acks == -1 and self._under_min_isr:
            return _refused(Error.NOT_ENOUGH_REPLICAS)
        if batch.size > self.config.max_message_bytes:
            return _refused(Error.RECORD_TOO_LARGE)
        appended = None
        if batch.producer_id >= 0:
            appended = self.log.producers.find_duplicate_batch(batch)
            if appended is None:
                error = self.log.producers.check_append(batch)
                if error is not NO_ERROR:
                    if self._trace is not None:
                        self._trace(SequenceRefused(self.partition, self.broker_id, batch, error))
                    return _refused(error)
            elif self._trace is not None:
                self._trace(DuplicateDropped(self.partition, self.broker_id, batch, appended.base_offset))
        if appended is None:
            appended = self.log.append_as_leader(batch, self.leader_epoch, now)
        # With all followers in the ISR it waits for them, and no append of ours moves it; but the ISR may be the leader alone.
        moved = (not self._awaited or bool(self._not_awaited)) and self._maybe_increment_leader_high_watermark(now)
        return AppendResult(NO_ERROR, appended.base_offset, appended.next_offset, moved)

    def check_enough_replicas_reach_offset(self, required_offset: int) -> tuple[bool, Error]:
        """WHO: DelayedProduce for acks=-1. Is the waiting over, and with what? (True, NONE) once the high watermark is there.

        NOT_ENOUGH_REPLICAS_AFTER_APPEND where the ISR shrank meanwhile: the records are in the log, and may well stay there. Since the
        high watermark waits for min.insync.replicas that takes a race; before 3.7 it is what a shrunk ISR ends in.
        """
        if not self.is_leader:
            return True, Error.NOT_LEADER_OR_FOLLOWER
        if self.high_watermark < required_offset:
            return False, NO_ERROR
        return True, NO_ERROR if self._enough_after_append else Error.NOT_ENOUGH_REPLICAS_AFTER_APPEND

    # ------------------------------------------------------------------------------------------------ the leader and its followers

    def update_follower_fetch_state(self, replica_id: int, broker_epoch: int, fetch_offset: int, now: float) -> bool:
        """WHO: the leader, WHEN `read_for_fetch` served a follower (no error, no divergence). THEN: what it asks for, it has all below.

        It may be ready to join the ISR, and the high watermark may move: True if it did.
        Simplified: a fetch of the follower's former process (older broker epoch) counts for nothing; Kafka also answers it with an error.
        """
        replica = self._replicas.get(replica_id)
        if replica is None:
            return False
        registration = self._brokers.get(replica_id)
        if registration is not None and broker_epoch < registration.broker_epoch and broker_epoch != -1 and not registration.fenced:
            return False
        previous_end_offset = replica.log_end_offset
        replica.update_fetch_state(fetch_offset, self.log.log_end_offset, broker_epoch, now)
        if replica_id not in self.isr:
            self._maybe_expand_isr(replica)
        return previous_end_offset != fetch_offset and self._maybe_increment_leader_high_watermark(now)

    def maybe_shrink_isr(self, now: float) -> None:
        """WHO: the leader, WHEN the task isr-expiration runs (every replica.lag.time.max.ms / 2). THEN: laggards are to go.

        A follower that stands at the leader's end never lags, however long ago that was. While a change is pending, none is proposed.
        """
        if not self.is_leader or not isinstance(self._in_sync.state, CommittedPartitionState):
            return
        end_offset = self.log.log_end_offset
        out_of_sync = tuple(
            replica_id
            for replica_id in self.isr
            if replica_id != self.broker_id and not self._replicas[replica_id].is_caught_up(end_offset, now, self._replica_lag_time_max_ms)
        )
        if out_of_sync:
            self._in_sync.propose_shrink(out_of_sync, self.leader_epoch, self.partition_epoch)
            self._isr_changed()

    def take_alter_partition(self) -> ProposedIsr | None:
        """WHO: the broker, one AlterPartition at a time. THEN: (leader epoch, partition epoch, new ISR) to be asked for, once, or None."""
        return self._in_sync.take()

    def broker_epoch_of(self, replica_id: int) -> int:
        """KIP-903: the broker epoch that AlterPartition states for a follower: that of its fetches, -1 while it has not fetched."""
        replica = self._replicas.get(replica_id)
        return max(replica.broker_epoch, -1) if replica is not None else -1

    def alter_partition_answered(
        self, error: Error, leader: int, leader_epoch: int, isr: tuple[int, ...], partition_epoch: int, now: float
    ) -> bool:
        """WHO: the leader, WHEN the controller answered, or nobody did (any retriable error). THEN: commit, give up, wait or ask again.

        True if the high watermark moved: it may, once the ISR is smaller.
        """
        pending = self._in_sync.answered()
        if pending is None:
            return False
        if error is not NO_ERROR:
            self._in_sync.refused(pending, error)
            self._isr_changed()
            return False
        if leader_epoch != self.leader_epoch or partition_epoch < self.partition_epoch:
            return False
        assert leader == self.broker_id, "one leader epoch has one leader"
        self.partition_epoch = partition_epoch
        self._in_sync.commit(isr, partition_epoch)
        self._isr_changed()
        return self._maybe_increment_leader_high_watermark(now)

    # ------------------------------------------------------------------------------------------------ helpers

    def _update_assignment(self, replicas: tuple[int, ...]) -> None:
        """A Replica for each follower: those known stay, new ones come, removed ones go."""
        self.replicas = replicas
        self._replicas = {
            broker_id: self._replicas.get(broker_id) or Replica(broker_id) for broker_id in replicas if broker_id != self.broker_id
        }
        self._remote_replicas = tuple(self._replicas.values())

    def _begin_leader_epoch(self, registration: PartitionRegistration, is_new_leader: bool, now: float) -> None:
        """The epoch starts at our log end, and the followers' clocks start with it."""
        start_offset = self.log.log_end_offset
        if self._truncation.begins_epoch_when_elected:
            self.log.leader_epochs.assign(registration.leader_epoch, start_offset)
        for replica in self._remote_replicas:
            replica.reset(now, start_offset, is_new_leader, replica.broker_id in registration.isr)
        self.leader_epoch = registration.leader_epoch
        self.leader_epoch_start_offset = start_offset
        if self._trace is not None:
            self._trace(
                LeaderEpochStarted(self.partition, self.broker_id, self.leader_epoch, start_offset, self.high_watermark, registration.isr)
            )

    def _effective_min_isr(self) -> int:
        """min.insync.replicas above the replication factor is accepted by Kafka; what counts is the smaller (since 3.7).

        A replica that a reassignment adds counts from the moment it is assigned, long before it can be in the ISR.
        """
        min_isr = self.config.min_insync_replicas
        return min(min_isr, len(self._remote_replicas) + 1) if self._behaviours.min_isr_is_at_most_replication_factor else min_isr

    def _isr_changed(self) -> None:
        """What the hot paths ask of the ISR, computed when it changes."""
        self.isr = self._in_sync.state.isr
        self.maximal_isr = maximal_isr = self._in_sync.state.maximal_isr
        min_isr = self._effective_min_isr()
        self._under_min_isr = self.is_leader and len(self.isr) < min_isr
        self._high_watermark_held = self._under_min_isr and self._behaviours.high_watermark_waits_for_min_isr
        self._enough_after_append = len(maximal_isr) >= min_isr
        self._awaited = tuple(replica for replica in self._remote_replicas if replica.broker_id in maximal_isr)
        self._not_awaited = tuple(replica for replica in self._remote_replicas if replica.broker_id not in maximal_isr)

    def _maybe_expand_isr(self, replica: Replica) -> None:
        """WHEN a follower outside the ISR fetched. THEN: propose it, if it is eligible and has all that is committed."""
        if (
            isinstance(self._in_sync.state, CommittedPartitionState)
            and is_replica_isr_eligible(replica, self._brokers)
            and is_follower_in_sync(replica, self.high_watermark, self.leader_epoch_start_offset)
        ):
            self._in_sync.propose_expand(replica.broker_id, self.leader_epoch, self.partition_epoch)
            self._isr_changed()

    def _maybe_increment_leader_high_watermark(self, now: float) -> bool:
        """THEN: the high watermark is the smallest log end among the leader and those it must wait for (maybeIncrementLeaderHW).

        These are the maximal ISR, and followers about to join it, who else would never catch up with a high watermark that runs
        ahead. It never goes back, and does not move while the committed ISR is below min.insync.replicas (since 3.7, KAFKA-15583).
        """
        if self._high_watermark_held:
            return False
        high_watermark = end_offset = self.log.log_end_offset
        for replica in self._awaited:
            if replica.log_end_offset < high_watermark:  # noqa: PLR1730 - a min() costs three times as much
                high_watermark = replica.log_end_offset
        if high_watermark <= self.high_watermark:
            return False
        for replica in self._not_awaited:
            if (
                replica.log_end_offset < high_watermark
                and replica.is_caught_up(end_offset, now, self._replica_lag_time_max_ms)
                and is_replica_isr_eligible(replica, self._brokers)
            ):
                high_watermark = replica.log_end_offset
        if high_watermark <= self.high_watermark:
            return False
        self._move_high_watermark(high_watermark)
        return True


def _refused(error: Error) -> AppendResult:
    return AppendResult(error, -1, -1, False)
