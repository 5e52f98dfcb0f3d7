"""What the voters of a controller quorum say to each other: Vote, BeginQuorumEpoch, EndQuorumEpoch and Fetch (KIP-595, KIP-996, KIP-1166).

Every answer names the leader and the epoch that its sender knows, so that each exchange also brings the news of an election. A leader or
a candidate with a lower epoch than the receiver's is refused with FENCED_LEADER_EPOCH.
"""

from __future__ import annotations

from typing import NamedTuple

from kafkasim.protocol.errors import Error
from kafkasim.protocol.leader_epoch import EpochEndOffset
from kafkasim.protocol.messages import MetadataRecord

NO_NODE = -1  # instead of a voter's id: nobody
NO_HIGH_WATERMARK = -1  # instead of a high watermark: not known yet


class VoteRequest(NamedTuple):
    """Vote for me in `replica_epoch`; my log ends at `last_offset` (exclusive), whose last record has `last_epoch`.

    `pre_vote` (KIP-996): would you, if I asked? It changes nobody's epoch and is no vote.
    """

    correlation_id: int
    replica_id: int
    replica_epoch: int
    last_epoch: int
    last_offset: int
    pre_vote: bool


class VoteResponse(NamedTuple):
    """Granted or refused; with an error the epoch was a past one."""

    correlation_id: int
    error: Error
    leader_id: int
    leader_epoch: int
    vote_granted: bool


class BeginQuorumEpochRequest(NamedTuple):
    """The new leader, to every voter, at once and again each half controller.quorum.fetch.timeout.ms: fetch from me."""

    correlation_id: int
    leader_id: int
    leader_epoch: int


class BeginQuorumEpochResponse(NamedTuple):
    """The voter follows the leader now, or knows a later epoch."""

    correlation_id: int
    error: Error
    leader_id: int
    leader_epoch: int


class EndQuorumEpochRequest(NamedTuple):
    """A leader that has resigned: elect another. The first of `preferred_successors` need not wait, the next a little, and so on."""

    correlation_id: int
    leader_id: int
    leader_epoch: int
    preferred_successors: tuple[int, ...]


class EndQuorumEpochResponse(NamedTuple):
    """The voter has heard it."""

    correlation_id: int
    error: Error
    leader_id: int
    leader_epoch: int


class QuorumFetchRequest(NamedTuple):
    """A voter: give me the metadata log from `fetch_offset` on; what I have ends in `last_fetched_epoch`.

    So it also says how far it has copied the log. With its high watermark (KIP-1166) it is answered as soon as there is a higher one.
    """

    correlation_id: int
    replica_id: int
    current_leader_epoch: int
    fetch_offset: int
    last_fetched_epoch: int
    high_watermark: int


class QuorumFetchResponse(NamedTuple):
    """Each record with its epoch; or `diverging`, the largest epoch not above the follower's that the leader knows, and where it ends."""

    correlation_id: int
    error: Error
    leader_id: int
    leader_epoch: int
    high_watermark: int = NO_HIGH_WATERMARK
    diverging: EpochEndOffset | None = None
    records: tuple[tuple[int, MetadataRecord], ...] = ()
