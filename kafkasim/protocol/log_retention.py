"""Which segments of a log are to be deleted: because they are old, because the log is large, or because its start has passed them.

In Kafka: UnifiedLog.deleteOldSegments, which LogManager's task kafka-log-retention calls for every log of a broker, be it leader or
follower there. Retention deletes by the segment. So records stay longer than retention.ms says, by up to what a segment spans and
up to log.retention.check.interval.ms; and it deletes what is committed only, for the start of a log never passes its high watermark.

Simplified: what is deleted is gone at once; Kafka leaves the files for file.delete.delay.ms, though nobody can read them.
Simplified: the start of a log is on the disk as soon as it moves; Kafka's is in memory, between two rounds of
kafka-log-start-offset-checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from kafkasim.protocol.log import Log
from kafkasim.protocol.log_segments import LogSegment
from kafkasim.protocol.records import LogBatch


def delete_old_segments(log: Log, high_watermark: int, now: float) -> tuple[LogBatch, ...]:
    """WHO: the task of every replica's broker. THEN: what the log must not keep any longer is deleted, and returned.

    In Kafka's order: what the log's start has passed (a follower's moves with its leader's), then by size, then by age.
    """
    log.segments.catch_up(log.batches, log.config)
    removed = _delete(log, high_watermark, lambda _segment, upper_bound: upper_bound <= log.log_start_offset, may_roll=False)
    if log.config.deletes_old_segments:
        removed += _by_size(log, high_watermark) + _by_age(log, high_watermark, now)
    return removed


def first_expiry(log: Log, now: float) -> float:
    """The earliest instant at which `delete_old_segments` may find something; infinite if it never will, as things stand.

    It may turn out too early, never too late: nothing that is yet to come can expire before `now` + retention.ms.
    """
    config = log.config
    if log.segments.segments[0].base_offset < log.log_start_offset:
        return now
    if not config.deletes_old_segments:
        return inf
    if config.retention_bytes >= 0:
        return now
    log.segments.catch_up(log.batches, log.config)
    oldest = log.segments.segments[0]
    return (oldest.largest_timestamp if oldest.size else now) + config.retention_ms if config.retention_ms >= 0 else inf


def _by_size(log: Log, high_watermark: int) -> tuple[LogBatch, ...]:
    """deleteRetentionSizeBreachedSegments: the oldest go, as long as at least retention.bytes stay."""
    retention_bytes = log.config.retention_bytes
    if retention_bytes < 0:
        return ()
    excess = log.segments.size() - retention_bytes

    def breached(segment: LogSegment, _upper_bound: int) -> bool:
        nonlocal excess
        excess -= segment.size
        return excess >= 0

    return _delete(log, high_watermark, breached)


def _by_age(log: Log, high_watermark: int, now: float) -> tuple[LogBatch, ...]:
    """deleteRetentionMsBreachedSegments: a segment is as old as its youngest record, by the time that the producer gave it."""
    retention_ms = log.config.retention_ms
    if retention_ms < 0:
        return ()
    return _delete(log, high_watermark, lambda segment, _upper_bound: now - segment.largest_timestamp > retention_ms)


def _delete(log: Log, high_watermark: int, breached: Callable[[LogSegment, int], bool], may_roll: bool = True) -> tuple[LogBatch, ...]:
    """deletableSegments and deleteSegments: from the oldest on, as long as they are breached and all below the high watermark.

    WHEN all of them are to go, THEN a new segment is begun first, empty. An active segment that is empty stays.
    """
    segments = log.segments
    count = 0
    for index, segment in enumerate(segments.segments):
        is_active = segment is segments.active
        if (is_active and not (segment.size and may_roll)) or segments.upper_bound(index) > high_watermark:
            break
        if not breached(segment, segments.upper_bound(index)):
            break
        count += 1
    if not count:
        return ()
    if count == len(segments.segments):
        segments.roll()
    segments.remove_first(count)
    return log.remove_below(segments.segments[0].base_offset)
