"""The producer played by hand: whoever holds it is the network and the broker, and decides what is answered, and when."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from kafkasim.protocol.calls import Outcome, SendRecords
from kafkasim.protocol.config import JavaProducerConfig, LibrdkafkaProducerConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.flavours import producer_settings
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
from kafkasim.protocol.node import Connect, Connected, Disconnected, Output, Send
from kafkasim.protocol.producer import Producer
from kafkasim.protocol.records import RecordBatch, TopicPartition

ORDERS = TopicPartition("orders", 0)
WITHOUT_IDEMPOTENCE = {"enable_idempotence": False}
ONE_RECORD_A_BATCH = {"batch_size": 0, "linger_ms": 0.0}


class Hand:
    """Connections succeed, versions and metadata are answered at once, unless told otherwise; produce requests wait in `requests`."""

    def __init__(
        self,
        leaders: tuple[int, ...] = (1,),
        librdkafka: bool = False,
        silent: bool = False,
        without_id: bool = False,
        random: Callable[[], float] = lambda: 0.5,
        **overrides: object,
    ) -> None:
        settings = producer_settings(LibrdkafkaProducerConfig() if librdkafka else JavaProducerConfig())
        self.trace: list[object] = []
        self.producer = Producer("shop", replace(settings, **overrides), (1,), 100, random, self.trace.append)  # type: ignore[arg-type]
        self.leaders = list(leaders)
        self.leader_epoch = 1
        self.brokers = (1, 2, 3)
        self.silent = silent  # nobody answers metadata requests
        self.without_id = without_id  # nobody answers InitProducerId
        self.unreachable = False  # connections are refused
        self.paused: set[str] = set()  # peers whose kernel accepts, while no process answers with its versions
        self.unanswered: list[Send] = []  # what they will answer when they go on
        self.requests: list[tuple[str, ProduceRequest]] = []
        self.outcomes: list[Outcome] = []
        self.others: list[Output] = []
        self.now = 0.0
        self.play(self.producer.start(0.0))

    def play(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Connect):
                event = Disconnected(output.peer) if self.unreachable else Connected(output.peer)
                self.play(self.producer.receive(event, output.peer, self.now))
            elif isinstance(output, Outcome):
                self.outcomes.append(output)
            elif isinstance(output, Send) and isinstance(output.message, ProduceRequest):
                self.requests.append((output.peer, output.message))
            elif isinstance(output, Send):
                self.answer_other(output)
            else:
                self.others.append(output)

    def answer_other(self, sent: Send) -> None:
        response: object
        if isinstance(sent.message, ApiVersionsRequest):
            if sent.peer in self.paused:
                self.unanswered.append(sent)
                return
            response = ApiVersionsResponse(sent.message.correlation_id)
        elif isinstance(sent.message, InitProducerIdRequest) and not self.without_id:
            response = InitProducerIdResponse(sent.message.correlation_id, Error.NONE, 7, 0)
        elif isinstance(sent.message, MetadataRequest) and not self.silent:
            partitions = [
                PartitionMetadata(
                    TopicPartition("orders", i), Error.NONE if leader >= 0 else Error.LEADER_NOT_AVAILABLE, leader, self.leader_epoch
                )
                for i, leader in enumerate(self.leaders)
            ]
            response = MetadataResponse(sent.message.correlation_id, self.brokers, tuple(partitions) if sent.message.topics else ())
        else:
            return
        self.play(self.producer.receive(response, sent.peer, self.now))

    def send(self, numbers: Sequence[int], at: float | None = None, keys: Sequence[int] | None = None) -> None:
        self.now = self.now if at is None else at
        self.play(self.producer.receive(SendRecords("orders", numbers, [self.now] * len(numbers), keys), "", self.now))

    def to(self, now: float) -> None:
        """Let the clock run, waking the producer whenever it wants to be woken."""
        while (deadline := self.producer.next_deadline()) is not None and deadline <= now:
            self.now = max(deadline, self.now)
            self.play(self.producer.wake(self.now))
        self.now = now

    def answer(self, request: ProduceRequest, error: Error = Error.NONE, base_offset: int = 0, leader: int = -1, epoch: int = -1) -> None:
        results = tuple(PartitionProduceResponse(tp, error, base_offset, leader, epoch) for tp, _ in request.batches)
        peer = next(peer for peer, sent in self.requests if sent is request)
        self.play(self.producer.receive(ProduceResponse(request.correlation_id, results), peer, self.now))

    def go_on(self) -> None:
        """The paused brokers are set free, and answer what they find."""
        self.paused.clear()
        unanswered, self.unanswered = self.unanswered, []
        for sent in unanswered:
            self.answer_other(sent)

    def disconnect(self, peer: str = "broker-1") -> None:
        self.play(self.producer.receive(Disconnected(peer), peer, self.now))

    def batches(self) -> list[RecordBatch]:
        return [batch for _, request in self.requests for _, batch in request.batches]

    def numbers(self) -> list[list[int]]:
        return [list(batch.numbers) for batch in self.batches()]

    def got(self, kind: type) -> int:
        """How many outputs of a kind came (they are tuples without fields, so they must not be compared)."""
        return sum(isinstance(output, kind) for output in self.others)

    def traced(self, kind: type) -> list[object]:
        return [event for event in self.trace if isinstance(event, kind)]
