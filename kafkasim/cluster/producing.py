"""A producing application on a real cluster: the interpreter of workload.py's producer loops around one Kafka client.

    python -m kafkasim.cluster.producing

One thread: it hands over what is due, then waits for callbacks until the next record is. What a step means is what it means in the
simulator's producing.py. specs.py has what this process is told and tells.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from kafkasim.cluster.client_api import Delivery, ProducerClient
from kafkasim.cluster.specs import ProducerSpec, read_producer, runs
from kafkasim.cluster.telling import Parent, guarded, leave
from kafkasim.stores import SqliteSpool
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

_LOOK_MS = 50.0  # the longest wait, and how often a state that only counts up or down is told
_GATE_LOOK_MS = 2.0  # how soon the parent's "resume" is noticed
_HANDED_LOOK_MS = 1.0  # how soon a driver's word that send() returned is noticed
_BLOCKED_MS = 10.0  # send() has not returned for so long: the application's thread would be inside it, so nothing more is sent
_MOST_RUNS = 100  # of numbers in one event, so that it stays one short write
_CLOSE_S = 30.0  # close() after SIGTERM
_CLOSE_AT_END_S = 1.0


class StandbyProducer(ProducerClient, Protocol):
    """A client that is warm, and makes its KafkaProducer when told to begin."""

    def begin(self) -> None:
        """Create the KafkaProducer."""


def main(make: Callable[[ProducerSpec], StandbyProducer] | None = None) -> int:
    """The whole life of the process; `make` makes the client (by default the one that the spec names). Returns the exit status."""
    parent = Parent()
    spec = read_producer(parent.first_line())
    parent.catch_sigterm()
    parent.listen()
    client = (make or _client)(spec)
    parent.tell("ready")
    went = parent.wait_for_go()
    if went is None:
        client.close(0.0)
        return 0
    spool = SqliteSpool(spec.spool_path, fsync=True) if spec.spool_path else None
    application = ProducingApplication(replace(spec, **went), client, spool, parent)
    client.begin()
    parent.tell("started")
    parent.wait_for_zero()
    application.run()
    if spool is not None:
        spool.close()
    return 0


def _client(spec: ProducerSpec) -> StandbyProducer:
    if spec.client == "java":
        from kafkasim.cluster.java_client import JavaProducer

        return JavaProducer(spec.java, spec)
    from kafkasim.cluster.librdkafka_client import LibrdkafkaProducer

    return LibrdkafkaProducer(spec)


@dataclass(slots=True)
class _Asked:
    """Records that the client was asked to send, and has not handed to send() yet. First sends are told once they are."""

    numbers: Sequence[int]
    spool: bool | None  # None: for the first time in this run
    at: float


class ProducingApplication:
    """One producer's process from its start to its end."""

    def __init__(self, spec: ProducerSpec, client: ProducerClient, spool: SqliteSpool | None, parent: Parent) -> None:
        self._spec = spec
        self._client = client
        self._spool = spool
        self._parent = parent
        self._next = spec.first
        self._end = spec.first  # records below this may be sent: set by the step Send
        self._gates = deque(gate for gate in sorted(set(spec.gates)) if gate > spec.sent_before)
        self._at_gate = False  # everything up to the gate was asked for; nothing more before "resume"
        self._reached_told = False
        self._asked: deque[_Asked] = deque()
        self._handed = 0  # as far as it was told
        self._asked_told = self._sent_told = max(spec.first, spec.sent_before)  # first sends below these were told as asked for, as sent
        self._heard = False  # a callback has just come: it may be what send() was waiting for
        self._open = 0
        self._resends: deque[tuple[float, Awaited]] = deque()  # and when they are due: all wait equally long, so the first is the first
        self._awaited: dict[int, Awaited] = {}
        self._spool_thread = drain_spool()
        self._spool_due: float | None = None
        self._draining = False
        self._state: tuple[int, int, bool, bool] | None = None
        self._state_at = 0.0

    def run(self) -> None:
        """Until "end" or SIGTERM; then close() the client, and hear the last callbacks."""
        step = next(produce(range(self._spec.first, len(self._spec.arrivals))))
        assert isinstance(step, Send), "a producing application begins by sending"
        self._end = self._spec.first + len(step.numbers)
        assert isinstance(next(self._spool_thread), AwaitBroker), "the spool's thread begins by waiting"
        self._look_at_spool_later()
        parent = self._parent
        while not (parent.ended.is_set() or parent.terminated.is_set()):
            self._hand_over()
            self._tell_blocked()
            self._tell_state()
            self._hear(self._wait_ms())
            if self._spool_due is not None and self._spool_due <= parent.now():
                self._broker_answers()
        self._close(_CLOSE_AT_END_S if parent.ended.is_set() else _CLOSE_S)

    def _close(self, timeout_s: float) -> None:
        """close() on a thread of its own, for callbacks come while it waits."""
        closing = threading.Thread(target=guarded, args=(lambda: self._client.close(timeout_s),), name="close", daemon=True)
        closing.start()
        while closing.is_alive():
            self._hear(_LOOK_MS)
        self._hear(0.0)
        self._tell_asked(self._sent_told)  # for what is left there was no time, and no send()
        self._tell_state()

    # ------------------------------------------------------------------------------------------------ sending

    def _hand_over(self) -> None:
        """Re-sends that are due, then all records that have arrived, up to the next gate."""
        now = self._parent.now()
        if self._at_gate or self._blocked(now):
            return
        while self._resends and self._resends[0][0] <= now:
            self._send_again(self._resends.popleft()[1])
        first, end = self._next, min(self._end, self._gates[0]) if self._gates else self._end
        while self._next < end and self._spec.arrivals[self._next] <= now:
            self._next += 1
        if self._next > first:
            # What an earlier life has sent already is told as re-sent.
            known = min(max(self._spec.sent_before, first), self._next)
            self._send(range(first, known), False)
            self._send(range(known, self._next), None)
            self._at_gate = bool(self._gates) and self._next == self._gates[0]
            self._mind_gate()

    def _send_again(self, awaited: Awaited) -> None:
        for number in awaited.numbers:
            self._awaited[number] = awaited
        self._send(awaited.numbers, awaited.spool)

    def _send(self, numbers: Sequence[int], spool: bool | None) -> None:
        if not numbers:
            return
        keys, now = self._spec.keys, self._parent.now()
        self._open += len(numbers)
        self._asked.append(_Asked(numbers, spool, now))
        # Told before the client hears of them: a process killed between send() and its word leaves nothing in the log that nobody knows of.
        if spool is None:
            self._tell_asked(numbers[-1] + 1)
        else:
            self._parent.tell("resent", numbers=runs(list(numbers)), at=round(now, 3), spool=spool)
        self._client.send(numbers, None if keys is None else [keys[number] for number in numbers])
        self._tell_handed(self._client.handed() - self._handed)

    def _blocked(self, now: float) -> bool:
        return bool(self._asked) and now - self._asked[0].at > _BLOCKED_MS

    def _tell_blocked(self) -> None:
        """WHEN send() does not return; THEN nothing behind that record has been handed over, until it does."""
        if self._asked:
            self._tell_asked(self._sent_told if self._blocked(self._parent.now()) else max(self._next, self._sent_told))

    def _tell_asked(self, last: int) -> None:
        if last != self._asked_told:
            self._asked_told = last
            self._parent.tell("asked", last=last)

    def _tell_handed(self, count: int) -> None:
        """`count` more records were handed to Kafka's send()."""
        at = round(self._parent.now(), 3)
        while count > 0 and self._asked:
            asked = self._asked[0]
            numbers, rest = asked.numbers[:count], asked.numbers[count:]
            count -= len(numbers)
            self._handed += len(numbers)
            if rest:
                asked.numbers, asked.at = rest, at  # the thread moves: it is the next record that waits from now on
            else:
                self._asked.popleft()
            if asked.spool is None:
                self._sent_told = numbers[-1] + 1
                self._parent.tell("sent", first=numbers[0], last=self._sent_told, at=at)
            if not rest and self._asked:
                self._asked[0].at = max(self._asked[0].at, at)
        self._mind_gate()

    def _mind_gate(self) -> None:
        """WHEN the gate's record was handed over; THEN say so, and stand still until "resume"."""
        if not self._at_gate or self._asked:
            return
        if not self._reached_told:
            self._reached_told = True
            self._parent.tell("reached", count=self._gates[0])
        elif self._parent.resumed():
            self._at_gate = self._reached_told = False
            self._gates.popleft()

    # ------------------------------------------------------------------------------------------------ waiting

    def _wait_ms(self) -> float:
        """How long nothing but a callback can be of interest."""
        now = self._parent.now()
        if self._at_gate:
            return _GATE_LOOK_MS
        waits = [_LOOK_MS]
        if self._spool_due is not None:
            waits.append(self._spool_due - now)
        if self._asked:  # the longer send() takes, the less often it is asked
            waits.append(_HANDED_LOOK_MS if self._heard else min(max(_HANDED_LOOK_MS, (now - self._asked[0].at) / 4), _BLOCKED_MS))
        if not self._blocked(now):
            if self._next < self._end:
                waits.append(self._spec.arrivals[self._next] - now)
            if self._resends:
                waits.append(self._resends[0][0] - now)
        return max(0.0, min(waits))

    def _tell_state(self) -> None:
        """At once where anything came to nothing or began; counts alone now and then."""
        spooled = self._spool.pending() if self._spool is not None else 0
        all_sent = self._next >= self._end and not self._asked
        state = (self._open, spooled, all_sent, not self._resends)
        if state == self._state:
            return
        now = self._parent.now()
        turned = self._state is None or any(bool(a) != bool(b) for a, b in zip(state, self._state, strict=True))
        if turned or now - self._state_at >= _LOOK_MS:
            self._state, self._state_at = state, now
            self._parent.tell("state", open=state[0], spool=state[1], all_sent=state[2], idle=state[3])

    # ------------------------------------------------------------------------------------------------ callbacks

    def _hear(self, wait_ms: float) -> None:
        deliveries = self._client.deliveries(wait_ms / 1000.0)
        self._heard = bool(deliveries)
        self._tell_handed(self._client.handed() - self._handed)
        for group in grouped(deliveries):
            self._called_back(group)

    def _called_back(self, group: Callbacks) -> None:
        numbers, failed = group.numbers, bool(group.error)
        if self._asked:
            self._tell_handed(self._asked_up_to(numbers))
        self._open -= len(numbers)
        self._parent.tell(
            "callback",
            numbers=runs(numbers),
            at=round(self._parent.now(), 3),
            error=group.error,
            definite=group.definite,
            partition=group.partition,
            offset=group.offset,
        )
        if not failed:
            self._broker_answers()
        fresh = self._answer_awaited(numbers, failed) if self._awaited else numbers
        if failed and fresh:
            self._run(ON_FAILURE[self._spec.on_failure](fresh), None)

    def _asked_up_to(self, numbers: Sequence[int]) -> int:
        """How many records were handed over for certain, though the client did not say so yet: one of these has its callback.

        send() itself calls back where it fails, before it returns.
        """
        called_back, position, found = frozenset(numbers), 0, 0
        for asked in self._asked:
            for number in asked.numbers:
                position += 1
                if number in called_back:
                    found = position
        return found

    def _answer_awaited(self, numbers: Sequence[int], failed: bool) -> list[int]:
        """Callbacks of re-sent records go back to the loop that re-sent them; the others are returned."""
        fresh, complete = answer_awaited(self._awaited, numbers, failed)
        for awaited in complete:
            self._run(awaited.loop, awaited.failed)
        return fresh

    def _run(self, loop: Loop, answer: object) -> None:
        """Take the loop's steps until it waits for something."""
        try:
            step = loop.send(answer)
            while True:
                reply: object = None
                match step:
                    case Resend(numbers):
                        self._resend_later(loop, list(numbers))
                        return
                    case AwaitBroker():
                        self._draining = False
                        self._look_at_spool_later()
                        return
                    case GiveUp():
                        pass
                    case _:
                        reply = self._use_spool(step)
                step = loop.send(reply)
        except StopIteration:
            return

    def _use_spool(self, step: object) -> object:
        spec, spool, now = self._spec, self._spool, self._parent.now()
        assert spool is not None, "a spool is made where on.failure asks for one"
        match step:
            case SpoolPut(numbers):
                spool.put(spec.name, numbers, now)
                self._parent.tell("spooled", numbers=runs(list(numbers)), at=round(now, 3))
                self._look_at_spool_later()
            case SpoolTake(limit):
                return [number for entry in spool.peek(limit) for number in entry.numbers]
            case SpoolRemove(numbers):
                spool.forget(spec.name, numbers)
            case _:
                raise AssertionError(f"no producer loop takes the step {step}")
        return None

    def _resend_later(self, loop: Loop, numbers: list[int]) -> None:
        spool = loop is self._spool_thread
        due = self._parent.now() + (0.0 if spool else self._spec.retry_backoff_ms)
        self._resends.append((due, Awaited(loop, numbers, spool)))

    def _look_at_spool_later(self) -> None:
        pending = self._spool is not None and self._spool.pending()
        self._spool_due = self._parent.now() + self._spec.spool_retry_ms if pending else None

    def _broker_answers(self) -> None:
        """An acknowledgement came, or the spool's retry time: let its thread try."""
        self._spool_due = None
        if not self._draining and self._spool is not None and self._spool.pending():
            self._draining = True
            self._run(self._spool_thread, None)


class Callbacks(NamedTuple):
    """Records with one outcome, at consecutive offsets from `offset` on (-1: unknown)."""

    numbers: list[int]
    error: str
    definite: bool
    partition: str
    offset: int


def grouped(deliveries: Sequence[Delivery]) -> list[Callbacks]:
    """Neighbours that one event can tell, in the order in which they came."""
    found: list[Callbacks] = []
    breaks = 0
    for number, error, definite, partition, offset in deliveries:
        last = found[-1] if found else None
        if last is not None and last[1:4] == (error, definite, partition) and breaks < _MOST_RUNS:
            expected = last.offset + len(last.numbers) if last.offset >= 0 else -1
            if offset == expected:
                breaks += number != last.numbers[-1] + 1
                last.numbers.append(number)
                continue
        found.append(Callbacks([number], error, definite, partition, offset))
        breaks = 0
    return found


if __name__ == "__main__":
    guarded(lambda: leave(main()))
