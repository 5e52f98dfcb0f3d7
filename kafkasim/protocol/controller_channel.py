"""A broker's connection to the controller: NodeToControllerChannelManager, and KafkaRaftManager's for the metadata log.

One channel carries one request at a time. A broken connection is made again and the request sent again, so that the managers above
(broker_lifecycle.py, alter_partition.py, metadata_fetcher.py) see answers only, or for those that set a patience, its end.

Simplified: one controller, whose address never changes; Kafka looks up the active one before each attempt.
Simplified: no ApiVersions request comes first; Kafka's channels to the controller ask for versions, its replica fetchers do not.
Simplified: reconnect.backoff.ms 50, doubling up to 500 ms, without jitter; Kafka's channel to the controller keeps to 50 ms.
"""

from __future__ import annotations

from math import inf

from kafkasim.protocol.node import Close, Connect, Output, Send
from kafkasim.protocol.scheduled_tasks import Alarm

RECONNECT_BACKOFF_MS = 50.0
RECONNECT_BACKOFF_MAX_MS = 500.0


class ControllerChannel:
    """One request at a time to `peer`, kept until it is answered.

    `request_timeout_ms`: how long one attempt may take, after which the connection is closed and the request sent again on the next.
    `patience_ms`: how long all attempts together may take, after which `wake` says that the request was given up.
    """

    __slots__ = (
        "_alarm",
        "_attempt_ends",
        "_backoff_ms",
        "_connected",
        "_connecting",
        "_given_up_at",
        "_outbox",
        "_patience_ms",
        "_reconnect_at",
        "_request",
        "_request_timeout_ms",
        "peer",
    )

    def __init__(self, peer: str, request_timeout_ms: float, patience_ms: float, outbox: list[Output], alarm: Alarm) -> None:
        self.peer = peer
        self._request_timeout_ms = request_timeout_ms
        self._patience_ms = patience_ms
        self._outbox = outbox
        self._alarm = alarm
        self._connected = False
        self._connecting = False
        self._request: object | None = None
        self._attempt_ends = inf
        self._given_up_at = inf
        self._reconnect_at = -inf
        self._backoff_ms = RECONNECT_BACKOFF_MS

    @property
    def busy(self) -> bool:
        """A request is on its way, or waits for a connection."""
        return self._request is not None

    def send(self, request: object, now: float) -> None:
        """A manager, with nothing else on its way."""
        assert self._request is None, "a channel carries one request at a time"
        self._request = request
        self._given_up_at = now + self._patience_ms
        self._attempt(now)
        self._alarm.set(self._given_up_at)

    def answered(self) -> None:
        """The controller has answered."""
        self._request = None
        self._attempt_ends = self._given_up_at = inf
        self._backoff_ms = RECONNECT_BACKOFF_MS

    def connected(self, now: float) -> None:
        """The connection stands: what waits for it is sent."""
        self._connected, self._connecting = True, False
        self._attempt_ends = inf
        if self._request is not None:
            self._attempt(now)

    def disconnected(self, now: float) -> None:
        """The connection is gone or was refused: a waiting request is sent again after a backoff."""
        self._connected = self._connecting = False
        self._attempt_ends = inf
        self._reconnect_at = now + self._backoff_ms
        self._backoff_ms = min(2 * self._backoff_ms, RECONNECT_BACKOFF_MAX_MS)
        if self._request is not None:
            self._alarm.set(self._reconnect_at)

    def close(self) -> None:
        """The broker is shutting down: nothing more is said."""
        if self._connected or self._connecting:
            self._outbox.append(Close(self.peer))
        self._connected = self._connecting = False
        self.answered()

    def wake(self, now: float) -> bool:
        """Time has come; True if the request was given up."""
        given_up = self._given_up_at <= now
        if given_up or self._attempt_ends <= now:
            if self._attempt_ends < inf:  # an answer that came now would answer a request nobody remembers
                self._outbox.append(Close(self.peer))
                self.disconnected(now)
            if given_up:
                self.answered()
        elif self._request is not None and not self._connected and not self._connecting:
            self._attempt(now)
        return given_up

    def next_deadline(self) -> float:
        """When `wake` has something to do."""
        deadline = min(self._given_up_at, self._attempt_ends)
        waits = self._request is not None and not self._connected and not self._connecting
        return min(deadline, self._reconnect_at) if waits else deadline

    # ------------------------------------------------------------------------------------------------ helpers

    def _attempt(self, now: float) -> None:
        """Send, or get a connection first."""
        if self._connected:
            self._outbox.append(Send(self.peer, self._request))
        elif self._connecting:
            return
        elif now < self._reconnect_at:
            self._alarm.set(self._reconnect_at)
            return
        else:
            self._connecting = True
            self._outbox.append(Connect(self.peer))
        self._attempt_ends = now + self._request_timeout_ms
        self._alarm.set(self._attempt_ends)
