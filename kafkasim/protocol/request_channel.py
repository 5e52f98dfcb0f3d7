"""The server's end of connections: kafka.network.SocketServer and RequestChannel.

The rules:

* A connection is *muted* from the moment one of its requests is taken until that request is answered: what the client has
  pipelined behind it waits, and is taken in order. A parked request (purgatory.py) therefore holds up its own connection only.
* acks=0 has no answer: the connection is unmuted as soon as the batch is appended, and if that failed it is closed,
  which is all that such a producer ever hears.
* What had been written before a client closed its end is still read and handled, until a send fails (Selector.closingChannels). The
  first answer to a closed end goes out and draws a reset; one more request is read, and its answer is the send that fails: what lies
  behind is lost. Of a producer with acks=0 everything is read, as nothing is sent to it.
  Simplified: the reset is always there before the second answer, as it is where the network is quicker than an append.

A connection may come back under the same name. Answers belong to the `Connection`, not to the name, so that a late answer to
a request of the old one never reaches the new one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from kafkasim.protocol.node import Close, Output, new_send

# What a handler returns instead of a response.
PARKED: Final = None  # the answer comes later, through `respond`
NO_RESPONSE: Final = object()  # acks=0
CLOSE_CONNECTION: Final = object()  # acks=0, and something went wrong


class Connection:
    """One client's connection. `key` is unique in the life of this process, `source` is the name answers go to."""

    __slots__ = ("key", "muted", "open", "source", "unheard", "waiting")

    def __init__(self, source: str, key: str) -> None:
        self.source = source
        self.key = key
        self.open = True
        self.muted = False
        self.unheard = 0  # answers that met a closed end: the first draws a reset, the second cannot be sent
        self.waiting: deque[object] = deque()


Handler = Callable[[Any, Connection, float], object]


class Doorkeeper(Protocol):
    """Who says whether the broker's sockets are open (broker_lifecycle.py)."""

    @property
    def accepts_connections(self) -> bool: ...  # noqa: D102 - as the class says


class RequestChannel:
    """All client connections of one broker. `handlers`, by the type of a request, answer it or return one of the three values above.

    Before the broker is unfenced for the first time it has no open socket, and after it has been given leave to stop none any more.
    `unmuted`: those that have requests waiting and may go on; where there are any, `drain` wants to be called.
    """

    __slots__ = ("_closed_behind", "_connections", "_made", "_outbox", "door", "handlers", "unmuted")

    def __init__(self, outbox: list[Output]) -> None:
        self.handlers: Mapping[type, Handler] = {}  # these two are the broker's to set, before the first request
        self.door: Doorkeeper | None = None
        self._outbox = outbox
        self._connections: dict[str, Connection] = {}
        self.unmuted: deque[Connection] = deque()
        self._closed_behind: dict[str, int] = {}  # how many connections of each source have ended behind what is yet to be read
        self._made = 0

    def peers_have_closed(self, sources: Sequence[str]) -> None:
        """What the kernel knows and the process will hear of only later: a connection of each of these has been closed, of some several."""
        self._closed_behind = dict(Counter(sources))

    def receive(self, request: object, source: str, now: float) -> None:
        """A client, with a request: it is handled now, or once those before it on the same connection are answered."""
        connection = self._connections.get(source)
        if connection is None:
            self._made += 1
            connection = self._connections[source] = Connection(source, f"{source}/{self._made}")
        if connection.muted or connection.waiting:
            connection.waiting.append(request)
            return
        if connection.unheard > 1:
            return  # its last answer could not be sent: the connection is closed, and this was never read
        self._handle(request, connection, now)

    def respond(self, connection: Connection, response: object) -> None:
        """The broker, once a parked request is done: answer it and unmute. What waits behind it is taken by `drain`."""
        assert connection.muted, "only a parked request is answered later, and it mutes its connection"
        connection.muted = False
        self._answer(connection, response)
        if connection.waiting:
            self.unmuted.append(connection)

    def drain(self, now: float) -> None:
        """The broker, at the end of every input: take the requests that waited on connections unmuted meanwhile."""
        unmuted = self.unmuted
        while unmuted:
            connection = unmuted.popleft()
            while connection.waiting and not connection.muted:
                self._handle(connection.waiting.popleft(), connection, now)

    def disconnected(self, source: str) -> None:
        """The client's end is gone: its pipelined requests are still handled, its answers go nowhere."""
        if source in self._closed_behind:
            self._closed_behind[source] -= 1
            if not self._closed_behind[source]:
                del self._closed_behind[source]
        connection = self._connections.pop(source, None)
        if connection is not None:
            connection.open = False

    # ------------------------------------------------------------------------------------------------ helpers

    def _handle(self, request: object, connection: Connection, now: float) -> None:
        assert self.door is not None, "a broker that takes requests has said whether its sockets are open"
        response = self.handlers[type(request)](request, connection, now) if self.door.accepts_connections else CLOSE_CONNECTION
        if response is PARKED:
            connection.muted = True
        elif response is CLOSE_CONNECTION:
            self._close(connection)
        elif response is not NO_RESPONSE:
            self._answer(connection, response)

    def _answer(self, connection: Connection, response: object) -> None:
        if connection.open and connection.source not in self._closed_behind:
            self._outbox.append(new_send((connection.source, response)))
            return
        connection.unheard += 1
        if connection.unheard > 1:
            connection.waiting.clear()

    def _close(self, connection: Connection) -> None:
        """The broker closes: what the client pipelined behind is thrown away unread (Processor.close)."""
        connection.waiting.clear()
        if connection.open:
            connection.open = False
            self._outbox.append(Close(connection.source))
            self._connections.pop(connection.source, None)
