"""The clock that drives the machines: hosts on a simpy environment, one heap entry a delivered message, one wake-up a host.

A host is a process on a machine of its own. It may be running, paused (SIGSTOP: the kernel goes on taking bytes for it),
or down. A crash forgets the node object; a start makes a new one and bumps the incarnation. No simpy process, no interrupt.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

import simpy

from kafkasim.protocol.node import Close, Connect, Disconnected, Node, Output, Send

_NEVER = float("inf")  # some machines say so instead of None
NORMAL = 1  # simpy's priority for everything we do


class Status(Enum):
    """What a process is doing, as seen from outside."""

    DOWN = "down"
    RUNNING = "running"
    PAUSED = "paused"


_RUNNING = Status.RUNNING  # looked up once: CPython takes ten times as long for a member of an Enum as for a global


class Wires(Protocol):
    """What the driver needs of the network (network.py)."""

    def connect(self, host: Host, peer: str) -> None: ...  # noqa: D102 - the network's docstrings stand there

    def write(self, pipe: Any, message: object, now: float) -> None: ...  # noqa: D102

    def close(self, host: Host, peer: str) -> None: ...  # noqa: D102


class Host:
    """One process: its node while it runs, and what waits for it while it cannot."""

    __slots__ = (
        "answer",
        "busy_until",
        "disk_writes",
        "inbox",
        "incarnation",
        "name",
        "node",
        "paused_at",
        "pending_wakes",
        "pipes",
        "ready",
        "status",
        "wake_up",
        "write_ms",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.node: Node | None = None
        self.status = Status.DOWN
        self.ready = False  # it can read a message the moment it arrives: running, nothing queued, its disk at its own speed
        self.incarnation = 0
        self.pipes: dict[str, Any] = {}  # peer, as this host names it -> the network's pipe that it writes to
        self.inbox: deque[tuple[object, str]] = deque()  # what came while it was paused or its disk was busy
        self.pending_wakes: list[float] = []  # heap of the instants at which a wake-up is already in simpy's heap
        self.wake_up: Entry | None = None  # what is put there; each incarnation has its own
        self.paused_at = 0.0
        self.busy_until = 0.0
        self.write_ms = 0.0  # slow-disk: how long one append takes
        self.disk_writes: Callable[[], int] | None = None  # appends so far, to price them while the disk is slow
        self.answer: Callable[[Output, float], None] | None = None  # takes outputs that are not for the network


class Entry(Protocol):
    """What we put into simpy's heap. No event of simpy's own: one may lie there many times, and nobody waits for it."""

    def happen(self, now: float) -> None: ...  # noqa: D102 - its time has come


class _Wake:
    """The wake-ups of one process: the same entry for all of them."""

    __slots__ = ("driver", "host", "incarnation")

    def __init__(self, driver: Driver, host: Host) -> None:
        self.driver = driver
        self.host = host
        self.incarnation = host.incarnation

    def happen(self, now: float) -> None:
        self.driver.woken(self.host, self.incarnation, now)


class _Call:
    """A function to be called at an instant."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function

    def happen(self, now: float) -> None:  # noqa: ARG002 - the function asks the driver
        self.function()


class Driver:
    """Hosts on one simpy clock. `network` is attached by network.py; `events` counts heap entries that were taken.

    `queue` and `serial` are the environment's own heap, and what numbers its entries. Who puts much into it (this module, and
    network.py) pushes what Environment.schedule() would: instant, priority, serial number, entry.
    """

    def __init__(self) -> None:
        self.env: Any = simpy.Environment()
        self.queue: list[tuple[float, int, int, Entry]] = self.env._queue  # type: ignore[assignment]  # our entries are no events of simpy's
        self.serial: Callable[[], int] = self.env._eid.__next__
        self.hosts: dict[str, Host] = {}
        self.network: Wires | None = None
        self.events = 0
        self._stop = False

    @property
    def now(self) -> float:
        """Simulated time in ms since the cluster's first start."""
        return float(self.env.now)

    def add(self, name: str) -> Host:
        """A new host, down."""
        assert name not in self.hosts, f"two hosts named {name}"
        host = self.hosts[name] = Host(name)
        return host

    def call_at(self, instant: float, function: Callable[[], None]) -> None:
        """Call `function` at `instant` (ms), after what was scheduled for that instant before."""
        self._put(_Call(function), instant, self.env.now)

    def run(self, until: Callable[[], bool], at_most: float, every: float) -> bool:
        """Step until `until()`, asked every `every` ms, holds (True) or the clock passes `at_most` ms (False)."""
        held = False

        def look() -> None:
            nonlocal held
            held = until()
            if held or self.now >= at_most:
                self._stop = True
            else:
                self.call_at(min(self.now + every, at_most), look)

        self._stop = False
        look()
        # Environment.step() without what it does for processes that wait for an event, or for events that fail.
        env, queue, pop, steps = self.env, self.queue, heapq.heappop, 0
        while not self._stop:
            env._now, _, _, entry = pop(queue)
            entry.happen(env._now)
            steps += 1
        self.events += steps
        return held

    # ------------------------------------------------------------------------------------------------ life of a process

    def start(self, host: Host, node: Node, first: list[Output]) -> None:
        """The process is up: `node` with what it wants to do `first`."""
        assert host.status is Status.DOWN, f"{host.name} is already up"
        host.node = node
        host.wake_up = _Wake(self, host)
        host.status = _RUNNING
        host.ready = not host.write_ms
        self.after(host, first, self.now)

    def kill(self, host: Host) -> None:
        """The process is gone, with all it held in memory. Its sockets are the network's to break."""
        host.node = None
        host.status = Status.DOWN
        host.ready = False
        host.incarnation += 1
        host.inbox.clear()
        host.pending_wakes.clear()
        host.busy_until = 0.0

    def pause(self, host: Host) -> None:
        """SIGSTOP: nothing runs, bytes are still taken by the kernel."""
        if host.status is _RUNNING:
            host.status = Status.PAUSED
            host.ready = False
            host.paused_at = self.now

    def resume(self, host: Host) -> None:
        """SIGCONT: what was due is done late, then what came meanwhile is read in order."""
        if host.status is not Status.PAUSED:
            return
        host.status = _RUNNING
        resumed = getattr(host.node, "resumed", None)
        if resumed is not None:  # an application that was in the middle of work needs as long as it would have
            resumed(self.now - host.paused_at)
        self._catch_up(host)

    # ------------------------------------------------------------------------------------------------ input and output

    def deliver(self, host: Host, event: object, source: str) -> None:
        """Hand `event` to the host's node now, or keep it while the process cannot read."""
        if host.status is not _RUNNING or host.inbox or host.busy_until > self.env.now:
            if host.status is not Status.DOWN:
                host.inbox.append((event, source))
            return
        self._handle(host, event, source)

    def inject(self, host: Host, event: object) -> None:
        """An event of the driver's own, such as BeginControlledShutdown."""
        self.deliver(host, event, "")

    def after(self, host: Host, outputs: list[Output], now: float) -> None:
        """A node was given input: do what it asks for, and see when it wants to be woken."""
        if outputs:
            network = self.network
            assert network is not None, "the network is attached before the first process starts"
            output: Any
            for output in outputs:
                kind = type(output)
                if kind is Send:
                    peer, message = output
                    pipe = host.pipes.get(peer)
                    if pipe is not None:  # else the connection is gone, and the bytes go nowhere
                        network.write(pipe, message, now)
                elif kind is Connect:
                    network.connect(host, output.peer)
                elif kind is Close:
                    network.close(host, output.peer)
                elif host.answer is not None:
                    host.answer(output, now)
        # What arm() would find out first: mostly, a wake-up that comes soon enough is in the heap already.
        pending = host.pending_wakes
        if not pending or host.node is None or ((deadline := host.node.next_deadline()) is not None and deadline < pending[0]):
            self.arm(host, now)

    def arm(self, host: Host, now: float) -> None:
        """Put one wake-up into the heap, unless one that is not later is there already."""
        node = host.node
        if node is None or host.busy_until > now:
            return
        deadline = node.next_deadline()
        pending = host.pending_wakes
        if deadline is None or (pending and pending[0] <= deadline) or deadline == _NEVER:
            return
        assert host.wake_up is not None, "a process that runs can be woken"
        heapq.heappush(pending, deadline)
        self._put(host.wake_up, deadline, now)

    def _put(self, entry: Entry, instant: float, now: float) -> None:
        heapq.heappush(self.queue, (max(instant, now), NORMAL, self.serial(), entry))

    def woken(self, host: Host, incarnation: int, now: float) -> None:
        """A wake-up came up in the heap; the host may have died, or found an earlier deadline, since it was put there."""
        if incarnation != host.incarnation:
            return
        if host.pending_wakes:
            heapq.heappop(host.pending_wakes)
        if host.status is _RUNNING and not self._wake_if_due(host, now):
            self.arm(host, now)

    def _wake_if_due(self, host: Host, now: float) -> bool:
        """Whether it was; then the next wake-up has been seen to."""
        node = host.node
        if node is None or host.busy_until > now:
            return False
        deadline = node.next_deadline()
        # The heap adds delays to the clock: a sum may miss its deadline by one rounding, which must not cost a second entry.
        if deadline is None or deadline > now + 1e-6:
            return False
        self.after(host, node.wake(now if now > deadline else deadline), now)
        return True

    # ------------------------------------------------------------------------------------------------ paused, or with a slow disk

    def set_disk_speed(self, host: Host, write_ms: float) -> None:
        """How long each append takes from now on; 0: no time at all."""
        host.write_ms = write_ms
        host.ready = False  # until the next message has seen to it
        if host.status is _RUNNING:
            self._catch_up(host)

    def _catch_up(self, host: Host) -> None:
        """Do what is due, then read the inbox until it is empty or the process is busy again."""
        if host.inbox:
            self._tell_who_has_closed(host)
        self._wake_if_due(host, self.env.now)
        while host.inbox and host.status is _RUNNING and host.busy_until <= self.env.now:
            event, source = host.inbox.popleft()
            self._handle(host, event, source)
        if host.status is _RUNNING:
            host.ready = not host.inbox and not host.write_ms and host.busy_until <= self.env.now
            self.arm(host, self.env.now)

    @staticmethod
    def _tell_who_has_closed(host: Host) -> None:
        """A kernel knows that a peer has closed before the process has read what came before: it is what an answer will meet."""
        tell = getattr(host.node, "peers_have_closed", None)
        gone = [source for event, source in host.inbox if type(event) is Disconnected]
        if tell is not None and gone:
            tell(gone)

    def _handle(self, host: Host, event: object, source: str) -> None:
        node = host.node
        assert node is not None, f"{host.name} runs without a node"
        now = self.env.now
        if host.write_ms:
            self._slowly(host, node, event, source, now)
        else:
            self.after(host, node.receive(event, source, now), now)

    def _slowly(self, host: Host, node: Node, event: object, source: str, now: float) -> None:
        """Appends are synchronous in Kafka's handler: nothing else is handled, and nothing answered, until the disk is done."""
        assert host.disk_writes is not None, f"{host.name} has no disk to be slow"
        before = host.disk_writes()
        outputs = node.receive(event, source, now)
        busy = (host.disk_writes() - before) * host.write_ms
        if not busy:
            self.after(host, outputs, now)
            return
        host.busy_until = now + busy
        incarnation = host.incarnation

        def done() -> None:
            if host.incarnation == incarnation:
                self.after(host, outputs, self.now)
                self._catch_up(host)

        self.call_at(host.busy_until, done)
