"""Elections and the metadata log of a controller quorum (KIP-595, KIP-996), one rule a test."""

from __future__ import annotations

import pytest
from three_controllers import VOTERS, Quorum, record

from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.leader_epoch import EpochEndOffset
from kafkasim.protocol.messages import LeaderChange
from kafkasim.protocol.metadata_log import ControllerDisk, ElectionState, MetadataLog
from kafkasim.protocol.quorum_state import QuorumState, Role
from kafkasim.protocol.raft_messages import NO_NODE, QuorumFetchRequest, QuorumFetchResponse, VoteRequest, VoteResponse

FETCH_TIMEOUT = 2_000.0


def state(voter: int = 100, disk: ControllerDisk | None = None) -> QuorumState:
    return QuorumState(voter, VOTERS, BrokerConfig(), disk or ControllerDisk(), lambda: 0.5, 0.0)


def test_three_voters_elect_one_leader_whose_first_record_is_committed() -> None:
    quorum = Quorum()
    leader = quorum.leader()
    quorum.advance(1_000)
    assert quorum.leaders == [leader]
    for voter in VOTERS:
        assert quorum.raft(voter).quorum.leader_id == leader
        assert quorum.raft(voter).high_watermark == 1
        assert isinstance(quorum.disks[voter].log.entries[0][1], LeaderChange)


def test_a_single_voter_leads_at_once_and_commits_what_it_writes() -> None:
    quorum = Quorum(voters=(100,))
    quorum.advance(2_000)
    assert quorum.leaders == [100]
    quorum.append(100, 1, 2)
    assert quorum.raft(100).high_watermark == 3


def test_what_is_written_is_committed_once_a_majority_has_fetched_it() -> None:
    quorum = Quorum()
    leader = quorum.leader()
    one, other = quorum.others(leader)
    quorum.cut(f"controller-{leader}", f"controller-{one}", f"controller-{other}")
    quorum.append(leader, 1)
    assert quorum.raft(leader).high_watermark == 1
    quorum.heal()
    assert quorum.raft(leader).high_watermark == 2
    assert quorum.raft(one).high_watermark == 2  # KIP-1166: a follower is told at once


def test_a_leader_that_crashes_is_followed_by_another_within_the_fetch_timeout_and_an_election() -> None:
    quorum = Quorum()
    leader = quorum.leader()
    quorum.advance(3_000)
    quorum.down(leader)
    crashed = quorum.now
    successor = quorum.leader()
    assert successor != leader
    assert FETCH_TIMEOUT - 500 <= quorum.now - crashed <= FETCH_TIMEOUT + 3_000
    assert quorum.raft(successor).quorum.epoch > 1


def test_a_follower_stands_only_after_the_others_too_have_lost_the_leader() -> None:
    quorum = Quorum()
    leader = quorum.leader()
    one, other = quorum.others(leader)
    quorum.advance(1_000)
    quorum.cut(f"controller-{one}", f"controller-{leader}")
    quorum.advance(10_000)
    assert "prospective" in quorum.roles(one)
    assert quorum.leaders == [leader]
    assert quorum.raft(leader).quorum.epoch == 1  # without pre-votes it would have grown, and the leader been deposed
    assert quorum.role(other) is Role.FOLLOWER


def test_of_three_voters_one_alone_is_never_leader() -> None:
    quorum = Quorum()
    leader = quorum.leader()
    one, other = quorum.others(leader)
    quorum.down(leader)
    quorum.down(one)
    quorum.advance(30_000)
    assert quorum.leaders == []
    quorum.up(one)
    assert quorum.leader() in (one, other)


def test_a_leader_resigns_when_no_majority_has_fetched_for_one_and_a_half_fetch_timeouts() -> None:
    quorum = Quorum()
    leader = quorum.leader()
    quorum.advance(1_000)
    quorum.apart(leader)
    quorum.advance(2_400)
    assert leader in quorum.leaders
    quorum.advance(700)
    assert leader not in quorum.leaders
    assert quorum.role(leader) is Role.RESIGNED


def test_what_a_cut_off_leader_wrote_is_cut_off_its_log_and_what_was_committed_stays() -> None:
    quorum = Quorum()
    leader = quorum.leader()
    quorum.append(leader, 1)
    quorum.apart(leader)
    quorum.append(leader, 2, 3)
    quorum.advance(6_000)
    successor = next(voter for voter in quorum.leaders if voter != leader)
    quorum.append(successor, 4)
    quorum.heal()
    quorum.advance(15_000)
    assert [quorum.numbers(voter) for voter in VOTERS] == [[1, 4]] * 3


def test_who_lacks_a_committed_record_is_not_elected() -> None:
    quorum = Quorum()
    leader = quorum.leader()
    behind, up_to_date = quorum.others(leader)
    quorum.apart(behind)
    quorum.append(leader, 1)
    quorum.down(leader)
    quorum.heal()
    quorum.advance(20_000)
    assert quorum.leaders == [up_to_date]
    assert quorum.numbers(behind) == [1]


def test_a_resigned_leader_asks_the_one_with_the_longest_log_to_stand_first_and_it_need_not_wait() -> None:
    quorum = Quorum()
    leader = quorum.leader()
    behind, up_to_date = quorum.others(leader)
    quorum.cut(f"controller-{behind}", f"controller-{leader}")
    quorum.append(leader, 1)
    quorum.heal()
    quorum.raft(leader).resign(quorum.now)
    assert quorum.raft(leader).quorum.successors == tuple(sorted((behind, up_to_date)))  # by now both have it
    quorum.advance(10)
    assert quorum.leaders == [min(behind, up_to_date)]


# ---------------------------------------------------------------------------------------------------- votes


def test_a_voter_votes_once_an_epoch_and_remembers_it_over_a_crash() -> None:
    disk = ControllerDisk()
    voter = state(100, disk)
    voter.to_unattached(5, 0.0)
    voter.vote_for(101, 0.0)
    assert disk.election == ElectionState(5, NO_NODE, 101)
    restarted = state(100, disk)
    assert restarted.role is Role.UNATTACHED
    assert not restarted.can_grant_vote(102, log_up_to_date=True, pre_vote=False)
    assert restarted.can_grant_vote(101, log_up_to_date=True, pre_vote=False)  # the same again: its answer was lost


def test_a_leader_that_restarts_has_resigned_and_votes_for_nobody_in_its_epoch() -> None:
    disk = ControllerDisk()
    disk.election = ElectionState(5, 100, 100)
    restarted = state(100, disk)
    assert restarted.role is Role.RESIGNED
    assert not restarted.can_grant_vote(101, log_up_to_date=True, pre_vote=False)


def test_a_candidate_that_restarts_stands_again_in_the_same_epoch() -> None:
    disk = ControllerDisk()
    disk.election = ElectionState(5, NO_NODE, 100)
    restarted = state(100, disk)
    assert (restarted.role, restarted.epoch) == (Role.CANDIDATE, 5)


def test_a_follower_grants_a_pre_vote_only_before_its_first_fetch_from_the_leader() -> None:
    voter = state()
    voter.to_follower(3, 101, 0.0)
    assert voter.can_grant_vote(102, log_up_to_date=True, pre_vote=True)
    assert not voter.can_grant_vote(102, log_up_to_date=True, pre_vote=False)
    voter.fetched(10.0)
    assert not voter.can_grant_vote(102, log_up_to_date=True, pre_vote=True)


@pytest.mark.parametrize(("last_epoch", "last_offset", "granted"), [(2, 1, True), (1, 3, True), (1, 2, False), (0, 9, False)])
def test_a_vote_is_for_a_log_of_a_later_epoch_or_as_long_in_the_same(last_epoch: int, last_offset: int, granted: bool) -> None:
    quorum = Quorum()
    quorum.disks[100].log.append([(1, record(1)), (1, record(2)), (1, record(3))])
    quorum.request("test", "controller-100#vote", VoteRequest(1, 101, 10, last_epoch, last_offset, pre_vote=False))
    (answer,) = quorum.replies("test")
    assert answer == VoteResponse(1, Error.NONE, NO_NODE, 10, granted)


def test_who_stands_in_a_past_epoch_is_told_of_the_present_one() -> None:
    quorum = Quorum()
    leader = quorum.leader()
    follower = quorum.others(leader)[0]
    quorum.request("test", f"controller-{follower}#vote", VoteRequest(1, 102, 0, 0, 0, pre_vote=False))
    assert quorum.replies("test") == [VoteResponse(1, Error.FENCED_LEADER_EPOCH, leader, 1, vote_granted=False)]


# ---------------------------------------------------------------------------------------------------- fetches


def test_a_fetch_of_another_epoch_is_refused_and_so_is_one_from_who_does_not_lead() -> None:
    quorum = Quorum()
    leader = quorum.leader()
    follower = quorum.others(leader)[0]
    for node, epoch in ((leader, 0), (leader, 2), (follower, 1)):
        quorum.request("test", f"controller-{node}#fetch", QuorumFetchRequest(1, 102, epoch, 0, 0, -1))
    errors = [answer.error for answer in quorum.replies("test")]
    assert errors == [Error.FENCED_LEADER_EPOCH, Error.UNKNOWN_LEADER_EPOCH, Error.NOT_LEADER_OR_FOLLOWER]


def test_a_new_leader_counts_nothing_as_committed_before_a_record_of_its_own_epoch_is() -> None:
    disk = ControllerDisk()
    disk.log.append([(1, record(1)), (1, record(2))])
    candidate = state(100, disk)
    candidate.to_unattached(1, 0.0)
    candidate.to_candidate(0.0)
    candidate.record_vote(101, granted=True)
    term = candidate.to_leader(0.0)
    assert not term.update_local_end(3)
    assert not term.update_replica(101, 2, 0.0)  # a majority has both records of epoch 1, and still a later leader might lack them
    assert term.high_watermark == -1
    assert term.update_replica(101, 3, 0.0)
    assert term.high_watermark == 3


def log_of(*epochs: int) -> MetadataLog:
    log = MetadataLog()
    log.append((epoch, record(offset)) for offset, epoch in enumerate(epochs))
    return log


def test_a_log_is_cut_back_to_where_it_parts_from_the_leaders() -> None:
    leader, follower = log_of(1, 1, 2, 4, 4), log_of(1, 1, 2, 2, 3)
    diverging = leader.diverges_at(follower.end_offset, follower.last_epoch)
    assert diverging == EpochEndOffset(2, 3)
    assert follower.truncate_to(diverging) == 3
    assert leader.diverges_at(follower.end_offset, follower.last_epoch) is None


def test_a_beginning_of_the_leaders_log_does_not_diverge_and_an_empty_one_neither() -> None:
    leader = log_of(1, 1, 2)
    assert leader.diverges_at(0, 0) is None
    assert leader.diverges_at(2, 1) is None
    assert leader.diverges_at(3, 1) == EpochEndOffset(1, 2)


def test_an_answer_of_a_past_epoch_is_not_believed() -> None:
    quorum = Quorum()
    leader = quorum.leader()
    follower = quorum.others(leader)[0]
    before = quorum.disks[follower].log.end_offset
    node = quorum.nodes[f"controller-{follower}"]
    stale = QuorumFetchResponse(0, Error.NONE, 102, 0, 9, None, ((0, record(9)),))
    node.receive(stale, f"controller-{leader}#quorum-{follower}", quorum.now)
    assert quorum.disks[follower].log.end_offset == before
