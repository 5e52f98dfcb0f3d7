"""A broker's connections to the controller: NodeToControllerChannelManager's, and KafkaRaftManager's for the metadata log.

One channel carries one request at a time. A broken connection is made again and the request sent again, so that the managers above
(broker_lifecycle.py, alter_partition.py, broker.py for the metadata log) see answers only, or for those that set a patience, its end.

A request and a connection to be made have a timeout each. A request that is out of time takes its connection with it
(NetworkClient.handleTimedOutRequests), unless it still waits for one: that attempt goes on (InterBrokerSendThread.failExpiredRequests),
for as long as a connection may take (NetworkClient.handleTimedOutConnections). So during a cut it is the kernel that tries again.

One controller's address never changes. Of several the active one is looked up where there is no connection (ActiveControllerChannel).

Simplified: no ApiVersions request comes first; Kafka's channels to the controller ask for versions, its replica fetchers do not.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from kafkasim.protocol.backoff import ExponentialBackoff
from kafkasim.protocol.node import Close, Connect, Output, Random, Send
from kafkasim.protocol.scheduled_tasks import Alarm

# Simplified: socket.connection.setup.timeout.ms and its maximum (KafkaConfig, KIP-601) are constants for brokers, at their defaults.
CONNECTION_SETUP_TIMEOUT_MS = 10_000.0
CONNECTION_SETUP_TIMEOUT_MAX_MS = 30_000.0
# NodeToControllerChannelManagerImpl.newRequestThread and KafkaRaftManager.buildNetworkClient begin with the same reconnect.backoff.ms.
RECONNECT_BACKOFF_MS = 50.0
NODE_TO_CONTROLLER_RECONNECT_BACKOFF_MAX_MS = 50.0
RAFT_RECONNECT_BACKOFF_MAX_MS = 500.0
# How long NodeToControllerRequestThread.doWork waits before it asks again who the active controller is.
LOOK_FOR_CONTROLLER_MS = 100.0


class ControllerChannel:
    """One request at a time to `peer`, kept until it is answered: NodeToControllerRequestThread.

    `request_timeout_ms`: how long one attempt may wait for a connection, and then for its answer, before it is begun again.
    `patience_ms`: an attempt that ends so long after the first began is the last, and `wake` says that the request was given up.
    """

    __slots__ = (
        "_alarm",
        "_attempt_ends",
        "_connected",
        "_connecting",
        "_failed",
        "_failed_setups",
        "_outbox",
        "_patience_ends",
        "_patience_ms",
        "_reconnect_at",
        "_reconnect_backoff",
        "_request",
        "_request_timeout_ms",
        "_setup_ends",
        "_setup_timeout",
        "peer",
    )

    reconnect_backoff_max_ms = NODE_TO_CONTROLLER_RECONNECT_BACKOFF_MAX_MS

    def __init__(
        self, peer: str, request_timeout_ms: float, patience_ms: float, outbox: list[Output], alarm: Alarm, random: Random
    ) -> None:
        self.peer = peer
        self._request_timeout_ms = request_timeout_ms
        self._patience_ms = patience_ms
        self._outbox = outbox
        self._alarm = alarm
        self._setup_timeout = ExponentialBackoff(CONNECTION_SETUP_TIMEOUT_MS, CONNECTION_SETUP_TIMEOUT_MAX_MS, random)
        self._reconnect_backoff = ExponentialBackoff(RECONNECT_BACKOFF_MS, self.reconnect_backoff_max_ms, random)
        self._connected = False
        self._connecting = False
        self._setup_ends = inf
        self._failed_setups = 0  # in a row, until a connection has stood
        self._reconnect_at = -inf
        self._failed = 0  # how often the connection has broken, or was not made, since the last answer
        self._request: object | None = None
        self._attempt_ends = inf
        self._patience_ends = inf

    @property
    def busy(self) -> bool:
        """A request is on its way, or waits for a connection."""
        return self._request is not None

    def send(self, request: object, now: float) -> None:
        """A manager, with nothing else on its way."""
        assert self._request is None, "a channel carries one request at a time"
        self._request = request
        self._patience_ends = now + self._patience_ms
        self._attempt(now)

    def answered(self) -> None:
        """The controller has answered."""
        self._request = None
        self._attempt_ends = inf
        self._failed = 0

    def connected(self, now: float) -> None:
        """The connection stands: what waits for it is sent."""
        self._connected, self._connecting = True, False
        self._setup_ends = inf
        if self._request is not None:
            self._attempt(now)

    def disconnected(self, now: float) -> None:
        """The connection is gone or was refused: a waiting request is sent again after a backoff, unless patience is at its end."""
        self._failed_setups = self._failed_setups + 1 if self._connecting else 0
        self._connected = self._connecting = False
        self._setup_ends = inf
        self._reconnect_at = now + self._backoff_ms(self._failed)
        self._failed += 1
        if self._request is None:
            return
        if self._patience_ends <= now:
            self._attempt_ends = now
            self._alarm.set(now)
        else:
            self._attempt(now)

    def close(self) -> None:
        """The broker is shutting down: nothing more is said."""
        if self._connected or self._connecting:
            self._outbox.append(Close(self.peer))
        self._connected = self._connecting = False
        self._setup_ends = inf
        self.answered()

    def not_the_controller(self, now: float) -> None:
        """The controller has answered NOT_CONTROLLER: this connection is of no use, and the request goes to whoever it is now."""
        self._drop_connection(now)

    def wake(self, now: float) -> bool:
        """Time has come; True if the request was given up."""
        if self._setup_ends <= now:
            self._drop_connection(now)
        if self._attempt_ends <= now:
            if self._connected:  # an answer that came now would answer a request nobody remembers
                self._drop_connection(now)
            else:  # it is handed in anew, and waits for the same connection
                self._attempt_ends = self._patience_ends
            if self._patience_ends <= now:
                self._request = None
                self._attempt_ends = inf
                return True
        elif self._waits_to_reconnect() and self._reconnect_at <= now:
            self._connect(now)
        return False

    def next_deadline(self) -> float:
        """When `wake` has something to do."""
        deadline = min(self._attempt_ends, self._setup_ends)
        return min(deadline, self._reconnect_at) if self._waits_to_reconnect() else deadline

    # ------------------------------------------------------------------------------------------------ helpers

    def _waits_to_reconnect(self) -> bool:
        return self._request is not None and not self._connected and not self._connecting

    def _attempt(self, now: float) -> None:
        """Send, or get a connection first; the time of an attempt counts anew from when it is sent."""
        self._attempt_ends = now + self._request_timeout_ms
        self._alarm.set(self._attempt_ends)
        if self._connected:
            self._outbox.append(Send(self.peer, self._request))
        elif self._connecting:
            return
        elif now < self._reconnect_at:
            self._alarm.set(self._reconnect_at)
        else:
            self._connect(now)

    def _connect(self, now: float) -> None:
        self._connecting = True
        self._setup_ends = now + self._setup_timeout.backoff(self._failed_setups)
        self._alarm.set(self._setup_ends)
        self._outbox.append(Connect(self.peer))

    def _drop_connection(self, now: float) -> None:
        self._outbox.append(Close(self.peer))
        self.disconnected(now)

    def _backoff_ms(self, failed: int) -> float:
        """How long to wait before connecting anew, when connections have failed `failed` times before this one."""
        return self._reconnect_backoff.backoff(failed)


class RaftChannel(ControllerChannel):
    """The channel on which a broker fetches the metadata log, as an observer of the quorum: KafkaRaftClient, KafkaRaftManager.

    When the leader fails an observer, it turns at once to a bootstrap server (KafkaRaftClient.maybeSendFetchToBestNode), which is another
    node to its NetworkClient, so that the leader's backoff does not count.

    Simplified: the leader and the bootstrap server, here the same controller, share one connection, and controller.quorum.retry.backoff.ms
    (20) is not waited for.
    """

    __slots__ = ()

    reconnect_backoff_max_ms = RAFT_RECONNECT_BACKOFF_MAX_MS

    def __init__(self, peer: str, request_timeout_ms: float, outbox: list[Output], alarm: Alarm, random: Random) -> None:
        super().__init__(peer, request_timeout_ms, inf, outbox, alarm, random)

    def _backoff_ms(self, failed: int) -> float:
        return self._reconnect_backoff.backoff(failed - 1) if failed else 0.0


class ActiveControllerChannel(ControllerChannel):
    """The same to whichever of several controllers is active: NodeToControllerRequestThread, RaftControllerNodeProvider.

    `find` says who it is as far as the broker knows, by the metadata log's leader; None while it knows none. It is asked when there is no
    connection: after one broke, was of no use (`not_the_controller`), or has kept an attempt waiting until its end.
    """

    __slots__ = ("_channel", "_controller", "_find")

    def __init__(
        self,
        channel: str,
        find: Callable[[], str | None],
        request_timeout_ms: float,
        patience_ms: float,
        outbox: list[Output],
        alarm: Alarm,
        random: Random,
    ) -> None:
        super().__init__("", request_timeout_ms, patience_ms, outbox, alarm, random)
        self._channel = channel
        self._find = find
        self._controller: str | None = None  # whom the connection is with, or was

    def wake(self, now: float) -> bool:
        """See above. An attempt that is over before there was a connection is over with this controller, if another is active by now."""
        if self._attempt_ends <= now and self._connecting and self._find() != self._controller:
            self._outbox.append(Close(self.peer))
            self._connecting = False
            self._setup_ends = inf
            self._reconnect_at = now
        return super().wake(now)

    def _connect(self, now: float) -> None:
        active = self._find()
        if active is None:
            self._reconnect_at = now + LOOK_FOR_CONTROLLER_MS
            self._alarm.set(self._reconnect_at)
            return
        self._controller = active
        self.peer = f"{active}#{self._channel}"
        super()._connect(now)

    def _backoff_ms(self, failed: int) -> float:
        """Another controller is another node: nobody waits for it because this one failed."""
        return super()._backoff_ms(failed) if self._find() == self._controller else 0.0


class VoterChannel(ControllerChannel):
    """A controller's or a broker's connection to one voter of a quorum: KafkaNetworkChannel. A request has one attempt."""

    __slots__ = ()

    reconnect_backoff_max_ms = RAFT_RECONNECT_BACKOFF_MAX_MS

    def __init__(self, peer: str, request_timeout_ms: float, outbox: list[Output], alarm: Alarm, random: Random) -> None:
        super().__init__(peer, request_timeout_ms, 0.0, outbox, alarm, random)
