"""TCP between hosts: connections that are ordered and reliable, links that delay, hold back, and break.

A partition holds bytes back, it does not lose single messages; healed, they flow again. A client that gives up closes its end:
bytes already written still reach the server, and only the answer is lost. A killed process has its sockets reset by the
kernel; after a power failure nobody says anything until the machine is up again and answers old bytes with a reset.
The fate of a message is decided when it is sent: one heap entry a delivered message.

A connection to be made has no bytes yet that a partition could hold back. Its SYN, or the answer, is lost in a cut of either way, and the
client's kernel sends the SYN again on its own schedule: who connects during a cut is connected only some time after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappush
from typing import Any

from kafkasim.protocol.node import Connected, Disconnected
from kafkasim.randomness import Streams
from kafkasim.simulator.driver import NORMAL, Driver, Host, Status
from kafkasim.simulator.kernel_timers import syn_timeouts

# Bytes of one connection never overtake each other; a nanosecond keeps two deliveries apart whatever floats do.
_APART = 1e-6


class Link:
    """One direction between two hosts, shared by all their connections. One way takes latency ± jitter ms, uniformly."""

    __slots__ = ("cuts", "draw", "drop_probability", "dropping", "held", "jitter_ms", "latency_ms", "slowed")

    def __init__(self, latency_ms: float, jitter_ms: float, draw: Callable[[], float]) -> None:
        # Faults may overlap, so each kind is a list of those that hold now.
        self.slowed: list[tuple[float, float]] = [(latency_ms, jitter_ms)]  # the network's own first
        self.dropping: list[float] = []
        self.latency_ms = latency_ms
        self.jitter_ms = jitter_ms
        self.draw = draw
        self.cuts = 0  # partitions may overlap: bytes flow when the last has healed
        self.held: deque[tuple[_Pipe, object]] = deque()
        self.drop_probability = 0.0


class _Pipe:
    """One direction of one connection. It lies in the heap itself, once for each message that is on its way (`flying`, in order)."""

    __slots__ = ("after", "connection", "flying", "last", "link", "network", "receiver", "receiver_incarnation", "shut", "source")

    def __init__(self, network: Network, connection: _Connection, link: Link, receiver: Host, source: str) -> None:
        self.network = network
        self.after = network.driver.after
        self.connection = connection
        self.flying: deque[Any] = deque()
        self.link = link
        self.receiver = receiver
        self.receiver_incarnation = receiver.incarnation
        self.source = source  # how the receiver names the other side
        self.last = 0.0
        self.shut = False  # the receiver closed its end, or knows that the other did

    def happen(self, now: float) -> None:
        """The hot path of a run: a message arrives at a process that can read it at once."""
        message = self.flying.popleft()
        host = self.receiver
        if host.ready and host.incarnation == self.receiver_incarnation and not self.shut and type(message) is not _Sign:
            self.after(host, host.node.receive(message, self.source, now), now)  # type: ignore[union-attr]  # who is ready has a node
        else:
            self.network.arrived(self, message)


class _Connection:
    """Client and server end. `upstream` carries requests, `downstream` answers."""

    __slots__ = ("begun", "client", "client_peer", "downstream", "server", "server_peer", "upstream")

    def __init__(self, client: Host, server: Host, client_peer: str, server_peer: str, begun: float) -> None:
        self.begun = begun  # when the first SYN was sent
        self.client = client
        self.server = server
        self.client_peer = client_peer  # the client's name for the server: broker-1#fetcher
        self.server_peer = server_peer  # the server's name for the client: broker-3#fetcher
        self.upstream: _Pipe
        self.downstream: _Pipe


class _Sign:
    """SYN, its two answers, and the end of a connection."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


_SYN, _ACCEPTED, _RESET = _Sign("SYN"), _Sign("SYN-ACK"), _Sign("RST")


class Network:
    """All links and connections of one run. Implements the driver's `Wires` and the network verbs of faults.py."""

    def __init__(self, driver: Driver, streams: Streams, between: Callable[[str, str], tuple[float, float]]) -> None:
        self.driver = driver
        self._queue, self._serial = driver.queue, driver.serial
        self._streams = streams
        self._between = between  # (source, target) -> latency and jitter in ms, one way
        self._links: dict[tuple[str, str], Link] = {}
        # Hosts without power, each with the connections that somebody went on writing to: TCP retransmits until it hears something.
        self._powered_off: dict[str, list[_Pipe]] = {}
        driver.network = self

    def link(self, source: str, target: str) -> Link:
        """The directed link between two hosts, made when first asked for."""
        found = self._links.get((source, target))
        if found is None:
            latency, jitter = self._between(source, target)
            found = self._links[source, target] = Link(latency, jitter, self._streams.uniform(f"network/{source}>{target}"))
        return found

    # ------------------------------------------------------------------------------------------------ what nodes ask for

    def connect(self, host: Host, peer: str) -> None:
        """SYN: the other kernel accepts for a running or paused process, refuses for a dead one, says nothing without power."""
        name, _, channel = peer.partition("#")
        server = self.driver.hosts[name]
        server_peer = f"{host.name}#{channel}" if channel else host.name
        connection = _Connection(host, server, peer, server_peer, self.driver.now)
        connection.upstream = _Pipe(self, connection, self.link(host.name, name), server, server_peer)
        connection.downstream = _Pipe(self, connection, self.link(name, host.name), host, peer)
        host.pipes[peer] = connection.upstream
        self._send_syn(connection)

    def write(self, pipe: _Pipe, message: object, now: float) -> None:
        """Put bytes on their way: their fate is decided here, and they are one entry in the heap."""
        link = pipe.link
        if link.drop_probability and pipe is pipe.connection.downstream and link.draw() < link.drop_probability:
            self._break(pipe.connection)  # TCP is ordered: once an answer is lost, none after it can pass
            return
        if link.cuts:
            link.held.append((pipe, message))
            return
        at = now + link.latency_ms
        if link.jitter_ms:
            at += link.jitter_ms * (2.0 * link.draw() - 1.0)
        if at <= pipe.last:
            at = pipe.last + _APART
        pipe.last = at
        pipe.flying.append(message)
        heappush(self._queue, (at if at > now else now, NORMAL, self._serial(), pipe))

    def close(self, host: Host, peer: str) -> None:
        """close(): what was written still goes, what would come is not read any more, and the other side learns of it."""
        pipe = host.pipes.pop(peer, None)
        if pipe is not None:
            connection = pipe.connection
            (connection.downstream if pipe is connection.upstream else connection.upstream).shut = True
            self._sign(pipe, _RESET)

    # ------------------------------------------------------------------------------------------------ what faults do

    def process_died(self, host: Host, power: bool = False) -> None:
        """The kernel resets every socket of a dead process; with the power gone there is nobody to do so."""
        if power:
            self._powered_off[host.name] = []
        pipes = list(host.pipes.values())
        host.pipes.clear()
        for pipe in pipes:
            if not power:
                self._sign(pipe, _RESET)

    def powered_on(self, host: Host) -> None:
        """The machine answers again: with a reset, to whoever went on writing to an old connection.

        Simplified: the retransmission that draws the reset comes at once, not after TCP's backed-off timeout.
        """
        for pipe in self._powered_off.pop(host.name, []):
            self._answer_with_reset(pipe)

    def cut(self, source: str, target: str) -> None:
        """Bytes from `source` to `target` are held back from now on, and nobody gets connected: a handshake needs both ways."""
        self.link(source, target).cuts += 1

    def join(self, source: str, target: str) -> None:
        """Bytes flow again, those held back first."""
        link = self.link(source, target)
        assert link.cuts > 0, f"{source}>{target} is joined without having been cut"
        link.cuts -= 1
        if not link.cuts:
            held, link.held = link.held, deque()
            for pipe, message in held:
                self.write(pipe, message, self.driver.now)

    def delay(self, source: str, target: str, latency_ms: float, jitter_ms: float) -> None:
        """Add to the latency of a link, until `undelay`."""
        link = self.link(source, target)
        link.slowed.append((latency_ms, jitter_ms))
        self._add_up(link)

    def undelay(self, source: str, target: str) -> None:
        """Take the addition that has held longest away again."""
        link = self.link(source, target)
        assert len(link.slowed) > 1, f"{source}>{target} is sped up without having been slowed down"
        del link.slowed[1]
        self._add_up(link)

    def reset(self, one: str, other: str) -> None:
        """Break every connection between two hosts; both ends are told."""
        for pipe in list(self.driver.hosts[one].pipes.values()):
            if pipe.receiver.name == other:
                self._break(pipe.connection)

    def drop_responses(self, server: str, client: str, probability: float) -> None:
        """Answers from `server` to `client` are swallowed with `probability`, and the connection is then reset."""
        link = self.link(server, client)
        link.dropping.append(probability)
        link.drop_probability = max(link.dropping)

    def stop_dropping(self, server: str, client: str) -> None:
        """End the fault that has held longest."""
        link = self.link(server, client)
        assert link.dropping, f"{server} does not drop its answers to {client}"
        del link.dropping[0]
        link.drop_probability = max(link.dropping, default=0.0)

    @staticmethod
    def _add_up(link: Link) -> None:
        link.latency_ms = sum(latency for latency, _ in link.slowed)
        link.jitter_ms = sum(jitter for _, jitter in link.slowed)

    # ------------------------------------------------------------------------------------------------ bytes on their way

    def _sign(self, pipe: _Pipe, sign: _Sign) -> None:
        """TCP's own signs travel as bytes do; only an answer of an application can be swallowed."""
        link = pipe.link
        probability, link.drop_probability = link.drop_probability, 0.0
        self.write(pipe, sign, self.driver.now)
        link.drop_probability = probability

    def arrived(self, pipe: _Pipe, message: object) -> None:
        """A message whose receiver cannot simply read it, or a sign."""
        if type(message) is _Sign:
            self._signed(pipe, message)
        elif pipe.shut:
            return
        elif pipe.receiver.incarnation != pipe.receiver_incarnation:
            self._answer_with_reset(pipe)
        else:
            self.driver.deliver(pipe.receiver, message, pipe.source)

    def _signed(self, pipe: _Pipe, sign: _Sign) -> None:
        connection, host = pipe.connection, pipe.receiver
        if sign is _SYN:
            pipe.receiver_incarnation = host.incarnation
            if host.name in self._powered_off or connection.downstream.link.cuts:
                self._syn_lost(connection)
            elif host.status is Status.DOWN or not getattr(host.node, "accepts_connections", True):
                self._sign(connection.downstream, _RESET)
            else:
                host.pipes[pipe.source] = connection.downstream
                self._sign(connection.downstream, _ACCEPTED)
        elif host.name in self._powered_off:
            return
        elif host.incarnation == pipe.receiver_incarnation and not pipe.shut:
            if sign is _ACCEPTED:
                self.driver.deliver(host, Connected(pipe.source), pipe.source)
            else:
                self._ended(pipe)

    def _send_syn(self, connection: _Connection) -> None:
        """The client's kernel sends the first SYN, or sends it again."""
        if connection.upstream.link.cuts:
            self._syn_lost(connection)
        else:
            self._sign(connection.upstream, _SYN)

    def _syn_lost(self, connection: _Connection) -> None:
        """A SYN or its answer met a cut, or a machine without power: the client's kernel sends it again when its timer next expires.

        Simplified: the server's kernel never repeats its SYN-ACK; after more than 5 s without the way back that could come first.
        """
        *_, last = timeouts = tuple(syn_timeouts(connection.begun))

        def expired() -> None:
            if connection.client.pipes.get(connection.client_peer) is not connection.upstream:
                return  # the client has closed, has died, or has begun anew
            if self.driver.now >= last:
                self._ended(connection.downstream)  # ETIMEDOUT
            else:
                self._send_syn(connection)

        self.driver.call_at(next((at for at in timeouts if at > self.driver.now), last), expired)

    def _ended(self, pipe: _Pipe) -> None:
        """The receiver of `pipe` learns that the connection is gone."""
        connection, host = pipe.connection, pipe.receiver
        pipe.shut = True
        mine = connection.upstream if pipe is connection.downstream else connection.downstream
        if host.pipes.get(pipe.source) is mine:  # it may have connected anew meanwhile
            del host.pipes[pipe.source]
            self.driver.deliver(host, Disconnected(pipe.source), pipe.source)

    def _answer_with_reset(self, pipe: _Pipe) -> None:
        """Bytes for a process that is gone: the kernel resets, as soon as there is power."""
        waiting = self._powered_off.get(pipe.receiver.name)
        if waiting is not None:
            waiting.append(pipe)
        else:
            connection = pipe.connection
            self._sign(connection.downstream if pipe is connection.upstream else connection.upstream, _RESET)

    def _break(self, connection: _Connection) -> None:
        for pipe in (connection.upstream, connection.downstream):
            host = pipe.receiver
            if not pipe.shut and host.incarnation == pipe.receiver_incarnation:
                self.driver.call_at(self.driver.now, lambda pipe=pipe: None if pipe.shut else self._ended(pipe))  # type: ignore[misc]  # bound early
