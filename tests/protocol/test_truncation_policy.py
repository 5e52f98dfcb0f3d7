"""What each generation of replication does before it fetches, one rule a test; and the phase of a fetcher in which it asks."""

from __future__ import annotations

import pytest
from pump import ORDERS, Cluster, batch, produce

from kafkasim.protocol.config import BrokerConfig, TopicConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.leader_epoch import UNDEFINED, EpochEndOffset
from kafkasim.protocol.log import Log
from kafkasim.protocol.messages import OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse
from kafkasim.protocol.partition import Partition
from kafkasim.protocol.partition_fetch_state import PartitionFetchState
from kafkasim.protocol.truncation_policy import GENERATIONS, FirstStep, OffsetTruncationState
from kafkasim.protocol.truncation_rounds import TruncationRounds


def log_of(*epochs: int) -> Log:
    """A record of each of these leader epochs, in that order."""
    log = Log(ORDERS, TopicConfig())
    for number, epoch in enumerate(epochs):
        log.append_as_leader(batch(number), epoch, 0.0)
    return log


# ---------------------------------------------------------------------------------------------------- the first step


@pytest.mark.parametrize(
    ("generation", "another_leader", "same_leader"),
    [
        ("hw", FirstStep.CUT_TO_HIGH_WATERMARK, FirstStep.FETCH),
        ("kip101", FirstStep.ASK, FirstStep.FETCH),
        ("kip279", FirstStep.ASK, FirstStep.FETCH),
        ("kip320", FirstStep.ASK, FirstStep.ASK),
        ("kip595", FirstStep.FETCH, FirstStep.FETCH),
    ],
)
def test_what_a_follower_does_first(generation: str, another_leader: FirstStep, same_leader: FirstStep) -> None:
    policy = GENERATIONS[generation]
    assert (policy.first_step(True), policy.first_step(False)) == (another_leader, same_leader)


@pytest.mark.parametrize(
    ("generation", "told"), [("hw", (-1, -1)), ("kip101", (-1, -1)), ("kip279", (-1, -1)), ("kip320", (4, -1)), ("kip595", (4, 3))]
)
def test_which_epochs_a_fetch_tells(generation: str, told: tuple[int, int]) -> None:
    policy, log = GENERATIONS[generation], log_of(0, 3)
    assert (policy.current_leader_epoch(4), policy.fetched_epochs(log).latest_epoch) == told


# ---------------------------------------------------------------------------------------------------- the leader's answer


@pytest.mark.parametrize(
    ("generation", "older_than_all", "never_had", "newer_than_all"),
    [
        ("kip101", UNDEFINED, EpochEndOffset(-1, 2), UNDEFINED),
        ("kip279", UNDEFINED, EpochEndOffset(2, 2), UNDEFINED),
        ("kip320", EpochEndOffset(1, 0), EpochEndOffset(2, 2), UNDEFINED),
        ("kip595", EpochEndOffset(1, 0), EpochEndOffset(2, 2), UNDEFINED),
    ],
)
def test_where_a_leader_says_that_an_epoch_ended(
    generation: str, older_than_all: EpochEndOffset, never_had: EpochEndOffset, newer_than_all: EpochEndOffset
) -> None:
    policy, log = GENERATIONS[generation], log_of(2, 2, 4, 4)
    assert policy.end_of_epoch(log, 1) == older_than_all
    assert policy.end_of_epoch(log, 3) == never_had
    assert policy.end_of_epoch(log, 5) == newer_than_all
    assert policy.end_of_epoch(log, 4).end_offset == 4
    assert policy.end_of_epoch(log_of(), 0) == UNDEFINED


# ---------------------------------------------------------------------------------------------------- the follower's cut


def test_kip_101_cuts_to_the_answer_or_keeps_what_it_has_or_falls_back_to_the_high_watermark() -> None:
    policy, log = GENERATIONS["kip101"], log_of(0, 0, 1)
    assert policy.truncation(log, 1, EpochEndOffset(-1, 2)) == OffsetTruncationState(2, True)
    assert policy.truncation(log, 1, EpochEndOffset(-1, 9)) == OffsetTruncationState(3, True)
    assert policy.truncation(log, 1, UNDEFINED) == OffsetTruncationState(1, True)


@pytest.mark.parametrize("generation", ["kip279", "kip320"])
def test_kip_279_cuts_where_both_agree_and_asks_again_where_they_share_no_epoch_yet(generation: str) -> None:
    policy, log = GENERATIONS[generation], log_of(0, 1, 1, 3)
    assert policy.truncation(log, 1, EpochEndOffset(1, 2)) == OffsetTruncationState(2, True)
    assert policy.truncation(log, 1, EpochEndOffset(1, 9)) == OffsetTruncationState(3, True)
    assert policy.truncation(log, 1, EpochEndOffset(2, 9)) == OffsetTruncationState(3, False)  # it knows 1, and 3, and no 2
    assert policy.truncation(log, 1, UNDEFINED) == OffsetTruncationState(1, True)
    assert policy.truncation(log_of(), 0, EpochEndOffset(2, 9)) == OffsetTruncationState(0, True)


# ---------------------------------------------------------------------------------------------------- the phase Truncating


def truncating(generation: str, *epochs: int) -> tuple[TruncationRounds, Partition]:
    """A follower, broker 2, of a leader in epoch 5; what it has is of these epochs."""
    policy = GENERATIONS[generation]
    partition = Partition(ORDERS, 2, log_of(*epochs), TopicConfig(), BrokerConfig(), truncation=policy)
    rounds = TruncationRounds(policy, 2)
    rounds.states[ORDERS] = PartitionFetchState(partition, 5, 1_000_000, policy)
    return rounds, partition


def answer(*rows: tuple[Error, int, int]) -> OffsetForLeaderEpochResponse:
    return OffsetForLeaderEpochResponse(1, tuple((ORDERS, *row) for row in rows))


def test_a_follower_that_does_not_know_the_epoch_of_the_answer_cuts_and_asks_once_more() -> None:
    """KIP-279. It has epochs 0, 1 and 3, the leader 0, 2 and 4: asked for 3 the leader answers with 2, and then asked for 1 with 0."""
    rounds, partition = truncating("kip279", 0, 1, 3)
    leader_log = log_of(0, 2, 2, 4)
    policy = GENERATIONS["kip279"]
    assert rounds.ask(1, 0.0).partitions == ((ORDERS, -1, 3),)
    assert rounds.answered(answer((Error.NONE, *policy.end_of_epoch(leader_log, 3))), 1_000.0) == []
    assert partition.log.log_end_offset == 2
    assert rounds.ask(2, 0.0).partitions == ((ORDERS, -1, 1),)
    [state] = rounds.answered(answer((Error.NONE, *policy.end_of_epoch(leader_log, 1))), 1_000.0)
    assert state.partition is partition
    assert partition.log.log_end_offset == 1
    assert rounds.states == {}


def test_a_question_tells_the_followers_own_epoch_since_kip_320_and_who_asks() -> None:
    rounds, _ = truncating("kip320", 0)
    assert rounds.ask(1, 0.0) == OffsetForLeaderEpochRequest(1, ((ORDERS, 5, 0),), 2)


def test_a_leader_that_does_not_know_the_epoch_yet_is_asked_again_later() -> None:
    rounds, partition = truncating("kip320", 0)
    rounds.ask(1, 0.0)
    assert rounds.answered(answer((Error.UNKNOWN_LEADER_EPOCH, -1, -1)), 1_000.0) == []
    assert (rounds.ready(999.0), rounds.ready(1_000.0)) == (False, True)
    assert partition.log.log_end_offset == 1


def test_a_follower_that_is_fenced_while_truncating_waits_for_the_metadata_log() -> None:
    rounds, partition = truncating("kip320", 0)
    rounds.ask(1, 0.0)
    assert rounds.answered(answer((Error.FENCED_LEADER_EPOCH, -1, -1)), 1_000.0) == []
    assert rounds.states == {}
    assert partition.log.log_end_offset == 1


def test_an_answer_to_a_question_of_an_earlier_term_is_ignored() -> None:
    rounds, partition = truncating("kip320", 0, 1)
    rounds.ask(1, 0.0)
    rounds.states[ORDERS] = renewed = PartitionFetchState(partition, 6, 1_000_000, GENERATIONS["kip320"])
    assert rounds.answered(answer((Error.NONE, 0, 1)), 1_000.0) == []
    assert rounds.states == {ORDERS: renewed}
    assert partition.log.log_end_offset == 2


# ---------------------------------------------------------------------------------------------------- brokers


def two(generation: str, **config: object) -> Cluster:
    cluster = Cluster(2, truncation=generation)
    cluster.create_topic("orders", replication_factor=2, **config)
    return cluster


@pytest.mark.parametrize("generation", GENERATIONS)
def test_in_every_generation_records_are_replicated_and_a_follower_that_was_away_catches_up(generation: str) -> None:
    cluster = two(generation)
    cluster.request("shop", "broker-1", produce(1, first=0))
    cluster.crash("broker-2")
    cluster.advance(12_000)
    cluster.request("shop", "broker-1", produce(2, first=1))
    cluster.start_broker(2)
    cluster.advance(2_000)
    assert cluster.numbers(1) == cluster.numbers(2) == [0, 1]
    assert set(cluster.partition(1).isr) == {1, 2}
    assert cluster.partition(2).high_watermark == 2


@pytest.mark.parametrize(("generation", "begins"), [("kip101", [0]), ("kip279", [0]), ("kip320", [0, 1]), ("kip595", [0, 1])])
def test_since_2_1_a_leader_remembers_its_epoch_before_it_has_written_in_it(generation: str, begins: list[int]) -> None:
    cluster = two(generation)
    cluster.request("shop", "broker-1", produce())
    cluster.crash("broker-1")
    cluster.advance(12_000)
    assert cluster.partition(2).leader_epoch == 1
    assert [entry.epoch for entry in cluster.partition(2).log.leader_epochs.entries] == begins


def test_a_follower_whose_logs_have_parted_in_the_middle_of_a_batch_stays_behind() -> None:
    """KAFKA-6361, first case: the leader's batch begins below the follower's end, and cannot be appended."""
    cluster = two("hw", min_insync_replicas=1)
    cluster.request("shop", "broker-1", produce(1, first=0, count=3))
    cluster.crash("broker-2")
    log = cluster.disks[2].logs[ORDERS]
    log.truncate_to(0)
    log.append_as_leader(batch(50), 0, 0.0)
    log.high_watermark_checkpoint = 1
    cluster.advance(12_000)
    cluster.start_broker(2)
    cluster.advance(60_000)
    assert cluster.numbers(2) == [50]
    assert cluster.partition(1).isr == (1,)
