"""What a leader knows of a follower, and when that follower counts as caught up (kafka.cluster.Replica)."""

from kafkasim.protocol.replica import NEVER, Replica

LAG = 30_000.0


def test_before_its_first_fetch_a_follower_is_nowhere_and_never_was_caught_up() -> None:
    replica = Replica(2)
    assert replica.log_end_offset == -1
    assert not replica.is_caught_up(0, now=0.0, replica_lag_time_max_ms=LAG)


def test_a_fetch_from_the_leaders_end_means_caught_up_now() -> None:
    replica = Replica(2)
    replica.update_fetch_state(10, leader_log_end_offset=10, broker_epoch=5, now=100.0)
    assert (replica.log_end_offset, replica.last_caught_up_time, replica.broker_epoch) == (10, 100.0, 5)


def test_a_fetch_from_where_the_leaders_end_was_at_the_fetch_before_means_caught_up_then() -> None:
    replica = Replica(2)
    replica.update_fetch_state(0, leader_log_end_offset=10, broker_epoch=5, now=100.0)
    replica.update_fetch_state(10, leader_log_end_offset=20, broker_epoch=5, now=200.0)
    assert replica.last_caught_up_time == 100.0


def test_a_follower_that_is_further_behind_has_not_caught_up() -> None:
    replica = Replica(2)
    replica.update_fetch_state(0, leader_log_end_offset=10, broker_epoch=5, now=100.0)
    replica.update_fetch_state(5, leader_log_end_offset=20, broker_epoch=5, now=200.0)
    assert replica.last_caught_up_time == NEVER


def test_a_follower_at_the_end_never_lags_however_long_ago_it_fetched() -> None:
    replica = Replica(2)
    replica.update_fetch_state(10, leader_log_end_offset=10, broker_epoch=5, now=0.0)
    assert replica.is_caught_up(10, now=10 * LAG, replica_lag_time_max_ms=LAG)


def test_a_follower_behind_the_end_lags_once_the_time_is_over() -> None:
    replica = Replica(2)
    replica.update_fetch_state(10, leader_log_end_offset=10, broker_epoch=5, now=0.0)
    assert replica.is_caught_up(11, now=LAG, replica_lag_time_max_ms=LAG)
    assert not replica.is_caught_up(11, now=LAG + 1, replica_lag_time_max_ms=LAG)


def test_a_new_leader_forgets_where_the_follower_stood_and_gives_isr_members_time() -> None:
    replica = Replica(2)
    replica.update_fetch_state(10, leader_log_end_offset=10, broker_epoch=5, now=0.0)
    replica.reset(now=500.0, leader_log_end_offset=12, is_new_leader=True, is_follower_in_sync=True)
    assert (replica.log_end_offset, replica.last_caught_up_time, replica.last_fetch_time) == (-1, 500.0, NEVER)


def test_a_leader_elected_again_remembers_where_the_follower_stood() -> None:
    replica = Replica(2)
    replica.update_fetch_state(10, leader_log_end_offset=10, broker_epoch=5, now=0.0)
    replica.reset(now=500.0, leader_log_end_offset=12, is_new_leader=False, is_follower_in_sync=True)
    assert (replica.log_end_offset, replica.last_fetch_leader_log_end_offset, replica.last_fetch_time) == (10, 12, 500.0)


def test_a_follower_outside_the_isr_is_given_no_time() -> None:
    replica = Replica(2)
    replica.reset(now=500.0, leader_log_end_offset=12, is_new_leader=True, is_follower_in_sync=False)
    assert not replica.is_caught_up(12, now=500.0, replica_lag_time_max_ms=LAG)
