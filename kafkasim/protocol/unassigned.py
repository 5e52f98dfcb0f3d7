"""Where librdkafka keeps messages whose topic it does not know yet: the unassigned partition (RD_KAFKA_PARTITION_UA).

Java has no such place: its send() waits for metadata. Here a message is accepted, its `message.timeout.ms` runs, and it gets its
partition when metadata arrives.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Container, Sequence
from typing import NamedTuple

from kafkasim.protocol.calls import SendRecords

NEVER = float("inf")


class Unassigned(NamedTuple):
    """What of one SendRecords still waits for a partition: its records from `start` to `stop`."""

    call: SendRecords
    start: int
    stop: int


class UnassignedQueue:
    """Messages without a partition (`waiting`), oldest first."""

    __slots__ = ("_timeout_ms", "waiting")

    def __init__(self, timeout_ms: float) -> None:
        self._timeout_ms = timeout_ms
        self.waiting: deque[Unassigned] = deque()

    def add(self, call: SendRecords, start: int, stop: int) -> None:
        """Keep the records of `call` from `start` to `stop`."""
        self.waiting.append(Unassigned(call, start, stop))

    @property
    def next_expiry(self) -> float:
        """When the oldest message times out."""
        return self.waiting[0].call.times[self.waiting[0].start] + self._timeout_ms if self.waiting else NEVER

    def take_expired(self, now: float) -> list[Sequence[int]]:
        """WHEN message.timeout.ms has passed since a message was handed over; THEN it leaves."""
        expired: list[Sequence[int]] = []
        while self.next_expiry <= now:
            call, start, stop = self.waiting.popleft()
            end = max(bisect_right(call.times, now - self._timeout_ms, start, stop), start + 1)
            expired.append(call.numbers[start:end])
            if end < stop:
                self.waiting.appendleft(Unassigned(call, end, stop))
        return expired

    def take_known(self, topics: Container[str]) -> list[Unassigned]:
        """WHEN metadata has arrived; THEN what is for one of its `topics` leaves, in order, for its partitions."""
        known = [entry for entry in self.waiting if entry.call.topic in topics]
        if known:
            self.waiting = deque(entry for entry in self.waiting if entry.call.topic not in topics)
        return known
