"""A consuming application in simulated time: the interpreter of workload.py's consumer loops around one consumer machine.

One thread polls and commits. It handles records itself (`Process`), or gives them to a pool of workers (`HandOver`).
A crash splits a range of records at the instant it strikes: what was finished is in the ledger, the rest never happened.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from kafkasim.ledger import Commit as CommitEntry
from kafkasim.ledger import Handled, Ledger, Skipped
from kafkasim.progress import Progress
from kafkasim.protocol.calls import (
    ClientClosed,
    CloseClient,
    CommitOffsets,
    Committed,
    PartitionsAssigned,
    PartitionsRevoked,
    Polled,
    PolledSlice,
    PollFailed,
    PollRecords,
    PositionReset,
)
from kafkasim.protocol.consumer import Consumer
from kafkasim.protocol.errors import Error
from kafkasim.protocol.node import Output, Random
from kafkasim.protocol.records import TopicPartition
from kafkasim.simulator.workers import Workers
from kafkasim.stores import FlagStore
from kafkasim.workload import Commit, Finished, HandOver, PassOver, Poll, Process, consume


class Desk(NamedTuple):
    """What a consuming application is like: design.md's keys of a consumer, and the flag store that outlives it."""

    group: str
    member: str
    commit: str
    worker_commit: Finished
    threads: int
    poll_timeout_ms: float
    processing_ms: float
    dedup_order: str
    dedup_ms: float
    flags: FlagStore | None


class ConsumingApplication:
    """A node: the consumer machine and its application, which share one process and one crash."""

    def __init__(self, desk: Desk, client: Consumer, ledger: Ledger, progress: Progress, random: Random) -> None:
        self.client = client
        self.closed = False  # close() has returned
        self.failed = False  # poll() threw what the loop does not catch: nothing is polled any more
        self._stopping = False  # SIGTERM came while records were being handled
        self.assignment: tuple[TopicPartition, ...] | None = None  # None until the group has told, and while it rebalances
        self._desk = desk
        self._ledger = ledger
        self._progress = progress
        self._poll = PollRecords(desk.poll_timeout_ms)
        self._partition_names: dict[TopicPartition, str] = {}
        self._processed = progress.tally("processed", desk.group)
        self._loop = consume(desk.commit, desk.worker_commit)
        self._waiting: type[object] = object  # the step whose answer is awaited
        self._records: deque[PolledSlice] = deque()  # polled, to be handled on the application's own thread
        self._free_at = 0.0  # when the chunk in hand is finished
        self._began = 0.0
        self._chunk: PolledSlice | None = None
        self._struck: PolledSlice | None = None  # a fault strikes right behind this record, which a worker has handled
        self._uncommitted = False  # records were polled since the last commit
        threads = desk.threads if desk.commit == "worker-threads" else 1
        pooled = desk.commit == "worker-threads" or desk.flags is not None
        self._workers = Workers(desk, threads, self._handled, random) if pooled else None
        self._committed: dict[TopicPartition, int] = {}

    # ------------------------------------------------------------------------------------------------ node

    def start(self, now: float) -> list[Output]:
        """The process starts: the client joins its group, and the loop makes its first poll."""
        outputs = self.client.start(now)
        return self._after(outputs, now) + self._take(next(self._loop), now)

    def receive(self, event: object, source: str, now: float) -> list[Output]:
        """A message for the client, which may answer the application's call; or SIGTERM.

        SIGTERM wakes the thread up from poll() or commitSync() (KafkaConsumer.wakeup), and it calls close(). What it has in hand it
        handles, and commits, first: close() in the middle of that would commit automatically what is not handled.
        """
        if type(event) is CloseClient and self._waiting is Process:
            self._stopping = True
            return []
        outputs = self.client.receive(event, source, now)
        return self._after(outputs, now) if outputs else outputs

    def next_deadline(self) -> float | None:
        """The client's, the end of the chunk in hand, or of a worker's step, whichever is first."""
        deadline = self.client.next_deadline()
        mine = self._free_at if self._chunk is not None else self._workers.next_due() if self._workers is not None else None
        if mine is not None and (deadline is None or mine < deadline):
            return mine
        return deadline

    def wake(self, now: float) -> list[Output]:
        """Finish what is due, then let the client act."""
        outputs: list[Output] = []
        if self._chunk is not None and self._free_at <= now:
            outputs += self._finish_chunk(now)
        if self._workers is not None:
            self._workers.run(now)
            if self._waiting is Process and self._workers.idle:
                struck, self._struck = self._struck, None
                outputs += self._answer(None, now) if struck is None else self._pause_for_fault(struck, now)
        deadline = self.client.next_deadline()
        if deadline is not None and deadline <= now:
            outputs += self._after(self.client.wake(now), now)
        return outputs

    def crashed(self, now: float) -> None:
        """kill -9 in the middle of a chunk: what was finished by `now` has happened."""
        chunk, each = self._chunk, self._desk.processing_ms
        if chunk is not None and each > 0:
            done = min(len(chunk.numbers), int((now - self._began) / each + 1e-9))
            if done:
                self._record(_part(chunk, 0, done), now, True)
        self._chunk = None

    def resumed(self, paused_ms: float) -> None:
        """SIGCONT: work that was under way takes as long as it would have without the pause."""
        self._began += paused_ms
        self._free_at += paused_ms
        if self._workers is not None:
            self._workers.shift(paused_ms)

    @property
    def idle(self) -> bool:
        """Nothing in hand, nothing with the workers."""
        return self._chunk is None and not self._records and (self._workers is None or self._workers.idle)

    # ------------------------------------------------------------------------------------------------ the loop

    def _answer(self, value: object, now: float) -> list[Output]:
        """The awaited step is done: take the next one."""
        self._waiting = object
        return self._take(self._loop.send(value), now)

    def _take(self, step: Any, now: float) -> list[Output]:
        """Take steps until one has to wait."""
        while True:
            kind = type(step)
            if kind is Poll:
                if self._stopping:
                    return self._after(self.client.receive(CloseClient(), "", now), now)
                self._waiting = Poll
                outputs = self.client.receive(self._poll, "", now)
                return self._after(outputs, now) if outputs else outputs
            if kind is Process:
                records = step.records
                if records:
                    self._waiting = Process
                    if self._workers is not None:
                        self._workers.give(records, now)
                        return []
                    self._records.extend(records)
                    return self._next_chunk(now)
            elif kind is HandOver:
                assert self._workers is not None, "worker-threads has workers"
                self._workers.give(step.records, now)
            elif kind is PassOver:
                pass
            else:
                assert kind is Commit, f"no consumer loop takes the step {step}"
                offsets = self._to_commit(step.upto)
                if offsets is not None:
                    self._waiting = Commit
                    return self._after(self.client.receive(CommitOffsets(offsets), "", now), now)
            step = self._loop.send(None)  # done at once

    def _to_commit(self, upto: Finished) -> tuple[tuple[TopicPartition, int], ...] | None:
        """None: nothing new. Empty: the positions of all that was polled."""
        if upto == "polled":
            return () if self._uncommitted else None
        assert self._workers is not None, "only workers finish out of order"
        offsets = tuple(
            (partition, offset) for partition, offset in self._workers.offsets(upto) if self._committed.get(partition, -1) != offset
        )
        return offsets or None

    def _after(self, outputs: list[Output], now: float) -> list[Output]:
        """Take the client's answers out of its outputs."""
        passed: list[Output] = []
        for output in outputs:
            kind = type(output)
            if kind is Polled:
                assert self._waiting is Poll, "the client answers a poll that was made"
                slices = output.slices  # type: ignore[attr-defined]  # `kind` says so
                self._uncommitted = self._uncommitted or bool(slices)
                passed += self._answer(slices, now)
            elif kind is Committed:
                passed += self._commit_answered(output, now)  # type: ignore[arg-type]  # `kind` says so
            elif kind is PartitionsAssigned:
                self.assignment = output.partitions  # type: ignore[attr-defined]  # `kind` says so
            elif kind is PartitionsRevoked:
                self.assignment = None
                if self._workers is not None:
                    self._workers.forget(output.partitions)  # type: ignore[attr-defined]  # `kind` says so
            elif kind is PollFailed:
                self._poll_failed(output)  # type: ignore[arg-type]  # `kind` says so
            elif kind is ClientClosed:
                self.closed = True
            elif kind is PositionReset:
                self._ledger.skipped.append(_skip(self._desk.group, output, now - self._progress.zero))  # type: ignore[arg-type]  # `kind` says so
            else:
                passed.append(output)
        return passed

    def _poll_failed(self, failure: PollFailed) -> None:
        """auto.offset.reset=none: poll() throws, and that is the end of this application's loop.

        NoOffsetForPartitionException where the group never had an offset, OffsetOutOfRangeException where the log no longer has it.
        """
        self.failed = True
        having = {partition for partition, _, _ in self.client.positions()}
        found = "that the log no longer has its offset" if having.intersection(failure.partitions) else "no offset to start from"
        self._ledger.notes.append(f"{self._desk.member} stopped: poll() found {found}, and auto.offset.reset is none")
        self._waiting = object

    def _commit_answered(self, committed: Committed, now: float) -> list[Output]:
        desk, at = self._desk, now - self._progress.zero
        name = "" if committed.error is Error.NONE else committed.error.kafka_name
        for partition, offset in committed.offsets:
            self._ledger.commits.append(CommitEntry(desk.group, desk.member, str(partition), offset, at, name))
            if not name:
                self._committed[partition] = offset
        if committed.sync and self._waiting is Commit:
            self._uncommitted = False
            return self._answer(not name, now)
        return []

    # ------------------------------------------------------------------------------------------------ handling on one thread

    def _next_chunk(self, now: float) -> list[Output]:
        """Take slices in hand, one after another, until one takes time; each cut where the next `when: {processed: …}` will strike."""
        while self._records:
            head = self._records.popleft()
            count = len(head.numbers)
            room = self._processed.room
            if room < count:
                self._records.appendleft(_part(head, room, count))
                head = _part(head, 0, room)
            self._began = now
            self._free_at = now + len(head.numbers) * self._desk.processing_ms
            if self._free_at > now:
                self._chunk = head
                return []
            if self._record(head, now, True):
                return self._pause_for_fault(head, now)
        return self._answer(None, now)

    def _finish_chunk(self, now: float) -> list[Output]:
        chunk = self._chunk
        assert chunk is not None, "a chunk is in hand until it is finished"
        self._chunk = None
        return self._pause_for_fault(chunk, now) if self._record(chunk, now, True) else self._next_chunk(now)

    def _pause_for_fault(self, last: PolledSlice, now: float) -> list[Output]:
        """A fault strikes at this very instant: let it, before the next record is touched."""
        self._chunk = _part(last, 0, 0)
        self._began = self._free_at = now
        return []

    def _handled(self, record: PolledSlice, now: float, effect: bool) -> None:
        if self._record(record, now, effect):
            self._struck = record

    def _record(self, part: PolledSlice, now: float, effect: bool) -> bool:
        if not part.numbers:
            return False
        desk = self._desk
        at = now - self._progress.zero
        name = self._partition_names.get(part.partition)
        if name is None:
            name = self._partition_names[part.partition] = str(part.partition)
        self._ledger.handled.append(Handled(desk.group, desk.member, name, part.base_offset, part.producer, part.numbers, at, effect))
        return self._processed.add(len(part.numbers), now)


def _part(whole: PolledSlice, start: int, stop: int) -> PolledSlice:
    return PolledSlice(whole.partition, whole.base_offset + start, whole.producer, whole.numbers[start:stop])


def _skip(group: str, reset: PositionReset, at: float) -> Skipped:
    return Skipped(group, str(reset.partition), reset.position, reset.offset, at)
