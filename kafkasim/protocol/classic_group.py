"""One consumer group under the classic protocol: org.apache.kafka.coordinator.group.classic.ClassicGroup, and what
GroupMetadataManager does with it.

    EMPTY -> PREPARING_REBALANCE -> COMPLETING_REBALANCE -> STABLE -> PREPARING_REBALANCE ...

A rebalance gathers JoinGroup requests and holds back their answers until every known member has come, or the time is up.
Then a new generation begins; the answers to SyncGroup bring each member its partitions.

Simplified: the coordinator computes the assignment itself when the leader's SyncGroup arrives (in Kafka the leader sends it along).
Simplified: no static membership (KIP-345): every start of a consumer is a new member.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from kafkasim.protocol.assignor import assign_ranges
from kafkasim.protocol.classic_group_member import GroupChanged, GroupState, Member, MemberRemoved
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import (
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)
from kafkasim.protocol.node import Trace
from kafkasim.protocol.records import GroupMember, GroupMetadataValue, TopicPartition

# How long a member that never got an answer to its JoinGroup stays: GroupCoordinatorConfig.CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS.
NEW_MEMBER_JOIN_TIMEOUT_MS = 300_000.0

Answers = list[tuple[str, object]]
PartitionsOf = Callable[[str], Sequence[TopicPartition]]


class ClassicGroup:
    """The members of one group, and the rebalance they may be in.

    `due` is a lower bound of the next instant at which `wake` has something to do: a heartbeat moves a session's end away
    without touching it, so that one wake-up a session timeout is enough however many heartbeats come.
    """

    __slots__ = (
        "_initial_delay_ms",
        "_initial_remaining_ms",
        "_initial_step_ms",
        "_join_deadline",
        "_partitions_of",
        "_sync_deadline",
        "_trace",
        "changed",
        "current_state_timestamp",
        "due",
        "generation",
        "leader",
        "members",
        "name",
        "new_member_added",
        "pending_members",
        "pending_sync",
        "state",
    )

    def __init__(self, name: str, initial_delay_ms: float, partitions_of: PartitionsOf, trace: Trace | None) -> None:
        self.name = name
        self.state = GroupState.EMPTY
        self.generation = 0
        self.leader = ""
        self.members: dict[str, Member] = {}
        self.pending_members: dict[str, float] = {}  # KIP-394: ids given out, and until when they may be used
        self.pending_sync: dict[str, None] = {}
        self.new_member_added = False
        self.current_state_timestamp = 0.0  # when it became EMPTY last
        self.changed = False  # the group's metadata differs from what was last handed to the log
        self.due = inf
        self._initial_delay_ms = initial_delay_ms
        self._initial_step_ms = -1.0  # of an initial rebalance (out of EMPTY) the delay being waited for, else -1
        self._initial_remaining_ms = 0.0
        self._join_deadline = inf
        self._sync_deadline = inf
        self._partitions_of = partitions_of
        self._trace = trace

    # ------------------------------------------------------------------------------------------------ requests

    def join(self, request: JoinGroupRequest, new_member_id: str, source: str, now: float, answers: Answers) -> None:
        """The coordinator, on JoinGroup, takes the member into the rebalance, starting one where need be (classicGroupJoin).

        Without a member id the caller gets one at once and comes back with it (MEMBER_ID_REQUIRED, KIP-394): a client that gives up
        on a long rebalance and joins again would else leave a ghost behind each time.
        """
        member_id = request.member_id
        if not member_id:
            self.pending_members[new_member_id] = now + request.session_timeout_ms
            self._arm(now + request.session_timeout_ms)
            answers.append((source, JoinGroupResponse(request.correlation_id, Error.MEMBER_ID_REQUIRED, -1, new_member_id)))
        elif member_id in self.pending_members:
            self._add_member(request, source, now, answers)
        elif member_id not in self.members:
            answers.append((source, JoinGroupResponse(request.correlation_id, Error.UNKNOWN_MEMBER_ID, -1, member_id)))
        else:
            self._rejoin(request, source, now, answers)

    def sync(self, request: SyncGroupRequest, source: str, now: float, answers: Answers) -> None:
        """The coordinator, on SyncGroup, answers with the member's partitions; the leader's is what all others wait for."""
        member = self.members.get(request.member_id)
        error = self._validate(member, request.generation)
        if error is Error.NONE and self.state is GroupState.PREPARING_REBALANCE:
            error = Error.REBALANCE_IN_PROGRESS
        if error is not Error.NONE or member is None:
            answers.append((source, SyncGroupResponse(request.correlation_id, error, ())))
            return
        self.pending_sync.pop(member.member_id, None)
        if not self.pending_sync:
            self._sync_deadline = inf
        if self.state is GroupState.STABLE:
            answers.append((source, SyncGroupResponse(request.correlation_id, Error.NONE, member.assignment)))
            return
        member.awaiting_sync = (source, request.correlation_id)
        if member.member_id == self.leader:
            self._become_stable(now, answers)

    def heartbeat(self, request: HeartbeatRequest, source: str, now: float, answers: Answers) -> None:
        """The coordinator, on Heartbeat, renews the session, and tells a member of a rebalance in progress to join it."""
        member = self.members.get(request.member_id)
        error = self._validate(member, request.generation)
        if member is not None and error is Error.NONE:
            self._renew_session(member, now)
            if self.state is GroupState.PREPARING_REBALANCE:
                error = Error.REBALANCE_IN_PROGRESS
        answers.append((source, HeartbeatResponse(request.correlation_id, error)))

    def leave(self, request: LeaveGroupRequest, source: str, now: float, answers: Answers) -> None:
        """The coordinator, on LeaveGroup, lets the member go and rebalances at once: nobody waits for a session to end."""
        member = self.members.get(request.member_id)
        error = Error.NONE
        if member is not None:
            self._remove(member, "left", answers)
            self._after_removal("a member left", now, answers)
        elif request.member_id in self.pending_members:
            del self.pending_members[request.member_id]
            self._maybe_complete_join(now, answers)
        else:
            error = Error.UNKNOWN_MEMBER_ID
        answers.append((source, LeaveGroupResponse(request.correlation_id, error)))

    def validate_offset_commit(self, generation: int, member_id: str, now: float) -> Error:
        """The coordinator, on OffsetCommit, refuses whoever is not of the current generation (ClassicGroup.validateOffsetCommit).

        This is what fences a consumer whose partitions have gone to another. Generation -1 is a consumer without group management.
        """
        if generation < 0 and self.state is GroupState.EMPTY:
            return Error.NONE
        member = self.members.get(member_id)
        error = self._validate(member, generation)
        if error is not Error.NONE or member is None:
            return error
        if self.state is GroupState.COMPLETING_REBALANCE:
            return Error.REBALANCE_IN_PROGRESS
        self._renew_session(member, now)  # a commit is as good as a heartbeat
        return Error.NONE

    # ------------------------------------------------------------------------------------------------ time

    def wake(self, now: float, answers: Answers) -> None:
        """The coordinator's timers: a rebalance that has waited long enough, members that did not sync, sessions that ended."""
        if self._join_deadline <= now:
            self._join_time_is_up(now, answers)
        if self._sync_deadline <= now:
            self._sync_time_is_up(now, answers)
        for member_id in [member_id for member_id, deadline in self.pending_members.items() if deadline <= now]:
            del self.pending_members[member_id]
            self._maybe_complete_join(now, answers)
        for member in [member for member in self.members.values() if member.session_deadline <= now]:
            if member.member_id in self.members:
                self._session_ended(member, now, answers)
        sessions = (member.session_deadline for member in self.members.values())
        self.due = min(self._join_deadline, self._sync_deadline, *self.pending_members.values(), *sessions)

    # ------------------------------------------------------------------------------------------------ the log

    def metadata(self) -> GroupMetadataValue:
        """What `__consumer_offsets` keeps of the group, so that another broker can go on with the same generation."""
        members = tuple(
            GroupMember(m.member_id, m.instance, m.session_timeout_ms, m.rebalance_timeout_ms, m.topics, m.assignment)
            for m in self.members.values()
        )
        return GroupMetadataValue(self.name, self.generation, self.leader, members, self.current_state_timestamp)

    def load(self, value: GroupMetadataValue, now: float) -> None:
        """A new coordinator, on reading the log, takes the group over as it was; every member has a full session to say hello."""
        self.generation, self.leader = value.generation, value.leader
        self.current_state_timestamp = value.current_state_timestamp
        self.members = {}
        for stored in value.members:
            member = Member(stored.member_id, stored.instance, stored.session_timeout_ms, stored.rebalance_timeout_ms, stored.topics)
            member.assignment, member.is_new = stored.assignment, False
            self.members[member.member_id] = member
            self._renew_session(member, now)
        self.state = GroupState.STABLE if self.members else GroupState.EMPTY

    def unload(self, answers: Answers) -> None:
        """A broker, on losing the group's partition, sends everybody whom it kept waiting to the new coordinator."""
        for member in self.members.values():
            self._answer_join(member, Error.NOT_COORDINATOR, answers)
            self._answer_sync(member, Error.NOT_COORDINATOR, answers)

    # ------------------------------------------------------------------------------------------------ joining

    def _add_member(self, request: JoinGroupRequest, source: str, now: float, answers: Answers) -> None:
        """A member that has its id is in from now on; while it waits for its first answer it cannot send heartbeats."""
        member = Member(request.member_id, request.instance, request.session_timeout_ms, request.rebalance_timeout_ms, request.topics)
        if self._initial_step_ms >= 0:
            self.new_member_added = True
        del self.pending_members[member.member_id]
        self.members[member.member_id] = member
        self.leader = self.leader or member.member_id
        member.awaiting_join = (source, request.correlation_id)
        member.session_deadline = now + NEW_MEMBER_JOIN_TIMEOUT_MS
        self._arm(member.session_deadline)
        self._prepare_or_complete(f"{member.instance} joins", now, answers)

    def _rejoin(self, request: JoinGroupRequest, source: str, now: float, answers: Answers) -> None:
        """A known member joins: part of a rebalance, the start of one (the leader, or new topics), or an answer that it missed."""
        member = self.members[request.member_id]
        preparing = self.state is GroupState.PREPARING_REBALANCE
        is_stable_leader = self.state is GroupState.STABLE and member.member_id == self.leader
        if not preparing and not is_stable_leader and member.topics == request.topics:
            answers.append((source, JoinGroupResponse(request.correlation_id, Error.NONE, self.generation, member.member_id)))
            return
        member.topics = request.topics
        member.session_timeout_ms, member.rebalance_timeout_ms = request.session_timeout_ms, request.rebalance_timeout_ms
        member.awaiting_join = (source, request.correlation_id)
        self._prepare_or_complete(f"{member.instance} joins again", now, answers)

    def _prepare_or_complete(self, reason: str, now: float, answers: Answers) -> None:
        if self.state is GroupState.PREPARING_REBALANCE:
            self._maybe_complete_join(now, answers)
        else:
            self._prepare_rebalance(reason, now, answers)

    def _prepare_rebalance(self, reason: str, now: float, answers: Answers) -> None:
        """Begin a rebalance. An empty group waits group.initial.rebalance.delay.ms for more members (KIP-134), else for all known ones."""
        if self.state is GroupState.COMPLETING_REBALANCE:
            for member in self.members.values():
                member.assignment = ()
                self._answer_sync(member, Error.REBALANCE_IN_PROGRESS, answers)
        self._sync_deadline = inf
        self.pending_sync.clear()
        was_empty = self.state is GroupState.EMPTY
        self._enter(GroupState.PREPARING_REBALANCE, reason)
        if was_empty:
            self.new_member_added = False
            self._initial_step_ms = self._initial_delay_ms
            self._initial_remaining_ms = max(self._rebalance_timeout_ms() - self._initial_delay_ms, 0.0)
            self._join_deadline = now + self._initial_delay_ms
            self._arm(self._join_deadline)
            return
        self._join_deadline = now + self._rebalance_timeout_ms()
        self._arm(self._join_deadline)
        self._maybe_complete_join(now, answers)

    def _maybe_complete_join(self, now: float, answers: Answers) -> None:
        if self.state is not GroupState.PREPARING_REBALANCE or self._initial_step_ms >= 0 or self.pending_members:
            return
        if all(member.awaiting_join is not None for member in self.members.values()):
            self._complete_join(now, answers)

    def _join_time_is_up(self, now: float, answers: Answers) -> None:
        """The wait is over, except that the initial one is prolonged by one more delay as long as new members keep coming."""
        if self._initial_step_ms >= 0 and self.new_member_added and self._initial_remaining_ms > 0:
            self.new_member_added = False
            step = min(self._initial_delay_ms, self._initial_remaining_ms)
            self._initial_remaining_ms = max(self._initial_remaining_ms - self._initial_step_ms, 0.0)
            self._initial_step_ms = step
            self._join_deadline = now + step
        else:
            self._complete_join(now, answers)

    def _complete_join(self, now: float, answers: Answers) -> None:
        """A new generation of those who came; who did not come is out (completeClassicGroupJoin)."""
        self._join_deadline = inf
        self._initial_step_ms = -1.0
        for member in [member for member in self.members.values() if member.awaiting_join is None]:
            self._remove(member, "did not rejoin in time", answers)
        self.generation += 1
        if not self.members:
            self._enter(GroupState.EMPTY, "no members")
            self.current_state_timestamp = now
            self.changed = True
            return
        self._enter(GroupState.COMPLETING_REBALANCE, "all have joined")
        for member in self.members.values():
            self._answer_join(member, Error.NONE, answers)
            self._renew_session(member, now)
            member.is_new = False
            self.pending_sync[member.member_id] = None
        self._sync_deadline = now + self._rebalance_timeout_ms()
        self._arm(self._sync_deadline)

    # ------------------------------------------------------------------------------------------------ syncing

    def _become_stable(self, now: float, answers: Answers) -> None:
        """Deal out the partitions and answer everybody who has asked already; the others will be answered when they ask.

        Simplified: Kafka answers only once the group's metadata is replicated; here the log is written meanwhile.
        """
        topics = dict.fromkeys(topic for member in self.members.values() for topic in member.topics)
        subscriptions = {member_id: member.topics for member_id, member in self.members.items()}
        assignment = assign_ranges(subscriptions, {topic: self._partitions_of(topic) for topic in topics})
        for member in self.members.values():
            member.assignment = assignment[member.member_id]
        self._enter(GroupState.STABLE, "assigned")
        self.changed = True
        for member in self.members.values():
            if self._answer_sync(member, Error.NONE, answers):
                self._renew_session(member, now)

    def _sync_time_is_up(self, now: float, answers: Answers) -> None:
        """Who took part in the join but never asked for its assignment is out (expirePendingSync)."""
        self._sync_deadline = inf
        for member_id in list(self.pending_sync):
            self._remove(self.members[member_id], "did not sync in time", answers)
        self._prepare_rebalance("members did not sync", now, answers)

    # ------------------------------------------------------------------------------------------------ leaving

    def _session_ended(self, member: Member, now: float, answers: Answers) -> None:
        if not member.is_new and (member.awaiting_join is not None or member.awaiting_sync is not None):
            member.session_deadline = inf  # it is the coordinator that keeps this member waiting; its session begins anew with the answer
            return
        self._remove(member, "session.timeout.ms without a heartbeat", answers)
        self._after_removal(f"the session of {member.instance} ended", now, answers)

    def _after_removal(self, reason: str, now: float, answers: Answers) -> None:
        if self.state in (GroupState.STABLE, GroupState.COMPLETING_REBALANCE):
            self._prepare_rebalance(reason, now, answers)
        else:
            self._maybe_complete_join(now, answers)

    def _remove(self, member: Member, reason: str, answers: Answers) -> None:
        self._answer_join(member, Error.UNKNOWN_MEMBER_ID, answers)
        del self.members[member.member_id]
        self.pending_sync.pop(member.member_id, None)
        if self.leader == member.member_id:
            self.leader = next(iter(self.members), "")
        if self._trace is not None:
            self._trace(MemberRemoved(self.name, member.instance, member.member_id, reason))

    # ------------------------------------------------------------------------------------------------ helpers

    def _validate(self, member: Member | None, generation: int) -> Error:
        if member is None:
            return Error.UNKNOWN_MEMBER_ID
        return Error.NONE if generation == self.generation else Error.ILLEGAL_GENERATION

    def _answer_join(self, member: Member, error: Error, answers: Answers) -> None:
        if member.awaiting_join is not None:
            source, correlation_id = member.awaiting_join
            member.awaiting_join = None
            answers.append((source, JoinGroupResponse(correlation_id, error, self.generation, member.member_id)))

    def _answer_sync(self, member: Member, error: Error, answers: Answers) -> bool:
        if member.awaiting_sync is None:
            return False
        source, correlation_id = member.awaiting_sync
        member.awaiting_sync = None
        answers.append((source, SyncGroupResponse(correlation_id, error, member.assignment if error is Error.NONE else ())))
        return True

    def _renew_session(self, member: Member, now: float) -> None:
        member.session_deadline = now + member.session_timeout_ms
        self._arm(member.session_deadline)

    def _arm(self, deadline: float) -> None:
        self.due = min(self.due, deadline)

    def _rebalance_timeout_ms(self) -> float:
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0.0)

    def _enter(self, state: GroupState, reason: str) -> None:
        self.state = state
        if self._trace is not None:
            members = tuple((member.instance, member.assignment) for member in self.members.values())
            self._trace(GroupChanged(self.name, state, self.generation, reason, members))
