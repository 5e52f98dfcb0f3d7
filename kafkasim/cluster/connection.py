"""One proxied TCP connection: two pipes that pass on bytes, FIN and RST as a network between two kernels would.

What it uses of the operating system: non-blocking sockets on an asyncio loop's selector. A pipe that must not read takes its socket
from the selector: the bytes stay in the kernel's buffers and TCP's own flow control holds the sender back. A close with SO_LINGER 0
sends RST. Of Kafka it knows that every answer is a frame with its size, four bytes big-endian, before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
from collections import deque
from collections.abc import Callable
from enum import Enum

# A sink that takes no more holds at most one chunk back in a pipe; the rest waits in the kernel, as it would without a proxy.
_CHUNK = 65_536
# What a delayed pipe may have under way. It ends the memory of a broken run and is more than 60 MB/s over one second need.
_MOST_UNDER_WAY = 64 * 1024 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class End(Enum):
    """How a side of a connection ended: it closed, or it was reset."""

    FIN = "FIN"
    RST = "RST"


class Link:
    """One direction between two nodes, shared by all their connections. Faults may overlap, so each kind is a list of those that hold."""

    __slots__ = ("cuts", "dropping", "jitter_s", "latency_s", "probability", "slowed")

    def __init__(self) -> None:
        self.cuts = 0
        self.slowed: list[tuple[float, float]] = []  # (latency, jitter) in seconds
        self.dropping: list[float] = []  # chances of an answer to be swallowed
        self.latency_s = 0.0
        self.jitter_s = 0.0
        self.probability = 0.0

    def add_up(self) -> None:
        """After a change of the lists: delays add up, and of several chances the greatest counts (as in the simulator)."""
        self.latency_s = sum(latency for latency, _ in self.slowed)
        self.jitter_s = sum(jitter for _, jitter in self.slowed)
        self.probability = max(self.dropping, default=0.0)


class Frames:
    """Where size-prefixed frames begin in a stream that comes in arbitrary chunks. Nothing is copied: it counts down."""

    __slots__ = ("_body", "_digits", "_size")

    def __init__(self) -> None:
        self._body = 0  # bytes still to come of the frame under way
        self._digits = 0  # bytes of the size that have come
        self._size = 0

    def passing(self, chunk: bytes, swallow: Callable[[], bool] | None) -> int:
        """How many bytes of `chunk` pass: all, or those before the first frame that `swallow`, asked once a frame, is true for."""
        at, end = 0, len(chunk)
        while at < end:
            if self._body:
                step = min(self._body, end - at)
                self._body -= step
                at += step
                continue
            if not self._digits and swallow is not None and swallow():
                return at
            self._size = self._size << 8 | chunk[at]
            self._digits += 1
            at += 1
            if self._digits == 4:
                self._body, self._digits, self._size = self._size, 0, 0
        return at


class Connection:
    """The connection of a client (already accepted) and the one to its server. `gone` is called once both are closed."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: socket.socket,
        target: tuple[str, int],
        links: tuple[Link, Link],
        random: Callable[[], float],
        gone: Callable[[Connection], None],
    ) -> None:
        self.loop = loop
        self.random = random
        self.broken: set[socket.socket] = set()  # a write met RST; the kernel tells that once only, and the reader has to know
        self._gone = gone
        self._client = client
        self._server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for end in (client, self._server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open = {client, self._server}
        self._pipes = (
            Pipe(self, client, self._server, links[0], None),
            Pipe(self, self._server, client, links[1], Frames()),
        )
        self.connected = False
        if self._server.connect_ex(target) in {0, errno.EINPROGRESS}:
            loop.add_writer(self._server.fileno(), self._answered)
        else:
            loop.call_soon(self.abort)

    def update(self) -> None:
        """Read where reading is allowed now: a link was cut or joined."""
        for pipe in self._pipes:
            pipe.update_reading()

    def abort(self) -> None:
        """RST to both sides, at once; what is under way is lost."""
        for end in list(self._open):
            self._close(end, End.RST)

    def ended(self, pipe: Pipe, kind: End) -> None:
        """The end that `pipe` carried is delivered: its sink is closed fully, as the source's own kernel would answer nothing any more."""
        self._close(pipe.sink, kind)
        if not any(other.carries_end for other in self._pipes if other is not pipe):
            self._close(pipe.source, End.FIN)

    def sink_died(self, pipe: Pipe) -> None:
        """A write met RST. The other pipe will read the news, when its link lets it, and tell the other side."""
        self.broken.add(pipe.sink)
        if all(each.ended and not each.carries_end for each in self._pipes):
            self.abort()

    def swallow(self) -> None:
        """An answer is lost: what came before it in either direction is delivered, and then both sides are reset."""
        for pipe in self._pipes:
            pipe.finish(End.RST)
        for pipe in self._pipes:
            pipe.flush()

    def _answered(self) -> None:
        """The target's kernel accepted or refused."""
        self.loop.remove_writer(self._server.fileno())
        if self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or is_self_connected(self._server):
            self.abort()
        else:
            self.connected = True
            self.update()

    def _close(self, end: socket.socket, kind: End) -> None:
        if end not in self._open:
            return
        self._open.discard(end)
        self.loop.remove_reader(end.fileno())
        self.loop.remove_writer(end.fileno())
        if kind is End.RST:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        else:
            # close() with unread bytes sends RST alone; a dead process's FIN comes first, and RST only answers what is sent after it.
            with contextlib.suppress(OSError):  # the other side was faster
                end.shutdown(socket.SHUT_WR)
        end.close()
        if not self._open:
            for pipe in self._pipes:
                pipe.forget()
            self._gone(self)


class Pipe:
    """One direction of a connection. It carries (due, bytes) and at last an End; without a delay, bytes are written as they are read."""

    __slots__ = (
        "_blocked",
        "_connection",
        "_frames",
        "_link",
        "_loop",
        "_queue",
        "_reading",
        "_timer",
        "_under_way",
        "ended",
        "sink",
        "source",
    )

    def __init__(self, connection: Connection, source: socket.socket, sink: socket.socket, link: Link, frames: Frames | None) -> None:
        self.source = source
        self.sink = sink
        self.ended = False  # nothing more is read
        self._connection = connection
        self._loop = connection.loop
        self._link = link
        self._frames = frames  # of answers; requests need none
        self._queue: deque[tuple[float, bytes | End]] = deque()
        self._under_way = 0
        self._blocked = False  # the sink's kernel takes no more
        self._reading = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def carries_end(self) -> bool:
        """Whether an End is under way."""
        return self.ended and bool(self._queue)

    def update_reading(self) -> None:
        """Begin or stop to read, as cuts and back-pressure want it."""
        wanted = (
            self._connection.connected
            and not self.ended
            and not self._blocked
            and not self._link.cuts
            and self._under_way < _MOST_UNDER_WAY
        )
        if wanted is not self._reading:
            self._reading = wanted
            if wanted:
                self._loop.add_reader(self.source.fileno(), self._read)
            else:
                self._loop.remove_reader(self.source.fileno())

    def finish(self, kind: End, due: float = 0.0) -> None:
        """Nothing more is read; `kind` goes to the sink behind the bytes under way, not before `due`."""
        if not self.ended:
            self.ended = True
            self.update_reading()
            self._queue.append((due, kind))

    def flush(self) -> None:
        """Deliver what is due, as far as the sink takes it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue and not self._blocked:
            due, item = self._queue[0]
            if due > self._loop.time():
                self._timer = self._loop.call_at(due, self.flush)
                break
            self._queue.popleft()
            if isinstance(item, End):
                self._connection.ended(self, item)
                return
            self._under_way -= len(item)
            self._write(item)
        self.update_reading()

    def forget(self) -> None:
        """The connection is over."""
        self.ended = True
        self._reading = False
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _read(self) -> None:
        try:
            chunk = self.source.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            chunk = b""
            self._connection.broken.add(self.source)
        if not chunk:
            self.finish(End.RST if self.source in self._connection.broken else End.FIN, self._due())
            self.flush()
            return
        if self._frames is None:
            self._pass_on(chunk)
            return
        passing = self._frames.passing(chunk, self._swallows if self._link.probability else None)
        if passing:
            self._pass_on(chunk[:passing])
        if passing < len(chunk):
            self._connection.swallow()

    def _swallows(self) -> bool:
        return self._connection.random() < self._link.probability

    def _pass_on(self, chunk: bytes) -> None:
        if not self._queue and not self._link.slowed:
            self._write(chunk)
        else:
            self._queue.append((self._due(), chunk))
            self._under_way += len(chunk)
            if self._timer is None:
                self.flush()
            else:
                self.update_reading()

    def _due(self) -> float:
        """When what is read now is delivered. The queue sees to it that nothing overtakes what was read earlier."""
        now = self._loop.time()
        at = now + self._link.latency_s
        if self._link.jitter_s:
            at += self._link.jitter_s * (2.0 * self._connection.random() - 1.0)
        return max(now, at)

    def _write(self, chunk: bytes) -> None:
        try:
            sent = self.sink.send(chunk)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._died()
            return
        if sent < len(chunk):
            self._queue.appendleft((0.0, chunk[sent:]))
            self._under_way += len(chunk) - sent
            self._blocked = True
            self._loop.add_writer(self.sink.fileno(), self._writable)
            self.update_reading()

    def _writable(self) -> None:
        self._blocked = False
        self._loop.remove_writer(self.sink.fileno())
        self.flush()

    def _died(self) -> None:
        """The sink's side is gone: what is under way to it is lost, and nothing more is taken."""
        self.ended = True
        self._queue.clear()
        self._under_way = 0
        self.update_reading()
        self._connection.sink_died(self)


def is_self_connected(end: socket.socket) -> bool:
    """Whether it met itself: on loopback a connect to a free port may draw that very port as its own, and then it succeeds."""
    try:
        return bool(end.getsockname() == end.getpeername())
    except OSError:
        return True  # already gone
