"""A broker's own replica of a partition: what it answers to readers, and what it does with what it fetched as a follower.

In Kafka these are parts of kafka.cluster.Partition and of UnifiedLog (the high watermark). Here they stand by themselves, since
leader and follower share them. What only a leader does is in partition.py.
"""

from __future__ import annotations

from typing import NamedTuple

from kafkasim.protocol.errors import NO_ERROR, Error
from kafkasim.protocol.leader_epoch import UNDEFINED
from kafkasim.protocol.log import Log
from kafkasim.protocol.log_retention import delete_old_segments
from kafkasim.protocol.messages import FetchedPartition, FetchPartition
from kafkasim.protocol.node import Trace
from kafkasim.protocol.records import LogBatch, TopicPartition
from kafkasim.protocol.truncation import diverging_epoch, truncation_offset
from kafkasim.protocol.truncation_policy import KIP_595, TruncationPolicy

NO_LEADER = -1
EARLIEST_TIMESTAMP = -2
LATEST_TIMESTAMP = -1
CONSUMER = -1  # as a replica id


class HighWatermarkMoved(NamedTuple):
    """On this `broker`, be it leader or follower."""

    partition: TopicPartition
    broker: int
    from_offset: int
    to_offset: int
    is_leader: bool


class Truncated(NamedTuple):
    """`broker` cut its log from `from_offset` (the old end) to `to_offset`; `removed` is what went."""

    partition: TopicPartition
    broker: int
    from_offset: int
    to_offset: int
    removed: tuple[LogBatch, ...]


class SegmentsDeleted(NamedTuple):
    """Retention has deleted what `broker` had from `from_offset` on, up to `to_offset`, where its log begins now."""

    partition: TopicPartition
    broker: int
    from_offset: int
    to_offset: int
    is_leader: bool


class LocalReplica:
    """`log` is on the broker's disk; all the rest is memory, and begins anew with the process.

    `leader` is -1 while there is none, or none is known. The high watermark begins where the last checkpoint was.
    """

    __slots__ = (
        "_nothing_read",
        "_readers",
        "_tells_leader",
        "_trace",
        "_truncation",
        "broker_id",
        "high_watermark",
        "is_leader",
        "leader",
        "leader_epoch",
        "leader_epoch_start_offset",
        "log",
        "partition",
        "partition_epoch",
        "replicas",
    )

    def __init__(
        self,
        partition: TopicPartition,
        broker_id: int,
        log: Log,
        trace: Trace | None,
        truncation: TruncationPolicy = KIP_595,
        tells_leader: bool = True,
    ) -> None:
        log.load()
        self.partition = partition
        self.broker_id = broker_id
        self.log = log
        self.high_watermark = max(log.log_start_offset, min(log.high_watermark_checkpoint, log.log_end_offset))
        self.leader = NO_LEADER
        self.is_leader = False
        self.leader_epoch = -1
        self.leader_epoch_start_offset = -1
        self.partition_epoch = 0
        self.replicas: tuple[int, ...] = ()
        self._trace = trace
        self._truncation = truncation
        self._tells_leader = tells_leader  # Behaviours.errors_name_the_leader
        # Whom assignment and leadership let read here (see _check_fetcher): consumers always, and while this broker leads, the replicas.
        # make_leader and make_follower keep it.
        self._readers: tuple[int, ...] = (CONSUMER,)
        self._nothing_read = FetchedPartition(partition, NO_ERROR, -1, -1)  # what nothing_read() last said

    # ------------------------------------------------------------------------------------------------ answering a fetch

    def read_for_fetch(self, fetch: FetchPartition, replica_id: int, read_committed: bool) -> FetchedPartition:  # noqa: ARG002 - see Simplified
        """WHO: the leader (for a consumer any replica, KIP-392), WHEN somebody fetches. THEN: batches, or where logs part, or an error.

        A follower reads to the log end, a consumer to the high watermark; the high watermark told is the one before this fetch counts.
        Simplified: without transactions the last stable offset is the high watermark, and `read_committed` makes no difference.
        """
        _, offset, current_leader_epoch, last_fetched_epoch, max_bytes = fetch
        log = self.log
        log_end_offset, log_start_offset, high_watermark = log.log_end_offset, log.log_start_offset, self.high_watermark
        if current_leader_epoch != self.leader_epoch or replica_id not in self._readers:
            error = self._check_fetcher(current_leader_epoch, replica_id)
            if error is not NO_ERROR:
                if not self._tells_leader:
                    return FetchedPartition(self.partition, error, -1, -1)
                return FetchedPartition(
                    self.partition, error, -1, -1, current_leader=self.leader, current_leader_epoch=self.leader_epoch
                )  # KIP-951
        if offset < log_start_offset:
            return self._offset_out_of_range()
        # A reader whose last record is of our latest epoch needs no look-up: that epoch ends where our log does.
        if last_fetched_epoch >= 0 and (last_fetched_epoch != log.leader_epochs.latest_epoch or offset > log_end_offset):
            end = log.end_offset_for_epoch(last_fetched_epoch)
            if end is UNDEFINED:
                return self._offset_out_of_range()
            if diverging_epoch(end, last_fetched_epoch, offset):
                return FetchedPartition(self.partition, NO_ERROR, high_watermark, log_start_offset, (), *end)
        if offset > log_end_offset:
            return self._offset_out_of_range()
        max_offset = log_end_offset if replica_id >= 0 else high_watermark
        batches = log.read(offset, max_offset, max_bytes) if offset < max_offset else ()
        return FetchedPartition(self.partition, NO_ERROR, high_watermark, log_start_offset, batches)

    def nothing_to_read(self, fetch: FetchPartition, replica_id: int) -> bool:
        """Whether `read_for_fetch` is certain to find nothing: no batch, no error, no divergence. True for a reader that has kept up."""
        _, offset, current_leader_epoch, last_fetched_epoch, _ = fetch
        log = self.log
        return (
            offset == (log.log_end_offset if replica_id >= 0 else self.high_watermark)
            and current_leader_epoch == self.leader_epoch
            and (last_fetched_epoch < 0 or last_fetched_epoch == log.leader_epochs.latest_epoch)
            and replica_id in self._readers
        )

    def nothing_read(self) -> FetchedPartition:
        """What `read_for_fetch` answers where `nothing_to_read` is true. A value, so the same object serves again and again."""
        nothing = self._nothing_read
        if nothing.high_watermark != self.high_watermark or nothing.log_start_offset != self.log.log_start_offset:
            nothing = FetchedPartition(self.partition, NO_ERROR, self.high_watermark, self.log.log_start_offset)
            self._nothing_read = nothing
        return nothing

    def available_end_offset(self, replica_id: int) -> int:
        """How far `replica_id` may read, exclusive: a follower to the log end, a consumer (-1) to the high watermark."""
        return self.log.log_end_offset if replica_id >= 0 else self.high_watermark

    def last_offset_for_leader_epoch(
        self, current_leader_epoch: int, leader_epoch: int, replica_id: int = CONSUMER
    ) -> tuple[Error, int, int]:
        """WHO: the leader, asked (OffsetsForLeaderEpoch) where `leader_epoch` ended: (error, epoch, end offset), -1 where unknown.

        A follower is answered as its generation of the protocol has it.
        """
        error = self._check_leader_epoch(current_leader_epoch)
        if error is Error.NONE and not self.is_leader:
            error = Error.NOT_LEADER_OR_FOLLOWER
        if error is not Error.NONE:
            return (error, *UNDEFINED)
        is_follower = replica_id >= 0
        end = self._truncation.end_of_epoch(self.log, leader_epoch) if is_follower else self.log.end_offset_for_epoch(leader_epoch)
        return (error, *end)

    def fetch_offset_for_timestamp(self, timestamp: float) -> tuple[Error, int, int]:
        """WHO: the leader, asked by a consumer (ListOffsets) for -1 latest, -2 earliest or a time: (error, offset, leader epoch).

        KIP-207: a new leader whose high watermark has not yet passed the start of its epoch does not know the latest offset.
        """
        if not self.is_leader:
            return Error.NOT_LEADER_OR_FOLLOWER, -1, -1
        lagging = self.leader_epoch_start_offset > self.high_watermark
        if timestamp == EARLIEST_TIMESTAMP:
            start = self.log.log_start_offset
            return Error.NONE, start, self.log.leader_epochs.epoch_for_offset(start)
        if timestamp == LATEST_TIMESTAMP:
            return (Error.OFFSET_NOT_AVAILABLE, -1, -1) if lagging else (Error.NONE, self.high_watermark, self.leader_epoch)
        offset = self.log.offset_for_timestamp(timestamp)
        if 0 <= offset < self.high_watermark:
            return Error.NONE, offset, self.log.leader_epochs.epoch_for_offset(offset)
        return (Error.OFFSET_NOT_AVAILABLE if lagging else Error.NONE), -1, -1

    # ------------------------------------------------------------------------------------------------ the follower

    def append_records_to_follower(self, fetched: FetchedPartition, now: float) -> bool:
        """WHO: a follower, WHEN its leader answered a fetch from its log end. THEN: append; the high watermark is the leader's.

        That may be lower than the one known before: a new leader's lags. It is never above what this replica has. True if there is news.
        """
        log = self.log
        batches, high_watermark = fetched.batches, fetched.high_watermark
        for log_batch in batches:
            log.append_as_follower(log_batch, now)
        if high_watermark > log.log_end_offset:  # noqa: PLR1730 - mostly it is not, and a min() costs three times as much
            high_watermark = log.log_end_offset
        before = self.high_watermark
        if high_watermark != before:
            self._move_high_watermark(max(high_watermark, log.log_start_offset))
        if fetched.log_start_offset > log.log_start_offset:
            log.increment_log_start_offset(min(fetched.log_start_offset, self.high_watermark))
        return bool(batches) or self.high_watermark != before

    def truncate_for_divergence(self, fetched: FetchedPartition) -> None:
        """WHO: a follower, WHEN its leader says that the logs part. THEN: cut, and fetch again from the new end (truncation.py)."""
        self.truncate_to(truncation_offset(self.log, fetched.diverging_epoch, fetched.diverging_end_offset))

    def truncate_to(self, offset: int) -> None:
        """WHO: a follower. THEN: what lies from `offset` on is gone, and the high watermark is not above the new end."""
        from_offset = self.log.log_end_offset
        removed = self.log.truncate_to(offset)
        if removed and self._trace is not None:
            self._trace(Truncated(self.partition, self.broker_id, from_offset, self.log.log_end_offset, removed))
        if self.high_watermark > self.log.log_end_offset:
            self._move_high_watermark(self.log.log_end_offset)

    def truncate_fully_and_start_at(self, offset: int) -> None:
        """WHO: a follower that ends below its leader's log start (retention was faster). THEN: throw all away, begin there."""
        from_offset = self.log.log_end_offset
        removed = self.log.truncate_fully_and_start_at(offset)
        if self._trace is not None:
            self._trace(Truncated(self.partition, self.broker_id, from_offset, offset, removed))
        self._move_high_watermark(offset)

    # ------------------------------------------------------------------------------------------------ retention

    def delete_old_segments(self, now: float) -> None:
        """WHO: leader and follower, each for itself, WHEN the task kafka-log-retention runs. THEN: see log_retention.py."""
        removed = delete_old_segments(self.log, self.high_watermark, now)
        if removed and self._trace is not None:
            self._trace(SegmentsDeleted(self.partition, self.broker_id, removed[0].base_offset, self.log.log_start_offset, self.is_leader))

    # ------------------------------------------------------------------------------------------------ helpers

    def _move_high_watermark(self, to_offset: int) -> None:
        """On a follower it may go back; the leader's callers see to it that it does not."""
        if self._trace is not None:
            self._trace(HighWatermarkMoved(self.partition, self.broker_id, self.high_watermark, to_offset, self.is_leader))
        self.high_watermark = to_offset

    def _check_leader_epoch(self, current_leader_epoch: int) -> Error:
        """KIP-320: the asker's idea of the leader epoch against ours; -1 is not checked."""
        if current_leader_epoch in (-1, self.leader_epoch):
            return Error.NONE
        return Error.FENCED_LEADER_EPOCH if current_leader_epoch < self.leader_epoch else Error.UNKNOWN_LEADER_EPOCH

    def _check_fetcher(self, current_leader_epoch: int, replica_id: int) -> Error:
        """May this reader read here? A follower reads from the leader alone, and must be one of its replicas."""
        error = self._check_leader_epoch(current_leader_epoch)
        if error is not Error.NONE or replica_id < 0:
            return error
        if not self.is_leader:
            return Error.NOT_LEADER_OR_FOLLOWER
        return Error.NONE if replica_id in self.replicas else Error.UNKNOWN_LEADER_EPOCH

    def _offset_out_of_range(self) -> FetchedPartition:
        return FetchedPartition(self.partition, Error.OFFSET_OUT_OF_RANGE, -1, -1)
