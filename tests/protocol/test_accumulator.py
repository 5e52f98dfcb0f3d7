from array import array
from dataclasses import replace
from random import Random

import pytest

from kafkasim.protocol.accumulator import RecordAccumulator
from kafkasim.protocol.client_metadata import ClientMetadata
from kafkasim.protocol.config import JavaProducerConfig, LibrdkafkaProducerConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.flavours import producer_settings
from kafkasim.protocol.messages import MetadataResponse, PartitionMetadata
from kafkasim.protocol.producer_batch import ProducerBatch, RecordSizes, size_of_varint, varint_step
from kafkasim.protocol.records import RECORD_BATCH_OVERHEAD, TopicPartition

ORDERS = TopicPartition("orders", 0)
NEVER = float("inf")


def metadata_of(*leaders: int) -> ClientMetadata:
    metadata = ClientMetadata((1,), 100, 1000, 300_000, lambda: 0.5)
    partitions = tuple(PartitionMetadata(TopicPartition("orders", i), Error.NONE, leader, 1) for i, leader in enumerate(leaders))
    metadata.update(MetadataResponse(1, (1, 2, 3), partitions), 0.0)
    return metadata


def accumulator(*leaders: int, record_size: int = 100, **overrides: object) -> RecordAccumulator:
    settings = replace(producer_settings(JavaProducerConfig()), **overrides)  # type: ignore[arg-type]
    return RecordAccumulator(settings, metadata_of(*(leaders or (1,))), record_size, None, Random(1).random)


def librdkafka_accumulator(*leaders: int, **overrides: object) -> RecordAccumulator:
    settings = replace(producer_settings(LibrdkafkaProducerConfig()), **overrides)  # type: ignore[arg-type]
    return RecordAccumulator(settings, metadata_of(*(leaders or (1,))), 100, None, Random(1).random)


def append(to: RecordAccumulator, numbers: range, at: float) -> int:
    return to.append_unkeyed("orders", numbers, [at] * len(numbers), 0, len(numbers), -NEVER)


# ------------------------------------------------------------------------------------------------ sizes


@pytest.mark.parametrize(
    ("value", "size"), [(0, 1), (-1, 1), (63, 1), (64, 2), (-65, 2), (8191, 2), (8192, 3), ((1 << 20) - 1, 3), (1 << 20, 4)]
)
def test_a_varint_has_seven_bits_a_byte_and_one_of_them_is_the_sign(value: int, size: int) -> None:
    assert size_of_varint(value) == size


@pytest.mark.parametrize("value", [0, 1, 63, 64, 100, 8191, 8192, 1 << 20, (1 << 27) - 1])
def test_the_next_step_of_a_varint_is_where_it_grows_by_a_byte(value: int) -> None:
    step = varint_step(value)
    assert size_of_varint(step - 1) == size_of_varint(value)
    assert size_of_varint(step) == size_of_varint(value) + 1


def test_a_record_of_100_bytes_without_a_key_has_109_bytes_in_its_batch() -> None:
    # length 2, attributes 1, timestamp 1, offset 1, key length (-1) 1, value length 2, value 100, headers 1
    sizes = RecordSizes(100)
    assert sizes.size(0, 0) == 109
    assert sizes.size(64, 0) == 110
    assert sizes.size(64, 64) == 111


def test_a_short_record_needs_one_byte_for_its_length() -> None:
    # 1 length, 1 attributes, 1 timestamp, 1 offset, 1 key length, 1 value length, 10 value, 1 headers
    assert RecordSizes(10).size(0, 0) == 17


def test_a_key_is_counted_with_its_length() -> None:
    assert RecordSizes(10, key_size=5).size(0, 0) == 22


def brute_force_count(value_size: int, limit: int, times: list[float]) -> int:
    """One record after the other, as MemoryRecordsBuilder does it."""
    size = RECORD_BATCH_OVERHEAD
    for offset, time in enumerate(times):
        body = 1 + size_of_varint(offset) + size_of_varint(int(time) - int(times[0])) + 1 + size_of_varint(value_size) + value_size + 1
        record_size = size_of_varint(body) + body
        if offset and size + record_size > limit:
            return offset
        size += record_size
    return len(times)


@pytest.mark.parametrize("value_size", [0, 1, 10, 55, 57, 60, 100, 1000, 20_000])
@pytest.mark.parametrize("interval", [0.0, 0.3, 1.0, 7.0, 100.0])
def test_a_range_of_records_fills_a_batch_exactly_as_one_record_after_the_other_would(value_size: int, interval: float) -> None:
    times = [5.5 + i * interval for i in range(3000)]
    batch = ProducerBatch(ORDERS, 16384, 1 << 60, times[0], 1)
    taken = batch.append(range(3000), times, 0, 3000, -NEVER, RecordSizes(value_size))
    assert taken == brute_force_count(value_size, 16384, times)
    assert batch.size <= 16384 or taken == 1


def test_appending_in_pieces_fills_a_batch_as_appending_at_once_does() -> None:
    times = [float(i) for i in range(500)]
    sizes = RecordSizes(100)
    at_once, pieces = (ProducerBatch(ORDERS, 16384, 1 << 60, 0.0, 1) for _ in range(2))
    total = at_once.append(range(500), times, 0, 500, -NEVER, sizes)
    position = 0
    while taken := pieces.append(range(500), times, position, min(position + 7, 500), -NEVER, sizes):
        position += taken
    assert (position, pieces.size, pieces.numbers) == (total, at_once.size, at_once.numbers)


def test_room_says_how_many_more_records_fit() -> None:
    sizes = RecordSizes(100)
    times = [0.0] * 1000
    batch = ProducerBatch(ORDERS, 16384, 1 << 60, 0.0, 1)
    batch.append(range(1000), times, 0, 10, -NEVER, sizes)
    room = batch.room(sizes, 0)
    assert batch.append(range(1000), times, 10, 1000, -NEVER, sizes) == room


def test_numbers_stay_a_range_while_they_continue_and_become_an_array_where_they_do_not() -> None:
    sizes = RecordSizes(10)
    batch = ProducerBatch(ORDERS, 16384, 1 << 60, 0.0, 1)
    batch.append(range(3), [0.0] * 3, 0, 3, -NEVER, sizes)
    batch.append([3, 4], [0.0] * 2, 0, 1, -NEVER, sizes)
    batch.append(range(4, 6), [0.0] * 2, 0, 2, -NEVER, sizes)
    assert batch.numbers == range(6)
    batch.append(range(9, 11), [0.0] * 2, 0, 2, -NEVER, sizes)
    assert batch.numbers == array("q", [0, 1, 2, 3, 4, 5, 9, 10])
    assert batch.count == 8


def test_a_batch_of_size_zero_means_a_batch_for_each_record() -> None:
    records = accumulator(batch_size=0)
    assert append(records, range(3), 0.0) == 3
    queues = records.ready(0.0)[1]
    assert [list(batch.numbers) for batch in queues[0].batches] == [[0], [1], [2]]


# ------------------------------------------------------------------------------------------------ ready and drain


def test_a_batch_waits_for_linger_from_the_arrival_of_its_first_record() -> None:
    records = accumulator(linger_ms=5.0)
    records.append_unkeyed("orders", range(2), [10.0, 14.0], 0, 2, -NEVER)
    assert records.ready(14.9) == {}
    assert records.ready_at == 15.0
    assert list(records.ready(15.0)) == [1]


def test_a_batch_closes_when_the_next_record_does_not_fit_and_is_then_ready() -> None:
    records = accumulator(linger_ms=1000.0)
    fits = brute_force_count(100, 16384, [0.0] * 1000)
    append(records, range(fits), 0.0)
    assert records.ready(0.0) == {}
    append(records, range(fits, fits + 1), 0.0)
    queue = records.ready(0.0)[1][0]
    assert [batch.count for batch in queue.batches] == [fits, 1]


def test_a_batch_filled_to_the_byte_is_ready_without_another_record() -> None:
    records = accumulator(linger_ms=1000.0, batch_size=RECORD_BATCH_OVERHEAD + 109 * 3)
    append(records, range(3), 0.0)
    assert list(records.ready(0.0)) == [1]


def test_a_batch_filled_to_the_byte_by_later_records_is_to_be_looked_at_at_once() -> None:
    records = accumulator(linger_ms=5.0, batch_size=RECORD_BATCH_OVERHEAD + 109 * 3)
    append(records, range(1), 0.0)
    assert records.records_to_ready("orders") == 2
    assert (records.ready(0.0), records.ready_at) == ({}, 5.0)
    append(records, range(1, 3), 0.0)
    assert records.ready_at <= 0.0


def test_records_to_ready_counts_to_the_record_that_does_not_fit() -> None:
    records = accumulator(linger_ms=1000.0)
    assert records.records_to_ready("orders") == 1
    append(records, range(1), 0.0)
    count = records.records_to_ready("orders")
    append(records, range(1, count), 0.0)
    assert records.ready(0.0) == {}
    append(records, range(count, count + 3), 0.0)
    assert list(records.ready(0.0)) == [1]


def test_when_one_partition_of_a_broker_is_ready_the_young_batches_of_its_other_partitions_go_along() -> None:
    records = accumulator(1, 1, 2, linger_ms=5.0)
    for number in range(30):
        records.append_keyed("orders", range(30), [float(number) / 10] * 30, number, -NEVER, number)
    nodes = records.ready(5.0)
    assert nodes
    drained = {broker: records.drain(queues, mute=False, now=5.0) for broker, queues in nodes.items()}
    assert sorted(batch.partition.partition for batch in drained[1]) == [0, 1]
    assert all(batch.closed and batch.in_flight for batch in drained[1])


def test_a_request_takes_no_more_than_max_request_size_but_always_one_batch() -> None:
    records = accumulator(1, 1, linger_ms=0.0, max_request_size=200)
    for number in range(10):
        records.append_keyed("orders", range(10), [0.0] * 10, number, -NEVER, number)
    assert len(records.drain(records.ready(0.0)[1], mute=False, now=0.0)) == 1
    assert len(records.drain(records.ready(0.0)[1], mute=False, now=0.0)) == 1
    assert records.ready(0.0) == {}


def test_librdkafka_sends_each_partition_in_a_request_of_its_own() -> None:
    records = librdkafka_accumulator(1, 1, linger_ms=0.0)
    for number in range(10):
        records.append_keyed("orders", range(10), [0.0] * 10, number, -NEVER, number)
    assert len(records.drain(records.ready(0.0)[1], mute=False, now=0.0)) == 1
    assert records.ready_at <= 0.0
    assert len(records.drain(records.ready(0.0)[1], mute=False, now=0.0)) == 1


def test_a_partition_without_a_leader_is_not_ready_and_is_reported() -> None:
    records = accumulator(-1, linger_ms=0.0)
    append(records, range(1), 0.0)
    assert records.ready(10.0) == {}
    assert records.unknown_leader


def test_a_muted_partition_is_not_drained_until_it_is_unmuted() -> None:
    records = accumulator(linger_ms=0.0, batch_size=0)
    append(records, range(2), 0.0)
    assert [list(batch.numbers) for batch in records.drain(records.ready(0.0)[1], mute=True, now=0.0)] == [[0]]
    assert records.ready(0.0) == {}
    records.unmute(ORDERS)
    assert list(records.ready(0.0)) == [1]


def test_a_batch_that_backs_off_holds_its_partition_until_its_time() -> None:
    records = accumulator(linger_ms=0.0, batch_size=0)
    append(records, range(2), 0.0)
    (batch,) = records.drain(records.ready(0.0)[1], mute=False, now=0.0)
    records.reenqueue(batch, 10.0, 100.0)
    assert records.ready(109.0) == {}
    assert records.ready_at == 110.0
    assert [list(b.numbers) for b in records.drain(records.ready(110.0)[1], mute=False, now=110.0)] == [[0]]


def test_without_idempotence_batches_that_fail_together_come_back_in_reverse_order_in_java_only() -> None:
    def numbers_after_two_failures(records: RecordAccumulator) -> list[list[int]]:
        append(records, range(3), 0.0)
        drained = [records.drain(records.ready(0.0)[1], mute=False, now=0.0)[0] for _ in range(2)]
        for batch in drained:
            records.reenqueue(batch, 1.0, 0.0)
        return [list(batch.numbers) for batch in records.ready(1.0)[1][0].batches]

    assert numbers_after_two_failures(accumulator(batch_size=0)) == [[1], [0], [2]]
    assert numbers_after_two_failures(librdkafka_accumulator(batch_records=1)) == [[0], [1], [2]]


# ------------------------------------------------------------------------------------------------ memory and age


def test_java_takes_batch_size_bytes_for_each_batch_and_gives_them_back_with_the_callbacks() -> None:
    records = accumulator(1, 2, buffer_memory=20_000, linger_ms=0.0)
    assert append(records, range(1), 0.0) == 1
    assert records.free_memory == 20_000 - 16_384
    (batch,) = records.drain(next(iter(records.ready(0.0).values())), mute=False, now=0.0)
    assert append(records, range(1, 2), 0.0) == 0
    records.complete(batch)
    assert append(records, range(1, 2), 0.0) == 1


def test_while_a_send_waits_for_memory_every_batch_is_ready() -> None:
    records = accumulator(linger_ms=1000.0)
    append(records, range(1), 0.0)
    assert records.ready(0.0) == {}
    records.memory_wanted = True
    assert list(records.ready(0.0)) == [1]


def test_librdkafka_counts_messages() -> None:
    records = librdkafka_accumulator(buffer_records=5)
    assert append(records, range(8), 0.0) == 5
    assert append(records, range(5, 8), 0.0) == 0


def test_a_batch_expires_delivery_timeout_after_its_first_record_wherever_it_is() -> None:
    records = accumulator(batch_size=0, linger_ms=0.0, delivery_timeout_ms=1000.0)
    append(records, range(2), 5.0)
    records.drain(records.ready(5.0)[1], mute=False, now=5.0)
    assert records.next_expiry == 1005.0
    assert [(list(b.numbers), b.in_flight) for b in records.expired_batches(1005.0)] == [([0], True), ([1], False)]
    assert records.next_expiry == NEVER
