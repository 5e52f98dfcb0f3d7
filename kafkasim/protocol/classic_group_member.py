"""The members of a classic group, its states, and what a trace hears of it.

In Kafka: org.apache.kafka.coordinator.group.classic.ClassicGroupMember and ClassicGroupState.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import NamedTuple

from kafkasim.protocol.records import TopicPartition


class GroupState(Enum):
    """ClassicGroupState. Simplified: a group never becomes DEAD."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"


class GroupChanged(NamedTuple):
    """For the trace: the group entered `state`. `members`: who then owns what, by instance."""

    group: str
    state: GroupState
    generation: int
    reason: str
    members: tuple[tuple[str, tuple[TopicPartition, ...]], ...]


class MemberRemoved(NamedTuple):
    """For the trace: the coordinator no longer counts this member among the group."""

    group: str
    instance: str
    member_id: str
    reason: str


class Member:
    """ClassicGroupMember: one run of one consumer. `awaiting_*`: (source, correlation id) of the request whose answer is held back."""

    __slots__ = (
        "assignment",
        "awaiting_join",
        "awaiting_sync",
        "instance",
        "is_new",
        "member_id",
        "rebalance_timeout_ms",
        "session_deadline",
        "session_timeout_ms",
        "topics",
    )

    def __init__(
        self, member_id: str, instance: str, session_timeout_ms: float, rebalance_timeout_ms: float, topics: tuple[str, ...]
    ) -> None:
        self.member_id = member_id
        self.instance = instance
        self.session_timeout_ms = session_timeout_ms
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.topics = topics
        self.assignment: tuple[TopicPartition, ...] = ()
        self.awaiting_join: tuple[str, int] | None = None
        self.awaiting_sync: tuple[str, int] | None = None
        self.is_new = True
        self.session_deadline = inf
