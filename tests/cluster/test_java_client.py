"""The Java clients behind a fake driver, which says to each order what the test wants; and the drivers themselves, with one real broker."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from kafkasim.cluster.addresses import Addresses
from kafkasim.cluster.brokers import LocalBrokers
from kafkasim.cluster.client_api import CommitSeen, ConsumerStopped, Delivery, PartitionsChanged, PolledRun, PositionMoved
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.jars import compile_drivers, distribution, driver_command
from kafkasim.cluster.java_client import JavaConsumer, JavaProducer
from kafkasim.cluster.links import Links
from kafkasim.cluster.specs import ConsumerSpec, ProducerSpec
from kafkasim.cluster.warden import Warden

FAKE = """
import json, sys
replies, heard = json.load(open(sys.argv[1])), open(sys.argv[2], "a", buffering=1)
settings = True
for line in sys.stdin:
    line = line.rstrip("\\n")
    heard.write(line + "\\n")
    settings = settings and bool(line)
    if not settings:
        reply = replies.get(line)
        if reply == "exit" or (reply is None and line[:1] == "q"):
            sys.exit(3 if reply else 0)
        sys.stdout.write(reply or "")
        sys.stdout.flush()
"""
WARM = {"": "ready\n", "go": "started\n"}
Replies = Mapping[str, str]


class Fakes:
    """Makes clients with a fake driver; `heard` is all it was told."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: list[JavaProducer | JavaConsumer] = []

    @property
    def heard(self) -> list[str]:
        return (self._folder / "heard").read_text().splitlines()

    def producer(self, replies: Replies, **changes: Any) -> JavaProducer:
        client = JavaProducer(self._command(replies), producer_spec("b:1", "real-1-orders", {"acks": "1"}, **changes))
        client.begin()
        self._open.append(client)
        return client

    def consumer(self, replies: Replies) -> JavaConsumer:
        client = JavaConsumer(self._command(replies), consumer_spec("b:1", "real-1-orders", {"max.poll.records": "7"}))
        client.begin()
        self._open.append(client)
        return client

    def close(self) -> None:
        for client in self._open:
            client._driver.end()

    def _command(self, replies: Replies) -> list[str]:
        return fake_command(self._folder, replies)


@pytest.fixture
def fakes(tmp_path: Path) -> Iterator[Fakes]:
    fakes = Fakes(tmp_path)
    yield fakes
    fakes.close()


def fake_command(folder: Path, replies: Replies) -> list[str]:
    (folder / "replies").write_text(json.dumps(WARM | dict(replies)))
    return [sys.executable, "-S", "-c", FAKE, str(folder / "replies"), str(folder / "heard")]


def producer_spec(bootstrap: str, real_topic: str, config: Mapping[str, str], **changes: Any) -> ProducerSpec:
    values: dict[str, Any] = dict.fromkeys(ProducerSpec.__dataclass_fields__)
    values |= {"name": "shop", "index": 1, "topic": "orders", "real_topic": real_topic, "bootstrap": bootstrap}
    return ProducerSpec(**(values | {"config": dict(config), "record_size": 100, "retries": 5} | changes))


def consumer_spec(bootstrap: str, real_topic: str, config: Mapping[str, str]) -> ConsumerSpec:
    values: dict[str, Any] = dict.fromkeys(ConsumerSpec.__dataclass_fields__)
    values |= {"group": "billing", "member": "billing-0", "topics": {"orders": real_topic}, "bootstrap": bootstrap}
    return ConsumerSpec(**(values | {"real_group": f"{real_topic}-billing", "config": dict(config)}))


def all_deliveries(client: JavaProducer, count: int) -> list[Delivery]:
    found: list[Delivery] = []
    until = time.monotonic() + 10
    while len(found) < count and time.monotonic() < until:
        found += client.deliveries(0.1)
    return found


# ---------------------------------------------------------------------------------------------------- producer


def test_a_producer_is_configured_verbatim_with_our_bootstrap_and_what_to_send(fakes: Fakes) -> None:
    fakes.producer({})
    assert fakes.heard == [
        "driver.topic=real-1-orders",
        "driver.producer=1",
        "driver.size=100",
        "acks=1",
        "bootstrap.servers=b:1",
        "",
        "go",
    ]


def test_consecutive_numbers_are_one_order_and_keys_go_one_by_one(fakes: Fakes) -> None:
    client = fakes.producer({})
    client.send(range(3, 900), None)
    client.send([5, 6, 9], None)
    client.send(range(4, 4), None)
    client.send([7, 8], [1, 0])
    client.close(0.25)
    assert fakes.heard[-6:] == ["s 3 899", "s 5 6", "s 9 9", "k 7 1", "k 8 0", "q 250"]


def test_acknowledgements_carry_the_scenarios_partition(fakes: Fakes) -> None:
    client = fakes.producer({"s 0 1": "h 1\nh 2\na 0 12 70\na 1 12 -1\n"})
    client.send([0, 1], None)
    assert all_deliveries(client, 2) == [Delivery(0, "", False, "orders-12", 70), Delivery(1, "", False, "orders-12", -1)]
    assert client.handed() == 2


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("0 TimeoutException expired", Delivery(0, "TimeoutException: delivery.timeout.ms", False, "orders-0", -1)),
        ("0 BufferExhaustedException memory", Delivery(0, "BufferExhaustedException", True, "orders-0", -1)),
        ("-1 TimeoutException metadata", Delivery(0, "TimeoutException: max.block.ms", True, "", -1)),
        ("0 NotEnoughReplicasException other", Delivery(0, "NOT_ENOUGH_REPLICAS", False, "orders-0", -1)),
        ("-1 KafkaException thrown", Delivery(0, "KafkaException", True, "", -1)),
        ("0 KafkaException other", Delivery(0, "KafkaException", False, "orders-0", -1)),
    ],
)
def test_a_failure_is_definite_only_where_nothing_can_have_been_written(fakes: Fakes, said: str, expected: Delivery) -> None:
    client = fakes.producer({"s 0 0": f"f 0 {said}\n"})
    client.send([0], None)
    assert all_deliveries(client, 1) == [expected]


def test_without_retries_what_the_broker_refused_is_definite(fakes: Fakes) -> None:
    client = fakes.producer({"s 0 0": "f 0 0 NotEnoughReplicasException other\n"}, retries=0)
    client.send([0], None)
    assert [delivery.definite for delivery in all_deliveries(client, 1)] == [True]


def test_handed_tells_of_a_send_that_blocks(fakes: Fakes) -> None:
    client = fakes.producer({"s 0 9": "h 1\na 0 0 0\nh 2\n"})
    client.send(range(10), None)
    assert all_deliveries(client, 1) == [Delivery(0, "", False, "orders-0", 0)]
    assert client.handed() == 2


def test_the_callbacks_of_closing_are_still_delivered(fakes: Fakes) -> None:
    client = fakes.producer({"q 1000": "a 5 0 9\n", "s 0 0": "exit"})
    threading.Timer(0.1, client._driver.end).start()  # the fake waits for its stdin to end
    client.close(1.0)
    assert client.deliveries(0.0) == [Delivery(5, "", False, "orders-0", 9)]


def test_a_line_cut_in_two_is_read_as_one(fakes: Fakes) -> None:
    client = fakes.producer({"s 0 0": "a 0 0 12", "s 1 1": "34\na 1 0 1235\n"})
    client.send([0], None)
    assert client.deliveries(0.05) == []
    client.send([1], None)
    assert [delivery.offset for delivery in all_deliveries(client, 2)] == [1234, 1235]


def test_a_producer_whose_driver_died_says_so_after_the_last_callbacks(fakes: Fakes) -> None:
    client = fakes.producer({"s 0 0": "a 0 0 0\n", "s 1 1": "exit"})
    client.send([0], None)
    client.send([1], None)
    assert len(all_deliveries(client, 1)) == 1
    with pytest.raises(ClusterError, match=r"producer shop has ended unexpectedly \(its JVM's exit status is 3\)"):
        all_deliveries(client, 1)
    with pytest.raises(ClusterError, match="producer shop"):
        client.send([2], None)
    client.close(5.0)


def test_two_thousand_callbacks_a_second_cost_little(fakes: Fakes) -> None:
    client = fakes.producer({"s 0 9999": "".join(f"h {n + 1}\na {n} 0 {n}\n" for n in range(10_000))})
    began = time.process_time()
    client.send(range(10_000), None)
    assert len(all_deliveries(client, 10_000)) == 10_000
    assert time.process_time() - began < 1.0  # of the five seconds that so many take


# ---------------------------------------------------------------------------------------------------- both


def test_a_configuration_that_kafka_refuses_is_said_in_its_words(fakes: Fakes) -> None:
    with pytest.raises(ClusterError, match=r"^The Java producer shop cannot go on: ConfigException acks must be all$"):
        fakes.producer({"": "stop ConfigException acks must be all\n"})
    with pytest.raises(ClusterError, match=r"^The Java consumer billing-0 cannot go on: ConfigException no$"):
        fakes.consumer({"go": "stop ConfigException no\n"})


def test_a_driver_that_cannot_be_started_is_one_sentence() -> None:
    with pytest.raises(ClusterError, match="The Java producer shop cannot be started: /nowhere/java: No such file"):
        JavaProducer(["/nowhere/java", "ProducerDriver"], producer_spec("b:1", "t", {}))


def test_a_value_of_two_lines_is_refused_before_anything_is_started() -> None:
    with pytest.raises(ClusterError, match=r"the value of sasl\.jaas\.config has more than one line"):
        JavaProducer(["/nowhere/java"], producer_spec("b:1", "t", {"sasl.jaas.config": "a\nb"}))


def test_a_standby_that_never_began_is_closed_at_once(tmp_path: Path) -> None:
    client = JavaProducer(fake_command(tmp_path, {}), producer_spec("b:1", "t", {}))
    client.close(30.0)
    assert client._driver._process.returncode == 0


# ---------------------------------------------------------------------------------------------------- consumer


def test_a_poll_gives_runs_positions_and_what_happened_meanwhile(fakes: Fakes) -> None:
    client = fakes.consumer(
        {
            "p 200": "assigned real-1-orders-0,real-1-orders-1\nauto real-1-orders-0=5\nmoved real-1-orders-1 -1 40\n"
            "r real-1-orders-0 5 1 100 3\nr real-1-orders-1 40 0 7 1\n. real-1-orders-0=8,real-1-orders-1=41\n"
        }
    )
    assert client.poll(200.0, 500) == [PolledRun("orders-0", 5, 1, 100, 3), PolledRun("orders-1", 40, 0, 7, 1)]
    assert client.positions() == {"orders-0": 8, "orders-1": 41}
    assert client.events() == [
        PartitionsChanged("assigned", ("orders-0", "orders-1")),
        CommitSeen((("orders-0", 5),), ""),
        PositionMoved("orders-1", -1, 40),
    ]
    assert client.events() == []


def test_a_member_may_be_left_without_partitions(fakes: Fakes) -> None:
    client = fakes.consumer({"p 0": "revoked real-1-orders-0\nlost real-1-orders-1\nassigned \n. \n"})
    assert client.poll(0.0, 500) == []
    assert client.events() == [
        PartitionsChanged("revoked", ("orders-0",)),
        PartitionsChanged("lost", ("orders-1",)),
        PartitionsChanged("assigned", ()),
    ]
    assert client.positions() == {}


def test_a_commit_is_answered_and_not_repeated_among_events(fakes: Fakes) -> None:
    client = fakes.consumer({"c": "revoked real-1-orders-1\nc ok real-1-orders-0=8\n"})
    assert client.commit(None) == CommitSeen((("orders-0", 8),), "")
    assert client.events() == [PartitionsChanged("revoked", ("orders-1",))]


def test_a_commit_of_given_offsets_names_the_real_topic_and_may_fail(fakes: Fakes) -> None:
    order = "c real-1-orders-0=8,real-1-orders-1=2"
    client = fakes.consumer({order: f"c CommitFailedException {order[2:]}\n"})
    offsets = (("orders-0", 8), ("orders-1", 2))
    assert client.commit(offsets) == CommitSeen(offsets, "CommitFailedException")
    assert client.commit([]) == CommitSeen((), "")
    assert fakes.heard[-1] == order


def test_what_poll_throws_stops_the_loop_and_the_consumer_can_still_be_closed(fakes: Fakes) -> None:
    client = fakes.consumer({"p 100": "assigned real-1-orders-0\nstop NoOffsetForPartitionException Undefined offset\n"})
    with pytest.raises(ConsumerStopped, match=r"^NoOffsetForPartitionException: Undefined offset$"):
        client.poll(100.0, 1)
    client.close()
    assert client.events() == [PartitionsChanged("assigned", ("orders-0",))]
    assert fakes.heard[-1] == "q"


def test_wakeup_from_another_thread_ends_a_poll(fakes: Fakes) -> None:
    client = fakes.consumer({"w": ". \n"})  # to the poll itself the fake answers nothing
    threading.Timer(0.05, client.wakeup).start()
    assert client.poll(60_000.0, 1) == []


def test_a_consumer_whose_driver_died_says_so(fakes: Fakes) -> None:
    client = fakes.consumer({"p 100": "exit"})
    with pytest.raises(ClusterError, match=r"consumer billing-0 has ended unexpectedly \(its JVM's exit status is 3\)"):
        client.poll(100.0, 1)
    client.close()


# ---------------------------------------------------------------------------------------------------- the drivers themselves


class RealKafka(NamedTuple):
    """One broker, and how to run the drivers."""

    bootstrap: str
    command: Callable[[str], list[str]]

    def topic(self, name: str, partitions: int) -> str:
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result(60.0)
        return name

    def producer(self, topic: str, config: Mapping[str, str], **changes: Any) -> JavaProducer:
        client = JavaProducer(self.command("ProducerDriver"), producer_spec(self.bootstrap, topic, config, **changes))
        client.begin()
        return client

    def consumer(self, topic: str, config: Mapping[str, str]) -> JavaConsumer:
        client = JavaConsumer(
            self.command("ConsumerDriver"), consumer_spec(self.bootstrap, topic, {"enable.auto.commit": "false", **config})
        )
        client.begin()
        return client


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    jars, folder = distribution(None, lambda _: None), tmp_path_factory.mktemp("kafka")
    classes = compile_drivers(jars, folder / "classes")
    addresses, links, warden = Addresses(), Links(), Warden()
    single = {"offsets.topic.replication.factor": 1, "offsets.topic.num.partitions": 1, "group.initial.rebalance.delay.ms": 0}
    brokers = LocalBrokers(jars, addresses, links, warden, folder, 1, 1, single)
    try:
        brokers.start()
        yield RealKafka(brokers.bootstrap("client-1"), lambda main: driver_command(jars, classes, main))
    finally:
        brokers.close()
        links.close()
        addresses.close()
        warden.close()


def polled(client: JavaConsumer, enough: Callable[[list[PolledRun]], bool]) -> list[PolledRun]:
    found: list[PolledRun] = []
    until = time.monotonic() + 20
    while not enough(found) and time.monotonic() < until:
        found += client.poll(200.0, 500)
    return found


def count(runs: list[PolledRun]) -> int:
    return sum(run.records for run in runs)


@pytest.mark.kafka
def test_real_records_come_back_with_their_identity_and_the_commit_with_their_end(kafka: RealKafka) -> None:
    topic = kafka.topic("round-trip", 1)
    producer = kafka.producer(topic, {}, record_size=8)
    producer.send(range(300), None)
    deliveries = all_deliveries(producer, 300)
    producer.close(5.0)
    consumer = kafka.consumer(topic, {"auto.offset.reset": "earliest"})
    runs = polled(consumer, lambda found: count(found) >= 300)
    committed, events = consumer.commit(None), consumer.events()
    consumer.close()
    assert [(delivery.number, delivery.error, delivery.offset) for delivery in deliveries] == [(n, "", n) for n in range(300)]
    assert {(run.partition, run.producer_index, run.base_offset - run.first) for run in runs} == {("orders-0", 1, 0)}
    assert (count(runs), committed) == (300, CommitSeen((("orders-0", 300),), ""))
    assert events == [PartitionsChanged("assigned", ("orders-0",))]
    assert consumer.events() == [PartitionsChanged("revoked", ("orders-0",))]


@pytest.mark.kafka
def test_a_start_at_the_end_is_a_move_from_nowhere_and_one_at_the_committed_offset_is_none(kafka: RealKafka) -> None:
    topic = kafka.topic("moves", 1)
    producer = kafka.producer(topic, {})
    producer.send(range(10), None)
    all_deliveries(producer, 10)
    producer.close(5.0)
    seen = []
    for _ in range(2):
        consumer = kafka.consumer(topic, {"auto.offset.reset": "latest"})
        polled(consumer, lambda _: bool(consumer.positions()))  # noqa: B023  (called in this round of the loop)
        seen.append([event for event in consumer.events() if isinstance(event, PositionMoved)])
        consumer.commit([("orders-0", 10)])
        consumer.close()
    assert seen == [[PositionMoved("orders-0", -1, 10)], []]


@pytest.mark.kafka
def test_send_blocks_without_metadata_and_fails_for_certain(kafka: RealKafka) -> None:
    producer = kafka.producer("no-such-topic", {"max.block.ms": "500"})
    producer.send(range(2), None)
    first = all_deliveries(producer, 1)
    handed = producer.handed()
    producer.close(5.0)
    assert first == [Delivery(0, "TimeoutException: max.block.ms", True, "", -1)]
    assert handed <= 2
    assert [delivery.number for delivery in producer.deliveries(0.0)] == [1]


@pytest.mark.kafka
def test_without_a_committed_offset_and_a_reset_policy_poll_throws(kafka: RealKafka) -> None:
    consumer = kafka.consumer(kafka.topic("no-policy", 1), {"auto.offset.reset": "none"})
    with pytest.raises(ConsumerStopped, match=r"^NoOffsetForPartitionException: "):
        polled(consumer, lambda _: False)
    consumer.close()


@pytest.mark.kafka
def test_automatic_commits_are_told_and_wakeup_ends_a_real_poll(kafka: RealKafka) -> None:
    topic = kafka.topic("automatic", 1)
    producer = kafka.producer(topic, {})
    producer.send([0], None)
    producer.close(5.0)
    consumer = kafka.consumer(topic, {"auto.offset.reset": "earliest", "enable.auto.commit": "true", "group.protocol": "consumer"})
    polled(consumer, bool)
    threading.Timer(0.3, consumer.wakeup).start()
    began = time.monotonic()
    assert consumer.poll(60_000.0, 500) == []
    assert time.monotonic() - began < 30.0
    consumer.close()
    assert CommitSeen((("orders-0", 1),), "") in consumer.events()


@pytest.mark.kafka
def test_real_drivers_name_what_kafka_refuses(kafka: RealKafka) -> None:
    with pytest.raises(ClusterError, match=r"^The Java producer shop cannot go on: ConfigException Must set acks to all"):
        kafka.producer("t", {"acks": "1", "enable.idempotence": "true"})
    with pytest.raises(ClusterError, match=r"^The Java consumer billing-0 cannot go on: ConfigException Invalid value nix"):
        kafka.consumer("t", {"isolation.level": "nix"})
