"""What every fault is made of: verbs, steps, what triggers it. The faults themselves are in faults.py and admin_faults.py.

A fault is data and does nothing itself. Its steps are verbs (`Verb("kill", ("broker-1",))`), which either backend executes as
well as it can; a verb a backend lacks makes the fault *unsupported*, visibly. Nodes go by their names (protocol/node.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kafkasim.selectors import Nodes, Selector
from kafkasim.values import Count, Duration, Name, format_duration

# ---------------------------------------------------------------------------------------------------- steps


class Verb(NamedTuple):
    """One thing to do to the cluster, at once: a method of ClusterVerbs and its arguments."""

    name: str
    arguments: tuple[str | float, ...]


class Lasts(NamedTuple):
    """Nothing more happens for `ms`; None: until the final heal, when every fault ends."""

    ms: float | None


class WaitInSync(NamedTuple):
    """Wait until `node` is back in the ISR of every partition it has a replica of, but no longer than `at_most_ms`."""

    node: str
    at_most_ms: float


Step = Verb | Lasts | WaitInSync


class ClusterVerbs(Protocol):
    """What a backend may offer. What it cannot do, and to whom, it says when it is asked (injector.py, `Stage.cannot`).

    Two faults may hold the same thing: a link that was cut twice is whole again when it has been joined twice, and so for every pair of
    verbs here. Counting that is the backend's part.
    """

    def kill(self, node: str) -> None:
        """SIGKILL: memory is gone, the page cache stays. Connections are reset."""

    def power_off(self, node: str) -> None:
        """Like kill, and what had not been flushed to disk is gone."""

    def start(self, node: str) -> None:
        """Start the process again; a running one is left alone, a stopping one is started once it has stopped."""

    def stop(self, node: str) -> None:
        """SIGTERM: a broker's controlled shutdown, a client's close()."""

    def pause(self, node: str) -> None:
        """SIGSTOP: the process stands still and its connections stay."""

    def resume(self, node: str) -> None:
        """SIGCONT: it goes on, and reads first what arrived meanwhile."""

    def cut(self, a: str, b: str) -> None:
        """Hold back every byte from `a` to `b`. No connection breaks and nothing is lost, as in TCP."""

    def join(self, a: str, b: str) -> None:
        """Let the bytes from `a` to `b` through again, those held back first."""

    def delay(self, a: str, b: str, latency_ms: float, jitter_ms: float) -> None:
        """Add `latency_ms`, give or take `jitter_ms`, to everything from `a` to `b`."""

    def undelay(self, a: str, b: str) -> None:
        """Back to the network's own latency."""

    def reset(self, a: str, b: str) -> None:
        """Break every connection between the two. Both may connect again at once."""

    def drop_responses(self, a: str, b: str, probability: float) -> None:
        """Swallow each answer of `a` to `b` with this probability, and reset its connection: TCP lets no later answer pass."""

    def stop_dropping(self, a: str, b: str) -> None:
        """Let `a` answer `b` again."""

    def slow_disk(self, node: str, write_ms: float) -> None:
        """Each write of the node to its disk takes `write_ms`."""

    def fast_disk(self, node: str) -> None:
        """Back to the disk's own speed."""

    def elect(self, partition: str, election: str) -> None:
        """An administrator asks the controller for an election: "preferred" or "unclean"."""

    def reassign(self, partition: str, *replicas: int) -> None:
        """An administrator moves the partition to these brokers, the preferred leader first; without any, back to where it was."""

    def alter_config(self, topic: str, name: str, value: str | float) -> None:
        """An administrator gives one of a topic's settings another value."""


PROCESS_VERBS = ("kill", "start", "stop", "pause", "resume")  # of those above: what a signal does, or a command
LINK_VERBS = ("cut", "join", "delay", "undelay", "reset", "drop_responses", "stop_dropping")
ADMIN_VERBS = ("elect", "reassign", "alter_config")

# ---------------------------------------------------------------------------------------------------- when, and what every fault has


class When(BaseModel):
    """Progress instead of time: the fault fires when this many records were sent or acked by a producer, or processed by a group."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sent: Count | None = Field(default=None, description="fires when `producer` has handed this many records to send()")
    acked: Count | None = Field(default=None, description="fires when this many records of `producer` were acknowledged")
    processed: Count | None = Field(default=None, description="fires when `group` has handled records this many times, repetitions counted")
    producer: Name | None = Field(default=None, description="whose progress `sent` and `acked` mean")
    group: Name | None = Field(default=None, description="whose progress `processed` means")

    @model_validator(mode="after")
    def _one_progress(self) -> When:
        given = [name for name in ("sent", "acked", "processed") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a `when` has exactly one of sent, acked and processed; this one has {' and '.join(given) or 'none'}")
        needed, other = ("group", "producer") if given[0] == "processed" else ("producer", "group")
        if getattr(self, needed) is None:
            raise ValueError(f"`{given[0]}` needs `{needed}:` to say whose")
        if getattr(self, other) is not None:
            raise ValueError(f"`{given[0]}` takes `{needed}:`, and `{other}:` has no meaning beside it")
        return self

    @property
    def count(self) -> int:
        """The number of records it waits for."""
        return self.sent or self.acked or self.processed or 0

    def __str__(self) -> str:
        if self.processed is not None:
            return f"{self.group} has processed {self.processed}"
        return f"{self.producer} has sent {self.sent}" if self.sent is not None else f"{self.producer} has {self.acked} acked"


class Fault(BaseModel):
    """What every fault has: from when (`at`, or `when`), for how long (`for`), and a name (`as`) to be spoken of.

    Each class says with which verb it begins, with which it ends, and to what these are done: to each node, each link, each partition.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    begins_with: ClassVar[str]
    ends_with: ClassVar[str]  # "" where nothing has to be undone
    brokers_only: ClassVar[str] = ""  # why a client makes no sense as its node, where it makes none
    no_controller: ClassVar[str] = ""  # the same of a controller

    fault: str
    at_ms: Duration | None = Field(default=None, alias="at", description="when it fires, counted from the start of the workload")
    when: When | None = Field(default=None, description="fires on progress instead of at a time")
    for_ms: Duration | None = Field(default=None, alias="for", description="how long it lasts; without it, until the final heal")
    name: Name | None = Field(default=None, alias="as", description="a name for `$name` in later faults, for paths and for the report")

    @model_validator(mode="after")
    def _one_trigger(self) -> Self:
        if self.at_ms is None and self.when is None:
            raise ValueError("a fault says when it fires: `at: 3s` for a time, or `when:` for progress")
        if self.at_ms is not None and self.when is not None:
            raise ValueError("a fault has either `at` or `when`; this one has both")
        return self

    @property
    def capabilities(self) -> frozenset[str]:
        """The verbs it needs; a backend that lacks one cannot apply it."""
        return frozenset(verb for verb in (self.begins_with, self.ends_with) if verb)

    @property
    def selectors(self) -> tuple[tuple[str, Selector], ...]:
        """Every selector in it, each with the key it stands at: `node`, and `from` where there is one."""
        return ()

    def begin(self, nodes: Sequence[str], others: Sequence[str]) -> list[Verb]:
        """What to do when it fires. `nodes`: those hit; `others`: what `from` resolved to, or everybody else (`others_of`)."""
        return [Verb(self.begins_with, (*target, *self._arguments())) for target in self._targets(nodes, others)]

    def end(self, nodes: Sequence[str], others: Sequence[str]) -> list[Verb]:
        """What undoes it, when `for` is over or everything is healed."""
        return [Verb(self.ends_with, target) for target in self._targets(nodes, others)] if self.ends_with else []

    def steps(self, nodes: Sequence[str], others: Sequence[str]) -> Iterator[Step]:
        """The whole fault, one step after another. At the final heal whoever drives it leaves off here and does `end`."""
        yield from self.begin(nodes, others)
        yield Lasts(self.for_ms)
        yield from self.end(nodes, others)

    def _targets(self, nodes: Sequence[str], others: Sequence[str]) -> list[tuple[str, ...]]:  # noqa: ARG002  (a link fault needs them)
        """What each verb is done to: here, each node."""
        return [(node,) for node in nodes]

    def _arguments(self) -> tuple[float, ...]:
        """What the first verb is told besides."""
        return ()

    @property
    def what(self) -> str:
        """What is done to whom, without when."""
        return self.fault

    def __str__(self) -> str:
        since = f"at {format_duration(self.at_ms)}" if self.at_ms is not None else f"when {self.when}"
        until = f" for {format_duration(self.for_ms)}" if self.for_ms is not None else ""
        return f"{self.what} {since}{until}"


class NodeFault(Fault):
    """A fault of nodes, or of links between nodes."""

    node: Nodes = Field(description="whom it hits: a selector or a list of them; all are hit at once")

    @property
    def selectors(self) -> tuple[tuple[str, Selector], ...]:
        """Every selector in it, each with the key it stands at."""
        return tuple(("node", selector) for selector in self.node)

    @property
    def what(self) -> str:
        """What is done to whom, without when."""
        return f"{self.fault} of {', '.join(map(str, self.node))}"
