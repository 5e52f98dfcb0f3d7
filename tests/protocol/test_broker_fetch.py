from pump import ORDERS, Cluster, batch, produce

from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import (
    FetchPartition,
    FetchRequest,
    ListOffsetsRequest,
    MetadataRequest,
    OffsetForLeaderEpochRequest,
    ProduceRequest,
)
from kafkasim.protocol.records import TopicPartition

ONE_MIB = 1_048_576


def fetch(
    offset: int = 0, min_bytes: int = 1, max_wait_ms: float = 500, max_bytes: int = ONE_MIB, epoch: int = -1, **more: int
) -> FetchRequest:
    partitions = (FetchPartition(ORDERS, offset, epoch, -1, ONE_MIB),)
    partitions += tuple(
        FetchPartition(TopicPartition("orders", index), 0, -1, -1, ONE_MIB) for index in range(1, more.get("partitions", 1))
    )
    return FetchRequest(9, -1, -1, max_wait_ms, min_bytes, max_bytes, False, partitions)


def cluster(**topic_config: int) -> Cluster:
    pump = Cluster()
    pump.create_topic("orders", **topic_config)
    return pump


def test_a_consumer_waits_until_the_high_watermark_passes_new_records_not_until_they_are_appended() -> None:
    pump = cluster()
    pump.request("billing", "broker-1", fetch())
    pump.cut("broker-1", "broker-2")
    pump.request("shop", "broker-1", produce(acks=1))
    assert pump.replies("billing") == []
    pump.heal()
    [response] = pump.replies("billing")
    assert response.partitions[0].high_watermark == 1
    assert [log_batch.base_offset for log_batch in response.partitions[0].batches] == [0]


def test_a_consumers_fetch_ends_empty_when_its_wait_is_over() -> None:
    pump = cluster()
    pump.request("billing", "broker-1", fetch(max_wait_ms=300))
    pump.advance(299)
    assert pump.replies("billing") == []
    pump.advance(1)
    [response] = pump.replies("billing")
    assert (response.partitions[0].error, response.partitions[0].batches) == (Error.NONE, ())


def test_a_consumer_that_wants_more_bytes_waits_for_them() -> None:
    pump = cluster()
    pump.request("billing", "broker-1", fetch(min_bytes=500))
    pump.request("shop", "broker-1", produce(1), produce(2, first=1))  # 200 bytes each
    assert pump.replies("billing") == []
    pump.request("shop", "broker-1", produce(3, first=2))
    [response] = pump.replies("billing")
    assert len(response.partitions[0].batches) == 3


def test_a_fetch_that_wants_no_wait_or_nothing_is_answered_at_once() -> None:
    pump = cluster()
    pump.request("billing", "broker-1", fetch(max_wait_ms=0), FetchRequest(9, -1, -1, 500, 1, 1, False, ()))
    waitless, nothing = pump.replies("billing")
    assert waitless.partitions[0].batches == ()
    assert nothing.partitions == ()


def test_one_fetch_of_two_partitions_is_answered_by_an_append_to_either_and_leaves_no_watcher_behind() -> None:
    pump = Cluster(brokers=1)
    pump.create_topic("orders", partitions=2, replication_factor=1)
    pump.request("billing", "broker-1", fetch(partitions=2))
    pump.request("shop", "broker-1", ProduceRequest(1, 1, 100, ((TopicPartition("orders", 1), batch()),)))
    [response] = pump.replies("billing")
    assert [len(partition.batches) for partition in response.partitions] == [0, 1]
    assert all(not hosted.consumer_fetches for hosted in pump.broker(1).replica_manager.hosted.values())


def test_max_bytes_ends_an_answer_but_never_before_its_first_batch() -> None:
    pump = Cluster(brokers=1)
    pump.create_topic("orders", partitions=2, replication_factor=1)
    for index in (0, 1):
        pump.request("shop", "broker-1", ProduceRequest(1, 1, 100, ((TopicPartition("orders", index), batch(size=800)),)))
    pump.request("billing", "broker-1", fetch(partitions=2, max_bytes=100))
    [response] = pump.replies("billing")
    assert [len(partition.batches) for partition in response.partitions] == [1, 0]


def test_a_fetch_beyond_the_log_or_of_an_unknown_partition_or_in_a_wrong_epoch_is_answered_with_its_error() -> None:
    pump = cluster()
    unknown = FetchRequest(9, -1, -1, 500, 1, ONE_MIB, False, (FetchPartition(TopicPartition("ordres", 0), 0, -1, -1, 1),))
    pump.request("billing", "broker-1", fetch(offset=5), unknown, fetch(epoch=4))
    assert [response.partitions[0].error for response in pump.replies("billing")] == [
        Error.OFFSET_OUT_OF_RANGE,
        Error.UNKNOWN_TOPIC_OR_PARTITION,
        Error.UNKNOWN_LEADER_EPOCH,
    ]


def test_the_followers_high_watermark_follows_without_further_records() -> None:
    pump = cluster()
    pump.request("shop", "broker-1", produce())
    pump.advance(500)
    assert [pump.partition(broker_id).high_watermark for broker_id in (1, 2, 3)] == [1, 1, 1]


def test_a_followers_parked_fetch_is_not_answered_because_the_high_watermark_moved() -> None:
    pump = cluster()
    pump.advance(10)
    pump.request("shop", "broker-1", produce())
    # Both followers have the record and are parked again. Whoever fetched it first confirmed it before the high watermark moved.
    assert len(pump.broker(1).replica_manager.hosted[ORDERS].follower_fetches) == 2
    assert pump.partition(1).high_watermark == 1
    assert 0 in (pump.partition(2).high_watermark, pump.partition(3).high_watermark)


def test_list_offsets_ends_at_the_high_watermark_for_consumers_and_at_the_log_end_for_followers() -> None:
    pump = cluster()
    pump.cut("broker-1", "broker-2")
    pump.request("shop", "broker-1", produce(acks=1))
    pump.request("any", "broker-1", ListOffsetsRequest(1, (ORDERS,), -1), ListOffsetsRequest(2, (ORDERS,), -1, replica_id=2))
    pump.request("any", "broker-1", ListOffsetsRequest(3, (ORDERS,), -2), ListOffsetsRequest(4, (TopicPartition("x", 0),), -2))
    rows = [response.partitions[0] for response in pump.replies("any")]
    assert [(row[1], row[2]) for row in rows] == [
        (Error.NONE, 0),
        (Error.NONE, 1),
        (Error.NONE, 0),
        (Error.UNKNOWN_TOPIC_OR_PARTITION, -1),
    ]


def test_offset_for_leader_epoch_tells_where_an_epoch_ended() -> None:
    pump = cluster()
    pump.request("shop", "broker-1", produce(count=4))
    epoch = pump.partition(1).leader_epoch
    pump.request("any", "broker-1", OffsetForLeaderEpochRequest(1, ((ORDERS, epoch, epoch),)))
    assert pump.replies("any")[0].partitions == ((ORDERS, Error.NONE, epoch, 4),)


def test_metadata_names_live_brokers_leaders_and_unknown_topics() -> None:
    pump = cluster()
    pump.crash("broker-3")
    pump.advance(20_000)
    pump.request("any", "broker-2", MetadataRequest(1, ("orders", "ordres")))
    [response] = pump.replies("any")
    assert response.brokers == (1, 2)
    assert [(row.partition, row.error, row.leader) for row in response.partitions] == [
        (ORDERS, Error.NONE, 1),
        (TopicPartition("ordres", -1), Error.UNKNOWN_TOPIC_OR_PARTITION, -1),
    ]
