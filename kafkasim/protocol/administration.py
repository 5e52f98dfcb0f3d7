"""What an administrator asks of the controller while the cluster runs: elections, reassignments, other settings of a topic.

In Kafka: ElectLeaders (KIP-460), AlterPartitionReassignments (KIP-455) and IncrementalAlterConfigs (KIP-339), as ReplicationControlManager
and ConfigurationControlManager answer them. Requests and answers are calls, not messages on the wire: `Controller.receive(call, "", now)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kafkasim.protocol.election import Election, change_partition
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import ConfigRecord, MetadataRecord, PartitionRegistration
from kafkasim.protocol.metadata import MIN_INSYNC_REPLICAS
from kafkasim.protocol.reassignment import Assignment, reverted, towards
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.replication_control import ControllerState, ReplicationControl

# ---------------------------------------------------------------------------------------------------- asking, and the answer


class ElectLeaders(NamedTuple):
    """`election`: Election.PREFERRED or Election.UNCLEAN."""

    partitions: tuple[TopicPartition, ...]
    election: Election


class AlterPartitionReassignments(NamedTuple):
    """Each of these partitions to these replicas, the preferred leader first; to nothing: what is under way is taken back."""

    partitions: tuple[TopicPartition, ...]
    replicas: tuple[int, ...]


class IncrementalAlterConfigs(NamedTuple):
    """Settings of a topic by Kafka's keys; what is not named stays. Truth is True or False, what is a word stays one."""

    topic: str
    settings: tuple[tuple[str, str | float], ...]


class AdministratorAnswered(NamedTuple):
    """To this call: (partition, or topic; NONE or what the controller has against it) each. NONE of a reassignment: it has begun."""

    call: object
    results: tuple[tuple[str, Error], ...]


Decision = tuple[list[MetadataRecord], AdministratorAnswered]
ADMINISTRATORS_CALLS = (ElectLeaders, AlterPartitionReassignments, IncrementalAlterConfigs)

# ---------------------------------------------------------------------------------------------------- the rules


class Administration:
    """Over one ControllerState: what each call changes, as records for the controller to write, and its answer."""

    __slots__ = ("_replication", "_rules", "_state")

    def __init__(self, state: ControllerState, replication: ReplicationControl) -> None:
        self._state = state
        self._replication = replication
        self._rules: Mapping[type, Callable[[Any], Decision]] = {
            ElectLeaders: self._elect_leaders,
            AlterPartitionReassignments: self._alter_partition_reassignments,
            IncrementalAlterConfigs: self._incremental_alter_configs,
        }

    def decide(self, call: object) -> Decision:
        """One of the three calls above."""
        return self._rules[type(call)](call)

    # ------------------------------------------------------------------------------------------------ ElectLeaders

    def _elect_leaders(self, call: ElectLeaders) -> Decision:
        outcomes = [(name, *self._replication.elect_leader(name, call.election)) for name in call.partitions]
        records: list[MetadataRecord] = [changed for _, _, changed in outcomes if changed is not None]
        return records, AdministratorAnswered(call, tuple((str(name), error) for name, error, _ in outcomes))

    # ------------------------------------------------------------------------------------------------ AlterPartitionReassignments

    def _alter_partition_reassignments(self, call: AlterPartitionReassignments) -> Decision:
        records: list[MetadataRecord] = []
        results = []
        for name in call.partitions:
            registration = self._state.image.partitions.get(name)
            if registration is None:
                results.append((str(name), Error.UNKNOWN_TOPIC_OR_PARTITION))
                continue
            error, changed = self._reassign(registration, call.replicas) if call.replicas else self._cancel(registration)
            results.append((str(name), error))
            records += [] if changed is None else [changed]
        return records, AdministratorAnswered(call, tuple(results))

    def _reassign(self, registration: PartitionRegistration, target: tuple[int, ...]) -> tuple[Error, PartitionRegistration | None]:
        """changePartitionReassignment: where the whole target is in the ISR already, it is complete at once.

        The election that comes with it is a clean one, whatever unclean.leader.election.enable says.
        """
        registered = self._state.image.brokers
        if len({*target}) < len(target) or any(replica not in registered for replica in target):
            return Error.INVALID_REPLICA_ASSIGNMENT, None
        return Error.NONE, self._changed(registration, towards(registration, target), registration.isr, Election.ONLINE)

    def _cancel(self, registration: PartitionRegistration) -> tuple[Error, PartitionRegistration | None]:
        """cancelPartitionReassignment: refused where nobody who stays is in the ISR, unless the topic allows unclean elections."""
        if not registration.adding_replicas and not registration.removing_replicas:
            return Error.NO_REASSIGNMENT_IN_PROGRESS, None
        before = reverted(registration)
        unclean_allowed = self._replication.allows_unclean(registration.partition.topic)
        if before.unclean and not unclean_allowed:
            return Error.INVALID_REPLICA_ASSIGNMENT, None
        election = Election.UNCLEAN if unclean_allowed else Election.ONLINE
        return Error.NONE, self._changed(registration, before.assignment, before.isr, election)

    def _changed(
        self, registration: PartitionRegistration, target: Assignment, target_isr: tuple[int, ...], election: Election
    ) -> PartitionRegistration | None:
        return change_partition(
            registration,
            self._state.image.is_active,
            target=target,
            target_isr=target_isr,
            election=election,
            eligible_leader_replicas=self._state.eligible_leader_replicas,
        )

    # ------------------------------------------------------------------------------------------------ IncrementalAlterConfigs

    def _incremental_alter_configs(self, call: IncrementalAlterConfigs) -> Decision:
        """No election follows: a leaderless partition whose topic allows unclean elections from now on waits for the periodic task.

        With another min.insync.replicas the ELRs of the topic mean nothing any more, for they were made with the old one, and are
        emptied, together with the last known leaders (createClearElrRecordsAsNeeded, ReplicationControlManager.removeTopicElrs).
        """
        config = self._state.topic_configs.get(call.topic)
        if config is None:
            return [], AdministratorAnswered(call, ((call.topic, Error.UNKNOWN_TOPIC_OR_PARTITION),))
        changes = [ConfigRecord(call.topic, name, value) for name, value in call.settings if config.altered(name, value) != config]
        records: list[MetadataRecord] = [*changes]
        for change in changes:
            if change.name == MIN_INSYNC_REPLICAS and self._state.eligible_leader_replicas:
                records += self._without_elrs(call.topic, int(change.value))
        return records, AdministratorAnswered(call, ((call.topic, Error.NONE),))

    def _without_elrs(self, topic: str, min_insync_replicas: int) -> list[PartitionRegistration]:
        partitions = self._state.image.partitions.values()
        emptied = (
            partition for partition in partitions if partition.partition.topic == topic and (partition.elr or partition.last_known_elr)
        )
        return [
            partition._replace(
                elr=(), last_known_elr=(), min_insync_replicas=min_insync_replicas, partition_epoch=partition.partition_epoch + 1
            )
            for partition in emptied
        ]
