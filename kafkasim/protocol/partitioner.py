"""Which partition a record goes to: org.apache.kafka.clients.producer.internals.BuiltInPartitioner, and librdkafka's.

* A record with a key goes where the hash of the key says: murmur2 (Java) or CRC32 (librdkafka's `consistent_random`). The two do not
  agree, so one key written by both lies in two partitions.
* Without a key, Java stays with one partition until `batch.size` bytes went there and the batch is closed (KIP-480, KIP-794);
  librdkafka stays with one for `sticky.partitioning.linger.ms`.

The key with index n is the bytes `key-n`. Simplified: Java's next sticky partition is drawn uniformly among those with a leader;
KIP-794's adaptive weighting by queue length is left out.
"""

from __future__ import annotations

import zlib

from kafkasim.protocol.client_metadata import NO_LEADER, ClientMetadata
from kafkasim.protocol.node import Random
from kafkasim.protocol.records import TopicPartition

MASK_32 = 0xFFFFFFFF
NEVER = float("inf")


def key_bytes(key: int) -> bytes:
    """The serialized key with index `key`."""
    return b"key-%d" % key


def murmur2(data: bytes) -> int:
    """Kafka's own 32-bit murmur2 (org.apache.kafka.common.utils.Utils), signed as Java's int is.

    >>> murmur2(b"foobar")
    -790332482
    """
    length = len(data)
    multiplier = 0x5BD1E995
    h = 0x9747B28C ^ length
    for start in range(0, length - 3, 4):
        k = int.from_bytes(data[start : start + 4], "little") * multiplier & MASK_32
        k = (k ^ k >> 24) * multiplier & MASK_32
        h = h * multiplier & MASK_32 ^ k
    tail = data[length & ~3 :]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * multiplier & MASK_32
    h = (h ^ h >> 13) * multiplier & MASK_32
    h ^= h >> 15
    return h - (1 << 32) if h >> 31 else h


class StickyPartition:
    """Where the records without a key of one topic go for now (StickyPartitionInfo)."""

    __slots__ = ("partition", "produced_bytes", "until")

    def __init__(self, partition: TopicPartition, until: float) -> None:
        self.partition = partition
        self.produced_bytes = 0
        self.until = until


class Partitioner:
    """The partitioner of one producer, for all its topics. A topic must be in the metadata when it is asked about.

    `sticky`: where records without keys went last, by topic.
    """

    __slots__ = ("_batch_size", "_hashes", "_metadata", "_murmur2", "_random", "_sticky_linger_ms", "sticky")

    def __init__(self, metadata: ClientMetadata, batch_size: int, murmur2_keys: bool, sticky_linger_ms: float, random: Random) -> None:
        self._metadata = metadata
        self._batch_size = max(1, batch_size)
        self._murmur2 = murmur2_keys
        self._sticky_linger_ms = sticky_linger_ms
        self._random = random
        self.sticky: dict[str, StickyPartition] = {}
        self._hashes: dict[int, int] = {}

    def for_key(self, topic: str, key: int) -> TopicPartition:
        """The partition of a record with a key: the same for ever, as long as the number of partitions stays."""
        hashed = self._hashes.get(key)
        if hashed is None:
            data = key_bytes(key)
            hashed = self._hashes[key] = murmur2(data) & 0x7FFFFFFF if self._murmur2 else zlib.crc32(data)
        partitions = self._metadata.partitions[topic]
        return partitions[hashed % len(partitions)]

    # ------------------------------------------------------------------------------------------------ Java: sticky by bytes

    def current(self, topic: str) -> StickyPartition:
        """Java's partition for records without a key."""
        sticky = self.sticky.get(topic)
        if sticky is None:
            sticky = self.sticky[topic] = StickyPartition(self._draw_available(topic), NEVER)
        return sticky

    def maybe_switch(self, topic: str, sticky: StickyPartition, all_batches_full: bool) -> bool:
        """WHEN bytes were appended; THEN move on once batch.size bytes went here and no batch is left half filled, or at twice that.

        BuiltInPartitioner.updatePartitionInfo; returns whether the topic has a new sticky partition.
        """
        produced = sticky.produced_bytes
        if (produced >= self._batch_size and all_batches_full) or produced >= 2 * self._batch_size:
            self.sticky[topic] = StickyPartition(self._draw_available(topic), NEVER)
            return True
        return False

    def _draw_available(self, topic: str) -> TopicPartition:
        partitions = self._metadata.partitions[topic]
        if len(partitions) == 1:
            return partitions[0]
        leaders = self._metadata.leaders
        available = [partition for partition in partitions if leaders[partition] != NO_LEADER] or partitions
        return available[int(self._random() * len(available))]

    # ------------------------------------------------------------------------------------------------ librdkafka: sticky by time

    def current_until(self, topic: str, at: float) -> StickyPartition:
        """librdkafka's partition for a record without a key that came at `at`; it holds for records before `until`."""
        sticky = self.sticky.get(topic)
        if sticky is None or at >= sticky.until or self._metadata.leaders.get(sticky.partition, NO_LEADER) == NO_LEADER:
            sticky = self.sticky[topic] = StickyPartition(self._draw_twice(topic), at + self._sticky_linger_ms)
        return sticky

    def _draw_twice(self, topic: str) -> TopicPartition:
        """Any partition; if it has no leader, any once more (rd_kafka_msg_partitioner_random)."""
        partitions = self._metadata.partitions[topic]
        drawn = partitions[int(self._random() * len(partitions))]
        if self._metadata.leaders[drawn] == NO_LEADER:
            drawn = partitions[int(self._random() * len(partitions))]
        return drawn
