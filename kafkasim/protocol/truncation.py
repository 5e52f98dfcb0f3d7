"""Where two logs part, and how far a follower must cut its own: the leader's half and the follower's half of one rule.

KIP-101: a follower truncates by leader epochs, never by its high watermark, which lags and once made it throw away committed records.
KIP-279: it does so until both agree on an epoch, so that several quick changes of leader leave no hole.
KIP-595: the follower tells with each fetch the epoch of its last record, and the leader answers with the place where they part,
so that no round of OffsetsForLeaderEpoch requests is needed before fetching.
In Kafka: Partition.readRecords for the leader, AbstractFetcherThread.getOffsetTruncationState for the follower.
"""

from __future__ import annotations

from kafkasim.protocol.leader_epoch import UNDEFINED_EPOCH, EpochEndOffset
from kafkasim.protocol.log import Log


def diverging_epoch(end_of_last_fetched: EpochEndOffset, last_fetched_epoch: int, fetch_offset: int) -> bool:
    """WHO: the leader. WHEN its `end_of_last_fetched` epoch does not reach the follower's position: their logs part before it.

    Either the leader never had that epoch (it answers with an older one), or its own records of that epoch end sooner.
    """
    return end_of_last_fetched.leader_epoch < last_fetched_epoch or end_of_last_fetched.end_offset < fetch_offset


def truncation_offset(log: Log, leader_epoch: int, leader_end_offset: int) -> int:
    """WHO: a follower, told by its leader that they part where `leader_epoch` ends, at `leader_end_offset`. THEN: cut here.

    Where the follower has that epoch too, both agree up to the smaller of the two ends. Where it has not, it cuts to the end of its
    own next older epoch and fetches again: the leader will then answer for that one (KIP-279).
    """
    assert leader_end_offset >= 0, "a leader names only an epoch whose end it knows"
    own_epoch, own_end_offset = log.end_offset_for_epoch(leader_epoch)
    if own_epoch == UNDEFINED_EPOCH:
        return min(leader_end_offset, log.log_end_offset)
    if own_epoch != leader_epoch:
        return min(own_end_offset, log.log_end_offset)
    return min(own_end_offset, leader_end_offset, log.log_end_offset)
