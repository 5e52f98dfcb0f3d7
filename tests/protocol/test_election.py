"""Who leads, who is in the ISR and who is eligible, after each thing that can happen (PartitionChangeBuilder, KIP-966)."""

from typing import NamedTuple

import pytest

from kafkasim.protocol.election import Election, change_partition, effective_min_insync_replicas, is_unclean
from kafkasim.protocol.messages import PartitionRegistration
from kafkasim.protocol.records import TopicPartition

ORDERS_0 = TopicPartition("orders", 0)


def partition(isr=(1, 2, 3), leader=1, elr=(), last_known=(), min_isr=2, replicas=(1, 2, 3), recovering=False):
    return PartitionRegistration(ORDERS_0, replicas, isr, leader, 5, 9, elr, last_known, min_isr, recovering)


def change(before, alive, **options):
    return change_partition(before, lambda replica: replica in alive, **options)


class Case(NamedTuple):
    """Before: the registration. Then: who is alive, the ISR asked for. After: leader, ISR, ELR, last known leader."""

    sentence: str
    before: PartitionRegistration
    alive: tuple[int, ...]
    target_isr: tuple[int, ...]
    after: tuple[int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    options: dict[str, object] = {}  # noqa: RUF012  never written to


UNCLEAN = {"election": Election.UNCLEAN}
PREFERRED = {"election": Election.PREFERRED}
NO_ELR = {"eligible_leader_replicas": False}
UNCLEAN_NO_ELR = {**UNCLEAN, **NO_ELR}

CASES = [
    # ISR
    Case("a follower leaves, the leader stays", partition(), (1, 2), (1, 2), (1, (1, 2), (), ())),
    Case("the leader leaves, the first replica in the ISR leads", partition(), (2, 3), (2, 3), (2, (2, 3), (), ())),
    Case("the order is the replicas', not the ISR's", partition(isr=(1, 3, 2)), (2, 3), (3, 2), (2, (3, 2), (), ())),
    Case("a living replica outside the ISR is passed over", partition(isr=(1, 3)), (2, 3), (3,), (3, (3,), (1,), ())),
    # ELR
    Case("who leaves an ISR that is now too small is eligible", partition(isr=(1, 2)), (1,), (1,), (1, (1,), (2,), ())),
    Case("an ISR that is large enough leaves nobody eligible", partition(), (1, 2), (1, 2), (1, (1, 2), (), ())),
    Case("an ISR that is large enough again empties the ELR", partition((1,), elr=(2,)), (1, 3), (1, 3), (1, (1, 3), (), ())),
    Case("joining the ISR means leaving the ELR", partition((1,), elr=(2, 3), min_isr=3), (1, 2), (1, 2), (1, (1, 2), (3,), ())),
    Case("the last member goes, ISR empty, both eligible", partition((1,), elr=(2,)), (), (), (-1, (), (1, 2), (1,))),
    Case("ISR empty, an eligible replica leads and is the ISR", partition((1,), elr=(2,)), (2, 3), (), (2, (2,), (1,), ())),
    Case("an eligible replica returns and leads", partition((), -1, (2, 3), (1,)), (3,), (), (3, (3,), (2,), ())),
    Case("ISR empty, a replica outside the ELR does not lead", partition((), -1, (2, 3), (1,)), (1,), (), (-1, (), (2, 3), (1,))),
    Case("the ELR does not lead while the ISR has a member", partition((3,), 3, (2,)), (2,), (3,), (-1, (3,), (2,), (3,))),
    # last known leader
    Case("ISR and ELR empty, the last known leader leads", partition((), -1, (), (1,)), (1, 2), (), (1, (1,), (), ())),
    Case("a last known leader that is dead does not lead", partition((), -1, (), (1,)), (2,), (), (-1, (), (), (1,))),
    Case("it waits while anybody is eligible", partition((), -1, (3,), (1,)), (1,), (), (-1, (), (3,), (1,))),
    # unclean
    Case("unclean, but a clean leader is there", partition(isr=(1, 3)), (2, 3), (3,), (3, (3,), (1,), ()), UNCLEAN),
    Case("unclean, ISR dead: any living replica", partition((1,), elr=(3,)), (2,), (), (2, (2,), (), ()), UNCLEAN),
    Case("unclean, the ELR still goes first", partition((1,), elr=(3,)), (2, 3), (), (3, (3,), (1,), ()), UNCLEAN),
    Case("unclean, the last known leader still goes first", partition((), -1, (), (3,)), (1, 3), (), (3, (3,), (), ()), UNCLEAN),
    Case("unclean, nobody alive", partition((1,)), (), (), (-1, (), (1,), (1,)), UNCLEAN),
    # without ELR
    Case("without ELR nobody is eligible", partition(isr=(1, 2)), (1,), (1,), (1, (1,), (), ()), NO_ELR),
    Case("without ELR the last ISR is remembered", partition((1,)), (2, 3), (), (-1, (1,), (), ()), NO_ELR),
    Case("without ELR its member alone comes back as leader", partition((1,), -1), (1, 2), (1,), (1, (1,), (), ()), NO_ELR),
    Case("without ELR, unclean", partition((1,)), (2, 3), (), (2, (2,), (), ()), UNCLEAN_NO_ELR),
    Case("switching ELR off empties it", partition((1,), elr=(2,)), (1,), (1,), (1, (1,), (), ()), NO_ELR),
    # preferred
    Case("the preferred replica leads again", partition(leader=2), (1, 2, 3), (1, 2, 3), (1, (1, 2, 3), (), ()), PREFERRED),
    Case("a leader that is dead is replaced", partition((2, 3), leader=2), (1, 3), (2, 3), (3, (2, 3), (), ()), PREFERRED),
    Case("a preferred election is never unclean", partition((), -1, (3,), (2,)), (1,), (), (-1, (), (3,), (2,)), PREFERRED),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.sentence)
def test_election(case):
    options = dict(case.options)
    after = change(case.before, case.alive, target_isr=case.target_isr, **options) or case.before
    assert (after.leader, after.isr, after.elr, after.last_known_elr) == case.after


def test_nothing_changes_where_the_preferred_replica_is_not_in_the_isr():
    assert change(partition(isr=(2, 3), leader=2), {1, 2, 3}, election=Election.PREFERRED) is None


def test_nothing_changes_where_everything_is_as_asked_for():
    assert change(partition(), {1, 2, 3}, target_isr=(1, 2, 3)) is None


def test_a_shrinking_isr_bumps_the_partition_epoch_but_not_the_leader_epoch():
    after = change(partition(), {1, 2}, target_isr=(1, 2))
    assert (after.leader_epoch, after.partition_epoch) == (5, 10)


def test_another_leader_bumps_both_epochs():
    after = change(partition(), {2, 3}, target_isr=(2, 3))
    assert (after.leader_epoch, after.partition_epoch) == (6, 10)


def test_losing_the_leader_bumps_the_leader_epoch_and_so_does_the_same_leader_coming_back():
    offline = change(partition(isr=(1,), min_isr=1), set(), target_isr=())
    assert (offline.leader, offline.leader_epoch) == (-1, 6)
    online = change(offline, {1})
    assert (online.leader, online.isr, online.leader_epoch) == (1, (1,), 7)


def test_min_insync_replicas_above_the_replication_factor_counts_as_the_replication_factor():
    assert effective_min_insync_replicas(3, 2) == 2
    assert effective_min_insync_replicas(1, 3) == 1
    after = change(partition(isr=(1,), elr=(2,), replicas=(1, 2), min_isr=9), {1, 2}, target_isr=(1, 2))
    assert after.elr == ()


def test_a_replica_that_shut_down_uncleanly_leaves_isr_and_elr():
    leader = change(partition(isr=(1,), elr=(2,)), set(), target_isr=(), unclean_shutdown=(1,))
    assert (leader.isr, leader.elr, leader.last_known_elr) == ((), (2,), (1,))
    eligible = change(partition(isr=(1,), elr=(2, 3)), {1}, target_isr=(1,), unclean_shutdown=(2,))
    assert eligible.elr == (3,)


def test_an_unclean_leader_is_recovering_until_its_first_alter_partition():
    after = change(partition(isr=(1,), leader=1), {2}, target_isr=(), election=Election.UNCLEAN, eligible_leader_replicas=False)
    assert after.recovering
    assert not change(after, {2}, target_isr=(2,), recovering=False).recovering


def test_a_last_known_leader_is_recovering_too_since_it_may_have_lost_its_tail():
    assert change(partition((), -1, (), (1,)), {1}).recovering


def test_an_election_is_unclean_where_the_leader_was_neither_in_sync_nor_eligible():
    before = partition(isr=(1,), elr=(2,))
    assert not is_unclean(before, before._replace(leader=2))
    assert is_unclean(before, before._replace(leader=3))
    assert not is_unclean(before, before._replace(leader=-1))


def test_the_remembered_leader_is_the_first_one_that_was_lost_and_is_not_overwritten():
    before = partition((), -1, (2, 3), (1,))
    after = change(before, set(), target_isr=(), unclean_shutdown=(2,))
    assert (after.elr, after.last_known_elr) == ((3,), (1,))
    assert change(partition((1,), last_known=(2,)), set(), target_isr=()).last_known_elr == (2,)


def last_replica_standing(eligible_leader_replicas):
    """KIP-966's example: min.insync.replicas 2; the followers leave, then the leader dies of a power failure and comes back alone."""
    options = {"eligible_leader_replicas": eligible_leader_replicas}
    t0 = partition()
    t0 = change(t0, {1, 2}, target_isr=(1, 2), **options)
    t1 = change(t0, {1}, target_isr=(1,), **options)
    t2 = change(t1, set(), target_isr=(), **options)
    unclean = {"target_isr": tuple(r for r in t2.isr if r != 1), "unclean_shutdown": (1,)} if eligible_leader_replicas else {}
    t3 = change(t2, set(), **unclean, **options) or t2
    return t1, t2, t3


def test_last_replica_standing_without_elr_leads_again_though_it_lost_its_tail():
    t1, t2, t3 = last_replica_standing(eligible_leader_replicas=False)
    assert (t1.leader, t1.isr) == (1, (1,))
    assert (t2.leader, t2.isr) == (-1, (1,))
    assert change(t3, {2, 3}, eligible_leader_replicas=False) is None
    assert change(t3, {1}, eligible_leader_replicas=False).leader == 1


def test_last_replica_standing_with_elr_waits_for_the_replica_that_is_known_to_have_everything():
    t1, t2, t3 = last_replica_standing(eligible_leader_replicas=True)
    assert (t1.leader, t1.isr, t1.elr) == (1, (1,), (2,))
    assert (t2.leader, t2.isr, t2.elr, t2.last_known_elr) == (-1, (), (1, 2), (1,))
    assert (t3.leader, t3.isr, t3.elr) == (-1, (), (2,))
    assert change(t3, {1, 3}) is None
    recovered = change(t3, {1, 2, 3})
    assert (recovered.leader, recovered.isr, recovered.elr, recovered.recovering) == (2, (2,), (), False)
