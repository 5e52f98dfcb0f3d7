"""The client's end of its connections: org.apache.kafka.clients.NetworkClient, ClusterConnectionStates, InFlightRequests.

A producer or consumer owns one `NetworkClient`. It never returns outputs of its own; it appends them to the list handed in:

    client = NetworkClient(settings, bootstrap, random, trace)
    client.metadata                                  what is known of the cluster (client_metadata.py)
    client.ready(peer, now, outputs) -> bool         may I send to `peer` now? if not, a connection is opened where allowed
    client.send(peer, request, context, now, outputs, timeout_ms=None, expects_response=True)
    client.receive(event, source, now) -> Sequence[Completed]               a response, Connected or Disconnected
    client.wake(now, outputs) -> Sequence[Completed]                        requests and connections that timed out
    client.poll(now, outputs) -> float               the last call of every receive() and wake(): asks for versions, and metadata if due
    client.next_deadline() -> float                  O(1); infinite if nothing is waited for
    client.least_loaded_node(now) -> str | None      a peer for a request that any broker can answer
    client.disconnect(peer, now, outputs) -> Sequence[Completed]            give a connection up; close(outputs): all
    client.next_correlation_id() -> int

A `Completed` hands back the request and its `context` with a response, or with `error` NETWORK_EXCEPTION (the connection broke)
or TIMEOUT (the client gave up and closed it; Kafka then fails *every* request in flight on it). Answers to the client's own
requests, for versions and metadata, are not handed back: the connection is ready, `client.metadata.version` has grown.
`client.answering`: a broker has answered, if only with its versions, on a connection that still stands.

Peers are node names, `broker-1`, or further connections to the same node, `broker-1#coordinator` (node.py).

Simplified: no throttling by quotas. Simplified: connections are not closed after connections.max.idle.ms.
"""

# ruff: noqa: PLR1730 - on the hot path an `if` costs a third of a min() or max()

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from kafkasim.protocol.client_metadata import ClientMetadata
from kafkasim.protocol.connection_states import NEVER, Connection, ConnectionState, ConnectionStates, InFlightRequest, RequestTimeouts
from kafkasim.protocol.errors import Error
from kafkasim.protocol.flavours import Client
from kafkasim.protocol.messages import ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse
from kafkasim.protocol.node import Close, Connect, Connected, Disconnected, Output, Random, Send, Trace, new_send

_NONE = Error.NONE  # looked up once: CPython takes ten times as long for a member of an Enum as for a global
_READY = ConnectionState.READY
_NEWS = frozenset({Connected, Disconnected})  # of a connection; every other event is a response


class NetworkSettings(Protocol):
    """What ProducerSettings and ConsumerSettings (flavours.py) have in common: the settings of a connection. Times in ms."""

    @property
    def client(self) -> Client: ...  # noqa: D102 - the fields are described in flavours.py
    @property
    def request_timeout_ms(self) -> float: ...  # noqa: D102
    @property
    def api_versions_timeout_ms(self) -> float | None: ...  # noqa: D102
    @property
    def reconnect_backoff_ms(self) -> float: ...  # noqa: D102
    @property
    def reconnect_backoff_max_ms(self) -> float: ...  # noqa: D102
    @property
    def connection_setup_timeout_ms(self) -> float: ...  # noqa: D102
    @property
    def connection_setup_timeout_max_ms(self) -> float: ...  # noqa: D102
    @property
    def retry_backoff_max_ms(self) -> float: ...  # noqa: D102
    @property
    def metadata_max_age_ms(self) -> float: ...  # noqa: D102
    @property
    def metadata_retry_ms(self) -> float: ...  # noqa: D102
    @property
    def rebootstrap(self) -> bool: ...  # noqa: D102
    @property
    def rebootstrap_trigger_ms(self) -> float: ...  # noqa: D102


class Completed(NamedTuple):
    """A request is over: answered (`error` NONE), or never to be answered."""

    peer: str
    request: Any
    context: Any
    response: Any  # None where there is none
    error: Error


class MetadataRefreshed(NamedTuple):
    """Trace: an answer to a metadata request was taken over."""

    at: float
    source: str
    brokers: tuple[int, ...]
    leaders: tuple[tuple[str, int, int], ...]  # (partition, leader, leader epoch)


class Rebootstrapped(NamedTuple):
    """Trace: the client forgot the cluster and starts again from its bootstrap brokers."""

    at: float


class NetworkClient:
    """Connections with reconnect backoff, requests in flight with timeouts, and metadata kept fresh. See the module."""

    def __init__(
        self,
        settings: NetworkSettings,
        bootstrap: tuple[int, ...],
        random: Random,
        trace: Trace | None = None,
        max_in_flight: int = 100,
    ) -> None:
        self.settings = settings
        self.metadata = ClientMetadata(
            bootstrap, settings.metadata_retry_ms, settings.retry_backoff_max_ms, settings.metadata_max_age_ms, random
        )
        self.answering = False
        self._random = random
        self._trace = trace
        self._max_in_flight = max_in_flight  # a consumer has no such setting: Kafka gives it 100
        self._connections = ConnectionStates(
            settings.reconnect_backoff_ms,
            settings.reconnect_backoff_max_ms,
            settings.connection_setup_timeout_ms,
            settings.connection_setup_timeout_max_ms,
            random,
        )
        self._timeouts = RequestTimeouts(settings.request_timeout_ms, None if settings.client is Client.JAVA else random())
        self._correlation_id = 0
        self._refused_until = NEVER  # the earliest instant at which a refused ready() could open a connection
        self._metadata_deadline = NEVER
        self._rebootstrap_at = NEVER

    # ------------------------------------------------------------------------------------------------ sending

    def next_correlation_id(self) -> int:
        """The number that goes into the next request's header."""
        self._correlation_id += 1
        return self._correlation_id

    def ready(self, peer: str, now: float, outputs: list[Output]) -> bool:
        """WHEN a request waits for `peer`; THEN say whether it can be sent, and open a connection if none stands and none is backing off.

        While a metadata refresh is due nobody is ready: the metadata request goes first (NetworkClient.isReady).
        """
        connection = self._connections.all.get(peer)
        if self.metadata.update_at <= now:
            self._maybe_update(now, outputs)
            if self.metadata.update_at <= now:
                if connection is None or connection.state is ConnectionState.DISCONNECTED:
                    self._try_connect(peer, now, outputs)
                return False
        if connection is not None and connection.state is _READY:
            return len(connection.in_flight) < self._max_in_flight
        self._try_connect(peer, now, outputs)
        return False

    def send(
        self,
        peer: str,
        request: object,
        context: object,
        now: float,
        outputs: list[Output],
        timeout_ms: float | None = None,
        expects_response: bool = True,
    ) -> None:
        """Write `request` to `peer`, which was `ready`; `request` has a `correlation_id` of its own (next_correlation_id).

        Simplified: what expects no response (acks=0) counts as written at once; Kafka waits for the socket to take it.
        """
        outputs.append(new_send((peer, request)))
        if expects_response:
            self._track(peer, request, context, now, timeout_ms, False)

    def least_loaded_node(self, now: float) -> str | None:
        """The peer for a request that any broker answers: a ready connection with few requests in flight, else one being made,
        else the one not tried for the longest time; None if all are backing off (leastLoadedNode)."""
        return self._least_loaded_node(now)[0]

    def is_unavailable(self, peer: str, now: float) -> bool:
        """Whether the connection to `peer` is gone and may not be opened again yet (ConsumerNetworkClient.isUnavailable)."""
        connection = self._connections.all.get(peer)
        return connection is not None and connection.state is ConnectionState.DISCONNECTED and connection.reconnect_at > now

    def in_flight_count(self, peer: str) -> int:
        """How many requests wait for an answer from `peer`."""
        connection = self._connections.all.get(peer)
        return len(connection.in_flight) if connection is not None else 0

    # ------------------------------------------------------------------------------------------------ events

    def receive(self, event: object, source: str, now: float) -> Sequence[Completed]:
        """WHEN a response arrives, or a connection stands or is gone; THEN hand back the requests that are over."""
        if type(event) not in _NEWS:
            return self._answered(event, source, now)
        if isinstance(event, Connected):
            self._connections.connected(event.peer)
            return ()
        assert isinstance(event, Disconnected), "there are two kinds of news of a connection"
        connection = self._connections.all.get(event.peer)
        if connection is None or connection.state is ConnectionState.DISCONNECTED:
            return ()  # it was closed from this side already
        return self._disconnected(event.peer, connection, Error.NETWORK_EXCEPTION, now)

    def wake(self, now: float, outputs: list[Output]) -> Sequence[Completed]:
        """WHEN a request or a connection attempt has waited its timeout; THEN close the connection and fail all in flight on it."""
        over: list[Completed] = []
        self._refused_until = NEVER
        while (expired := self._timeouts.first()) is not None and expired.deadline <= now:
            over.extend(self._give_up(expired.peer, Error.TIMEOUT, now, outputs))
        if self._connections.connect_deadline <= now:
            for peer in self._connections.with_setup_timeout(now):
                over.extend(self._give_up(peer, Error.TIMEOUT, now, outputs))
        if self._rebootstrap_at <= now:
            over.extend(self._rebootstrap_after_trigger(now, outputs))
        return over

    def poll(self, now: float, outputs: list[Output]) -> float:
        """WHEN a receive() or wake() of the owner ends; THEN ask for versions, and for metadata if due. Returns `next_deadline()`."""
        if self._connections.needing_api_versions:
            self._ask_for_api_versions(now, outputs)
        if self.metadata.update_at <= now:
            self._maybe_update(now, outputs)
        else:
            self._metadata_deadline = self.metadata.update_at
        return self.next_deadline()

    def next_deadline(self) -> float:
        """The earliest of: request timeout, connection timeout, end of a backoff that somebody waits for, metadata refresh."""
        deadline = self._timeouts.deadline
        if (connecting := self._connections.connect_deadline) < deadline:
            deadline = connecting
        if self._refused_until < deadline:
            deadline = self._refused_until
        if self._metadata_deadline < deadline:
            deadline = self._metadata_deadline
        return self._rebootstrap_at if self._rebootstrap_at < deadline else deadline

    def disconnect(self, peer: str, now: float, outputs: list[Output]) -> Sequence[Completed]:
        """WHEN the owner gives a connection up; THEN what is in flight on it is over, as if the connection had broken."""
        connection = self._connections.all.get(peer)
        if connection is None or connection.state is ConnectionState.DISCONNECTED:
            return ()
        return self._give_up(peer, Error.NETWORK_EXCEPTION, now, outputs)

    def close(self, outputs: list[Output]) -> None:
        """WHEN the client closes; THEN all connections are closed, and nothing is waited for any more."""
        outputs.extend(Close(peer) for peer, c in self._connections.all.items() if c.state is not ConnectionState.DISCONNECTED)
        self._connections.clear()
        self._timeouts.clear()
        self._refused_until = self._metadata_deadline = self._rebootstrap_at = NEVER

    # ------------------------------------------------------------------------------------------------ requests in flight

    def _track(self, peer: str, request: object, context: object, now: float, timeout_ms: float | None, internal: bool) -> None:
        timeout = self.settings.request_timeout_ms if timeout_ms is None else timeout_ms
        entry = InFlightRequest(peer, request, self._correlation_id, context, self._timeouts.noticed_at(now + timeout), internal)
        self._connections.all[peer].in_flight.append(entry)
        self._timeouts.add(entry, timeout_ms)

    def _answered(self, response: object, source: str, now: float) -> Sequence[Completed]:
        """WHO answers is the broker at the other end, in order; what does not fit the oldest request belongs to a connection given up."""
        connection = self._connections.all.get(source)
        if connection is None or not connection.in_flight:
            return ()
        entry = connection.in_flight[0]
        if response.correlation_id != entry.correlation_id:  # type: ignore[attr-defined]  # every response has one
            return ()
        connection.in_flight.popleft()
        entry.done = True
        self._timeouts.look()
        self.answering = True
        if not entry.internal:
            return (Completed(source, entry.request, entry.context, response, _NONE),)
        if isinstance(response, ApiVersionsResponse):
            self._connections.ready(connection)
        else:
            assert isinstance(response, MetadataResponse), "the client itself asks for versions and metadata only"
            self._metadata_answered(response, source, now)
        return ()

    # ------------------------------------------------------------------------------------------------ connections

    def _try_connect(self, peer: str, now: float, outputs: list[Output]) -> None:
        connection = self._connections.get_or_create(peer)
        if connection.state is not ConnectionState.DISCONNECTED:
            return
        if connection.reconnect_at > now:
            self._refused_until = min(self._refused_until, connection.reconnect_at)
            return
        self._connections.connecting(peer, connection, now)
        outputs.append(Connect(peer))

    def _ask_for_api_versions(self, now: float, outputs: list[Output]) -> None:
        """WHEN connections stand; THEN see whether a broker answers, as one that is paused will not (handleInitiateApiVersionRequests)."""
        for peer in self._connections.needing_api_versions:
            request = ApiVersionsRequest(self.next_correlation_id())
            outputs.append(Send(peer, request))
            self._track(peer, request, None, now, self.settings.api_versions_timeout_ms, internal=True)
        self._connections.needing_api_versions.clear()

    def _give_up(self, peer: str, error: Error, now: float, outputs: list[Output]) -> list[Completed]:
        outputs.append(Close(peer))
        return self._disconnected(peer, self._connections.all[peer], error, now)

    def _disconnected(self, peer: str, connection: Connection, error: Error, now: float) -> list[Completed]:
        """WHEN a connection is gone; THEN back off before the next attempt, fail what was in flight, suspect the metadata
        (processDisconnection, cancelInFlightRequests, handleServerDisconnect)."""
        in_flight = self._connections.disconnected(peer, connection, now)
        self._timeouts.look()
        if self._connections.ready_count == 0:
            self.answering = False
        over: list[Completed] = []
        for entry in in_flight:
            if not entry.internal:
                over.append(Completed(peer, entry.request, entry.context, None, error))
            elif isinstance(entry.request, MetadataRequest):
                self.metadata.failed_update(now)
        if self.metadata.update_at <= now:
            self.metadata.failed_update(now)
        self.metadata.request_update()
        return over

    # ------------------------------------------------------------------------------------------------ metadata

    def _least_loaded_node(self, now: float) -> tuple[str | None, bool]:
        """The peer, and whether any connection to a known broker is ready."""
        peers = self.metadata.peers
        offset = int(self._random() * len(peers))
        best: tuple[int, str] | None = None
        connecting: str | None = None
        can_connect: tuple[float, str] | None = None
        any_ready = False
        for index in range(len(peers)):
            peer = peers[(offset + index) % len(peers)]
            connection = self._connections.all.get(peer)
            if connection is not None and connection.state is ConnectionState.READY:
                any_ready = True
                load = len(connection.in_flight)
                if load < self._max_in_flight and (best is None or load < best[0]):
                    best = (load, peer)
            elif connection is not None and connection.state.is_preparing:
                connecting = peer
            elif connection is None or connection.reconnect_at <= now:
                last_attempt = connection.last_attempt if connection is not None else -NEVER
                if can_connect is None or last_attempt < can_connect[0]:
                    can_connect = (last_attempt, peer)
        if best is not None:
            return best[1], any_ready
        return connecting or (can_connect[1] if can_connect is not None else None), any_ready

    def _maybe_update(self, now: float, outputs: list[Output]) -> None:
        """WHEN a refresh is due; THEN ask the least loaded broker; if none can be reached at all, rebootstrap (KIP-899) and ask again.

        DefaultMetadataUpdater.maybeUpdate. librdkafka also returns to its bootstrap brokers, but forgets no topic: its queues
        stay with their partitions, so for it nothing changes here.
        """
        peer, any_ready = self._least_loaded_node(now)
        forgets = self.settings.rebootstrap and self.settings.client is Client.JAVA
        if peer is None and not any_ready and forgets and not self.metadata.is_bootstrap:
            self._rebootstrap(now)
            peer, any_ready = self._least_loaded_node(now)
        self._metadata_deadline = NEVER
        if peer is None:
            known = (self._connections.all[p] for p in self.metadata.peers)
            self._metadata_deadline = min((c.reconnect_at for c in known if c.state is ConnectionState.DISCONNECTED), default=NEVER)
            return
        if forgets and self._rebootstrap_at == NEVER:
            self._rebootstrap_at = now + self.settings.rebootstrap_trigger_ms
        connection = self._connections.all.get(peer)
        if connection is not None and connection.state is ConnectionState.READY:
            request = MetadataRequest(self.next_correlation_id(), tuple(self.metadata.topics))
            outputs.append(Send(peer, request))
            self._track(peer, request, None, now, None, internal=True)
            self.metadata.started()
        elif not any(self._connections.is_connecting(p) for p in self.metadata.peers):  # one new connection at a time
            self._try_connect(peer, now, outputs)

    def _metadata_answered(self, response: MetadataResponse, source: str, now: float) -> None:
        self._rebootstrap_at = NEVER
        self.metadata.update(response, now)
        if self._trace is not None:
            epochs = self.metadata.leader_epochs
            leaders = tuple((str(partition), leader, epochs[partition]) for partition, leader in self.metadata.leaders.items())
            self._trace(MetadataRefreshed(now, source, response.brokers, leaders))

    def _rebootstrap(self, now: float) -> None:
        self.metadata.rebootstrap()
        self._rebootstrap_at = now + self.settings.rebootstrap_trigger_ms
        if self._trace is not None:
            self._trace(Rebootstrapped(now))

    def _rebootstrap_after_trigger(self, now: float, outputs: list[Output]) -> list[Completed]:
        """WHEN refreshes have failed for metadata.recovery.rebootstrap.trigger.ms; THEN drop all connections and rebootstrap (KIP-1102)."""
        over: list[Completed] = []
        for peer in self.metadata.peers:
            connection = self._connections.all.get(peer)
            if connection is not None and connection.state is not ConnectionState.DISCONNECTED:
                over.extend(self._give_up(peer, Error.NETWORK_EXCEPTION, now, outputs))
        self._rebootstrap(now)
        return over
