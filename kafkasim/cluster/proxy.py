"""The listening side of a proxy: it accepts, refuses, or says nothing, as the server's machine and the network between would.

What it uses of Linux: a SYN that finds the accept queue full is dropped, not refused, and the client repeats it after a second or more.
So a cut link's proxy shrinks its queue to one place and fills that with a connection of its own. Elsewhere the kernel accepts and the
proxy holds: the client believes it is connected, and hears nothing. A socket that is bound and does not listen refuses.
"""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import sys
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from kafkasim.cluster.connection import Connection, Link, is_self_connected
from kafkasim.cluster.errors import ClusterError

_BACKLOG = 128
_PROBE_EVERY_S = 0.02
_FILLED_WITHIN_MS = 5  # on loopback a handshake is done when connect() returns; this is for a machine that is very busy
DROPS_SYN = sys.platform == "linux"


class _State(Enum):
    OPEN = "accepts"
    SILENT = "answers no SYN"
    REFUSING = "answers RST"


class Route(NamedTuple):
    """Whose connections a proxy carries, to where, over which two links (towards the server, and back)."""

    client: str
    server: str
    target: tuple[str, int]
    links: tuple[Link, Link]


class Proxy:
    """A proxy for the connections that one node opens to another. Everything here happens on the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, route: Route, listen: tuple[str, int] | None, random: Callable[[], float]) -> None:
        self.route = route
        self.connections: set[Connection] = set()
        self._loop = loop
        self._random = random
        self._server_up = True
        self._probe: socket.socket | None = None
        self._again: asyncio.TimerHandle | None = None
        self._listener: socket.socket | None = None
        self._filler: socket.socket | None = None
        self._state = _State.REFUSING
        # It keeps the port ours while nobody listens, so that connects are refused and nobody else can take it.
        self._holder = _bound(listen or ("127.0.0.1", 0), shared=False)
        self.address: tuple[str, int] = self._holder.getsockname()
        self.update()

    def update(self) -> None:
        """Do what cuts and the server's state want now, for new connections and for those that exist."""
        wanted = _State.OPEN if self._server_up else _State.REFUSING
        if any(link.cuts for link in self.route.links):
            wanted = _State.SILENT  # a SYN would be lost, whatever has become of the server
        if wanted is not self._state:
            was, self._state = self._state, wanted
            if was is _State.OPEN:
                self._stop_accepting()
            {_State.OPEN: self._open, _State.SILENT: self._be_silent, _State.REFUSING: self._refuse}[wanted]()
        for connection in list(self.connections):
            connection.update()

    def server_died(self) -> None:
        """Refuse from now on. Existing connections are ended by the server's kernel."""
        self._stop_probing()
        self._server_up = False
        self.update()

    def server_started(self) -> None:
        """Accept as soon as the target does."""
        if not self._server_up and self._probe is None and self._again is None:
            self._ask()

    def reset(self) -> None:
        """Abort every connection."""
        for connection in list(self.connections):
            connection.abort()

    def close(self) -> None:
        """Abort every connection and give the port back."""
        self._stop_probing()
        if self._state is _State.OPEN:
            self._loop.remove_reader(self._the_listener().fileno())
        self._state = _State.REFUSING
        self._refuse()
        self._holder.close()
        self.reset()

    # ------------------------------------------------------------------------------------------------ new connections

    def _open(self) -> None:
        listener = self._the_listener()
        ours = self._unfill()
        listener.listen(_BACKLOG)
        self._loop.add_reader(listener.fileno(), self._accept)
        self._accept(ours)

    def _stop_accepting(self) -> None:
        """Whoever the kernel has told that it is connected, is: it is taken from the queue first."""
        self._accept()
        self._loop.remove_reader(self._the_listener().fileno())

    def _be_silent(self) -> None:
        listener = self._the_listener()
        if not DROPS_SYN:
            listener.listen(_BACKLOG)
            return
        listener.listen(0)
        self._filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._filler.setblocking(False)
        self._filler.connect_ex(self.address)
        # Where a client was faster the queue is full without us, and ours is the SYN that is dropped.
        connected = select.poll()
        connected.register(self._filler, select.POLLOUT)
        connected.poll(_FILLED_WITHIN_MS)

    def _refuse(self) -> None:
        self._unfill()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _the_listener(self) -> socket.socket:
        if self._listener is None:
            self._listener = _bound(self.address, shared=True)
        return self._listener

    def _unfill(self) -> tuple[str, int] | None:
        """Close our own connection that fills the queue; returns its address, for its other end is still in the queue."""
        if self._filler is None:
            return None
        address: tuple[str, int] = self._filler.getsockname()
        self._filler.close()
        self._filler = None
        return address

    def _accept(self, ours: tuple[str, int] | None = None) -> None:
        """Take everybody from the accept queue, and not those who come meanwhile; `ours` is nobody's connection."""
        for _ in range(_BACKLOG + 1):
            try:
                accepted, address = self._the_listener().accept()
            except OSError:
                return  # the queue is empty, or who was first in it has already left and the rest is taken at the next event
            if address == ours:
                accepted.close()
            else:
                route = self.route
                connection = Connection(self._loop, accepted, route.target, route.links, self._random, self.connections.discard)
                self.connections.add(connection)

    # ------------------------------------------------------------------------------------------------ is the server there?

    def _ask(self) -> None:
        self._again = None
        probe = self._probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        probe.setblocking(False)
        if probe.connect_ex(self.route.target) in {0, errno.EINPROGRESS}:
            self._loop.add_writer(probe.fileno(), self._asked)
        else:
            self._stop_probing()
            self._again = self._loop.call_later(_PROBE_EVERY_S, self._ask)

    def _asked(self) -> None:
        probe = self._probe
        assert probe is not None, "a probe that answers has been made"
        refused = probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or is_self_connected(probe)
        self._stop_probing()
        if refused:
            self._again = self._loop.call_later(_PROBE_EVERY_S, self._ask)
        else:
            self._server_up = True
            self.update()

    def _stop_probing(self) -> None:
        if self._probe is not None:
            self._loop.remove_writer(self._probe.fileno())
            self._probe.close()
            self._probe = None
        if self._again is not None:
            self._again.cancel()
            self._again = None


def _bound(address: tuple[str, int], shared: bool) -> socket.socket:
    """A socket bound there that does not listen. `shared`: beside the one that holds the address; else nobody may listen there."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
    try:
        made.bind(address)
    except OSError as error:
        made.close()
        raise ClusterError(f"no proxy can listen on {address[0]}:{address[1]}: {error.strerror}") from error
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return made
