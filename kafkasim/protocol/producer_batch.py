"""A batch in the making, and how many bytes it has: ProducerBatch, DefaultRecord and MemoryRecordsBuilder.

Sizes are exact. A record of magic 2 stores its offset and timestamp as differences to the batch's first, in variable-length
integers: so records grow by a byte at the 64th offset and at the 64th millisecond, and many equal records still need no loop.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

from kafkasim.protocol.records import NO_PRODUCER_ID, NO_SEQUENCE, RECORD_BATCH_OVERHEAD, RecordBatch, TopicPartition

NEVER = float("inf")
NO_KEY = -1
SHORT = 64  # below it a difference of offsets or timestamps takes one byte
MAX_RECORD_OVERHEAD = 21  # DefaultRecord: an upper bound of everything but key, value and headers


def size_of_varint(value: int) -> int:
    """Bytes of a zigzag-encoded variable-length integer (ByteUtils.sizeOfVarint)."""
    zigzag = value << 1 if value >= 0 else (-value << 1) - 1
    return max(1, (zigzag.bit_length() + 6) // 7)


def varint_step(value: int) -> int:
    """The next value that needs a byte more than `value`: 64, 8192, 2**20 and so on, seven bits a byte with one for the sign."""
    return int(1 << (value.bit_length() + 7) // 7 * 7 - 1)


class RecordSizes:
    """The sizes that records with one length of key and value can have (DefaultRecord.sizeInBytes, without headers)."""

    __slots__ = ("_by_deltas", "short", "upper_bound")

    def __init__(self, value_size: int, key_size: int = NO_KEY) -> None:
        payload = size_of_varint(key_size) + max(key_size, 0) + size_of_varint(value_size) + value_size + 1  # 1: no headers
        bodies = [1 + payload + deltas for deltas in range(21)]  # 1: attributes; deltas: the bytes of the two differences together
        self._by_deltas = [size_of_varint(body) + body for body in bodies]
        self.short = self._by_deltas[2]  # of a record near the start of its batch: a byte for each of the two differences
        self.upper_bound = RECORD_BATCH_OVERHEAD + MAX_RECORD_OVERHEAD + payload  # estimateBatchSizeUpperBound: of a batch with this record

    def size(self, offset_delta: int, timestamp_delta: int) -> int:
        """The size of the record at `offset_delta` and `timestamp_delta` (ms) in its batch."""
        # Seven bits a byte, one of them for the sign: the hot path's way to say size_of_varint().
        return self._by_deltas[(offset_delta.bit_length() + 7) // 7 + (timestamp_delta.bit_length() + 7) // 7]


class ProducerBatch:
    """Records of one partition, from the first append to the callback. `size_limit` is the buffer it was given.

    `numbers` is a `range` as long as each number follows the last, else an `array('q')`. `closed`: it takes no more records, being full
    to the byte, or too full for the next record, or sent. `done`: the callbacks were called.
    """

    __slots__ = (
        "_base_timestamp",
        "_record_batch",
        "attempts",
        "backoff_until",
        "base_sequence",
        "closed",
        "count",
        "created",
        "done",
        "in_flight",
        "last_attempt",
        "leader_epoch",
        "numbers",
        "partition",
        "payload_bytes",
        "producer_epoch",
        "producer_id",
        "record_limit",
        "sequence_has_been_reset",
        "serial",
        "size",
        "size_limit",
    )

    def __init__(self, partition: TopicPartition, size_limit: int, record_limit: int, created: float, serial: int) -> None:
        self.partition = partition
        self.size_limit = size_limit
        self.record_limit = record_limit
        self.created = created
        self.serial = serial  # the order in which the producer's batches were created
        self.numbers: range | array[int] = range(0)
        self.count = 0
        self.size = RECORD_BATCH_OVERHEAD
        self.payload_bytes = 0
        self.closed = False
        self.done = False
        self.in_flight = False
        self.attempts = 0
        self.last_attempt = created
        self.backoff_until = -NEVER
        self.leader_epoch = -1
        self.producer_id = NO_PRODUCER_ID
        self.producer_epoch = -1
        self.base_sequence = NO_SEQUENCE
        self.sequence_has_been_reset = False
        self._base_timestamp = int(created)
        self._record_batch: RecordBatch | None = None

    # ------------------------------------------------------------------------------------------------ filling

    def append(
        self,
        numbers: Sequence[int],
        times: Sequence[float],
        start: int,
        stop: int,
        floor: float,
        sizes: RecordSizes,
        byte_cap: float = NEVER,
    ) -> int:
        """Take of `numbers[start:stop]` as many as fit, and return how many; the first of a batch always fits.

        `times` ascend; a record handed over before `floor` was appended at `floor` (its thread was blocked till then). Taking
        ends once `byte_cap` bytes are reached. MemoryRecordsBuilder.hasRoomFor.
        """
        if self.closed:
            return 0
        count, size, base = self.count, self.size, self._base_timestamp
        # The hot path: one look at the first and the last shows that all are of one size, and that all fit with room to spare.
        first, last = times[start], times[stop - 1]
        taken = stop - start
        if count + taken < SHORT and last < base + SHORT and floor < base + SHORT and count + taken < self.record_limit:
            added = taken * sizes.short
            if size + added < self.size_limit and added < byte_cap and first >= base:
                self.count, self.size = count + taken, size + added
                self._add_numbers(numbers, start, stop)
                return taken
        position = start
        while position < stop:
            arrived = times[position]
            delta = int(arrived if arrived > floor else floor) - base
            record_size = sizes.size(count, delta)
            fits = max((self.size_limit - size) // record_size, 0 if count else 1)
            end = min(stop, position + fits, position + (64 if count < 64 else varint_step(count)) - count)
            if count + end - position > self.record_limit:
                end = position + self.record_limit - count
            if byte_cap < (end - position) * record_size:
                end = position - int(-byte_cap // record_size)  # rounded up
            if end <= position:
                break
            timestamp_step = base + (64 if delta < 64 else varint_step(delta))
            if times[end - 1] >= timestamp_step:
                end = max(bisect_left(times, timestamp_step, position, end), position + 1)
            taken = end - position
            position = end
            count += taken
            size += taken * record_size
            byte_cap -= taken * record_size
        if position > start:
            self.count, self.size = count, size
            self.closed = size >= self.size_limit or count >= self.record_limit
            self._add_numbers(numbers, start, position)
        return position - start

    def room(self, sizes: RecordSizes, timestamp_delta: int) -> int:
        """How many more records fit, each appended no more than `timestamp_delta` ms after the first."""
        return self._filled(sizes, timestamp_delta)[0] - self.count

    def until_closed(self, sizes: RecordSizes, timestamp_delta: int) -> int:
        """How many more records close it: with the last that fits, if it fills it (MemoryRecordsBuilder.isFull), else with the next."""
        count, size = self._filled(sizes, timestamp_delta)
        return count - self.count + (0 if count >= self.record_limit or size >= self.size_limit else 1)

    def _filled(self, sizes: RecordSizes, timestamp_delta: int) -> tuple[int, int]:
        """Records and bytes of this batch with as many more records as fit."""
        size, count = self.size, self.count
        while count < self.record_limit:
            record_size = sizes.size(count, timestamp_delta)
            alike = min(varint_step(count), self.record_limit) - count
            fits = min(max((self.size_limit - size) // record_size, 0), alike)
            count += fits
            size += fits * record_size
            if fits < alike:
                break
        return count, size

    def _add_numbers(self, numbers: Sequence[int], start: int, stop: int) -> None:
        """Keep a range as long as it is one: a batch of a million records is then three integers."""
        own = self.numbers
        if type(own) is range and type(numbers) is range and numbers.step == 1:
            first = numbers[start]
            if not own:
                self.numbers = range(first, first + stop - start)
                return
            if own.stop == first:
                self.numbers = range(own.start, first + stop - start)
                return
        if isinstance(own, range):
            if stop - start == 1 and (not own or own.stop == numbers[start]):
                self.numbers = range(own.start if own else numbers[start], numbers[start] + 1)
                return
            own = self.numbers = array("q", own)
        own.extend(numbers[start:stop])

    # ------------------------------------------------------------------------------------------------ sending

    @property
    def has_sequence(self) -> bool:
        """Whether a sequence number was assigned, that is, whether it was ever sent by an idempotent producer."""
        return self.base_sequence != NO_SEQUENCE

    def set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        """WHEN it is first drained, or its sequence is reset; what is on the wire already keeps what it said."""
        self.producer_id = producer_id
        self.producer_epoch = producer_epoch
        self.base_sequence = base_sequence
        self._record_batch = None

    def record_batch(self, producer: str) -> RecordBatch:
        """What goes on the wire; the same object for every attempt, unless the sequence was reset."""
        if self._record_batch is None:
            self._record_batch = RecordBatch(
                producer, self.numbers, self.size, self.created, self.producer_id, self.producer_epoch, self.base_sequence
            )
        return self._record_batch


class PartitionQueue:
    """The batches of one partition that wait to be sent. `muted`: one is in flight and must not be overtaken."""

    __slots__ = ("batches", "muted", "partition")

    def __init__(self, partition: TopicPartition) -> None:
        self.partition = partition
        self.batches: deque[ProducerBatch] = deque()
        self.muted = False
