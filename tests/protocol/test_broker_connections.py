from pump import ORDERS, Cluster, produce

from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import FetchPartition, FetchRequest, MetadataRequest


def cluster() -> Cluster:
    pump = Cluster()
    pump.create_topic("orders")
    return pump


def long_poll(correlation_id: int = 5) -> FetchRequest:
    return FetchRequest(correlation_id, -1, -1, 500, 1, 1_000, False, (FetchPartition(ORDERS, 0, -1, -1, 1_000),))


def test_a_request_behind_a_parked_one_waits_on_the_same_connection_but_not_on_another() -> None:
    pump = cluster()
    pump.request("one", "broker-1", long_poll(1), MetadataRequest(2, ()))
    pump.request("other", "broker-1", MetadataRequest(3, ()))
    assert pump.replies("one") == []
    assert [reply.correlation_id for reply in pump.replies("other")] == [3]
    pump.advance(500)
    assert [reply.correlation_id for reply in pump.replies("one")] == [1, 2]


def test_pipelined_batches_are_appended_one_after_the_other_each_when_the_one_before_is_answered() -> None:
    pump = cluster()
    pump.cut("broker-1", "broker-3")
    pump.request("shop", "broker-1", *[produce(n, first=n) for n in range(3)])
    assert pump.partition(1).log.log_end_offset == 1
    pump.heal()
    assert [(reply.correlation_id, reply.results[0].base_offset) for reply in pump.replies("shop")] == [(0, 0), (1, 1), (2, 2)]


def test_acks_0_mutes_nothing() -> None:
    pump = cluster()
    pump.cut("broker-1", "broker-2", "broker-3")
    pump.request("shop", "broker-1", *[produce(n, acks=0, first=n) for n in range(3)])
    assert pump.partition(1).log.log_end_offset == 3


def test_what_a_client_wrote_before_it_gave_up_is_still_appended_and_not_answered() -> None:
    pump = cluster()
    pump.cut("broker-1", "broker-3")
    pump.request("shop", "broker-1", produce(1, first=1), produce(2, first=2))
    pump.close("shop", "broker-1")
    pump.heal()
    assert pump.partition(1).log.log_end_offset == 2
    assert pump.partition(1).high_watermark == 2
    assert pump.replies("shop") == []


def test_of_what_a_client_wrote_before_it_gave_up_two_requests_are_read_because_the_second_answer_cannot_be_sent() -> None:
    pump = cluster()
    pump.cut("broker-1", "broker-3")
    pump.request("shop", "broker-1", *[produce(n, first=n) for n in range(5)])
    pump.close("shop", "broker-1")
    pump.heal()
    assert pump.partition(1).log.log_end_offset == 2


def test_batches_without_acks_are_all_read_because_no_answer_to_them_can_fail() -> None:
    pump = cluster()
    pump.request("shop", "broker-1", long_poll(0), *[produce(n, acks=0, first=n) for n in range(5)])
    pump.close("shop", "broker-1")
    pump.advance(500)
    assert pump.partition(1).log.log_end_offset == 5


def test_a_late_answer_to_an_old_connection_never_reaches_the_new_one_of_the_same_name() -> None:
    pump = cluster()
    pump.request("billing", "broker-1", long_poll(1))
    pump.close("billing", "broker-1")
    pump.request("billing", "broker-1", MetadataRequest(2, ()), long_poll(3))
    pump.advance(500)
    assert [reply.correlation_id for reply in pump.replies("billing")] == [2, 3]


def test_a_connection_that_the_client_closed_leaves_nothing_muted_for_the_next() -> None:
    pump = cluster()
    pump.cut("broker-1", "broker-3")
    pump.request("shop", "broker-1", produce(1, timeout_ms=60_000))
    pump.disconnect("shop", "broker-1")
    pump.replies("shop")
    pump.request("shop", "broker-1", produce(2, acks=1, first=1))
    [reply] = pump.replies("shop")
    assert (reply.correlation_id, reply.results[0].error) == (2, Error.NONE)
