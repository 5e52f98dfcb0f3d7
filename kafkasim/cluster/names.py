"""The scenario's names and those on a real cluster: topics and groups of one run get names that nobody else has.

A group's name decides which partition of `__consumer_offsets` it lives in, and so who its coordinator is. The real name is chosen so
that the coordinator is the broker that the simulator gives to the group.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from itertools import count

from kafkasim.protocol.group_coordinator import offsets_partition_of
from kafkasim.protocol.records import TopicPartition
from kafkasim.scenario import Scenario

OFFSETS_TOPIC = "__consumer_offsets"


class Names:
    """One run's names. `placed`: the cluster is ours, so that replicas lie where the simulator puts them."""

    def __init__(self, scenario: Scenario, placed: bool) -> None:
        self.tag = secrets.token_hex(3)
        self._scenario = scenario
        self.topics = {name: f"kafkasim-{self.tag}-{name}" for name in scenario.topics}
        self.groups = {group.group: self._group(group.group, placed) for group in scenario.consumers}

    def assignment(self, topic: str) -> list[list[int]]:
        """The replicas of each partition, the leader first, as the simulator places them: each topic begins where the last one ended."""
        brokers, placed = self._scenario.cluster.brokers, 0
        for name, spec in self._scenario.topics.items():
            if name == topic:
                return [
                    [(placed + index + position) % brokers + 1 for position in range(spec.replication_factor)]
                    for index in range(spec.partitions)
                ]
            placed += spec.partitions
        raise AssertionError(f"there is no topic {topic}")

    def real(self, partition: TopicPartition) -> tuple[str, int]:
        """Where the scenario's partition really is."""
        return self.topics.get(partition.topic, partition.topic), partition.partition

    def coordinator_partition(self, group: str) -> tuple[str, int]:
        """The partition of `__consumer_offsets` that the group really lives in, on a cluster of ours."""
        return OFFSETS_TOPIC, offsets_partition_of(self.groups[group], self._scenario.cluster.brokers)

    def _group(self, group: str, placed: bool) -> str:
        wanted = self._simulated_coordinator(group)
        brokers = self._scenario.cluster.brokers
        for name in _candidates(f"kafkasim-{self.tag}-{group}"):
            if not placed or offsets_partition_of(name, brokers) == wanted:
                return name
        raise AssertionError("some suffix hashes to each partition")

    def _simulated_coordinator(self, group: str) -> int:
        """The place among the brokers, from 0, of the one that coordinates the group in the simulator."""
        scenario = self._scenario
        brokers, partitions = scenario.cluster.brokers, scenario.offsets_partitions
        placed = sum(topic.partitions for topic in scenario.topics.values())
        used = min(offsets_partition_of(each.group, partitions) for each in scenario.consumers)
        return (placed + (-used) % brokers + offsets_partition_of(group, partitions)) % brokers


def _candidates(name: str) -> Iterator[str]:
    yield name
    for number in count():
        yield f"{name}-{number}"
