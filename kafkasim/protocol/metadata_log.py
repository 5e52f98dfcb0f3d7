"""One controller's copy of the metadata log, and its quorum-state file: all that a controller has on disk.

In Kafka: KafkaMetadataLog (the log of __cluster_metadata-0), FileQuorumStateStore. Both are flushed before anybody hears of them, the
votes as well as the records (KafkaRaftClient.flushLeaderLog, appendAsFollower): a power loss takes nothing that was promised.

Simplified: a follower's flush and a leader's take no time, and what is written is flushed in the same instant.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kafkasim.protocol.leader_epoch import UNDEFINED_EPOCH, EpochEndOffset, LeaderEpochCache
from kafkasim.protocol.messages import MetadataRecord
from kafkasim.protocol.raft_messages import NO_NODE


class ElectionState(NamedTuple):
    """What the file `quorum-state` holds: the epoch, whom this voter voted for in it, and who won."""

    epoch: int = 0
    leader_id: int = NO_NODE
    voted_for: int = NO_NODE


class MetadataLog:
    """Records with the epoch of the leader that wrote each. Two logs that have an (offset, epoch) in common agree on all before it."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, MetadataRecord]] = []
        self._epochs = LeaderEpochCache()

    @property
    def end_offset(self) -> int:
        """The offset that the next record will have."""
        return len(self.entries)

    @property
    def last_epoch(self) -> int:
        """The epoch of the last record; 0 in an empty log."""
        return self.entries[-1][0] if self.entries else 0

    def append(self, entries: Iterable[tuple[int, MetadataRecord]]) -> None:
        """Write (epoch, record) after (epoch, record), and flush."""
        for epoch, record in entries:
            self._epochs.assign(epoch, self.end_offset)
            self.entries.append((epoch, record))

    def end_offset_for(self, epoch: int) -> EpochEndOffset:
        """The largest epoch in the log that is not above `epoch`, and where it ends (KafkaMetadataLog.endOffsetForEpoch)."""
        known = self._epochs.end_offset_for(epoch, self.end_offset)
        return EpochEndOffset(self.last_epoch, self.end_offset) if known.leader_epoch == UNDEFINED_EPOCH else known

    def diverges_at(self, fetch_offset: int, last_fetched_epoch: int) -> EpochEndOffset | None:
        """Where a follower that has `fetch_offset` records, the last of `last_fetched_epoch`, must look for the parting of the logs.

        None if there is no parting: its log is a beginning of this one (ReplicatedLog.validateOffsetAndEpoch).
        """
        if fetch_offset == 0:
            return None
        end = self.end_offset_for(last_fetched_epoch)
        return end if end.leader_epoch != last_fetched_epoch or end.end_offset < fetch_offset else None

    def truncate_to(self, diverging: EpochEndOffset) -> int:
        """Cut off what the leader does not have, by its answer to a fetch that diverged. Returns the new end (truncateToEndOffset)."""
        local = self.end_offset_for(diverging.leader_epoch)
        end = min(local.end_offset, diverging.end_offset) if local.leader_epoch == diverging.leader_epoch else local.end_offset
        del self.entries[end:]
        self._epochs.truncate_from_end(end)
        return end


class ControllerDisk:
    """Survives every crash of its controller, and every power loss."""

    def __init__(self) -> None:
        self.election = ElectionState()
        self.log = MetadataLog()
