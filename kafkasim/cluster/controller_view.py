"""What the controller holds to be true, as `drivers/MetadataLog.java` reads it from the controller's metadata log on disk.

No broker is asked for it: one that is cut off answers with what used to be true.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import IO, Any, NamedTuple

from kafkasim.protocol.controller_trace import BrokerFenced, BrokerUnfenced, trace_partition
from kafkasim.protocol.messages import PartitionRegistration
from kafkasim.protocol.records import TopicPartition

NO_LEADER = -1
_CLOCK_WAS_SET_S = 0.02


class PartitionState(NamedTuple):
    """One partition. `leader` is NO_LEADER (-1) where it has none; an epoch of -1 is not known.

    `adding` and `removing` stand among `replicas` while these are reassigned.
    """

    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int
    leader_epoch: int
    partition_epoch: int
    elr: tuple[int, ...]
    adding: tuple[int, ...] = ()
    removing: tuple[int, ...] = ()


class BrokerState(NamedTuple):
    """The registration of one broker."""

    epoch: int
    fenced: bool
    in_controlled_shutdown: bool


class BrokerAdmitted(NamedTuple):
    """A process of the broker was registered, fenced for now."""

    broker_id: int
    broker_epoch: int


class BrokerStopping(NamedTuple):
    """The broker asked for its controlled shutdown."""

    broker_id: int
    broker_epoch: int


class BrokerRemoved(NamedTuple):
    """The broker's registration was deleted."""

    broker_id: int


class TopicCreated(NamedTuple):
    """A topic exists from here on."""

    topic: str


class TopicRemoved(NamedTuple):
    """A topic, and all its partitions, exist no longer."""

    topic: str


class Change(NamedTuple):
    """One decision of the controller. `at`: seconds of `time.monotonic()`, to the ms, of when it decided.

    `event` is a NamedTuple of this module or, so that a trace of real brokers tells what the simulator's does, of
    `protocol.controller_trace` (LeaderElected, PartitionOffline, IsrChanged, AssignmentChanged, BrokerFenced, BrokerUnfenced); `kind` is
    its name.
    """

    at: float
    kind: str
    event: Any  # a NamedTuple


class ControllerView:
    """The image that the lines of `stream` (MetadataLog's standard output) build up, read by a thread of its own. Thread-safe.

    An observer that is started late tells the whole past first, so that for a moment the image is an old one.
    `monotonic` and `wall` are the two clocks, in seconds, between which the instants of changes are converted.
    """

    def __init__(self, stream: IO[bytes], monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._monotonic = monotonic
        self._wall = wall
        self._wall_to_monotonic = monotonic() - wall()
        self._lock = threading.RLock()  # in_sync asks held_by
        self._partitions: dict[str, dict[int, PartitionState]] = {}
        self._brokers: dict[int, BrokerState] = {}
        self._registered_since: dict[int, float] = {}
        self._changes: list[Change] = []
        self._ended = ""
        self._thread = threading.Thread(target=self._read, name="controller-view", daemon=True)
        self._thread.start()

    @property
    def brokers(self) -> Mapping[int, BrokerState]:
        """All registered brokers by id, as of now: a copy."""
        with self._lock:
            return MappingProxyType(dict(sorted(self._brokers.items())))

    @property
    def registered_since(self) -> Mapping[int, float]:
        """When each broker's present process was registered: `time.monotonic()`, seconds. A copy."""
        with self._lock:
            return MappingProxyType(dict(self._registered_since))

    @property
    def changes(self) -> list[Change]:
        """Everything the controller decided so far, in order: a copy."""
        with self._lock:
            return list(self._changes)

    @property
    def ended(self) -> str:
        """Why nothing will follow (the observer ended, or wrote nonsense), as a sentence; "" while it lives."""
        with self._lock:
            return self._ended

    def partition(self, topic: str, index: int) -> PartitionState | None:
        """The partition, or None where it does not exist."""
        with self._lock:
            return self._partitions.get(topic, {}).get(index)

    def held_by(self, broker_id: int) -> Mapping[TopicPartition, PartitionState]:
        """All partitions that the broker has a replica of, those of internal topics too. A copy, ascending."""
        with self._lock:
            held = {
                TopicPartition(topic, index): state
                for topic, partitions in self._partitions.items()
                for index, state in partitions.items()
                if broker_id in state.replicas
            }
        return MappingProxyType(dict(sorted(held.items())))

    def in_sync(self, broker_id: int) -> bool:
        """Whether the broker may lead, and is in the ISR of every partition it has a replica of, each of which has a leader."""
        with self._lock:
            broker = self._brokers.get(broker_id)
            if broker is None or broker.fenced or broker.in_controlled_shutdown:
                return False
            return all(broker_id in state.isr and state.leader != NO_LEADER for state in self.held_by(broker_id).values())

    def join(self, timeout_s: float) -> None:
        """Wait for the reading thread, which ends with the stream."""
        self._thread.join(timeout_s)

    # ------------------------------------------------------------------------------------------------ helpers

    def _read(self) -> None:
        reason = "the observer of the controller's metadata log has ended"
        try:
            for line in self._stream:
                self._apply(json.loads(line))
        except (ValueError, KeyError, TypeError, OSError) as problem:
            reason = f"the observer of the controller's metadata log cannot be read: {type(problem).__name__}: {problem}"
        with self._lock:
            self._ended = reason

    def _apply(self, line: Mapping[str, Any]) -> None:
        apply = {
            "broker": self._broker,
            "broker-removed": self._broker_removed,
            "topic": self._topic,
            "topic-removed": self._topic_removed,
            "partition": self._partition,
            "restart": self._restart,
        }[line["kind"]]
        at = line.get("at", 0) / 1000 + self._difference()
        with self._lock:
            apply(line, at)

    def _difference(self) -> float:
        """The monotonic clock minus the wall clock. The same each time, so that order is kept, unless somebody has set the wall clock."""
        now = self._monotonic() - self._wall()
        if abs(now - self._wall_to_monotonic) > _CLOCK_WAS_SET_S:
            self._wall_to_monotonic = now
        return self._wall_to_monotonic

    def _note(self, at: float, event: Any) -> None:
        self._changes.append(Change(at, type(event).__name__, event))

    def _broker(self, line: Mapping[str, Any], at: float) -> None:
        broker_id = line["broker"]
        before, after = self._brokers.get(broker_id), BrokerState(line["epoch"], line["fenced"], line["in_controlled_shutdown"])
        self._brokers[broker_id] = after
        admitted = before is None or before.epoch != after.epoch
        if admitted:
            self._registered_since[broker_id] = at
            self._note(at, BrokerAdmitted(broker_id, after.epoch))
        if after.in_controlled_shutdown and not (before is not None and before.in_controlled_shutdown):
            self._note(at, BrokerStopping(broker_id, after.epoch))
        was_fenced = before is None or admitted or before.fenced
        if was_fenced and not after.fenced:
            self._note(at, BrokerUnfenced(broker_id, after.epoch))
        elif after.fenced and not was_fenced:
            # A broker is fenced at its own wish at the end of a controlled shutdown alone.
            self._note(at, BrokerFenced(broker_id, after.epoch, stale=not after.in_controlled_shutdown))

    def _broker_removed(self, line: Mapping[str, Any], at: float) -> None:
        self._brokers.pop(line["broker"], None)
        self._registered_since.pop(line["broker"], None)
        self._note(at, BrokerRemoved(line["broker"]))

    def _topic(self, line: Mapping[str, Any], at: float) -> None:
        self._partitions[line["topic"]] = {}
        self._note(at, TopicCreated(line["topic"]))

    def _topic_removed(self, line: Mapping[str, Any], at: float) -> None:
        self._partitions.pop(line["topic"], None)
        self._note(at, TopicRemoved(line["topic"]))

    def _partition(self, line: Mapping[str, Any], at: float) -> None:
        replicas, isr, elr = tuple(line["replicas"]), tuple(line["isr"]), tuple(line["elr"])
        moving = tuple(line.get("adding", ())), tuple(line.get("removing", ()))
        after = PartitionState(replicas, isr, line["leader"], line["leader_epoch"], line["partition_epoch"], elr, *moving)
        partitions = self._partitions.setdefault(line["topic"], {})
        before = partitions.get(line["partition"])
        partitions[line["partition"]] = after
        name = TopicPartition(line["topic"], line["partition"])
        trace_partition(
            lambda event: self._note(at, event), None if before is None else _registration(name, before), _registration(name, after)
        )

    def _restart(self, _line: Mapping[str, Any], _at: float) -> None:
        for known in (self._partitions, self._brokers, self._registered_since):
            known.clear()
        self._changes.clear()


def _registration(name: TopicPartition, state: PartitionState) -> PartitionRegistration:
    return PartitionRegistration(
        name,
        state.replicas,
        state.isr,
        state.leader,
        state.leader_epoch,
        state.partition_epoch,
        state.elr,
        adding_replicas=state.adding,
        removing_replicas=state.removing,
    )
