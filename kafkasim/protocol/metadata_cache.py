"""What a broker knows of the cluster, and what it tells clients of it: KRaftMetadataCache, fed by the metadata log.

A broker that is cut off from the controller goes on answering from what it last read: to a client that asks the wrong one, the
zombie still leads.
"""

from __future__ import annotations

from collections.abc import Iterable

from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import MetadataRecord, MetadataRequest, MetadataResponse, PartitionMetadata, PartitionRegistration
from kafkasim.protocol.metadata import NO_LEADER, MetadataImage
from kafkasim.protocol.records import TopicPartition


class MetadataCache:
    """The image of one broker, and its partitions by topic."""

    __slots__ = ("_topics", "image")

    def __init__(self) -> None:
        self.image = MetadataImage()
        self._topics: dict[str, list[TopicPartition]] = {}

    def apply(self, records: Iterable[MetadataRecord]) -> list[PartitionRegistration]:
        """New records of the metadata log. The partitions they change, each once, as they are after the last of them."""
        changed: dict[TopicPartition, PartitionRegistration] = {}
        for record in records:
            if isinstance(record, PartitionRegistration):
                if record.partition not in self.image.partitions:
                    self._topics.setdefault(record.partition.topic, []).append(record.partition)
                changed[record.partition] = record
            self.image.apply(record)
        for topic in {name.topic: None for name in changed}:
            self._topics[topic].sort()
        return list(changed.values())

    def partitions_of(self, topic: str) -> list[TopicPartition]:
        """The partitions of a topic, ascending; none where it is unknown."""
        return self._topics.get(topic, [])

    def leader_of(self, name: TopicPartition) -> int:
        """Who leads a partition, -1 if nobody does or nobody knows."""
        registration = self.image.partitions.get(name)
        return NO_LEADER if registration is None else registration.leader

    def answer(self, request: MetadataRequest) -> MetadataResponse:
        """A client: the brokers that are not fenced, and the leaders of its topics. An unknown topic is its partition -1."""
        partitions: list[PartitionMetadata] = []
        for topic in request.topics:
            names = self._topics.get(topic)
            if names is None:
                partitions.append(PartitionMetadata(TopicPartition(topic, -1), Error.UNKNOWN_TOPIC_OR_PARTITION, NO_LEADER, -1))
                continue
            for name in names:
                registration = self.image.partitions[name]
                error = Error.LEADER_NOT_AVAILABLE if registration.leader == NO_LEADER else Error.NONE
                partitions.append(PartitionMetadata(name, error, registration.leader, registration.leader_epoch))
        return MetadataResponse(request.correlation_id, self.image.unfenced_brokers(), tuple(partitions))
