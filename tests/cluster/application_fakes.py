"""Kafka clients that obey a test, and a parent for applications that run on a thread of the test.

Run as a program, `application_fakes.py producing|consuming`, it is an application's process with such a client.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from kafkasim.cluster import consuming, producing
from kafkasim.cluster.client_api import CommitSeen, ConsumerEvent, Delivery, PartitionsChanged, PolledRun
from kafkasim.cluster.specs import ConsumerSpec, ProducerSpec
from kafkasim.cluster.telling import Parent, guarded, leave

Answer = Callable[[int], Delivery | None]

PATIENCE_S = 60.0  # as in patience.py, which a process of its own cannot import


def acknowledged(number: int) -> Delivery:
    return Delivery(number, "", False, "orders-0", number)


def refused(number: int) -> Delivery:
    return Delivery(number, "TIMEOUT", False, "", -1)


class FakeProducer:
    """Hands over up to `room` records, and answers each by `answer` at once (None: never)."""

    def __init__(self, answer: Answer = acknowledged, room: int = 1 << 60) -> None:
        self.answer = answer
        self.asked: list[tuple[int, int | None, float]] = []  # number, key, when
        self.closed: list[float] = []
        self._room = room
        self._handed = 0
        self._arrived: list[Delivery] = []
        self._news = threading.Condition()

    def begin(self) -> None:
        pass

    def send(self, numbers: Sequence[int], keys: Sequence[int] | None) -> None:
        for place, number in enumerate(numbers):
            self.asked.append((number, None if keys is None else keys[place], time.monotonic()))
        self._go_on()

    def give_room(self, room: int) -> None:
        """send() returns for so many records in all."""
        self._room = room
        self._go_on()

    def _go_on(self) -> None:
        with self._news:
            while self._handed < min(self._room, len(self.asked)):
                self._answer(self.asked[self._handed][0])
                self._handed += 1

    def _answer(self, number: int) -> None:
        delivery = self.answer(number)
        if delivery is not None:
            self._arrived.append(delivery)
            self._news.notify()

    def deliver(self, *deliveries: Delivery) -> None:
        """Callbacks that come later."""
        with self._news:
            self._arrived += deliveries
            self._news.notify()

    def handed(self) -> int:
        return self._handed

    def deliveries(self, timeout_s: float) -> list[Delivery]:
        with self._news:
            if not self._arrived:
                self._news.wait(timeout_s)
            arrived, self._arrived = self._arrived, []
        return arrived

    def close(self, timeout_s: float) -> None:
        """What had no answer gets one now."""
        self.closed.append(timeout_s)
        answered = {number for number, _, _ in self.asked if self.answer(number) is not None}
        self.deliver(*(acknowledged(number) for number, _, _ in self.asked if number not in answered))


class FakeConsumer:
    """Gives what it has, poll by poll: runs, or an exception to raise; then nothing, until woken up."""

    def __init__(self, *polls: list[PolledRun] | Exception) -> None:
        self.calls: list[object] = []  # "poll", "commit", "close", in order
        self.happened: list[ConsumerEvent] = []  # events to tell
        self.error = ""  # of the next commits
        self.at_last: list[PolledRun] = []  # what a poll brings that waited in vain, or was woken up
        self.polls = list(polls)
        self._positions: dict[str, int] = {}
        self._woken = threading.Event()

    def begin(self) -> None:
        self.happened.append(PartitionsChanged("assigned", ("orders-0",)))

    def poll(self, timeout_ms: float, max_records: int) -> list[PolledRun]:  # noqa: ARG002  (it is a test that decides)
        self.calls.append("poll")
        if not self.polls:
            self._woken.wait(timeout_ms / 1000.0)
        polled = self.polls.pop(0) if self.polls else self.at_last
        if isinstance(polled, Exception):
            raise polled
        for run in polled:
            self._positions[run.partition] = run.base_offset + run.records
        return polled

    def commit(self, offsets: Sequence[tuple[str, int]] | None) -> CommitSeen:
        self.calls.append("commit")
        return CommitSeen(tuple(self._positions.items() if offsets is None else offsets), self.error)

    def positions(self) -> dict[str, int]:
        return dict(self._positions)

    def events(self) -> list[ConsumerEvent]:
        events, self.happened = self.happened, []
        return events

    def wakeup(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self.calls.append("close")
        self.happened.append(PartitionsChanged("revoked", ("orders-0",)))


class Told:
    """The parent's end of an application: orders to it, and what it has told."""

    def __init__(self) -> None:
        orders, self._orders = os.pipe()
        self._events, events = os.pipe()
        self.parent = Parent(orders, events)
        self.parent.zero = time.monotonic()
        self.parent.listen()
        self.events: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._work: threading.Thread | None = None
        threading.Thread(target=self._listen, daemon=True).start()

    def run(self, work: Callable[[], None]) -> None:
        """On a thread, as a process would."""
        self._work = threading.Thread(target=guarded, args=(work,), daemon=True)
        self._work.start()

    def say(self, order: str) -> None:
        os.write(self._orders, json.dumps({"do": order}).encode() + b"\n")

    def sigterm(self) -> None:
        self.parent.terminated.set()
        self.parent.interrupt()

    def gone(self) -> None:
        """Wait for the application's end."""
        assert self._work is not None
        self._work.join(PATIENCE_S)
        assert not self._work.is_alive()
        self.parent.tell("gone")
        self.wait(lambda: self.of("gone"))

    def end(self) -> None:
        self.say("end")
        self.gone()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["e"] == kind]

    def kinds(self, *kinds: str) -> list[str]:
        """Which events came, of these kinds, in order."""
        return [event["e"] for event in self.events if event["e"] in kinds]

    def numbers(self, kind: str) -> list[int]:
        """The records that all events of a kind name."""
        found = []
        for event in self.of(kind):
            pairs = [[event["first"], event["last"] - 1]] if kind == "sent" else event["numbers"]
            found += [number for first, last in pairs for number in range(first, last + 1)]
        return found

    def wait(self, true: Callable[[], object]) -> None:
        """Until it is; a test that waits in vain fails."""
        with self._news:
            assert self._news.wait_for(true, PATIENCE_S), self.events

    def _listen(self) -> None:
        with os.fdopen(self._events, "rb") as lines:
            for line in lines:
                with self._news:
                    self.events.append(json.loads(line))
                    self._news.notify_all()


def producer_spec(records: int, every_ms: float = 0.0, **changes: Any) -> ProducerSpec:
    fixed: dict[str, Any] = {
        "name": "shop",
        "index": 0,
        "client": "fake",
        "topic": "orders",
        "real_topic": "orders",
        "bootstrap": "",
        "config": {},
        "record_size": 100,
        "arrivals": [number * every_ms for number in range(records)],
        "keys": None,
        "first": 0,
        "sent_before": 0,
        "on_failure": "drop",
        "retries": 0,
        "retry_backoff_ms": 20.0,
        "spool_path": "",
        "spool_retry_ms": 30.0,
        "gates": [],
        "java": [],
    }
    return ProducerSpec(**(fixed | changes))


def consumer_spec(**changes: Any) -> ConsumerSpec:
    fixed: dict[str, Any] = {
        "group": "billing",
        "real_group": "billing",
        "member": "billing-0",
        "client": "fake",
        "topics": {"orders": "orders"},
        "bootstrap": "",
        "config": {},
        "max_poll_records": 500,
        "poll_timeout_ms": 20.0,
        "commit": "after-processing",
        "worker_commit": "polled",
        "threads": 4,
        "processing_ms": 0.0,
        "dedup": "none",
        "dedup_order": "mark-last",
        "dedup_ms": 0.0,
        "dedup_where": "",
        "dedup_namespace": "",
        "producers": ["shop"],
        "gates": [],
        "handled_before": 0,
        "seed": 1,
        "java": [],
    }
    return ConsumerSpec(**(fixed | changes))


def _never(_number: int) -> None:
    return None


if __name__ == "__main__":
    if sys.argv[1] == "producing":
        guarded(lambda: leave(producing.main(lambda _spec: FakeProducer(_never))))
    guarded(lambda: leave(consuming.main(lambda _spec: FakeConsumer([PolledRun("orders-0", 0, 0, 0, 1000)]))))
