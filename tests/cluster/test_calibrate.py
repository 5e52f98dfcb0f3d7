"""What a calibration measures, on a cluster that is made up."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from kafkasim import Scenario
from kafkasim.cluster import calibrate as calibrating
from kafkasim.cluster.calibrate import calibrate
from kafkasim.cluster.controller_view import BrokerStopping, Change
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.local_site import LocalSite, Plan
from kafkasim.protocol.controller_trace import BrokerFenced

ASKED_S, LEFT_S = 5.0, 0.4  # before its end a broker asks, and the controller gives leave


class FakeAdmin:
    def __init__(self, brokers: int) -> None:
        self.topics: dict[str, list[int]] = {}
        self._brokers = brokers

    def brokers(self) -> list[int]:
        return list(range(1, self._brokers + 1))

    def create_topic(self, name: str, assignment: list[list[int]], _config: dict[str, str]) -> None:
        self.topics[name] = assignment[0]

    def create_topic_anywhere(self, name: str, _partitions: int, factor: int, _config: dict[str, str]) -> None:
        self.topics[name] = [0] * factor


class FakeSite:
    """Somebody's cluster; `placed`: ours."""

    def __init__(self, brokers: int = 3, placed: bool = False) -> None:
        self.placed = placed
        self.admin = FakeAdmin(brokers)
        self.said: list[tuple[str, tuple[str, ...]]] = []

    def bootstrap(self, slot: str) -> str:
        assert slot == "client-1"
        return "kafka:9092"

    def remember(self, made: Any) -> None:
        self.said.append(("remember", tuple(made.topics.values())))

    def forget(self, made: Any) -> None:
        self.said.append(("forget", tuple(made.topics.values())))


class FakeLocalSite(LocalSite):
    """A cluster of our own, whose last broker stops at once: it asked 5 s ago, and has had leave for 400 ms."""

    def __init__(self, granted: bool = True) -> None:
        self.plan = Plan(Scenario.load("calm").with_({"cluster.config.broker.session.timeout.ms": 1}))
        self.started_at = {"broker-3": 0.0}
        self.healed = 0
        self._granted = granted
        self._changes = [Change(0.0, "BrokerFenced", BrokerFenced(3, 1, False))]  # of another day
        self._view = SimpleNamespace(changes=self._changes, registered_since={3: 0.0})  # type: ignore[assignment]  # what is asked of it
        self._admin = FakeAdmin(3)  # type: ignore[assignment]  # what is asked of it
        self.processes = {"broker-3": self}  # type: ignore[dict-item]  # it is its own broker
        self.alive = True

    def terminate(self) -> None:
        now, self.alive = time.monotonic(), False
        self._changes.append(Change(now - ASKED_S, "BrokerStopping", BrokerStopping(3, 1)))
        self._changes.append(Change(now - 1.0, "BrokerFenced", BrokerFenced(2, 1, False)))
        if self._granted:
            self._changes.append(Change(now - LEFT_S, "BrokerFenced", BrokerFenced(3, 1, False)))

    def kill(self) -> None:
        assert not self.alive

    def start(self) -> None:
        self.alive, self.started_at["broker-3"] = True, 100.0
        self.view.registered_since[3] = 101.5  # type: ignore[index]  # the fake's is a dict

    def in_sync(self, node: str) -> bool:
        return node == "broker-3" and self.alive

    def heal(self) -> None:
        self.healed += 1


def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, str]]:
    """What round trips were asked for: they take 1 ms with one replica and 3 ms with more."""
    asked: list[tuple[str, int, str]] = []

    def round_trips(_: object, what: str, replicas: int, acks: str) -> list[float]:
        asked.append((what, replicas, acks))
        return [1.0, 1.0, 1.0] if replicas == 1 else [3.0, 3.0, 3.0]

    monkeypatch.setattr(calibrating, "_round_trips", round_trips)
    return asked


def test_a_shutdown_counts_from_the_controllers_leave_and_not_from_the_brokers_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch)
    site = FakeLocalSite()
    found = calibrate(site, 3)
    assert found.shutdown_ms == pytest.approx(LEFT_S * 1000, abs=150)
    assert found.startup_ms == pytest.approx(1500)
    assert (found.client_round_trip_ms, found.follower_round_trip_ms) == (1.0, 2.0)


def test_after_its_bounce_the_cluster_is_healed(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch)
    site = FakeLocalSite()
    calibrate(site, 3)
    assert site.healed == 1


def test_a_leave_that_was_never_seen_is_no_shutdown_of_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch)
    monkeypatch.setattr(calibrating, "_PATIENCE_S", 0.05)
    with pytest.raises(ClusterError, match="the controller's leave for broker-3 to stop was not seen"):
        calibrate(FakeLocalSite(granted=False), 3)


@pytest.mark.parametrize(
    ("there", "asked"), [(3, [("alone", 1, "1"), ("together", 3, "all")]), (2, [("alone", 1, "1"), ("together", 2, "all")])]
)
def test_no_more_replicas_are_asked_for_than_there_are_brokers(there: int, asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    done = measured(monkeypatch)
    found = calibrate(FakeSite(there), 3)  # type: ignore[arg-type]  # what is asked of it
    assert done == asked
    assert (found.startup_ms, found.brokers) == (None, 3)


def test_one_broker_follows_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(monkeypatch) == []
    assert calibrate(FakeSite(1), 3).follower_round_trip_ms == 0.02  # type: ignore[arg-type]  # what is asked of it


class FakeProducer:
    """Answers each record when it is polled."""

    refuses: Any = None

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def produce(self, _topic: str, _value: bytes, on_delivery: Any) -> None:
        self.answer = on_delivery

    def poll(self, _timeout: float) -> None:
        self.answer(self.refuses, None)


@pytest.mark.parametrize("placed", [False, True])
def test_a_topic_is_told_before_it_is_made_and_taken_away_after_its_measurement(placed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "Producer", FakeProducer)
    monkeypatch.setattr(calibrating, "_PAUSE_S", 0.0)
    site = FakeSite(placed=placed)
    calibrate(site, 3)  # type: ignore[arg-type]  # what is asked of it
    assert [len(replicas) for replicas in site.admin.topics.values()] == [1, 3]
    alone, together = site.admin.topics
    assert site.said == [("remember", (alone,)), ("forget", (alone,)), ("remember", (together,)), ("forget", (together,))]


def test_a_record_that_is_refused_is_no_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "Producer", FakeProducer)
    monkeypatch.setattr(FakeProducer, "refuses", SimpleNamespace(str=lambda: "Broker: Topic authorization failed"))
    site = FakeSite()
    with pytest.raises(ClusterError, match="refused a record: Broker: Topic authorization failed"):
        calibrate(site, 3)  # type: ignore[arg-type]  # what is asked of it
    assert [what for what, _ in site.said] == ["remember"], "the site takes it away"
