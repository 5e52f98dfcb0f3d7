"""What a leader knows of one follower: how far it has fetched, and when it last had everything.

In Kafka: kafka.cluster.Replica and ReplicaState. A leader learns a follower's log end offset from nothing but its fetches: whoever
asks for offset n has all below n.
"""

from __future__ import annotations

from math import inf

UNKNOWN_OFFSET = -1
UNKNOWN_BROKER_EPOCH = -2  # no fetch yet; -1 is the epoch of a fetcher that does not say

# Kafka writes 0 here, which on its clock is 1970. A simulated clock starts at 0, so it has to be earlier than any clock.
NEVER = -inf


class Replica:
    """The leader's picture of the follower on `broker_id`. Times in ms on the leader's clock."""

    __slots__ = (
        "broker_epoch",
        "broker_id",
        "last_caught_up_time",
        "last_fetch_leader_log_end_offset",
        "last_fetch_time",
        "log_end_offset",
    )

    def __init__(self, broker_id: int) -> None:
        self.broker_id = broker_id
        self.log_end_offset = UNKNOWN_OFFSET
        self.last_fetch_leader_log_end_offset = UNKNOWN_OFFSET
        self.last_fetch_time = NEVER
        self.last_caught_up_time = NEVER
        self.broker_epoch = UNKNOWN_BROKER_EPOCH

    def update_fetch_state(self, fetch_offset: int, leader_log_end_offset: int, broker_epoch: int, now: float) -> None:
        """WHO: the leader, WHEN the follower fetches from `fetch_offset`. THEN: it has all below, and may have caught up.

        It has caught up *now* if it asks for the end of the log. It had caught up at its *previous* fetch if it now asks for what was
        the end then: under steady load a follower never sees the end, and yet keeps up.
        """
        if fetch_offset >= leader_log_end_offset:
            if now > self.last_caught_up_time:  # noqa: PLR1730 - a max() costs three times as much
                self.last_caught_up_time = now
        elif fetch_offset >= self.last_fetch_leader_log_end_offset and self.last_fetch_time > self.last_caught_up_time:
            self.last_caught_up_time = self.last_fetch_time
        self.log_end_offset = fetch_offset
        if leader_log_end_offset > self.last_fetch_leader_log_end_offset:  # noqa: PLR1730 - mostly it is not, and a max() costs three times as much
            self.last_fetch_leader_log_end_offset = leader_log_end_offset
        self.last_fetch_time = now
        self.broker_epoch = broker_epoch

    def reset(self, now: float, leader_log_end_offset: int, is_new_leader: bool, is_follower_in_sync: bool) -> None:
        """WHO: a leader, WHEN its epoch begins. THEN: a member of the ISR has replica.lag.time.max.ms from now, any other has nothing.

        A new leader forgets what it knew of the follower from an earlier term. A leader re-elected keeps where the follower stood.
        """
        self.last_caught_up_time = now if is_follower_in_sync else NEVER
        if is_new_leader:
            self.log_end_offset = UNKNOWN_OFFSET
            self.last_fetch_leader_log_end_offset = UNKNOWN_OFFSET
            self.last_fetch_time = NEVER
            self.broker_epoch = UNKNOWN_BROKER_EPOCH
        else:
            self.last_fetch_leader_log_end_offset = leader_log_end_offset
            self.last_fetch_time = now if is_follower_in_sync else NEVER

    def is_caught_up(self, leader_log_end_offset: int, now: float, replica_lag_time_max_ms: float) -> bool:
        """It stands at the leader's end, or did so at most `replica_lag_time_max_ms` ago."""
        return leader_log_end_offset == self.log_end_offset or now - self.last_caught_up_time <= replica_lag_time_max_ms
