"""What the controller remembers of its brokers' heartbeats, and what it lets a broker do next. None of it is in the metadata log.

In Kafka: org.apache.kafka.controller.BrokerHeartbeatManager, BrokerHeartbeatTracker, BrokerControlState; KIP-631, KIP-841.

A *session* belongs to one registration, (broker_id, broker_epoch), and lives for broker.session.timeout.ms after each of its heartbeats.
Neither fencing nor a shutdown ends it (since 4.0): a broker that restarts at once is refused as a duplicate until its old session has run
out. Before, a broker that was fenced has no session, and so one that was shut down in order may come back at once.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from kafkasim.protocol.messages import BrokerHeartbeatRequest

NO_OFFSET = -1


class BrokerControlState(Enum):
    """What the controller has decided about a broker."""

    FENCED = "fenced"
    UNFENCED = "unfenced"
    CONTROLLED_SHUTDOWN = "controlled shutdown"
    SHUTDOWN_NOW = "shut down now"

    @property
    def fenced(self) -> bool:
        """A broker that may shut down is fenced by the same answer that tells it so."""
        return self in {BrokerControlState.FENCED, BrokerControlState.SHUTDOWN_NOW}


class BrokerHeartbeatState:
    """One registered broker: is it fenced, how far has it read the metadata log, and at which offset may it shut down?"""

    __slots__ = ("controlled_shutdown_offset", "fenced", "metadata_offset")

    def __init__(self, fenced: bool) -> None:
        self.fenced = fenced
        self.metadata_offset = NO_OFFSET
        self.controlled_shutdown_offset = NO_OFFSET

    @property
    def control_state(self) -> BrokerControlState:
        """Where the broker stands before the heartbeat that is being handled."""
        if self.controlled_shutdown_offset != NO_OFFSET:
            return BrokerControlState.CONTROLLED_SHUTDOWN
        return BrokerControlState.FENCED if self.fenced else BrokerControlState.UNFENCED


class BrokerHeartbeatManager:
    """Contact times and soft states of all registered brokers. Lives and dies with the controller's process."""

    def __init__(self, session_timeout_ms: float, session_outlives_fencing: bool = True) -> None:
        self._session_timeout_ms = session_timeout_ms
        self._session_outlives_fencing = session_outlives_fencing
        self._brokers: dict[int, BrokerHeartbeatState] = {}
        self._contact_times: dict[tuple[int, int], float] = {}  # in order of contact, the oldest first

    # ------------------------------------------------------------------------------------------------ sessions

    def update_contact_time(self, broker_id: int, broker_epoch: int, now: float) -> None:
        """A heartbeat came in, fenced or not: its session begins anew."""
        self._contact_times.pop((broker_id, broker_epoch), None)
        self._contact_times[broker_id, broker_epoch] = now

    def has_valid_session(self, broker_id: int, broker_epoch: int, now: float) -> bool:
        """Whether this registration of the broker was heard of within broker.session.timeout.ms."""
        if not self._session_outlives_fencing and self._brokers[broker_id].fenced:
            return False
        contact = self._contact_times.get((broker_id, broker_epoch))
        return contact is not None and not self._is_expired(contact, now)

    def next_expiry(self) -> float | None:
        """The instant after which the oldest session is expired, or None without sessions."""
        for contact in self._contact_times.values():
            return contact + self._session_timeout_ms
        return None

    def remove_expired(self, now: float) -> tuple[int, int] | None:
        """Take out one expired session, (broker_id, broker_epoch), or None.

        Simplified: the oldest one; Kafka takes whichever its hash map yields first, and the others 10 ms later each.
        """
        for session, contact in self._contact_times.items():
            if not self._is_expired(contact, now):
                return None
            del self._contact_times[session]
            return session
        return None

    def _is_expired(self, contact: float, now: float) -> bool:
        return contact + self._session_timeout_ms < now

    # ------------------------------------------------------------------------------------------------ soft states

    def register(self, broker_id: int, fenced: bool) -> None:
        """A (new) registration of the broker was written: what was known of an earlier one no longer holds."""
        self._brokers[broker_id] = BrokerHeartbeatState(fenced)

    def fence(self, broker_id: int) -> None:
        """The broker's session is over. Having been fenced it leaves controlled shutdown, and may stop at its next heartbeat."""
        state = self._brokers[broker_id]
        state.fenced = True
        state.controlled_shutdown_offset = NO_OFFSET

    def touch(self, broker_id: int, fenced: bool, metadata_offset: int) -> None:
        """A heartbeat was handled, with this result."""
        state = self._brokers[broker_id]
        state.metadata_offset = metadata_offset
        state.fenced = fenced
        if fenced:
            state.controlled_shutdown_offset = NO_OFFSET

    def begin_controlled_shutdown(self, broker_id: int, offset: int) -> None:
        """The broker may stop once every active broker has read the metadata log up to `offset`, and so knows its new leaders."""
        state = self._brokers[broker_id]
        assert not state.fenced, "a fenced broker is granted its shutdown at once and never enters controlled shutdown"
        if state.controlled_shutdown_offset == NO_OFFSET:
            state.controlled_shutdown_offset = offset

    def next_state(
        self, request: BrokerHeartbeatRequest, register_offset: int, has_leaderships: Callable[[], bool]
    ) -> tuple[BrokerControlState, BrokerControlState]:
        """The states before and after this heartbeat (calculateNextBrokerState).

        `register_offset`: where the broker's registration lies in the metadata log; it is not unfenced before it has read that far.
        `has_leaderships`: whether it leads any partition, asked only where the answer matters.
        """
        broker = self._brokers[request.broker_id]
        before = broker.control_state
        if before is BrokerControlState.FENCED:
            if request.want_shut_down:
                return before, BrokerControlState.SHUTDOWN_NOW
            caught_up = request.current_metadata_offset >= register_offset
            return before, BrokerControlState.FENCED if request.want_fence or not caught_up else BrokerControlState.UNFENCED
        if before is BrokerControlState.CONTROLLED_SHUTDOWN:
            waits = has_leaderships() or broker.controlled_shutdown_offset > self._lowest_active_offset()
            return before, BrokerControlState.CONTROLLED_SHUTDOWN if waits else BrokerControlState.SHUTDOWN_NOW
        if request.want_fence:
            return before, BrokerControlState.SHUTDOWN_NOW if request.want_shut_down else BrokerControlState.FENCED
        if request.want_shut_down:
            return before, BrokerControlState.CONTROLLED_SHUTDOWN if has_leaderships() else BrokerControlState.SHUTDOWN_NOW
        return before, BrokerControlState.UNFENCED

    def _lowest_active_offset(self) -> float:
        """How far the slowest broker has read that is neither fenced nor shutting down; infinitely far where there is none."""
        offsets = [state.metadata_offset for state in self._brokers.values() if state.control_state is BrokerControlState.UNFENCED]
        return min(offsets, default=float("inf"))
