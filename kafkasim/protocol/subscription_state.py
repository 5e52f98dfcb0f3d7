"""One assigned partition as its consumer sees it: org.apache.kafka.clients.consumer.internals.SubscriptionState.

Where the application stands in it, how far it has been fetched, and what it waits for. The rules are the fetcher's and the validator's.
"""

from __future__ import annotations

from enum import Enum

from kafkasim.protocol.connection_states import NEVER
from kafkasim.protocol.records import TopicPartition


class FetchState(Enum):
    """SubscriptionState.FetchStates: what a partition waits for before it can be fetched."""

    INITIALIZING = "its committed offset"
    AWAIT_RESET = "the earliest or latest offset"
    AWAIT_VALIDATION = "the leader's word that the log was not cut below the position"
    FETCHING = "nothing"
    FAILED = "the application: there is no position and no auto.offset.reset"


class PartitionState:
    """SubscriptionState.TopicPartitionState. `version` is another one once what was requested or buffered has become worthless.

    `position_epoch` and `fetch_epoch` are the leader epochs of the batches before the two offsets, -1 if unknown; `leader_epoch` is the
    partition's own, as far as metadata told when the position was last looked at (FetchPosition.offsetEpoch and currentLeader).
    """

    __slots__ = (
        "buffered",
        "fetch_epoch",
        "fetch_offset",
        "leader_epoch",
        "partition",
        "position",
        "position_epoch",
        "retry_at",
        "state",
        "version",
    )

    def __init__(self, partition: TopicPartition) -> None:
        self.partition = partition
        self.state = FetchState.INITIALIZING
        self.position = -1
        self.fetch_offset = -1
        self.position_epoch = self.fetch_epoch = self.leader_epoch = -1
        self.buffered = 0
        self.version = 0
        self.retry_at = -NEVER
