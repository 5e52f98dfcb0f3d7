"""From batches to requests, and from answers to callbacks: org.apache.kafka.clients.producer.internals.Sender.

The producer's background thread. It sends what is ready, at most `max.in.flight.requests.per.connection` requests a broker, and decides
what becomes of a batch: success; retry (a retriable error, `retries` not used up, `delivery.timeout.ms` not reached); or failure. In
librdkafka: rdkafka_broker.c and rd_kafka_handle_Produce_error; where it differs a branch says so.

* No answer is not a failure: a request that timed out may have been appended, so its retry may be a duplicate.
* `delivery.timeout.ms` ends the wait of the application, not of the broker: an expired batch may yet be written.
* acks=0: the callback comes when the request is written, with offset -1; nobody hears of what happens later.

Simplified: a batch that is too large for the broker fails; Kafka would split it and send the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kafkasim.protocol.accumulator import RecordAccumulator
from kafkasim.protocol.backoff import ExponentialBackoff
from kafkasim.protocol.calls import Outcome
from kafkasim.protocol.errors import Error
from kafkasim.protocol.flavours import Client, ProducerSettings
from kafkasim.protocol.idempotence import TransactionManager
from kafkasim.protocol.messages import (
    InitProducerIdRequest,
    InitProducerIdResponse,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
)
from kafkasim.protocol.network_client import Completed, NetworkClient
from kafkasim.protocol.node import Output, Random, Trace, broker_name
from kafkasim.protocol.producer_batch import ProducerBatch
from kafkasim.protocol.records import NO_PRODUCER_ID, TopicPartition

NEVER = float("inf")
_NONE = Error.NONE  # looked up once: CPython takes ten times as long for a member of an Enum as for a global
# librdkafka gives a request at least so long, even when its messages have already timed out (rd_kafka_ProduceRequest).
LEAST_TIMEOUT_MS = 100.0


class BatchSent(NamedTuple):
    """Trace: a batch was written to a connection; `attempt` from 1."""

    at: float
    producer: str
    partition: TopicPartition
    numbers: Sequence[int]
    peer: str
    attempt: int
    producer_epoch: int
    base_sequence: int


class BatchRetried(NamedTuple):
    """Trace: a batch goes back to its queue because of `reason`, for at least `backoff_ms`."""

    at: float
    producer: str
    partition: TopicPartition
    numbers: Sequence[int]
    reason: Error
    backoff_ms: float


class BatchExpired(NamedTuple):
    """Trace: delivery.timeout.ms passed; `in_flight`: while a request with it was still unanswered."""

    at: float
    producer: str
    partition: TopicPartition
    numbers: Sequence[int]
    in_flight: bool


class EpochBumped(NamedTuple):
    """Trace: an idempotent producer starts its sequences again under a new epoch (KIP-360)."""

    at: float
    producer: str
    producer_id: int
    producer_epoch: int


class Sender:
    """The sending half of a producer. Times in ms."""

    def __init__(
        self,
        name: str,
        settings: ProducerSettings,
        client: NetworkClient,
        accumulator: RecordAccumulator,
        transactions: TransactionManager | None,
        random: Random,
        trace: Trace | None,
    ) -> None:
        self._name = name
        self._settings = settings
        self._java = settings.client is Client.JAVA
        self._client = client
        self._accumulator = accumulator
        self._transactions = transactions
        self._backoff = ExponentialBackoff(settings.retry_backoff_ms, settings.retry_backoff_max_ms, random)
        self._trace = trace
        self._guarantee_message_order = settings.max_in_flight == 1
        self._peers: dict[int, str] = {}
        self._unsent = False  # a broker had something ready and could not take it: look again at every event
        self._metadata_version = -1
        self._init_in_flight = False
        self._init_at = -NEVER

    def next_deadline(self) -> float:
        """The earliest of: a batch ready, a batch expired, the producer id to be asked for again."""
        if self._transactions is not None and self._transactions.producer_id == NO_PRODUCER_ID:
            return NEVER if self._init_in_flight or self._init_at == -NEVER else self._init_at
        accumulator = self._accumulator
        return accumulator.ready_at if accumulator.ready_at < accumulator.next_expiry else accumulator.next_expiry

    # ------------------------------------------------------------------------------------------------ sending

    def has_nothing_to_do(self, now: float) -> bool:
        """Whether `run` would do nothing: most turns of a producer fall between two sends, and it takes no look at any queue to tell."""
        accumulator = self._accumulator
        return accumulator.ready_at > now and accumulator.next_expiry > now and self.settled()

    def settled(self) -> bool:
        """Whether nothing but a batch that is ready or too old gives `run` something to do."""
        return (
            not self._unsent
            and self._client.metadata.version == self._metadata_version
            and (self._transactions is None or self._transactions.settled)
        )

    def success_brings_nothing_to_do(self, now: float) -> bool:
        """Whether `run` would do nothing after the answer to a request that succeeded either: no batch is ready, nor waits for that answer.

        librdkafka is left out: its next record may, by the clock, go to another partition, and be ready there at once.
        """
        return self._java and not self._guarantee_message_order and self.has_nothing_to_do(now)

    def run(self, now: float, outputs: list[Output]) -> None:
        """WHEN anything happened; THEN send all that is ready and can be sent, and after that expire what is too old (Sender.runOnce).

        Without a producer id an idempotent producer neither sends nor expires: runOnce returns before it gets there.
        """
        transactions, accumulator = self._transactions, self._accumulator
        if transactions is not None and not transactions.settled and not self._has_producer_id(transactions, now, outputs):
            return
        if accumulator.ready_at <= now or self._unsent or self._client.metadata.version != self._metadata_version:
            while self._send_ready(now, outputs):
                pass
        if accumulator.next_expiry <= now:
            self._expire(now, outputs)

    def _send_ready(self, now: float, outputs: list[Output]) -> bool:
        """One request for each broker that is ready and can take one; True if another look is worth while (sendProducerData)."""
        accumulator, metadata = self._accumulator, self._client.metadata
        self._metadata_version = metadata.version
        self._unsent = False
        sent = False
        for broker, queues in accumulator.ready(now).items():
            peer = self._peers.get(broker)
            if peer is None:
                peer = self._peers[broker] = broker_name(broker)
            if not self._client.ready(peer, now, outputs):
                self._unsent = True
                continue
            batches = accumulator.drain(queues, self._guarantee_message_order, now)
            if batches:
                self._send_produce_request(peer, batches, now, outputs)
                sent = True
            else:
                self._unsent = True
        if accumulator.unknown_leader:
            metadata.request_update()
        return sent and accumulator.ready_at <= now

    def _send_produce_request(self, peer: str, batches: list[ProducerBatch], now: float, outputs: list[Output]) -> None:
        settings = self._settings
        timeout_ms: float | None = None
        if not self._java:  # a request waits no longer than its first message may
            remaining = max(batches[0].created + settings.delivery_timeout_ms - now, LEAST_TIMEOUT_MS)
            timeout_ms = min(settings.request_timeout_ms, remaining)
        on_wire = tuple([(batch.partition, batch.record_batch(self._name)) for batch in batches])
        request = ProduceRequest(self._client.next_correlation_id(), settings.acks, settings.ack_timeout_ms, on_wire)
        self._client.send(peer, request, batches, now, outputs, timeout_ms, expects_response=settings.acks != 0)
        if self._trace is not None:
            for batch in batches:
                state = (batch.attempts + 1, batch.producer_epoch, batch.base_sequence)
                self._trace(BatchSent(now, self._name, batch.partition, batch.numbers, peer, *state))
        if settings.acks == 0:
            for batch in batches:
                self._complete_batch(batch, _NONE, -1, now, outputs)

    def _has_producer_id(self, transactions: TransactionManager, now: float, outputs: list[Output]) -> bool:
        """WHEN an idempotent producer takes a turn; THEN bump its epoch if that is due, or ask any broker for a producer id (KIP-98)."""
        if transactions.resolve() and self._trace is not None:
            self._trace(EpochBumped(now, self._name, transactions.producer_id, transactions.producer_epoch))
        if transactions.has_producer_id:
            return True
        if self._init_in_flight or self._init_at > now:
            return False
        self._init_at = -NEVER
        peer = self._client.least_loaded_node(now)
        if peer is None:
            self._init_at = now + self._settings.retry_backoff_ms
        elif self._client.ready(peer, now, outputs):
            request = InitProducerIdRequest(self._client.next_correlation_id())
            self._client.send(peer, request, None, now, outputs)
            self._init_in_flight = True
        return False

    # ------------------------------------------------------------------------------------------------ answers

    def completed(self, completed: Completed, now: float, outputs: list[Output]) -> None:
        """WHO answers is the broker; or nobody, and then every batch of the request fares as with NETWORK_EXCEPTION or a timeout."""
        batches = completed.context
        if batches is None:
            self._producer_id_answered(completed.response, now)
            return
        assert isinstance(batches, list), "the context of a ProduceRequest is its batches"
        response = completed.response
        if response is None:
            for batch in batches:
                self._complete_batch(batch, completed.error, -1, now, outputs)
            return
        assert isinstance(response, ProduceResponse), "a broker answers a ProduceRequest with a ProduceResponse"
        if len(batches) == 1:  # one request, one batch: the hot path
            self._result(batches[0], response.results[0], now, outputs)
            return
        by_partition = {batch.partition: batch for batch in batches}
        for result in response.results:
            self._result(by_partition[result.partition], result, now, outputs)

    def _result(self, batch: ProducerBatch, result: PartitionProduceResponse, now: float, outputs: list[Output]) -> None:
        error = result.error
        self._complete_batch(batch, error, result.base_offset, now, outputs)
        if error is not _NONE and error.invalid_metadata and result.current_leader >= 0:
            self._new_leader(result)

    def _producer_id_answered(self, response: object, now: float) -> None:
        self._init_in_flight = False
        if isinstance(response, InitProducerIdResponse) and response.error is _NONE:
            assert self._transactions is not None, "only an idempotent producer asks for an id"
            self._transactions.set_producer_id(response.producer_id, response.producer_epoch)
        else:
            self._init_at = now + self._settings.retry_backoff_ms

    def _new_leader(self, result: PartitionProduceResponse) -> None:
        """KIP-951: an error told who leads now; the batch need not wait for metadata, nor for its backoff."""
        if result.error in (Error.NOT_LEADER_OR_FOLLOWER, Error.FENCED_LEADER_EPOCH):
            self._client.metadata.update_leadership(result.partition, result.current_leader, result.current_leader_epoch)

    def _complete_batch(self, batch: ProducerBatch, error: Error, base_offset: int, now: float, outputs: list[Output]) -> None:
        """WHEN the fate of one attempt is known; THEN success, retry or failure (Sender.completeBatch)."""
        if error is _NONE or error is Error.DUPLICATE_SEQUENCE_NUMBER:  # it is in the log already: a success, offset unknown
            self._succeed(batch, base_offset, outputs)
        else:
            if self._can_retry(batch, error, now):
                self._retry(batch, error, now)
            else:
                # Where retries are used up, nobody knows whether the sequence was accepted: it must not be given to other records.
                self._fail(batch, self._final_error(error), batch.attempts < self._settings.retries, outputs)
            if error.invalid_metadata:
                self._client.metadata.request_update()
        if self._guarantee_message_order:
            self._accumulator.unmute(batch.partition)

    def _succeed(self, batch: ProducerBatch, base_offset: int, outputs: list[Output]) -> None:
        batch.in_flight = False
        if self._transactions is not None:
            self._transactions.handle_completed_batch(batch)
        if not batch.done:
            self._accumulator.complete(batch)
            outputs.append(Outcome(batch.numbers, _NONE, batch.partition, base_offset))

    def _can_retry(self, batch: ProducerBatch, error: Error, now: float) -> bool:
        if batch.done or batch.attempts >= self._settings.retries or batch.created + self._settings.delivery_timeout_ms <= now:
            return False
        return self._transactions.can_retry(batch, error) if self._transactions is not None else error.retriable

    def _retry(self, batch: ProducerBatch, error: Error, now: float) -> None:
        """librdkafka does not count an attempt that certainly came to nothing because the leader was another."""
        if self._java or not error.invalid_metadata or error is Error.NETWORK_EXCEPTION:
            batch.attempts += 1
        backoff_ms = self._backoff.backoff(max(batch.attempts - 1, 0))
        self._accumulator.reenqueue(batch, now, backoff_ms)
        if self._trace is not None:
            self._trace(BatchRetried(now, self._name, batch.partition, batch.numbers, error, backoff_ms))

    def _fail(self, batch: ProducerBatch, error: Error, adjust_sequences: bool, outputs: list[Output]) -> None:
        batch.in_flight = False
        if batch.done:
            return  # it expired: its callbacks were called, and this answer comes too late
        self._accumulator.complete(batch)
        if self._transactions is not None:
            self._transactions.handle_failed_batch(batch, error, adjust_sequences)
        outputs.append(Outcome(batch.numbers, error, batch.partition, -1))

    def _final_error(self, error: Error) -> Error:
        """What the callback says; librdkafka calls it a message timeout whenever time, not the error, ended the retries."""
        if not self._java and (error is Error.TIMEOUT or error.retriable):
            return Error.DELIVERY_TIMEOUT
        return error

    def _expire(self, now: float, outputs: list[Output]) -> None:
        """WHEN delivery.timeout.ms has passed; THEN the callbacks fail with a TimeoutException, whatever the broker may still do."""
        for batch in self._accumulator.expired_batches(now):
            if self._trace is not None:
                self._trace(BatchExpired(now, self._name, batch.partition, batch.numbers, batch.in_flight))
            self._fail(batch, Error.DELIVERY_TIMEOUT, False, outputs)
            if self._transactions is not None and batch.attempts > 0:
                self._transactions.mark_sequence_unresolved(batch)
