"""A producing application in simulated time: the interpreter of workload.py's producer loops around one producer machine.

Records arrive by a schedule. Nothing but a full batch or a deadline of the client can notice a record, so the process
wakes for those, and hands over what has arrived meanwhile with the times of its arrival: cost by the batch, not by the record.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from kafkasim.ledger import Callback, Ledger, Resent, Sent, Spooled
from kafkasim.protocol.calls import Outcome, SendRecords, SendUnblocked
from kafkasim.protocol.errors import Error
from kafkasim.protocol.node import Output
from kafkasim.protocol.producer import Producer
from kafkasim.simulator.progress import Progress
from kafkasim.stores import Spool
from kafkasim.workload import ON_FAILURE, AwaitBroker, GiveUp, Loop, Resend, Send, SpoolPut, SpoolRemove, SpoolTake, drain_spool, produce

_SPOOL_LIMIT = 500


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
    called_back: bytearray = field(default_factory=bytearray)

    def restart_at(self) -> int:
        """on.restart: the next record, or the first that never had a callback."""
        if self.on_restart == "continue":
            return self.handed_over
        first_open = self.called_back.find(0)
        return min(len(self.called_back) if first_open < 0 else first_open, self.handed_over)


class ProducingApplication:
    """A node: the producer machine and its application, which share one process and one crash."""

    def __init__(self, source: Source, client: Producer, ledger: Ledger, progress: Progress) -> None:
        self.client = client
        self.unresolved = 0  # handed to send(), not called back yet
        self._source = source
        self._ledger = ledger
        self._progress = progress
        self._next = source.restart_at()
        self._wake_at: float | None = None  # when the next records will be handed over
        self._main = produce(range(self._next, len(source.arrivals)))
        self._end = self._next  # records below this may be sent: set by the step Send
        self._queue: deque[tuple[float, _Awaited]] = deque()  # re-sends and when they are due
        self._awaited: dict[int, _Awaited] = {}
        self._spool_thread = drain_spool(_SPOOL_LIMIT)
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
        self._schedule()
        return self._after(outputs, now)

    def receive(self, event: object, source: str, now: float) -> list[Output]:
        """A message for the client; what has arrived by now is handed over first."""
        outputs = self._hand_over(now) if self._arrived(now) else []
        outputs += self.client.receive(event, source, now)
        return self._after(outputs, now)

    def next_deadline(self) -> float | None:
        """The client's, the next hand-over's, a re-send's or the spool's, whichever is first."""
        deadline = self.client.next_deadline()
        wake = self._wake_at
        if wake is not None and (deadline is None or wake < deadline) and not self.client.blocked:
            deadline = wake
        if self._queue and not self.client.blocked and (deadline is None or self._queue[0][0] < deadline):
            deadline = self._queue[0][0]
        if self._spool_due is not None and (deadline is None or self._spool_due < deadline):
            deadline = self._spool_due
        return deadline

    def wake(self, now: float) -> list[Output]:
        """Hand over what has arrived, then let the client act."""
        outputs = self._hand_over(now)
        deadline = self.client.next_deadline()
        if deadline is not None and deadline <= now:
            outputs += self.client.wake(now)
        if self._spool_due is not None and self._spool_due <= now:
            self._broker_answers(now)
        return self._after(outputs, now)

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

    def _arrived(self, now: float) -> bool:
        return self._next < self._end and self._source.arrivals[self._next] <= now

    def _hand_over(self, now: float) -> list[Output]:
        """Re-sends that are due, then all records that have arrived, up to the next `when: {sent: …}`."""
        outputs: list[Output] = []
        while self._queue and self._queue[0][0] <= now and not self.client.blocked:
            outputs += self._send_again(self._queue.popleft()[1], now)
        first = self._next
        if first < self._end and not self.client.blocked:
            source = self._source
            last = bisect_right(source.arrivals, now, first, self._end)
            last = min(last, first + self._progress.room("sent", source.name))
            if last > first:
                outputs += self._send_first(first, last, now)
        self._schedule()
        return outputs

    def _send_first(self, first: int, last: int, now: float) -> list[Output]:
        source = self._source
        numbers = range(first, last)
        self._next = last
        repeated = max(0, min(last, source.handed_over) - first)  # after a restart with on.restart: resend
        if repeated:
            self._ledger.resent.append(Resent(source.name, numbers[:repeated], now - self._progress.zero, False))
        if last > source.handed_over:
            self._record_sent(numbers[repeated:])
            source.handed_over = last
        self.unresolved += last - first
        self._progress.add("sent", source.name, last - first - repeated, now)
        keys = None if source.keys is None else source.keys[first:last]
        return self.client.receive(SendRecords(source.topic, numbers, source.arrivals[first:last], keys), "", now)

    def _record_sent(self, numbers: range) -> None:
        """One entry for a whole run of records: its times are the schedule's, cut out once, at the end (`close_ledger`)."""
        sent = self._ledger.sent
        if sent and sent[-1].producer == self._source.name and sent[-1].numbers[-1] + 1 == numbers[0]:
            sent[-1] = Sent(self._source.name, range(sent[-1].numbers[0], numbers[-1] + 1), 0.0)
        else:
            sent.append(Sent(self._source.name, numbers, 0.0))

    def _schedule(self) -> None:
        """Sleep until a record would begin a batch or complete one; between the two nobody could tell when it was handed over."""
        first = self._next
        if first >= self._end:
            self._wake_at = None
            return
        source = self._source
        count = 1 if source.keys is not None else max(1, self.client.records_to_ready(source.topic))
        count = min(count, self._progress.room("sent", source.name), self._end - first)
        self._wake_at = source.arrivals[first + count - 1]

    def _send_again(self, awaited: _Awaited, now: float) -> list[Output]:
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
        self._schedule()  # a batch that went, or came, changes which record matters next
        return passed

    def _called_back(self, outcome: Outcome, now: float) -> None:
        source = self._source
        numbers, error = outcome.numbers, outcome.error
        self.unresolved -= len(numbers)
        failed = error is not Error.NONE
        partition = "" if outcome.partition is None else str(outcome.partition)
        name = error.kafka_name if failed else ""
        at = now - self._progress.zero
        # The last of several attempts may be refused for certain where an earlier one, unanswered, was not.
        definite = failed and error.definite and (outcome.partition is None or source.retries == 0)
        self._ledger.callbacks.append(Callback(source.name, numbers, at, name, partition, outcome.base_offset, definite))
        _note(source.called_back, numbers)
        if not failed:
            self._progress.add("acked", source.name, len(numbers), now)
            if self._source.spool is not None:
                self._broker_answers(now)
        fresh: Sequence[int] = self._answer_awaited(numbers, failed, now) if self._awaited else numbers
        if failed and fresh:
            self._run(ON_FAILURE[source.on_failure](fresh), None, now)

    def _answer_awaited(self, numbers: Sequence[int], failed: bool, now: float) -> list[int]:
        """Callbacks of re-sent records go back to the loop that re-sent them; the others are returned."""
        fresh = []
        for number in numbers:
            awaited = self._awaited.pop(number, None)
            if awaited is None:
                fresh.append(number)
                continue
            awaited.open -= 1
            if failed:
                awaited.failed.append(number)
            if not awaited.open:
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
                        self._queue.append((due, _Awaited(loop, list(numbers), spool)))
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


class _Awaited:
    """Records that were sent again, and the loop that waits for their callbacks."""

    __slots__ = ("failed", "loop", "numbers", "open", "spool")

    def __init__(self, loop: Loop, numbers: list[int], spool: bool) -> None:
        self.loop = loop
        self.numbers = numbers
        self.spool = spool
        self.open = len(numbers)
        self.failed: list[int] = []


def _note(flags: bytearray, numbers: Sequence[int]) -> None:
    """Set the flags of `numbers`, growing as needed."""
    if not len(numbers):
        return
    highest = numbers[-1] if isinstance(numbers, range) else max(numbers)
    if highest >= len(flags):
        flags.extend(bytes(highest + 1 - len(flags)))
    if isinstance(numbers, range) and numbers.step == 1:
        flags[numbers.start : numbers.stop] = b"\x01" * len(numbers)
    else:
        for number in numbers:
            flags[number] = 1


def close_ledger(ledger: Ledger, sources: Sequence[Source], zero: float) -> None:
    """Give each Sent entry its times: the schedule's, in ms since the workload began."""
    by_name = {source.name: source for source in sources}
    for index, entry in enumerate(ledger.sent):
        arrivals = by_name[entry.producer].arrivals
        times = array("d", (at - zero for at in arrivals[entry.numbers[0] : entry.numbers[-1] + 1]))
        ledger.sent[index] = entry._replace(times=times)
