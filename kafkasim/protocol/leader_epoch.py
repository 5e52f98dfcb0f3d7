"""Which leader epoch began at which offset: how a replica remembers whose records it holds.

In Kafka: LeaderEpochFileCache and its file `leader-epoch-checkpoint` (KIP-101, KIP-279). Every leader has an epoch of its own, and
records of one epoch were all ordered by one leader. So two replicas that know where each epoch began can find the place where
their logs part, and need not trust the high watermark, which always lags.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import NamedTuple

UNDEFINED_EPOCH = -1
UNDEFINED_EPOCH_OFFSET = -1


class EpochEntry(NamedTuple):
    """The first offset that the leader of `epoch` wrote, or would have written."""

    epoch: int
    start_offset: int


class EpochEndOffset(NamedTuple):
    """An epoch and the offset where it ends (exclusive); (-1, -1) where nothing is known."""

    leader_epoch: int
    end_offset: int


UNDEFINED = EpochEndOffset(UNDEFINED_EPOCH, UNDEFINED_EPOCH_OFFSET)

_EPOCH = itemgetter(0)


class LeaderEpochCache:
    """Entries ascending in both epoch and offset. `latest_epoch` is -1 while there is none.

    It survives a crash and a power loss: Kafka writes the checkpoint synchronously whenever an epoch is added.
    """

    __slots__ = ("entries", "latest_epoch")

    def __init__(self) -> None:
        self.entries: list[EpochEntry] = []
        self.latest_epoch = UNDEFINED_EPOCH

    def assign(self, epoch: int, start_offset: int) -> None:
        """WHO: a new leader at its log end, or whoever appends a batch of a new epoch. THEN: the epoch begins here.

        An epoch once assigned keeps its start. Entries that the new one contradicts (a later epoch, or one that begins no
        earlier) are dropped: they belong to leaders that wrote nothing which lasted.
        """
        entries = self.entries
        if entries and epoch == entries[-1].epoch and start_offset >= entries[-1].start_offset:
            return
        while entries and (entries[-1].epoch >= epoch or entries[-1].start_offset >= start_offset):
            entries.pop()
        entries.append(EpochEntry(epoch, start_offset))
        self.latest_epoch = epoch

    def end_offset_for(self, requested_epoch: int, log_end_offset: int) -> EpochEndOffset:
        """The largest known epoch not above `requested_epoch`, and where it ended: where the next one began, or the log's end.

        An epoch below all known ones ended where the first known one begins. One above all known ones is `UNDEFINED`.
        """
        if requested_epoch == self.latest_epoch:
            return EpochEndOffset(requested_epoch, log_end_offset) if requested_epoch >= 0 else UNDEFINED
        entries = self.entries
        higher = bisect_right(entries, requested_epoch, key=_EPOCH)
        if requested_epoch == UNDEFINED_EPOCH or higher == len(entries):
            return UNDEFINED
        floor_epoch = entries[higher - 1].epoch if higher else requested_epoch
        return EpochEndOffset(floor_epoch, entries[higher].start_offset)

    def epoch_for_offset(self, offset: int) -> int:
        """The epoch of the record at `offset`, -1 where it is below everything known."""
        for entry in reversed(self.entries):
            if entry.start_offset <= offset:
                return entry.epoch
        return UNDEFINED_EPOCH

    def truncate_from_end(self, end_offset: int) -> None:
        """WHEN the log was cut to `end_offset`. THEN: epochs that begin there or later are forgotten."""
        entries = self.entries
        while entries and entries[-1].start_offset >= end_offset:
            entries.pop()
        self.latest_epoch = entries[-1].epoch if entries else UNDEFINED_EPOCH

    def truncate_from_start(self, start_offset: int) -> None:
        """WHEN the log's start moved to `start_offset`. THEN: the epoch in force there begins there, older ones are forgotten."""
        entries = self.entries
        older = sum(1 for entry in entries if entry.start_offset <= start_offset)
        if older:
            entries[:older] = [EpochEntry(entries[older - 1].epoch, start_offset)]

    def clear(self) -> None:
        """WHEN the whole log was thrown away."""
        self.entries.clear()
        self.latest_epoch = UNDEFINED_EPOCH
