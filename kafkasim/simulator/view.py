"""What can be seen of a simulated cluster from outside: the controller's truth, the brokers' state, the leaders' logs.

Implements selectors.py's ClusterView, and answers what the phases of a run ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from kafkasim.ledger import Diverged
from kafkasim.protocol.broker import Broker, BrokerDisk
from kafkasim.protocol.broker_lifecycle import BrokerState
from kafkasim.protocol.group_coordinator import offsets_partition_of
from kafkasim.protocol.node import broker_name
from kafkasim.protocol.quorum_controller import QuorumController
from kafkasim.protocol.records import LogBatch, TopicPartition
from kafkasim.protocol.replication_control import ControllerState
from kafkasim.scenario import Scenario
from kafkasim.simulator.driver import Driver, Status

OFFSETS_TOPIC = "__consumer_offsets"


class View:
    """Looks, and changes nothing but `fault_nodes`, which the injector fills: what each named fault hit."""

    def __init__(self, scenario: Scenario, driver: Driver, controller_state: ControllerState, disks: Mapping[int, BrokerDisk]) -> None:
        self.scenario = scenario
        self.driver = driver
        self.controller_state = controller_state
        self.disks = disks
        self.fault_nodes: dict[str, tuple[str, ...]] = {}

    @property
    def brokers(self) -> Sequence[str]:
        """Node names of all brokers."""
        return [broker_name(broker_id) for broker_id in self.disks]

    @property
    def controllers(self) -> Sequence[str]:
        """Node names of all controllers."""
        return self.scenario.controller_nodes

    @property
    def active_controller(self) -> str | None:
        """The one there is; of a quorum the one that is active, in the highest epoch where a deposed one does not know it yet."""
        if len(self.controllers) == 1:
            return self.controllers[0]
        active = {}
        for name in self.controllers:
            node = self.driver.hosts[name].node
            if isinstance(node, QuorumController) and node.is_active:
                active[node.raft.quorum.epoch] = name
        return active[max(active)] if active else None

    @property
    def producers(self) -> Sequence[str]:
        """Node names of all producers."""
        return [producer.name for producer in self.scenario.producers]

    @property
    def consumers(self) -> Sequence[str]:
        """Node names of all members of all groups."""
        return [f"{group.group}-{member}" for group in self.scenario.consumers for member in range(group.members)]

    def leader(self, partition: TopicPartition) -> int | None:
        """The leader by the controller's truth."""
        registration = self.controller_state.image.partitions.get(partition)
        return None if registration is None or registration.leader < 0 else registration.leader

    def replicas(self, partition: TopicPartition) -> Sequence[int]:
        """The assigned replicas."""
        registration = self.controller_state.image.partitions.get(partition)
        return () if registration is None else registration.replicas

    def isr(self, partition: TopicPartition) -> Sequence[int]:
        """The in-sync replicas by the controller's truth."""
        registration = self.controller_state.image.partitions.get(partition)
        return () if registration is None else registration.isr

    def coordinator(self, group: str) -> int | None:
        """The leader of the group's partition of __consumer_offsets."""
        return self.leader(TopicPartition(OFFSETS_TOPIC, offsets_partition_of(group, self.scenario.offsets_partitions)))

    def named(self, name: str) -> Sequence[str]:
        """What an earlier fault of that name hit."""
        return self.fault_nodes.get(name, ())

    def in_sync(self, node: str) -> bool:
        """Whether a broker is up, unfenced, and in the ISR of every partition that it has a replica of."""
        host = self.driver.hosts[node]
        broker = host.node
        if not isinstance(broker, Broker) or host.status is not Status.RUNNING:
            return False
        if broker.state is not BrokerState.RUNNING:  # this process, not the one before it, is registered, unfenced, and not about to stop
            return False
        image, broker_id = self.controller_state.image, broker.broker_id
        if image.brokers[broker_id].fenced:
            return False
        held = (partition for partition in image.partitions.values() if broker_id in partition.replicas)
        return all(broker_id in partition.isr and partition.leader >= 0 for partition in held)

    @property
    def partitions(self) -> list[TopicPartition]:
        """Every partition of the scenario's topics."""
        topics = self.scenario.topics.items()
        return [TopicPartition(name, index) for name, topic in topics for index in range(topic.partitions)]

    def log_end_offset(self, partition: TopicPartition) -> int:
        """Where the leader's log ends; 0 without a leader, or while it has not heard that it holds a replica."""
        leader = self.leader(partition)
        log = None if leader is None else self.disks[leader].logs.get(partition)
        return 0 if log is None else log.log_end_offset

    def high_watermark(self, partition: TopicPartition) -> int:
        """What the partition's leader lets consumers read up to; 0 without a leader."""
        leader = self.leader(partition)
        node = None if leader is None else self.driver.hosts[broker_name(leader)].node
        return node.high_watermark(partition) if isinstance(node, Broker) else 0

    def diverged(self, partition: TopicPartition, end: int) -> Iterator[Diverged]:
        """Below `end`: what followers have, and the leader not, or not there. Batches were copied as they are, so most are one object."""
        leader = self.leader(partition)
        if leader is None:
            return
        batches = self.disks[leader].logs[partition].batches
        at = {log_batch.base_offset: log_batch for log_batch in batches}
        records: dict[int, tuple[str, int]] | None = None
        for broker_id in self.replicas(partition):
            log = self.disks[broker_id].logs.get(partition)
            for log_batch in () if log is None else log.batches:
                if at.get(log_batch.base_offset) is log_batch:
                    continue
                if records is None:
                    records = dict(_records(batches))
                for offset, record in _records((log_batch,)):
                    if offset < end and records.get(offset, record) != record:
                        yield Diverged(str(partition), broker_id, offset, record[0], (record[1],))

    def leader_epoch(self, partition: TopicPartition) -> int:
        """The controller's word; it grows with every election."""
        return self.controller_state.image.partitions[partition].leader_epoch


def _records(batches: Iterable[LogBatch]) -> Iterator[tuple[int, tuple[str, int]]]:
    """Offset, and whose record with which number."""
    for base_offset, _, _, batch, _ in batches:
        for place, number in enumerate(batch.numbers):
            yield base_offset + place, (batch.producer, number)
