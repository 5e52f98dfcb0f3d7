"""Where a consumer goes on whose position the log no longer has, by each auto.offset.reset: test_consumer.py's world, with retention."""

import pytest
from test_consumer import P0, World

from kafkasim.protocol.calls import CloseClient, PollFailed, PositionReset
from kafkasim.protocol.errors import Error


def overtaken(client: str = "java", **config: object) -> World:
    """A group has read 4 of 10 records and stopped; meanwhile 10 more came, and retention took all but the last 5."""
    world = World()
    world.append(P0, 4)
    world.add("billing-0", client, enable_auto_commit=False)
    assert len(world.poll("billing-0", 5_000)) == 4
    assert world.commit("billing-0") is Error.NONE
    world.call("billing-0", CloseClient())
    world.append(P0, 11)
    world.now += 60_000
    world.append(P0, 5)
    world.delete(P0, 15)
    world.add("billing-1", client, enable_auto_commit=False, **config)
    return world


@pytest.mark.parametrize("client", ["java", "librdkafka"])
def test_earliest_goes_on_at_the_start_of_the_log_and_passes_over_what_was_deleted(client: str) -> None:
    world = overtaken(client, auto_offset_reset="earliest")
    assert world.poll("billing-1", 60_000) == [15, 16, 17, 18, 19]
    assert world.told("billing-1", PositionReset) == [PositionReset(P0, 4, 15)]


@pytest.mark.parametrize("client", ["java", "librdkafka"])
def test_latest_goes_on_at_the_end_and_passes_over_what_is_there_as_well(client: str) -> None:
    world = overtaken(client, auto_offset_reset="latest")
    assert world.poll("billing-1", 60_000) == []
    assert world.told("billing-1", PositionReset) == [PositionReset(P0, 4, 20)]
    world.append(P0, 1)
    assert world.poll("billing-1", 5_000) == [20]


def test_none_tells_the_application() -> None:
    for client, none in (("java", "none"), ("librdkafka", "none")):
        world = overtaken(client, auto_offset_reset=none)
        assert world.poll("billing-1", 60_000) == PollFailed(Error.OFFSET_OUT_OF_RANGE, (P0,))
        assert [offset for _, offset, _ in world.consumers["billing-1"].positions()] == [4], (
            "it had a position: not the same as none at all"
        )


def test_by_duration_goes_on_at_the_first_record_that_is_young_enough() -> None:
    world = overtaken(auto_offset_reset="by_duration:PT30S")
    assert world.poll("billing-1", 5_000) == [15, 16, 17, 18, 19]
    assert world.told("billing-1", PositionReset) == [PositionReset(P0, 4, 15)]


def test_by_duration_longer_than_the_clock_has_run_is_the_beginning() -> None:
    world = overtaken(auto_offset_reset="by_duration:P9D")
    assert world.poll("billing-1", 5_000) == [15, 16, 17, 18, 19]


def test_by_duration_without_a_record_so_young_has_no_position_until_request_timeout_ms_is_over() -> None:
    world = World()
    world.append(P0, 10)
    world.now += 60_000
    world.add("billing-0", auto_offset_reset="by_duration:PT30S", request_timeout_ms=20_000)
    assert world.poll("billing-0", 5_000) == []
    world.append(P0, 5)
    assert world.poll("billing-0", 5_000) == []
    assert world.told("billing-0", PositionReset) == [], "a Java consumer does not go to the end where no record is young enough"
    assert world.poll("billing-0", 20_000) == [10, 11, 12, 13, 14]
    assert world.told("billing-0", PositionReset) == [PositionReset(P0, -1, 10)]


def test_a_position_that_the_log_still_has_is_nothing_to_reset() -> None:
    world = World()
    world.append(P0, 10)
    world.add("billing-0", auto_offset_reset="earliest")
    assert len(world.poll("billing-0", 5_000)) == 10
    world.delete(P0, 10)
    world.append(P0, 2)
    assert world.poll("billing-0", 5_000) == [10, 11]
    assert len(world.told("billing-0", PositionReset)) == 1
