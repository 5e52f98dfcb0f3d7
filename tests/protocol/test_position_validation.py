"""A consumer asks whether its log was cut below its position: the world of test_consumer.py, with elections that lose records."""

from __future__ import annotations

import pytest
from test_consumer import P0, World, joined

from kafkasim.protocol.calls import CloseClient, Committed, PartitionsAssigned, Polled, PollFailed, PositionReset
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import FetchRequest, MetadataRequest, OffsetCommitRequest, OffsetForLeaderEpochRequest
from kafkasim.protocol.records import OffsetAndEpoch, OffsetCommitValue


def reading(client="java", *batches, **config):
    """A consumer that has read `batches`, by default 4 and 6 records, and is out of poll()."""
    world = joined(client, **config)
    world.append(P0, *(batches or (4, 6)))
    while sum(len(piece.numbers) for answer in world.answers["billing-0"] for piece in getattr(answer, "slices", ())) < world.end(P0):
        world.poll("billing-0")
    return world


def test_both_clients_go_back_to_where_the_old_leaders_records_end() -> None:
    for client in ("java", "librdkafka"):
        world = reading(client)
        world.elect((P0, 4))
        world.append(P0, 8)  # the log is longer than it was: no offset is out of range
        assert world.poll("billing-0", 2_000) == list(range(4, 12)), client
        assert world.told("billing-0", PositionReset)[-1] == PositionReset(P0, 10, 4), client


def test_an_election_that_cuts_nothing_off_disturbs_nobody() -> None:
    for client in ("java", "librdkafka"):
        world = reading(client)
        world.elect()
        world.append(P0, 2)
        assert world.poll("billing-0", 2_000) == [10, 11], client
        assert len(world.told("billing-0", PositionReset)) == 1, client
        [(_, asked)] = world.requests(OffsetForLeaderEpochRequest)
        assert asked.partitions == ((P0, 1, 0),), client


def test_an_epoch_of_which_the_leader_knows_nothing_leads_to_the_reset_policy() -> None:
    for client in ("java", "librdkafka"):
        world = reading(client)
        world.no_epochs = True
        world.elect((P0, 4))
        world.append(P0, 8)
        assert world.poll("billing-0", 2_000) == list(range(12)), client


def test_without_a_reset_policy_the_application_is_told_of_the_truncation() -> None:
    world = World()
    world.append(P0, 4, 6)
    world.add("billing-0", enable_auto_commit=False)
    assert len(world.poll("billing-0", 5_000)) == 10
    assert world.commit("billing-0") is Error.NONE
    world.call("billing-0", CloseClient())
    world.elect((P0, 4))
    world.add("billing-1", auto_offset_reset="none")
    assert world.poll("billing-1", 5_000) == PollFailed(Error.OFFSET_OUT_OF_RANGE, (P0,))


@pytest.mark.parametrize(("client", "named", "first"), [("java", (), 4), ("java", ((P0, 10),), 10), ("librdkafka", (), 10)])
def test_a_committed_offset_is_validated_by_java_if_it_carries_an_epoch(client: str, named: tuple, first: int) -> None:
    world = reading(client, enable_auto_commit=False)
    assert world.commit("billing-0", *named) is Error.NONE
    [(_, request)] = world.requests(OffsetCommitRequest)
    assert request.offsets == (OffsetAndEpoch(P0, 10, -1 if named else 0),)
    world.call("billing-0", CloseClient())
    world.elect((P0, 4))
    world.append(P0, 8)
    world.add("billing-1", client)
    assert world.poll("billing-1", 5_000) == list(range(first, 12))


@pytest.mark.parametrize("client", ["java", "librdkafka"])
def test_an_automatic_commit_carries_the_epoch_of_the_last_record_polled_not_of_the_last_one_fetched(client: str) -> None:
    world = joined(client, max_poll_records=4)
    world.append(P0, 4)
    assert world.poll("billing-0", 1_000) == [0, 1, 2, 3]
    world.elect()
    world.append(P0, 4)
    world.call("billing-0", CloseClient())
    world.run(world.now + 100)
    [(_, request)] = world.requests(OffsetCommitRequest)
    assert request.offsets == (OffsetAndEpoch(P0, 4, 0),)


def test_nothing_is_fetched_before_the_leader_has_answered_and_an_error_is_asked_again_after_a_backoff() -> None:
    world = reading()
    world.elect()
    world.append(P0, 2)
    world.epoch_error = Error.UNKNOWN_LEADER_EPOCH
    assert world.poll("billing-0", 1_000) == []
    asked = len(world.requests(OffsetForLeaderEpochRequest))
    assert 5 <= asked <= 12
    first = world.requests(OffsetForLeaderEpochRequest)[0][0]
    assert [at for at, _ in world.requests(FetchRequest) if at > first] == []
    assert len([at for at, _ in world.requests(MetadataRequest) if at > first]) > 0
    world.epoch_error = Error.NONE
    assert world.poll("billing-0", 1_000) == [10, 11]


def test_a_position_that_is_being_validated_is_left_out_of_a_commit_by_java() -> None:
    world = reading(enable_auto_commit=False)
    world.silent.add(OffsetForLeaderEpochRequest)
    world.elect()
    world.poll("billing-0", 500)
    assert world.commit("billing-0") is Error.NONE
    assert world.told("billing-0", Committed)[-1] == Committed((), Error.NONE)
    assert world.requests(OffsetCommitRequest) == []


def test_java_fetches_anew_what_was_buffered_and_librdkafka_hands_it_out() -> None:
    for client, polled in (("java", []), ("librdkafka", [2, 3])):
        world = joined(client, max_poll_records=2)
        world.append(P0, 6)
        assert world.poll("billing-0", 1_000) == [0, 1], client
        world.silent.add(OffsetForLeaderEpochRequest)
        world.elect()
        world.consumers["billing-0"]._client.metadata.request_update()
        world.run(world.now + 5_000)  # with the next heartbeat it is sent
        assert world.poll("billing-0", 500) == polled, client


def test_librdkafka_skips_what_was_buffered_below_the_end_of_the_old_leaders_records() -> None:
    world = joined("librdkafka", max_poll_records=2)
    world.append(P0, 4, 6)
    assert world.poll("billing-0", 1_000) == [0, 1]
    world.elect((P0, 4))
    world.append(P0, 8)
    world.consumers["billing-0"]._client.metadata.request_update()
    world.run(world.now + 500)
    assert world.poll("billing-0", 500) == [4, 5]
    assert world.told("billing-0", PositionReset)[-1] == PositionReset(P0, 2, 4)


def test_an_answer_to_a_fetch_of_an_earlier_assignment_is_not_taken_for_one_of_this() -> None:
    world = World()
    world.append(P0, 4)
    world.coordinator.committed([OffsetCommitValue("billing", P0, 0)])
    world.add("billing-0", auto_poll=10, enable_auto_commit=False)
    world.run(1_000)
    world.coordinator = world.new_coordinator(0)  # knows neither the group nor its member, but where it stands
    world.coordinator.committed([OffsetCommitValue("billing", P0, 2)])
    world.disconnect("billing-0", "broker-1#coordinator")
    while len(world.told("billing-0", PartitionsAssigned)) < 2:
        world.step()
    assert len(world.parked) == 1, "the fetch from offset 4 still waits at the broker"
    world.run(world.now + 3)  # the position is known, and nothing can be fetched from it yet
    world.append(P0, 2)
    world.run(world.now + 1_000)
    assert [n for answer in world.told("billing-0", Polled) for piece in answer.slices for n in piece.numbers] == [0, 1, 2, 3, 2, 3, 4, 5]
