"""How a broker comes into the cluster, stays in it, and leaves: kafka.server.BrokerLifecycleManager (KIP-631).

    STARTING -> RECOVERY -> RUNNING -> PENDING_CONTROLLED_SHUTDOWN -> SHUTTING_DOWN

* STARTING: it registers, and is *fenced*: nobody sends clients to it. A registration is refused while the session of the
  broker's previous process lives (DUPLICATE_BROKER_REGISTRATION); it tries again, with a growing backoff.
* RECOVERY: it has read the metadata log up to its own registration, and asks with every heartbeat to be unfenced.
* RUNNING: its heartbeats keep its session alive. Without answers it tries again and again, *and does nothing else*: a leader
  that cannot reach the controller goes on leading. There is no lease that would make it stop.
* PENDING_CONTROLLED_SHUTDOWN: its heartbeats ask for leave, which is granted once its leaderships are with others.

An epoch that the controller no longer knows (STALE_BROKER_EPOCH) changes nothing: only a restart registers anew.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import NamedTuple

from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.controller_channel import ControllerChannel
from kafkasim.protocol.errors import Error
from kafkasim.protocol.log_manager import NO_BROKER_EPOCH
from kafkasim.protocol.messages import (
    BrokerHeartbeatRequest,
    BrokerHeartbeatResponse,
    BrokerRegistrationRequest,
    BrokerRegistrationResponse,
)
from kafkasim.protocol.node import Output, Random
from kafkasim.protocol.scheduled_tasks import Alarm

# resendExponentialBackoff: 100 ms, doubling up to broker.session.timeout.ms, and 2 % to either side.
RESEND_BACKOFF_MS = 100.0
RESEND_JITTER = 0.02
# The second question for leave follows the first a little sooner than a heartbeat would.
CONTROLLED_SHUTDOWN_RECHECK_MS = 50.0


class BrokerState(Enum):
    """org.apache.kafka.metadata.BrokerState."""

    NOT_RUNNING = "not running"
    STARTING = "starting"
    RECOVERY = "recovery"
    RUNNING = "running"
    PENDING_CONTROLLED_SHUTDOWN = "pending controlled shutdown"
    SHUTTING_DOWN = "shutting down"


class ShutDownComplete(NamedTuple):
    """An output to the driver: the broker has leave to stop. It stops (`Broker.shut_down`) as soon as the driver lets it."""


class BrokerLifecycleManager:
    """Registration, heartbeats and controlled shutdown of one process of a broker."""

    __slots__ = (
        "_alarm",
        "_broker_id",
        "_channel",
        "_config",
        "_correlation_id",
        "_failed_attempts",
        "_got_controlled_shutdown_response",
        "_incarnation",
        "_next_at",
        "_next_is_immediate",
        "_outbox",
        "_previous_broker_epoch",
        "_random",
        "_ready_to_unfence",
        "accepts_connections",
        "broker_epoch",
        "metadata_offset",
        "state",
    )

    def __init__(
        self,
        broker_id: int,
        incarnation: int,
        previous_broker_epoch: int,
        config: BrokerConfig,
        channel: ControllerChannel,
        random: Random,
        outbox: list[Output],
        alarm: Alarm,
    ) -> None:
        self._broker_id = broker_id
        self._incarnation = incarnation
        self._previous_broker_epoch = previous_broker_epoch
        self._config = config
        self._channel = channel
        self._random = random
        self._outbox = outbox
        self._alarm = alarm
        self._correlation_id = 0
        self._failed_attempts = 0
        self._next_at = inf
        self._next_is_immediate = False
        self._ready_to_unfence = False
        self._got_controlled_shutdown_response = False
        self.state = BrokerState.NOT_RUNNING
        self.accepts_connections = False  # the sockets are open from the first unfencing on (SocketServer.enableRequestProcessing)
        self.broker_epoch = NO_BROKER_EPOCH
        self.metadata_offset = -1  # of the last record read, which the broker keeps up to date

    def start(self, now: float) -> None:
        """The process has started: it registers."""
        self.state = BrokerState.STARTING
        self._communicate(now)

    def caught_up(self, now: float) -> None:
        """The broker, having read its own registration in the metadata log: it asks to be unfenced, at once.

        Simplified: the broker sees for itself what Kafka lets the controller tell it (isCaughtUp).
        """
        if self.state is BrokerState.STARTING:
            self.state = BrokerState.RECOVERY
            self._ready_to_unfence = True
            self._schedule(0.0, now)

    def begin_controlled_shutdown(self, now: float) -> None:
        """SIGTERM: ask for leave, or go at once if this broker is not running or need not ask (controlled.shutdown.enable)."""
        if self.state is BrokerState.RUNNING and self._config.controlled_shutdown_enable:
            self.state = BrokerState.PENDING_CONTROLLED_SHUTDOWN
            self._schedule(0.0, now)
        elif self.state not in (BrokerState.PENDING_CONTROLLED_SHUTDOWN, BrokerState.SHUTTING_DOWN):
            self._shut_down()

    # ------------------------------------------------------------------------------------------------ answers and time

    def registration_answered(self, response: BrokerRegistrationResponse, now: float) -> None:
        """The controller: with the broker epoch of this registration, after which a heartbeat follows at once; or a refusal."""
        if response.correlation_id != self._correlation_id:
            return
        self._channel.answered()
        if response.error is not Error.NONE:
            self._schedule_after_failure(now)
            return
        self._failed_attempts = 0
        self.broker_epoch = response.broker_epoch
        self._schedule(0.0, now)

    def heartbeat_answered(self, response: BrokerHeartbeatResponse, now: float) -> None:
        """The controller: is the broker fenced, and may it shut down?"""
        if response.correlation_id != self._correlation_id:
            return  # to a heartbeat that was given up
        self._channel.answered()
        if response.error is not Error.NONE:
            self._schedule_after_failure(now)
            return
        self._failed_attempts = 0
        if self.state is BrokerState.PENDING_CONTROLLED_SHUTDOWN:
            self._shutdown_answered(response.should_shut_down, now)
            return
        if self.state is BrokerState.RECOVERY and not response.is_fenced:
            self.state = BrokerState.RUNNING
            self.accepts_connections = True
        if self.state is not BrokerState.SHUTTING_DOWN:
            self._schedule(self._config.broker_heartbeat_interval_ms, now)

    def wake(self, now: float) -> None:
        """A heartbeat is due, or the one on its way is given up."""
        if self._channel.wake(now):
            self._schedule_after_failure(now)
        if self._next_at <= now:
            self._communicate(now)

    def next_deadline(self) -> float:
        """When `wake` has something to do."""
        return min(self._next_at, self._channel.next_deadline())

    # ------------------------------------------------------------------------------------------------ helpers

    def _shutdown_answered(self, should_shut_down: bool, now: float) -> None:
        if should_shut_down:
            self._shut_down()
            return
        first = not self._got_controlled_shutdown_response
        self._got_controlled_shutdown_response = True
        self._schedule(CONTROLLED_SHUTDOWN_RECHECK_MS if first else self._config.broker_heartbeat_interval_ms, now)

    def _shut_down(self) -> None:
        self.state = BrokerState.SHUTTING_DOWN
        self.accepts_connections = False
        self._next_at = inf
        self._channel.close()
        self._outbox.append(ShutDownComplete())

    def _communicate(self, now: float) -> None:
        """Send a heartbeat, or where there is no broker epoch yet, a registration; never two at a time."""
        self._next_at = inf
        if self._channel.busy:
            self._next_is_immediate = True
            return
        self._correlation_id += 1
        if self.broker_epoch == NO_BROKER_EPOCH:
            self._channel.send(
                BrokerRegistrationRequest(self._correlation_id, self._broker_id, self._incarnation, self._previous_broker_epoch), now
            )
            return
        heartbeat = BrokerHeartbeatRequest(
            self._correlation_id,
            self._broker_id,
            self.broker_epoch,
            self.metadata_offset,
            want_fence=not self._ready_to_unfence,
            want_shut_down=self.state is BrokerState.PENDING_CONTROLLED_SHUTDOWN,
        )
        self._channel.send(heartbeat, now)

    def _schedule(self, interval_ms: float, now: float) -> None:
        if self._next_is_immediate:
            interval_ms = 0.0
            self._next_is_immediate = False
        if interval_ms == 0.0:
            self._communicate(now)
        else:
            self._next_at = now + interval_ms
            self._alarm.set(self._next_at)

    def _schedule_after_failure(self, now: float) -> None:
        backoff = min(RESEND_BACKOFF_MS * 2 ** min(self._failed_attempts, 30), self._config.broker_session_timeout_ms)
        self._failed_attempts += 1
        self._next_is_immediate = False
        jitter = 1 + RESEND_JITTER * (2 * self._random() - 1)
        self._schedule(min(backoff * jitter, self._config.broker_session_timeout_ms), now)
