"""How a voter serves fetches of the metadata log: KafkaRaftClient.handleFetchRequest and its fetch purgatory (KIP-595, KIP-1166).

Only the leader serves, and only who names its epoch. A fetch with nothing new to find waits for news, half a second at the longest.

Simplified: a broker is sent only what is committed; Kafka sends it all, and the broker holds back what is above the high watermark.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import MetadataFetchRequest, MetadataFetchResponse
from kafkasim.protocol.metadata_log import MetadataLog
from kafkasim.protocol.node import Output, Send
from kafkasim.protocol.quorum_state import QuorumState
from kafkasim.protocol.raft_messages import QuorumFetchRequest, QuorumFetchResponse

# How long a fetch of the metadata log may find nothing new (KafkaRaftClient.MAX_FETCH_WAIT_MS, which every fetch carries).
MAX_FETCH_WAIT_MS = 500.0


class _ParkedFetch(NamedTuple):
    """A fetch that waits for news, until `deadline` at the latest."""

    deadline: float
    request: QuorumFetchRequest | MetadataFetchRequest


class RaftFetches:
    """The fetches of the other voters and of the brokers that one voter has not answered."""

    def __init__(self, quorum: QuorumState, log: MetadataLog, outbox: list[Output]) -> None:
        self._quorum = quorum
        self._log = log
        self._outbox = outbox
        self._parked: dict[str, _ParkedFetch] = {}  # all wait equally long, so that the first to end comes first

    def fetch(self, request: QuorumFetchRequest | MetadataFetchRequest, source: str, now: float) -> None:
        """WHO: a voter or a broker. THEN it gets what follows in the log, now or as soon as there is something, or hears who leads.

        What a voter asks for also says how far it has copied the log, if what it has is a beginning of the leader's log.
        """
        self._parked.pop(source, None)  # of an earlier connection
        leader = self._quorum.leader
        if leader is not None and isinstance(request, QuorumFetchRequest) and self._is_beginning(request):
            leader.update_replica(request.replica_id, request.fetch_offset, now)
        if not self._answer(request, source, over=False):
            self._parked[source] = _ParkedFetch(now + MAX_FETCH_WAIT_MS, request)

    def complete(self, now: float) -> None:
        """WHEN the log, the high watermark or the state may have changed, or a fetch has waited long enough."""
        for source, parked in list(self._parked.items()):
            if self._answer(parked.request, source, over=parked.deadline <= now):
                del self._parked[source]

    def forget(self, source: str) -> None:
        """The connection is gone."""
        self._parked.pop(source, None)

    def next_deadline(self) -> float:
        """When the fetch that has waited longest gets an answer without news."""
        for parked in self._parked.values():
            return parked.deadline
        return inf

    # ------------------------------------------------------------------------------------------------ helpers

    def _is_beginning(self, request: QuorumFetchRequest) -> bool:
        """Whether the follower of this epoch has a beginning of this log, and nothing else."""
        diverging = self._log.diverges_at(request.fetch_offset, request.last_fetched_epoch)
        return diverging is None and request.current_leader_epoch == self._quorum.epoch

    def _refusal_of(self, epoch: int) -> Error:
        """Who names another epoch is refused, and so is everybody by who does not lead (validateLeaderOnlyRequest)."""
        if epoch < self._quorum.epoch:
            return Error.FENCED_LEADER_EPOCH
        if epoch > self._quorum.epoch:
            return Error.UNKNOWN_LEADER_EPOCH
        return Error.NONE if self._quorum.is_leader else Error.NOT_LEADER_OR_FOLLOWER

    def _answer(self, request: QuorumFetchRequest | MetadataFetchRequest, source: str, over: bool) -> bool:
        """Answer, unless there is nothing to say yet and the wait is not `over` (tryCompleteFetchRequest)."""
        error = self._refusal_of(request.current_leader_epoch)
        if isinstance(request, MetadataFetchRequest):
            return self._answer_broker(request, source, error, over)
        quorum, leader = self._quorum, self._quorum.leader
        known = (request.correlation_id, error, quorum.leader_id, quorum.epoch)
        if error is not Error.NONE or leader is None:
            self._outbox.append(Send(source, QuorumFetchResponse(*known)))
            return True
        diverging = self._log.diverges_at(request.fetch_offset, request.last_fetched_epoch)
        records = () if diverging is not None else tuple(self._log.entries[request.fetch_offset :])
        if not over and diverging is None and not records and leader.high_watermark <= request.high_watermark:
            return False
        self._outbox.append(Send(source, QuorumFetchResponse(*known, leader.high_watermark, diverging, records)))
        return True

    def _answer_broker(self, request: MetadataFetchRequest, source: str, error: Error, over: bool) -> bool:
        quorum, leader = self._quorum, self._quorum.leader
        committed = 0 if leader is None else max(0, leader.high_watermark)
        records = tuple(record for _, record in self._log.entries[request.fetch_offset : committed])
        if error is Error.NONE and not records and not over:
            return False
        answer = MetadataFetchResponse(request.correlation_id, request.fetch_offset, records, error, quorum.leader_id, quorum.epoch)
        self._outbox.append(Send(source, answer))
        return True
