"""Records, and the batches they travel in. Kafka loses, duplicates, replicates and sequences by batch.

In Kafka: org.apache.kafka.common.record.RecordBatch (magic 2, KIP-98). Simplified: a batch carries the *identities* of its
records, (producer, n), not their bytes; `size` says how many bytes they would be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

NO_PRODUCER_ID = -1
NO_SEQUENCE = -1

# Bytes around the records of a batch: DefaultRecordBatch.RECORD_BATCH_OVERHEAD.
RECORD_BATCH_OVERHEAD = 61


class TopicPartition(NamedTuple):
    """One partition of one topic; printed as Kafka prints it: `orders-0`."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


class OffsetAndEpoch(NamedTuple):
    """Where a group stands in a partition (OffsetAndMetadata): the next offset to read, and the leader epoch of the record before it.

    The epoch tells whether the log was cut and written anew below that offset since (KIP-320); -1: unknown, nothing can be told.
    """

    partition: TopicPartition
    offset: int
    leader_epoch: int = -1


class OffsetCommitValue(NamedTuple):
    """A record of `__consumer_offsets` (OffsetCommitKey and OffsetCommitValue): where a group stands in a partition, and since when."""

    group: str
    partition: TopicPartition
    offset: int
    leader_epoch: int = -1
    commit_timestamp: float = 0.0


class OffsetCommitTombstone(NamedTuple):
    """A record of `__consumer_offsets`, an OffsetCommitKey without a value: the group's offset in the partition is forgotten."""

    group: str
    partition: TopicPartition


class GroupMember(NamedTuple):
    """One member of a group as it stands in `GroupMetadataValue`."""

    member_id: str
    instance: str
    session_timeout_ms: float
    rebalance_timeout_ms: float
    topics: tuple[str, ...]
    assignment: tuple[TopicPartition, ...]


class GroupMetadataValue(NamedTuple):
    """A record of `__consumer_offsets`: a classic group's generation, leader ("" without members), members, and when it lost the last."""

    group: str
    generation: int
    leader: str
    members: tuple[GroupMember, ...]
    current_state_timestamp: float = 0.0


class GroupMetadataTombstone(NamedTuple):
    """A record of `__consumer_offsets`, a GroupMetadataKey without a value: the group, without members and offsets, is forgotten."""

    group: str


CoordinatorRecord = OffsetCommitValue | OffsetCommitTombstone | GroupMetadataValue | GroupMetadataTombstone


class RecordBatch:
    """What a producer sends for one partition, unchanged by every retry. Immutable by convention, shared by all replicas.

    `numbers` are the records' identities within their producer: a `range`, or an `array('q')` where keys scatter them over
    partitions. `payload` is used by `__consumer_offsets` alone.
    """

    __slots__ = ("base_sequence", "created", "numbers", "payload", "producer", "producer_epoch", "producer_id", "size")

    def __init__(
        self,
        producer: str,
        numbers: Sequence[int],
        size: int,
        created: float,
        producer_id: int = NO_PRODUCER_ID,
        producer_epoch: int = -1,
        base_sequence: int = NO_SEQUENCE,
        payload: tuple[CoordinatorRecord, ...] = (),
    ) -> None:
        self.producer = producer
        self.numbers = numbers
        self.size = size
        self.created = created
        self.producer_id = producer_id
        self.producer_epoch = producer_epoch
        self.base_sequence = base_sequence
        self.payload = payload

    @property
    def count(self) -> int:
        """Number of records; offsets and sequence numbers advance by it."""
        return len(self.numbers) or len(self.payload)

    def __repr__(self) -> str:
        names = f"{self.numbers[0]}..{self.numbers[-1]}" if self.numbers else str(self.payload)
        return f"RecordBatch({self.producer} {names}, pid={self.producer_id}, seq={self.base_sequence})"


class LogBatch(NamedTuple):
    """A batch at its place in a log: the leader assigned it `base_offset` and stamped its `leader_epoch` on it."""

    base_offset: int
    next_offset: int
    leader_epoch: int
    batch: RecordBatch
    appended: float
