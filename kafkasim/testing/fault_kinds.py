"""The kinds of fault that are drawn: one function a word of `fault:`, which draws what that fault needs besides a node and a time.

A new kind is a function here and a line in FAULT_KINDS. Every draw begins with the plainest value: Hypothesis shrinks towards it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from kafkasim.testing import options

FaultData = dict[str, Any]
Drawer = Callable[[st.DrawFn, "Nodes"], FaultData]


class Nodes(NamedTuple):
    """Selectors that mean something in a scenario: of brokers, of everybody else; the partitions faults are aimed at; brokers' ids."""

    brokers: Sequence[str]
    others: Sequence[str]
    partitions: Sequence[str] = ()
    ids: Sequence[int] = (1, 2, 3)

    @property
    def everybody(self) -> list[str]:
        """Brokers first: who fails there hurts more."""
        return [*self.brokers, *self.others]


def duration(draw: st.DrawFn, least: int = 100, most: int = 8000) -> str:
    """`for:`, mostly shorter than a session, and sometimes much longer than replica.lag.time.max.ms."""
    return f"{draw(st.one_of(st.integers(least, 2000), st.integers(least, most)))}ms"


def instant(draw: st.DrawFn, most: int = 3000) -> str:
    """`at:`."""
    return f"{draw(st.integers(0, most))}ms"


def _process(word: str) -> Drawer:
    """crash, power-loss, shutdown, pause: whom, and for how long."""

    def drawn(draw: st.DrawFn, nodes: Nodes) -> FaultData:
        hit = nodes.brokers if word == "power-loss" else nodes.everybody
        return {"fault": word, "node": draw(st.sampled_from(hit)), "for": duration(draw)}

    return drawn


def _partition(draw: st.DrawFn, nodes: Nodes) -> FaultData:
    fault: FaultData = {"fault": "partition", "node": draw(st.sampled_from(nodes.everybody)), "for": duration(draw)}
    others = draw(st.sampled_from([None, "brokers", "controller", ["brokers", "controller"], "clients"]))
    if others is not None:
        fault["from"] = others
    if draw(st.booleans()):
        fault["one-way"] = True
    return fault


def _delay(draw: st.DrawFn, nodes: Nodes) -> FaultData:
    latency = draw(st.sampled_from([10, 100, 400, 1200]))
    fault: FaultData = {"fault": "delay", "node": draw(st.sampled_from(nodes.everybody)), "for": duration(draw), "latency.ms": latency}
    if draw(st.booleans()):
        fault["jitter.ms"] = latency // 2
    return fault


def _disconnect(draw: st.DrawFn, nodes: Nodes) -> FaultData:
    return {"fault": "disconnect", "node": draw(st.sampled_from(nodes.everybody))}


def _drop_responses(draw: st.DrawFn, nodes: Nodes) -> FaultData:
    fault: FaultData = {"fault": "drop-responses", "node": draw(st.sampled_from(nodes.brokers)), "for": duration(draw)}
    others = draw(st.sampled_from(["clients", None, "brokers"]))
    if others is not None:
        fault["from"] = others
    probability = draw(st.sampled_from([1.0, 0.5, 0.1]))
    return fault if probability == 1.0 else {**fault, "probability": probability}


def _slow_disk(draw: st.DrawFn, nodes: Nodes) -> FaultData:
    return {
        "fault": "slow-disk",
        "node": draw(st.sampled_from(nodes.brokers)),
        "for": duration(draw),
        "write.ms": draw(st.sampled_from([1, 20, 200])),
    }


def _bounce(draw: st.DrawFn, nodes: Nodes) -> FaultData:
    fault: FaultData = {"fault": "bounce", "node": draw(st.sampled_from(["brokers", *nodes.brokers])), "at.most": "10s"}
    return {**fault, "how": "crash"} if draw(st.booleans()) else fault


def _elect(draw: st.DrawFn, nodes: Nodes) -> FaultData:
    election = draw(st.sampled_from(["preferred", "unclean"]))
    return {"fault": "elect", "partition": draw(st.sampled_from(nodes.partitions)), "election": election}


def _reassign(draw: st.DrawFn, nodes: Nodes) -> FaultData:
    return {"fault": "reassign", "partition": draw(st.sampled_from(nodes.partitions)), "to": draw_target(draw, nodes)}


def draw_target(draw: st.DrawFn, nodes: Nodes) -> list[int] | str:
    """Other brokers, the same in another order, more or fewer of them; now and then one that is under way is taken back."""
    if draw(st.integers(0, 5)) == 5:
        return "cancel"
    count = draw(st.sampled_from([min(size, len(nodes.ids)) for size in (3, 3, 2, 1, 4)]))
    return list(draw(st.permutations(nodes.ids)))[:count]


def _alter_config(draw: st.DrawFn, nodes: Nodes) -> FaultData:
    topic = draw(st.sampled_from(nodes.partitions)).rpartition("-")[0]
    return {"fault": "alter-config", "topic": topic, "config": dict(draw(st.sampled_from(list(options.ALTERED))))}


FAULT_KINDS: Mapping[str, Drawer] = {
    "crash": _process("crash"),
    "pause": _process("pause"),
    "power-loss": _process("power-loss"),
    "partition": _partition,
    "shutdown": _process("shutdown"),
    "disconnect": _disconnect,
    "drop-responses": _drop_responses,
    "delay": _delay,
    "slow-disk": _slow_disk,
    "bounce": _bounce,
    "elect": _elect,
    "reassign": _reassign,
    "alter-config": _alter_config,
}
_OF_PARTITIONS = ("elect", "reassign", "alter-config")


def draw_fault(draw: st.DrawFn, kind: str, nodes: Nodes, most: int = 3000) -> FaultData:
    """One fault of this kind, at some time of a short workload."""
    return {**FAULT_KINDS[kind](draw, nodes), "at": instant(draw, most)}


def draw_swarm(draw: st.DrawFn, nodes: Nodes, kinds: Sequence[str], at_most: int) -> list[FaultData]:
    """Swarm testing (Groce 2012): a random few kinds for this run, and faults of these only. All kinds at once hide each other."""
    possible = [kind for kind in kinds if nodes.partitions or kind not in _OF_PARTITIONS]
    few = draw(st.lists(st.sampled_from(possible), min_size=1, max_size=4, unique=True))
    one = st.sampled_from(few).flatmap(lambda kind: _one_fault(kind, nodes))
    return draw(st.lists(one, max_size=at_most))


@st.composite
def _one_fault(draw: st.DrawFn, kind: str, nodes: Nodes) -> FaultData:
    return draw_fault(draw, kind, nodes)
