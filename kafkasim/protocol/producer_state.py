"""What a replica knows of each producer that writes with sequence numbers: how the broker tells a retry from a new batch.

In Kafka: ProducerStateManager, ProducerStateEntry, ProducerAppendInfo (KIP-98 idempotence, KIP-360). The state is a function of
the log, so every replica has it, and a new leader recognises the retry of a batch that the old leader appended.

What a process remembers is more than what its disk does: a snapshot file holds only the newest batch of each producer. So a broker that
was restarted knows one batch where it knew five, until it has appended four more; a retry of an older one looks like a gap to it.
Simplified: without transactions there are no control batches, no verification and no ongoing transactions.
Simplified: a snapshot is taken where a log is closed, opened or cut, and not where a segment is full.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

from kafkasim.protocol.errors import NO_ERROR, Error
from kafkasim.protocol.records import LogBatch, RecordBatch

# ProducerStateEntry.NUM_BATCHES_TO_RETAIN. It is why max.in.flight.requests.per.connection may not exceed five with idempotence:
# of a producer's batches in flight, the broker must remember all that may come again.
NUM_BATCHES_TO_RETAIN = 5

# Sequence numbers are int32 and wrap from 2147483647 to 0 (DefaultRecordBatch.incrementSequence).
_SEQUENCE_MASK = 0x7FFFFFFF

_BASE_OFFSET = itemgetter(0)


class ProducerSnapshot(NamedTuple):
    """A .snapshot file: all producers as they were when the log ended at `end_offset`, each with its newest batch only (writeSnapshot)."""

    end_offset: int
    newest: tuple[LogBatch, ...]


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

    __slots__ = ("_entries", "_snapshots")

    def __init__(self) -> None:
        self._entries: dict[int, ProducerStateEntry] = {}
        self._snapshots: list[ProducerSnapshot] = []  # by end offset

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

    def remove_expired(self, now: float, producer_id_expiration_ms: float) -> None:
        """WHO: every replica, WHEN its periodic check runs. THEN: producers silent for producer.id.expiration.ms are forgotten.

        A retry that comes later is the first batch of an unknown producer: it is appended, though it may be in the log already.
        """
        expired = [key for key, entry in self._entries.items() if now - entry.last_timestamp >= producer_id_expiration_ms]
        for producer_id in expired:
            del self._entries[producer_id]

    # ------------------------------------------------------------------------------------------------ snapshots

    def take_snapshot(self, end_offset: int) -> None:
        """WHEN a log is closed by a clean stop, or was read anew up to `end_offset`. THEN: the newest batch of each producer is kept."""
        latest = self._snapshots[-1].end_offset if self._snapshots else 0
        if end_offset > latest:
            self._snapshots.append(ProducerSnapshot(end_offset, tuple([entry.batches[-1] for entry in self._entries.values()])))

    def load(self, end_offset: int) -> None:
        """WHO: a broker that opens a log. THEN: it begins with the snapshot at the log's end, so with one batch of each producer.

        After a clean stop that snapshot is there. After any other, recovery has read the last segment, deleted what snapshots there were
        above its beginning, and written one (LogLoader.recoverSegment); but what is loaded then is again that file.
        Simplified: a producer that is due to be forgotten is loaded, too, and goes at the next check.
        """
        if not self._snapshots or self._snapshots[-1].end_offset != end_offset:
            self._snapshots.clear()
            self.take_snapshot(end_offset)
        for entry in self._entries.values():
            newest = entry.batches[-1]
            entry.batches.clear()
            entry.batches.append(newest)

    def truncate_and_reload(self, log_start_offset: int, end_offset: int, batches: Sequence[LogBatch]) -> None:
        """WHEN a log was cut to `end_offset`, leaving `batches`. THEN: the last snapshot still true, and what was appended after it.

        (truncateAndReload, UnifiedLog.rebuildProducerState.) Where no producer was known before, none is looked for.
        """
        self._snapshots = [snapshot for snapshot in self._snapshots if log_start_offset < snapshot.end_offset <= end_offset]
        if not self._entries:
            return
        self._entries.clear()
        offset = log_start_offset
        if self._snapshots:
            offset, newest = self._snapshots[-1]
            for log_batch in newest:
                self.update(log_batch)
        for log_batch in batches[bisect_left(batches, offset, key=_BASE_OFFSET) :]:
            if log_batch.batch.producer_id >= 0:
                self.update(log_batch)
        self.take_snapshot(end_offset)

    def clear(self) -> None:
        """WHEN the whole log was thrown away."""
        self._entries.clear()
        self._snapshots.clear()
