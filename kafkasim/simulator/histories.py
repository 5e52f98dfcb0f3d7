"""What nobody in Kafka sees: the whole history of one partition, over all its replicas and all leader epochs.

`History` remembers who wrote a batch first, who led which epoch, and the committed prefix: the batches that lay below a high watermark
of a leader. TLA+ models have such variables too: "auxiliary" ones, which no action reads and all invariants do (Vanlightly's kraft/kip-966
keeps the true high watermark in one).
"""

from __future__ import annotations

from bisect import bisect_left
from operator import itemgetter
from typing import NamedTuple

from kafkasim.protocol.log import Log
from kafkasim.protocol.records import LogBatch, TopicPartition

_BASE_OFFSET = itemgetter(0)
NOBODY = -1


class Committed(NamedTuple):
    """A batch below the true high watermark, and the epoch of the leader whose high watermark first passed it."""

    batch: LogBatch
    by_epoch: int


def batch_at(log: Log, base_offset: int) -> LogBatch | None:
    """The batch that begins at `base_offset` in this log."""
    place = bisect_left(log.batches, base_offset, key=_BASE_OFFSET)
    return log.batches[place] if place < len(log.batches) and log.batches[place].base_offset == base_offset else None


def show(batch: LogBatch | None) -> str:
    """In the sentence of a violation."""
    if batch is None:
        return "nothing"
    return f"offsets {batch.base_offset}..{batch.next_offset - 1} of epoch {batch.leader_epoch}"


def same(one: LogBatch | None, other: LogBatch) -> bool:
    """The same batch at the same place, written in the same leader epoch (each replica stamps its own time of appending)."""
    return one is not None and one.base_offset == other.base_offset and one.leader_epoch == other.leader_epoch and one.batch is other.batch


class History:
    """One partition. `high_watermark` is the true one: the highest of all leaders', where none was elected uncleanly since.

    `given_up`: batches, by (leader epoch, base offset), that were committed and may go, since an election was unclean; what such an
    election breaks is promised to nobody. `unclean_epoch` is the newest epoch that began like that: leaders of older ones count no more.
    """

    __slots__ = ("_by_base", "committed", "given_up", "high_watermark", "leaders", "log_start", "partition", "unclean_epoch", "writers")

    def __init__(self, partition: TopicPartition) -> None:
        self.partition = partition
        self.high_watermark = 0
        self.log_start = 0  # the highest of any leader's: what lies below has expired, and nobody needs to have it
        self.unclean_epoch = NOBODY
        self.committed: list[Committed] = []
        self.given_up: set[tuple[int, int]] = set()
        self.leaders: dict[int, int] = {}  # leader epoch -> the broker that leads in it
        self.writers: dict[tuple[int, int], tuple[LogBatch, LogBatch | None]] = {}  # (epoch, base offset) -> the batch and the one before
        self._by_base: dict[int, LogBatch] = {}

    def is_committed(self, batch: LogBatch) -> bool:
        """Whether exactly this batch lies below the true high watermark."""
        return same(self._by_base.get(batch.base_offset), batch)

    def is_given_up(self, batch: LogBatch) -> bool:
        """Whether it was committed by a leader whose word counts no more."""
        return (batch.leader_epoch, batch.base_offset) in self.given_up

    def expire_below(self, log_start: int) -> None:
        """A leader's retention moved the start of its log."""
        self.log_start = max(self.log_start, log_start)

    def tail(self, before_epoch: int | None = None) -> LogBatch | None:
        """The last committed batch: by logs' matching, whoever has it has all below. With an epoch: of what older leaders committed."""
        for batch, by_epoch in reversed(self.committed):
            if before_epoch is None or by_epoch < before_epoch:
                return batch
        return None

    def held_by(self, log: Log | None, before_epoch: int | None = None) -> bool:
        """Whether this log has everything committed, or its retention has already removed it."""
        tail = self.tail(before_epoch)
        if tail is None or tail.next_offset <= self.log_start:
            return True
        if log is None:
            return False
        return log.log_start_offset >= tail.next_offset or same(batch_at(log, tail.base_offset), tail)

    def has_expired(self, batch: LogBatch) -> bool:
        """Whether it lies where retention has removed what was committed."""
        return batch.next_offset <= self.log_start

    def commit(self, log: Log, high_watermark: int, leader_epoch: int) -> LogBatch | None:
        """A leader's high watermark moved up: take over what it commits anew. The committed batch that its log lacks, if there is one."""
        if not self.held_by(log):
            return self.tail()
        place = bisect_left(log.batches, self.high_watermark, key=_BASE_OFFSET)
        for batch in log.batches[place:]:
            if batch.next_offset > high_watermark:
                break
            self.committed.append(Committed(batch, leader_epoch))
            self._by_base[batch.base_offset] = batch
        self.high_watermark = max(self.high_watermark, high_watermark)
        return None

    def contradicts(self, log: Log, high_watermark: int) -> LogBatch | None:
        """The batch just below a leader's high watermark, where it is not the one that was committed there."""
        place = bisect_left(log.batches, high_watermark, key=_BASE_OFFSET)
        if not place or high_watermark > self.high_watermark:
            return None
        below = log.batches[place - 1]
        return None if below.next_offset > high_watermark or self.has_expired(below) or self.is_committed(below) else below

    def give_up(self, log: Log | None, leader_epoch: int) -> int:
        """An unclean leader was elected: only what its log has stays committed. The number of batches that are given up.

        Retention counts anew, too: this leader's log may end below the offset up to which the old one's had expired.
        """
        self.unclean_epoch = leader_epoch
        self.log_start = min(self.log_start, 0 if log is None else log.log_start_offset)
        count = 0
        while self.committed and not self.held_by(log):
            batch, _ = self.committed.pop()
            del self._by_base[batch.base_offset]
            self.given_up.add((batch.leader_epoch, batch.base_offset))
            count += 1
        self.high_watermark = self.committed[-1].batch.next_offset if self.committed else 0
        return count

    def disown(self, log: Log, from_offset: int, to_offset: int) -> None:
        """A leader from before an unclean election shows what lies between its old and its new high watermark: nobody answers for it."""
        place = bisect_left(log.batches, from_offset, key=_BASE_OFFSET)
        for batch in log.batches[place:]:
            if batch.base_offset >= to_offset:
                return
            if not self.is_committed(batch):
                self.given_up.add((batch.leader_epoch, batch.base_offset))


class Seen:
    """One replica as it was when its broker last acted. `batches` is a copy of its log, `sequences` what producers wrote in it."""

    __slots__ = ("batches", "high_watermark", "is_leader", "leader_epoch", "log", "partition_epoch", "proposed", "sequences", "state")

    def __init__(self) -> None:
        self.state: tuple[object, ...] = ()
        self.log: Log | None = None
        self.batches: list[LogBatch] = []
        self.sequences: set[tuple[int, int, int]] = set()
        self.process_ended()

    def process_ended(self) -> None:
        """What only a process knows begins anew."""
        self.state = ()
        self.high_watermark = -1
        self.is_leader = False
        self.leader_epoch = -1
        self.partition_epoch = -1
        self.proposed: tuple[int, ...] = ()  # whom it wanted in the ISR since the partition epoch it knows
