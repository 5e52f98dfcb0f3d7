"""The purgatory: requests that cannot be answered yet, what they wait for, and when they have waited enough.

In Kafka: DelayedOperationPurgatory, DelayedProduce, DelayedFetch. Nothing is polled. A parked request is looked at again only when
something happened to a partition it *watches*:

    event on a partition            looks again at
    records appended                fetches of followers (they read up to the log end offset)
    high watermark moved            produce requests with acks=all, fetches of consumers (they read up to the high watermark)
    leadership changed or lost      all of them

What is decided then (`tryComplete`) stands in delayed_produce.py and delayed_fetch.py, the lists of watchers in hosted_partitions.py.
Here are the operations, and the queues by which they expire.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from math import inf
from typing import Generic, TypeVar

from kafkasim.protocol.messages import FetchRequest, PartitionProduceResponse
from kafkasim.protocol.request_channel import Connection
from kafkasim.protocol.scheduled_tasks import Alarm

OnProduced = Callable[[list[PartitionProduceResponse]], None]


class DelayedProduce:
    """An append with acks=all that waits for its followers.

    `results` hold NONE for a partition that is still `pending`, or else its final error. When `pending` is 0, or the time is
    up, `on_produced` is called with them.
    """

    __slots__ = ("deadline", "done", "on_produced", "pending", "results")

    def __init__(self, deadline: float, results: list[PartitionProduceResponse], on_produced: OnProduced) -> None:
        self.deadline = deadline
        self.results = results
        self.on_produced = on_produced
        self.pending = 0  # a bit for each index in results that is pending
        self.done = False


class DelayedFetch:
    """A fetch, of a follower or a consumer, that has found less than `min_bytes`. `watched`: the lists it is on.

    `found_nothing`: not a single batch, in any of its partitions, and nothing has happened to them since.
    """

    __slots__ = ("connection", "deadline", "done", "found_nothing", "request", "watched")

    def __init__(self, deadline: float, request: FetchRequest, connection: Connection, found_nothing: bool = False) -> None:
        self.found_nothing = found_nothing
        self.deadline = deadline
        self.request = request
        self.connection = connection
        self.watched: list[FetchWatchers] = []
        self.done = False


FetchWatchers = dict[DelayedFetch, None]  # who waits for something to happen to a partition, the longest first


Operation = TypeVar("Operation", DelayedProduce, DelayedFetch)


class ExpirationQueue(Generic[Operation]):
    """When parked operations time out: one queue a timeout, oldest first, since equal timeouts run out in the order they began.

    Done operations leave when they come to the head, so that 30 s of answered produce requests are not kept for 30 s.
    """

    __slots__ = ("_alarm", "_queues")

    def __init__(self, alarm: Alarm) -> None:
        self._alarm = alarm
        self._queues: dict[float, deque[Operation]] = {}

    def add(self, operation: Operation, timeout_ms: float) -> None:
        """`operation` has just begun to wait, for `timeout_ms`."""
        queue = self._queues.get(timeout_ms)
        if queue is None:
            queue = self._queues[timeout_ms] = deque()
        while queue and queue[0].done:
            queue.popleft()
        queue.append(operation)
        if operation.deadline < self._alarm.deadline:
            self._alarm.set(operation.deadline)

    def expired(self, now: float) -> Iterator[Operation]:
        """Those not done whose time is up, each once."""
        for queue in list(self._queues.values()):
            while queue and (queue[0].done or queue[0].deadline <= now):
                operation = queue.popleft()
                if not operation.done:
                    yield operation

    def next_deadline(self) -> float:
        """When the next of those not done runs out; infinite if there is none."""
        deadline = inf
        for queue in self._queues.values():
            while queue and queue[0].done:
                queue.popleft()
            if queue:
                deadline = min(deadline, queue[0].deadline)
        return deadline
