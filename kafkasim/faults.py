"""Faults: what goes wrong, when, to whom. One class a fault: its fields, what it needs of a backend, the steps it takes.

A fault is data and does nothing itself. Its steps are verbs (`Verb("kill", ("broker-1",))`), which either backend executes as
well as it can; a verb a backend lacks makes the fault *unsupported*, visibly. Nodes go by their names (protocol/node.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kafkasim.selectors import Nodes, Selector
from kafkasim.values import Count, Duration, Flag, Milliseconds, Name, Probability, format_duration

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


PROCESS_VERBS = ("kill", "start", "stop", "pause", "resume")  # of those above: what a signal does, or a command
LINK_VERBS = ("cut", "join", "delay", "undelay", "reset", "drop_responses", "stop_dropping")

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
    """What every fault has: who (`node`), from when (`at`, or `when`), for how long (`for`), and a name (`as`) to be spoken of.

    Each class says with which verb it begins, with which it ends, and to what these are done: to each node, or to each link.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    begins_with: ClassVar[str]
    ends_with: ClassVar[str]  # "" where nothing has to be undone
    brokers_only: ClassVar[str] = ""  # why a client makes no sense as its node, where it makes none
    no_controller: ClassVar[str] = ""  # the same of a controller

    fault: str
    node: Nodes = Field(description="whom it hits: a selector or a list of them; all are hit at once")
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
        return tuple(("node", selector) for selector in self.node)

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

    def __str__(self) -> str:
        since = f"at {format_duration(self.at_ms)}" if self.at_ms is not None else f"when {self.when}"
        until = f" for {format_duration(self.for_ms)}" if self.for_ms is not None else ""
        return f"{self.fault} of {', '.join(map(str, self.node))} {since}{until}"


# ---------------------------------------------------------------------------------------------------- faults of a process


class Crash(Fault):
    """kill -9: the process's memory is gone, the operating system's page cache is kept, so no broker loses what it wrote."""

    begins_with = "kill"
    ends_with = "start"
    fault: Literal["crash"]


class PowerLoss(Fault):
    """A crash that takes the page cache with it: what was written and not flushed is gone."""

    begins_with = "power_off"
    ends_with = "start"
    fault: Literal["power-loss"]


class Shutdown(Fault):
    """SIGTERM: a broker hands its leaderships over first (controlled shutdown), a client closes properly."""

    begins_with = "stop"
    ends_with = "start"
    fault: Literal["shutdown"]


class Pause(Fault):
    """SIGSTOP, or a long garbage collection: the process stands still, notices nothing, and goes on as if no time had passed."""

    begins_with = "pause"
    ends_with = "resume"
    fault: Literal["pause"]


class SlowDisk(Fault):
    """A disk on which each write takes long."""

    begins_with = "slow_disk"
    ends_with = "fast_disk"
    brokers_only = "a client keeps no log whose writes could be slow"
    no_controller = "only a broker's disk can be slow"
    fault: Literal["slow-disk"]
    write_ms: Milliseconds = Field(alias="write.ms", description="how long each write takes")

    def _arguments(self) -> tuple[float, ...]:
        return (self.write_ms,)


class Bounce(Fault):
    """A rolling restart: one node after another, the next when the last one is in every ISR again, or after `at.most`."""

    begins_with = ""
    ends_with = "start"  # of whoever is down, should the final heal come in the middle of it
    brokers_only = no_controller = "only a broker has an ISR to wait for"
    fault: Literal["bounce"]
    how: Literal["shutdown", "crash"] = Field(default="shutdown", description="how each node goes down")
    at_most_ms: Duration = Field(
        default=60_000.0, alias="at.most", description="the longest to wait for each", json_schema_extra={"default": "1min"}
    )

    @property
    def _down(self) -> str:
        return "stop" if self.how == "shutdown" else "kill"

    @property
    def capabilities(self) -> frozenset[str]:
        """The verbs it needs: those of the way its nodes go down, and of the way up."""
        return frozenset({self._down, "start"})

    def begin(self, nodes: Sequence[str], others: Sequence[str]) -> list[Verb]:  # noqa: ARG002  (its work is a sequence: `steps`)
        """Nothing at once: see `steps`."""
        return []

    def steps(self, nodes: Sequence[str], others: Sequence[str]) -> Iterator[Step]:  # noqa: ARG002  (it touches no links)
        """Down, up, wait until it is in sync; then the next."""
        for node in nodes:
            yield Verb(self._down, (node,))
            yield Verb("start", (node,))
            yield WaitInSync(node, self.at_most_ms)


# ---------------------------------------------------------------------------------------------------- faults of the links


class LinkFault(Fault):
    """A fault of the links between `node` and `from`. A node has no link with itself."""

    from_: Nodes | None = Field(default=None, alias="from", description="the other ends of the links; without it, everybody else")

    @property
    def selectors(self) -> tuple[tuple[str, Selector], ...]:
        """Every selector in it, each with the key it stands at."""
        return (*super().selectors, *(("from", selector) for selector in self.from_ or ()))

    @staticmethod
    def others_of(nodes: Sequence[str], everybody: Sequence[str]) -> tuple[str, ...]:
        """The other ends where no `from` is given: all nodes that are not hit themselves."""
        return tuple(node for node in everybody if node not in nodes)

    def _targets(self, nodes: Sequence[str], others: Sequence[str]) -> list[tuple[str, ...]]:
        return _both_ways(nodes, others)


def _one_way(nodes: Sequence[str], others: Sequence[str]) -> list[tuple[str, ...]]:
    """What `nodes` send to `others`: each (node, other) once."""
    return list(dict.fromkeys((node, other) for node in nodes for other in others if node != other))


def _both_ways(nodes: Sequence[str], others: Sequence[str]) -> list[tuple[str, ...]]:
    """Each direction of each link once."""
    return list(dict.fromkeys(way for a, b in _one_way(nodes, others) for way in ((a, b), (b, a))))


class Partition(LinkFault):
    """Bytes are held back between `node` and `from`, both ways, or only from `node` on. Connections stand, as TCP's do."""

    begins_with = "cut"
    ends_with = "join"
    fault: Literal["partition"]
    one_way: Flag = Field(default=False, alias="one-way", description="true: only what `node` sends to `from` is held back")

    def _targets(self, nodes: Sequence[str], others: Sequence[str]) -> list[tuple[str, ...]]:
        return _one_way(nodes, others) if self.one_way else _both_ways(nodes, others)


class Delay(LinkFault):
    """Everything between `node` and `from` takes longer, both ways."""

    begins_with = "delay"
    ends_with = "undelay"
    fault: Literal["delay"]
    latency_ms: Milliseconds = Field(alias="latency.ms", description="what is added to each way")
    jitter_ms: Milliseconds = Field(default=0.0, alias="jitter.ms", description="by how much that varies")

    def _arguments(self) -> tuple[float, ...]:
        return (self.latency_ms, self.jitter_ms)


class Disconnect(LinkFault):
    """The connections between `node` and `from` are reset. That is one moment: they may be made again at once."""

    begins_with = "reset"
    ends_with = ""
    fault: Literal["disconnect"]

    def _targets(self, nodes: Sequence[str], others: Sequence[str]) -> list[tuple[str, ...]]:
        """Each link once, whichever end it was named by."""
        return [(a, b) for a, b in _both_ways(nodes, others)[::2]]

    def steps(self, nodes: Sequence[str], others: Sequence[str]) -> Iterator[Step]:
        """One moment, whatever `for` says."""
        yield from self.begin(nodes, others)


class DropResponses(LinkFault):
    """What `node` answers to `from` is lost: the request did arrive and had its effect. It is what retries duplicate."""

    begins_with = "drop_responses"
    ends_with = "stop_dropping"
    brokers_only = "a client answers nobody; give the broker as `node` and the client as `from`"
    fault: Literal["drop-responses"]
    probability: Probability = Field(default=1.0, description="the chance of each answer to be lost")

    def _targets(self, nodes: Sequence[str], others: Sequence[str]) -> list[tuple[str, ...]]:
        return _one_way(nodes, others)

    def _arguments(self) -> tuple[float, ...]:
        return (self.probability,)


AnyFault = Annotated[
    Crash | PowerLoss | Shutdown | Pause | Partition | Delay | Disconnect | DropResponses | SlowDisk | Bounce,
    Field(discriminator="fault"),
]
FAULTS: tuple[type[Fault], ...] = (Crash, PowerLoss, Shutdown, Pause, Partition, Delay, Disconnect, DropResponses, SlowDisk, Bounce)


def fault_words() -> tuple[str, ...]:
    """The words that `fault:` takes."""
    return tuple(_word(fault) for fault in FAULTS)


def _word(fault: type[Fault]) -> str:
    annotation: Any = fault.model_fields["fault"].annotation
    return str(annotation.__args__[0])
