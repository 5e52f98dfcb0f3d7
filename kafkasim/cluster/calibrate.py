"""How fast this cluster is: the `network:`, `startup.ms` and `shutdown.ms` with which the simulator may be compared with it.

These are no rules and no configuration: a machine's speed. Nothing else is ever fitted.

* client round trip: what a producer waits for acks=1 from a leader without followers, one record at a time, half of it one way;
* follower's fetch round trip: what acks=all takes more with all replicas (DelayedProduce: the append wakes the parked fetch, the
  follower appends, and its next fetch moves the high watermark), half of it one way;
* start-up: from the start of a broker's process to its registration; shutdown: from the controller's leave (ShutDownComplete, with which it
  fences the broker) to the end of the process. How long the broker asked for it before, the simulator plays itself.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer

from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.local_site import LocalSite
from kafkasim.cluster.site import Site
from kafkasim.protocol.controller_trace import BrokerFenced

_SAMPLES = 200
_WARM_UP_SAMPLES = 50
_PAUSE_S = 0.004  # between two records, so that none waits for another
_PATIENCE_S = 60.0
# The sum of two uniform ± j spreads over 2.21 j between its 10th and 90th percentile.
_SPREAD_OF_TWO = 2.21


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured, in ms: medians of round trips, and the spread (10th to 90th percentile) of the client's."""

    client_round_trip_ms: float
    client_spread_ms: float
    follower_round_trip_ms: float
    startup_ms: float | None  # None where the brokers are not ours to stop
    shutdown_ms: float | None
    brokers: int

    def changes(self) -> dict[str, float]:
        """The scenario's paths and their values: `scenario.with_(calibration.changes())`."""
        latency = round(self.client_round_trip_ms / 2, 3)
        jitter = round(min(latency, self.client_spread_ms / _SPREAD_OF_TWO), 3)
        between = round(self.follower_round_trip_ms / 2, 3)
        names = [f"broker-{number}" for number in range(1, self.brokers + 1)]
        changes: dict[str, float] = {"network.latency.ms": latency, "network.jitter.ms": jitter}
        changes |= {f"network.links.{a}>{b}.latency.ms": between for a in names for b in names if a != b}
        if self.startup_ms is not None and self.shutdown_ms is not None:
            changes |= {"cluster.startup.ms": round(self.startup_ms), "cluster.shutdown.ms": round(self.shutdown_ms)}
        return changes

    def summary(self) -> Mapping[str, float]:
        """The five numbers, for printing and for the record."""
        measured = {
            "client round trip": self.client_round_trip_ms,
            "client round trip, spread": self.client_spread_ms,
            "follower fetch round trip": self.follower_round_trip_ms,
            "broker start-up": self.startup_ms,
            "controlled shutdown": self.shutdown_ms,
        }
        return {name: round(value, 3) for name, value in measured.items() if value is not None}


class _Topic(NamedTuple):
    """What is made for a measurement, as site.py's Made."""

    topics: Mapping[str, str]
    groups: Mapping[str, str]


def calibrate(site: Site, brokers: int) -> Calibration:
    """Measure a calm cluster, for a scenario of so many brokers. One of our own brokers is shut down and started for it.

    Raises ClusterError where nobody answers. The site is healed afterwards.
    """
    replicas = min(brokers, len(site.admin.brokers()))
    alone = _round_trips(site, "alone", replicas=1, acks="1")
    together = _round_trips(site, "together", replicas=replicas, acks="all") if replicas > 1 else alone
    startup, shutdown = _bounce(site) if isinstance(site, LocalSite) else (None, None)
    ninth = statistics.quantiles(alone, n=10)
    return Calibration(
        client_round_trip_ms=statistics.median(alone),
        client_spread_ms=ninth[8] - ninth[0],
        follower_round_trip_ms=max(0.02, statistics.median(together) - statistics.median(alone)),
        startup_ms=startup,
        shutdown_ms=shutdown,
        brokers=brokers,
    )


def _round_trips(site: Site, what: str, replicas: int, acks: str) -> list[float]:
    """Latencies in ms of single records to a topic made for it, whose first broker leads. After a failure the site takes the topic away."""
    topic = f"kafkasim-calibration-{what}-{secrets.token_hex(3)}"
    made = _Topic({what: topic}, {})
    site.remember(made)
    if site.placed:
        site.admin.create_topic(topic, [list(range(1, replicas + 1))], {})
    else:
        site.admin.create_topic_anywhere(topic, 1, replicas, {})
    settings = {"bootstrap.servers": site.bootstrap("client-1"), "acks": acks, "linger.ms": 0, "socket.nagle.disable": True, "log_level": 0}
    took: list[float] = []
    try:
        producer = Producer(settings)
        for number in range(_WARM_UP_SAMPLES + _SAMPLES):
            latency_ms = _round_trip(producer, topic)
            if number >= _WARM_UP_SAMPLES:
                took.append(latency_ms)
            time.sleep(_PAUSE_S)
    except KafkaException as error:
        raise ClusterError(f"The calibration failed: {error}.") from None
    site.forget(made)
    return took


def _round_trip(producer: Producer, topic: str) -> float:
    """From handing a record over to its callback, in ms."""
    answered: list[tuple[float, KafkaError | None]] = []
    began = time.perf_counter()
    producer.produce(topic, bytes(100), on_delivery=lambda error, _: answered.append((time.perf_counter(), error)))
    while not answered and time.perf_counter() < began + _PATIENCE_S:
        producer.poll(0.5)
    if not answered:
        raise ClusterError("The calibration failed: the cluster did not acknowledge a record within a minute.")
    at, error = answered[0]
    if error is not None:
        raise ClusterError(f"The calibration failed: the cluster refused a record: {error.str()}.")
    return (at - began) * 1000.0


def _bounce(site: LocalSite) -> tuple[float, float]:
    """(start-up, shutdown) in ms, of the last broker. It is started once its session is over: until then it would not be registered."""
    number = site.plan.brokers
    name = f"broker-{number}"
    node = site.processes[name]
    before = len(site.view.changes)
    node.terminate()
    _until(lambda: not node.alive, f"{name} did not stop")
    ended = time.monotonic()
    _until(lambda: _leaves(site, number, before) != [], f"the controller's leave for {name} to stop was not seen")
    shutdown = ended - _leaves(site, number, before)[0]
    node.kill()
    time.sleep(_session_s(site))
    node.start()
    started = site.started_at[name]
    _until(lambda: site.in_sync(name), f"{name} did not come back")
    site.heal()  # others have led in its place
    return (site.view.registered_since[number] - started) * 1000.0, max(0.0, shutdown) * 1000.0


def _leaves(site: LocalSite, number: int, before: int) -> list[float]:
    """When the controller gave the broker leave to stop, after the first `before` changes."""
    events = [(change.at, change.event) for change in site.view.changes[before:] if isinstance(change.event, BrokerFenced)]
    return [at for at, event in events if event.broker_id == number and not event.stale]


def _session_s(site: LocalSite) -> float:
    return float(site.plan.config.get("broker.session.timeout.ms", 9000)) / 1000.0 + 0.5


def _until(over: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not over():
        if time.monotonic() > deadline:
            raise ClusterError(f"The calibration failed: {complaint} within a minute.")
        time.sleep(0.01)
