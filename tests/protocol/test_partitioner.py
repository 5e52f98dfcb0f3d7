import zlib
from collections import Counter
from random import Random

import pytest

from kafkasim.protocol.client_metadata import ClientMetadata
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import MetadataResponse, PartitionMetadata
from kafkasim.protocol.partitioner import Partitioner, murmur2
from kafkasim.protocol.records import TopicPartition


def metadata_of(*leaders: int) -> ClientMetadata:
    metadata = ClientMetadata((1,), 100, 1000, 300_000, lambda: 0.5)
    partitions = tuple(PartitionMetadata(TopicPartition("orders", i), Error.NONE, leader, 1) for i, leader in enumerate(leaders))
    metadata.update(MetadataResponse(1, (1, 2, 3), partitions), 0.0)
    return metadata


# The table of org.apache.kafka.common.utils.UtilsTest.
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_what_kafkas_own_test_expects(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected


def test_a_java_key_goes_where_the_positive_murmur2_says() -> None:
    partitioner = Partitioner(metadata_of(1, 2, 3), 16384, murmur2_keys=True, sticky_linger_ms=0, random=lambda: 0.5)
    assert [partitioner.for_key("orders", key).partition for key in range(50)] == [
        (murmur2(b"key-%d" % key) & 0x7FFFFFFF) % 3 for key in range(50)
    ]


def test_a_librdkafka_key_goes_where_crc32_says_and_so_elsewhere_than_in_java() -> None:
    metadata = metadata_of(1, 2, 3)
    librdkafka = Partitioner(metadata, 16384, murmur2_keys=False, sticky_linger_ms=10, random=lambda: 0.5)
    java = Partitioner(metadata, 16384, murmur2_keys=True, sticky_linger_ms=0, random=lambda: 0.5)
    assert librdkafka.for_key("orders", 7).partition == zlib.crc32(b"key-7") % 3
    assert [librdkafka.for_key("orders", key) for key in range(20)] != [java.for_key("orders", key) for key in range(20)]


def test_java_stays_with_a_partition_until_batch_size_bytes_went_there_and_no_batch_is_half_filled() -> None:
    partitioner = Partitioner(metadata_of(1, 2, 3), 1000, murmur2_keys=True, sticky_linger_ms=0, random=Random(1).random)
    sticky = partitioner.current("orders")
    sticky.produced_bytes = 999
    assert not partitioner.maybe_switch("orders", sticky, all_batches_full=True)
    sticky.produced_bytes = 1000
    assert not partitioner.maybe_switch("orders", sticky, all_batches_full=False)
    assert partitioner.current("orders") is sticky
    assert partitioner.maybe_switch("orders", sticky, all_batches_full=True)
    assert partitioner.current("orders").produced_bytes == 0


def test_java_moves_on_from_a_half_filled_batch_after_twice_batch_size() -> None:
    partitioner = Partitioner(metadata_of(1, 2, 3), 1000, murmur2_keys=True, sticky_linger_ms=0, random=Random(1).random)
    sticky = partitioner.current("orders")
    sticky.produced_bytes = 2000
    assert partitioner.maybe_switch("orders", sticky, all_batches_full=False)


def test_the_next_sticky_partition_is_drawn_evenly_among_those_with_a_leader() -> None:
    partitioner = Partitioner(metadata_of(1, -1, 3), 1, murmur2_keys=True, sticky_linger_ms=0, random=Random(1).random)
    drawn: Counter[int] = Counter()
    for _ in range(1000):
        sticky = partitioner.current("orders")
        drawn[sticky.partition.partition] += 1
        sticky.produced_bytes = 1
        partitioner.maybe_switch("orders", sticky, all_batches_full=True)
    assert sorted(drawn) == [0, 2]
    assert abs(drawn[0] - 500) < 80


def test_without_any_leader_java_draws_among_all_partitions() -> None:
    partitioner = Partitioner(metadata_of(-1, -1), 1, murmur2_keys=True, sticky_linger_ms=0, random=lambda: 0.9)
    assert partitioner.current("orders").partition.partition == 1


def test_librdkafka_stays_with_a_partition_for_its_linger_time() -> None:
    partitioner = Partitioner(metadata_of(1, 2, 3), 16384, murmur2_keys=False, sticky_linger_ms=10, random=Random(3).random)
    first = partitioner.current_until("orders", 100.0)
    assert partitioner.current_until("orders", 109.9) is first
    assert partitioner.current_until("orders", 110.0) is not first


def test_librdkafka_leaves_a_partition_that_has_lost_its_leader() -> None:
    metadata = metadata_of(1, 2)
    partitioner = Partitioner(metadata, 16384, murmur2_keys=False, sticky_linger_ms=10, random=lambda: 0.0)
    assert partitioner.current_until("orders", 0.0).partition.partition == 0
    metadata.leaders[TopicPartition("orders", 0)] = -1
    partitioner._random = iter([0.0, 0.9]).__next__
    assert partitioner.current_until("orders", 1.0).partition.partition == 1
