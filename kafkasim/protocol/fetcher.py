"""The reading half of a consumer: positions, fetches, and the buffer between the wire and poll().

In Kafka: org.apache.kafka.clients.consumer.internals.{SubscriptionState, AbstractFetch, FetchCollector, OffsetFetcher}.

Each assigned partition has a *position*, the offset of the next record the application will get, and a *fetch offset*, the end of
what is buffered. One fetch is in flight a broker, with all partitions that it leads and of which nothing is buffered. A fetch
brings whole batches; records below the position are skipped when they are handed over.

Simplified: every fetch names all of its partitions (no fetch sessions, KIP-227), and goes to the leader (no KIP-392).
Only a follower's fetch names the epoch of the last batch read (KIP-595); a consumer's does not, and a log that was truncated is noticed
by asking for it (position_validation.py).
Simplified: a response is looked at when it arrives; Kafka's consumer looks inside the next poll().
Simplified: read_committed reads as read_uncommitted does, since there are no transactions.
"""

# ruff: noqa: PLR1730 - on the hot path an `if` costs a third of a min() or max()

from __future__ import annotations

from collections import deque
from itertools import count

from kafkasim.protocol.calls import FetchedBatches, PolledSlice, PositionReset
from kafkasim.protocol.connection_states import NEVER
from kafkasim.protocol.errors import Error
from kafkasim.protocol.flavours import Client, ConsumerSettings
from kafkasim.protocol.messages import (
    FetchedPartition,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
)
from kafkasim.protocol.network_client import Completed, NetworkClient
from kafkasim.protocol.node import Output, Trace, broker_name
from kafkasim.protocol.records import LogBatch, OffsetAndEpoch, TopicPartition
from kafkasim.protocol.subscription_state import FetchState, PartitionState

_NONE = Error.NONE  # looked up once: CPython takes ten times as long for a member of an Enum as for a global
LATEST, EARLIEST = -1.0, -2.0  # ListOffsetsRequest.LATEST_TIMESTAMP, EARLIEST_TIMESTAMP

# librdkafka fetches ahead until it holds this many records of a partition. Simplified: queued.min.messages is a constant, at its default.
QUEUED_MIN_MESSAGES = 100_000


_FETCHING = FetchState.FETCHING  # as _NONE above


class CompletedFetch:
    """What one fetch brought of one partition; `index` is the next batch to hand over."""

    __slots__ = ("batches", "index", "state", "version")

    def __init__(self, state: PartitionState, batches: tuple[LogBatch, ...]) -> None:
        self.state = state
        self.version = state.version
        self.batches = batches
        self.index = 0


class Fetcher:
    """The assigned partitions and their buffers. `buffering`: the fetches not yet handed over, oldest first; `available`: records
    buffered; `retry_at`: when a backoff ends, NEVER without one."""

    __slots__ = (
        "_client",
        "_listing",
        "_most_buffered",
        "_peers",
        "_pending",
        "_settings",
        "_timeout_ms",
        "_trace",
        "_versions",
        "available",
        "buffering",
        "failed",
        "missing",
        "partitions",
        "retry_at",
    )

    def __init__(self, settings: ConsumerSettings, client: NetworkClient, trace: Trace | None) -> None:
        self.partitions: dict[TopicPartition, PartitionState] = {}
        self.available = 0
        self.failed: Error | None = None
        self.missing = 0  # partitions that wait for a position, or for its validation
        self._versions = count(1)
        self.retry_at = NEVER
        self._settings = settings
        self._client = client
        self._trace = trace
        self._peers: dict[int, str] = {}
        self._most_buffered = 0 if settings.client is Client.JAVA else QUEUED_MIN_MESSAGES - 1  # of a partition that is fetched
        # librdkafka adds the time that the broker may wait to socket.timeout.ms; Java's request.timeout.ms includes it.
        self._timeout_ms = None if settings.client is Client.JAVA else settings.request_timeout_ms + settings.fetch_max_wait_ms
        self.buffering: deque[CompletedFetch] = deque()
        self._pending: dict[str, None] = {}  # the brokers with a fetch in flight
        self._listing: dict[str, None] = {}  # the brokers with a ListOffsets in flight

    # ------------------------------------------------------------------------------------------------ assignment

    def assign(self, partitions: tuple[TopicPartition, ...]) -> None:
        """The group gave us exactly these; what was buffered of others is worthless."""
        for state in self.partitions.values():
            self.discard(state)
        self.buffering.clear()
        self.partitions = {partition: PartitionState(partition) for partition in partitions}
        for state in self.partitions.values():
            self.discard(state)  # a fetch of an earlier assignment may still be in flight
        self.missing = len(partitions)
        self.failed = None

    def initializing(self) -> tuple[TopicPartition, ...]:
        """The partitions whose committed offset is not yet known."""
        return tuple([state.partition for state in self.partitions.values() if state.state is FetchState.INITIALIZING])

    def without_position(self) -> tuple[TopicPartition, ...]:
        """The partitions of which the application must be told that nothing can be read."""
        return tuple([state.partition for state in self.partitions.values() if state.state is FetchState.FAILED])

    def initialize(self, committed: tuple[OffsetAndEpoch, ...]) -> None:
        """The coordinator told where the group stands; a partition without a committed offset starts by auto.offset.reset.

        Java validates a committed offset before it reads there (refreshCommittedOffsets); librdkafka reads at once
        (rd_kafka_toppar_fetch_start), and asks only when the leader epoch changes later.
        """
        for partition, offset, epoch in committed:
            state = self.partitions.get(partition)
            if state is None or state.state is not FetchState.INITIALIZING:
                continue
            if offset >= 0:
                self.seek(state, offset, epoch)
                if self._settings.client is Client.JAVA:
                    self.await_validation(state)
            else:
                self.request_reset(state)

    def positions(self) -> tuple[tuple[TopicPartition, int, int], ...]:
        """(partition, position, leader epoch) of each that has a position; epoch -1 while it awaits something and may turn out wrong."""
        having = [state for state in self.partitions.values() if state.position >= 0]
        return tuple([(state.partition, state.position, state.leader_epoch if state.state is _FETCHING else -1) for state in having])

    def all_consumed(self) -> tuple[OffsetAndEpoch, ...]:
        """What `commitSync()` commits (SubscriptionState.allConsumed). Java leaves out a position that awaits a reset or its validation."""
        anything = self._settings.client is Client.LIBRDKAFKA
        return tuple(
            [
                OffsetAndEpoch(state.partition, state.position, state.position_epoch)
                for state in self.partitions.values()
                if state.state is _FETCHING or (anything and state.position >= 0)
            ]
        )

    # ------------------------------------------------------------------------------------------------ requests

    def send_fetches(self, now: float, outputs: list[Output]) -> None:
        """The client, in poll() (librdkafka: always), fetches what it lacks, one request a broker (AbstractFetch.prepareFetchRequests)."""
        by_peer: dict[str, list[PartitionState]] = {}
        metadata, most_buffered = self._client.metadata, self._most_buffered
        for state in self.partitions.values():
            if state.state is not _FETCHING or state.buffered > most_buffered or state.retry_at > now:
                continue
            leader = metadata.leaders.get(state.partition, -1)
            if leader < 0:
                metadata.request_update()
                self.back_off(state, now)
                continue
            peer = self._peers.get(leader)
            if peer is None:
                peer = self._peers[leader] = broker_name(leader)
            if peer not in self._pending:
                by_peer.setdefault(peer, []).append(state)
        for peer, states in by_peer.items():
            if self._client.ready(peer, now, outputs):
                self._send_fetch(peer, states, now, outputs)

    def send_list_offsets(self, now: float, outputs: list[Output]) -> None:
        """The client, for partitions that await a reset, asks where auto.offset.reset is (OffsetFetcher.resetPositionsIfNeeded)."""
        by_broker: dict[int, list[TopicPartition]] = {}
        metadata = self._client.metadata
        for state in self.partitions.values():
            if state.state is FetchState.AWAIT_RESET and state.retry_at <= now:
                leader = metadata.leaders.get(state.partition, -1)
                if leader < 0:
                    metadata.request_update()
                    self.back_off(state, now)
                else:
                    by_broker.setdefault(leader, []).append(state.partition)
        timestamp = self._reset_timestamp(now) if by_broker else LATEST
        for broker_id, partitions in by_broker.items():
            peer = broker_name(broker_id)
            if peer not in self._listing and self._client.ready(peer, now, outputs):
                self._listing[peer] = None
                request = ListOffsetsRequest(self._client.next_correlation_id(), tuple(partitions), timestamp)
                self._client.send(peer, request, None, now, outputs)

    # ------------------------------------------------------------------------------------------------ responses

    def fetch_completed(self, completed: Completed, now: float, _outputs: list[Output]) -> None:
        """A fetch is over: its batches are buffered, its errors acted upon; a broken connection means only that it will be asked again."""
        del self._pending[completed.peer]
        response = completed.response
        if not isinstance(response, FetchResponse):
            return  # the network client has asked for metadata already, and backs off
        versions: dict[TopicPartition, int] = completed.context  # what _send_fetch put there
        for fetched in response.partitions:
            state = self.partitions.get(fetched.partition)
            if state is None or versions.get(fetched.partition) != state.version or state.state is not _FETCHING:
                continue  # obsolete: the partition was revoked or reset meanwhile
            if fetched.error is not _NONE:
                self._fetch_failed(state, fetched, now)
            elif fetched.batches:
                self._buffer(state, fetched.batches)

    def list_offsets_completed(self, completed: Completed, now: float, outputs: list[Output]) -> None:
        """The offset is known: the position moves there, whatever lies between.

        by_duration asks for the first record that is young enough. Where there is none, Java's client does not go to the end: it goes
        without a position, and asks again when request.timeout.ms is over (OffsetFetcherUtils.handleListOffsetResponse).
        """
        del self._listing[completed.peer]
        response = completed.response
        if not isinstance(response, ListOffsetsResponse):
            return
        for partition, error, offset, _ in response.partitions:
            state = self.partitions.get(partition)
            if state is None or state.state is not FetchState.AWAIT_RESET:
                continue
            if error is Error.NONE and offset < 0:
                self._rest(state, now + self._settings.request_timeout_ms)
            elif error is not Error.NONE:
                self._client.metadata.request_update()
                self.back_off(state, now)
            else:
                outputs.append(PositionReset(partition, state.position, offset))
                self.seek(state, offset, -1)  # without an epoch: there is nothing yet that could have been cut off

    # ------------------------------------------------------------------------------------------------ handing over

    def collect(self, max_records: int) -> tuple[PolledSlice, ...]:
        """Hand over up to `max_records`, oldest fetch first, and move the positions past them (FetchCollector.collectFetch)."""
        slices: list[PolledSlice] = []
        remaining = max_records
        while self.buffering and remaining > 0:
            fetch = self.buffering[0]
            if fetch.version == fetch.state.version:
                remaining = self._take(fetch, remaining, slices)
            else:
                fetch.index = len(fetch.batches)
            if fetch.index == len(fetch.batches):
                self.buffering.popleft()
        return tuple(slices)

    def back_off_over(self, now: float) -> None:
        """Time has come for partitions that waited after an error; remember the next one that waits."""
        self.retry_at = min((state.retry_at for state in self.partitions.values() if state.retry_at > now), default=NEVER)

    # ------------------------------------------------------------------------------------------------ positions

    def request_reset(self, state: PartitionState) -> None:
        """The position is worth nothing: auto.offset.reset decides, or without it the application, by an exception."""
        self.discard(state)
        if self._settings.auto_offset_reset == "none":
            self.enter(state, FetchState.FAILED)
            self.failed = Error.OFFSET_OUT_OF_RANGE
        else:
            self.enter(state, FetchState.AWAIT_RESET)

    def seek(self, state: PartitionState, offset: int, epoch: int) -> None:
        """Read on from `offset`; the record before it was of leader epoch `epoch`, -1 if that is unknown (seekValidated)."""
        self.discard(state)
        self.enter(state, FetchState.FETCHING)
        state.position = state.fetch_offset = offset
        state.position_epoch = state.fetch_epoch = epoch
        state.leader_epoch = self._client.metadata.leader_epochs.get(state.partition, -1)

    def rewind(self, state: PartitionState) -> None:
        """What is buffered beyond the position is fetched anew."""
        self.discard(state)
        state.fetch_offset, state.fetch_epoch = state.position, state.position_epoch

    def await_validation(self, state: PartitionState) -> None:
        """Fetch nothing before the leader has been asked; without both epochs there is nothing to ask (validatePosition)."""
        if state.fetch_epoch >= 0 and state.leader_epoch >= 0:
            self.enter(state, FetchState.AWAIT_VALIDATION)
            state.retry_at = -NEVER
        else:
            self.enter(state, FetchState.FETCHING)

    def enter(self, state: PartitionState, fetch_state: FetchState) -> None:
        """Take the next step, and keep count of those that wait."""
        waiting = (FetchState.INITIALIZING, FetchState.AWAIT_RESET, FetchState.AWAIT_VALIDATION)
        self.missing += (fetch_state in waiting) - (state.state in waiting)
        state.state = fetch_state

    def discard(self, state: PartitionState) -> None:
        """What is buffered, and what is being fetched, is not wanted any more."""
        state.version = next(self._versions)
        self.available -= state.buffered
        state.buffered = 0

    def back_off(self, state: PartitionState, now: float) -> None:
        """Let the partition rest for retry.backoff.ms."""
        self._rest(state, now + self._settings.retry_backoff_ms)

    # ------------------------------------------------------------------------------------------------ helpers

    def _rest(self, state: PartitionState, until: float) -> None:
        state.retry_at = until
        self.retry_at = min(self.retry_at, until)

    def _reset_timestamp(self, now: float) -> float:
        """What a reset asks for: the beginning, the end, or a time that counts back from this very moment (not before the clock's zero)."""
        if self._settings.reset_duration_ms is not None:
            return max(now - self._settings.reset_duration_ms, 0.0)
        return EARLIEST if self._settings.auto_offset_reset == "earliest" else LATEST

    def _send_fetch(self, peer: str, states: list[PartitionState], now: float, outputs: list[Output]) -> None:
        settings, epochs = self._settings, self._client.metadata.leader_epochs
        wanted = [
            FetchPartition(s.partition, s.fetch_offset, epochs.get(s.partition, -1), -1, settings.max_partition_fetch_bytes) for s in states
        ]
        request = FetchRequest(
            self._client.next_correlation_id(),
            -1,
            -1,
            settings.fetch_max_wait_ms,
            settings.fetch_min_bytes,
            settings.fetch_max_bytes,
            settings.read_committed,
            tuple(wanted),
        )
        self._pending[peer] = None
        versions = {state.partition: state.version for state in states}
        self._client.send(peer, request, versions, now, outputs, self._timeout_ms)

    def _buffer(self, state: PartitionState, batches: tuple[LogBatch, ...]) -> None:
        last = batches[-1]
        count = last.next_offset - max(batches[0].base_offset, state.fetch_offset)
        if count <= 0:
            return
        state.fetch_offset = last.next_offset
        state.fetch_epoch = last.leader_epoch
        state.buffered += count
        self.available += count
        self.buffering.append(CompletedFetch(state, batches))
        if self._trace is not None:
            self._trace(FetchedBatches(batches))

    def _take(self, fetch: CompletedFetch, remaining: int, slices: list[PolledSlice]) -> int:
        """Cut slices off one completed fetch, at most `remaining` records; how many may still come."""
        state, batches = fetch.state, fetch.batches
        position, taken = state.position, 0
        while fetch.index < len(batches) and remaining > 0:
            base_offset, next_offset, epoch, batch, _ = batches[fetch.index]
            if position < base_offset:
                position = base_offset
            count = next_offset - position
            if count > remaining:
                count = remaining
            if count > 0:
                start = position - base_offset
                whole = start == 0 and position + count == next_offset
                numbers = batch.numbers if whole else batch.numbers[start : start + count]
                slices.append(PolledSlice(state.partition, position, batch.producer, numbers))
                position += count
                remaining -= count
                taken += count
                state.position_epoch = epoch
            if position >= next_offset:
                fetch.index += 1
        state.position = position
        state.buffered -= taken
        self.available -= taken
        return remaining

    def _fetch_failed(self, state: PartitionState, fetched: FetchedPartition, now: float) -> None:
        """An error with one partition (FetchCollector.handleInitializeErrors).

        Simplified: the partition then rests for retry.backoff.ms; Java tries again at once, librdkafka after fetch.error.backoff.ms.
        """
        if fetched.error is Error.OFFSET_OUT_OF_RANGE:
            self.request_reset(state)
            return
        metadata = self._client.metadata
        known = fetched.current_leader >= 0 and metadata.update_leadership(
            state.partition, fetched.current_leader, fetched.current_leader_epoch
        )  # KIP-951
        if fetched.error.invalid_metadata:
            metadata.request_update()
        if not known:
            self.back_off(state, now)
