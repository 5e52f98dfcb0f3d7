"""What a replica knows of each producer that writes with sequence numbers: how the broker tells a retry from a new batch.

In Kafka: ProducerStateManager, ProducerStateEntry, ProducerAppendInfo (KIP-98 idempotence, KIP-360). The state is a function of
the log, so every replica has it, and a new leader recognises the retry of a batch that the old leader appended.
Simplified: without transactions there are no control batches, no verification and no ongoing transactions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from kafkasim.protocol.errors import NO_ERROR, Error
from kafkasim.protocol.records import LogBatch, RecordBatch

# ProducerStateEntry.NUM_BATCHES_TO_RETAIN. It is why max.in.flight.requests.per.connection may not exceed five with idempotence:
# of a producer's batches in flight, the broker must remember all that may come again.
NUM_BATCHES_TO_RETAIN = 5

# Sequence numbers are int32 and wrap from 2147483647 to 0 (DefaultRecordBatch.incrementSequence).
_SEQUENCE_MASK = 0x7FFFFFFF


class ProducerStateEntry:
    """One producer id in one partition: its epoch and its last five batches in that epoch, oldest first."""

    __slots__ = ("batches", "last_timestamp", "next_sequence", "producer_epoch")

    def __init__(self, producer_epoch: int) -> None:
        self.producer_epoch = producer_epoch
        self.batches: deque[LogBatch] = deque(maxlen=NUM_BATCHES_TO_RETAIN)
        self.next_sequence = 0
        self.last_timestamp = 0.0


class ProducerStateManager:
    """All producers of one partition, as one replica knows them."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[int, ProducerStateEntry] = {}

    def entry(self, producer_id: int) -> ProducerStateEntry | None:
        """What is known of `producer_id`, None where it is new or forgotten."""
        return self._entries.get(producer_id)

    def find_duplicate_batch(self, batch: RecordBatch) -> LogBatch | None:
        """The retained batch with exactly this epoch and range of sequence numbers: `batch` is its retry."""
        entry = self._entries.get(batch.producer_id)
        if entry is None or entry.producer_epoch != batch.producer_epoch or entry.next_sequence == batch.base_sequence:
            return None
        count = batch.count
        for appended in entry.batches:
            if appended.batch.base_sequence == batch.base_sequence and appended.next_offset - appended.base_offset == count:
                return appended
        return None

    def check_append(self, batch: RecordBatch) -> Error:
        """WHO: a leader, WHEN a producer's batch is no retained duplicate. THEN: is it the next one? (ProducerAppendInfo.checkSequence)

        A producer without state may begin at any sequence number: its earlier batches may have been removed by retention (KIP-360).
        A new epoch begins at 0. A retry older than the last five batches looks like any other gap: OUT_OF_ORDER_SEQUENCE_NUMBER.
        """
        entry = self._entries.get(batch.producer_id)
        if entry is None:
            return NO_ERROR
        if batch.producer_epoch < entry.producer_epoch:
            return Error.INVALID_PRODUCER_EPOCH
        expected = entry.next_sequence if batch.producer_epoch == entry.producer_epoch else 0
        return NO_ERROR if batch.base_sequence == expected else Error.OUT_OF_ORDER_SEQUENCE_NUMBER

    def update(self, log_batch: LogBatch) -> None:
        """WHO: leader and follower alike, WHEN a batch with a producer id was appended. THEN: it is the producer's last one."""
        base_offset, next_offset, _, batch, _ = log_batch
        entry = self._entries.get(batch.producer_id)
        if entry is None:
            entry = self._entries[batch.producer_id] = ProducerStateEntry(batch.producer_epoch)
        elif entry.producer_epoch != batch.producer_epoch:
            entry.producer_epoch = batch.producer_epoch
            entry.batches.clear()
        entry.batches.append(log_batch)
        entry.next_sequence = (batch.base_sequence + next_offset - base_offset) & _SEQUENCE_MASK
        entry.last_timestamp = batch.created

    def truncate_from_end(self, end_offset: int, batches: Sequence[LogBatch]) -> None:
        """WHEN the log was cut to `end_offset`, leaving `batches`. THEN: producers that lost something are read anew from the log.

        Simplified: Kafka reads from its last snapshot, which holds only the newest batch of each producer, and after a clean
        restart recognises only that one as a duplicate; here the last five are found again in the log.
        """
        cut = [producer_id for producer_id, entry in self._entries.items() if entry.batches[-1].next_offset > end_offset]
        if not cut:
            return
        for producer_id in cut:
            del self._entries[producer_id]
        for log_batch in reversed(_last_batches(cut, batches)):
            self.update(log_batch)

    def remove_expired(self, now: float, producer_id_expiration_ms: float) -> None:
        """WHO: every replica, WHEN its periodic check runs. THEN: producers silent for producer.id.expiration.ms are forgotten."""
        expired = [key for key, entry in self._entries.items() if now - entry.last_timestamp >= producer_id_expiration_ms]
        for producer_id in expired:
            del self._entries[producer_id]

    def clear(self) -> None:
        """WHEN the whole log was thrown away."""
        self._entries.clear()


def _last_batches(producer_ids: Sequence[int], batches: Sequence[LogBatch]) -> list[LogBatch]:
    """Newest first: the last five batches of each of `producer_ids`. The walk ends as soon as all are complete."""
    missing = dict.fromkeys(producer_ids, NUM_BATCHES_TO_RETAIN)
    found = []
    for log_batch in reversed(batches):
        wanted = missing.get(log_batch.batch.producer_id, 0)
        if not wanted:
            continue
        found.append(log_batch)
        if wanted > 1:
            missing[log_batch.batch.producer_id] = wanted - 1
        else:
            del missing[log_batch.batch.producer_id]
            if not missing:
                break
    return found
