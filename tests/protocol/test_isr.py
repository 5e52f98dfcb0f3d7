"""The states of the ISR between proposal and answer (KIP-497), and who may join (KIP-841, KIP-903)."""

import pytest

from kafkasim.protocol.errors import Error
from kafkasim.protocol.isr import (
    CommittedPartitionState,
    InSyncReplicas,
    IsrChanged,
    IsrExpandProposed,
    IsrShrinkProposed,
    PendingPartitionChange,
    is_follower_in_sync,
    is_replica_isr_eligible,
)
from kafkasim.protocol.messages import BrokerRegistration
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.replica import Replica

ORDERS = TopicPartition("orders", 0)


def committed(*isr: int, trace: list[object] | None = None) -> InSyncReplicas:
    in_sync = InSyncReplicas(ORDERS, 1, None if trace is None else trace.append)
    in_sync.commit(isr, partition_epoch=0)
    return in_sync


def fetched_by(broker_epoch: int, log_end_offset: int = 0) -> Replica:
    replica = Replica(2)
    replica.update_fetch_state(log_end_offset, log_end_offset, broker_epoch, now=0.0)
    return replica


def registered(fenced: bool = False, in_controlled_shutdown: bool = False) -> dict[int, BrokerRegistration]:
    return {2: BrokerRegistration(2, 20, 1, fenced, in_controlled_shutdown)}


def test_while_an_expansion_is_pending_the_maximal_isr_has_the_newcomer_and_the_committed_has_not() -> None:
    in_sync = committed(1, 2)
    in_sync.propose_expand(3, leader_epoch=4, partition_epoch=9)
    assert in_sync.state.isr == (1, 2)
    assert in_sync.state.maximal_isr == (1, 2, 3)
    assert in_sync.take() == (4, 9, (1, 2, 3))


def test_while_a_shrink_is_pending_both_still_have_the_laggard() -> None:
    in_sync = committed(1, 2, 3)
    in_sync.propose_shrink((3,), leader_epoch=4, partition_epoch=9)
    assert in_sync.state.isr == in_sync.state.maximal_isr == (1, 2, 3)
    assert in_sync.take() == (4, 9, (1, 2))


def test_a_proposal_is_handed_out_once() -> None:
    in_sync = committed(1, 2)
    in_sync.propose_expand(3, 4, 9)
    assert in_sync.take() is not None
    assert in_sync.take() is None


def test_one_change_at_a_time() -> None:
    in_sync = committed(1, 2, 3)
    in_sync.propose_shrink((3,), 4, 9)
    with pytest.raises(AssertionError, match="one change"):
        in_sync.propose_shrink((2,), 4, 9)


def refused_with(error: Error) -> tuple[InSyncReplicas, PendingPartitionChange]:
    in_sync = committed(1, 2)
    in_sync.propose_expand(3, 4, 9)
    in_sync.take()
    pending = in_sync.answered()
    assert pending is not None
    in_sync.refused(pending, error)
    return in_sync, pending


@pytest.mark.parametrize("error", [Error.INELIGIBLE_REPLICA, Error.OPERATION_NOT_ATTEMPTED])
def test_where_certainly_nothing_happened_the_leader_goes_back_to_the_committed_isr(error: Error) -> None:
    in_sync, _ = refused_with(error)
    assert in_sync.state == CommittedPartitionState((1, 2))
    assert in_sync.take() is None


@pytest.mark.parametrize(
    "error", [Error.FENCED_LEADER_EPOCH, Error.INVALID_UPDATE_VERSION, Error.INVALID_REQUEST, Error.UNKNOWN_TOPIC_OR_PARTITION]
)
def test_after_an_error_that_says_our_view_is_old_the_change_stays_pending_and_is_not_asked_again(error: Error) -> None:
    in_sync, pending = refused_with(error)
    assert in_sync.state is pending
    assert in_sync.take() is None


@pytest.mark.parametrize("error", [Error.NOT_CONTROLLER, Error.NETWORK_EXCEPTION, Error.STALE_BROKER_EPOCH, Error.UNKNOWN_SERVER_ERROR])
def test_after_any_other_error_the_same_is_asked_again(error: Error) -> None:
    in_sync, pending = refused_with(error)
    assert in_sync.state is pending
    assert in_sync.take() == (4, 9, (1, 2, 3))


def test_an_answer_means_nothing_once_the_metadata_log_has_spoken() -> None:
    in_sync = committed(1, 2)
    in_sync.propose_expand(3, 4, 9)
    in_sync.take()
    in_sync.commit((1,), partition_epoch=10)
    assert in_sync.answered() is None
    assert in_sync.state.isr == (1,)


def test_the_metadata_log_also_takes_back_a_proposal_not_yet_sent() -> None:
    in_sync = committed(1, 2)
    in_sync.propose_expand(3, 4, 9)
    in_sync.commit((1, 2), partition_epoch=10)
    assert in_sync.take() is None


def test_the_trace_is_told_of_proposals_and_of_changes_but_not_of_what_stayed_the_same() -> None:
    events: list[object] = []
    in_sync = committed(1, 2, trace=events)
    in_sync.propose_expand(3, 4, 9)
    in_sync.commit((1, 2, 3), partition_epoch=10)
    in_sync.commit((1, 2, 3), partition_epoch=11)
    in_sync.propose_shrink((2, 3), 4, 11)
    assert events == [
        IsrChanged(ORDERS, 1, (1, 2), 0),
        IsrExpandProposed(ORDERS, 1, 3, (1, 2, 3)),
        IsrChanged(ORDERS, 1, (1, 2, 3), 10),
        IsrShrinkProposed(ORDERS, 1, (2, 3), (1,)),
    ]


def test_a_live_broker_that_fetches_with_its_present_epoch_is_eligible() -> None:
    assert is_replica_isr_eligible(fetched_by(broker_epoch=20), registered())


def test_a_fenced_broker_is_not_eligible() -> None:
    assert not is_replica_isr_eligible(fetched_by(broker_epoch=20), registered(fenced=True))


def test_a_broker_in_controlled_shutdown_is_not_eligible() -> None:
    assert not is_replica_isr_eligible(fetched_by(broker_epoch=20), registered(in_controlled_shutdown=True))


def test_a_broker_that_nobody_knows_is_not_eligible() -> None:
    assert not is_replica_isr_eligible(fetched_by(broker_epoch=20), {})


def test_the_fetches_of_a_former_process_make_nobody_eligible() -> None:
    assert not is_replica_isr_eligible(fetched_by(broker_epoch=19), registered())
    assert not is_replica_isr_eligible(Replica(2), registered())


def test_a_follower_is_in_sync_at_the_high_watermark_and_the_start_of_the_leaders_epoch() -> None:
    assert is_follower_in_sync(fetched_by(20, log_end_offset=10), high_watermark=10, leader_epoch_start_offset=8)
    assert not is_follower_in_sync(fetched_by(20, log_end_offset=9), high_watermark=10, leader_epoch_start_offset=8)
    assert not is_follower_in_sync(fetched_by(20, log_end_offset=10), high_watermark=5, leader_epoch_start_offset=12)
