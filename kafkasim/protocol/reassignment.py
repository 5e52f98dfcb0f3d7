"""Moving replicas: what a partition's assignment is while it is being changed, when the change is complete, and how it is taken back.

In Kafka: PartitionReassignmentReplicas and PartitionReassignmentRevert of org.apache.kafka.controller (KIP-455). A reassignment is no
task with an end of its own. It is a state of the partition's registration: the new replicas stand beside the old ones until all of the
target are in the ISR, and whichever change of the partition first finds that so takes the old ones out.
"""

from __future__ import annotations

from typing import NamedTuple

from kafkasim.protocol.messages import PartitionRegistration


class Assignment(NamedTuple):
    """Who holds a replica, and of them who was added by a reassignment under way, and who will go at its end."""

    replicas: tuple[int, ...]
    adding: tuple[int, ...] = ()
    removing: tuple[int, ...] = ()

    @property
    def target(self) -> tuple[int, ...]:
        """Who is to hold a replica in the end. The first of them is the preferred leader."""
        return tuple(replica for replica in self.replicas if replica not in self.removing)


def assignment_of(registration: PartitionRegistration) -> Assignment:
    """As it is."""
    return Assignment(registration.replicas, registration.adding_replicas, registration.removing_replicas)


def towards(registration: PartitionRegistration, target: tuple[int, ...]) -> Assignment:
    """The assignment that a reassignment to `target` begins with: all of the target, in its order, and behind it whoever will go.

    Where one is under way already, whom it added counts as present; and a list that would come out empty stays what it was, as in
    ReplicationControlManager.changePartitionReassignment.
    """
    current = registration.replicas
    removing = tuple(sorted(replica for replica in current if replica not in target))
    adding = tuple(sorted(replica for replica in target if replica not in current))
    return Assignment((*target, *removing), adding or registration.adding_replicas, removing or registration.removing_replicas)


def completed(assignment: Assignment, isr: tuple[int, ...]) -> tuple[Assignment, tuple[int, ...]] | None:
    """Assignment and ISR once the reassignment is complete, or None: none is under way, or somebody of the target is not in the ISR.

    Everybody counts, new or not: where one of the target is down, nobody who is to go has gone (maybeCompleteReassignment).
    """
    if not assignment.adding and not assignment.removing:
        return None
    target = assignment.target
    target_isr = tuple(replica for replica in isr if replica not in assignment.removing)
    if not target or not all(replica in target_isr for replica in target):
        return None
    return Assignment(target), target_isr


class Reverted(NamedTuple):
    """A reassignment taken back. `unclean`: nobody who is left was in the ISR, so that the first of them is just declared to be."""

    assignment: Assignment
    isr: tuple[int, ...]
    unclean: bool


def reverted(registration: PartitionRegistration) -> Reverted:
    """The replicas of before: without those that were being added, and with those that were to go (PartitionReassignmentRevert)."""
    adding = registration.adding_replicas
    replicas = tuple(replica for replica in registration.replicas if replica not in adding)
    isr = tuple(replica for replica in registration.isr if replica not in adding)
    return Reverted(Assignment(replicas), isr or replicas[:1], not isr)
