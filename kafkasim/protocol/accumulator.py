"""Where records wait for their batch, and batches for their turn: org.apache.kafka.clients.producer.internals.RecordAccumulator.

A queue of batches a partition; only its last batch takes records. A partition is *ready* when its first batch need not wait any
longer: it is full, another is queued behind it, `linger.ms` passed since its first record, a send() waits for memory, or the producer
is closing; and never while the batch backs off after a failure, or while its partition is muted. A broker is ready when one
of its partitions is; then the first batch of *each* of its partitions goes along (`drain`), up to `max.request.size`.

Memory: Java takes `batch.size` bytes for each batch when it is created (BufferPool), and gives them back with the callbacks;
librdkafka counts messages and their payload (queue.buffering.max.messages, queue.buffering.max.kbytes).

Simplified: the queues of a broker take turns by who was drained longest ago; Kafka keeps a drain index a broker.
Simplified: librdkafka's batch takes records for 100 ms and has the first one's timeout; its messages expire singly, and are regrouped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

from kafkasim.protocol.client_metadata import NO_LEADER, ClientMetadata
from kafkasim.protocol.flavours import Client, ProducerSettings
from kafkasim.protocol.idempotence import TransactionManager
from kafkasim.protocol.node import Random
from kafkasim.protocol.partitioner import Partitioner, key_bytes
from kafkasim.protocol.producer_batch import SHORT, PartitionQueue, ProducerBatch, RecordSizes
from kafkasim.protocol.records import NO_SEQUENCE, RECORD_BATCH_OVERHEAD, TopicPartition

NEVER = float("inf")
SLICE_MS = 100.0  # see the module
NO_MEMORY = 0  # how many records were taken, when there is no memory for the next


class RecordAccumulator:
    """All records of one producer that have no callback yet. Times in ms, sizes in bytes.

    `ready_at`: no batch becomes ready before, unless something else happens. `next_expiry`: when the oldest batch reaches
    delivery.timeout.ms; kept by what changes who is oldest: `_new_batch`, `complete`, `expired_batches`. `unknown_leader`: the last
    `ready()` found a batch whose partition has no known leader. `memory_wanted`: a send() waits for memory (set by its producer).
    """

    def __init__(
        self,
        settings: ProducerSettings,
        metadata: ClientMetadata,
        record_size: int,
        transactions: TransactionManager | None,
        random: Random,
    ) -> None:
        self.ready_at = NEVER
        self.next_expiry = NEVER
        self.unknown_leader = False
        self.memory_wanted = False
        self.closed = False
        self.free_memory = settings.buffer_memory
        self.free_records = settings.buffer_records
        self.partitioner = Partitioner(metadata, settings.batch_size, settings.murmur2, settings.sticky_linger_ms, random)
        self._settings = settings
        self._metadata = metadata
        self._transactions = transactions
        self._java = settings.client is Client.JAVA
        self._batch_size = max(1, settings.batch_size)  # Kafka: 0 means a batch for each record
        self._record_size = record_size
        self._sizes = {-1: RecordSizes(record_size)}
        self._queues: dict[TopicPartition, PartitionQueue] = {}
        self.waiting: dict[TopicPartition, PartitionQueue] = {}  # those that are not empty
        self._incomplete: deque[ProducerBatch] = deque()  # by age: all time out after the same time
        self._incomplete_count = 0
        self._serial = 0
        self._linger_ms = settings.linger_ms
        self._delivery_timeout_ms = settings.delivery_timeout_ms
        # Whether a record fits at all (KafkaProducer.ensureValidRecordSize): for max.request.size and for the whole buffer.
        self.fits_at_all = self._sizes[-1].upper_bound <= min(settings.max_request_size, settings.buffer_memory)
        # How many records without keys close a batch, where the first are short (`_until_closed`); found when first asked for.
        self.size_limit = max(self._batch_size, self._sizes[-1].upper_bound)
        self.whole_batch = -1

    # ------------------------------------------------------------------------------------------------ appending

    def append_unkeyed(self, topic: str, numbers: Sequence[int], times: Sequence[float], start: int, stop: int, floor: float) -> int:
        """Append records without keys, and return how many found a place: fewer than asked for when a new batch finds no memory.

        `floor`: no record was appended before it.
        """
        if not self._java:
            return self._append_librdkafka(topic, numbers, times, start, stop, floor)
        sizes, batch_size = self._sizes[-1], self._batch_size
        position = start
        while position < stop:
            sticky = self.partitioner.sticky.get(topic) or self.partitioner.current(topic)
            queue = self._queues.get(sticky.partition) or self._queue(sticky.partition)
            last = queue.batches[-1] if queue.batches else None
            if sticky.produced_bytes >= batch_size and self.partitioner.maybe_switch(topic, sticky, last is None or last.closed):
                continue
            cap = 2 * batch_size - sticky.produced_bytes
            if last is not None and not last.closed:
                before = last.size
                position += last.append(numbers, times, position, stop, floor, sizes, cap)
                sticky.produced_bytes += last.size - before
                if last.closed:  # filled to the byte
                    self.ready_at = -NEVER
                if position == stop or sticky.produced_bytes >= 2 * batch_size:
                    continue
                last.closed = True  # full, or the next record does not fit
                self.ready_at = -NEVER
                if sticky.produced_bytes >= batch_size:
                    continue  # the partitioner may move on now that no batch is half filled
            batch = self._new_batch(queue, times[position] if times[position] > floor else floor, sizes)
            if batch is None:
                break
            position += batch.append(numbers, times, position, stop, floor, sizes, cap)
            sticky.produced_bytes += batch.size  # the partitioner counts the header of a batch too
            if batch.closed:
                self.ready_at = -NEVER
        return position - start

    def append_keyed(self, topic: str, numbers: Sequence[int], times: Sequence[float], position: int, floor: float, key: int) -> int:
        """Append one record with a key; NO_MEMORY if a new batch found none."""
        key_size = len(key_bytes(key))
        sizes = self._sizes.get(key_size)
        if sizes is None:
            sizes = self._sizes[key_size] = RecordSizes(self._record_size, key_size)
        queue = self._queue(self.partitioner.for_key(topic, key))
        return self._append_to_queue(queue, numbers, times, position, position + 1, floor, sizes, self._record_size + key_size)

    def _append_librdkafka(self, topic: str, numbers: Sequence[int], times: Sequence[float], start: int, stop: int, floor: float) -> int:
        position = start
        while position < stop:
            sticky = self.partitioner.current_until(topic, max(times[position], floor))
            end = stop
            if times[stop - 1] >= sticky.until:
                end = max(bisect_left(times, sticky.until, position, stop), position + 1)
            queue = self._queue(sticky.partition)
            taken = self._append_to_queue(queue, numbers, times, position, end, floor, self._sizes[-1], self._record_size)
            if taken == NO_MEMORY:
                break
            position += taken
        return position - start

    def _append_to_queue(
        self,
        queue: PartitionQueue,
        numbers: Sequence[int],
        times: Sequence[float],
        start: int,
        stop: int,
        floor: float,
        sizes: RecordSizes,
        payload: int,
    ) -> int:
        """Append to the partition's last batch, else to a new one."""
        if not self._java:
            stop = min(stop, start + self.room_in_queue(payload))
            if stop <= start:
                return NO_MEMORY
        last = queue.batches[-1] if queue.batches else None
        takes = self._java or (last is not None and times[start] < last.created + max(SLICE_MS, self._linger_ms))
        taken = last.append(numbers, times, start, stop, floor, sizes) if last is not None and takes else 0
        if last is None or taken == 0:
            if last is not None and not last.closed:
                last.closed = True
                self.ready_at = -NEVER
            last = self._new_batch(queue, max(times[start], floor), sizes)
            if last is None:
                return NO_MEMORY
            taken = last.append(numbers, times, start, stop, floor, sizes)
        if not self._java:
            self.free_memory -= taken * payload
            self.free_records -= taken
            last.payload_bytes += taken * payload
        if last.closed:
            self.ready_at = -NEVER
        return taken

    def _new_batch(self, queue: PartitionQueue, created: float, sizes: RecordSizes) -> ProducerBatch | None:
        """A new last batch of the queue, or None where Java's buffer.memory has no room for one."""
        size_limit = self._batch_size if self._batch_size > sizes.upper_bound else sizes.upper_bound
        if self._java:
            if self.free_memory < size_limit:
                return None
            self.free_memory -= size_limit
        self._serial += 1
        batch = ProducerBatch(queue.partition, size_limit, self._settings.batch_records, created, self._serial)
        queue.batches.append(batch)
        if not self._incomplete:
            self.next_expiry = created + self._delivery_timeout_ms
        self._incomplete.append(batch)
        self._incomplete_count += 1
        if len(queue.batches) > 1:
            self.ready_at = -NEVER
        else:
            self.waiting[queue.partition] = queue
            self.ready_at = min(self.ready_at, created + self._linger_ms)
        return batch

    # ------------------------------------------------------------------------------------------------ room

    def room_in_queue(self, payload: int) -> int:
        """How many more messages of `payload` bytes librdkafka's queue takes (rd_kafka_curr_msgs_add)."""
        return min(self.free_records, self.free_memory // payload) if payload else self.free_records

    def reserve(self, count: int, payload: int) -> None:
        """librdkafka: `count` messages wait without a partition; negative: no longer."""
        self.free_records -= count
        self.free_memory -= count * payload

    def records_to_ready(self, topic: str) -> int:
        """How many records without keys, handed over from now on, make the first difference that cannot wait: a batch begun
        (its linger clock starts), full, or too full for the next record; or a send() that finds no memory."""
        sticky = self.partitioner.sticky.get(topic)
        if sticky is None or not self.waiting or topic not in self._metadata.partitions:
            return 1
        queue = self.waiting.get(sticky.partition)
        if queue is None:
            return 1
        last = queue.batches[-1]
        if last.closed:
            return 1
        sizes = self._sizes[-1]
        until_ready = self._until_closed(last, sizes)
        if not self._java:
            return min(until_ready, self.room_in_queue(self._record_size) + 1)
        cap = 2 * self._batch_size - sticky.produced_bytes
        return max(1, min(until_ready, cap // sizes.size(last.count, 0)))

    def _until_closed(self, last: ProducerBatch, sizes: RecordSizes) -> int:
        """How many more records close `last`. Nearly always its first records are short ones, all of one size: then it is what is
        missing to a whole batch, which never changes, instead of a computation at each look."""
        latest_delta = int(self._linger_ms) + 1
        short = last.count < SHORT and latest_delta < SHORT and last.size_limit == self.size_limit
        if not short or last.size != RECORD_BATCH_OVERHEAD + last.count * sizes.short:
            return last.until_closed(sizes, latest_delta)
        if self.whole_batch < 0:
            self.whole_batch = last.count + last.until_closed(sizes, latest_delta)
        return self.whole_batch - last.count

    # ------------------------------------------------------------------------------------------------ sending

    def ready(self, now: float) -> dict[int, list[PartitionQueue]]:
        """The brokers that have a partition ready, each with all its partitions that wait; sets `ready_at` and `unknown_leader`."""
        leaders = self._metadata.leaders
        linger_ms = self._linger_ms
        send_all = self.memory_wanted or self.closed
        by_leader: dict[int, list[PartitionQueue]] = {}
        ready_brokers: dict[int, None] = {}
        self.unknown_leader = False
        self.ready_at = NEVER
        for partition, queue in self.waiting.items():
            leader = leaders.get(partition, NO_LEADER)
            if leader == NO_LEADER:
                self.unknown_leader = True
                continue
            by_leader.setdefault(leader, []).append(queue)
            if queue.muted:
                continue
            first = queue.batches[0]
            if first.backoff_until > now and self._backs_off(first):
                self.ready_at = min(self.ready_at, first.backoff_until)
            elif len(queue.batches) > 1 or first.closed or first.last_attempt + linger_ms <= now or send_all:
                ready_brokers[leader] = None
            else:
                self.ready_at = min(self.ready_at, first.last_attempt + linger_ms)
        if len(by_leader) <= 1:
            return by_leader if ready_brokers else {}
        return {broker: by_leader[broker] for broker in ready_brokers}

    def drain(self, queues: list[PartitionQueue], mute: bool, now: float) -> list[ProducerBatch]:
        """WHEN a broker can take a request; THEN the first batch of each of its partitions goes in, while max.request.size allows.

        An idempotent batch gets its sequence here, and so its place. librdkafka sends each partition in a request of its own.
        """
        drained: list[ProducerBatch] = []
        size = 0
        for queue in queues:
            if queue.muted:
                continue
            batch = queue.batches[0]
            if batch.backoff_until > now and self._backs_off(batch):
                continue
            if drained and (size + batch.size > self._settings.max_request_size or not self._java):
                self.ready_at = -NEVER  # for the next request
                break
            # Simplified: Kafka leaves the whole broker alone when one partition may not go on; here only that partition.
            if self._transactions is not None and not self._transactions.may_drain(batch):
                continue
            self._take_first(queue, batch)
            queue.muted = mute
            if queue.batches and not mute:
                self._look_at(queue.batches[0], behind=len(queue.batches) > 1)
            size += batch.size
            drained.append(batch)
        return drained

    def _look_at(self, first: ProducerBatch, behind: bool) -> None:
        """A batch became the first of its queue: when will it be ready?"""
        if behind or first.closed or self.memory_wanted or self.closed or first.backoff_until > -NEVER:
            self.ready_at = -NEVER
        else:
            self.ready_at = min(self.ready_at, first.last_attempt + self._settings.linger_ms)

    def _take_first(self, queue: PartitionQueue, batch: ProducerBatch) -> None:
        queue.batches.popleft()
        del self.waiting[queue.partition]
        if queue.batches:
            self.waiting[queue.partition] = queue  # to the end of the line
        batch.closed = True
        batch.in_flight = True
        batch.leader_epoch = max(batch.leader_epoch, self._metadata.leader_epochs.get(queue.partition, -1))
        if self._transactions is not None and batch.base_sequence == NO_SEQUENCE:
            self._transactions.assign_sequence(batch)

    def _backs_off(self, batch: ProducerBatch) -> bool:
        """Whether the batch must wait out its backoff: not if it has a new leader since it failed (KIP-951)."""
        if self._java:
            leader_epoch = self._metadata.leader_epochs.get(batch.partition, -1)
            if leader_epoch > batch.leader_epoch:
                batch.leader_epoch = leader_epoch
                batch.backoff_until = -NEVER
                return False
        return True

    def reenqueue(self, batch: ProducerBatch, now: float, backoff_ms: float) -> None:
        """WHEN a batch is to be retried; THEN it goes back to the front of its queue, and waits for `backoff_ms`.

        Java, not idempotent: simply to the front, so several that failed together come back in reverse order. Idempotent:
        in the order of sequences (insertInSequenceOrder). librdkafka: always in the order of messages.
        """
        batch.in_flight = False
        batch.last_attempt = now
        batch.backoff_until = now + backoff_ms
        queue = self._queue(batch.partition)
        position = 0
        if self._transactions is not None:
            waiting = queue.batches
            while position < len(waiting) and waiting[position].has_sequence and waiting[position].base_sequence < batch.base_sequence:
                position += 1
        elif not self._java:
            while position < len(queue.batches) and queue.batches[position].serial < batch.serial:
                position += 1
        queue.batches.insert(position, batch)
        self.waiting[batch.partition] = queue
        self.ready_at = min(self.ready_at, batch.backoff_until)

    def unmute(self, partition: TopicPartition) -> None:
        """WHEN the batch in flight is answered, and only one may be; THEN the next may go."""
        queue = self._queue(partition)
        if queue.muted:
            queue.muted = False
            self.ready_at = -NEVER

    # ------------------------------------------------------------------------------------------------ the end of batches

    def complete(self, batch: ProducerBatch) -> None:
        """WHEN the callbacks of a batch are called; THEN its memory is free (deallocate)."""
        batch.done = True
        self._incomplete_count -= 1
        if self._incomplete and self._incomplete[0] is batch:
            self._find_oldest()
        if self._java:
            self.free_memory += batch.size_limit
        else:
            self.free_memory += batch.payload_bytes
            self.free_records += batch.count

    @property
    def has_incomplete(self) -> bool:
        """Whether some record has had no callback yet."""
        return self._incomplete_count > 0

    def _find_oldest(self) -> None:
        """WHEN the oldest batch has left; THEN the next that is not done is the oldest, and `next_expiry` its."""
        while (incomplete := self._incomplete) and incomplete[0].done:
            incomplete.popleft()
        self.next_expiry = incomplete[0].created + self._delivery_timeout_ms if incomplete else NEVER

    def expired_batches(self, now: float) -> list[ProducerBatch]:
        """WHEN delivery.timeout.ms has passed since a batch was created; THEN it leaves, in flight or not.

        A librdkafka batch in flight stays: its request's own timeout ends no later (rd_kafka_ProduceRequest).
        """
        expired: list[ProducerBatch] = []
        while self.next_expiry <= now:
            batch = self._incomplete.popleft()
            self._find_oldest()
            if batch.in_flight:
                if self._java:
                    expired.append(batch)
                continue
            queue = self._queue(batch.partition)
            queue.batches.remove(batch)
            if not queue.batches:
                del self.waiting[batch.partition]
            batch.closed = True
            expired.append(batch)
        return expired

    def _queue(self, partition: TopicPartition) -> PartitionQueue:
        if partition not in self._queues:
            self._queues[partition] = PartitionQueue(partition)
        return self._queues[partition]
