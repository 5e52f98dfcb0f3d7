"""Who reads which partition: org.apache.kafka.clients.consumer.RangeAssignor.

Simplified: one strategy, eager. Every rebalance takes all partitions from all members and hands them out again;
CooperativeStickyAssignor (KIP-429) and the server-side assignors of KIP-848 are not modelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kafkasim.protocol.records import TopicPartition


def assign_ranges(
    subscriptions: Mapping[str, Sequence[str]], partitions: Mapping[str, Sequence[TopicPartition]]
) -> dict[str, tuple[TopicPartition, ...]]:
    """Deal out each topic by itself: its members in the order of their ids, each a contiguous range, the first ones one more.

    `subscriptions`: the topics of each member id. `partitions`: the partitions of each topic, ascending.

    >>> orders = [TopicPartition("orders", p) for p in range(3)]
    >>> dealt = assign_ranges({"billing-1": ["orders"], "billing-0": ["orders"]}, {"orders": orders})
    >>> {member: " ".join(map(str, dealt[member])) for member in sorted(dealt)}
    {'billing-0': 'orders-0 orders-1', 'billing-1': 'orders-2'}
    """
    assignment: dict[str, list[TopicPartition]] = {member_id: [] for member_id in subscriptions}
    for topic in sorted({topic for topics in subscriptions.values() for topic in topics}):
        members = sorted(member_id for member_id, topics in subscriptions.items() if topic in topics)
        available = partitions.get(topic, ())
        each, extra = divmod(len(available), len(members))
        start = 0
        for index, member_id in enumerate(members):
            end = start + each + (1 if index < extra else 0)
            assignment[member_id].extend(available[start:end])
            start = end
    return {member_id: tuple(owned) for member_id, owned in assignment.items()}
