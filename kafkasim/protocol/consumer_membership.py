"""A consumer's life in its group: org.apache.kafka.clients.consumer.internals.AbstractCoordinator, Heartbeat and ConsumerCoordinator.

Two threads of the Java client meet here. The application's, within poll() or commitSync(), finds the coordinator, joins and syncs. The
*heartbeat thread* runs whatever the application does: it keeps the session alive, notices when the coordinator has gone, and
leaves the group when the application has not called poll() for max.poll.interval.ms.

    UNJOINED -> PREPARING_REBALANCE (JoinGroup sent) -> COMPLETING_REBALANCE (SyncGroup sent) -> STABLE

A rebalance that others caused is learned from a heartbeat or a commit, and acted upon in the next poll() only.
librdkafka does all of this in its main thread. Simplified: it, too, joins within consume() only, as if a rebalance_cb were registered.
"""

# ruff: noqa: PLR1730 - on the hot path an `if` costs a third of a min() or max()

from __future__ import annotations

from enum import Enum

from kafkasim.protocol.backoff import ExponentialBackoff
from kafkasim.protocol.connection_states import NEVER
from kafkasim.protocol.errors import Error
from kafkasim.protocol.flavours import ConsumerSettings
from kafkasim.protocol.messages import (
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
    SyncGroupRequest,
    SyncGroupResponse,
)
from kafkasim.protocol.network_client import Completed, NetworkClient
from kafkasim.protocol.node import Output, Random, broker_name
from kafkasim.protocol.records import OffsetAndEpoch, TopicPartition

NO_GENERATION = -1

# How much longer than the rebalance timeout a client waits for the answer to JoinGroup: JOIN_GROUP_TIMEOUT_LAPSE.
JOIN_GROUP_TIMEOUT_LAPSE_MS = 5_000.0

Offsets = tuple[OffsetAndEpoch, ...]


class MemberState(Enum):
    """AbstractCoordinator.MemberState."""

    UNJOINED = "unjoined"
    PREPARING_REBALANCE = "waits for JoinGroup"
    COMPLETING_REBALANCE = "waits for SyncGroup"
    STABLE = "has its partitions"


_STABLE = MemberState.STABLE  # looked up once: CPython takes ten times as long for a member of an Enum as for a global


class ConsumerCoordinator:
    """One member's view of its group.

    `peer`: the connection to the coordinator, None while unknown. `assignment`: what the last SyncGroup brought, until poll() takes it.
    `dropped`: requests that ended because the connection was given up here; the consumer treats them like all others that are over.
    """

    __slots__ = (
        "_client",
        "_finding",
        "_group",
        "_heartbeat_at",
        "_heartbeat_attempts",
        "_joining",
        "_name",
        "_poll_deadline",
        "_retry_at",
        "_retry_attempts",
        "_retry_backoff",
        "_session_deadline",
        "_settings",
        "_topics",
        "assignment",
        "dropped",
        "generation",
        "member_id",
        "peer",
        "rejoin_needed",
        "state",
    )

    def __init__(
        self, name: str, group: str, settings: ConsumerSettings, topics: tuple[str, ...], client: NetworkClient, random: Random
    ) -> None:
        self.peer: str | None = None
        self.state = MemberState.UNJOINED
        self.generation = NO_GENERATION
        self.member_id = ""
        self.rejoin_needed = True
        self.assignment: tuple[TopicPartition, ...] | None = None
        self.dropped: list[Completed] = []
        self._name = name
        self._group = group
        self._settings = settings
        self._topics = topics
        self._client = client
        self._finding = False
        self._joining = False  # a JoinGroup or SyncGroup is in flight or about to be sent
        self._retry_backoff = ExponentialBackoff(settings.retry_backoff_ms, settings.retry_backoff_max_ms, random)
        self._retry_attempts = 0
        self._retry_at = NEVER  # no lookup and no join before; NEVER: no backoff
        self._heartbeat_attempts = 0
        self._heartbeat_at = NEVER
        self._session_deadline = NEVER
        self._poll_deadline = NEVER

    # ------------------------------------------------------------------------------------------------ the coordinator

    def ensure_coordinator(self, now: float, outputs: list[Output]) -> bool:
        """Whether the coordinator is known; if not, ask any broker for it, unless that is backing off (ensureCoordinatorReady)."""
        if self.peer is not None:
            if not self._client.is_unavailable(self.peer, now):
                return True
            self.peer = None
            self._back_off(now)
        if self._finding or self._backing_off(now):
            return False
        node = self._client.least_loaded_node(now)
        if node is None:
            self._back_off(now)
        elif self._client.ready(node, now, outputs):
            self._finding = True
            self._client.send(node, FindCoordinatorRequest(self._client.next_correlation_id(), self._group), None, now, outputs)
        return False

    def disconnected(self, peer: str) -> None:
        """The connection to the coordinator broke: it must be found again, it may have moved."""
        if peer == self.peer:
            self.peer = None

    # ------------------------------------------------------------------------------------------------ joining

    @property
    def active(self) -> bool:
        """Whether this is a member in good standing, as far as it knows, whose coordinator is known."""
        return self.state is _STABLE and not self.rejoin_needed and self.peer is not None

    @property
    def rebalancing(self) -> bool:
        """Whether JoinGroup or SyncGroup is under way."""
        return self.state in (MemberState.PREPARING_REBALANCE, MemberState.COMPLETING_REBALANCE)

    @property
    def lost(self) -> bool:
        """Whether membership ended unnoticed, so that the partitions may belong to another by now (onPartitionsLost)."""
        return self.generation == NO_GENERATION or not self.member_id

    def join(self, now: float, outputs: list[Output]) -> None:
        """The application's thread, within poll(), if a rejoin is needed: send JoinGroup, unless one is under way (initiateJoinGroup)."""
        if self._joining or self._backing_off(now):
            return
        if self.peer is None or not self._client.ready(self.peer, now, outputs):
            return
        self._joining = True
        self.state = MemberState.PREPARING_REBALANCE
        self._stop_heartbeats()
        settings = self._settings
        request = JoinGroupRequest(
            self._client.next_correlation_id(),
            self._group,
            self.member_id,
            self._name,
            settings.session_timeout_ms,
            settings.max_poll_interval_ms,
            self._topics,
        )
        timeout = max(settings.request_timeout_ms, settings.max_poll_interval_ms + JOIN_GROUP_TIMEOUT_LAPSE_MS)
        self._client.send(self.peer, request, None, now, outputs, timeout_ms=timeout)

    def polled(self, now: float) -> None:
        """The application's thread shows that it is alive: max.poll.interval.ms begins anew."""
        if self._poll_deadline != NEVER:
            self._poll_deadline = now + self._settings.max_poll_interval_ms

    # ------------------------------------------------------------------------------------------------ offsets and leaving

    def commit(self, offsets: Offsets, context: object, now: float, outputs: list[Output]) -> Error:
        """Send an OffsetCommit; NONE if it is under way, COORDINATOR_NOT_AVAILABLE if it cannot be sent yet, else why it never can."""
        if self.state is not _STABLE:
            return Error.REBALANCE_IN_PROGRESS if self.rebalancing else Error.COMMIT_FAILED
        if self.peer is None or not self._client.ready(self.peer, now, outputs):
            return Error.COORDINATOR_NOT_AVAILABLE
        request = OffsetCommitRequest(self._client.next_correlation_id(), self._group, self.generation, self.member_id, offsets)
        self._client.send(self.peer, request, context, now, outputs)
        return Error.NONE

    def commit_failed(self, request: OffsetCommitRequest, error: Error, now: float, outputs: list[Output]) -> Error:
        """What an error in an answer to OffsetCommit means for the membership; what the application hears (OffsetCommitResponseHandler)."""
        if error in (Error.NOT_COORDINATOR, Error.COORDINATOR_NOT_AVAILABLE, Error.REQUEST_TIMED_OUT):
            self._give_coordinator_up(now, outputs)
        elif error is Error.REBALANCE_IN_PROGRESS:
            self.rejoin_needed = True
        elif error in (Error.UNKNOWN_MEMBER_ID, Error.ILLEGAL_GENERATION):
            if not self._is_current(request.generation, request.member_id) and self.state is MemberState.PREPARING_REBALANCE:
                return Error.REBALANCE_IN_PROGRESS
            self._reset_generation(forget_member_id=error is Error.UNKNOWN_MEMBER_ID)
            return Error.COMMIT_FAILED
        return error

    def fetch_offsets(self, partitions: tuple[TopicPartition, ...], now: float, outputs: list[Output]) -> bool:
        """Ask the coordinator where the group stands; whether the question could be sent."""
        if self._backing_off(now) or self.peer is None or not self._client.ready(self.peer, now, outputs):
            return False
        request = OffsetFetchRequest(self._client.next_correlation_id(), self._group, partitions)
        self._client.send(self.peer, request, self.generation, now, outputs)
        return True

    def offset_fetch_failed(self, error: Error, now: float, outputs: list[Output]) -> None:
        """The coordinator has moved or is loading: ask again later."""
        self._back_off(now)
        if error in (Error.NOT_COORDINATOR, Error.COORDINATOR_NOT_AVAILABLE):
            self._give_coordinator_up(now, outputs)

    def leave(self, now: float, outputs: list[Output]) -> None:
        """Say goodbye, so that nobody waits for the session to end (maybeLeaveGroup); nothing depends on the answer."""
        if (
            self.peer is not None
            and self.state is not MemberState.UNJOINED
            and self.member_id
            and self._client.ready(self.peer, now, outputs)
        ):
            request = LeaveGroupRequest(self._client.next_correlation_id(), self._group, self.member_id)
            self._client.send(self.peer, request, None, now, outputs)
        self._reset_generation(forget_member_id=True)

    # ------------------------------------------------------------------------------------------------ responses

    def find_completed(self, completed: Completed, now: float, outputs: list[Output]) -> None:
        """A broker told who coordinates the group, or could not: then wait, and refresh metadata before asking again."""
        self._finding = False
        response = completed.response
        if isinstance(response, FindCoordinatorResponse) and response.error is Error.NONE:
            # A connection of its own, so that heartbeats do not queue behind a fetch that waits for records.
            self.peer = f"{broker_name(response.coordinator)}#coordinator"
            self._client.ready(self.peer, now, outputs)
            if self._heartbeat_at != NEVER:
                self._session_deadline = now + self._settings.session_timeout_ms
            return
        self._client.metadata.request_update()
        self._back_off(now)

    def join_completed(self, completed: Completed, now: float, outputs: list[Output]) -> None:
        """A new generation has begun: ask for our part of it at once; or an error says how to try again (JoinGroupResponseHandler)."""
        response = completed.response
        if not isinstance(response, JoinGroupResponse):
            self._join_failed(completed.error, now, outputs)
        elif response.error is Error.MEMBER_ID_REQUIRED:
            self._joining = False
            self.generation, self.member_id = NO_GENERATION, response.member_id
        elif response.error is not Error.NONE:
            self._join_failed(response.error, now, outputs)
        elif self.state is not MemberState.PREPARING_REBALANCE:
            self._joining = False  # we have left the group meanwhile
        else:
            self.state = MemberState.COMPLETING_REBALANCE
            self.generation, self.member_id = response.generation, response.member_id
            self._start_heartbeats(now)
            assert self.peer == completed.peer, "a connection that answers is the one to the coordinator"
            request = SyncGroupRequest(self._client.next_correlation_id(), self._group, self.generation, self.member_id)
            self._client.send(completed.peer, request, None, now, outputs)

    def sync_completed(self, completed: Completed, now: float, outputs: list[Output]) -> None:
        """Our partitions are known; poll() will take them over (SyncGroupResponseHandler)."""
        response, request = completed.response, completed.request
        assert isinstance(request, SyncGroupRequest), "the consumer dispatches by the type of the request"
        if not isinstance(response, SyncGroupResponse):
            self._join_failed(completed.error, now, outputs)
        elif response.error is not Error.NONE:
            self._join_failed(response.error, now, outputs, self._is_current(request.generation, request.member_id))
        elif self.state is MemberState.COMPLETING_REBALANCE and self.generation != NO_GENERATION:
            self.state = MemberState.STABLE
            self.rejoin_needed = False
            self._joining = False
            self._retry_attempts = 0
            self.assignment = response.assignment
        else:
            self._joining = False

    def heartbeat_completed(self, completed: Completed, now: float, outputs: list[Output]) -> None:
        """The coordinator knows us (or not, or wants us to rejoin); what an old generation hears is ignored (HeartbeatResponseHandler)."""
        response, request = completed.response, completed.request
        assert isinstance(request, HeartbeatRequest), "the consumer dispatches by the type of the request"
        error = response.error if isinstance(response, HeartbeatResponse) else completed.error
        current = self._is_current(request.generation, request.member_id)
        if error is Error.REBALANCE_IN_PROGRESS:
            if self.state is MemberState.STABLE:
                self.rejoin_needed = True
            error = Error.NONE
        elif error in (Error.UNKNOWN_MEMBER_ID, Error.ILLEGAL_GENERATION):
            if current:
                self._reset_generation(forget_member_id=error is Error.UNKNOWN_MEMBER_ID)
            return
        elif error in (Error.NOT_COORDINATOR, Error.COORDINATOR_NOT_AVAILABLE):
            self._give_coordinator_up(now, outputs)
        if error is Error.NONE:
            self._heartbeat_attempts = 0
            if self._session_deadline != NEVER:
                self._session_deadline = now + self._settings.session_timeout_ms
        elif self._heartbeat_at != NEVER:
            self._heartbeat_at = now + self._retry_backoff.backoff(self._heartbeat_attempts)
            self._heartbeat_attempts += 1

    # ------------------------------------------------------------------------------------------------ the heartbeat thread

    def next_deadline(self) -> float:
        """The earliest of heartbeat, end of session, end of max.poll.interval.ms and end of a backoff; NEVER if none runs."""
        deadline = self._heartbeat_at
        if self._poll_deadline < deadline:
            deadline = self._poll_deadline
        if self._session_deadline < deadline:
            deadline = self._session_deadline
        return self._retry_at if self._retry_at < deadline else deadline

    def wake(self, in_poll: bool, now: float, outputs: list[Output]) -> None:
        """The heartbeat thread looks at its timers (HeartbeatThread.run)."""
        if self._retry_at <= now:
            self._retry_at = NEVER
        if self._poll_deadline <= now:
            if in_poll:
                self.polled(now)
            else:
                self.leave(now, outputs)  # the application takes too long: let somebody else have the partitions
                return
        if self._session_deadline <= now:
            self._session_deadline = NEVER
            self._give_coordinator_up(now, outputs)
        if self._heartbeat_at <= now:
            self._send_heartbeat(now, outputs)

    def run_in_background(self, now: float, outputs: list[Output]) -> None:
        """The heartbeat thread, while it runs, looks for a lost coordinator even if the application never calls."""
        if self.peer is None and self._heartbeat_at != NEVER:
            self.ensure_coordinator(now, outputs)

    def _send_heartbeat(self, now: float, outputs: list[Output]) -> None:
        if not self.ensure_coordinator(now, outputs) or self.peer is None or not self._client.ready(self.peer, now, outputs):
            self._heartbeat_at = now + self._settings.retry_backoff_ms
            return
        self._heartbeat_at = now + self._settings.heartbeat_interval_ms
        request = HeartbeatRequest(self._client.next_correlation_id(), self._group, self.generation, self.member_id)
        self._client.send(self.peer, request, None, now, outputs)

    def _start_heartbeats(self, now: float) -> None:
        self._heartbeat_at = now + self._settings.heartbeat_interval_ms
        self._session_deadline = now + self._settings.session_timeout_ms
        self._poll_deadline = now + self._settings.max_poll_interval_ms

    def _stop_heartbeats(self) -> None:
        self._heartbeat_at = self._session_deadline = self._poll_deadline = NEVER

    # ------------------------------------------------------------------------------------------------ helpers

    def _join_failed(self, error: Error, now: float, outputs: list[Output], current: bool = True) -> None:
        """Join again: at once where the coordinator knows better, else after a while (joinGroupIfNeeded)."""
        self._joining = False
        self.rejoin_needed = True
        if error in (Error.UNKNOWN_MEMBER_ID, Error.ILLEGAL_GENERATION):
            if current:
                self._reset_generation(forget_member_id=error is Error.UNKNOWN_MEMBER_ID)
        elif error is not Error.REBALANCE_IN_PROGRESS:
            self._back_off(now)
            if error in (Error.NOT_COORDINATOR, Error.COORDINATOR_NOT_AVAILABLE):
                self._give_coordinator_up(now, outputs)

    def _reset_generation(self, forget_member_id: bool) -> None:
        """We are no longer part of the group's generation (resetStateAndGeneration). After ILLEGAL_GENERATION the id is still good."""
        self.state = MemberState.UNJOINED
        self.generation = NO_GENERATION
        if forget_member_id:
            self.member_id = ""
        self.rejoin_needed = True
        self.assignment = None
        self._stop_heartbeats()

    def _is_current(self, generation: int, member_id: str) -> bool:
        return generation == self.generation and member_id == self.member_id

    def _give_coordinator_up(self, now: float, outputs: list[Output]) -> None:
        """It answered that it is not (or did not answer at all): forget it and close the connection (markCoordinatorUnknown)."""
        if self.peer is not None:
            peer, self.peer = self.peer, None
            self.dropped.extend(self._client.disconnect(peer, now, outputs))

    def _backing_off(self, now: float) -> bool:
        return now < self._retry_at < NEVER

    def _back_off(self, now: float) -> None:
        self._retry_at = now + self._retry_backoff.backoff(self._retry_attempts)
        self._retry_attempts += 1
