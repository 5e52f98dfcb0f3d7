"""Before it fetches, a follower asks where to cut its log: the phase `Truncating` of a fetcher, until Kafka 2.8.

In Kafka: AbstractFetcherThread.maybeTruncate, buildLeaderEpochRequest, truncateToEpochEndOffsets; KIP-101, KIP-279, KIP-320. What the
answer means is the generation's affair (truncation_policy.py); under today's rules nobody is ever in this phase.

Simplified: where one answer does not suffice (KIP-279), the next question follows at once; Kafka 2.0 to 2.7 slept for
replica.fetch.backoff.ms in between, if the fetcher had nothing else to fetch.
"""

from __future__ import annotations

from kafkasim.protocol.errors import NO_ERROR, Error
from kafkasim.protocol.leader_epoch import EpochEndOffset
from kafkasim.protocol.messages import OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse
from kafkasim.protocol.partition_fetch_state import PartitionFetchState
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.truncation_policy import TruncationPolicy


class TruncationRounds:
    """Those partitions of one fetcher that may not be fetched yet."""

    __slots__ = ("_policy", "_replica_id", "_requested", "states")

    def __init__(self, policy: TruncationPolicy, replica_id: int) -> None:
        self._policy = policy
        self._replica_id = replica_id
        self._requested: dict[TopicPartition, PartitionFetchState] = {}
        self.states: dict[TopicPartition, PartitionFetchState] = {}

    def ready(self, now: float) -> bool:
        """Is there a question to ask?"""
        return any(state.ready_at <= now for state in self.states.values())

    def ask(self, correlation_id: int, now: float) -> OffsetForLeaderEpochRequest:
        """WHO: a fetcher whose leader is free to answer. THEN: where did our latest epoch end, in each partition that is ready?"""
        self._requested = {name: state for name, state in self.states.items() if state.ready_at <= now}
        rows = tuple((name, state.leader_epoch, state.log.latest_epoch) for name, state in self._requested.items())
        return OffsetForLeaderEpochRequest(correlation_id, rows, self._replica_id)

    def answered(self, response: OffsetForLeaderEpochResponse, retry_at: float) -> list[PartitionFetchState]:
        """WHEN the leader has answered. THEN: cut; and those whose logs agree with the leader's now may be fetched: they are returned.

        FENCED_LEADER_EPOCH (KIP-320): the metadata log will tell of a newer leader; until then, nothing. Other errors: ask again later.
        """
        completed = []
        for name, error, leader_epoch, end_offset in response.partitions:
            state = self._requested.get(name)
            if state is None or self.states.get(name) is not state:
                continue  # gone, or begun anew, while the question was on its way
            if error is NO_ERROR:
                partition = state.partition
                cut, is_completed = self._policy.truncation(state.log, partition.high_watermark, EpochEndOffset(leader_epoch, end_offset))
                partition.truncate_to(cut)
                if is_completed:
                    del self.states[name]
                    completed.append(state)
            elif error is Error.FENCED_LEADER_EPOCH:
                del self.states[name]
            else:
                state.ready_at = retry_at
        return completed
