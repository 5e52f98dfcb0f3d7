"""Which offsets a consumer commits, and when: what makes the difference between "at least once" and "perhaps never".

In Kafka: ConsumerCoordinator (maybeAutoCommitOffsetsAsync, commitOffsetsSync, OffsetCommitResponseHandler); librdkafka: rdkafka_offset.c.

    Java         poll() commits, once auto.commit.interval.ms is over, the positions as *earlier* polls left them, before it hands
                 out new records. What a poll returned is committed by a later poll at the earliest: the application has processed it
                 by then, unless it works on it in another thread.
    librdkafka   a record's offset is *stored* when consume() hands it out, before it is processed; a timer of the library's own
                 commits what is stored every auto.commit.interval.ms, whatever the application is doing.

Both commit once more before partitions are revoked, and in close(). What the client commits by itself, or for commitSync() without
an argument, carries the leader epoch of the last record read; an offset that the application names carries none (KIP-320).
"""

from __future__ import annotations

from enum import Enum

from kafkasim.protocol.backoff import ExponentialBackoff
from kafkasim.protocol.calls import Committed, PolledSlice
from kafkasim.protocol.connection_states import NEVER
from kafkasim.protocol.consumer_membership import ConsumerCoordinator, Offsets
from kafkasim.protocol.errors import Error
from kafkasim.protocol.fetcher import Fetcher
from kafkasim.protocol.flavours import Client, ConsumerSettings
from kafkasim.protocol.messages import OffsetCommitRequest, OffsetCommitResponse
from kafkasim.protocol.network_client import Completed
from kafkasim.protocol.node import Output, Random
from kafkasim.protocol.records import OffsetAndEpoch, TopicPartition


class CommitKind(Enum):
    """What an automatic commit is for."""

    INTERVAL = "auto.commit.interval.ms is over"
    REVOCATION = "before partitions are given up"


class Revocation(Enum):
    """How far the consumer is in giving its partitions up for a rebalance (onJoinPrepare)."""

    NONE = "not begun"
    PENDING = "no more records are returned; a commit wants to be sent"
    COMMITTING = "that commit is in flight"
    DONE = "given up: JoinGroup may be sent"


class SyncCommit:
    """commitSync(), or the commit of close(): the application waits for it until `deadline`."""

    __slots__ = ("attempts", "closing", "deadline", "in_flight", "offsets", "retry_at")

    def __init__(self, offsets: Offsets, deadline: float, closing: bool) -> None:
        self.offsets = offsets
        self.deadline = deadline
        self.closing = closing
        self.in_flight = False
        self.attempts = 0
        self.retry_at = NEVER


class OffsetCommitter:
    """Automatic commits, and the one synchronous commit the application may be waiting for (`sync`).

    `next_auto_commit` is when an automatic commit is due: for Java within poll() only, for librdkafka whenever that is; NEVER if off.
    """

    __slots__ = ("_backoff", "_fetcher", "_java", "_membership", "_settings", "_stored", "next_auto_commit", "sync")

    def __init__(self, settings: ConsumerSettings, membership: ConsumerCoordinator, fetcher: Fetcher, random: Random) -> None:
        self.next_auto_commit = NEVER
        self.sync: SyncCommit | None = None
        self._settings = settings
        self._java = settings.client is Client.JAVA
        self._membership = membership
        self._fetcher = fetcher
        self._backoff = ExponentialBackoff(settings.retry_backoff_ms, settings.retry_backoff_max_ms, random)
        self._stored: dict[TopicPartition, OffsetAndEpoch] = {}  # librdkafka: handed out, and not yet committed

    # ------------------------------------------------------------------------------------------------ automatic

    def start_interval(self, now: float) -> None:
        """The interval begins anew. Java: with each assignment (onJoinComplete); librdkafka: once, when the client starts."""
        if self._settings.enable_auto_commit:
            self.next_auto_commit = now + self._settings.auto_commit_interval_ms

    def maybe_commit(self, now: float, outputs: list[Output]) -> None:
        """Commit if it is time. Java: the application's thread, in poll(), before records are handed out. librdkafka: a timer."""
        if self.next_auto_commit > now:
            return
        self.next_auto_commit = now + self._settings.auto_commit_interval_ms
        offsets = self.take_automatic()
        if offsets and self._membership.commit(offsets, CommitKind.INTERVAL, now, outputs) is not Error.NONE:
            self.give_back(offsets)
            if self._java:
                self.next_auto_commit = now + self._settings.retry_backoff_ms

    def handed_out(self, slices: tuple[PolledSlice, ...]) -> None:
        """librdkafka, as consume() returns, and so before anything is processed: store the offsets (enable.auto.offset.store)."""
        if self._settings.auto_offset_store:
            for piece in slices:
                epoch = self._fetcher.partitions[piece.partition].position_epoch
                self._stored[piece.partition] = OffsetAndEpoch(piece.partition, piece.base_offset + len(piece.numbers), epoch)

    def take_automatic(self) -> Offsets:
        """What an automatic commit commits now, () if commits are the application's own.

        Java: all positions, changed or not; librdkafka: what was stored since the last one.
        """
        if not self._settings.enable_auto_commit:
            return ()
        if self._java:
            return self._fetcher.all_consumed()
        offsets = tuple(self._stored.values())
        self._stored.clear()
        return offsets

    def give_back(self, offsets: Offsets) -> None:
        """A commit failed: librdkafka leaves its offsets to the next one, except where newer ones are stored."""
        if not self._java:
            for offset in offsets:
                if offset.partition in self._fetcher.partitions:
                    self._stored.setdefault(offset.partition, offset)

    def forget(self) -> None:
        """The partitions are no longer ours."""
        self._stored.clear()

    # ------------------------------------------------------------------------------------------------ synchronous

    def start_sync(self, offsets: Offsets, deadline: float, closing: bool) -> None:
        """The application's thread enters commitSync() (or the commit of close()), at the latest until `deadline`."""
        self.sync = SyncCommit(offsets, deadline, closing)

    def sync_turn(self, sync: SyncCommit, now: float, outputs: list[Output]) -> None:
        """The application's thread, inside commitSync(): find the coordinator, send, until an answer is final or the time is up."""
        if not sync.offsets:
            self._finish(sync, Error.NONE, outputs)
            return
        if now >= sync.deadline:
            self._finish(sync, Error.TIMEOUT, outputs)
            return
        if sync.retry_at <= now:
            sync.retry_at = NEVER
        if sync.in_flight or sync.retry_at != NEVER or not self._membership.ensure_coordinator(now, outputs):
            return
        error = self._membership.commit(sync.offsets, sync, now, outputs)
        if error is Error.NONE:
            sync.in_flight = True
        elif error is not Error.COORDINATOR_NOT_AVAILABLE:
            self._finish(sync, error, outputs)

    def next_deadline(self) -> float:
        """When commitSync() gives up or tries again."""
        return NEVER if self.sync is None else min(self.sync.deadline, self.sync.retry_at)

    # ------------------------------------------------------------------------------------------------ answers

    def completed(self, completed: Completed, now: float, outputs: list[Output]) -> Error:
        """An OffsetCommit was answered, or never will be (it may have been appended all the same); what came of it."""
        request, response, context = completed.request, completed.response, completed.context
        assert isinstance(request, OffsetCommitRequest), "the handlers are chosen by the type of the request"
        error = response.error if isinstance(response, OffsetCommitResponse) else completed.error
        if error is not Error.NONE and response is not None:
            error = self._membership.commit_failed(request, error, now, outputs)
        if isinstance(context, SyncCommit):
            if context is self.sync:  # else the application has given up on it
                self._sync_completed(context, error, now, outputs)
            return error
        if error is not Error.NONE:
            self.give_back(request.offsets)
        outputs.append(Committed(_pairs(request.offsets), error, sync=False))
        if error.retriable and self._java and context is CommitKind.INTERVAL:
            self.next_auto_commit = now + self._settings.retry_backoff_ms
        return error

    def _sync_completed(self, sync: SyncCommit, error: Error, now: float, outputs: list[Output]) -> None:
        sync.in_flight = False
        if error.retriable:
            sync.retry_at = now + self._backoff.backoff(sync.attempts)
            sync.attempts += 1
        else:
            self._finish(sync, error, outputs)

    def _finish(self, sync: SyncCommit, error: Error, outputs: list[Output]) -> None:
        self.sync = None
        if sync.offsets or not sync.closing:
            outputs.append(Committed(_pairs(sync.offsets), error, sync=not sync.closing))


def _pairs(offsets: Offsets) -> tuple[tuple[TopicPartition, int], ...]:
    return tuple([(partition, offset) for partition, offset, _ in offsets])
