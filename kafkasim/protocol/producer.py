"""The producer: org.apache.kafka.clients.producer.KafkaProducer, or librdkafka's, as one machine.

    SendRecords -> partitioner -> accumulator (batches) -> sender (requests) -> broker
                                                           sender <- ProduceResponse -> Outcome

This module is the application's side, send() and its waiting. Java: send() waits up to `max.block.ms` for the topic's metadata and for a
place in `buffer.memory`, both from one allowance a record; then the record fails through its callback, and the thread goes on to
the next. While it waits, whatever else was handed over waits behind it, as it would on the application's one thread.
librdkafka: produce() never waits. Without metadata the message is queued; with a full queue it fails at once.

A driver should hand over everything that has arrived before it delivers anything else or wakes the machine: what is sent depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from kafkasim.protocol.accumulator import NO_MEMORY, RecordAccumulator
from kafkasim.protocol.calls import CloseClient, Outcome, ProducerReady, SendRecords, SendUnblocked
from kafkasim.protocol.errors import NO_ERROR, Error
from kafkasim.protocol.flavours import NO_LIMIT, Client, ProducerSettings
from kafkasim.protocol.idempotence import LIBRDKAFKA_WINDOW, TransactionManager
from kafkasim.protocol.messages import ProduceResponse
from kafkasim.protocol.network_client import NetworkClient
from kafkasim.protocol.node import Output, Random, Trace
from kafkasim.protocol.sender import Sender
from kafkasim.protocol.unassigned import UnassignedQueue

NEVER = float("inf")


class PendingSend:
    """A SendRecords in work: `position` is the record whose send() runs; `floor` when the thread was last set free."""

    __slots__ = ("call", "deadline", "floor", "position", "reason", "waited")

    def __init__(self, call: SendRecords, position: int) -> None:
        self.call = call
        self.position = position
        self.floor = -NEVER
        self.deadline = NEVER  # of the waiting record
        self.reason = Error.NONE  # what the waiting record will fail with
        self.waited = False


class Producer:
    """A producer with one application thread. Both flavours; what they differ in is in `settings`.

    `record_size` is the size of a record's value in bytes. `random` gives uniform numbers in [0, 1). Implements `Node`;
    takes SendRecords and CloseClient; answers with Outcome, SendUnblocked, ProducerReady.
    """

    def __init__(
        self,
        name: str,
        settings: ProducerSettings,
        bootstrap: tuple[int, ...],
        record_size: int,
        random: Random,
        trace: Trace | None = None,
    ) -> None:
        self.name = name
        self.linger_ms = settings.linger_ms
        self.closed = False  # CloseClient has come and everything is settled
        self._settings = settings
        self._record_size = record_size
        self._client = NetworkClient(settings, bootstrap, random, trace, settings.max_in_flight)
        self._metadata = self._client.metadata
        window = NO_LIMIT if settings.client is Client.JAVA else LIBRDKAFKA_WINDOW
        self._transactions = TransactionManager(window) if settings.enable_idempotence else None
        self._accumulator = RecordAccumulator(settings, self._metadata, record_size, self._transactions, random)
        self._sender = Sender(name, settings, self._client, self._accumulator, self._transactions, random, trace)
        self._unassigned = UnassignedQueue(settings.delivery_timeout_ms)
        # Whether one record more or less in an open batch is all the same (librdkafka's sticky partition changes by the clock).
        self._can_wait = settings.client is Client.JAVA and settings.linger_ms > 0 and self._accumulator.size_limit == settings.batch_size
        self._served_version = -1  # of the metadata that unassigned messages were last held against
        self._pending: PendingSend | None = None
        self._answering = False
        # How many records without keys of a topic, handed over from now on, bring the next event that `next_deadline()` does not
        # foretell: a batch begun, whose linger then runs; a batch full; a send() that waits or fails. At least 1.
        self.records_to_ready = self._accumulator.records_to_ready
        self._deadline: float | None = None  # found once at the end of every turn: between turns nothing changes

    # ------------------------------------------------------------------------------------------------ the node

    @property
    def blocked(self) -> bool:
        """The application's thread is inside a send() that waits."""
        return self._pending is not None

    @property
    def held_back(self) -> Sequence[int]:
        """The records behind the one that send() waits with: they were given to this machine, and send() has not been called for them."""
        pending = self._pending
        return () if pending is None else pending.call.numbers[pending.position + 1 :]

    def start(self, now: float) -> list[Output]:
        """WHEN the producer is created; THEN it asks its bootstrap brokers for metadata, before there is anything to send."""
        outputs: list[Output] = []
        self._turn(now, outputs)
        return outputs

    def receive(self, event: object, source: str, now: float) -> list[Output]:
        """Take the application's call, a broker's response, or news of a connection."""
        outputs: list[Output] = []
        if self.closed:
            return outputs
        if type(event) is SendRecords:
            self._send_called(event, outputs)
            if self._only_appended(now):
                return outputs
        elif type(event) is CloseClient:
            self._close_called()
        else:
            for completed in self._client.receive(event, source, now):
                self._sender.completed(completed, now, outputs)
        self._turn(now, outputs)
        return outputs

    def records_that_can_wait(self, topic: str) -> int:
        """With no batch begun: how many records without keys make a whole one. Until the last of them is there, or linger.ms have passed
        since the first, nothing depends on when they were handed over. 0: it may, so the first is to be handed over as it comes."""
        accumulator = self._accumulator
        if accumulator.waiting or not self._can_wait or not self._sender.settled():
            return 0
        sticky = accumulator.partitioner.sticky.get(topic)
        if sticky is None or topic not in self._metadata.partitions or accumulator.closed:
            return 0
        # Else the partitioner would draw anew, or send() would block.
        surely = sticky.produced_bytes < accumulator.size_limit <= accumulator.free_memory
        return max(accumulator.whole_batch, 0) if surely else 0

    def would_not_notice(self, event: object, now: float) -> bool:
        """Whether `event` is one that reads nothing of what send() has written: a success, and nothing to send now."""
        return (
            type(event) is ProduceResponse
            and self._pending is None
            and self._sender.success_brings_nothing_to_do(now)
            and _all_succeeded(event)
        )

    def next_deadline(self) -> float | None:
        """The earliest of: send() gives up, a batch is ready or too old, a request or connection times out, metadata is due."""
        return self._deadline

    def wake(self, now: float) -> list[Output]:
        """Act on every deadline that is not after `now`."""
        outputs: list[Output] = []
        if self.closed:
            return outputs
        for completed in self._client.wake(now, outputs):
            self._sender.completed(completed, now, outputs)
        self._turn(now, outputs)
        return outputs

    # ------------------------------------------------------------------------------------------------ one turn

    def _only_appended(self, now: float) -> bool:
        """WHEN all records of a send() found their place and nothing else is due; THEN there is no turn to take: at most a batch was
        begun, and it is ready, or too old, before whatever was to come next."""
        if self._pending is not None or self._metadata.update_at <= now or not self._sender.has_nothing_to_do(now):
            return False
        next_send = self._sender.next_deadline()
        if next_send < NEVER and (self._deadline is None or next_send < self._deadline):
            self._deadline = next_send
        return True

    def _turn(self, now: float, outputs: list[Output]) -> None:
        """WHEN anything happened; THEN the application's thread goes on if it can, then the sender, then metadata."""
        if self._client.answering is not self._answering:
            self._answering = self._client.answering
            if self._answering:
                outputs.append(ProducerReady())
        if self._unassigned.waiting:
            self._serve_unassigned(now, outputs)
        if self._pending is not None:
            self._go_on(now, outputs)
        self._sender.run(now, outputs)
        while self._pending is not None and self._go_on(now, outputs):  # sending or expiring made room
            self._sender.run(now, outputs)
        if self._accumulator.closed and not self._accumulator.has_incomplete and not self._unassigned.waiting:
            self.closed = True
            self._client.close(outputs)
            self._deadline = None
            return
        deadline = self._client.poll(now, outputs)
        if (sender := self._sender.next_deadline()) < deadline:
            deadline = sender
        if self._unassigned.waiting and self._unassigned.next_expiry < deadline:
            deadline = self._unassigned.next_expiry
        if self._pending is not None and self._pending.deadline < deadline:
            deadline = self._pending.deadline
        self._deadline = deadline if deadline < NEVER else None

    def _go_on(self, now: float, outputs: list[Output]) -> bool:
        """WHEN send() is being called, or what it waits for may be there, or its time is up; THEN take the records one after the other.

        Returns whether it got any further.
        """
        pending = self._pending
        if pending is None:
            return False
        before = pending.position
        while pending.position < len(pending.call.numbers) and self._send_some(pending, now, outputs):
            pass
        moved = pending.position > before
        if pending.position == len(pending.call.numbers):
            self._pending = None
            self._want_memory(False)
            if pending.waited:
                outputs.append(SendUnblocked())
        return moved

    def _send_some(self, pending: PendingSend, now: float, outputs: list[Output]) -> bool:
        """Append the next records; False if the thread must wait. KafkaProducer.doSend."""
        call, position = pending.call, pending.position
        topic, stop = call.topic, len(call.numbers)
        if self._accumulator.closed:
            self._fail(pending, stop, Error.PRODUCER_CLOSED, outputs)
            return True
        if not self._accumulator.fits_at_all:
            self._fail(pending, stop, Error.RECORD_TOO_LARGE, outputs)
            return True
        if topic not in self._metadata.partitions:
            self._metadata.add_topic(topic)
            if self._settings.blocks_on_metadata:
                self._metadata.request_update()
                return self._wait(pending, Error.METADATA_TIMEOUT, now, outputs)
            return self._keep_unassigned(pending, outputs)
        if pending.deadline != NEVER:  # the thread has just been set free
            pending.floor = max(pending.floor, now)
        if call.keys is None:
            taken = self._accumulator.append_unkeyed(topic, call.numbers, call.times, position, stop, pending.floor)
        else:
            taken = self._accumulator.append_keyed(topic, call.numbers, call.times, position, pending.floor, call.keys[position])
        if taken == NO_MEMORY:
            if not self._settings.blocks_on_metadata:
                self._fail(pending, stop, Error.QUEUE_FULL, outputs)
                return True
            self._want_memory(True)
            return self._wait(pending, Error.BUFFER_EXHAUSTED, now, outputs)
        self._want_memory(False)
        pending.position += taken
        pending.deadline = NEVER
        return True

    # ------------------------------------------------------------------------------------------------ waiting and failing

    def _wait(self, pending: PendingSend, reason: Error, now: float, outputs: list[Output]) -> bool:
        """WHEN something is missing; THEN wait for it, up to max.block.ms from when send() was called; both waits share that allowance."""
        pending.reason = reason
        if pending.deadline == NEVER:
            called = max(pending.call.times[pending.position], pending.floor)
            pending.deadline = called + self._settings.max_block_ms
        if pending.deadline > now:
            pending.waited = True
            return False
        pending.deadline = NEVER
        pending.floor = max(pending.floor, now)
        without_wait = self._settings.max_block_ms <= 0 and pending.call.keys is None
        self._fail(pending, len(pending.call.numbers) if without_wait else pending.position + 1, reason, outputs)
        return True

    def _fail(self, pending: PendingSend, stop: int, error: Error, outputs: list[Output]) -> None:
        """The callbacks of the records up to `stop`; they never got a partition."""
        outputs.append(Outcome(pending.call.numbers[pending.position : stop], error, None, -1))
        pending.position = stop

    def _want_memory(self, wanted: bool) -> None:
        """While a send() waits for memory every batch is ready, however young (RecordAccumulator.ready: exhausted)."""
        if self._accumulator.memory_wanted is not wanted:
            self._accumulator.memory_wanted = wanted
            if wanted:
                self._accumulator.ready_at = -NEVER

    def _send_called(self, call: SendRecords, outputs: list[Output]) -> None:
        assert self._pending is None, "the application's one thread is still inside an earlier send()"
        if self._accumulator.closed:
            outputs.append(Outcome(call.numbers, Error.PRODUCER_CLOSED, None, -1))
            return
        topic, numbers, times, keys = call
        taken, count = 0, len(numbers)
        # The hot path: records that find their place straight away, with nobody before them and nothing to wait for.
        if keys is None and topic in self._metadata.partitions and self._accumulator.fits_at_all and not self._unassigned.waiting:
            taken = self._accumulator.append_unkeyed(topic, numbers, times, 0, count, -NEVER)
        if taken < count:
            self._pending = PendingSend(call, taken)

    def _close_called(self) -> None:
        """WHEN close() is called; THEN no send() is taken any more, every batch is ready, and the end comes with the last callback."""
        self._accumulator.closed = True
        self._accumulator.ready_at = -NEVER

    # ------------------------------------------------------------------------------------------------ librdkafka, without metadata

    def _keep_unassigned(self, pending: PendingSend, outputs: list[Output]) -> bool:
        """WHEN librdkafka does not know the topic; THEN the message waits without a partition, as long as the queue has room."""
        position = pending.position
        stop = min(len(pending.call.numbers), position + self._accumulator.room_in_queue(self._record_size))
        if stop > position:
            self._unassigned.add(pending.call, position, stop)
            self._accumulator.reserve(stop - position, self._record_size)
            pending.position = stop
        else:
            self._fail(pending, len(pending.call.numbers), Error.QUEUE_FULL, outputs)
        return True

    def _serve_unassigned(self, now: float, outputs: list[Output]) -> None:
        """WHEN metadata has come; THEN what waited gets its partitions. WHEN message.timeout.ms has passed first; THEN it fails."""
        for numbers in self._unassigned.take_expired(now):
            self._accumulator.reserve(-len(numbers), self._record_size)
            outputs.append(Outcome(numbers, Error.DELIVERY_TIMEOUT, None, -1))
        if self._served_version == self._metadata.version:
            return
        self._served_version = self._metadata.version
        for call, start, stop in self._unassigned.take_known(self._metadata.partitions):
            self._accumulator.reserve(start - stop, self._record_size)
            position = start
            while position < stop:
                if call.keys is None:
                    taken = self._accumulator.append_unkeyed(call.topic, call.numbers, call.times, position, stop, -NEVER)
                else:
                    taken = self._accumulator.append_keyed(call.topic, call.numbers, call.times, position, -NEVER, call.keys[position])
                if taken == NO_MEMORY:  # Simplified: keys were not counted while the message had no partition; what they displace fails
                    outputs.append(Outcome(call.numbers[position:stop], Error.QUEUE_FULL, None, -1))
                    break
                position += taken


def _all_succeeded(response: ProduceResponse) -> bool:
    results = response.results
    return results[0].error is NO_ERROR and (len(results) == 1 or all(result.error is NO_ERROR for result in results))
