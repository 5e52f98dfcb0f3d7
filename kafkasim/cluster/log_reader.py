"""Reads the log of one partition to its end, with a consumer of librdkafka's; and tells errors that pass from those that stay."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from kafkasim.cluster.errors import ClusterError

_CHUNK = 2000
_CHUNK_S = 0.1
READING: Mapping[str, Any] = {
    "group.id": "kafkasim-reader",  # librdkafka asks for one, and for its coordinator; without subscribe() and commits there is no group
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "isolation.level": "read_uncommitted",
    "auto.offset.reset": "earliest",  # retention may move the start of the log while it is being read: what it takes has expired, too
    "socket.timeout.ms": 10000,  # one answer may be long
    "fetch.wait.max.ms": 50,
    "fetch.error.backoff.ms": 50,
    "fetch.queue.backoff.ms": 5,
    "fetch.message.max.bytes": 8 << 20,
}
PASSING = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._WAIT_COORD,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.NOT_CONTROLLER,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)


def read_to_end(consumer: Consumer, start: TopicPartition, end: int, deadline: float) -> Iterator[list[tuple[int, bytes]]]:
    """Chunks of (offset, value) from `start` to `end`; then the consumer is closed. Raises ClusterError after `deadline` (monotonic)."""
    name, position = f"{start.topic}-{start.partition}", 0
    try:
        consumer.assign([start])
        while position < end:
            chunk: list[tuple[int, bytes]] = []
            for message in consumer.consume(min(_CHUNK, end - position), _CHUNK_S):
                offset, problem = message.offset(), message.error()
                assert offset is not None, "a record and the end of a partition have offsets"
                if problem is None:
                    chunk.append((offset, message.value() or b""))
                    position = offset + 1
                elif problem.code() == KafkaError._PARTITION_EOF:
                    # Behind the last record there may be offsets without one: the markers of transactions, and what compaction took.
                    position = max(position, offset)
                elif not may_pass(KafkaException(problem)):
                    raise ClusterError(f"{name} cannot be read at offset {position} of {end}: {problem.str()}.")
            if chunk:
                # What was written since the call lies behind `end`, and is not asked for.
                yield [(offset, value) for offset, value in chunk if offset < end]
            elif position < end and time.monotonic() > deadline:
                raise ClusterError(f"{name} could not be read to its end in time: offset {position} of {end} was reached.")
    finally:
        consumer.close()


def error_of(problem: KafkaException) -> KafkaError:
    """The error in an exception of the library's."""
    error: KafkaError = problem.args[0]
    return error


def may_pass(problem: KafkaException | TimeoutError) -> bool:
    """Whether asking again may help: the broker is away, or does not lead any more."""
    return isinstance(problem, TimeoutError) or error_of(problem).code() in PASSING or error_of(problem).retriable()
