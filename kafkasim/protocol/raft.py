"""One voter of the controller quorum: org.apache.kafka.raft.KafkaRaftClient (KIP-595, KIP-996, KIP-1166).

It keeps one copy of the metadata log and takes part in electing who writes it. Followers *fetch*, from the leader and from nobody else:
a fetch says how far its sender has copied the log, and where the logs part its answer says how far to cut back.

`receive` takes what other voters and the brokers say; `poll` does what the state asks for by now, as KafkaRaftClient.poll does.

Simplified: the voters are fixed (no KIP-853), there are no snapshots, and no requests are turned away for coming from another cluster.
Simplified: after an answer that is no help a voter is left alone for controller.quorum.retry.backoff.ms; Kafka asks again at once.
Simplified: the leader does not gather records for controller.quorum.append.linger.ms (25): each write is appended at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import LeaderChange, MetadataFetchRequest, MetadataRecord
from kafkasim.protocol.metadata_log import ControllerDisk
from kafkasim.protocol.node import Connected, Disconnected, Output, Random, Send, Trace
from kafkasim.protocol.quorum_state import QuorumState, Role
from kafkasim.protocol.raft_fetches import RaftFetches
from kafkasim.protocol.raft_messages import (
    NO_NODE,
    BeginQuorumEpochRequest,
    BeginQuorumEpochResponse,
    EndQuorumEpochRequest,
    EndQuorumEpochResponse,
    QuorumFetchRequest,
    QuorumFetchResponse,
    VoteRequest,
    VoteResponse,
)
from kafkasim.protocol.raft_requests import RequestManager
from kafkasim.protocol.scheduled_tasks import Alarm


class QuorumStateChanged(NamedTuple):
    """A controller's part in the quorum is another one now. `leader_id` is -1 where it knows none."""

    controller_id: int
    role: str
    epoch: int
    leader_id: int


class RaftNode:
    """One process of a voter; `disk` is older than it. What it wants to send goes to `outbox`."""

    def __init__(
        self,
        local_id: int,
        voters: Sequence[int],
        config: BrokerConfig,
        disk: ControllerDisk,
        outbox: list[Output],
        random: Random,
        now: float,
        trace: Trace | None = None,
    ) -> None:
        self.log = disk.log
        self.quorum = QuorumState(local_id, voters, config, disk, random, now)
        self._local_id = local_id
        self._config = config
        self._outbox = outbox
        self._trace = trace
        channel = f"quorum-{local_id}"  # each direction has a connection of its own, and so a name of its own
        self._requests = RequestManager(channel, self.quorum.others, config, outbox, Alarm(), random)
        self._fetches = RaftFetches(self.quorum, disk.log, outbox)
        self._resignation_unseen: list[int] = []  # who has not acknowledged that this leader resigned
        self._state_traced: tuple[Role, int, int] | None = None
        if self.quorum.role is Role.RESIGNED:
            self._resignation_unseen = list(self.quorum.others)
        elif self.quorum.role is Role.CANDIDATE and self.quorum.is_vote_granted:
            self._become_leader(now)
        self.handlers: dict[type, Callable[[Any, str, float], None]] = {
            VoteRequest: self._vote,
            BeginQuorumEpochRequest: self._begin_quorum_epoch,
            EndQuorumEpochRequest: self._end_quorum_epoch,
            QuorumFetchRequest: self._fetches.fetch,
            MetadataFetchRequest: self._fetches.fetch,
            VoteResponse: self._vote_answered,
            BeginQuorumEpochResponse: self._begin_quorum_epoch_answered,
            EndQuorumEpochResponse: self._end_quorum_epoch_answered,
            QuorumFetchResponse: self._fetch_answered,
            Connected: self._connected,
            Disconnected: self._disconnected,
        }

    # ------------------------------------------------------------------------------------------------ what the controller asks for

    @property
    def high_watermark(self) -> int:
        """Up to where the log is known to be committed; -1 where that is not known yet."""
        leader = self.quorum.leader
        return self.quorum.high_watermark if leader is None else leader.high_watermark

    def append(self, records: Sequence[MetadataRecord]) -> None:
        """WHO: the active controller. THEN `records` are in the leader's log, and committed once a majority has fetched them."""
        leader = self.quorum.leader
        assert leader is not None, "only the leader appends"
        self.log.append((self.quorum.epoch, record) for record in records)
        leader.update_local_end(self.log.end_offset)

    def resign(self, now: float) -> None:
        """WHO: the leader. WHEN it is asked to stop, or a majority no longer fetches from it. THEN the others are told to elect another."""
        self.quorum.to_resigned(now)
        self._resignation_unseen = list(self.quorum.others)
        self._state_changed(now)

    def receive(self, event: object, source: str, now: float) -> None:
        """Take a request or an answer of another voter, a broker's fetch, or news of a connection."""
        self.handlers[type(event)](event, source, now)

    # ------------------------------------------------------------------------------------------------ what time asks for

    def poll(self, now: float) -> None:
        """WHEN something was received, or `next_deadline` has come. THEN: elections, then requests, then answers to fetches."""
        self._requests.wake(now)
        while self._changes_state(now):
            pass
        self._send_requests(now)
        self._fetches.complete(now)

    def next_deadline(self) -> float:
        """When `poll` has something to do that nothing received will bring about."""
        quorum, leader = self.quorum, self.quorum.leader
        deadline = min(leader.check_quorum_deadline, leader.begin_quorum_at) if leader is not None else quorum.deadline
        return min(deadline, self._requests.next_deadline(self._wanted()), self._fetches.next_deadline())

    def _changes_state(self, now: float) -> bool:
        """One transition that time brings about, if any (pollLeader, pollCandidate, …)."""
        quorum, leader = self.quorum, self.quorum.leader
        if leader is not None:
            if leader.check_quorum_deadline <= now:
                self.resign(now)
                return True
            return False
        if quorum.deadline > now:
            return False
        match quorum.role:
            case Role.RESIGNED:
                self._to_unattached(quorum.epoch + 1, now)
            case Role.PROSPECTIVE:
                self._lose_election(now)
            case _:
                self._to_prospective(now)
        return True

    def _wanted(self) -> Sequence[int]:
        """The voters that this one wants an answer of, as soon as they are ready."""
        quorum = self.quorum
        match quorum.role:
            case Role.LEADER:
                return ()
            case Role.PROSPECTIVE | Role.CANDIDATE:
                return () if quorum.is_vote_rejected else quorum.unrecorded_voters
            case Role.RESIGNED:
                return self._resignation_unseen
            case _:
                return () if self._requests.busy else quorum.others

    def _send_requests(self, now: float) -> None:
        quorum, leader = self.quorum, self.quorum.leader
        match quorum.role:
            case Role.LEADER:
                assert leader is not None, "a leader has a leader's state"
                if leader.begin_quorum_at <= now:
                    self._requests.request(quorum.others, lambda number: BeginQuorumEpochRequest(number, self._local_id, quorum.epoch), now)
                    leader.sent_begin_quorum(now)
            case Role.PROSPECTIVE | Role.CANDIDATE:
                self._requests.request(self._wanted(), self._vote_request, now)
            case Role.RESIGNED:
                known = (self._local_id, quorum.epoch, quorum.successors)
                self._requests.request(self._wanted(), lambda number: EndQuorumEpochRequest(number, *known), now)
            case _:  # where the leader is unknown or its connection just failed, any voter may know more (maybeSendFetchToBestNode)
                self._requests.request(self._requests.best_of(quorum.leader_id, now), self._fetch_request, now)

    def _vote_request(self, number: int) -> VoteRequest:
        quorum = self.quorum
        pre_vote = quorum.role is Role.PROSPECTIVE
        return VoteRequest(number, self._local_id, quorum.epoch, self.log.last_epoch, self.log.end_offset, pre_vote)

    def _fetch_request(self, number: int) -> QuorumFetchRequest:
        log = self.log
        return QuorumFetchRequest(number, self._local_id, self.quorum.epoch, log.end_offset, log.last_epoch, self.high_watermark)

    # ------------------------------------------------------------------------------------------------ requests of other voters

    def _vote(self, request: VoteRequest, source: str, now: float) -> None:
        """WHO: a prospective or a candidate. THEN it gets this voter's vote, or is refused; a higher epoch is entered either way."""
        quorum = self.quorum
        granted = False
        error = self._refusal_of(request.replica_epoch)
        if error is Error.NONE:
            if request.replica_epoch > quorum.epoch:
                self._to_unattached(request.replica_epoch, now)
            up_to_date = (request.last_epoch, request.last_offset) >= (self.log.last_epoch, self.log.end_offset)
            granted = quorum.can_grant_vote(request.replica_id, up_to_date, request.pre_vote)
            if granted and not request.pre_vote:
                quorum.vote_for(request.replica_id, now)
        self._outbox.append(Send(source, VoteResponse(request.correlation_id, error, quorum.leader_id, quorum.epoch, granted)))

    def _begin_quorum_epoch(self, request: BeginQuorumEpochRequest, source: str, now: float) -> None:
        """WHO: a new leader. THEN this voter follows it."""
        error = self._refusal_of(request.leader_epoch)
        if error is Error.NONE:
            self._maybe_transition(request.leader_id, request.leader_epoch, now)
        answer = BeginQuorumEpochResponse(request.correlation_id, error, self.quorum.leader_id, self.quorum.epoch)
        self._outbox.append(Send(source, answer))

    def _end_quorum_epoch(self, request: EndQuorumEpochRequest, source: str, now: float) -> None:
        """WHO: a leader that resigned. THEN its followers stand for election, the first of its successors at once."""
        quorum = self.quorum
        error = self._refusal_of(request.leader_epoch)
        if error is Error.NONE:
            self._maybe_transition(request.leader_id, request.leader_epoch, now)
            if quorum.role is Role.FOLLOWER and quorum.leader_id == request.leader_id:
                quorum.deadline = now + self._election_backoff_ms(request.preferred_successors)
        self._outbox.append(Send(source, EndQuorumEpochResponse(request.correlation_id, error, quorum.leader_id, quorum.epoch)))

    def _election_backoff_ms(self, successors: Sequence[int]) -> float:
        """In the order of the successors: nothing, then ever longer, then controller.quorum.election.backoff.max.ms (KIP-595)."""
        longest = self._config.controller_quorum_election_backoff_max_ms
        if self._local_id not in successors:
            return 0.0 if not successors else longest
        position = successors.index(self._local_id)
        return 0.0 if position == 0 else min(longest, (longest >> (len(successors) - 1)) << (position - 1))

    def _refusal_of(self, epoch: int) -> Error:
        """Who speaks of a past epoch is told of the present one (validateVoterOnlyRequest)."""
        return Error.FENCED_LEADER_EPOCH if epoch < self.quorum.epoch else Error.NONE

    # ------------------------------------------------------------------------------------------------ answers

    def _vote_answered(self, response: VoteResponse, source: str, now: float) -> None:
        """WHO: a voter. THEN a prospective with a majority stands, a candidate with a majority leads."""
        quorum = self.quorum
        voter = self._requests.answered(response.correlation_id, source)
        if voter is None or self._is_handled(response.error, response.leader_id, response.leader_epoch, now):
            return
        if quorum.role not in {Role.PROSPECTIVE, Role.CANDIDATE}:
            return
        quorum.record_vote(voter, response.vote_granted)
        if quorum.is_vote_granted:
            if quorum.role is Role.PROSPECTIVE:
                self._to_candidate(now)
            else:
                self._become_leader(now)
        elif quorum.is_vote_rejected and quorum.role is Role.PROSPECTIVE:
            self._lose_election(now)

    def _begin_quorum_epoch_answered(self, response: BeginQuorumEpochResponse, source: str, now: float) -> None:
        if self._requests.answered(response.correlation_id, source) is not None:
            self._is_handled(response.error, response.leader_id, response.leader_epoch, now)

    def _end_quorum_epoch_answered(self, response: EndQuorumEpochResponse, source: str, now: float) -> None:
        voter = self._requests.answered(response.correlation_id, source)
        if voter is None or self._is_handled(response.error, response.leader_id, response.leader_epoch, now):
            return
        if voter in self._resignation_unseen:
            self._resignation_unseen.remove(voter)

    def _fetch_answered(self, response: QuorumFetchResponse, source: str, now: float) -> None:
        """WHO: the leader, or a voter that knows who leads. THEN the follower appends, or cuts back what the leader does not have."""
        quorum = self.quorum
        voter = self._requests.answered(response.correlation_id, source)
        if voter is None:
            return
        known = quorum.epoch, quorum.leader_id
        if self._is_handled(response.error, response.leader_id, response.leader_epoch, now):
            if (quorum.epoch, quorum.leader_id) == known:
                self._requests.back_off(voter, now)
            return
        assert quorum.role is Role.FOLLOWER, "only the leader answers a fetch without an error, and who knows it follows it"
        if response.diverging is not None:
            end = self.log.truncate_to(response.diverging)
            assert end >= quorum.high_watermark, "what is committed is never cut off"
        else:
            self.log.append(response.records)
            quorum.high_watermark = max(quorum.high_watermark, min(self.log.end_offset, response.high_watermark))
        quorum.fetched(now)

    def _is_handled(self, error: Error, leader_id: int, epoch: int, now: float) -> bool:
        """What every answer says of leader and epoch comes first; True if nothing is left to do (maybeHandleCommonResponse)."""
        quorum = self.quorum
        if epoch < quorum.epoch or error is Error.UNKNOWN_LEADER_EPOCH:
            return True
        if epoch > quorum.epoch or error is not Error.NONE:
            self._maybe_transition(leader_id, epoch, now)
            return True
        if leader_id != NO_NODE and quorum.leader_id == NO_NODE:
            self._to_follower(epoch, leader_id, now)
        return False

    # ------------------------------------------------------------------------------------------------ transitions

    def _maybe_transition(self, leader_id: int, epoch: int, now: float) -> None:
        quorum = self.quorum
        assert epoch != quorum.epoch or leader_id == NO_NODE or quorum.leader_id in {NO_NODE, leader_id}, "an epoch has one leader"
        if epoch > quorum.epoch and leader_id == NO_NODE:
            self._to_unattached(epoch, now)
        elif epoch > quorum.epoch or (leader_id != NO_NODE and quorum.leader_id == NO_NODE):
            self._to_follower(epoch, leader_id, now)

    def _to_unattached(self, epoch: int, now: float, leader_id: int = NO_NODE) -> None:
        self.quorum.to_unattached(epoch, now, leader_id)
        self._state_changed(now)

    def _to_follower(self, epoch: int, leader_id: int, now: float) -> None:
        self.quorum.to_follower(epoch, leader_id, now)
        self._state_changed(now)

    def _to_prospective(self, now: float) -> None:
        self.quorum.to_prospective(now)
        self._state_changed(now)
        if self.quorum.is_vote_granted:
            self._to_candidate(now)

    def _to_candidate(self, now: float) -> None:
        self.quorum.to_candidate(now)
        self._state_changed(now)
        if self.quorum.is_vote_granted:
            self._become_leader(now)

    def _lose_election(self, now: float) -> None:
        """A prospective that is not wanted goes back to its leader, if it knows one (prospectiveTransitionAfterElectionLoss)."""
        quorum = self.quorum
        if quorum.leader_id not in {NO_NODE, self._local_id}:
            self._to_follower(quorum.epoch, quorum.leader_id, now)
        else:
            self._to_unattached(quorum.epoch, now, quorum.leader_id)

    def _become_leader(self, now: float) -> None:
        """WHO: a candidate. WHEN it has the votes. THEN the first record of its epoch is in its log (onBecomeLeader)."""
        leader = self.quorum.to_leader(now)
        self._state_changed(now)
        self.append([LeaderChange(self._local_id, self.quorum.voters, leader.granting_voters)])

    def _state_changed(self, now: float) -> None:
        self._requests.reset(now)
        quorum = self.quorum
        if self._trace is not None and (quorum.role, quorum.epoch, quorum.leader_id) != self._state_traced:
            self._state_traced = (quorum.role, quorum.epoch, quorum.leader_id)
            self._trace(QuorumStateChanged(self._local_id, quorum.role.value, quorum.epoch, quorum.leader_id))

    # ------------------------------------------------------------------------------------------------ connections

    def _connected(self, event: Connected, _source: str, now: float) -> None:
        channel = self._requests.channels.get(event.peer)
        if channel is not None:
            channel.connected(now)

    def _disconnected(self, event: Disconnected, source: str, now: float) -> None:
        """Of a connection of ours: its request has failed. Of another: the fetch that waited on it is forgotten."""
        channel = self._requests.channels.get(event.peer)
        if channel is not None:
            channel.disconnected(now)
        else:
            self._fetches.forget(source or event.peer)
