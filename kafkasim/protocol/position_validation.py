"""Was the log cut below our position while we were not looking? A consumer asks its partition's leader (KIP-320).

In Kafka: SubscriptionState (maybeValidatePosition, maybeCompleteValidation), OffsetFetcher.validatePositionsIfNeeded and
OffsetsForLeaderEpochUtils; librdkafka: rd_kafka_offset_validate, rd_kafka_toppar_handle_OffsetForLeaderEpoch.

An offset alone does not say whose record lies there: a log that lost its tail grows again, and the old offset then names another
record. The leader epoch of the last record read tells the two apart. So when metadata shows a new leader epoch, nothing is fetched
until the leader has said where the epoch of that record ended:

    at or beyond the position     the records below it are the ones that were read: go on
    below it                      they were cut off there: go back to that offset
    unknown epoch                 nothing of them is left: auto.offset.reset

Without auto.offset.reset the last two are the application's to decide (LogTruncationException).

    Java         validates the position, and throws away what is buffered beyond it; a committed offset is validated before the first fetch.
    librdkafka   validates the offset it would fetch next, and goes on handing out what is buffered. It goes back by a seek, which throws
                 that away: where the log ends between the two, what lies between is skipped. A committed offset is not validated.
"""

from __future__ import annotations

from kafkasim.protocol.calls import PositionReset
from kafkasim.protocol.errors import Error
from kafkasim.protocol.fetcher import Fetcher
from kafkasim.protocol.flavours import Client, ConsumerSettings
from kafkasim.protocol.messages import OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse
from kafkasim.protocol.network_client import Completed, NetworkClient
from kafkasim.protocol.node import Output, broker_name
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.subscription_state import FetchState, PartitionState


class PositionValidator:
    """Watches the leader epochs of the fetcher's partitions. `metadata_version`: the metadata it has looked at last."""

    __slots__ = ("_asked", "_client", "_fetcher", "_java", "_resets", "metadata_version")

    def __init__(self, settings: ConsumerSettings, client: NetworkClient, fetcher: Fetcher) -> None:
        self.metadata_version = -1
        self._client = client
        self._fetcher = fetcher
        self._java = settings.client is Client.JAVA
        self._resets = settings.auto_offset_reset != "none"
        self._asked: dict[str, None] = {}  # the brokers with a request in flight

    def metadata_changed(self) -> None:
        """The client, when it has new metadata: each position whose partition has a new leader epoch wants to be validated."""
        metadata = self._client.metadata
        self.metadata_version = metadata.version
        for state in self._fetcher.partitions.values():
            epoch = metadata.leader_epochs.get(state.partition, -1)
            if metadata.leaders.get(state.partition, -1) < 0 or epoch == state.leader_epoch:
                continue
            if state.state is FetchState.FETCHING or state.state is FetchState.AWAIT_VALIDATION:
                state.leader_epoch = epoch
                if self._java and state.position_epoch >= 0:
                    self._fetcher.rewind(state)
                self._fetcher.await_validation(state)

    def send_requests(self, now: float, outputs: list[Output]) -> None:
        """The client asks each leader for its partitions (validatePositionsIfNeeded). Simplified: librdkafka asks for one at a time."""
        by_peer: dict[str, list[PartitionState]] = {}
        metadata = self._client.metadata
        for state in self._fetcher.partitions.values():
            if state.state is not FetchState.AWAIT_VALIDATION or state.retry_at > now:
                continue
            leader = metadata.leaders.get(state.partition, -1)
            if leader < 0 or state.leader_epoch < state.fetch_epoch:  # the metadata is older than the record (updateLastSeenEpochIfNewer)
                metadata.request_update()
                self._fetcher.back_off(state, now)
            else:
                by_peer.setdefault(broker_name(leader), []).append(state)
        for peer, states in by_peer.items():
            if peer not in self._asked and self._client.ready(peer, now, outputs):
                self._asked[peer] = None
                wanted = tuple([(state.partition, state.leader_epoch, state.fetch_epoch) for state in states])
                request = OffsetForLeaderEpochRequest(self._client.next_correlation_id(), wanted)
                context = {state.partition: (state.version, state.leader_epoch) for state in states}
                self._client.send(peer, request, context, now, outputs)

    def completed(self, completed: Completed, now: float, outputs: list[Output]) -> None:
        """A leader answered, or never will; what was asked before the partition moved on does not count any more.

        Simplified: after an error the partition rests for retry.backoff.ms; librdkafka lets it rest for 500 ms.
        """
        del self._asked[completed.peer]
        asked: dict[TopicPartition, tuple[int, int]] = completed.context  # what send_requests put there
        response = completed.response
        if isinstance(response, OffsetForLeaderEpochResponse):
            answers = response.partitions
        else:
            answers = tuple([(partition, completed.error, -1, -1) for partition in asked])
        for partition, error, leader_epoch, end_offset in answers:
            state = self._fetcher.partitions.get(partition)
            if state is None or state.state is not FetchState.AWAIT_VALIDATION or asked[partition] != (state.version, state.leader_epoch):
                continue
            if error is Error.NONE:
                self._complete(state, leader_epoch, end_offset, outputs)
            else:
                self._client.metadata.request_update()
                self._fetcher.back_off(state, now)

    def _complete(self, state: PartitionState, leader_epoch: int, end_offset: int, outputs: list[Output]) -> None:
        """The leader told where the epoch ended (maybeCompleteValidation). Java has nothing buffered: it fetches from the position."""
        if end_offset >= state.fetch_offset and leader_epoch >= 0:
            self._fetcher.enter(state, FetchState.FETCHING)
        elif end_offset < 0 or leader_epoch < 0 or not self._resets:
            self._fetcher.request_reset(state)
        else:
            outputs.append(PositionReset(state.partition, state.position, end_offset))
            self._fetcher.seek(state, end_offset, leader_epoch)
