"""One replica's log: batches at consecutive offsets, as they lie on one broker's disk.

In Kafka: UnifiedLog and LocalLog, LogLoader for what happens when a broker opens a log. The object is the disk: it survives a crash
of its broker (page cache kept); only a power loss takes what was not flushed. After one, Kafka reads again all from the checkpointed
recovery point on and keeps what passes its checksum: what was flushed since that checkpoint survives, too, for it lies on the disk.
Its batches are one list; where one segment ends and the next begins is in log_segments.py, and what retention deletes in log_retention.py.
Simplified: no indexes, and nothing is compacted; appending and flushing take no time of their own.
Simplified: reading a log again after an unclean stop takes no time, and leaves the recovery point where the last flush was; Kafka goes
back to the checkpoint (log.flush.offset.checkpoint.interval.ms), and so with flush.messages flushes at the first append.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter

from kafkasim.protocol.config import TopicConfig
from kafkasim.protocol.leader_epoch import EpochEndOffset, LeaderEpochCache
from kafkasim.protocol.log_segments import LogSegments
from kafkasim.protocol.producer_state import ProducerStateManager
from kafkasim.protocol.records import LogBatch, RecordBatch, TopicPartition

_BASE_OFFSET = itemgetter(0)
# A follower that is so far behind is catching up: the age of what it writes on its disk is another than in the leader's log.
_LATE_MS = 1_000.0


class Log:
    """`log_end_offset` is where the next record goes. `recovery_point`: all below it is flushed, and outlives a power loss.

    `high_watermark_checkpoint` is what the file replication-offset-checkpoint says; a restarted broker begins with it.
    `expired` is what this replica's own retention has deleted. Kafka forgets it; it is kept for those who judge a run.
    Leader epochs and producer states are functions of the batches, kept up to date with every append.
    """

    __slots__ = (
        "appends",
        "batches",
        "config",
        "expired",
        "high_watermark_checkpoint",
        "last_flush_time",
        "late_writes",
        "leader_epochs",
        "log_end_offset",
        "log_start_offset",
        "partition",
        "producers",
        "recovery_point",
        "segments",
    )

    def __init__(self, partition: TopicPartition, config: TopicConfig) -> None:
        self.partition = partition
        self.config = config
        self.batches: list[LogBatch] = []
        self.expired: list[LogBatch] = []
        self.segments = LogSegments()
        self.appends = 0  # batches ever written: what a slow disk has to do
        self.log_start_offset = 0
        self.log_end_offset = 0
        self.recovery_point = 0
        self.last_flush_time = 0.0
        self.high_watermark_checkpoint = 0
        self.late_writes: dict[
            int, float
        ] = {}  # next offset -> when this replica wrote the batch, where that was long after its leader did
        self.leader_epochs = LeaderEpochCache()
        self.producers = ProducerStateManager()

    @property
    def latest_epoch(self) -> int:
        """The newest leader epoch this log knows, -1 if none: what a follower sends as `last_fetched_epoch`."""
        return self.leader_epochs.latest_epoch

    def end_offset_for_epoch(self, epoch: int) -> EpochEndOffset:
        """Where `epoch`, or the largest known epoch below it, ended in this log; (-1, -1) where unknown."""
        return self.leader_epochs.end_offset_for(epoch, self.log_end_offset)

    def append_as_leader(self, batch: RecordBatch, leader_epoch: int, now: float) -> LogBatch:
        """WHO: the leader, having checked `batch`. THEN: it gets the next offsets and the leader's epoch."""
        base_offset = self.log_end_offset
        log_batch = LogBatch(base_offset, base_offset + batch.count, leader_epoch, batch, now)
        self._append(log_batch, now)
        return log_batch

    def append_as_follower(self, log_batch: LogBatch, now: float) -> None:
        """WHO: a follower. THEN: the leader's batch is appended as it is, at the offset that the leader gave it."""
        assert log_batch.base_offset == self.log_end_offset, "a follower fetches from its log end, so the logs have no holes"
        if now - log_batch.appended > _LATE_MS:
            self.late_writes[log_batch.next_offset] = now
        self._append(log_batch, now)

    def read(self, offset: int, max_offset: int, max_bytes: int) -> tuple[LogBatch, ...]:
        """Whole batches from the one that holds `offset`, all below `max_offset`: as many as fit `max_bytes`, but at least one."""
        if offset >= max_offset or offset >= self.log_end_offset:
            return ()
        batches = self.batches
        tail = batches[-1]
        if tail.base_offset <= offset:  # the steady state: a reader that is one batch behind
            return (tail,) if tail.next_offset <= max_offset else ()
        last = len(batches) - 1
        start = end = max(bisect_right(batches, offset, key=_BASE_OFFSET) - 1, 0)
        size = 0
        while end <= last and batches[end].next_offset <= max_offset:
            size += batches[end].batch.size
            if size > max_bytes and end > start:
                break
            end += 1
        return tuple(batches[start:end])

    def offset_for_timestamp(self, timestamp: float) -> int:
        """The first offset whose record is not older than `timestamp`; -1 if there is none.

        Simplified: the time at which a batch was created counts for all its records.
        """
        for log_batch in self.batches:
            if log_batch.batch.created >= timestamp:
                return max(log_batch.base_offset, self.log_start_offset)
        return -1

    def flush(self, now: float) -> None:
        """WHEN flush.messages or flush.ms say so, or at a clean stop. THEN: all that is there outlives a power loss."""
        self.recovery_point = self.log_end_offset
        self.last_flush_time = now

    def written_back(self, before: float) -> int:
        """Up to where (exclusive) this replica wrote its batches at or before that instant."""
        late = self.late_writes
        for log_batch in reversed(self.batches):
            if late.get(log_batch.next_offset, log_batch.appended) <= before:
                return log_batch.next_offset
        return self.log_start_offset

    def truncate_to(self, offset: int) -> tuple[LogBatch, ...]:
        """WHO: a follower whose log parts from its leader's. THEN: everything from `offset` on is gone, and returned.

        A batch that straddles `offset` is removed whole. Epochs that began at the new end are forgotten even where no batch goes: this
        replica may have been leader, begun its epoch at the end of the log, and never written in it.
        A cut below the first segment leaves nothing: the log then begins where the leader's ends.
        """
        if offset < self.segments.segments[0].base_offset:
            return self.truncate_fully_and_start_at(offset)
        batches = self.batches
        keep = len(batches)
        while keep and batches[keep - 1].next_offset > offset:
            keep -= 1
        removed = tuple(batches[keep:])
        if removed:
            self.segments.catch_up(batches, self.config)  # a segment that has begun stays, be it empty after the cut
            del batches[keep:]
            self.log_end_offset = removed[0].base_offset
            self.log_start_offset = min(self.log_start_offset, self.log_end_offset)
            self.recovery_point = min(self.recovery_point, self.log_end_offset)
            self.late_writes = {offset: when for offset, when in self.late_writes.items() if offset <= self.log_end_offset}
            self.producers.truncate_and_reload(self.log_start_offset, self.log_end_offset, batches)
            self.segments.truncate_to(self.log_end_offset)
        self.leader_epochs.truncate_from_end(self.log_end_offset)
        return removed

    def truncate_fully_and_start_at(self, offset: int) -> tuple[LogBatch, ...]:
        """WHO: a follower whose log ends below the start of its leader's. THEN: all is thrown away (and returned)."""
        removed = tuple(self.batches)
        self.batches.clear()
        self.log_start_offset = self.log_end_offset = self.recovery_point = offset
        self.segments.truncate_fully_and_start_at(offset)
        self.late_writes.clear()
        self.leader_epochs.clear()
        self.producers.clear()
        return removed

    def increment_log_start_offset(self, offset: int) -> None:
        """WHO: a leader's retention, and followers after it. THEN: nothing below `offset` can be read any more.

        A follower's batches below it stay on its disk until the follower's own retention comes round.
        """
        if offset <= self.log_start_offset:
            return
        assert offset <= self.log_end_offset, "the start of a log never passes its high watermark, let alone its end"
        self.log_start_offset = offset
        self.leader_epochs.truncate_from_start(offset)
        self.recovery_point = max(self.recovery_point, offset)

    def remove_below(self, offset: int) -> tuple[LogBatch, ...]:
        """WHO: retention (log_retention.py), WHEN segments below `offset` go. THEN: the log begins there; what went is returned.

        What already lay below the start does not count as `expired` here: a leader has moved that, and may have had other records there.
        """
        start = self.log_start_offset
        self.increment_log_start_offset(offset)
        keep = bisect_right(self.batches, offset, key=itemgetter(1))
        removed = tuple(self.batches[:keep])
        del self.batches[:keep]
        self.expired += [log_batch for log_batch in removed if log_batch.base_offset >= start]
        return removed

    def load(self) -> None:
        """WHO: a broker, WHEN it opens the log after a start (LogLoader). THEN: an epoch in which nothing was written is forgotten.

        So are all but the newest batch of each producer.
        """
        self.leader_epochs.truncate_from_end(self.log_end_offset)
        self.producers.load(self.log_end_offset)

    def close(self, now: float) -> None:
        """WHO: a broker that stops cleanly. THEN: everything is flushed, and a snapshot of the producers is written (UnifiedLog.close)."""
        self.flush(now)
        self.producers.take_snapshot(self.log_end_offset)

    def lose_unflushed(self, keep_until: int) -> tuple[LogBatch, ...]:
        """WHEN the power fails. THEN: all from max(`recovery_point`, `keep_until`) on is gone, and returned.

        `keep_until` is how far the operating system happened to write back pages by itself. A batch torn in the middle does not pass
        its checksum in LogLoader's recovery and goes whole. The checkpoint files survive: Kafka syncs them when it writes them.
        A segment is flushed when the next one begins (UnifiedLog.roll). Simplified: at once, where Kafka leaves it to a thread.
        """
        self.segments.catch_up(self.batches, self.config)
        return self.truncate_to(max(self.recovery_point, keep_until, self.segments.active.base_offset))

    def _append(self, log_batch: LogBatch, now: float) -> None:
        """Log, epochs, producer state; flushed when flush.messages records are not."""
        base_offset, next_offset, leader_epoch, batch, _ = log_batch
        if leader_epoch != self.leader_epochs.latest_epoch:
            self.leader_epochs.assign(leader_epoch, base_offset)
        self.batches.append(log_batch)
        self.appends += 1
        self.log_end_offset = next_offset
        if batch.producer_id >= 0:
            self.producers.update(log_batch)
        if next_offset - self.recovery_point >= self.config.flush_messages:
            self.flush(now)
