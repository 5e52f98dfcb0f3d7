"""What the leader of a controller quorum knows of its voters: org.apache.kafka.raft.LeaderState.

* The **high watermark** is what a majority has copied, itself included. It does not move before a majority has a record *of the leader's
  own epoch*: only then is it certain that no later leader can lack what earlier leaders wrote (KIP-595).
* A leader that a majority does not fetch from for 1.5 times controller.quorum.fetch.timeout.ms **resigns** (checkQuorum, KAFKA-15489):
  the others have elected somebody else long since, or cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from kafkasim.protocol.raft_messages import NO_HIGH_WATERMARK

# LeaderState.CHECK_QUORUM_TIMEOUT_FACTOR: time for a fetch to travel.
CHECK_QUORUM_TIMEOUT_FACTOR = 1.5


class LeaderState:
    """One leader's term. `epoch_start_offset`: where its first record lies."""

    def __init__(
        self,
        local_id: int,
        voters: Sequence[int],
        granting_voters: Sequence[int],
        epoch_start_offset: int,
        fetch_timeout_ms: float,
        now: float,
    ) -> None:
        self.granting_voters = tuple(granting_voters)
        self.epoch_start_offset = epoch_start_offset
        self.high_watermark = NO_HIGH_WATERMARK
        self.begin_quorum_at = now  # when BeginQuorumEpoch is sent (again)
        self._local_id = local_id
        self._end_offsets = dict.fromkeys(voters, NO_HIGH_WATERMARK)  # how far each voter has copied the log, as far as is known
        self._fetched_voters: dict[int, None] = {}  # since the check of the quorum was last reset
        self._fetch_timeout_ms = fetch_timeout_ms
        self.check_quorum_deadline = inf
        self._reset_check_quorum(now)

    def update_local_end(self, end_offset: int) -> bool:
        """WHO: the leader, having written. THEN True if the high watermark moved: with one voter it does at once."""
        self._end_offsets[self._local_id] = end_offset
        return self._update_high_watermark()

    def update_replica(self, voter: int, fetch_offset: int, now: float) -> bool:
        """WHO: another voter. WHEN it fetches from `fetch_offset` on, having all before. THEN True if the high watermark moved."""
        self._end_offsets[voter] = fetch_offset
        self._fetched_voters[voter] = None
        if len(self._fetched_voters) >= len(self._end_offsets) // 2:  # with the leader itself, a majority
            self._fetched_voters.clear()
            self._reset_check_quorum(now)
        return self._update_high_watermark()

    def sent_begin_quorum(self, now: float) -> None:
        """BeginQuorumEpoch was sent; again half a fetch timeout later."""
        self.begin_quorum_at = now + self._fetch_timeout_ms / 2

    def successors(self) -> tuple[int, ...]:
        """The other voters, who has copied most first: in this order they are asked to stand (nonLeaderVotersByDescendingFetchOffset)."""
        others = (voter for voter in self._end_offsets if voter != self._local_id)
        return tuple(sorted(others, key=lambda voter: (-self._end_offsets[voter], voter)))

    def _update_high_watermark(self) -> bool:
        descending = sorted(self._end_offsets.values(), reverse=True)
        replicated = descending[len(descending) // 2]
        if replicated <= self.epoch_start_offset or replicated <= self.high_watermark:
            return False
        self.high_watermark = replicated
        return True

    def _reset_check_quorum(self, now: float) -> None:
        if len(self._end_offsets) > 1:  # the only voter is its own majority
            self.check_quorum_deadline = now + self._fetch_timeout_ms * CHECK_QUORUM_TIMEOUT_FACTOR
