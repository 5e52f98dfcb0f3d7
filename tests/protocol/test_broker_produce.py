from pump import ORDERS, Cluster, batch, produce

from kafkasim.protocol.delayed_produce import ProduceTimedOut
from kafkasim.protocol.errors import Error
from kafkasim.protocol.kafka_apis import ConnectionClosedByAcks0
from kafkasim.protocol.messages import FetchRequest, FetchResponse, InitProducerIdRequest, ProduceRequest, ProduceResponse
from kafkasim.protocol.node import Disconnected
from kafkasim.protocol.records import TopicPartition


def errors(response: ProduceResponse) -> list[Error]:
    return [result.error for result in response.results]


def cluster(**topic_config: int) -> Cluster:
    pump = Cluster()
    pump.create_topic("orders", **topic_config)
    return pump


def test_acks_all_is_answered_only_after_both_followers_have_fetched_twice() -> None:
    pump = cluster()
    seen = []

    def watch(target: str, event: object, source: str) -> None:
        if isinstance(event, FetchRequest) and target == "broker-1":
            seen.append((source, event.partitions[0].fetch_offset))
        elif isinstance(event, FetchResponse) and event.partitions[0].batches:
            seen.append((target, "batches"))
        elif isinstance(event, ProduceResponse):
            seen.append(("shop", "answered"))

    pump.on_deliver = watch
    pump.request("shop", "broker-1", produce(count=3))
    answered = seen.index(("shop", "answered"))
    assert set(seen[:answered]) >= {
        ("broker-2", "batches"),
        ("broker-3", "batches"),
        ("broker-2#fetcher-2", 3),  # the second fetch, which says: I have everything below 3
        ("broker-3#fetcher-3", 3),
    }
    [response] = pump.replies("shop")
    assert (response.results[0].error, response.results[0].base_offset) == (Error.NONE, 0)


def test_acks_all_is_not_answered_while_one_follower_in_the_isr_is_cut_off() -> None:
    pump = cluster()
    pump.cut("broker-1", "broker-3")
    pump.request("shop", "broker-1", produce())
    assert pump.replies("shop") == []
    pump.heal()
    assert errors(pump.replies("shop")[0]) == [Error.NONE]


def test_acks_1_is_answered_at_once_even_if_no_follower_can_be_reached() -> None:
    pump = cluster()
    pump.cut("broker-1", "broker-2", "broker-3")
    pump.request("shop", "broker-1", produce(acks=1))
    assert errors(pump.replies("shop")[0]) == [Error.NONE]
    assert pump.partition(1).log.log_end_offset == 1
    assert pump.partition(1).high_watermark == 0


def test_acks_all_times_out_and_the_batch_stays_in_the_log_and_is_committed_later() -> None:
    pump = cluster()
    pump.cut("broker-1", "broker-3")
    pump.request("shop", "broker-1", produce(timeout_ms=1_000))
    pump.advance(999)
    assert pump.replies("shop") == []
    pump.advance(1)
    [response] = pump.replies("shop")
    assert errors(response) == [Error.REQUEST_TIMED_OUT]
    assert response.results[0].base_offset == 0
    assert pump.traces(ProduceTimedOut) == [ProduceTimedOut(ORDERS, 1, 0)]
    assert not pump.broker(1).replica_manager.hosted[ORDERS].produces
    pump.heal()
    assert pump.partition(1).high_watermark == 1
    assert pump.replies("shop") == []


def test_a_request_with_several_partitions_waits_for_all_of_them_and_each_gets_its_own_error() -> None:
    pump = Cluster()
    pump.create_topic("orders", partitions=2, replication_factor=2)  # orders-0 on 1 and 2, orders-1 on 2 and 3
    pump.create_topic("lonely", replication_factor=1)
    pump.cut("broker-1", "broker-2")
    batches = ((ORDERS, batch()), (TopicPartition("lonely", 0), batch()), (TopicPartition("orders", 1), batch()))
    pump.request("shop", "broker-1", ProduceRequest(1, -1, 5_000, batches))
    assert pump.replies("shop") == []
    pump.advance(5_000)
    assert errors(pump.replies("shop")[0]) == [Error.REQUEST_TIMED_OUT, Error.NONE, Error.NOT_LEADER_OR_FOLLOWER]


def test_an_unknown_topic_and_a_too_large_batch_are_refused() -> None:
    pump = cluster(max_message_bytes=1_000)
    pump.request("shop", "broker-1", ProduceRequest(1, -1, 100, ((TopicPartition("ordres", 0), batch()),)))
    pump.request("shop", "broker-1", ProduceRequest(2, -1, 100, ((ORDERS, batch(size=1_001)),)))
    assert [errors(response) for response in pump.replies("shop")] == [[Error.UNKNOWN_TOPIC_OR_PARTITION], [Error.RECORD_TOO_LARGE]]


def test_a_follower_refuses_and_names_the_leader() -> None:
    pump = cluster()
    pump.request("shop", "broker-2", produce())
    [response] = pump.replies("shop")
    result = response.results[0]
    assert (result.error, result.base_offset, result.current_leader) == (Error.NOT_LEADER_OR_FOLLOWER, -1, 1)
    assert result.current_leader_epoch == pump.partition(1).leader_epoch


def test_acks_all_is_refused_below_min_insync_replicas_but_acks_1_is_not() -> None:
    pump = cluster(min_insync_replicas=2)
    pump.crash("broker-2")
    pump.crash("broker-3")
    pump.advance(20_000)  # both are fenced
    assert pump.partition(1).isr == (1,)
    pump.request("shop", "broker-1", produce(1), produce(2, acks=1))
    refused, accepted = pump.replies("shop")
    assert errors(refused) == [Error.NOT_ENOUGH_REPLICAS]
    assert errors(accepted) == [Error.NONE]
    assert pump.partition(1).high_watermark == 0


def test_a_batch_that_waits_when_its_followers_are_fenced_is_committed_by_the_smaller_isr() -> None:
    pump = cluster()
    pump.crash("broker-2")
    pump.crash("broker-3")
    pump.request("shop", "broker-1", produce())
    assert pump.replies("shop") == []
    pump.advance(20_000)
    assert errors(pump.replies("shop")[0]) == [Error.NONE]


def test_a_retry_of_a_batch_waits_for_no_more_than_its_first_offset() -> None:
    pump = cluster()
    pump.cut("broker-1", "broker-2", "broker-3")
    first = ((ORDERS, batch(0, producer_id=7, sequence=0)),)
    second = ((ORDERS, batch(1, producer_id=7, sequence=1)),)
    pump.request("one", "broker-1", ProduceRequest(1, -1, 30_000, first))
    pump.request("two", "broker-1", ProduceRequest(2, -1, 30_000, second))
    pump.request("retry", "broker-1", ProduceRequest(3, -1, 30_000, first))
    hosted = pump.broker(1).replica_manager.hosted[ORDERS]
    assert [required_offset for required_offset, _, _ in hosted.produces] == [1, 1, 2]
    pump.heal()
    answers = {name: pump.replies(name)[0].results[0].base_offset for name in ("one", "two", "retry")}
    assert answers == {"one": 0, "two": 1, "retry": 0}
    assert pump.partition(3).log.log_end_offset == 2


def test_acks_0_is_never_answered_and_its_error_closes_the_connection() -> None:
    pump = cluster()
    pump.request("shop", "broker-1", produce(acks=0))
    assert pump.replies("shop") == []
    assert pump.partition(1).log.log_end_offset == 1
    pump.request("shop", "broker-2", produce(acks=0), produce(acks=1))
    assert pump.replies("shop") == [Disconnected("broker-2")]
    [closed] = pump.traces(ConnectionClosedByAcks0)
    assert (closed.broker, closed.source, closed.results[0].error) == (2, "shop", Error.NOT_LEADER_OR_FOLLOWER)


def test_producer_ids_differ_between_brokers_and_between_incarnations_and_an_epoch_is_bumped() -> None:
    pump = cluster()
    for broker_id in (1, 2):
        pump.request("shop", f"broker-{broker_id}", InitProducerIdRequest(1), InitProducerIdRequest(2))
    pump.crash("broker-2")
    pump.advance(20_000)
    pump.start_broker(2)
    pump.inbox["later"].clear()
    pump.request("later", "broker-2", InitProducerIdRequest(3))
    answers = [reply for reply in pump.replies("shop") if not isinstance(reply, Disconnected)] + pump.replies("later")
    assert len({answer.producer_id for answer in answers}) == 5
    pump.request("later", "broker-2", InitProducerIdRequest(4, answers[0].producer_id, 3))
    [bumped] = pump.replies("later")
    assert (bumped.producer_id, bumped.producer_epoch) == (answers[0].producer_id, 4)
