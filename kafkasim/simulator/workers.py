"""Worker threads in simulated time, and the flag store's steps around each record. One record a thread at a time.

`newFixedThreadPool`: the queue has no bound, records are taken in order, and they finish when they finish.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kafkasim.protocol.calls import PolledSlice
from kafkasim.protocol.node import Random
from kafkasim.protocol.records import TopicPartition
from kafkasim.workload import HANDLE, Effect, EffectAndMark, Finished, Lookup, Loop, Mark

if TYPE_CHECKING:
    from kafkasim.simulator.consuming import Desk


class Workers:
    """`threads` workers. With more than one, a record takes 0.5 to 1.5 times `processing.ms`, so that they finish out of order."""

    def __init__(self, desk: Desk, threads: int, handled: Callable[[PolledSlice, float, bool], None], random: Random) -> None:
        self._desk = desk
        self._handled = handled
        self._random = random
        self._spread = threads > 1
        self._free = threads
        self._queue: deque[PolledSlice] = deque()
        self._busy: list[tuple[float, int, _Task]] = []  # heap: when the current step of a task ends
        self._serial = 0
        self._tracks: dict[TopicPartition, _Track] = {}

    @property
    def idle(self) -> bool:
        """Nothing queued, nothing under way."""
        return not self._queue and not self._busy

    def next_due(self) -> float | None:
        """When the next step of some task ends."""
        return self._busy[0][0] if self._busy else None

    def give(self, records: Sequence[PolledSlice], now: float) -> None:
        """Queue every record, and let free threads begin."""
        for whole in records:
            track = self._tracks.setdefault(whole.partition, _Track(whole.base_offset))
            track.given = max(track.given, whole.base_offset + len(whole.numbers))
            for index, _ in enumerate(whole.numbers):
                self._queue.append(
                    PolledSlice(whole.partition, whole.base_offset + index, whole.producer, whole.numbers[index : index + 1])
                )
        self._begin(now)

    def run(self, now: float) -> None:
        """End every step that is due."""
        while self._busy and self._busy[0][0] <= now:
            due, _, task = heapq.heappop(self._busy)
            self._advance(task, self._done(task, due), due)
            self._begin(due)

    def offsets(self, upto: Finished) -> list[tuple[TopicPartition, int]]:
        """What `worker.commit` commits: the end of all polled, one past the highest finished, or up to the first unfinished."""
        pick: dict[str, Callable[[_Track], int]] = {
            "polled": lambda track: track.given,
            "highest-finished": lambda track: track.highest,
            "lowest-contiguous": lambda track: track.contiguous,
        }
        chosen = ((partition, track, pick[upto](track)) for partition, track in self._tracks.items())
        return [(partition, offset) for partition, track, offset in chosen if offset > track.base]

    def forget(self, partitions: Sequence[TopicPartition]) -> None:
        """Revoked: no more commits for them. What is queued is handled all the same, as threads do."""
        for partition in partitions:
            self._tracks.pop(partition, None)

    def shift(self, paused_ms: float) -> None:
        """The process was stopped for a while."""
        self._busy = [(due + paused_ms, serial, task) for due, serial, task in self._busy]

    # ------------------------------------------------------------------------------------------------ steps

    def _begin(self, now: float) -> None:
        while self._free and self._queue:
            self._free -= 1
            record = self._queue.popleft()
            order = self._desk.dedup_order
            loop = HANDLE[order](record) if self._desk.flags is not None else _plain(record)
            self._advance(_Task(record, loop), None, now)

    def _advance(self, task: _Task, answer: object, now: float) -> None:
        """Take the task's next step; without one, the thread is free."""
        try:
            task.step = task.loop.send(answer)
        except StopIteration:
            self._free += 1
            if not task.effect:
                self._handled(task.record, now, False)
            track = self._tracks.get(task.record.partition)
            if track is not None:
                track.finish(task.record.base_offset)
            return
        self._serial += 1
        heapq.heappush(self._busy, (now + self._duration(task.step), self._serial, task))

    def _duration(self, step: object) -> float:
        if isinstance(step, Lookup | Mark):
            return self._desk.dedup_ms
        processing = self._desk.processing_ms * (0.5 + self._random() if self._spread else 1.0)
        return processing + (self._desk.dedup_ms if isinstance(step, EffectAndMark) else 0.0)

    def _done(self, task: _Task, now: float) -> object:
        """The step's end: what it asked of the store or the world has happened now."""
        desk, record, flags = self._desk, task.record, self._desk.flags
        number = record.numbers[0]
        match task.step:
            case Lookup():
                assert flags is not None, "only a flag store is looked up"
                return flags.lookup(desk.group, record.producer, number)
            case Mark():
                assert flags is not None, "only a flag store is marked"
                return flags.mark(desk.group, record.producer, number)
            case EffectAndMark():
                assert flags is not None, "only a flag store has transactions"
                task.effect = flags.handle_and_mark(desk.group, record.producer, number)  # not, where another member was quicker
                if task.effect:
                    self._handled(record, now, True)
            case Effect():
                if flags is not None:
                    flags.effect(desk.group, record.producer, number)
                task.effect = True
                self._handled(record, now, True)
        return None


class _Task:
    """A record on a thread."""

    __slots__ = ("effect", "loop", "record", "step")

    def __init__(self, record: PolledSlice, loop: Loop) -> None:
        self.record = record
        self.loop = loop
        self.step: object = None
        self.effect = False


class _Track:
    """What has been given and finished of one partition, by offset."""

    __slots__ = ("base", "contiguous", "given", "highest", "out_of_order")

    def __init__(self, base: int) -> None:
        self.base = self.given = self.highest = self.contiguous = base
        self.out_of_order: list[int] = []

    def finish(self, offset: int) -> None:
        self.highest = max(self.highest, offset + 1)
        insort(self.out_of_order, offset)
        while self.out_of_order and self.out_of_order[0] <= self.contiguous:
            self.contiguous = max(self.contiguous, self.out_of_order.pop(0) + 1)


def _plain(record: PolledSlice) -> Loop:
    yield Effect(record)
