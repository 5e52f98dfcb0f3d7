"""librdkafka against its own mock cluster (test.mock.num.brokers): no Kafka is needed, and with KIP-848 a member joins it at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from cluster.patience import PATIENCE_S, eventually
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from kafkasim.cluster.client_api import CommitSeen, ConsumerEvent, ConsumerStopped, Delivery, PartitionsChanged, PolledRun, PositionMoved
from kafkasim.cluster.identity import decode, encode
from kafkasim.cluster.librdkafka_client import LibrdkafkaConsumer, LibrdkafkaProducer
from kafkasim.cluster.specs import ConsumerSpec, ProducerSpec

NOWHERE = "127.0.0.1:1"
PARTITIONS = tuple(f"orders-{partition}" for partition in range(4))  # the mock makes four of them


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    """The bootstrap address of a mock cluster, which lives as long as the producer that made it."""
    logger = logging.Logger("mock", logging.CRITICAL + 1)
    owner = Producer({"test.mock.num.brokers": 1}, logger=logger)
    (broker,) = owner.list_topics("warm", timeout=5).brokers.values()
    yield f"{broker.host}:{broker.port}"
    del owner


def producer_spec(bootstrap: str, real_topic: str, config: Mapping[str, str], **changes: Any) -> ProducerSpec:
    values: dict[str, Any] = dict.fromkeys(ProducerSpec.__dataclass_fields__)
    values |= {"name": "shop", "index": 1, "topic": "orders", "real_topic": real_topic, "bootstrap": bootstrap}
    return ProducerSpec(**(values | {"config": dict(config), "record_size": 100, "retries": 5} | changes))


def consumer_spec(bootstrap: str, real_topic: str, config: Mapping[str, str]) -> ConsumerSpec:
    values: dict[str, Any] = dict.fromkeys(ConsumerSpec.__dataclass_fields__)
    values |= {"group": "billing", "real_group": f"{real_topic}-billing", "topics": {"orders": real_topic}, "bootstrap": bootstrap}
    return ConsumerSpec(**(values | {"config": {"group.protocol": "consumer", "auto.offset.reset": "earliest", **config}}))


def begun(spec: ProducerSpec) -> LibrdkafkaProducer:
    client = LibrdkafkaProducer(spec)
    client.begin()
    return client


def collect(client: LibrdkafkaProducer, count: int) -> list[Delivery]:
    found: list[Delivery] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < deadline:
        found += client.deliveries(0.1)
    return found


def produce(bootstrap: str, real_topic: str, numbers: range, key: int | None = 0) -> list[Delivery]:
    client = begun(producer_spec(bootstrap, real_topic, {}))
    client.send(numbers, None if key is None else [key] * len(numbers))
    client.close(PATIENCE_S)
    return client.deliveries(0.0)


def read(client: LibrdkafkaConsumer, count: int, ready: Callable[[], bool] = lambda: True) -> list[PolledRun]:
    found: list[PolledRun] = []
    deadline = time.monotonic() + PATIENCE_S
    while (sum(run.records for run in found) < count or not ready()) and time.monotonic() < deadline:
        found += client.poll(50, 100)
    return found


# ---------------------------------------------------------------------------------------------------- producer


def test_every_record_is_delivered_under_the_scenarios_name_with_its_offset(mock: str) -> None:
    deliveries = produce(mock, "run-1-orders", range(20))
    # In no certain order: until librdkafka knows the topic, a record may overtake those that wait for its metadata.
    assert sorted(delivery.number for delivery in deliveries) == list(range(20))
    assert {delivery.partition for delivery in deliveries} == {deliveries[0].partition} <= set(PARTITIONS)
    assert sorted(delivery.offset for delivery in deliveries) == list(range(20))
    assert {(delivery.error, delivery.definite) for delivery in deliveries} == {("", False)}


def test_a_client_that_has_not_begun_counts_nothing_and_closes_at_once() -> None:
    client = LibrdkafkaProducer(producer_spec(NOWHERE, "t", {}))
    assert client.handed() == 0
    assert client.deliveries(0.0) == []
    client.close(60.0)


def test_send_returns_at_once_and_handed_counts_what_produce_has_seen() -> None:
    client = begun(producer_spec(NOWHERE, "t", {}))
    client.send(range(5), None)
    client.send((2, 4), [7, 8])
    assert eventually(lambda: client.handed() == 7)
    client.close(0.0)
    assert client.deliveries(0.0) == []


def test_what_does_not_fit_into_the_queue_fails_for_certain() -> None:
    client = begun(producer_spec(NOWHERE, "t", {"queue.buffering.max.messages": "2"}))
    client.send(range(5), None)
    assert collect(client, 3) == [Delivery(number, "_QUEUE_FULL", True, "", -1) for number in (2, 3, 4)]
    assert client.handed() == 5
    client.close(0.0)


def test_a_record_that_is_too_large_for_the_client_fails_for_certain() -> None:
    client = begun(producer_spec(NOWHERE, "t", {"message.max.bytes": "1000"}, record_size=5000))
    client.send(range(1), None)
    assert collect(client, 1) == [Delivery(0, "RECORD_TOO_LARGE", True, "", -1)]
    client.close(0.0)


def test_a_message_whose_time_is_up_is_unknown_and_has_no_partition() -> None:
    client = begun(producer_spec(NOWHERE, "t", {"message.timeout.ms": "100"}, retries=0))
    client.send(range(2), None)
    assert collect(client, 2) == [Delivery(number, "TimeoutException: delivery.timeout.ms", False, "", -1) for number in (0, 1)]
    client.close(0.0)


def test_a_configuration_that_librdkafka_refuses_is_told_when_the_client_begins() -> None:
    with pytest.raises(KafkaException, match=r"no\.such\.thing"):
        LibrdkafkaProducer(producer_spec(NOWHERE, "t", {"no.such.thing": "1"})).begin()


# ---------------------------------------------------------------------------------------------------- consumer, on the mock cluster


def test_a_consumer_reads_what_was_produced_and_commits_its_positions(mock: str) -> None:
    (partition,) = {delivery.partition for delivery in produce(mock, "run-2-orders", range(150))}
    client = LibrdkafkaConsumer(consumer_spec(mock, "run-2-orders", {"enable.auto.commit": "false"}))
    client.begin()
    assert read(client, 150) == [PolledRun(partition, 0, 1, 0, 100), PolledRun(partition, 100, 1, 100, 50)]
    assert client.events() == [PartitionsChanged("assigned", PARTITIONS), PositionMoved(partition, -1, 0)]
    assert client.positions() == {partition: 150}
    assert client.commit(None) == CommitSeen(((partition, 150),), "")
    assert client.commit(None) == CommitSeen((), ""), "nothing new is nothing to commit, and no error"
    assert client.commit([(partition, 40)]) == CommitSeen(((partition, 40),), "")
    client.close()
    assert client.events() == [PartitionsChanged("revoked", PARTITIONS)]
    assert client.positions() == {}


def test_who_comes_after_goes_on_at_the_committed_offset_which_is_no_jump(mock: str) -> None:
    (partition,) = {delivery.partition for delivery in produce(mock, "run-3-orders", range(50))}
    first, second = (LibrdkafkaConsumer(consumer_spec(mock, "run-3-orders", {"enable.auto.commit": "false"})) for _ in range(2))
    first.begin()
    read(first, 50)
    first.commit([(partition, 30)])
    first.close()
    second.begin()
    assert read(second, 20) == [PolledRun(partition, 30, 1, 30, 20)]
    assert second.events() == [PartitionsChanged("assigned", PARTITIONS)]
    second.close()


def test_an_offset_out_of_range_is_a_jump_from_the_committed_offset(mock: str) -> None:
    (partition,) = {delivery.partition for delivery in produce(mock, "run-4-orders", range(50))}
    first, second = (LibrdkafkaConsumer(consumer_spec(mock, "run-4-orders", {"enable.auto.commit": "false"})) for _ in range(2))
    first.begin()
    read(first, 50)
    first.commit([(partition, 5000)])
    first.close()
    second.begin()
    assert read(second, 50) == [PolledRun(partition, 0, 1, 0, 50)]
    assert second.events()[1:] == [PositionMoved(partition, 5000, 0)]
    second.close()


def test_an_automatic_commit_is_an_event(mock: str) -> None:
    (partition,) = {delivery.partition for delivery in produce(mock, "run-5-orders", range(10))}
    client = LibrdkafkaConsumer(consumer_spec(mock, "run-5-orders", {"auto.commit.interval.ms": "50"}))
    client.begin()
    events: list[ConsumerEvent] = []

    def committed() -> bool:
        events.extend(client.events())
        return any(isinstance(event, CommitSeen) for event in events)

    read(client, 10, committed)
    assert events[-1] == CommitSeen(((partition, 10),), "")
    client.close()


def test_without_an_offset_to_start_from_the_loop_ends(mock: str) -> None:
    produce(mock, "run-6-orders", range(1))
    client = LibrdkafkaConsumer(consumer_spec(mock, "run-6-orders", {"auto.offset.reset": "error"}))
    client.begin()
    with pytest.raises(ConsumerStopped, match=r"_AUTO_OFFSET_RESET: .*committed offset"):
        read(client, 1)
    client.close()


def test_after_wakeup_the_next_poll_returns_at_once(mock: str) -> None:
    client = LibrdkafkaConsumer(consumer_spec(mock, "run-7-orders", {}))
    client.begin()
    client.wakeup()
    began = time.monotonic()
    assert client.poll(1000.0 * PATIENCE_S, 1) == []
    assert time.monotonic() - began < PATIENCE_S / 2
    client.close()


# ---------------------------------------------------------------------------------------------------- consumer, told what to see


class Script:
    """Stands for confluent-kafka's Consumer: hands out what it was given."""

    def __init__(self, *polls: list[Any], committed: int = -1001, commit: KafkaError | None = None) -> None:
        self._polls = list(polls)
        self._committed = committed
        self._commit = commit
        self.asked = 0

    def consume(self, _count: int, _timeout: float) -> list[Any]:
        return self._polls.pop(0)

    def committed(self, partitions: list[TopicPartition], **_timeout: float) -> list[TopicPartition]:
        self.asked += 1
        return [TopicPartition(partition.topic, partition.partition, self._committed) for partition in partitions]

    def commit(self, **_arguments: Any) -> list[TopicPartition]:
        raise KafkaException(self._commit)


def scripted(script: Script) -> LibrdkafkaConsumer:
    client = LibrdkafkaConsumer(consumer_spec(NOWHERE, "real", {}))
    client._consumer = script  # type: ignore[assignment]  # what it uses of a Consumer
    return client


def record(offset: int, number: int, producer: int = 0) -> Any:
    value = encode(producer, number, 20)
    assert decode(value) == (producer, number)
    return SimpleNamespace(error=lambda: None, topic=lambda: "real", partition=lambda: 0, offset=lambda: offset, value=lambda: value)


def failure(code: int, fatal: bool = False) -> Any:
    return SimpleNamespace(error=lambda: KafkaError(code, "why", fatal=fatal))


def test_a_run_ends_where_offsets_producers_or_numbers_do_not_go_on() -> None:
    client = scripted(Script([record(0, 0), record(1, 1), record(2, 0, producer=1), record(3, 2), record(4, 4), record(7, 5)]))
    assert client.poll(0, 10) == [
        PolledRun("orders-0", 0, 0, 0, 2),
        PolledRun("orders-0", 2, 1, 0, 1),
        PolledRun("orders-0", 3, 0, 2, 1),
        PolledRun("orders-0", 4, 0, 4, 1),
        PolledRun("orders-0", 7, 0, 5, 1),
    ]
    assert client.events() == [PositionMoved("orders-0", -1, 0), PositionMoved("orders-0", 5, 7)]
    assert client.positions() == {"orders-0": 8}


def test_a_truncation_takes_the_position_back() -> None:
    client = scripted(Script([record(0, 0), record(1, 1)], [record(1, 7)]))
    client.poll(0, 10)
    client.poll(0, 10)
    assert client.events()[1:] == [PositionMoved("orders-0", 2, 1)]


@pytest.mark.parametrize(
    ("committed", "moves"),
    [
        (-1001, [PositionMoved("orders-0", -1, 40)]),
        (10, [PositionMoved("orders-0", 10, 40)]),
        (40, []),
        (41, []),  # an automatic commit of the very record that was just handed out
        (42, [PositionMoved("orders-0", 42, 40)]),
    ],
)
def test_the_first_record_of_an_assignment_is_held_against_the_committed_offset(committed: int, moves: list[PositionMoved]) -> None:
    client = scripted(Script([record(40, 0)], committed=committed))
    client.poll(0, 10)
    assert client.events() == moves


def test_a_partition_that_comes_back_where_it_was_left_needs_no_question() -> None:
    script = Script([record(0, 0)], [record(1, 1)])
    client = scripted(script)
    real = [TopicPartition("real", 0)]
    client._on_assign(script, real)  # type: ignore[arg-type]  # as in `scripted`
    client.poll(0, 10)
    client._on_revoke(script, real)  # type: ignore[arg-type]
    client._on_assign(script, real)  # type: ignore[arg-type]
    client.events()
    client.poll(0, 10)
    assert (client.events(), script.asked) == ([], 1), "asked once, after the first assignment"


def test_a_cooperative_assignment_is_told_whole_and_what_is_lost_by_itself() -> None:
    script = Script()
    client = scripted(script)
    client._on_assign(script, [TopicPartition("real", 0)])  # type: ignore[arg-type]  # as in `scripted`
    client._on_assign(script, [TopicPartition("real", 2)])  # type: ignore[arg-type]
    client._on_lost(script, [TopicPartition("real", 0)])  # type: ignore[arg-type]
    client._on_assign(script, [])  # type: ignore[arg-type]
    assert client.events() == [
        PartitionsChanged("assigned", ("orders-0",)),
        PartitionsChanged("assigned", ("orders-0", "orders-2")),
        PartitionsChanged("lost", ("orders-0",)),
        PartitionsChanged("assigned", ("orders-2",)),
    ]


def test_errors_that_librdkafka_mends_are_passed_over() -> None:
    passing = [failure(KafkaError._ALL_BROKERS_DOWN), failure(KafkaError._MAX_POLL_EXCEEDED), failure(KafkaError._TRANSPORT)]
    assert scripted(Script([*passing, record(0, 0)])).poll(0, 10) == [PolledRun("orders-0", 0, 0, 0, 1)]


def test_records_that_come_with_the_last_error_are_handed_out_before_the_loop_ends() -> None:
    client = scripted(Script([record(0, 0), failure(KafkaError.FENCED_INSTANCE_ID, fatal=True)], []))
    assert client.poll(0, 10) == [PolledRun("orders-0", 0, 0, 0, 1)]
    with pytest.raises(ConsumerStopped, match="FENCED_INSTANCE_ID: why"):
        client.poll(0, 10)


@pytest.mark.parametrize(
    ("code", "name"), [(KafkaError.ILLEGAL_GENERATION, "ILLEGAL_GENERATION"), (KafkaError._TIMED_OUT, "TimeoutException")]
)
def test_a_commit_that_fails_names_what_it_meant_to_commit_and_kafkas_error(code: int, name: str) -> None:
    client = scripted(Script([record(0, 0)], commit=KafkaError(code)))
    client.poll(0, 10)
    assert client.commit(None) == CommitSeen((("orders-0", 1),), name)
    assert client.commit([("orders-0", 9)]) == CommitSeen((("orders-0", 9),), name)
