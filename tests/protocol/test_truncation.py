"""Where two logs part, and where the follower cuts (KIP-101, KIP-279, KIP-595): the two halves of the rule by themselves."""

from kafkasim.protocol.config import TopicConfig
from kafkasim.protocol.leader_epoch import EpochEndOffset
from kafkasim.protocol.log import Log
from kafkasim.protocol.records import RecordBatch, TopicPartition
from kafkasim.protocol.truncation import diverging_epoch, truncation_offset


def log_of(*epochs: int) -> Log:
    """Ten records of each of `epochs`, in order."""
    log = Log(TopicPartition("orders", 0), TopicConfig())
    for epoch in epochs:
        log.append_as_leader(RecordBatch("shop", range(10), 100, 0.0), epoch, now=0.0)
    return log


def test_a_leader_that_never_had_the_followers_epoch_sees_them_part() -> None:
    assert diverging_epoch(EpochEndOffset(1, 20), last_fetched_epoch=2, fetch_offset=20)


def test_a_leader_whose_records_of_the_epoch_end_sooner_sees_them_part() -> None:
    assert diverging_epoch(EpochEndOffset(2, 20), last_fetched_epoch=2, fetch_offset=30)


def test_a_follower_within_the_leaders_records_of_the_epoch_is_on_the_same_log() -> None:
    assert not diverging_epoch(EpochEndOffset(2, 20), last_fetched_epoch=2, fetch_offset=20)
    assert not diverging_epoch(EpochEndOffset(2, 20), last_fetched_epoch=2, fetch_offset=10)


def test_of_a_common_epoch_both_keep_what_the_leader_has_where_that_is_less() -> None:
    assert truncation_offset(log_of(0, 0, 0, 3), leader_epoch=0, leader_end_offset=20) == 20


def test_of_a_common_epoch_both_keep_what_the_follower_has_where_that_is_less() -> None:
    assert truncation_offset(log_of(0, 3, 3), leader_epoch=0, leader_end_offset=20) == 10


def test_without_the_leaders_epoch_a_follower_cuts_to_the_end_of_its_own_older_one_and_no_further() -> None:
    assert truncation_offset(log_of(0, 0, 3), leader_epoch=2, leader_end_offset=15) == 20


def test_below_everything_the_follower_knows_the_leaders_word_counts() -> None:
    assert truncation_offset(log_of(3, 3), leader_epoch=1, leader_end_offset=0) == 0
