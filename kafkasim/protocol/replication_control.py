"""The controller's rules for partitions: where replicas lie, who leads after a broker comes or goes, which ISRs are granted.

In Kafka: org.apache.kafka.controller.ReplicationControlManager (KIP-497, KIP-841, KIP-903, KIP-966). Every rule reads the state as it is
and returns the records that would change it; the controller writes them.
"""

from __future__ import annotations

from collections.abc import Iterable

from kafkasim.protocol.config import TopicConfig
from kafkasim.protocol.election import AcceptableLeader, Election, change_partition
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import BrokerRegistration, ConfigRecord, MetadataRecord, PartitionRegistration
from kafkasim.protocol.metadata import NO_LEADER, MetadataImage
from kafkasim.protocol.records import TopicPartition

NO_BROKER = -1  # instead of a broker's id: no broker
NO_BROKER_EPOCH = -1  # instead of a broker epoch in an ISR: do not check it


class ControllerState:
    """What survives a crash of the controller: the metadata log, and what can be read from it.

    `eligible_leader_replicas` is the cluster's finalized feature eligible.leader.replicas.version, on in clusters new since 4.1.
    Simplified: the log is never compacted into snapshots.
    """

    def __init__(self, eligible_leader_replicas: bool = True) -> None:
        self.eligible_leader_replicas = eligible_leader_replicas
        self.records: list[MetadataRecord] = []
        self.image = MetadataImage()
        self.topic_configs: dict[str, TopicConfig] = {}
        self.register_offsets: dict[int, int] = {}  # where each broker's latest registration lies in the log
        self.leaderless: dict[TopicPartition, None] = {}  # BrokersToIsrs.partitionsWithNoLeader, the oldest first
        self.imbalanced: dict[TopicPartition, None] = {}  # imbalancedPartitions: led by another than the preferred replica

    @property
    def log_end_offset(self) -> int:
        """The offset that the next record will have."""
        return len(self.records)

    def append(self, record: MetadataRecord) -> None:
        """Write one record, and apply it."""
        if isinstance(record, BrokerRegistration) and self._is_registered_anew(record):
            self.register_offsets[record.broker_id] = self.log_end_offset
        self.records.append(record)
        self.image.apply(record)
        if isinstance(record, ConfigRecord):
            self.topic_configs[record.topic] = self.topic_configs[record.topic].altered(record.name, record.value)
        if isinstance(record, PartitionRegistration):
            _keep(self.leaderless, record.partition, record.leader == NO_LEADER)
            _keep(self.imbalanced, record.partition, record.leader != record.replicas[0])

    def _is_registered_anew(self, record: BrokerRegistration) -> bool:
        known = self.image.brokers.get(record.broker_id)
        return known is None or known.broker_epoch != record.broker_epoch


class ReplicationControl:
    """The rules, over one ControllerState."""

    __slots__ = ("_image", "_state", "_unclean_election_configurable")

    def __init__(self, state: ControllerState, unclean_election_configurable: bool = True) -> None:
        self._state = state
        self._unclean_election_configurable = unclean_election_configurable
        self._image = state.image

    # ------------------------------------------------------------------------------------------------ brokers come and go

    def has_leaderships(self, broker_id: int) -> bool:
        """Whether the broker leads any partition."""
        return any(partition.leader == broker_id for partition in self._image.partitions.values())

    def broker_leaves(self, broker_id: int) -> list[PartitionRegistration]:
        """WHO: a broker that is fenced or in controlled shutdown. THEN it leaves every ISR, and another leads what it led."""
        return self._leader_and_isr_updates(self._with_broker_in_isr(broker_id), to_remove=broker_id)

    def broker_unfenced(self, broker_id: int) -> list[PartitionRegistration]:
        """WHO: a broker that is no longer fenced. THEN it leads what has no leader, if it may (handleBrokerUnfenced)."""
        leaderless = [self._image.partitions[partition] for partition in self._state.leaderless]
        return self._leader_and_isr_updates(leaderless, to_add=broker_id)

    def broker_shut_down(self, broker_id: int, clean: bool) -> list[PartitionRegistration]:
        """WHO: a broker. WHEN a new process of it registers. THEN what the old process was trusted with is taken back.

        After an unclean shutdown it leaves ISR *and* ELR, as its log may lack what was not flushed; else, and always without ELR, it is
        treated as one that was fenced (handleBrokerShutdown, KIP-966).
        """
        if clean or not self._state.eligible_leader_replicas:
            return self.broker_leaves(broker_id)
        eligible = [partition for partition in self._image.partitions.values() if broker_id in partition.elr]
        return self._leader_and_isr_updates([*self._with_broker_in_isr(broker_id), *eligible], unclean_shutdown=broker_id)

    # ------------------------------------------------------------------------------------------------ topics and elections

    def create_partitions(
        self, topic: str, partitions: Iterable[int], replication_factor: int, first_broker: int = 0
    ) -> list[PartitionRegistration]:
        """Place and register new partitions: every live replica is in the ISR, and the first of them leads.

        Simplified: partition p goes to the brokers from number `first_broker` + p on, in the order of their ids; Kafka's
        StripedReplicaPlacer begins at random and spreads over racks.
        """
        image = self._image
        brokers = sorted(broker_id for broker_id, broker in image.brokers.items() if not broker.in_controlled_shutdown)
        if replication_factor > len(brokers):
            raise ValueError(f"{topic} cannot have {replication_factor} replicas: {len(brokers)} brokers are registered")
        min_insync_replicas = self._state.topic_configs[topic].min_insync_replicas
        records = []
        for index in partitions:
            replicas = tuple(brokers[(first_broker + index + position) % len(brokers)] for position in range(replication_factor))
            isr = tuple(replica for replica in replicas if image.is_active(replica))
            if not isr:
                raise ValueError(f"{topic}-{index} cannot be created: its brokers {replicas} are all fenced or shutting down")
            partition = TopicPartition(topic, index)
            records.append(PartitionRegistration(partition, replicas, isr, isr[0], 0, 0, min_insync_replicas=min_insync_replicas))
        return records

    def elect_preferred_leaders(self) -> list[PartitionRegistration]:
        """Let the first replica lead again wherever it may (maybeBalancePartitionLeaders)."""
        imbalanced = (self._image.partitions[partition] for partition in self._state.imbalanced)
        return self._changes(imbalanced, self._image.is_active, election=Election.PREFERRED)

    def elect_unclean_leaders(self) -> list[PartitionRegistration]:
        """Let anybody who is alive lead what has no leader, where the topic allows it (maybeElectUncleanLeaders)."""
        return self._changes(self._uncleanly_electable(), self._image.is_active)

    def elect_leader(self, name: TopicPartition, election: Election) -> tuple[Error, PartitionRegistration | None]:
        """WHO: an administrator. WHEN it asks for the PREFERRED leader, or for an UNCLEAN election. THEN NONE and what changes, or why not.

        unclean.leader.election.enable is not asked: whoever asks for an unclean election has decided. Where one is asked for and somebody
        clean is there, that one leads (ReplicationControlManager.electLeader, KIP-460).
        """
        partition = self._image.partitions.get(name)
        if partition is None:
            return Error.UNKNOWN_TOPIC_OR_PARTITION, None
        preferred = election is Election.PREFERRED
        if partition.leader == partition.replicas[0] if preferred else partition.leader != NO_LEADER:
            return Error.ELECTION_NOT_NEEDED, None
        changes = self._changes([partition], self._image.is_active, election=election)
        if not changes:
            return Error.PREFERRED_LEADER_NOT_AVAILABLE if preferred else Error.ELIGIBLE_LEADERS_NOT_AVAILABLE, None
        return Error.NONE, changes[0]

    def wants_unclean_leaders(self) -> bool:
        """Whether there is a leaderless partition whose topic would take any leader."""
        return any(True for _ in self._uncleanly_electable())

    # ------------------------------------------------------------------------------------------------ AlterPartition

    def alter_partition(
        self, partition: TopicPartition, broker_id: int, leader_epoch: int, partition_epoch: int, new_isr: tuple[tuple[int, int], ...]
    ) -> tuple[Error, PartitionRegistration | None]:
        """WHO: the leader. WHEN it asks for `new_isr`, (broker_id, broker_epoch) each. THEN NONE and the registration as it then is.

        The leader vouches for its followers' logs; the controller for their being alive, and the same process as the leader saw.
        NEW_LEADER_ELECTED is an error, and yet all has happened: the ISR completed a reassignment, and the leader was to go (KIP-455).
        """
        registration = self._image.partitions.get(partition)
        if registration is None:
            return Error.UNKNOWN_TOPIC_OR_PARTITION, None
        error = self._validate_alter_partition(registration, broker_id, leader_epoch, partition_epoch, new_isr)
        if error is not Error.NONE:
            return error, None
        changed = change_partition(
            registration,
            self._image.is_active,
            target_isr=tuple(replica for replica, _ in new_isr),
            election=self._election(partition.topic),
            eligible_leader_replicas=self._state.eligible_leader_replicas,
            recovering=False,  # a leader that asks has recovered: Kafka's brokers do nothing to recover (Partition.makeLeader)
        )
        if changed is not None and changed.leader != broker_id:
            return Error.NEW_LEADER_ELECTED, changed
        return Error.NONE, changed or registration

    def _validate_alter_partition(
        self,
        registration: PartitionRegistration,
        broker_id: int,
        leader_epoch: int,
        partition_epoch: int,
        new_isr: tuple[tuple[int, int], ...],
    ) -> Error:
        """In Kafka's order, as the first reason found is the one that the leader hears (validateAlterPartitionData)."""
        if leader_epoch > registration.leader_epoch or partition_epoch > registration.partition_epoch:
            return Error.NOT_CONTROLLER  # the broker knows more than this controller does, which so cannot be the active one
        if leader_epoch < registration.leader_epoch:
            return Error.FENCED_LEADER_EPOCH
        if broker_id != registration.leader:
            return Error.INVALID_REQUEST
        if partition_epoch < registration.partition_epoch:
            return Error.INVALID_UPDATE_VERSION
        members = [replica for replica, _ in new_isr]
        if broker_id not in members or any(replica not in registration.replicas or members.count(replica) > 1 for replica in members):
            return Error.INVALID_REQUEST
        if not all(self._is_eligible(replica, broker_epoch) for replica, broker_epoch in new_isr):
            return Error.INELIGIBLE_REPLICA
        return Error.NONE

    def _is_eligible(self, replica: int, broker_epoch: int) -> bool:
        """Alive, not about to stop, and still the process that the leader saw fetching (KIP-903; ineligibleReplicasForIsr)."""
        return self._image.is_active(replica) and broker_epoch in {NO_BROKER_EPOCH, self._image.brokers[replica].broker_epoch}

    # ------------------------------------------------------------------------------------------------ helpers

    def _leader_and_isr_updates(
        self,
        partitions: Iterable[PartitionRegistration],
        to_remove: int = NO_BROKER,
        to_add: int = NO_BROKER,
        unclean_shutdown: int = NO_BROKER,
    ) -> list[PartitionRegistration]:
        """New ISRs and leaders for `partitions`, as if the image already knew what is being decided (generateLeaderAndIsrUpdates).

        `to_remove` and `unclean_shutdown` leave the ISR and cannot lead, although the image still shows them alive; `to_add` can.
        """

        def is_acceptable_leader(replica: int) -> bool:
            return replica not in {to_remove, unclean_shutdown} and (replica == to_add or self._image.is_active(replica))

        return self._changes(partitions, is_acceptable_leader, leaving=to_remove, unclean_shutdown=unclean_shutdown)

    def _changes(
        self,
        partitions: Iterable[PartitionRegistration],
        is_acceptable_leader: AcceptableLeader,
        election: Election | None = None,
        leaving: int = NO_BROKER,
        unclean_shutdown: int = NO_BROKER,
    ) -> list[PartitionRegistration]:
        changes = [
            change_partition(
                partition,
                is_acceptable_leader,
                target_isr=tuple(replica for replica in partition.isr if replica not in {leaving, unclean_shutdown}),
                election=election or self._election(partition.partition.topic),
                unclean_shutdown=() if unclean_shutdown == NO_BROKER else (unclean_shutdown,),
                eligible_leader_replicas=self._state.eligible_leader_replicas,
            )
            for partition in partitions
        ]
        return [change for change in changes if change is not None]

    def _election(self, topic: str) -> Election:
        return Election.UNCLEAN if self.allows_unclean(topic) else Election.ONLINE

    def _with_broker_in_isr(self, broker_id: int) -> list[PartitionRegistration]:
        return [partition for partition in self._image.partitions.values() if broker_id in partition.isr]

    def _uncleanly_electable(self) -> Iterable[PartitionRegistration]:
        return (self._image.partitions[partition] for partition in self._state.leaderless if self.allows_unclean(partition.topic))

    def allows_unclean(self, topic: str) -> bool:
        """uncleanLeaderElectionEnabledForTopic, which in KRaft mode said no to everybody before 3.9."""
        return self._unclean_election_configurable and self._state.topic_configs[topic].unclean_leader_election_enable


def _keep(partitions: dict[TopicPartition, None], partition: TopicPartition, member: bool) -> None:
    if member:
        partitions.setdefault(partition)
    else:
        partitions.pop(partition, None)
