"""The in-sync replicas of a partition as its leader sees them: who is in, who may come in, who must go, and what is still being asked.

In Kafka: the PartitionState family in kafka.cluster.Partition (CommittedPartitionState, PendingExpandIsr, PendingShrinkIsr), KIP-497
(AlterPartition), KIP-841 and KIP-903 (who is eligible). The controller owns the ISR; the leader proposes, and until it hears
the answer, lives with two of them: `isr`, the committed one, and `maximal_isr`, everybody who may be in it by now. The high watermark
waits for the maximal ISR: whoever might be elected must have everything that is committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import BrokerRegistration
from kafkasim.protocol.node import Trace
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.replica import Replica

# ---------------------------------------------------------------------------------------------------- what the trace is told


class IsrShrinkProposed(NamedTuple):
    """The leader asks the controller to take `removed` out of the ISR."""

    partition: TopicPartition
    broker: int
    removed: tuple[int, ...]
    isr: tuple[int, ...]


class IsrExpandProposed(NamedTuple):
    """The leader asks the controller to take `added` into the ISR."""

    partition: TopicPartition
    broker: int
    added: int
    isr: tuple[int, ...]


class IsrChanged(NamedTuple):
    """The leader learned of a committed ISR other than the one it knew."""

    partition: TopicPartition
    broker: int
    isr: tuple[int, ...]
    partition_epoch: int


# ---------------------------------------------------------------------------------------------------- the states


class ProposedIsr(NamedTuple):
    """What the leader asks for; the epochs say what it knew when it asked (in Kafka: the LeaderAndIsr of an AlterPartition)."""

    leader_epoch: int
    partition_epoch: int
    isr: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CommittedPartitionState:
    """Nothing is being asked."""

    isr: tuple[int, ...]

    @property
    def maximal_isr(self) -> tuple[int, ...]:
        """The committed ISR, for nothing else is possible."""
        return self.isr


@dataclass(frozen=True, slots=True)
class PendingExpandIsr:
    """A follower is to come in. It may be in already, so the high watermark waits for it from now on."""

    proposed: ProposedIsr
    last_committed: CommittedPartitionState

    @property
    def isr(self) -> tuple[int, ...]:
        """The last committed ISR."""
        return self.last_committed.isr

    @property
    def maximal_isr(self) -> tuple[int, ...]:
        """The proposed ISR: if the controller refuses, waiting for one more did no harm."""
        return self.proposed.isr


@dataclass(frozen=True, slots=True)
class PendingShrinkIsr:
    """A follower is to go. It may still be in, so the high watermark goes on waiting for it: a zombie leader's stands still."""

    proposed: ProposedIsr
    last_committed: CommittedPartitionState

    @property
    def isr(self) -> tuple[int, ...]:
        """The last committed ISR."""
        return self.last_committed.isr

    @property
    def maximal_isr(self) -> tuple[int, ...]:
        """The last committed ISR: if the controller refuses, the follower is still in it, and may be elected."""
        return self.last_committed.isr


PendingPartitionChange = PendingExpandIsr | PendingShrinkIsr
PartitionState = CommittedPartitionState | PendingPartitionChange

# After these the controller's view differs from ours, or we cannot know: stay pending, the metadata log will tell. With NEW_LEADER_ELECTED
# it did what it was asked, which completed a reassignment, and with that another leads.
_AWAIT_METADATA = (
    Error.UNKNOWN_TOPIC_OR_PARTITION,
    Error.FENCED_LEADER_EPOCH,
    Error.INVALID_UPDATE_VERSION,
    Error.INVALID_REQUEST,
    Error.NEW_LEADER_ELECTED,
)


# ---------------------------------------------------------------------------------------------------- the rules


def is_replica_isr_eligible(replica: Replica, brokers: Mapping[int, BrokerRegistration]) -> bool:
    """May this follower be in an ISR at all? Not if its broker is fenced or shutting down (KIP-841), nor if its process is another.

    KIP-903: the broker epoch in its fetches must be the one that the controller knows, or a broker that came back with an empty disk
    could be let in on the strength of what its former self had fetched.
    """
    registration = brokers.get(replica.broker_id)
    return (
        registration is not None
        and not registration.fenced
        and not registration.in_controlled_shutdown
        and replica.broker_epoch in (-1, registration.broker_epoch)
    )


def is_follower_in_sync(replica: Replica, high_watermark: int, leader_epoch_start_offset: int) -> bool:
    """Has it all that is committed? The high watermark alone does not say: a new leader's lags.

    So it must also have all that the leader had when its epoch began, for some of it may have been committed before.
    """
    return replica.log_end_offset >= high_watermark and replica.log_end_offset >= leader_epoch_start_offset


class InSyncReplicas:
    """The leader's PartitionState, and the proposal on its way to the controller. One belongs to each Partition."""

    __slots__ = ("_broker_id", "_partition", "_sent", "_to_send", "_trace", "state")

    def __init__(self, partition: TopicPartition, broker_id: int, trace: Trace | None) -> None:
        self.state: PartitionState = CommittedPartitionState(())
        self._partition = partition
        self._broker_id = broker_id
        self._trace = trace
        self._to_send: PendingPartitionChange | None = None
        self._sent: PendingPartitionChange | None = None

    def commit(self, isr: tuple[int, ...], partition_epoch: int) -> None:
        """WHEN the controller's truth arrives, as an answer or in the metadata log. THEN: nothing is pending any more."""
        if self._trace is not None and isr != self.state.isr:
            self._trace(IsrChanged(self._partition, self._broker_id, isr, partition_epoch))
        self.state = CommittedPartitionState(isr)
        self._to_send = None

    def clear(self) -> None:
        """WHO: a follower, which has no ISR of its own."""
        self.state = CommittedPartitionState(())
        self._to_send = None

    def propose_expand(self, replica_id: int, leader_epoch: int, partition_epoch: int) -> None:
        """WHO: the leader. THEN: from this moment the follower counts as possibly in (prepareIsrExpand)."""
        committed = self.state
        assert isinstance(committed, CommittedPartitionState), "one change of the ISR at a time"
        proposed = ProposedIsr(leader_epoch, partition_epoch, (*committed.isr, replica_id))
        self.state = self._to_send = PendingExpandIsr(proposed, committed)
        if self._trace is not None:
            self._trace(IsrExpandProposed(self._partition, self._broker_id, replica_id, proposed.isr))

    def propose_shrink(self, out_of_sync: tuple[int, ...], leader_epoch: int, partition_epoch: int) -> None:
        """WHO: the leader. THEN: nothing changes until the controller agrees (prepareIsrShrink)."""
        committed = self.state
        assert isinstance(committed, CommittedPartitionState), "one change of the ISR at a time"
        remaining = tuple(replica_id for replica_id in committed.isr if replica_id not in out_of_sync)
        proposed = ProposedIsr(leader_epoch, partition_epoch, remaining)
        self.state = self._to_send = PendingShrinkIsr(proposed, committed)
        if self._trace is not None:
            self._trace(IsrShrinkProposed(self._partition, self._broker_id, out_of_sync, proposed.isr))

    def take(self) -> ProposedIsr | None:
        """WHO: the broker, WHEN it can send an AlterPartition. THEN: it gets what is to be asked, once."""
        if self._to_send is None:
            return None
        self._sent, self._to_send = self._to_send, None
        return self._sent.proposed

    def answered(self) -> PendingPartitionChange | None:
        """WHEN an answer came: the change it is about, or None if the state has moved on and the answer means nothing now."""
        sent, self._sent = self._sent, None
        return sent if sent is self.state else None

    def refused(self, pending: PendingPartitionChange, error: Error) -> None:
        """WHEN the controller answered with `error`. THEN: give up, wait for metadata, or ask again (handleAlterPartitionError).

        Only after INELIGIBLE_REPLICA is it certain that nothing happened and that our partition epoch is right, and after
        OPERATION_NOT_ATTEMPTED that nothing was sent. So only then may the leader go back to the committed state.
        """
        if error in {Error.INELIGIBLE_REPLICA, Error.OPERATION_NOT_ATTEMPTED}:
            self.state = pending.last_committed
        elif error not in _AWAIT_METADATA:
            self._to_send = pending
