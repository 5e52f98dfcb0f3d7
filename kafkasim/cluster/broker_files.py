"""The files that a Kafka node is started with: its properties, its hosts file, and the meta.properties of a formatted log directory.

Models nothing: it is Kafka's own configuration (KafkaConfig), Java's `jdk.net.hosts.file`, and what kafka.tools.StorageTool writes.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CONTROLLER = 100
_PLUMBING = (  # where a node is, and not how it behaves: these keys of a scenario have no meaning on brokers of ours
    "advertised.listeners",
    "broker.id",
    "control.plane.listener.name",
    "controller.listener.names",
    "controller.quorum.bootstrap.servers",
    "controller.quorum.voters",
    "early.start.listeners",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "listeners",
    "log.dir",
    "log.dirs",
    "metadata.log.dir",
    "node.id",
    "process.roles",
    "security.inter.broker.protocol",
)


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener: where it is bound, and what the node tells others about it (None: nothing)."""

    name: str
    bound: tuple[str, int]
    advertised: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where one node is: its number, its listeners, the controller as it is to find it, its log directory, and who is who for it."""

    number: int
    listeners: tuple[Listener, ...]
    controller: tuple[str, int]
    logs: Path
    hosts: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_controller(self) -> bool:
        """Whether it is the controller; else it is a broker."""
        return self.number == CONTROLLER


def node_config(place: Place, config: Mapping[str, object], brokers: int, client_listeners: int) -> dict[str, object]:
    """The whole configuration of a node: small defaults, over them the scenario's `config`, over that where everything is."""
    return {
        **_small(brokers, client_listeners),
        **{key: value for key, value in config.items() if key not in _PLUMBING},
        **_replication_factors(config, brokers),
        **_plumbing(place),
    }


def to_properties(config: Mapping[str, object]) -> str:
    """As java.util.Properties reads it: one line a key, backslashes doubled, what is not ASCII as \\uXXXX."""
    return "".join(f"{_escaped(key)}={_escaped(_spelled(value))}\n" for key, value in config.items())


def hosts_file(hosts: Mapping[str, str]) -> str:
    """As /etc/hosts is written. Java knows no other names then."""
    return "".join(f"{address} {name}\n" for name, address in hosts.items())


def format_arguments(properties: Path, features: Mapping[str, int]) -> list[str]:
    """StorageTool's: a new cluster id, the node's file, and the levels of features that are not to be a new cluster's own."""
    chosen = [word for feature, level in sorted(features.items()) for word in ("--feature", f"{feature}={level}")]
    return ["format", "-t", new_id(), "-c", str(properties), *chosen]


def formatted_like(meta_properties: str, number: int) -> str:
    """The meta.properties of another node of the same cluster: its own number and a directory id of its own."""
    own = {"node.id": str(number), "directory.id": new_id()}
    pairs = [line.split("=", 1) for line in meta_properties.splitlines() if "=" in line]
    return "".join(f"{key}={own.get(key, value)}\n" for key, value in pairs)


def new_id() -> str:
    """A new id as Kafka's Uuid makes it: 16 random bytes in base64, not beginning with a dash, which command lines would misread."""
    while True:
        made = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
        if not made.startswith("-"):
            return made


# ---------------------------------------------------------------------------------------------------- the three layers


def _small(brokers: int, client_listeners: int) -> dict[str, object]:
    """Few threads and few internal partitions, for many JVMs share a small machine; automatisms off. A scenario may say otherwise."""
    return {
        "num.network.threads": 2,
        **{f"listener.name.client{slot}.num.network.threads": 1 for slot in range(1, client_listeners + 1)},
        "listener.name.admin.num.network.threads": 1,
        "num.io.threads": 4,
        "background.threads": 2,
        "num.recovery.threads.per.data.dir": 1,
        "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
        "auto.create.topics.enable": False,
        "auto.leader.rebalance.enable": False,
        "offsets.topic.num.partitions": brokers,
        "transaction.state.log.num.partitions": brokers,
    }


def _replication_factors(config: Mapping[str, object], brokers: int) -> dict[str, object]:
    """Of the internal topics: Kafka's defaults, or the scenario's values, but never more than there are brokers."""

    def at_most(most: int, key: str, default: int) -> int:
        value = str(config.get(key, default))
        return min(int(value), most) if value.isdecimal() else most

    offsets = at_most(brokers, "offsets.topic.replication.factor", 3)
    transactions = at_most(brokers, "transaction.state.log.replication.factor", 3)
    return {
        "offsets.topic.replication.factor": offsets,
        "transaction.state.log.replication.factor": transactions,
        "transaction.state.log.min.isr": at_most(transactions, "transaction.state.log.min.isr", 2),
    }


def _plumbing(place: Place) -> dict[str, object]:
    names = [listener.name for listener in place.listeners]
    told = [(listener.name, listener.advertised) for listener in place.listeners if listener.advertised is not None]
    host, port = place.controller
    return {
        "process.roles": "controller" if place.is_controller else "broker",
        "node.id": place.number,
        "controller.quorum.voters": f"{CONTROLLER}@{host}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": [_url(listener.name, listener.bound) for listener in place.listeners],
        "advertised.listeners": [_url(name, advertised) for name, advertised in told],
        "listener.security.protocol.map": [f"{name}:PLAINTEXT" for name in dict.fromkeys([*names, "CONTROLLER"])],
        "log.dirs": place.logs,
        **({} if place.is_controller else {"inter.broker.listener.name": "REPLICATION"}),
    }


def _url(name: str, where: tuple[str, int]) -> str:
    return f"{name}://{where[0]}:{where[1]}"


def _spelled(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(_spelled(item) for item in value)
    return str(value)


def _escaped(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    units = escaped.encode("utf-16-be")
    codes = [int.from_bytes(units[place : place + 2], "big") for place in range(0, len(units), 2)]
    return "".join(chr(code) if code < 0x80 else f"\\u{code:04x}" for code in codes)
