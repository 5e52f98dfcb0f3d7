"""A producer against a small broker and an unkind network: whatever happens, each record gets exactly one callback."""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from kafkasim.protocol.calls import Outcome, SendRecords
from kafkasim.protocol.config import JavaProducerConfig, LibrdkafkaProducerConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.flavours import ProducerSettings, producer_settings
from kafkasim.protocol.messages import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    MetadataRequest,
    MetadataResponse,
    PartitionMetadata,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
)
from kafkasim.protocol.node import Close, Connect, Connected, Disconnected, Output, Send
from kafkasim.protocol.producer import Producer
from kafkasim.protocol.records import RecordBatch, TopicPartition

RECORDS = 1500
JAVA = JavaProducerConfig()
SHORT = {"request_timeout_ms": 2000.0, "max_block_ms": 3000.0, "delivery_timeout_ms": 20_000.0, "batch_size": 2000}


class Cluster:
    """Three brokers, one log a partition, which knows a repetition among the last five batches.

    The network drops what it likes until `healed`.
    """

    def __init__(self, seed: int, settings: ProducerSettings, keyed: bool) -> None:
        self.random = random.Random(seed)
        self.settings = settings
        self.keyed = keyed
        self.producer = Producer("shop", settings, (1, 2, 3), 100, random.Random(seed + 1).random)
        self.partitions = [TopicPartition("orders", index) for index in range(2)]
        self.leaders = {partition: 1 + partition.partition for partition in self.partitions}
        self.epochs = dict.fromkeys(self.partitions, 0)
        self.logs: dict[TopicPartition, list[int]] = {partition: [] for partition in self.partitions}
        self.sequences: dict[TopicPartition, tuple[int, int, list[tuple[int, int]]]] = {}
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.serial = itertools.count()
        self.connection: Counter[str] = Counter()
        self.last_arrival: dict[str, float] = {}
        self.outcomes: Counter[int] = Counter()
        self.acked: set[int] = set()
        self.now = 0.0
        self.healed = False

    # -------------------------------------------------------------------------------------------- the network

    def later(self, peer: str, action: Callable[[], None]) -> None:
        """In order, as TCP delivers."""
        at = max(self.now + self.random.uniform(0.2, 2.0), self.last_arrival.get(peer, 0.0))
        self.last_arrival[peer] = at
        heapq.heappush(self.events, (at, next(self.serial), action))

    def unlucky(self, probability: float) -> bool:
        return not self.healed and self.random.random() < probability

    def play(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Outcome):
                self.outcomes.update(output.numbers)
                if output.error is Error.NONE:
                    self.acked.update(output.numbers)
            elif isinstance(output, Connect):
                self.connection[output.peer] += 1
                if not self.unlucky(0.1):  # else the connection hangs
                    self.to_producer(output.peer, Disconnected(output.peer) if self.unlucky(0.2) else Connected(output.peer))
            elif isinstance(output, Close):
                self.connection[output.peer] += 1
            elif isinstance(output, Send):
                self.to_broker(output)

    def to_producer(self, peer: str, event: object) -> None:
        connection = self.connection[peer]

        def arrive() -> None:
            if self.connection[peer] == connection:
                self.connection[peer] += isinstance(event, Disconnected)
                self.play(self.producer.receive(event, peer, self.now))

        self.later(peer, arrive)

    def to_broker(self, sent: Send) -> None:
        connection = self.connection[sent.peer]

        def arrive() -> None:  # even if the producer has closed the connection meanwhile
            response = self.respond(sent.peer, sent.message)
            if response is not None and self.connection[sent.peer] == connection:
                self.to_producer(sent.peer, Disconnected(sent.peer) if self.unlucky(0.03) else response)

        self.later(sent.peer, arrive)

    # -------------------------------------------------------------------------------------------- the brokers

    def respond(self, peer: str, message: object) -> object:
        if isinstance(message, ApiVersionsRequest):
            return ApiVersionsResponse(message.correlation_id)
        if isinstance(message, MetadataRequest):
            known = tuple(PartitionMetadata(p, Error.NONE, self.leaders[p], self.epochs[p]) for p in self.partitions)
            return MetadataResponse(message.correlation_id, (1, 2, 3), known if message.topics else ())
        if isinstance(message, InitProducerIdRequest):
            return InitProducerIdResponse(message.correlation_id, Error.NONE, 7, 0)
        assert isinstance(message, ProduceRequest)
        if self.unlucky(0.01):
            return None
        results = tuple(self.produce(int(peer[7]), partition, batch) for partition, batch in message.batches)
        if self.unlucky(0.01):
            moved = self.random.choice(self.partitions)
            self.leaders[moved] = self.leaders[moved] % 3 + 1
            self.epochs[moved] += 1
        return ProduceResponse(message.correlation_id, results) if message.acks else None

    def produce(self, broker: int, partition: TopicPartition, batch: RecordBatch) -> PartitionProduceResponse:
        if self.leaders[partition] != broker:
            return PartitionProduceResponse(partition, Error.NOT_LEADER_OR_FOLLOWER, -1, self.leaders[partition], self.epochs[partition])
        if self.unlucky(0.02):
            return PartitionProduceResponse(partition, Error.NOT_ENOUGH_REPLICAS, -1)
        error = self.append(partition, batch)
        if error is Error.NONE and self.unlucky(0.02):
            error = Error.REQUEST_TIMED_OUT
        return PartitionProduceResponse(partition, error, 0)

    def append(self, partition: TopicPartition, batch: RecordBatch) -> Error:
        if batch.producer_id >= 0:
            epoch, expected, recent = self.sequences.get(partition, (-1, 0, []))
            if batch.producer_epoch > epoch:
                expected, recent = 0, []
            elif batch.producer_epoch < epoch:
                return Error.INVALID_PRODUCER_EPOCH
            if (batch.base_sequence, batch.count) in recent:
                return Error.NONE
            if batch.base_sequence != expected:
                return Error.OUT_OF_ORDER_SEQUENCE_NUMBER
            recent = [*recent, (batch.base_sequence, batch.count)][-5:]
            self.sequences[partition] = (batch.producer_epoch, expected + batch.count, recent)
        self.logs[partition].extend(batch.numbers)
        return Error.NONE

    # -------------------------------------------------------------------------------------------- the run

    def run(self) -> None:
        self.play(self.producer.start(0.0))
        sent, next_send = 0, 1.0
        for _ in range(400_000):
            deadline = self.producer.next_deadline()
            at_network = self.events[0][0] if self.events else float("inf")
            at_producer = max(deadline, self.now) if deadline is not None else float("inf")
            at_application = max(next_send, self.now) if sent < RECORDS and not self.producer.blocked else float("inf")
            self.now = min(at_network, at_producer, at_application)
            if self.now == at_network:
                heapq.heappop(self.events)[2]()
            elif self.now == at_producer:
                self.play(self.producer.wake(self.now))
            else:
                count = min(self.random.choice([1, 1, 2, 5, 30]), RECORDS - sent)
                keys = [self.random.randrange(10) for _ in range(count)] if self.keyed else None
                self.play(self.producer.receive(SendRecords("orders", range(sent, sent + count), [self.now] * count, keys), "", self.now))
                sent += count
                next_send = self.now + self.random.expovariate(0.3)
            self.healed = sent == RECORDS
            if self.healed and self.outcomes.total() >= RECORDS and not self.producer.blocked:
                return
        raise AssertionError("the producer did not come to an end")

    def duplicates(self) -> int:
        return sum(len(log) - len(set(log)) for log in self.logs.values())

    def inversions(self) -> int:
        firsts = [list(dict.fromkeys(log)) for log in self.logs.values()]
        return sum(earlier > later for first in firsts for earlier, later in itertools.pairwise(first))


CASES = {
    "java": (JAVA, {}, False),
    "java with keys": (JAVA, {}, True),
    "java without idempotence": (JAVA, {"enable_idempotence": False}, False),
    "java, one in flight": (JAVA, {"enable_idempotence": False, "max_in_flight": 1}, False),
    "java, little memory": (JAVA, {"buffer_memory": 9000}, False),
    "java, few retries": (JAVA, {"retries": 2}, False),
    "java, short delivery timeout": (JAVA, {"delivery_timeout_ms": 2500.0}, False),
    "java, acks 0": (JAVA, {"acks": 0, "enable_idempotence": False}, False),
    "librdkafka": (LibrdkafkaProducerConfig(), {}, False),
    "librdkafka, idempotent": (LibrdkafkaProducerConfig(enable_idempotence=True), {}, True),
    "librdkafka, short queue": (LibrdkafkaProducerConfig(), {"buffer_records": 40}, False),
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("case", CASES)
def test_every_record_gets_exactly_one_callback_and_all_memory_comes_back(case: str, seed: int) -> None:
    config, overrides, keyed = CASES[case]
    settings = replace(producer_settings(config), **{**SHORT, **overrides})  # type: ignore[arg-type]
    cluster = Cluster(seed, settings, keyed)
    cluster.run()
    assert cluster.outcomes == Counter(range(RECORDS))
    accumulator = cluster.producer._accumulator
    assert (accumulator.free_memory, accumulator.free_records) == (settings.buffer_memory, settings.buffer_records)
    if settings.acks != 0:
        assert cluster.acked <= {number for log in cluster.logs.values() for number in log}
    if settings.enable_idempotence:
        assert cluster.duplicates() == 0
    if settings.enable_idempotence or settings.max_in_flight == 1:
        assert cluster.inversions() == 0


def test_without_idempotence_the_same_faults_do_duplicate_and_reorder() -> None:
    clusters = [Cluster(seed, replace(producer_settings(JAVA), **SHORT, enable_idempotence=False), keyed=False) for seed in range(8)]  # type: ignore[arg-type]
    for cluster in clusters:
        cluster.run()
    assert sum(cluster.duplicates() for cluster in clusters) > 0
    assert sum(cluster.inversions() for cluster in clusters) > 0
