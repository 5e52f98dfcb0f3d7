"""The partitions that have a replica on this broker, and who waits for something to happen to each.

In Kafka: ReplicaManager.allPartitions, HostedPartition, and the watcher lists of DelayedOperationPurgatory, which are keyed by
partition.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from kafkasim.protocol.errors import Error
from kafkasim.protocol.metadata import NO_LEADER, MetadataImage
from kafkasim.protocol.partition import Partition
from kafkasim.protocol.purgatory import DelayedProduce, FetchWatchers
from kafkasim.protocol.records import TopicPartition


class HostedPartition:
    """A partition of which this broker has a replica, with its watchers (kafka.server.HostedPartition.Online).

    `produces` holds (required offset, operation, index in its results), ascending by required offset: where the first is not
    satisfied, none is, and so the high watermark's way through them costs a step each. `on_high_watermark` is Kafka's
    PartitionListener: the group coordinator's, on the partitions of `__consumer_offsets` that are led here.
    """

    __slots__ = ("consumer_fetches", "follower_fetches", "on_high_watermark", "partition", "produces")

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.produces: deque[tuple[int, DelayedProduce, int]] = deque()
        self.follower_fetches: FetchWatchers = {}
        self.consumer_fetches: FetchWatchers = {}
        self.on_high_watermark: Callable[[int], None] | None = None

    def watch_produce(self, required_offset: int, operation: DelayedProduce, index: int) -> None:
        """`operation` waits until the high watermark reaches `required_offset`."""
        operation.pending |= 1 << index
        entry = (required_offset, operation, index)
        produces = self.produces
        if not produces or produces[-1][0] <= required_offset:
            produces.append(entry)
            return
        # A retry of a batch that was appended earlier waits for that earlier offset.
        place = next(place for place, (offset, _, _) in enumerate(produces) if offset > required_offset)
        produces.insert(place, entry)

    def drop_done_produces(self) -> None:
        """After an expiry: forget those at the head that have been answered."""
        produces = self.produces
        while produces and produces[0][1].done:
            produces.popleft()


class HostedPartitions(dict[TopicPartition, HostedPartition]):
    """All of them, and what to say of a partition that is not here."""

    __slots__ = ("image", "tells_leader")

    def __init__(self, image: MetadataImage, tells_leader: bool = True) -> None:
        super().__init__()
        self.image = image
        self.tells_leader = tells_leader  # Behaviours.errors_name_the_leader

    def error_of_absent(self, name: TopicPartition) -> Error:
        """A partition that exists, but not here, sends the client to look for its leader (getPartitionOrError)."""
        return Error.NOT_LEADER_OR_FOLLOWER if name in self.image.partitions else Error.UNKNOWN_TOPIC_OR_PARTITION

    def current_leader(self, name: TopicPartition) -> tuple[int, int]:
        """KIP-951: leader and leader epoch, as well as this broker knows; (-1, -1) where it knows nothing, or is before 3.7."""
        if not self.tells_leader:
            return NO_LEADER, -1
        hosted = self.get(name)
        if hosted is not None:
            return hosted.partition.leader, hosted.partition.leader_epoch
        registration = self.image.partitions.get(name)
        return (NO_LEADER, -1) if registration is None else (registration.leader, registration.leader_epoch)
