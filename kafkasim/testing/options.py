"""The settings that are drawn: of each key the values that a scenario may have, the plainest first. `UNSET` leaves the key out.

A new setting is a line in one of the tables. Timeouts are short, so that a run is over in some ten ms. They are part of each
scenario, and a failure that needs a long one is not found here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

UNSET = None
Options = Mapping[str, Sequence[Any]]

# Short enough for a test, and long enough for a network of 0.3 ms.
CLUSTER_BASE: Mapping[str, Any] = {
    "broker.session.timeout.ms": 1500,
    "broker.heartbeat.interval.ms": 300,
    "replica.lag.time.max.ms": 1000,
    "replica.fetch.backoff.ms": 100,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
}
CLUSTER: Options = {
    "replica.lag.time.max.ms": [UNSET, 2000, 4000],
    "broker.session.timeout.ms": [UNSET, 3000],
    "replica.socket.timeout.ms": [UNSET, 1000],
    "replica.high.watermark.checkpoint.interval.ms": [UNSET, 200],
    "leader.imbalance.check.interval.seconds": [UNSET, 1, 3],
    "offsets.topic.replication.factor": [UNSET, 1],
}
TOPIC: Options = {
    "min.insync.replicas": [UNSET, 2, 2, 3],
    "unclean.leader.election.enable": [UNSET, UNSET, True],
    "flush.messages": [UNSET, UNSET, UNSET, 1, 50],
}
# Together, because one without the other does nothing. Segments must roll within a run, before anything can be deleted.
RETENTION: Sequence[Mapping[str, Any]] = (
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {"segment.ms": 200, "retention.ms": 400},
    {"segment.ms": 200, "retention.ms": 2000},
    {"segment.ms": 100, "retention.bytes": 4000},
)
RETENTION_CHECKS: Mapping[str, Any] = {"log.retention.check.interval.ms": 300, "log.initial.task.delay.ms": 100}
# What an administrator changes in a run.
ALTERED: Sequence[Mapping[str, Any]] = (
    {"min.insync.replicas": 1},
    {"min.insync.replicas": 2},
    {"unclean.leader.election.enable": True},
    {"unclean.leader.election.enable": False},
)
# The version, and what a cluster of it may be formatted with: eligible leader replicas came with 4.1, where they can be switched off.
VERSIONS: Sequence[Mapping[str, Any]] = (
    {},
    {},
    {},
    {"features": {"eligible.leader.replicas.version": 0}},
    {"kafka": "3.6"},
)
# Both generations are safe. The older ones break invariants by design, and are for `base`.
TRUNCATION: Sequence[Any] = (UNSET, UNSET, UNSET, "kip320")
CONTROLLERS: Sequence[Any] = (UNSET, UNSET, UNSET, 3)
# Both libraries: (Java's key, librdkafka's key) -> values.
PRODUCER: Mapping[tuple[str, str], Sequence[Any]] = {
    ("acks", "acks"): [UNSET, UNSET, UNSET, 1, 0],
    ("request.timeout.ms", "socket.timeout.ms"): [1000, 500, 3000],
    ("delivery.timeout.ms", "message.timeout.ms"): [10000, 4000, 30000],
    ("linger.ms", "linger.ms"): [UNSET, 0, 50],
    ("batch.size", "batch.size"): [UNSET, 400, 1500],
    ("metadata.max.age.ms", "topic.metadata.refresh.interval.ms"): [UNSET, 1000],
}
# Together, because they depend on each other: what Kafka would refuse is not drawn. Each is a configuration of a producer.
DELIVERY: Sequence[Mapping[str, Any]] = (
    {},
    {},
    {"enable.idempotence": False},
    {"enable.idempotence": True},
    {"enable.idempotence": True},
    {"enable.idempotence": False, "max.in.flight.requests.per.connection": 1},
    {"enable.idempotence": False, "retries": 0},
    {"enable.idempotence": False, "retries": 2},
)
GROUP: Options = {
    "max.poll.records": [UNSET, 20],
    "auto.commit.interval.ms": [UNSET, 300],
}
GROUP_JAVA_ONLY = ("max.poll.records",)


def draw_config(draw: st.DrawFn, options: Options) -> dict[str, Any]:
    """One value of each key; those left out are not there."""
    drawn = {key: draw(st.sampled_from(list(values))) for key, values in options.items()}
    return {key: value for key, value in drawn.items() if value is not UNSET}
