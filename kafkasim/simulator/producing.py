"""A producing application in simulated time: the interpreter of workload.py's producer loops around one producer machine.

Records arrive by a schedule. Nothing but a full batch or a deadline of the client can notice a record, so the process
wakes for those, and hands over what has arrived meanwhile with the times of its arrival: cost by the batch, not by the record.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kafkasim.ledger import Callback, Ledger, Resent, Sent, Spooled
from kafkasim.progress import Progress
from kafkasim.protocol.calls import Outcome, SendRecords, SendUnblocked
from kafkasim.protocol.errors import Error
from kafkasim.protocol.node import Output
from kafkasim.protocol.producer import NEVER, Producer
from kafkasim.protocol.records import TopicPartition
from kafkasim.stores import Spool
from kafkasim.workload import (
    ON_FAILURE,
    AwaitBroker,
    Awaited,
    GiveUp,
    Loop,
    Resend,
    Send,
    SpoolPut,
    SpoolRemove,
    SpoolTake,
    answer_awaited,
    drain_spool,
    produce,
)

_NONE = Error.NONE  # looked up once: CPython takes ten times as long for a member of an Enum as for a global


@dataclass(slots=True)
class Source:
    """What outlives the process: the records it has to send, how far it came, and its spool."""

    name: str
    topic: str
    arrivals: array[float]  # ms, ascending, on the simulator's clock
    keys: array[int] | None
    on_failure: str
    on_restart: str
    retries: int
    retry_backoff_ms: float
    spool_retry_ms: float
    spool: Spool | None
    handed_over: int = 0  # records 0 … handed_over - 1 went to send()
    run_index: int = -1  # where in `Ledger.sent` the newest run of records is, and its first record; it ends at `handed_over`
    run_first: int = 0

    def restart_at(self, ledger: Ledger) -> int:
        """on.restart: the next record, or the first that never had a callback (as the ledger, which outlives everything, has it)."""
        sent = self.handed_over
        return sent if self.on_restart == "continue" else ledger.first_without_callback(self.name, sent)

    def begin_run(self, ledger: Ledger) -> None:
        """WHEN a record is first handed over after another producer's; THEN a new entry begins. What follows only moves `handed_over`:
        the entry gets its end when the run ends, its times at the very end (`close_ledger`)."""
        self.end_run(ledger)
        self.run_index, self.run_first = len(ledger.sent), self.handed_over
        ledger.sent.append(Sent(self.name, range(0), 0.0))

    def end_run(self, ledger: Ledger) -> None:
        """Write down how far the newest run went."""
        if self.run_index >= 0:
            ledger.sent[self.run_index] = Sent(self.name, range(self.run_first, self.handed_over), 0.0)


class ProducingApplication:
    """A node: the producer machine and its application, which share one process and one crash."""

    def __init__(self, source: Source, client: Producer, ledger: Ledger, progress: Progress) -> None:
        self.client = client
        self.unresolved = 0  # handed to send(), not called back yet
        self._source = source
        self._ledger = ledger
        self._progress = progress
        self._sent = progress.tally("sent", source.name)
        self._acked = progress.tally("acked", source.name)
        self._partition_names: dict[TopicPartition | None, str] = {None: ""}
        self._deadline: float | None = None  # found once at the end of every event: between events nothing changes
        self._next = source.restart_at(ledger)
        self._main = produce(range(self._next, len(source.arrivals)))
        self._end = self._next  # records below this may be sent: set by the step Send
        # When the next hand-over is due; found at the end of an event, and forgotten at the next one that may change the client's queues.
        self._hand_over_at: float | None = None
        self._queue: deque[tuple[float, Awaited]] = deque()  # re-sends and when they are due
        self._awaited: dict[int, Awaited] = {}
        self._spool_thread = drain_spool()
        self._spool_due: float | None = None
        self._draining = False

    # ------------------------------------------------------------------------------------------------ node

    def start(self, now: float) -> list[Output]:
        """The process starts: the client connects, the main thread begins, and a spool that was left behind is looked at."""
        step = next(self._main)
        assert isinstance(step, Send), "a producing application begins by sending"
        self._end = step.numbers[-1] + 1 if step.numbers else self._next
        assert isinstance(next(self._spool_thread), AwaitBroker), "the spool's thread begins by waiting"
        outputs = self.client.start(now)
        if self._source.spool is not None and self._source.spool.pending():
            self._spool_due = now + self._source.spool_retry_ms
        return self._settle(self._after(outputs, now) if outputs else outputs)

    def receive(self, event: object, source: str, now: float) -> list[Output]:
        """A message for the client; what has arrived by now is handed over first, unless nobody could tell."""
        if self._next < self._end and not self._can_wait(event, now):
            outputs = self._hand_over(now) if self._source.arrivals[self._next] <= now else []
            self._hand_over_at = None
            outputs += self.client.receive(event, source, now)
        else:
            outputs = self.client.receive(event, source, now)
        return self._settle(self._after(outputs, now) if outputs else outputs)

    def next_deadline(self) -> float | None:
        """The client's, the next hand-over's, a re-send's or the spool's, whichever is first."""
        return self._deadline

    def _settle(self, outputs: list[Output]) -> list[Output]:
        """The last step of every event: see when the next one is due, and pass the event's `outputs` on."""
        client = self.client
        deadline = client.next_deadline()
        if self._next < self._end and not client.blocked:
            wake = self._hand_over_at
            if wake is None:
                wake = self._hand_over_at = self._next_hand_over()
            if deadline is None or wake < deadline:
                deadline = wake
        if self._queue and not client.blocked and (deadline is None or self._queue[0][0] < deadline):
            deadline = self._queue[0][0]
        if self._spool_due is not None and (deadline is None or self._spool_due < deadline):
            deadline = self._spool_due
        self._deadline = deadline
        return outputs

    def wake(self, now: float) -> list[Output]:
        """Hand over what has arrived, then let the client act."""
        self._hand_over_at = None
        outputs = self._hand_over(now)
        deadline = self.client.next_deadline()
        if deadline is not None and deadline <= now:
            outputs += self.client.wake(now)
        if self._spool_due is not None and self._spool_due <= now:
            self._broker_answers(now)
        return self._settle(self._after(outputs, now) if outputs else outputs)

    def crashed(self, now: float) -> None:
        """kill -9: what had arrived was handed to send(), late or not, and dies with the process.

        A thread that waits inside send() has not called it for the records behind that one.
        """
        source = self._source
        if not self.client.blocked and source.keys is None:
            self._hand_over(now)
        held_back = self.client.held_back
        if held_back and held_back[-1] == source.handed_over - 1:  # else they are sent again, and were counted before
            source.handed_over -= len(held_back)

    @property
    def finished(self) -> bool:
        """Everything was sent, called back, and the spool is empty."""
        spool = self._source.spool
        return self._next >= self._end and not self.unresolved and not self._queue and (spool is None or not spool.pending())

    @property
    def all_sent(self) -> bool:
        """The last record of the schedule was handed to send()."""
        return self._next >= self._end

    # ------------------------------------------------------------------------------------------------ sending

    def _hand_over(self, now: float) -> list[Output]:
        """Re-sends that are due, then all records that have arrived, up to the next `when: {sent: …}`."""
        outputs: list[Output] = []
        while self._queue and self._queue[0][0] <= now and not self.client.blocked:
            outputs += self._send_again(self._queue.popleft()[1], now)
        first = self._next
        if first < self._end and not self.client.blocked:
            last = self._arrived(now)
            if last - first > self._sent.room:  # up to the next `when: {sent: …}`
                last = first + self._sent.room
            if last > first:
                outputs += self._send_first(first, last, now)
        return outputs

    def _arrived(self, now: float) -> int:
        """The first record still to come. Few have come since the last look: begin the search among the next ones."""
        arrivals, near, end = self._source.arrivals, self._next + 16, self._end
        while near < end and arrivals[near] <= now:
            near += near - self._next
        return bisect_right(arrivals, now, self._next, near if near < end else end)

    def _send_first(self, first: int, last: int, now: float) -> list[Output]:
        source = self._source
        numbers = range(first, last)
        self._next = last
        repeated = 0
        if first < source.handed_over:  # after a restart with on.restart: resend
            repeated = min(last, source.handed_over) - first
            self._ledger.resent.append(Resent(source.name, numbers[:repeated], now - self._progress.zero, False))
        if last > source.handed_over:
            if source.run_index != len(self._ledger.sent) - 1 or source.run_index < 0:
                source.begin_run(self._ledger)
            source.handed_over = last
        self._hand_over_at = None
        self.unresolved += last - first
        self._sent.add(last - first - repeated, now)
        keys = None if source.keys is None else source.keys[first:last]
        return self.client.receive(SendRecords(source.topic, numbers, source.arrivals[first:last], keys), "", now)

    def _next_hand_over(self) -> float:
        """When a record will complete a batch, or make its linger.ms run out; before that nobody could tell when it was handed over."""
        first, source, latest = self._next, self._source, NEVER
        if source.keys is not None:
            return source.arrivals[first]
        count = self.client.records_to_ready(source.topic)
        if count == 1 and not self._queue and (waiting := self.client.records_that_can_wait(source.topic)) > 1:
            count, latest = waiting, source.arrivals[first] + self.client.linger_ms
        if count > 1:
            count = min(count, self._sent.room, self._end - first)
        return min(source.arrivals[first + count - 1], latest)

    def _can_wait(self, event: object, now: float) -> bool:
        """Whether what has arrived can be handed over after `event` as well: nobody could tell."""
        source = self._source
        return source.keys is None and source.spool is None and not self._queue and self.client.would_not_notice(event, now)

    def _send_again(self, awaited: Awaited, now: float) -> list[Output]:
        source = self._source
        numbers = awaited.numbers
        for number in numbers:
            self._awaited[number] = awaited
        self.unresolved += len(numbers)
        self._ledger.resent.append(Resent(source.name, tuple(numbers), now - self._progress.zero, awaited.spool))
        keys = None if source.keys is None else [source.keys[number] for number in numbers]
        return self.client.receive(SendRecords(source.topic, numbers, [now] * len(numbers), keys), "", now)

    # ------------------------------------------------------------------------------------------------ callbacks

    def _after(self, outputs: list[Output], now: float) -> list[Output]:
        """Take the client's answers out of its outputs."""
        passed: list[Output] = []
        unblocked = False
        for output in outputs:
            kind = type(output)
            if kind is Outcome:
                self._called_back(output, now)  # type: ignore[arg-type]  # `kind` says so
            elif kind is SendUnblocked:
                unblocked = True
            else:
                passed.append(output)
        if unblocked:  # what waited for the thread goes out behind what the client has just written
            return passed + self._after(self._hand_over(now), now)
        return passed

    def _called_back(self, outcome: Outcome, now: float) -> None:
        source = self._source
        numbers, error = outcome.numbers, outcome.error
        self.unresolved -= len(numbers)
        failed = error is not _NONE
        partition = self._partition_names.get(outcome.partition)
        if partition is None:
            partition = self._partition_names[outcome.partition] = str(outcome.partition)
        name = error.kafka_name if failed else ""
        at = now - self._progress.zero
        # The last of several attempts may be refused for certain where an earlier one, unanswered, was not.
        definite = failed and error.definite and (outcome.partition is None or source.retries == 0)
        self._ledger.callbacks.append(Callback(source.name, numbers, at, name, partition, outcome.base_offset, definite))
        if not failed:
            self._acked.add(len(numbers), now)
            if self._source.spool is not None:
                self._broker_answers(now)
        fresh: Sequence[int] = self._answer_awaited(numbers, failed, now) if self._awaited else numbers
        if failed and fresh:
            self._run(ON_FAILURE[source.on_failure](fresh), None, now)

    def _answer_awaited(self, numbers: Sequence[int], failed: bool, now: float) -> list[int]:
        """Callbacks of re-sent records go back to the loop that re-sent them; the others are returned."""
        fresh, complete = answer_awaited(self._awaited, numbers, failed)
        for awaited in complete:
            self._run(awaited.loop, awaited.failed, now)
        return fresh

    def _run(self, loop: Loop, answer: object, now: float) -> None:
        """Take the loop's steps until it waits for something."""
        source = self._source
        try:
            step = next(loop) if answer is None else loop.send(answer)
            while True:
                reply: object = None
                match step:
                    case GiveUp():
                        pass
                    case SpoolPut(numbers):
                        assert source.spool is not None, "a spool is made where on.failure asks for one"
                        source.spool.put(source.name, numbers, now - self._progress.zero)
                        self._ledger.spooled.append(Spooled(source.name, tuple(numbers), now - self._progress.zero))
                        self._spool_due = now + source.spool_retry_ms
                    case SpoolTake(limit):
                        assert source.spool is not None, "a spool is made where on.failure asks for one"
                        reply = [n for entry in source.spool.peek(limit) for n in entry.numbers]
                    case SpoolRemove(numbers):
                        assert source.spool is not None, "a spool is made where on.failure asks for one"
                        source.spool.forget(source.name, numbers)
                    case Resend(numbers):
                        spool = loop is self._spool_thread
                        due = now if spool else now + source.retry_backoff_ms
                        self._queue.append((due, Awaited(loop, list(numbers), spool)))
                        return
                    case AwaitBroker():
                        self._draining = False
                        pending = source.spool is not None and source.spool.pending()
                        self._spool_due = now + source.spool_retry_ms if pending else None
                        return
                step = loop.send(reply)
        except StopIteration:
            return

    def _broker_answers(self, now: float) -> None:
        """An acknowledgement came, or the spool's retry time: let its thread try."""
        self._spool_due = None
        if not self._draining and self._source.spool is not None and self._source.spool.pending():
            self._draining = True
            self._run(self._spool_thread, True, now)


def close_ledger(ledger: Ledger, sources: Sequence[Source], zero: float) -> None:
    """Give each Sent entry its times: the schedule's, in ms since the workload began."""
    for source in sources:
        source.end_run(ledger)
    by_name = {source.name: source for source in sources}
    for index, entry in enumerate(ledger.sent):
        arrivals = by_name[entry.producer].arrivals
        of_entry = np.frombuffer(arrivals, dtype=np.float64)[entry.numbers[0] : entry.numbers[-1] + 1]
        times = array("d", (of_entry - zero).tobytes())
        ledger.sent[index] = entry._replace(times=times)
