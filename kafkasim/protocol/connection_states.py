"""The state of each connection of a client, and the requests in flight on it.

In Kafka: org.apache.kafka.clients.ClusterConnectionStates and InFlightRequests. Waits between attempts to connect grow from
reconnect.backoff.ms to reconnect.backoff.max.ms; the patience with an attempt from socket.connection.setup.timeout.ms
to its maximum (KIP-601).

A connection that stands says only that the broker's *kernel* is there: it goes on accepting while the process is stopped. So the
client first asks which versions the broker speaks, and nothing else is sent before somebody has answered that.
"""

# ruff: noqa: PLR1730 - on the hot path an `if` costs a third of a min() or max()

from __future__ import annotations

import heapq
from collections import deque
from enum import Enum
from math import ceil, floor

from kafkasim.protocol.backoff import ExponentialBackoff
from kafkasim.protocol.node import Random

NEVER = float("inf")
SCAN_MS = 1000.0  # between two looks of librdkafka for what has timed out


class ConnectionState(Enum):
    """What a client thinks of one connection. Only a READY one takes requests."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CHECKING_API_VERSIONS = "checking api versions"
    READY = "ready"

    @property
    def is_preparing(self) -> bool:
        """On the way to READY (isPreparingConnection)."""
        return self is ConnectionState.CONNECTING or self is ConnectionState.CHECKING_API_VERSIONS


class InFlightRequest:
    """A request that was written and not yet answered. `internal`: the client's own, for versions or metadata."""

    __slots__ = ("context", "correlation_id", "deadline", "done", "internal", "peer", "request")

    def __init__(self, peer: str, request: object, correlation_id: int, context: object, deadline: float, internal: bool) -> None:
        self.peer = peer
        self.request = request
        self.correlation_id = correlation_id
        self.context = context
        self.deadline = deadline
        self.internal = internal
        self.done = False

    def __lt__(self, other: InFlightRequest) -> bool:
        return (self.deadline, self.correlation_id) < (other.deadline, other.correlation_id)


class RequestTimeouts:
    """Which request times out next. Equal timeouts expire first in, first out; only odd ones need a heap.

    `deadline`: when that is. `add` brings it forward; who marks requests as done calls `look`. `phase`: librdkafka looks once a
    second, at this part of each; None: Java.
    """

    __slots__ = ("_odd", "_regular", "_scans_from", "_timeout_ms", "deadline")

    def __init__(self, timeout_ms: float, phase: float | None = None) -> None:
        self.deadline = NEVER
        self._scans_from = None if phase is None else phase * SCAN_MS
        self._timeout_ms = timeout_ms
        self._regular: deque[InFlightRequest] = deque()
        self._odd: list[InFlightRequest] = []

    def add(self, entry: InFlightRequest, timeout_ms: float | None) -> None:
        """Start the clock of a request."""
        if timeout_ms is None or timeout_ms == self._timeout_ms:
            self._regular.append(entry)
        else:
            heapq.heappush(self._odd, entry)
        if entry.deadline < self.deadline:
            self.deadline = entry.deadline

    def noticed_at(self, timed_out: float) -> float:
        """WHEN a request has waited its timeout; THEN Java waits for more than that, by a clock of whole ms, so what a broker answers just
        then may come first (InFlightRequests.hasExpiredRequest); librdkafka looks once a second (rd_kafka_broker_timeout_scan).

        Simplified: Java notices at that instant; Kafka's sender when something else wakes it, mostly the next record handed over.
        Simplified: one second's beat for all brokers; each of librdkafka's broker threads has its own.
        """
        if self._scans_from is None:
            return floor(timed_out) + 1.0
        return self._scans_from + ceil((timed_out - self._scans_from) / SCAN_MS) * SCAN_MS

    def look(self) -> None:
        """WHEN requests are done; THEN see which of the others times out next."""
        first = self.first()
        self.deadline = first.deadline if first is not None else NEVER

    def first(self) -> InFlightRequest | None:
        """The request that times out next; those already over are dropped when they reach the head."""
        regular, odd = self._regular, self._odd
        while regular and regular[0].done:
            regular.popleft()
        if not odd:  # the hot path: Java has odd timeouts for JoinGroup only
            return regular[0] if regular else None
        while odd and odd[0].done:
            heapq.heappop(odd)
        if regular and odd:
            return min(regular[0], odd[0])
        return regular[0] if regular else odd[0] if odd else None

    def clear(self) -> None:
        """Forget all requests."""
        self._regular.clear()
        self._odd.clear()
        self.deadline = NEVER


class Connection:
    """One connection, and the requests in flight on it, oldest first: a broker answers in the order of arrival."""

    __slots__ = ("connect_deadline", "failed_attempts", "failed_setups", "in_flight", "last_attempt", "reconnect_at", "state")

    def __init__(self) -> None:
        self.state = ConnectionState.DISCONNECTED
        self.in_flight: deque[InFlightRequest] = deque()
        self.last_attempt = -NEVER
        self.reconnect_at = -NEVER
        self.connect_deadline = NEVER
        self.failed_attempts = 0
        self.failed_setups = 0


class ConnectionStates:
    """All connections of one client. `connect_deadline` is the earliest at which an attempt to connect is given up.

    `needing_api_versions`: the peers that have not yet been asked for them (NetworkClient.nodesNeedingApiVersionsFetch).
    """

    __slots__ = ("_connecting", "_reconnect", "_setup", "all", "connect_deadline", "needing_api_versions", "ready_count")

    def __init__(
        self, reconnect_ms: float, reconnect_max_ms: float, setup_timeout_ms: float, setup_timeout_max_ms: float, random: Random
    ) -> None:
        self.all: dict[str, Connection] = {}
        self.ready_count = 0
        self.connect_deadline = NEVER
        self.needing_api_versions: list[str] = []
        self._connecting: dict[str, Connection] = {}
        self._reconnect = ExponentialBackoff(reconnect_ms, reconnect_max_ms, random)
        self._setup = ExponentialBackoff(setup_timeout_ms, setup_timeout_max_ms, random)

    def get_or_create(self, peer: str) -> Connection:
        """The connection to `peer`, not yet opened if it is new."""
        connection = self.all.get(peer)
        if connection is None:
            connection = self.all[peer] = Connection()
        return connection

    def is_connecting(self, peer: str) -> bool:
        """Whether a connection to `peer` is being made."""
        return peer in self._connecting

    def connecting(self, peer: str, connection: Connection, now: float) -> None:
        """WHEN the client begins to connect; THEN its patience starts to run."""
        connection.state = ConnectionState.CONNECTING
        connection.last_attempt = now
        connection.connect_deadline = now + self._setup.backoff(connection.failed_setups)
        self._connecting[peer] = connection
        self.connect_deadline = min(self.connect_deadline, connection.connect_deadline)

    def connected(self, peer: str) -> None:
        """WHEN the connection stands; THEN the setup timeout is over, and versions are to be asked for (checkingApiVersions)."""
        connection = self.all.get(peer)
        if connection is None or connection.state is not ConnectionState.CONNECTING:
            return  # given up meanwhile
        connection.state = ConnectionState.CHECKING_API_VERSIONS
        connection.failed_setups = 0
        self.needing_api_versions.append(peer)
        self._no_longer_connecting(peer)

    def ready(self, connection: Connection) -> None:
        """WHEN the broker has answered with its versions; THEN requests may be sent, and the reconnect backoff starts afresh."""
        assert connection.state is ConnectionState.CHECKING_API_VERSIONS, "versions are asked for once a connection"
        connection.state = ConnectionState.READY
        connection.failed_attempts = 0
        self.ready_count += 1

    def disconnected(self, peer: str, connection: Connection, now: float) -> deque[InFlightRequest]:
        """WHEN the connection is gone, or could not be made; THEN back off; return what was in flight, which nobody will answer."""
        if connection.state is ConnectionState.CONNECTING:
            connection.failed_setups += 1
            self._no_longer_connecting(peer)
        else:
            connection.failed_setups = 0
            if connection.state is ConnectionState.READY:
                self.ready_count -= 1
            elif peer in self.needing_api_versions:
                self.needing_api_versions.remove(peer)
        connection.state = ConnectionState.DISCONNECTED
        connection.last_attempt = now
        connection.reconnect_at = now + self._reconnect.backoff(connection.failed_attempts)
        connection.failed_attempts += 1
        in_flight, connection.in_flight = connection.in_flight, deque()
        for entry in in_flight:
            entry.done = True
        return in_flight

    def with_setup_timeout(self, now: float) -> list[str]:
        """The peers with which the client has lost its patience."""
        return [peer for peer, connection in self._connecting.items() if connection.connect_deadline <= now]

    def clear(self) -> None:
        """Forget all connections."""
        self.all.clear()
        self._connecting.clear()
        self.needing_api_versions.clear()
        self.ready_count = 0
        self.connect_deadline = NEVER

    def _no_longer_connecting(self, peer: str) -> None:
        self._connecting.pop(peer, None)
        self.connect_deadline = min((c.connect_deadline for c in self._connecting.values()), default=NEVER)
