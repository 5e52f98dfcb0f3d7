"""KafkaConsumer with group management: poll(), commitSync() and close() of one application thread.

In Kafka: org.apache.kafka.clients.consumer.internals.ClassicKafkaConsumer (poll, pollForFetches) and ConsumerCoordinator
(onJoinPrepare, onJoinComplete); librdkafka: rd_kafka_consume_batch_queue, rdkafka_cgrp.c.

Four parts, each with rules of its own: `fetcher.py` reads; `consumer_membership.py` keeps the consumer in its group;
`consumer_commits.py` decides what is committed when; here is the order in which a poll goes through them.

Simplified: no seek(), pause() or assign(), and no commitAsync() but the automatic one.
"""

# ruff: noqa: PLR1730 - on the hot path an `if` costs a third of a min() or max()

from __future__ import annotations

from kafkasim.protocol.calls import (
    ClientClosed,
    CloseClient,
    CommitOffsets,
    PartitionsAssigned,
    PartitionsRevoked,
    Polled,
    PolledSlice,
    PollFailed,
    PollRecords,
)
from kafkasim.protocol.connection_states import NEVER
from kafkasim.protocol.consumer_commits import CommitKind, OffsetCommitter, Revocation
from kafkasim.protocol.consumer_membership import ConsumerCoordinator
from kafkasim.protocol.errors import Error
from kafkasim.protocol.fetcher import Fetcher
from kafkasim.protocol.flavours import Client, ConsumerSettings
from kafkasim.protocol.messages import (
    FetchRequest,
    FindCoordinatorRequest,
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    ListOffsetsRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
    OffsetFetchResponse,
    OffsetForLeaderEpochRequest,
    SyncGroupRequest,
)
from kafkasim.protocol.network_client import Completed, NetworkClient
from kafkasim.protocol.node import Disconnected, Output, Random, Trace
from kafkasim.protocol.position_validation import PositionValidator
from kafkasim.protocol.records import OffsetAndEpoch, TopicPartition

# KafkaConsumer.close() without an argument: ConsumerUtils.DEFAULT_CLOSE_TIMEOUT_MS.
CLOSE_TIMEOUT_MS = 30_000.0
_NONE = Error.NONE  # looked up once: CPython takes ten times as long for a member of an Enum as for a global
_NOT_BEGUN = Revocation.NONE  # likewise


class Consumer:
    """One member of a group, with one application thread that calls poll(), commitSync() and close(), one at a time."""

    __slots__ = (
        "_client",
        "_closed",
        "_closing",
        "_commits",
        "_deadline",
        "_fetcher",
        "_handlers",
        "_java",
        "_membership",
        "_offset_fetch_in_flight",
        "_poll_until",
        "_polling",
        "_retry_at",
        "_revocation",
        "_revocation_deadline",
        "_settings",
        "_validator",
        "group",
        "name",
    )

    def __init__(
        self,
        name: str,
        group: str,
        settings: ConsumerSettings,
        topics: tuple[str, ...],
        bootstrap: tuple[int, ...],
        random: Random,
        trace: Trace | None = None,
    ) -> None:
        self.name = name
        self.group = group
        self._settings = settings
        self._java = settings.client is Client.JAVA
        self._client = NetworkClient(settings, bootstrap, random, trace)
        self._fetcher = fetcher = Fetcher(settings, self._client, trace)
        self._validator = validator = PositionValidator(settings, self._client, fetcher)
        self._membership = membership = ConsumerCoordinator(name, group, settings, topics, self._client, random)
        self._commits = OffsetCommitter(settings, membership, fetcher, random)
        self._polling = False
        self._poll_until = NEVER
        self._closing = False
        self._closed = False
        self._deadline: float | None = None  # found once at the end of every turn: between turns nothing changes
        self._revocation = Revocation.NONE
        self._revocation_deadline = NEVER
        self._retry_at = NEVER  # no further commit before a revocation until then
        self._offset_fetch_in_flight = False
        for topic in topics:
            self._client.metadata.add_topic(topic)
        self._handlers = {
            FetchRequest: fetcher.fetch_completed,
            ListOffsetsRequest: fetcher.list_offsets_completed,
            HeartbeatRequest: membership.heartbeat_completed,
            FindCoordinatorRequest: membership.find_completed,
            JoinGroupRequest: membership.join_completed,
            SyncGroupRequest: membership.sync_completed,
            OffsetFetchRequest: self._offset_fetch_completed,
            OffsetForLeaderEpochRequest: validator.completed,
            OffsetCommitRequest: self._commit_completed,
        }

    # ------------------------------------------------------------------------------------------------ Node

    def positions(self) -> tuple[tuple[TopicPartition, int, int], ...]:
        """KafkaConsumer.position() of every partition that has one, and the leader epoch in which it is being read (see the fetcher)."""
        return self._fetcher.positions()

    def start(self, now: float) -> list[Output]:
        """The process starts: ask for metadata. Simplified: Kafka's consumer connects at the first poll()."""
        outputs: list[Output] = []
        if not self._java:
            self._commits.start_interval(now)
        self._find_deadline(self._client.poll(now, outputs))
        return outputs

    def receive(self, event: object, source: str, now: float) -> list[Output]:
        """Take a call of the application, a response, or what became of a connection."""
        outputs: list[Output] = []
        if self._closed:
            return outputs
        if source or not self._called(event, now):
            if type(event) is Disconnected:
                self._membership.disconnected(event.peer)
            for completed in self._client.receive(event, source, now):
                self._complete(completed, now, outputs)
        self._advance(now, outputs)
        return outputs

    def next_deadline(self) -> float | None:
        """The instant at which `wake` wants to be called, or None."""
        return self._deadline

    def wake(self, now: float) -> list[Output]:
        """Timeouts of requests, heartbeats, the end of a poll or of a backoff, librdkafka's commit timer."""
        outputs: list[Output] = []
        if self._closed:
            return outputs
        completions = self._client.wake(now, outputs)
        self._membership.wake(self._polling, now, outputs)
        if self._retry_at <= now:
            self._retry_at = NEVER
        if self._fetcher.retry_at <= now:
            self._fetcher.back_off_over(now)
        for completed in completions:
            self._complete(completed, now, outputs)
        if not self._java:
            self._commits.maybe_commit(now, outputs)
        self._advance(now, outputs)
        return outputs

    def _find_deadline(self, deadline: float) -> None:
        """The earliest of `deadline`, the network client's, and everything else that this consumer waits for."""
        membership, commits = self._membership, self._commits
        if (of_group := membership.next_deadline()) < deadline:
            deadline = of_group
        if commits.sync is not None and (of_commit := commits.next_deadline()) < deadline:
            deadline = of_commit
        if self._fetcher.retry_at < deadline:
            deadline = self._fetcher.retry_at
        if self._poll_until < deadline:
            deadline = self._poll_until
        if self._retry_at < deadline:
            deadline = self._retry_at
        if commits.next_auto_commit < deadline and (not self._java or (self._polling and membership.active)):
            deadline = commits.next_auto_commit
        self._deadline = None if deadline == NEVER else deadline

    # ------------------------------------------------------------------------------------------------ calls

    def _called(self, call: object, now: float) -> bool:
        """The application calls; whether `call` was one. Its thread makes no other call before it has the answer, except close()."""
        if self._closing:
            return isinstance(call, (PollRecords, CommitOffsets, CloseClient))  # the application is in close() already
        if type(call) is PollRecords:
            self._check_one_thread()
            self._polling = True
            self._poll_until = now + call.timeout_ms
            return True
        match call:
            case CommitOffsets(offsets):
                self._check_one_thread()
                deadline = now + self._settings.default_api_timeout_ms
                named = tuple([OffsetAndEpoch(partition, offset) for partition, offset in offsets])
                self._commits.start_sync(named or self._fetcher.all_consumed(), deadline, closing=False)
            case CloseClient():
                # Commit what an automatic commit would, then leave the group, so that others need not wait for the session to end.
                self._polling = False
                self._poll_until = NEVER
                self._closing = True
                self._commits.start_sync(self._commits.take_automatic(), now + CLOSE_TIMEOUT_MS, closing=True)
            case _:
                return False
        return True

    def _check_one_thread(self) -> None:
        assert not self._polling, "a KafkaConsumer is used by one thread, and that is still in poll()"
        assert self._commits.sync is None, "a KafkaConsumer is used by one thread, and that is still in commitSync()"

    def _finish_close(self, now: float, outputs: list[Output]) -> None:
        membership = self._membership
        partitions = tuple(self._fetcher.partitions)
        if partitions:
            outputs.append(PartitionsRevoked(partitions, membership.lost or membership.rebalancing))
        membership.leave(now, outputs)
        self._client.close(outputs)
        self._closed = True
        self._deadline = None
        outputs.append(ClientClosed())

    # ------------------------------------------------------------------------------------------------ one turn

    def _advance(self, now: float, outputs: list[Output]) -> None:
        """After every event: whichever thread may run takes its next steps."""
        membership, commits = self._membership, self._commits
        while membership.dropped:
            self._complete(membership.dropped.pop(0), now, outputs)
        if not self._java:
            self._run_in_background(now, outputs)
        if self._polling:
            self._poll_turn(now, outputs)
        elif commits.sync is not None:
            commits.sync_turn(commits.sync, now, outputs)
        if self._closing and commits.sync is None:
            self._finish_close(now, outputs)
            return
        if membership.peer is None:
            membership.run_in_background(now, outputs)
        self._find_deadline(self._client.poll(now, outputs))

    def _poll_turn(self, now: float, outputs: list[Output]) -> None:
        """The application's thread, inside poll(): the group first, then an automatic commit, then what is buffered, then new fetches.

        poll() returns what is there; consume() waits for its n. While the coordinator is unknown, Java's poll() waits for it rather
        than return records. New fetches are sent when nothing is buffered, and just before records are returned.
        """
        active = self._ensure_active(now, outputs)
        timed_out = now >= self._poll_until
        fetcher = self._fetcher
        if self._java and self._client.metadata.version != self._validator.metadata_version:
            self._validator.metadata_changed()
        if active and self._java:
            if self._commits.next_auto_commit <= now:
                self._commits.maybe_commit(now, outputs)
            if fetcher.missing:
                self._validator.send_requests(now, outputs)
                self._update_positions(now, outputs)
        slices: tuple[PolledSlice, ...] = ()
        enough = self._membership.peer is not None if self._java else fetcher.available >= self._settings.max_poll_records
        giving_up = self._revocation is not _NOT_BEGUN and self._revocation is not Revocation.DONE
        if (enough or timed_out) and not giving_up:
            if fetcher.buffering:
                slices = fetcher.collect(self._settings.max_poll_records)
            if self._java:
                fetcher.send_fetches(now, outputs)
        if slices or timed_out or fetcher.failed is not None:
            self._answer_poll(slices, now, outputs)

    def _answer_poll(self, slices: tuple[PolledSlice, ...], now: float, outputs: list[Output]) -> None:
        self._polling = False
        self._poll_until = NEVER
        if not self._java:
            self._membership.polled(now)
            self._commits.handed_out(slices)
        if not slices and self._fetcher.failed is not None:
            outputs.append(PollFailed(self._fetcher.failed, self._fetcher.without_position()))
        else:
            outputs.append(Polled(slices))

    def _run_in_background(self, now: float, outputs: list[Output]) -> None:
        """librdkafka's own thread finds the coordinator and positions, and fetches ahead, whether the application calls or not."""
        if self._client.metadata.version != self._validator.metadata_version:
            self._validator.metadata_changed()
        known = self._membership.ensure_coordinator(now, outputs) and self._membership.active
        if self._fetcher.missing:
            self._validator.send_requests(now, outputs)
            if known:
                self._update_positions(now, outputs)
        self._fetcher.send_fetches(now, outputs)

    def _update_positions(self, now: float, outputs: list[Output]) -> None:
        """Partitions without a position get the committed offset, or failing that, the one of auto.offset.reset (updateFetchPositions)."""
        initializing = self._fetcher.initializing()
        if initializing and not self._offset_fetch_in_flight:
            self._offset_fetch_in_flight = self._membership.fetch_offsets(initializing, now, outputs)
        self._fetcher.send_list_offsets(now, outputs)

    # ------------------------------------------------------------------------------------------------ the group

    def _ensure_active(self, now: float, outputs: list[Output]) -> bool:
        """Within poll(): know the coordinator, and be a member with partitions; else take the next step towards it (ensureActiveGroup)."""
        membership = self._membership
        if self._java:
            membership.polled(now)
        if not membership.ensure_coordinator(now, outputs):
            return False
        if membership.assignment is not None:
            self._take_assignment(membership.assignment, now, outputs)
        if not membership.rejoin_needed:
            return membership.active
        if self._revocation is Revocation.DONE or self._give_partitions_up(now, outputs):
            membership.join(now, outputs)
        return False

    def _give_partitions_up(self, now: float, outputs: list[Output]) -> bool:
        """Before a rejoin: commit (if that is automatic), wait for the answer, then revoke all; whether that is done (onJoinPrepare).

        No records are returned meanwhile. A membership that was lost cannot commit: whatever the application does with those
        partitions now, somebody else does too.
        """
        if self._revocation is Revocation.COMMITTING or now < self._retry_at < NEVER:
            return False
        if self._revocation is Revocation.NONE:
            self._revocation = Revocation.PENDING
            self._revocation_deadline = now + self._settings.max_poll_interval_ms
        offsets = self._commits.take_automatic() if now < self._revocation_deadline else ()
        if offsets:
            error = self._membership.commit(offsets, CommitKind.REVOCATION, now, outputs)
            if error is Error.NONE:
                self._revocation = Revocation.COMMITTING
                return False
            if error is Error.COORDINATOR_NOT_AVAILABLE:
                self._commits.give_back(offsets)
                return False
        self._revoke(outputs)
        return True

    def _revoke(self, outputs: list[Output]) -> None:
        partitions = tuple(self._fetcher.partitions)
        if partitions:
            outputs.append(PartitionsRevoked(partitions, self._membership.lost))
        self._fetcher.assign(())
        self._commits.forget()
        self._revocation = Revocation.DONE

    def _take_assignment(self, assignment: tuple[TopicPartition, ...], now: float, outputs: list[Output]) -> None:
        """Within poll(), after SyncGroup: these are ours now; the interval of automatic commits begins anew (onJoinComplete)."""
        self._membership.assignment = None
        self._revocation = Revocation.NONE
        self._offset_fetch_in_flight = False
        self._fetcher.assign(assignment)
        if self._java:
            self._commits.start_interval(now)
        outputs.append(PartitionsAssigned(assignment))

    # ------------------------------------------------------------------------------------------------ completions

    def _complete(self, completed: Completed, now: float, outputs: list[Output]) -> None:
        """A request is over; what that means is known where it was sent."""
        if completed.error is not _NONE:
            self._membership.disconnected(completed.peer)
        handler = self._handlers.get(type(completed.request))
        if handler is not None:
            handler(completed, now, outputs)
        else:
            assert isinstance(completed.request, LeaveGroupRequest), "nothing else is ever sent"

    def _offset_fetch_completed(self, completed: Completed, now: float, outputs: list[Output]) -> None:
        """The coordinator told where the group stands."""
        if completed.context != self._membership.generation:
            return  # asked in an earlier generation: the answer may be older than that generation's last commit
        self._offset_fetch_in_flight = False
        response = completed.response
        if isinstance(response, OffsetFetchResponse) and response.error is Error.NONE:
            self._fetcher.initialize(response.offsets)
        else:
            error = response.error if isinstance(response, OffsetFetchResponse) else completed.error
            self._membership.offset_fetch_failed(error, now, outputs)

    def _commit_completed(self, completed: Completed, now: float, outputs: list[Output]) -> None:
        """A commit is over; a rebalance may have waited for it."""
        error = self._commits.completed(completed, now, outputs)
        if completed.context is CommitKind.REVOCATION and self._revocation is Revocation.COMMITTING:
            self._revocation = Revocation.PENDING
            if error.retriable:
                self._retry_at = now + self._settings.retry_backoff_ms
            else:
                self._revocation_deadline = now  # the next turn of poll() revokes
