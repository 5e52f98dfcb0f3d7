"""The server's end of connections: kafka.network.SocketServer and RequestChannel.

The rules:

* A connection is *muted* from the moment one of its requests is taken until that request is answered: what the client has
  pipelined behind it waits, and is taken in order. A parked request (purgatory.py) therefore holds up its own connection only.
* acks=0 has no answer: the connection is unmuted as soon as the batch is appended, and if that failed it is closed,
  which is all that such a producer ever hears.
* What had been written before a client closed its end is still read and handled; only the answers go nowhere.

A connection may come back under the same name. Answers belong to the `Connection`, not to the name, so that a late answer to
a request of the old one never reaches the new one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from kafkasim.protocol.node import Close, Output, Send

# What a handler returns instead of a response.
PARKED: Final = None  # the answer comes later, through `respond`
NO_RESPONSE: Final = object()  # acks=0
CLOSE_CONNECTION: Final = object()  # acks=0, and something went wrong


class Connection:
    """One client's connection. `key` is unique in the life of this process, `source` is the name answers go to."""

    __slots__ = ("key", "muted", "open", "source", "waiting")

    def __init__(self, source: str, key: str) -> None:
        self.source = source
        self.key = key
        self.open = True
        self.muted = False
        self.waiting: deque[object] = deque()


Handler = Callable[[object, Connection, float], object]


class RequestChannel:
    """All client connections of one broker. `handle` answers a request, or returns one of the three values above.

    `unmuted`: those that have requests waiting and may go on; where there are any, `drain` wants to be called.
    """

    __slots__ = ("_connections", "_handle", "_made", "_outbox", "unmuted")

    def __init__(self, handle: Handler, outbox: list[Output]) -> None:
        self._handle = handle
        self._outbox = outbox
        self._connections: dict[str, Connection] = {}
        self.unmuted: deque[Connection] = deque()
        self._made = 0

    def receive(self, request: object, source: str, now: float) -> None:
        """A client, with a request: it is handled now, or once those before it on the same connection are answered."""
        connection = self._connections.get(source)
        if connection is None:
            self._made += 1
            connection = self._connections[source] = Connection(source, f"{source}/{self._made}")
        if connection.muted or connection.waiting:
            connection.waiting.append(request)
            return
        response = self._handle(request, connection, now)
        if response is PARKED:
            connection.muted = True
        else:
            self._answer(response, connection)

    def respond(self, connection: Connection, response: object) -> None:
        """The broker, once a parked request is done: answer it and unmute. What waits behind it is taken by `drain`."""
        assert connection.muted, "only a parked request is answered later, and it mutes its connection"
        connection.muted = False
        if connection.open:
            self._outbox.append(Send(connection.source, response))
        if connection.waiting:
            self.unmuted.append(connection)

    def drain(self, now: float) -> None:
        """The broker, at the end of every input: take the requests that waited on connections unmuted meanwhile."""
        unmuted = self.unmuted
        while unmuted:
            connection = unmuted.popleft()
            while connection.waiting and not connection.muted:
                response = self._handle(connection.waiting.popleft(), connection, now)
                if response is PARKED:
                    connection.muted = True
                else:
                    self._answer(response, connection)

    def disconnected(self, source: str) -> None:
        """The client's end is gone: its pipelined requests are still handled, its answers go nowhere."""
        connection = self._connections.pop(source, None)
        if connection is not None:
            connection.open = False

    # ------------------------------------------------------------------------------------------------ helpers

    def _answer(self, response: object, connection: Connection) -> None:
        if response is CLOSE_CONNECTION:
            self._close(connection)
        elif response is not NO_RESPONSE and connection.open:
            self._outbox.append(Send(connection.source, response))

    def _close(self, connection: Connection) -> None:
        """The broker closes: what the client pipelined behind is thrown away unread (Processor.close)."""
        connection.waiting.clear()
        if connection.open:
            connection.open = False
            self._outbox.append(Close(connection.source))
            self._connections.pop(connection.source, None)
