"""Where a voter of a controller quorum stands: org.apache.kafka.raft.QuorumState with its states (KIP-595; pre-vote KIP-996).

    Unattached   knows no leader; asks everybody who leads
    Prospective  heard from no leader for too long: asks whether the others would vote for it, in the *old* epoch
    Candidate    a majority would: a new epoch, and a vote for itself
    Leader       a majority did
    Follower     fetches from the leader
    Resigned     was the leader: of before a restart, or until it lost the majority; tells the others to elect another

The epoch only ever grows. A voter votes once an epoch, and its vote is on disk before the answer leaves: an epoch has one leader at most.
A candidate whose log lacks what the voter has (by epoch, then by length) gets no vote: so the leader has all that is committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.leader_state import LeaderState
from kafkasim.protocol.metadata_log import ControllerDisk, ElectionState
from kafkasim.protocol.node import Random
from kafkasim.protocol.raft_messages import NO_HIGH_WATERMARK, NO_NODE


class Role(Enum):
    """The name of an EpochState."""

    UNATTACHED = "unattached"
    PROSPECTIVE = "prospective"
    CANDIDATE = "candidate"
    LEADER = "leader"
    FOLLOWER = "follower"
    RESIGNED = "resigned"


class QuorumState:
    """One voter's state. `deadline`: when its election timeout ends or, for a follower, its fetch timeout; a leader's is in `leader`."""

    def __init__(
        self, local_id: int, voters: Sequence[int], config: BrokerConfig, disk: ControllerDisk, random: Random, now: float
    ) -> None:
        self.local_id = local_id
        self.voters = tuple(voters)
        self._election_timeout_ms = config.controller_quorum_election_timeout_ms
        self._fetch_timeout_ms = config.controller_quorum_fetch_timeout_ms
        self._disk = disk
        self._random = random
        self.role = Role.UNATTACHED
        self.epoch = 0
        self.leader_id = NO_NODE
        self.voted_for = NO_NODE
        self.high_watermark = NO_HIGH_WATERMARK
        self.deadline = 0.0
        self.leader: LeaderState | None = None
        self.successors: tuple[int, ...] = ()  # of a resigned leader: who should stand first
        self.has_fetched_from_leader = False
        self._votes: dict[int, bool] = {}  # of a prospective or a candidate: who granted or refused
        self._initialize(now)

    # ------------------------------------------------------------------------------------------------ looking

    @property
    def is_leader(self) -> bool:
        """Whether this voter leads its epoch."""
        return self.role is Role.LEADER

    @property
    def majority(self) -> int:
        """How many voters decide."""
        return len(self.voters) // 2 + 1

    @property
    def others(self) -> tuple[int, ...]:
        """All voters but this one."""
        return tuple(voter for voter in self.voters if voter != self.local_id)

    @property
    def unrecorded_voters(self) -> tuple[int, ...]:
        """Who has not answered in this election."""
        return tuple(voter for voter in self.voters if voter not in self._votes)

    @property
    def is_vote_granted(self) -> bool:
        """A majority has granted its vote."""
        return sum(self._votes.values()) >= self.majority

    @property
    def is_vote_rejected(self) -> bool:
        """A majority can no longer be had."""
        return len(self.voters) - sum(not granted for granted in self._votes.values()) < self.majority

    def can_grant_vote(self, candidate: int, log_up_to_date: bool, pre_vote: bool) -> bool:
        """Whether this voter would vote for `candidate` in its own epoch; `log_up_to_date`: the candidate has all that this voter has."""
        if self.role is Role.LEADER:
            return False
        if pre_vote:  # a follower that has fetched from its leader knows better: who stands has lost its connection, not its leader
            return log_up_to_date and not (self.role is Role.FOLLOWER and self.has_fetched_from_leader)
        if self.role not in {Role.UNATTACHED, Role.PROSPECTIVE}:
            return False
        if self.voted_for != NO_NODE:
            return self.voted_for == candidate
        return self.leader_id == NO_NODE and log_up_to_date

    # ------------------------------------------------------------------------------------------------ changing

    def to_unattached(self, epoch: int, now: float, leader_id: int = NO_NODE) -> None:
        """There is a higher epoch whose leader is not known; or a prospective lost its election and knows no leader to go back to."""
        waits_for_election = self.role in {Role.CANDIDATE, Role.UNATTACHED, Role.RESIGNED}
        waits_for_election = waits_for_election or (self.role is Role.PROSPECTIVE and not self.is_vote_rejected)
        deadline = self.deadline if waits_for_election else now + self._random_election_timeout_ms()
        voted_for = self.voted_for if epoch == self.epoch else NO_NODE
        self._enter(Role.UNATTACHED, ElectionState(epoch, leader_id, voted_for), deadline)

    def vote_for(self, candidate: int, now: float) -> None:
        """Grant a vote in this epoch. It is on disk before the candidate hears of it, who now gets the time of an election."""
        assert self.voted_for in {NO_NODE, candidate}, "a voter votes once an epoch"
        if self.voted_for == NO_NODE:
            self.voted_for = candidate
            self.deadline = now + self._random_election_timeout_ms()
            self._write()

    def to_follower(self, epoch: int, leader_id: int, now: float) -> None:
        """The leader of `epoch` is known: fetch from it."""
        assert leader_id != self.local_id, "nobody follows itself"
        voted_for = self.voted_for if epoch == self.epoch else NO_NODE
        self._enter(Role.FOLLOWER, ElectionState(epoch, leader_id, voted_for), now + self._fetch_timeout_ms)
        self.has_fetched_from_leader = False

    def to_prospective(self, now: float) -> None:
        """No leader was heard of for too long: ask around, in the same epoch."""
        self._enter(Role.PROSPECTIVE, ElectionState(self.epoch, self.leader_id, self.voted_for), now + self._random_election_timeout_ms())
        self._votes = {self.local_id: True}

    def to_candidate(self, now: float) -> None:
        """A majority would vote for this one: a new epoch begins with its own vote."""
        election = ElectionState(self.epoch + 1, NO_NODE, self.local_id)
        self._enter(Role.CANDIDATE, election, now + self._random_election_timeout_ms())
        self._votes = {self.local_id: True}

    def to_leader(self, now: float) -> LeaderState:
        """A majority has voted for this one. Of the high watermark the leader knows nothing yet: see leader_state.py."""
        assert self.role is Role.CANDIDATE, "a leader has been a candidate"
        assert self.is_vote_granted, "a leader has the votes of a majority"
        granting = [voter for voter, granted in self._votes.items() if granted]
        self._enter(Role.LEADER, ElectionState(self.epoch, self.local_id, self.local_id), now)
        self.high_watermark = NO_HIGH_WATERMARK
        self.leader = LeaderState(self.local_id, self.voters, granting, self._disk.log.end_offset, self._fetch_timeout_ms, now)
        return self.leader

    def to_resigned(self, now: float) -> None:
        """The leader has lost the majority, or is being stopped. It leads no more, and votes for nobody in its own epoch."""
        assert self.leader is not None, "who resigns has led"
        successors = self.leader.successors()
        self._enter(Role.RESIGNED, ElectionState(self.epoch, self.local_id, self.voted_for), now + self._random_election_timeout_ms())
        self.successors = successors

    def record_vote(self, voter: int, granted: bool) -> None:
        """A voter has answered the prospective or the candidate."""
        self._votes[voter] = granted

    def fetched(self, now: float) -> None:
        """The leader has answered a fetch: the follower's fetch timeout begins anew."""
        self.has_fetched_from_leader = True
        self.deadline = now + self._fetch_timeout_ms

    # ------------------------------------------------------------------------------------------------ helpers

    def _initialize(self, now: float) -> None:
        """WHEN the process starts. THEN it is what it was, by the quorum-state file; a leader is resigned, a candidate stands again."""
        election, last_epoch = self._disk.election, self._disk.log.last_epoch
        timeout_ms = self._random_election_timeout_ms()
        if election.epoch < last_epoch:
            election = ElectionState(last_epoch)
        if election.leader_id == self.local_id:
            self._enter(Role.RESIGNED, election, now + timeout_ms)
        elif election.voted_for == self.local_id:
            self._enter(Role.CANDIDATE, election, now + timeout_ms)
            self._votes = {self.local_id: True}
        elif election.leader_id != NO_NODE:
            self._enter(Role.FOLLOWER, election, now + self._fetch_timeout_ms)
        else:
            self._enter(Role.UNATTACHED, election, now + timeout_ms)

    def _enter(self, role: Role, election: ElectionState, deadline: float) -> None:
        assert election.epoch >= self.epoch, "an epoch only ever grows"
        self.role = role
        self.epoch, self.leader_id, self.voted_for = election
        self.deadline = deadline
        self.leader = None
        self.successors = ()
        self._votes = {}
        self._write()

    def _write(self) -> None:
        self._disk.election = ElectionState(self.epoch, self.leader_id, self.voted_for)

    def _random_election_timeout_ms(self) -> float:
        return self._election_timeout_ms + int(self._random() * self._election_timeout_ms)
