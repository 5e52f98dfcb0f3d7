"""The leader epoch cache: where each epoch began and ended (KIP-101, KIP-279)."""

from kafkasim.protocol.leader_epoch import EpochEntry, LeaderEpochCache


def cache_of(*entries: tuple[int, int]) -> LeaderEpochCache:
    cache = LeaderEpochCache()
    for epoch, start_offset in entries:
        cache.assign(epoch, start_offset)
    return cache


def test_the_latest_epoch_ends_at_the_end_of_the_log() -> None:
    assert cache_of((0, 0), (2, 10)).end_offset_for(2, log_end_offset=15) == (2, 15)


def test_an_older_epoch_ends_where_the_next_one_began() -> None:
    assert cache_of((0, 0), (2, 10)).end_offset_for(0, log_end_offset=15) == (0, 10)


def test_an_epoch_that_left_no_records_is_answered_with_the_one_before_it() -> None:
    assert cache_of((0, 0), (2, 10)).end_offset_for(1, log_end_offset=15) == (0, 10)


def test_an_epoch_above_all_known_ones_is_unknown() -> None:
    assert cache_of((0, 0), (2, 10)).end_offset_for(3, log_end_offset=15) == (-1, -1)


def test_an_epoch_below_all_known_ones_ended_where_the_first_known_began() -> None:
    assert cache_of((4, 7), (5, 10)).end_offset_for(2, log_end_offset=15) == (2, 7)


def test_an_empty_cache_knows_nothing() -> None:
    assert LeaderEpochCache().latest_epoch == -1
    assert LeaderEpochCache().end_offset_for(-1, log_end_offset=0) == (-1, -1)
    assert LeaderEpochCache().end_offset_for(0, log_end_offset=0) == (-1, -1)


def test_an_epoch_keeps_its_first_offset_when_it_is_assigned_again() -> None:
    cache = cache_of((1, 5), (1, 9))
    assert cache.entries == [EpochEntry(1, 5)]


def test_a_new_epoch_replaces_one_that_began_at_the_same_offset_and_so_wrote_nothing() -> None:
    cache = cache_of((1, 0), (2, 5), (3, 5))
    assert cache.entries == [EpochEntry(1, 0), EpochEntry(3, 5)]
    assert cache.latest_epoch == 3


def test_truncation_forgets_the_epochs_that_began_at_or_after_the_new_end() -> None:
    cache = cache_of((1, 0), (2, 5), (3, 8))
    cache.truncate_from_end(5)
    assert cache.entries == [EpochEntry(1, 0)]
    assert cache.latest_epoch == 1


def test_a_later_log_start_becomes_the_start_of_the_epoch_in_force_there() -> None:
    cache = cache_of((1, 0), (2, 5), (3, 8))
    cache.truncate_from_start(6)
    assert cache.entries == [EpochEntry(2, 6), EpochEntry(3, 8)]


def test_the_epoch_of_an_offset_is_the_last_one_that_began_at_or_before_it() -> None:
    cache = cache_of((1, 2), (3, 5))
    assert [cache.epoch_for_offset(offset) for offset in (1, 2, 4, 5, 99)] == [-1, 1, 1, 3, 3]
