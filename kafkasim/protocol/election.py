"""Leader election and the bookkeeping around it: one partition's registration before, its registration after.

In Kafka: org.apache.kafka.controller.PartitionChangeBuilder, and PartitionRegistration.merge for the epochs; eligible leader replicas (ELR)
are KIP-966. The functions are pure: what the controller knows of brokers comes in as one predicate.

Who may lead, in this order: a member of the ISR; if the ISR is empty, a member of the ELR; if both are empty, the last known leader; and
only where unclean.leader.election.enable allows it, any replica that is alive. The first two lose nothing, the other two may.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from kafkasim.protocol.messages import PartitionRegistration
from kafkasim.protocol.metadata import NO_LEADER
from kafkasim.protocol.reassignment import Assignment, assignment_of, completed

AcceptableLeader = Callable[[int], bool]


class Election(Enum):
    """How far the controller goes to find a leader."""

    ONLINE = "online"  # keep the leader; without one, whoever has everything
    PREFERRED = "preferred"  # the first replica, if it has everything
    UNCLEAN = "unclean"  # as ONLINE, and if nobody has everything, anybody


class _Candidates(NamedTuple):
    """What an election looks at: replicas, ISR and ELR as they will be, everything else as it is."""

    partition: PartitionRegistration
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    elr: tuple[int, ...]
    is_acceptable_leader: AcceptableLeader
    eligible_leader_replicas: bool

    def is_valid(self, replica: int) -> bool:
        """A clean leader is alive and in the ISR; the ELR counts only once the ISR is empty (KIP-966)."""
        return (replica in self.isr or (not self.isr and replica in self.elr)) and self.is_acceptable_leader(replica)


def change_partition(
    partition: PartitionRegistration,
    is_acceptable_leader: AcceptableLeader,
    *,
    target_isr: tuple[int, ...] | None = None,
    target: Assignment | None = None,
    election: Election = Election.ONLINE,
    unclean_shutdown: tuple[int, ...] = (),
    eligible_leader_replicas: bool = True,
    recovering: bool | None = None,
) -> PartitionRegistration | None:
    """The controller's next registration of `partition`, or None where nothing changes (PartitionChangeBuilder.build).

    `target_isr` and `target`: the ISR and the assignment that are asked for (None: as they are). Any change completes a reassignment for
    which the ISR is ready. `unclean_shutdown`: replicas that may have lost what was not flushed, and so are not eligible. `recovering`:
    the leader recovery state that is asked for. The partition epoch grows with every change, the leader epoch only with a change of
    leader, and when somebody loses its replica (a shrink of the ISR has not bumped it since 3.6, KAFKA-15021).
    """
    isr = partition.isr if target_isr is None else target_isr
    assignment = target or assignment_of(partition)
    assignment, isr = completed(assignment, isr) or (assignment, isr)
    elr = _target_elr(partition, isr, unclean_shutdown) if eligible_leader_replicas else ()
    candidates = _Candidates(partition, assignment.replicas, isr, elr, is_acceptable_leader, eligible_leader_replicas)
    leader, unclean = _elect_preferred_leader(candidates) if election is Election.PREFERRED else _elect_any_leader(candidates, election)
    leader_changes = leader != partition.leader
    recovering = partition.recovering if recovering is None else recovering
    if leader_changes and leader in elr:
        isr = (leader,)
        elr = tuple(replica for replica in elr if replica != leader)
    if leader_changes and unclean:
        # Whoever was eligible may hold more than the new leader does, and from now on that counts for nothing.
        isr, elr, recovering = (leader,), (), True
    if not isr and not eligible_leader_replicas:
        isr = partition.isr  # without ELR the last ISR is remembered: its members alone may come back as leader
    new_leader_epoch = leader_changes or any(replica not in assignment.replicas for replica in partition.replicas)
    changed = partition._replace(
        replicas=assignment.replicas,
        adding_replicas=assignment.adding,
        removing_replicas=assignment.removing,
        isr=isr,
        elr=elr,
        leader=leader,
        leader_epoch=partition.leader_epoch + 1 if new_leader_epoch else partition.leader_epoch,
        last_known_elr=_last_known_leader(partition, leader) if eligible_leader_replicas else partition.last_known_elr,
        recovering=recovering,
    )
    return None if changed == partition else changed._replace(partition_epoch=partition.partition_epoch + 1)


def effective_min_insync_replicas(min_insync_replicas: int, replication_factor: int) -> int:
    """min.insync.replicas above the replication factor counts as the replication factor (getTopicEffectiveMinIsr)."""
    return min(min_insync_replicas, replication_factor)


def is_unclean(before: PartitionRegistration, after: PartitionRegistration) -> bool:
    """Whether the leader of `after` comes from outside ISR and ELR, so that acknowledged records may be gone.

    A reassignment that is completed by the change which let a replica into the ISR may make that replica leader, and is clean.
    """
    moved = before.replicas != after.replicas
    return not moved and after.leader != NO_LEADER and after.leader not in before.isr and after.leader not in before.elr


# ---------------------------------------------------------------------------------------------------- helpers


def _elect_preferred_leader(candidates: _Candidates) -> tuple[int, bool]:
    """The first replica if it is valid; else as an online election. Returns (leader, unclean)."""
    preferred = candidates.replicas[0]
    if candidates.is_valid(preferred):
        return preferred, False
    return _elect_any_leader(candidates, Election.ONLINE)


def _elect_any_leader(candidates: _Candidates, election: Election) -> tuple[int, bool]:
    """The present leader if it is valid; else the first valid replica; else what may lose data. Returns (leader, unclean)."""
    partition = candidates.partition
    if candidates.is_valid(partition.leader):
        return partition.leader, False
    for replica in candidates.replicas:
        if candidates.is_valid(replica):
            return replica, False
    if _can_elect_last_known_leader(candidates):
        return partition.last_known_elr[0], True
    if election is Election.UNCLEAN:
        for replica in candidates.replicas:
            if candidates.is_acceptable_leader(replica):
                return replica, True
    return NO_LEADER, False


def _can_elect_last_known_leader(candidates: _Candidates) -> bool:
    """KIP-966's balanced recovery: with nobody left in ISR and ELR, whoever led last has the best log there is, if it is alive.

    `last_known_elr` holds just that one replica. That it has to be alive is KAFKA-19522 (4.1.0).
    """
    last_known = candidates.partition.last_known_elr
    return (
        candidates.eligible_leader_replicas
        and not candidates.isr
        and not candidates.elr
        and len(last_known) == 1
        and candidates.is_acceptable_leader(last_known[0])
    )


def _target_elr(partition: PartitionRegistration, isr: tuple[int, ...], unclean_shutdown: tuple[int, ...]) -> tuple[int, ...]:
    """KIP-966: below min.insync.replicas the high watermark stands still, so whoever leaves the ISR now still has all below it.

    They are eligible until the ISR is large enough again, or until they shut down uncleanly and may have lost their tail.
    Simplified: the replicas of the partition itself say how many there are; Kafka counts those of the topic's partition 0.
    """
    if len(isr) >= effective_min_insync_replicas(partition.min_insync_replicas, len(partition.replicas)):
        return ()
    members = {*partition.elr, *partition.isr}
    return tuple(sorted(replica for replica in members if replica not in isr and replica not in unclean_shutdown))


def _last_known_leader(partition: PartitionRegistration, leader: int) -> tuple[int, ...]:
    """Remembered when the partition loses its leader, forgotten when it has one again (maybeUpdateLastKnownLeader)."""
    if leader == partition.leader:
        return partition.last_known_elr
    if leader == NO_LEADER:
        return partition.last_known_elr or (partition.leader,)
    return ()
