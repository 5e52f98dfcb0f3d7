"""Who handles records: the gate that all pass, the handling of one (with a flag store's steps around it), and a pool of threads.

`newFixedThreadPool`: the queue has no bound, records are taken in order, and they finish when they finish.
"""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from kafkasim.cluster.specs import ConsumerSpec
from kafkasim.cluster.telling import Parent, guarded
from kafkasim.stores import FlagStore
from kafkasim.workload import HANDLE, Effect, EffectAndMark, Finished, Lookup, Loop, Mark

_STOPPED_S = 0.05  # later than that, a process was stopped (SIGSTOP) or starved: the work takes as long as it would have without


class Record(NamedTuple):
    """One polled record. `producer` is the place of its producer in the scenario."""

    partition: str
    offset: int
    producer: int
    number: int


class Pace:
    """Work that takes its time, by an absolute schedule: what one sleep is late, the next is shorter."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self.begin()

    def begin(self) -> None:
        """The schedule starts now."""
        self._due = time.monotonic()

    def take(self, ms: float) -> None:
        """The next piece of work, of `ms`, begins when the last one ended. Raises Leave when the run ends meanwhile."""
        self._due += ms / 1000.0
        self._parent.sleep(self._due - time.monotonic())
        if time.monotonic() - self._due > _STOPPED_S:
            self.begin()

    def fill_up(self, ms: float) -> None:
        """What was just done takes `ms` in all, or longer where it did."""
        self.take(ms)
        self._due = max(self._due, time.monotonic())


class Gate:
    """All handlings of this process pass here, one at a time: at a gate the one inside waits, and with it everybody."""

    def __init__(self, spec: ConsumerSpec, parent: Parent) -> None:
        self.lock = threading.Lock()  # held while anything happens that somebody could see afterwards
        self._parent = parent
        self._count = spec.handled_before
        self._gates = deque(gate for gate in sorted(set(spec.gates)) if gate > self._count)

    def handled(self, record: Record, effect: bool) -> bool:
        """With the lock held: tell it; at a gate wait for "resume" (Leave at "end"). Whether it waited."""
        self._parent.tell("handled", **record._asdict(), at=round(self._parent.now(), 3), effect=effect)
        self._count += 1
        if not self._gates or self._count < self._gates[0]:
            return False
        self._gates.popleft()
        self._parent.tell("reached", count=self._count)
        self._parent.wait_for_resume()
        return True


class Handling:
    """Handles one record at a time, on one thread, by the steps of `dedup.order` where there is a flag store."""

    def __init__(self, spec: ConsumerSpec, flags: FlagStore | None, gate: Gate, parent: Parent) -> None:
        self._spec = spec
        self._flags = flags
        self._gate = gate
        self.pace = Pace(parent)

    def handle(self, record: Record, processing_ms: float) -> None:
        """Returns when the last step is done. Raises Leave when the run ends meanwhile."""
        loop = HANDLE[self._spec.dedup_order](record) if self._flags is not None else _plain(record)
        effect = False
        answer: object = None
        try:
            while True:
                step = loop.send(answer)
                answer = None
                match step:
                    case Lookup():
                        answer = self._look_up(record)
                    case Mark():
                        answer = self._mark(record)
                    case Effect() | EffectAndMark():
                        self.pace.take(processing_ms)
                        effect = True
                        self._effect(record, isinstance(step, EffectAndMark))
        except StopIteration:
            if not effect:
                with self._gate.lock:
                    self._tell(record, False)

    def _look_up(self, record: Record) -> bool:
        assert self._flags is not None, "only a flag store is looked up"
        with self._gate.lock:
            found = self._flags.lookup(*self._identity(record))
        self.pace.fill_up(self._spec.dedup_ms)
        return found

    def _mark(self, record: Record) -> bool:
        assert self._flags is not None, "only a flag store is marked"
        with self._gate.lock:
            set_now = self._flags.mark(*self._identity(record))
        self.pace.fill_up(self._spec.dedup_ms)
        return set_now

    def _effect(self, record: Record, marking: bool) -> None:
        flags, happened = self._flags, True
        with self._gate.lock:
            if flags is not None and marking:
                happened = flags.handle_and_mark(*self._identity(record))  # not, where another member was quicker
            elif flags is not None:
                flags.effect(*self._identity(record))
            self._tell(record, happened)
        if flags is not None:
            self.pace.fill_up(self._spec.dedup_ms if marking else 0.0)

    def _tell(self, record: Record, effect: bool) -> None:
        if self._gate.handled(record, effect):
            self.pace.begin()

    def _identity(self, record: Record) -> tuple[str, str, int]:
        return self._spec.group, self._spec.producers[record.producer], record.number


class WorkPool:
    """`threads` threads. With more than one, a record takes 0.5 to 1.5 times `processing_ms`, so that they finish out of order."""

    def __init__(self, spec: ConsumerSpec, handling: Callable[[], Handling], finished: Callable[[], None]) -> None:
        self._spec = spec
        self._handling = handling
        self._finished = finished  # called after each record, on its thread
        self._random = random.Random(spec.seed)
        self._queue: deque[Record] = deque()
        self._tracks: dict[str, _Track] = {}
        self._changed = threading.Condition()
        for number in range(spec.threads):
            threading.Thread(target=guarded, args=(self._work,), name=f"worker-{number}", daemon=True).start()

    def give(self, records: Sequence[Record]) -> None:
        """Queue every record."""
        with self._changed:
            for record in records:
                track = self._tracks.setdefault(record.partition, _Track(record.offset))
                track.given = max(track.given, record.offset + 1)
            self._queue.extend(records)
            self._changed.notify(len(records))

    def offsets(self, upto: Finished) -> list[tuple[str, int]]:
        """What `worker.commit` commits: the end of all given, one past the highest finished, or up to the first unfinished."""
        with self._changed:
            chosen = [(partition, track.base, track.upto(upto)) for partition, track in self._tracks.items()]
        return [(partition, offset) for partition, base, offset in chosen if offset > base]

    def forget(self, partitions: Iterable[str]) -> None:
        """Revoked: no more commits for them. What is queued is handled all the same, as threads do."""
        with self._changed:
            for partition in partitions:
                self._tracks.pop(partition, None)

    def _work(self) -> None:
        handling = self._handling()
        while True:
            with self._changed:
                if not self._queue:
                    self._changed.wait_for(lambda: self._queue)
                    handling.pace.begin()
                record = self._queue.popleft()
                factor = 0.5 + self._random.random() if self._spec.threads > 1 else 1.0
            handling.handle(record, self._spec.processing_ms * factor)
            with self._changed:
                track = self._tracks.get(record.partition)
                if track is not None:
                    track.finish(record.offset)
            self._finished()


class _Track:
    """What has been given and finished of one partition, by offset."""

    __slots__ = ("base", "contiguous", "given", "highest", "out_of_order")

    def __init__(self, base: int) -> None:
        self.base = self.given = self.highest = self.contiguous = base
        self.out_of_order: list[int] = []  # a heap

    def finish(self, offset: int) -> None:
        self.highest = max(self.highest, offset + 1)
        heapq.heappush(self.out_of_order, offset)
        while self.out_of_order and self.out_of_order[0] <= self.contiguous:
            self.contiguous = max(self.contiguous, heapq.heappop(self.out_of_order) + 1)

    def upto(self, upto: Finished) -> int:
        match upto:
            case "polled":
                return self.given
            case "highest-finished":
                return self.highest
            case "lowest-contiguous":
                return self.contiguous


def _plain(record: object) -> Loop:
    yield Effect(record)
