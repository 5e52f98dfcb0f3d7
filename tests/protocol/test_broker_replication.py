from dataclasses import replace

from pump import ORDERS, Cluster, produce

from kafkasim.protocol.broker import BecameFollower, BeginControlledShutdown
from kafkasim.protocol.errors import Error
from kafkasim.protocol.local_replica import Truncated
from kafkasim.protocol.log_retention import delete_old_segments
from kafkasim.protocol.messages import FetchPartition, FetchRequest
from kafkasim.protocol.node import Disconnected
from kafkasim.protocol.partition import LeaderEpochStarted
from kafkasim.protocol.records import TopicPartition


def cluster(**topic_config: int) -> Cluster:
    pump = Cluster()
    pump.create_topic("orders", **topic_config)
    return pump


def names(pump: Cluster, broker_id: int) -> list[int]:
    return [number for log_batch in pump.partition(broker_id).log.batches for number in log_batch.batch.numbers]


def test_when_the_leader_is_fenced_a_follower_leads_and_the_rest_follow_it() -> None:
    pump = cluster()
    pump.request("shop", "broker-1", produce(1, first=0))
    pump.crash("broker-1")
    pump.advance(12_000)
    assert (pump.partition(2).is_leader, pump.partition(3).leader) == (True, 2)
    pump.request("shop", "broker-2", produce(2, first=1))
    assert names(pump, 2) == names(pump, 3) == [0, 1]
    assert pump.partition(2).high_watermark == 2
    assert pump.traces(LeaderEpochStarted)[-1].broker == 2
    assert [event.broker for event in pump.traces(BecameFollower) if event.leader == 2] == [3]


def test_a_lost_leadership_completes_parked_produce_requests_and_parked_fetches() -> None:
    pump = cluster()
    pump.cut("broker-1", "broker-2", "broker-3", "controller-100")
    consumer_fetch = FetchRequest(
        5, -1, -1, 60_000, 1, 1_000, False, (FetchPartition(ORDERS, 0, pump.partition(1).leader_epoch, -1, 1_000),)
    )
    pump.request("billing", "broker-1", consumer_fetch)
    pump.request("shop", "broker-1", produce(timeout_ms=60_000))
    pump.advance(15_000)
    assert pump.replies("shop") == pump.replies("billing") == []
    pump.heal()  # and the metadata log comes through
    [response] = pump.replies("shop")
    assert (response.results[0].error, response.results[0].current_leader) == (Error.NOT_LEADER_OR_FOLLOWER, 2)
    assert pump.replies("billing")[0].partitions[0].error is Error.FENCED_LEADER_EPOCH
    assert not pump.broker(1).replica_manager.hosted[ORDERS].produces


def test_an_isolated_leader_goes_on_serving_and_its_records_are_truncated_when_it_comes_back() -> None:
    pump = cluster(min_insync_replicas=2)
    pump.request("shop", "broker-1", produce(1, first=0))
    pump.cut("broker-1", "broker-2", "broker-3", "controller-100")
    pump.advance(15_000)
    assert pump.partition(2).is_leader
    pump.replies("shop")
    pump.request("shop", "broker-1", produce(2, acks=1, first=1))  # the zombie acknowledges
    assert pump.replies("shop")[0].results[0].error is Error.NONE
    pump.request("shop", "broker-1", produce(3, acks=-1, first=2, timeout_ms=1_000))
    pump.advance(1_000)
    assert pump.replies("shop")[0].results[0].error is Error.REQUEST_TIMED_OUT  # not refused: its own ISR did not shrink
    assert pump.partition(1).high_watermark == 1
    pump.request("shop", "broker-2", produce(4, first=10))
    pump.heal()
    pump.advance(2_000)
    assert names(pump, 1) == names(pump, 2) == names(pump, 3) == [0, 10]
    [truncated] = [event for event in pump.traces(Truncated) if event.broker == 1]
    assert (truncated.from_offset, truncated.to_offset) == (3, 1)


def test_a_restarted_leader_truncates_by_leader_epoch_and_keeps_what_was_committed_though_its_checkpoint_lags() -> None:
    pump = cluster()
    for first in range(3):
        pump.request("shop", "broker-1", produce(first, first=first))
    pump.cut("broker-1", "broker-2", "broker-3")
    pump.request("shop", "broker-1", produce(3, acks=1, first=3))
    pump.crash("broker-1")
    pump.heal()
    assert pump.disks[1].logs[ORDERS].high_watermark_checkpoint == 0
    pump.advance(12_000)
    pump.request("shop", "broker-2", produce(4, first=4))
    pump.start_broker(1)
    pump.advance(3_000)
    assert names(pump, 1) == names(pump, 2) == [0, 1, 2, 4]
    [truncated] = pump.traces(Truncated)
    assert (truncated.broker, truncated.from_offset, truncated.to_offset) == (1, 4, 3)


def test_a_follower_that_comes_back_is_taken_into_the_isr_once_it_has_caught_up() -> None:
    pump = cluster()
    pump.crash("broker-3")
    pump.advance(12_000)
    assert pump.partition(1).isr == (1, 2)
    pump.request("shop", "broker-1", produce())
    pump.start_broker(3)
    pump.advance(2_000)
    assert set(pump.partition(1).isr) == {1, 2, 3}
    assert set(pump.state.image.partitions[ORDERS].isr) == {1, 2, 3}


def test_a_follower_cut_off_from_the_leader_only_leaves_the_isr_and_lets_acks_all_go_on() -> None:
    pump = cluster()
    pump.cut("broker-1", "broker-3")
    pump.advance(10_000)
    pump.request("shop", "broker-1", produce(timeout_ms=60_000))
    pump.advance(15_000)
    assert pump.replies("shop") == []
    pump.advance(30_000)  # between 30 and 45 s after the cut
    assert pump.replies("shop")[0].results[0].error is Error.NONE
    assert pump.partition(1).isr == pump.state.image.partitions[ORDERS].isr == (1, 2)


def test_a_follower_backs_off_after_a_broken_connection_and_fetches_again() -> None:
    pump = Cluster(brokers=2)
    pump.create_topic("orders", replication_factor=2)
    pump.disconnect("broker-2", "broker-1#fetcher-2")
    pump.request("shop", "broker-1", produce())
    pump.advance(999)
    assert pump.replies("shop") == []
    pump.advance(1)
    assert pump.replies("shop")[0].results[0].error is Error.NONE


def test_a_follower_gives_up_on_a_leader_that_does_not_answer() -> None:
    pump = Cluster(brokers=2)
    pump.create_topic("orders", replication_factor=2)
    closed = []

    def watch(target: str, event: object, source: str) -> None:
        if isinstance(event, Disconnected):
            closed.append(pump.now)

    pump.on_deliver = watch
    start = pump.now
    pump.cut("broker-1", "broker-2")
    pump.advance(29_000)
    assert closed == []
    pump.advance(2_500)
    pump.heal()
    assert closed
    assert closed[0] - start >= 30_000
    pump.advance(2_000)
    pump.request("shop", "broker-1", produce())
    assert pump.replies("shop")[0].results[0].error is Error.NONE


def test_all_partitions_of_one_metadata_update_are_in_the_first_fetch() -> None:
    pump = Cluster(brokers=2)
    fetches = []

    def watch(target: str, event: object, source: str) -> None:
        if isinstance(event, FetchRequest):
            fetches.append(len(event.partitions))

    pump.on_deliver = watch
    pump.create_topic("orders", partitions=4, replication_factor=2)
    assert fetches == [2, 2]


def test_a_follower_below_the_leaders_log_start_begins_again_there() -> None:
    pump = Cluster(brokers=2)
    pump.create_topic("orders", replication_factor=2)
    pump.crash("broker-2")
    pump.advance(12_000)
    for first in range(5):
        pump.request("shop", "broker-1", produce(first, acks=1, first=first))
    pump.partition(1).log.increment_log_start_offset(3)  # retention
    pump.start_broker(2)
    pump.advance(1_000)
    log = pump.partition(2).log
    assert (log.log_start_offset, log.log_end_offset, names(pump, 2)) == (3, 5, [3, 4])


def test_a_partition_gets_a_fetcher_of_its_own_leader_and_loses_it_when_it_leads_itself() -> None:
    pump = Cluster(brokers=2)
    pump.create_topic("orders", partitions=2, replication_factor=2)
    fetchers = pump.broker(2).replica_manager.fetchers
    assert fetchers.get("broker-1#fetcher-2") is not None
    pump.crash("broker-1")
    pump.advance(12_000)
    assert pump.partition(2).is_leader
    assert pump.broker(2).replica_manager.hosted[TopicPartition("orders", 1)].partition.is_leader
    assert fetchers.get("broker-1#fetcher-2") is None


def test_a_fetch_in_a_wrong_leader_epoch_or_from_another_log_says_nothing_about_the_follower() -> None:
    pump = cluster()
    pump.cut("broker-1", "broker-2")
    pump.request("shop", "broker-1", produce(acks=1))
    partition = pump.partition(1)
    leader_epoch, broker_epoch = partition.leader_epoch, pump.state.image.brokers[2].broker_epoch
    for epochs in ((leader_epoch + 1, leader_epoch), (leader_epoch, leader_epoch + 1)):
        pump.request("fake", "broker-1", FetchRequest(1, 2, broker_epoch, 0, 1, 1_000, False, (FetchPartition(ORDERS, 1, *epochs, 1_000),)))
    assert [reply.partitions[0].error for reply in pump.replies("fake")] == [Error.UNKNOWN_LEADER_EPOCH, Error.OFFSET_OUT_OF_RANGE]
    assert partition.high_watermark == 0
    true_fetch = FetchPartition(ORDERS, 1, leader_epoch, leader_epoch, 1_000)
    pump.request("fake", "broker-1", FetchRequest(1, 2, broker_epoch, 0, 1, 1_000, False, (true_fetch,)))
    assert partition.high_watermark == 1


def test_an_answer_to_a_fetch_from_where_the_log_no_longer_ends_is_ignored() -> None:
    pump = Cluster(brokers=2)
    pump.create_topic("orders", replication_factor=2)
    pump.request("shop", "broker-1", produce(1, first=0), produce(2, first=1))
    pump.cut("broker-1", "broker-2")
    pump.request("shop", "broker-1", produce(3, acks=1, first=2))
    pump.partition(2).truncate_to(1)  # while the answer with the third record is on its way
    pump.heal()
    assert names(pump, 2) == [0, 1, 2]


def test_a_follower_that_cannot_say_its_epoch_and_is_ahead_of_the_leader_is_cut_to_the_leaders_end() -> None:
    pump = Cluster(brokers=2)
    pump.create_topic("orders", replication_factor=2)
    for number in range(3):
        pump.request("shop", "broker-1", produce(number, first=number))
    pump.crash("broker-2")
    pump.disks[2].logs[ORDERS].leader_epochs.clear()
    pump.partition(1).truncate_to(1)
    pump.advance(12_000)
    pump.start_broker(2)
    pump.advance(1_000)
    assert names(pump, 2) == names(pump, 1) == [0]


def test_a_follower_whose_log_starts_beyond_the_leaders_end_begins_anew_there() -> None:
    pump = Cluster(brokers=2)
    pump.create_topic("orders", replication_factor=2)
    for number in range(3):
        pump.request("shop", "broker-1", produce(number, first=number))
    pump.crash("broker-2")
    log = pump.disks[2].logs[ORDERS]
    log.config = replace(log.config, segment_bytes=1)  # a segment a batch
    log.increment_log_start_offset(2)
    assert len(delete_old_segments(log, high_watermark=3, now=0.0)) == 2
    log.leader_epochs.clear()
    pump.partition(1).truncate_to(1)
    pump.advance(12_000)
    pump.start_broker(2)
    pump.advance(1_000)
    pump.request("shop", "broker-1", produce(7, first=7))
    assert (pump.partition(2).log.log_start_offset, names(pump, 2)) == (1, [7])


def test_an_isr_proposal_refused_as_a_whole_is_repeated_until_it_is_heard() -> None:
    pump = cluster()
    pump.crash("broker-3")
    pump.advance(12_000)
    registration = pump.state.image.brokers[1]
    pump.state.image.brokers[1] = registration._replace(broker_epoch=77)  # so that the controller finds the leader's epoch stale
    pump.start_broker(3)
    pump.advance(1_000)
    assert pump.partition(1).isr == (1, 2)
    assert set(pump.partition(1).maximal_isr) == {1, 2, 3}
    pump.state.image.brokers[1] = registration
    pump.advance(60)
    assert set(pump.partition(1).isr) == {1, 2, 3}


def test_in_controlled_shutdown_a_broker_does_not_fetch_what_it_is_no_longer_in_sync_for() -> None:
    pump = cluster()
    pump.call("broker-1", BeginControlledShutdown())
    assert pump.partition(2).isr == (2, 3)
    assert pump.broker(1).replica_manager.fetchers.get("broker-2#fetcher-1") is None
