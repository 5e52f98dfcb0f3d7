"""How a log is cut into segments, the units in which retention deletes.

In Kafka: LogSegments, LogSegment.shouldRoll, UnifiedLog.maybeRoll. A batch goes to the active, that is the last segment, or begins
a new one if the active one would grow beyond `segment.bytes`, or if the batch is younger than the first of the active segment by
more than `segment.ms`. Both depend on nothing but the batches and their own timestamps. So the segments need not be kept up with
every append: they are read off the batches when somebody looks, each batch once, and an append costs nothing.

Simplified: no segment.jitter.ms, and no roll because an index is full. Simplified: a follower looks at every batch for itself; Kafka's
looks once at all that one fetch has brought. Simplified: a batch larger than segment.bytes gets a segment of its own; Kafka refuses it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import inf
from operator import itemgetter

from kafkasim.protocol.config import TopicConfig
from kafkasim.protocol.records import LogBatch

_BASE_OFFSET = itemgetter(0)


class LogSegment:
    """Batches from `base_offset` to where the next segment begins. Times in ms, `size` in bytes; an empty one has no times yet."""

    __slots__ = ("base_offset", "first_timestamp", "largest_timestamp", "size")

    def __init__(self, base_offset: int) -> None:
        self.base_offset = base_offset
        self.first_timestamp = inf
        self.largest_timestamp = -inf
        self.size = 0

    def should_roll(self, size: int, timestamp: float, config: TopicConfig) -> bool:
        """Whether a batch of `size` bytes and this time has no place here any more (LogSegment.shouldRoll)."""
        if self.size > config.segment_bytes - size:
            return self.size > 0
        return self.size > 0 and timestamp - self.first_timestamp > config.segment_ms

    def add(self, size: int, timestamp: float) -> None:
        """A batch was appended."""
        if not self.size:
            self.first_timestamp = timestamp
        self.size += size
        self.largest_timestamp = max(self.largest_timestamp, timestamp)


class LogSegments:
    """The segments of one log, oldest first, at least one; the last is the active one. `end_offset`: how far batches have been read."""

    __slots__ = ("end_offset", "segments")

    def __init__(self) -> None:
        self.segments = [LogSegment(0)]
        self.end_offset = 0

    @property
    def active(self) -> LogSegment:
        """Where the next batch goes, unless it begins a new one."""
        return self.segments[-1]

    def upper_bound(self, index: int) -> int:
        """Where the segment at `index` ends, exclusive: at the base of the next one, or at the end of what was read."""
        return self.segments[index + 1].base_offset if index + 1 < len(self.segments) else self.end_offset

    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self.segments)

    def catch_up(self, batches: Sequence[LogBatch], config: TopicConfig) -> None:
        """Put the batches that were appended since the last look where they belong (UnifiedLog.maybeRoll)."""
        for base_offset, next_offset, _, batch, _ in batches[bisect_left(batches, self.end_offset, key=_BASE_OFFSET) :]:
            if self.active.should_roll(batch.size, batch.created, config):
                self.segments.append(LogSegment(base_offset))
            self.active.add(batch.size, batch.created)
            self.end_offset = next_offset

    def roll(self) -> None:
        """Begin a new, empty segment at the end. WHEN the active one is to be deleted: a log always has one."""
        self.segments.append(LogSegment(self.end_offset))

    def remove_first(self, count: int) -> None:
        """Retention deletes the `count` oldest."""
        assert count < len(self.segments), "a log keeps an active segment"
        del self.segments[:count]

    def truncate_to(self, offset: int) -> None:
        """WHEN the log was cut to `offset`. THEN: segments that begin later go, and the one that was cut is read anew at the next look."""
        while len(self.segments) > 1 and self.segments[-1].base_offset > offset:
            self.segments.pop()
        self.restart(min(self.active.base_offset, offset))

    def truncate_fully_and_start_at(self, offset: int) -> None:
        """WHEN the log was thrown away. THEN: one empty segment at `offset`."""
        del self.segments[1:]
        self.restart(offset)

    def restart(self, offset: int) -> None:
        """The active segment begins at `offset`, and has yet to be read."""
        self.segments[-1] = LogSegment(offset)
        self.end_offset = offset
