"""Faults: what goes wrong, when, to whom. One class a fault: its fields, what it needs of a backend, the steps it takes.

What all of them have in common is in fault_base.py, and what an administrator does while the cluster runs in admin_faults.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from kafkasim.admin_faults import AdminFault, AlterConfig, Elect, Reassign
from kafkasim.fault_base import (
    ADMIN_VERBS,
    LINK_VERBS,
    PROCESS_VERBS,
    ClusterVerbs,
    Fault,
    Lasts,
    NodeFault,
    Step,
    Verb,
    WaitInSync,
    When,
)
from kafkasim.selectors import Nodes, Selector
from kafkasim.values import Duration, Flag, Milliseconds, Probability

__all__ = [
    "ADMIN_VERBS",
    "FAULTS",
    "LINK_VERBS",
    "PROCESS_VERBS",
    "AdminFault",
    "AnyFault",
    "ClusterVerbs",
    "Fault",
    "Lasts",
    "LinkFault",
    "NodeFault",
    "Step",
    "Verb",
    "WaitInSync",
    "When",
    "fault_words",
]

# ---------------------------------------------------------------------------------------------------- faults of a process


class Crash(NodeFault):
    """kill -9: the process's memory is gone, the operating system's page cache is kept, so no broker loses what it wrote."""

    begins_with = "kill"
    ends_with = "start"
    fault: Literal["crash"]


class PowerLoss(NodeFault):
    """A crash that takes the page cache with it: what was written and not flushed is gone."""

    begins_with = "power_off"
    ends_with = "start"
    fault: Literal["power-loss"]


class Shutdown(NodeFault):
    """SIGTERM: a broker hands its leaderships over first (controlled shutdown), a client closes properly."""

    begins_with = "stop"
    ends_with = "start"
    fault: Literal["shutdown"]


class Pause(NodeFault):
    """SIGSTOP, or a long garbage collection: the process stands still, notices nothing, and goes on as if no time had passed."""

    begins_with = "pause"
    ends_with = "resume"
    fault: Literal["pause"]


class SlowDisk(NodeFault):
    """A disk on which each write takes long."""

    begins_with = "slow_disk"
    ends_with = "fast_disk"
    brokers_only = "a client keeps no log whose writes could be slow"
    no_controller = "only a broker's disk can be slow"
    fault: Literal["slow-disk"]
    write_ms: Milliseconds = Field(alias="write.ms", description="how long each write takes")

    def _arguments(self) -> tuple[float, ...]:
        return (self.write_ms,)


class Bounce(NodeFault):
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


class LinkFault(NodeFault):
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
    Crash
    | PowerLoss
    | Shutdown
    | Pause
    | Partition
    | Delay
    | Disconnect
    | DropResponses
    | SlowDisk
    | Bounce
    | Elect
    | Reassign
    | AlterConfig,
    Field(discriminator="fault"),
]
FAULTS: tuple[type[Fault], ...] = (
    Crash,
    PowerLoss,
    Shutdown,
    Pause,
    Partition,
    Delay,
    Disconnect,
    DropResponses,
    SlowDisk,
    Bounce,
    Elect,
    Reassign,
    AlterConfig,
)


def fault_words() -> tuple[str, ...]:
    """The words that `fault:` takes."""
    return tuple(_word(fault) for fault in FAULTS)


def _word(fault: type[Fault]) -> str:
    annotation: Any = fault.model_fields["fault"].annotation
    return str(annotation.__args__[0])
