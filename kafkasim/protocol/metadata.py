"""The metadata image: what a reader of the metadata log knows after its first `offset` records.

In Kafka: org.apache.kafka.image.MetadataImage, built by a MetadataLoader from `__cluster_metadata` (KIP-500, KIP-631). The controller
and every broker keep one each. They differ only in how far they have read, and that difference is where stale leaders come from.
"""

from __future__ import annotations

from kafkasim.protocol.messages import BrokerRegistration, ConfigRecord, MetadataRecord, PartitionRegistration
from kafkasim.protocol.records import TopicPartition

NO_LEADER = -1
MIN_INSYNC_REPLICAS = "min.insync.replicas"  # the one setting of a topic that registrations carry


class MetadataImage:
    """All brokers and partitions as of `offset`, the number of records applied (and so the next offset to read).

    Simplified: a record replaces the whole registration; Kafka's change records carry only the fields that change.
    """

    __slots__ = ("brokers", "offset", "partitions")

    def __init__(self) -> None:
        self.brokers: dict[int, BrokerRegistration] = {}
        self.partitions: dict[TopicPartition, PartitionRegistration] = {}
        self.offset = 0

    def apply(self, record: MetadataRecord) -> None:
        """Take the next record of the log: the newest registration of a broker or partition is the one that counts; others only count."""
        if isinstance(record, PartitionRegistration):
            self.partitions[record.partition] = record
        elif isinstance(record, BrokerRegistration):
            self.brokers[record.broker_id] = record
        elif isinstance(record, ConfigRecord) and record.name == MIN_INSYNC_REPLICAS:
            self._set_min_insync_replicas(record.topic, int(record.value))
        self.offset += 1

    def is_active(self, broker_id: int) -> bool:
        """Whether a broker may join an ISR: neither fenced nor in controlled shutdown (ClusterControlManager.isActive)."""
        broker = self.brokers.get(broker_id)
        return broker is not None and not broker.fenced and not broker.in_controlled_shutdown

    def unfenced_brokers(self) -> tuple[int, ...]:
        """The brokers clients are told of, in ascending order: all that are not fenced."""
        return tuple(sorted(broker_id for broker_id, broker in self.brokers.items() if not broker.fenced))

    def _set_min_insync_replicas(self, topic: str, value: int) -> None:
        of_topic = [partition for partition in self.partitions.values() if partition.partition.topic == topic]
        self.partitions |= {partition.partition: partition._replace(min_insync_replicas=value) for partition in of_topic}
