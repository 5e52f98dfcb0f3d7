"""The controller's truth, built from lines typed in by hand; and one test that reads it from a real controller's log."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from kafkasim.cluster.controller_view import BrokerState, ControllerView, PartitionState
from kafkasim.protocol.controller_trace import AssignmentChanged, LeaderElected
from kafkasim.protocol.records import TopicPartition

WALL_S = 1_700_000_000.0
ORDERS_0 = TopicPartition("orders", 0)


def broker(broker_id: int, at: int, epoch: int = 1, fenced: bool = False, stopping: bool = False) -> dict[str, Any]:
    """A broker's line, `at` ms after WALL_S."""
    state = {"broker": broker_id, "epoch": epoch, "fenced": fenced, "in_controlled_shutdown": stopping}
    return {"at": WALL_S * 1000 + at, "kind": "broker", **state}


def topic(name: str, at: int, removed: bool = False) -> dict[str, Any]:
    """A topic's line."""
    return {"at": WALL_S * 1000 + at, "kind": "topic-removed" if removed else "topic", "topic": name}


def partition(
    at: int, leader: int, isr: list[int], epoch: int, elr: tuple[int, ...] = (), name: TopicPartition = ORDERS_0
) -> dict[str, Any]:
    """A partition's line; its replicas are 1, 2, 3, and its partition epoch is its leader epoch."""
    state = {"replicas": [1, 2, 3], "isr": isr, "leader": leader, "leader_epoch": epoch, "partition_epoch": epoch, "elr": list(elr)}
    return {"at": WALL_S * 1000 + at, "kind": "partition", "topic": name.topic, "partition": name.partition, **state}


def view_of(*lines: dict[str, Any]) -> ControllerView:
    """A view that has read these lines; at WALL_S its monotonic clock shows 100 s."""
    stream = io.BytesIO("".join(json.dumps(line) + "\n" for line in lines).encode())
    view = ControllerView(stream, monotonic=lambda: 100.0, wall=lambda: WALL_S)
    view.join(5)
    return view


def test_the_last_line_of_a_partition_is_its_state() -> None:
    view = view_of(topic("orders", 0), partition(0, 1, [1, 2, 3], 0), partition(5, 2, [2, 3], 1, elr=(1,)))
    assert view.partition("orders", 0) == PartitionState((1, 2, 3), (2, 3), 2, 1, 1, (1,))
    assert view.partition("orders", 1) is None
    assert view.partition("payments", 0) is None


def test_a_removed_topic_is_held_by_nobody() -> None:
    view = view_of(topic("orders", 0), partition(0, 1, [1, 2, 3], 0), topic("orders", 5, removed=True))
    assert view.partition("orders", 0) is None
    assert view.held_by(1) == {}


def test_a_topic_that_is_made_again_begins_without_partitions() -> None:
    again = topic("orders", 9)
    assert view_of(topic("orders", 0), partition(0, 1, [1], 4), topic("orders", 5, removed=True), again).partition("orders", 0) is None


def test_a_broker_holds_what_it_has_replicas_of_internal_topics_too() -> None:
    offsets = TopicPartition("__consumer_offsets", 0)
    view = view_of(partition(0, 1, [1, 2, 3], 0), partition(0, 2, [2], 0, name=offsets))
    assert list(view.held_by(3)) == [offsets, ORDERS_0]
    assert view.held_by(4) == {}


@pytest.mark.parametrize(
    ("lines", "in_sync"),
    [
        ([broker(1, 0), partition(0, 2, [1, 2], 0)], True),
        ([broker(1, 0)], True),
        ([partition(0, 2, [1, 2], 0)], False),
        ([broker(1, 0, fenced=True), partition(0, 2, [1, 2], 0)], False),
        ([broker(1, 0, stopping=True), partition(0, 2, [1, 2], 0)], False),
        ([broker(1, 0), partition(0, 2, [2], 0)], False),
        ([broker(1, 0), partition(0, -1, [1], 0)], False),
    ],
    ids=["in every ISR", "holds nothing", "not registered", "fenced", "stopping", "out of an ISR", "no leader"],
)
def test_a_broker_is_in_sync_when_nothing_is_missing(lines: list[dict[str, Any]], in_sync: bool) -> None:
    assert view_of(*lines).in_sync(1) is in_sync


def test_instants_are_converted_from_the_wall_clock_to_the_monotonic_one() -> None:
    view = view_of(broker(1, 250, fenced=True), broker(1, 1750))
    assert view.registered_since == {1: pytest.approx(100.25, abs=1e-5)}
    assert view.changes[-1].at == pytest.approx(101.75, abs=1e-5)


def test_instants_follow_the_wall_clock_when_it_is_set() -> None:
    lines = [broker(1, 0), broker(2, 3_600_000)]
    walls = iter([WALL_S, WALL_S + 0.001, WALL_S + 3600.0])
    view = ControllerView(io.BytesIO("".join(json.dumps(line) + "\n" for line in lines).encode()), lambda: 100.0, lambda: next(walls))
    view.join(5)
    assert view.registered_since == {1: pytest.approx(100.0, abs=1e-5), 2: pytest.approx(100.0, abs=1e-5)}


def test_a_new_process_of_a_broker_is_registered_anew_even_if_the_old_one_was_not_fenced() -> None:
    view = view_of(broker(1, 0, epoch=7), broker(1, 500, epoch=9, fenced=True), broker(1, 900, epoch=9))
    assert view.brokers == {1: BrokerState(9, False, False)}
    assert view.registered_since[1] == pytest.approx(100.5, abs=1e-5)
    assert [change.kind for change in view.changes] == ["BrokerAdmitted", "BrokerUnfenced", "BrokerAdmitted", "BrokerUnfenced"]


def test_a_fencing_is_stale_unless_the_broker_was_stopping() -> None:
    died = view_of(broker(1, 0), broker(1, 5, fenced=True)).changes[-1]
    stopped = view_of(broker(1, 0), broker(1, 5, stopping=True), broker(1, 9, fenced=True, stopping=True)).changes[-2:]
    assert (died.kind, died.event.stale) == ("BrokerFenced", True)
    assert [change.kind for change in stopped] == ["BrokerStopping", "BrokerFenced"]
    assert stopped[1].event.stale is False


def test_changes_tell_elections_and_isrs_in_order() -> None:
    view = view_of(
        topic("orders", 0),
        partition(0, 1, [1, 2], 0),
        partition(10, 1, [1], 0),
        partition(20, -1, [], 1, elr=(1,)),
        partition(30, 3, [3], 2),
    )
    kinds = [change.kind for change in view.changes]
    assert kinds == [
        "TopicCreated",
        "IsrChanged",
        "LeaderElected",
        "IsrChanged",
        "IsrChanged",
        "PartitionOffline",
        "IsrChanged",
        "LeaderElected",
    ]
    last = view.changes[-1]
    assert last.at == pytest.approx(100.03, abs=1e-5)
    assert (last.event.partition, last.event.leader, last.event.leader_epoch, last.event.unclean) == (ORDERS_0, 3, 2, True)


def test_a_restart_of_the_log_forgets_what_was_cut_off() -> None:
    view = view_of(broker(1, 0), partition(0, 1, [1], 0), {"kind": "restart"}, broker(2, 5))
    assert (list(view.brokers), view.partition("orders", 0), list(view.registered_since)) == ([2], None, [2])
    assert [change.event.broker_id for change in view.changes] == [2, 2]


def test_a_broker_whose_registration_was_deleted_is_gone() -> None:
    view = view_of(broker(1, 0), {"at": WALL_S * 1000, "kind": "broker-removed", "broker": 1})
    assert (view.brokers, view.registered_since) == ({}, {})


def test_an_observer_that_has_ended_is_a_clear_sentence() -> None:
    assert view_of(broker(1, 0)).ended == "the observer of the controller's metadata log has ended"


def test_a_line_that_is_no_json_is_told() -> None:
    view = ControllerView(io.BytesIO(b"Exception in thread main\n"))
    view.join(5)
    assert "cannot be read" in view.ended


def test_a_reassignment_is_told_when_it_begins_and_when_it_is_complete_and_its_election_is_clean() -> None:
    moving = {**partition(5, 1, [1, 2, 3], 0), "replicas": [4, 2, 3, 1], "adding": [4], "removing": [1]}
    moved = {**partition(9, 4, [2, 3, 4], 1), "replicas": [4, 2, 3]}
    view = view_of(topic("orders", 0), partition(0, 1, [1, 2, 3], 0), moving, moved)
    told = [change.event for change in view.changes if change.kind in {"AssignmentChanged", "LeaderElected"}]
    assert told[1:] == [
        AssignmentChanged(ORDERS_0, (4, 2, 3, 1), (4,), (1,)),
        AssignmentChanged(ORDERS_0, (4, 2, 3), (), ()),
        LeaderElected(ORDERS_0, 4, 1, (2, 3, 4), unclean=False),
    ]
