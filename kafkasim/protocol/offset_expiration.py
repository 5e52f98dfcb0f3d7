"""When a group's committed offsets are forgotten: offsets.retention.minutes after the group has lost its last member.

In Kafka: OffsetMetadataManager.cleanupExpiredOffsets, ClassicGroup.offsetExpirationCondition (KIP-211; seven days since KIP-186, one day
before). Whoever comes back later finds no offset, and begins where auto.offset.reset says: everything again, or nothing of what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kafkasim.protocol.classic_group import ClassicGroup
from kafkasim.protocol.classic_group_member import GroupState
from kafkasim.protocol.records import OffsetCommitValue, TopicPartition


def expired_offsets(
    group: ClassicGroup, offsets: Mapping[TopicPartition, OffsetCommitValue], retention_ms: float, now: float
) -> list[TopicPartition]:
    """The partitions whose offsets the coordinator forgets now: none of a group that is in a rebalance.

    Of a group without members, all, once it has been so for `retention_ms`. Of a stable one, those of topics that nobody in it reads any
    more, that long after the last commit; and likewise of a name under which offsets are committed without any group.
    """
    since = _begin_of_retention(group)
    if since is None:
        return []
    subscribed = {topic for member in group.members.values() for topic in member.topics}
    return [partition for partition, value in offsets.items() if partition.topic not in subscribed and now - since(value) >= retention_ms]


def oldest_timestamp(group: ClassicGroup, offsets: Mapping[TopicPartition, OffsetCommitValue], now: float) -> float:
    """A lower bound of the instants from which the retention of these offsets counts, whatever becomes of the group."""
    oldest = min((value.commit_timestamp for value in offsets.values()), default=now)
    return min(oldest, group.current_state_timestamp) if group.state is GroupState.EMPTY and group.generation else oldest


def _begin_of_retention(group: ClassicGroup) -> Callable[[OffsetCommitValue], float] | None:
    """From when on the retention of an offset counts; None: it does not (ClassicGroup.offsetExpirationCondition)."""
    if group.state is GroupState.EMPTY and group.generation:
        return lambda _value: group.current_state_timestamp
    if group.state in (GroupState.STABLE, GroupState.EMPTY):
        return lambda value: value.commit_timestamp
    return None
