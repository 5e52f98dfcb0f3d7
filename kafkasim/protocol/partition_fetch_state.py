"""One followed partition as its fetcher sees it. In Kafka: kafka.server.PartitionFetchState."""

from __future__ import annotations

from math import inf

from kafkasim.protocol.messages import FetchedPartition, FetchPartition
from kafkasim.protocol.partition import Partition
from kafkasim.protocol.truncation_policy import TruncationPolicy


class PartitionFetchState:
    """The fetch offset is always the end of its log. `ready_at`: not asked for before that (backoff).

    `leader_epoch` is the epoch that its requests tell, and `fetched_epochs` knows the last record's: both as the generation has it.
    """

    __slots__ = ("fetch", "fetched_epochs", "leader_epoch", "log", "partition", "ready_at", "told")

    def __init__(self, partition: Partition, leader_epoch: int, max_bytes: int, truncation: TruncationPolicy) -> None:
        self.partition = partition
        self.log = partition.log
        self.leader_epoch = truncation.current_leader_epoch(leader_epoch)
        self.fetched_epochs = truncation.fetched_epochs(partition.log)
        self.ready_at = -inf
        self.fetch = FetchPartition(partition.partition, -1, self.leader_epoch, -1, max_bytes)  # what was asked for last
        self.told: FetchedPartition | None = None  # the last answer, where it brought nothing and has been acted on
