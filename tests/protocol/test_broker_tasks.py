from pump import ORDERS, Cluster, batch, produce

from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import ProduceRequest
from kafkasim.protocol.node import Send
from kafkasim.protocol.purgatory import DelayedFetch, ExpirationQueue
from kafkasim.protocol.scheduled_tasks import NEVER, Alarm, ScheduledTask


def test_an_idle_minute_of_three_brokers_that_all_lead_costs_less_than_3000_events() -> None:
    pump = Cluster()
    pump.create_topic("orders", partitions=6)
    for partition_leader in (1, 2, 3):
        assert any(hosted.partition.is_leader for hosted in pump.broker(partition_leader).replica_manager.hosted.values())
    pump.advance(10_000)
    before = pump.events
    pump.advance(60_000)
    assert 1_000 < pump.events - before < 3_000


def test_the_high_watermark_is_checkpointed_at_the_next_interval_on_leader_and_followers() -> None:
    pump = Cluster()
    pump.create_topic("orders")
    pump.advance(5_200)
    pump.request("shop", "broker-1", produce(count=3))
    pump.advance(4_000)
    assert [pump.disks[broker_id].logs[ORDERS].high_watermark_checkpoint for broker_id in (1, 2, 3)] == [0, 0, 0]
    pump.advance(1_000)
    assert [pump.disks[broker_id].logs[ORDERS].high_watermark_checkpoint for broker_id in (1, 2, 3)] == [3, 3, 3]


def test_nothing_is_flushed_by_default() -> None:
    pump = Cluster()
    pump.create_topic("orders")
    pump.request("shop", "broker-1", produce())
    pump.advance(120_000)
    assert pump.disks[1].logs[ORDERS].recovery_point == 0


def test_flush_ms_is_looked_at_when_the_scheduler_comes_round_first_after_30_seconds() -> None:
    pump = Cluster(config=BrokerConfig(log_flush_scheduler_interval_ms=2_000))
    pump.create_topic("orders", flush_ms=1_000)
    pump.request("shop", "broker-1", produce(1))
    pump.advance(29_999)
    assert pump.disks[1].logs[ORDERS].recovery_point == 0
    pump.advance(1)
    assert [pump.disks[broker_id].logs[ORDERS].recovery_point for broker_id in (1, 2)] == [1, 1]
    pump.advance(500)
    pump.request("shop", "broker-1", produce(2))
    pump.advance(1_499)
    assert pump.disks[1].logs[ORDERS].recovery_point == 1
    pump.advance(1)
    assert pump.disks[1].logs[ORDERS].recovery_point == 2


def test_a_log_flushed_too_recently_is_flushed_at_a_later_round() -> None:
    pump = Cluster(config=BrokerConfig(log_flush_scheduler_interval_ms=1_000))
    pump.create_topic("orders", flush_ms=40_000)
    pump.request("shop", "broker-1", produce(1))
    pump.advance(39_000)
    assert pump.disks[1].logs[ORDERS].recovery_point == 0
    pump.advance(1_000)
    assert pump.disks[1].logs[ORDERS].recovery_point == 1


def test_a_task_keeps_its_rate_and_rests_until_it_is_armed() -> None:
    task = ScheduledTask(100.0, Alarm())
    task.first = 50.0
    assert not task.runs(1_000.0)
    task.arm(10.0)
    assert task.due == 50.0
    assert not task.runs(49.0)
    assert task.runs(50.0)
    assert task.due == NEVER
    task.arm(50.0)
    assert task.due == 150.0
    task.arm(149.0)
    assert task.due == 150.0
    task.runs(420.0)
    task.arm(420.0)
    assert task.due == 450.0


def test_done_operations_neither_expire_nor_are_kept() -> None:
    alarm = Alarm()
    queue: ExpirationQueue[DelayedFetch] = ExpirationQueue(alarm)
    operations = [DelayedFetch(start + 500.0, None, None) for start in range(100)]  # type: ignore[arg-type]
    for operation in operations:
        queue.add(operation, 500.0)
        operation.done = True
    assert queue.next_deadline() == float("inf")
    late, soon = DelayedFetch(700.0, None, None), DelayedFetch(620.0, None, None)  # type: ignore[arg-type]
    queue.add(late, 500.0)
    queue.add(soon, 20.0)
    assert queue.next_deadline() == 620.0
    assert list(queue.expired(650.0)) == [soon]
    assert queue.next_deadline() == 700.0
    assert alarm.deadline == 500.0  # early, never late


def test_a_broker_woken_too_early_or_too_late_does_what_is_due_and_nothing_else() -> None:
    pump = Cluster(brokers=1)
    broker = pump.broker(1)
    deadline = broker.next_deadline()
    assert deadline is not None
    assert broker.wake(deadline - 0.5) == []
    assert broker.next_deadline() == deadline
    late = broker.wake(deadline + 60_000)
    assert [type(output) for output in late if getattr(output, "peer", "").endswith("#heartbeat")] == [Send]  # however many were missed


def test_a_producer_silent_for_producer_id_expiration_ms_is_forgotten_at_the_next_check_and_its_retry_is_written_again() -> None:
    pump = Cluster(config=BrokerConfig(producer_id_expiration_ms=3_000, producer_id_expiration_check_interval_ms=2_000))
    pump.create_topic("orders")
    retry = ProduceRequest(1, -1, 30_000, ((ORDERS, batch(count=5, producer_id=7, sequence=0)),))
    pump.request("shop", "broker-1", retry)
    pump.advance(3_900)
    pump.request("shop", "broker-1", retry)
    assert pump.partition(1).log.log_end_offset == 5
    pump.advance(200)
    assert [pump.partition(broker).log.producers.entry(7) for broker in (1, 2, 3)] == [None, None, None]
    pump.request("shop", "broker-1", retry)
    assert pump.partition(1).log.log_end_offset == 10


def test_a_broker_that_was_restarted_takes_a_retry_of_an_older_batch_for_a_gap() -> None:
    pump = Cluster(brokers=1)
    pump.create_topic("orders", replication_factor=1)
    batches = [ProduceRequest(n, -1, 30_000, ((ORDERS, batch(first=n, producer_id=7, sequence=n)),)) for n in range(3)]
    pump.request("shop", "broker-1", *batches)
    pump.crash("broker-1")
    pump.advance(20_000)
    pump.start_broker(1)
    pump.advance(20_000)
    assert pump.partition(1).is_leader
    pump.inbox["shop"].clear()
    pump.request("shop", "broker-1", batches[1], batches[2])
    assert [reply.results[0].error for reply in pump.replies("shop")] == [Error.OUT_OF_ORDER_SEQUENCE_NUMBER, Error.NONE]
    assert pump.partition(1).log.log_end_offset == 3
