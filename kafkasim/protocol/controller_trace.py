"""What the controller tells a trace: the life of brokers, leaders and ISRs as it decides it."""

from __future__ import annotations

from typing import NamedTuple

from kafkasim.protocol.election import is_unclean
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import PartitionRegistration
from kafkasim.protocol.metadata import NO_LEADER
from kafkasim.protocol.node import Trace
from kafkasim.protocol.reassignment import assignment_of
from kafkasim.protocol.records import TopicPartition


class BrokerRegistered(NamedTuple):
    """A process of the broker was admitted, fenced for now. `clean_shutdown`: it proved that the one before stopped cleanly."""

    broker_id: int
    broker_epoch: int
    incarnation: int
    clean_shutdown: bool


class BrokerFenced(NamedTuple):
    """The broker leads nothing and is in no ISR from here on. `stale`: because its session ran out, not because it asked."""

    broker_id: int
    broker_epoch: int
    stale: bool


class BrokerUnfenced(NamedTuple):
    """The broker may lead and may join ISRs."""

    broker_id: int
    broker_epoch: int


class LeaderElected(NamedTuple):
    """`unclean`: from outside ISR and ELR, so that acknowledged records may be gone."""

    partition: TopicPartition
    leader: int
    leader_epoch: int
    isr: tuple[int, ...]
    unclean: bool


class PartitionOffline(NamedTuple):
    """Nobody who may lead is alive."""

    partition: TopicPartition
    leader_epoch: int
    isr: tuple[int, ...]
    elr: tuple[int, ...]


class IsrChanged(NamedTuple):
    """The controller's ISR or ELR is now this, whoever asked for it."""

    partition: TopicPartition
    isr: tuple[int, ...]
    elr: tuple[int, ...]


class AssignmentChanged(NamedTuple):
    """Other brokers hold replicas now, or others will: `replicas` are all, and among them are who is added, and who is to go."""

    partition: TopicPartition
    replicas: tuple[int, ...]
    adding: tuple[int, ...]
    removing: tuple[int, ...]


class IsrAccepted(NamedTuple):
    """A leader's AlterPartition was granted."""

    partition: TopicPartition
    leader: int
    isr: tuple[int, ...]
    partition_epoch: int


class IsrRefused(NamedTuple):
    """A broker's AlterPartition was refused."""

    partition: TopicPartition
    broker_id: int
    isr: tuple[int, ...]
    error: Error


def trace_partition(trace: Trace, before: PartitionRegistration | None, after: PartitionRegistration) -> None:
    """Say what a new registration of a partition changed."""
    if before is not None and assignment_of(before) != assignment_of(after):
        trace(AssignmentChanged(after.partition, *assignment_of(after)))
    if before is None or (before.isr, before.elr) != (after.isr, after.elr):
        trace(IsrChanged(after.partition, after.isr, after.elr))
    if before is not None and before.leader_epoch == after.leader_epoch:
        return
    if after.leader == NO_LEADER:
        trace(PartitionOffline(after.partition, after.leader_epoch, after.isr, after.elr))
    else:
        unclean = before is not None and is_unclean(before, after)
        trace(LeaderElected(after.partition, after.leader, after.leader_epoch, after.isr, unclean))
