"""What makes retries harmless: the producer's half of the idempotent producer (KIP-98), and its recovery (KIP-360).

In Kafka: org.apache.kafka.clients.producer.internals.TransactionManager and TxnPartitionEntry, without transactions. Each
batch gets a sequence number in its partition when it is first drained, and keeps it through all retries, so the leader knows a repetition.

* With a batch in retry, only the lowest sequence in flight may be sent; the rest follow in order.
* OUT_OF_ORDER_SEQUENCE_NUMBER for a batch that is not next in line only says that an earlier one failed: it is retried.
  For the one that *is* next, the log has a gap: the epoch is bumped, sequences start again at 0, and it is retried.
* A batch that failed for good leaves a gap: bump the epoch. A batch that expired after a retry may or may not be in the log:
  its partition sends nothing new until all in flight is over; then, if the gap is real, bump the epoch.

Simplified: librdkafka's idempotent producer follows Java's rules here (it would drain all partitions before a bump, and raise
a fatal error for a gap at the head of the line).
"""

# ruff: noqa: PLR1730 - on the hot path an `if` costs a third of a min() or max()

from __future__ import annotations

from kafkasim.protocol.errors import Error
from kafkasim.protocol.producer_batch import ProducerBatch
from kafkasim.protocol.records import NO_PRODUCER_ID, NO_SEQUENCE, TopicPartition

# How many batches of a partition librdkafka has in flight: as many as a broker can recognize (RD_KAFKA_IDEMP_MAX_INFLIGHT).
# Java only limits the requests on a connection.
LIBRDKAFKA_WINDOW = 5
EPOCH_MAX = 32767  # Short.MAX_VALUE; after it comes a new producer id
SEQUENCE_SPACE = 2**31  # sequences wrap to 0 (DefaultRecordBatch.incrementSequence)


class PartitionEntry:
    """TxnPartitionEntry: the sequences of one partition, and its batches in flight or in retry, by sequence."""

    __slots__ = ("in_flight", "last_acked_sequence", "next_sequence", "producer_epoch", "producer_id")

    def __init__(self) -> None:
        self.producer_id = NO_PRODUCER_ID
        self.producer_epoch = -1
        self.next_sequence = 0
        self.last_acked_sequence = NO_SEQUENCE
        self.in_flight: list[ProducerBatch] = []  # at most five: appended in the order of sequences


class TransactionManager:
    """The producer id, its epoch, and the sequences of all partitions; at most `window` batches in flight in each.

    `settled`: there is a producer id, and nothing for `resolve` to do. Whatever gives it something to do takes this back.
    """

    def __init__(self, window: int) -> None:
        self.producer_id = NO_PRODUCER_ID
        self.producer_epoch = -1
        self.settled = False
        self._window = window
        self._entries: dict[TopicPartition, PartitionEntry] = {}
        self._epoch_bump_required = False
        self._partitions_to_rewrite: dict[TopicPartition, None] = {}
        self._unresolved: dict[TopicPartition, int] = {}  # the sequence after the last one whose fate is unknown

    @property
    def has_producer_id(self) -> bool:
        """Whether batches can be sent."""
        return self.producer_id != NO_PRODUCER_ID

    def set_producer_id(self, producer_id: int, producer_epoch: int) -> None:
        """WHEN InitProducerId was answered."""
        self.producer_id = producer_id
        self.producer_epoch = producer_epoch

    # ------------------------------------------------------------------------------------------------ draining

    def may_drain(self, batch: ProducerBatch) -> bool:
        """Whether the first batch of a queue may be sent now (shouldStopDrainBatchesForPartition)."""
        if self.producer_id == NO_PRODUCER_ID:
            return False
        entry = self._entry(batch.partition)
        if batch.base_sequence == NO_SEQUENCE:
            if batch.partition in self._unresolved:
                return False
            if not entry.in_flight:
                return True
            stale = entry.producer_epoch != self.producer_epoch or entry.producer_id != self.producer_id
            return len(entry.in_flight) < self._window and not stale
        return not entry.in_flight or entry.in_flight[0].base_sequence == batch.base_sequence

    def assign_sequence(self, batch: ProducerBatch) -> None:
        """WHEN a batch is drained for the first time; THEN it takes the next sequence of its partition, for good."""
        entry = self._entry(batch.partition)
        if entry.producer_epoch != self.producer_epoch or entry.producer_id != self.producer_id:
            self._start_sequences_at_beginning(entry)
        batch.set_producer_state(self.producer_id, self.producer_epoch, entry.next_sequence)
        entry.next_sequence = (entry.next_sequence + batch.count) % SEQUENCE_SPACE
        entry.in_flight.append(batch)

    # ------------------------------------------------------------------------------------------------ answers

    def handle_completed_batch(self, batch: ProducerBatch) -> None:
        """WHEN a batch succeeded."""
        entry = self._entry(batch.partition)
        last_sequence = (batch.base_sequence + batch.count - 1) % SEQUENCE_SPACE
        if last_sequence > entry.last_acked_sequence:
            entry.last_acked_sequence = last_sequence
        in_flight = entry.in_flight
        if in_flight and in_flight[0] is batch:  # answers come in the order of requests
            del in_flight[0]
        else:
            self._remove_in_flight(entry, batch)

    def handle_failed_batch(self, batch: ProducerBatch, error: Error, adjust_sequences: bool) -> None:
        """WHEN a batch failed for good; THEN its sequence is a gap, unless nobody knows (`adjust_sequences` False)."""
        self._remove_in_flight(self._entry(batch.partition), batch)
        if error is Error.OUT_OF_ORDER_SEQUENCE_NUMBER or adjust_sequences:
            self._request_epoch_bump(batch.partition)

    def can_retry(self, batch: ProducerBatch, error: Error) -> bool:
        """Whether an idempotent batch may be sent again; may ask for an epoch bump first."""
        if error is Error.UNKNOWN_PRODUCER_ID:
            if not batch.sequence_has_been_reset:
                self._request_epoch_bump(batch.partition)
            return True
        if error is Error.OUT_OF_ORDER_SEQUENCE_NUMBER:
            unresolved = self._unresolved.get(batch.partition)
            is_next = batch.base_sequence - self._entry(batch.partition).last_acked_sequence == 1
            if unresolved is None and (batch.sequence_has_been_reset or not is_next):
                return True
            if unresolved is None or unresolved == batch.base_sequence:
                self._request_epoch_bump(batch.partition)
            return True
        return error.retriable

    def mark_sequence_unresolved(self, batch: ProducerBatch) -> None:
        """WHEN a batch that had been sent before expired; THEN nothing new is sent to its partition until its fate is known."""
        self.settled = False
        following = (_last_sequence(batch) + 1) % SEQUENCE_SPACE
        self._unresolved[batch.partition] = max(self._unresolved.get(batch.partition, 0), following)

    # ------------------------------------------------------------------------------------------------ recovery (KIP-360)

    def resolve(self) -> bool:
        """WHEN the sender takes a turn; THEN settle unresolved sequences, and bump the epoch if one is a gap. Returns: bumped.

        maybeResolveSequences, bumpIdempotentEpochAndResetIdIfNeeded. The bump is local: the broker takes a higher epoch
        with sequence 0 for what it is.
        """
        if self._unresolved:
            self._settle_unresolved()
        if not self._epoch_bump_required:
            self.settled = self.producer_id != NO_PRODUCER_ID and not self._unresolved
            return False
        if self.producer_epoch >= EPOCH_MAX:
            self.producer_id, self.producer_epoch = NO_PRODUCER_ID, -1
        else:
            self.producer_epoch += 1
        for partition in self._partitions_to_rewrite:
            self._start_sequences_at_beginning(self._entry(partition))
            self._unresolved.pop(partition, None)
        self._partitions_to_rewrite.clear()
        self._epoch_bump_required = False
        return True

    def _settle_unresolved(self) -> None:
        """WHEN nothing is in flight any more for a partition in doubt; THEN either later batches got through, or there is a gap."""
        for partition in list(self._unresolved):
            entry = self._entry(partition)
            if not entry.in_flight:
                if entry.next_sequence - entry.last_acked_sequence != 1:
                    self._request_epoch_bump(partition)
                del self._unresolved[partition]

    def _request_epoch_bump(self, partition: TopicPartition) -> None:
        self.settled = False
        self._epoch_bump_required = True
        self._partitions_to_rewrite[partition] = None

    def _start_sequences_at_beginning(self, entry: PartitionEntry) -> None:
        """New id or epoch: number the batches in flight or in retry from 0. A copy already on the wire keeps its old numbers."""
        sequence = 0
        for batch in entry.in_flight:
            batch.set_producer_state(self.producer_id, self.producer_epoch, sequence)
            batch.sequence_has_been_reset = True
            sequence += batch.count
        entry.producer_id = self.producer_id
        entry.producer_epoch = self.producer_epoch
        entry.next_sequence = sequence
        entry.last_acked_sequence = NO_SEQUENCE

    def _remove_in_flight(self, entry: PartitionEntry, batch: ProducerBatch) -> None:
        if batch in entry.in_flight:
            entry.in_flight.remove(batch)

    def _entry(self, partition: TopicPartition) -> PartitionEntry:
        entry = self._entries.get(partition)
        if entry is None:
            entry = self._entries[partition] = PartitionEntry()
        return entry


def _last_sequence(batch: ProducerBatch) -> int:
    return (batch.base_sequence + batch.count - 1) % SEQUENCE_SPACE
