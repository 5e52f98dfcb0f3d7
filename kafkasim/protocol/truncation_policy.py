"""The generations of replication: what a follower does before it fetches from a new leader, from before Kafka 0.11 until today.

Each generation was found wanting, and the next one mends it; so each is kept here, to show what it lost.

    hw       before 0.11   truncate to the own high watermark at once. It lags, so committed records are thrown away (KIP-101).
    kip101   0.11          ask the leader where the own latest epoch ended (OffsetsForLeaderEpoch), truncate there. An epoch that the
                           leader never had ends where its next one begins, which may be beyond the place where the logs part (KIP-279).
    kip279   2.0           the answer names the epoch, too: one that the follower does not know makes it ask again. But a follower that
                           is still in an older leader epoch is served, and believed (KIP-320).
    kip320   2.1           every request says in which leader epoch its sender lives, and one of another epoch is refused.
    kip595   2.8           the same in fewer messages: each fetch asks whether the logs part, and no round of questions comes before it.

In Kafka: ReplicaManager.makeFollowers, AbstractFetcherThread.maybeTruncate and getOffsetTruncationState, Partition.makeLeader and
LeaderEpochFileCache.endOffsetFor, as they were in 0.10.2, 0.11.0, 2.0.0, 2.1.0 and since 2.8.
Simplified: only what stands here is of its time. Controller, ISR and clients are today's in every generation, so that a broker that
restarts leaves the ISR, and nobody joins it below the start of the leader's epoch (KAFKA-7128, 2.0.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import NamedTuple

from kafkasim.protocol.leader_epoch import UNDEFINED, UNDEFINED_EPOCH, EpochEndOffset, LeaderEpochCache
from kafkasim.protocol.log import Log
from kafkasim.protocol.truncation import truncation_offset

UNCHECKED_EPOCH = -1


class FirstStep(Enum):
    """What a broker does that has just begun to follow a leader."""

    CUT_TO_HIGH_WATERMARK = auto()  # at once, and then fetch
    ASK = auto()  # OffsetsForLeaderEpoch: in Kafka, ReplicaState Truncating
    FETCH = auto()


class OffsetTruncationState(NamedTuple):
    """How far a follower cuts its log, and whether it may fetch then; if not, it has to ask again."""

    offset: int
    completed: bool


class TruncationPolicy:
    """One generation, with today's rules where a generation does not say otherwise. It has no state: one object serves all partitions.

    `begins_epoch_when_elected`: a new leader remembers where its epoch begins before it appends anything in it (KAFKA-7415, 2.1).
    """

    name = ""
    begins_epoch_when_elected = True

    def first_step(self, is_new_leader: bool) -> FirstStep:
        """WHO: a follower, WHEN the metadata log names a leader in a new epoch (`is_new_leader`: another one than before)."""
        raise NotImplementedError

    def current_leader_epoch(self, leader_epoch: int) -> int:
        """What a follower says of itself in every request, so that a leader of another epoch refuses it; -1: nothing is checked."""
        return leader_epoch

    def fetched_epochs(self, log: Log) -> LeaderEpochCache:  # noqa: ARG002 - for kip595
        """Whose latest epoch a fetch tells as that of the last record. An empty cache: it tells none, and is not told of divergence."""
        return LeaderEpochCache()

    def end_of_epoch(self, log: Log, epoch: int) -> EpochEndOffset:
        """WHO: the leader, asked by a follower. THEN: the largest epoch not above `epoch`, and where it ended here."""
        return log.end_offset_for_epoch(epoch)

    def truncation(self, log: Log, high_watermark: int, end: EpochEndOffset) -> OffsetTruncationState:
        """WHO: a follower, told by its leader where the epoch it asked for has its `end` (getOffsetTruncationState)."""
        raise NotImplementedError


class TruncateToHighWatermark(TruncationPolicy):
    """Before 0.11. A new term of the same leader is no reason to truncate. Of leader epochs nobody says anything."""

    name = "hw"
    begins_epoch_when_elected = False

    def first_step(self, is_new_leader: bool) -> FirstStep:
        """Everything above the high watermark may be uncommitted; what is thrown away too much is fetched again, if anybody has it."""
        return FirstStep.CUT_TO_HIGH_WATERMARK if is_new_leader else FirstStep.FETCH

    def current_leader_epoch(self, leader_epoch: int) -> int:  # noqa: ARG002 - see the class
        """Not told."""
        return UNCHECKED_EPOCH


class Kip101(TruncateToHighWatermark):
    """0.11. The answer is an offset and no more, so there is one question."""

    name = "kip101"

    def first_step(self, is_new_leader: bool) -> FirstStep:
        """Still not in a new term of the same leader (until KAFKA-7164, 2.0.1)."""
        return FirstStep.ASK if is_new_leader else FirstStep.FETCH

    def end_of_epoch(self, log: Log, epoch: int) -> EpochEndOffset:
        """Where the next larger epoch begins; unknown where the log knows none as old (it was deleted), or none as new."""
        return EpochEndOffset(UNDEFINED_EPOCH, _end_of_known_epoch(log, epoch).end_offset)

    def truncation(self, log: Log, high_watermark: int, end: EpochEndOffset) -> OffsetTruncationState:
        """Cut to the offset in the answer; where there is none, the high watermark must do, as of old."""
        offset = high_watermark if end.end_offset < 0 else min(end.end_offset, log.log_end_offset)
        return OffsetTruncationState(offset, True)


class Kip279(Kip101):
    """2.0. The answer names the epoch that it is about, and both go back until they know the same one."""

    name = "kip279"

    def end_of_epoch(self, log: Log, epoch: int) -> EpochEndOffset:
        """As before, and whose end it is."""
        return _end_of_known_epoch(log, epoch)

    def truncation(self, log: Log, high_watermark: int, end: EpochEndOffset) -> OffsetTruncationState:
        """Cut where both agree. An epoch that this log does not know: cut to the end of the next smaller one, and ask for that."""
        if end.end_offset < 0:
            return OffsetTruncationState(high_watermark, True)
        own_epoch = log.end_offset_for_epoch(end.leader_epoch).leader_epoch
        return OffsetTruncationState(truncation_offset(log, *end), own_epoch in (end.leader_epoch, UNDEFINED_EPOCH))


class Kip320(Kip279):
    """2.1. Who lives in another leader epoch than the leader is refused: while truncating as well as while fetching.

    So the leader also counts for the high watermark only what was fetched in its own epoch.
    """

    name = "kip320"
    begins_epoch_when_elected = True

    def first_step(self, is_new_leader: bool) -> FirstStep:  # noqa: ARG002 - see below
        """In every new epoch: the same leader may have been a follower in between (KAFKA-7164)."""
        return FirstStep.ASK

    def current_leader_epoch(self, leader_epoch: int) -> int:
        """Told, in both phases."""
        return leader_epoch

    def end_of_epoch(self, log: Log, epoch: int) -> EpochEndOffset:
        """As today: an epoch older than all that is known ended where the first known one begins."""
        return log.end_offset_for_epoch(epoch)


class Kip595(TruncationPolicy):
    """2.8 (protocol version 2.7), and today. A follower fetches at once; the leader's answer says where the logs part (truncation.py).

    Simplified: a follower that knows no epoch fetches, too, where Kafka first truncates to the high watermark; its log is empty then.
    """

    name = "kip595"

    def first_step(self, is_new_leader: bool) -> FirstStep:  # noqa: ARG002 - never
        """Nothing comes before fetching."""
        return FirstStep.FETCH

    def fetched_epochs(self, log: Log) -> LeaderEpochCache:
        """Its own."""
        return log.leader_epochs


KIP_595 = Kip595()
GENERATIONS: Mapping[str, TruncationPolicy] = {
    policy.name: policy for policy in (TruncateToHighWatermark(), Kip101(), Kip279(), Kip320(), KIP_595)
}


def _end_of_known_epoch(log: Log, epoch: int) -> EpochEndOffset:
    """Until 2.1: a log says nothing of an epoch that is older than all it knows."""
    entries = log.leader_epochs.entries
    return log.end_offset_for_epoch(epoch) if entries and epoch >= entries[0].epoch else UNDEFINED
