"""librdkafka as an application's client: confluent-kafka's Producer and Consumer behind the Protocols of client_api.py.

The configuration is the scenario's, verbatim, with `bootstrap.servers` and `group.id` added, and nothing else that changes behaviour: what
librdkafka does by itself (store offsets before it hands records over, commit by a timer, give partitions up) it is left to do.

A client has two lives. Made, it has imported and connects nowhere; `begin()` makes the real one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from queue import SimpleQueue

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from kafkasim.cluster.client_api import CommitSeen, ConsumerEvent, ConsumerStopped, Delivery, PartitionsChanged, PolledRun, PositionMoved
from kafkasim.cluster.identity import decode, encode
from kafkasim.cluster.outcomes import ledger_name, librdkafka_outcome, refused_by_produce
from kafkasim.cluster.specs import ConsumerSpec, ProducerSpec

_SERVE_S = 0.1  # how long the delivery thread sleeps in poll() when nothing comes; a delivery wakes it
_LOOK_UP_S = 1.0  # what the question for a committed offset may take, in the middle of a poll
_CANNOT_GO_ON = (KafkaError._AUTO_OFFSET_RESET, KafkaError._FATAL)  # so librdkafka calls its own errors


def _silent() -> logging.Logger:
    """A logger of its own that says nothing, for librdkafka would write its lines to stderr."""
    logger = logging.Logger("librdkafka")
    logger.setLevel(logging.CRITICAL + 1)
    return logger


# ---------------------------------------------------------------------------------------------------- producer


class LibrdkafkaProducer:
    """A ProducerClient. Two threads of its own: one calls produce(), in order; one calls poll(), which calls the callbacks."""

    def __init__(self, spec: ProducerSpec) -> None:
        self._spec = spec
        self._asked: SimpleQueue[tuple[Sequence[int], Sequence[int] | None] | None] = SimpleQueue()
        self._handed = 0
        self._arrived: list[Delivery] = []
        self._news = threading.Condition()
        self._closed = threading.Event()
        self._producer: Producer | None = None
        self._threads: tuple[threading.Thread, ...] = ()
        Producer({}, logger=_silent())  # nobody to connect to; what it loads and sets up once is then there

    def begin(self) -> None:
        """Make the producer. Raises KafkaException where the configuration is refused."""
        producer = Producer({**self._spec.config, "bootstrap.servers": self._spec.bootstrap}, logger=_silent())
        self._producer = producer
        self._threads = (
            threading.Thread(target=self._send_all, args=(producer,), daemon=True, name="send"),
            threading.Thread(target=self._serve, args=(producer,), daemon=True, name="deliveries"),
        )
        for thread in self._threads:
            thread.start()

    def send(self, numbers: Sequence[int], keys: Sequence[int] | None) -> None:
        """Queue them for the sending thread."""
        self._asked.put((numbers, keys))

    def handed(self) -> int:
        """How often produce() has been called: counted before the call, so that no record is in the log that was not handed over."""
        return self._handed

    def deliveries(self, timeout_s: float) -> list[Delivery]:
        """The delivery reports that came, and the records that produce() did not take."""
        with self._news:
            if not self._arrived:
                self._news.wait(timeout_s)
            arrived, self._arrived = self._arrived, []
        return arrived

    def close(self, timeout_s: float) -> None:
        """flush(timeout): what was asked to be sent is given `timeout_s`; what is then still on its way has no callback."""
        if self._producer is None:
            return
        end = time.monotonic() + timeout_s
        self._asked.put(None)
        self._threads[0].join(timeout_s)
        self._producer.flush(max(0.0, end - time.monotonic()))
        self._closed.set()
        self._threads[1].join()

    def _send_all(self, producer: Producer) -> None:
        """The sending thread."""
        spec = self._spec
        while (asked := self._asked.get()) is not None:
            numbers, keys = asked
            for place, number in enumerate(numbers):
                value = encode(spec.index, number, spec.record_size)
                key = None if keys is None else b"key-%d" % keys[place]
                self._handed += 1
                try:
                    producer.produce(spec.real_topic, value=value, key=key, on_delivery=self._delivered)
                except BufferError as full:  # _QUEUE_FULL: an error of send(), and on.failure decides whether it is tried again
                    self._refused(number, _error_of(full))
                except KafkaException as refused:
                    self._refused(number, _error_of(refused))

    def _serve(self, producer: Producer) -> None:
        """The delivery thread."""
        while not self._closed.is_set():
            producer.poll(_SERVE_S)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        number = decode(message.value() or b"")[1]
        partition = message.partition()
        placed = partition is not None and partition >= 0
        name = f"{self._spec.topic}-{partition}" if placed else ""
        if error is None:
            offset = message.offset()
            self._tell(Delivery(number, "", False, name, offset if offset is not None and offset >= 0 else -1))
        else:
            outcome = librdkafka_outcome(error.name(), self._spec.retries, left_client=placed)
            self._tell(Delivery(number, outcome.name, outcome.definite, name, -1))

    def _refused(self, number: int, error: KafkaError | None) -> None:
        outcome = refused_by_produce("_QUEUE_FULL" if error is None else error.name())
        self._tell(Delivery(number, outcome.name, outcome.definite, "", -1))

    def _tell(self, delivery: Delivery) -> None:
        with self._news:
            self._arrived.append(delivery)
            self._news.notify()


def _error_of(raised: BaseException) -> KafkaError | None:
    """The KafkaError that an exception of confluent-kafka carries."""
    first = raised.args[0] if raised.args else None
    return first if isinstance(first, KafkaError) else None


# ---------------------------------------------------------------------------------------------------- consumer


class LibrdkafkaConsumer:
    """A ConsumerClient. All callbacks come inside poll(), commit() and close(), on the caller's thread.

    It tells as `assigned` all that the member has now (a cooperative assignor gives only what is new), as `revoked` or `lost` what is gone.
    """

    def __init__(self, spec: ConsumerSpec) -> None:
        self._spec = spec
        self._scenario_names = {real: name for name, real in spec.topics.items()}
        self._consumer: Consumer | None = None
        self._assigned: dict[str, None] = {}
        self._positions: dict[str, int] = {}
        self._silent: dict[str, int] = {}  # where we stand in partitions that gave no record since they were assigned
        self._last_known: dict[str, int] = {}  # where this process, or a commit of its, left a partition that it may get again
        self._events: list[ConsumerEvent] = []
        self._stopped = ""
        self._woken = threading.Event()
        Producer({}, logger=_silent())  # as in LibrdkafkaProducer; a consumer would ask for a group.id

    def begin(self) -> None:
        """Make the consumer and subscribe. Raises KafkaException where the configuration is refused."""
        own = {"bootstrap.servers": self._spec.bootstrap, "group.id": self._spec.real_group, "on_commit": self._committed}
        self._consumer = Consumer({**self._spec.config, **own}, logger=_silent())
        self._consumer.subscribe(
            list(self._spec.topics.values()), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    # ------------------------------------------------------------------------------------------------ the calls

    def poll(self, timeout_ms: float, max_records: int) -> list[PolledRun]:
        """consume(max_records): waits for so many, or for `timeout_ms`. It returns no earlier after wakeup(), as consume() cannot."""
        if self._woken.is_set():
            self._woken.clear()
            return []
        consumer = self._running()
        try:
            messages = consumer.consume(max_records, timeout_ms / 1000)
        except KafkaException as failed:
            raise ConsumerStopped(str(failed)) from failed
        records = [message for message in messages if self._is_record(message)]
        if not records and self._stopped:
            raise ConsumerStopped(self._stopped)
        if not records:
            self._note_silent(consumer)
        return self._runs(records)

    def _note_silent(self, consumer: Consumer) -> None:
        """A partition that gave no record yet, and has none to give: librdkafka tells no position before the first record.

        By then it has fetched the partition's high watermark, and stands there.
        """
        for partition in consumer.assignment():
            name = self._name(partition.topic, partition.partition)
            if name not in self._positions:
                _, high = consumer.get_watermark_offsets(partition, cached=True)
                if high >= 0:
                    self._silent[name] = high

    def commit(self, offsets: Sequence[tuple[str, int]] | None) -> CommitSeen:
        """commit(asynchronous=False): waits as long as librdkafka does. Nothing to commit is no error."""
        consumer = self._running()
        wanted = [self._real(name, offset) for name, offset in offsets] if offsets is not None else None
        meant = tuple(offsets) if offsets is not None else tuple(self._positions.items())
        try:
            answered = consumer.commit(asynchronous=False) if wanted is None else consumer.commit(offsets=wanted, asynchronous=False)
        except KafkaException as failed:
            error = _error_of(failed)
            if error is not None and error.code() == KafkaError._NO_OFFSET:  # so librdkafka calls its own errors
                return CommitSeen((), "")
            return CommitSeen(meant, ledger_name(error.name()) if error is not None else str(failed))
        return self._answered(None, answered or [])

    def positions(self) -> dict[str, int]:
        """Behind the last record that each assigned partition gave; the high watermark of one that has had none to give."""
        return {**self._silent, **self._positions}

    def events(self) -> list[ConsumerEvent]:
        """What the callbacks, and the offsets of the records, told."""
        events, self._events = self._events, []
        return events

    def wakeup(self) -> None:
        """The next poll returns at once; one under way returns at its timeout."""
        self._woken.set()

    def close(self) -> None:
        """close(): the automatic commit, if there is one, and LeaveGroup. What its callbacks tell is among `events`."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _running(self) -> Consumer:
        assert self._consumer is not None, "begin() comes before everything else, and nothing after close()"
        return self._consumer

    # ------------------------------------------------------------------------------------------------ records

    def _is_record(self, message: Message) -> bool:
        """An error in the place of a record: one that ends the loop is kept for the next poll; of the others librdkafka takes care."""
        error = message.error()
        if error is None:
            return True
        if error.fatal() or error.code() in _CANNOT_GO_ON:
            self._stopped = self._stopped or f"{ledger_name(error.name())}: {error.str()}"
        return False

    def _runs(self, messages: list[Message]) -> list[PolledRun]:
        runs: list[PolledRun] = []
        ends = {(message.topic(), message.partition()): (message.offset() or 0) + 1 for message in messages}
        for message in messages:
            name = self._name(message.topic() or "", message.partition() or 0)
            offset = message.offset() or 0
            producer_index, number = decode(message.value() or b"")
            if self._positions.get(name) != offset:
                self._moved(name, offset, ends[message.topic(), message.partition()])
            self._positions[name] = offset + 1
            last = runs[-1] if runs else None
            if last is not None and (name, offset, producer_index, number) == _next_of(last):
                runs[-1] = last._replace(records=last.records + 1)
            else:
                runs.append(PolledRun(name, offset, producer_index, number, 1))
        return runs

    def _moved(self, name: str, offset: int, end: int) -> None:
        """WHEN a record is not the one behind the last; THEN auto.offset.reset, or a truncation, has moved the position.

        There are no transactions and no compaction in a scenario, so nothing else leaves gaps. Before the first record of an assignment
        the position was the committed offset, if there was one: the coordinator is asked, unless the record is where we left off.
        """
        position = self._positions.get(name)
        if position is None:
            position = offset if offset == self._last_known.get(name) else self._committed_before(name, offset, end)
        if position != offset:
            self._events.append(PositionMoved(name, position, offset))

    def _committed_before(self, name: str, offset: int, end: int) -> int:
        """The committed offset, -1 without one; `offset` itself where nobody can tell.

        An automatic commit of the very records that consume() has just returned, `offset` to `end`, may have come first.
        """
        try:
            found = self._running().committed([self._real(name)], timeout=_LOOK_UP_S)[0]
        except KafkaException:
            return offset
        if found.error is not None or offset < found.offset <= end:
            return offset
        return max(found.offset, -1)

    # ------------------------------------------------------------------------------------------------ callbacks

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """librdkafka assigns what it tells, by itself, when this returns."""
        self._assigned |= dict.fromkeys(self._names(partitions))
        self._events.append(PartitionsChanged("assigned", tuple(self._assigned)))

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._gone("revoked", partitions)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._gone("lost", partitions)

    def _gone(self, what: str, partitions: list[TopicPartition]) -> None:
        names = self._names(partitions)
        for name in names:
            self._assigned.pop(name, None)
            self._silent.pop(name, None)
            position = self._positions.pop(name, None)
            if position is not None:
                self._last_known[name] = position
        self._events.append(PartitionsChanged(what, names))

    def _committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """An automatic commit was answered; there was nothing to commit is no answer."""
        seen = self._answered(error, partitions)
        if seen.offsets:
            self._events.append(seen)

    def _answered(self, error: KafkaError | None, partitions: list[TopicPartition]) -> CommitSeen:
        """Without the partitions of which nothing was committed."""
        committed = [partition for partition in partitions if partition.offset >= 0]
        errors = [error] if error is not None else [partition.error for partition in committed if partition.error is not None]
        offsets = tuple((self._name(partition.topic, partition.partition), partition.offset) for partition in committed)
        if errors:
            return CommitSeen(offsets, ledger_name(errors[0].name()))
        self._last_known.update(offsets)
        return CommitSeen(offsets, "")

    # ------------------------------------------------------------------------------------------------ names

    def _names(self, partitions: list[TopicPartition]) -> tuple[str, ...]:
        return tuple(self._name(partition.topic, partition.partition) for partition in sorted(partitions))

    def _name(self, topic: str, partition: int) -> str:
        return f"{self._scenario_names[topic]}-{partition}"

    def _real(self, name: str, offset: int = -1001) -> TopicPartition:
        """The real partition, with an offset; -1001 is librdkafka's for none."""
        topic, _, partition = name.rpartition("-")
        return TopicPartition(self._spec.topics[topic], int(partition), offset)


def _next_of(run: PolledRun) -> tuple[str, int, int, int]:
    """What a record must be to go on with the run."""
    return (run.partition, run.base_offset + run.records, run.producer_index, run.first + run.records)
