"""Random scenarios, small enough to run in some ten ms and to shrink well: the fewer faults, records and settings, the simpler.

`scenarios()` draws everything, or what `base` leaves open. What may be drawn stands in tables: options.py, fault_kinds.py, schedules.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from kafkasim.scenario import Scenario
from kafkasim.testing import options
from kafkasim.testing.fault_kinds import FAULT_KINDS, FaultData, Nodes, draw_swarm
from kafkasim.testing.schedules import draw_targeted

Data = dict[str, Any]
Part = Any  # plain data as in a scenario's file, or a Hypothesis strategy of it

_DRAWN = Nodes(
    ("leader(orders-0)", "follower(orders-0)", "followers(orders-0)", "broker(1)"),
    ("producer(shop)", "consumer(billing-0)"),
    ("orders-0",),
    (1, 2, 3),
)


@st.composite
def faults(draw: st.DrawFn, kinds: Sequence[str] | None = None, nodes: Sequence[str] | None = None, at_most: int = 4) -> list[FaultData]:
    """Up to `at_most` faults, swarm style: of a random few of `kinds` (FAULT_KINDS), each at one of `nodes` (selectors).

    Give it to `scenarios(faults=...)`. Without `nodes`: those of the names that `scenarios()` draws, topic orders, producer shop, group
    billing. Where a kind wants a broker, it takes the first nodes that are no clients.
    """
    if nodes is None:
        where = _DRAWN
    else:
        others = [node for node in nodes if node.startswith(("producer", "consumer", "clients", "controller"))]
        where = Nodes([node for node in nodes if node not in others] or ["brokers"], others)
    return draw_swarm(draw, where, list(kinds or FAULT_KINDS), at_most)


@st.composite
def scenarios(
    draw: st.DrawFn,
    /,
    base: Scenario | Mapping[str, Any] | None = None,
    *,
    kinds: Sequence[str] | None = None,
    most_faults: int = 4,
    targeted: bool | Sequence[str] = True,
    **parts: Part,
) -> Scenario:
    """Scenarios. What `base` or a keyword (`cluster=`, `topics=`, `producers=`, `consumers=`, `faults=`) says stays; the rest is drawn.

    A `base` that is a Scenario is complete: only faults are drawn for it, if it has none, and the seed. `kinds` restricts the faults to
    some of FAULT_KINDS, and then nothing is drawn of TARGETED. `targeted`: in every second run one of TARGETED, never (False), or always
    one of those that it names.
    """
    given: Data = dict(base.data() if isinstance(base, Scenario) else base or {})
    given |= {name: draw(part) if isinstance(part, st.SearchStrategy) else part for name, part in parts.items()}
    data: Data = {"name": "drawn", "seed": 1}
    if not isinstance(base, Scenario):
        data |= {"cluster": given["cluster"]} if "cluster" in given else draw(_cluster("kafka" in given, _most_replicas(given)))
        brokers = data["cluster"].get("brokers", 3)
        data["topics"] = given["topics"] if "topics" in given else draw(_topics(brokers))
        topic = next(iter(data["topics"]))
        if "cluster" not in given and "segment.ms" in dict(data["topics"][topic] or {}).get("config", {}):
            data["cluster"]["config"] |= options.RETENTION_CHECKS
        data["producers"] = given["producers"] if "producers" in given else draw(_producers(topic))
        data["consumers"] = given["consumers"] if "consumers" in given else draw(_groups(topic))
    data |= given
    if not data.get("faults"):
        data["faults"] = _draw_faults(draw, _nodes_of(data), kinds, most_faults, targeted)
    data["seed"] = draw(st.integers(1, 1000))
    return Scenario.of(data)


def _draw_faults(
    draw: st.DrawFn, nodes: Nodes, kinds: Sequence[str] | None, at_most: int, targeted: bool | Sequence[str]
) -> list[FaultData]:
    """A swarm; or in every second run a targeted schedule, with little or nothing beside it."""
    named = () if isinstance(targeted, bool) else targeted
    if named or (kinds is None and targeted and draw(st.booleans())):
        hurt = draw_targeted(draw, nodes, named)
        return hurt + draw_swarm(draw, nodes, list(FAULT_KINDS), 1)
    return draw_swarm(draw, nodes, list(kinds or FAULT_KINDS), at_most)


def _nodes_of(data: Mapping[str, Any]) -> Nodes:
    """Every node of a scenario by a selector, and for its first topic's partitions the roles in them."""
    partitions = [f"{name}-{index}" for name, topic in data["topics"].items() for index in range(dict(topic or {}).get("partitions", 1))]
    roles = [f"{role}({partition})" for partition in partitions for role in ("leader", "follower", "followers")]
    cluster = data.get("cluster", {})
    count = cluster.get("brokers", 3)
    brokers = [f"broker({number})" for number in range(1, count + 1)]
    controllers = ["controller"] if cluster.get("controllers", 1) == 1 else ["controller", "controller(101)", "controllers"]
    groups = data.get("consumers", [])
    coordinators = [f"coordinator({group['group']})" for group in groups]
    members = [f"consumer({group['group']}-{member})" for group in groups for member in range(group.get("members", 1))]
    producers = [f"producer({producer['name']})" for producer in data["producers"]]
    return Nodes([*roles, *brokers, *coordinators], [*members, *producers, *controllers], partitions, range(1, count + 1))


# ---------------------------------------------------------------------------------------------------- parts


@st.composite
def _cluster(draw: st.DrawFn, version_is_given: bool, least_brokers: int) -> Data:
    """The cluster, and which Kafka it runs."""
    cluster: Data = {"startup.ms": draw(st.sampled_from([300, 50, 1500])), "shutdown.ms": 100}
    brokers = draw(st.sampled_from([count for count in (3, 3, 3, 2, 4, 5, 1) if count >= least_brokers] or [least_brokers]))
    if brokers != 3:
        cluster["brokers"] = brokers
    cluster["config"] = {**options.CLUSTER_BASE, **options.draw_config(draw, options.CLUSTER)}
    version = {} if version_is_given else dict(draw(st.sampled_from(list(options.VERSIONS))))
    if "features" in version:
        cluster["features"] = version.pop("features")
    for key, values in (("truncation", options.TRUNCATION), ("controllers", options.CONTROLLERS)):
        value = draw(st.sampled_from(list(values)))
        if value is not options.UNSET:
            cluster[key] = value
    return {"cluster": cluster, **version}


def _most_replicas(given: Data) -> int:
    """How many brokers the topics need that are given."""
    return max((dict(topic or {}).get("replication.factor", 3) for topic in given.get("topics", {}).values()), default=1)


@st.composite
def _topics(draw: st.DrawFn, brokers: int) -> Data:
    topic: Data = {}
    factor = draw(st.sampled_from([count for count in (3, 3, 3, 2, 1) if count <= brokers]))
    if factor != 3:
        topic["replication.factor"] = factor
    partitions = draw(st.sampled_from([1, 1, 2, 3]))
    if partitions > 1:
        topic["partitions"] = partitions
    config = options.draw_config(draw, options.TOPIC) | dict(draw(st.sampled_from(list(options.RETENTION))))
    if config.get("min.insync.replicas", 1) > factor:
        del config["min.insync.replicas"]
    return {"orders": {**topic, **({"config": config} if config else {})}}


@st.composite
def _producers(draw: st.DrawFn, topic: str) -> list[Data]:
    names = draw(st.sampled_from([["shop"], ["shop"], ["shop", "web"]]))
    return [draw(_producer(name, topic)) for name in names]


@st.composite
def _producer(draw: st.DrawFn, name: str, topic: str) -> Data:
    producer: Data = {"name": name, "topic": topic, "records": draw(st.integers(40, 400)), "rate": draw(st.sampled_from([200, 50, 500]))}
    client = draw(st.sampled_from(["java", "librdkafka"]))
    if client != "java":
        producer["client"] = client
    _maybe(draw, producer, "keys", ["uniform(10)"])
    _maybe(draw, producer, "on.failure", ["resend", "resend"])
    _maybe(draw, producer, "on.restart", ["resend"])
    config: Data = {}
    for keys, values in options.PRODUCER.items():
        value = draw(st.sampled_from(list(values)))
        if value is not options.UNSET:
            config[keys[client != "java"]] = value
    delivery = dict(draw(st.sampled_from(list(options.DELIVERY))))
    if config.get("acks", "all") != "all" and delivery.get("enable.idempotence"):
        delivery = {}  # Kafka would refuse it
    producer["config"] = {**config, **delivery}
    return producer


@st.composite
def _groups(draw: st.DrawFn, topic: str) -> list[Data]:
    names = draw(st.sampled_from([[], ["billing"], ["billing"], ["billing", "audit"]]))
    return [draw(_group(name, topic)) for name in names]


@st.composite
def _group(draw: st.DrawFn, name: str, topic: str) -> Data:
    group: Data = {"group": name, "topics": [topic]}
    client = draw(st.sampled_from(["java", "librdkafka"]))
    if client != "java":
        group["client"] = client
    _maybe(draw, group, "members", [2, 3])
    _maybe(draw, group, "start", ["700ms"])
    _maybe(draw, group, "processing.ms", [10, 5, 1, 20])
    commit = draw(st.sampled_from(["after-processing", "after-processing", "auto", "before-processing", "worker-threads"]))
    if commit != "after-processing":
        group["commit"] = commit
    if commit == "worker-threads":
        _maybe(draw, group, "worker.commit", ["lowest-contiguous", "highest-finished"])
    if draw(st.integers(0, 5)) == 5:
        group |= {"dedup": "sqlite", "dedup.order": draw(st.sampled_from(["transaction", "mark-first", "mark-last"]))}
    config: Data = {"auto.offset.reset": draw(st.sampled_from(["earliest", "earliest", "latest"])), "session.timeout.ms": 2000}
    config["heartbeat.interval.ms"] = 400
    drawn = options.draw_config(draw, options.GROUP)
    group["config"] = config | {key: value for key, value in drawn.items() if client == "java" or key not in options.GROUP_JAVA_ONLY}
    return group


def _maybe(draw: st.DrawFn, part: Data, key: str, values: Sequence[Any]) -> None:
    """The key's default, which is not written, or one of `values`."""
    value = draw(st.sampled_from([options.UNSET, options.UNSET, *values]))
    if value is not options.UNSET:
        part[key] = value
