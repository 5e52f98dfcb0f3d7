"""Schedules of faults that hurt: two failures that mean nothing one by one, in the order and at the distance in which they do.

Random faults seldom meet. Each function here draws one way in which replication is known to be hurt; where it has a number in the
catalogue of delivery semantics, its docstring tells. A new schedule is a function and a line in TARGETED.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hypothesis import strategies as st

from kafkasim.testing import options
from kafkasim.testing.fault_kinds import FaultData, Nodes, draw_target

Schedule = Callable[[st.DrawFn, str, Nodes], list[FaultData]]


def _ms(value: float) -> str:
    return f"{value:g}ms"


def _begin(draw: st.DrawFn) -> int:
    return draw(st.sampled_from([300, 0, 100, 600, 1000]))


def _after(draw: st.DrawFn) -> int:
    """How long after the first failure the second one comes: at once, within a session, after replica.lag.time.max.ms."""
    return draw(st.one_of(st.integers(0, 300), st.integers(0, 2500), st.integers(1500, 5000)))


def _while(draw: st.DrawFn) -> str:
    return _ms(draw(st.sampled_from([500, 50, 1500, 3000, 6000])))


def _failure(draw: st.DrawFn, node: str, at: int) -> FaultData:
    return {"fault": draw(st.sampled_from(["crash", "power-loss", "pause", "shutdown"])), "node": node, "at": _ms(at), "for": _while(draw)}


def isr_shrinks_then_leader_fails(draw: st.DrawFn, partition: str, _nodes: Nodes) -> list[FaultData]:
    """Rows 7, 12, 13: the followers fall behind, the ISR is the leader alone, and the leader fails."""
    begin, lagging = _begin(draw), draw(st.integers(1500, 6000))
    whom = draw(st.sampled_from(["followers", "follower"]))
    how: FaultData = draw(
        st.sampled_from(
            [{"fault": "pause"}, {"fault": "partition", "from": f"leader({partition})"}, {"fault": "delay", "latency.ms": 2000}]
        )
    )
    first = {**how, "node": f"{whom}({partition})", "at": _ms(begin), "for": _ms(lagging)}
    return [first, _failure(draw, f"leader({partition})", begin + draw(st.integers(500, 7000)))]


def two_power_losses(draw: st.DrawFn, partition: str, _nodes: Nodes) -> list[FaultData]:
    """Rows 9, 10, 14: the power fails twice, for one broker after the other, or for one twice."""
    begin = _begin(draw)
    whom = [f"leader({partition})", f"follower({partition})", f"followers({partition})", "brokers"]
    first: FaultData = {"fault": "power-loss", "node": draw(st.sampled_from(whom)), "at": _ms(begin), "for": _while(draw)}
    second = {"fault": "power-loss", "node": draw(st.sampled_from(whom)), "at": _ms(begin + _after(draw)), "for": _while(draw)}
    return [first, second]


def zombie_leader(draw: st.DrawFn, partition: str, _nodes: Nodes) -> list[FaultData]:
    """Rows 5, 6: the leader is cut off from its peers and not from its clients; meanwhile it, or its successor, may fail as well."""
    begin = _begin(draw)
    peers = draw(st.sampled_from([["controller", "brokers"], "controller", "brokers"]))
    cut: FaultData = {"fault": "partition", "node": f"leader({partition})", "from": peers, "at": _ms(begin), "as": "zombie"}
    cut["for"] = _ms(draw(st.integers(2000, 7000)))
    if draw(st.booleans()):
        return [cut]
    return [cut, _failure(draw, draw(st.sampled_from(["$zombie", f"leader({partition})"])), begin + draw(st.integers(500, 7000)))]


def follower_falls_behind_then_leader_fails(draw: st.DrawFn, partition: str, _nodes: Nodes) -> list[FaultData]:
    """Row 41 and after: a follower stands still for longer than replica.lag.time.max.ms, comes back, and the leader fails about then."""
    begin, lagging = _begin(draw), draw(st.integers(1000, 6000))
    first: FaultData = {"fault": "pause", "node": f"follower({partition})", "at": _ms(begin), "for": _ms(lagging)}
    return [first, _failure(draw, f"leader({partition})", begin + lagging + draw(st.integers(-300, 1500)))]


def leaders_fail_in_a_row(draw: st.DrawFn, partition: str, _nodes: Nodes) -> list[FaultData]:
    """Row 11 (KIP-279): each new leader fails soon after it was elected."""
    at, faults = _begin(draw), []
    for _ in range(draw(st.integers(2, 3))):
        faults.append(_failure(draw, f"leader({partition})", at))
        at += draw(st.integers(100, 4000))
    return faults


def answers_are_lost(draw: st.DrawFn, partition: str, _nodes: Nodes) -> list[FaultData]:
    """Rows 15 to 18: a leader's answers are lost, so that its clients retry; then it fails, and its successor gets the retry."""
    begin, lost = _begin(draw), draw(st.integers(100, 2000))
    first: FaultData = {"fault": "drop-responses", "node": f"leader({partition})", "from": "clients", "at": _ms(begin), "for": _ms(lost)}
    if draw(st.booleans()):
        first["probability"] = 0.5
    return [first, _failure(draw, f"leader({partition})", begin + draw(st.integers(50, lost + 50)))] if draw(st.integers(0, 3)) else [first]


def all_but_one_die(draw: st.DrawFn, partition: str, _nodes: Nodes) -> list[FaultData]:
    """Row 8: a replica is far behind when everybody who is not dies; with unclean election, it leads."""
    begin = _begin(draw)
    first: FaultData = {"fault": "partition", "node": f"follower({partition})", "at": _ms(begin), "for": _ms(draw(st.integers(3000, 6000)))}
    first["as"] = "behind"
    at, long = begin + 2000 + _after(draw), _ms(draw(st.integers(4000, 9000)))
    second: FaultData = {"fault": draw(st.sampled_from(["crash", "power-loss"])), "node": f"isr({partition})", "at": _ms(at), "for": long}
    return [first, second]


def the_in_sync_die_together(draw: st.DrawFn, partition: str, _nodes: Nodes) -> list[FaultData]:
    """A replica is behind when all the others die, at once or one by one; who comes back has the high watermark of its last checkpoint."""
    begin, lagging = _begin(draw), draw(st.integers(2500, 6000))
    first: FaultData = {"fault": "pause", "node": f"follower({partition})", "at": _ms(begin), "for": _ms(lagging)}
    how = draw(st.sampled_from(["crash", "crash", "power-loss"]))
    at = begin + draw(st.integers(1600, lagging))
    if draw(st.booleans()):
        one_by_one = [(at - 1000, draw(st.integers(4000, 8000))), (at + draw(st.integers(1000, 2500)), draw(st.integers(50, 1500)))]
        return [first, *({"fault": how, "node": f"leader({partition})", "at": _ms(when), "for": _ms(down)} for when, down in one_by_one)]
    return [first, {"fault": how, "node": f"isr({partition})", "at": _ms(at), "for": _while(draw)}]


def a_client_dies_at_work(draw: st.DrawFn, partition: str, nodes: Nodes) -> list[FaultData]:
    """Rows 19, 23 to 28: a producer or a member dies, or stands still, with records in hand; a broker may fail about then as well."""
    members = [node for node in nodes.others if node.startswith("consumer")]
    begin, client = _begin(draw), draw(st.sampled_from([*members, *members, *nodes.others]))
    first: FaultData = {"fault": draw(st.sampled_from(["crash", "crash", "pause"])), "node": client, "at": _ms(begin), "for": _while(draw)}
    return [first, _failure(draw, f"leader({partition})", begin + _after(draw))] if draw(st.booleans()) else [first]


def stop_cleanly_beside_a_failure(draw: st.DrawFn, partition: str, _nodes: Nodes) -> list[FaultData]:
    """Row 3: a controlled shutdown hands its leaderships to brokers one of which has just failed, and nobody knows it yet."""
    begin = _begin(draw)
    first = _failure(draw, f"{draw(st.sampled_from(['follower', 'followers']))}({partition})", begin)
    second: FaultData = {"fault": "shutdown", "node": f"leader({partition})", "at": _ms(begin + draw(st.integers(0, 2000)))}
    return [first, {**second, "for": _while(draw)}]


def the_controller_fails_beside_a_leader(draw: st.DrawFn, partition: str, _nodes: Nodes) -> list[FaultData]:
    """Nobody decides for a while, or another controller does with what the first one got committed; meanwhile a leader fails."""
    begin = _begin(draw)
    if draw(st.booleans()):
        first = {**_failure(draw, "controller", begin), "fault": draw(st.sampled_from(["crash", "pause"]))}
    else:
        cut = draw(st.sampled_from(["brokers", "controllers", None]))
        first = {"fault": "partition", "node": "controller", "at": _ms(begin), "for": _while(draw), **({"from": cut} if cut else {})}
    return [first, _failure(draw, f"leader({partition})", begin + draw(st.integers(-200, 4000)) if begin >= 200 else begin)]


def replicas_move_while_brokers_fail(draw: st.DrawFn, partition: str, nodes: Nodes) -> list[FaultData]:
    """A replica is given to other brokers, perhaps back again, and somebody fails before it is complete, or just after."""
    begin = _begin(draw)
    move: FaultData = {"fault": "reassign", "partition": partition, "to": draw_target(draw, nodes), "at": _ms(begin)}
    failure = _failure(draw, f"{draw(st.sampled_from(['leader', 'follower']))}({partition})", begin + draw(st.integers(-100, 1500)) + 100)
    if draw(st.booleans()):
        return [move, failure]
    again = {**move, "to": draw_target(draw, nodes), "at": _ms(begin + draw(st.integers(1, 3000)))}
    return [move, failure, again]


def an_administrator_helps(draw: st.DrawFn, partition: str, nodes: Nodes) -> list[FaultData]:
    """Everybody in sync is gone, or too few are left; and an administrator makes somebody leader, or asks for less."""
    hurt = draw(st.sampled_from([all_but_one_die, the_in_sync_die_together, isr_shrinks_then_leader_fails]))(draw, partition, nodes)
    at = _ms(draw(st.integers(1000, 9000)))
    if draw(st.booleans()):
        election = draw(st.sampled_from(["unclean", "unclean", "preferred"]))
        return [*hurt, {"fault": "elect", "partition": partition, "election": election, "at": at}]
    altered = dict(draw(st.sampled_from(list(options.ALTERED))))
    return [*hurt, {"fault": "alter-config", "topic": partition.rpartition("-")[0], "config": altered, "at": at}]


TARGETED: Mapping[str, Schedule] = {
    "ISR shrinks, then the leader fails": isr_shrinks_then_leader_fails,
    "two power losses": two_power_losses,
    "zombie leader": zombie_leader,
    "follower falls behind, then the leader fails": follower_falls_behind_then_leader_fails,
    "leaders fail in a row": leaders_fail_in_a_row,
    "answers are lost": answers_are_lost,
    "all but one die": all_but_one_die,
    "the in-sync die together": the_in_sync_die_together,
    "a client dies at work": a_client_dies_at_work,
    "stop cleanly beside a failure": stop_cleanly_beside_a_failure,
    "the controller fails beside a leader": the_controller_fails_beside_a_leader,
    "replicas move while brokers fail": replicas_move_while_brokers_fail,
    "an administrator helps": an_administrator_helps,
}


_MORE_OFTEN = (
    "an administrator helps",
    "answers are lost",
    "a client dies at work",
    "a client dies at work",
)  # they need most of the settings beside them


def draw_targeted(draw: st.DrawFn, nodes: Nodes, names: Sequence[str] = ()) -> list[FaultData]:
    """One of TARGETED (or of those of these names), aimed at one of the scenario's partitions."""
    schedule = TARGETED[draw(st.sampled_from(list(names) or [*TARGETED, *_MORE_OFTEN]))]
    return schedule(draw, draw(st.sampled_from(list(nodes.partitions))), nodes)
